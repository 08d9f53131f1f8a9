/* Float kernels: quantization of activations, vectors, RoPE, attention, conversions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

#define SLOT(name) offsetof(simd_table, name)

/* ---- quantize ---- */
typedef struct quantize_call {
    any_fn fn;
    const simd_act *a;
    const float *x;
    uint8_t *column;
} quantize_call;

static void call_quantize(void *p)
{
    const quantize_call *c = p;
    ((void (*)(const simd_act *, const float *, uint8_t *))c->fn)(c->a, c->x, c->column);
}

/* Blocks of every sort in one row: the sort is drawn for each block. */
static void make_row(float *x, int64_t k, int len, uint64_t seed)
{
    static const float tops[] = {0x1p-100f, 0x1.fffffep-101f, 0x1p-126f, 0x1p-149f, 0x1.fffffep127f,
                                 127, 1, 0x1p-99f};
    for (int64_t b = 0; b < k; b += len) {
        uint64_t r = random_u64(seed, (uint64_t)b);
        make_floats(x + b, (size_t)len, r % 16 < 10 ? (int)(r % 2) : 4, r);
        float top = tops[r / 16 % 8];
        int64_t at = b + (int64_t)(r / 128 % (uint64_t)len);
        if (r % 16 == 10) /* ties: halves of the unit when the maximum is 127 */
            for (int i = 0; i < len; i++) x[b + i] = (float)((int)(random_u64(r, (uint64_t)i) % 253) - 126) + 0.5f;
        if (r % 16 == 11) /* around the threshold and at the ends of the range */
            for (int i = 0; i < len; i++) x[b + i] = top * random_unit(r, (uint64_t)i);
        if (r % 16 == 10) x[at] = r & 4096 ? 127 : -127;
        if (r % 16 == 11) x[at] = r & 4096 ? top : -top;
        if (r % 16 == 12) make_floats(x + b, (size_t)len, 3, r);
        if (r % 16 == 13) x[at] = r & 4096 ? NAN : -INFINITY;
        if (r % 16 == 14)
            for (int i = 0; i < len; i++) x[b + i] = r & 4096 ? 0 : -0.0f;
    }
}

/* The first array of a column that differs, NULL where none does. */
static const char *column_differs(const simd_act *a, const uint8_t *p, const uint8_t *want)
{
    size_t k = (size_t)a->k, n = k / (a->kind == QUANT_ACT_Q32 ? 32 : 256);
    if (memcmp(p, want, k) != 0) return "codes";
    const float *d = (const float *)(const void *)(p + a->off_d);
    if (first_difference(d, (const float *)(const void *)(want + a->off_d), n) >= 0) return "scales";
    if (memcmp(p + a->off_s32, want + a->off_s32, k / 32 * 2) != 0) return "sums of 32";
    return memcmp(p + a->off_s16, want + a->off_s16, k / 16 * 2) != 0 ? "sums of 16" : NULL;
}

static void quantize_kind(family *f, quant_act kind, const region *rx, const region *rc, uint8_t *want)
{
    int len = kind == QUANT_ACT_Q32 ? 32 : 256;
    for (uint64_t seed = 0; seed < 400; seed++) {
        simd_act a;
        simd_act_layout(&a, kind, len * (int64_t)(1 + seed % 37));
        float *x = region_place(rx, (size_t)a.k * sizeof *x, seed & 1 ? AT_END : 4);
        quantize_call c = {f->scalar, &a, x, want};
        make_row(x, a.k, len, seed);
        call_guarded(-1, call_quantize, &c);
        c.column = region_place(rc, a.stride, seed & 2 ? AT_END : 0);
        for (int i = 0; i < n_tiers; i++) {
            if (!f->fn[i]) continue;
            memset(c.column, 0xa5, a.stride);
            c.fn = f->fn[i];
            const char *what = call_guarded(i, call_quantize, &c) ? column_differs(&a, c.column, want) : "FAULT";
            check_result(f, i, !what, "blocks of %d, k %ld, seed %lu: %s", len, (long)a.k, (unsigned long)seed, what);
        }
    }
}

void check_quantize(void)
{
    family f;
    if (!family_open(&f, "quantize", SLOT(quantize))) return;
    region x = region_new(37 * 256 * 4 + 64), column = region_new(16384), want = region_new(16384);
    quantize_kind(&f, QUANT_ACT_Q32, &x, &column, want.base);
    quantize_kind(&f, QUANT_ACT_Q256, &x, &column, want.base);
    family_close(&f);
    region_free(&x);
    region_free(&column);
    region_free(&want);
}

/* ---- residual: what a quantized column leaves over ---- */
typedef struct residual_call {
    any_fn fn;
    const simd_act *a;
    const float *x;
    const uint8_t *column;
    float *rest;
} residual_call;

static void call_residual(void *p)
{
    const residual_call *c = p;
    ((void (*)(const simd_act *, const float *, const uint8_t *, float *))c->fn)(c->a, c->x, c->column, c->rest);
}

void check_residual(void)
{
    family f;
    if (!family_open(&f, "residual", SLOT(residual))) return;
    region rx = region_new(37 * 256 * 4 + 64), rc = region_new(16384), rr = region_new(37 * 256 * 4 + 64);
    float *want = malloc(37 * 256 * sizeof *want);
    for (uint64_t seed = 0; want && seed < 400; seed++) {
        quant_act kind = seed & 4 ? QUANT_ACT_Q32 : QUANT_ACT_Q256;
        simd_act a;
        simd_act_layout(&a, kind, (kind == QUANT_ACT_Q32 ? 32 : 256) * (int64_t)(1 + seed % 37));
        size_t k = (size_t)a.k;
        float *x = region_place(&rx, k * sizeof *x, seed & 1 ? AT_END : 4);
        uint8_t *column = region_place(&rc, a.stride, seed & 2 ? AT_END : 0);
        make_row(x, a.k, kind == QUANT_ACT_Q32 ? 32 : 256, seed);
        simd.quantize(&a, x, column);
        residual_call c = {f.scalar, &a, x, column, want};
        call_guarded(-1, call_residual, &c);
        c.rest = region_place(&rr, k * sizeof *x, seed & 8 ? AT_END : 4);
        for (int i = 0; i < n_tiers; i++) {
            if (!f.fn[i]) continue;
            c.fn = f.fn[i];
            bool ok = call_guarded(i, call_residual, &c) && first_difference(c.rest, want, k) < 0;
            check_result(&f, i, ok, "k %ld, seed %lu", (long)a.k, (unsigned long)seed);
        }
    }
    family_close(&f);
    free(want);
    region_free(&rx);
    region_free(&rc);
    region_free(&rr);
}

/* ---- vectors: y from a and b ---- */
typedef struct vector_call {
    any_fn fn;
    float *y;
    const float *a, *b;
    float s, result;
    size_t n;
} vector_call;

#define CALL(type) ((type)c->fn)
static void call_unary(void *p)
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, size_t))(c->y, c->a, c->n);
}
static void call_binary(void *p)
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, const float *, size_t))(c->y, c->a, c->b, c->n);
}
static void call_scaled(void *p) /* scale, madd */
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, float, size_t))(c->y, c->a, c->s, c->n);
}
static void call_dot(void *p)
{
    vector_call *c = p;
    c->result = CALL(float (*)(const float *, const float *, size_t))(c->a, c->b, c->n);
}
static void call_max(void *p)
{
    vector_call *c = p;
    c->result = CALL(float (*)(const float *, size_t))(c->a, c->n) + 0.0f; /* the sign of a zero is left open */
}
static void call_exp_sum(void *p)
{
    vector_call *c = p;
    c->result = CALL(float (*)(float *, const float *, float, size_t))(c->y, c->a, c->s, c->n);
}
static void call_rms_norm(void *p) /* without w where n is a multiple of 5 */
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, const float *, size_t, float))
    (c->y, c->a, c->n % 5 ? c->b : NULL, c->n, fabsf(c->s) * 1e-5f);
}
static void call_layer_norm(void *p) /* without w where n is a multiple of 5, without b where it is even */
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, const float *, const float *, size_t, float))
    (c->y, c->a, c->n % 5 ? c->b : NULL, c->n % 2 ? c->b : NULL, c->n, fabsf(c->s) * 1e-5f);
}
static void call_rope(void *p) /* y in place, angles in a */
{
    vector_call *c = p;
    CALL(void (*)(float *, const float *, size_t))(c->y, c->a, c->n);
}

typedef struct vector_kernel {
    const char *name;
    size_t slot;
    void (*call)(void *);
    bool in_place; /* y = a is allowed */
    bool sweep;    /* a function of one number: all exponents and signs are tried */
} vector_kernel;

static const vector_kernel kernels[] = {
    {"add", SLOT(add), call_binary, true, false},
    {"mul", SLOT(mul), call_binary, true, false},
    {"scale", SLOT(scale), call_scaled, true, false},
    {"madd", SLOT(madd), call_scaled, false, false},
    {"dot", SLOT(dot), call_dot, false, false},
    {"max", SLOT(max), call_max, false, false},
    {"rms_norm", SLOT(rms_norm), call_rms_norm, true, false},
    {"layer_norm", SLOT(layer_norm), call_layer_norm, true, false},
    {"exp", SLOT(exp), call_unary, true, true},
    {"exp_sum", SLOT(exp_sum), call_exp_sum, true, true},
    {"tanh", SLOT(tanh), call_unary, true, true},
    {"sigmoid", SLOT(sigmoid), call_unary, true, true},
    {"silu", SLOT(silu), call_unary, true, true},
    {"gelu", SLOT(gelu), call_unary, true, true},
    {"gelu_tanh", SLOT(gelu_tanh), call_unary, true, true},
    {"gelu_quick", SLOT(gelu_quick), call_unary, true, true},
    {"softplus", SLOT(softplus), call_unary, true, true},
    {"silu_mul", SLOT(silu_mul), call_binary, true, true},
    {"gelu_mul", SLOT(gelu_mul), call_binary, true, true},
    {"gelu_tanh_mul", SLOT(gelu_tanh_mul), call_binary, true, true},
    {"rope_norm", SLOT(rope_norm), call_rope, false, false},
    {"rope_neox", SLOT(rope_neox), call_rope, false, false},
};

enum { MAX_N = 1 << 17, MARGIN = 16 };

static struct {
    region y, a, b;
    float *want, *start; /* n plus two margins; the values y starts with */
} mem;

static bool overlaps(const vector_kernel *k, uint64_t seed) { return k->in_place && seed % 3 == 0; }

/* One call of every tier against the scalar one, on n numbers of a kind. The output lies between margins, or
 * flush with a guard page. */
static void check_vector(family *f, const vector_kernel *k, size_t n, int kind, uint64_t seed)
{
    int at = seed % 4 == 0 ? AT_END : seed % 4 == 1 ? 0 : (int)(4 * (seed % 17));
    size_t margin = seed % 4 == 0 ? 0 : MARGIN, total = n + margin;
    float *y = region_place(&mem.y, total * sizeof *y, at);
    float *a = region_place(&mem.a, n * sizeof *a, seed % 8 < 4 ? AT_END : 4);
    float *b = region_place(&mem.b, n * sizeof *b, AT_END);
    bool same = overlaps(k, seed);
    make_floats(a, n, kind, seed * 3);
    make_floats(b, n, seed % 5 ? 0 : kind, seed * 3 + 1);
    make_floats(mem.start, total, kind, seed * 3 + 2);
    if (n == MAX_N) /* the sweep: the upper 16 bits of every float, twice */
        for (size_t i = 0; i < n; i++)
            a[i] = f32_from_bits((uint32_t)(i / 2) << 16 | (uint32_t)(random_u64(seed, i) & 0xffff));
    if (same) memcpy(mem.start, a, n * sizeof *a);
    vector_call c = {f->scalar, mem.want, same ? mem.want : a, b, random_unit(seed, 77), 0, n};
    memcpy(mem.want, mem.start, total * sizeof *y);
    call_guarded(-1, k->call, &c);
    float result = c.result;
    for (int i = 0; i < n_tiers; i++) {
        if (!f->fn[i]) continue;
        memcpy(y, mem.start, total * sizeof *y);
        c = (vector_call){f->fn[i], y, same ? y : a, b, c.s, 0, n};
        bool lived = call_guarded(i, k->call, &c);
        long diff = lived ? first_difference(y, mem.want, total) : 0, d = diff < 0 ? 0 : diff;
        check_result(f, i, diff < 0 && same_f32(c.result, result),
                     "n %zu kind %d seed %lu:%s element %ld: %a, should be %a (of %a); result %a, should be %a",
                     n, kind, (unsigned long)seed, lived ? "" : " FAULT;", d,
                     (double)(diff < 0 || !lived ? 0 : y[d]), (double)mem.want[d],
                     (double)(d < (long)n ? a[d] : 0), (double)c.result, (double)result);
    }
}

static void check_vector_kernel(const vector_kernel *k)
{
    family f;
    if (!family_open(&f, k->name, k->slot)) return;
    uint64_t seed = 0;
    bool pairs = k->call == call_rope;
    for (size_t n = k->call == call_max ? 1 : 0; n <= 70; n++)
        for (int rep = 0; rep < 12; rep++, seed++)
            check_vector(&f, k, pairs ? 2 * n : n, (int)(seed % FLOAT_KINDS), seed);
    for (size_t n = 96; n < 6000; n = n * 5 / 4 + (n & 3))
        for (int kind = 0; kind < FLOAT_KINDS; kind++) check_vector(&f, k, pairs ? n / 2 * 2 : n, kind, seed++);
    for (int rep = 0; k->sweep && rep < 2; rep++) check_vector(&f, k, MAX_N, 0, seed++);
    family_close(&f);
}

void check_vectors(void)
{
    size_t bytes = (MAX_N + MARGIN + 64) * sizeof(float);
    mem.y = region_new(bytes);
    mem.a = region_new(bytes);
    mem.b = region_new(bytes);
    mem.want = malloc(bytes);
    mem.start = malloc(bytes);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) check_vector_kernel(&kernels[i]);
    region_free(&mem.y);
    region_free(&mem.a);
    region_free(&mem.b);
    free(mem.want);
    free(mem.start);
}

/* Nanoseconds a call of 4096 numbers in cache. */
void bench_vectors(void)
{
    enum { N = 4096 };
    float *y = calloc(N, sizeof *y), *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b);
    make_floats(a, N, 0, 1);
    make_floats(b, N, 0, 2);
    bool head = false;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const vector_kernel *k = &kernels[i];
        for (int t = 0; name_wanted(k->name) && t < n_tiers; t++) {
            vector_call c = {.y = y, .a = a, .b = b, .s = 0.5f, .n = N};
            memcpy(&c.fn, (uint8_t *)&tiers[t].t + k->slot, sizeof c.fn);
            simd = tiers[t].t;
            memset(y, 0, N * sizeof *y);
            if (!head) printf("\n%-16s %-8s %12s\n", "n = 4096", "tier", "ns a call");
            head = true;
            printf("%-16s %-8s %12.0f\n", k->name, tiers[t].name, best_time(k->call, &c) * 1e9);
        }
    }
    free(y);
    free(a);
    free(b);
}

/* ---- conversions ---- */
typedef struct convert_call {
    any_fn fn;
    void *y;
    const void *x;
    size_t n;
} convert_call;

static void call_convert(void *p)
{
    const convert_call *c = p;
    ((void (*)(void *, const void *, size_t))c->fn)(c->y, c->x, c->n);
}

/* n numbers of in_size bytes at x; outputs of out_size bytes, strictly the same bits, NaNs too. */
static void check_conversion(family *f, const void *x, size_t n, size_t in_size, size_t out_size)
{
    region rx = region_new(n * in_size), ry = region_new(n * out_size + 64);
    uint8_t *want = malloc(n * out_size);
    size_t sizes[] = {n, n - 1, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 0, 100};
    for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
        size_t m = sizes[j];
        void *in = region_place(&rx, m * in_size, AT_END), *out = region_place(&ry, m * out_size, j % 2 ? AT_END : 4);
        memcpy(in, x, m * in_size);
        convert_call c = {f->scalar, want, in, m};
        call_guarded(-1, call_convert, &c);
        for (int i = 0; i < n_tiers; i++) {
            if (!f->fn[i]) continue;
            memset(out, 0xa5, m * out_size);
            c = (convert_call){f->fn[i], out, in, m};
            bool ok = call_guarded(i, call_convert, &c) && (m == 0 || memcmp(out, want, m * out_size) == 0);
            check_result(f, i, ok, "n %zu", m);
        }
    }
    region_free(&rx);
    region_free(&ry);
    free(want);
}

void check_conversions(void)
{
    family f;
    uint16_t *halves = malloc(65536 * sizeof *halves);
    float *floats = malloc(65536 * 6 * sizeof *floats);
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t u = f32_bits(f16_to_f32((uint16_t)i));
        halves[i] = (uint16_t)i;
        /* each half, the point halfway to the next, one ulp to either side of that, and any bits */
        const uint32_t near[6] = {u, u + 0x1000, u + 0xfff, u + 0x1001, (uint32_t)random_u64(1, i),
                                  f32_bits(random_unit(2, i) * 0x1p-14f)};
        for (uint32_t j = 0; j < 6; j++) floats[6 * i + j] = f32_from_bits(near[j]);
    }
    if (family_open(&f, "f16_to_f32", SLOT(f16_to_f32))) {
        check_conversion(&f, halves, 65536, 2, 4);
        family_close(&f);
    }
    if (family_open(&f, "f32_to_f16", SLOT(f32_to_f16))) {
        check_conversion(&f, floats, 65536 * 6, 4, 2);
        family_close(&f);
    }
    free(halves);
    free(floats);
}
