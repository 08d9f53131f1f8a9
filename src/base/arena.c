#include "arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, CHUNK = 64 * 1024, BIG = 1024 * 1024 };

typedef struct chunk {
    struct chunk *next;
    size_t size; /* of the whole chunk, header included */
    int mapped;
} chunk;

struct arena {
    chunk *chunks;
    char *at, *end;
    size_t bytes;
};

static _Atomic uint64_t allocations;

uint64_t base_alloc_count(void) { return atomic_load(&allocations); }
void base_alloc_counted(void) { atomic_fetch_add(&allocations, 1); }

arena *arena_new(void)
{
    base_alloc_counted();
    return calloc(1, sizeof(arena));
}

void arena_free(arena *a)
{
    if (!a) return;
    for (chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        if (c->mapped)
            munmap(c, c->size);
        else
            free(c);
    }
    free(a);
}

/* Large blocks come from mmap (zeroed by the kernel, given pages only where touched). */
static chunk *chunk_new(size_t size)
{
    base_alloc_counted();
    if (size >= BIG) {
        chunk *c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (c == MAP_FAILED) return NULL;
        c->size = size;
        c->mapped = 1;
        return c;
    }
    chunk *c = aligned_alloc(ALIGN, size);
    if (!c) return NULL;
    memset(c, 0, size);
    c->size = size;
    return c;
}

void *arena_alloc(arena *a, size_t size)
{
    if (size > PTRDIFF_MAX / 2) return NULL;
    size = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (size > (size_t)(a->end - a->at)) {
        size_t want = size + ALIGN > CHUNK ? size + ALIGN : CHUNK;
        chunk *c = chunk_new(want);
        if (!c) return NULL;
        c->next = a->chunks;
        a->chunks = c;
        if (want != CHUNK) { /* its own chunk: keep filling the one at hand */
            a->bytes += size;
            return (char *)c + ALIGN;
        }
        a->at = (char *)c + ALIGN;
        a->end = (char *)c + want;
    }
    void *p = a->at;
    a->at += size;
    a->bytes += size;
    return p;
}

void *arena_array(arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strndup(arena *a, const char *s, size_t n)
{
    if (n >= PTRDIFF_MAX / 2) return NULL;
    char *p = arena_alloc(a, n + 1);
    if (p) memcpy(p, s, n);
    return p;
}

size_t arena_bytes(const arena *a) { return a->bytes; }
