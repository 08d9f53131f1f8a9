/* The samplers that cut or scale the distribution. */
#include <math.h>

#include "../base/mathf.h"
#include "philox.h"
#include "sampler_int.h"

bool sample_step_does(const sampler_params *p, sampler_kind k)
{
    switch (k) {
    case SAMPLER_PENALTIES:
        return p->repeat_last_n != 0 &&
               (p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0);
    case SAMPLER_DRY: return p->dry_multiplier > 0 && p->dry_base >= 1 && p->dry_penalty_last_n != 0;
    case SAMPLER_TOP_N_SIGMA: return p->top_n_sigma > 0;
    case SAMPLER_TOP_K: return p->top_k > 0;
    case SAMPLER_TYP_P: return p->typ_p < 1;
    case SAMPLER_TOP_P: return p->top_p < 1;
    case SAMPLER_MIN_P: return p->min_p > 0;
    case SAMPLER_XTC: return p->xtc_probability > 0 && p->xtc_threshold <= 0.5f;
    case SAMPLER_TEMPERATURE: return p->temp != 1 || p->dynatemp_range > 0;
    case SAMPLER_KINDS: break;
    }
    return false;
}

static size_t min_keep(const sampler *s) { return s->p.min_keep > 1 ? (size_t)s->p.min_keep : 1; }

/* The sums of (x - mean)^power, power 0, 1 or 2, over what is above -infinity; partial sums as sum_f32's. */
static double moment(const float *x, size_t n, double mean, int power)
{
    double s[16] = {0};
    for (size_t i = 0; i < n; i++) {
        double d = x[i] > -INFINITY ? (double)x[i] - mean : 0;
        s[i % 16] += power == 2 ? d * d : power == 1 ? d : x[i] > -INFINITY;
    }
    for (size_t h = 8; h; h /= 2)
        for (size_t j = 0; j < h; j++) s[j] += s[j + h];
    return s[0];
}

/* Tang et al., Top-n-sigma: not all logits are you need (arXiv:2411.07641); -infinity counts for nothing. */
static void top_n_sigma(sampler *s)
{
    cands *c = &s->c;
    size_t n = c->full ? c->n_vocab : c->n;
    const float *x = c->full ? c->full : c->p;
    if (!c->full)
        for (size_t i = 0; i < n; i++) c->p[i] = cand_logit(c->key[i]);
    double live = moment(x, n, 0, 0);
    if (live < 2) return;
    double mean = moment(x, n, 0, 1) / live, sigma = sqrt(moment(x, n, mean, 2) / live);
    cands_above(c, (double)cands_max(c) - (double)s->p.top_n_sigma * sigma);
}

/* In nats, of a list and its cands_softmax. With S the sum, -log p_i = log S - (l_i - max). */
static double entropy_of(const cands *c, double sum, double max)
{
    double mean = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] > 0) mean += (double)c->p[i] * ((double)cand_logit(c->key[i]) - max);
    return d_log(sum) - mean / sum;
}

/* Meister et al., Locally typical sampling (arXiv:2202.00666). */
static void typical(sampler *s)
{
    cands *c = &s->c;
    cands_sort(c);
    if (!c->n) return;
    double sum = cands_softmax(c), log_sum = d_log(sum), max = (double)cand_logit(c->key[0]);
    double h = entropy_of(c, sum, max), reached = 0;
    for (size_t i = 0; i < c->n; i++) {
        double d = log_sum - ((double)cand_logit(c->key[i]) - max) - h;
        s->scores[i] = cand_key((float)(d < 0 ? d : -d), i); /* nearest first, then the more probable */
    }
    cands_sort_keys(s->scores, c->n, c->tmp);
    size_t n = 0, kept = 0;
    while (n < c->n && !(reached > (double)s->p.typ_p * sum && n >= min_keep(s)))
        reached += (double)c->p[cand_id(s->scores[n++])];
    for (size_t i = 0; i < n; i++) c->p[cand_id(s->scores[i])] = -1; /* marks those that stay */
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] < 0) c->key[kept++] = c->key[i];
    c->n = kept;
}

/* How many of a sorted list it takes for their cands_softmax to reach the target; 0: all are too few. */
static size_t reach(const sampler *s, double target)
{
    double reached = 0;
    for (size_t i = 0; i < s->c.n; i++) {
        reached += (double)s->c.p[i];
        if (reached >= target && i + 1 >= min_keep(s)) return i + 1;
    }
    return 0;
}

/* Holtzman et al., The curious case of neural text degeneration (arXiv:1904.09751). Of a whole vocabulary a few
 * hundred are sorted at first. */
static void top_p(sampler *s)
{
    cands *c = &s->c;
    const float *full = c->full;
    double target = (double)s->p.top_p * cands_softmax(c);
    for (size_t k = 256; full && k < c->n_vocab / 2; k *= 8) {
        c->full = full;
        cands_top(c, k);
        cands_softmax(c);
        size_t n = reach(s, target);
        if (n) c->n = n;
        if (n || c->n < k) return;
    }
    c->full = full;
    if (full || !c->sorted) {
        cands_sort(c);
        cands_softmax(c);
    }
    size_t n = reach(s, target);
    if (n) c->n = n;
}

/* Nguyen et al., Turning up the heat: min-p sampling (arXiv:2407.01082). */
static void min_p(sampler *s)
{
    cands *c = &s->c;
    double bar = (double)cands_max(c) + d_log((double)s->p.min_p);
    if (min_keep(s) == 1) {
        cands_above(c, bar);
        return;
    }
    cands_sort(c);
    size_t n = 0;
    while (n < c->n && (n < min_keep(s) || (double)cand_logit(c->key[n]) >= bar)) n++;
    c->n = n;
}

/* Exclude top choices (p-e-w): with some chance, all but the least probable of those at or above the threshold. */
static void xtc(sampler *s, uint32_t draw, const sampler_input *in)
{
    cands *c = &s->c;
    if (philox_uniform(s->p.seed, in->position, draw) > (double)s->p.xtc_probability) return;
    cands_sort(c);
    double bar = (double)s->p.xtc_threshold * cands_softmax(c);
    size_t above = 0;
    while (above < c->n && (double)c->p[above] >= bar) above++;
    if (above < 2 || c->n - (above - 1) < min_keep(s)) return;
    c->n -= above - 1;
    memmove(c->key, c->key + (above - 1), c->n * sizeof *c->key);
}

static void scale(sampler *s, double temp)
{
    cands *c = &s->c;
    if (!(temp > 1e-6)) {
        cands_top(c, 1);
        return;
    }
    float t = (float)temp;
    if (c->full) {
        float *l = cands_writable(c);
        for (size_t i = 0; i < c->n_vocab; i++) l[i] /= t;
        return;
    }
    for (size_t i = 0; i < c->n; i++) c->key[i] = cand_key(cand_logit(c->key[i]) / t, (size_t)cand_id(c->key[i]));
}

/* Temperature by entropy (kalomaze): even distributions get the hot end. */
static void dynamic_temperature(sampler *s)
{
    cands *c = &s->c;
    double lo = (double)s->p.temp - (double)s->p.dynatemp_range, hi = (double)s->p.temp + (double)s->p.dynatemp_range;
    cands_list(c);
    if (c->n < 2) return;
    double even = entropy_of(c, cands_softmax(c), (double)cands_max(c)) / d_log((double)c->n);
    even = even < 0 ? 0 : even > 1 ? 1 : even;
    if (lo < 0) lo = 0;
    scale(s, lo + (hi - lo) * d_pow(even, (double)s->p.dynatemp_exponent));
}

void sample_step(sampler *s, int step, const sampler_input *in)
{
    switch (s->step[step]) {
    case SAMPLER_PENALTIES: sample_penalties(s, in); break;
    case SAMPLER_DRY: sample_dry(s, in); break;
    case SAMPLER_TOP_N_SIGMA: top_n_sigma(s); break;
    case SAMPLER_TOP_K: cands_top(&s->c, (size_t)s->p.top_k); break;
    case SAMPLER_TYP_P: typical(s); break;
    case SAMPLER_TOP_P: top_p(s); break;
    case SAMPLER_MIN_P: min_p(s); break;
    case SAMPLER_XTC: xtc(s, s->draw[step], in); break;
    case SAMPLER_TEMPERATURE:
        if (s->p.dynatemp_range > 0)
            dynamic_temperature(s);
        else
            scale(s, (double)s->p.temp);
        break;
    case SAMPLER_KINDS: break;
    }
}
