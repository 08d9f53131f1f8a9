/* Looking up rows of the IQ grids, AVX-512 VBMI: 64 rows at a time, four of each of sixteen rows of weights.
 *
 * A dword holds four row numbers. Two tables give the halves of their rows, one byte each, by permutations of 128
 * bytes; a half holds four weights of two bits, or two of three. Vector p of the result has weight p of all four
 * rows, so that taking codes and signs apart is a selection of bits and one more permutation, without shifts or
 * masks a weight. Kernels for few columns take the activations in this order; panels are put in the file's order. */
#ifndef SIMD_AVX512_GRID_H
#define SIMD_AVX512_GRID_H

#include "../quant/grids.h"
#include "avx512_bits.h"

/* The tables of a grid of n rows: n / 64 vectors of low halves, as many of high ones (from bit `high` on), and
 * two of even_signs. */
enum { GRID_MOST = 2048, GRID_VECTORS = 2 * GRID_MOST / 64 + 2 };

/* Seven signs and the eighth that makes their number even, in each byte. */
INLINE __m512i even_signs_of(__m512i s7)
{
    const __m128i odd = _mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0);
    const __m512i low4 = bytes_of(15);
    __m512i a = look_up(odd, _mm512_and_si512(s7, low4));
    __m512i b = look_up(odd, _mm512_and_si512(_mm512_srli_epi32(s7, 4), low4));
    return _mm512_ternarylogic_epi32(s7, a, b, 0xf6); /* s7 | (a ^ b) */
}

INLINE __m512i iota_bytes(int from)
{
    _Alignas(64) uint8_t v[64];
    for (int i = 0; i < 64; i++) v[i] = (uint8_t)(from + i);
    return _mm512_load_si512(v);
}

INLINE void grid_table(const uint16_t *grid, int n, int high, __m512i *table)
{
    const __m512i even = _mm512_add_epi8(iota_bytes(0), iota_bytes(0));
    for (int i = 0; i < n / 64; i++) {
        __m512i a = _mm512_loadu_si512(grid + 64 * i), b = _mm512_loadu_si512(grid + 64 * i + 32);
        table[i] = _mm512_permutex2var_epi8(a, even, b);
        a = _mm512_srl_epi16(a, _mm_cvtsi32_si128(high));
        b = _mm512_srl_epi16(b, _mm_cvtsi32_si128(high));
        table[n / 64 + i] = _mm512_permutex2var_epi8(a, even, b);
    }
    for (int i = 0; i < 2; i++) table[n / 32 + i] = even_signs_of(iota_bytes(64 * i));
}

/* Bytes of a table of 128 << levels: the low bits of their numbers are in `low`, bit 8 + i decides high[i]. */
INLINE __m512i grid_bytes(const __m512i *table, int levels, __m512i low, const __mmask64 *high)
{
    __m512i v[16];
    int n = 1 << levels;
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) v[i] = _mm512_permutex2var_epi8(table[2 * i], low, table[2 * i + 1]);
    if (!levels) return v[0];
    __mmask64 bit7 = _mm512_movepi8_mask(low);
#pragma GCC unroll 4
    for (int l = 0; l < levels; l++) {
        __mmask64 m = l ? high[l - 1] : bit7;
#pragma GCC unroll 8
        for (int i = 0; i < n >> (l + 1); i++) v[i] = _mm512_mask_mov_epi8(v[2 * i], m, v[2 * i + 1]);
    }
    return v[0];
}

/* The values named by some bits of `fields` (those of `mask`) and by a sign somewhere else among the low six. */
INLINE __m512i grid_codes(__m512i fields, int mask, __m512i signs, const uint8_t *values)
{
    __m512i index = _mm512_ternarylogic_epi32(bytes_of(mask), fields, signs, 0xca); /* mask ? fields : signs */
    return _mm512_permutexvar_epi8(index, _mm512_load_si512(values));
}

/* Tables of 64 values: f(level, negative) of the level at bits c and the sign at bit s of its number. */
#define GRID4(f, bits, c, s, i) GRID1(f, bits, c, s, i), GRID1(f, bits, c, s, (i) + 1), GRID1(f, bits, c, s, (i) + 2), \
                                GRID1(f, bits, c, s, (i) + 3)
#define GRID1(f, bits, c, s, i) (uint8_t)f(((i) >> (c) & ((1 << (bits)) - 1)), ((i) >> (s) & 1))
#define GRID16(f, bits, c, s, i) GRID4(f, bits, c, s, i), GRID4(f, bits, c, s, (i) + 4), GRID4(f, bits, c, s, (i) + 8), \
                                 GRID4(f, bits, c, s, (i) + 12)
#define GRID_VALUES(f, bits, c, s) {GRID16(f, bits, c, s, 0), GRID16(f, bits, c, s, 16), GRID16(f, bits, c, s, 32), \
                                    GRID16(f, bits, c, s, 48)}

/* out[i], byte p of every dword = v[p], byte i */
INLINE void bytes_transpose(const __m512i *v, __m512i *out)
{
    const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 64, 1, 65, 4, 68, 5, 69, 8, 72, 9, 73, 12, 76, 13, 77));
    const __m512i quarter = _mm512_and_si512(iota_bytes(0), bytes_of(48));
    const __m512i lo = _mm512_add_epi8(low, quarter), hi = _mm512_add_epi8(lo, bytes_of(2));
    __m512i a = _mm512_permutex2var_epi8(v[0], lo, v[1]), b = _mm512_permutex2var_epi8(v[0], hi, v[1]);
    __m512i c = _mm512_permutex2var_epi8(v[2], lo, v[3]), d = _mm512_permutex2var_epi8(v[2], hi, v[3]);
    const __mmask32 odd = 0xaaaaaaaa;
    out[0] = _mm512_mask_mov_epi16(a, odd, _mm512_slli_epi32(c, 16));
    out[1] = _mm512_mask_mov_epi16(_mm512_srli_epi32(a, 16), odd, c);
    out[2] = _mm512_mask_mov_epi16(b, odd, _mm512_slli_epi32(d, 16));
    out[3] = _mm512_mask_mov_epi16(_mm512_srli_epi32(b, 16), odd, d);
}

/* Four weights of each of four rows as vectors by weight, or eight, to the order of the file. */
INLINE void grid_in_order(int order, const __m512i *v, __m512i *out)
{
    if (order == 4) {
        for (int i = 0; i < 16; i += 4) bytes_transpose(v + i, out + i);
        return;
    }
    for (int i = 0; i < 16; i += 4) {
        __m512i t[4];
        bytes_transpose(v + i, t);
        for (int k = 0; k < 4; k++) out[i / 8 * 8 + 2 * k + i / 4 % 2] = t[k];
    }
}

/* n activations (a multiple of 64) in the order of the vectors. */
INLINE void grid_permute(int order, const uint8_t *from, uint8_t *to, size_t n)
{
    _Alignas(64) uint8_t at[64];
    for (int i = 0; i < 64; i++) /* 4 p + i comes from order * i + p */
        at[i] = (uint8_t)(i / (4 * order) * (4 * order) + i % 4 * order + i % (4 * order) / 4);
    __m512i index = _mm512_load_si512(at);
    for (size_t i = 0; i < n; i += 64)
        _mm512_store_si512(to + i, _mm512_permutexvar_epi8(index, _mm512_load_si512(from + i)));
}

#endif
