/* From words to bytes: see hostile.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile.h"

/* The text from *p up to the closing character, '#' replaced by count. */
static size_t quoted(const char **p, char close, unsigned count, char out[256])
{
    size_t n = 0;
    const char *s = *p + 1;
    for (; *s && *s != close && n < 200; s++) {
        if (*s == '#') n += (size_t)snprintf(out + n, 16, "%u", count);
        else out[n++] = *s;
    }
    *p = *s ? s + 1 : s;
    return n;
}

static void put_str(buf *b, const char *s, size_t n)
{
    uint64_t len = n;
    buf_add(b, &len, 8);
    buf_add(b, s, n);
}

static bool number(const char **p, unsigned count, buf *b)
{
    char kind = **p, *end;
    const char *s = *p + 2;
    if (kind == 'f' || kind == 'd') {
        double d = strtod(s, &end);
        float f = (float)d;
        if (kind == 'f') buf_add(b, &f, 4);
        else buf_add(b, &d, 8);
    } else {
        uint64_t v = count;
        if (*s == '#') end = (char *)(uintptr_t)(s + 1);
        else v = strtoull(s, &end, 0);
        buf_add(b, &v, (size_t)(kind - '0'));
    }
    bool any = end > s;
    *p = end;
    return any;
}

static bool words(const char **p, unsigned count, int depth, buf *b);

static bool repeated(const char **p, int depth, buf *b)
{
    const char *start = *p + 1, *s = start;
    int open = 1;
    for (; *s && open; s++) open += *s == '(' ? 1 : *s == ')' ? -1 : 0;
    if (open || *s != '*' || depth > 3) return false;
    char *end;
    unsigned long n = strtoul(s + 1, &end, 0);
    *p = end;
    for (unsigned i = 0; i < n; i++) {
        const char *q = start;
        if (!words(&q, i, depth + 1, b)) return false;
    }
    return true;
}

static void fill(buf *b, size_t n, char c)
{
    for (; n; n--) buf_char(b, c);
}

static bool sized(const char **p, buf *b)
{
    char kind = **p, *end;
    size_t n = strtoul(*p + 1, &end, 0);
    bool any = end > *p + 1;
    *p = end;
    if (kind == 'p') n = n ? (n - b->size % n) % n : 0;
    if (kind == 's') {
        uint64_t len = n;
        buf_add(b, &len, 8);
    }
    fill(b, n, kind == 's' ? 'a' : 0);
    return any;
}

static bool header(const char **p, buf *b)
{
    char *end;
    uint32_t version = 3;
    uint64_t tensors = strtoull(*p + 2, &end, 0), keys = *end == ',' ? strtoull(end + 1, &end, 0) : 0;
    buf_str(b, "GGUF");
    buf_add(b, &version, 4);
    buf_add(b, &tensors, 8);
    buf_add(b, &keys, 8);
    *p = end;
    return true;
}

static bool words(const char **p, unsigned count, int depth, buf *b)
{
    char text[256];
    for (;;) {
        bool ok = true;
        while (**p == ' ') ++*p;
        switch (**p) {
        case 0:
        case ')': return buf_ok(b);
        case '\'': buf_add(b, text, quoted(p, '\'', count, text)); break;
        case '<': put_str(b, text, quoted(p, '>', count, text)); break;
        case '(': ok = repeated(p, depth, b); break;
        case 'H': ok = header(p, b); break;
        case 'z':
        case 'p':
        case 's': ok = sized(p, b); break;
        default: ok = **p && strchr("1248fd", **p) && (*p)[1] == ':' && number(p, count, b);
        }
        if (!ok) return false;
    }
}

bool hostile_bytes(const char *text, buf *out) { return words(&text, 0, 0, out) && *text == 0; }
