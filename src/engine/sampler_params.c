/* Sampler parameters: defaults, the chain's names, ranges. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "sampler.h"

static const struct {
    const char *name;
    char letter;
} kinds[SAMPLER_KINDS] = {
    [SAMPLER_PENALTIES] = {"penalties", 'e'},     [SAMPLER_DRY] = {"dry", 'd'},
    [SAMPLER_TOP_N_SIGMA] = {"top_n_sigma", 's'}, [SAMPLER_TOP_K] = {"top_k", 'k'},
    [SAMPLER_TYP_P] = {"typ_p", 'y'},             [SAMPLER_TOP_P] = {"top_p", 'p'},
    [SAMPLER_MIN_P] = {"min_p", 'm'},             [SAMPLER_XTC] = {"xtc", 'x'},
    [SAMPLER_TEMPERATURE] = {"temperature", 't'},
};

static const char *const default_breakers[] = {"\n", ":", "\"", "*"};

const char *sampler_name(sampler_kind k) { return kinds[k].name; }

sampler_params sampler_params_default(void)
{
    sampler_params p = {
        .seed = SAMPLER_SEED_RANDOM,
        .n_chain = SAMPLER_KINDS,
        .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .typ_p = 1, .top_n_sigma = -1,
        .xtc_probability = 0, .xtc_threshold = 0.1f,
        .temp = 0.8f, .dynatemp_range = 0, .dynatemp_exponent = 1,
        .repeat_last_n = 64, .repeat_penalty = 1, .frequency_penalty = 0, .presence_penalty = 0,
        .dry_multiplier = 0, .dry_base = 1.75f, .dry_allowed_length = 2, .dry_penalty_last_n = -1,
        .dry_breakers = default_breakers, .n_dry_breakers = sizeof default_breakers / sizeof *default_breakers,
        .mirostat = 0, .mirostat_tau = 5, .mirostat_eta = 0.1f,
    };
    for (int i = 0; i < SAMPLER_KINDS; i++) p.chain[i] = (sampler_kind)i;
    return p;
}

/* Equal but for case, and but for underscores, that may be dashes or missing. */
static bool same_name(const char *text, size_t n, const char *name)
{
    size_t i = 0;
    for (; *name; name++) {
        if (*name == '_') {
            if (i < n && (text[i] == '_' || text[i] == '-')) i++;
            continue;
        }
        if (i == n || strncasecmp(&text[i], name, 1) != 0) return false;
        i++;
    }
    return i == n;
}

static int find_kind(const char *text, size_t n)
{
    static const struct {
        const char *name;
        sampler_kind kind;
    } more[] = {{"nucleus", SAMPLER_TOP_P}, {"temp", SAMPLER_TEMPERATURE}, {"typ", SAMPLER_TYP_P},
                {"typical_p", SAMPLER_TYP_P}};
    for (int i = 0; i < SAMPLER_KINDS; i++)
        if (same_name(text, n, kinds[i].name)) return i;
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (same_name(text, n, more[i].name)) return (int)more[i].kind;
    return -1;
}

static tawny_status add_kind(sampler_params *p, int kind, const char *text, size_t n, tawny_error *err)
{
    int shown = n > 40 ? 40 : (int)n;
    if (kind < 0) return err_set(err, TAWNY_E_ARG, "samplers: '%.*s' is unknown", shown, text);
    if (p->n_chain == SAMPLER_MAX_CHAIN)
        return err_set(err, TAWNY_E_ARG, "samplers: more than %d", SAMPLER_MAX_CHAIN);
    p->chain[p->n_chain++] = (sampler_kind)kind;
    return TAWNY_OK;
}

tawny_status sampler_params_parse_chain(const char *names, sampler_params *p, tawny_error *err)
{
    sampler_params q = *p;
    q.n_chain = 0;
    while (*names) {
        size_t n = strcspn(names, ";");
        tawny_status st = n ? add_kind(&q, find_kind(names, n), names, n, err) : TAWNY_OK;
        if (st) return st;
        names += n;
        if (*names) names++;
    }
    *p = q;
    return TAWNY_OK;
}

tawny_status sampler_params_parse_letters(const char *letters, sampler_params *p, tawny_error *err)
{
    sampler_params q = *p;
    q.n_chain = 0;
    for (; *letters; letters++) {
        int kind = SAMPLER_KINDS - 1;
        while (kind >= 0 && kinds[kind].letter != *letters) kind--;
        tawny_status st = add_kind(&q, kind, letters, 1, err);
        if (st) return st;
    }
    *p = q;
    return TAWNY_OK;
}

static tawny_status check_range(const char *name, double v, double lo, double hi, tawny_error *err)
{
    if (v >= lo && v <= hi) return TAWNY_OK;
    return err_set(err, TAWNY_E_ARG, "%s: %g is not between %g and %g", name, v, lo, hi);
}

static tawny_status check_lists(const sampler_params *p, tawny_error *err)
{
    for (int i = 0; i < p->n_chain; i++)
        if ((unsigned)p->chain[i] >= SAMPLER_KINDS)
            return err_set(err, TAWNY_E_ARG, "samplers: %d is unknown", (int)p->chain[i]);
    for (size_t i = 0; i < p->n_bias; i++)
        if (isnan(p->bias[i].bias) || p->bias[i].bias > 1e9f)
            return err_set(err, TAWNY_E_ARG, "logit_bias: %g for token %d is not a number below 1e9",
                           (double)p->bias[i].bias, p->bias[i].token);
    return TAWNY_OK;
}

tawny_status sampler_params_check(const sampler_params *p, tawny_error *err)
{
    const struct {
        const char *name;
        double v, lo, hi;
    } range[] = {
        {"samplers", p->n_chain, 0, SAMPLER_MAX_CHAIN},
        {"min_keep", p->min_keep, 0, INT32_MAX},
        {"top_k", p->top_k, INT32_MIN, INT32_MAX}, /* <= 0: all */
        {"top_p", (double)p->top_p, 0, 1e9},
        {"min_p", (double)p->min_p, -1e9, 1},
        {"typ_p", (double)p->typ_p, 0, 1e9},
        {"top_n_sigma", (double)p->top_n_sigma, -1e9, 1e9},
        {"xtc_probability", (double)p->xtc_probability, -1e9, 1e9},
        {"xtc_threshold", (double)p->xtc_threshold, 0, 1e9},
        {"temperature", (double)p->temp, -1e9, 1e9},
        {"dynatemp_range", (double)p->dynatemp_range, 0, 1e9},
        {"dynatemp_exponent", (double)p->dynatemp_exponent, -1e3, 1e3},
        {"repeat_last_n", p->repeat_last_n, -1, INT32_MAX},
        {"repeat_penalty", (double)p->repeat_penalty, 1e-6, 1e6},
        {"frequency_penalty", (double)p->frequency_penalty, -1e6, 1e6},
        {"presence_penalty", (double)p->presence_penalty, -1e6, 1e6},
        {"dry_multiplier", (double)p->dry_multiplier, 0, 1e6},
        {"dry_base", (double)p->dry_base, 0, 1e6},
        {"dry_allowed_length", p->dry_allowed_length, 0, INT32_MAX},
        {"dry_penalty_last_n", p->dry_penalty_last_n, -1, INT32_MAX},
        {"dry_sequence_breakers", p->n_dry_breakers, 0, SAMPLER_MAX_BREAKERS},
        {"mirostat", p->mirostat, 0, 2},
        {"mirostat_tau", (double)p->mirostat_tau, 0, 1e3},
        {"mirostat_eta", (double)p->mirostat_eta, 0, 1e3},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        tawny_status st = check_range(range[i].name, range[i].v, range[i].lo, range[i].hi, err);
        if (st) return st;
    }
    return check_lists(p, err);
}
