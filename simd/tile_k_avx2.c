/* AVX2 tiles of Q2_K to Q6_K (layouts: quant/blocks.h). */
#include "../quant/blocks.h"
#include "avx2_k.h"

#define AT(type, field) __builtin_offsetof(struct quant_##type, field)

/* Eight scales, then eight minima, of 6 bits each in 12 bytes, to int16. */
AVX2_INLINE void scales_6bit(const uint8_t *s, k_row *w)
{
    uint32_t a = load_u32(s), b = load_u32(s + 4), c = load_u32(s + 8);
    uint32_t scale = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030), min = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
    uint64_t scales = (a & 0x3f3f3f3f) | (uint64_t)scale << 32, minima = (b & 0x3f3f3f3f) | (uint64_t)min << 32;
    __m256i v = _mm256_cvtepu8_epi16(_mm_set_epi64x((long long)minima, (long long)scales));
    w->scale = _mm256_permute4x64_epi64(v, 0x44);
    w->order = _mm256_permute4x64_epi64(v, 0xee);
}

AVX2_INLINE void q4_k_unpack(const uint8_t *p, k_row *w)
{
    for (int j = 0; j < 4; j++) {
        __m256i v = avx2_load(p + AT(Q4_K, qs) + 32 * j);
        w->q[2 * j] = k_bits(v, 0, 15);
        w->q[2 * j + 1] = k_bits(v, 4, 15);
    }
    scales_6bit(p + AT(Q4_K, scales), w);
}

AVX2_INLINE void q5_k_unpack(const uint8_t *p, k_row *w)
{
    __m256i high = avx2_load(p + AT(Q5_K, qh)), fifth = _mm256_set1_epi8(16);
    for (int j = 0; j < 4; j++) {
        __m256i v = avx2_load(p + AT(Q5_K, qs) + 32 * j);
        __m256i a = j < 2 ? _mm256_slli_epi16(high, 4 - 2 * j) : _mm256_srli_epi16(high, 2 * j - 4);
        __m256i b = j < 2 ? _mm256_slli_epi16(high, 3 - 2 * j) : _mm256_srli_epi16(high, 2 * j - 3);
        w->q[2 * j] = _mm256_or_si256(k_bits(v, 0, 15), _mm256_and_si256(a, fifth));
        w->q[2 * j + 1] = _mm256_or_si256(k_bits(v, 4, 15), _mm256_and_si256(b, fifth));
    }
    scales_6bit(p + AT(Q5_K, scales), w);
}

AVX2_INLINE void q6_k_unpack(const uint8_t *p, k_row *w)
{
    const __m256i high = _mm256_set1_epi8(48);
    for (int h = 0; h < 2; h++) {
        __m256i a = avx2_load(p + AT(Q6_K, ql) + 64 * h), b = avx2_load(p + AT(Q6_K, ql) + 64 * h + 32);
        __m256i v = avx2_load(p + AT(Q6_K, qh) + 32 * h), *q = w->q + 4 * h;
        q[0] = _mm256_or_si256(k_bits(a, 0, 15), _mm256_and_si256(_mm256_slli_epi16(v, 4), high));
        q[1] = _mm256_or_si256(k_bits(b, 0, 15), _mm256_and_si256(_mm256_slli_epi16(v, 2), high));
        q[2] = _mm256_or_si256(k_bits(a, 4, 15), _mm256_and_si256(v, high));
        q[3] = _mm256_or_si256(k_bits(b, 4, 15), _mm256_and_si256(_mm256_srli_epi16(v, 2), high));
    }
    __m128i s = avx2_load16(p + AT(Q6_K, scales));
    w->scale = _mm256_cvtepi8_epi16(k_evens_first(s));
    w->order = _mm256_cvtepi8_epi16(s);
}

AVX2_INLINE void q2_k_unpack(const uint8_t *p, k_row *w)
{
    for (int h = 0; h < 2; h++) {
        __m256i v = avx2_load(p + AT(Q2_K, qs) + 32 * h);
        for (int s = 0; s < 4; s++) w->q[4 * h + s] = k_bits(v, 2 * s, 3);
    }
    __m128i s = avx2_load16(p + AT(Q2_K, scales)), low = _mm_set1_epi8(15);
    w->scale = _mm256_cvtepu8_epi16(k_evens_first(_mm_and_si128(s, low)));
    w->order = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(s, 4), low));
}

AVX2_INLINE void q3_k_unpack(const uint8_t *p, k_row *w)
{
    __m256i mask = avx2_load(p + AT(Q3_K, hmask)), four = _mm256_set1_epi8(4);
    for (int j = 0; j < 8; j++) {
        __m256i v = avx2_load(p + AT(Q3_K, qs) + 32 * (j / 4));
        __m256i third = j < 2 ? _mm256_slli_epi16(mask, 2 - j) : _mm256_srli_epi16(mask, j - 2);
        w->q[j] = _mm256_or_si256(k_bits(v, j % 4 * 2, 3), _mm256_and_si256(third, four));
    }
    const uint8_t *s = p + AT(Q3_K, scales);
    uint64_t low = load_u64(s), high = load_u32(s + 8);
    uint64_t top = (high & 0x03030303) | (high << 30 & 0x0303030300000000); /* scales 0 to 7; 8 to 15 4 bits higher */
    uint64_t first = (low & 0x0f0f0f0f0f0f0f0f) | top << 4;
    top = (high >> 4 & 0x03030303) | (high << 26 & 0x0303030300000000);
    uint64_t second = (low >> 4 & 0x0f0f0f0f0f0f0f0f) | top << 4;
    __m128i all = _mm_sub_epi8(_mm_set_epi64x((long long)second, (long long)first), _mm_set1_epi8(32));
    w->scale = _mm256_cvtepi8_epi16(k_evens_first(all));
    w->order = _mm256_cvtepi8_epi16(all);
}

#define D_AT(type) \
    AVX2_INLINE __m256 type##_d(const uint8_t *const w[8], size_t at) { return avx2_halves(w, at + AT(type, d)); }
D_AT(Q2_K)
D_AT(Q3_K)
D_AT(Q6_K)

K_FORMAT(q4_k, 3, .unpack = q4_k_unpack, .scales = k_scale_at, .bytes = 144, .group = 32, .run = 8, .scaled = true,
         .minima = true, .min_at = 2)
K_FORMAT(q5_k, 3, .unpack = q5_k_unpack, .scales = k_scale_at, .bytes = 176, .group = 32, .run = 4, .scaled = true,
         .minima = true, .min_at = 2)
K_FORMAT(q6_k, 3, .unpack = q6_k_unpack, .scales = Q6_K_d, .bytes = 210, .group = 16, .run = 2, .scaled = true,
         .bias = true, .zero_bits = 5)
K_FORMAT(q2_k, 3, .unpack = q2_k_unpack, .scales = Q2_K_d, .bytes = 84, .group = 16, .run = 4, .scaled = true,
         .minima = true, .min_at = AT(Q2_K, dmin))
K_FORMAT(q3_k, 3, .unpack = q3_k_unpack, .scales = Q3_K_d, .bytes = 110, .group = 16, .run = 4, .scaled = true,
         .bias = true, .zero_bits = 2)

const simd_part simd_k_avx2 = {.t = {.tile = {
    [QUANT_Q2_K] = q2_k_tile, [QUANT_Q3_K] = q3_k_tile, [QUANT_Q4_K] = q4_k_tile, [QUANT_Q5_K] = q5_k_tile,
    [QUANT_Q6_K] = q6_k_tile,
}}};
