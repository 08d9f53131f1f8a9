/* Schemas: automata, and what is made of two. */
#include "schema_aut.h"

#include <stdlib.h>
#include <string.h>

void aut_free(aut *a)
{
    if (!a) return;
    free(a->from);
    free(a->next);
    free(a->final);
    free(a);
}

/* With the states that AUT_DEAD and AUT_START name. */
tawny_status aut_new(const uint32_t *from, uint32_t n_class, aut **out)
{
    aut *a = calloc(1, sizeof *a);
    uint32_t s;
    *out = NULL;
    if (!a) return TAWNY_E_NOMEM;
    a->n_class = n_class;
    a->from = malloc(n_class * sizeof *a->from);
    if (a->from) memcpy(a->from, from, n_class * sizeof *from);
    tawny_status st = a->from ? aut_add_state(a, false, &s) : TAWNY_E_NOMEM;
    if (st == TAWNY_OK) st = aut_add_state(a, false, &s);
    if (st) aut_free(a);
    else *out = a;
    return st;
}

tawny_status aut_add_state(aut *a, bool final, uint32_t *state)
{
    *state = AUT_DEAD;
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? a->cap * 2 : 8;
        if (a->n >= AUT_MAX_STATES || (uint64_t)cap * a->n_class > 2u * AUT_MAX_CELLS) return TAWNY_E_LIMIT;
        uint32_t *next = realloc(a->next, (size_t)cap * a->n_class * sizeof *next);
        if (next) a->next = next;
        bool *f = realloc(a->final, cap);
        if (f) a->final = f;
        if (!next || !f) return TAWNY_E_NOMEM;
        a->cap = cap;
    }
    memset(a->next + (size_t)a->n * a->n_class, 0, a->n_class * sizeof *a->next);
    a->final[a->n] = final;
    *state = a->n++;
    return TAWNY_OK;
}

uint32_t aut_utf8(const char **p, const char *end)
{
    uint8_t c = (uint8_t)*(*p)++;
    if (c < 0x80) return c;
    int n = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t v = c & (0x3fu >> n);
    for (; n && *p < end; n--) v = v << 6 | ((uint8_t)*(*p)++ & 0x3f);
    return v;
}

static uint32_t class_of(const aut *a, uint32_t code)
{
    uint32_t lo = 0, hi = a->n_class;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (a->from[mid] <= code) lo = mid;
        else hi = mid;
    }
    return lo;
}

bool aut_matches(const aut *a, const char *text, size_t n)
{
    uint32_t s = AUT_START;
    for (const char *p = text, *end = text + n; p < end && s;)
        s = a->next[(size_t)s * a->n_class + class_of(a, aut_utf8(&p, end))];
    return a->final[s];
}

bool aut_same(const aut *a, const aut *b)
{
    return a->n == b->n && a->n_class == b->n_class &&
           memcmp(a->from, b->from, a->n_class * sizeof *a->from) == 0 &&
           memcmp(a->next, b->next, (size_t)a->n * a->n_class * sizeof *a->next) == 0 &&
           memcmp(a->final, b->final, a->n) == 0;
}

/* By passes until nothing changes, the last states first, as most transitions lead forward. */
tawny_status aut_trim(aut *a)
{
    bool *live = calloc(a->n, 1), again = true;
    if (!live) return TAWNY_E_NOMEM;
    memcpy(live, a->final, a->n);
    while (again) {
        again = false;
        for (uint32_t s = a->n; s-- > 1;) {
            if (live[s]) continue;
            for (uint32_t k = 0; k < a->n_class && !live[s]; k++) live[s] = live[a->next[(size_t)s * a->n_class + k]];
            again |= live[s];
        }
    }
    for (size_t i = 0; i < (size_t)a->n * a->n_class; i++)
        if (!live[a->next[i]]) a->next[i] = AUT_DEAD;
    free(live);
    return TAWNY_OK;
}

bool aut_empty(const aut *a)
{
    if (a->final[AUT_START]) return false;
    for (uint32_t k = 0; k < a->n_class; k++)
        if (a->next[a->n_class + k]) return false; /* trimmed: it leads to an end */
    return true;
}

/* ---- tables of states ---- */

tawny_status aut_table_new(aut_table *t)
{
    *t = (aut_table){.size = 64};
    t->slot = calloc(t->size, sizeof *t->slot);
    t->hash = malloc((AUT_MAX_STATES + 1) * sizeof *t->hash);
    return t->slot && t->hash ? TAWNY_OK : TAWNY_E_NOMEM;
}

void aut_table_free(aut_table *t)
{
    free(t->slot);
    free(t->hash);
}

static void put(const aut_table *t, uint32_t state)
{
    uint32_t i = t->hash[state] & (t->size - 1);
    while (t->slot[i]) i = (i + 1) & (t->size - 1);
    t->slot[i] = state;
}

tawny_status aut_table_add(aut_table *t, uint32_t hash, uint32_t state)
{
    if (2 * ++t->n > t->size) {
        uint32_t *old = t->slot, size = t->size;
        uint32_t *slot = calloc(2 * size, sizeof *slot);
        if (!slot) return TAWNY_E_NOMEM;
        t->slot = slot;
        t->size = 2 * size;
        for (uint32_t i = 0; i < size; i++)
            if (old[i]) put(t, old[i]);
        free(old);
    }
    t->hash[state] = hash;
    put(t, state);
    return TAWNY_OK;
}

/* ---- of two ---- */

typedef struct pairs {
    aut *out;
    const aut *a, *b;
    uint32_t (*of)[2]; /* [states] */
    aut_table table;
} pairs;

static tawny_status pair_state(pairs *p, aut_op op, uint32_t x, uint32_t y, uint32_t *state)
{
    bool dead = op == AUT_OR ? !x && !y : op == AUT_AND ? !x || !y : !x;
    if (dead) return *state = AUT_DEAD, TAWNY_OK;
    const aut_table *t = &p->table;
    uint32_t hash = x * 0x9e3779b1u ^ y * 0x85ebca77u;
    hash ^= hash >> 15;
    for (uint32_t i = hash & (t->size - 1); t->slot[i]; i = (i + 1) & (t->size - 1))
        if (p->of[t->slot[i]][0] == x && p->of[t->slot[i]][1] == y) return *state = t->slot[i], TAWNY_OK;
    bool fx = p->a->final[x], fy = p->b->final[y];
    bool final = op == AUT_OR ? fx || fy : op == AUT_AND ? fx && fy : fx && !fy;
    tawny_status st = TAWNY_OK;
    if (x == AUT_START && y == AUT_START) p->out->final[*state = AUT_START] = final;
    else st = aut_add_state(p->out, final, state);
    if (st) return st;
    p->of[*state][0] = x;
    p->of[*state][1] = y;
    return aut_table_add(&p->table, hash, *state);
}

static tawny_status pair_all(pairs *p, aut_op op, const uint32_t *ka, const uint32_t *kb)
{
    uint32_t s;
    tawny_status st = pair_state(p, op, AUT_START, AUT_START, &s);
    for (uint32_t i = 1; i < p->out->n && !st; i++) {
        for (uint32_t k = 0; k < p->out->n_class && !st; k++) {
            st = pair_state(p, op, p->a->next[(size_t)p->of[i][0] * p->a->n_class + ka[k]],
                            p->b->next[(size_t)p->of[i][1] * p->b->n_class + kb[k]], &s);
            p->out->next[(size_t)i * p->out->n_class + k] = s;
        }
    }
    return st ? st : aut_trim(p->out);
}

tawny_status aut_combine(const aut *a, const aut *b, aut_op op, aut **out)
{
    uint32_t most = a->n_class + b->n_class, n = 0;
    uint32_t *from = malloc(3 * most * sizeof *from), *ka = from + most, *kb = ka + most;
    pairs p = {.a = a, .b = b};
    *out = NULL;
    p.of = malloc((AUT_MAX_STATES + 1) * sizeof *p.of);
    tawny_status st = aut_table_new(&p.table);
    if (!from || !p.of) st = TAWNY_E_NOMEM;
    for (uint32_t i = 0, j = 0; !st && (i < a->n_class || j < b->n_class); n++) {
        uint32_t x = i < a->n_class ? a->from[i] : UINT32_MAX, y = j < b->n_class ? b->from[j] : UINT32_MAX;
        from[n] = x < y ? x : y;
        i += x == from[n];
        j += y == from[n];
        ka[n] = i - 1;
        kb[n] = j - 1;
    }
    if (!st) st = aut_new(from, n, &p.out);
    if (!st) st = pair_all(&p, op, ka, kb);
    free(from);
    free(p.of);
    aut_table_free(&p.table);
    if (st) aut_free(p.out);
    else *out = p.out;
    return st;
}

tawny_status aut_length(long lo, long hi, aut **out)
{
    uint32_t zero = 0, s, last = AUT_START;
    long most = hi < 0 ? lo : hi;
    tawny_status st = aut_new(&zero, 1, out);
    if (st) return st;
    aut *a = *out;
    a->final[AUT_START] = lo <= 0;
    for (long i = 1; i <= most && !st; i++) {
        st = aut_add_state(a, i >= lo, &s);
        a->next[last] = s;
        last = s;
    }
    if (!st && hi < 0) a->next[last] = last;
    if (!st) st = aut_trim(a);
    if (st) aut_free(a), *out = NULL;
    return st;
}
