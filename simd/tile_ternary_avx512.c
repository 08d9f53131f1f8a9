/* Tiles of TQ1_0 and TQ2_0, AVX-512 VNNI: one scale for 256 weights of three values (quant/blocks.h has the
 * layouts). */
#include "avx512_bits.h"
#include "avx512_block256.h"
#include "parts.h"

INLINE void head_tq2_0(const rows16 *r, head256 *h)
{
    h->d = _mm512_cvtph_ps(rows_u16(r, 64));
}

INLINE void chunk_tq2_0(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    __m512i v[4];
    (void)h;
    rows_piece(r, 16 * (size_t)j, v);
    for (int i = 0; i < 16; i++)
        q[i] = _mm512_and_si512(_mm512_srli_epi32(v[i % 4], 2 * (unsigned)(i / 4)), bytes_of(3));
}

/* extra: qs (12 dwords), qh */
INLINE void head_tq1_0(const rows16 *r, head256 *h)
{
    for (int i = 0; i < 3; i++) rows_piece(r, 16 * (size_t)i, h->extra + 4 * i);
    __m512i v[4];
    rows_piece(r, 38, v); /* qh and d are the last 6 of these bytes */
    h->extra[12] = _mm512_or_si512(_mm512_srli_epi32(v[2], 16), _mm512_slli_epi32(v[3], 16));
    h->d = high_f16(v[3]);
}

/* Digit n of each byte, as a fraction of 243 parts of 256: times 3^n, then whole thirds. */
INLINE __m512i digit(__m512i v, int n)
{
    for (int i = 0; i < n; i++) v = _mm512_add_epi8(v, _mm512_add_epi8(v, v));
    __m512i q = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(v, bytes_of(86)), bytes_of(1));
    return _mm512_mask_mov_epi8(q, _mm512_cmpge_epu8_mask(v, bytes_of(171)), bytes_of(2));
}

INLINE void quads_tq1_0(const head256 *h, int j, __m512i *q)
{
    for (int i = 0; i < 16; i++) {
        int at = 4 * j + i / 4;
        q[i] = at < 10   ? digit(h->extra[at % 2 * 4 + i % 4], at / 2)
               : at < 15 ? digit(h->extra[8 + i % 4], at - 10)
                         : digit(h->extra[12], i % 4);
    }
}

INLINE void chunk_tq1_0(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    switch (j) {
    case 0: quads_tq1_0(h, 0, q); break;
    case 1: quads_tq1_0(h, 1, q); break;
    case 2: quads_tq1_0(h, 2, q); break;
    default: quads_tq1_0(h, 3, q); break;
    }
}

BLOCK256_PANEL(panel_256, 256, false)

static void tile_tq1_0(const simd_tile *t)
{
    block256_tile(t, &(const format256){head_tq1_0, chunk_tq1_0, quad_in_order, 54, panel_256, 256, 1, false});
}

static void tile_tq2_0(const simd_tile *t)
{
    block256_tile(t, &(const format256){head_tq2_0, chunk_tq2_0, quad_by_32, 66, panel_256, 256, 1, false});
}

const simd_part simd_tile_ternary_avx512 = {.t = {.tile = {
    [QUANT_TQ1_0] = tile_tq1_0,
    [QUANT_TQ2_0] = tile_tq2_0,
}}};
