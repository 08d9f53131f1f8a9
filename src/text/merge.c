/* Byte-pair merges of one piece, for BPE (ranked pairs) and SentencePiece (scored results) alike. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "tok_int.h"
#include "unicode.h"

enum { CACHE_KEY = 22, CACHE_IDS = 8, CACHE_MAX = 1 << 14, SHORT = 48 };

/* A piece and its tokens, one cache line; a newer one takes the place of an older one. */
typedef struct cached {
    uint64_t hash;
    uint8_t n_key, n_ids; /* n_key 0: empty */
    char key[CACHE_KEY];
    int32_t ids[CACHE_IDS];
} cached;

struct tok_work {
    const tokenizer *t;
    bool guarded;
    cached *cache;
    size_t mask;
    buf text[2];
    tok_symbol *symbols;
    size_t cap_symbols;
};

tok_work *tok_work_new(const tokenizer *t, size_t text_bytes, bool guarded)
{
    tok_work *w = calloc(1, sizeof *w);
    size_t n = 1;
    if (!w) return NULL;
    w->t = t;
    w->guarded = guarded;
    while (n < CACHE_MAX && n < text_bytes / 8) n *= 2;
    w->mask = n - 1;
    w->cache = calloc(n, sizeof *w->cache);
    if (w->cache) return w;
    free(w);
    return NULL;
}

static void free_symbols(tok_work *w)
{
    if (w->cap_symbols) munmap(w->symbols, w->cap_symbols * sizeof *w->symbols);
    w->cap_symbols = 0;
}

void tok_work_free(tok_work *w)
{
    if (!w) return;
    free(w->cache);
    free_symbols(w);
    buf_free(&w->text[0]);
    buf_free(&w->text[1]);
    free(w);
}

buf *tok_work_text(tok_work *w, int which)
{
    buf_clear(&w->text[which]);
    return &w->text[which];
}

static bool allowed(const tokenizer *t, bool guarded, tawny_token id)
{
    return !guarded || !(t->attr[id] & (TOK_CONTROL | TOK_MARKUP));
}

bool tok_work_allows(const tok_work *w, tawny_token id) { return allowed(w->t, w->guarded, id); }

/* Floats in descending order as integers in ascending order. */
static uint32_t rank_of_score(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return ~(u >> 31 ? ~u : u | 0x80000000u);
}

uint64_t tok_pair_hash(uint64_t pair)
{
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return pair ^ pair >> 32;
}

size_t tok_pair_slot(const tokenizer *t, uint64_t pair)
{
    size_t k = (size_t)tok_pair_hash(pair) & t->merge_mask;
    while (t->merges[k].pair != pair && t->merges[k].pair != UINT64_MAX) k = (k + 1) & t->merge_mask;
    return k;
}

static uint32_t pair_by_merges(const tokenizer *t, int32_t left, int32_t right, int32_t *id)
{
    if (left < 0 || right < 0) return TOK_NO_RANK;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t bit = (size_t)(tok_pair_hash(pair) >> 7) & t->filter_mask;
    if (!(t->merge_filter[bit / 64] >> bit % 64 & 1)) return TOK_NO_RANK;
    const tok_merge *m = &t->merges[tok_pair_slot(t, pair)];
    *id = m->id;
    return m->pair == UINT64_MAX ? TOK_NO_RANK : m->rank;
}

uint32_t tok_pair(const tokenizer *t, bool guarded, const char *p, uint32_t from, uint32_t to, int32_t left,
                  int32_t right, int32_t *id)
{
    uint32_t rank;
    if (t->kind == TOK_BPE) {
        rank = pair_by_merges(t, left, right, id);
    } else {
        *id = to - from <= t->max_len ? tok_index_find(&t->index, p + from, to - from) : TOK_NONE;
        rank = *id == TOK_NONE ? TOK_NO_RANK : rank_of_score(t->score[*id]);
    }
    return rank != TOK_NO_RANK && allowed(t, guarded, *id) ? rank : TOK_NO_RANK;
}

/* The symbol at p: its length, and its token where it is one. */
static uint32_t first_symbol(const tokenizer *t, const char *p, size_t n, int32_t *id)
{
    if (t->kind == TOK_BPE && !(t->pre_flags & PRE_RAW)) return *id = t->byte_token[(unsigned char)*p], 1u;
    uint32_t len = uni_lead(*p);
    if (len > n) len = (uint32_t)n;
    *id = tok_index_find(&t->index, p, len);
    return len;
}

/* A symbol that is no token, as its bytes. */
static bool add_bytes(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    for (size_t i = 0; i < n; i++) {
        tawny_token id = t->byte_token[(unsigned char)p[i]];
        if (id == TOK_NONE && t->kind == TOK_SPM) id = t->special[TOK_UNK];
        if (id != TOK_NONE && !tok_vec_add(out, id)) return false;
    }
    return true;
}

static bool add_symbol(const tokenizer *t, int32_t id, const char *p, size_t n, tok_vec *out)
{
    return id >= 0 ? tok_vec_add(out, id) : add_bytes(t, p, n, out);
}

typedef struct symbol {
    uint32_t at, rank; /* rank: of the pair that starts here */
    int32_t id, to;
} symbol;

static void rank_pair(const tok_work *w, const char *p, size_t n, symbol *s, unsigned i, unsigned count)
{
    if (i + 1 >= count) {
        s[i].rank = TOK_NO_RANK;
        return;
    }
    uint32_t end = i + 2 < count ? s[i + 2].at : (uint32_t)n;
    s[i].rank = tok_pair(w->t, w->guarded, p, s[i].at, end, s[i].id, s[i + 1].id, &s[i].to);
}

/* At most SHORT bytes: looks through all pairs for each merge. */
static bool merge_short(tok_work *w, const char *p, size_t n, tok_vec *out)
{
    symbol s[SHORT];
    unsigned count = 0;
    for (size_t i = 0; i < n; count++) {
        s[count].at = (uint32_t)i;
        i += first_symbol(w->t, p + i, n - i, &s[count].id);
    }
    for (unsigned i = 0; i < count; i++) rank_pair(w, p, n, s, i, count);
    for (;;) {
        unsigned best = 0;
        for (unsigned i = 1; i < count; i++)
            if (s[i].rank < s[best].rank) best = i;
        if (s[best].rank == TOK_NO_RANK) break;
        s[best].id = s[best].to;
        count--;
        memmove(s + best + 1, s + best + 2, (count - best - 1) * sizeof *s);
        rank_pair(w, p, n, s, best, count);
        if (best) rank_pair(w, p, n, s, best - 1, count);
    }
    for (unsigned i = 0; i < count; i++)
        if (!add_symbol(w->t, s[i].id, p + s[i].at, (i + 1 < count ? s[i + 1].at : n) - s[i].at, out)) return false;
    return true;
}

/* Memory from the system, in large pages where it has them: these pieces are the worst case, and first use of it
 * would cost more than the merges. */
static bool grow_symbols(tok_work *w, size_t n)
{
    n = (n + 0xfff) & ~(size_t)0xfff;
    free_symbols(w);
    void *p = mmap(NULL, n * sizeof *w->symbols, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    madvise(p, n * sizeof *w->symbols, MADV_HUGEPAGE);
    w->symbols = p;
    w->cap_symbols = n;
    return true;
}

static uint32_t count_symbols(const tokenizer *t, const char *p, size_t n)
{
    uint32_t count = 0;
    if (t->kind == TOK_BPE && !(t->pre_flags & PRE_RAW)) return (uint32_t)n;
    for (size_t i = 0; i < n; i += uni_lead(p[i])) count++;
    return count;
}

static bool merge_long(tok_work *w, const char *p, size_t n, tok_vec *out)
{
    uint32_t count = count_symbols(w->t, p, n), at = 0;
    if (count >= w->cap_symbols && !grow_symbols(w, count + 1)) return false;
    tok_symbols all = {w->t, p, w->guarded, count, w->symbols};
    tok_symbol *s = all.s;
    for (uint32_t i = 0; i < count; i++) {
        s[i].at = at;
        s[i].prev = i - 1;
        s[i].next = i + 1;
        at += first_symbol(w->t, p + at, n - at, &s[i].id);
    }
    s[count].at = (uint32_t)n;
    if (!tok_merge_long(&all)) return false;
    for (uint32_t i = 0; i < count; i = s[i].next)
        if (!add_symbol(w->t, s[i].id, p + s[i].at, s[s[i].next].at - s[i].at, out)) return false;
    return true;
}

bool tok_merge_piece(tok_work *w, const char *p, size_t n, tok_vec *out)
{
    if (n == 0) return true;
    if (n > SHORT) return merge_long(w, p, n, out);
    if (n > CACHE_KEY) return merge_short(w, p, n, out);
    uint64_t hash = XXH3_64bits(p, n);
    cached *c = &w->cache[hash & w->mask];
    if (c->hash == hash && c->n_key == n && memcmp(c->key, p, n) == 0) {
        for (unsigned i = 0; i < c->n_ids; i++)
            if (!tok_vec_add(out, c->ids[i])) return false;
        return true;
    }
    size_t from = out->n;
    if (!merge_short(w, p, n, out)) return false;
    if (out->n - from > CACHE_IDS) return true;
    c->hash = hash;
    c->n_key = (uint8_t)n;
    c->n_ids = (uint8_t)(out->n - from);
    memcpy(c->key, p, n);
    if (c->n_ids) memcpy(c->ids, out->v + from, c->n_ids * sizeof *c->ids);
    return true;
}

/* A character's bytes as a number. */
static uint32_t key_of(const char *p, size_t len)
{
    uint32_t k = 0;
    for (size_t i = 0; i < len; i++) k = k << 8 | (unsigned char)p[i];
    return k;
}

static uint32_t neighbours(uint32_t a, uint32_t b)
{
    return (uint32_t)((a * UINT64_C(0x9e3779b97f4a7c15) + b) * UINT64_C(0xd1b54a32d192ed03) >>
                      (64 - TOK_NEIGHBOUR_BITS));
}

bool tok_find_neighbours(tokenizer *t)
{
    t->neighbours = arena_array(t->mem, (1u << TOK_NEIGHBOUR_BITS) / 64, sizeof *t->neighbours);
    for (uint32_t i = 0; i < t->n && t->neighbours; i++) {
        const tok_str *s = &t->text[i];
        uint32_t before = 0;
        for (uint32_t k = 0, len; k < s->n; k += len) {
            len = uni_lead(s->p[k]) < s->n - k ? uni_lead(s->p[k]) : s->n - k;
            uint32_t key = key_of(s->p + k, len), bit = neighbours(before, key);
            if (k) t->neighbours[bit / 64] |= UINT64_C(1) << bit % 64;
            before = key;
        }
    }
    return t->neighbours != NULL;
}

size_t tok_next_cut(const tokenizer *t, const char *p, size_t n)
{
    uint32_t before = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = uni_lead(p[i]) < n - i ? uni_lead(p[i]) : n - i;
        uint32_t key = key_of(p + i, len), bit = neighbours(before, key);
        if (i && !(t->neighbours[bit / 64] >> bit % 64 & 1)) return i;
        before = key;
    }
    return n;
}

bool tok_merge_text(tok_work *w, const char *p, size_t n, tok_vec *out)
{
    while (n) {
        size_t cut = tok_next_cut(w->t, p, n);
        if (!tok_merge_piece(w, p, cut, out)) return false;
        p += cut;
        n -= cut;
    }
    return true;
}
