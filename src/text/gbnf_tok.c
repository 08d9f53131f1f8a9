/* Grammars: a tokenizer's vocabulary. */
#include "gbnf.h"
#include "tokenizer.h"

static const char *piece(void *ctx, tawny_token t, size_t *n) { return tok_piece(ctx, t, TOK_RAW_PIECES, n); }
static bool ends(void *ctx, tawny_token t) { return tok_is_eog(ctx, t); }
static tawny_token find(void *ctx, const char *text, size_t n) { return tok_find(ctx, text, n); }

gbnf_tokens gbnf_tokens_of(const tokenizer *t)
{
    union { /* a context is a void *; these functions only read */
        const tokenizer *in;
        void *out;
    } ctx = {.in = t};
    return (gbnf_tokens){ctx.out, (int)tok_n_vocab(t), piece, ends, find};
}
