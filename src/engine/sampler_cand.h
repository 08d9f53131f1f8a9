/* The candidates of one token: all of the vocabulary at first, in order of id and read where the logits lie;
 * a list of 64-bit keys once something was cut. A key orders as (logit, lower id first) does, so selection
 * and sorting need no ties broken. */
#ifndef ENGINE_SAMPLER_CAND_H
#define ENGINE_SAMPLER_CAND_H

#include "../base/error.h"
#include "../base/num.h"

typedef struct cands {
    size_t n_vocab;
    const float *full; /* the logits while nothing was cut, else NULL; -infinity: no candidate */
    float *work;       /* [n_vocab]: where full points to once logits were changed */
    uint64_t *key;     /* [n_vocab]: the list */
    uint64_t *tmp;     /* [n_vocab] */
    float *p;          /* [n_vocab]: cands_softmax's, in the order of the list */
    size_t n;          /* of the list */
    bool sorted;       /* the list is best first; else in order of id (up to 64: in any order) */
} cands;

static inline uint64_t cand_key(float logit, size_t id)
{
    uint32_t u = f32_bits(logit + 0.0f); /* -0 becomes 0 */
    u ^= u >> 31 ? 0xffffffff : 0x80000000;
    return (uint64_t)u << 32 | (uint32_t)~(uint32_t)id;
}
static inline tawny_token cand_id(uint64_t key) { return (tawny_token)~(uint32_t)key; }
static inline float cand_logit(uint64_t key)
{
    uint32_t u = (uint32_t)(key >> 32);
    return f32_from_bits(u ^ (u >> 31 ? 0x80000000 : 0xffffffff));
}

/* NaN and +infinity among n logits: the index of the first, or n. */
size_t cands_bad(const float *logits, size_t n);

/* The logits as one may change them, if nothing was cut yet (copied to work at first). */
float *cands_writable(cands *c);

/* To be called after logits of a list were changed: a sorted one goes back to the order of ids. */
void cands_changed(cands *c);

void cands_list(cands *c);          /* make it a list */
void cands_sort(cands *c);          /* a list, best first */
void cands_top(cands *c, size_t k); /* the k best, sorted */
void cands_above(cands *c, double bar); /* those whose logit is at least bar, in their order */
float cands_max(const cands *c);    /* the best logit; -infinity where there is none */

/* c->p[i] = exp(logit - max), in the order of the list (of ids while full); returns their sum. */
double cands_softmax(cands *c);

/* Best first, of keys in order of id (or, up to 64, in any order); tmp has room for n. */
void cands_sort_keys(uint64_t *key, size_t n, uint64_t *tmp);

double sum_f32(const float *x, size_t n); /* in double precision, sixteen partial sums folded 8, 4, 2, 1 */

#endif
