#include "sampler.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../../simd/simd.h"
#include "../base/mathf.h"
#include "philox.h"
#include "sampler_int.h"

enum { MAX_VOCAB = 1 << 28, MAX_HISTORY = 1 << 30 };

/* With temperature 0 only the best counts, which these always leave. */
static bool keeps_best(sampler_kind k)
{
    return k == SAMPLER_TOP_N_SIGMA || k == SAMPLER_TOP_K || k == SAMPLER_TOP_P || k == SAMPLER_MIN_P;
}

static void plan(sampler *s)
{
    const sampler_params *p = &s->p;
    if (p->mirostat) {
        s->p.dynatemp_range = 0;
        s->p.n_chain = 1;
        s->p.chain[0] = SAMPLER_TEMPERATURE;
    }
    bool greedy = false;
    for (int i = 0; i < p->n_chain; i++) greedy |= p->chain[i] == SAMPLER_TEMPERATURE && p->temp <= 1e-6f;
    if (p->dynatemp_range > 0) greedy = false;
    for (int i = 0; i < p->n_chain; i++)
        if (p->chain[i] == SAMPLER_XTC || p->chain[i] == SAMPLER_TYP_P) greedy &= !sample_step_does(p, p->chain[i]);
    for (int i = 0; i < p->n_chain; i++) {
        if (!sample_step_does(p, p->chain[i]) || (greedy && keeps_best(p->chain[i]))) continue;
        s->draw[s->n_step] = (uint32_t)i + 1;
        s->step[s->n_step++] = p->chain[i];
    }
}

static bool has_step(const sampler *s, sampler_kind k)
{
    for (int i = 0; i < s->n_step; i++)
        if (s->step[i] == k) return true;
    return false;
}

static tawny_status allocate(sampler *s, const sampler_params *p, tawny_error *err)
{
    size_t n = (size_t)s->n_vocab;
    bool dry = has_step(s, SAMPLER_DRY);
    s->c.n_vocab = n;
    s->c.work = arena_array(s->arena, n, sizeof *s->c.work);
    s->c.key = arena_array(s->arena, n, sizeof *s->c.key);
    s->c.tmp = arena_array(s->arena, n, sizeof *s->c.tmp);
    s->c.p = arena_array(s->arena, n, sizeof *s->c.p);
    s->bias = arena_array(s->arena, p->n_bias, sizeof *s->bias);
    bool ok = s->c.work && s->c.key && s->c.tmp && s->c.p && s->bias;
    if (ok && (dry || has_step(s, SAMPLER_PENALTIES))) ok = (s->count = arena_array(s->arena, n, sizeof *s->count));
    if (ok && dry) ok = (s->repeat = arena_array(s->arena, s->max_history, sizeof *s->repeat));
    if (ok && has_step(s, SAMPLER_TYP_P)) ok = (s->scores = arena_array(s->arena, n, sizeof *s->scores));
    if (!ok) return err_nomem(err);
    for (size_t i = 0; i < p->n_bias; i++) {
        if (p->bias[i].token < 0 || p->bias[i].token >= s->n_vocab)
            return err_set(err, TAWNY_E_ARG, "logit_bias: token %d is not below %d", p->bias[i].token, s->n_vocab);
        s->bias[s->n_bias++] = p->bias[i];
    }
    return TAWNY_OK;
}

static tawny_status choose_seed(sampler *s, tawny_error *err)
{
    uint32_t seed; /* short enough to be typed in again */
    if (s->p.seed != SAMPLER_SEED_RANDOM) return TAWNY_OK;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) return err_errno(err, errno, "seed");
    s->p.seed = seed;
    return TAWNY_OK;
}

tawny_status sampler_new(const sampler_params *p, int n_vocab, size_t max_history, const sampler_vocab *vocab,
                         sampler **out, tawny_error *err)
{
    *out = NULL;
    tawny_status st = sampler_params_check(p, err);
    if (st) return st;
    if (n_vocab < 1 || n_vocab > MAX_VOCAB) return err_set(err, TAWNY_E_ARG, "n_vocab: %d", n_vocab);
    if (max_history > MAX_HISTORY) return err_set(err, TAWNY_E_ARG, "max_history: %zu", max_history);
    if (!simd.exp && (st = simd_init(NULL, err))) return st;
    sampler *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->p = *p;
    s->n_vocab = n_vocab;
    s->max_history = max_history;
    s->arena = arena_new();
    st = s->arena ? TAWNY_OK : err_nomem(err);
    plan(s);
    if (!st) st = choose_seed(s, err);
    if (!st) st = allocate(s, p, err);
    if (!st && vocab && has_step(s, SAMPLER_DRY) && p->n_dry_breakers) st = dry_breakers_make(s, p, vocab, err);
    s->p.bias = NULL;
    s->p.dry_breakers = NULL;
    if (st)
        sampler_free(s);
    else
        *out = s;
    return st;
}

void sampler_free(sampler *s)
{
    if (!s) return;
    dry_breakers_free(&s->breakers);
    if (s->arena) arena_free(s->arena);
    free(s);
}

uint64_t sampler_seed(const sampler *s) { return s->p.seed; }
void sampler_state_init(const sampler *s, sampler_state *state) { state->mu = 2 * (double)s->p.mirostat_tau; }

static tawny_status begin(sampler *s, const float *logits, tawny_error *err)
{
    size_t bad = cands_bad(logits, (size_t)s->n_vocab);
    if (bad < (size_t)s->n_vocab)
        return err_set(err, TAWNY_E_ARG, "logits: token %zu has %s", bad, isnan(logits[bad]) ? "NaN" : "infinity");
    s->c.full = logits;
    return TAWNY_OK;
}

static tawny_status check_left(const sampler *s, tawny_error *err)
{
    float m = cands_max(&s->c);
    if (m == -INFINITY) return err_set(err, TAWNY_E_ARG, "logits: no token is left to choose from");
    if (m == INFINITY) return err_set(err, TAWNY_E_ARG, "logits: infinite after penalties and temperature");
    return TAWNY_OK;
}

static void forbid(sampler *s, const uint64_t *allowed)
{
    float *l = cands_writable(&s->c);
    for (size_t t = 0; t < s->c.n_vocab; t++)
        if (!(allowed[t / 64] >> t % 64 & 1)) l[t] = -INFINITY;
}

/* Mirostat 1: the number of candidates, from Zipf's exponent fitted to the best hundred (Basu et al.,
 * arXiv:2007.14966, algorithm 1). */
static size_t mirostat_k(const sampler *s, double mu)
{
    double tb = 0, tt = 0;
    for (size_t i = 0; i + 1 < s->c.n && i < 99; i++) {
        double t = d_log((double)(i + 2) / (double)(i + 1));
        tb += t * ((double)cand_logit(s->c.key[i]) - (double)cand_logit(s->c.key[i + 1]));
        tt += t * t;
    }
    if (!(tt > 0) || !(tb > 0)) return s->c.n_vocab; /* one candidate, or all equal */
    double z = tb / tt, e = z - 1, n = s->n_vocab;
    double w = e < 1e-9 && e > -1e-9 ? (n > 1 ? 1 / d_log(n) : 1) : e / (1 - d_pow(n, -e));
    double k = d_pow(w * d_pow(2, mu), 1 / z);
    return k >= n ? s->c.n_vocab : k >= 1 ? (size_t)k : 1;
}

static void mirostat_cut(sampler *s, double mu)
{
    cands *c = &s->c;
    const float *full = c->full;
    if (s->p.mirostat == 1) {
        cands_top(c, 100);
        size_t k = mirostat_k(s, mu);
        if (k > 100 && full) c->full = full;
        cands_top(c, k);
        return;
    }
    double bar = (double)cands_max(c) + d_log(cands_softmax(c)) - mu * 0.69314718055994531;
    if ((double)cands_max(c) < bar)
        cands_top(c, 1);
    else
        cands_above(c, bar);
}

/* All samplers but the draw. */
static tawny_status narrow(sampler *s, const sampler_state *state, const sampler_input *in, tawny_error *err)
{
    tawny_status st = begin(s, in->logits, err);
    if (st) return st;
    if (s->p.mirostat && !state) return err_set(err, TAWNY_E_ARG, "mirostat: no state was given");
    if (in->allowed) forbid(s, in->allowed);
    for (size_t i = 0; i < s->n_bias; i++) cands_writable(&s->c)[s->bias[i].token] += s->bias[i].bias;
    for (int i = 0; i < s->n_step; i++) sample_step(s, i, in);
    st = check_left(s, err);
    if (!st && s->p.mirostat) mirostat_cut(s, state->mu);
    return st;
}

static size_t draw(const sampler *s, double sum, size_t n, uint64_t position)
{
    double target = philox_uniform(s->p.seed, position, 0) * sum, run = 0;
    size_t last = 0; /* a running sum may end just below the sum of sums */
    for (size_t i = 0; i < n; i++) {
        run += (double)s->c.p[i];
        if (s->c.p[i] > 0) last = i;
        if (run > target) break;
    }
    return last;
}

tawny_status sampler_sample(sampler *s, sampler_state *state, const sampler_input *in, tawny_token *out,
                            tawny_error *err)
{
    tawny_status st = narrow(s, state, in, err);
    if (st) return st;
    cands *c = &s->c;
    double sum = cands_softmax(c);
    size_t i = draw(s, sum, c->full ? c->n_vocab : c->n, in->position);
    *out = c->full ? (tawny_token)i : cand_id(c->key[i]);
    if (s->p.mirostat) {
        double surprise = (d_log(sum) - d_log((double)c->p[i])) / 0.69314718055994531;
        state->mu -= (double)s->p.mirostat_eta * (surprise - (double)s->p.mirostat_tau);
    }
    return TAWNY_OK;
}

static sampler_prob prob_of(tawny_token t, float logit, float max, double sum)
{
    float e = logit - max;
    double logprob = (double)e - d_log(sum);
    simd.exp(&e, &e, 1);
    return (sampler_prob){t, (float)((double)e / sum), (float)logprob};
}

/* The best of the candidates, of which there are *n. */
static void report(sampler *s, sampler_prob *out, size_t cap, size_t *n)
{
    cands *c = &s->c;
    float max = cands_max(c);
    double sum = cands_softmax(c);
    *n = c->n;
    if (c->full) {
        *n = 0;
        for (size_t i = 0; i < c->n_vocab; i++) *n += c->full[i] > -INFINITY;
    }
    cands_top(c, cap);
    for (size_t i = 0; i < c->n; i++) out[i] = prob_of(cand_id(c->key[i]), cand_logit(c->key[i]), max, sum);
}

tawny_status sampler_distribution(sampler *s, const sampler_state *state, const sampler_input *in,
                                  sampler_prob *out, size_t cap, size_t *n, tawny_error *err)
{
    tawny_status st = narrow(s, state, in, err);
    if (!st) report(s, out, cap, n);
    return st;
}

tawny_status sampler_logprobs(sampler *s, const float *logits, sampler_prob *top, size_t n_top,
                              sampler_prob *chosen, tawny_error *err)
{
    tawny_status st = begin(s, logits, err);
    if (!st) st = check_left(s, err);
    if (st) return st;
    if (chosen) {
        if (chosen->token < 0 || chosen->token >= s->n_vocab)
            return err_set(err, TAWNY_E_ARG, "token %d is not below %d", chosen->token, s->n_vocab);
        double sum = cands_softmax(&s->c);
        *chosen = prob_of(chosen->token, logits[chosen->token], cands_max(&s->c), sum);
    }
    size_t n;
    report(s, top, n_top, &n);
    return TAWNY_OK;
}
