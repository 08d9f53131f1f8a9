/* What the AVX2 tiles share: columns and outputs of a tile, row groups of eight, folds, scales.
 *
 * A vector of results holds eight rows. Where a row's tail has fewer, the missing ones repeat the last row and
 * are not stored, so that nothing outside of the rows is ever read. */
#ifndef SIMD_AVX2_TILE_H
#define SIMD_AVX2_TILE_H

#include <immintrin.h>

#include "../src/base/num.h"
#include "parts.h"

#define AVX2_INLINE static inline __attribute__((always_inline))

typedef struct avx2_column {
    const uint8_t *q; /* int8 activations */
    const float *d;
    const int16_t *s32, *s16;
    float *y;
} avx2_column;

AVX2_INLINE avx2_column avx2_column_at(const simd_tile *t, int c)
{
    const simd_act *x = t->x;
    const uint8_t *p = x->data + (size_t)(t->x_index ? t->x_index[c] : c) * x->stride;
    const void *d = p + x->off_d, *s32 = p + x->off_s32, *s16 = p + x->off_s16;
    return (avx2_column){p, d, s32, s16, t->y + (size_t)(t->y_index ? t->y_index[c] : c) * t->ldy};
}

/* Eight rows from `r`; returns how many of them exist. */
AVX2_INLINE int avx2_rows8(const simd_tile *t, int64_t r, const uint8_t *w[8])
{
    int n = t->rows - r < 8 ? (int)(t->rows - r) : 8;
    for (int i = 0; i < 8; i++) w[i] = t->w + (size_t)(r + (i < n ? i : n - 1)) * t->row_bytes;
    return n;
}

AVX2_INLINE void avx2_store_rows(float *y, __m256 v, int n)
{
    if (n == 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    float out[8];
    _mm256_storeu_ps(out, v);
    for (int i = 0; i < n; i++) y[i] = out[i];
}

AVX2_INLINE __m256i avx2_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
AVX2_INLINE __m128i avx2_load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
AVX2_INLINE __m256i avx2_both16(const void *p) { return _mm256_broadcastsi128_si256(avx2_load16(p)); }
AVX2_INLINE __m256i avx2_quad(const void *p) { return _mm256_set1_epi32((int)load_u32(p)); }
AVX2_INLINE void avx2_store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* In a register, here: compilers would load it again for each use, or so early that registers run out. */
AVX2_INLINE __m256 avx2_keep(__m256 v)
{
    __asm__ volatile("" : "+x"(v));
    return v;
}

AVX2_INLINE __m256i avx2_keep_int(__m256i v)
{
    __asm__ volatile("" : "+x"(v));
    return v;
}

/* Sixteen bytes of one row in the low half, of another in the high half. */
AVX2_INLINE __m256i avx2_pair16(const void *lo, const void *hi)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(avx2_load16(lo)), avx2_load16(hi), 1);
}

/* Half-precision numbers at byte `at` of eight rows. */
AVX2_INLINE __m256 avx2_halves(const uint8_t *const w[8], size_t at)
{
#define AT(i) (short)load_u16(w[i] + at)
    return _mm256_cvtph_ps(_mm_set_epi16(AT(7), AT(6), AT(5), AT(4), AT(3), AT(2), AT(1), AT(0)));
#undef AT
}

/* Products of codes with activations, pairs summed to int16: unsigned codes up to 127, or signed ones (no sum of
 * two products saturates, as activations are never -128). */
AVX2_INLINE __m256i avx2_mul_u(__m256i q, __m256i a) { return _mm256_maddubs_epi16(q, a); }
AVX2_INLINE __m256i avx2_mul_s(__m256i q, __m256i a)
{
    return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(a, q));
}

AVX2_INLINE __m256i avx2_widen(__m256i p16) { return _mm256_madd_epi16(p16, _mm256_set1_epi16(1)); }

/* Four vectors, row p in the low half of v[p], row p + 4 in the high half: lane r is the sum of row r's four. */
AVX2_INLINE __m256i avx2_fold4(__m256i v0, __m256i v1, __m256i v2, __m256i v3)
{
    __m256i a = _mm256_add_epi32(_mm256_unpacklo_epi32(v0, v1), _mm256_unpackhi_epi32(v0, v1));
    __m256i b = _mm256_add_epi32(_mm256_unpacklo_epi32(v2, v3), _mm256_unpackhi_epi32(v2, v3));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* Eight vectors, a row each: lane r is the sum of v[r]. */
AVX2_INLINE __m256i avx2_fold8(const __m256i v[8])
{
    __m256i h[4];
    for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_epi32(_mm256_permute2x128_si256(v[i], v[i + 4], 0x20),
                                _mm256_permute2x128_si256(v[i], v[i + 4], 0x31));
    return avx2_fold4(h[0], h[1], h[2], h[3]);
}

/* The same as avx2_fold4 for eight int16 a row, `bits` wide codes times activations, four products in each. */
AVX2_INLINE __m256i avx2_fold4_16(__m256i v0, __m256i v1, __m256i v2, __m256i v3, int bits)
{
    __m256i a = _mm256_add_epi16(_mm256_unpacklo_epi16(v0, v1), _mm256_unpackhi_epi16(v0, v1));
    __m256i b = _mm256_add_epi16(_mm256_unpacklo_epi16(v2, v3), _mm256_unpackhi_epi16(v2, v3));
    __m256i lo = _mm256_unpacklo_epi32(a, b), hi = _mm256_unpackhi_epi32(a, b); /* rows 0 1 2 3 0 1 2 3 */
    if (bits <= 4) {
        const __m256i pairs = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
        return avx2_widen(_mm256_shuffle_epi8(_mm256_add_epi16(lo, hi), pairs));
    }
    return _mm256_add_epi32(avx2_widen(_mm256_unpacklo_epi16(lo, hi)), avx2_widen(_mm256_unpackhi_epi16(lo, hi)));
}

/* acc = fma((float)isum, d * da, acc) */
AVX2_INLINE __m256 avx2_accumulate(__m256i isum, __m256 d, __m256 da, __m256 acc)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum), _mm256_mul_ps(d, da), acc);
}

/* Sixteen partial sums to one: 8, 4, 2, 1. */
AVX2_INLINE float avx2_fold16(__m256 p0, __m256 p1)
{
    p0 = _mm256_add_ps(p0, p1);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(p0), _mm256_extractf128_ps(p0, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

#endif
