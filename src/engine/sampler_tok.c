/* Samplers: a tokenizer's vocabulary. */
#include <string.h>

#include "../text/tokenizer.h"
#include "sampler.h"

static const char *piece(void *ctx, tawny_token t, size_t *n) { return tok_piece(ctx, t, TOK_SPECIAL, n); }

static size_t tokenize(void *ctx, const char *text, size_t n, tawny_token *out, size_t cap)
{
    tok_vec v = {0};
    size_t found = tok_encode(ctx, text, n, 0, &v, NULL) ? 0 : v.n;
    if (found && cap) memcpy(out, v.v, (found < cap ? found : cap) * sizeof *out);
    tok_vec_free(&v);
    return found;
}

sampler_vocab sampler_vocab_of(const tokenizer *t)
{
    union { /* a context is a void *; these functions only read */
        const tokenizer *in;
        void *out;
    } ctx = {.in = t};
    return (sampler_vocab){.ctx = ctx.out, .piece = piece, .tokenize = tokenize};
}
