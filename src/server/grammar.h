/* Compiled grammars that requests share: the same schema again is not compiled again, and the sets and masks that one
 * request's answers took are there for the next one's. */
#ifndef SERVER_GRAMMAR_H
#define SERVER_GRAMMAR_H

#include "../base/buf.h"
#include "../text/gbnf.h"

typedef struct grammar grammar; /* has owners, and does not change but for its idle matchers */

grammar *grammar_hold(grammar *g);
void grammar_drop(grammar *g); /* the last one frees it; NULL is fine */

/* ---- for the engine's thread ---- */

/* A matcher for one task: a used one where there is one, unless fresh. *used tells. */
tawny_status grammar_matcher(grammar *g, const gbnf_vocab *v, bool fresh, gbnf_matcher **out, bool *used, tawny_error *err);
void grammar_return(grammar *g, gbnf_matcher *m); /* kept while it is small; NULL is fine */

/* ---- the cache: those used lately ---- */

typedef struct grammar_cache grammar_cache;

/* Appends the grammar's text. */
typedef tawny_status grammar_maker(void *arg, buf *text, tawny_error *err);

grammar_cache *grammar_cache_new(const gbnf_tokens *tokens); /* NULL when out of memory */
void grammar_cache_free(grammar_cache *c);                   /* NULL is fine */

/* The grammar that `make` makes of what the n bytes of key say, from the cache or anew. */
tawny_status grammar_get(grammar_cache *c, const char *key, size_t n, grammar_maker *make, void *arg, grammar **out, tawny_error *err);

/* How often a grammar was found, and how often it had to be made. */
void grammar_cache_counts(grammar_cache *c, uint64_t *found, uint64_t *made);

#endif
