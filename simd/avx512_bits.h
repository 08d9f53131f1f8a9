/* Taking codes and scales apart, sixteen rows a vector (a dword a row), for the AVX-512 tiles. */
#ifndef SIMD_AVX512_BITS_H
#define SIMD_AVX512_BITS_H

#include "avx512_rows.h"

INLINE __m512i bytes_of(int v) { return _mm512_set1_epi8((char)v); }
INLINE __m512i dwords_of(int v) { return _mm512_set1_epi32(v); }

/* (a & mask) | b */
INLINE __m512i merge(__m512i a, __m512i mask, __m512i b) { return _mm512_ternarylogic_epi32(a, mask, b, 0xea); }

/* Four numbers in the bytes of v: as int32, a vector each. */
INLINE void widen_unsigned(__m512i v, __m512i *out)
{
    for (int i = 0; i < 4; i++) out[i] = _mm512_and_si512(_mm512_srli_epi32(v, 8 * (unsigned)i), dwords_of(255));
}

INLINE void widen_signed(__m512i v, __m512i *out)
{
    for (int i = 0; i < 4; i++) out[i] = _mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * (unsigned)i), 24);
}

/* The same as int16, two a vector. */
INLINE void pairs_unsigned(__m512i v, __m512i *out)
{
    const __m512i low = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m512i high = _mm512_broadcast_i32x4(
        _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
    out[0] = _mm512_shuffle_epi8(v, low);
    out[1] = _mm512_shuffle_epi8(v, high);
}

/* Byte i of every row's dword: its bits from `from` + step * i on (counted modulo 64 over two rows, so that only
 * bits of the dword itself are of use). */
INLINE __m512i pick_bits(__m512i v, int from, int step)
{
    uint64_t at = 0;
    for (int i = 0; i < 8; i++) at |= (uint64_t)((from + step * (i % 4) + 32 * (i / 4)) & 63) << 8 * i;
    return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)at), v);
}

/* Codes that name one of sixteen values; bits 4 to 6 of q are not looked at, bit 7 is clear. */
INLINE __m512i look_up(__m128i values, __m512i q) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), q); }

/* The same; bits 4 to 7 are not looked at. */
INLINE __m512i look_up_low4(__m128i values, __m512i q)
{
    return _mm512_permutexvar_epi8(q, _mm512_broadcast_i32x4(values));
}

/* quant_iq4_values + 128, quant_fp4_values + 16 */
INLINE __m128i iq4_codes(void)
{
    return _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15);
}

INLINE __m128i fp4_codes(void) { return _mm_setr_epi8(16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4); }

#endif
