/* The KV cache's writing and reading: softmax(q k^T) v, page by page.
 *
 * The order is fixed by absolute positions alone: a page (64 keys) is a kernel call, RUN_CHUNK pages are merged
 * in order into a chunk, chunks are merged in order, and the sum divides once at the end. Who computes which
 * chunk changes nothing. */
#include <math.h>
#include <string.h>

#include "run.h"

/* A unit of work is up to BLOCK tokens of a sequence and up to PART of the query heads that share a KV head, which share
 * one pass over the cache; LEAST_PART heads where there would be fewer units than threads. */
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
        const float *from_k = k + (size_t)i * l->dk, *from_v = v + (size_t)i * l->dv;
        void *to_k = kv_k(kv, page, il, h), *to_v = kv_v(kv, page, il, h) + (size_t)slot * l->dv * kv_size(kv->type_v);
        if (kv->type_k == SIMD_KV_F32) {
            for (uint32_t d = 0; d < l->dk; d++) ((float *)to_k)[d * SIMD_PAGE + (uint32_t)slot] = from_k[d];
        } else {
            uint16_t half[SIMD_MAX_HEAD];
            simd.f32_to_f16(half, from_k, l->dk);
            for (uint32_t d = 0; d < l->dk; d++) ((uint16_t *)to_k)[d * SIMD_PAGE + (uint32_t)slot] = half[d];
        }
        if (kv->type_v == SIMD_KV_F32)
            memcpy(to_v, from_v, l->dv * sizeof(float));
        else
            simd.f32_to_f16(to_v, from_v, l->dv);
    }
    run_barrier(r);
}

/* Rows of queries over one KV head: the tokens of a block times the heads of the group. */
typedef struct rows {
    run *r;
    const attn_spec *spec;
    const span *span;
    uint32_t il, head; /* KV head */
    int n;             /* rows */
    int32_t pos[MAX_ROWS];
    const float *q[MAX_ROWS];
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

/* What a pass takes: n_token tokens from `token` on, and of one KV head's group the query heads [from, to). */
typedef struct extract {
    int token, n_token;
    uint32_t head, from, to;
} extract;

static void collect(rows *w, const float *q, const span *s, extract e)
{
    const layer_hp *l = &w->r->m->hp.layer[w->il];
    uint32_t group = l->n_head / l->n_head_kv;
    w->span = s;
    w->head = e.head;
    w->n = 0;
    for (int t = e.token; t < e.token + e.n_token; t++)
        for (uint32_t g = e.from; g < e.to; g++, w->n++) {
            uint32_t h = e.head * group + g;
            w->at[w->n] = (size_t)t * l->n_head + h;
            w->q[w->n] = q + w->at[w->n] * l->dk;
            w->pos[w->n] = s->pos + (t - s->from);
            w->slope[w->n] = w->spec->slopes ? w->spec->slopes[h] : 0;
        }
}

/* State of a row: maximum, sum, values. */
typedef struct state {
    float *m, *l, *o; /* [rows], [rows], [rows][dv] */
} state;

static void merge_row(float *m, float *l, float *o, bool *have, float m2, float l2, const float *o2, size_t dv)
{
    if (*have) {
        simd.attn_merge(m, l, o, m2, l2, o2, dv);
        return;
    }
    *m = m2;
    *l = l2;
    memcpy(o, o2, dv * sizeof *o);
    *have = true;
}

static void *widen(float *to, const void *from, simd_kv type, size_t n)
{
    if (type == SIMD_KV_F32) return (void *)(uintptr_t)from;
    simd.f16_to_f32(to, from, n);
    return to;
}

/* One page for the rows that see part of it, merged into their states. */
static void page_rows(const rows *w, int32_t page, const state *st, bool *have, float *tmp)
{
    run *r = w->r;
    const kv_layout *kv = r->sh->kv;
    const layer_hp *l = &r->m->hp.layer[w->il];
    const float *q[MAX_ROWS];
    float m[MAX_ROWS], sum[MAX_ROWS], slope[MAX_ROWS];
    int32_t lo[MAX_ROWS], hi[MAX_ROWS], dist[MAX_ROWS];
    int which[MAX_ROWS], n = 0;
    int32_t base = page * SIMD_PAGE;
    for (int i = 0; i < w->n; i++) {
        int32_t a = first_key(&r->m->hp, w->il, w->pos[i]) - base, b = last_key(&r->m->hp, w->il, w->span, w->pos[i]) + 1 - base;
        if (a < 0) a = 0;
        if (b > SIMD_PAGE) b = SIMD_PAGE;
        if (a >= b) continue;
        lo[n] = a;
        hi[n] = b;
        q[n] = w->q[i];
        slope[n] = w->slope[i];
        dist[n] = base - w->pos[i];
        which[n++] = i;
    }
    if (!n) return;
    uint8_t *p = w->span->seq->page[page];
    size_t dv = l->dv;
    simd_attn a = {
        .k = kv_k(kv, p, w->il, w->head), .v = kv_v(kv, p, w->il, w->head), .dk = (int)l->dk, .dv = (int)l->dv, .rows = n, .q = q,
        .lo = lo, .hi = hi, .scale = w->spec->scale, .softcap = w->spec->softcap, .slope = w->spec->slopes ? slope : NULL,
        .dist = dist, .m = m, .l = sum, .o = tmp, .ldo = dv, .scratch = r->scratch,
    };
    if (kv->type_k == SIMD_KV_F16 && kv->type_v == SIMD_KV_F16) {
        simd.attn_f16(&a);
    } else { /* mixed types go by way of F32, which is exact */
        float *wide = tmp + (size_t)MAX_ROWS * dv;
        a.k = widen(wide, a.k, kv->type_k, (size_t)l->dk * SIMD_PAGE);
        a.v = widen(wide + (size_t)l->dk * SIMD_PAGE, a.v, kv->type_v, dv * SIMD_PAGE);
        simd.attn(&a);
    }
    for (int i = 0; i < n; i++) {
        int row = which[i];
        merge_row(&st->m[row], &st->l[row], st->o + (size_t)row * dv, &have[row], m[i], sum[i], tmp + (size_t)i * dv, dv);
    }
}

/* All pages of one chunk into st; have[row] tells which rows saw any key. */
static void chunk_rows(const rows *w, int32_t chunk, int32_t last_page, const state *st, bool *have, float *tmp)
{
    memset(have, 0, (size_t)w->n * sizeof *have);
    int32_t end = (chunk + 1) * RUN_CHUNK;
    for (int32_t p = chunk * RUN_CHUNK; p < end && p <= last_page; p++) page_rows(w, p, st, have, tmp);
}

/* The sink's weight joins the sum as a key without a value would; then the one division. */
static void finish_row(const rows *w, int row, float m, float l, float *o, float *out, size_t dv)
{
    static const float zeros[SIMD_MAX_HEAD];
    uint32_t n_head = w->r->m->hp.layer[w->il].n_head;
    if (w->spec->sinks) simd.attn_merge(&m, &l, o, w->spec->sinks[w->at[row] % n_head], 1.0f, zeros, dv);
    simd.scale(out + w->at[row] * dv, o, 1.0f / l, dv);
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

/* Scratch of a thread: states of chunk and row, a page's values, pages widened to F32. */
typedef struct work {
    float *m, *l, *o, *cm, *cl, *co, *tmp;
    bool *have, *chave;
} work;

static size_t work_floats(const layer_hp *l) { return (size_t)MAX_ROWS * (4 + 3 * (size_t)l->dv) + (size_t)SIMD_PAGE * (l->dk + l->dv); }

static work work_at(float *p, bool *flags, size_t dv)
{
    return (work){.m = p, .l = p + MAX_ROWS, .cm = p + 2 * MAX_ROWS, .cl = p + 3 * MAX_ROWS, .o = p + 4 * MAX_ROWS,
                  .co = p + (4 + dv) * MAX_ROWS, .tmp = p + (4 + 2 * dv) * MAX_ROWS, .have = flags, .chave = flags + MAX_ROWS};
}

/* A block of tokens over one KV head, all its chunks. */
static void whole_unit(const rows *w, extent e, const work *k, float *out, size_t dv)
{
    memset(k->have, 0, (size_t)w->n * sizeof *k->have);
    for (int32_t c = e.first_chunk; c <= e.last_chunk; c++) {
        chunk_rows(w, c, e.last_page, &(state){k->cm, k->cl, k->co}, k->chave, k->tmp);
        for (int i = 0; i < w->n; i++)
            if (k->chave[i]) merge_row(&k->m[i], &k->l[i], k->o + (size_t)i * dv, &k->have[i], k->cm[i], k->cl[i], k->co + (size_t)i * dv, dv);
    }
    for (int i = 0; i < w->n; i++) finish_row(w, i, k->m[i], k->l[i], k->o + (size_t)i * dv, out, dv);
}

/* How an operation is cut into units, and partial results of chunks, kept until they are merged in order. */
typedef struct cut {
    uint32_t heads;   /* of a group in one unit; every thread comes to the same */
    size_t max;       /* partial results that fit; 0: nothing is split */
    float *m, *l, *o; /* [max], [max], [max][dv] */
    bool *have;       /* [max] */
} cut;

/* A span as units of work: its blocks of tokens, or, where it is split, its chunks of keys, for each part of the heads. */
typedef struct task {
    const span *span;
    extent e;
    int64_t pieces, parts;
    size_t first; /* partial result of its first row's first chunk; rows lie chunk by chunk, one after the other */
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
    t.parts = (int64_t)((group + c->heads - 1) / c->heads) * l->n_head_kv;
    if (t.split) *used += need;
    return t;
}

/* Part i of the heads, for some tokens. */
static extract part_of(const rows *w, const cut *c, int64_t i, int token, int n_token)
{
    const layer_hp *l = &w->r->m->hp.layer[w->il];
    uint32_t group = l->n_head / l->n_head_kv, parts = (group + c->heads - 1) / c->heads;
    uint32_t from = (uint32_t)(i % parts) * c->heads, to = from + c->heads < group ? from + c->heads : group;
    return (extract){token, n_token, (uint32_t)(i / parts), from, to};
}

static void block_unit(rows *w, const task *t, int64_t u, const work *k, const cut *c, float *out, const float *q)
{
    const span *s = t->span;
    int token = s->from + (int)(t->pieces - 1 - u / t->parts) * BLOCK; /* the last see most keys */
    int n = token + BLOCK > s->from + s->n ? s->from + s->n - token : BLOCK;
    collect(w, q, s, part_of(w, c, u % t->parts, token, n));
    whole_unit(w, extent_of(w->r, w->il, s, token, n), k, out, w->r->m->hp.layer[w->il].dv);
}

static size_t partial_of(const rows *w, const task *t, int row, int32_t chunk)
{
    size_t first = (size_t)t->span->from * w->r->m->hp.layer[w->il].n_head;
    return t->first + (w->at[row] - first) * (size_t)chunks_of(&t->e) + (size_t)chunk;
}

static void chunk_unit(rows *w, const task *t, int64_t u, const work *k, const cut *c, const float *q)
{
    size_t dv = w->r->m->hp.layer[w->il].dv;
    int32_t chunk = (int32_t)(u / t->parts);
    collect(w, q, t->span, part_of(w, c, u % t->parts, t->span->from, t->span->n));
    chunk_rows(w, t->e.first_chunk + chunk, t->e.last_page, &(state){k->cm, k->cl, k->co}, k->chave, k->tmp);
    for (int i = 0; i < w->n; i++) {
        size_t at = partial_of(w, t, i, chunk);
        c->have[at] = k->chave[i];
        c->m[at] = k->cm[i];
        c->l[at] = k->cl[i];
        memcpy(c->o + at * dv, k->co + (size_t)i * dv, dv * sizeof(float));
    }
}

static void merge_chunks(const rows *w, const task *t, int row, const work *k, const cut *c, float *out)
{
    size_t dv = w->r->m->hp.layer[w->il].dv;
    bool have = false;
    for (int32_t i = 0; i < chunks_of(&t->e); i++) {
        size_t at = partial_of(w, t, row, i);
        if (c->have[at]) merge_row(k->m, k->l, k->o, &have, c->m[at], c->l[at], c->o + at * dv, dv);
    }
    finish_row(w, row, *k->m, *k->l, k->o, out, dv);
}

static void attend(rows *w, float *out, const float *q, const work *k, const cut *c)
{
    run *r = w->r;
    _Atomic int64_t *counter = team_work(r->sh->team, r->tid);
    int64_t first = 0, u = team_take(counter), row = 0;
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
        for (int64_t part = 0; t.split && part < t.parts; part++) {
            collect(w, q, t.span, part_of(w, c, part, t.span->from, t.span->n));
            for (int j = 0; j < w->n; j++, row++)
                if (row % r->threads == r->tid) merge_chunks(w, &t, j, k, c, out);
        }
    }
}

/* Spans are split where whole units are large against a thread's share of all of them; then heads are shared out where
 * there are still fewer units than threads. */
static cut make_cut(const run *r, uint32_t il)
{
    enum { UNITS_A_THREAD = 8, MOST_TOKENS = 8 };
    const layer_hp *l = &r->m->hp.layer[il];
    int tokens = r->n < MOST_TOKENS ? r->n : MOST_TOKENS, chunks = r->sh->n_ctx / (SIMD_PAGE * RUN_CHUNK) + 2;
    uint32_t group = l->n_head / l->n_head_kv;
    cut c = {.heads = group < PART ? group : PART, .max = (size_t)tokens * l->n_head * (size_t)chunks};
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
    for (uint32_t all = c.heads; c.heads > LEAST_PART && units * ((all + c.heads - 1) / c.heads) < r->threads;) c.heads = (c.heads + 1) / 2;
    return c;
}

void op_attention(run *r, uint32_t il, float *out, const float *q, const attn_spec *spec)
{
    run_mark mark = run_mark_at(r);
    const layer_hp *l = &r->m->hp.layer[il];
    cut c = make_cut(r, il);
    c.m = run_shared_bytes(r, c.max * sizeof(float));
    c.l = run_shared_bytes(r, c.max * sizeof(float));
    c.o = run_shared_bytes(r, c.max * l->dv * sizeof(float));
    c.have = run_shared_bytes(r, c.max);
    float *floats = run_own_bytes(r, work_floats(l) * sizeof(float));
    bool *flags = run_own_bytes(r, 2 * MAX_ROWS);
    if (!r->plan) {
        work k = work_at(floats, flags, l->dv);
        rows w; /* large: what collect fills is not cleared before */
        w.r = r;
        w.spec = spec;
        w.il = il;
        attend(&w, out, q, &k, &c);
    }
    run_barrier(r);
    run_release(r, mark);
}
