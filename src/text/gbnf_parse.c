/* Grammars: from the text to the network. The notation is that of llama.cpp's grammars/README.md. */
#include <stdlib.h>
#include <string.h>

#include "gbnf_int.h"

/* A piece of the network with one way in and one way out. */
typedef struct frag {
    uint32_t in, out;
} frag;

typedef struct parser {
    gbnf *g;
    const char *text, *p, *end;
    const gbnf_tokens *tokens;
    uint32_t *table; /* of named rules by hash: 1 + rule */
    uint32_t table_size, n_named;
    int depth;
    tawny_status st;
    tawny_error *err;
} parser;

static tawny_status fail_at(parser *q, const char *at, tawny_status st, const char *what)
{
    int line = 1;
    const char *start = q->text;
    for (const char *s = q->text; s < at; s++)
        if (*s == '\n') line++, start = s + 1;
    if (!q->st) q->st = err_set(q->err, st, "grammar, line %d, column %d: %s", line, (int)(at - start) + 1, what);
    return q->st;
}

static void fail(parser *q, const char *what) { fail_at(q, q->p, TAWNY_E_FORMAT, what); }

static char peek(const parser *q) { return q->p < q->end ? *q->p : 0; }
static bool more(const parser *q) { return !q->st && !q->g->failed && q->p < q->end; }

static void skip_space(parser *q, bool newlines)
{
    for (; q->p < q->end; q->p++) {
        if (*q->p == '#')
            while (q->p + 1 < q->end && q->p[1] != '\n' && q->p[1] != '\r') q->p++;
        else if (*q->p != ' ' && *q->p != '\t' && !(newlines && (*q->p == '\n' || *q->p == '\r')))
            return;
    }
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* ---- names ---- */

static uint32_t hash_name(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool grow_table(parser *q)
{
    uint32_t size = q->table_size ? q->table_size * 2 : 64, *t = calloc(size, sizeof *t);
    if (!t) return false;
    for (uint32_t i = 0; i < q->table_size; i++) {
        if (!q->table[i]) continue;
        const gbnf_rule *r = &q->g->rule[q->table[i] - 1];
        uint32_t h = hash_name(r->name, r->n_name) & (size - 1);
        while (t[h]) h = (h + 1) & (size - 1);
        t[h] = q->table[i];
    }
    free(q->table);
    q->table = t;
    q->table_size = size;
    return true;
}

static uint32_t rule_named(parser *q, const char *name, size_t n)
{
    if (q->n_named * 2 >= q->table_size && !grow_table(q)) {
        q->g->failed = true;
        return 0;
    }
    uint32_t h = hash_name(name, n) & (q->table_size - 1);
    for (; q->table[h]; h = (h + 1) & (q->table_size - 1)) {
        const gbnf_rule *r = &q->g->rule[q->table[h] - 1];
        if (r->n_name == n && memcmp(r->name, name, n) == 0) return q->table[h] - 1;
    }
    uint32_t r = gbnf_new_rule(q->g, name, n), start = gbnf_new_node(q->g);
    if (q->g->failed) return 0;
    q->g->rule[r].start = start;
    q->g->rule[r].at = (uint32_t)(name - q->text);
    q->table[h] = r + 1;
    q->n_named++;
    return r;
}

static size_t read_name(parser *q)
{
    const char *s = q->p;
    while (q->p < q->end && word_char(*q->p)) q->p++;
    return (size_t)(q->p - s);
}

/* ---- characters ---- */

static uint32_t read_hex(parser *q, int digits)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, q->p++) {
        char c = peek(q);
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return fail(q, "hexadecimal digits are missing"), 0;
        v = v << 4 | (uint32_t)d;
    }
    if (v > 0x10ffff) fail(q, "a character beyond U+10FFFF");
    return v;
}

static uint32_t read_utf8(parser *q)
{
    uint8_t c = (uint8_t)*q->p++;
    if (c < 0x80) return c;
    int n = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t v = c & (0x3fu >> n), least = n == 3 ? 0x10000 : n == 2 ? 0x800 : 0x80;
    bool good = c >= 0xc2 && c < 0xf5;
    for (int i = 0; i < n && good; i++) {
        good = q->p < q->end && ((uint8_t)*q->p & 0xc0) == 0x80;
        if (good) v = v << 6 | ((uint8_t)*q->p++ & 0x3f);
    }
    if (!good || v < least || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) fail(q, "not UTF-8");
    return v;
}

static uint32_t read_char(parser *q)
{
    if (q->p >= q->end) return fail(q, "the text ends within a literal or a class"), 0;
    if (*q->p != '\\') return read_utf8(q);
    q->p++;
    char c = peek(q);
    q->p += q->p < q->end;
    switch (c) {
    case 'x': return read_hex(q, 2);
    case 'u': return read_hex(q, 4);
    case 'U': return read_hex(q, 8);
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    case '\\': case '"': case '[': case ']': case '-': return (uint8_t)c;
    default: q->p--; return fail(q, "an unknown escape"), 0;
    }
}

/* ---- elements ---- */

static frag read_literal(parser *q)
{
    frag f;
    f.in = f.out = gbnf_new_node(q->g);
    for (q->p++; more(q) && *q->p != '"';) {
        uint32_t c = read_char(q), next = gbnf_new_node(q->g);
        gbnf_add_range(q->g, f.out, c, c, next);
        f.out = next;
    }
    if (!q->st && peek(q) != '"') fail(q, "a literal without its end");
    q->p++;
    return f;
}

typedef struct range {
    uint32_t lo, hi;
} range;

static int by_lo(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* The ranges put in order and merged; what is between them where the class is negated. */
static void add_class(gbnf *g, range *r, size_t n, bool negated, frag f)
{
    uint32_t from = 0; /* everything below is done */
    if (n) qsort(r, n, sizeof *r, by_lo);
    for (size_t i = 0; i < n && !g->failed; i++) {
        uint32_t lo = r[i].lo > from ? r[i].lo : from;
        if (negated && lo > from) gbnf_add_range(g, f.in, from, lo - 1, f.out);
        if (!negated && r[i].hi >= lo) gbnf_add_range(g, f.in, lo, r[i].hi, f.out);
        if (r[i].hi + 1 > from) from = r[i].hi + 1;
    }
    if (negated && from <= 0x10ffff) gbnf_add_range(g, f.in, from, 0x10ffff, f.out);
}

static frag read_class(parser *q)
{
    frag f = {gbnf_new_node(q->g), gbnf_new_node(q->g)};
    range *r = NULL;
    size_t n = 0, cap = 0;
    q->p++;
    bool negated = peek(q) == '^';
    q->p += negated;
    while (more(q) && *q->p != ']') {
        if (n == cap) {
            range *w = realloc(r, (cap = cap * 2 + 8) * sizeof *w);
            if (!w) {
                q->g->failed = true;
                break;
            }
            r = w;
        }
        r[n].lo = r[n].hi = read_char(q);
        if (more(q) && *q->p == '-' && q->p + 1 < q->end && q->p[1] != ']') {
            q->p++;
            r[n].hi = read_char(q);
        }
        if (!q->st && r[n].hi < r[n].lo) fail(q, "a range whose end comes before its beginning");
        n++;
    }
    if (!q->st && peek(q) != ']') fail(q, "a class without its ]");
    q->p++;
    if (!q->st && !q->g->failed) add_class(q->g, r, n, negated, f);
    free(r);
    return f;
}

/* <[17]>, <think>, and both with ! before them */
static frag read_token(parser *q)
{
    frag f = {gbnf_new_node(q->g), gbnf_new_node(q->g)};
    bool not = *q->p == '!';
    const char *start = q->p += not;
    if (peek(q) != '<') return fail(q, "a token <...> is missing after !"), f;
    while (q->p < q->end && *q->p != '>' && *q->p != '\n') q->p++;
    if (peek(q) != '>') return fail(q, "a token without its >"), f;
    q->p++;
    size_t n = (size_t)(q->p - start);
    int64_t id = -1;
    if (n > 4 && start[1] == '[' && start[n - 2] == ']') {
        id = 0;
        for (size_t i = 2; i < n - 2 && id >= 0; i++)
            id = start[i] >= '0' && start[i] <= '9' && id < INT32_MAX / 10 ? id * 10 + (start[i] - '0') : -1;
    } else if (q->tokens && q->tokens->find) {
        id = q->tokens->find(q->tokens->ctx, start, n);
    }
    if (id < 0 || (q->tokens && id >= q->tokens->n)) {
        fail_at(q, start, TAWNY_E_FORMAT, q->tokens ? "no token of the vocabulary" : "tokens need a vocabulary");
        return f;
    }
    gbnf_edge e = {.kind = not ? GBNF_NOT_TOKEN : GBNF_TOKEN, .value = (uint32_t)id, .to = f.out};
    gbnf_add_edge(q->g, f.in, e);
    return f;
}

static frag call(gbnf *g, uint32_t rule)
{
    frag f = {gbnf_new_node(g), gbnf_new_node(g)};
    gbnf_add_edge(g, f.in, (gbnf_edge){.kind = GBNF_CALL, .value = rule, .to = f.out});
    return f;
}

static frag read_alternatives(parser *q, bool nested);

static frag read_group(parser *q)
{
    frag f = {0, 0};
    if (++q->depth > GBNF_MAX_DEPTH) return fail_at(q, q->p, TAWNY_E_LIMIT, "parentheses nested too deep"), f;
    q->p++;
    skip_space(q, true);
    f = read_alternatives(q, true);
    if (!q->st && peek(q) != ')') fail(q, "a ) is missing");
    q->p++;
    q->depth--;
    return f;
}

static frag read_element(parser *q)
{
    switch (*q->p) {
    case '"': return read_literal(q);
    case '[': return read_class(q);
    case '<': case '!': return read_token(q);
    case '(': return read_group(q);
    default: break;
    }
    if (*q->p == '.') {
        frag f = {gbnf_new_node(q->g), gbnf_new_node(q->g)};
        gbnf_add_range(q->g, f.in, 0, 0x10ffff, f.out);
        q->p++;
        return f;
    }
    const char *name = q->p;
    return call(q->g, rule_named(q, name, read_name(q)));
}

/* ---- repetition ---- */

static uint64_t read_number(parser *q)
{
    uint64_t v = 0;
    if (peek(q) < '0' || peek(q) > '9') fail(q, "a number is missing");
    for (; peek(q) >= '0' && peek(q) <= '9'; q->p++) v = v < 1000000000 ? v * 10 + (uint64_t)(*q->p - '0') : v;
    return v;
}

enum { NO_LIMIT = INT32_MAX };

static void read_counts(parser *q, int *lo, int *hi, bool newlines)
{
    char c = *q->p++;
    *lo = c == '+';
    *hi = c == '?' ? 1 : NO_LIMIT;
    if (c != '{') return;
    skip_space(q, newlines);
    uint64_t m = read_number(q), n = m;
    skip_space(q, newlines);
    if (peek(q) == ',') {
        q->p++;
        skip_space(q, newlines);
        n = peek(q) == '}' ? NO_LIMIT : read_number(q);
        skip_space(q, newlines);
    }
    if (!q->st && peek(q) != '}') fail(q, "a } is missing");
    if (!q->st && m > GBNF_MAX_REPEAT) fail_at(q, q->p, TAWNY_E_LIMIT, "too many repetitions");
    if (!q->st && n < m) fail(q, "{m,n} with n below m");
    q->p++;
    *lo = (int)m;
    *hi = n > GBNF_MAX_REPEAT ? NO_LIMIT : (int)n;
}

/* f* */
static frag star(gbnf *g, frag f)
{
    frag s = {gbnf_new_node(g), gbnf_new_node(g)};
    gbnf_link(g, s.in, f.in);
    gbnf_link(g, f.out, s.in);
    gbnf_link(g, s.in, s.out);
    return s;
}

/* What is repeated more than once becomes a rule of its own, so that a copy is a call. */
static frag repeat(gbnf *g, frag f, int lo, int hi)
{
    if (lo == 0 && hi == NO_LIMIT) return star(g, f);
    frag out = {gbnf_new_node(g), gbnf_new_node(g)};
    if (hi == 1 || (lo == 1 && hi == NO_LIMIT)) {
        gbnf_link(g, out.in, f.in);
        gbnf_link(g, f.out, out.out);
        if (lo == 0) gbnf_link(g, out.in, out.out);
        if (hi == NO_LIMIT) gbnf_link(g, f.out, f.in);
        return out;
    }
    uint32_t rule = gbnf_new_rule(g, NULL, 0), start = gbnf_new_node(g);
    if (g->failed) return out;
    g->rule[rule].start = start;
    gbnf_link(g, start, f.in);
    g->node[f.out].final = true;
    uint32_t at = out.in;
    for (int i = 0; i < (hi == NO_LIMIT ? lo : hi) && !g->failed; i++) {
        frag c = call(g, rule);
        gbnf_link(g, at, c.in);
        if (i >= lo) gbnf_link(g, at, out.out);
        at = c.out;
    }
    if (hi == NO_LIMIT) {
        frag c = star(g, call(g, rule));
        gbnf_link(g, at, c.in);
        at = c.out;
    }
    gbnf_link(g, at, out.out);
    return out;
}

static frag read_sequence(parser *q, bool nested)
{
    frag all;
    all.in = all.out = gbnf_new_node(q->g);
    frag last = {0, 0};
    bool any = false;
    while (more(q)) {
        char c = *q->p;
        if (c == '*' || c == '+' || c == '?' || c == '{') {
            int lo, hi;
            if (!any) return fail(q, "nothing to repeat"), all;
            read_counts(q, &lo, &hi, nested);
            if (!q->st) last = repeat(q->g, last, lo, hi);
        } else if (c == '"' || c == '[' || c == '<' || c == '!' || c == '(' || c == '.' || word_char(c)) {
            if (any) {
                gbnf_link(q->g, all.out, last.in);
                all.out = last.out;
            }
            last = read_element(q);
            any = true;
        } else {
            break;
        }
        skip_space(q, nested);
    }
    if (any && !q->st) {
        gbnf_link(q->g, all.out, last.in);
        all.out = last.out;
    }
    return all;
}

static frag read_alternatives(parser *q, bool nested)
{
    frag f = read_sequence(q, nested), all = {0, 0};
    if (q->st || peek(q) != '|') return f;
    all.in = gbnf_new_node(q->g);
    all.out = gbnf_new_node(q->g);
    for (;;) {
        if (q->st || q->g->failed) return all;
        gbnf_link(q->g, all.in, f.in);
        gbnf_link(q->g, f.out, all.out);
        if (peek(q) != '|') return all;
        q->p++;
        skip_space(q, true);
        f = read_sequence(q, nested);
    }
}

static void read_rule(parser *q)
{
    const char *name = q->p;
    size_t n = read_name(q);
    if (!n) return fail(q, "the name of a rule is missing");
    skip_space(q, false);
    if (q->end - q->p < 3 || memcmp(q->p, "::=", 3) != 0) return fail(q, "::= is missing");
    q->p += 3;
    skip_space(q, true);
    uint32_t r = rule_named(q, name, n);
    if (q->g->failed) return;
    if (q->g->rule[r].defined) return (void)fail_at(q, name, TAWNY_E_FORMAT, "a rule that is defined already");
    q->g->rule[r].defined = true;
    frag f = read_alternatives(q, false);
    if (q->st || q->g->failed) return;
    gbnf_link(q->g, q->g->rule[r].start, f.in);
    q->g->node[f.out].final = true;
    if (q->p < q->end && *q->p != '\n' && *q->p != '\r') return fail(q, "the end of the line is missing");
    skip_space(q, true);
}

static void check_rules(parser *q)
{
    gbnf *g = q->g;
    bool root = false;
    for (uint32_t r = 0; r < g->n_rule && !q->st; r++) {
        if (!g->rule[r].defined) fail_at(q, q->text + g->rule[r].at, TAWNY_E_FORMAT, "this rule is not defined");
        if (g->rule[r].n_name != 4 || memcmp(g->rule[r].name, "root", 4) != 0) continue;
        root = true;
        g->root = r;
    }
    if (!root && !q->st) q->st = err_set(q->err, TAWNY_E_FORMAT, "grammar: there is no rule named root");
}

tawny_status gbnf_parse(const char *text, size_t n, const gbnf_tokens *tokens, gbnf **out, tawny_error *err)
{
    *out = NULL;
    if (n > GBNF_MAX_TEXT) return err_set(err, TAWNY_E_LIMIT, "grammar: longer than %d bytes", GBNF_MAX_TEXT);
    gbnf *g = calloc(1, sizeof *g);
    if (!g) return err_nomem(err);
    parser q = {.g = g, .text = text, .p = text, .end = text + n, .tokens = tokens, .err = err};
    skip_space(&q, true);
    while (more(&q)) read_rule(&q);
    if (!q.st && !g->failed) check_rules(&q);
    if (!q.st && !g->failed) gbnf_finish(g);
    if (!q.st && g->barren) q.st = err_set(err, TAWNY_E_FORMAT, "grammar: no text matches it");
    if (!q.st && g->failed) q.st = err_set(err, TAWNY_E_LIMIT, "grammar: too large, or out of memory");
    free(q.table);
    for (uint32_t r = 0; r < g->n_rule; r++) g->rule[r].name = NULL; /* the text is the caller's */
    if (q.st)
        gbnf_free(g);
    else
        *out = g;
    return q.st;
}

void gbnf_free(gbnf *g)
{
    if (!g) return;
    free(g->node);
    free(g->edge);
    free(g->rule);
    free(g);
}

size_t gbnf_size(const gbnf *g)
{
    return sizeof *g + g->cap_node * sizeof *g->node + g->cap_edge * sizeof *g->edge + g->cap_rule * sizeof *g->rule;
}
