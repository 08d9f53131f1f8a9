/* Speculation: guesses at the tokens that come next, which one pass over the weights then verifies together. Nothing
 * depends on them but the time: a token is a function of logits, parameters, history, seed and position, so each one is
 * sampled as it would be without, and a guess only says whether the logits after it are there already.
 *
 * A sequence's round, with its text in spec_text (n tokens, of which the session holds the first `have`):
 *   spec_guess adds k guesses after the text;
 *   tawny_session_mark, then a step over text[have .. n + k) with the logits of the last k + 1;
 *   row by row a token is sampled, and spec_add takes it: as long as it says that this was the guess, the next row counts;
 *   tawny_session_go_back to all of the text but its last token, where the session has more: guesses that were wrong. */
#ifndef ENGINE_SPEC_H
#define ENGINE_SPEC_H

#include "../tawny.h"
#include "../text/tokenizer.h"
#include "sampler.h"

enum { SPEC_MOST = 64, SPEC_USUAL = 8 };

typedef struct spec_params {
    bool ngram;          /* the text itself: what followed the last tokens where they stood before */
    tawny_model *draft;  /* a smaller model with the same tokens, asked where the text has no answer; NULL: none; borrowed */
    tawny_engine_params engine; /* the draft model's; its n_ctx is that of the sequences at most */
    int n_max, n_min;    /* tokens of a guess; n_min also where it is not worth its time, and fewer never */
    float p_min;         /* the draft model stops at a token that it gives less than this */
} spec_params;

typedef struct spec spec; /* for one thread at a time */

/* For n sequences of up to n_ctx tokens, which the model m computes. */
tawny_status spec_new(const tawny_model *m, const spec_params *p, int n, int32_t n_ctx, spec **out, tawny_error *err);
void spec_free(spec *s); /* before the draft model is closed; NULL is fine */

/* Sequence i is another one: the tokens of its prompt. */
void spec_begin(spec *s, int i, const tawny_token *prompt, int32_t n);
const tawny_token *spec_text(const spec *s, int i, int32_t *n); /* its tokens so far; guesses lie after them */
/* The next token. True where it was guessed. */
bool spec_add(spec *s, int i, tawny_token t);

typedef struct spec_ask {
    int i;                      /* the sequence */
    int most;                   /* guesses that there is room for */
    sampler *sampler;           /* that the tokens are chosen with, and its state: draws of the draft model are made alike */
    const sampler_state *state;
    int n;                      /* out: guesses, [n] after the text */
} spec_ask;

/* Guesses for sequences that will share a step, as many as are worth their time by what was guessed right so far. room:
 * tokens of prompts that the draft model may read now; a sequence that it has not read has no guess of it yet. */
void spec_guess(spec *s, spec_ask *asks, int n, int32_t room);

/* How long a step took that had so many tokens, and no prompts: what another one costs is learned from it. */
void spec_took(spec *s, int tokens, double ms);

typedef struct spec_counts {
    uint64_t guessed, right;
} spec_counts;
spec_counts spec_counts_of(const spec *s, int i); /* since spec_begin */
const char *spec_trouble(const spec *s);          /* why the draft model is not asked any more; NULL: it is, or there is none */

/* TAWNY_E_ARG with the first difference, where the draft's tokens are not the model's. Tokens that only one of them has
 * must be unused ones, as those that vocabularies are padded with. */
tawny_status spec_same_tokens(const tokenizer *of_model, const tokenizer *of_draft, const char *draft_path, tawny_error *err);

#endif
