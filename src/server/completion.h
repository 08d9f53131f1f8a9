/* What requests for a completion share, whatever their door: sampling, length, stop texts, grammars. */
#ifndef SERVER_COMPLETION_H
#define SERVER_COMPLETION_H

#include "../text/answer_grammar.h"
#include "exchange.h"

typedef struct completion {
    sampler_params sampling;
    int max_tokens, n;
    bool stream, ignore_eos, cache_prompt, fingerprint;
    const json_t *stop, *logit_bias, *breakers, *samplers;
    const char *grammar;
    const json_t *json_schema;
    const char *schema_field; /* where json_schema stands; NULL: under its own name */
    int n_top; /* -1: no log probabilities */

    /* of chats, as prompt_make leaves it */
    answer_frame frame;       /* what may stand around the content */
    const json_t *tools;      /* whose calls are enforced; NULL: none */
    const char *only;         /* of them; NULL: any */
    answer_must must;
    bool one_call;
} completion;

/* Starts with the server's own values. */
void completion_defaults(const server *sv, completion *c);

/* Sampling parameters under llama-server's and OpenAI's names, for tables of requests that begin with a completion. */
extern const param completion_sampling[];

/* n tasks (seeds in a row) for the prompt, which is copied; into tasks[n]. false after a reply that names the field. */
enum { COMPLETION_MAX_N = 16 };
bool completion_tasks(exchange *x, const completion *c, const tok_vec *prompt, bool special, task **tasks);

/* The tokens of a prompt: a text (with what the model wants before it; control tokens in it are those tokens, as with
 * llama-server), token ids, or a list of both. false after a reply. */
bool completion_prompt(exchange *x, const json_t *from, tok_vec *out);

/* The same under another field's name, with flags of tok_encode: TOK_ADD_SPECIAL counts for a text at the beginning. */
bool completion_mixed(exchange *x, const json_t *from, const char *field, unsigned flags, tok_vec *out);

/* Fields that mean something this server cannot do: where one is there and not empty, true after a reply. Ended by NULL. */
typedef struct completion_refusal {
    const char *name, *why;
} completion_refusal;
bool completion_refuses(exchange *x, const completion_refusal *list);

/* Why a choice ended, in OpenAI's words: "stop", "length", "tool_calls". */
/* The arguments of one of a choice's calls, as an object: of those that have no end, the members that have. New. */
json_t *completion_arguments(const json_t *call);
const char *completion_reason(const choice *c);

/* Token counts over all choices: of prompts once. */
typedef struct completion_usage {
    int prompt, cached, answer, reasoning;
} completion_usage;
completion_usage completion_usage_of(const exchange *x);

/* llama-server's "timings" of a choice, so far. */
json_t *completion_timings(const choice *c);

#endif
