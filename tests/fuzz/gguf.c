/* Fuzz target: any bytes as a GGUF file, opened and walked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all that an opened file leads to, through the compiler's back. */
static void walk(const gguf *g)
{
    volatile uint64_t sum = 0;
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        for (size_t k = 0; k < kv->key.n; k++) sum += (uint8_t)kv->key.p[k];
        if (kv->type == GGUF_STR && kv->v.s.n) sum += (uint8_t)kv->v.s.p[kv->v.s.n - 1];
        if (kv->type != GGUF_ARR) continue;
        size_t at = 0;
        gguf_str s;
        if (kv->v.a.type == GGUF_STR)
            while (gguf_array_next_str(&kv->v.a, &at, &s)) sum += s.n ? (uint8_t)s.p[s.n - 1] : 0;
        else
            for (uint64_t k = 0; k < kv->v.a.n; k++) sum += gguf_array_u64(&kv->v.a, k);
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (gguf_tensor_find(g, t->name) != t) abort();
        sum += t->data[0] + t->data[t->bytes - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    gguf *g = NULL;
    tawny_error e;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (gguf_open(path, 0, &g, &e) == TAWNY_OK) walk(g);
    gguf_close(g);
    close(fd);
    return 0;
}
