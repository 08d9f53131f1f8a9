/* Inside speculation: the text as its own source of guesses (spec_ngram.c), a draft model (spec_draft.c), and who chooses
 * between them and for how long (spec.c). */
#ifndef ENGINE_SPEC_INT_H
#define ENGINE_SPEC_INT_H

#include "spec.h"

/* Where the last two tokens of each place in a text were before: chains by hash, the latest first. */
typedef struct ngram {
    int32_t *head; /* [NGRAM_HEADS]: the last place + 1; 0: none */
    int32_t *prev; /* [n_ctx]: of a place, the one before it + 1 */
    int32_t n;     /* places that are in it */
} ngram;

bool ngram_new(ngram *g, int32_t n_ctx);
void ngram_free(ngram *g);
void ngram_clear(ngram *g);
/* The place after the longest earlier match of the end of the text, the latest of these; -1: none of two tokens at least. The
 * text is as it was at the last call, and longer. */
int32_t ngram_find(ngram *g, const tawny_token *text, int32_t n, int *length);

enum { NGRAM_LONGEST = 16 }; /* matches are not told apart beyond */

/* A sequence as a draft model wants it: tokens, and its guesses from out on. */
typedef struct draft_ask {
    const tawny_token *text;
    int32_t n;
    int stream, most;
    sampler *sampler;
    sampler_state state;
    tawny_token *out;
    int n_out;
} draft_ask;

typedef struct draft draft;
tawny_status draft_new(tawny_model *m, const tawny_engine_params *p, int n, int32_t n_vocab, float p_min, draft **out,
                       tawny_error *err);
void draft_free(draft *d);
/* Guesses for all asks, a token of each in a pass. Reads up to `room` tokens of texts. */
tawny_status draft_guess(draft *d, draft_ask *asks, int n, int32_t room, tawny_error *err);

#endif
