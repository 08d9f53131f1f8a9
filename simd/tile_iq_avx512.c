/* Tiles of the IQ formats with blocks of 256, AVX-512 VNNI and VBMI: what each format's block holds
 * (quant/blocks.h has the layouts, quant/grids.h the grids, avx512_grid.h how they are looked up). */
#include "avx512_block256.h"
#include "parts.h"

/* ---- IQ2: two bits of a grid row a weight, eight weights a row ---- */

#define IQ2_VALUE(level, negative) (64 + ((negative) ? -1 : 1) * ((level) == 0 ? 8 : (level) == 1 ? 25 : 43))
static const _Alignas(64) uint8_t iq2_values[6][64] = {
    GRID_VALUES(IQ2_VALUE, 2, 0, 2), GRID_VALUES(IQ2_VALUE, 2, 2, 1), GRID_VALUES(IQ2_VALUE, 2, 4, 2),
    GRID_VALUES(IQ2_VALUE, 2, 4, 3), GRID_VALUES(IQ2_VALUE, 2, 0, 4), GRID_VALUES(IQ2_VALUE, 2, 2, 5),
};

/* Eight weights from the halves of rows, bit p of signs for weight p. */
INLINE void codes_iq2(__m512i lo, __m512i hi, __m512i signs, __m512i *q)
{
    __m512i left = _mm512_slli_epi16(signs, 2), right = _mm512_srli_epi16(signs, 4);
    __m512i lo6 = _mm512_srli_epi16(lo, 2), hi6 = _mm512_srli_epi16(hi, 2);
    q[0] = grid_codes(lo, 3, left, iq2_values[0]);
    q[1] = grid_codes(lo, 12, signs, iq2_values[1]);
    q[2] = grid_codes(lo, 48, signs, iq2_values[2]);
    q[3] = grid_codes(lo6, 48, signs, iq2_values[3]);
    q[4] = grid_codes(hi, 3, signs, iq2_values[4]);
    q[5] = grid_codes(hi, 12, signs, iq2_values[5]);
    q[6] = grid_codes(hi, 48, right, iq2_values[2]);
    q[7] = grid_codes(hi6, 48, right, iq2_values[3]);
}

/* Rows of a grid of 128 << levels, their numbers' low bytes and high bits as grid_bytes has them. */
INLINE void rows_iq2(const head256 *h, int levels, __m512i low, const __mmask64 *high, __m512i signs, __m512i *q)
{
    const __m512i *table = h->table;
    codes_iq2(grid_bytes(table, levels, low, high), grid_bytes(table + (2 << levels), levels, low, high), signs, q);
}

/* The eighth sign of each byte; the table is the last of a grid's. */
INLINE __m512i even_signs(const __m512i *table, __m512i s7) { return _mm512_permutex2var_epi8(table[0], s7, table[1]); }

/* 2 s + 1 of the nibbles of two bytes, in four bytes. */
INLINE __m512i odd_scales(__m512i v, int from)
{
    __m512i s = _mm512_and_si512(pick_bits(v, from, 4), bytes_of(15));
    return _mm512_or_si512(_mm512_add_epi8(s, s), bytes_of(1));
}

INLINE __m512 scaled_f16(const rows16 *r, size_t off, float by)
{
    return _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, off)), _mm512_set1_ps(by));
}

/* 2 s + 1 for groups of 32, s in the top bits of v */
INLINE __m512i odd_scale_of(__m512i v)
{
    __m512i s = _mm512_srli_epi32(v, 28);
    return _mm512_add_epi32(_mm512_add_epi32(s, s), dwords_of(1));
}

/* extra[2 g], extra[2 g + 1]: rows and signs with scale of group g */
INLINE void head_iq2_xxs(const rows16 *r, head256 *h)
{
    for (int i = 0; i < 4; i++) rows_piece(r, 2 + 16 * (size_t)i, h->extra + 4 * i);
    for (int g = 0; g < 8; g++) h->scale[g] = odd_scale_of(h->extra[2 * g + 1]);
    h->d = scaled_f16(r, 0, 0.125f);
}

INLINE void chunk_iq2_xxs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i signs = even_signs(h->table + 8, pick_bits(h->extra[4 * j + 2 * g + 1], 0, 7));
        rows_iq2(h, 1, h->extra[4 * j + 2 * g], NULL, signs, q + 8 * g);
    }
}

/* The sixteen sub-scales of two dwords of nibbles, as pairs. */
INLINE void nibble_pairs(__m512i v0, __m512i v1, head256 *h)
{
    for (int i = 0; i < 4; i++) pairs_unsigned(odd_scales(i < 2 ? v0 : v1, 16 * (i % 2)), h->pair + 2 * i);
}

INLINE void head_iq2_xs(const rows16 *r, head256 *h)
{
    __m512i v[4];
    rows_piece(r, 58, v);
    nibble_pairs(v[2], v[3], h);
    h->d = scaled_f16(r, 0, 0.125f);
}

INLINE void chunk_iq2_xs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    /* the low and the high bytes of two words each of two vectors */
    const __m512i lane = _mm512_and_si512(iota_bytes(0), bytes_of(60));
    const __m512i low = _mm512_add_epi8(lane, dwords_of(0x42400200)), high = _mm512_add_epi8(low, bytes_of(1));
    __m512i v[4];
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int g = 0; g < 2; g++) {
        __m512i top = _mm512_permutex2var_epi8(v[2 * g], high, v[2 * g + 1]);
        __mmask64 bit = _mm512_test_epi8_mask(top, bytes_of(1));
        rows_iq2(h, 2, _mm512_permutex2var_epi8(v[2 * g], low, v[2 * g + 1]), &bit,
                 even_signs(h->table + 16, _mm512_srli_epi16(top, 1)), q + 8 * g);
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
    nibble_pairs(v[2], v[3], h);
    h->d = scaled_f16(r, 0, 0.125f);
}

INLINE void chunk_iq2_s(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    __m512i quarter = _mm512_srlv_epi32(h->extra[16 + j / 2], dwords_of(16 * (j % 2)));
    for (int g = 0; g < 2; g++) {
        __m512i top = pick_bits(quarter, 8 * g, 2);
        __mmask64 high[2] = {_mm512_test_epi8_mask(top, bytes_of(1)), _mm512_test_epi8_mask(top, bytes_of(2))};
        rows_iq2(h, 3, h->extra[2 * j + g], high, h->extra[8 + 2 * j + g], q + 8 * g);
    }
}

/* ---- IQ3: three bits of a grid row a weight, four weights a row ---- */

#define IQ3_XXS_VALUE(level, negative) (64 + ((negative) ? -1 : 1) * ((level) == 7 ? 62 : 4 + 8 * (level)))
#define IQ3_S_VALUE(level, negative) (16 + ((negative) ? -1 : 1) * (1 + 2 * (level)))
static const _Alignas(64) uint8_t iq3_xxs_values[4][64] = {
    GRID_VALUES(IQ3_XXS_VALUE, 3, 0, 3), GRID_VALUES(IQ3_XXS_VALUE, 3, 3, 0),
    GRID_VALUES(IQ3_XXS_VALUE, 3, 0, 5), GRID_VALUES(IQ3_XXS_VALUE, 3, 3, 2),
};
static const _Alignas(64) uint8_t iq3_s_values[4][64] = {
    GRID_VALUES(IQ3_S_VALUE, 3, 0, 3), GRID_VALUES(IQ3_S_VALUE, 3, 3, 0),
    GRID_VALUES(IQ3_S_VALUE, 3, 0, 5), GRID_VALUES(IQ3_S_VALUE, 3, 3, 2),
};

/* Four weights from rows; their signs are the sixteen bits of `signs` from `from` on, four a row. */
INLINE void rows_iq3(const head256 *h, int levels, __m512i low, const __mmask64 *high, __m512i signs, int from,
                     const uint8_t (*values)[64], __m512i *q)
{
    __m512i lo = grid_bytes(h->table, levels, low, high), hi = grid_bytes(h->table + (2 << levels), levels, low, high);
    __m512i left = pick_bits(signs, from + 61, 4), right = pick_bits(signs, from + 1, 4);
    q[0] = grid_codes(lo, 7, left, values[0]);
    q[1] = grid_codes(lo, 56, right, values[1]);
    q[2] = grid_codes(hi, 7, left, values[2]);
    q[3] = grid_codes(hi, 56, right, values[3]);
}

/* extra: signs and scale of group g */
INLINE void head_iq3_xxs(const rows16 *r, head256 *h)
{
    rows_piece(r, 66, h->extra);
    rows_piece(r, 82, h->extra + 4);
    for (int g = 0; g < 8; g++) h->scale[g] = odd_scale_of(h->extra[g]);
    h->d = scaled_f16(r, 0, 0.25f);
}

INLINE void chunk_iq3_xxs(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    __m512i v[4], signs[2];
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int g = 0; g < 2; g++) signs[g] = even_signs(h->table + 8, pick_bits(h->extra[2 * j + g], 0, 7));
    for (int i = 0; i < 4; i++) rows_iq3(h, 1, v[i], NULL, signs[i / 2], 16 * (i % 2), iq3_xxs_values, q + 4 * i);
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
    for (int i = 0; i < 2; i++) widen_unsigned(odd_scales(v[3], 16 * i), h->scale + 4 * i);
    h->d = scaled_f16(r, 0, 1);
}

INLINE void chunk_iq3_s(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    __m512i v[4], top = _mm512_srlv_epi32(h->extra[8 + j / 2], dwords_of(16 * (j % 2)));
    rows_piece(r, 2 + 16 * (size_t)j, v);
    for (int i = 0; i < 4; i++) {
        __mmask64 bit = _mm512_test_epi8_mask(pick_bits(top, 4 * i, 1), bytes_of(1));
        rows_iq3(h, 2, v[i], &bit, h->extra[2 * j + i / 2], 16 * (i % 2), iq3_s_values, q + 4 * i);
    }
}

/* ---- IQ1: ternary rows of eight, shifted by an eighth up or down ---- */

#define IQ1_VALUE(level, down) (8 * ((level) % 3) + ((down) ? 7 : 9))
static const _Alignas(64) uint8_t iq1_values[3][64] = {
    GRID_VALUES(IQ1_VALUE, 2, 0, 3), GRID_VALUES(IQ1_VALUE, 2, 2, 5), GRID_VALUES(IQ1_VALUE, 2, 4, 3),
};

/* The grid is in ascending order, and the high halves of sixteen rows from a multiple of sixteen on are one value,
 * or two: those of rows 0, of rows 15, and the first row of the second. They stand where the high halves would. */
INLINE void steps_iq1(__m512i *table)
{
    uint8_t *to = (uint8_t *)table;
    for (int g = 0; g < 128; g++) {
        const uint16_t *row = quant_grid_iq1 + 16 * g;
        int n = 0;
        while (n < 16 && row[n] >> 8 == row[0] >> 8) n++;
        to[g] = (uint8_t)(row[0] >> 8);
        to[128 + g] = (uint8_t)(row[15] >> 8);
        to[256 + g] = (uint8_t)n;
    }
}

/* top: bits 0 to 2 of a byte are bits 8 to 10 of a row's number; bit 3 of down, bit 5 of down2 shift it down. */
INLINE void rows_iq1(const head256 *h, __m512i low, __m512i top, __m512i down, __m512i down2, __m512i *q)
{
    const __m512i *step = h->table + 32;
    __mmask64 high[3];
    for (int i = 0; i < 3; i++) high[i] = _mm512_test_epi8_mask(top, bytes_of(1 << i));
    __m512i lo = grid_bytes(h->table, 4, low, high);
    __m512i sixteen = _mm512_ternarylogic_epi32(bytes_of(15), _mm512_srli_epi16(low, 4), _mm512_slli_epi16(top, 4), 0xca);
    __m512i n = _mm512_permutex2var_epi8(step[4], sixteen, step[5]);
    __m512i hi = _mm512_permutex2var_epi8(step[0], sixteen, step[1]);
    __mmask64 second = _mm512_cmpge_epu8_mask(_mm512_and_si512(low, bytes_of(15)), n);
    hi = _mm512_mask_mov_epi8(hi, second, _mm512_permutex2var_epi8(step[2], sixteen, step[3]));
    __m512i lo6 = _mm512_srli_epi16(lo, 2), hi6 = _mm512_srli_epi16(hi, 2);
    for (int i = 0; i < 2; i++) {
        q[4 * i] = grid_codes(i ? hi : lo, 3, down, iq1_values[0]);
        q[4 * i + 1] = grid_codes(i ? hi : lo, 12, down2, iq1_values[1]);
        q[4 * i + 2] = grid_codes(i ? hi : lo, 48, down, iq1_values[2]);
        q[4 * i + 3] = grid_codes(i ? hi6 : lo6, 48, down, iq1_values[2]);
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
        __m512i qh = h->extra[8 + j];
        rows_iq1(h, h->extra[2 * j + g], pick_bits(qh, 16 * g, 3), pick_bits(qh, 16 * g + 12, 0),
                 pick_bits(qh, 16 * g + 10, 0), q + 8 * g);
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
        pairs_unsigned(_mm512_or_si512(_mm512_add_epi8(s, s), bytes_of(1)), h->pair + 2 * i);
        __m512i top = _mm512_and_si512(_mm512_srli_epi32(w, 12), dwords_of(15));
        d = _mm512_or_si512(d, _mm512_slli_epi32(top, 4 * (unsigned)i));
    }
    h->d = _mm512_mul_ps(low_f16(d), _mm512_set1_ps(0.125f));
}

INLINE void chunk_iq1_m(const rows16 *r, const head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i top = pick_bits(h->extra[8 + j], 16 * g, 4);
        rows_iq1(h, h->extra[2 * j + g], top, top, pick_bits(h->extra[8 + j], 16 * g + 62, 4), q + 8 * g);
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
            q[8 * g + i] = look_up_low4(iq4_codes(), v[i]);
            q[8 * g + 4 + i] = look_up_low4(iq4_codes(), _mm512_srli_epi32(v[i], 4));
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
#define GRID_TILE(name, grid, n, high, bytes, panel, ...)                    \
    static void tile_##name(const simd_tile *t)                              \
    {                                                                        \
        __m512i table[2 * (n) / 64 + 2];                                     \
        grid_table(grid, n, high, table);                                    \
        block256_tile(t, &(const format256){                                 \
            head_##name, chunk_##name, quad_in_order, bytes, panel, .table = table, __VA_ARGS__}); \
    }
GRID_TILE(iq2_xxs, quant_grid_iq2_xxs, 256, 8, 66, panel_32, .group = 32, .zero = 64, .order = 8)
GRID_TILE(iq2_xs, quant_grid_iq2_xs, 512, 8, 74, panel_16, .group = 16, .zero = 64, .order = 8, .pairs = true)
GRID_TILE(iq2_s, quant_grid_iq2_s, 1024, 8, 82, panel_16, .group = 16, .zero = 64, .order = 8, .pairs = true)
GRID_TILE(iq3_xxs, quant_grid_iq3_xxs, 256, 6, 98, panel_32, .group = 32, .zero = 64, .order = 4)
GRID_TILE(iq3_s, quant_grid_iq3_s, 512, 6, 110, panel_32, .group = 32, .zero = 16, .order = 4)
TILE(iq4_xs, 136, panel_32, .group = 32, .zero = 128)

static void tile_iq1_s(const simd_tile *t)
{
    __m512i table[GRID_VECTORS];
    grid_table(quant_grid_iq1, 2048, 8, table);
    steps_iq1(table + 32);
    block256_tile(t, &(const format256){head_iq1_s, chunk_iq1_s, quad_in_order, 50, panel_32, .table = table,
                                        .group = 32, .zero = 16, .order = 8});
}

static void tile_iq1_m(const simd_tile *t)
{
    __m512i table[GRID_VECTORS];
    grid_table(quant_grid_iq1, 2048, 8, table);
    steps_iq1(table + 32);
    block256_tile(t, &(const format256){head_iq1_m, chunk_iq1_m, quad_in_order, 56, panel_16, .table = table,
                                        .group = 16, .zero = 16, .order = 8, .pairs = true});
}

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
