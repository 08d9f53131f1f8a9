/* Samplers: from logits to a token, with the names, order, defaults and meaning that llama.cpp made common.
 *
 * A token is a pure function of (logits, parameters, token history, seed, position): the random numbers are
 * Philox4x32-10 keyed by the seed, with the position and the draw as the counter, so nothing depends on what
 * was sampled before or beside. Mirostat alone has a memory, a sampler_state that the caller holds, copies
 * and puts back. Ties go to the lower token id. A token whose logit is -infinity is no candidate. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "../base/error.h"

typedef enum sampler_kind {
    SAMPLER_PENALTIES,
    SAMPLER_DRY,
    SAMPLER_TOP_N_SIGMA,
    SAMPLER_TOP_K,
    SAMPLER_TYP_P,
    SAMPLER_TOP_P,
    SAMPLER_MIN_P,
    SAMPLER_XTC,
    SAMPLER_TEMPERATURE,
    SAMPLER_KINDS
} sampler_kind;

enum { SAMPLER_MAX_CHAIN = 32, SAMPLER_MAX_BREAKERS = 64 };
#define SAMPLER_SEED_RANDOM UINT64_MAX /* -1: drawn from the system when the sampler is made */

typedef struct sampler_bias {
    tawny_token token;
    float bias; /* added to the logit; -infinity bans the token */
} sampler_bias;

typedef struct sampler_params {
    uint64_t seed;
    sampler_kind chain[SAMPLER_MAX_CHAIN]; /* applied in this order, then one token is drawn */
    int n_chain;
    int min_keep; /* truncating samplers leave at least so many candidates; 0: as 1 */

    int top_k;         /* the k best; 0: all */
    float top_p;       /* the fewest best tokens whose probabilities reach p; 1: off */
    float min_p;       /* those at least p times as probable as the best; 0: off */
    float typ_p;       /* locally typical: surprise nearest to the entropy, up to p; 1: off */
    float top_n_sigma; /* logits within n standard deviations of the best; <= 0: off */
    float xtc_probability, xtc_threshold; /* with this chance, all but the last of those above the threshold go */

    float temp;            /* <= 1e-6: the best token */
    float dynatemp_range;  /* > 0: from temp - range to temp + range, by the entropy */
    float dynatemp_exponent;

    int repeat_last_n; /* tokens of history that penalties look at; 0: off, -1: all */
    float repeat_penalty, frequency_penalty, presence_penalty;

    float dry_multiplier; /* 0: off */
    float dry_base;
    int dry_allowed_length;
    int dry_penalty_last_n; /* 0: off, -1: all */
    const char *const *dry_breakers; /* texts that end a repetition; used by sampler_new only */
    int n_dry_breakers;

    int mirostat; /* 0, 1 or 2; when on, the chain is temperature and mirostat alone */
    float mirostat_tau, mirostat_eta;

    const sampler_bias *bias; /* used by sampler_new only */
    size_t n_bias;
} sampler_params;

/* Seed -1, penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature, the usual DRY breakers. */
sampler_params sampler_params_default(void);

/* "top_k;top_p;temperature", names as in the list above, also with dashes or without underscores. */
tawny_status sampler_params_parse_chain(const char *names, sampler_params *p, tawny_error *err);
/* "edskypmxt": a letter a sampler (penalties, dry, sigma, k, typ, p, min, xtc, temperature). */
tawny_status sampler_params_parse_letters(const char *letters, sampler_params *p, tawny_error *err);
const char *sampler_name(sampler_kind k);

/* TAWNY_E_ARG with the name of the parameter out of range. */
tawny_status sampler_params_check(const sampler_params *p, tawny_error *err);

/* The vocabulary, as far as DRY's breakers want it. */
typedef struct sampler_vocab {
    void *ctx;
    const char *(*piece)(void *ctx, tawny_token t, size_t *n); /* a token's text */
    /* Tokenizes a text without special tokens; returns how many there are, of which cap at most are written. */
    size_t (*tokenize)(void *ctx, const char *text, size_t n, tawny_token *out, size_t cap);
} sampler_vocab;

/* Of a tokenizer, which must outlive its use. */
struct tokenizer;
sampler_vocab sampler_vocab_of(const struct tokenizer *t);

typedef struct sampler sampler;

/* n_vocab logits a call; of longer histories the last max_history tokens count. vocab may be NULL: no
 * breakers then. All memory is allocated here. A sampler is for one thread at a time. */
tawny_status sampler_new(const sampler_params *p, int n_vocab, size_t max_history, const sampler_vocab *vocab,
                         sampler **out, tawny_error *err);
void sampler_free(sampler *s); /* NULL is fine */
uint64_t sampler_seed(const sampler *s); /* the seed in use, random or given */

/* What a sequence carries from token to token. To roll back, put back a copy. */
typedef struct sampler_state {
    double mu; /* mirostat's */
} sampler_state;
void sampler_state_init(const sampler *s, sampler_state *state);

typedef struct sampler_input {
    const float *logits;        /* n_vocab */
    const uint64_t *allowed;    /* bit t % 64 of word t / 64: token t may be chosen; NULL: all may */
    const tawny_token *history; /* the tokens before, the prompt's too; ids outside the vocabulary count for none */
    size_t n_history;
    uint64_t position; /* of the token to sample */
} sampler_input;

/* TAWNY_E_ARG where a logit is NaN or +infinity or none is finite (among the allowed). state may be NULL
 * without mirostat. On failure state is as it was. */
tawny_status sampler_sample(sampler *s, sampler_state *state, const sampler_input *in, tawny_token *out,
                            tawny_error *err);

typedef struct sampler_prob {
    tawny_token token;
    float p;
    float logprob;
} sampler_prob;

/* The distribution that sampler_sample draws from, most probable first: cap at most; *n says how many there are. */
tawny_status sampler_distribution(sampler *s, const sampler_state *state, const sampler_input *in,
                                  sampler_prob *out, size_t cap, size_t *n, tawny_error *err);

/* softmax(logits) without any sampler: the top tokens, most probable first, and, where chosen is not NULL,
 * fills in p and logprob of chosen->token. */
tawny_status sampler_logprobs(sampler *s, const float *logits, sampler_prob *top, size_t n_top,
                              sampler_prob *chosen, tawny_error *err);

#endif
