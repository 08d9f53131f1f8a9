/* Compiled grammars that requests share: the same schema again is not compiled again, and the sets and masks that one
 * request's answers took are there for the next one's. */
#ifndef SERVER_GRAMMAR_H
#define SERVER_GRAMMAR_H

#include "../base/buf.h"
#include "../text/gbnf.h"

typedef struct grammar grammar; /* has owners, and does not change but for its matchers */

grammar *grammar_hold(grammar *g);
void grammar_drop(grammar *g); /* the last one frees it; NULL is fine */

/* ---- for the engine's thread ---- */

/* A matcher for a task: one that others use or used too, or, with `fresh`, one of its own. One that has become large gets no
 * new users, and ends with its last one. */
tawny_status grammar_matcher(grammar *g, const gbnf_vocab *v, bool fresh, gbnf_matcher **out, bool *shared, tawny_error *err);
void grammar_return(grammar *g, gbnf_matcher *m);

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
