/* Schemas: sets of them that must all hold, numbered, and their disjunctive normal form. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

static int by_ref(const void *a, const void *b)
{
    const sref *x = a, *y = b;
    if (x->s != y->s) return (uintptr_t)x->s < (uintptr_t)y->s ? -1 : 1;
    if (x->word != y->word) return (uintptr_t)x->word < (uintptr_t)y->word ? -1 : 1;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (int)x->neg - (int)y->neg;
}

/* In the order of the schema's text, so that the same schema becomes the same grammar. */
static int by_order(const void *a, const void *b)
{
    const sref *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    int words = x->word && y->word ? strcmp(x->word, y->word) : (x->word != NULL) - (y->word != NULL);
    return words ? words : by_ref(a, b);
}

static bool says_nothing(const sref *r)
{
    return r->neg ? json_is_false(r->s) : json_is_true(r->s) || (json_is_object(r->s) && !json_object_size(r->s));
}

static bool grow_table(compiler *c)
{
    uint32_t size = c->table_size ? c->table_size * 2 : 256, *t = calloc(size, sizeof *t);
    if (!t) return c->st = err_nomem(c->err), false;
    for (size_t i = 0; i < c->n_set; i++) {
        uint32_t h = c->set[i]->hash & (size - 1);
        while (t[h]) h = (h + 1) & (size - 1);
        t[h] = (uint32_t)i + 1;
    }
    free(c->table);
    c->table = t;
    c->table_size = size;
    return true;
}

static bool new_set(compiler *c, const sref *r, size_t n, uint32_t hash)
{
    if (c->n_set >= SCHEMA_MAX_SETS)
        return schema_refuse(c, TAWNY_E_LIMIT, n ? r[0].s : NULL, NULL, "too many combinations"), false;
    c->set = schema_grow(c, c->set, c->n_set, &c->cap_set, sizeof *c->set);
    if (c->st) return false;
    conj *k = calloc(1, sizeof *k);
    sref *copy = malloc((n + 1) * sizeof *copy);
    if (!k || !copy) {
        free(k);
        free(copy);
        return c->st = err_nomem(c->err), false;
    }
    if (n) memcpy(copy, r, n * sizeof *r);
    *k = (conj){.r = copy, .n = n, .hash = hash};
    c->set[c->n_set++] = k;
    return true;
}

/* r is put in order. 0 after a failure. */
uint32_t schema_set(compiler *c, sref *r, size_t n)
{
    size_t m = 0;
    uint32_t hash = 1;
    if (c->st) return 0;
    for (size_t i = 0; i < n; i++) r[i].order = schema_order(c, r[i].s);
    if (n) qsort(r, n, sizeof *r, by_order);
    for (size_t i = 0; i < n; i++)
        if (!says_nothing(&r[i]) && (!m || by_ref(&r[m - 1], &r[i]))) r[m++] = r[i];
    for (size_t i = 0; i < m; i++) {
        hash = (hash ^ (uint32_t)((uintptr_t)r[i].s >> 4) ^ (uint32_t)((uintptr_t)r[i].word >> 2)) * 0x9e3779b1u;
        hash ^= hash >> 15 ^ (uint32_t)r[i].at ^ (uint32_t)r[i].neg << 7;
    }
    if (c->n_set * 2 >= c->table_size && !grow_table(c)) return 0;
    uint32_t h = hash & (c->table_size - 1);
    for (; c->table[h]; h = (h + 1) & (c->table_size - 1)) {
        const conj *k = c->set[c->table[h] - 1];
        bool same = k->hash == hash && k->n == m;
        for (size_t i = 0; same && i < m; i++) same = by_ref(&k->r[i], &r[i]) == 0;
        if (same) return c->table[h] - 1;
    }
    if (!new_set(c, r, m, hash)) return 0;
    c->table[h] = (uint32_t)c->n_set;
    return (uint32_t)c->n_set - 1;
}

/* ---- branches: cases that are not finished ---- */

static void free_branch(branch *b)
{
    free(b->c.f);
    free(b->seen);
    free(b->todo);
}

static void *copied(const void *v, size_t n, size_t size)
{
    void *w = malloc((n + 1) * size);
    if (w && n) memcpy(w, v, n * size);
    return w;
}

bool schema_fork(compiler *c, branches *all, const branch *b, branch **out)
{
    *out = NULL;
    c->work += b->c.n + b->n_seen + b->n_todo + 1;
    if (all->n >= 4096 || c->work > SCHEMA_MAX_WORK)
        return schema_refuse(c, TAWNY_E_LIMIT, b->n_seen ? b->seen[b->n_seen - 1].s : NULL,
                             b->n_seen ? b->seen[b->n_seen - 1].word : NULL, "too many combinations"), false;
    branch k = *b;
    all->b = schema_grow(c, all->b, all->n, &all->cap, sizeof *all->b);
    if (c->st) return false;
    k.c.f = copied(b->c.f, k.c.cap = b->c.n, sizeof *k.c.f);
    k.seen = copied(b->seen, k.cap_seen = b->n_seen, sizeof *k.seen);
    k.todo = copied(b->todo, k.cap_todo = b->n_todo, sizeof *k.todo);
    all->b[all->n] = k;
    *out = &all->b[all->n++];
    if (!k.c.f || !k.seen || !k.todo) c->st = err_nomem(c->err);
    return !c->st;
}

void schema_push(compiler *c, branch *b, sref r)
{
    b->todo = schema_grow(c, b->todo, b->n_todo, &b->cap_todo, sizeof *b->todo);
    if (!c->st) b->todo[b->n_todo++] = r;
}

void schema_fact(compiler *c, branch *b, fact f)
{
    b->c.f = schema_grow(c, b->c.f, b->c.n, &b->c.cap, sizeof *b->c.f);
    if (!c->st) b->c.f[b->c.n++] = f;
}

/* Whole schemas first, so that less is copied where one of their words has alternatives. */
static sref take(branch *b)
{
    size_t i = 0;
    while (i < b->n_todo && b->todo[i].word) i++;
    if (i == b->n_todo) i = 0;
    sref r = b->todo[i];
    memmove(&b->todo[i], &b->todo[i + 1], (b->n_todo - i - 1) * sizeof r);
    b->n_todo--;
    return r;
}

static void expand(compiler *c, branches *all, branch *b)
{
    while (b->n_todo && !b->dead && b->c.types && !c->st) {
        sref r = take(b);
        bool seen = false;
        for (size_t i = 0; i < b->n_seen; i++) {
            sref o = r;
            if (by_ref(&b->seen[i], &r) == 0) seen = true;
            o.neg = !o.neg;
            if (by_ref(&b->seen[i], &o) == 0) b->dead = true; /* it holds and does not */
        }
        c->work += b->n_seen / 8 + 1;
        if (seen || b->dead) continue;
        b->seen = schema_grow(c, b->seen, b->n_seen, &b->cap_seen, sizeof *b->seen);
        if (c->st) return;
        b->seen[b->n_seen++] = r;
        if (c->work > SCHEMA_MAX_WORK) schema_refuse(c, TAWNY_E_LIMIT, r.s, NULL, "too many combinations");
        else schema_apply(c, all, b, r);
    }
}

static void add_case(compiler *c, conj *k, branch *b)
{
    if (k->n_case == SCHEMA_MAX_CASES)
        schema_refuse(c, TAWNY_E_LIMIT, k->n ? k->r[0].s : NULL, NULL, "too many combinations");
    k->cases = schema_grow(c, k->cases, k->n_case, &k->cap_case, sizeof *k->cases);
    if (c->st) return;
    k->cases[k->n_case++] = b->c;
    b->c.f = NULL;
}

const conj *schema_cases(compiler *c, uint32_t set)
{
    if (c->st) return NULL;
    conj *k = c->set[set];
    if (k->known) return k;
    branches all = {0};
    branch *first;
    schema_fork(c, &all, &(branch){.c.types = T_ALL}, &first);
    for (size_t i = 0; i < k->n && !c->st; i++) schema_push(c, first, k->r[i]);
    while (all.n && !c->st) {
        branch b = all.b[--all.n];
        expand(c, &all, &b);
        if (!b.dead && b.c.types && !c->st) add_case(c, k, &b);
        free_branch(&b);
    }
    for (size_t i = 0; i < all.n; i++) free_branch(&all.b[i]);
    free(all.b);
    k->known = !c->st;
    return c->st ? NULL : k;
}

void schema_free_sets(compiler *c)
{
    for (size_t i = 0; i < c->n_set; i++) {
        for (size_t j = 0; j < c->set[i]->n_case; j++) free(c->set[i]->cases[j].f);
        free(c->set[i]->cases);
        free(c->set[i]->r);
        free(c->set[i]);
    }
    free(c->set);
    free(c->table);
}

/* ---- emptiness, as far as it can be seen ---- */

static bool no_object(compiler *c, const scase *k, int depth)
{
    for (size_t i = 0; i < k->n && !c->st; i++)
        if (k->f[i].kind == F_REQUIRED && schema_is_empty(c, schema_property(c, k, k->f[i].name), depth - 1))
            return true;
    return false;
}

static bool no_array(compiler *c, const scase *k, int depth)
{
    long lo, hi, most = (long)schema_prefix(c, k);
    schema_range_of(k, F_ITEMS, &lo, &hi);
    if (hi >= 0 && lo > hi) return true;
    for (long i = 0; i < lo && i <= most && !c->st; i++)
        if (schema_is_empty(c, schema_item(c, k, (size_t)i), depth - 1)) return true;
    return false;
}

static bool no_scalar(compiler *c, const scase *k, bool numbers)
{
    aut *a = numbers ? schema_numbers(c, k, k->types) : schema_strings(c, k);
    bool none = a && aut_empty(a);
    aut_free(a);
    return none;
}

static bool case_is_empty(compiler *c, const scase *k, int depth)
{
    json_t *v;
    size_t i;
    for (size_t f = 0; f < k->n; f++) {
        if (k->f[f].kind != F_VALUES) continue;
        json_array_foreach(k->f[f].v, i, v)
            if (schema_case_has(c, k, v, &k->f[f])) return false;
        return true;
    }
    if (k->types & (T_NULL | T_TRUE | T_FALSE)) return false;
    if (k->types & T_NUMBER && !no_scalar(c, k, true)) return false;
    if (k->types & T_STRING && !no_scalar(c, k, false)) return false;
    if (k->types & T_ARRAY && !no_array(c, k, depth)) return false;
    return !(k->types & T_OBJECT) || no_object(c, k, depth);
}

bool schema_is_empty(compiler *c, uint32_t set, int depth)
{
    if (depth <= 0) return false;
    const conj *k = schema_cases(c, set);
    for (size_t i = 0; k && i < k->n_case; i++)
        if (!case_is_empty(c, &k->cases[i], depth) || c->st) return false;
    return k;
}
