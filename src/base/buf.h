/* A growing byte buffer with a ceiling. Failures stick: append freely, ask buf_ok() once. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct buf {
    char *data;  /* NUL after the last byte once anything was appended; NULL before */
    size_t size; /* bytes in use */
    size_t cap;
    size_t max; /* growing past this many bytes fails; 0 means no ceiling */
    bool failed;
} buf;

void buf_free(buf *b);                             /* and back to empty */
void buf_clear(buf *b);                            /* size 0, memory kept, failure forgotten */
bool buf_reserve(buf *b, size_t extra);            /* room for extra more bytes */
bool buf_add(buf *b, const void *data, size_t n);  /* false, and b->failed, where it did not fit */
bool buf_str(buf *b, const char *s);
bool buf_char(buf *b, char c);
bool buf_printf(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_utf8(buf *b, uint32_t codepoint); /* surrogates and beyond U+10FFFF become U+FFFD */
static inline bool buf_ok(const buf *b) { return !b->failed; }

#endif
