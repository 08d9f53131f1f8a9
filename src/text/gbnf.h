/* Grammars in GBNF, llama.cpp's notation: which tokens may come next, so that the whole output matches.
 *
 * A grammar is compiled to a recursive transition network over bytes (classes of characters become UTF-8
 * ranges, so tokens may end inside of a character), and run by Earley's algorithm (CACM 13, 1970) with sets
 * that are values: two positions in the same situation have the same set, and its transitions are computed
 * once. Any grammar works, left-recursive and ambiguous ones too; time, memory and nesting have limits. */
#ifndef TEXT_GBNF_H
#define TEXT_GBNF_H

#include "../base/error.h"

/* A vocabulary, as grammars want it. What ctx and the pieces are must outlive whatever was made of it. */
typedef struct gbnf_tokens {
    void *ctx;
    int n;
    const char *(*piece)(void *ctx, tawny_token t, size_t *n); /* its bytes; none: by name only */
    bool (*ends)(void *ctx, tawny_token t);                    /* ends a generation */
    tawny_token (*find)(void *ctx, const char *text, size_t n); /* "<think>": the one token, or -1 */
} gbnf_tokens;

/* Of a tokenizer, which must outlive it. Control tokens have no bytes: only <name> in a grammar allows them. */
struct tokenizer;
gbnf_tokens gbnf_tokens_of(const struct tokenizer *t);

typedef struct gbnf gbnf;

/* n bytes of text with a rule `root`. tokens may be NULL: no <token> elements then. Errors are
 * TAWNY_E_FORMAT with line and column, TAWNY_E_LIMIT for what is too large. A gbnf does not change: any number
 * of matchers may use it. */
tawny_status gbnf_parse(const char *text, size_t n, const gbnf_tokens *tokens, gbnf **out, tawny_error *err);
void gbnf_free(gbnf *g); /* NULL is fine */
size_t gbnf_size(const gbnf *g); /* bytes that it takes */

/* The vocabulary in order of its bytes; one for any number of grammars and matchers. */
typedef struct gbnf_vocab gbnf_vocab;
tawny_status gbnf_vocab_new(const gbnf_tokens *tokens, gbnf_vocab **out, tawny_error *err);
void gbnf_vocab_free(gbnf_vocab *v);

/* Runs a grammar over a vocabulary, for one thread at a time. A place in the grammar is a number that stays
 * good as long as the matcher: keep it, copy it, come back to it. */
typedef struct gbnf_matcher gbnf_matcher;
typedef uint32_t gbnf_state;
enum { GBNF_DEAD = 0 }; /* no output that begins so matches */

/* vocab may be NULL: gbnf_bytes alone works then. */
tawny_status gbnf_matcher_new(const gbnf *g, const gbnf_vocab *vocab, gbnf_matcher **out, tawny_error *err);
void gbnf_matcher_free(gbnf_matcher *m);
size_t gbnf_matcher_size(const gbnf_matcher *m); /* bytes that it takes so far */
gbnf_state gbnf_start(const gbnf_matcher *m);
bool gbnf_complete(const gbnf_matcher *m, gbnf_state s); /* the output so far matches */

/* TAWNY_E_LIMIT where a grammar is too ambiguous. After a token that ends a generation the state stays. */
tawny_status gbnf_bytes(gbnf_matcher *m, gbnf_state from, const char *text, size_t n, gbnf_state *to,
                        tawny_error *err);
tawny_status gbnf_token(gbnf_matcher *m, gbnf_state from, tawny_token t, gbnf_state *to, tawny_error *err);

/* The tokens that may come next: *mask has bit t % 64 of word t / 64, good until the next call. Tokens that end a
 * generation are among them where the output is complete. *n says how many there are. */
tawny_status gbnf_allowed(gbnf_matcher *m, gbnf_state s, const uint64_t **mask, size_t *n, tawny_error *err);

#endif
