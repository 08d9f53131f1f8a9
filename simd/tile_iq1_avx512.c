/* Tiles of IQ1_S and IQ1_M, AVX-512 VNNI and VBMI: ternary rows of eight, shifted by an eighth up or down
 * (quant/blocks.h has the layouts, avx512_grid.h how rows are looked up).
 *
 * A byte that is looked up holds four digits of two bits. With few columns they are multiplied where they stand,
 * as 1, 4, 16 or 64 times a digit, and what the digits' zero and the shift add is taken from sums of activations. */
#include "avx512_block256.h"
#include "avx512_pairs.h"
#include "parts.h"

#define IQ1_VALUE(level, down) (8 * ((level) % 3) + ((down) ? 7 : 9))
static const _Alignas(64) uint8_t iq1_values[3][64] = {
    GRID_VALUES(IQ1_VALUE, 2, 0, 3), GRID_VALUES(IQ1_VALUE, 2, 2, 5), GRID_VALUES(IQ1_VALUE, 2, 4, 3),
};

enum { IQ1_STEPS = 32, IQ1_TABLE = 64 }; /* vectors: low bytes of the rows, then the steps; high bytes come last */

/* The grid is in ascending order, and the high halves of sixteen rows from a multiple of sixteen on are one value,
 * or two: those of rows 0, of rows 15, and the first row of the second. */
INLINE void table_iq1(__m512i *table)
{
    __m512i high[32];
    uint8_t *to = (uint8_t *)(table + IQ1_STEPS);
    grid_bytes(quant_grid_iq1, 2048, table, high);
    for (int g = 0; g < 128; g++) {
        const uint16_t *row = quant_grid_iq1 + 16 * g;
        int n = 0;
        while (n < 16 && row[n] >> 8 == row[0] >> 8) n++;
        to[g] = (uint8_t)(row[0] >> 8);
        to[128 + g] = (uint8_t)(row[15] >> 8);
        to[256 + g] = (uint8_t)n;
    }
}

/* Two vectors of rows; bits 0 to 2 of a byte of top are bits 8 to 10 of a row's number. */
INLINE void rows_iq1(const __m512i *table, const __m512i *low, const __m512i *top, __m512i (*half)[2])
{
    const __m512i *step = table + IQ1_STEPS;
    grid_rows(table, 1, 3, 2, low, top, half);
    const __m512i n0 = kept(step + 4), n1 = kept(step + 5), first0 = kept(step), first1 = kept(step + 1);
    const __m512i last0 = kept(step + 2), last1 = kept(step + 3);
    for (int i = 0; i < 2; i++) {
        __m512i l = _mm512_srli_epi16(low[i], 4), t = _mm512_slli_epi16(top[i], 4);
        __m512i sixteen = _mm512_ternarylogic_epi32(bytes_of(15), l, t, 0xca);
        __m512i n = _mm512_permutex2var_epi8(n0, sixteen, n1);
        __m512i hi = _mm512_permutex2var_epi8(first0, sixteen, first1);
        __mmask64 second = _mm512_cmpge_epu8_mask(_mm512_and_si512(low[i], bytes_of(15)), n);
        half[i][1] = _mm512_mask_mov_epi8(hi, second, _mm512_permutex2var_epi8(last0, sixteen, last1));
    }
}

/* Bit 3 of down, bit 5 of down2 shift a row down. */
INLINE void codes_iq1(const __m512i *half, __m512i down, __m512i down2, __m512i *q)
{
    for (int i = 0; i < 2; i++, q += 4) {
        q[0] = grid_codes(half[i], 3, down, iq1_values[0]);
        q[1] = grid_codes(half[i], 12, down2, iq1_values[1]);
        q[2] = grid_codes(half[i], 48, down, iq1_values[2]);
        q[3] = grid_codes(_mm512_srli_epi16(half[i], 2), 48, down, iq1_values[2]);
    }
}

/* Digit p of the four in each byte, times 4^p. */
INLINE __m512i digits(__m512i v, int p) { return _mm512_and_si512(v, bytes_of(3 << 2 * p)); }

/* ---- IQ1_S ---- */

/* extra: qh (4 dwords of two groups) */
INLINE void head_iq1_s(const rows16 *r, head256 *h)
{
    rows_piece(r, 34, h->extra);
    h->d = _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, 0)), _mm512_set1_ps(0.125f));
}

/* extra: then rows' low bytes of four groups */
INLINE void load_iq1_s(const rows16 *r, head256 *h, int i) { rows_piece(r, 2 + 16 * (size_t)i, h->extra + 4); }

/* The rows of quarter j. */
INLINE void quarter_iq1_s(const head256 *h, int j, __m512i (*half)[2])
{
    __m512i top[2] = {pick_bits(h->extra[j], 0, 3), pick_bits(h->extra[j], 16, 3)};
    rows_iq1(h->table, h->extra + 4 + 2 * (j % 2), top, half);
}

/* 2 s + 1 of two groups. */
INLINE __m512i scales_iq1_s(__m512i qh)
{
    const __m512i one = _mm512_set1_epi16(1), bits = _mm512_set1_epi16(14);
    return merge(_mm512_srli_epi16(qh, 11), bits, one);
}

INLINE void chunk_iq1_s(const rows16 *r, head256 *h, int j, __m512i *q)
{
    __m512i qh = h->extra[j], scales = scales_iq1_s(qh), half[2][2];
    (void)r;
    quarter_iq1_s(h, j, half);
    h->scale[0] = _mm512_and_si512(scales, dwords_of(0xffff));
    h->scale[1] = _mm512_srli_epi32(scales, 16);
    for (int g = 0; g < 2; g++)
        codes_iq1(half[g], pick_bits(qh, 16 * g + 12, 0), pick_bits(qh, 16 * g + 10, 0), q + 8 * g);
}

/* The products of a group's digits. */
INLINE __m512i dot_digits(const __m512i *half, const uint8_t *a)
{
    __m512i s = _mm512_setzero_si512();
    for (int p = 3; p >= 0; p--) {
        for (int i = 0; i < 2; i++) s = _mm512_dpbusd_epi32(s, digits(half[i], p), bcast_i32(a + 16 * i + 4 * p));
        if (p > 0) s = _mm512_srai_epi32(s, 2);
    }
    return s;
}

/* 8 (digits - 1) + or - 1: three sums a column. */
INLINE void dot_iq1_s(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    __m512i shift[BLOCK256_REGS];
    head_iq1_s(r, h);
    for (int c = 0; c < n; c++) isum[c] = shift[c] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512i qh = h->extra[j], scales = scales_iq1_s(qh), half[2][2];
        __m512i down = _mm512_mask_sub_epi16(scales, _mm512_movepi16_mask(qh), _mm512_setzero_si512(), scales);
        if (j % 2 == 0) load_iq1_s(r, h, j / 2);
        quarter_iq1_s(h, j, half);
        down = _mm512_sub_epi16(down, _mm512_slli_epi16(scales, 3));
        for (int c = 0; c < n; c++) {
            const uint8_t *a = x->codes[c] + 256 * b + 64 * j;
            __m512i lo = dot_digits(half[0], a), hi = dot_digits(half[1], a + 32);
            isum[c] = _mm512_add_epi32(isum[c], _mm512_mullo_epi32(lo, _mm512_and_si512(scales, dwords_of(0xffff))));
            isum[c] = _mm512_add_epi32(isum[c], _mm512_mullo_epi32(hi, _mm512_srli_epi32(scales, 16)));
            shift[c] = _mm512_dpwssd_epi32(shift[c], down, bcast_i32(sums256(x, 32, c, b) + 4 * j));
        }
    }
    for (int c = 0; c < n; c++) isum[c] = _mm512_add_epi32(_mm512_slli_epi32(isum[c], 3), shift[c]);
}

/* ---- IQ1_M ---- */

/* extra: qh (4 dwords of eight nibbles), scales (2 dwords) */
INLINE void head_iq1_m(const rows16 *r, head256 *h)
{
    __m512i v[4], d = _mm512_setzero_si512();
    rows_piece(r, 32, h->extra);
    rows_piece(r, 40, v); /* the scales are the last 8 of these bytes */
    for (int i = 0; i < 4; i++) {
        __m512i top = _mm512_srli_epi32(v[2 + i / 2], i % 2 ? 28 : 12);
        if (i % 2 == 0) top = _mm512_and_si512(top, dwords_of(15));
        d = _mm512_or_si512(d, _mm512_slli_epi32(top, 4 * (unsigned)i));
    }
    h->extra[4] = v[2];
    h->extra[5] = v[3];
    h->d = _mm512_mul_ps(low_f16(d), _mm512_set1_ps(0.125f));
}

/* extra: then rows' low bytes of four groups */
INLINE void load_iq1_m(const rows16 *r, head256 *h, int i) { rows_piece(r, 16 * (size_t)i, h->extra + 6); }

/* 2 s + 1 of the four groups of quarter j. */
INLINE void scales_iq1_m(head256 *h, int j)
{
    __m512i s = _mm512_and_si512(pick_bits(h->extra[4 + j / 2], 16 * (j % 2) + 63, 3), bytes_of(14));
    pairs_unsigned(_mm512_or_si512(s, bytes_of(1)), h->pair);
}

INLINE void chunk_iq1_m(const rows16 *r, head256 *h, int j, __m512i *q)
{
    int at = 2 * (j % 2);
    __m512i half[2][2], top[2] = {pick_bits(h->extra[j], 0, 4), pick_bits(h->extra[j], 16, 4)};
    (void)r;
    scales_iq1_m(h, j);
    rows_iq1(h->table, h->extra + 6 + at, top, half);
    for (int g = 0; g < 2; g++)
        codes_iq1(half[g], top[g], pick_bits(h->extra[j], 16 * g + 62, 4), q + 8 * g);
}

/* ---- one column ---- */

/* As rows_iq1, with bits 8 to 10 of a number in bits 4 to 6 of top: two of them and bit 7 choose among results. */
INLINE void pair_rows_iq1(const __m512i *table, const __m512i *low, const __m512i *top, __m512i (*half)[2])
{
    const __m512i *step = table + IQ1_STEPS;
    __m512i v[PAIRS][4], bits[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        bits[i] = _mm512_and_si512(top[i], bytes_of(48));
        for (int k = 0; k < 4; k++) v[i][k] = low[i];
    }
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) {
        __mmask64 here[PAIRS];
        for (int i = 0; i < PAIRS; i++) here[i] = _mm512_cmpeq_epi8_mask(bits[i], bytes_of(16 * part));
        for (int k = 0; k < 4; k++) {
            const __m512i *from = table + 16 * (k / 2) + 4 * part + 2 * (k % 2);
            __m512i a = kept(from), b = kept(from + 1);
            for (int i = 0; i < PAIRS; i++) v[i][k] = _mm512_mask2_permutex2var_epi8(a, v[i][k], here[i], b);
        }
    }
    const __m512i n0 = kept(step + 4), n1 = kept(step + 5), first0 = kept(step), first1 = kept(step + 1);
    const __m512i last0 = kept(step + 2), last1 = kept(step + 3);
    for (int i = 0; i < PAIRS; i++) {
        __mmask64 bit7 = _mm512_movepi8_mask(low[i]), bit10 = _mm512_test_epi8_mask(top[i], bytes_of(64));
        __m512i a = _mm512_mask_mov_epi8(v[i][0], bit7, v[i][1]), b = _mm512_mask_mov_epi8(v[i][2], bit7, v[i][3]);
        half[i][0] = _mm512_mask_mov_epi8(a, bit10, b);
        __m512i sixteen = _mm512_ternarylogic_epi32(bytes_of(15), _mm512_srli_epi16(low[i], 4), top[i], 0xca);
        __m512i n = _mm512_permutex2var_epi8(n0, sixteen, n1);
        __mmask64 second = _mm512_cmpge_epu8_mask(_mm512_and_si512(low[i], bytes_of(15)), n);
        half[i][1] = _mm512_mask_mov_epi8(_mm512_permutex2var_epi8(first0, sixteen, first1), second,
                                          _mm512_permutex2var_epi8(last0, sixteen, last1));
    }
}

/* -7 and -9 times the sums of groups of 32 */
INLINE void sums_iq1_s(const simd_act *x, const uint8_t *column, size_t block, __m512i *sums)
{
    const uint8_t *s = column + x->off_s32 + 16 * block;
    __m512i v = _mm512_broadcast_i64x4(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)s)));
    sums[0] = _mm512_mullo_epi32(v, dwords_of(-7));
    sums[1] = _mm512_mullo_epi32(v, dwords_of(-9));
}

INLINE __m512 scale_iq1_s(const rows16 *r)
{
    return _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, 0)), _mm512_set1_ps(0.125f));
}

/* a: scales at bits 1 to 3 of a dword, its highest bit shifts down */
INLINE void look_iq1_s(const pairs256 *w, const __m512i *table, looked256 *v)
{
    _Alignas(64) uint8_t tops[64], scales[64];
    __m512i low[PAIRS], top[PAIRS];
    for (int i = 0; i < 64; i++) { /* words of qh: two a qword from one, two from the next */
        int word = 32 * (i / 8 % 2) + 16 * (i % 8 / 4);
        tops[i] = (uint8_t)((word + 3 * (i % 4) + 60) & 63);
        scales[i] = (uint8_t)(word + (i % 4 == 0 ? 11 : 8));
    }
    for (int i = 0; i < PAIRS; i++) {
        __m512i qh = pair_16(w, i, 34);
        low[i] = pair_32(w, i, 2);
        top[i] = _mm512_multishift_epi64_epi8(_mm512_load_si512(tops), qh);
        v->a[i] = _mm512_multishift_epi64_epi8(_mm512_load_si512(scales), qh);
    }
    pair_rows_iq1(table, low, top, v->half);
}

INLINE void pair_dot_iq1_s(const looked256 *v, const acts256 *x, const __m512i *sums, __m512i *isum)
{
    for (int i = 0; i < PAIRS; i++) {
        __m512i d[4];
        for (int p = 0; p < 4; p++) {
            d[p] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), digits(v->half[i][0], p), x->a[p]);
            d[p] = _mm512_dpbusd_epi32(d[p], digits(v->half[i][1], p), x->a[4 + p]);
        }
        for (int p = 3; p > 0; p--) d[p - 1] = _mm512_add_epi32(d[p - 1], _mm512_srai_epi32(d[p], 2));
        __m512i s = _mm512_add_epi32(_mm512_slli_epi32(d[0], 3),
                                     _mm512_mask_mov_epi32(sums[0], _mm512_movepi32_mask(v->a[i]), sums[1]));
        isum[i] = _mm512_mullo_epi32(s, merge(v->a[i], dwords_of(14), dwords_of(1)));
    }
}

/* -9 times the sums of groups of 16 */
INLINE void sums_iq1_m(const simd_act *x, const uint8_t *column, size_t block, __m512i *sums)
{
    const uint8_t *s = column + x->off_s16 + 32 * block;
    __m512i v = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)s));
    sums[0] = _mm512_mullo_epi16(v, _mm512_set1_epi16(-9));
}

INLINE __m512 scale_iq1_m(const rows16 *r)
{
    __m128i v[4];
    for (int l = 0; l < 4; l++) {
        uint64_t d[4];
        for (size_t e = 0; e < 4; e++) d[e] = _pext_u64(load_u64(r->p[l] + e * r->stride + 48), 0xf000f000f000f000);
        v[l] = _mm_cvtsi64_si128((long long)(d[0] | d[1] << 16 | d[2] << 32 | d[3] << 48));
    }
    __m256i d = _mm256_set_m128i(_mm_unpacklo_epi64(v[2], v[3]), _mm_unpacklo_epi64(v[0], v[1]));
    return _mm512_mul_ps(_mm512_cvtph_ps(d), _mm512_set1_ps(0.125f));
}

/* a: bit 0 of a byte shifts up */
INLINE void look_iq1_m(const pairs256 *w, const __m512i *table, looked256 *v)
{
    _Alignas(64) uint8_t tops[64];
    __m512i low[PAIRS], top[PAIRS];
    for (int i = 0; i < 64; i++) tops[i] = (uint8_t)((32 * (i / 8 % 2) + 4 * (i % 8) + 60) & 63);
    for (int i = 0; i < PAIRS; i++) {
        low[i] = pair_32(w, i, 0);
        top[i] = _mm512_multishift_epi64_epi8(_mm512_load_si512(tops), pair_16(w, i, 32));
        v->a[i] = _mm512_andnot_si512(_mm512_srli_epi16(top[i], 7), bytes_of(1));
        v->b[i] = pair_scales(w, i, 48, 3);
    }
    pair_rows_iq1(table, low, top, v->half);
}

/* 8 (digit - 1) + or - 1 is 2 (4 digit + up) - 9. The sum of sixteen fits 16 bits; its first part may wrap around. */
INLINE void pair_dot_iq1_m(const looked256 *v, const acts256 *x, const __m512i *sums, __m512i *isum)
{
    for (int i = 0; i < PAIRS; i++) {
        __m512i s[2];
        for (int k = 0; k < 2; k++) {
            __m512i h = v->half[i][k];
            const __m512i at2[4] = {_mm512_slli_epi16(h, 2), h, _mm512_srli_epi16(h, 2), _mm512_srli_epi16(h, 4)};
            for (int p = 0; p < 4; p++) {
                __m512i c = _mm512_ternarylogic_epi32(bytes_of(12), at2[p], v->a[i], 0xca); /* mask ? digit : up */
                __m512i product = _mm512_maddubs_epi16(c, x->a[4 * k + p]);
                s[k] = p ? _mm512_add_epi16(s[k], product) : product;
            }
        }
        s[0] = _mm512_add_epi16(s[0], s[1]);
        s[0] = _mm512_add_epi16(_mm512_add_epi16(s[0], s[0]), sums[0]);
        isum[i] = _mm512_madd_epi16(s[0], v->b[i]);
    }
}

#define PAIRS_TILE(name, size)                                                                              \
    static __attribute__((noinline)) void name##_one(const simd_tile *t, const __m512i *table)              \
    {                                                                                                       \
        pairs_tile(t, &(const format_pairs){look_##name, pair_dot_##name, scale_##name, sums_##name, size,  \
                                            .absolute = false, .ahead = true}, table);                      \
    }
PAIRS_TILE(iq1_s, 50)
PAIRS_TILE(iq1_m, 56)

BLOCK256_PANEL(panel_16, 16, false)
BLOCK256_PANEL(panel_32, 32, false)

static void tile_iq1_s(const simd_tile *t)
{
    __m512i table[IQ1_TABLE];
    table_iq1(table);
    if (t->cols == 1) {
        iq1_s_one(t, table);
        return;
    }
    block256_tile(t, &(const format256){head_iq1_s, load_iq1_s, chunk_iq1_s, quad_in_order, 50, panel_32, .table = table,
                                        .group = 32, .zero = 16, .order = 8, .dot = dot_iq1_s});
}

static void tile_iq1_m(const simd_tile *t)
{
    __m512i table[IQ1_TABLE];
    table_iq1(table);
    if (t->cols == 1) {
        iq1_m_one(t, table);
        return;
    }
    block256_tile(t, &(const format256){head_iq1_m, load_iq1_m, chunk_iq1_m, quad_in_order, 56, panel_16, .table = table,
                                        .group = 16, .zero = 16, .order = 8, .pairs = true});
}

const simd_part simd_tile_iq1_avx512 = {.t = {.tile = {
    [QUANT_IQ1_S] = tile_iq1_s,
    [QUANT_IQ1_M] = tile_iq1_m,
}}};
