/* AVX2 tiles of one and two bits and of three values: Q1_0, Q2_0, TQ1_0, TQ2_0 (layouts: quant/blocks.h). */
#include "../quant/blocks.h"
#include "avx2_k.h"
#include "avx2_q32.h"

#define AT(type, field) __builtin_offsetof(struct quant_##type, field)

/* Bytes: four of each half of 32 weights, of two rows, spread over 16 bytes each. */
AVX2_INLINE __m256i spread(__m256i v, long long first, long long second)
{
    return _mm256_shuffle_epi8(v, _mm256_setr_epi64x(first, second, first, second));
}

AVX2_INLINE __m256i two_rows(const uint8_t *lo, const uint8_t *hi)
{
    long long a = (long long)load_u64(lo), b = (long long)load_u64(hi);
    return _mm256_setr_epi64x(a, 0, b, 0);
}

/* Q1_0: a bit a weight, -1 or 1: codes 0 and 2. */
AVX2_INLINE void q1_0_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    size_t at = AT(Q1_0, qs) + 4 * (size_t)part;
    __m256i v = _mm256_setr_epi64x(load_u32(lo + at), 0, load_u32(hi + at), 0);
    for (int i = 0; i < 2; i++) {
        __m256i x = spread(v, 0x0101010101010101 * (2 * i), 0x0101010101010101 * (2 * i + 1));
        __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(x, bit), bit);
        q[i] = _mm256_and_si256(set, _mm256_set1_epi8(2));
    }
}

/* Q2_0: two bits a weight, four in a byte; a code stays where it is in its nibble until the table moves it. */
AVX2_INLINE void q2_0_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0));
    size_t at = AT(Q2_0, qs) + 8 * (size_t)part;
    __m256i v = two_rows(lo + at, hi + at);
    for (int i = 0; i < 2; i++) {
        long long four = 0x0404040404040404 * i;
        __m256i x = spread(v, 0x0101010100000000 + four, 0x0303030302020202 + four);
        x = _mm256_and_si256(x, _mm256_set1_epi32((int)0xc0300c03));
        x = _mm256_or_si256(x, _mm256_srli_epi16(x, 4));
        q[i] = _mm256_shuffle_epi8(table, _mm256_and_si256(x, _mm256_set1_epi8(15)));
    }
}

Q32(q1_0, .codes = q1_0_codes, .scales = scale_at_0, .bytes = 18, .parts = 4, .bits = 4, .zero = 1)
Q32(q2_0, .codes = q2_0_codes, .scales = scale_at_0, .bytes = 18, .parts = 2, .bits = 4, .zero = 1)

AVX2_INLINE void tq2_0_unpack(const uint8_t *p, k_row *w)
{
    for (int j = 0; j < 8; j++) w->q[j] = k_bits(avx2_load(p + AT(TQ2_0, qs) + 32 * (j / 4)), j % 4 * 2, 3);
    w->scale = w->order = _mm256_set1_epi16(1);
}

/* The top digit of 32 fractions of 256: how many of 1/3 and 2/3 they reach. */
AVX2_INLINE __m256i top_digit(__m256i v)
{
    __m256i third = _mm256_set1_epi8(86), two = _mm256_set1_epi8((char)171);
    __m256i a = _mm256_cmpeq_epi8(_mm256_max_epu8(v, third), v), b = _mm256_cmpeq_epi8(_mm256_max_epu8(v, two), v);
    return _mm256_abs_epi8(_mm256_add_epi8(a, b));
}
AVX2_INLINE __m256i times3(__m256i v) { return _mm256_add_epi8(v, _mm256_add_epi8(v, v)); }

AVX2_INLINE void tq1_0_unpack(const uint8_t *p, k_row *w)
{
    __m256i v = avx2_load(p + AT(TQ1_0, qs)), digit[5];
    for (int n = 0; n < 5; n++, v = times3(v)) w->q[n] = top_digit(v);
    /* weights 160 to 239 in the low half, the last 16 in the high half: four bytes, as the digits are taken */
    v = _mm256_set_m128i(_mm_cvtsi32_si128((int)load_u32(p + AT(TQ1_0, qh))), avx2_load16(p + AT(TQ1_0, qs) + 32));
    for (int n = 0; n < 5; n++, v = times3(v)) digit[n] = top_digit(v);
    __m128i h[4];
    for (int n = 0; n < 4; n++) h[n] = _mm256_extracti128_si256(digit[n], 1);
    __m128i last = _mm_unpacklo_epi64(_mm_unpacklo_epi32(h[0], h[1]), _mm_unpacklo_epi32(h[2], h[3]));
    w->q[5] = _mm256_permute2x128_si256(digit[0], digit[1], 0x20);
    w->q[6] = _mm256_permute2x128_si256(digit[2], digit[3], 0x20);
    w->q[7] = _mm256_inserti128_si256(digit[4], last, 1);
    w->scale = w->order = _mm256_set1_epi16(1);
}

AVX2_INLINE __m256 tq1_0_d(const uint8_t *const w[8], size_t at) { return avx2_halves(w, at + AT(TQ1_0, d)); }
AVX2_INLINE __m256 tq2_0_d(const uint8_t *const w[8], size_t at) { return avx2_halves(w, at + AT(TQ2_0, d)); }

K_FORMAT(tq1_0, 3, .unpack = tq1_0_unpack, .scales = tq1_0_d, .bytes = 54, .group = 32, .run = 8, .bias = true)
K_FORMAT(tq2_0, 3, .unpack = tq2_0_unpack, .scales = tq2_0_d, .bytes = 66, .group = 32, .run = 8, .bias = true)

const simd_part simd_ternary_avx2 = {.t = {.tile = {
    [QUANT_Q1_0] = q1_0_tile, [QUANT_Q2_0] = q2_0_tile, [QUANT_TQ1_0] = tq1_0_tile, [QUANT_TQ2_0] = tq2_0_tile,
}}};
