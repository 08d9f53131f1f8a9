/* Fuzz target: any bytes as a GGUF file whose tokenizer is opened; then the same bytes as a text, there and back. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const tokenizer *t, const char *text, size_t n)
{
    tawny_error e;
    buf b = {0};
    tok_stream s = {0};
    for (unsigned flags = 0; flags < 4; flags++) {
        tok_vec v = {0};
        const tok_segment two[] = {{text, n / 2, true}, {text + n / 2, n - n / 2, false}};
        if (tok_encode(t, text, n, flags, &v, &e) == TAWNY_OK && tok_decode(t, v.v, v.n, flags, &b, &e) != TAWNY_OK) abort();
        for (size_t i = 0; i < v.n; i++) {
            if (v.v[i] < 0 || (uint32_t)v.v[i] >= tok_n_vocab(t)) abort();
            tok_stream_push(t, &s, v.v[i], flags, &b);
        }
        v.n = 0;
        tok_encode_segments(t, two, 2, flags, &v, &e);
        tok_vec_free(&v);
    }
    tok_stream_flush(&s, &b);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    gguf *g = NULL;
    tokenizer *t = NULL;
    tawny_error e;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    tawny_status st = gguf_open(path, GGUF_HEADER_ONLY, &g, &e);
    if (st == TAWNY_OK) st = tok_open(g, &t, &e);
    gguf_close(g);
    close(fd);
    if (st == TAWNY_OK) {
        check(t, "Hello,  hello <s>\n\n\xf0\x9f\x98\x80\xff abc \xe2\x96\x81 12345", 38);
        check(t, (const char *)data, size < 2048 ? size : 2048);
    }
    tok_close(t);
    return 0;
}
