/* Arenas: memory with one owner and one end. One a model, one a session.
 * Every block is counted, so a test can assert that a decode step allocates nothing. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct arena arena;

arena *arena_new(void); /* NULL when out of memory */
void arena_free(arena *a);

/* size bytes, zeroed, aligned to 64; NULL when out of memory or when size is beyond PTRDIFF_MAX / 2. */
void *arena_alloc(arena *a, size_t size);

/* n elements of size bytes, with the product checked. */
void *arena_array(arena *a, size_t n, size_t size);

/* A copy of n bytes with a NUL after them. */
char *arena_strndup(arena *a, const char *s, size_t n);

size_t arena_bytes(const arena *a); /* bytes handed out so far */

/* All heap blocks that base ever allocated in this process: arenas and buffers (for tests). */
uint64_t base_alloc_count(void);
void base_alloc_counted(void);

#endif
