/* Inside the samplers. */
#ifndef ENGINE_SAMPLER_INT_H
#define ENGINE_SAMPLER_INT_H

#include "../base/arena.h"
#include "sampler.h"
#include "sampler_cand.h"

/* A text that ends a repetition, as tokens: one that starts it, and those that must follow. */
typedef struct dry_breaker {
    int32_t next; /* another one with the same first token, -1: none */
    int32_t tail, n_tail;
} dry_breaker;

typedef struct dry_breakers {
    int32_t *first; /* [n_vocab] index of a token's breaker, -1: none; NULL: there are none at all */
    dry_breaker *v;
    tawny_token *tails;
    size_t n, cap, n_tails, cap_tails;
} dry_breakers;

struct sampler {
    sampler_params p; /* its lists are not kept: bias and breakers are below */
    int n_vocab;
    size_t max_history;
    int n_step;
    sampler_kind step[SAMPLER_MAX_CHAIN]; /* the chain without what does nothing */
    uint32_t draw[SAMPLER_MAX_CHAIN];     /* a step's place in the chain: its random numbers */

    arena *arena;
    sampler_bias *bias;
    size_t n_bias;
    dry_breakers breakers;
    cands c;
    int32_t *count;   /* [n_vocab] zeros between calls; penalties and DRY */
    int32_t *repeat;  /* [max_history] DRY's */
    uint64_t *scores; /* [n_vocab] typical's */
};

/* The history that a sampler looking at last_n tokens (-1: all) sees. */
typedef struct window {
    const tawny_token *v;
    size_t n;
} window;
static inline window window_of(const sampler *s, const sampler_input *in, int last_n)
{
    size_t n = in->n_history < s->max_history ? in->n_history : s->max_history;
    if (last_n >= 0 && (size_t)last_n < n) n = (size_t)last_n;
    return (window){n ? in->history + (in->n_history - n) : NULL, n};
}

void sample_penalties(sampler *s, const sampler_input *in); /* sampler_history.c */
void sample_dry(sampler *s, const sampler_input *in);
tawny_status dry_breakers_make(sampler *s, const sampler_params *p, const sampler_vocab *vocab, tawny_error *err);
void dry_breakers_free(dry_breakers *b);

/* sampler_chain.c */
void sample_step(sampler *s, int step, const sampler_input *in);
bool sample_step_does(const sampler_params *p, sampler_kind k); /* with these parameters, anything at all */

#endif
