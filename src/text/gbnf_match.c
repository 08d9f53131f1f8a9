/* Grammars: Earley's sets, made as they are needed and kept. A set's items say where in the network the parse
 * may be, and for each the rule it is in and the set in which that rule was called; those sets make up the
 * stack. As sets are values, a loop comes back to the set it began with. */
#include <stdlib.h>
#include <string.h>

#include "gbnf_int.h"

enum {
    MAX_SETS = 1 << 18,
    MAX_ITEMS = 1 << 23,
    MAX_ROW_WORDS = 1 << 25,
    MAX_WORK = 1 << 16,   /* items of a set */
    BUDGET = 200000000    /* steps of one call */
};

static void *grow(gbnf_matcher *m, void *v, uint32_t need, uint32_t *cap, uint32_t max, size_t size)
{
    if (need <= *cap) return v;
    uint32_t c = *cap * 2 > need ? *cap * 2 : need + 64;
    if (need > max) {
        m->failed = TAWNY_E_LIMIT;
        return v;
    }
    void *w = realloc(v, c * size);
    if (!w) {
        m->failed = TAWNY_E_NOMEM;
        return v;
    }
    *cap = c;
    return w;
}

/* ---- the set being made ---- */

static uint32_t hash_item(const gbnf_item *i)
{
    uint32_t h = i->node * 0x9e3779b1u ^ i->rule * 0x85ebca77u ^ i->origin * 0xc2b2ae3du;
    h ^= h >> 15;
    h *= 0x2c1b3c6du;
    return h ^ h >> 13;
}

static void clear_work(gbnf_matcher *m)
{
    m->n_work = 0;
    m->work_complete = false;
    if (++m->turn == 0) {
        memset(m->seen_at, 0, m->seen_size * sizeof *m->seen_at);
        m->turn = 1;
    }
}

static void grow_seen(gbnf_matcher *m)
{
    uint32_t size = m->seen_size ? m->seen_size * 2 : 256;
    uint32_t *seen = malloc(size * sizeof *seen), *at = calloc(size, sizeof *at);
    if (!seen || !at) {
        free(seen);
        free(at);
        m->failed = TAWNY_E_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < m->n_work; i++) {
        uint32_t h = hash_item(&m->work[i]) & (size - 1);
        while (at[h] == 1) h = (h + 1) & (size - 1);
        seen[h] = i;
        at[h] = 1;
    }
    free(m->seen);
    free(m->seen_at);
    m->seen = seen;
    m->seen_at = at;
    m->seen_size = size;
    m->turn = 1;
}

static void push(gbnf_matcher *m, uint32_t node, uint32_t rule, uint32_t origin)
{
    if (m->n_work * 2 >= m->seen_size) grow_seen(m);
    m->work = grow(m, m->work, m->n_work + 1, &m->cap_work, MAX_WORK, sizeof *m->work);
    if (m->failed) return;
    gbnf_item it = {node, rule, origin};
    uint32_t h = hash_item(&it) & (m->seen_size - 1);
    for (; m->seen_at[h] == m->turn; h = (h + 1) & (m->seen_size - 1))
        if (memcmp(&m->work[m->seen[h]], &it, sizeof it) == 0) return;
    m->seen[h] = m->n_work;
    m->seen_at[h] = m->turn;
    m->work[m->n_work++] = it;
}

static bool spend(gbnf_matcher *m, uint64_t n)
{
    m->spent += n;
    if (m->spent > BUDGET) m->failed = TAWNY_E_LIMIT;
    return !m->failed;
}

/* A rule called in set `origin` ended: those there that called it go on. */
static void complete(gbnf_matcher *m, uint32_t rule, uint32_t origin)
{
    for (uint32_t i = 0; i < m->set[origin].n && spend(m, 1); i++) {
        gbnf_item it = m->item[m->set[origin].first + i];
        for (uint32_t e = m->g->node[it.node].first; e; e = m->g->edge[e].next) {
            const gbnf_edge *edge = &m->g->edge[e];
            if (!spend(m, 1)) return;
            if (edge->kind == GBNF_CALL && edge->value == rule)
                push(m, edge->to, it.rule, it.origin == GBNF_SELF ? origin : it.origin);
        }
    }
}

/* Adds all that needs no input: empty edges, rules called, rules ended. A rule that ended where it was called
 * was empty, and its caller went on at the call. */
static void close_work(gbnf_matcher *m)
{
    for (uint32_t i = 0; i < m->n_work && spend(m, 1); i++) {
        gbnf_item it = m->work[i];
        const gbnf_node *node = &m->g->node[it.node];
        if (node->final && it.origin == GBNF_ROOT) m->work_complete = true;
        else if (node->final && it.origin != GBNF_SELF) complete(m, it.rule, it.origin);
        for (uint32_t e = node->first; e && spend(m, 1); e = m->g->edge[e].next) {
            const gbnf_edge *edge = &m->g->edge[e];
            if (edge->kind == GBNF_EMPTY) push(m, edge->to, it.rule, it.origin);
            if (edge->kind != GBNF_CALL && edge->kind != GBNF_TAIL) continue;
            const gbnf_rule *called = &m->g->rule[edge->value];
            if (edge->kind == GBNF_TAIL) push(m, called->start, it.rule, it.origin);
            else push(m, called->start, edge->value, GBNF_SELF);
            if (called->nullable) push(m, edge->to, it.rule, it.origin);
        }
    }
}

/* ---- sets ---- */

static int by_value(const void *a, const void *b)
{
    const gbnf_item *x = a, *y = b;
    if (x->node != y->node) return x->node < y->node ? -1 : 1;
    if (x->rule != y->rule) return x->rule < y->rule ? -1 : 1;
    return x->origin < y->origin ? -1 : x->origin > y->origin;
}

static bool grow_table(gbnf_matcher *m)
{
    uint32_t size = m->table_size ? m->table_size * 2 : 256, *t = calloc(size, sizeof *t);
    if (!t) {
        m->failed = TAWNY_E_NOMEM;
        return false;
    }
    for (uint32_t s = 1; s < m->n_set; s++) {
        uint32_t h = m->set[s].hash & (size - 1);
        while (t[h]) h = (h + 1) & (size - 1);
        t[h] = s;
    }
    free(m->table);
    m->table = t;
    m->table_size = size;
    return true;
}

/* Items that something can follow, in order: equal sets are the same set. */
static gbnf_state intern(gbnf_matcher *m)
{
    uint32_t n = 0, hash = m->work_complete;
    bool tokens = false;
    for (uint32_t i = 0; i < m->n_work; i++)
        if (m->g->node[m->work[i].node].keep) m->work[n++] = m->work[i];
    if (!n && !m->work_complete) return GBNF_DEAD;
    if (n > 1) qsort(m->work, n, sizeof *m->work, by_value);
    for (uint32_t i = 0; i < n; i++) hash = hash * 31 + hash_item(&m->work[i]);
    if (m->n_set * 2 >= m->table_size && !grow_table(m)) return GBNF_DEAD;
    uint32_t h = hash & (m->table_size - 1);
    for (; m->table[h]; h = (h + 1) & (m->table_size - 1)) {
        const gbnf_set *s = &m->set[m->table[h]];
        if (s->hash == hash && s->n == n && s->complete == m->work_complete &&
            (!n || memcmp(&m->item[s->first], m->work, n * sizeof *m->work) == 0))
            return m->table[h];
    }
    m->item = grow(m, m->item, m->n_item + n, &m->cap_item, MAX_ITEMS, sizeof *m->item);
    m->set = grow(m, m->set, m->n_set + 1, &m->cap_set, MAX_SETS, sizeof *m->set);
    if (m->failed) return GBNF_DEAD;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = m->g->node[m->work[i].node].first; e; e = m->g->edge[e].next)
            tokens |= m->g->edge[e].kind == GBNF_TOKEN || m->g->edge[e].kind == GBNF_NOT_TOKEN;
    if (n) memcpy(&m->item[m->n_item], m->work, n * sizeof *m->work);
    m->set[m->n_set] =
        (gbnf_set){m->n_item, n, GBNF_UNKNOWN, {GBNF_UNKNOWN, GBNF_UNKNOWN}, hash, m->work_complete, tokens};
    m->n_item += n;
    m->table[h] = m->n_set;
    return m->n_set++;
}

static gbnf_state make(gbnf_matcher *m)
{
    close_work(m);
    return m->failed ? GBNF_DEAD : intern(m);
}

/* Adds where edges of set s lead that take the byte or, where byte is below 0, the token. */
static void follow(gbnf_matcher *m, gbnf_state s, int byte, tawny_token t)
{
    bool visible = byte < 0 && gbnf_vocab_has(m->vocab, t);
    for (uint32_t i = 0; i < m->set[s].n && spend(m, 1); i++) {
        gbnf_item it = m->item[m->set[s].first + i];
        for (uint32_t e = m->g->node[it.node].first; e && spend(m, 1); e = m->g->edge[e].next) {
            const gbnf_edge *edge = &m->g->edge[e];
            bool match = byte >= 0 ? edge->kind == GBNF_BYTE && byte >= edge->lo && byte <= edge->hi
                                   : (edge->kind == GBNF_TOKEN && edge->value == (uint32_t)t) ||
                                         (edge->kind == GBNF_NOT_TOKEN && edge->value != (uint32_t)t && visible);
            if (match) push(m, edge->to, it.rule, it.origin == GBNF_SELF ? s : it.origin);
        }
    }
}

static uint32_t row_of(gbnf_matcher *m, gbnf_state s)
{
    uint32_t n = (uint32_t)m->g->n_class;
    if (m->set[s].row != GBNF_UNKNOWN) return m->set[s].row;
    m->row = grow(m, m->row, m->n_row + n, &m->cap_row, MAX_ROW_WORDS, sizeof *m->row);
    if (m->failed) return GBNF_UNKNOWN;
    memset(&m->row[m->n_row], 0xff, n * sizeof *m->row); /* GBNF_UNKNOWN */
    m->set[s].row = m->n_row;
    m->n_row += n;
    return m->set[s].row;
}

gbnf_state gbnf_step(gbnf_matcher *m, gbnf_state s, uint8_t byte)
{
    if (s == GBNF_DEAD) return GBNF_DEAD;
    uint32_t row = row_of(m, s), c = m->g->byte_class[byte];
    if (m->failed) return GBNF_DEAD;
    if (m->row[row + c] != GBNF_UNKNOWN) return m->row[row + c];
    clear_work(m);
    follow(m, s, byte, 0);
    gbnf_state to = make(m);
    if (!m->failed) m->row[row + c] = to;
    return to;
}

/* By its bytes, by edges that name it, or by both. */
gbnf_state gbnf_step_token(gbnf_matcher *m, gbnf_state s, tawny_token t)
{
    size_t n;
    const gbnf_tokens *v = &m->vocab->tokens;
    const char *piece = v->piece(v->ctx, t, &n);
    gbnf_state by_bytes = gbnf_vocab_has(m->vocab, t) ? s : GBNF_DEAD;
    for (size_t i = 0; i < n && by_bytes && spend(m, 1); i++) by_bytes = gbnf_step(m, by_bytes, (uint8_t)piece[i]);
    if (m->failed || !m->set[s].tokens) return m->failed ? GBNF_DEAD : by_bytes;
    clear_work(m);
    follow(m, s, -1, t);
    if (by_bytes) { /* both: what is its own in the one set is its own in the joint set */
        const gbnf_set *b = &m->set[by_bytes];
        for (uint32_t i = 0; i < b->n; i++) {
            gbnf_item it = m->item[b->first + i];
            push(m, it.node, it.rule, it.origin);
        }
        m->work_complete = b->complete;
    }
    return make(m);
}

/* ---- the interface ---- */

void gbnf_begin(gbnf_matcher *m)
{
    m->spent = 0;
    m->failed = TAWNY_OK;
}

tawny_status gbnf_end(gbnf_matcher *m, tawny_error *err)
{
    if (m->failed == TAWNY_E_NOMEM) return err_nomem(err);
    if (m->failed) return err_set(err, m->failed, "grammar: too ambiguous, or the output is too long for it");
    return TAWNY_OK;
}

tawny_status gbnf_matcher_new(const gbnf *g, const gbnf_vocab *vocab, gbnf_matcher **out, tawny_error *err)
{
    *out = NULL;
    gbnf_matcher *m = calloc(1, sizeof *m);
    if (!m) return err_nomem(err);
    m->g = g;
    m->vocab = vocab;
    m->n_set = 1; /* GBNF_DEAD */
    m->set = grow(m, m->set, 2, &m->cap_set, MAX_SETS, sizeof *m->set);
    if (!m->failed) m->set[GBNF_DEAD] = (gbnf_set){.row = GBNF_UNKNOWN};
    m->path = calloc((vocab ? vocab->longest : 0) + 1, sizeof *m->path);
    if (!m->path) m->failed = TAWNY_E_NOMEM;
    clear_work(m);
    push(m, g->rule[g->root].start, g->root, GBNF_ROOT);
    m->start = make(m);
    tawny_status st = gbnf_end(m, err);
    if (st)
        gbnf_matcher_free(m);
    else
        *out = m;
    return st;
}

void gbnf_matcher_free(gbnf_matcher *m)
{
    if (!m) return;
    for (int i = 0; i < GBNF_MASKS; i++) free(m->mask[i].bits);
    free(m->set);
    free(m->item);
    free(m->row);
    free(m->table);
    free(m->work);
    free(m->seen);
    free(m->seen_at);
    free(m->path);
    free(m);
}

size_t gbnf_matcher_size(const gbnf_matcher *m)
{
    size_t n = m->cap_set * sizeof *m->set + m->cap_item * sizeof *m->item + m->cap_row * sizeof *m->row;
    n += m->table_size * sizeof *m->table + m->cap_work * sizeof *m->work + m->seen_size * 2 * sizeof *m->seen;
    for (int i = 0; i < GBNF_MASKS; i++)
        if (m->mask[i].bits) n += ((size_t)m->vocab->tokens.n + 63) / 64 * sizeof(uint64_t);
    return n;
}

gbnf_state gbnf_start(const gbnf_matcher *m) { return m->start; }
bool gbnf_complete(const gbnf_matcher *m, gbnf_state s) { return m->set[s].complete; }

tawny_status gbnf_bytes(gbnf_matcher *m, gbnf_state from, const char *text, size_t n, gbnf_state *to,
                        tawny_error *err)
{
    gbnf_begin(m);
    for (size_t i = 0; i < n && from; i++) from = gbnf_step(m, from, (uint8_t)text[i]);
    *to = from;
    return gbnf_end(m, err);
}

tawny_status gbnf_token(gbnf_matcher *m, gbnf_state from, tawny_token t, gbnf_state *to, tawny_error *err)
{
    const gbnf_vocab *v = m->vocab;
    gbnf_begin(m);
    *to = GBNF_DEAD;
    if (from == GBNF_DEAD || t < 0 || t >= v->tokens.n) return TAWNY_OK;
    if (v->tokens.ends(v->tokens.ctx, t)) {
        if (gbnf_complete(m, from)) *to = from;
    } else {
        *to = gbnf_step_token(m, from, t);
    }
    return gbnf_end(m, err);
}
