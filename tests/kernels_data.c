/* Operands for the kernel checker. */
#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "quant/blocks.h"

/* Where the half-precision scales of a block are. */
typedef struct halves {
    int n;
    size_t at[2];
} halves;

#define AT(type, field) offsetof(struct quant_##type, field)
static const halves scales_at[QUANT_FORMATS] = {
    [QUANT_Q4_0] = {1, {AT(Q4_0, d)}},
    [QUANT_Q4_1] = {2, {AT(Q4_1, d), AT(Q4_1, m)}},
    [QUANT_Q5_0] = {1, {AT(Q5_0, d)}},
    [QUANT_Q5_1] = {2, {AT(Q5_1, d), AT(Q5_1, m)}},
    [QUANT_Q8_0] = {1, {AT(Q8_0, d)}},
    [QUANT_Q2_K] = {2, {AT(Q2_K, d), AT(Q2_K, dmin)}},
    [QUANT_Q3_K] = {1, {AT(Q3_K, d)}},
    [QUANT_Q4_K] = {2, {AT(Q4_K, d), AT(Q4_K, dmin)}},
    [QUANT_Q5_K] = {2, {AT(Q5_K, d), AT(Q5_K, dmin)}},
    [QUANT_Q6_K] = {1, {AT(Q6_K, d)}},
    [QUANT_IQ2_XXS] = {1, {AT(IQ2_XXS, d)}},
    [QUANT_IQ2_XS] = {1, {AT(IQ2_XS, d)}},
    [QUANT_IQ2_S] = {1, {AT(IQ2_S, d)}},
    [QUANT_IQ3_XXS] = {1, {AT(IQ3_XXS, d)}},
    [QUANT_IQ3_S] = {1, {AT(IQ3_S, d)}},
    [QUANT_IQ1_S] = {1, {AT(IQ1_S, d)}},
    [QUANT_IQ4_NL] = {1, {AT(IQ4_NL, d)}},
    [QUANT_IQ4_XS] = {1, {AT(IQ4_XS, d)}},
    [QUANT_TQ1_0] = {1, {AT(TQ1_0, d)}},
    [QUANT_TQ2_0] = {1, {AT(TQ2_0, d)}},
    [QUANT_Q1_0] = {1, {AT(Q1_0, d)}},
    [QUANT_Q2_0] = {1, {AT(Q2_0, d)}},
};

/* A half of either sign: kind 0 around 1 with all mantissas; from 3 on zeros, subnormals, the largest,
 * infinities, NaNs, each among sane ones so that the rest still counts. */
static uint16_t half_of(int kind, uint64_t r)
{
    uint16_t sane = (uint16_t)((r & 0x83ff) | (12 + (r >> 16 & 3)) << 10), sign = r & 0x8000;
    bool odd = (r >> 20 & 3) == 0;
    switch (kind) {
    case 4: return sign; /* zeros everywhere */
    case 5: return (uint16_t)(sign | (r & 0x3ff)); /* subnormal */
    case 6: return sign | 0x7bff;
    case 7: return odd ? sign | 0x7c00 : sane;
    case 8: return odd ? (uint16_t)(sign | 0x7c00 | (r & 0x3ff) | 1) : sane;
    default: return sane;
    }
}

static void put_half(uint8_t *p, uint16_t h) { memcpy(p, &h, 2); }

static void set_scales(quant_id f, uint8_t *b, int kind, uint64_t r)
{
    const halves *s = &scales_at[f];
    for (int i = 0; i < s->n; i++) put_half(b + s->at[i], half_of(kind, r >> (21 * i)));
    if (f == QUANT_MXFP4) {
        static const uint8_t extremes[] = {0, 1, 2, 254, 255};
        b[0] = kind >= 4 && kind <= 8 ? extremes[kind - 4] : (uint8_t)(120 + (r & 7));
    }
    if (f == QUANT_NVFP4) /* kind 0: exponents of one octave; the others as the random bytes have it */
        for (int i = 0; kind == 0 && i < 4; i++) b[i] = (uint8_t)(0x38 | (r >> 3 * i & 7));
    if (f == QUANT_IQ1_M) {
        struct quant_IQ1_M *m = (void *)b;
        uint16_t h = half_of(kind, r);
        for (int i = 0; i < 4; i++) m->scales[i] = (uint16_t)((m->scales[i] & 0xfff) | (h >> 4 * i & 15) << 12);
    }
}

static void make_float_weights(quant_id f, uint8_t *w, size_t n, int kind, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = random_u64(seed, i);
        float x;
        make_floats(&x, 1, kind == 0 ? 0 : kind % FLOAT_KINDS, r);
        if (kind % FLOAT_KINDS == 2 && r % 16) x = random_unit(seed, i); /* not NaN everywhere */
        if (kind % FLOAT_KINDS == 3 && r % 64) x = random_unit(seed, i);
        if (f == QUANT_F32) memcpy(w + 4 * i, &x, 4);
        else put_half(w + 2 * i, f == QUANT_F16 ? f32_to_f16(x) : f32_to_bf16(x));
    }
}

/* Bytes of ones or zeros are extremes for all but two's complement: codes of Q8_0 and sub-scales of Q6_K. */
static void signed_extremes(quant_id f, uint8_t *w, size_t blocks, int kind, uint64_t seed)
{
    size_t at = f == QUANT_Q8_0 ? AT(Q8_0, qs) : AT(Q6_K, scales), n = f == QUANT_Q8_0 ? 32 : 16;
    if (f != QUANT_Q8_0 && f != QUANT_Q6_K) return;
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < n; i++) {
            bool low = kind == 3 || (kind == 9 && random_u64(~seed, b * n + i) & 1);
            w[b * (size_t)quant_table[f].block_bytes + at + i] = low ? 0x80 : 0x7f;
        }
}

void make_weights(quant_id f, uint8_t *w, size_t blocks, int kind, uint64_t seed)
{
    const quant_traits *t = &quant_table[f];
    size_t bytes = (size_t)t->block_bytes;
    if (t->act == QUANT_ACT_F32) {
        make_float_weights(f, w, blocks, kind, seed);
        return;
    }
    random_bytes(w, blocks * bytes, seed);
    if (kind == 2) memset(w, 0xff, blocks * bytes);
    if (kind == 3) memset(w, 0, blocks * bytes);
    if (kind == 9) /* each block all ones or all zeros, or each byte */
        for (size_t i = 0; i < blocks * bytes; i++)
            w[i] = random_u64(seed, i / (seed % 2 ? 1 : bytes)) & 1 ? 0xff : 0;
    if (kind == 2 || kind == 3 || kind == 9) signed_extremes(f, w, blocks, kind, seed);
    if (kind == 1) return;
    for (size_t b = 0; b < blocks; b++) set_scales(f, w + b * bytes, kind, random_u64(~seed, b));
}

/* kinds: 0 random, 1 all 127 of random signs a block, 2 all 127, 3 all -127, 4 zeros and NaNs among the scales,
 * 5 large and tiny scales */
static int8_t code_of(int kind, uint64_t r, uint64_t block)
{
    if (kind == 1) return block & 1 ? 127 : -127;
    if (kind == 2) return 127;
    if (kind == 3) return -127;
    return (int8_t)((int)(r % 255) - 127);
}

static float scale_of(int kind, uint64_t r)
{
    float d = 0.5f + 0.5f * fabsf(random_unit(r, 1));
    if (kind == 4 && r % 8 < 2) return r % 8 ? NAN : 0.0f;
    if (kind == 5) return d * (r % 2 ? 0x1p100f : 0x1p-120f);
    return d;
}

static void make_column(const simd_act *a, uint8_t *p, int kind, uint64_t seed)
{
    int len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    float *d = (float *)(void *)(p + a->off_d);
    int16_t *s32 = (int16_t *)(void *)(p + a->off_s32), *s16 = (int16_t *)(void *)(p + a->off_s16);
    int8_t *q = (int8_t *)p;
    for (int64_t i = 0; i < a->k; i++)
        q[i] = code_of(kind, random_u64(seed, (uint64_t)i), random_u64(seed, (uint64_t)(i / len)));
    for (int64_t i = 0; i < a->k / len; i++) d[i] = scale_of(kind, random_u64(~seed, (uint64_t)i));
    for (int64_t i = 0; i < a->k / 16; i++) {
        int s = 0;
        for (int j = 0; j < 16; j++) s += q[16 * i + j];
        s16[i] = (int16_t)s;
    }
    for (int64_t i = 0; i < a->k / 32; i++) s32[i] = (int16_t)(s16[2 * i] + s16[2 * i + 1]);
}

void make_columns(simd_act *a, int n, int kind, uint64_t seed)
{
    memset(a->data, 0xff, a->stride * (size_t)n); /* gaps: NaNs and -1 */
    for (int c = 0; c < n; c++) {
        uint8_t *p = a->data + (size_t)c * a->stride;
        if (a->kind != QUANT_ACT_F32) make_column(a, p, kind, seed + (uint64_t)c);
        else make_floats((float *)(void *)p, (size_t)a->k, kind == 0 ? 0 : kind == 5 ? 3 : 1, seed + (uint64_t)c);
    }
}

static const uint32_t specials[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc12345, 0x3f800000, 0xbf800000, 0x3f7fffff, 0x3f800001,
    0x42b17218, 0x42b17217, 0xc2aeac50, 0xc2cff1b5, 0x43000000, 0xc3160000, 0x33800000, 0x387fffff, 0x477fefff,
    0x477ff000, 0x33000000, 0x32ffffff, 0x4b000000, 0x4b7fffff,
};

void make_floats(float *x, size_t n, int kind, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = random_u64(seed, i);
        float u = random_unit(seed, i);
        switch (kind) {
        case 1: x[i] = ldexpf(u, (int)(r & 31) - 16); break;
        case 2: x[i] = f32_from_bits((uint32_t)r); break;
        case 3: x[i] = f32_from_bits(specials[r % (sizeof specials / sizeof *specials)]); break;
        case 4: x[i] = u * 100; break;
        default: x[i] = u;
        }
    }
}
