/* Tiles of the IQ formats with blocks of 256, AVX-512 VNNI and VBMI: what each format's block holds
 * (quant/blocks.h has the layouts, quant/grids.h the grids).
 *
 * Rows of a grid are looked up for sixteen rows of weights at once, two numbers a dword, in tables held in
 * registers and L1: a tree of two-register permutations. */
#include "../quant/grids.h"
#include "avx512_bits.h"
#include "avx512_block256.h"
#include "parts.h"

/* grid[index] for 32 words; the grid has 64 << levels rows. */
INLINE __m512i grid_words(const uint16_t *grid, int levels, __m512i index)
{
    __m512i v[32];
    int n = 1 << levels;
#pragma GCC unroll 32
    for (int i = 0; i < n; i++) {
        __m512i a = _mm512_loadu_si512(grid + 64 * i), b = _mm512_loadu_si512(grid + 64 * i + 32);
        v[i] = _mm512_permutex2var_epi16(a, index, b);
    }
#pragma GCC unroll 5
    for (int l = 0; l < levels; l++) {
        __mmask32 high = _mm512_test_epi16_mask(index, _mm512_set1_epi16((short)(64 << l)));
#pragma GCC unroll 16
        for (int i = 0; i < n >> (l + 1); i++) v[i] = _mm512_mask_mov_epi16(v[2 * i], high, v[2 * i + 1]);
    }
    return v[0];
}

/* Seven signs and the eighth that makes their number even, in each byte. */
INLINE __m512i even_signs(__m512i s7)
{
    const __m128i odd = _mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0);
    const __m512i low4 = bytes_of(15);
    __m512i a = look_up(odd, _mm512_and_si512(s7, low4));
    __m512i b = look_up(odd, _mm512_and_si512(_mm512_srli_epi32(s7, 4), low4));
    return _mm512_ternarylogic_epi32(s7, a, b, 0xf6); /* s7 | (a ^ b) */
}

/* q = 2 * zero - q where bit 7 of the byte of `signs` is set */
INLINE __m512i negate_codes(__m512i q, __m512i signs, int zero)
{
    return _mm512_mask_sub_epi8(q, _mm512_movepi8_mask(signs), bytes_of(2 * zero), q);
}

/* ---- two bits of a grid row a weight, eight weights a row ---- */

/* Codes of 16 weights from two grid rows a dword. */
INLINE void codes_2(__m512i rows, __m128i levels, __m512i *q)
{
    for (int j = 0; j < 4; j++) q[j] = look_up(levels, _mm512_and_si512(pick_bits(rows, 8 * j, 2), bytes_of(3)));
}

INLINE __m128i iq2_levels(void) { return _mm_setr_epi8(72, 89, 107, 107, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); }

/* Their signs: bits s0 .. s0 + 7 and s1 .. s1 + 7 of each dword. */
INLINE void signs_2(__m512i signs, int s0, int s1, __m512i *q)
{
    for (int j = 0; j < 4; j++)
        q[j] = negate_codes(q[j], pick_bits(signs, (j < 2 ? s0 : s1) + 4 * (j % 2) + 57, 1), 64);
}

/* 2 s + 1 of sixteen nibbles, group by group. */
INLINE void nibble_scales(__m512i v0, __m512i v1, head256 *h)
{
    const __m512i low4 = bytes_of(15), one = bytes_of(1);
    for (int i = 0; i < 4; i++) {
        /* two bytes are four nibbles: to four bytes */
        __m512i two = pick_bits(i < 2 ? v0 : v1, 16 * (i % 2), 4);
        __m512i s = _mm512_and_si512(two, low4);
        s = _mm512_or_si512(_mm512_add_epi8(s, s), one);
        widen_unsigned(s, h->scale + 4 * i);
    }
}

/* The same for the eight of one dword. */
INLINE void nibble_scales_8(__m512i v, head256 *h)
{
    const __m512i low4 = bytes_of(15), one = bytes_of(1);
    for (int i = 0; i < 2; i++) {
        __m512i s = _mm512_and_si512(pick_bits(v, 16 * i, 4), low4);
        s = _mm512_or_si512(_mm512_add_epi8(s, s), one);
        widen_unsigned(s, h->scale + 4 * i);
    }
}

INLINE __m512 scaled_f16(const rows16 *r, size_t off, float by)
{
    return _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, off)), _mm512_set1_ps(by));
}

/* extra[2 g], extra[2 g + 1]: rows and signs with scale of group g */
INLINE void head_iq2_xxs(const rows16 *r, head256 *h)
{
    for (int i = 0; i < 4; i++) rows_piece(r, 2 + 16 * (size_t)i, h->extra + 4 * i);
    for (int g = 0; g < 8; g++) {
        __m512i s = _mm512_srli_epi32(h->extra[2 * g + 1], 28);
        h->scale[g] = _mm512_add_epi32(_mm512_add_epi32(s, s), dwords_of(1));
    }
    h->d = scaled_f16(r, 0, 0.125f);
}

/* Four times seven bits to four bytes of signs. */
INLINE __m512i signs_28(__m512i v) { return even_signs(_mm512_and_si512(pick_bits(v, 0, 7), bytes_of(127))); }

INLINE void chunk_iq2_xxs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i index[2], signs = signs_28(h->extra[4 * j + 2 * g + 1]);
        pairs_unsigned(h->extra[4 * j + 2 * g], index);
        for (int i = 0; i < 2; i++) {
            __m512i *to = q + 8 * g + 4 * i;
            codes_2(grid_words(quant_grid_iq2_xxs, 2, index[i]), iq2_levels(), to);
            signs_2(signs, 16 * i, 16 * i + 8, to);
        }
    }
}

INLINE void head_iq2_xs(const rows16 *r, head256 *h)
{
    __m512i v[4];
    rows_piece(r, 58, v);
    nibble_scales(v[2], v[3], h);
    h->d = scaled_f16(r, 0, 0.125f);
}

INLINE void chunk_iq2_xs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    __m512i v[4];
    (void)h;
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int i = 0; i < 4; i++) {
        __m512i index = _mm512_and_si512(v[i], _mm512_set1_epi16(511));
        codes_2(grid_words(quant_grid_iq2_xs, 3, index), iq2_levels(), q + 4 * i);
        signs_2(even_signs(_mm512_srli_epi16(v[i], 9)), 0, 16, q + 4 * i);
    }
}

/* extra: rows' low bits (8 dwords), signs (8), rows' high bits (2) */
INLINE void head_iq2_s(const rows16 *r, head256 *h)
{
    __m512i v[4];
    for (int i = 0; i < 4; i++) rows_piece(r, 2 + 16 * (size_t)i, h->extra + 4 * i);
    rows_piece(r, 66, v);
    h->extra[16] = v[0];
    h->extra[17] = v[1];
    nibble_scales(v[2], v[3], h);
    h->d = scaled_f16(r, 0, 0.125f);
}

/* Two fields of `bits` bits, at 0 and at `bits`, to bit 8 of the two words. */
INLINE __m512i high_bits(__m512i v, int bits)
{
    int mask = ((1 << bits) - 1) << 8;
    return merge(_mm512_slli_epi32(v, 8), dwords_of(mask),
                 _mm512_and_si512(_mm512_slli_epi32(v, 24 - (unsigned)bits), dwords_of(mask << 16)));
}

INLINE void chunk_iq2_s(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i index[2], signs = h->extra[8 + 2 * j + g];
        __m512i high = _mm512_srlv_epi32(h->extra[16 + j / 2], dwords_of(16 * (j % 2) + 8 * g));
        pairs_unsigned(h->extra[2 * j + g], index);
        for (int i = 0; i < 2; i++) {
            __m512i *to = q + 8 * g + 4 * i;
            index[i] = _mm512_or_si512(index[i], high_bits(_mm512_srli_epi32(high, 4 * (unsigned)i), 2));
            codes_2(grid_words(quant_grid_iq2_s, 4, index[i]), iq2_levels(), to);
            signs_2(signs, 16 * i, 16 * i + 8, to);
        }
    }
}

/* ---- three bits of a grid row a weight, four weights a row ---- */

/* Codes of 8 weights from two grid rows a dword; their signs are eight bits of another. */
INLINE void codes_3(__m512i rows, __m128i levels, __m512i signs, int s, int zero, __m512i *q)
{
    for (int j = 0; j < 2; j++) {
        q[j] = look_up(levels, _mm512_and_si512(pick_bits(rows, 16 * j, 3), bytes_of(7)));
        q[j] = negate_codes(q[j], pick_bits(signs, s + 4 * j + 57, 1), zero);
    }
}

/* extra: signs and scale of group g */
INLINE void head_iq3_xxs(const rows16 *r, head256 *h)
{
    rows_piece(r, 66, h->extra);
    rows_piece(r, 82, h->extra + 4);
    for (int g = 0; g < 8; g++) {
        __m512i s = _mm512_srli_epi32(h->extra[g], 28);
        h->scale[g] = _mm512_add_epi32(_mm512_add_epi32(s, s), dwords_of(1));
    }
    h->d = scaled_f16(r, 0, 0.25f);
}

INLINE void chunk_iq3_xxs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    const __m128i levels = _mm_setr_epi8(68, 76, 84, 92, 100, 108, 116, 126, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i v[4];
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int i = 0; i < 4; i++) {
        __m512i index[2], signs = signs_28(h->extra[2 * j + i / 2]);
        pairs_unsigned(v[i], index);
        for (int k = 0; k < 2; k++) {
            __m512i rows = grid_words(quant_grid_iq3_xxs, 2, index[k]);
            codes_3(rows, levels, signs, 16 * (i % 2) + 8 * k, 64, q + 4 * i + 2 * k);
        }
    }
}

/* extra: signs (8 dwords), rows' high bits (2) */
INLINE void head_iq3_s(const rows16 *r, head256 *h)
{
    __m512i v[4];
    rows_piece(r, 66, v);
    h->extra[8] = v[0];
    h->extra[9] = v[1];
    h->extra[0] = v[2];
    h->extra[1] = v[3];
    rows_piece(r, 82, h->extra + 2);
    rows_piece(r, 94, v);
    h->extra[6] = v[1];
    h->extra[7] = v[2];
    nibble_scales_8(v[3], h);
    h->d = scaled_f16(r, 0, 1);
}

INLINE void chunk_iq3_s(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    const __m128i levels = _mm_setr_epi8(17, 19, 21, 23, 25, 27, 29, 31, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i v[4], high = _mm512_srlv_epi32(h->extra[8 + j / 2], dwords_of(16 * (j % 2)));
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int i = 0; i < 4; i++) {
        __m512i index[2], signs = h->extra[2 * j + i / 2];
        pairs_unsigned(v[i], index);
        for (int k = 0; k < 2; k++) {
            __m512i top = high_bits(_mm512_srli_epi32(high, 4 * (unsigned)i + 2 * (unsigned)k), 1);
            __m512i rows = grid_words(quant_grid_iq3_s, 3, _mm512_or_si512(index[k], top));
            codes_3(rows, levels, signs, 16 * (i % 2) + 8 * k, 16, q + 4 * i + 2 * k);
        }
    }
}

/* ---- ternary grids with a shift ---- */

INLINE __m128i iq1_levels(void) { return _mm_setr_epi8(9, 17, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); }

/* Sixteen weights; bit 15 of each word of `down` lowers eight codes by two. */
INLINE void codes_1(__m512i index, __m512i down, __m512i *q)
{
    const __m512i two = bytes_of(2);
    codes_2(grid_words(quant_grid_iq1, 5, index), iq1_levels(), q);
    for (int j = 0; j < 4; j++) { /* that bit to all four bytes of the row */
        __m512i bit = pick_bits(down, j < 2 ? 14 : 30, 0);
        q[j] = _mm512_sub_epi8(q[j], _mm512_and_si512(bit, two));
    }
}

/* extra: rows' low bits (8 dwords), qh (4 dwords of two groups) */
INLINE void head_iq1_s(const rows16 *r, head256 *h)
{
    rows_piece(r, 2, h->extra);
    rows_piece(r, 18, h->extra + 4);
    rows_piece(r, 34, h->extra + 8);
    for (int g = 0; g < 8; g++) {
        __m512i s = _mm512_srli_epi32(h->extra[8 + g / 2], g % 2 ? 28 : 12);
        s = _mm512_and_si512(s, dwords_of(7));
        h->scale[g] = _mm512_add_epi32(_mm512_add_epi32(s, s), dwords_of(1));
    }
    h->d = scaled_f16(r, 0, 0.125f);
}

INLINE void chunk_iq1_s(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i index[2], qh = _mm512_srli_epi32(h->extra[8 + j], 16 * (unsigned)g);
        __m512i down = merge(qh, dwords_of(0x8000), _mm512_slli_epi32(qh, 16));
        pairs_unsigned(h->extra[2 * j + g], index);
        for (int i = 0; i < 2; i++) {
            index[i] = _mm512_or_si512(index[i], high_bits(_mm512_srli_epi32(qh, 6 * (unsigned)i), 3));
            codes_1(index[i], down, q + 8 * g + 4 * i);
        }
    }
}

/* extra: rows' low bits (8 dwords), qh (4 dwords of eight nibbles) */
INLINE void head_iq1_m(const rows16 *r, head256 *h)
{
    __m512i v[4], d = _mm512_setzero_si512();
    rows_piece(r, 0, h->extra);
    rows_piece(r, 16, h->extra + 4);
    rows_piece(r, 32, h->extra + 8);
    rows_piece(r, 40, v); /* the scales are the last 8 of these bytes */
    for (int i = 0; i < 4; i++) {
        __m512i w = _mm512_srli_epi32(v[2 + i / 2], i % 2 ? 16 : 0);
        __m512i s = _mm512_and_si512(pick_bits(w, 0, 3), bytes_of(7));
        s = _mm512_or_si512(_mm512_add_epi8(s, s), bytes_of(1));
        widen_unsigned(s, h->scale + 4 * i);
        __m512i top = _mm512_and_si512(_mm512_srli_epi32(w, 12), dwords_of(15));
        d = _mm512_or_si512(d, _mm512_slli_epi32(top, 4 * (unsigned)i));
    }
    h->d = _mm512_mul_ps(low_f16(d), _mm512_set1_ps(0.125f));
}

INLINE void chunk_iq1_m(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i index[2], qh = _mm512_srli_epi32(h->extra[8 + j], 16 * (unsigned)g);
        pairs_unsigned(h->extra[2 * j + g], index);
        for (int i = 0; i < 2; i++) { /* two nibbles, to the two words */
            __m512i n = _mm512_srli_epi32(qh, 8 * (unsigned)i);
            n = merge(n, dwords_of(15), _mm512_and_si512(_mm512_slli_epi32(n, 12), dwords_of(15 << 16)));
            __m512i high = _mm512_slli_epi32(_mm512_and_si512(n, dwords_of(0x00070007)), 8);
            codes_1(_mm512_or_si512(index[i], high), _mm512_slli_epi32(n, 12), q + 8 * g + 4 * i);
        }
    }
}

/* ---- sixteen levels ---- */

INLINE void head_iq4_xs(const rows16 *r, head256 *h)
{
    const __m512i low4 = bytes_of(15), top2 = bytes_of(48);
    __m512i v[4];
    rows_piece(r, 0, v);
    for (int i = 0; i < 2; i++) {
        __m512i low = _mm512_and_si512(pick_bits(v[1], 16 * i, 4), low4);
        __m512i s = merge(pick_bits(v[0], 16 + 8 * i + 60, 2), top2, low); /* two bits of scales_h to bits 4, 5 */
        s = _mm512_sub_epi8(s, bytes_of(32));
        widen_signed(s, h->scale + 4 * i);
    }
    h->d = low_f16(v[0]);
}

INLINE void chunk_iq4_xs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)h;
    for (int g = 0; g < 2; g++) {
        __m512i v[4];
        rows_piece(r, 8 + 32 * (size_t)j + 16 * (size_t)g, v);
        for (int i = 0; i < 4; i++) {
            q[8 * g + i] = look_up(iq4_codes(), _mm512_and_si512(v[i], bytes_of(15)));
            q[8 * g + 4 + i] = look_up(iq4_codes(), _mm512_and_si512(_mm512_srli_epi32(v[i], 4), bytes_of(15)));
        }
    }
}

BLOCK256_PANEL(panel_16, 16, false)
BLOCK256_PANEL(panel_32, 32, false)

#define TILE(name, bytes, panel, ...)                                                                              \
    static void tile_##name(const simd_tile *t)                                                                    \
    {                                                                                                              \
        block256_tile(t, &(const format256){head_##name, chunk_##name, quad_in_order, bytes, panel, __VA_ARGS__}); \
    }
TILE(iq1_s, 50, panel_32, .group = 32, .zero = 16)
TILE(iq1_m, 56, panel_16, .group = 16, .zero = 16)
TILE(iq2_xxs, 66, panel_32, .group = 32, .zero = 64)
TILE(iq2_xs, 74, panel_16, .group = 16, .zero = 64)
TILE(iq2_s, 82, panel_16, .group = 16, .zero = 64)
TILE(iq3_xxs, 98, panel_32, .group = 32, .zero = 64)
TILE(iq3_s, 110, panel_32, .group = 32, .zero = 16)
TILE(iq4_xs, 136, panel_32, .group = 32, .zero = 128)

const simd_part simd_tile_iq_avx512 = {.t = {.tile = {
    [QUANT_IQ1_S] = tile_iq1_s,
    [QUANT_IQ1_M] = tile_iq1_m,
    [QUANT_IQ2_XXS] = tile_iq2_xxs,
    [QUANT_IQ2_XS] = tile_iq2_xs,
    [QUANT_IQ2_S] = tile_iq2_s,
    [QUANT_IQ3_XXS] = tile_iq3_xxs,
    [QUANT_IQ3_S] = tile_iq3_s,
    [QUANT_IQ4_XS] = tile_iq4_xs,
}}};
