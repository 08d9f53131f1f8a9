/* Tiles of the formats with blocks of 32 weights, AVX-512 VNNI: what each format's block holds (quant/blocks.h
 * has the layouts). */
#include "avx512_block32.h"
#include "parts.h"

INLINE __m512i bytes_of(int v) { return _mm512_set1_epi8((char)v); }

/* 16 bytes of nibbles at off: low ones are weights 0..15, high ones 16..31 */
INLINE void nibbles(const rows16 *r, size_t off, __m512i *q)
{
    __m512i v[4];
    rows_piece(r, off, v);
    for (int j = 0; j < 4; j++) {
        q[j] = _mm512_and_si512(v[j], bytes_of(15));
        q[4 + j] = _mm512_and_si512(_mm512_srli_epi16(v[j], 4), bytes_of(15));
    }
}

/* Bits 32 k + `from` + step * i of each quadword (k = 0, 1: two rows) and the seven above, in byte 4 k + i. */
INLINE __m512i pick_bits(__m512i v, int from, int step)
{
    uint32_t at = (uint32_t)(from & 63) * 0x01010101u + (uint32_t)step * 0x03020100u;
    uint64_t two = at | (uint64_t)((at + 0x20202020u) & 0x3f3f3f3fu) << 32;
    return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)(two & 0x3f3f3f3f3f3f3f3fu)), v);
}

/* Adds the fifth bits: bit i of bits is weight i's. */
INLINE void fifth_bits(__m512i bits, __m512i *q)
{
    for (int j = 0; j < 8; j++) /* (picked & 16) | q */
        q[j] = _mm512_ternarylogic_epi32(pick_bits(bits, 4 * j + 60, 1), bytes_of(16), q[j], 0xea);
}

/* Codes that name one of sixteen values. */
INLINE void look_up(__m128i values, __m512i *q)
{
    for (int j = 0; j < 8; j++) q[j] = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), q[j]);
}

INLINE void scales_f16(__m512i dm, block16 *b)
{
    b->d = low_f16(dm);
    b->m = high_f16(dm);
}

INLINE void unpack_q4_0(const rows16 *r, int part, block16 *b)
{
    (void)part;
    nibbles(r, 2, b->q);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

INLINE void unpack_q4_1(const rows16 *r, int part, block16 *b)
{
    (void)part;
    nibbles(r, 4, b->q);
    scales_f16(rows_u32(r, 0), b);
}

INLINE void unpack_q5_0(const rows16 *r, int part, block16 *b)
{
    (void)part;
    nibbles(r, 6, b->q);
    fifth_bits(rows_u32(r, 2), b->q);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

INLINE void unpack_q5_1(const rows16 *r, int part, block16 *b)
{
    (void)part;
    nibbles(r, 8, b->q);
    fifth_bits(rows_u32(r, 4), b->q);
    scales_f16(rows_u32(r, 0), b);
}

INLINE void unpack_q8_0(const rows16 *r, int part, block16 *b)
{
    (void)part;
    rows_piece(r, 2, b->q);
    rows_piece(r, 18, b->q + 4);
    for (int j = 0; j < 8; j++) b->q[j] = _mm512_xor_si512(b->q[j], bytes_of(-128)); /* adds 128 */
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

/* quant_iq4_values + 128 */
INLINE void unpack_iq4_nl(const rows16 *r, int part, block16 *b)
{
    (void)part;
    nibbles(r, 2, b->q);
    look_up(_mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15), b->q);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

/* quant_fp4_values + 16; the scale is 2^(e - 128), by its bits. */
INLINE void unpack_mxfp4(const rows16 *r, int part, block16 *b)
{
    __m512i e = _mm512_cvtepu8_epi32(rows_u8(r, 0)), one = _mm512_set1_epi32(1);
    (void)part;
    nibbles(r, 1, b->q);
    look_up(_mm_setr_epi8(16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4), b->q);
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), e);
    b->d = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmple_epu32_mask(e, one), small));
}

/* 32 weights of a bit each, times two. */
INLINE void unpack_q1_0(const rows16 *r, int part, block16 *b)
{
    __m512i bits = rows_u32(r, 2 + 4 * (size_t)part);
    for (int j = 0; j < 8; j++) b->q[j] = _mm512_and_si512(pick_bits(bits, 4 * j + 63, 1), bytes_of(2));
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

INLINE void unpack_q2_0(const rows16 *r, int part, block16 *b)
{
    for (int j = 0; j < 8; j += 4) {
        __m512i bits = rows_u32(r, 2 + 8 * (size_t)part + (size_t)j);
        for (int i = 0; i < 4; i++) b->q[j + i] = _mm512_and_si512(pick_bits(bits, 8 * i, 2), bytes_of(3));
    }
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

BLOCK32_PANEL(panel_zero, false)
BLOCK32_PANEL(panel_minima, true)

#define TILE(name, bytes, parts, panel, ...)                                                  \
    static void tile_##name(const simd_tile *t)                                               \
    {                                                                                         \
        block32_tile(t, &(const format32){unpack_##name, bytes, parts, panel, __VA_ARGS__});  \
    }
TILE(q4_0, 18, 1, panel_zero, .zero = 8)
TILE(q4_1, 20, 1, panel_minima, .minima = true)
TILE(q5_0, 22, 1, panel_zero, .zero = 16)
TILE(q5_1, 24, 1, panel_minima, .minima = true)
TILE(q8_0, 34, 1, panel_zero, .zero = 128)
TILE(iq4_nl, 18, 1, panel_zero, .zero = 128)
TILE(mxfp4, 17, 1, panel_zero, .zero = 16)
TILE(q1_0, 18, 4, panel_zero, .zero = 1)
TILE(q2_0, 18, 2, panel_zero, .zero = 1)

const simd_part simd_tile_q_avx512 = {.t = {.tile = {
    [QUANT_Q4_0] = tile_q4_0,
    [QUANT_Q4_1] = tile_q4_1,
    [QUANT_Q5_0] = tile_q5_0,
    [QUANT_Q5_1] = tile_q5_1,
    [QUANT_Q8_0] = tile_q8_0,
    [QUANT_IQ4_NL] = tile_iq4_nl,
    [QUANT_MXFP4] = tile_mxfp4,
    [QUANT_Q1_0] = tile_q1_0,
    [QUANT_Q2_0] = tile_q2_0,
}}};
