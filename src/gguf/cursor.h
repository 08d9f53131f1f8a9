/* A bounded cursor over bytes of a file: the only code that reads lengths and counts from one.
 * Bounds are checked by subtraction from what is left, which cannot overflow. A step that does not
 * fit moves nothing, notes how much it wanted, and returns false. */
#ifndef GGUF_CURSOR_H
#define GGUF_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cursor {
    const uint8_t *data;
    size_t size;
    size_t at;       /* <= size */
    uint64_t wanted; /* bytes that the failed step asked for */
} cursor;

static inline size_t cursor_left(const cursor *c) { return c->size - c->at; }

bool cursor_take(cursor *c, uint64_t n, const uint8_t **out);
bool cursor_u8(cursor *c, uint8_t *out);
bool cursor_u16(cursor *c, uint16_t *out);
bool cursor_u32(cursor *c, uint32_t *out);
bool cursor_u64(cursor *c, uint64_t *out);
/* n elements of size bytes. */
bool cursor_array(cursor *c, uint64_t n, size_t size, const uint8_t **out);
/* A u64 length, then so many bytes. */
bool cursor_str(cursor *c, const uint8_t **p, size_t *n);

#endif
