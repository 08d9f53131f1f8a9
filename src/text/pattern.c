/* Patterns: the alphabet of a pre-tokenizer, and cutting text. */
#include "pattern.h"

#include <stdlib.h>
#include <string.h>

#include "pattern_int.h"

typedef enum stage_kind { STAGE_DFA, STAGE_GROUPS, STAGE_THREES, STAGE_TAIL } stage_kind;

typedef struct stage {
    stage_kind kind;
    pat_dfa dfa;
} stage;

struct pattern {
    unsigned n, symbols;
    stage stage[PATTERN_STAGES];
    uint8_t symbol[UNI_POINTS]; /* of a code point: what no set tells apart is one symbol */
};

typedef struct alphabet {
    uint64_t sig[PAT_SYMBOLS][2];
    uint8_t has[PAT_SETS * PAT_SYMBOLS];
    unsigned n;
} alphabet;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The code points at which anything can change: runs of categories and the ends of the sets' ranges. */
static uint32_t *cuts(const pat_sets *sets, size_t *n)
{
    size_t cap = uni_n_runs + 1;
    for (unsigned i = 0; i < sets->n; i++) cap += 2u * sets->set[i].n;
    uint32_t *c = malloc(cap * sizeof *c);
    if (!c) return NULL;
    *n = 0;
    for (size_t i = 0; i < uni_n_runs; i++) c[(*n)++] = uni_runs[i] >> 8;
    for (unsigned i = 0; i < sets->n; i++)
        for (unsigned k = 0; k < sets->set[i].n; k++) {
            c[(*n)++] = sets->set[i].lo[k];
            c[(*n)++] = sets->set[i].hi[k] + 1;
        }
    c[(*n)++] = UNI_POINTS;
    qsort(c, *n, sizeof *c, by_value);
    return c;
}

static unsigned symbol_of(alphabet *a, const pat_sets *sets, uint32_t cp)
{
    uint64_t sig[2] = {0, 0};
    unsigned classes = uni_class(cp);
    for (unsigned i = 0; i < sets->n; i++)
        if (pat_set_has(&sets->set[i], cp, classes)) sig[i / 64] |= UINT64_C(1) << i % 64;
    for (unsigned i = 0; i < a->n; i++)
        if (a->sig[i][0] == sig[0] && a->sig[i][1] == sig[1]) return i;
    if (a->n == PAT_SYMBOLS) return PAT_SYMBOLS;
    for (unsigned i = 0; i < sets->n; i++) a->has[i * PAT_SYMBOLS + a->n] = sig[i / 64] >> i % 64 & 1;
    memcpy(a->sig[a->n], sig, sizeof sig);
    return a->n++;
}

static tawny_status fill_symbols(pattern *p, alphabet *a, const pat_sets *sets, tawny_error *err)
{
    size_t n = 0;
    uint32_t *c = cuts(sets, &n);
    if (!c) return err_nomem(err);
    tawny_status st = TAWNY_OK;
    for (size_t i = 0; i + 1 < n && c[i] < UNI_POINTS && st == TAWNY_OK; i++) {
        if (c[i] == c[i + 1]) continue;
        unsigned s = symbol_of(a, sets, c[i]);
        if (s == PAT_SYMBOLS) st = err_set(err, TAWNY_E_ARG, "a pre-tokenizer tells too many classes apart");
        else memset(p->symbol + c[i], (int)s, (c[i + 1] < UNI_POINTS ? c[i + 1] : UNI_POINTS) - c[i]);
    }
    free(c);
    p->symbols = a->n;
    return st;
}

static stage_kind kind_of(const char *re)
{
    return strcmp(re, "@groups") == 0 ? STAGE_GROUPS : strcmp(re, "@threes") == 0 ? STAGE_THREES
         : strcmp(re, "@tail") == 0   ? STAGE_TAIL   : STAGE_DFA;
}

tawny_status pattern_new(const char *const *stages, size_t n, pattern **out, tawny_error *err)
{
    tawny_status st = TAWNY_E_NOMEM;
    *out = NULL;
    pattern *p = calloc(1, sizeof *p);
    pat_sets *sets = calloc(1, sizeof *sets);
    pat_prog *prog = calloc(n ? n : 1, sizeof *prog);
    alphabet *a = calloc(1, sizeof *a);
    if (!p || !sets || !prog || !a || n > PATTERN_STAGES) {
        st = err_nomem(err);
        goto done;
    }
    p->n = (unsigned)n;
    for (size_t i = 0; i < n; i++) {
        p->stage[i].kind = kind_of(stages[i]);
        if (p->stage[i].kind == STAGE_DFA && (st = pat_parse(stages[i], sets, &prog[i], err)) != TAWNY_OK) goto done;
    }
    if ((st = fill_symbols(p, a, sets, err)) != TAWNY_OK) goto done;
    for (size_t i = 0; i < n; i++)
        if (p->stage[i].kind == STAGE_DFA &&
            (st = pat_build(&prog[i], a->has, p->symbols, &p->stage[i].dfa, err)) != TAWNY_OK)
            goto done;
    *out = p;
    p = NULL;
done:
    pattern_free(p);
    free(sets);
    free(prog);
    free(a);
    return st;
}

void pattern_free(pattern *p)
{
    if (!p) return;
    for (unsigned i = 0; i < p->n; i++) free(p->stage[i].dfa.next);
    free(p);
}

/* Cutting: stage k of the piece [at, end) hands what it cuts to stage k + 1. */

typedef struct cutter {
    const pattern *p;
    pattern_piece piece;
    void *ctx;
} cutter;

static bool cut(const cutter *c, unsigned k, const char *at, const char *end);

static bool pass(const cutter *c, unsigned k, const char *from, const char *to)
{
    return from == to || cut(c, k + 1, from, to);
}

/* The end of the match at `at`; NULL where there is none. *far is how far it had to look. */
static const char *match(const pattern *p, const pat_dfa *d, const char *at, const char *end, const char **far)
{
    const char *last = NULL;
    unsigned state = PAT_START, width = p->symbols + 1;
    for (; at < end; *far = at) {
        uint32_t cp;
        unsigned len = uni_next(at, &cp), t = d->next[state * width + p->symbol[cp]];
        if (t & PAT_HIT) last = at;
        state = t & (PAT_HIT - 1);
        if (state == PAT_DEAD) return last;
        at += len;
    }
    return d->next[state * width + p->symbols] & PAT_HIT ? at : last;
}

/* Being in state at a place in [from, to), no match ends from there on. An expression can look far ahead in vain
 * after each of many short matches (for a newline after blanks, say); this stops it from doing so twice (after
 * Reps 1998, "Maximal munch" tokenization in linear time). */
typedef struct vain {
    unsigned state;
    const char *from, *to;
} vain;

enum { FAR = 512 }; /* bytes beyond a match from where on it is worth remembering */

static const char *match_wary(const pattern *p, const pat_dfa *d, const char *at, const char *end, vain *v)
{
    const char *last = NULL, *since = at;
    unsigned state = PAT_START, width = p->symbols + 1;
    for (; at < end && !(state == v->state && at >= v->from && at < v->to);) {
        uint32_t cp;
        unsigned len = uni_next(at, &cp), t = d->next[state * width + p->symbol[cp]], next = t & (PAT_HIT - 1);
        if (t & PAT_HIT) last = since = at;
        if (next == PAT_DEAD) break;
        at += len;
        if (next != state || t & PAT_HIT) since = at;
        state = next;
    }
    if (at == end && d->next[state * width + p->symbols] & PAT_HIT) return at;
    if (state == v->state && since <= v->to && at >= v->from) { /* the same stretch: one more piece of it */
        if (since < v->from) v->from = since;
        if (at > v->to) v->to = at;
    } else if (at - since > FAR) {
        *v = (vain){state, since, at};
    }
    return last;
}

static bool cut_dfa(const cutter *c, unsigned k, const char *at, const char *end)
{
    const pat_dfa *d = &c->p->stage[k].dfa;
    const char *gap = at, *far = at;
    vain v = {0};
    bool wary = false;
    while (at < end) {
        const char *to = wary ? match_wary(c->p, d, at, end, &v) : match(c->p, d, at, end, &far);
        wary |= far - (to ? to : at) > FAR;
        if (!to || to == at) {
            at += uni_lead(*at);
            continue;
        }
        if (!pass(c, k, gap, at) || !pass(c, k, at, to)) return false;
        gap = at = to;
    }
    return pass(c, k, gap, end);
}

static bool is_number(const char *at, unsigned *len)
{
    uint32_t cp;
    *len = uni_next(at, &cp);
    return cp < 0x80 ? cp >= '0' && cp <= '9' : (uni_class(cp) & UNI_N) != 0;
}

static bool cut_groups(const cutter *c, unsigned k, const char *at, const char *end)
{
    const char *gap = at;
    unsigned len;
    while (at < end) {
        if (!is_number(at, &len)) {
            at += len;
            continue;
        }
        size_t count = 0;
        for (const char *q = at; q < end && is_number(q, &len); q += len) count++;
        while (count) { /* 1 or 2 first where the number of digits asks for it, then threes */
            for (size_t take = count % 3 ? count % 3 : 3; take; take--, count--) at += uni_lead(*at);
            if (!pass(c, k, gap, at)) return false;
            gap = at;
        }
    }
    return pass(c, k, gap, end);
}

static bool is_digit(char ch) { return ch >= '0' && ch <= '9'; }

static bool cut_threes(const cutter *c, unsigned k, const char *at, const char *end)
{
    const char *gap = at;
    while (at < end) {
        if (!is_digit(*at)) {
            at++;
            continue;
        }
        const char *to = at;
        while (to < end && is_digit(*to)) to++;
        for (at += (to - at) % 3; at < to; at += 3) {
            if (!pass(c, k, gap, at)) return false;
            gap = at;
        }
    }
    return pass(c, k, gap, end);
}

static bool cut_tail(const cutter *c, unsigned k, const char *at, const char *end)
{
    const char *tail = NULL;
    uint32_t cp;
    for (const char *q = at; q < end;) {
        unsigned len = uni_next(q, &cp);
        bool space = cp < 0x80 ? cp == ' ' || (cp >= '\t' && cp <= '\r') : (uni_class(cp) & UNI_SPACE) != 0;
        if (!space) tail = NULL;
        else if (!tail) tail = q;
        q += len;
    }
    if (!tail) tail = end;
    return pass(c, k, at, tail) && pass(c, k, tail, end);
}

static bool cut(const cutter *c, unsigned k, const char *at, const char *end)
{
    if (k == c->p->n) return c->piece(c->ctx, at, (size_t)(end - at));
    switch (c->p->stage[k].kind) {
    case STAGE_GROUPS: return cut_groups(c, k, at, end);
    case STAGE_THREES: return cut_threes(c, k, at, end);
    case STAGE_TAIL: return cut_tail(c, k, at, end);
    default: return cut_dfa(c, k, at, end);
    }
}

bool pattern_split(const pattern *p, const char *text, size_t n, pattern_piece piece, void *ctx)
{
    cutter c = {p, piece, ctx};
    return n == 0 || cut(&c, 0, text, text + n);
}
