/* engine/sampler: each sampler by hand, all of them against a literal reference in double precision, the
 * distribution of draws, purity, golden tokens, hostile input. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/philox.h"
#include "engine/sampler.h"

static sampler_params bare(void) /* nothing on */
{
    sampler_params p = sampler_params_default();
    p.seed = 1;
    p.top_k = 0, p.top_p = 1, p.min_p = 0, p.temp = 1;
    return p;
}

static sampler *make(const sampler_params *p, int n_vocab)
{
    sampler *s;
    tawny_error err;
    if (sampler_new(p, n_vocab, 4096, NULL, &s, &err)) ck_abort_msg("%s", err.message);
    return s;
}

enum { CAP = 70000 };
static sampler_prob got[CAP];
static size_t n_got;

/* got[] = the distribution; a sampler for one use. */
static void distribution(const sampler_params *p, const float *logits, int n, const tawny_token *h, size_t n_h,
                         uint64_t pos)
{
    sampler *s = make(p, n);
    sampler_state st;
    tawny_error err;
    sampler_state_init(s, &st);
    sampler_input in = {.logits = logits, .history = h, .n_history = n_h, .position = pos};
    if (sampler_distribution(s, &st, &in, got, CAP, &n_got, &err)) ck_abort_msg("%s", err.message);
    sampler_free(s);
}

/* ids of got, most probable first, against a list ended by -1 */
static void expect_ids(const int *want)
{
    size_t i = 0;
    for (; want[i] >= 0; i++) ck_assert_msg(i < n_got && got[i].token == want[i], "at %zu: %d", i, got[i].token);
    ck_assert_uint_eq(n_got, i);
}
#define IDS(...) ((const int[]){__VA_ARGS__, -1})

/* logits of given probabilities */
static void logits_of(float *l, const double *p, int n)
{
    for (int i = 0; i < n; i++) l[i] = (float)log(p[i]);
}
static const double P5[] = {0.1, 0.4, 0.05, 0.3, 0.15};

START_TEST(philox_known_answers) /* of the authors' Random123 */
{
    uint32_t a[4] = {0}, b[4] = {~0u, ~0u, ~0u, ~0u}, c[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    philox4x32(a, 0, 0);
    philox4x32(b, ~0u, ~0u);
    philox4x32(c, 0xa4093822, 0x299f31d0);
    ck_assert_mem_eq(a, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), 16);
    ck_assert_mem_eq(b, ((uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), 16);
    ck_assert_mem_eq(c, ((uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), 16);
}
END_TEST

START_TEST(chains_are_parsed)
{
    sampler_params p = sampler_params_default();
    tawny_error err;
    ck_assert_int_eq(p.n_chain, 9);
    ck_assert_int_eq(sampler_params_parse_chain("Top-K;topp;temp;MIN_P;nucleus;typical", &p, &err), TAWNY_E_ARG);
    ck_assert_str_eq(err.message, "samplers: 'typical' is unknown");
    ck_assert_int_eq(p.n_chain, 9);
    ck_assert_int_eq(sampler_params_parse_chain("Top-K;topp;temp;MIN_P;nucleus;typ", &p, &err), TAWNY_OK);
    ck_assert_int_eq(p.n_chain, 6);
    const sampler_kind want[] = {SAMPLER_TOP_K, SAMPLER_TOP_P, SAMPLER_TEMPERATURE,
                                 SAMPLER_MIN_P, SAMPLER_TOP_P, SAMPLER_TYP_P};
    ck_assert_mem_eq(p.chain, want, sizeof want);
    ck_assert_int_eq(sampler_params_parse_letters("edskypmxt", &p, &err), TAWNY_OK);
    ck_assert_int_eq(p.n_chain, 9);
    for (int i = 0; i < 9; i++) ck_assert_int_eq(p.chain[i], i);
    ck_assert_int_eq(sampler_params_parse_letters("kz", &p, &err), TAWNY_E_ARG);
    ck_assert_str_eq(err.message, "samplers: 'z' is unknown");
    ck_assert_int_eq(sampler_params_parse_letters("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", &p, &err), TAWNY_E_ARG);
}
END_TEST

START_TEST(parameters_are_checked)
{
    sampler_params p = sampler_params_default();
    sampler *s;
    tawny_error err;
    p.top_p = NAN;
    ck_assert_int_eq(sampler_new(&p, 10, 10, NULL, &s, &err), TAWNY_E_ARG);
    ck_assert_msg(strncmp(err.message, "top_p: ", 7) == 0, "%s", err.message);
    p = sampler_params_default();
    p.repeat_penalty = 0;
    ck_assert_int_eq(sampler_params_check(&p, &err), TAWNY_E_ARG);
    ck_assert_msg(strncmp(err.message, "repeat_penalty: ", 16) == 0, "%s", err.message);
    p = sampler_params_default();
    p.bias = &(sampler_bias){10, 1};
    p.n_bias = 1;
    ck_assert_int_eq(sampler_new(&p, 10, 10, NULL, &s, &err), TAWNY_E_ARG);
    ck_assert_str_eq(err.message, "logit_bias: token 10 is not below 10");
    p.bias = &(sampler_bias){1, INFINITY};
    ck_assert_int_eq(sampler_new(&p, 10, 10, NULL, &s, &err), TAWNY_E_ARG);
    p.n_bias = 0;
    ck_assert_int_eq(sampler_new(&p, 0, 10, NULL, &s, &err), TAWNY_E_ARG);
    ck_assert_int_eq(sampler_new(&p, 10, SIZE_MAX, NULL, &s, &err), TAWNY_E_ARG);
    ck_assert_int_eq(sampler_new(&p, 10, 10, NULL, &s, &err), TAWNY_OK);
    ck_assert_uint_le(sampler_seed(s), UINT32_MAX);
    sampler_free(s);
}
END_TEST

START_TEST(truncation_by_hand)
{
    float l[5];
    logits_of(l, P5, 5); /* best first: 1 (0.4), 3 (0.3), 4 (0.15), 0 (0.1), 2 (0.05) */
    sampler_params p = bare();
    distribution(&p, l, 5, NULL, 0, 0);
    expect_ids(IDS(1, 3, 4, 0, 2));
    for (int i = 0; i < 5; i++) {
        ck_assert_double_eq_tol((double)got[i].p, P5[got[i].token], 1e-6);
        ck_assert_double_eq_tol((double)got[i].logprob, log(P5[got[i].token]), 1e-6);
    }
    p = bare(), p.top_k = 2, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3));
    ck_assert_double_eq_tol((double)got[0].p, 4.0 / 7, 1e-6);
    p = bare(), p.top_p = 0.71f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4));
    p = bare(), p.top_p = 0.69f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3));
    p = bare(), p.top_p = 0, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1));
    p = bare(), p.top_p = 0, p.min_keep = 3, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4));
    p = bare(), p.min_p = 0.26f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4));
    p = bare(), p.min_p = 0.24f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4, 0));
    p = bare(), p.min_p = 1, p.min_keep = 2, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3));
    /* -log p: 0.916 1.204 1.897 2.303 2.996; entropy 1.393: nearest are 3, 1, 4 */
    p = bare(), p.typ_p = 0.29f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(3));
    p = bare(), p.typ_p = 0.31f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3));
    p = bare(), p.typ_p = 0.71f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4));
    p = bare(), p.xtc_probability = 1, p.xtc_threshold = 0.12f;
    distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(4, 0, 2));
    p.xtc_threshold = 0.35f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4, 0, 2)); /* one alone stays */
    p.xtc_threshold = 0.51f, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4, 0, 2)); /* off */
    p.xtc_threshold = 0.12f, p.min_keep = 4, distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(1, 3, 4, 0, 2));
    float x[] = {10, 8, 0, 0, -INFINITY}; /* mean 4.5, sigma 4.556 */
    p = bare(), p.top_n_sigma = 0.5f, distribution(&p, x, 5, NULL, 0, 0), expect_ids(IDS(0, 1));
    p = bare(), p.top_n_sigma = 0.4f, distribution(&p, x, 5, NULL, 0, 0), expect_ids(IDS(0));
    p = bare(), p.top_n_sigma = 3, distribution(&p, x, 5, NULL, 0, 0), expect_ids(IDS(0, 1, 2, 3));
}
END_TEST

START_TEST(temperature_by_hand)
{
    float l[] = {0, 1, -1}, tie[] = {3, 7, 7, 2}, even[] = {1, 1, 1, 1};
    sampler_params p = bare();
    p.temp = 0.5f, distribution(&p, l, 3, NULL, 0, 0), expect_ids(IDS(1, 0, 2));
    ck_assert_double_eq_tol((double)got[0].p, 1 / (1 + exp(-2) + exp(-4)), 1e-6);
    p.temp = 0, distribution(&p, tie, 4, NULL, 0, 0), expect_ids(IDS(1));
    p.temp = -1, distribution(&p, tie, 4, NULL, 0, 0), expect_ids(IDS(1));
    /* from 0.5 to 1.5 by the entropy */
    double z = 1 + exp(1) + exp(-1), q[] = {1 / z, exp(1) / z, exp(-1) / z}, h = 0;
    for (int i = 0; i < 3; i++) h -= q[i] * log(q[i]);
    double t = 0.5 + pow(h / log(3), 2);
    p.temp = 1, p.dynatemp_range = 0.5f, p.dynatemp_exponent = 2, distribution(&p, l, 3, NULL, 0, 0);
    ck_assert_double_eq_tol((double)got[0].p, 1 / (1 + exp(-1 / t) + exp(-2 / t)), 1e-6);
    distribution(&p, even, 4, NULL, 0, 0);
    ck_assert_double_eq_tol((double)got[3].p, 0.25, 1e-6);
}
END_TEST

START_TEST(penalties_by_hand)
{
    float l[] = {2, -2, 1, 0, 3};
    tawny_token h[] = {4, 0, 1, 1, -7, 99, 0};
    sampler_params p = bare();
    p.repeat_penalty = 2, p.frequency_penalty = 0.25f, p.presence_penalty = 0.125f, p.repeat_last_n = 6;
    double want[] = {2.0 / 2 - 0.625, -2.0 * 2 - 0.625, 1, 0, 3}, z = 0;
    for (int i = 0; i < 5; i++) z += exp(want[i]);
    distribution(&p, l, 5, h, 7, 0), expect_ids(IDS(4, 2, 0, 3, 1));
    for (int i = 0; i < 5; i++) ck_assert_double_eq_tol((double)got[i].p, exp(want[got[i].token]) / z, 1e-6);
    p.repeat_last_n = -1, distribution(&p, l, 5, h, 7, 0), expect_ids(IDS(4, 2, 0, 3, 1)); /* 3 / 2 - 0.375 */
    ck_assert_double_eq_tol((double)(got[0].logprob - got[1].logprob), 0.125, 1e-6);
    p.repeat_last_n = 0, distribution(&p, l, 5, h, 7, 0), expect_ids(IDS(4, 0, 2, 3, 1));
    /* after a truncation, on a list */
    tawny_error err;
    ck_assert_int_eq(sampler_params_parse_chain("top_k;penalties", &p, &err), TAWNY_OK);
    p.repeat_last_n = 6, p.top_k = 2, distribution(&p, l, 5, h, 7, 0), expect_ids(IDS(4, 0));
    ck_assert_double_eq_tol((double)(got[0].logprob - got[1].logprob), 3 - 0.375, 1e-6);
    p.bias = (sampler_bias[]){{0, -INFINITY}, {3, 10}, {3, 1}}, p.n_bias = 3;
    distribution(&p, l, 5, NULL, 0, 0), expect_ids(IDS(3, 4));
    ck_assert_double_eq_tol((double)(got[0].logprob - got[1].logprob), 11 - 3, 1e-5);
}
END_TEST

/* A vocabulary of characters: token t is "a" + t, but 25 is "b.", 24 is ".a". */
static const char *piece(void *ctx, tawny_token t, size_t *n)
{
    static char c[1];
    (void)ctx;
    *n = t >= 24 ? 2 : 1;
    c[0] = (char)('a' + t);
    return t == 23 ? ":" : t == 24 ? ".a" : t == 25 ? "b." : (*n = 1, c);
}
static size_t tokenize(void *ctx, const char *text, size_t n, tawny_token *out, size_t cap)
{
    (void)ctx;
    for (size_t i = 0; i < n && i < cap; i++) out[i] = text[i] - 'a';
    return n;
}

static double dry_gap(const char *history, const char *const *breakers, int n_breakers, sampler_params p, char token)
{
    float l[26] = {0};
    tawny_token h[100];
    size_t n = strlen(history);
    for (size_t i = 0; i < n; i++) h[i] = history[i] == ':' ? 23 : history[i] == '.' ? 25 : history[i] - 'a';
    sampler_vocab v = {NULL, piece, tokenize};
    sampler *s;
    p.dry_breakers = breakers, p.n_dry_breakers = n_breakers;
    ck_assert_int_eq(sampler_new(&p, 26, 100, &v, &s, NULL), TAWNY_OK);
    sampler_input in = {.logits = l, .history = h, .n_history = n};
    ck_assert_int_eq(sampler_distribution(s, NULL, &in, got, CAP, &n_got, NULL), TAWNY_OK);
    double best = (double)got[0].logprob, r = -1;
    for (size_t i = 0; i < n_got; i++)
        if (got[i].token == (token == ':' ? 23 : token - 'a')) r = best - (double)got[i].logprob;
    sampler_free(s);
    return r;
}

START_TEST(dry_by_hand)
{
    static const char *const colon[] = {":"}, *const dot_c[] = {".c"};
    sampler_params p = bare();
    p.dry_multiplier = 0.8f;
    /* "abc" came before "d": a repetition of length 3 */
    ck_assert_double_eq_tol(dry_gap("abcdxabc", colon, 1, p, 'd'), 0.8 * 1.75, 1e-5);
    ck_assert_double_eq_tol(dry_gap("abcdxabc", colon, 1, p, 'x'), 0, 1e-6);
    ck_assert_double_eq_tol(dry_gap("bcdxabc", colon, 1, p, 'd'), 0.8, 1e-5);
    ck_assert_double_eq_tol(dry_gap("cdxabc", colon, 1, p, 'd'), 0, 1e-6);
    ck_assert_double_eq_tol(dry_gap("aaaaaaaa", colon, 1, p, 'a'), 0.8 * pow(1.75, 5), 1e-4);
    ck_assert_double_eq_tol(dry_gap("abcabcabc", colon, 1, p, 'a'), 0.8 * pow(1.75, 4), 1e-4);
    /* a breaker ends the repetition, and is not penalized itself */
    ck_assert_double_eq_tol(dry_gap("xabcdxx:bc", colon, 1, p, 'd'), 0.8, 1e-5);
    ck_assert_double_eq_tol(dry_gap("x:bcdxx:bc", colon, 1, p, 'd'), 0.8, 1e-5);
    ck_assert_double_eq_tol(dry_gap("xb:cdxxb:c", colon, 1, p, 'd'), 0, 1e-6);
    ck_assert_double_eq_tol(dry_gap("abc:xabc", colon, 1, p, ':'), 0, 1e-6);
    ck_assert_double_eq_tol(dry_gap("abc:xabc", colon, 0, p, ':'), 0.8 * 1.75, 1e-5);
    /* ".c" is "b." followed by "c" */
    ck_assert_double_eq_tol(dry_gap("x.ydexx.yde", dot_c, 1, p, 'x'), 0.8 * pow(1.75, 3), 1e-4);
    ck_assert_double_eq_tol(dry_gap("x.cdexx.cde", dot_c, 1, p, 'x'), 0.8, 1e-5);
    p.dry_penalty_last_n = 5;
    ck_assert_double_eq_tol(dry_gap("abcdxabc", colon, 1, p, 'd'), 0, 1e-6);
    p.dry_penalty_last_n = -1, p.dry_allowed_length = 3;
    ck_assert_double_eq_tol(dry_gap("abcdxabc", colon, 1, p, 'd'), 0.8, 1e-5);
}
END_TEST

/* ---- the reference ---- */

typedef struct {
    int id;
    double l, p, score;
} ref_cand;
static ref_cand ref[CAP];
static int n_ref;

static int by_logit(const void *a, const void *b)
{
    const ref_cand *x = a, *y = b;
    return x->l != y->l ? (x->l < y->l ? 1 : -1) : x->id - y->id;
}
static int by_score(const void *a, const void *b)
{
    const ref_cand *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? -1 : 1) : by_logit(a, b);
}
static void ref_softmax(void)
{
    double z = 0;
    qsort(ref, (size_t)n_ref, sizeof *ref, by_logit);
    for (int i = 0; i < n_ref; i++) z += ref[i].p = exp(ref[i].l - ref[0].l);
    for (int i = 0; i < n_ref; i++) ref[i].p /= z;
}
static double ref_entropy(void)
{
    double h = 0;
    for (int i = 0; i < n_ref; i++) h -= ref[i].p > 0 ? ref[i].p * log(ref[i].p) : 0;
    return h;
}

static void ref_temperature(double t)
{
    if (t <= 1e-6) n_ref = 1;
    else for (int i = 0; i < n_ref; i++) ref[i].l /= t;
}

static void ref_typical(const sampler_params *p)
{
    double h = ref_entropy(), sum = 0;
    int n = 0;
    for (int i = 0; i < n_ref; i++) ref[i].score = fabs(-log(ref[i].p) - h);
    qsort(ref, (size_t)n_ref, sizeof *ref, by_score);
    while (n < n_ref && !(sum > (double)p->typ_p && n >= p->min_keep && n)) sum += ref[n++].p;
    n_ref = n;
}

static void ref_step(const sampler_params *p, sampler_kind k, uint64_t pos, int place)
{
    double sum = 0, var = 0, keep = p->min_keep;
    int n = 0;
    ref_softmax();
    switch (k) {
    case SAMPLER_TOP_K: if (p->top_k > 0 && p->top_k < n_ref) n_ref = p->top_k; break;
    case SAMPLER_TOP_P:
        if (p->top_p >= 1) break;
        while (n < n_ref && !(sum >= (double)p->top_p && n >= keep && n)) sum += ref[n++].p;
        n_ref = n;
        break;
    case SAMPLER_MIN_P:
        if (p->min_p <= 0) break;
        while (n < n_ref && (n < keep || ref[n].p >= (double)p->min_p * ref[0].p)) n++;
        n_ref = n;
        break;
    case SAMPLER_TYP_P: if (p->typ_p < 1) ref_typical(p); break;
    case SAMPLER_TOP_N_SIGMA:
        if (p->top_n_sigma <= 0) break;
        for (int i = 0; i < n_ref; i++) sum += ref[i].l / n_ref;
        for (int i = 0; i < n_ref; i++) var += (ref[i].l - sum) * (ref[i].l - sum) / n_ref;
        while (n < n_ref && ref[n].l >= ref[0].l - (double)p->top_n_sigma * sqrt(var)) n++;
        n_ref = n;
        break;
    case SAMPLER_XTC:
        if (philox_uniform(p->seed, pos, (uint32_t)place + 1) > (double)p->xtc_probability) break;
        if (p->xtc_threshold > 0.5f || p->xtc_probability <= 0) break;
        while (n < n_ref && ref[n].p >= (double)p->xtc_threshold) n++;
        if (n < 2 || n_ref - (n - 1) < keep) break;
        memmove(ref, ref + n - 1, (size_t)(n_ref -= n - 1) * sizeof *ref);
        break;
    case SAMPLER_TEMPERATURE:
        if (p->dynatemp_range > 0 && n_ref > 1) {
            double lo = fmax(0, (double)(p->temp - p->dynatemp_range)), hi = (double)(p->temp + p->dynatemp_range);
            ref_temperature(lo + (hi - lo) * pow(ref_entropy() / log(n_ref), (double)p->dynatemp_exponent));
        } else {
            ref_temperature((double)p->temp);
        }
        break;
    default: break;
    }
}

static void compare(const sampler_params *p, const float *l, int n, uint64_t pos)
{
    n_ref = 0;
    for (int i = 0; i < n; i++)
        if (l[i] > -INFINITY) ref[n_ref++] = (ref_cand){i, (double)l[i], 0, 0};
    for (int i = 0; i < p->n_chain; i++) ref_step(p, p->chain[i], pos, i);
    ref_softmax();
    distribution(p, l, n, NULL, 0, pos);
    if ((int)n_got != n_ref) ck_abort_msg("position %d: %zu candidates, not %d", (int)pos, n_got, n_ref);
    for (int i = 0; i < n_ref; i++)
        if (fabs((double)got[i].p - ref[i].p) > 1e-7 + 2e-5 * ref[i].p)
            ck_abort_msg("position %d, candidate %d: %g, not %g", (int)pos, i, (double)got[i].p, ref[i].p);
}

static double uniform(uint32_t i, uint32_t j) { return philox_uniform(42, i, j); }
/* Like a model's: a wide bell, some far above it, some ties, some -infinity. */
static void random_logits(float *l, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        uint32_t k = (uint32_t)i * 4;
        double g = uniform(seed, k) + uniform(seed, k + 1) + uniform(seed, k + 2) - 1.5;
        l[i] = (float)(g * 6 + (uniform(seed, k + 3) < 20.0 / n ? 12 * uniform(seed, k + 3) * n / 20 : 0));
        if (i % 97 == 5) l[i] = roundf(l[i]);
        if (i % 31 == 7) l[i] = -INFINITY;
    }
}

START_TEST(agrees_with_the_reference)
{
    static float l[CAP];
    static const int sizes[] = {3, 50, 700, 3000, 60000};
    for (uint32_t k = 0; k < 600; k++) {
        int n = sizes[k % 5 == 4 && k % 3 ? 3 : k % 5];
        sampler_params p = bare();
        random_logits(l, n, k);
        double u[12];
        for (uint32_t j = 0; j < 12; j++) u[j] = uniform(k + 1000000, j);
        if (u[0] < 0.4) p.top_k = (int)(u[0] * 200);
        if (u[1] < 0.4) p.top_p = (float)(u[1] / 0.4);
        if (u[2] < 0.4) p.min_p = (float)(u[2] * u[2] / 0.4);
        if (u[3] < 0.3) p.typ_p = (float)(u[3] / 0.3);
        if (u[4] < 0.3) p.top_n_sigma = (float)(u[4] * 12);
        if (u[5] < 0.4) p.xtc_probability = 0.5f, p.xtc_threshold = (float)u[5] * 0.3f;
        p.temp = (float)(0.2 + u[6] * 2);
        if (u[7] < 0.3) p.dynatemp_range = (float)u[7], p.dynatemp_exponent = (float)(u[8] * 2);
        if (u[9] < 0.2) p.min_keep = (int)(u[9] * 40);
        p.n_chain = 0;
        for (int j = 0; j < 7; j++) /* an order of its own */
            p.chain[p.n_chain++] = (sampler_kind)(SAMPLER_TOP_N_SIGMA + (j * (1 + (int)(k % 6)) + (int)(k / 7)) % 7);
        compare(&p, l, n, k);
    }
}
END_TEST

/* ---- draws ---- */

static tawny_token sample_at(sampler *s, sampler_state *st, const float *l, uint64_t pos)
{
    tawny_token t = -1;
    tawny_error err;
    sampler_input in = {.logits = l, .position = pos};
    if (sampler_sample(s, st, &in, &t, &err)) ck_abort_msg("%s", err.message);
    return t;
}

START_TEST(draws_follow_the_distribution)
{
    static float big[5000];
    float l[5];
    logits_of(l, P5, 5);
    for (int i = 0; i < 5000; i++) big[i] = i % 1000 == 3 ? l[i / 1000] + 30 : -3; /* all are drawn over */
    for (int v = 0; v < 2; v++) {
        sampler_params p = bare();
        sampler *s = make(&p, v ? 5000 : 5);
        double count[5] = {0}, chi = 0;
        const int n = v ? 4000 : 40000;
        for (int i = 0; i < n; i++) {
            int t = sample_at(s, NULL, v ? big : l, (uint64_t)i);
            ck_assert(!v || t % 1000 == 3);
            count[v ? t / 1000 : t]++;
        }
        for (int i = 0; i < 5; i++) chi += (count[i] - n * P5[i]) * (count[i] - n * P5[i]) / (n * P5[i]);
        ck_assert_msg(chi < 18.5, "chi square %g, 4 degrees of freedom", chi); /* p = 0.001 */
        sampler_free(s);
    }
}
END_TEST

START_TEST(xtc_has_its_chance)
{
    float l[5];
    logits_of(l, P5, 5);
    sampler_params p = bare();
    p.xtc_probability = 0.3f;
    sampler *s = make(&p, 5);
    int applied = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        sampler_input in = {.logits = l, .position = i};
        ck_assert_int_eq(sampler_distribution(s, NULL, &in, got, CAP, &n_got, NULL), TAWNY_OK);
        applied += n_got < 5;
    }
    ck_assert_msg(abs(applied - 1500) < 110, "%d", applied);
    sampler_free(s);
}
END_TEST

START_TEST(a_draw_is_pure)
{
    static float l[3000];
    random_logits(l, 3000, 7);
    sampler_params p = sampler_params_default();
    p.seed = 12345, p.repeat_penalty = 1.1f, p.xtc_probability = 0.5f, p.temp = 2;
    sampler *a = make(&p, 3000), *b = make(&p, 3000);
    tawny_token first[200], h[200];
    for (int i = 0; i < 200; i++) h[i] = (i * 37) % 3000;
    uint64_t allocated = base_alloc_count();
    int distinct = 0;
    for (int i = 0; i < 200; i++) {
        sampler_input in = {.logits = l, .history = h, .n_history = (size_t)i, .position = (uint64_t)i};
        ck_assert_int_eq(sampler_sample(a, NULL, &in, &first[i], NULL), TAWNY_OK);
        distinct += i && first[i] != first[i - 1];
    }
    ck_assert_int_gt(distinct, 20);
    for (int i = 199; i >= 0; i--) { /* backwards, with other things in between */
        tawny_token t;
        sampler_input in = {.logits = l, .history = h, .n_history = (size_t)i, .position = (uint64_t)i};
        ck_assert_int_eq(sampler_sample(b, NULL, &in, &t, NULL), TAWNY_OK);
        ck_assert_int_eq(t, first[i]);
        in.position = 77777;
        ck_assert_int_eq(sampler_distribution(b, NULL, &in, got, CAP, &n_got, NULL), TAWNY_OK);
        ck_assert_int_eq(sampler_logprobs(b, l, got, 5, NULL, NULL), TAWNY_OK);
    }
    ck_assert_uint_eq(base_alloc_count(), allocated);
    sampler_free(a);
    sampler_free(b);
}
END_TEST

START_TEST(mirostat_reaches_its_target)
{
    static float l[3000];
    for (int version = 1; version <= 2; version++) {
        sampler_params p = bare();
        p.mirostat = version, p.mirostat_tau = 3;
        sampler *s = make(&p, 3000);
        sampler_state st, saved = {0};
        sampler_state_init(s, &st);
        ck_assert_double_eq(st.mu, 6);
        double surprise = 0;
        tawny_token tokens[400];
        for (int i = 0; i < 800; i++) {
            if (i == 400) st = saved; /* rolled back: the same again */
            if (i == 0) saved = st;
            int at = i % 400;
            for (int j = 0; j < 3000; j++) l[j] = -1.2f * logf((float)((j * 7 + at * 13) % 3000 + 1));
            double mu = st.mu;
            tawny_token t = sample_at(s, &st, l, (uint64_t)at);
            if (i < 400) tokens[at] = t;
            ck_assert_int_eq(tokens[at], t);
            if (i >= 100 && i < 400) surprise += 3 - (st.mu - mu) / (double)p.mirostat_eta;
        }
        ck_assert_msg(fabs(surprise / 300 - 3) < 0.2, "version %d: %g bits", version, surprise / 300);
        tawny_error err;
        tawny_token t;
        sampler_input in = {.logits = l};
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_E_ARG);
        sampler_free(s);
        float one[3] = {-INFINITY, 2, -INFINITY}, even[3] = {1, 1, 1};
        s = make(&p, 3);
        ck_assert_int_eq(sample_at(s, &st, one, 0), 1);
        ck_assert(isfinite(st.mu));
        sample_at(s, &st, even, 0);
        ck_assert(isfinite(st.mu));
        sampler_free(s);
    }
}
END_TEST

START_TEST(hostile_logits)
{
    float nan[] = {1, NAN, 2}, inf[] = {1, INFINITY, 2}, none[] = {-INFINITY, -INFINITY, -INFINITY};
    float huge[] = {3e38f, -3e38f, 3e38f};
    sampler_params p = sampler_params_default();
    p.seed = 3;
    for (int v = 0; v < 2; v++) {
        p.temp = v ? 0 : 0.8f;
        sampler *s = make(&p, 3);
        tawny_error err;
        tawny_token t;
        sampler_input in = {.logits = nan};
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_E_ARG);
        ck_assert_str_eq(err.message, "logits: token 1 has NaN");
        in.logits = inf;
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_E_ARG);
        in.logits = none;
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_E_ARG);
        ck_assert_str_eq(err.message, "logits: no token is left to choose from");
        in.logits = huge;
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), v ? TAWNY_OK : TAWNY_E_ARG);
        uint64_t allowed = 4;
        in.allowed = &allowed;
        in.logits = (float[]){9, 9, -5};
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_OK);
        ck_assert_int_eq(t, 2);
        allowed = 0;
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &t, &err), TAWNY_E_ARG);
        sampler_free(s);
    }
}
END_TEST

START_TEST(top_k_breaks_ties_by_id)
{
    enum { N = 20000 };
    static float l[N];
    for (int shape = 0; shape < 4; shape++) {
        for (int i = 0; i < N; i++)
            l[i] = shape == 0 ? 1 : (float)(shape == 1 ? i / 7 : shape == 2 ? -i / 7 : i % 100);
        n_ref = 0;
        for (int i = 0; i < N; i++) ref[n_ref++] = (ref_cand){i, (double)l[i], 0, 0};
        qsort(ref, N, sizeof *ref, by_logit);
        for (int k = 1; k < N; k = k * 3 + 1) {
            sampler_params p = bare();
            p.top_k = k, distribution(&p, l, N, NULL, 0, 0);
            ck_assert_uint_eq(n_got, (size_t)k);
            for (int i = 0; i < k; i++)
                if (got[i].token != ref[i].id) ck_abort_msg("shape %d, k %d, at %d: %d", shape, k, i, got[i].token);
        }
    }
}
END_TEST

START_TEST(logprobs_of_the_model)
{
    float l[5];
    logits_of(l, P5, 5);
    sampler_params p = sampler_params_default();
    sampler *s = make(&p, 5);
    sampler_prob top[2], chosen = {.token = 2};
    ck_assert_int_eq(sampler_logprobs(s, l, top, 2, &chosen, NULL), TAWNY_OK);
    ck_assert_int_eq(top[0].token, 1);
    ck_assert_int_eq(top[1].token, 3);
    ck_assert_double_eq_tol((double)top[1].p, 0.3, 1e-6);
    ck_assert_double_eq_tol((double)chosen.logprob, log(0.05), 1e-6);
    chosen.token = 5;
    ck_assert_int_eq(sampler_logprobs(s, l, top, 0, &chosen, NULL), TAWNY_E_ARG);
    ck_assert_int_eq(sampler_logprobs(s, l, NULL, 0, NULL, NULL), TAWNY_OK);
    sampler_free(s);
}
END_TEST

/* Tokens of the default chain: a change of them is a change of the contract. */
START_TEST(tokens_are_fixed)
{
    static const tawny_token want[] = {73, 73, 897, 897, 897, 73, 897, 73, 73, 73, 897, 73, 73, 2599, 897, 73};
    static float l[3000];
    random_logits(l, 3000, 3);
    sampler_params p = sampler_params_default();
    p.seed = 42, p.temp = 4, p.repeat_penalty = 1.05f, p.dry_multiplier = 0.8f, p.min_p = 0.01f;
    sampler *s = make(&p, 3000);
    tawny_token h[16];
    for (size_t i = 0; i < 16; i++) {
        sampler_input in = {.logits = l, .history = h, .n_history = i, .position = i};
        ck_assert_int_eq(sampler_sample(s, NULL, &in, &h[i], NULL), TAWNY_OK);
        ck_assert_msg(h[i] == want[i], "at %zu: %d", i, h[i]);
    }
    sampler_free(s);
}
END_TEST

Suite *suite_sampler(void)
{
    Suite *s = suite_create("sampler");
    TCase *t = tcase_create("sampler");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, philox_known_answers);
    tcase_add_test(t, chains_are_parsed);
    tcase_add_test(t, parameters_are_checked);
    tcase_add_test(t, truncation_by_hand);
    tcase_add_test(t, temperature_by_hand);
    tcase_add_test(t, penalties_by_hand);
    tcase_add_test(t, dry_by_hand);
    tcase_add_test(t, agrees_with_the_reference);
    tcase_add_test(t, draws_follow_the_distribution);
    tcase_add_test(t, xtc_has_its_chance);
    tcase_add_test(t, a_draw_is_pure);
    tcase_add_test(t, mirostat_reaches_its_target);
    tcase_add_test(t, hostile_logits);
    tcase_add_test(t, top_k_breaks_ties_by_id);
    tcase_add_test(t, logprobs_of_the_model);
    tcase_add_test(t, tokens_are_fixed);
    suite_add_tcase(s, t);
    return s;
}
