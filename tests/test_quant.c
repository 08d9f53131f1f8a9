/* quant/: decoders against the reference data and against hashes of our own, the rule, the scalar tiles. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/num.h"
#include "quant/quant.h"
#include "random.h"
#include "simd/simd.h"

#define KIT "../shared/kit/quants/"
enum { KIT_ROW = 512, KIT_N = 16 * KIT_ROW, GOLDEN_BLOCKS = 64, MAX_BYTES = 4 * KIT_N };

/* The last n bytes of a reference file; false where it is missing. */
static bool kit_tail(const char *format, const char *ext, void *dst, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, KIT "%s.%s", format, ext);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    bool ok = fseek(f, -(long)n, SEEK_END) == 0 && fread(dst, 1, n, f) == n;
    fclose(f);
    ck_assert_msg(ok, "%s is too short", path);
    return true;
}

/* A line of a golden file: the format's name and a hash. */
static void check_golden(const char *path, const char *format, uint64_t got)
{
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    char name[32];
    unsigned long long h, want = 0;
    while (fscanf(f, "%31s %llx", name, &h) == 2)
        if (strcmp(name, format) == 0) want = h;
    fclose(f);
    ck_assert_msg(got == want, "%s: %s %016llx", path, format, (unsigned long long)got);
}

static uint32_t canonical(float f) { return isnan(f) ? 0x7fc00000 : f32_bits(f); }

static void decode_meets_the_reference(int id)
{
    const quant_traits *f = &quant_table[id];
    static uint8_t bytes[MAX_BYTES];
    static float want[KIT_N], got[KIT_N];
    if (id == QUANT_F32) return;
    if (!kit_tail(f->name, "gguf", bytes, quant_row_bytes((quant_id)id, KIT_N))) {
        printf("quant: %s skipped, no %s%s.gguf\n", f->name, KIT, f->name);
        return;
    }
    ck_assert(kit_tail(f->name, "f32", want, sizeof want));
    f->decode(bytes, got, KIT_N);
    for (int i = 0; i < KIT_N; i++)
        if (canonical(got[i]) != canonical(want[i]))
            ck_abort_msg("%s, weight %d: %a, should be %a", f->name, i, (double)got[i], (double)want[i]);
}

/* Random bytes: every code, and scales of any kind, infinities and NaNs among them. */
static void decode_meets_its_hash(int id)
{
    const quant_traits *f = &quant_table[id];
    size_t n = (size_t)GOLDEN_BLOCKS * (size_t)f->block_len, size = (size_t)GOLDEN_BLOCKS * (size_t)f->block_bytes;
    uint8_t *bytes = malloc(size);
    float *x = malloc(n * sizeof *x);
    random_bytes(bytes, size, f->ggml_id);
    f->decode(bytes, x, n);
    for (size_t i = 0; i < n; i++) x[i] = f32_from_bits(canonical(x[i]));
    check_golden("tests/golden/quant_decode.txt", f->name, XXH3_64bits(x, n * sizeof *x));
    free(bytes);
    free(x);
}

static double rule(const quant_traits *f, const quant_block *b, int i)
{
    int g = i / f->group, a = i / f->acc_len;
    double w = (double)b->d[a] * b->scale[g] * (b->q[i] - f->zero);
    return f->minima ? w + (double)b->m[a] * b->min[g] : w;
}

/* A bound of the values that the terms of a block's weights can have, for judging rounding. */
static double size_of(const quant_traits *f, const quant_block *b, int i)
{
    int g = i / f->group, a = i / f->acc_len;
    double w = fabs((double)b->d[a] * b->scale[g] * (b->q[i] - f->zero));
    return f->minima ? w + fabs((double)b->m[a] * b->min[g]) : w;
}

static void unpack_and_decode_agree(int id)
{
    const quant_traits *f = &quant_table[id];
    uint8_t bytes[256];
    float x[QUANT_MAX_BLOCK];
    quant_block b;
    if (!f->unpack) return;
    for (uint64_t seed = 0; seed < 300; seed++) {
        random_bytes(bytes, (size_t)f->block_bytes, seed * 64 + f->ggml_id);
        f->decode(bytes, x, (size_t)f->block_len);
        f->unpack(bytes, &b);
        for (int i = 0; i < f->block_len; i++) {
            double want = rule(f, &b, i);
            double bound = size_of(f, &b, i) * 0x1p-22 + 0x1p-149;
            if (isfinite((float)want) ? !(fabs(x[i] - want) <= bound) : isfinite(x[i]))
                ck_abort_msg("%s weight %d: %g, by the rule %g", f->name, i, (double)x[i], want);
        }
    }
}

/* Sums of integers fit an int32 and an f32 product of them rounds once: extremes of the ranges. */
static void unpack_stays_in_range(int id)
{
    const quant_traits *f = &quant_table[id];
    uint8_t bytes[256];
    quant_block b;
    if (!f->unpack) return;
    for (uint64_t seed = 0; seed < 300; seed++) {
        random_bytes(bytes, (size_t)f->block_bytes, seed * 64 + f->ggml_id);
        if (seed < 2) memset(bytes, seed ? 0xff : 0, (size_t)f->block_bytes);
        f->unpack(bytes, &b);
        int64_t sum = 0;
        for (int i = 0; i < f->block_len; i++) {
            int v = b.q[i] - f->zero;
            if (v < -128 || v > 127) ck_abort_msg("%s: code %d", f->name, v);
            sum += 127 * abs(v) * abs(b.scale[i / f->group]);
            if (sum > INT32_MAX) ck_abort_msg("%s: sum %ld", f->name, (long)sum);
            if ((i + 1) % f->acc_len == 0) sum = 0;
        }
    }
}

/* Formats whose encoder claims the reference's bytes. */
static bool claims_bytes(int id)
{
    static const int list[] = {QUANT_F16, QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1, QUANT_Q8_0,
                               QUANT_MXFP4, QUANT_IQ4_NL, QUANT_TQ1_0, QUANT_TQ2_0, QUANT_Q1_0};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] == id) return true;
    return false;
}

static double squared_error(const float *a, const float *b, size_t n)
{
    double e = 0;
    for (size_t i = 0; i < n; i++) e += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return e;
}

/* A row encoded here against the reference's: equal bytes, or codes under a scale of 0, where they are claimed;
 * elsewhere an error that is no larger, but for a twentieth. */
static void judge_row(int id, int r, const float *x, const uint8_t *got, const uint8_t *want)
{
    const quant_traits *f = &quant_table[id];
    float a[KIT_ROW], b[KIT_ROW];
    f->decode(got, a, KIT_ROW);
    f->decode(want, b, KIT_ROW);
    double e = squared_error(x, a, KIT_ROW), ref = squared_error(x, b, KIT_ROW), size = 0;
    for (int i = 0; i < KIT_ROW; i++) size += (double)x[i] * x[i];
    ck_assert_msg(e <= ref * 1.05 + size * 1e-7, "%s row %d: error %g, reference %g", f->name, r, e / size,
                  ref / size);
    for (int i = 0; claims_bytes(id) && i < KIT_ROW; i += f->block_len) {
        size_t at = quant_row_bytes((quant_id)id, (size_t)i);
        if (memcmp(got + at, want + at, (size_t)f->block_bytes) == 0) continue;
        for (int j = i; j < i + f->block_len; j++)
            if (a[j] != 0 || b[j] != 0)
                ck_abort_msg("%s row %d weight %d: not the reference's bytes", f->name, r, j);
    }
}

static void encode_meets_the_reference(int id)
{
    const quant_traits *f = &quant_table[id];
    static uint8_t want[MAX_BYTES], got[MAX_BYTES];
    static float x[KIT_N];
    size_t row = quant_row_bytes((quant_id)id, KIT_ROW);
    if (!f->encode || id == QUANT_F32) return;
    if (!kit_tail("source", "f32", x, sizeof x) ||
        !kit_tail(f->name, id == QUANT_IQ4_NL ? "quantref" : "quant", want, 16 * row)) {
        printf("quant: encoding of %s skipped, no %s%s.quant\n", f->name, KIT, f->name);
        return;
    }
    f->encode(x, got, KIT_N);
    for (int r = 0; r < 16; r++) judge_row(id, r, x + r * KIT_ROW, got + (size_t)r * row, want + (size_t)r * row);
}

/* What encoders write depends on IEEE arithmetic alone; and any float, infinities and NaNs among them, may come. */
static void encode_meets_its_hash(int id)
{
    const quant_traits *f = &quant_table[id];
    enum { N = 32 * 256, HOSTILE = N / 2 };
    static float x[N], y[N];
    static uint8_t bytes[N * 4];
    if (!f->encode) return;
    for (uint64_t i = 0; i < N; i++) {
        x[i] = random_unit(1, i) * random_unit(2, i) * (float)(1 + i / 256);
        if (i >= HOSTILE) x[i] = random_u64(3, i) % 8 ? x[i] : f32_from_bits((uint32_t)random_u64(4, i));
    }
    const float odd[4] = {NAN, INFINITY, -INFINITY, 0};
    for (int i = 0; i < 16; i++) x[HOSTILE + 100 * i] = odd[i % 4];
    f->encode(x, bytes, HOSTILE);
    uint64_t hash = XXH3_64bits(bytes, quant_row_bytes((quant_id)id, HOSTILE));
    check_golden("tests/golden/quant_encode.txt", f->name, hash);
    f->decode(bytes, y, HOSTILE);
    double size = 0, e = squared_error(x, y, HOSTILE);
    for (int i = 0; i < HOSTILE; i++) size += (double)x[i] * x[i];
    ck_assert_msg(e < 0.7 * size, "%s: %g", f->name, e / size);
    f->encode(x + HOSTILE, bytes, N - HOSTILE);
    f->decode(bytes, y, N - HOSTILE);
}

typedef struct columns {
    simd_act a;
    float *x;
} columns;

static columns columns_new(quant_act kind, int64_t k, int n)
{
    columns c;
    simd_act_layout(&c.a, kind, k);
    c.a.data = aligned_alloc(64, c.a.stride * (size_t)n);
    c.x = malloc((size_t)(k * n) * sizeof *c.x);
    memset(c.a.data, 0, c.a.stride * (size_t)n);
    for (int64_t i = 0; i < k * n; i++) c.x[i] = random_unit(7, (uint64_t)i);
    for (int i = 0; i < n; i++) {
        uint8_t *to = c.a.data + (size_t)i * c.a.stride;
        if (kind == QUANT_ACT_F32) memcpy(to, c.x + i * k, (size_t)k * sizeof *c.x);
        else simd.quantize(&c.a, c.x + i * k, to);
    }
    return c;
}

/* Weight and activation values multiplied and added in double. */
static double dot_of(const quant_traits *f, const uint8_t *w, const columns *c, int col, double *size)
{
    const uint8_t *p = c->a.data + (size_t)col * c->a.stride;
    int len = c->a.kind == QUANT_ACT_Q32 ? 32 : 256;
    double s = 0;
    *size = 0;
    for (int64_t k = 0; k < c->a.k; k += f->block_len, w += f->block_bytes) {
        float one;
        quant_block b;
        if (f->unpack) f->unpack(w, &b);
        else f->decode(w, &one, 1);
        for (int i = 0; i < f->block_len; i++) {
            const float *d = (const float *)(const void *)(p + c->a.off_d);
            double x = f->unpack ? (double)d[(k + i) / len] * (int8_t)p[k + i] : (double)d[k];
            s += x * (f->unpack ? rule(f, &b, i) : (double)one);
            *size += fabs(x) * (f->unpack ? size_of(f, &b, i) : fabs((double)one));
        }
    }
    return s;
}

static void scalar_tile_follows_the_rule(int id)
{
    const quant_traits *f = &quant_table[id];
    enum { ROWS = 3, COLS = 2, K = 768 };
    size_t row = quant_row_bytes((quant_id)id, K);
    uint8_t *w = malloc(ROWS * row);
    float y[COLS][ROWS];
    ck_assert_int_eq(simd_init("scalar", NULL), TAWNY_OK);
    columns c = columns_new(f->act, K, COLS);
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_bytes(w, ROWS * row, seed * 64 + f->ggml_id);
        simd_tile t = {.w = w, .row_bytes = row, .k = K, .rows = ROWS, .x = &c.a,
                       .cols = COLS, .y = y[0], .ldy = ROWS};
        simd.tile[id](&t);
        for (int r = 0; r < ROWS; r++)
            for (int col = 0; col < COLS; col++) {
                double size, want = dot_of(f, w + (size_t)r * row, &c, col, &size);
                if (!isfinite(size) || size > 1e38) continue;
                if (!(fabs(y[col][r] - want) <= size * 0x1p-18 + 0x1p-140))
                    ck_abort_msg("%s: %g, should be %g", f->name, (double)y[col][r], want);
            }
    }
    free(w);
    free(c.x);
    free(c.a.data);
    simd_init(NULL, NULL);
}

#define EVERY(test) \
    START_TEST(every_##test) { for (int i = 0; i < QUANT_FORMATS; i++) test(i); } END_TEST
EVERY(decode_meets_the_reference)
EVERY(encode_meets_the_reference)
EVERY(encode_meets_its_hash)
EVERY(decode_meets_its_hash)
EVERY(unpack_and_decode_agree)
EVERY(unpack_stays_in_range)
EVERY(scalar_tile_follows_the_rule)

START_TEST(names_and_numbers)
{
    for (int i = 0; i < QUANT_FORMATS; i++) {
        ck_assert_int_eq(quant_from_ggml(quant_table[i].ggml_id), i);
        ck_assert_int_eq(quant_from_name(quant_table[i].name), i);
    }
    ck_assert_int_eq(quant_from_name("q4_k"), QUANT_Q4_K);
    ck_assert_int_eq(quant_from_name("q4_"), -1);
    ck_assert_int_eq(quant_from_ggml(9), -1);
    ck_assert_uint_eq(quant_row_bytes(QUANT_Q6_K, 512), 420);
}
END_TEST

Suite *suite_quant(void)
{
    Suite *s = suite_create("quant");
    TCase *t = tcase_create("quant");
    tcase_add_test(t, names_and_numbers);
    tcase_add_test(t, every_decode_meets_the_reference);
    tcase_add_test(t, every_decode_meets_its_hash);
    tcase_add_test(t, every_encode_meets_the_reference);
    tcase_add_test(t, every_encode_meets_its_hash);
    tcase_add_test(t, every_unpack_and_decode_agree);
    tcase_add_test(t, every_unpack_stays_in_range);
    tcase_add_test(t, every_scalar_tile_follows_the_rule);
    suite_add_tcase(s, t);
    return s;
}
