/* AVX2 tiles of the IQ formats with blocks of 256 weights (layouts: quant/blocks.h, codes: quant/iq.c).
 *
 * Rows of a grid are fetched one by one, as they must; their levels are taken apart eight or four at a time. */
#include "../quant/blocks.h"
#include "../quant/grids.h"
#include "../quant/parts.h"
#include "avx2_k.h"

#define AT(type, field) __builtin_offsetof(struct quant_##type, field)

AVX2_INLINE __m256i bytes_of(long long lo0, long long lo1, long long hi0, long long hi1)
{
    return _mm256_set_epi64x(hi1, hi0, lo1, lo0);
}

/* 32 pairs of bits to levels: four 16-bit grid rows of eight. A level's code stays where it is in its nibble, so that
 * the table holds level v at v and at 4 v. */
AVX2_INLINE __m256i levels2(uint64_t rows, __m256i table)
{
    const __m256i at = bytes_of(0x0101010100000000, 0x0303030302020202, 0x0505050504040404, 0x0707070706060606);
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)rows), at);
    v = _mm256_and_si256(v, _mm256_set1_epi32((int)0xc0300c03));
    v = _mm256_or_si256(v, _mm256_srli_epi16(v, 4));
    return _mm256_shuffle_epi8(table, _mm256_and_si256(v, _mm256_set1_epi8(15)));
}

AVX2_INLINE __m256i table2(int a, int b, int c)
{
    char x = (char)a, y = (char)b, z = (char)c;
    return _mm256_broadcastsi128_si256(_mm_setr_epi8(x, y, z, 0, y, 0, 0, 0, z, 0, 0, 0, 0, 0, 0, 0));
}

/* 32 codes of 3 bits to levels: eight grid rows of four, 16 bits each. */
AVX2_INLINE __m256i levels3(uint64_t rows0, uint64_t rows4, __m256i table)
{
    const __m256i up = _mm256_set1_epi64x(0x0010008004002000); /* the code to the top of 16 bits */
    const __m256i at0 = bytes_of(0x0100010001000100, 0x0302030203020302, 0x0908090809080908, 0x0b0a0b0a0b0a0b0a);
    const __m256i at2 = bytes_of(0x0504050405040504, 0x0706070607060706, 0x0d0c0d0c0d0c0d0c, 0x0f0e0f0e0f0e0f0e);
    __m256i v = _mm256_broadcastsi128_si256(_mm_set_epi64x((long long)rows4, (long long)rows0));
    __m256i a = _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(v, at0), up), 13);
    __m256i b = _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(v, at2), up), 13);
    return _mm256_shuffle_epi8(table, _mm256_packus_epi16(a, b));
}

/* 32 signs, a bit each, of four bytes `step` bytes apart: minus where set. `zero` is added. */
AVX2_INLINE __m256i with_signs(__m256i levels, uint64_t signs, int step, int zero)
{
    const __m256i at1 = bytes_of(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i at2 = bytes_of(0, 0x0202020202020202, 0x0404040404040404, 0x0606060606060606);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)signs), step == 1 ? at1 : at2);
    __m256i minus = _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
    levels = _mm256_sub_epi8(_mm256_xor_si256(levels, minus), minus);
    return _mm256_add_epi8(levels, _mm256_set1_epi8((char)zero));
}

/* The eighth sign of every byte, so that their number is even. */
AVX2_INLINE uint64_t even_signs(uint64_t s)
{
    uint64_t p = s ^ s >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return s | (p & 0x0101010101010101) << 7;
}

/* Four times 7 bits to bytes. */
AVX2_INLINE uint64_t signs_of_7(uint32_t s)
{
    return even_signs((s & 0x7f) | (s << 1 & 0x7f00) | (s << 2 & 0x7f0000) | (s << 3 & 0x7f000000));
}

AVX2_INLINE uint64_t four(uint16_t a, uint16_t b, uint16_t c, uint16_t d)
{
    return a | (uint64_t)b << 16 | (uint64_t)c << 32 | (uint64_t)d << 48;
}

/* Odd sub-scales 2 s + 1 from bytes: eight for 32 weights each, or sixteen for 16. */
AVX2_INLINE void odd_scales8(uint64_t s, k_row *w)
{
    __m128i v = _mm_cvtepu8_epi16(_mm_set1_epi64x((long long)(s * 2 + 0x0101010101010101)));
    w->scale = w->order = _mm256_broadcastsi128_si256(v);
}
AVX2_INLINE void odd_scales16(const uint8_t *nibbles, k_row *w)
{
    __m128i v = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)nibbles));
    v = _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
    v = _mm_add_epi8(_mm_add_epi8(v, v), _mm_set1_epi8(1));
    w->scale = _mm256_cvtepu8_epi16(k_evens_first(v));
    w->order = _mm256_cvtepu8_epi16(v);
}

AVX2_INLINE void iq2_xxs_unpack(const uint8_t *p, k_row *w)
{
    const __m256i table = table2(8, 25, 43);
    uint64_t scales = 0;
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const uint8_t *r = p + AT(IQ2_XXS, qs) + 8 * g;
        uint32_t ss = load_u32(r + 4);
        uint64_t rows = four(quant_grid_iq2_xxs[r[0]], quant_grid_iq2_xxs[r[1]], quant_grid_iq2_xxs[r[2]],
                             quant_grid_iq2_xxs[r[3]]);
        w->q[g] = with_signs(levels2(rows, table), signs_of_7(ss), 1, 64);
        scales |= (uint64_t)(ss >> 28) << 8 * g;
    }
    odd_scales8(scales, w);
}

AVX2_INLINE void iq2_xs_unpack(const uint8_t *p, k_row *w)
{
    const __m256i table = table2(8, 25, 43);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        uint64_t v = load_u64(p + AT(IQ2_XS, qs) + 8 * g);
        uint64_t rows = four(quant_grid_iq2_xs[v & 511], quant_grid_iq2_xs[v >> 16 & 511],
                             quant_grid_iq2_xs[v >> 32 & 511], quant_grid_iq2_xs[v >> 48 & 511]);
        w->q[g] = with_signs(levels2(rows, table), even_signs(v >> 9 & 0x007f007f007f007f), 2, 64);
    }
    odd_scales16(p + AT(IQ2_XS, scales), w);
}

AVX2_INLINE void iq2_s_unpack(const uint8_t *p, k_row *w)
{
    const __m256i table = table2(8, 25, 43);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const uint8_t *r = p + AT(IQ2_S, qs) + 4 * g;
        unsigned h = (p + AT(IQ2_S, qh))[g];
        uint64_t rows = four(quant_grid_iq2_s[r[0] | (h << 8 & 0x300)], quant_grid_iq2_s[r[1] | (h << 6 & 0x300)],
                             quant_grid_iq2_s[r[2] | (h << 4 & 0x300)], quant_grid_iq2_s[r[3] | (h << 2 & 0x300)]);
        w->q[g] = with_signs(levels2(rows, table), load_u32(p + AT(IQ2_S, signs) + 4 * g), 1, 64);
    }
    odd_scales16(p + AT(IQ2_S, scales), w);
}

AVX2_INLINE void iq3_xxs_unpack(const uint8_t *p, k_row *w)
{
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(4, 12, 20, 28, 36, 44, 52, 62, 0, 0, 0, 0, 0, 0, 0, 0));
    const uint16_t *grid = quant_grid_iq3_xxs;
    uint64_t scales = 0;
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const uint8_t *r = p + AT(IQ3_XXS, qs) + 8 * g;
        uint32_t ss = load_u32(p + AT(IQ3_XXS, ss) + 4 * g);
        uint64_t rows0 = four(grid[r[0]], grid[r[1]], grid[r[2]], grid[r[3]]);
        uint64_t rows4 = four(grid[r[4]], grid[r[5]], grid[r[6]], grid[r[7]]);
        w->q[g] = with_signs(levels3(rows0, rows4, table), signs_of_7(ss), 1, 64);
        scales |= (uint64_t)(ss >> 28) << 8 * g;
    }
    odd_scales8(scales, w);
}

AVX2_INLINE void iq3_s_unpack(const uint8_t *p, k_row *w)
{
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 0, 0, 0, 0, 0, 0, 0, 0));
    const uint16_t *grid = quant_grid_iq3_s;
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const uint8_t *r = p + AT(IQ3_S, qs) + 8 * g;
        unsigned h = (p + AT(IQ3_S, qh))[g];
        uint64_t rows0 = four(grid[r[0] | (h << 8 & 256)], grid[r[1] | (h << 7 & 256)], grid[r[2] | (h << 6 & 256)],
                              grid[r[3] | (h << 5 & 256)]);
        uint64_t rows4 = four(grid[r[4] | (h << 4 & 256)], grid[r[5] | (h << 3 & 256)], grid[r[6] | (h << 2 & 256)],
                              grid[r[7] | (h << 1 & 256)]);
        w->q[g] = with_signs(levels3(rows0, rows4, table), load_u32(p + AT(IQ3_S, signs) + 4 * g), 1, 16);
    }
    uint64_t s = load_u32(p + AT(IQ3_S, scales)); /* nibbles to bytes */
    s = (s | s << 16) & 0x0000ffff0000ffff;
    s = (s | s << 8) & 0x00ff00ff00ff00ff;
    odd_scales8((s | s << 4) & 0x0f0f0f0f0f0f0f0f, w);
}

/* Codes 8 t + 16, t = -1, 0, 1; the shift of 1 up or down comes on top. */
AVX2_INLINE __m256i iq1_levels(const uint8_t *r, unsigned h0, unsigned h1, unsigned h2, unsigned h3)
{
    uint64_t rows = four(quant_grid_iq1[r[0] | (h0 & 7) << 8], quant_grid_iq1[r[1] | (h1 & 7) << 8],
                         quant_grid_iq1[r[2] | (h2 & 7) << 8], quant_grid_iq1[r[3] | (h3 & 7) << 8]);
    return levels2(rows, table2(8, 16, 24));
}

AVX2_INLINE void iq1_s_unpack(const uint8_t *p, k_row *w)
{
    uint64_t scales = 0;
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        unsigned h = load_u16(p + AT(IQ1_S, qh) + 2 * g);
        __m256i q = iq1_levels(p + AT(IQ1_S, qs) + 4 * g, h, h >> 3, h >> 6, h >> 9);
        w->q[g] = _mm256_add_epi8(q, _mm256_set1_epi8((char)(h >> 15 ? -1 : 1)));
        scales |= (uint64_t)(h >> 12 & 7) << 8 * g;
    }
    odd_scales8(scales, w);
}

/* Sixteen sub-scales of 3 bits: number g in word g / 4, where `at` and `up` put it. */
AVX2_INLINE __m256i iq1_m_scales(uint64_t words, __m256i at, __m256i up)
{
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)words), at);
    v = _mm256_srli_epi16(_mm256_mullo_epi16(v, up), 13);
    return _mm256_add_epi16(_mm256_add_epi16(v, v), _mm256_set1_epi16(1));
}

AVX2_INLINE void iq1_m_unpack(const uint8_t *p, k_row *w)
{
    const __m256i down = bytes_of(0x0808080808080808, (long long)0x8080808080808080, 0x0808080808080808,
                                  (long long)0x8080808080808080);
    const __m256i half = bytes_of(0, 0, 0x0101010101010101, 0x0101010101010101);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        unsigned h = load_u16(p + AT(IQ1_M, qh) + 2 * g);
        __m256i q = iq1_levels(p + AT(IQ1_M, qs) + 4 * g, h, h >> 4, h >> 8, h >> 12);
        __m256i v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi16((short)h), half), down);
        __m256i minus = _mm256_cmpeq_epi8(v, down);
        w->q[g] = _mm256_add_epi8(q, _mm256_or_si256(minus, _mm256_set1_epi8(1)));
    }
    uint64_t words = load_u64(p + AT(IQ1_M, scales));
    w->order = iq1_m_scales(words, bytes_of(0x0100010001000100, 0x0302030203020302, 0x0504050405040504,
                                            0x0706070607060706), _mm256_set1_epi64x(0x0010008004002000));
    const __m256i split = bytes_of(0x0302030201000100, 0x0706070605040504, 0x0302030201000100, 0x0706070605040504);
    w->scale = iq1_m_scales(words, split, bytes_of(0x0080200000802000, 0x0080200000802000, 0x0010040000100400,
                                                   0x0010040000100400));
}

AVX2_INLINE void iq4_xs_unpack(const uint8_t *p, k_row *w)
{
    const __m256i values = _mm256_broadcastsi128_si256(avx2_load16(quant_iq4_values));
    const __m256i high = bytes_of(0, 0, 4, 4), low = _mm256_set1_epi8(15);
    for (int g = 0; g < 8; g++) {
        __m256i v = _mm256_srlv_epi64(avx2_both16(p + AT(IQ4_XS, qs) + 16 * g), high);
        w->q[g] = _mm256_shuffle_epi8(values, _mm256_and_si256(v, low));
    }
    __m128i nibbles = _mm_set_epi64x((long long)(load_u16(p + AT(IQ4_XS, scales_l) + 2) * 0x0001000100010001u),
                                     (long long)(load_u16(p + AT(IQ4_XS, scales_l)) * 0x0001000100010001u));
    __m128i pairs = _mm_set1_epi16((short)load_u16(p + AT(IQ4_XS, scales_h)));
    nibbles = _mm_srli_epi16(_mm_mullo_epi16(nibbles, _mm_set1_epi64x(0x0001001001001000)), 12);
    pairs = _mm_mullo_epi16(pairs, _mm_setr_epi16(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1));
    pairs = _mm_slli_epi16(_mm_srli_epi16(pairs, 14), 4);
    __m128i s = _mm_sub_epi16(_mm_or_si128(nibbles, pairs), _mm_set1_epi16(32));
    w->scale = w->order = _mm256_broadcastsi128_si256(s);
}

AVX2_INLINE __m256 eighth(const uint8_t *const w[8], size_t at)
{
    return _mm256_mul_ps(avx2_halves(w, at), _mm256_set1_ps(0.125f));
}
AVX2_INLINE __m256 quarter(const uint8_t *const w[8], size_t at)
{
    return _mm256_mul_ps(avx2_halves(w, at), _mm256_set1_ps(0.25f));
}

/* The top nibbles of four words. */
AVX2_INLINE uint16_t iq1_m_half(const uint8_t *p)
{
    uint64_t s = load_u64(p + AT(IQ1_M, scales)) >> 12 & 0x000f000f000f000f;
    return (uint16_t)(s | s >> 12 | s >> 24 | s >> 36);
}
AVX2_INLINE __m256 iq1_m_d(const uint8_t *const w[8], size_t at)
{
    uint16_t h[8];
    for (int i = 0; i < 8; i++) h[i] = iq1_m_half(w[i] + at);
    return _mm256_mul_ps(_mm256_cvtph_ps(avx2_load16(h)), _mm256_set1_ps(0.125f));
}

#define IQ_BIASED(name, size, per, adds, log2_zero, d) \
    K_FORMAT(name, 1, .unpack = name##_unpack, .scales = d, .bytes = size, .group = per, .run = adds, \
             .scaled = true, .bias = true, .zero_bits = log2_zero)
IQ_BIASED(iq2_xxs, 66, 32, 1, 6, eighth)
IQ_BIASED(iq2_xs, 74, 16, 1, 6, eighth)
IQ_BIASED(iq2_s, 82, 16, 1, 6, eighth)
IQ_BIASED(iq3_xxs, 98, 32, 1, 6, quarter)
IQ_BIASED(iq3_s, 110, 32, 4, 4, k_scale_at)
IQ_BIASED(iq1_s, 50, 32, 4, 4, eighth)
IQ_BIASED(iq1_m, 56, 16, 4, 4, iq1_m_d)
K_FORMAT(iq4_xs, 3, .unpack = iq4_xs_unpack, .scales = k_scale_at, .bytes = 136, .group = 32, .run = 1, .sign = true,
         .scaled = true)

const simd_part simd_iq_avx2 = {.t = {.tile = {
    [QUANT_IQ2_XXS] = iq2_xxs_tile, [QUANT_IQ2_XS] = iq2_xs_tile, [QUANT_IQ2_S] = iq2_s_tile,
    [QUANT_IQ3_XXS] = iq3_xxs_tile, [QUANT_IQ3_S] = iq3_s_tile, [QUANT_IQ1_S] = iq1_s_tile,
    [QUANT_IQ1_M] = iq1_m_tile, [QUANT_IQ4_XS] = iq4_xs_tile,
}}};
