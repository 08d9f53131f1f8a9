/* Attention over one page, and the merging of pages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

enum { MAX_ROWS = 12, PAD = 5 };

static struct {
    region k, v, q[MAX_ROWS], o, want, scratch;
} mem;

typedef struct attn_call {
    void (*fn)(const simd_attn *);
    simd_attn a;
} attn_call;

static void call_attn(void *p)
{
    attn_call *c = p;
    c->fn(&c->a);
}

/* n elements of a page's K or V, of either type. */
static void make_page(void *p, size_t n, simd_kv type, int kind, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        float x;
        make_floats(&x, 1, kind, random_u64(seed, i));
        if (type == SIMD_KV_F32) ((float *)p)[i] = x;
        else ((uint16_t *)p)[i] = f32_to_f16(x);
    }
}

/* Keys outside of all ranges were never written: they hold NaNs. */
static void poison(void *k, void *v, const simd_attn *a, simd_kv type)
{
    int lo = SIMD_PAGE, hi = 0;
    for (int r = 0; r < a->rows; r++) {
        lo = a->lo[r] < lo ? a->lo[r] : lo;
        hi = a->hi[r] > hi ? a->hi[r] : hi;
    }
    size_t size = type == SIMD_KV_F32 ? 4 : 2;
    for (int j = 0; j < SIMD_PAGE; j++) {
        if (j >= lo && j < hi) continue;
        for (int d = 0; d < a->dk; d++) memset((uint8_t *)k + (size_t)(d * SIMD_PAGE + j) * size, 0xff, size);
        memset((uint8_t *)v + (size_t)(j * a->dv) * size, 0xff, size * (size_t)a->dv);
    }
}

typedef struct rows {
    const float *q[MAX_ROWS];
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
        x->lo[r] = u & 2 ? (int32_t)(u / 4 % SIMD_PAGE) : 0;
        x->hi[r] = u & 512 ? x->lo[r] + 1 + (int32_t)(u / 1024 % (uint64_t)(SIMD_PAGE - x->lo[r])) : SIMD_PAGE;
        x->dist[r] = 200 - (int32_t)(u / 65536 % 5000);
        x->slope[r] = fabsf(random_unit(u, 1));
    }
}

/* m, l and o of all rows, with what lies between them. The sign of a zero maximum is left open. */
static size_t out_size(const simd_attn *a) { return 2 * MAX_ROWS + a->ldo * (size_t)a->rows; }

static void set_out(simd_attn *a, float *out)
{
    size_t n = out_size(a);
    for (size_t i = 0; i < n; i++) out[i] = -6.25e18f;
    a->m = out;
    a->l = out + MAX_ROWS;
    a->o = out + 2 * MAX_ROWS;
}

static void no_zero_sign(const simd_attn *a)
{
    for (int r = 0; r < a->rows; r++) a->m[r] += 0.0f;
}

static void check_page(family *f, simd_kv type, int dk, int dv, int n, uint64_t seed)
{
    uint64_t u = random_u64(99, seed);
    size_t size = type == SIMD_KV_F32 ? 4 : 2;
    int kind = u % 16 == 0 ? 3 : u % 16 == 1 ? 4 : (int)(u % 2);
    rows x;
    void *k = region_place(&mem.k, (size_t)dk * SIMD_PAGE * size, u & 16 ? AT_END : 0);
    void *v = region_place(&mem.v, (size_t)dv * SIMD_PAGE * size, u & 32 ? AT_END : 0);
    make_rows(&x, n, dk, kind == 3 && u & 64 ? 3 : kind == 3 ? 0 : kind, u);
    attn_call c = {(void (*)(const simd_attn *))f->scalar, {
        .k = k, .v = v, .dk = dk, .dv = dv, .rows = n, .q = x.q, .lo = x.lo, .hi = x.hi,
        .scale = 1 / sqrtf((float)dk), .softcap = u & 128 ? 30 : 0, .slope = u & 256 ? x.slope : NULL, .dist = x.dist,
        .ldo = (size_t)dv + u / 512 % PAD, .scratch = mem.scratch.base}};
    make_page(k, (size_t)dk * SIMD_PAGE, type, kind, u + 1);
    make_page(v, (size_t)dv * SIMD_PAGE, type, kind == 4 ? 0 : kind, u + 2);
    poison(k, v, &c.a, type);
    size_t total = out_size(&c.a);
    float *want = region_place(&mem.want, total * 4, 0);
    float *out = region_place(&mem.o, total * 4, u & 4096 ? AT_END : 4);
    set_out(&c.a, want);
    call_guarded(-1, call_attn, &c);
    no_zero_sign(&c.a);
    for (int i = 0; i < n_tiers; i++) {
        if (!f->fn[i]) continue;
        c.fn = (void (*)(const simd_attn *))f->fn[i];
        set_out(&c.a, out);
        bool lived = call_guarded(i, call_attn, &c);
        no_zero_sign(&c.a);
        long diff = lived ? first_difference(out, want, total) : 0, d = diff < 0 ? 0 : diff;
        check_result(f, i, diff < 0,
                     "dk %d dv %d rows %d seed %lu kind %d%s%s: %s%s %ld: %a, should be %a",
                     dk, dv, n, (unsigned long)seed, kind, c.a.softcap > 0 ? " softcap" : "",
                     c.a.slope ? " slopes" : "", lived ? "" : "FAULT; ",
                     d < MAX_ROWS ? "m" : d < 2 * MAX_ROWS ? "l" : "o",
                     d < MAX_ROWS ? d : d < 2 * MAX_ROWS ? d - MAX_ROWS : d - 2 * MAX_ROWS, (double)out[d],
                     (double)want[d]);
    }
}

static void check_pages(const char *name, size_t slot, simd_kv type)
{
    static const int dims[][2] = {{64, 64}, {128, 128}, {80, 80}, {96, 96}, {192, 128}, {256, 256}, {576, 512},
                                  {1, 1}, {3, 5}, {15, 17}, {33, 31}, {63, 65}, {7, 100}, {112, 16}, {1024, 1024}};
    family f;
    uint64_t seed = 0;
    if (!family_open(&f, name, slot)) return;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int n = 1; n <= (dims[i][0] > 300 ? 5 : 9); n++)
            for (int rep = 0; rep < (dims[i][0] > 150 ? 2 : 6); rep++)
                check_page(&f, type, dims[i][0], dims[i][1], n, seed++);
    family_close(&f);
}

/* ---- attn_merge ---- */
typedef struct merge_call {
    any_fn fn;
    float *ml, *o, m2, l2;
    const float *o2;
    size_t n;
} merge_call;

static void call_merge(void *p)
{
    const merge_call *c = p;
    void (*fn)(float *, float *, float *, float, float, const float *, size_t);
    memcpy(&fn, &c->fn, sizeof fn);
    fn(&c->ml[0], &c->ml[1], c->o, c->m2, c->l2, c->o2, c->n);
}

static void check_merge(void)
{
    family f;
    if (!family_open(&f, "attn_merge", offsetof(simd_table, attn_merge))) return;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        size_t n = seed % 150;
        float start[151], want[151], pair[4], ml[2], want_ml[2];
        float *o = region_place(&mem.o, n * 4, seed & 1 ? AT_END : 4), *o2 = region_place(&mem.want, n * 4, AT_END);
        int kind = seed % 7 == 0 ? 3 : seed % 7 == 1 ? 4 : 0;
        make_floats(start, n, kind == 4 ? 0 : kind, seed);
        make_floats(o2, n, kind == 4 ? 0 : kind, seed + 1);
        make_floats(pair, 4, kind, seed + 2);
        merge_call c = {f.scalar, want_ml, want, pair[2], pair[3], o2, n};
        memcpy(want, start, n * 4);
        memcpy(want_ml, pair, sizeof ml);
        call_guarded(-1, call_merge, &c);
        for (int i = 0; i < n_tiers; i++) {
            if (!f.fn[i]) continue;
            memcpy(o, start, n * 4);
            memcpy(ml, pair, sizeof ml);
            c = (merge_call){f.fn[i], ml, o, c.m2, c.l2, o2, n};
            bool lived = call_guarded(i, call_merge, &c);
            bool ok = lived && same_f32(ml[0] + 0.0f, want_ml[0] + 0.0f) && same_f32(ml[1], want_ml[1]);
            check_result(&f, i, ok && first_difference(o, want, n) < 0, "n %zu seed %lu%s", n, (unsigned long)seed,
                         lived ? "" : " FAULT");
        }
    }
    family_close(&f);
}

static void memory_new(void)
{
    size_t page = (size_t)SIMD_MAX_HEAD * SIMD_PAGE * sizeof(float);
    mem.k = region_new(page);
    mem.v = region_new(page);
    mem.o = region_new((MAX_ROWS * (SIMD_MAX_HEAD + PAD) + 2 * MAX_ROWS) * sizeof(float) + 64);
    mem.want = region_new(mem.o.size);
    mem.scratch = region_new(SIMD_SCRATCH);
    for (int r = 0; r < MAX_ROWS; r++) mem.q[r] = region_new(SIMD_MAX_HEAD * sizeof(float) + 64);
}

static void memory_free(void)
{
    region_free(&mem.k);
    region_free(&mem.v);
    region_free(&mem.o);
    region_free(&mem.want);
    region_free(&mem.scratch);
    for (int r = 0; r < MAX_ROWS; r++) region_free(&mem.q[r]);
}

void check_attention(void)
{
    memory_new();
    check_pages("attn", offsetof(simd_table, attn), SIMD_KV_F32);
    check_pages("attn_f16", offsetof(simd_table, attn_f16), SIMD_KV_F16);
    check_merge();
    memory_free();
}

/* One page of keys and values of a head of 128, in cache: GB/s of both, by the number of query rows. */
static void bench_page(const tier *t, simd_kv type, int n)
{
    static const int32_t lo[MAX_ROWS], hi[MAX_ROWS] = {64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64};
    enum { DIM = 128 };
    const float *q[MAX_ROWS];
    for (int r = 0; r < n; r++) q[r] = (const float *)(const void *)mem.q[r].base;
    attn_call c = {type == SIMD_KV_F32 ? t->t.attn : t->t.attn_f16, {
        .k = mem.k.base, .v = mem.v.base, .dk = DIM, .dv = DIM, .rows = n, .q = q, .lo = lo, .hi = hi, .scale = 0.1f,
        .ldo = DIM, .scratch = mem.scratch.base}};
    set_out(&c.a, (float *)(void *)mem.o.base);
    simd = t->t;
    double s = best_time(call_attn, &c), bytes = (double)(2 * DIM * SIMD_PAGE * (type == SIMD_KV_F32 ? 4 : 2));
    printf("%-16s %-8s %4d %10.2f %12.0f\n", type == SIMD_KV_F32 ? "attn" : "attn_f16", t->name, n, bytes / s * 1e-9,
           s * 1e9);
}

void bench_attention(void)
{
    static const int rows_of[] = {1, 4, 8};
    if (!name_wanted("attn") && !name_wanted("attn_f16")) return;
    memory_new();
    make_page(mem.k.base, 128 * SIMD_PAGE, SIMD_KV_F16, 0, 1);
    make_page(mem.v.base, 128 * SIMD_PAGE, SIMD_KV_F16, 0, 2);
    for (int r = 0; r < MAX_ROWS; r++) make_floats((float *)(void *)mem.q[r].base, 128, 0, (uint64_t)r);
    printf("\n%-16s %-8s %4s %10s %12s\n", "page of 128", "tier", "rows", "GB/s", "ns a call");
    for (int type = 0; type < SIMD_KV_TYPES; type++)
        for (int t = 0; t < n_tiers; t++)
            for (int i = 0; i < 3; i++) bench_page(&tiers[t], (simd_kv)type, rows_of[i]);
    memory_free();
}
