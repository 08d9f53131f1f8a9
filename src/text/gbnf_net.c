/* Grammars: the network of nodes and edges. */
#include <stdlib.h>
#include <string.h>

#include "gbnf_int.h"

/* Room for one more; elements stay where their numbers say. */
static void *grow(gbnf *g, void *v, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return v;
    uint32_t c = *cap ? *cap * 2 : 64;
    void *w = c <= 4u * GBNF_MAX_STATES ? realloc(v, c * size) : NULL;
    if (!w) {
        g->failed = true;
        return v;
    }
    *cap = c;
    return w;
}

uint32_t gbnf_new_node(gbnf *g)
{
    if (g->n_node >= GBNF_MAX_STATES) g->failed = true;
    g->node = grow(g, g->node, g->n_node, &g->cap_node, sizeof *g->node);
    if (g->failed) return 0;
    g->node[g->n_node] = (gbnf_node){0};
    return g->n_node++;
}

void gbnf_add_edge(gbnf *g, uint32_t from, gbnf_edge e)
{
    if (g->n_edge == 0) g->n_edge = 1;
    g->edge = grow(g, g->edge, g->n_edge, &g->cap_edge, sizeof *g->edge);
    if (g->failed) return;
    e.next = g->node[from].first;
    if (e.kind != GBNF_EMPTY) g->node[from].keep = true;
    g->edge[g->n_edge] = e;
    g->node[from].first = g->n_edge++;
}

void gbnf_link(gbnf *g, uint32_t from, uint32_t to)
{
    gbnf_add_edge(g, from, (gbnf_edge){.kind = GBNF_EMPTY, .to = to});
}

uint32_t gbnf_new_rule(gbnf *g, const char *name, size_t n)
{
    g->rule = grow(g, g->rule, g->n_rule, &g->cap_rule, sizeof *g->rule);
    if (g->failed) return 0;
    g->rule[g->n_rule] = (gbnf_rule){.name = name, .n_name = n, .defined = !name};
    return g->n_rule++;
}

static int encode(uint32_t c, uint8_t *b)
{
    if (c < 0x80) return b[0] = (uint8_t)c, 1;
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6) b[i] = (uint8_t)(0x80 | (c & 63));
    b[0] = (uint8_t)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* A range whose bounds have equally many bytes and differ in such a way that each byte has a range of its own. */
static void add_bytes(gbnf *g, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    uint8_t a[4], b[4];
    int n = encode(lo, a);
    encode(hi, b);
    for (int i = 0; i < n && !g->failed; i++) {
        uint32_t next = i + 1 < n ? gbnf_new_node(g) : to;
        gbnf_add_edge(g, from, (gbnf_edge){.kind = GBNF_BYTE, .lo = a[i], .hi = b[i], .to = next});
        from = next;
    }
}

void gbnf_add_range(gbnf *g, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    static const uint32_t last[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff, 0x10ffff}; /* of a length, or a reason */
    for (int i = 0; i < 6 && lo <= hi && !g->failed; i++) {
        while (lo <= hi && lo <= last[i] && !g->failed) {
            uint32_t end = hi < last[i] ? hi : last[i];
            /* bytes beyond the first differing one must run over all of 80..bf */
            for (uint32_t bits = 6; bits <= 18; bits += 6) {
                uint32_t low = ((uint32_t)1 << bits) - 1;
                if (lo < 0x80 || (lo & ~low) == (end & ~low)) break;
                if ((lo & low) != 0) {
                    end = lo | low;
                    break;
                }
                if ((end & low) != low) end = (end & ~low) - 1;
            }
            if (i != 3) add_bytes(g, from, lo, end, to);
            lo = end + 1;
        }
    }
}

/* From the ends backwards, in linear time: which rules can be empty, and which can end at all. A node is good if it is
 * an end, or an edge leads to a good node and is itself empty (or takes something, where the question is the end), or
 * calls a rule whose start is good. */
typedef struct backwards {
    gbnf *g;
    bool ends;                     /* the question */
    bool *good_rule;               /* [n_rule] */
    uint32_t *from;                /* [n_edge] the node an edge leaves */
    uint32_t *into, *into_next;    /* [n_node], [n_edge] edges by the node they lead to */
    uint32_t *caller, *caller_next; /* [n_rule], [n_edge] edges by the rule they call */
    uint32_t *rule_of;             /* [n_node] 1 + the rule that starts here */
    uint32_t *stack, n_stack;
    bool *good; /* [n_node] */
} backwards;

static void mark(backwards *b, uint32_t node)
{
    if (b->good[node]) return;
    b->good[node] = true;
    b->stack[b->n_stack++] = node;
}

static void index_edges(backwards *b)
{
    gbnf *g = b->g;
    for (uint32_t u = 0; u < g->n_node; u++) {
        for (uint32_t e = g->node[u].first; e; e = g->edge[e].next) {
            uint32_t to = g->edge[e].to, rule = g->edge[e].value;
            b->from[e] = u;
            b->into_next[e] = b->into[to];
            b->into[to] = e;
            if (g->edge[e].kind != GBNF_CALL) continue;
            b->caller_next[e] = b->caller[rule];
            b->caller[rule] = e;
        }
        if (g->node[u].final) mark(b, u);
    }
    for (uint32_t r = 0; r < g->n_rule; r++) b->rule_of[g->rule[r].start] = r + 1;
}

static void propagate(backwards *b)
{
    gbnf *g = b->g;
    while (b->n_stack) {
        uint32_t node = b->stack[--b->n_stack];
        for (uint32_t e = b->into[node]; e; e = b->into_next[e]) {
            gbnf_kind kind = g->edge[e].kind;
            bool passes = kind == GBNF_CALL ? b->good_rule[g->edge[e].value] : b->ends || kind == GBNF_EMPTY;
            if (passes) mark(b, b->from[e]);
        }
        if (!b->rule_of[node]) continue;
        uint32_t r = b->rule_of[node] - 1;
        b->good_rule[r] = true;
        for (uint32_t e = b->caller[r]; e; e = b->caller_next[e])
            if (b->good[g->edge[e].to]) mark(b, b->from[e]);
    }
}

/* good and good_rule are set. */
static void look_back(gbnf *g, bool ends, bool *good, bool *good_rule)
{
    uint32_t n = g->n_node + 1, m = g->n_edge + 1, k = g->n_rule + 1;
    uint32_t *all = calloc(3u * (size_t)m + 3u * (size_t)n + k, sizeof *all);
    if (all) {
        backwards b = {.g = g, .ends = ends, .from = all, .good = good, .good_rule = good_rule};
        b.into_next = b.from + m;
        b.caller_next = b.into_next + m;
        b.into = b.caller_next + m;
        b.rule_of = b.into + n;
        b.stack = b.rule_of + n;
        b.caller = b.stack + n;
        index_edges(&b);
        propagate(&b);
    } else {
        g->failed = true;
    }
    free(all);
}

/* Edges from which no end can be reached are taken out: a matcher would allow tokens that lead nowhere. */
static void cut_dead(gbnf *g, const bool *good, const bool *good_rule)
{
    for (uint32_t u = 0; u < g->n_node; u++) {
        uint32_t *at = &g->node[u].first;
        g->node[u].keep = false;
        while (*at) {
            const gbnf_edge *e = &g->edge[*at];
            bool stays = good[e->to] && (e->kind != GBNF_CALL || good_rule[e->value]);
            g->node[u].keep |= stays && e->kind != GBNF_EMPTY;
            if (stays) at = &g->edge[*at].next;
            else *at = e->next;
        }
    }
}

static void find_ends(gbnf *g)
{
    bool *good = calloc(2u * ((size_t)g->n_node + 1), sizeof *good);
    bool *rule = calloc(2u * ((size_t)g->n_rule + 1), sizeof *rule);
    if (good && rule) {
        look_back(g, true, good, rule);
        if (!g->failed) cut_dead(g, good, rule);
        g->barren = !rule[g->root];
        look_back(g, false, good + g->n_node + 1, rule + g->n_rule + 1);
        for (uint32_t r = 0; r < g->n_rule; r++) g->rule[r].nullable = rule[g->n_rule + 1 + r];
    } else {
        g->failed = true;
    }
    free(good);
    free(rule);
}

/* Nothing but the end can follow: only empty edges, and all ways along them end. */
static bool only_end(const gbnf *g, uint32_t node)
{
    for (int steps = 0; steps < 8; steps++) {
        const gbnf_node *n = &g->node[node];
        if (n->final) return n->first == 0;
        if (!n->first || g->edge[n->first].next || g->edge[n->first].kind != GBNF_EMPTY) return false;
        node = g->edge[n->first].to;
    }
    return false;
}

void gbnf_finish(gbnf *g)
{
    if (!g->failed) find_ends(g);
    if (g->failed) return;
    bool cut[257] = {0};
    for (uint32_t e = 1; e < g->n_edge; e++) {
        gbnf_edge *edge = &g->edge[e];
        if (edge->kind == GBNF_CALL && only_end(g, edge->to)) edge->kind = GBNF_TAIL;
        if (edge->kind == GBNF_BYTE) cut[edge->lo] = cut[edge->hi + 1] = true;
    }
    int c = 0;
    for (int b = 0; b < 256; b++) {
        if (b && cut[b]) c++;
        g->byte_class[b] = (uint8_t)c;
    }
    g->n_class = c + 1;
}
