#include "cursor.h"

#include "../base/num.h"

bool cursor_take(cursor *c, uint64_t n, const uint8_t **out)
{
    if (n > cursor_left(c)) {
        c->wanted = n;
        return false;
    }
    *out = c->data + c->at;
    c->at += (size_t)n;
    return true;
}

bool cursor_u8(cursor *c, uint8_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 1, &p)) return false;
    *out = *p;
    return true;
}

bool cursor_u16(cursor *c, uint16_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 2, &p)) return false;
    *out = load_u16(p);
    return true;
}

bool cursor_u32(cursor *c, uint32_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 4, &p)) return false;
    *out = load_u32(p);
    return true;
}

bool cursor_u64(cursor *c, uint64_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 8, &p)) return false;
    *out = load_u64(p);
    return true;
}

bool cursor_array(cursor *c, uint64_t n, size_t size, const uint8_t **out)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(n, (uint64_t)size, &bytes)) bytes = UINT64_MAX;
    return cursor_take(c, bytes, out);
}

bool cursor_str(cursor *c, const uint8_t **p, size_t *n)
{
    size_t start = c->at;
    uint64_t len;
    if (!cursor_u64(c, &len)) return false;
    if (!cursor_take(c, len, p)) {
        c->at = start;
        return false;
    }
    *n = (size_t)len;
    return true;
}
