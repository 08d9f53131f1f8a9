#include "sampler_cand.h"

#include <math.h>

#include "../../simd/simd.h"

/* Are any of 64 not below the bound (a NaN is not)? Above it? Without branches, for the compiler's vectors. */
static bool any_not_below(const float *x, float bound)
{
    int any = 0;
    for (int j = 0; j < 64; j++) any |= !(x[j] < bound);
    return any;
}

static bool any_above(const float *x, float bound)
{
    int any = 0;
    for (int j = 0; j < 64; j++) any |= x[j] > bound;
    return any;
}

size_t cands_bad(const float *logits, size_t n)
{
    size_t i = 0;
    while (n - i >= 64 && !any_not_below(logits + i, INFINITY)) i += 64;
    while (i < n && logits[i] < INFINITY) i++;
    return i;
}

double sum_f32(const float *x, size_t n)
{
    double s[16] = {0};
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        for (size_t j = 0; j < 16; j++) s[j] += (double)x[i + j];
    for (; i < n; i++) s[i % 16] += (double)x[i];
    for (size_t h = 8; h; h /= 2)
        for (size_t j = 0; j < h; j++) s[j] += s[j + h];
    return s[0];
}

float *cands_writable(cands *c)
{
    if (c->full != c->work) {
        memcpy(c->work, c->full, c->n_vocab * sizeof *c->work);
        c->full = c->work;
    }
    return c->work;
}

void cands_list(cands *c)
{
    if (!c->full) return;
    c->n = 0;
    for (size_t i = 0; i < c->n_vocab; i++)
        if (c->full[i] > -INFINITY) c->key[c->n++] = cand_key(c->full[i], i);
    c->full = NULL;
    c->sorted = false;
}

static void insertion_sort(uint64_t *key, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t k = key[i];
        size_t j = i;
        for (; j && key[j - 1] < k; j--) key[j] = key[j - 1];
        key[j] = k;
    }
}

/* One pass of a radix sort, by 11 bits from `shift`, descending. */
static void radix_pass(const uint64_t *from, uint64_t *to, size_t n, int shift)
{
    enum { BINS = 1 << 11 };
    uint32_t at[BINS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) at[from[i] >> shift & (BINS - 1)]++;
    for (size_t b = BINS; b-- > 0;) {
        uint32_t count = at[b];
        at[b] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++) to[at[from[i] >> shift & (BINS - 1)]++] = from[i];
}

void cands_sort_keys(uint64_t *key, size_t n, uint64_t *tmp)
{
    if (n <= 64) {
        insertion_sort(key, n);
        return;
    }
    radix_pass(key, tmp, n, 32);
    radix_pass(tmp, key, n, 43);
    radix_pass(key, tmp, n, 54);
    memcpy(key, tmp, n * sizeof *key);
}

void cands_changed(cands *c)
{
    if (c->full || !c->sorted) return;
    if (c->n > 64) {
        radix_pass(c->key, c->tmp, c->n, 0);
        radix_pass(c->tmp, c->key, c->n, 11);
        radix_pass(c->key, c->tmp, c->n, 22);
        memcpy(c->key, c->tmp, c->n * sizeof *c->key);
    }
    c->sorted = false;
}

void cands_sort(cands *c)
{
    cands_list(c);
    if (!c->sorted) cands_sort_keys(c->key, c->n, c->tmp);
    c->sorted = true;
}

/* The k best of all logits, by one pass: what beats the k-th best so far is gathered, and cut to k whenever
 * the room is used up. Later equals have higher ids and lose. */
static void top_of_full(cands *c, size_t k)
{
    size_t room = k + (k > 1024 ? k : 1024), n = 0;
    if (room > c->n_vocab) room = c->n_vocab;
    const float *x = c->full;
    float bar = -INFINITY;
    for (size_t i = 0; i < c->n_vocab;) {
        size_t end = c->n_vocab - i < 64 ? c->n_vocab : i + 64;
        if (end - i == 64 && !any_above(x + i, bar)) {
            i = end;
            continue;
        }
        for (; i < end; i++) {
            if (!(x[i] > bar)) continue;
            if (n == room) {
                cands_sort_keys(c->key, n, c->tmp);
                n = k;
                bar = cand_logit(c->key[k - 1]);
                if (!(x[i] > bar)) continue;
            }
            c->key[n++] = cand_key(x[i], i);
        }
    }
    cands_sort_keys(c->key, n, c->tmp);
    c->n = n < k ? n : k;
}

void cands_top(cands *c, size_t k)
{
    if (c->full && k < c->n_vocab / 2) {
        top_of_full(c, k);
        c->full = NULL;
        c->sorted = true;
        return;
    }
    cands_sort(c);
    if (k < c->n) c->n = k;
}

void cands_above(cands *c, double bar)
{
    size_t n = 0;
    if (c->full) {
        for (size_t i = 0; i < c->n_vocab; i++)
            if ((double)c->full[i] >= bar && c->full[i] > -INFINITY) c->key[n++] = cand_key(c->full[i], i);
        c->full = NULL;
        c->sorted = false;
    } else {
        for (size_t i = 0; i < c->n; i++)
            if ((double)cand_logit(c->key[i]) >= bar) c->key[n++] = c->key[i];
    }
    c->n = n;
}

float cands_max(const cands *c)
{
    if (c->full) return simd.max(c->full, c->n_vocab);
    float m = -INFINITY;
    for (size_t i = 0; i < (c->sorted && c->n ? 1 : c->n); i++) {
        float l = cand_logit(c->key[i]);
        if (l > m) m = l;
    }
    return m;
}

double cands_softmax(cands *c)
{
    float m = cands_max(c);
    size_t n = c->n;
    if (c->full) {
        n = c->n_vocab;
        for (size_t i = 0; i < n; i++) c->p[i] = c->full[i] - m;
    } else {
        for (size_t i = 0; i < n; i++) c->p[i] = cand_logit(c->key[i]) - m;
    }
    simd.exp(c->p, c->p, n);
    return sum_f32(c->p, n);
}
