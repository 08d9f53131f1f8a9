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
static bool fill(gbnf_vocab *v, const sorted *s)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < v->n; i++) total += s[i].n;
    if (total >= UINT32_MAX || !(v->bytes = malloc(total + 1))) return false;
    for (size_t i = 0; i < v->n; i++) {
        size_t k = 0;
        while (i && k < s[i].n && k < s[i - 1].n && s[i].s[k] == s[i - 1].s[k]) k++;
        v->order[i] = s[i].t;
        v->common[i] = (uint32_t)k;
        v->rest[i] = (uint32_t)at;
        memcpy(v->bytes + at, s[i].s + k, s[i].n - k);
        at += s[i].n - k;
        if (s[i].n > v->longest) v->longest = s[i].n;
    }
    v->rest[v->n] = (uint32_t)at;
    return true;
}

tawny_status gbnf_vocab_new(const gbnf_tokens *tokens, gbnf_vocab **out, tawny_error *err)
{
    size_t n = (size_t)tokens->n;
    gbnf_vocab *v = calloc(1, sizeof *v);
    sorted *s = calloc(n + 1, sizeof *s);
    *out = NULL;
    if (v) {
        v->tokens = *tokens;
        v->order = calloc(n + 1, sizeof *v->order);
        v->common = calloc(n + 1, sizeof *v->common);
        v->rest = calloc(n + 1, sizeof *v->rest);
        v->ends = calloc(n + 1, sizeof *v->ends);
    }
    if (!v || !s || !v->order || !v->common || !v->rest || !v->ends) {
        free(s);
        gbnf_vocab_free(v);
        return err_nomem(err);
    }
    for (tawny_token t = 0; t < tokens->n; t++) {
        if (tokens->ends(tokens->ctx, t)) v->ends[v->n_ends++] = t;
        if (!gbnf_vocab_has(v, t)) continue;
        s[v->n].s = tokens->piece(tokens->ctx, t, &s[v->n].n);
        s[v->n++].t = t;
    }
    qsort(s, v->n, sizeof *s, by_bytes);
    bool ok = fill(v, s);
    free(s);
    if (!ok) {
        gbnf_vocab_free(v);
        return err_nomem(err);
    }
    *out = v;
    return TAWNY_OK;
}

void gbnf_vocab_free(gbnf_vocab *v)
{
    if (!v) return;
    free(v->order);
    free(v->common);
    free(v->rest);
    free(v->bytes);
    free(v->ends);
    free(v);
}

static void allow(uint64_t *bits, tawny_token t) { bits[t / 64] |= (uint64_t)1 << t % 64; }

static void walk(gbnf_matcher *m, gbnf_state s, uint64_t *bits)
{
    const gbnf_vocab *v = m->vocab;
    m->path[0] = s;
    for (size_t i = 0; i < v->n && !m->failed;) {
        size_t k = v->common[i];
        for (uint32_t b = v->rest[i]; b < v->rest[i + 1] && m->path[k]; b++, k++)
            m->path[k + 1] = gbnf_step(m, m->path[k], (uint8_t)v->bytes[b]);
        if (m->path[k]) {
            allow(bits, v->order[i++]);
            continue;
        }
        for (i++; i < v->n && v->common[i] >= k; i++) {} /* their first k bytes are the dead ones */
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
            for (size_t k = 0; edge->kind == GBNF_NOT_TOKEN && k < m->vocab->n; k++)
                if (m->vocab->order[k] != named) allow(bits, m->vocab->order[k]);
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
        walk(m, s, bits);
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
