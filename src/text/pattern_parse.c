/* Patterns: from text to a program of Thompson's instructions. */
#include <string.h>

#include "pattern_int.h"

typedef struct parser {
    const char *re, *p;
    pat_sets *sets;
    pat_prog *prog;
    bool failed;
} parser;

static void alternation(parser *s);

static unsigned emit(parser *s, pat_op op, unsigned set, unsigned x, unsigned y)
{
    if (s->prog->n == PAT_PROG) {
        s->failed = true;
        return 0;
    }
    s->prog->inst[s->prog->n] = (pat_inst){op, (uint16_t)set, (uint16_t)x, (uint16_t)y};
    return s->prog->n++;
}

static uint32_t point(parser *s)
{
    uint32_t cp;
    s->p += uni_next(s->p, &cp);
    return cp;
}

static uint32_t escaped(parser *s)
{
    uint32_t c = point(s);
    return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

static void set_range(parser *s, pat_set *set, uint32_t lo, uint32_t hi)
{
    if (set->n == PAT_RANGES) {
        s->failed = true;
        return;
    }
    set->lo[set->n] = lo;
    set->hi[set->n++] = hi;
}

/* \s \S \d \p{X} at p, after the backslash; false where it is an escaped character. */
static bool class_escape(parser *s, pat_set *set)
{
    switch (*s->p) {
    case 's': set->classes |= UNI_SPACE; s->p++; return true;
    case 'S': set->not_classes |= UNI_SPACE; s->p++; return true;
    case 'd': set_range(s, set, '0', '9'); s->p++; return true;
    case 'p': break;
    default: return false;
    }
    const char *names = "NLMPS", *at = s->p[1] == '{' && s->p[2] ? strchr(names, s->p[2]) : NULL;
    const char *end = strchr(s->p, '}');
    if (!at || !end) {
        s->failed = true;
        return true;
    }
    set->classes |= (uint8_t)(1u << (at - names));
    s->p = end + 1;
    return true;
}

static void bracket(parser *s, pat_set *set)
{
    s->p++;
    if (*s->p == '^') {
        set->negated = true;
        s->p++;
    }
    while (*s->p && *s->p != ']' && !s->failed) {
        uint32_t lo;
        if (*s->p == '\\') {
            s->p++;
            if (class_escape(s, set)) continue;
            lo = escaped(s);
        } else {
            lo = point(s);
        }
        uint32_t hi = lo;
        if (s->p[0] == '-' && s->p[1] != ']') {
            s->p++;
            if (*s->p == '\\') {
                s->p++;
                hi = escaped(s);
            } else {
                hi = point(s);
            }
        }
        set_range(s, set, lo, hi);
    }
    if (*s->p == ']') s->p++;
    else s->failed = true;
}

static bool set_eq(const pat_set *a, const pat_set *b)
{
    return a->negated == b->negated && a->classes == b->classes && a->not_classes == b->not_classes && a->n == b->n &&
           memcmp(a->lo, b->lo, a->n * sizeof *a->lo) == 0 && memcmp(a->hi, b->hi, a->n * sizeof *a->hi) == 0;
}

/* One class, escape or literal at p: its set. */
static unsigned one_set(parser *s)
{
    pat_set set = {0};
    if (*s->p == '[') {
        bracket(s, &set);
    } else if (*s->p == '\\') {
        s->p++;
        if (!class_escape(s, &set)) {
            uint32_t c = escaped(s);
            set_range(s, &set, c, c);
        }
    } else {
        uint32_t c = point(s);
        set_range(s, &set, c, c);
    }
    for (unsigned i = 0; i < s->sets->n; i++)
        if (set_eq(&s->sets->set[i], &set)) return i;
    if (s->sets->n == PAT_SETS) {
        s->failed = true;
        return 0;
    }
    s->sets->set[s->sets->n] = set;
    return s->sets->n++;
}

static void atom(parser *s)
{
    if (*s->p != '(') {
        unsigned set = one_set(s);
        emit(s, PAT_CHAR, set, 0, 0);
        return;
    }
    s->p++;
    pat_op look = PAT_MATCH;
    if (s->p[0] == '?') {
        look = s->p[1] == '=' ? PAT_AHEAD : s->p[1] == '!' ? PAT_NOT_AHEAD : PAT_MATCH;
        s->p += 2;
    }
    if (look == PAT_MATCH) {
        alternation(s);
    } else {
        unsigned set = one_set(s);
        emit(s, look, set, 0, 0);
    }
    if (*s->p == ')') s->p++;
    else s->failed = true;
}

/* The end of the atom at p, without emitting it. */
static const char *skip_atom(parser *s)
{
    parser dry = *s;
    unsigned n = s->prog->n;
    atom(&dry);
    s->prog->n = n;
    s->failed |= dry.failed;
    return dry.p;
}

static unsigned number(parser *s)
{
    unsigned v = 0;
    while (*s->p >= '0' && *s->p <= '9' && v < PAT_PROG) v = v * 10 + (unsigned)(*s->p++ - '0');
    return v;
}

enum { UNBOUNDED = ~0u };

static void bounds(parser *s, unsigned *min, unsigned *max)
{
    *min = *max = 1;
    switch (*s->p) {
    case '?': *min = 0; s->p++; break;
    case '*': *min = 0; *max = UNBOUNDED; s->p++; break;
    case '+': *max = UNBOUNDED; s->p++; break;
    case '{':
        s->p++;
        *min = *max = number(s);
        if (*s->p == ',') {
            s->p++;
            *max = number(s);
        }
        if (*s->p == '}') s->p++;
        else s->failed = true;
    }
}

static void repeat(parser *s)
{
    const char *from = s->p;
    unsigned min, max;
    s->p = skip_atom(s);
    bounds(s, &min, &max);
    const char *end = s->p;
    for (unsigned i = 0; i < min && !s->failed; i++) {
        s->p = from;
        atom(s);
    }
    if (max == UNBOUNDED) {
        unsigned loop = emit(s, PAT_SPLIT, 0, s->prog->n + 1, 0);
        s->p = from;
        atom(s);
        emit(s, PAT_JUMP, 0, loop, 0);
        s->prog->inst[loop].y = (uint16_t)s->prog->n;
    } else if (max > min) {
        unsigned first = s->prog->n;
        for (unsigned i = min; i < max && !s->failed; i++) {
            emit(s, PAT_SPLIT, 1, s->prog->n + 1, 0);
            s->p = from;
            atom(s);
        }
        for (unsigned i = first; i < s->prog->n; i++) /* an atom that is repeated so holds no repetition itself */
            if (s->prog->inst[i].op == PAT_SPLIT && s->prog->inst[i].set == 1 && s->prog->inst[i].y == 0)
                s->prog->inst[i].y = (uint16_t)s->prog->n;
    }
    s->p = end;
}

static void alternation(parser *s)
{
    unsigned jumps[64], n = 0;
    for (;;) {
        /* Whether another branch follows is known only after this one: a SPLIT that falls through both ways
         * costs nothing. */
        unsigned split = emit(s, PAT_SPLIT, 0, s->prog->n + 1, s->prog->n + 1);
        while (*s->p && *s->p != '|' && *s->p != ')' && !s->failed) repeat(s);
        if (*s->p != '|' || s->failed || n == 64) break;
        s->p++;
        jumps[n++] = emit(s, PAT_JUMP, 0, 0, 0);
        s->prog->inst[split].y = (uint16_t)s->prog->n;
    }
    for (unsigned i = 0; i < n; i++) s->prog->inst[jumps[i]].x = (uint16_t)s->prog->n;
}

tawny_status pat_parse(const char *re, pat_sets *sets, pat_prog *prog, tawny_error *err)
{
    parser s = {re, re, sets, prog, false};
    prog->n = 0;
    alternation(&s);
    emit(&s, PAT_MATCH, 0, 0, 0);
    if (s.failed || *s.p) return err_set(err, TAWNY_E_ARG, "pattern \"%s\": cannot be read at byte %zu", re,
                                         (size_t)(s.p - re));
    return TAWNY_OK;
}

bool pat_set_has(const pat_set *s, uint32_t cp, unsigned classes)
{
    if (cp >= 0x80 && classes & UNI_SPACE) cp = '\v';
    bool in = (s->classes & classes) != 0 || (s->not_classes & ~classes) != 0;
    for (unsigned i = 0; i < s->n && !in; i++) in = cp >= s->lo[i] && cp <= s->hi[i];
    return in != s->negated;
}
