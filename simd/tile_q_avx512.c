/* Tiles of the formats with blocks of 32 weights, AVX-512 VNNI: what each format's block holds (quant/blocks.h
 * has the layouts). */
#include "avx512_bits.h"
#include "avx512_block32.h"
#include "parts.h"

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

/* The same, where they name values. */
INLINE void named_nibbles(const rows16 *r, size_t off, __m128i values, __m512i *q)
{
    __m512i v[4];
    rows_piece(r, off, v);
    for (int j = 0; j < 4; j++) {
        q[j] = look_up_low4(values, v[j]);
        q[4 + j] = look_up_low4(values, _mm512_srli_epi16(v[j], 4));
    }
}

/* Adds the fifth bits: bit i of bits is weight i's. */
INLINE void fifth_bits(__m512i bits, __m512i *q)
{
    for (int j = 0; j < 8; j++) /* (picked & 16) | q */
        q[j] = _mm512_ternarylogic_epi32(pick_bits(bits, 4 * j + 60, 1), bytes_of(16), q[j], 0xea);
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

INLINE void unpack_iq4_nl(const rows16 *r, int part, block16 *b)
{
    (void)part;
    named_nibbles(r, 2, iq4_codes(), b->q);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

/* The scale is 2^(e - 128), by its bits. */
INLINE void unpack_mxfp4(const rows16 *r, int part, block16 *b)
{
    __m512i e = _mm512_cvtepu8_epi32(rows_u8(r, 0)), one = dwords_of(1);
    (void)part;
    named_nibbles(r, 1, fp4_codes(), b->q);
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    __m512i small = _mm512_sllv_epi32(dwords_of(0x200000), e);
    b->d = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmple_epu32_mask(e, one), small));
}

/* Half of an unsigned E4M3 number in byte i of every row's dword; 127 reads as 0, the sign bit is not looked at. */
INLINE __m512 ue4m3_half(__m512i v, int i)
{
    __m512i x = _mm512_and_si512(_mm512_srli_epi32(v, 8 * (unsigned)i), dwords_of(255));
    __m512i bits = _mm512_slli_epi32(_mm512_and_si512(x, dwords_of(127)), 20);
    __m512i normal = _mm512_add_epi32(bits, dwords_of(119 << 23));
    __m512 small = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_and_si512(x, dwords_of(7))), _mm512_set1_ps(0x1p-10f));
    __m512 d = _mm512_mask_mov_ps(_mm512_castsi512_ps(normal), _mm512_testn_epi32_mask(x, dwords_of(0x78)), small);
    return _mm512_maskz_mov_ps(_mm512_cmpneq_epi32_mask(x, dwords_of(127)), d);
}

/* Byte j of 8 holds weights j and j + 8 of 16. */
INLINE void unpack_nvfp4(const rows16 *r, int part, block16 *b)
{
    __m512i v[4];
    if (part == 0) b->raw[0] = rows_u32(r, 0);
    rows_piece(r, 4 + 16 * (size_t)part, v);
    for (int j = 0; j < 8; j++) {
        __m512i q = _mm512_srli_epi16(v[j / 4 * 2 + j % 2], j % 4 >= 2 ? 4 : 0);
        b->q[j] = look_up_low4(fp4_codes(), q);
    }
    __m512i d = _mm512_srl_epi32(b->raw[0], _mm_cvtsi32_si128(16 * part));
    b->d = ue4m3_half(d, 0);
    b->m = ue4m3_half(d, 1);
}

/* The scale and the sixteen bytes after it, once for all parts. */
INLINE void raw_bits(const rows16 *r, int part, block16 *b)
{
    if (part > 0) return;
    rows_piece(r, 2, b->raw);
    b->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

/* 32 weights of a bit each, times two. For each product there are a selection and an `and`, and every 32 weights are
 * converted and scaled: Zen 4 takes 94 cycles for 288 bytes by llvm-mca and by measurement (3.1 bytes a cycle, 11.4 GB/s at
 * 3.7 GHz), Zen 5 should take 59 (4.9 bytes a cycle). Without a product for each bit it would be less: sums of five or six
 * activations looked up by vpermw, at the price of tables for each column. */
INLINE void unpack_q1_0(const rows16 *r, int part, block16 *b)
{
    raw_bits(r, part, b);
    for (int j = 0; j < 8; j++) b->q[j] = _mm512_and_si512(pick_bits(b->raw[part], 4 * j + 63, 1), bytes_of(2));
}

INLINE void unpack_q2_0(const rows16 *r, int part, block16 *b)
{
    raw_bits(r, part, b);
    for (int j = 0; j < 8; j++)
        b->q[j] = _mm512_and_si512(pick_bits(b->raw[2 * part + j / 4], 8 * (j % 4), 2), bytes_of(3));
}

BLOCK32_PANEL(panel_zero, BLOCK32_ZERO)
BLOCK32_PANEL(panel_minima, BLOCK32_MINIMA)
BLOCK32_PANEL(panel_halves, BLOCK32_HALVES)

#define TILE(name, bytes, parts, panel, ...)                                                  \
    static void tile_##name(const simd_tile *t)                                               \
    {                                                                                         \
        block32_tile(t, &(const format32){unpack_##name, bytes, parts, panel, __VA_ARGS__});  \
    }
TILE(q4_0, 18, 1, panel_zero, .zero = 8)
TILE(q4_1, 20, 1, panel_minima, .kind = BLOCK32_MINIMA)
TILE(q5_0, 22, 1, panel_zero, .zero = 16)
TILE(q5_1, 24, 1, panel_minima, .kind = BLOCK32_MINIMA)
TILE(q8_0, 34, 1, panel_zero, .zero = 128)
TILE(iq4_nl, 18, 1, panel_zero, .zero = 128)
TILE(mxfp4, 17, 1, panel_zero, .zero = 16)
TILE(nvfp4, 36, 2, panel_halves, .zero = 16, .kind = BLOCK32_HALVES)
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
    [QUANT_NVFP4] = tile_nvfp4,
    [QUANT_Q1_0] = tile_q1_0,
    [QUANT_Q2_0] = tile_q2_0,
}}};
