/* AVX2 tiles of the formats with blocks of 32 weights.
 *
 * A format is its codes (row p in the low half of a vector, row p + 4 in the high half: one vector of the first
 * sixteen codes of both, one of the last sixteen), its scales, and how wide its codes are. */
#include "avx2_panel.h"

typedef struct q32_format {
    void (*codes)(const uint8_t *lo, const uint8_t *hi, __m256i q[2]);
    __m256 (*scales)(const uint8_t *const w[8], size_t at);
    int bytes;  /* of a block */
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
        size_t at = (size_t)b * (size_t)f.bytes;
        for (int p = 0; p < 4; p++) f.codes(w[p] + at, w[p + 4] + at, q[p]);
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

AVX2_INLINE void q32_fill(q32_format f, const uint8_t *const w[8], size_t at, uint8_t *panel)
{
    __m256i q[4][2];
    avx2_shape s = q32_shape(f);
    for (int p = 0; p < 4; p++) f.codes(w[p] + at, w[p + 4] + at, q[p]);
    avx2_transpose_pairs((const __m256i(*)[2])q, panel);
    float *d = (float *)(void *)(panel + avx2_at_d(s));
    _mm256_store_ps(d, f.scales(w, at));
    int pair = (f.min_at ? 1 : -f.zero) & 0xffff;
    if (f.zero || f.min_at) avx2_store(panel + avx2_at_pairs(s), _mm256_set1_epi32(pair));
    if (f.min_at) _mm256_store_ps(d + 16, avx2_halves(w, at + (size_t)f.min_at));
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
        avx2_tile_panel(t, q32_shape(name##_format), 32, name##_format.bytes, name##_fill); \
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

/* Q4_0: d, 16 bytes: weight i in the low nibble of byte i, i + 16 in the high one; d * (q - 8). */
AVX2_INLINE void q4_0_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2]) { nibbles(lo + 2, hi + 2, q); }
/* Q4_1: d, m, nibbles as Q4_0; d * q + m. */
AVX2_INLINE void q4_1_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2]) { nibbles(lo + 4, hi + 4, q); }

/* Q8_0: d, 32 signed bytes. */
AVX2_INLINE void q8_0_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    q[0] = avx2_pair16(lo + 2, hi + 2);
    q[1] = avx2_pair16(lo + 18, hi + 18);
}

/* Bit i of a 32-bit mask as 16 in byte i: the fifth bits of two rows' codes. */
AVX2_INLINE void fifth_bits(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    __m256i v = _mm256_set_m128i(_mm_cvtsi32_si128((int)load_u32(hi)), _mm_cvtsi32_si128((int)load_u32(lo)));
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    for (int i = 0; i < 2; i++) {
        __m256i at = _mm256_set_epi64x(0x0101010101010101 * (2 * i + 1), 0x0101010101010101 * (2 * i),
                                       0x0101010101010101 * (2 * i + 1), 0x0101010101010101 * (2 * i));
        __m256i one = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(v, at), bit), bit);
        q[i] = _mm256_or_si256(q[i], _mm256_and_si256(one, _mm256_set1_epi8(16)));
    }
}

/* Q5_0: d, 32 fifth bits, nibbles; d * (q - 16). Q5_1: d, m, fifth bits, nibbles; d * q + m. */
AVX2_INLINE void q5_0_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    nibbles(lo + 6, hi + 6, q);
    fifth_bits(lo + 2, hi + 2, q);
}
AVX2_INLINE void q5_1_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    nibbles(lo + 8, hi + 8, q);
    fifth_bits(lo + 4, hi + 4, q);
}

/* IQ4_NL: d, nibbles that index a table of 16 signed values. */
AVX2_INLINE void iq4_nl_codes(const uint8_t *lo, const uint8_t *hi, __m256i q[2])
{
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    nibbles(lo + 2, hi + 2, q);
    for (int i = 0; i < 2; i++) q[i] = _mm256_shuffle_epi8(values, q[i]);
}

Q32(q4_0, .codes = q4_0_codes, .scales = scale_at_0, .bytes = 18, .bits = 4, .zero = 8)
Q32(q4_1, .codes = q4_1_codes, .scales = scale_at_0, .bytes = 20, .bits = 4, .min_at = 2)
Q32(q5_0, .codes = q5_0_codes, .scales = scale_at_0, .bytes = 22, .bits = 5, .zero = 16)
Q32(q5_1, .codes = q5_1_codes, .scales = scale_at_0, .bytes = 24, .bits = 5, .min_at = 2)
Q32(q8_0, .codes = q8_0_codes, .scales = scale_at_0, .bytes = 34, .bits = 8)
Q32(iq4_nl, .codes = iq4_nl_codes, .scales = scale_at_0, .bytes = 18, .bits = 8)

const simd_part simd_q32_avx2 = {.t = {.tile = {
    [QUANT_Q4_0] = q4_0_tile, [QUANT_Q4_1] = q4_1_tile, [QUANT_Q5_0] = q5_0_tile, [QUANT_Q5_1] = q5_1_tile,
    [QUANT_Q8_0] = q8_0_tile, [QUANT_IQ4_NL] = iq4_nl_tile,
}}};
