/* Fuzz target: a grammar, NUL, an output. Whatever the grammar is, the mask agrees with single tokens. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/gbnf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { END = 256, WORDS = 257 }; /* the bytes, and an end */

static const char *piece(void *ctx, tawny_token t, size_t *n)
{
    static char all[256];
    (void)ctx;
    *n = t < END;
    if (t >= END) return "";
    all[t] = (char)t;
    return &all[t];
}
static bool ends(void *ctx, tawny_token t) { return (void)ctx, t == END; }
static tawny_token find(void *ctx, const char *text, size_t n) { return (void)ctx, n > 2 ? (uint8_t)text[1] : -1; }

static void compare(gbnf_matcher *m, gbnf_state s)
{
    const uint64_t *mask;
    size_t n;
    gbnf_state to;
    if (gbnf_allowed(m, s, &mask, &n, NULL) != TAWNY_OK) return;
    for (tawny_token t = 0; t < WORDS; t++) {
        if (gbnf_token(m, s, t, &to, NULL) != TAWNY_OK) return;
        if ((mask[t / 64] >> t % 64 & 1) != (to != GBNF_DEAD)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const gbnf_tokens tokens = {NULL, WORDS, piece, ends, find};
    const uint8_t *cut = memchr(data, 0, size);
    size_t n = cut ? (size_t)(cut - data) : size;
    gbnf *g = NULL;
    gbnf_vocab *v = NULL;
    gbnf_matcher *m = NULL;
    tawny_error e;
    if (size < 1 << 16 && gbnf_parse((const char *)data, n, &tokens, &g, &e) == TAWNY_OK &&
        gbnf_vocab_new(&tokens, &v, &e) == TAWNY_OK && gbnf_matcher_new(g, v, &m, &e) == TAWNY_OK) {
        gbnf_state s = gbnf_start(m);
        compare(m, s);
        for (size_t i = n + 1; i < size && s; i++)
            if (gbnf_bytes(m, s, (const char *)data + i, 1, &s, &e) != TAWNY_OK) break;
        compare(m, s);
    }
    gbnf_matcher_free(m);
    gbnf_vocab_free(v);
    gbnf_free(g);
    return 0;
}
