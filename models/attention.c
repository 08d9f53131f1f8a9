/* The KV cache's writing and reading: softmax(q k^T) v, page by page.
 *
 * The order is fixed by absolute positions alone: a page (64 keys) is a kernel call, RUN_CHUNK pages are merged
 * in order into a chunk, chunks are merged in order, and the sum divides once at the end. Who computes which
 * chunk changes nothing. */
#include <math.h>
#include <string.h>

#include "run.h"

/* Tokens, and rows of queries, that share one pass over the cache: RUN_LOCAL tokens of any group of heads fit. The
 * heads of a group are shared out in parts where the units of work would be too few: of PART heads at most, or of
 * LEAST_PART with few tokens. */
enum { BLOCK = 16, MAX_ROWS = RUN_LOCAL * MODEL_MAX_GROUP, PART = 32, LEAST_PART = 4 };

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

static void collect(rows *w, run *r, uint32_t il, const float *q, const attn_spec *spec, const span *s, extract e)
{
    const layer_hp *l = &r->m->hp.layer[il];
    uint32_t group = l->n_head / l->n_head_kv;
    w->r = r;
    w->spec = spec;
    w->span = s;
    w->il = il;
    w->head = e.head;
    w->n = 0;
    for (int t = e.token; t < e.token + e.n_token; t++)
        for (uint32_t g = e.from; g < e.to; g++, w->n++) {
            uint32_t h = e.head * group + g;
            w->at[w->n] = (size_t)t * l->n_head + h;
            w->q[w->n] = q + w->at[w->n] * l->dk;
            w->pos[w->n] = s->pos + (t - s->from);
            w->slope[w->n] = spec->slopes ? spec->slopes[h] : 0;
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

/* Heads of a group in one unit of work, where there are `units` of whole groups; every thread comes to the same. */
static uint32_t part_heads(const run *r, uint32_t group, int64_t units)
{
    uint32_t part = group < PART ? group : PART;
    while (r->local && part > LEAST_PART && units * ((group + part - 1) / part) < r->threads) part = (part + 1) / 2;
    return part;
}

/* Unit u of a KV head's group of heads in parts. */
static extract part_of(int64_t u, uint32_t group, uint32_t part, int token, int n_token)
{
    int64_t parts = (group + part - 1) / part;
    uint32_t from = (uint32_t)(u % parts) * part, to = from + part < group ? from + part : group;
    return (extract){token, n_token, (uint32_t)(u / parts), from, to};
}

/* Without splitting: units are (block of tokens, KV head, part of its group), the last tokens first since they see most keys. */
static void attend_whole(run *r, uint32_t il, float *out, const float *q, const attn_spec *spec, const work *k)
{
    const layer_hp *l = &r->m->hp.layer[il];
    uint32_t group = l->n_head / l->n_head_kv, part = part_heads(r, group, (int64_t)r->b->n_spans * l->n_head_kv);
    int64_t parts = (group + part - 1) / part * l->n_head_kv;
    int block = MAX_ROWS / (int)part < BLOCK ? MAX_ROWS / (int)part : BLOCK;
    _Atomic int64_t *counter = team_work(r->sh->team, r->tid);
    int64_t first = 0, u = team_take(counter);
    rows w;
    for (int i = r->b->n_spans - 1; i >= 0; i--) {
        const span *s = &r->b->spans[i];
        int64_t blocks = (s->n + block - 1) / block, units = blocks * parts;
        for (; u < first + units; u = team_take(counter)) {
            int token = s->from + (int)(blocks - 1 - (u - first) / parts) * block;
            int n = token + block > s->from + s->n ? s->from + s->n - token : block;
            collect(&w, r, il, q, spec, s, part_of((u - first) % parts, group, part, token, n));
            whole_unit(&w, extent_of(r, il, s, token, n), k, out, l->dv);
        }
        first += units;
    }
}

/* Partial results of the chunks of each row, kept until they are merged in order. */
typedef struct parts {
    float *m, *l, *o; /* [row][chunks], [row][chunks], [row][chunks][dv]; row = token * n_head + head */
    bool *have;       /* [row][chunks] */
    int32_t chunks;
} parts;

static void split_unit(const rows *w, int32_t chunk, int32_t first_chunk, int32_t last_page, const work *k, const parts *p, size_t dv)
{
    chunk_rows(w, chunk, last_page, &(state){k->cm, k->cl, k->co}, k->chave, k->tmp);
    for (int i = 0; i < w->n; i++) {
        size_t at = w->at[i] * (size_t)p->chunks + (size_t)(chunk - first_chunk);
        p->have[at] = k->chave[i];
        p->m[at] = k->cm[i];
        p->l[at] = k->cl[i];
        memcpy(p->o + at * dv, k->co + (size_t)i * dv, dv * sizeof(float));
    }
}

static void merge_parts(const rows *w, int row, int32_t n_chunks, const parts *p, const work *k, float *out, size_t dv)
{
    bool have = false;
    for (int32_t c = 0; c < n_chunks; c++) {
        size_t at = w->at[row] * (size_t)p->chunks + (size_t)c;
        if (p->have[at]) merge_row(k->m, k->l, k->o, &have, p->m[at], p->l[at], p->o + at * dv, dv);
    }
    finish_row(w, row, *k->m, *k->l, k->o, out, dv);
}

/* Few tokens with many keys: units are (sequence, KV head, part of its group, chunk), then rows are merged. */
static void attend_split(run *r, uint32_t il, float *out, const float *q, const attn_spec *spec, const work *k, const parts *p)
{
    const layer_hp *l = &r->m->hp.layer[il];
    uint32_t group = l->n_head / l->n_head_kv, part = part_heads(r, group, (int64_t)p->chunks * l->n_head_kv);
    int64_t n_parts = (group + part - 1) / part * l->n_head_kv;
    _Atomic int64_t *counter = team_work(r->sh->team, r->tid);
    int64_t first = 0, u = team_take(counter);
    rows w;
    for (int i = 0; i < r->b->n_spans; i++) {
        const span *s = &r->b->spans[i];
        extent e = extent_of(r, il, s, s->from, s->n);
        int64_t chunks = e.last_chunk - e.first_chunk + 1, units = chunks * n_parts;
        for (; u < first + units; u = team_take(counter)) {
            int64_t chunk = (u - first) % chunks;
            collect(&w, r, il, q, spec, s, part_of((u - first) / chunks, group, part, s->from, s->n));
            split_unit(&w, e.first_chunk + (int32_t)chunk, e.first_chunk, e.last_page, k, p, l->dv);
        }
        first += units;
    }
    run_barrier(r);
    int64_t row = 0;
    for (int i = 0; i < r->b->n_spans; i++) {
        const span *s = &r->b->spans[i];
        extent e = extent_of(r, il, s, s->from, s->n);
        for (uint32_t h = 0; h < l->n_head_kv; h++) {
            collect(&w, r, il, q, spec, s, (extract){s->from, s->n, h, 0, group});
            for (int j = 0; j < w.n; j++, row++)
                if (row % r->threads == r->tid) merge_parts(&w, j, e.last_chunk - e.first_chunk + 1, p, k, out, l->dv);
        }
    }
}

/* The most chunks that a token of the batch looks at. */
static int32_t most_chunks(const run *r, uint32_t il)
{
    if (r->plan) return r->sh->n_ctx / (SIMD_PAGE * RUN_CHUNK) + 2;
    int32_t most = 0;
    for (int i = 0; i < r->b->n_spans; i++) {
        const span *s = &r->b->spans[i];
        extent e = extent_of(r, il, s, s->from, s->n);
        if (e.last_chunk - e.first_chunk + 1 > most) most = e.last_chunk - e.first_chunk + 1;
    }
    return most;
}

void op_attention(run *r, uint32_t il, float *out, const float *q, const attn_spec *spec)
{
    run_mark mark = run_mark_at(r);
    const layer_hp *l = &r->m->hp.layer[il];
    parts p = {0};
    if (r->local) {
        p.chunks = most_chunks(r, il);
        size_t n = (size_t)r->n * l->n_head * (size_t)p.chunks;
        p.m = run_shared_bytes(r, n * sizeof(float));
        p.l = run_shared_bytes(r, n * sizeof(float));
        p.o = run_shared_bytes(r, n * l->dv * sizeof(float));
        p.have = run_shared_bytes(r, n);
    }
    float *floats = run_own_bytes(r, work_floats(l) * sizeof(float));
    bool *flags = run_own_bytes(r, 2 * MAX_ROWS);
    if (!r->plan) {
        work k = work_at(floats, flags, l->dv);
        if (p.chunks > 1)
            attend_split(r, il, out, q, spec, &k, &p);
        else
            attend_whole(r, il, out, q, spec, &k);
    }
    run_barrier(r);
    run_release(r, mark);
}
