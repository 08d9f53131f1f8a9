/* Schemas: regular expressions of ECMA 262 (flag u), as far as they are regular. */
#include <stdlib.h>
#include <string.h>

#include "schema_aut.h"

enum { MAX_DEPTH = 60, MAX_CLASS = 2000 };

typedef struct regex {
    nfa a;
    const char *p, *end;
    int depth;
    tawny_status st;
    const char *why;
} regex;

typedef struct frag {
    uint32_t in, out;
} frag;

typedef struct class {
    aut_range *r;
    size_t n;
    bool negated;
} class;

static void fail(regex *x, tawny_status st, const char *why)
{
    if (!x->st) x->st = st, x->why = why;
}
static char peek(const regex *x) { return x->p < x->end ? *x->p : 0; }
static bool more(const regex *x) { return !x->st && !x->a.failed && x->p < x->end; }

/* ---- sets of characters ---- */

static void add(regex *x, class *k, uint32_t lo, uint32_t hi)
{
    if (k->n == MAX_CLASS) return fail(x, TAWNY_E_LIMIT, "a class is too large");
    k->r[k->n++] = (aut_range){lo, hi};
}

static int by_lo(const void *a, const void *b)
{
    const aut_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* In order, apart, and the others where it is negated. */
static void settle(class *k)
{
    size_t n = 0;
    qsort(k->r, k->n, sizeof *k->r, by_lo);
    for (size_t i = 0; i < k->n; i++) {
        if (n && k->r[i].lo <= k->r[n - 1].hi + 1) {
            if (k->r[i].hi > k->r[n - 1].hi) k->r[n - 1].hi = k->r[i].hi;
        } else {
            k->r[n++] = k->r[i];
        }
    }
    k->n = n;
    if (!k->negated) return;
    uint32_t from = 0;
    for (n = 0; n < k->n; n++) {
        aut_range r = k->r[n];
        k->r[n] = (aut_range){from, r.lo - 1};
        from = r.hi + 1;
    }
    k->r[k->n++] = (aut_range){from, AUT_MAX_CODE};
    n = 0;
    for (size_t i = 0; i < k->n; i++)
        if (k->r[i].lo <= k->r[i].hi && k->r[i].hi <= AUT_MAX_CODE) k->r[n++] = k->r[i];
    k->n = n;
}

static const aut_range digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                       spaces[] = {{9, 13}, {' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a},
                                   {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
                                   {0xfeff, 0xfeff}},
                       lines[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static void add_all(regex *x, class *k, const aut_range *r, size_t n, bool negated)
{
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated) add(x, k, r[i].lo, r[i].hi);
        else if (r[i].lo > from) add(x, k, from, r[i].lo - 1);
        from = r[i].hi + 1;
    }
    if (negated) add(x, k, from, AUT_MAX_CODE);
}

static uint32_t read_hex(regex *x, int digits_wanted)
{
    uint32_t v = 0;
    for (int i = 0; i < digits_wanted; i++, x->p++) {
        char c = peek(x);
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return fail(x, TAWNY_E_FORMAT, "hexadecimal digits are missing"), 0;
        v = v << 4 | (uint32_t)d;
    }
    return v;
}

static uint32_t read_u(regex *x)
{
    if (peek(x) != '{') {
        uint32_t v = read_hex(x, 4);
        if (v < 0xd800 || v > 0xdbff || x->end - x->p < 6 || x->p[0] != '\\' || x->p[1] != 'u') return v;
        x->p += 2;
        uint32_t low = read_hex(x, 4);
        if (low < 0xdc00 || low > 0xdfff) fail(x, TAWNY_E_UNSUPPORTED, "half of a surrogate pair");
        return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    }
    uint32_t v = 0;
    for (x->p++; peek(x) != '}' && v <= AUT_MAX_CODE && !x->st;) v = v << 4 | read_hex(x, 1);
    if (v > AUT_MAX_CODE) fail(x, TAWNY_E_FORMAT, "a character beyond U+10FFFF");
    x->p += x->p < x->end;
    return v;
}

enum { IS_CLASS = 0x200000 };

/* After a backslash: a character, or IS_CLASS where its characters were added. */
static uint32_t escape(regex *x, class *k, bool in_class)
{
    char c = peek(x);
    if (x->p >= x->end) return fail(x, TAWNY_E_FORMAT, "it ends with a backslash"), 0;
    x->p++;
    switch (c) {
    case 'd': case 'D': return add_all(x, k, digits, 1, c == 'D'), IS_CLASS;
    case 'w': case 'W': return add_all(x, k, words, 4, c == 'W'), IS_CLASS;
    case 's': case 'S': return add_all(x, k, spaces, 10, c == 'S'), IS_CLASS;
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    case 'x': return read_hex(x, 2);
    case 'u': return read_u(x);
    case 'b':
        if (in_class) return '\b';
        break;
    case 'c':
        if ((peek(x) | 32) >= 'a' && (peek(x) | 32) <= 'z') return (uint32_t)*x->p++ & 31;
        break;
    case '0':
        if (peek(x) < '0' || peek(x) > '9') return 0;
        break;
    default:
        if (c > ' ' && c < 127 && strchr("^$\\.*+?()[]{}|/-", c)) return (uint8_t)c;
        if (c > ' ' && c < 127 && strchr("\"'!#%&,:;<=>@_`~ ", c))
            return (uint8_t)c; /* without flag u they stand for themselves */
    }
    fail(x, TAWNY_E_UNSUPPORTED, c == 'p' || c == 'P' ? "\\p: properties of characters"
                                 : c >= '1' && c <= '9' ? "a back reference"
                                 : c == 'b' || c == 'B' ? "\\b: borders of words" : "an escape");
    return 0;
}

static uint32_t class_char(regex *x, class *k)
{
    if (*x->p != '\\') return aut_utf8(&x->p, x->end);
    x->p++;
    return escape(x, k, true);
}

static void read_class(regex *x, class *k)
{
    x->p++;
    k->negated = peek(x) == '^';
    x->p += k->negated;
    while (more(x) && *x->p != ']') {
        uint32_t lo = class_char(x, k), hi = lo;
        if (x->end - x->p > 1 && *x->p == '-' && x->p[1] != ']') {
            x->p++;
            hi = class_char(x, k);
            if (lo == IS_CLASS || hi == IS_CLASS) fail(x, TAWNY_E_FORMAT, "a range of classes");
            else if (hi < lo) fail(x, TAWNY_E_FORMAT, "a range that ends before it begins");
        }
        if (lo != IS_CLASS && !x->st) add(x, k, lo, hi);
    }
    if (peek(x) != ']') fail(x, TAWNY_E_FORMAT, "a ] is missing");
    x->p += x->p < x->end;
}

/* ---- expressions ---- */

static frag alternatives(regex *x);

static frag group(regex *x)
{
    x->p++;
    if (peek(x) == '?') {
        if (x->end - x->p > 2 && x->p[1] == '<' && x->p[2] != '=' && x->p[2] != '!') {
            while (x->p < x->end && *x->p != '>') x->p++; /* a name */
            x->p += x->p < x->end;
        } else if (x->end - x->p > 1 && x->p[1] == ':') {
            x->p += 2;
        } else {
            fail(x, TAWNY_E_UNSUPPORTED, "looking ahead or behind");
        }
    }
    frag f = alternatives(x);
    if (!x->st && peek(x) != ')') fail(x, TAWNY_E_FORMAT, "a ) is missing");
    x->p += x->p < x->end;
    return f;
}

static frag characters(regex *x)
{
    frag f = {nfa_node(&x->a), nfa_node(&x->a)};
    class k = {.r = malloc((MAX_CLASS + 1) * sizeof *k.r)};
    if (!k.r) return fail(x, TAWNY_E_NOMEM, "out of memory"), f;
    if (*x->p == '[') {
        read_class(x, &k);
    } else if (*x->p == '.') {
        x->p++;
        add_all(x, &k, lines, 3, true);
    } else if (*x->p == '\\') {
        x->p++;
        uint32_t c = escape(x, &k, false);
        if (c != IS_CLASS) add(x, &k, c, c);
    } else if (strchr("*+?{}]", *x->p)) {
        fail(x, *x->p == '}' || *x->p == ']' || *x->p == '{' ? TAWNY_E_UNSUPPORTED : TAWNY_E_FORMAT,
             "nothing to repeat, or a bracket that needs a backslash");
    } else {
        uint32_t c = aut_utf8(&x->p, x->end);
        add(x, &k, c, c);
    }
    settle(&k);
    if (!x->st && !x->a.failed) nfa_add_set(&x->a, f.in, k.r, k.n, f.out);
    free(k.r);
    return f;
}

static frag atom(regex *x, bool *repeatable)
{
    *repeatable = *x->p != '^' && *x->p != '$';
    if (*x->p == '(') return group(x);
    if (*repeatable) return characters(x);
    frag f = {nfa_node(&x->a), nfa_node(&x->a)};
    if (!x->a.failed) nfa_add(&x->a, f.in, *x->p == '^' ? NFA_BEGIN : NFA_END, f.out);
    x->p++;
    return f;
}

static long read_number(regex *x)
{
    long v = 0;
    if (peek(x) < '0' || peek(x) > '9') fail(x, TAWNY_E_FORMAT, "a number is missing in {}");
    for (; peek(x) >= '0' && peek(x) <= '9'; x->p++) v = v < 100000000 ? v * 10 + (*x->p - '0') : v;
    return v;
}

/* hi -1: without end */
static bool read_counts(regex *x, long *lo, long *hi)
{
    char c = peek(x);
    *lo = c == '+';
    *hi = c == '?' ? 1 : -1;
    if (c != '*' && c != '+' && c != '?' && c != '{') return false;
    x->p++;
    if (c == '{') {
        *lo = *hi = read_number(x);
        if (peek(x) == ',') {
            x->p++;
            *hi = peek(x) == '}' ? -1 : read_number(x);
        }
        if (peek(x) != '}' || (*hi >= 0 && *hi < *lo)) fail(x, TAWNY_E_FORMAT, "{} is malformed");
        x->p += x->p < x->end;
    }
    if (peek(x) == '?') x->p++; /* lazy: the same strings match */
    return !x->st;
}

static void link(regex *x, uint32_t from, uint32_t to)
{
    if (!x->a.failed) nfa_add(&x->a, from, NFA_EMPTY, to);
}

/* The atom is read anew for each copy; the counts are behind it. */
static frag repeated(regex *x)
{
    const char *start = x->p, *after;
    long lo, hi;
    bool repeatable;
    frag f = atom(x, &repeatable);
    if (x->st || !read_counts(x, &lo, &hi)) return f;
    if (!repeatable) return fail(x, TAWNY_E_FORMAT, "^ or $ is repeated"), f;
    after = x->p;
    frag all = {nfa_node(&x->a), nfa_node(&x->a)};
    uint32_t at = all.in;
    long copies = hi < 0 ? lo + 1 : hi;
    for (long i = 0; i < copies && !x->st && !x->a.failed; i++) {
        if (i) x->p = start, f = atom(x, &repeatable);
        if (i >= lo) link(x, at, all.out);
        link(x, at, f.in);
        if (hi < 0 && i == lo) link(x, f.out, f.in);
        at = f.out;
    }
    link(x, at, all.out);
    x->p = after;
    return all;
}

static frag sequence(regex *x)
{
    frag all;
    all.in = all.out = nfa_node(&x->a);
    while (more(x) && *x->p != '|' && *x->p != ')') {
        frag f = repeated(x);
        link(x, all.out, f.in);
        all.out = f.out;
    }
    return all;
}

static frag alternatives(regex *x)
{
    frag all = {nfa_node(&x->a), nfa_node(&x->a)};
    if (++x->depth > MAX_DEPTH) fail(x, TAWNY_E_LIMIT, "nested too deep");
    for (bool again = !x->st; again && !x->a.failed;) {
        frag f = sequence(x);
        link(x, all.in, f.in);
        link(x, f.out, all.out);
        again = more(x) && *x->p == '|';
        x->p += again;
    }
    x->depth--;
    return all;
}

tawny_status aut_regex(const char *text, size_t n, aut **out, const char **why)
{
    regex x = {.p = text, .end = text + n};
    *out = NULL;
    nfa_node(&x.a); /* 0 is where failed links go */
    frag f = alternatives(&x);
    if (!x.st && !x.a.failed && x.p < x.end) fail(&x, TAWNY_E_FORMAT, "a ) without its (");
    if (!x.st) x.st = nfa_determine(&x.a, f.in, f.out, true, out);
    if (x.st && !x.why) x.why = "its automaton is too large";
    *why = x.why;
    nfa_free(&x.a);
    return x.st;
}
