/* Merges in long pieces, in time that grows with the length alone.
 *
 * Pairs wait in a list for each rank, in the order of their places, and the lowest rank goes first. With the
 * vocabularies that training makes, a merge only brings forth pairs of higher rank, and lists stay sorted but
 * for a few runs. Where a vocabulary is so made that lists must be sorted again and again, a plain heap of all
 * pairs takes over. */
#include <stdlib.h>
#include <string.h>

#include "tok_int.h"

enum { NIL = UINT32_MAX };

typedef struct entry {
    uint32_t at, next;
} entry;

typedef struct list {
    uint32_t rank, head, tail, last; /* last: the greatest place in it */
    bool sorted, queued;
} list;

typedef struct queue {
    entry *entry;
    uint32_t n_entries, cap_entries, free;
    list *list;
    uint32_t n_lists, cap_lists;
    uint32_t *slot; /* rank to list: index + 1, or 0 */
    size_t slots;
    uint32_t *heap; /* lists by rank */
    uint32_t n_heap;
    uint32_t *sort; /* scratch */
    size_t cap_sort;
    uint64_t sorted; /* entries sorted so far */
    uint64_t *all;  /* the plain heap: rank << 32 | place */
    size_t n_all, cap_all;
} queue;

static void *grow(void *p, size_t n, size_t size) { return n > PTRDIFF_MAX / size ? NULL : realloc(p, n * size); }

static uint32_t *slot_of(const queue *q, uint32_t rank)
{
    size_t mask = q->slots - 1, k = (size_t)(rank * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
    while (q->slot[k] && q->list[q->slot[k] - 1].rank != rank) k = (k + 1) & mask;
    return &q->slot[k];
}

static bool grow_lists(queue *q)
{
    uint32_t cap = q->cap_lists ? q->cap_lists * 2 : 64;
    list *l = grow(q->list, cap, sizeof *l);
    if (l) q->list = l;
    uint32_t *heap = grow(q->heap, cap, sizeof *heap);
    if (heap) q->heap = heap;
    uint32_t *slot = calloc((size_t)cap * 4, sizeof *slot);
    if (!l || !heap || !slot) {
        free(slot);
        return false;
    }
    free(q->slot);
    q->slot = slot;
    q->slots = (size_t)cap * 4;
    q->cap_lists = cap;
    for (uint32_t i = 0; i < q->n_lists; i++) *slot_of(q, q->list[i].rank) = i + 1;
    return true;
}

static void heap_up(queue *q, uint32_t l)
{
    uint32_t i = q->n_heap++;
    for (; i && q->list[q->heap[(i - 1) / 2]].rank > q->list[l].rank; i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = l;
}

static void heap_pop(queue *q)
{
    uint32_t l = q->heap[--q->n_heap], i = 0;
    for (uint32_t k; (k = 2 * i + 1) < q->n_heap; i = k) {
        if (k + 1 < q->n_heap && q->list[q->heap[k + 1]].rank < q->list[q->heap[k]].rank) k++;
        if (q->list[q->heap[k]].rank >= q->list[l].rank) break;
        q->heap[i] = q->heap[k];
    }
    if (q->n_heap) q->heap[i] = l;
}

static uint32_t new_entry(queue *q)
{
    uint32_t e = q->free;
    if (e != NIL) {
        q->free = q->entry[e].next;
        return e;
    }
    if (q->n_entries == q->cap_entries) {
        if (q->cap_entries > NIL / 2) return NIL;
        uint32_t cap = q->cap_entries ? q->cap_entries * 2 : 256;
        entry *p = grow(q->entry, cap, sizeof *p);
        if (!p) return NIL;
        q->entry = p;
        q->cap_entries = cap;
    }
    return q->n_entries++;
}

static bool push_list(queue *q, uint32_t rank, uint32_t at)
{
    if (q->n_lists == q->cap_lists && !grow_lists(q)) return false;
    uint32_t e = new_entry(q), *slot = slot_of(q, rank);
    if (e == NIL) return false;
    if (!*slot) {
        q->list[q->n_lists] = (list){.rank = rank, .head = NIL, .tail = NIL};
        *slot = ++q->n_lists;
    }
    uint32_t i = *slot - 1;
    list *l = &q->list[i];
    q->entry[e] = (entry){at, NIL};
    if (l->head == NIL) {
        l->head = e;
        l->sorted = true;
        l->last = at;
    } else {
        q->entry[l->tail].next = e;
        if (at < l->last) l->sorted = false;
        else l->last = at;
    }
    l->tail = e;
    if (!l->queued) {
        l->queued = true;
        heap_up(q, i);
    }
    return true;
}

/* Sorts n numbers by merging the runs that are there; room for as many behind them. */
static void sort_runs(uint32_t *v, uint32_t *tmp, size_t n)
{
    for (;;) {
        size_t i = 0, to = 0, runs = 0;
        while (i < n) {
            size_t a = i, mid, end;
            for (mid = a + 1; mid < n && v[mid - 1] <= v[mid];) mid++;
            for (end = mid < n ? mid + 1 : mid; end < n && v[end - 1] <= v[end];) end++;
            for (size_t b = mid; a < mid || b < end;)
                tmp[to++] = b == end || (a < mid && v[a] <= v[b]) ? v[a++] : v[b++];
            i = end;
            runs++;
        }
        memcpy(v, tmp, n * sizeof *v);
        if (runs <= 1) return;
    }
}

static bool sort_list(queue *q, list *l)
{
    size_t n = 0;
    for (uint32_t e = l->head; e != NIL; e = q->entry[e].next) n++;
    if (n * 2 > q->cap_sort) {
        uint32_t *p = grow(q->sort, n * 2, sizeof *p);
        if (!p) return false;
        q->sort = p;
        q->cap_sort = n * 2;
    }
    n = 0;
    for (uint32_t e = l->head; e != NIL; e = q->entry[e].next) q->sort[n++] = q->entry[e].at;
    sort_runs(q->sort, q->sort + n, n);
    n = 0;
    for (uint32_t e = l->head; e != NIL; e = q->entry[e].next) q->entry[e].at = q->sort[n++];
    l->sorted = true;
    q->sorted += n;
    return true;
}

static bool push_all(queue *q, uint32_t rank, uint32_t at)
{
    if (q->n_all == q->cap_all) {
        size_t cap = q->cap_all ? q->cap_all * 2 : 1024;
        uint64_t *p = grow(q->all, cap, sizeof *p);
        if (!p) return false;
        q->all = p;
        q->cap_all = cap;
    }
    uint64_t key = (uint64_t)rank << 32 | at;
    size_t i = q->n_all++;
    for (; i && q->all[(i - 1) / 2] > key; i = (i - 1) / 2) q->all[i] = q->all[(i - 1) / 2];
    q->all[i] = key;
    return true;
}

static uint64_t pop_all(queue *q)
{
    uint64_t top = q->all[0], last = q->all[--q->n_all];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < q->n_all; i = k) {
        if (k + 1 < q->n_all && q->all[k + 1] < q->all[k]) k++;
        if (q->all[k] >= last) break;
        q->all[i] = q->all[k];
    }
    if (q->n_all) q->all[i] = last;
    return top;
}

static uint32_t pair_at(const tok_symbols *a, uint32_t i, int32_t *id)
{
    const tok_symbol *s = a->s;
    uint32_t k = s[i].next;
    if (k >= a->n) return TOK_NO_RANK;
    return tok_pair(a->t, a->guarded, a->p, s[i].at, s[s[k].next].at, s[i].id, s[k].id, id);
}

static bool rank_at(tok_symbols *a, queue *q, uint32_t i)
{
    int32_t id;
    uint32_t rank = a->s[i].rank = pair_at(a, i, &id);
    if (rank == TOK_NO_RANK) return true;
    return q->all ? push_all(q, rank, i) : push_list(q, rank, i);
}

/* Merges the pair at i, if it still has this rank. */
static bool merge_at(tok_symbols *a, queue *q, uint32_t i, uint32_t rank)
{
    tok_symbol *s = a->s;
    int32_t id;
    if (s[i].rank != rank || pair_at(a, i, &id) != rank) return true;
    uint32_t k = s[i].next, end = s[k].next;
    s[i].id = id;
    s[i].next = end;
    s[k].rank = TOK_NO_RANK;
    if (end < a->n) s[end].prev = i;
    return rank_at(a, q, i) && (i == 0 || rank_at(a, q, s[i].prev));
}

static bool run_heap(tok_symbols *a, queue *q)
{
    q->cap_all = 1024;
    q->all = malloc(q->cap_all * sizeof *q->all);
    if (!q->all) return false;
    for (uint32_t i = 0; i < a->n; i = a->s[i].next)
        if (a->s[i].rank != TOK_NO_RANK && !push_all(q, a->s[i].rank, i)) return false;
    while (q->n_all) {
        uint64_t top = pop_all(q);
        if (!merge_at(a, q, (uint32_t)top, (uint32_t)(top >> 32))) return false;
    }
    return true;
}

static bool run_lists(tok_symbols *a, queue *q)
{
    while (q->n_heap) {
        list *l = &q->list[q->heap[0]];
        if (!l->sorted) {
            if (q->sorted > 16 * (uint64_t)a->n) return run_heap(a, q);
            if (!sort_list(q, l)) return false;
        }
        uint32_t e = l->head, at = q->entry[e].at, rank = l->rank;
        l->head = q->entry[e].next;
        q->entry[e].next = q->free;
        q->free = e;
        if (l->head == NIL) {
            l->queued = false;
            heap_pop(q);
        }
        if (!merge_at(a, q, at, rank)) return false;
    }
    return true;
}

bool tok_merge_long(tok_symbols *a)
{
    queue q = {.free = NIL};
    bool ok = true;
    for (uint32_t i = 0; i < a->n && ok; i = a->s[i].next) ok = rank_at(a, &q, i);
    ok = ok && run_lists(a, &q);
    free(q.entry);
    free(q.list);
    free(q.slot);
    free(q.heap);
    free(q.sort);
    free(q.all);
    return ok;
}
