#include "trie.h"

#include <stdlib.h>
#include <string.h>

/* An edge is one word: node and byte (the key), and the child. */
enum { NODE_BITS = 28 };
#define NODE_MASK ((UINT64_C(1) << NODE_BITS) - 1)

struct trie {
    uint64_t *edge;
    size_t mask, n_edges;
    uint32_t root[256];
    int32_t *value;
    uint32_t *parent, *fail, *out;
    uint8_t *byte;
    uint32_t n, cap; /* nodes, from 1 */
};

static uint64_t edge_key(uint32_t node, unsigned char c) { return ((uint64_t)node << 8 | c) << NODE_BITS; }

static size_t edge_slot(const trie *t, uint64_t key)
{
    return (size_t)((key >> NODE_BITS) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & t->mask;
}

static bool grow_edges(trie *t)
{
    size_t old = t->edge ? t->mask + 1 : 0, cap = old ? old * 2 : 1024;
    uint64_t *from = t->edge, *to = calloc(cap, sizeof *to);
    if (!to) return false;
    t->edge = to;
    t->mask = cap - 1;
    for (size_t i = 0; i < old; i++) {
        if (!from[i]) continue;
        size_t k = edge_slot(t, from[i] & ~NODE_MASK);
        while (to[k]) k = (k + 1) & t->mask;
        to[k] = from[i];
    }
    free(from);
    return true;
}

static bool grow_nodes(trie *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : 256;
    int32_t *value = realloc(t->value, cap * sizeof *value);
    if (value) t->value = value;
    uint32_t *parent = realloc(t->parent, cap * sizeof *parent);
    if (parent) t->parent = parent;
    uint8_t *byte = realloc(t->byte, cap);
    if (byte) t->byte = byte;
    if (!value || !parent || !byte) return false;
    t->cap = cap;
    return true;
}

static uint32_t add_node(trie *t, uint32_t parent, unsigned char c)
{
    if (t->n + 1 >= NODE_MASK) return 0;
    if (t->n + 1 >= t->cap && !grow_nodes(t)) return 0;
    uint32_t node = ++t->n;
    t->value[node] = -1;
    t->parent[node] = parent;
    t->byte[node] = c;
    return node;
}

trie *trie_new(void)
{
    trie *t = calloc(1, sizeof *t);
    if (t && grow_edges(t) && add_node(t, 0, 0) == TRIE_ROOT) return t;
    trie_free(t);
    return NULL;
}

void trie_free(trie *t)
{
    if (!t) return;
    free(t->edge);
    free(t->value);
    free(t->parent);
    free(t->byte);
    free(t->fail);
    free(t->out);
    free(t);
}

uint32_t trie_step(const trie *t, uint32_t node, unsigned char c)
{
    if (node == TRIE_ROOT) return t->root[c];
    uint64_t key = edge_key(node, c);
    for (size_t k = edge_slot(t, key); t->edge[k]; k = (k + 1) & t->mask)
        if ((t->edge[k] & ~NODE_MASK) == key) return (uint32_t)(t->edge[k] & NODE_MASK);
    return 0;
}

int32_t trie_value(const trie *t, uint32_t node) { return t->value[node]; }

static uint32_t add_edge(trie *t, uint32_t node, unsigned char c)
{
    uint32_t child = add_node(t, node, c);
    if (!child || node == TRIE_ROOT) return t->root[c] = child;
    if (++t->n_edges * 2 > t->mask && !grow_edges(t)) return 0;
    uint64_t key = edge_key(node, c);
    size_t k = edge_slot(t, key);
    while (t->edge[k]) k = (k + 1) & t->mask;
    t->edge[k] = key | child;
    return child;
}

bool trie_add(trie *t, const char *p, size_t n, int32_t value)
{
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = trie_step(t, node, (unsigned char)p[i]);
        if (!next && !(next = add_edge(t, node, (unsigned char)p[i]))) return false;
        node = next;
    }
    t->value[node] = value;
    return true;
}

uint32_t trie_scan(const trie *t, uint32_t node, unsigned char c)
{
    for (;;) {
        uint32_t next = trie_step(t, node, c);
        if (next) return next;
        if (node == TRIE_ROOT) return TRIE_ROOT;
        node = t->fail[node];
    }
}

/* Nodes are made parent first, but not in the order of their depth, which the links need. */
static uint32_t *by_depth(const trie *t)
{
    uint32_t *depth = calloc(t->n + 1, sizeof *depth), *order = malloc((t->n + 1) * sizeof *order), *count = NULL;
    uint32_t most = 0;
    if (depth && order) {
        for (uint32_t i = 2; i <= t->n; i++) {
            depth[i] = depth[t->parent[i]] + 1;
            if (depth[i] > most) most = depth[i];
        }
        count = calloc(most + 2, sizeof *count);
    }
    if (count) {
        for (uint32_t i = 1; i <= t->n; i++) count[depth[i] + 1]++;
        for (uint32_t d = 1; d <= most + 1; d++) count[d] += count[d - 1];
        for (uint32_t i = 1; i <= t->n; i++) order[count[depth[i]]++] = i;
    } else {
        free(order);
        order = NULL;
    }
    free(count);
    free(depth);
    return order;
}

bool trie_link(trie *t)
{
    uint32_t *order = by_depth(t);
    t->fail = malloc((t->n + 1) * sizeof *t->fail);
    t->out = calloc(t->n + 1, sizeof *t->out);
    if (!order || !t->fail || !t->out) {
        free(order);
        return false;
    }
    t->fail[TRIE_ROOT] = TRIE_ROOT;
    for (uint32_t i = 1; i < t->n; i++) { /* order[0] is the root */
        uint32_t node = order[i], parent = t->parent[node];
        t->fail[node] = parent == TRIE_ROOT ? TRIE_ROOT : trie_scan(t, t->fail[parent], t->byte[node]);
        uint32_t f = t->fail[node];
        t->out[node] = t->value[f] >= 0 ? f : t->out[f];
    }
    free(order);
    return true;
}

uint32_t trie_first(const trie *t, uint32_t node) { return t->value[node] >= 0 ? node : t->out[node]; }

uint32_t trie_more(const trie *t, uint32_t node) { return t->out[node]; }
