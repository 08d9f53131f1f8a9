/* Tiles of the IQ formats with blocks of 256, AVX-512 VNNI and VBMI: what each format's block holds
 * (quant/blocks.h has the layouts, quant/grids.h the grids, avx512_grid.h how they are looked up). */
#include "avx512_block256.h"
#include "avx512_pairs.h"
#include "parts.h"

/* ---- IQ2: two bits of a grid row a weight, eight weights a row ---- */

/* Two weights' levels and signs are six bits, which two tables take apart. The low byte that a row is looked up as has
 * weights 4, 5 in its low bits and 0, 1 in its high ones; the high byte 6, 7 and 2, 3: so the signs, as the file has
 * them, are where they are needed or two bits beside. */
INLINE void table_iq2(const uint16_t *grid, int n, __m512i *table)
{
    _Alignas(64) uint16_t rows[1024];
    for (int i = 0; i < n; i++) {
        unsigned r = grid[i];
        rows[i] = (uint16_t)((r >> 8 & 15) | (r & 15) << 4 | (r >> 12) << 8 | (r >> 4 & 15) << 12);
    }
    grid_bytes(rows, n, table, table + n / 64);
}

#define IQ2_VALUE(level, negative) (64 + ((negative) ? -1 : 1) * ((level) == 0 ? 8 : (level) == 1 ? 25 : 43))
static const _Alignas(64) uint8_t iq2_values[4][64] = {GRID_VALUES(IQ2_VALUE, 2, 2, 0), GRID_VALUES(IQ2_VALUE, 2, 4, 1),
                                                       GRID_VALUES(IQ2_VALUE, 2, 0, 4), GRID_VALUES(IQ2_VALUE, 2, 2, 5)};

#define IQ2_SIGNED(level, negative) (IQ2_VALUE(level, negative) - 64)
static const _Alignas(64) uint8_t iq2_signed[4][64] = {
    GRID_VALUES(IQ2_SIGNED, 2, 2, 0), GRID_VALUES(IQ2_SIGNED, 2, 4, 1),
    GRID_VALUES(IQ2_SIGNED, 2, 0, 4), GRID_VALUES(IQ2_SIGNED, 2, 2, 5),
};

INLINE void two_codes(__m512i fields, __m512i signs, int mask, const uint8_t (*values)[64], __m512i *q)
{
    __m512i index = _mm512_ternarylogic_epi32(bytes_of(mask), fields, signs, 0xca); /* mask ? fields : signs */
    q[0] = _mm512_permutexvar_epi8(index, _mm512_load_si512(values[0]));
    q[1] = _mm512_permutexvar_epi8(index, _mm512_load_si512(values[1]));
}

/* Eight weights from the halves of rows, bit p of signs for weight p. */
INLINE void codes_iq2(const __m512i *half, __m512i signs, const uint8_t (*values)[64], __m512i *q)
{
    __m512i signs2 = _mm512_srli_epi16(signs, 2);
    two_codes(_mm512_srli_epi16(half[0], 2), signs, 0x3c, values, q);
    two_codes(_mm512_srli_epi16(half[1], 2), signs2, 0x3c, values, q + 2);
    two_codes(half[0], signs, 0x0f, values + 2, q + 4);
    two_codes(half[1], signs2, 0x0f, values + 2, q + 6);
}

/* The eighth sign of each byte; the table is the last of a grid's. */
INLINE __m512i even_signs(const __m512i *table, __m512i s7) { return _mm512_permutex2var_epi8(table[0], s7, table[1]); }

/* 2 s + 1 of the nibbles of two bytes, in four bytes. */
INLINE __m512i odd_scales(__m512i v, int from)
{
    __m512i s = _mm512_and_si512(pick_bits(v, from + 63, 4), bytes_of(30));
    return _mm512_or_si512(s, bytes_of(1));
}

INLINE __m512 scaled_f16(const rows16 *r, size_t off, float by)
{
    return _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, off)), _mm512_set1_ps(by));
}

/* 2 s + 1 for groups of 32, s in the top bits of v */
INLINE __m512i odd_scale_of(__m512i v) { return _mm512_or_si512(_mm512_srli_epi32(v, 27), dwords_of(1)); }

INLINE void head_iq2_xxs(const rows16 *r, head256 *h) { h->d = scaled_f16(r, 0, 0.125f); }

/* extra: rows and signs with scale, in turn */
INLINE void load_iq2_xxs(const rows16 *r, head256 *h, int i)
{
    rows_piece(r, 2 + 32 * (size_t)i, h->extra);
    rows_piece(r, 18 + 32 * (size_t)i, h->extra + 4);
}

INLINE void chunk_iq2_xxs(const rows16 *r, head256 *h, int j, __m512i *q)
{
    const __m512i *v = h->extra + 4 * (j % 2);
    __m512i half[2][2];
    (void)r;
    grid_rows(h->table, 2, 0, 2, (__m512i[2]){v[0], v[2]}, NULL, half);
    for (int g = 0; g < 2; g++) {
        codes_iq2(half[g], even_signs(h->table + 8, pick_bits(v[2 * g + 1], 0, 7)), iq2_values, q + 8 * g);
        h->scale[g] = odd_scale_of(v[2 * g + 1]);
    }
}

/* The four sub-scales of a quarter, nibbles of two dwords, as pairs. */
INLINE void nibble_pairs(__m512i v, int j, head256 *h) { pairs_unsigned(odd_scales(v, 16 * (j % 2)), h->pair); }

/* extra: scales (2 dwords) */
INLINE void head_iq2_xs(const rows16 *r, head256 *h)
{
    __m512i v[4];
    rows_piece(r, 58, v); /* the scales are the last 8 of these bytes */
    h->extra[0] = v[2];
    h->extra[1] = v[3];
    h->d = scaled_f16(r, 0, 0.125f);
}

/* extra: then the words of four groups, two vectors each */
INLINE void load_iq2_xs(const rows16 *r, head256 *h, int i)
{
    rows_piece(r, 2 + 32 * (size_t)i, h->extra + 2);
    rows_piece(r, 18 + 32 * (size_t)i, h->extra + 6);
}

INLINE void chunk_iq2_xs(const rows16 *r, head256 *h, int j, __m512i *q)
{
    /* the low and the high bytes of two words each of two vectors */
    const __m512i lane = _mm512_and_si512(iota_bytes(0), bytes_of(60));
    const __m512i even = _mm512_add_epi8(lane, dwords_of(0x42400200)), odd = _mm512_add_epi8(even, bytes_of(1));
    const __m512i *v = h->extra + 2 + 4 * (j % 2);
    __m512i low[2], top[2], half[2][2];
    (void)r;
    for (int g = 0; g < 2; g++) {
        low[g] = _mm512_permutex2var_epi8(v[2 * g], even, v[2 * g + 1]);
        top[g] = _mm512_permutex2var_epi8(v[2 * g], odd, v[2 * g + 1]);
    }
    nibble_pairs(h->extra[j / 2], j, h);
    grid_rows(h->table, 2, 1, 2, low, top, half);
    for (int g = 0; g < 2; g++)
        codes_iq2(half[g], even_signs(h->table + 16, _mm512_srli_epi16(top[g], 1)), iq2_values, q + 8 * g);
}

/* extra: rows' high bits (2 dwords), scales (2) */
INLINE void head_iq2_s(const rows16 *r, head256 *h)
{
    rows_piece(r, 66, h->extra);
    h->d = scaled_f16(r, 0, 0.125f);
}

/* extra: then rows' low bytes of four groups, and their signs */
INLINE void load_iq2_s(const rows16 *r, head256 *h, int i)
{
    rows_piece(r, 2 + 16 * (size_t)i, h->extra + 4);
    rows_piece(r, 34 + 16 * (size_t)i, h->extra + 8);
}

INLINE void chunk_iq2_s(const rows16 *r, head256 *h, int j, __m512i *q)
{
    int at = 2 * (j % 2);
    __m512i top[2], half[2][2];
    (void)r;
    for (int g = 0; g < 2; g++) top[g] = pick_bits(h->extra[j / 2], 8 * (at + g), 2);
    nibble_pairs(h->extra[2 + j / 2], j, h);
    grid_rows(h->table, 2, 2, 2, h->extra + 4 + at, top, half);
    for (int g = 0; g < 2; g++) codes_iq2(half[g], h->extra[8 + at + g], iq2_values, q + 8 * g);
}

/* ---- IQ2, one column: magnitudes of activations by signed weights ---- */

INLINE __m512 scale_iq2(const rows16 *r) { return scaled_f16(r, 0, 0.125f); }

INLINE void look_iq2_xxs(const pairs256 *w, const __m512i *table, looked256 *v)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, dwords_of(1));
    __m512i rows[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        __m512i a = kept(w->low[i] + 2), b = kept(w->high[i] + 2), ss = _mm512_permutex2var_epi32(a, odd, b);
        rows[i] = _mm512_permutex2var_epi32(a, even, b);
        v->a[i] = even_signs(table + 8, pick_bits(ss, 0, 7));
        v->b[i] = odd_scale_of(ss);
    }
    grid_rows(table, 2, 0, PAIRS, rows, NULL, v->half);
}

INLINE void pair_codes_iq2(const looked256 *v, int i, const acts256 *x, __m512i *q)
{
    codes_iq2(v->half[i], _mm512_xor_si512(v->a[i], x->negative), iq2_signed, q);
}

INLINE void dot_iq2_xxs(const looked256 *v, const acts256 *x, const __m512i *sums, __m512i *isum)
{
    (void)sums;
    for (int i = 0; i < PAIRS; i++) {
        __m512i q[8], s[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        pair_codes_iq2(v, i, x, q);
        for (int p = 0; p < 8; p++) s[p % 2] = _mm512_dpbusd_epi32(s[p % 2], x->a[p], q[p]);
        isum[i] = _mm512_mullo_epi32(_mm512_add_epi32(s[0], s[1]), v->b[i]);
    }
}

/* Groups of 16: sums of two products of three weights fit, being up to 6 * 127 * 43. */
INLINE void dot_iq2_16(const looked256 *v, const acts256 *x, const __m512i *sums, __m512i *isum)
{
    (void)sums;
    for (int i = 0; i < PAIRS; i++) {
        __m512i q[8], two = _mm512_setzero_si512();
        pair_codes_iq2(v, i, x, q);
        isum[i] = two;
        for (int p = 0; p < 8; p++) {
            __m512i product = _mm512_maddubs_epi16(x->a[p], q[p]);
            two = p % 3 ? _mm512_add_epi16(two, product) : product;
            if (p % 3 == 2 || p == 7) isum[i] = _mm512_dpwssd_epi32(isum[i], two, v->b[i]);
        }
    }
}

INLINE void look_iq2_xs(const pairs256 *w, const __m512i *table, looked256 *v)
{
    const __m512i even = _mm512_add_epi8(iota_bytes(0), iota_bytes(0)), odd = _mm512_add_epi8(even, bytes_of(1));
    __m512i low[PAIRS], top[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        __m512i a = kept(w->low[i] + 2), b = kept(w->high[i] + 2);
        low[i] = _mm512_permutex2var_epi8(a, even, b);
        top[i] = _mm512_permutex2var_epi8(a, odd, b);
        v->a[i] = even_signs(table + 16, _mm512_srli_epi16(top[i], 1));
        v->b[i] = pair_scales(w, i, 66, 4);
    }
    grid_rows(table, 2, 1, PAIRS, low, top, v->half);
}

INLINE void look_iq2_s(const pairs256 *w, const __m512i *table, looked256 *v)
{
    __m512i low[PAIRS], top[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        low[i] = pair_32(w, i, 2);
        top[i] = pair_bits(pair_8(w, i, 66), 0, 16, 2);
        v->a[i] = pair_32(w, i, 34);
        v->b[i] = pair_scales(w, i, 74, 4);
    }
    grid_rows(table, 2, 2, PAIRS, low, top, v->half);
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

INLINE void chunk_iq4_xs(const rows16 *r, head256 *h, int j, __m512i *q)
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

#define PAIRS_TILE(name, dot, size)                                                                         \
    static __attribute__((noinline)) void name##_one(const simd_tile *t, const __m512i *table)              \
    {                                                                                                       \
        pairs_tile(t, &(const format_pairs){look_##name, dot, scale_iq2, NULL, size, .absolute = true,      \
                                            .ahead = false}, table);                                        \
    }
PAIRS_TILE(iq2_xxs, dot_iq2_xxs, 66)
PAIRS_TILE(iq2_xs, dot_iq2_16, 74)
PAIRS_TILE(iq2_s, dot_iq2_16, 82)

BLOCK256_PANEL(panel_16, 16, false)
BLOCK256_PANEL(panel_32, 32, false)

#define GRID_TILE(name, n, bytes, panel, ...)                                                               \
    static void tile_##name(const simd_tile *t)                                                             \
    {                                                                                                       \
        __m512i table[2 * (n) / 64 + 2];                                                                    \
        table_iq2(quant_grid_##name, n, table);                                                             \
        signs_table(table + 2 * (n) / 64);                                                                  \
        if (t->cols == 1) name##_one(t, table);                                                             \
        else block256_tile(t, &(const format256){head_##name, load_##name, chunk_##name, quad_in_order,     \
                                                 bytes, panel, .table = table, __VA_ARGS__});               \
    }
GRID_TILE(iq2_xxs, 256, 66, panel_32, .group = 32, .zero = 64, .order = 8)
GRID_TILE(iq2_xs, 512, 74, panel_16, .group = 16, .zero = 64, .order = 8, .pairs = true)
GRID_TILE(iq2_s, 1024, 82, panel_16, .group = 16, .zero = 64, .order = 8, .pairs = true)

static const format256 format_iq4_xs = {head_iq4_xs, NULL, chunk_iq4_xs, quad_in_order, 136, panel_32, .group = 32, .zero = 128};
BLOCK256_SOME(iq4_xs)

static void tile_iq4_xs(const simd_tile *t)
{
    if (block256_some(t)) some_iq4_xs(t);
    else block256_tile(t, &format_iq4_xs);
}

const simd_part simd_tile_iq_avx512 = {.t = {.tile = {
    [QUANT_IQ2_XXS] = tile_iq2_xxs,
    [QUANT_IQ2_XS] = tile_iq2_xs,
    [QUANT_IQ2_S] = tile_iq2_s,
    [QUANT_IQ4_XS] = tile_iq4_xs,
}}};
