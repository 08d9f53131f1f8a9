/* Attention over one page, of every type of the cache, and the merging of pages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

enum { MAX_ROWS = 68, CHECK_ROWS = 14, PAD = 5 };

static struct {
    region k, v, q[CHECK_ROWS], query[CHECK_ROWS], s, o, want, scratch;
} mem;

typedef struct attn_call {
    simd_attn_fn fn;
    simd_attn a;
} attn_call;

static void call_attn(void *p)
{
    attn_call *c = p;
    c->fn(&c->a);
}

typedef void (*put_fn)(simd_kv, void *, int, const float *, size_t);

/* A page of keys or values: rounded floats of a kind, or for quantized types any codes. */
static void make_page(void *page, put_fn put, simd_kv type, size_t dim, int kind, uint64_t seed)
{
    float x[SIMD_MAX_HEAD];
    uint8_t *codes = page;
    for (int slot = 0; slot < SIMD_PAGE; slot++) {
        make_floats(x, dim, kind, random_u64(seed, (uint64_t)slot));
        put(type, page, slot, x, dim);
    }
    if (!simd_kv_quantized(type) || seed % 3) return;
    size_t n = simd_kv_block_codes(type), block = simd_kv_block_bytes(type);
    for (size_t i = 0; i < dim / SIMD_KV_BLOCK * block; i++)
        if (i % block < n) codes[i] = seed % 2 ? (uint8_t)random_u64(seed, i) : 0xff;
}

/* Keys outside of all ranges were never written: they hold NaNs. */
static void poison(const simd_attn *a, uint8_t *page, put_fn put, simd_kv type, size_t dim)
{
    float x[SIMD_MAX_HEAD];
    int lo = SIMD_PAGE, hi = 0;
    for (size_t d = 0; d < dim; d++) x[d] = NAN;
    for (int r = 0; r < a->rows; r++) {
        lo = a->lo[r] < lo ? a->lo[r] : lo;
        hi = a->hi[r] > hi ? a->hi[r] : hi;
    }
    for (int j = 0; j < SIMD_PAGE; j++)
        if (j < lo || j >= hi) put(type, page, j, x, dim);
}

typedef struct rows {
    const float *q[MAX_ROWS];
    const void *query[MAX_ROWS];
    int32_t lo[MAX_ROWS], hi[MAX_ROWS], dist[MAX_ROWS];
    float slope[MAX_ROWS];
} rows;

static void make_rows(rows *x, int n, int dk, int kind, uint64_t seed)
{
    for (int r = 0; r < n; r++) {
        uint64_t u = random_u64(seed, (uint64_t)r);
        float *q = region_place(&mem.q[r], (size_t)dk * sizeof *q, u & 1 ? AT_END : 4);
        make_floats(q, (size_t)dk, kind, u);
        x->q[r] = q;
        if (dk % SIMD_KV_BLOCK == 0) {
            void *query = region_place(&mem.query[r], simd_query_bytes((size_t)dk), u & 1 ? AT_END : 8);
            simd_query_make(query, q, (size_t)dk);
            x->query[r] = query;
        }
        x->lo[r] = u & 2 ? (int32_t)(u / 4 % SIMD_PAGE) : 0;
        x->hi[r] = u & 512 ? x->lo[r] + 1 + (int32_t)(u / 1024 % (uint64_t)(SIMD_PAGE - x->lo[r])) : SIMD_PAGE;
        x->dist[r] = 200 - (int32_t)(u / 65536 % 5000);
        x->slope[r] = fabsf(random_unit(u, 1));
    }
}

enum { QK, SOFTMAX, PV };

/* Scores, or weights, of all rows: s in its ranges, garbage outside. */
static void make_scores(const simd_attn *a, int step, int kind, uint64_t seed)
{
    for (int r = 0; r < a->rows; r++) {
        float *s = a->s + r * SIMD_PAGE;
        make_floats(s, SIMD_PAGE, kind, random_u64(seed, (uint64_t)r));
        for (int j = 0; j < SIMD_PAGE; j++)
            if (j < a->lo[r] || j >= a->hi[r]) s[j] = NAN;
            else if (step == PV && kind < 3) s[j] = fabsf(s[j]);
    }
}

/* What a step wrote, in one array: m, l, s in the rows' ranges (the sign of a zero maximum is left open), o with what
 * lies between its rows. */
static size_t results(const simd_attn *a, int step, float *out)
{
    size_t n = 0;
    for (int r = 0; r < a->rows && step == SOFTMAX; r++) {
        out[n++] = a->m[r] + 0.0f;
        out[n++] = a->l[r];
    }
    for (int r = 0; r < a->rows && step != PV; r++)
        for (int j = a->lo[r]; j < a->hi[r]; j++) out[n++] = a->s[r * SIMD_PAGE + j];
    for (size_t i = 0; i < (size_t)a->rows * a->ldo && step == PV; i++) out[n++] = a->o[i];
    return n;
}

static void run_step(attn_call *c, int step, int kind, uint64_t seed, int t, bool *lived)
{
    make_scores(&c->a, step, kind, seed);
    for (size_t i = 0; i < (size_t)c->a.rows * c->a.ldo; i++) c->a.o[i] = -6.25e18f;
    *lived = call_guarded(t, call_attn, c);
}

static void check_page(family *f, int step, simd_kv type, int dk, int dv, int n, uint64_t seed)
{
    static float out[CHECK_ROWS * (SIMD_MAX_HEAD + PAD + SIMD_PAGE)], want[CHECK_ROWS * (SIMD_MAX_HEAD + PAD + SIMD_PAGE)];
    static float m[MAX_ROWS], l[MAX_ROWS];
    uint64_t u = random_u64(99, seed);
    int kind = u % 16 == 0 ? 3 : u % 16 == 1 ? 4 : (int)(u % 2);
    rows x;
    uint8_t *k = region_place(&mem.k, simd_kv_bytes(type, (size_t)dk), u & 16 ? AT_END : 0);
    uint8_t *v = region_place(&mem.v, simd_kv_bytes(type, (size_t)dv), u & 32 ? AT_END : 0);
    simd = scalar;
    make_rows(&x, n, dk, kind == 3 && u & 64 ? 3 : kind == 3 ? 0 : kind, u);
    size_t ldo = (size_t)dv + u / 512 % PAD;
    attn_call c = {NULL, {
        .k = k, .v = v, .dk = dk, .dv = dv, .rows = n, .q = x.q, .query = x.query, .lo = x.lo, .hi = x.hi,
        .scale = 1 / sqrtf((float)dk), .softcap = u & 128 ? 30 : 0, .slope = u & 256 ? x.slope : NULL, .dist = x.dist,
        .s = region_place(&mem.s, (size_t)n * SIMD_PAGE * 4, AT_END), .m = m, .l = l,
        .o = region_place(&mem.o, (size_t)n * ldo * 4, u & 4096 ? AT_END : 4), .ldo = ldo, .scratch = mem.scratch.base,
        .ahead = u & 8192 ? k : NULL, .ahead_bytes = simd_kv_bytes(type, (size_t)dk)}};
    if (step == QK) {
        make_page(k, simd_kv_put_k, type, (size_t)dk, kind, u + 1);
        poison(&c.a, k, simd_kv_put_k, type, (size_t)dk);
    } else if (step == PV) {
        make_page(v, simd_kv_put_v, type, (size_t)dv, kind == 4 ? 0 : kind, u + 2);
        poison(&c.a, v, simd_kv_put_v, type, (size_t)dv);
    }
    bool lived;
    memcpy(&c.fn, &f->scalar, sizeof c.fn);
    run_step(&c, step, kind, u + 3, -1, &lived);
    size_t total = results(&c.a, step, want);
    for (int i = 0; i < n_tiers; i++) {
        if (!f->fn[i]) continue;
        memcpy(&c.fn, &f->fn[i], sizeof c.fn);
        run_step(&c, step, kind, u + 3, i, &lived);
        results(&c.a, step, out);
        long diff = lived ? first_difference(out, want, total) : 0, d = diff < 0 ? 0 : diff;
        check_result(f, i, diff < 0, "dk %d dv %d rows %d seed %lu kind %d%s%s: %s%ld: %a, should be %a", dk, dv, n,
                     (unsigned long)seed, kind, c.a.softcap > 0 ? " softcap" : "", c.a.slope ? " slopes" : "",
                     lived ? "" : "FAULT; ", d, (double)out[d], (double)want[d]);
    }
}

static void check_step(int step, simd_kv type, size_t slot)
{
    static const int dims[][2] = {{64, 64}, {128, 128}, {96, 96}, {192, 128}, {256, 256}, {576, 512}, {32, 160}, {1024, 1024}, {80, 80},
                                  {1, 1}, {3, 5}, {15, 17}, {33, 31}, {63, 65}, {7, 100}, {112, 16}};
    static const char *const names[] = {"attn_qk", "attn_softmax", "attn_pv"};
    char name[40];
    family f;
    uint64_t seed = 0;
    snprintf(name, sizeof name, "%s %s", names[step], step == SOFTMAX ? "" : simd_kv_name(type));
    if (!family_open(&f, name, slot)) return;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        if (simd_kv_quantized(type) && (dims[i][0] % SIMD_KV_BLOCK || dims[i][1] % SIMD_KV_BLOCK)) continue;
        for (int n = 1; n <= (dims[i][0] > 300 ? 5 : CHECK_ROWS); n++)
            for (int rep = 0; rep < (dims[i][0] > 150 ? 2 : 5); rep++) check_page(&f, step, type, dims[i][0], dims[i][1], n, seed++);
    }
    family_close(&f);
}

/* ---- attn_merge ---- */
typedef struct merge_call {
    any_fn fn;
    simd_merge g;
} merge_call;

static void call_merge(void *p)
{
    const merge_call *c = p;
    void (*fn)(const simd_merge *);
    memcpy(&fn, &c->fn, sizeof fn);
    fn(&c->g);
}

enum { MERGE_ROWS = 20, MERGE_N = 150 };
typedef struct running {
    float m[MERGE_ROWS], l[MERGE_ROWS], o[MERGE_ROWS * MERGE_N];
} running;

/* Rows go to rows in reverse; one at the end stays as it is. */
static void check_merge(void)
{
    static running start, want, out;
    static float m2[MERGE_ROWS], l2[MERGE_ROWS];
    family f;
    if (!family_open(&f, "attn_merge", offsetof(simd_table, attn_merge))) return;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        size_t n = seed % MERGE_N, ldo2 = n + seed % 3;
        int n_rows = 1 + (int)(seed / 7 % (MERGE_ROWS - 1)), kind = seed % 7 == 0 ? 3 : seed % 7 == 1 ? 4 : 0;
        int32_t to[MERGE_ROWS];
        for (int i = 0; i < n_rows; i++) to[i] = n_rows - 1 - i;
        float *o2 = region_place(&mem.want, ((size_t)n_rows - 1) * ldo2 * 4 + n * 4, AT_END);
        make_floats(start.o, MERGE_ROWS * MERGE_N, kind == 4 ? 0 : kind, seed);
        make_floats(o2, ((size_t)n_rows - 1) * ldo2 + n, kind == 4 ? 0 : kind, seed + 1);
        make_floats(start.m, MERGE_ROWS, kind, seed + 2);
        make_floats(start.l, MERGE_ROWS, kind, seed + 3);
        make_floats(m2, MERGE_ROWS, kind, seed + 4);
        make_floats(l2, MERGE_ROWS, kind, seed + 5);
        want = start;
        merge_call c = {f.scalar, {n_rows, n, want.m, want.l, want.o, to, m2, l2, o2, ldo2}};
        call_guarded(-1, call_merge, &c);
        for (int i = 0; i < MERGE_ROWS; i++) want.m[i] += 0.0f;
        for (int i = 0; i < n_tiers; i++) {
            if (!f.fn[i]) continue;
            out = start;
            c = (merge_call){f.fn[i], {n_rows, n, out.m, out.l, out.o, to, m2, l2, o2, ldo2}};
            bool lived = call_guarded(i, call_merge, &c);
            for (int j = 0; j < MERGE_ROWS; j++) out.m[j] += 0.0f;
            bool ok = lived && first_difference(out.m, want.m, MERGE_ROWS) < 0 && first_difference(out.l, want.l, MERGE_ROWS) < 0;
            check_result(&f, i, ok && first_difference(out.o, want.o, MERGE_ROWS * MERGE_N) < 0, "rows %d n %zu seed %lu%s", n_rows, n,
                         (unsigned long)seed, lived ? "" : " FAULT");
        }
    }
    family_close(&f);
}

static void memory_new(void)
{
    size_t page = (size_t)SIMD_MAX_HEAD * SIMD_PAGE * sizeof(float);
    mem.k = region_new(page);
    mem.v = region_new(page);
    mem.s = region_new(MAX_ROWS * SIMD_PAGE * sizeof(float));
    mem.o = region_new(MAX_ROWS * (SIMD_MAX_HEAD + PAD) * sizeof(float) + 64);
    mem.want = region_new(mem.o.size);
    mem.scratch = region_new(SIMD_SCRATCH);
    for (int r = 0; r < CHECK_ROWS; r++) {
        mem.q[r] = region_new(SIMD_MAX_HEAD * sizeof(float) + 64);
        mem.query[r] = region_new(simd_query_bytes(SIMD_MAX_HEAD) + 64);
    }
}

static void memory_free(void)
{
    region_free(&mem.k);
    region_free(&mem.v);
    region_free(&mem.s);
    region_free(&mem.o);
    region_free(&mem.want);
    region_free(&mem.scratch);
    for (int r = 0; r < CHECK_ROWS; r++) {
        region_free(&mem.q[r]);
        region_free(&mem.query[r]);
    }
}

static size_t qk_slot(int type) { return offsetof(simd_table, attn_qk) + (size_t)type * sizeof(simd_attn_fn); }
static size_t pv_slot(int type) { return offsetof(simd_table, attn_pv) + (size_t)type * sizeof(simd_attn_fn); }

void check_attention(void)
{
    memory_new();
    for (int type = 0; type < SIMD_KV_TYPES; type++) check_step(QK, (simd_kv)type, qk_slot(type));
    check_step(SOFTMAX, SIMD_KV_F32, offsetof(simd_table, attn_softmax));
    for (int type = 0; type < SIMD_KV_TYPES; type++) check_step(PV, (simd_kv)type, pv_slot(type));
    check_merge();
    memory_free();
}

/* ---- the bench: heads of 128 ---- */
enum { DIM = 128, GROUP = 4, TOKENS = 64 };

typedef struct bench_run {
    simd_attn a;
    const simd_table *t;
    simd_kv type;
    uint8_t *pages;
    size_t n_pages;
} bench_run;

static void attend(void *p)
{
    bench_run *b = p;
    size_t k = simd_kv_bytes(b->type, DIM);
    for (size_t i = 0; i < b->n_pages; i++) {
        b->a.k = b->pages + 2 * i * k;
        b->a.ahead = b->a.v = (const uint8_t *)b->a.k + k;
        b->t->attn_qk[b->type](&b->a);
        b->t->attn_softmax(&b->a);
        b->a.ahead = i + 1 < b->n_pages ? (const uint8_t *)b->a.v + k : NULL;
        b->t->attn_pv[b->type](&b->a);
    }
}

/* One token of a group of four heads, a page in cache and many in memory: GB/s of the cache; 64 rows: GFLOPS. */
static void bench_type(const tier *t, simd_kv type, uint8_t *pages, size_t bytes, float *floats)
{
    static int32_t lo[MAX_ROWS], hi[MAX_ROWS];
    const float *q[MAX_ROWS];
    const void *query[MAX_ROWS];
    for (int r = 0; r < TOKENS; r++) {
        q[r] = (const float *)(const void *)mem.q[0].base;
        query[r] = mem.query[0].base;
        hi[r] = SIMD_PAGE;
    }
    simd = t->t;
    size_t page = 2 * simd_kv_bytes(type, DIM);
    bench_run b = {{.dk = DIM, .dv = DIM, .rows = GROUP, .q = q, .query = query, .lo = lo, .hi = hi, .scale = 0.1f,
                    .s = (float *)(void *)mem.s.base, .m = floats, .l = floats + MAX_ROWS, .o = (float *)(void *)mem.o.base, .ldo = DIM,
                    .scratch = mem.scratch.base, .ahead_bytes = page / 2}, &t->t, type, pages, 1};
    double cache = (double)page / best_time(attend, &b) * 1e-9;
    b.n_pages = bytes / page;
    double memory = (double)(page * b.n_pages) / best_time(attend, &b) * 1e-9;
    b.a.rows = TOKENS;
    b.n_pages = 4;
    double flops = 4.0 * TOKENS * DIM * SIMD_PAGE * (double)b.n_pages / best_time(attend, &b) * 1e-9;
    printf("attn %-11s %-8s %8.2f %8.2f %10.1f\n", simd_kv_name(type), t->name, cache, memory, flops);
    fflush(stdout);
}

void bench_attention(void)
{
    size_t bytes = (size_t)64 << 20;
    if (!name_wanted("attn")) return;
    memory_new();
    uint8_t *pages = aligned_alloc(64, bytes);
    float *floats = malloc(2 * MAX_ROWS * sizeof *floats);
    simd = scalar;
    make_floats((float *)(void *)mem.q[0].base, DIM, 0, 1);
    simd_query_make(mem.query[0].base, (const float *)(const void *)mem.q[0].base, DIM);
    printf("\n%-16s %-8s %8s %8s %10s\n", "attention", "", "GB/s", "GB/s", "GFLOPS");
    printf("%-16s %-8s %8s %8s %10s\n", "cache of 128", "tier", "cache", "memory", "64 rows");
    for (int type = 0; type < SIMD_KV_TYPES; type++) {
        size_t k = simd_kv_bytes((simd_kv)type, DIM);
        for (size_t at = 0; at + 2 * k <= bytes; at += 2 * k) {
            make_page(pages + at, simd_kv_put_k, (simd_kv)type, DIM, 0, at / (2 * k) * 3 + 1);
            make_page(pages + at + k, simd_kv_put_v, (simd_kv)type, DIM, 0, at / (2 * k) * 3 + 2);
        }
        for (int t = 0; t < n_tiers; t++) bench_type(&tiers[t], (simd_kv)type, pages, bytes, floats);
    }
    free(floats);
    free(pages);
    memory_free();
}
