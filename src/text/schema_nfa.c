/* Schemas: from expressions to automata, by sets of states (Rabin and Scott 1959). */
#include <stdlib.h>
#include <string.h>

#include "schema_aut.h"

enum { MAX_NODES = 20000, MAX_SETS = 20000, MAX_STEPS = 60000000 };

static void *grow(nfa *a, void *v, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return v;
    uint32_t c = *cap ? *cap * 2 : 64;
    void *w = realloc(v, c * size);
    if (!w) {
        a->failed = TAWNY_E_NOMEM;
        return v;
    }
    *cap = c;
    return w;
}

uint32_t nfa_node(nfa *a)
{
    if (a->n >= MAX_NODES && !a->failed) a->failed = TAWNY_E_LIMIT;
    a->first = grow(a, a->first, a->n, &a->cap, sizeof *a->first);
    if (a->failed) return 0;
    a->first[a->n] = 0;
    return a->n++;
}

static void add_edge(nfa *a, uint32_t from, nfa_edge e)
{
    if (!a->n_edge) a->n_edge = 1;
    a->edge = grow(a, a->edge, a->n_edge, &a->cap_edge, sizeof *a->edge);
    if (a->failed) return;
    e.next = a->first[from];
    a->edge[a->n_edge] = e;
    a->first[from] = a->n_edge++;
}

void nfa_add(nfa *a, uint32_t from, nfa_kind kind, uint32_t to)
{
    add_edge(a, from, (nfa_edge){.kind = kind, .to = to});
}

void nfa_add_set(nfa *a, uint32_t from, const aut_range *r, size_t n, uint32_t to)
{
    a->set = grow(a, a->set, a->n_set, &a->cap_set, sizeof *a->set);
    if (a->failed) return;
    a->set[a->n_set].first = a->n_range;
    a->set[a->n_set].n = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        a->range = grow(a, a->range, a->n_range, &a->cap_range, sizeof *a->range);
        if (a->failed) return;
        a->range[a->n_range++] = r[i];
    }
    add_edge(a, from, (nfa_edge){.kind = NFA_CHAR, .to = to, .set = a->n_set++});
}

void nfa_free(nfa *a)
{
    free(a->first);
    free(a->edge);
    free(a->range);
    free(a->set);
}

/* ---- sets of nodes ---- */

typedef struct subsets {
    nfa *a;
    aut *out;
    uint32_t match;
    uint8_t *member; /* [set * n_class + class] */
    uint32_t *turn_of, turn, *now, n_now; /* now: the set being made, in order after sort() */
    uint32_t *pool, n_pool, cap_pool;                  /* of the sets of states */
    uint32_t (*set)[2];                                /* [state] first in pool, number */
    aut_table table;
    uint64_t steps;
} subsets;

static void reach(subsets *s, uint32_t node)
{
    if (s->turn_of[node] == s->turn) return;
    s->turn_of[node] = s->turn;
    s->now[s->n_now++] = node;
}

/* Adds what needs no character; at_end: the end of the string is here. */
static void close_over(subsets *s, bool at_begin, bool at_end)
{
    for (uint32_t i = 0; i < s->n_now; i++) {
        for (uint32_t e = s->a->first[s->now[i]]; e; e = s->a->edge[e].next) {
            nfa_kind k = s->a->edge[e].kind;
            s->steps++;
            if (k == NFA_EMPTY || (k == NFA_BEGIN && at_begin) || (k == NFA_END && at_end)) reach(s, s->a->edge[e].to);
        }
    }
}

static int by_number(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static bool matters(const subsets *s, uint32_t node)
{
    for (uint32_t e = s->a->first[node]; e; e = s->a->edge[e].next)
        if (s->a->edge[e].kind == NFA_CHAR || s->a->edge[e].kind == NFA_END) return true;
    return node == s->match;
}

static tawny_status keep(subsets *s, bool begin, uint32_t *state)
{
    uint32_t n = 0, h = begin ? 7 : 0;
    for (uint32_t i = 0; i < s->n_now; i++)
        if (matters(s, s->now[i])) s->now[n++] = s->now[i];
    s->n_now = n;
    if (!n && !begin) return *state = AUT_DEAD, TAWNY_OK;
    qsort(s->now, n, sizeof *s->now, by_number);
    for (uint32_t i = 0; i < n; i++) h = (h ^ s->now[i]) * 0x9e3779b1u, h ^= h >> 15;
    for (uint32_t i = h & (s->table.size - 1); s->table.slot[i] && !begin; i = (i + 1) & (s->table.size - 1)) {
        uint32_t t = s->table.slot[i];
        if (s->table.hash[t] == h && s->set[t][1] == n &&
            memcmp(s->pool + s->set[t][0], s->now, n * sizeof *s->now) == 0)
            return *state = t, TAWNY_OK;
    }
    if (s->n_pool + n > s->cap_pool) {
        uint32_t cap = s->cap_pool * 2 + n;
        uint32_t *p = cap < 1u << 25 ? realloc(s->pool, cap * sizeof *p) : NULL;
        if (!p) return TAWNY_E_LIMIT;
        s->pool = p;
        s->cap_pool = cap;
    }
    tawny_status st = TAWNY_OK;
    if (begin) *state = AUT_START; /* no other state is the same: ^ holds here only */
    else st = aut_add_state(s->out, false, state);
    if (!st && !begin) st = aut_table_add(&s->table, h, *state);
    if (st) return st;
    memcpy(s->pool + s->n_pool, s->now, n * sizeof *s->now);
    s->set[*state][0] = s->n_pool;
    s->set[*state][1] = n;
    s->n_pool += n;
    close_over(s, begin, true);
    for (uint32_t i = 0; i < s->n_now; i++) s->out->final[*state] |= s->now[i] == s->match;
    return TAWNY_OK;
}

static void clear(subsets *s)
{
    s->n_now = 0;
    s->turn++;
}

static tawny_status all_states(subsets *s, uint32_t start)
{
    uint32_t to;
    clear(s);
    reach(s, start);
    close_over(s, true, false);
    tawny_status st = keep(s, true, &to);
    for (uint32_t i = 1; i < s->out->n && !st; i++) {
        for (uint32_t k = 0; k < s->out->n_class && !st; k++) {
            clear(s);
            for (uint32_t j = 0; j < s->set[i][1]; j++)
                for (uint32_t e = s->a->first[s->pool[s->set[i][0] + j]]; e; e = s->a->edge[e].next, s->steps++)
                    if (s->a->edge[e].kind == NFA_CHAR && s->member[(size_t)s->a->edge[e].set * s->out->n_class + k])
                        reach(s, s->a->edge[e].to);
            close_over(s, false, false);
            st = keep(s, false, &to);
            s->out->next[(size_t)i * s->out->n_class + k] = to;
            if (!st && s->steps > MAX_STEPS) st = TAWNY_E_LIMIT;
        }
    }
    return st;
}

/* Code points that no set tells apart are one class. */
static tawny_status classes(const nfa *a, aut **out)
{
    uint32_t *cut = malloc((2u * a->n_range + 1) * sizeof *cut), n = 1, m = 1;
    if (!cut) return TAWNY_E_NOMEM;
    cut[0] = 0;
    for (uint32_t i = 0; i < a->n_range; i++) {
        cut[n++] = a->range[i].lo;
        if (a->range[i].hi < AUT_MAX_CODE) cut[n++] = a->range[i].hi + 1;
    }
    qsort(cut, n, sizeof *cut, by_number);
    for (uint32_t i = 1; i < n; i++)
        if (cut[i] != cut[m - 1]) cut[m++] = cut[i];
    tawny_status st = (uint64_t)m * (a->n_set + 1) > AUT_MAX_CELLS ? TAWNY_E_LIMIT : aut_new(cut, m, out);
    free(cut);
    return st;
}

static void fill_members(subsets *s)
{
    uint32_t n = s->out->n_class;
    for (uint32_t i = 0; i < s->a->n_set; i++)
        for (uint32_t r = 0, k = 0; r < s->a->set[i].n; r++) {
            aut_range x = s->a->range[s->a->set[i].first + r];
            while (k < n && s->out->from[k] < x.lo) k++;
            for (; k < n && s->out->from[k] <= x.hi; k++) s->member[(size_t)i * n + k] = 1;
        }
}

tawny_status nfa_determine(nfa *a, uint32_t start, uint32_t match, bool search, aut **out)
{
    static const aut_range any = {0, AUT_MAX_CODE};
    subsets s = {.a = a, .match = match, .cap_pool = 1024};
    *out = NULL;
    if (search) {
        uint32_t first = nfa_node(a);
        nfa_add_set(a, first, &any, 1, first);
        nfa_add(a, first, NFA_EMPTY, start);
        nfa_add_set(a, match, &any, 1, match);
        start = first;
    }
    tawny_status st = a->failed ? a->failed : classes(a, &s.out);
    if (st) return st;
    uint32_t *room = calloc(3u * (size_t)a->n, sizeof *room);
    s.member = calloc((size_t)a->n_set * s.out->n_class + 1, 1);
    s.pool = malloc(s.cap_pool * sizeof *s.pool);
    s.set = malloc((AUT_MAX_STATES + 1) * sizeof *s.set);
    st = aut_table_new(&s.table);
    if (!room || !s.member || !s.pool || !s.set) st = TAWNY_E_NOMEM;
    if (!st) {
        s.turn_of = room;
        s.now = room + a->n;
        fill_members(&s);
        st = all_states(&s, start);
    }
    if (!st) st = aut_trim(s.out);
    if (st) aut_free(s.out);
    else *out = s.out;
    free(room);
    free(s.member);
    free(s.pool);
    free(s.set);
    aut_table_free(&s.table);
    return st;
}

tawny_status aut_words(const char *const *word, const size_t *length, size_t n, aut **out)
{
    nfa a = {0};
    uint32_t start = nfa_node(&a), match = nfa_node(&a);
    for (size_t i = 0; i < n && !a.failed; i++) {
        uint32_t at = start;
        for (const char *p = word[i], *end = p + length[i]; p < end && !a.failed;) {
            uint32_t c = aut_utf8(&p, end), next = nfa_node(&a);
            nfa_add_set(&a, at, &(aut_range){c, c}, 1, next);
            at = next;
        }
        nfa_add(&a, at, NFA_EMPTY, match);
    }
    tawny_status st = nfa_determine(&a, start, match, false, out);
    nfa_free(&a);
    return st;
}
