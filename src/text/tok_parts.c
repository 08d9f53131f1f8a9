/* Cutting text at special tokens.
 *
 * The rule: of all special tokens, the longest text goes first and takes its occurrences from left to right
 * in what is still free; then the next. A token may take the white space beside it along. Instead of a search
 * a token (a vocabulary can have thousands), one pass of an automaton finds every occurrence; what is kept of
 * them at a time is bounded by the length of the text, and another pass is made where there are more. */
#include <stdlib.h>
#include <string.h>

#include "tok_int.h"

typedef struct scan {
    const tokenizer *t;
    const char *text;
    size_t n;
    unsigned flags;
    const tok_trust *trust;
    size_t n_trust;
    uint32_t *count;  /* occurrences, by rank */
    uint64_t *taken;  /* a bit a byte */
    size_t *at;       /* where occurrences start, those of a rank together */
    tok_parts found;  /* the tokens taken: `at` is where the part starts with the white space it took */
} scan;

static bool parts_add(tok_parts *v, size_t at, size_t n, tawny_token id)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        tok_part *p = realloc(v->v, cap * sizeof *p);
        if (!p) return false;
        v->v = p;
        v->cap = cap;
    }
    v->v[v->n++] = (tok_part){at, n, id};
    return true;
}

/* Whether the token may be parsed at [from, to); *k walks along the trusted stretches with `to`. */
static bool allowed(const scan *s, tawny_token id, size_t from, size_t to, size_t *k)
{
    unsigned attr = s->t->attr[id];
    if (!s->trust) return s->flags & TOK_PARSE_SPECIAL || !(attr & (TOK_CONTROL | TOK_UNKNOWN));
    if (!(attr & (TOK_CONTROL | TOK_UNKNOWN | TOK_MARKUP))) return true;
    while (*k < s->n_trust && s->trust[*k].to < to) ++*k;
    return *k < s->n_trust && s->trust[*k].from <= from;
}

/* Occurrences of the ranks [lo, hi): counted, or with `at` (one cursor a rank in count) written down. */
static size_t pass(scan *s, uint32_t lo, uint32_t hi, bool write)
{
    const tokenizer *t = s->t;
    size_t found = 0, k = 0;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < s->n; i++) {
        node = trie_scan(t->specials, node, (unsigned char)s->text[i]);
        for (uint32_t m = trie_first(t->specials, node); m; m = trie_more(t->specials, m)) {
            tawny_token id = trie_value(t->specials, m);
            uint32_t rank = t->special_rank[id];
            size_t len = t->text[id].n;
            if (rank < lo || rank >= hi || !allowed(s, id, i + 1 - len, i + 1, &k)) continue;
            if (write) s->at[s->count[rank]] = i + 1 - len;
            s->count[rank]++;
            found++;
        }
    }
    return found;
}

static bool is_taken(const scan *s, size_t i) { return s->taken[i / 64] >> i % 64 & 1; }

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool take(scan *s, tawny_token id, size_t from, size_t to)
{
    unsigned attr = s->t->attr[id];
    if (is_taken(s, from) || is_taken(s, to - 1))
        return true; /* what took it is no shorter, so no need to look between */
    if (attr & TOK_LSTRIP)
        while (from > 0 && !is_taken(s, from - 1) && is_blank(s->text[from - 1])) from--;
    if (attr & TOK_RSTRIP)
        while (to < s->n && !is_taken(s, to) && is_blank(s->text[to])) to++;
    for (size_t i = from; i < to; i++) s->taken[i / 64] |= UINT64_C(1) << i % 64;
    return parts_add(&s->found, from, to - from, id);
}

static int by_place(const void *a, const void *b)
{
    size_t x = ((const tok_part *)a)->at, y = ((const tok_part *)b)->at;
    return (x > y) - (x < y);
}

/* The ranks [lo, hi), of which count tells the occurrences: afterwards they are taken. */
static bool take_ranks(scan *s, uint32_t lo, uint32_t hi, size_t total)
{
    size_t sum = 0;
    s->at = malloc(total * sizeof *s->at);
    if (!s->at) return false;
    for (uint32_t r = lo; r < hi; r++) {
        size_t c = s->count[r];
        s->count[r] = (uint32_t)sum;
        sum += c;
    }
    pass(s, lo, hi, true);
    bool ok = true;
    for (uint32_t r = lo, i = 0; r < hi && ok; r++) {
        tawny_token id = s->t->by_rank[r];
        for (; i < s->count[r] && ok; i++) ok = take(s, id, s->at[i], s->at[i] + s->t->text[id].n);
    }
    free(s->at);
    return ok;
}

static bool take_all(scan *s)
{
    const size_t room = s->n > 4096 ? s->n : 4096;
    if (pass(s, 0, s->t->n_ranked, false) == 0) return true;
    s->taken = calloc(s->n / 64 + 1, sizeof *s->taken);
    if (!s->taken) return false;
    for (uint32_t lo = 0; lo < s->t->n_ranked;) {
        uint32_t hi = lo;
        size_t total = 0;
        while (hi < s->t->n_ranked && (hi == lo || total + s->count[hi] <= room)) total += s->count[hi++];
        if (total && !take_ranks(s, lo, hi, total)) return false;
        lo = hi;
    }
    qsort(s->found.v, s->found.n, sizeof *s->found.v, by_place);
    return true;
}

tawny_status tok_partition(const tokenizer *t, const char *text, size_t n, unsigned flags, const tok_trust *trust,
                           size_t n_trust, tok_parts *out, tawny_error *err)
{
    scan s = {.t = t, .text = text, .n = n, .flags = flags, .trust = trust, .n_trust = n_trust};
    bool ok = true;
    size_t at = 0;
    if (t->n_ranked && n) {
        s.count = calloc(t->n_ranked, sizeof *s.count);
        ok = s.count && take_all(&s);
    }
    for (size_t i = 0; i < s.found.n && ok; i++) {
        const tok_part *f = &s.found.v[i];
        if (f->at > at) ok = parts_add(out, at, f->at - at, TOK_NONE);
        ok = ok && parts_add(out, f->at, f->n, f->id);
        at = f->at + f->n;
    }
    if (ok && at < n) ok = parts_add(out, at, n - at, TOK_NONE);
    free(s.count);
    free(s.taken);
    free(s.found.v);
    return ok ? TAWNY_OK : err_nomem(err);
}

typedef struct ranked {
    uint32_t len;
    tawny_token id;
} ranked;

static int longest_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->len != y->len ? (x->len < y->len) - (x->len > y->len) : (x->id > y->id) - (x->id < y->id);
}

tawny_status tok_partition_new(tokenizer *t, tawny_error *err)
{
    const unsigned which = TOK_CONTROL | TOK_USER_DEFINED | TOK_UNKNOWN;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) n += (t->attr[i] & which) != 0;
    t->specials = trie_new();
    t->special_rank = arena_array(t->mem, t->n, sizeof *t->special_rank);
    t->by_rank = arena_array(t->mem, n, sizeof *t->by_rank);
    ranked *r = malloc((n + 1) * sizeof *r);
    bool ok = t->specials && t->special_rank && t->by_rank && r;
    n = 0;
    for (uint32_t i = 0; i < t->n && ok; i++) {
        if (!(t->attr[i] & which)) continue;
        r[n++] = (ranked){t->text[i].n, (tawny_token)i};
        ok = trie_add(t->specials, t->text[i].p, t->text[i].n, (int32_t)i);
    }
    if (ok) {
        qsort(r, n, sizeof *r, longest_first);
        for (uint32_t i = 0; i < n; i++) t->special_rank[t->by_rank[i] = r[i].id] = i;
        t->n_ranked = n;
        ok = trie_link(t->specials);
    }
    free(r);
    return ok ? TAWNY_OK : err_nomem(err);
}
