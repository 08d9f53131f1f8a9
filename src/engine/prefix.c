#include "prefix.h"

#include <stdlib.h>
#include <string.h>

#include "../base/hash.h"

enum { ROOT = 0, MOST_BLOCKS = 1 << 16 };

/* Number 0 is the root, which has no tokens; everywhere else 0 is none. */
typedef struct block {
    uint64_t hash;                 /* of all tokens to its end; of whole blocks */
    uint8_t *page;
    void *state;                   /* NULL: none */
    int32_t parent, child, next, prev; /* child: the first; next, prev: its siblings */
    int32_t same_bucket;
    int32_t older, newer;          /* a parent is used when its children are, and counts as used after them */
    int32_t n, end;                /* tokens in it, and up to its end */
    tawny_token token[SIMD_PAGE];
} block;

struct prefix_cache {
    kv_pool *pool;
    prefix_hash *hash;
    block *b;                      /* [most + 1] */
    int32_t *bucket;               /* [mask + 1] */
    uint64_t mask;
    int32_t most, used, unused;    /* unused: the first of a list by next; used: so many were ever */
    int32_t oldest, newest;
    size_t state_bytes;
    tawny_prefix_stats stats;
};

static size_t cost(size_t page_bytes) { return page_bytes + sizeof(block); }

int32_t prefix_pages(uint64_t bytes, size_t page_bytes)
{
    uint64_t n = bytes / cost(page_bytes);
    return n < MOST_BLOCKS ? (int32_t)n : MOST_BLOCKS;
}

tawny_status prefix_new(kv_pool *pool, const prefix_params *p, prefix_cache **out, tawny_error *err)
{
    *out = NULL;
    prefix_cache *c = calloc(1, sizeof *c);
    if (!c) return err_nomem(err);
    c->pool = pool;
    c->hash = p->hash ? p->hash : hash_chain;
    c->most = prefix_pages(p->bytes, pool->page_bytes);
    c->state_bytes = p->state_bytes;
    c->stats.most_bytes = p->bytes;
    for (c->mask = 63; c->mask < (uint64_t)c->most;) c->mask = 2 * c->mask + 1;
    c->b = calloc((size_t)c->most + 1, sizeof *c->b); /* large ones are memory only where they are used */
    c->bucket = calloc(c->mask + 1, sizeof *c->bucket);
    if (!c->b || !c->bucket) {
        prefix_free(c);
        return err_nomem(err);
    }
    *out = c;
    return TAWNY_OK;
}

void prefix_free(prefix_cache *c)
{
    if (!c) return;
    for (int32_t i = 1; c->b && i <= c->used; i++) free(c->b[i].state);
    free(c->b);
    free(c->bucket);
    free(c);
}

/* ---- lists ---- */

static void unlink_use(prefix_cache *c, int32_t i)
{
    const block *x = &c->b[i];
    if (x->older) c->b[x->older].newer = x->newer;
    else c->oldest = x->newer;
    if (x->newer) c->b[x->newer].older = x->older;
    else c->newest = x->older;
}

static void link_use(prefix_cache *c, int32_t i)
{
    c->b[i].older = c->newest;
    c->b[i].newer = 0;
    if (c->newest) c->b[c->newest].newer = i;
    else c->oldest = i;
    c->newest = i;
}

/* A path is used, from its end to its beginning. */
static void touch(prefix_cache *c, int32_t i)
{
    for (; i != ROOT; i = c->b[i].parent) {
        unlink_use(c, i);
        link_use(c, i);
    }
}

static int32_t *bucket_of(const prefix_cache *c, uint64_t hash) { return &c->bucket[(hash ^ hash >> 32) & c->mask]; }

static void drop_state(prefix_cache *c, block *x)
{
    if (!x->state) return;
    free(x->state);
    x->state = NULL;
    c->stats.bytes -= c->state_bytes;
}

/* A block that nothing follows. */
static void drop(prefix_cache *c, int32_t i)
{
    block *x = &c->b[i];
    if (x->n == SIMD_PAGE) {
        int32_t *at = bucket_of(c, x->hash);
        while (*at != i) at = &c->b[*at].same_bucket;
        *at = x->same_bucket;
    }
    if (x->prev) c->b[x->prev].next = x->next;
    else c->b[x->parent].child = x->next;
    if (x->next) c->b[x->next].prev = x->prev;
    unlink_use(c, i);
    drop_state(c, x);
    kv_page_drop(c->pool, x->page);
    c->stats.bytes -= cost(c->pool->page_bytes);
    c->stats.blocks--;
    x->next = c->unused;
    c->unused = i;
}

/* Makes room for so many bytes, and a block; false where only the path that ends in `end` could still give way. */
static bool make_room(prefix_cache *c, size_t bytes, bool new_block, int32_t end)
{
    while (bytes > c->stats.most_bytes - c->stats.bytes || (new_block && c->stats.blocks >= c->most)) {
        int32_t i = c->oldest;
        if (i == ROOT || i == end || c->b[i].child) return false;
        drop(c, i);
        c->stats.evicted++;
    }
    return true;
}

/* ---- looking ---- */

static int32_t equal(const tawny_token *a, const tawny_token *b, int32_t most)
{
    int32_t n = 0;
    while (n < most && a[n] == b[n]) n++;
    return n;
}

/* The whole block after `parent` that has these tokens. */
static int32_t find_whole(const prefix_cache *c, int32_t parent, uint64_t hash, const tawny_token *tokens)
{
    int32_t i = *bucket_of(c, hash);
    while (i && !(c->b[i].hash == hash && c->b[i].parent == parent && equal(c->b[i].token, tokens, SIMD_PAGE) == SIMD_PAGE))
        i = c->b[i].same_bucket;
    return i;
}

/* Where the whole blocks of a past end that are there. */
static int32_t walk(const prefix_cache *c, const tawny_token *tokens, int32_t n, uint64_t *hash)
{
    int32_t at = ROOT;
    *hash = 0;
    while (n - c->b[at].end >= SIMD_PAGE) {
        const tawny_token *t = tokens + c->b[at].end;
        uint64_t h = c->hash(*hash, t, SIMD_PAGE * sizeof *t);
        int32_t i = find_whole(c, at, h, t);
        if (!i) break;
        at = i;
        *hash = h;
    }
    return at;
}

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* The longest part of a block after `at` that goes on like these tokens; with whole: blocks with a state, to their ends. */
static prefix_hit find_after(const prefix_cache *c, int32_t at, const tawny_token *tokens, int32_t n, bool whole)
{
    prefix_hit best = {0};
    int32_t end = c->b[at].end;
    for (int32_t i = c->b[at].child; i; i = c->b[i].next) {
        const block *x = &c->b[i];
        int32_t same = equal(x->token, tokens + end, least(x->n, n - end));
        if (whole && (!x->state || same < x->n)) continue;
        if (same && end + same > best.n) best = (prefix_hit){i, end + same};
    }
    return best;
}

prefix_hit prefix_find(const prefix_cache *c, const tawny_token *tokens, int32_t n)
{
    uint64_t hash;
    int32_t at = walk(c, tokens, n, &hash);
    if (!c->state_bytes) {
        prefix_hit part = find_after(c, at, tokens, n, false);
        return part.n ? part : (prefix_hit){at, c->b[at].end};
    }
    for (;; at = c->b[at].parent) {
        prefix_hit hit = find_after(c, at, tokens, n, true);
        if (hit.n || at == ROOT) return hit;
    }
}

const void *prefix_take(prefix_cache *c, prefix_hit hit, kv_seq *to)
{
    const block *x = &c->b[hit.block];
    for (int32_t i = hit.block; i != ROOT; i = c->b[i].parent) {
        int32_t no = (c->b[i].end - 1) / SIMD_PAGE;
        to->page[no] = c->b[i].page;
        kv_page_hold(c->pool, c->b[i].page);
    }
    to->n_pages = (x->end + SIMD_PAGE - 1) / SIMD_PAGE;
    to->n_tokens = hit.n;
    touch(c, hit.block);
    c->stats.hits++;
    c->stats.tokens += (uint64_t)hit.n;
    return x->state;
}

/* ---- keeping ---- */

/* A block after `parent`; 0 where there is no room. */
static int32_t add(prefix_cache *c, int32_t parent, uint64_t hash, const tawny_token *tokens, int32_t n, uint8_t *page)
{
    if (!make_room(c, cost(c->pool->page_bytes), true, parent)) return 0;
    int32_t i = c->unused, first = c->b[parent].child;
    if (i) c->unused = c->b[i].next;
    else i = ++c->used;
    c->b[i] = (block){.hash = hash, .page = page, .parent = parent, .next = first, .n = n, .end = c->b[parent].end + n};
    memcpy(c->b[i].token, tokens, (size_t)n * sizeof *tokens);
    if (first) c->b[first].prev = i;
    c->b[parent].child = i;
    if (n == SIMD_PAGE) {
        int32_t *at = bucket_of(c, hash);
        c->b[i].same_bucket = *at;
        *at = i;
    }
    link_use(c, i);
    kv_page_hold(c->pool, page);
    c->stats.bytes += cost(c->pool->page_bytes);
    c->stats.blocks++;
    return i;
}

/* The last n < SIMD_PAGE tokens of a past, after `at`. Where no states are kept a longer block does as well, and one that is
 * longer now replaces what it was. */
static int32_t add_rest(prefix_cache *c, int32_t at, const tawny_token *tokens, int32_t n, uint8_t *page)
{
    for (int32_t i = c->b[at].child, next; i; i = next) {
        const block *x = &c->b[i];
        next = x->next;
        int32_t same = equal(x->token, tokens, least(n, x->n));
        if (same == n && (x->n == n || !c->state_bytes)) return i;
        if (same == x->n && !c->state_bytes) drop(c, i);
    }
    return add(c, at, 0, tokens, n, page);
}

static void add_state(prefix_cache *c, int32_t at, const void *state)
{
    block *x = &c->b[at];
    if (x->state || !make_room(c, c->state_bytes, false, at) || !(x->state = malloc(c->state_bytes))) return;
    memcpy(x->state, state, c->state_bytes);
    c->stats.bytes += c->state_bytes;
}

void prefix_keep(prefix_cache *c, const tawny_token *tokens, int32_t n, uint8_t *const *page, const void *state)
{
    uint64_t hash;
    int32_t at = walk(c, tokens, n, &hash);
    touch(c, at); /* it must not give way now */
    for (int32_t next; n - c->b[at].end >= SIMD_PAGE; at = next) {
        int32_t end = c->b[at].end;
        hash = c->hash(hash, tokens + end, SIMD_PAGE * sizeof *tokens);
        if (!(next = add(c, at, hash, tokens + end, SIMD_PAGE, page[end / SIMD_PAGE]))) break;
    }
    int32_t end = c->b[at].end, rest = n - end;
    if (rest > 0 && rest < SIMD_PAGE && (state || !c->state_bytes)) {
        int32_t last = add_rest(c, at, tokens + end, rest, page[end / SIMD_PAGE]);
        if (last) at = last;
    }
    if (state && at != ROOT && c->b[at].end == n) add_state(c, at, state);
    touch(c, at);
}

void prefix_forget(prefix_cache *c, const tawny_token *tokens, int32_t n)
{
    uint64_t hash;
    int32_t at = walk(c, tokens, n, &hash), end = c->b[at].end;
    for (int32_t i = c->b[at].child, next; i; i = next) {
        const block *x = &c->b[i];
        next = x->next;
        int32_t shared = least(n - end, x->n);
        if (!x->child && shared && equal(x->token, tokens + end, shared) == shared) drop(c, i);
    }
    while (at != ROOT && !c->b[at].child) {
        int32_t parent = c->b[at].parent;
        drop(c, at);
        at = parent;
    }
}

tawny_prefix_stats prefix_stats(const prefix_cache *c) { return c->stats; }
