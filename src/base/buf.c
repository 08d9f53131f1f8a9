#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

void buf_free(buf *b)
{
    size_t max = b->max;
    free(b->data);
    *b = (buf){.max = max};
}

void buf_clear(buf *b)
{
    b->size = 0;
    b->failed = false;
    if (b->data) b->data[0] = 0;
}

bool buf_reserve(buf *b, size_t extra)
{
    size_t limit = b->max ? b->max : SIZE_MAX / 4;
    if (b->failed || extra > limit || b->size > limit - extra) {
        b->failed = true;
        return false;
    }
    size_t need = b->size + extra + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap + b->cap / 2;
    if (cap < need) cap = need;
    if (cap < 64) cap = 64;
    base_alloc_counted();
    char *p = realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

bool buf_add(buf *b, const void *data, size_t n)
{
    if (!buf_reserve(b, n)) return false;
    if (n) memcpy(b->data + b->size, data, n);
    b->size += n;
    b->data[b->size] = 0;
    return true;
}

bool buf_str(buf *b, const char *s) { return buf_add(b, s, strlen(s)); }
bool buf_char(buf *b, char c) { return buf_add(b, &c, 1); }

bool buf_printf(buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !buf_reserve(b, (size_t)n)) {
        b->failed = true;
        return false;
    }
    va_start(ap, fmt);
    vsnprintf(b->data + b->size, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->size += (size_t)n;
    return true;
}

bool buf_utf8(buf *b, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    char s[4];
    size_t n = 0;
    if (c < 0x80) {
        s[n++] = (char)c;
    } else if (c < 0x800) {
        s[n++] = (char)(0xc0 | c >> 6);
        s[n++] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        s[n++] = (char)(0xe0 | c >> 12);
        s[n++] = (char)(0x80 | (c >> 6 & 63));
        s[n++] = (char)(0x80 | (c & 63));
    } else {
        s[n++] = (char)(0xf0 | c >> 18);
        s[n++] = (char)(0x80 | (c >> 12 & 63));
        s[n++] = (char)(0x80 | (c >> 6 & 63));
        s[n++] = (char)(0x80 | (c & 63));
    }
    return buf_add(b, s, n);
}
