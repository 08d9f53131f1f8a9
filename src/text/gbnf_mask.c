/* Grammars: the tokens that may come next. The vocabulary is walked in the order of its bytes, as one walks a
 * trie: tokens with a common beginning share its steps, and all that begin as a dead one did are skipped. */
#include <stdlib.h>
#include <string.h>

#include "gbnf_int.h"

enum { MAX_PIECE = 4096 };

bool gbnf_vocab_has(const gbnf_vocab *v, tawny_token t)
{
    size_t n = 0;
    const char *piece = v->tokens.piece(v->tokens.ctx, t, &n);
    return piece && n && n <= MAX_PIECE && piece[0] && !v->tokens.ends(v->tokens.ctx, t);
}

typedef struct sorted {
    const char *s;
    size_t n;
    tawny_token t;
} sorted;

static int by_bytes(const void *a, const void *b)
{
    const sorted *x = a, *y = b;
    int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    if (c) return c;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->t < y->t ? -1 : x->t > y->t;
}

/* A trie, written down depth first. */
static bool fill(gbnf_trie *v, const sorted *s, size_t n, size_t longest)
{
    size_t total = 0, at = 0, depth = 0;
    for (size_t i = 0; i < n; i++) total += s[i].n;
    uint32_t *open = calloc(longest + 1, sizeof *open); /* the bytes on the way to the token at hand */
    v->order = calloc(n + 1, sizeof *v->order);
    v->common = calloc(n + 1, sizeof *v->common);
    v->rest = calloc(n + 1, sizeof *v->rest);
    v->bytes = total < UINT32_MAX ? malloc(total + 1) : NULL;
    v->past = total < UINT32_MAX ? calloc(total + 1, sizeof *v->past) : NULL;
    bool ok = open && v->order && v->common && v->rest && v->bytes && v->past;
    for (size_t i = 0; i < n && ok; i++) {
        size_t k = 0;
        while (i && k < s[i].n && k < s[i - 1].n && s[i].s[k] == s[i - 1].s[k]) k++;
        v->order[i] = s[i].t;
        v->common[i] = (uint32_t)k;
        v->rest[i] = (uint32_t)at;
        memcpy(v->bytes + at, s[i].s + k, s[i].n - k);
        while (depth > k) v->past[open[--depth]] = (uint32_t)i;
        while (depth < s[i].n) open[depth++] = (uint32_t)at++;
    }
    while (depth) v->past[open[--depth]] = (uint32_t)n;
    free(open);
    if (!ok) return false;
    v->rest[n] = (uint32_t)at;
    v->n = n;
    return true;
}

/* ---- plain characters ---- */

static bool letter(unsigned b) { return (b | 32) >= 'a' && (b | 32) <= 'z' && b < 0x80; }

static bool is_letters(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && letter((uint8_t)s[i])) i++;
    return i == n && n <= GBNF_RUN;
}

static bool plain_byte(unsigned b) { return b >= 0x20 && b < 0x7f && b != '"' && b != '\\'; }

/* The sequences of UTF-8 by their first byte: how many bytes follow, and between what the next one is. */
static const struct {
    uint8_t first, last, n, lo, hi;
} sequences[] = {{0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
                 {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf}, {0xf0, 0xf0, 3, 0x90, 0xbf},
                 {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f}};
enum { SEQUENCES = sizeof sequences / sizeof *sequences };

static bool is_plain(const char *s, size_t n)
{
    int chars = 0;
    for (size_t i = 0; i < n; chars++) {
        unsigned b = (uint8_t)s[i++], k = 0;
        if (plain_byte(b)) continue;
        while (k < SEQUENCES && (b < sequences[k].first || b > sequences[k].last)) k++;
        if (k == SEQUENCES || n - i < sequences[k].n) return false;
        for (unsigned j = 0; j < sequences[k].n; j++, i++) {
            unsigned next = (uint8_t)s[i];
            if (next < (j ? 0x80 : sequences[k].lo) || next > (j ? 0xbf : sequences[k].hi)) return false;
        }
    }
    return chars <= GBNF_RUN;
}

/* Whether from s all that may follow within a sequence leads to `to`; done[n]: a set of which that is known. */
static bool all_lead(gbnf_matcher *m, gbnf_state s, unsigned n, unsigned lo, unsigned hi, gbnf_state to,
                     gbnf_state *done)
{
    bool whole = lo == 0x80 && hi == 0xbf;
    if (s == GBNF_DEAD) return false;
    if (whole && done[n] == s) return true;
    for (unsigned b = lo; b <= hi && !m->failed; b++) {
        gbnf_state next = gbnf_step(m, s, (uint8_t)b);
        if (n == 1 ? next != to : !all_lead(m, next, n - 1, 0x80, 0xbf, to, done)) return false;
    }
    if (whole) done[n] = s;
    return !m->failed;
}

static gbnf_state run_of(gbnf_matcher *m, gbnf_state s, int kind)
{
    if (m->set[s].run[kind] != GBNF_UNKNOWN) return m->set[s].run[kind];
    gbnf_state to = gbnf_step(m, s, 'a'), done[4] = {0};
    bool all = to != GBNF_DEAD;
    for (unsigned b = 0x20; b < 0x7f && all; b++)
        all = !(kind == GBNF_PLAIN ? plain_byte(b) : letter(b)) || gbnf_step(m, s, (uint8_t)b) == to;
    for (unsigned k = 0; k < SEQUENCES && all && kind == GBNF_PLAIN; k++)
        for (unsigned b = sequences[k].first; b <= sequences[k].last && all; b++)
            all = all_lead(m, gbnf_step(m, s, (uint8_t)b), sequences[k].n, sequences[k].lo, sequences[k].hi, to, done);
    if (!m->failed) m->set[s].run[kind] = all ? to : GBNF_DEAD;
    return all && !m->failed ? to : GBNF_DEAD;
}

/* Any GBNF_RUN characters of the kind may follow: then all its tokens may. */
static bool runs(gbnf_matcher *m, gbnf_state s, int kind)
{
    for (int i = 0; i < GBNF_RUN && s; i++) {
        gbnf_state next = run_of(m, s, kind);
        if (next == s) return true;
        s = next;
    }
    return s;
}

/* ---- the vocabulary ---- */

static void allow(uint64_t *bits, tawny_token t) { bits[t / 64] |= (uint64_t)1 << t % 64; }

tawny_status gbnf_vocab_new(const gbnf_tokens *tokens, gbnf_vocab **out, tawny_error *err)
{
    size_t n = (size_t)tokens->n, all = 0;
    gbnf_vocab *v = calloc(1, sizeof *v);
    sorted *s = calloc(n + 1, sizeof *s), *rest = calloc(n + 1, sizeof *rest);
    *out = NULL;
    bool ok = v && s && rest;
    if (ok) {
        v->tokens = *tokens;
        v->ends = calloc(n + 1, sizeof *v->ends);
        ok = v->ends;
    }
    for (tawny_token t = 0; ok && t < tokens->n; t++) {
        if (tokens->ends(tokens->ctx, t)) v->ends[v->n_ends++] = t;
        if (!gbnf_vocab_has(v, t)) continue;
        s[all].s = tokens->piece(tokens->ctx, t, &s[all].n);
        if (s[all].n > v->longest) v->longest = s[all].n;
        s[all++].t = t;
    }
    if (ok) {
        qsort(s, all, sizeof *s, by_bytes);
        ok = fill(&v->all, s, all, v->longest);
    }
    for (int k = 0; ok && k < GBNF_KINDS; k++) {
        size_t odd = 0;
        v->kind[k] = calloc((n + 63) / 64 + 1, sizeof *v->kind[k]);
        for (size_t i = 0; v->kind[k] && i < all; i++) {
            if (k == GBNF_PLAIN ? is_plain(s[i].s, s[i].n) : is_letters(s[i].s, s[i].n)) allow(v->kind[k], s[i].t);
            else rest[odd++] = s[i];
        }
        ok = v->kind[k] && fill(&v->odd[k], rest, odd, v->longest);
    }
    free(rest);
    free(s);
    if (!ok) {
        gbnf_vocab_free(v);
        return err_nomem(err);
    }
    *out = v;
    return TAWNY_OK;
}

static void free_trie(gbnf_trie *v)
{
    free(v->order);
    free(v->common);
    free(v->rest);
    free(v->bytes);
    free(v->past);
}

void gbnf_vocab_free(gbnf_vocab *v)
{
    if (!v) return;
    free_trie(&v->all);
    for (int k = 0; k < GBNF_KINDS; k++) {
        free_trie(&v->odd[k]);
        free(v->kind[k]);
    }
    free(v->ends);
    free(v);
}

/* ---- masks ---- */

static void walk(gbnf_matcher *m, const gbnf_trie *v, gbnf_state s, uint64_t *bits)
{
    m->path[0] = s;
    for (size_t i = 0; i < v->n && !m->failed;) {
        size_t k = v->common[i];
        uint32_t b = v->rest[i], end = v->rest[i + 1];
        for (; b < end && (m->path[k + 1] = gbnf_step(m, m->path[k], (uint8_t)v->bytes[b])) != GBNF_DEAD; b++) k++;
        if (b < end) {
            i = v->past[b];
            continue;
        }
        allow(bits, v->order[i++]);
    }
}

static void allow_named(const gbnf_matcher *m, gbnf_state s, uint64_t *bits)
{
    const gbnf_set *set = &m->set[s];
    for (uint32_t i = 0; i < set->n; i++) {
        for (uint32_t e = m->g->node[m->item[set->first + i].node].first; e; e = m->g->edge[e].next) {
            const gbnf_edge *edge = &m->g->edge[e];
            tawny_token named = (tawny_token)edge->value;
            const gbnf_tokens *v = &m->vocab->tokens;
            if (edge->kind == GBNF_TOKEN && named < v->n && !v->ends(v->ctx, named)) allow(bits, named);
            for (size_t k = 0; edge->kind == GBNF_NOT_TOKEN && k < m->vocab->all.n; k++)
                if (m->vocab->all.order[k] != named) allow(bits, m->vocab->all.order[k]);
        }
    }
}

tawny_status gbnf_allowed(gbnf_matcher *m, gbnf_state s, const uint64_t **mask, size_t *n, tawny_error *err)
{
    size_t words = ((size_t)m->vocab->tokens.n + 63) / 64, slot = s % GBNF_MASKS;
    if (m->mask[slot].bits && m->mask[slot].s == s) {
        *mask = m->mask[slot].bits;
        *n = m->mask[slot].n;
        return TAWNY_OK;
    }
    if (!m->mask[slot].bits) m->mask[slot].bits = malloc(words * sizeof(uint64_t));
    uint64_t *bits = m->mask[slot].bits;
    if (!bits) return err_nomem(err);
    gbnf_begin(m);
    memset(bits, 0, words * sizeof *bits);
    m->mask[slot].s = GBNF_UNKNOWN; /* should it fail */
    m->mask[slot].n = 0;
    if (s != GBNF_DEAD) {
        int kind = 0;
        while (kind < GBNF_KINDS && !runs(m, s, kind)) kind++;
        if (kind < GBNF_KINDS) memcpy(bits, m->vocab->kind[kind], words * sizeof *bits);
        if (!m->failed) walk(m, kind < GBNF_KINDS ? &m->vocab->odd[kind] : &m->vocab->all, s, bits);
        if (m->failed) return gbnf_end(m, err);
        if (m->set[s].tokens) allow_named(m, s, bits);
        for (size_t i = 0; m->set[s].complete && i < m->vocab->n_ends; i++) allow(bits, m->vocab->ends[i]);
    }
    m->mask[slot].s = s;
    for (size_t i = 0; i < words; i++) m->mask[slot].n += (size_t)__builtin_popcountll(bits[i]);
    *mask = bits;
    *n = m->mask[slot].n;
    return TAWNY_OK;
}
