/* What is sound: two distributions compared, and thresholds that come from sound builds (README.md, "Thresholds"). */
#include <math.h>
#include <string.h>

#include "../base/mathf.h"
#include "verify.h"

/* Of one position, in nats. */
#define KL_SAMPLE 0.5       /* more: not sound by itself */
#define TIE 0.7             /* another most probable token is no mistake where ours is at most e^0.7 as probable */
#define GREEDY_SLACK 0.05   /* servers break ties in their own ways */
/* Over a prompt's positions. */
#define TYPICAL_SUSPICIOUS 0.025
#define TYPICAL_BROKEN 0.075
#define MEAN_BROKEN 0.2

const char *verdict_name(verdict v)
{
    static const char *const names[] = {"sound", "suspicious", "broken", "unknown"};
    return names[v];
}

/* max + log(sum(exp(x - max))); NaN where any is */
static double log_sum(const float *x, int32_t n, int32_t *argmax)
{
    double top = -INFINITY, sum = 0;
    *argmax = 0;
    for (int32_t i = 0; i < n; i++)
        if (x[i] > top) top = x[i], *argmax = i;
    for (int32_t i = 0; i < n; i++) sum += d_exp((double)x[i] - top);
    return top + d_log(sum);
}

void verify_compare(const float *logits, int32_t n_vocab, const remote_step *s, bool greedy, const tokenizer *tok, verify_sample *out)
{
    const double least = 1e-9;
    int32_t ours;
    double total = log_sum(logits, n_vocab, &ours), p_sum = 0, q_sum = 0, kl = 0, chosen = -INFINITY;
    int best = -1;
    *out = (verify_sample){.pos = s->pos, .ours = ours, .theirs = -1, .not_numbers = s->not_numbers};
    for (int i = 0; i < s->n; i++) {
        if (s->id[i] >= n_vocab) continue;
        double log_p = logits[s->id[i]] - total, p = d_exp(log_p), q = s->logprob[i];
        p_sum += p;
        q_sum += d_exp(q);
        kl += p * (log_p - (q > -50 ? q : -50));
        if (best < 0 || q > s->logprob[best]) best = i;
        if (s->id[i] == s->chosen) chosen = q;
    }
    if (best < 0) return;
    double p_rest = 1 - p_sum > least ? 1 - p_sum : least, q_rest = 1 - q_sum > least ? 1 - q_sum : least;
    kl += p_rest * (d_log(p_rest) - d_log(q_rest));
    if (q_sum > 1.001) out->not_numbers = true; /* these are no probabilities */
    out->kl = kl > 0 ? kl : 0;
    out->top = s->logprob[best];
    if (s->unknown > out->top) { /* which token that is cannot be told from its text */
        out->top = s->unknown;
        return;
    }
    out->theirs = s->id[best];
    out->margin = (double)logits[ours] - (double)logits[out->theirs];
    out->not_greedy = greedy && s->chosen >= 0 && !tok_is_eog(tok, out->theirs) && chosen < out->top - GREEDY_SLACK;
}

static bool sample_is_bad(const verify_sample *s)
{
    return s->not_numbers || s->not_greedy || s->kl > KL_SAMPLE || s->margin > TIE;
}

void verify_judge(verify_depth *d, const verify_sample *samples, int n)
{
    d->n = n;
    d->bad_pos = -1;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const verify_sample *s = &samples[i];
        sum += s->kl;
        if (s->kl > d->kl_max) d->kl_max = s->kl;
        d->not_numbers += s->not_numbers;
        d->not_greedy += s->not_greedy;
        if (s->theirs >= 0 && s->theirs != s->ours) {
            if (s->margin > TIE) d->flips++;
            else d->ties++;
            if (s->margin > d->margin_max) d->margin_max = s->margin;
        }
        if (sample_is_bad(s) && d->bad_pos < 0) d->bad_pos = s->pos;
    }
    d->kl_mean = n ? sum / n : 0;
    d->kl_typical = n > 1 ? (sum - d->kl_max) / (n - 1) : d->kl_mean;
    if (n) d->first = samples[0];
    if (d->not_numbers || d->not_greedy || d->flips > 1 || d->kl_typical > TYPICAL_BROKEN || d->kl_mean > MEAN_BROKEN)
        d->verdict = VERDICT_BROKEN;
    else if (d->flips || d->kl_typical > TYPICAL_SUSPICIOUS || d->kl_max > KL_SAMPLE)
        d->verdict = VERDICT_SUSPICIOUS;
    else
        d->verdict = n ? VERDICT_SOUND : VERDICT_UNKNOWN;
    if (d->verdict != VERDICT_SOUND && d->bad_pos < 0 && n) d->bad_pos = samples[0].pos;
}

bool verify_is_constant(const verify_depth *d, int n)
{
    bool ours_differ = false;
    if (n < 3) return false;
    for (int i = 1; i < n; i++) {
        if (d[i].first.theirs != d[0].first.theirs || fabs(d[i].first.top - d[0].first.top) > 1e-6) return false;
        if (d[i].first.ours != d[0].first.ours) ours_differ = true;
    }
    return ours_differ;
}
