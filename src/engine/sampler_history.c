/* Samplers that look at the tokens before: penalties for repetition, and DRY. */
#include <stdlib.h>

#include "../base/mathf.h"
#include "sampler_int.h"

static bool in_vocab(const sampler *s, tawny_token t) { return t >= 0 && t < s->n_vocab; }

/* Each candidate with a count: f(s, count, logit). The counts of w's tokens are zeroed again. */
static void adjust(sampler *s, window w, float (*f)(const sampler *, int32_t count, tawny_token, float logit))
{
    if (s->c.full) {
        float *l = cands_writable(&s->c);
        for (size_t i = 0; i < w.n; i++) {
            tawny_token t = w.v[i];
            if (!in_vocab(s, t) || !s->count[t]) continue;
            l[t] = f(s, s->count[t], t, l[t]);
            s->count[t] = 0;
        }
        return;
    }
    bool changed = false;
    for (size_t i = 0; i < s->c.n; i++) {
        tawny_token t = cand_id(s->c.key[i]);
        if (!s->count[t]) continue;
        s->c.key[i] = cand_key(f(s, s->count[t], t, cand_logit(s->c.key[i])), (size_t)t);
        changed = true;
    }
    if (changed) cands_changed(&s->c);
    for (size_t i = 0; i < w.n; i++)
        if (in_vocab(s, w.v[i])) s->count[w.v[i]] = 0;
}

static float penalized(const sampler *s, int32_t count, tawny_token t, float logit)
{
    (void)t;
    /* dividing a negative logit would make its token more probable */
    logit = logit <= 0 ? logit * s->p.repeat_penalty : logit / s->p.repeat_penalty;
    return logit - ((float)count * s->p.frequency_penalty + s->p.presence_penalty);
}

void sample_penalties(sampler *s, const sampler_input *in)
{
    window w = window_of(s, in, s->p.repeat_last_n);
    for (size_t i = 0; i < w.n; i++)
        if (in_vocab(s, w.v[i])) s->count[w.v[i]]++;
    if (w.n) adjust(s, w, penalized);
}

/* DRY ("don't repeat yourself", p-e-w): a token that would go on with a repetition of at least allowed_length
 * tokens is penalized by multiplier * base^(length - allowed_length). A repetition does not reach back over
 * a breaker. The history is looked at from its end: back(w, 0) is the last token. */
static tawny_token back(window w, size_t i) { return w.v[w.n - 1 - i]; }

static int32_t first_breaker(const sampler *s, tawny_token t)
{
    return s->breakers.first && in_vocab(s, t) ? s->breakers.first[t] : -1;
}

/* The number of tokens after the last breaker. */
static size_t repeat_limit(const sampler *s, window w)
{
    for (size_t i = 0; i < w.n; i++) {
        int32_t longest = -1;
        for (int32_t b = first_breaker(s, back(w, i)); b >= 0; b = s->breakers.v[b].next) {
            const dry_breaker *d = &s->breakers.v[b];
            if (d->n_tail <= longest || (size_t)d->n_tail > i) continue;
            int32_t k = 0;
            while (k < d->n_tail && s->breakers.tails[d->tail + k] == back(w, i - (size_t)k - 1)) k++;
            if (k == d->n_tail) longest = k;
        }
        if (longest >= 0) return i - (size_t)longest;
    }
    return w.n;
}

/* z[k] = how many tokens before and including back(w, k) equal those at the end (the Z function of the reversed
 * history; Gusfield 1997). Linear in the history. */
static void z_function(window w, int32_t *z)
{
    size_t left = 0, right = 0; /* the match reaching farthest, [left, right) */
    for (size_t k = 1; k < w.n; k++) {
        size_t n = 0;
        if (k < right) {
            n = (size_t)z[k - left];
            if (n < right - k) {
                z[k] = (int32_t)n;
                continue;
            }
            n = right - k;
        }
        while (k + n < w.n && back(w, n) == back(w, k + n)) n++;
        z[k] = (int32_t)n;
        left = k;
        right = k + n;
    }
}

static bool single_token_breaker(const sampler *s, tawny_token t)
{
    for (int32_t b = first_breaker(s, t); b >= 0; b = s->breakers.v[b].next)
        if (s->breakers.v[b].n_tail == 0) return true;
    return false;
}

/* count is 1 + the length of the longest repetition that the token would prolong. */
static float dry_penalized(const sampler *s, int32_t count, tawny_token t, float logit)
{
    if (single_token_breaker(s, t)) return logit;
    double e = count - 1 - s->p.dry_allowed_length, base = (double)s->p.dry_base;
    if (base > 1.000001) { /* the power stays below FLT_MAX */
        double top = (double)(int64_t)(88.7228391 / d_log(base));
        if (top > 0 && e > top) e = top;
    }
    return (float)((double)logit - (double)s->p.dry_multiplier * d_pow(base, e));
}

void sample_dry(sampler *s, const sampler_input *in)
{
    window w = window_of(s, in, s->p.dry_penalty_last_n);
    size_t allowed = (size_t)s->p.dry_allowed_length;
    if (w.n <= allowed) return;
    size_t limit = repeat_limit(s, w);
    if (limit < allowed) return;
    z_function(w, s->repeat);
    for (size_t k = 1; k < w.n; k++) { /* what followed the earlier occurrence that ends at back(w, k) */
        size_t n = (size_t)s->repeat[k] < limit ? (size_t)s->repeat[k] : limit;
        tawny_token t = back(w, k - 1);
        if (n >= allowed && in_vocab(s, t) && s->count[t] < (int32_t)n + 1) s->count[t] = (int32_t)n + 1;
    }
    adjust(s, w, dry_penalized);
}

/* ---- breakers ---- */

enum { MAX_TEXT = 40, MAX_TAIL = 20, MAX_BREAKERS = 1 << 22 };

static bool add_breaker(dry_breakers *b, tawny_token head, const tawny_token *tail, size_t n)
{
    for (int32_t i = b->first[head]; i >= 0; i = b->v[i].next)
        if ((size_t)b->v[i].n_tail == n && (!n || !memcmp(b->tails + b->v[i].tail, tail, n * sizeof *tail)))
            return true;
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        dry_breaker *v = cap <= MAX_BREAKERS ? realloc(b->v, cap * sizeof *v) : NULL;
        if (!v) return false;
        b->v = v;
        b->cap = cap;
    }
    if (b->n_tails + n > b->cap_tails) {
        size_t cap = b->cap_tails * 2 + 256 + n;
        tawny_token *v = cap <= MAX_BREAKERS ? realloc(b->tails, cap * sizeof *v) : NULL;
        if (!v) return false;
        b->tails = v;
        b->cap_tails = cap;
    }
    if (n) memcpy(b->tails + b->n_tails, tail, n * sizeof *tail);
    b->v[b->n] = (dry_breaker){b->first[head], (int32_t)b->n_tails, (int32_t)n};
    b->first[head] = (int32_t)b->n++;
    b->n_tails += n;
    return true;
}

/* Where the breaker's text starts inside of a token's text and reaches beyond its end, the rest must follow. */
static bool add_overlaps(dry_breakers *b, tawny_token t, const char *piece, size_t n, const char *text, size_t len,
                         const sampler_vocab *vocab)
{
    if (len <= n && memmem(piece, n, text, len)) return add_breaker(b, t, NULL, 0);
    for (size_t at = n > len ? n - len : 0; at < n; at++) {
        size_t over = n - at;
        if (over >= len || memcmp(piece + at, text, over) != 0) continue;
        tawny_token tail[MAX_TAIL];
        size_t k = vocab->tokenize(vocab->ctx, text + over, len - over, tail, MAX_TAIL);
        if (!add_breaker(b, t, tail, k < MAX_TAIL ? k : MAX_TAIL)) return false;
    }
    return true;
}

tawny_status dry_breakers_make(sampler *s, const sampler_params *p, const sampler_vocab *vocab, tawny_error *err)
{
    dry_breakers *b = &s->breakers;
    b->first = arena_array(s->arena, (size_t)s->n_vocab, sizeof *b->first);
    if (!b->first) return err_nomem(err);
    for (int t = 0; t < s->n_vocab; t++) b->first[t] = -1;
    for (int i = 0; i < p->n_dry_breakers; i++) {
        const char *text = p->dry_breakers[i];
        size_t len = text ? strnlen(text, MAX_TEXT) : 0;
        for (tawny_token t = 0; len && t < s->n_vocab; t++) {
            size_t n = 0;
            const char *piece = vocab->piece(vocab->ctx, t, &n);
            if (piece && n && !add_overlaps(b, t, piece, n, text, len, vocab)) return err_nomem(err);
        }
    }
    return TAWNY_OK;
}

void dry_breakers_free(dry_breakers *b)
{
    free(b->v);
    free(b->tails);
}
