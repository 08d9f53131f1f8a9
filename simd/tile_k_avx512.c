/* Tiles of the K formats, AVX-512 VNNI: what each format's block holds (quant/blocks.h has the layouts). */
#include "avx512_bits.h"
#include "avx512_block256.h"
#include "parts.h"

INLINE __m512 negate(__m512 v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }

/* ---- Q4_K, Q5_K: 32 weights of 64 in low nibbles, 32 in high ones ---- */

/* d, dmin and the 6-bit scales and minima are the first 16 bytes. */
INLINE void head_q4_k(const rows16 *r, head256 *h)
{
    const __m512i low6 = bytes_of(63), low4 = bytes_of(15), top2 = bytes_of(48);
    __m512i v[4];
    rows_piece(r, 0, v);
    h->d = low_f16(v[0]);
    h->m = negate(high_f16(v[0]));
    __m512i scale0 = _mm512_and_si512(v[1], low6), min0 = _mm512_and_si512(v[2], low6);
    __m512i scale1 = merge(_mm512_srli_epi32(v[1], 2), top2, _mm512_and_si512(v[3], low4));
    __m512i min1 = merge(_mm512_srli_epi32(v[2], 2), top2, _mm512_and_si512(_mm512_srli_epi32(v[3], 4), low4));
    widen_unsigned(scale0, h->scale);
    widen_unsigned(scale1, h->scale + 4);
    pairs_unsigned(min0, h->pair);
    pairs_unsigned(min1, h->pair + 2);
}

/* 32 bytes of nibbles at off */
INLINE void nibbles_k(const rows16 *r, size_t off, __m512i *q)
{
    const __m512i low4 = bytes_of(15);
    __m512i v[8];
    rows_piece(r, off, v);
    rows_piece(r, off + 16, v + 4);
    for (int i = 0; i < 8; i++) {
        q[i] = _mm512_and_si512(v[i], low4);
        q[8 + i] = _mm512_and_si512(_mm512_srli_epi32(v[i], 4), low4);
    }
}

INLINE void chunk_q4_k(const rows16 *r, head256 *h, int j, __m512i *q)
{
    (void)h;
    nibbles_k(r, 16 + 32 * (size_t)j, q);
}

INLINE void head_q5_k(const rows16 *r, head256 *h)
{
    head_q4_k(r, h);
    rows_piece(r, 16, h->extra);
    rows_piece(r, 32, h->extra + 4);
}

/* Bit g of each byte to bit `to`; the other bits are anything. */
INLINE __m512i move_bit(__m512i v, int g, int to) { return _mm512_rorv_epi32(v, _mm512_set1_epi32(g - to)); }

INLINE void chunk_q5_k(const rows16 *r, head256 *h, int j, __m512i *q)
{
    nibbles_k(r, 48 + 32 * (size_t)j, q);
    for (int i = 0; i < 16; i++) q[i] = merge(move_bit(h->extra[i % 8], 2 * j + i / 8, 4), bytes_of(16), q[i]);
}

/* ---- Q2_K, Q3_K, Q6_K: byte l of a half has bits of weights l, l + 32, l + 64, l + 96 ---- */

INLINE void head_q6_k(const rows16 *r, head256 *h)
{
    __m512i v[4];
    rows_piece(r, 192, v);
    for (int i = 0; i < 4; i++) widen_signed(v[i], h->scale + 4 * i);
    h->d = _mm512_cvtph_ps(rows_u16(r, 208));
}

INLINE void chunk_q6_k(const rows16 *r, head256 *h, int j, __m512i *q)
{
    const __m512i low4 = bytes_of(15), top2 = bytes_of(48);
    size_t half = (size_t)j / 2, l = 16 * ((size_t)j % 2);
    __m512i a[4], b[4], t[4];
    (void)h;
    rows_piece(r, 64 * half + l, a);
    rows_piece(r, 64 * half + 32 + l, b);
    rows_piece(r, 128 + 32 * half + l, t);
    for (int i = 0; i < 4; i++) {
        q[i] = merge(_mm512_slli_epi32(t[i], 4), top2, _mm512_and_si512(a[i], low4));
        q[4 + i] = merge(_mm512_slli_epi32(t[i], 2), top2, _mm512_and_si512(b[i], low4));
        q[8 + i] = merge(t[i], top2, _mm512_and_si512(_mm512_srli_epi32(a[i], 4), low4));
        q[12 + i] = merge(_mm512_srli_epi32(t[i], 2), top2, _mm512_and_si512(_mm512_srli_epi32(b[i], 4), low4));
    }
}

INLINE void head_q2_k(const rows16 *r, head256 *h)
{
    const __m512i low4 = bytes_of(15);
    __m512i v[4], dm = rows_u32(r, 80);
    rows_piece(r, 0, v);
    for (int i = 0; i < 4; i++) {
        widen_unsigned(_mm512_and_si512(v[i], low4), h->scale + 4 * i);
        pairs_unsigned(_mm512_and_si512(_mm512_srli_epi32(v[i], 4), low4), h->pair + 2 * i);
    }
    h->d = low_f16(dm);
    h->m = negate(high_f16(dm));
}

INLINE void chunk_q2_k(const rows16 *r, head256 *h, int j, __m512i *q)
{
    __m512i v[4];
    (void)h;
    rows_piece(r, 16 + 16 * (size_t)j, v);
    for (int i = 0; i < 16; i++)
        q[i] = _mm512_and_si512(_mm512_srli_epi32(v[i % 4], 2 * (unsigned)(i / 4)), bytes_of(3));
}

/* The 12 bytes of scales and d end the block: read from 2 bytes before. */
INLINE void head_q3_k(const rows16 *r, head256 *h)
{
    const __m512i low4 = bytes_of(15), top2 = bytes_of(48), bias = bytes_of(32);
    __m512i v[4], s[4];
    rows_piece_14(r, 94, v);
    s[0] = merge(_mm512_slli_epi32(v[2], 4), top2, _mm512_and_si512(v[0], low4));
    s[1] = merge(_mm512_slli_epi32(v[2], 2), top2, _mm512_and_si512(v[1], low4));
    s[2] = merge(v[2], top2, _mm512_and_si512(_mm512_srli_epi32(v[0], 4), low4));
    s[3] = merge(_mm512_srli_epi32(v[2], 2), top2, _mm512_and_si512(_mm512_srli_epi32(v[1], 4), low4));
    for (int i = 0; i < 4; i++) widen_signed(_mm512_sub_epi8(s[i], bias), h->scale + 4 * i);
    h->d = low_f16(v[3]);
    rows_piece(r, 0, h->extra);
    rows_piece(r, 16, h->extra + 4);
}

INLINE void chunk_q3_k(const rows16 *r, head256 *h, int j, __m512i *q)
{
    __m512i v[4];
    rows_piece(r, 32 + 16 * (size_t)j, v);
    for (int i = 0; i < 16; i++) {
        __m512i low = _mm512_and_si512(_mm512_srli_epi32(v[i % 4], 2 * (unsigned)(i / 4)), bytes_of(3));
        q[i] = merge(move_bit(h->extra[4 * (j % 2) + i % 4], 4 * (j / 2) + i / 4, 2), bytes_of(4), low);
    }
}

BLOCK256_PANEL(panel_minima_16, 16, true)
BLOCK256_PANEL(panel_minima_32, 32, true)
BLOCK256_PANEL(panel_zero_16, 16, false)

#define TILE(name, order, bytes, panel, ...)                                                                 \
    static const format256 format_##name = {head_##name, NULL, chunk_##name, order, bytes, panel, __VA_ARGS__}; \
    BLOCK256_SOME(name)                                                                                     \
    static void tile_##name(const simd_tile *t)                                                             \
    {                                                                                                       \
        if (block256_some(t)) some_##name(t);                                                               \
        else block256_tile(t, &format_##name);                                                              \
    }
TILE(q2_k, quad_by_32, 84, panel_minima_16, .group = 16, .minima = true)
TILE(q3_k, quad_by_32, 110, panel_zero_16, .group = 16, .zero = 4)
TILE(q4_k, quad_in_order, 144, panel_minima_32, .group = 32, .minima = true)
TILE(q5_k, quad_in_order, 176, panel_minima_32, .group = 32, .minima = true)
TILE(q6_k, quad_by_32, 210, panel_zero_16, .group = 16, .zero = 32)

const simd_part simd_tile_k_avx512 = {.t = {.tile = {
    [QUANT_Q2_K] = tile_q2_k,
    [QUANT_Q3_K] = tile_q3_k,
    [QUANT_Q4_K] = tile_q4_k,
    [QUANT_Q5_K] = tile_q5_k,
    [QUANT_Q6_K] = tile_q6_k,
}}};
