/* Tiles of the formats with blocks of 32 weights, AVX-512 VNNI: what each format's block holds. */
#include "avx512_block32.h"
#include "parts.h"

/* 16 bytes of nibbles at off: low ones are weights 0..15, high ones 16..31 */
INLINE void nibbles(const rows16 *r, size_t off, __m512i *q)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i v[4];
    rows_piece(r, off, v);
    for (int j = 0; j < 4; j++) {
        q[j] = _mm512_and_si512(v[j], low);
        q[4 + j] = _mm512_and_si512(_mm512_srli_epi16(v[j], 4), low);
    }
}

INLINE void unpack_q4_0(const rows16 *r, block16 *b)
{
    nibbles(r, 2, b->q);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

INLINE void unpack_q4_1(const rows16 *r, block16 *b)
{
    __m512i dm = rows_u32(r, 0);
    nibbles(r, 4, b->q);
    b->d = low_f16(dm);
    b->m = high_f16(dm);
}

INLINE void unpack_q8_0(const rows16 *r, block16 *b)
{
    const __m512i flip = _mm512_set1_epi8(-128); /* adds 128 to each code */
    rows_piece(r, 2, b->q);
    rows_piece(r, 18, b->q + 4);
    for (int j = 0; j < 8; j++) b->q[j] = _mm512_xor_si512(b->q[j], flip);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

#define TILE(name, f_unpack, f_bytes, f_zero, f_minima)                                   \
    static void tile_##name(const simd_tile *t)                                           \
    {                                                                                     \
        block32_tile(t, &(const format32){f_unpack, f_bytes, f_zero, f_minima});          \
    }
TILE(q4_0, unpack_q4_0, 18, 8, false)
TILE(q4_1, unpack_q4_1, 20, 0, true)
TILE(q8_0, unpack_q8_0, 34, 128, false)

const simd_part simd_tile32_avx512 = {.t = {.tile = {
    [QUANT_Q4_0] = tile_q4_0,
    [QUANT_Q4_1] = tile_q4_1,
    [QUANT_Q8_0] = tile_q8_0,
}}};
