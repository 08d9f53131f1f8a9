/* Schemas: regular expressions over the content of JSON strings. A character that JSON escapes is written
 * with its short escape. */
#include <string.h>

#include "schema_int.h"

typedef struct regex {
    buf *b;
    const char *p, *end;
    int depth;
    bool anchored; /* by ^ or $, which belong to one alternative: there may be just one */
    bool bad;
} regex;

static char peek(const regex *r) { return r->p < r->end ? *r->p : 0; }

/* Bits of ASCII; what is beyond is in `rest`, in GBNF's words. */
typedef struct set {
    bool has[128];
    buf rest;
} set;

static void add_named(set *s, char c)
{
    for (int i = 0; i < 128; i++) {
        bool digit = i >= '0' && i <= '9';
        bool word = digit || (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') || i == '_';
        bool space = i == ' ' || (i >= 9 && i <= 13);
        s->has[i] |= c == 'd' ? digit : c == 'w' ? word : space;
    }
}

/* After a backslash: one character, or -1 and the class was added, or -2 where it is something else. */
static int escape(regex *r, set *s)
{
    char c = peek(r);
    r->p += r->p < r->end;
    switch (c) {
    case 'd': case 'w': case 's':
        if (!s) return -2;
        add_named(s, c);
        return -1;
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    default: return c > ' ' && c < 127 && !((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') ? c : -2;
    }
}

/* A character as JSON writes it, as GBNF. */
static void put_char(buf *b, int c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    char s[8] = {(char)c};
    if (at) {
        s[0] = '\\', s[1] = to[at - from];
        schema_literal(b, s, 2);
    } else {
        schema_literal(b, s, 1);
    }
}

static void put_class_char(buf *b, int c)
{
    if (c < 0x20 || c == 0x7f) buf_printf(b, "\\x%02x", (unsigned)c);
    else if (strchr("\\[]-^\"", c)) buf_printf(b, "\\x%02x", (unsigned)c);
    else buf_char(b, (char)c);
}

static bool plain(int c) { return c >= 0x20 && c != 0x7f && c != '"' && c != '\\'; }

static void put_set(buf *b, const set *s, bool negated)
{
    bool any = false;
    buf_char(b, '(');
    buf_str(b, negated ? "[^\\x00-\\x1f\\x7f\\x22\\x5c" : "[");
    for (int i = 0; i < 128; i++)
        if (s->has[i] && plain(i)) put_class_char(b, i), any = true;
    if (s->rest.size) buf_str(b, s->rest.data), any = true;
    if (!any && !negated) b->size--; /* an empty class would match nothing: left out */
    else buf_char(b, ']');
    for (const char *e = "\"\\\b\f\n\r\t"; *e; e++) {
        if (s->has[(int)*e] == negated) continue;
        if (any || negated) buf_str(b, " | ");
        any = true;
        put_char(b, *e);
    }
    buf_char(b, ')');
}

static int class_char(regex *r, set *s)
{
    int c = (unsigned char)*r->p++;
    return c == '\\' ? escape(r, s) : c;
}

static void beyond_ascii(regex *r, set *s, int c)
{
    buf_char(&s->rest, (char)c);
    while ((peek(r) & 0xc0) == 0x80) buf_char(&s->rest, *r->p++);
}

static void read_set(regex *r)
{
    set s = {0};
    r->p++;
    bool negated = peek(r) == '^';
    r->p += negated;
    while (!r->bad && r->p < r->end && *r->p != ']') {
        int lo = class_char(r, &s), hi = lo;
        if (lo >= 128) {
            beyond_ascii(r, &s, lo);
            if (peek(r) == '-') r->bad = true; /* a range of such characters: not worth it */
            continue;
        }
        if (lo >= 0 && peek(r) == '-' && r->p + 1 < r->end && r->p[1] != ']') {
            r->p++;
            hi = class_char(r, NULL);
        }
        if (lo == -2 || hi < lo || hi >= 128) r->bad = true;
        for (int i = lo; !r->bad && lo >= 0 && i <= hi; i++) s.has[i] = true;
    }
    if (peek(r) != ']') r->bad = true;
    r->p++;
    put_set(r->b, &s, negated);
    buf_free(&s.rest);
}

static void alternatives(regex *r);

static void atom(regex *r)
{
    unsigned char c = (unsigned char)*r->p;
    if (c == '[') return read_set(r);
    if (c == '(') {
        r->p++;
        if (peek(r) == '?') {
            if (r->end - r->p < 2 || r->p[1] != ':') return (void)(r->bad = true);
            r->p += 2;
        }
        buf_char(r->b, '(');
        alternatives(r);
        if (peek(r) != ')') r->bad = true;
        r->p++;
        buf_char(r->b, ')');
        return;
    }
    r->p++;
    if (c == '.') {
        buf_str(r->b, "char");
    } else if (c == '\\') {
        set s = {0};
        int e = escape(r, &s);
        if (e == -2) r->bad = true;
        else if (e == -1) put_set(r->b, &s, false);
        else put_char(r->b, e);
    } else if (c >= 128) {
        const char *start = r->p - 1;
        while ((peek(r) & 0xc0) == 0x80) r->p++;
        schema_literal(r->b, start, (size_t)(r->p - start));
    } else if (strchr("*+?{}]^$", c)) {
        r->bad = true;
    } else {
        put_char(r->b, c);
    }
}

static void repetition(regex *r)
{
    char c = peek(r);
    if (c == '*' || c == '+' || c == '?') {
        buf_char(r->b, c);
        r->p++;
    } else if (c == '{') {
        for (; r->p < r->end && *r->p != '}'; r->p++) {
            if (!(*r->p == '{' || *r->p == ',' || (*r->p >= '0' && *r->p <= '9'))) r->bad = true;
            buf_char(r->b, *r->p);
        }
        if (peek(r) != '}') r->bad = true;
        r->p++;
        buf_char(r->b, '}');
    } else {
        return;
    }
    if (peek(r) == '?') r->p++; /* lazy: the same texts match */
}

static void sequence(regex *r)
{
    buf_str(r->b, "\"\"");
    while (!r->bad && r->p < r->end && *r->p != '|' && *r->p != ')') {
        if (*r->p == '$' && r->p + 1 == r->end && r->depth == 1) return;
        buf_char(r->b, ' ');
        atom(r);
        if (!r->bad) repetition(r);
    }
}

static void alternatives(regex *r)
{
    if (++r->depth > 50) r->bad = true;
    sequence(r);
    while (!r->bad && peek(r) == '|') {
        if (r->depth == 1 && r->anchored) r->bad = true;
        r->p++;
        buf_str(r->b, " | ");
        sequence(r);
    }
    r->depth--;
}

bool schema_pattern(buf *b, const char *text, size_t n)
{
    regex r = {.b = b, .p = text, .end = text + n};
    size_t size = b->size;
    bool from = n && text[0] == '^', to = n && text[n - 1] == '$' && !(n > 1 && text[n - 2] == '\\');
    r.anchored = from || to;
    if (!from) buf_str(b, "char* ");
    r.p += from;
    buf_char(b, '(');
    alternatives(&r);
    buf_char(b, ')');
    r.p += peek(&r) == '$';
    if (!to) buf_str(b, " char*");
    if (!r.bad && r.p == r.end) return true;
    b->size = size; /* nothing was added */
    if (b->data) b->data[size] = 0;
    return false;
}
