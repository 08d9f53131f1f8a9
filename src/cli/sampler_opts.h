/* The sampler's options, with llama.cpp's names, for every command that samples. */
#ifndef CLI_SAMPLER_OPTS_H
#define CLI_SAMPLER_OPTS_H

#include "../engine/sampler.h"
#include "../text/tokenizer.h"
#include "cli.h"

typedef struct sampler_opts {
    sampler_params p; /* start with sampler_opts_default() */
    const char *samplers, *letters;
    cli_list breakers, biases;
    bool ignore_eos;
    sampler_bias *bias; /* owned, as are the texts that breakers then points to */
    char *breaker_texts;
} sampler_opts;

/* llama.cpp's names and values. */
sampler_opts sampler_opts_default(void);
void sampler_opts_free(sampler_opts *o);

#define SAMPLER_OPTS(o)                                                                                              \
    {NULL, CLI_HEADING, NULL, NULL, "sampling (0 for --temp: always the most probable token)", 0, 0},                \
    {"-s --seed", CLI_U64, &(o).p.seed, "N", "of the random numbers (default: -1, a random one)", 0, 0},        \
    {"--temp --temperature", CLI_FLOAT, &(o).p.temp, "F", "temperature (default: 0.8)", 0, 1e6},                     \
    {"--top-k", CLI_INT, &(o).p.top_k, "N", "the N most probable (default: 40; 0: all)", 0, INT32_MAX},              \
    {"--top-p", CLI_FLOAT, &(o).p.top_p, "F", "the fewest that reach probability F (default: 0.95; 1: off)", 0, 1},  \
    {"--min-p", CLI_FLOAT, &(o).p.min_p, "F", "at least F times the best's (default: 0.05; 0: off)", 0, 1},          \
    {"--typical --typical-p", CLI_FLOAT, &(o).p.typ_p, "F", "locally typical (default: 1: off)", 0, 1},              \
    {"--top-nsigma --top-n-sigma", CLI_FLOAT, &(o).p.top_n_sigma, "F",                                               \
     "within F standard deviations of the best logit (default: -1: off)", -1, 1e6},                                  \
    {"--xtc-probability", CLI_FLOAT, &(o).p.xtc_probability, "F", "chance to exclude the top (default: 0)", 0, 1},  \
    {"--xtc-threshold", CLI_FLOAT, &(o).p.xtc_threshold, "F", "of those above F (default: 0.1)", 0, 1},              \
    {"--dynatemp-range", CLI_FLOAT, &(o).p.dynatemp_range, "F", "temperature +- F by entropy (default: 0)", 0, 1e6}, \
    {"--dynatemp-exp", CLI_FLOAT, &(o).p.dynatemp_exponent, "F", "its exponent (default: 1)", 0, 1e6},               \
    {"--repeat-last-n", CLI_INT, &(o).p.repeat_last_n, "N", "tokens that penalties look at (default: 64; -1: all)",  \
     -1, INT32_MAX},                                                                                                 \
    {"--repeat-penalty", CLI_FLOAT, &(o).p.repeat_penalty, "F", "divides repeated logits (default: 1: off)", 0, 1e6},\
    {"--presence-penalty", CLI_FLOAT, &(o).p.presence_penalty, "F", "off logits of what is there (default: 0)",      \
     -1e6, 1e6},                                                                                                     \
    {"--frequency-penalty", CLI_FLOAT, &(o).p.frequency_penalty, "F", "times its count (default: 0)", -1e6, 1e6},    \
    {"--dry-multiplier", CLI_FLOAT, &(o).p.dry_multiplier, "F", "against repeated sequences (default: 0: off)", 0,   \
     1e6},                                                                                                           \
    {"--dry-base", CLI_FLOAT, &(o).p.dry_base, "F", "(default: 1.75)", 0, 1e6},                                      \
    {"--dry-allowed-length", CLI_INT, &(o).p.dry_allowed_length, "N", "(default: 2)", 0, INT32_MAX},                 \
    {"--dry-penalty-last-n", CLI_INT, &(o).p.dry_penalty_last_n, "N", "(default: -1: all; 0: off)", -1,              \
     INT32_MAX},                                                                                                     \
    {"--dry-sequence-breaker", CLI_LIST, &(o).breakers, "TEXT", "in place of newline : \" * (\"none\": none)", 0, 0},\
    {"--mirostat", CLI_INT, &(o).p.mirostat, "N", "0: off (default), 1 or 2", 0, 2},                                 \
    {"--mirostat-lr", CLI_FLOAT, &(o).p.mirostat_eta, "F", "its learning rate, eta (default: 0.1)", 0, 1e6},         \
    {"--mirostat-ent", CLI_FLOAT, &(o).p.mirostat_tau, "F", "its target entropy, tau (default: 5)", 0, 1e6},         \
    {"--samplers", CLI_STR, &(o).samplers, "LIST", "their order: \"penalties;top_k;temperature\"", 0, 0},            \
    {"--sampler-seq --sampling-seq", CLI_STR, &(o).letters, "LETTERS", "the same as letters (\"edskypmxt\")", 0, 0}, \
    {"-l --logit-bias", CLI_LIST, &(o).biases, "ID(+/-)BIAS", "adds to a token's logit: 15043+1, 7-inf", 0, 0},      \
    {"--ignore-eos", CLI_FLAG, &(o).ignore_eos, NULL, "go on where the model would end", 0, 0}

/* The parameters made complete for a vocabulary; -1 or an exit code. */
int sampler_opts_resolve(sampler_opts *o, const char *command, const tokenizer *tok);

/* The sampler of these options. */
tawny_status sampler_opts_new(const sampler_opts *o, const tokenizer *tok, size_t n_ctx, sampler **out,
                              tawny_error *err);

#endif
