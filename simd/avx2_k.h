/* The loops of the formats with blocks of 256 weights and integer sub-scales.
 *
 * A format is its `unpack` of one row's block, always inlined into them. */
#ifndef SIMD_AVX2_K_H
#define SIMD_AVX2_K_H

#include "avx2_panel.h"

/* A row's block taken apart. */
typedef struct k_row {
    __m256i q[8];  /* codes, 32 each */
    __m256i scale; /* int16: the low half has those of codes 0-15 of each q[j], the high half those of 16-31 */
    __m256i order; /* int16 a group, in order: minima, or the sub-scales where codes are unsigned without minima */
} k_row;

typedef struct k_format {
    void (*unpack)(const uint8_t *block, k_row *w);
    __m256 (*scales)(const uint8_t *const w[8], size_t at);
    int bytes;     /* of a block */
    int group;     /* 16 or 32 */
    int run;       /* as in avx2_shape */
    int zero_bits; /* log2 of the zero of unsigned codes, with `bias` */
    int min_at;    /* with `minima`: byte of the block where the minimum is */
    bool sign, scaled, bias, minima;
} k_format;

AVX2_INLINE avx2_shape k_shape(k_format f)
{
    return (avx2_shape){.acc_len = 256, .act_len = 256, .group = f.group, .run = f.run, .sign = f.sign,
                        .scaled = f.scaled, .bias = f.bias, .minima = f.minima};
}

/* Bits [s, s + n) of every byte, mask = 2^n - 1. */
AVX2_INLINE __m256i k_bits(__m256i v, int s, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, s), _mm256_set1_epi8((char)mask));
}

/* Sixteen bytes, numbers of 16 weights each in order, as the products meet them. */
AVX2_INLINE __m128i k_evens_first(__m128i s)
{
    return _mm_shuffle_epi8(s, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
}

/* The int16 number j of each half, eight times. */
AVX2_INLINE __m256i k_pick(__m256i scale, int j)
{
    return _mm256_shuffle_epi8(scale, _mm256_set1_epi16((short)(0x0100 + 0x0202 * j)));
}

/* Products of a block with 256 activations: eight partial sums. */
AVX2_INLINE __m256i k_dot(k_format f, const k_row *w, const uint8_t *a)
{
    __m256i sum = _mm256_setzero_si256();
    for (int j = 0; j < 8; j++) {
        __m256i x = avx2_load(a + 32 * j), p = f.sign ? avx2_mul_s(w->q[j], x) : avx2_mul_u(w->q[j], x);
        sum = f.scaled ? _mm256_add_epi32(sum, _mm256_madd_epi16(p, k_pick(w->scale, j))) : _mm256_add_epi16(sum, p);
    }
    return f.scaled ? sum : avx2_widen(sum);
}

/* Products of `order` with the sums of activations: partial sums, all in the low half for groups of 32. */
AVX2_INLINE __m256i k_dot_sums(k_format f, const k_row *w, const avx2_column *x, int64_t b)
{
    if (f.group == 16) return _mm256_madd_epi16(w->order, avx2_load(x->s16 + 16 * b));
    return _mm256_zextsi128_si256(_mm_madd_epi16(_mm256_castsi256_si128(w->order), avx2_load16(x->s32 + 8 * b)));
}

AVX2_INLINE __m256i k_fold_sums(k_format f, const __m256i v[8])
{
    __m256i h[4];
    if (f.group == 16) return avx2_fold8(v);
    for (int i = 0; i < 4; i++) h[i] = _mm256_inserti128_si256(v[i], _mm256_castsi256_si128(v[i + 4]), 1);
    return avx2_fold4(h[0], h[1], h[2], h[3]);
}

AVX2_INLINE __m256 k_minima(k_format f, const uint8_t *const w[8], size_t at)
{
    return _mm256_xor_ps(avx2_halves(w, at + (size_t)f.min_at), _mm256_set1_ps(-0.0f));
}

/* Eight rows times nc columns from c on; nc is 1 or up to 4. */
AVX2_INLINE void k_rows(const simd_tile *t, k_format f, int64_t r, int nc)
{
    const uint8_t *w[8];
    avx2_column x[4];
    __m256 acc[4];
    int n = avx2_rows8(t, r, w);
    for (int c = 0; c < nc; c++) {
        x[c] = avx2_column_at(t, c);
        acc[c] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < t->k / 256; b++) {
        __m256i sum[4][8], more[4][8];
        size_t at = (size_t)b * (size_t)f.bytes;
        for (int i = 0; i < 8; i++) {
            k_row row;
            f.unpack(w[i] + at, &row);
            for (int c = 0; c < nc; c++) {
                sum[c][i] = k_dot(f, &row, x[c].q + 256 * b);
                if (f.bias || f.minima) more[c][i] = k_dot_sums(f, &row, &x[c], b);
                if (f.bias) sum[c][i] = _mm256_sub_epi32(sum[c][i], _mm256_slli_epi32(more[c][i], f.zero_bits));
            }
        }
        __m256 d = f.scales(w, at), m = f.minima ? k_minima(f, w, at) : d;
        for (int c = 0; c < nc; c++) {
            __m256 da = _mm256_set1_ps(x[c].d[b]);
            acc[c] = avx2_accumulate(avx2_fold8(sum[c]), d, da, acc[c]);
            if (f.minima) acc[c] = avx2_accumulate(k_fold_sums(f, more[c]), m, da, acc[c]);
        }
    }
    for (int c = 0; c < nc; c++) avx2_store_rows(x[c].y + r, acc[c], n);
}

/* The integers of row i of a panel's half, one in each of the vectors from p on. */
AVX2_INLINE void k_put(uint8_t *p, int i, const void *numbers, int n)
{
    for (int g = 0; g < n; g++) memcpy(p + 64 * g + 4 * i, (const uint8_t *)numbers + 4 * g, 4);
}

AVX2_INLINE void k_fill(k_format f, const uint8_t *const w[8], size_t at, uint8_t *panel)
{
    avx2_shape s = k_shape(f);
    __m256i codes[8][8], even[2], order;
    for (int i = 0; i < 8; i++) {
        k_row row;
        f.unpack(w[i] + at, &row);
        for (int j = 0; j < 8; j++) codes[j][i] = row.q[j];
        if (f.scaled) { /* in order, each twice */
            __m256i odd = f.group == 32 ? row.scale : _mm256_permute2x128_si256(row.scale, row.scale, 1);
            __m256i lo = _mm256_unpacklo_epi16(row.scale, odd), hi = _mm256_unpackhi_epi16(row.scale, odd);
            even[0] = _mm256_permute2x128_si256(lo, hi, 0x20); /* scales 0 1 2 3 .. 14 15, or each twice */
            even[1] = _mm256_unpackhi_epi16(even[0], even[0]);
            if (f.group == 16) {
                __m256i low = _mm256_unpacklo_epi16(even[0], even[0]);
                even[0] = _mm256_permute2x128_si256(low, even[1], 0x20);
                even[1] = _mm256_permute2x128_si256(low, even[1], 0x31);
            }
            k_put(panel + avx2_at_scale(s), i, even, 256 / f.group);
        }
        order = f.bias ? _mm256_mullo_epi16(row.order, _mm256_set1_epi16((short)-(1 << f.zero_bits))) : row.order;
        if (f.bias || f.minima) k_put(panel + avx2_at_pairs(s), i, &order, 128 / f.group);
    }
    for (int j = 0; j < 8; j++) avx2_transpose_rows(codes[j], panel + 512 * j);
    float *d = (float *)(void *)(panel + avx2_at_d(s));
    _mm256_store_ps(d, f.scales(w, at));
    if (f.minima) _mm256_store_ps(d + 16, k_minima(f, w, at));
}

AVX2_INLINE __m256 k_scale_at(const uint8_t *const w[8], size_t at) { return avx2_halves(w, at); }

/* Up to `few` columns the blocks are read where they lie. */
#define K_FORMAT(name, few, ...) \
    static const k_format name##_format = {__VA_ARGS__}; \
    static void name##_fill(const uint8_t *const w[8], size_t at, uint8_t *panel) \
    { \
        k_fill(name##_format, w, at, panel); \
    } \
    static void name##_one(const simd_tile *t) \
    { \
        for (int64_t r = 0; r < t->rows; r += 8) k_rows(t, name##_format, r, 1); \
    } \
    static void name##_few(const simd_tile *t) \
    { \
        for (int64_t r = 0; r < t->rows; r += 8) k_rows(t, name##_format, r, t->cols); \
    } \
    static void name##_many(const simd_tile *t) \
    { \
        avx2_tile_panel(t, k_shape(name##_format), 256, name##_format.bytes, name##_fill); \
    } \
    static void name##_tile(const simd_tile *t) \
    { \
        if (t->cols < 1) return; \
        if (t->cols == 1) name##_one(t); \
        else if (few > 1 && t->cols <= few) name##_few(t); \
        else name##_many(t); \
    }

#endif
