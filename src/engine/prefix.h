/* The cache of prefixes: pasts of sequences, kept when no session has them any more, for whoever begins in the same way.
 *
 * A past is a path of blocks, each a page of the KV cache with its tokens, from the beginning on. Whole blocks are found
 * by XXH3 of their tokens chained to that of all before them; whatever is found counts only where its tokens are equal, block by
 * block. The last block of a past may have fewer tokens, and any may be used in part: pages are shared with sessions,
 * and copied by whoever writes to them. Where a model has a recurrent state a past can be gone on from only where a state was
 * kept with it. Blocks that nothing follows give way, the least recently used first, where the memory is used up. */
#ifndef ENGINE_PREFIX_H
#define ENGINE_PREFIX_H

#include "kv.h"

typedef struct prefix_cache prefix_cache;

typedef uint64_t prefix_hash(uint64_t before, const void *tokens, size_t bytes);

typedef struct prefix_params {
    uint64_t bytes;      /* memory at most: pages, states and what finds them */
    size_t state_bytes;  /* of a state with its logits; 0: the model has none */
    prefix_hash *hash;   /* NULL: hash_chain */
} prefix_params;

/* Whole pages at most that so many bytes hold: the pool has to have them beside those of sessions. */
int32_t prefix_pages(uint64_t bytes, size_t page_bytes);

/* The pool is borrowed. */
tawny_status prefix_new(kv_pool *pool, const prefix_params *p, prefix_cache **out, tawny_error *err);
void prefix_free(prefix_cache *c); /* NULL is fine */

/* The longest past that begins these tokens and can be gone on from: its n (0: there is none). */
typedef struct prefix_hit {
    int32_t block, n;
} prefix_hit;
prefix_hit prefix_find(const prefix_cache *c, const tawny_token *tokens, int32_t n);

/* The empty sequence shares its pages. Returns the state kept there, or NULL. */
const void *prefix_take(prefix_cache *c, prefix_hit hit, kv_seq *to);

/* Keeps the past of n tokens in these pages. state: at its end, with logits; NULL: none is known there. */
void prefix_keep(prefix_cache *c, const tawny_token *tokens, int32_t n, uint8_t *const *page, const void *state);

/* Drops what only this past has. */
void prefix_forget(prefix_cache *c, const tawny_token *tokens, int32_t n);

tawny_prefix_stats prefix_stats(const prefix_cache *c);

#endif
