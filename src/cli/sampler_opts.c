#include "sampler_opts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

sampler_opts sampler_opts_default(void)
{
    sampler_opts o = {.p = sampler_params_default()};
    return o;
}

void sampler_opts_free(sampler_opts *o)
{
    free(o->bias);
    free(o->breakers.items);
    free(o->breaker_texts);
    o->breaker_texts = NULL;
    free(o->biases.items);
    o->bias = NULL;
    o->breakers = o->biases = (cli_list){0};
}

/* "15043+1.5", "7-inf" */
static bool parse_bias(const char *text, uint32_t n_vocab, sampler_bias *out)
{
    char *end;
    long id = strtol(text, &end, 10);
    if (end == text || id < 0 || id >= (long)n_vocab || (*end != '+' && *end != '-')) return false;
    const char *number = end;
    float v = strtof(number, &end);
    if (end == number || *end || isnan(v) || (isinf(v) && v > 0)) return false;
    *out = (sampler_bias){(tawny_token)id, v};
    return true;
}

static int make_biases(sampler_opts *o, const char *command, const tokenizer *tok)
{
    size_t n_never, n = 0;
    const tawny_token *never = tok_suppressed(tok, &n_never);
    uint32_t n_vocab = tok_n_vocab(tok);
    size_t n_end = 0;
    for (uint32_t t = 0; o->ignore_eos && t < n_vocab; t++) n_end += tok_is_eog(tok, (tawny_token)t);
    o->bias = calloc(o->biases.n + n_never + n_end + 1, sizeof *o->bias);
    if (!o->bias) return cli_fail(1, "out of memory");
    for (; n < o->biases.n; n++)
        if (!parse_bias(o->biases.items[n], n_vocab, &o->bias[n]))
            return cli_fail(2, "%s: --logit-bias %s: must be a token id below %u, + or -, and a number or inf", command,
                            o->biases.items[n], n_vocab);
    for (size_t i = 0; i < n_never; i++) o->bias[n++] = (sampler_bias){never[i], -INFINITY};
    for (uint32_t t = 0; o->ignore_eos && t < n_vocab; t++)
        if (tok_is_eog(tok, (tawny_token)t)) o->bias[n++] = (sampler_bias){(tawny_token)t, -INFINITY};
    o->p.bias = o->bias;
    o->p.n_bias = n;
    return -1;
}

/* The breakers with \n, \t, \r and \\ made what they mean, as llama.cpp does; "none" forgets those before it. */
static int make_breakers(sampler_opts *o, const char *command)
{
    size_t size = 0, n = 0;
    for (size_t i = 0; i < o->breakers.n; i++) size += strlen(o->breakers.items[i]) + 1;
    char *to = o->breaker_texts = malloc(size + 1);
    if (!to) return cli_fail(1, "out of memory");
    for (size_t i = 0; i < o->breakers.n; i++) {
        const char *s = o->breakers.items[i];
        if (strcmp(s, "none") == 0) {
            n = 0;
            continue;
        }
        o->breakers.items[n++] = to;
        for (; *s; s++) {
            bool escape = *s == '\\' && s[1];
            if (escape) s++;
            *to++ = !escape ? *s : *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s;
        }
        *to++ = 0;
    }
    if (n > SAMPLER_MAX_BREAKERS)
        return cli_fail(2, "%s: --dry-sequence-breaker: more than %d", command, SAMPLER_MAX_BREAKERS);
    o->p.dry_breakers = o->breakers.items;
    o->p.n_dry_breakers = (int)n;
    return -1;
}

int sampler_opts_resolve(sampler_opts *o, const char *command, const tokenizer *tok)
{
    tawny_error err;
    if (o->samplers && sampler_params_parse_chain(o->samplers, &o->p, &err)) return cli_fail_err(&err);
    if (o->letters && sampler_params_parse_letters(o->letters, &o->p, &err)) return cli_fail_err(&err);
    int code = o->breakers.n ? make_breakers(o, command) : -1;
    if (code < 0) code = make_biases(o, command, tok);
    if (code >= 0) return code;
    return sampler_params_check(&o->p, &err) ? cli_fail_err(&err) : -1;
}

tawny_status sampler_opts_new(const sampler_opts *o, const tokenizer *tok, size_t n_ctx, sampler **out,
                              tawny_error *err)
{
    sampler_vocab vocab = sampler_vocab_of(tok);
    return sampler_new(&o->p, (int)tok_n_vocab(tok), n_ctx, &vocab, out, err);
}
