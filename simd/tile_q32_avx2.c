/* AVX2 tiles of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and IQ4_NL. */
#include "avx2_q32.h"

/* Q4_0: d, 16 bytes: weight i in the low nibble of byte i, i + 16 in the high one; d * (q - 8). */
AVX2_INLINE void q4_0_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
    nibbles(lo + 2, hi + 2, q);
}
/* Q4_1: d, m, nibbles as Q4_0; d * q + m. */
AVX2_INLINE void q4_1_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
    nibbles(lo + 4, hi + 4, q);
}

/* Q8_0: d, 32 signed bytes. */
AVX2_INLINE void q8_0_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
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
AVX2_INLINE void q5_0_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
    nibbles(lo + 6, hi + 6, q);
    fifth_bits(lo + 2, hi + 2, q);
}
AVX2_INLINE void q5_1_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
    nibbles(lo + 8, hi + 8, q);
    fifth_bits(lo + 4, hi + 4, q);
}

/* IQ4_NL: d, nibbles that index a table of 16 signed values. */
AVX2_INLINE void iq4_nl_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
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
