/* Looking up rows of the IQ grids, AVX-512 VBMI: 64 rows at a time, four of each of sixteen rows of weights.
 *
 * A dword holds four row numbers. Two tables give the halves of their rows, one byte each, by permutations of 128
 * bytes; a half holds four weights of two bits, or two of three. Vector p of the result has weight p of all four
 * rows, so that taking codes and signs apart is a selection of bits and one more permutation.
 * Kernels for few columns take the activations in this order; panels are put in the file's order. */
#ifndef SIMD_AVX512_GRID_H
#define SIMD_AVX512_GRID_H

#include "../quant/grids.h"
#include "avx512_bits.h"


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

INLINE void signs_table(__m512i *table)
{
    for (int i = 0; i < 2; i++) table[i] = even_signs_of(iota_bytes(64 * i));
}

/* Words of a grid to vectors of low bytes and of high ones: n / 64 of each. */
INLINE void grid_bytes(const uint16_t *words, int n, __m512i *low, __m512i *high)
{
    const __m512i even = _mm512_add_epi8(iota_bytes(0), iota_bytes(0));
    for (int i = 0; i < n / 64; i++) {
        __m512i a = _mm512_loadu_si512(words + 64 * i), b = _mm512_loadu_si512(words + 64 * i + 32);
        low[i] = _mm512_permutex2var_epi8(a, even, b);
        high[i] = _mm512_permutex2var_epi8(a, _mm512_or_si512(even, bytes_of(1)), b);
    }
}

/* Loads a vector here and once: the compiler would have it as an operand of several instructions, or load all tables
 * beforehand and spill them. */
INLINE __m512i kept(const void *p)
{
    __m512i v = _mm512_loadu_si512(p);
    __asm__ volatile("" : "+v"(v));
    return v;
}

/* Bytes of `tables` tables of 256 << levels each, for n (1 or 2) vectors of numbers: their low bytes are in `low`, bits from 8 on
 * are the low bits of `top`. A table takes more time to load than to look up in, so each part of it serves all n vectors:
 * a lane is replaced where its bits of `top` are those of the part, and bit 7 chooses between two results. */
INLINE void grid_rows(const __m512i *table, int tables, int levels, int n, const __m512i *low, const __m512i *top,
                      __m512i (*out)[2])
{
    __m512i v[2][2][2], bits[2];
    for (int i = 0; i < n; i++) {
        if (levels > 1) bits[i] = _mm512_and_si512(top[i], bytes_of((1 << levels) - 1));
        for (int t = 0; t < tables; t++) v[i][t][0] = v[i][t][1] = low[i];
    }
#pragma GCC unroll 8
    for (int part = 0; part < 1 << levels; part++) {
        __mmask64 here[2];
        for (int i = 0; i < n; i++)
            here[i] = levels == 0   ? ~(__mmask64)0
                      : levels > 1  ? _mm512_cmpeq_epi8_mask(bits[i], bytes_of(part))
                      : part        ? _mm512_test_epi8_mask(top[i], bytes_of(1))
                                    : _mm512_testn_epi8_mask(top[i], bytes_of(1));
        for (int t = 0; t < tables; t++)
            for (int half = 0; half < 2; half++) {
                const __m512i *from = table + (4 * t << levels) + 4 * part + 2 * half;
                __m512i a = kept(from), b = kept(from + 1);
                for (int i = 0; i < n; i++)
                    v[i][t][half] = levels ? _mm512_mask2_permutex2var_epi8(a, v[i][t][half], here[i], b)
                                           : _mm512_permutex2var_epi8(a, low[i], b);
            }
    }
    for (int i = 0; i < n; i++) {
        __mmask64 bit7 = _mm512_movepi8_mask(low[i]);
        for (int t = 0; t < tables; t++) out[i][t] = _mm512_mask_mov_epi8(v[i][t][0], bit7, v[i][t][1]);
    }
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
