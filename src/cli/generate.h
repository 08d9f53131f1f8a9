/* Answering: a model with its tokenizer, one session and a sampler, and the loop from prompt to text. */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "constraint.h"
#include "engine_opts.h"
#include "sampler_opts.h"
#include "spec_opts.h"

typedef struct generator {
    tawny_model *model, *draft; /* draft: NULL where there is none */
    tokenizer *tok;
    tawny_engine *engine;
    tawny_session *session;
    sampler *sampler;
    spec *spec; /* NULL: no speculation */
    sampler_opts *sampling; /* borrowed */
    constraint constraint;          /* a grammar, opened by the caller after the rest */
    tawny_fingerprint *fingerprint; /* NULL where nobody asked */
} generator;

/* What an answer took. Reading is the part of the prompt that the session did not hold already. */
typedef struct generate_stats {
    int n_prompt, n_read, n_answer; /* tokens */
    int n_steps, n_passes;          /* tokens computed for the answer, the first one needs none; passes over the weights */
    spec_counts guesses;
    double read_s, answer_s;
} generate_stats;

typedef enum generate_end { GENERATE_DONE, GENERATE_LIMIT, GENERATE_FULL, GENERATE_INTERRUPTED } generate_end;

/* Opens all of it; a bar on a terminal while pages of the file come from the disk. -1 or an exit code. */
int generator_open(generator *g, const engine_opts *e, const spec_opts *p, sampler_opts *s, const char *command, bool fingerprint);
void generator_close(generator *g);
/* From now on with the next seed: the same question may get another answer. */
tawny_status generator_reseed(generator *g, tawny_error *err);

/* Answers the prompt with up to max tokens (negative: as many as the context has room for). put receives
 * whole UTF-8 characters as they come. Ctrl-C ends it early, with what there is. */
typedef void generate_put(void *user, const char *text, size_t n);
tawny_status generate(generator *g, const tok_vec *prompt, int max, generate_put *put, void *user,
                      generate_stats *stats, generate_end *end, tawny_error *err);

/* One line on stderr: tokens, tokens a second, and the GB/s at which weights were read. */
void generate_report(const generator *g, const generate_stats *stats, generate_end end);

#endif
