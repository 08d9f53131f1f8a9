#include "grammar.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 32, MOST_KEPT = 8 << 20 /* bytes of a matcher */, MOST_CACHED = 16 << 20 /* of a compiled grammar */ };

typedef struct lent {
    gbnf_matcher *m;
    int users;
    struct lent *next;
} lent;

struct grammar {
    _Atomic int owners;
    gbnf *g;
    lent *all, *now; /* now: the one for new tasks, NULL: there is none */
};

typedef struct entry {
    char *key;
    size_t n;
    grammar *g;
    uint64_t used;
} entry;

struct grammar_cache {
    gbnf_tokens tokens;
    pthread_mutex_t lock; /* guards all below */
    entry entry[ENTRIES];
    uint64_t now, found, made;
};

grammar *grammar_hold(grammar *g)
{
    if (g) atomic_fetch_add(&g->owners, 1);
    return g;
}

static void end_matcher(grammar *g, lent *l)
{
    lent **at = &g->all;
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    if (g->now == l) g->now = NULL;
    gbnf_matcher_free(l->m);
    free(l);
}

void grammar_drop(grammar *g)
{
    if (!g || atomic_fetch_sub(&g->owners, 1) != 1) return;
    while (g->all) end_matcher(g, g->all);
    gbnf_free(g->g);
    free(g);
}

static tawny_status new_matcher(grammar *g, const gbnf_vocab *v, lent **out, tawny_error *err)
{
    lent *l = *out = calloc(1, sizeof *l);
    if (!l) return err_nomem(err);
    tawny_status st = gbnf_matcher_new(g->g, v, &l->m, err);
    if (st != TAWNY_OK) {
        free(l);
        return st;
    }
    l->next = g->all;
    g->all = l;
    return TAWNY_OK;
}

tawny_status grammar_matcher(grammar *g, const gbnf_vocab *v, bool fresh, gbnf_matcher **out, bool *shared, tawny_error *err)
{
    lent *l = fresh || (g->now && gbnf_matcher_size(g->now->m) > MOST_KEPT) ? NULL : g->now;
    tawny_status st = l ? TAWNY_OK : new_matcher(g, v, &l, err);
    if (st != TAWNY_OK) return st;
    if (!fresh) g->now = l;
    *shared = !fresh;
    *out = l->m;
    l->users++;
    return TAWNY_OK;
}

void grammar_return(grammar *g, gbnf_matcher *m)
{
    lent *l = g->all;
    while (l->m != m) l = l->next;
    if (--l->users == 0 && (l != g->now || gbnf_matcher_size(m) > MOST_KEPT)) end_matcher(g, l);
}

/* ---- the cache ---- */

grammar_cache *grammar_cache_new(const gbnf_tokens *tokens)
{
    grammar_cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->tokens = *tokens;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void forget(entry *e)
{
    grammar_drop(e->g);
    free(e->key);
    *e = (entry){0};
}

void grammar_cache_free(grammar_cache *c)
{
    if (!c) return;
    for (int i = 0; i < ENTRIES; i++) forget(&c->entry[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static grammar *find(grammar_cache *c, const char *key, size_t n)
{
    grammar *g = NULL;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < ENTRIES && !g; i++) {
        entry *e = &c->entry[i];
        if (!e->g || e->n != n || memcmp(e->key, key, n) != 0) continue;
        e->used = ++c->now;
        g = grammar_hold(e->g);
        c->found++;
    }
    pthread_mutex_unlock(&c->lock);
    return g;
}

/* In place of the least recently used one. */
static void keep(grammar_cache *c, const char *key, size_t n, grammar *g)
{
    char *copy = malloc(n + 1);
    if (!copy) return;
    memcpy(copy, key, n);
    pthread_mutex_lock(&c->lock);
    entry *oldest = &c->entry[0];
    for (int i = 1; i < ENTRIES; i++)
        if (c->entry[i].used < oldest->used) oldest = &c->entry[i];
    forget(oldest);
    *oldest = (entry){copy, n, grammar_hold(g), ++c->now};
    pthread_mutex_unlock(&c->lock);
}

static tawny_status compile(grammar_cache *c, const buf *text, grammar **out, tawny_error *err)
{
    grammar *g = calloc(1, sizeof *g);
    if (!g) return err_nomem(err);
    atomic_store(&g->owners, 1);
    tawny_status st = gbnf_parse(text->data ? text->data : "", text->size, &c->tokens, &g->g, err);
    if (st == TAWNY_OK)
        *out = g;
    else
        free(g);
    return st;
}

tawny_status grammar_get(grammar_cache *c, const char *key, size_t n, grammar_maker *make, void *arg, grammar **out, tawny_error *err)
{
    buf text = {0};
    *out = find(c, key, n);
    if (*out) return TAWNY_OK;
    tawny_status st = make(arg, &text, err);
    if (st == TAWNY_OK && !buf_ok(&text)) st = err_nomem(err);
    if (st == TAWNY_OK) st = compile(c, &text, out, err);
    buf_free(&text);
    if (st != TAWNY_OK) return st;
    pthread_mutex_lock(&c->lock);
    c->made++;
    pthread_mutex_unlock(&c->lock);
    if (n <= MOST_CACHED && gbnf_size((*out)->g) <= MOST_CACHED) keep(c, key, n, *out);
    return TAWNY_OK;
}

void grammar_cache_counts(grammar_cache *c, uint64_t *found, uint64_t *made)
{
    pthread_mutex_lock(&c->lock);
    *found = c->found;
    *made = c->made;
    pthread_mutex_unlock(&c->lock);
}
