/* The KV cache's writing and reading: softmax(q k^T) v, page by page.
 *
 * The order is fixed by absolute positions alone: a page (64 keys) is a kernel call, RUN_CHUNK pages are merged
 * in order into a chunk, chunks are merged in order, and the sum divides once at the end. Who computes which
 * chunk changes nothing. */
#include <math.h>
#include <string.h>

#include "run.h"

/* A unit of work is up to BLOCK tokens of a sequence and up to PART of the query heads that share a KV head, which share
 * one pass over the cache; LEAST_PART heads where there would be fewer units than threads. With few tokens a unit has
 * several KV heads, which lie side by side in a page: the cache is then read in longer runs. */
enum { BLOCK = 16, PART = 32, LEAST_PART = 4, MAX_ROWS = BLOCK * PART };

void op_kv_store(run *r, uint32_t il, const float *k, const float *v)
{
    const kv_layout *kv = r->sh->kv;
    const layer_hp *l = &r->m->hp.layer[il];
    if (r->plan) return;
    /* (token, head) pairs are shared out even when local: the cache is one */
    int64_t pairs = (int64_t)r->n * l->n_head_kv, from = pairs * r->tid / r->threads, to = pairs * (r->tid + 1) / r->threads;
    const span *s = r->b->spans;
    for (int64_t i = from; i < to; i++) {
        int t = (int)(i / l->n_head_kv);
        uint32_t h = (uint32_t)(i % l->n_head_kv);
        while (t >= s->from + s->n) s++;
        int32_t pos = s->pos + (t - s->from), slot = pos % SIMD_PAGE;
        uint8_t *page = s->seq->page[pos / SIMD_PAGE];
        simd_kv_put_k(kv->type_k, kv_k(kv, page, il, h), slot, k + (size_t)i * l->dk, l->dk);
        simd_kv_put_v(kv->type_v, kv_v(kv, page, il, h), slot, v + (size_t)i * l->dv, l->dv);
    }
    run_barrier(r);
}

/* Rows of queries over some KV heads, one head's after the other: the tokens of a block times the heads of the group. */
typedef struct rows {
    run *r;
    const attn_spec *spec;
    const span *span;
    uint32_t il, head, heads; /* KV heads: the first, how many */
    int n, per_head;          /* rows */
    int32_t pos[MAX_ROWS];
    const float *q[MAX_ROWS];
    const void *query[MAX_ROWS]; /* for quantized keys */
    float slope[MAX_ROWS];
    size_t at[MAX_ROWS]; /* token * n_head + query head */
} rows;

/* The keys that position pos sees: [first, last]. */
static int32_t first_key(const hparams *hp, uint32_t il, int32_t pos)
{
    int32_t window = (int32_t)hp->layer[il].window, chunk = (int32_t)hp->layer[il].chunk;
    if (chunk) return pos / chunk * chunk;
    if (window && hp->window_both) return pos > window / 2 ? pos - window / 2 : 0;
    return window && pos >= window ? pos - window + 1 : 0;
}

static int32_t last_key(const hparams *hp, uint32_t il, const span *s, int32_t pos)
{
    int32_t window = (int32_t)hp->layer[il].window, end = hp->causal ? pos : s->pos + s->n - 1;
    return window && hp->window_both && window / 2 < end - pos ? pos + window / 2 : end;
}

/* What a pass takes: n_token tokens from `token` on, and of each of some KV heads' group the query heads [from, to). */
typedef struct extract {
    int token, n_token;
    uint32_t head, heads, from, to;
} extract;

/* Results of rows: maximum, sum, values. */
typedef struct state {
    float *m, *l, *o; /* [rows], [rows], [rows][dv] */
} state;

/* Scratch of a thread: results of row, chunk and page, scores, queries for quantized keys. */
typedef struct work {
    state all, chunk, page;
    float *s;
    uint8_t *query;
    bool *have, *chunk_have;
} work;

/* Rows that a unit can have. */
static int most_rows(const layer_hp *l)
{
    uint32_t group = l->n_head / l->n_head_kv;
    return BLOCK * (int)(group < PART ? group : PART);
}

static state state_at(run *r, size_t n, size_t dv)
{
    return (state){run_own_bytes(r, n * sizeof(float)), run_own_bytes(r, n * sizeof(float)), run_own_bytes(r, n * dv * sizeof(float))};
}

static work take_work(run *r, const layer_hp *l)
{
    size_t n = (size_t)most_rows(l);
    work k = {state_at(r, n, l->dv), state_at(r, n, l->dv), state_at(r, n, l->dv), NULL, NULL, NULL, NULL};
    k.s = run_own_bytes(r, n * SIMD_PAGE * sizeof(float));
    k.have = run_own_bytes(r, n);
    k.chunk_have = run_own_bytes(r, n);
    if (simd_kv_quantized(r->sh->kv->type_k)) k.query = run_own_bytes(r, n * simd_query_bytes(l->dk));
    return k;
}

static void collect(rows *w, const float *q, const work *k, const span *s, extract e)
{
    const layer_hp *l = &w->r->m->hp.layer[w->il];
    uint32_t group = l->n_head / l->n_head_kv;
    w->span = s;
    w->head = e.head;
    w->heads = e.heads;
    w->per_head = e.n_token * (int)(e.to - e.from);
    w->n = w->per_head * (int)e.heads;
    for (int i = 0; i < w->n; i++) {
        uint32_t many = e.to - e.from, row = (uint32_t)(i % w->per_head);
        uint32_t h = (e.head + (uint32_t)(i / w->per_head)) * group + e.from + row % many;
        int t = e.token + (int)(row / many);
        w->at[i] = (size_t)t * l->n_head + h;
        w->q[i] = q + w->at[i] * l->dk;
        w->pos[i] = s->pos + (t - s->from);
        w->slope[i] = w->spec->slopes ? w->spec->slopes[h] : 0;
        if (!k->query) continue;
        uint8_t *query = k->query + (size_t)i * simd_query_bytes(l->dk);
        simd_query_make(query, w->q[i], l->dk);
        w->query[i] = query;
    }
}

/* Row i of `from` into row to[i] of st; the first of a row is copied. */
static void merge_rows(const state *st, bool *have, const int32_t *to, int n, const state *from, size_t dv)
{
    int old = 0;
    for (int i = 0; i < n; i++) old += have[to[i]];
    simd_merge g = {n, dv, st->m, st->l, st->o, to, from->m, from->l, from->o, dv};
    if (old == n) {
        simd.attn_merge(&g);
        return;
    }
    g.rows = 1;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)to[i];
        g.to = to + i;
        g.m2 = from->m + i;
        g.l2 = from->l + i;
        g.o2 = from->o + (size_t)i * dv;
        if (have[at]) {
            simd.attn_merge(&g);
            continue;
        }
        st->m[at] = *g.m2;
        st->l[at] = *g.l2;
        memcpy(st->o + at * dv, g.o2, dv * sizeof *g.o2);
        have[at] = true;
    }
}

/* Those of n rows that are there into the same rows of st. */
static void merge_seen(const state *st, bool *have, int n, const state *from, const bool *seen, size_t dv)
{
    int32_t to[MAX_ROWS];
    for (int i = 0, many = 1; i < n; i += many) {
        many = 1;
        if (!seen[i]) continue;
        while (i + many < n && seen[i + many]) many++;
        for (int j = 0; j < many; j++) to[j] = i + j;
        merge_rows(st, have, to, many, &(state){from->m + i, from->l + i, from->o + (size_t)i * dv}, dv);
    }
}

/* One page for the rows of KV head `head` that see part of it, merged into the chunk's. While keys are read the values are
 * fetched, then the keys at `next` (NULL: none). */
static void page_rows(const rows *w, int32_t page, uint32_t head, const uint8_t *next, const work *k)
{
    run *r = w->r;
    const kv_layout *kv = r->sh->kv;
    const layer_hp *l = &r->m->hp.layer[w->il];
    const float *q[MAX_ROWS];
    const void *query[MAX_ROWS];
    float slope[MAX_ROWS];
    int32_t lo[MAX_ROWS], hi[MAX_ROWS], dist[MAX_ROWS], which[MAX_ROWS];
    int n = 0;
    int32_t base = page * SIMD_PAGE;
    for (int first = (int)(head - w->head) * w->per_head, i = first; i < first + w->per_head; i++) {
        int32_t a = first_key(&r->m->hp, w->il, w->pos[i]) - base, b = last_key(&r->m->hp, w->il, w->span, w->pos[i]) + 1 - base;
        if (a < 0) a = 0;
        if (b > SIMD_PAGE) b = SIMD_PAGE;
        if (a >= b) continue;
        lo[n] = a;
        hi[n] = b;
        q[n] = w->q[i];
        query[n] = k->query ? w->query[i] : NULL;
        slope[n] = w->slope[i];
        dist[n] = base - w->pos[i];
        which[n++] = i;
    }
    if (!n) return;
    uint8_t *p = w->span->seq->page[page];
    simd_attn a = {
        .k = kv_k(kv, p, w->il, head), .v = kv_v(kv, p, w->il, head), .dk = (int)l->dk, .dv = (int)l->dv, .rows = n, .q = q,
        .query = query, .lo = lo, .hi = hi, .scale = w->spec->scale, .softcap = w->spec->softcap, .slope = w->spec->slopes ? slope : NULL,
        .dist = dist, .s = k->s, .m = k->page.m, .l = k->page.l, .o = k->page.o, .ldo = l->dv, .scratch = r->scratch,
    };
    a.ahead = a.v;
    a.ahead_bytes = kv->layer[w->il].v_head;
    simd.attn_qk[kv->type_k](&a);
    simd.attn_softmax(&a);
    a.ahead = next;
    a.ahead_bytes = kv->layer[w->il].k_head;
    simd.attn_pv[kv->type_v](&a);
    merge_rows(&k->chunk, k->chunk_have, which, n, &k->page, l->dv);
}

/* All pages of one chunk into k->chunk; k->chunk_have[row] tells which rows saw any key. */
static void chunk_rows(const rows *w, int32_t chunk, int32_t last_page, const work *k)
{
    memset(k->chunk_have, 0, (size_t)w->n * sizeof *k->chunk_have);
    int32_t end = (chunk + 1) * RUN_CHUNK - 1;
    if (end > last_page) end = last_page;
    for (int32_t p = chunk * RUN_CHUNK; p <= end; p++)
        for (uint32_t h = w->head; h < w->head + w->heads; h++) {
            bool last = h + 1 == w->head + w->heads;
            const uint8_t *next = last && p == end ? NULL
                                                   : kv_k(w->r->sh->kv, w->span->seq->page[p + last], w->il, last ? w->head : h + 1);
            page_rows(w, p, h, next, k);
        }
}

/* The sink's weight joins the sum as a key without a value would; then the one division. */
static void finish_row(const attn_spec *spec, size_t at, uint32_t n_head, const state *st, int row, float *out, size_t dv)
{
    static const float zeros[SIMD_MAX_HEAD];
    float *o = st->o + (size_t)row * dv;
    if (spec->sinks) {
        static const float one = 1;
        simd.attn_merge(&(simd_merge){1, dv, st->m, st->l, st->o, &row, &spec->sinks[at % n_head], &one, zeros, dv});
    }
    simd.scale(out + at * dv, o, 1.0f / st->l[row], dv);
}

typedef struct extent {
    int32_t first_chunk, last_chunk, last_page;
} extent;

/* Chunks that tokens [token, token + n) of the span look at. */
static extent extent_of(const run *r, uint32_t il, const span *s, int token, int n)
{
    int32_t pos = s->pos + (token - s->from), last = last_key(&r->m->hp, il, s, pos + n - 1);
    return (extent){first_key(&r->m->hp, il, pos) / (SIMD_PAGE * RUN_CHUNK), last / (SIMD_PAGE * RUN_CHUNK), last / SIMD_PAGE};
}

/* A block of tokens over some KV heads, all their chunks. */
static void whole_unit(const rows *w, extent e, const work *k, float *out, size_t dv)
{
    memset(k->have, 0, (size_t)w->n * sizeof *k->have);
    for (int32_t c = e.first_chunk; c <= e.last_chunk; c++) {
        chunk_rows(w, c, e.last_page, k);
        merge_seen(&k->all, k->have, w->n, &k->chunk, k->chunk_have, dv);
    }
    for (int i = 0; i < w->n; i++) finish_row(w->spec, w->at[i], w->r->m->hp.layer[w->il].n_head, &k->all, i, out, dv);
}

/* How an operation is cut into units, and partial results of chunks, kept until they are merged in order. */
typedef struct cut {
    uint32_t heads;   /* of a group in one unit; every thread comes to the same */
    uint32_t kv_heads; /* in one unit; 1 where the group is parted */
    size_t max;       /* partial results that fit; 0: nothing is split */
    state st;         /* [max] rows */
    bool *have;       /* [max] */
} cut;

/* A span as units of work: its blocks of tokens, or, where it is split, its chunks of keys, for each part of the heads. */
typedef struct task {
    const span *span;
    extent e;
    int64_t pieces, parts;
    size_t first; /* partial result of its first chunk's first row; each chunk has all rows */
    bool split;
} task;

static int32_t chunks_of(const extent *e) { return e->last_chunk - e->first_chunk + 1; }

/* Only spans of one block are split: others have units enough. used: the partial results that are taken. */
static task task_of(const run *r, uint32_t il, const span *s, const cut *c, size_t *used)
{
    const layer_hp *l = &r->m->hp.layer[il];
    uint32_t group = l->n_head / l->n_head_kv;
    task t = {.span = s, .e = extent_of(r, il, s, s->from, s->n), .first = *used};
    size_t need = (size_t)s->n * l->n_head * (size_t)chunks_of(&t.e);
    t.split = s->n <= BLOCK && chunks_of(&t.e) > 1 && need <= c->max - *used;
    t.pieces = t.split ? chunks_of(&t.e) : (s->n + BLOCK - 1) / BLOCK;
    t.parts = (int64_t)((group + c->heads - 1) / c->heads) * ((l->n_head_kv + c->kv_heads - 1) / c->kv_heads);
    if (t.split) *used += need;
    return t;
}

/* Part i of the heads, for some tokens. */
static extract part_of(const rows *w, const cut *c, int64_t i, int token, int n_token)
{
    const layer_hp *l = &w->r->m->hp.layer[w->il];
    uint32_t group = l->n_head / l->n_head_kv, parts = (group + c->heads - 1) / c->heads;
    uint32_t from = (uint32_t)(i % parts) * c->heads, to = from + c->heads < group ? from + c->heads : group;
    uint32_t head = (uint32_t)(i / parts) * c->kv_heads, left = l->n_head_kv - head;
    return (extract){token, n_token, head, c->kv_heads < left ? c->kv_heads : left, from, to};
}

static void block_unit(rows *w, const task *t, int64_t u, const work *k, const cut *c, float *out, const float *q)
{
    const span *s = t->span;
    int token = s->from + (int)(t->pieces - 1 - u / t->parts) * BLOCK; /* the last see most keys */
    int n = token + BLOCK > s->from + s->n ? s->from + s->n - token : BLOCK;
    collect(w, q, k, s, part_of(w, c, u % t->parts, token, n));
    whole_unit(w, extent_of(w->r, w->il, s, token, n), k, out, w->r->m->hp.layer[w->il].dv);
}

/* Rows of a split span, a chunk's after the other; row = token * n_head + head, from the span's first on. */
static size_t rows_of(const rows *w, const task *t) { return (size_t)t->span->n * w->r->m->hp.layer[w->il].n_head; }
static size_t first_row(const rows *w, const task *t) { return (size_t)t->span->from * w->r->m->hp.layer[w->il].n_head; }

static void chunk_unit(rows *w, const task *t, int64_t u, const work *k, const cut *c, const float *q)
{
    size_t dv = w->r->m->hp.layer[w->il].dv;
    int32_t chunk = (int32_t)(u / t->parts);
    collect(w, q, k, t->span, part_of(w, c, u % t->parts, t->span->from, t->span->n));
    chunk_rows(w, t->e.first_chunk + chunk, t->e.last_page, k);
    for (int i = 0; i < w->n; i++) {
        size_t at = t->first + (size_t)chunk * rows_of(w, t) + w->at[i] - first_row(w, t);
        c->have[at] = k->chunk_have[i];
        c->st.m[at] = k->chunk.m[i];
        c->st.l[at] = k->chunk.l[i];
        memcpy(c->st.o + at * dv, k->chunk.o + (size_t)i * dv, dv * sizeof(float));
    }
}

/* n rows of a split span from `row` on, finished. */
static void merge_chunks(const rows *w, const task *t, size_t row, int n, const work *k, const cut *c, float *out)
{
    const layer_hp *l = &w->r->m->hp.layer[w->il];
    memset(k->have, 0, (size_t)n * sizeof *k->have);
    for (int32_t i = 0; i < chunks_of(&t->e); i++) {
        size_t at = t->first + (size_t)i * rows_of(w, t) + row;
        merge_seen(&k->all, k->have, n, &(state){c->st.m + at, c->st.l + at, c->st.o + at * l->dv}, c->have + at, l->dv);
    }
    for (int i = 0; i < n; i++) finish_row(w->spec, first_row(w, t) + row + (size_t)i, l->n_head, &k->all, i, out, l->dv);
}

static void attend(rows *w, float *out, const float *q, const work *k, const cut *c)
{
    run *r = w->r;
    _Atomic int64_t *counter = team_work(r->sh->team, r->tid);
    int64_t first = 0, u = team_take(counter);
    size_t used = 0;
    for (int i = 0; i < r->b->n_spans; i++) {
        task t = task_of(r, w->il, &r->b->spans[i], c, &used);
        for (; u < first + t.pieces * t.parts; u = team_take(counter)) {
            if (t.split)
                chunk_unit(w, &t, u - first, k, c, q);
            else
                block_unit(w, &t, u - first, k, c, out, q);
        }
        first += t.pieces * t.parts;
    }
    if (!used) return;
    run_barrier(r);
    used = 0;
    for (int i = 0; i < r->b->n_spans; i++) {
        task t = task_of(r, w->il, &r->b->spans[i], c, &used);
        if (!t.split) continue;
        size_t n = rows_of(w, &t), tid = (size_t)r->tid, threads = (size_t)r->threads, to = n * (tid + 1) / threads;
        for (size_t row = n * tid / threads; row < to; row += BLOCK)
            merge_chunks(w, &t, row, to - row < BLOCK ? (int)(to - row) : BLOCK, k, c, out);
    }
}

/* So many KV heads in a unit as leave each thread units enough, and rows that fit. */
static uint32_t join_heads(const run *r, const layer_hp *l, int64_t units, int units_a_thread)
{
    uint32_t group = l->n_head / l->n_head_kv, heads = 1;
    int tokens = 1;
    for (int i = 0; i < r->b->n_spans; i++) {
        int n = r->b->spans[i].n < BLOCK ? r->b->spans[i].n : BLOCK;
        if (n > tokens) tokens = n;
    }
    int64_t one = (int64_t)tokens * group, least = r->threads == 1 ? 1 : (int64_t)units_a_thread * r->threads;
    while (heads < l->n_head_kv && 2 * heads * one <= most_rows(l) && units / (2 * heads) >= least) heads *= 2;
    return heads;
}

/* Spans are split where whole units are large against a thread's share of all of them; then heads are shared out where
 * there are still fewer units than threads. */
static cut make_cut(const run *r, uint32_t il)
{
    enum { UNITS_A_THREAD = 8, MOST_TOKENS = 8 };
    const layer_hp *l = &r->m->hp.layer[il];
    int tokens = r->n < MOST_TOKENS ? r->n : MOST_TOKENS, chunks = r->sh->n_ctx / (SIMD_PAGE * RUN_CHUNK) + 2;
    uint32_t group = l->n_head / l->n_head_kv;
    cut c = {.heads = group < PART ? group : PART, .kv_heads = 1, .max = (size_t)tokens * l->n_head * (size_t)chunks};
    if (r->plan) return c;
    int64_t most = 0, total = 0, split = 0, whole = 0;
    size_t used = 0;
    for (int i = 0; i < r->b->n_spans; i++) {
        task t = task_of(r, il, &r->b->spans[i], &c, &used);
        int64_t pages = t.e.last_page - (int64_t)t.e.first_chunk * RUN_CHUNK + 1, units = t.parts * (t.split ? 1 : t.pieces);
        if (t.split && pages > most) most = pages;
        total += units * pages;
        whole += units;
        split += t.parts * t.pieces;
    }
    bool even = r->threads == 1 || most * UNITS_A_THREAD * r->threads <= total;
    c.max = even ? 0 : used;
    int64_t units = even ? whole : split;
    if (c.heads == group) c.kv_heads = join_heads(r, l, units, UNITS_A_THREAD);
    for (uint32_t all = c.heads; c.heads > LEAST_PART && units * ((all + c.heads - 1) / c.heads) < r->threads;) c.heads = (c.heads + 1) / 2;
    return c;
}

void op_attention(run *r, uint32_t il, float *out, const float *q, const attn_spec *spec)
{
    run_mark mark = run_mark_at(r);
    const layer_hp *l = &r->m->hp.layer[il];
    cut c = make_cut(r, il);
    c.st.m = run_shared_bytes(r, c.max * sizeof(float));
    c.st.l = run_shared_bytes(r, c.max * sizeof(float));
    c.st.o = run_shared_bytes(r, c.max * l->dv * sizeof(float));
    c.have = run_shared_bytes(r, c.max);
    work k = take_work(r, l);
    if (!r->plan) {
        rows w; /* large: what collect fills is not cleared before */
        w.r = r;
        w.spec = spec;
        w.il = il;
        attend(&w, out, q, &k, &c);
    }
    run_barrier(r);
    run_release(r, mark);
}
