/* The loops of the formats whose activations have a scale for 32: blocks of 32 weights, or of several times 32.
 *
 * A format is its codes (row p in the low half of a vector, row p + 4 in the high half: one vector of the first
 * sixteen codes of both, one of the last sixteen), its scales, and how wide its codes are. */
#ifndef SIMD_AVX2_Q32_H
#define SIMD_AVX2_Q32_H

#include "avx2_panel.h"

typedef struct q32_format {
    void (*codes)(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2]);
    __m256 (*scales)(const uint8_t *const w[8], size_t at);
    int bytes;  /* of a block */
    int parts;  /* stretches of 32 weights in a block, all with the same scale; 0: one */
    int bits;   /* of an unsigned code; 8: signed */
    int zero;   /* of unsigned codes */
    int min_at; /* byte of the block where the minimum is; 0: none */
} q32_format;

AVX2_INLINE avx2_shape q32_shape(q32_format f)
{
    return (avx2_shape){.acc_len = 32, .act_len = 32, .group = 32, .run = f.bits == 4 ? 8 : f.bits == 5 ? 4 : 1,
                        .sign = f.bits == 8, .bias = f.zero != 0, .minima = f.min_at != 0};
}

/* Two rows times a block of a column: four int32 a row, and eight int16 a row. */
AVX2_INLINE __m256i q32_dot_s(const __m256i q[2], __m256i lo, __m256i hi)
{
    return _mm256_add_epi32(avx2_widen(avx2_mul_s(q[0], lo)), avx2_widen(avx2_mul_s(q[1], hi)));
}
AVX2_INLINE __m256i q32_dot_u(const __m256i q[2], __m256i lo, __m256i hi)
{
    return _mm256_add_epi16(avx2_mul_u(q[0], lo), avx2_mul_u(q[1], hi));
}

/* Eight rows times nc columns from c on; nc is 1 or up to 4. */
AVX2_INLINE void q32_rows(const simd_tile *t, q32_format f, int64_t r, int c0, int nc)
{
    const uint8_t *w[8];
    avx2_column x[4];
    __m256 acc[4];
    int n = avx2_rows8(t, r, w);
    for (int c = 0; c < nc; c++) {
        x[c] = avx2_column_at(t, c0 + c);
        acc[c] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < t->k / 32; b++) {
        __m256i q[4][2];
        size_t at = (size_t)(f.parts ? b / f.parts : b) * (size_t)f.bytes;
        int part = f.parts ? (int)(b % f.parts) : 0;
        for (int p = 0; p < 4; p++) f.codes(w[p] + at, w[p + 4] + at, part, q[p]);
        __m256 d = f.scales(w, at), m = f.min_at ? avx2_halves(w, at + (size_t)f.min_at) : d;
        for (int c = 0; c < nc; c++) {
            __m256i lo = avx2_both16(x[c].q + 32 * b), hi = avx2_both16(x[c].q + 32 * b + 16), s[4], sum;
            for (int p = 0; p < 4; p++)
                s[p] = f.bits == 8 ? q32_dot_s(q[p], lo, hi) : q32_dot_u(q[p], lo, hi);
            sum = f.bits == 8 ? avx2_fold4(s[0], s[1], s[2], s[3]) : avx2_fold4_16(s[0], s[1], s[2], s[3], f.bits);
            if (f.zero) sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(f.zero * x[c].s32[b]));
            __m256 da = _mm256_set1_ps(x[c].d[b]);
            acc[c] = avx2_accumulate(sum, d, da, acc[c]);
            if (f.min_at) acc[c] = avx2_accumulate(_mm256_set1_epi32(x[c].s32[b]), m, da, acc[c]);
        }
    }
    for (int c = 0; c < nc; c++) avx2_store_rows(x[c].y + r, acc[c], n);
}

AVX2_INLINE void q32_fill_part(q32_format f, const uint8_t *const w[8], size_t at, int part, uint8_t *panel)
{
    __m256i q[4][2];
    avx2_shape s = q32_shape(f);
    for (int p = 0; p < 4; p++) f.codes(w[p] + at, w[p + 4] + at, part, q[p]);
    avx2_transpose_pairs((const __m256i(*)[2])q, panel);
    float *d = (float *)(void *)(panel + avx2_at_d(s));
    _mm256_store_ps(d, f.scales(w, at));
    int pair = (f.min_at ? 1 : -f.zero) & 0xffff;
    if (f.zero || f.min_at) avx2_store(panel + avx2_at_pairs(s), _mm256_set1_epi32(pair));
    if (f.min_at) _mm256_store_ps(d + 16, avx2_halves(w, at + (size_t)f.min_at));
}

AVX2_INLINE void q32_fill(q32_format f, const uint8_t *const w[8], size_t at, uint8_t *panel)
{
    for (int part = 0; part < (f.parts ? f.parts : 1); part++)
        q32_fill_part(f, w, at, part, panel + part * avx2_panel_bytes(q32_shape(f)));
}

/* Up to this many columns the blocks are read where they lie. */
enum { Q32_FEW = 4 };

#define Q32(name, ...) \
    static const q32_format name##_format = {__VA_ARGS__}; \
    static void name##_fill(const uint8_t *const w[8], size_t at, uint8_t *panel) \
    { \
        q32_fill(name##_format, w, at, panel); \
    } \
    static void name##_one(const simd_tile *t) \
    { \
        for (int64_t r = 0; r < t->rows; r += 8) q32_rows(t, name##_format, r, 0, 1); \
    } \
    static void name##_few(const simd_tile *t) \
    { \
        for (int64_t r = 0; r < t->rows; r += 8) q32_rows(t, name##_format, r, 0, t->cols); \
    } \
    static void name##_many(const simd_tile *t) \
    { \
        avx2_tile_panel(t, q32_shape(name##_format), name##_format.parts ? 32 * name##_format.parts : 32, \
                        name##_format.bytes, name##_fill);  \
    } \
    static void name##_tile(const simd_tile *t) \
    { \
        if (t->cols < 1) return; \
        if (t->cols == 1) name##_one(t); \
        else if (t->cols <= Q32_FEW) name##_few(t); \
        else name##_many(t); \
    }

AVX2_INLINE __m256 scale_at_0(const uint8_t *const w[8], size_t at) { return avx2_halves(w, at); }

AVX2_INLINE void nibbles(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    __m256i v = avx2_pair16(lo, hi), low = _mm256_set1_epi8(15);
    q[0] = _mm256_and_si256(v, low);
    q[1] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
}

#endif
