/* Tiles of TQ1_0 and TQ2_0, AVX-512 VNNI: one scale for 256 weights of three values (quant/blocks.h has the
 * layouts). */
#include "avx512_bits.h"
#include "avx512_block256.h"
#include "parts.h"

INLINE void head_tq2_0(const rows16 *r, head256 *h)
{
    h->d = _mm512_cvtph_ps(rows_u16(r, 64));
}

INLINE void chunk_tq2_0(const rows16 *r, head256 *h, int j, __m512i *q)
{
    __m512i v[4];
    (void)h;
    rows_piece(r, 16 * (size_t)j, v);
    for (int i = 0; i < 16; i++)
        q[i] = _mm512_and_si512(_mm512_srli_epi32(v[i % 4], 2 * (unsigned)(i / 4)), bytes_of(3));
}

/* Two bits of a byte stand for 1, 4, 16 or 64 times a weight where they are not shifted: a sum for each. */
INLINE __m512i sum_quarters(const __m512i *s)
{
    __m512i a = _mm512_add_epi32(s[0], _mm512_srai_epi32(s[1], 2));
    return _mm512_add_epi32(a, _mm512_add_epi32(_mm512_srai_epi32(s[2], 4), _mm512_srai_epi32(s[3], 6)));
}

/* Four digits of each byte of v by n columns: digit i is the weight at[i] of each column's activations on. */
INLINE void dot_quarters(__m512i v, const int *at, int digits, const uint8_t *const *a, int n, __m512i (*s)[4])
{
    for (int i = 0; i < digits; i++) {
        __m512i q = _mm512_and_si512(v, bytes_of(3 << 2 * i));
        for (int c = 0; c < n; c++) s[c][i] = _mm512_dpbusd_epi32(s[c][i], q, bcast_i32(a[c] + at[i]));
    }
}

/* Each column's activations of a block, and what their products start from where codes are weights plus one. */
INLINE void columns_of_ones(const cols256 *x, size_t b, int n, const uint8_t **a, __m512i *isum)
{
    for (int c = 0; c < n; c++) {
        int32_t start;
        a[c] = x->p[c] + x->q + 256 * b;
        starts256(256, 1, sums256(x, 256, c, b), &start);
        isum[c] = _mm512_set1_epi32(start);
    }
}

INLINE void dot_tq2_0(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    const uint8_t *a[BLOCK256_REGS];
    __m512i s[BLOCK256_REGS][4];
    head_tq2_0(r, h);
    columns_of_ones(x, b, n, a, isum);
    for (int c = 0; c < n; c++)
        for (int i = 0; i < 4; i++) s[c][i] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512i v[4];
        rows_piece(r, 16 * (size_t)j, v);
        for (int i = 0; i < 4; i++) {
            int at = 128 * (j / 2) + 16 * (j % 2) + 4 * i;
            dot_quarters(v[i], (int[4]){at, at + 32, at + 64, at + 96}, 4, a, n, s);
        }
    }
    for (int c = 0; c < n; c++) isum[c] = _mm512_add_epi32(isum[c], sum_quarters(s[c]));
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
    const __m512i one = bytes_of(1);
    for (int i = 0; i < n; i++) v = _mm512_add_epi8(v, _mm512_add_epi8(v, v));
    __m512i first = _mm512_min_epu8(_mm512_subs_epu8(v, bytes_of(85)), one);
    return _mm512_add_epi8(first, _mm512_min_epu8(_mm512_subs_epu8(v, bytes_of(170)), one));
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

INLINE void chunk_tq1_0(const rows16 *r, head256 *h, int j, __m512i *q)
{
    (void)r;
    switch (j) {
    case 0: quads_tq1_0(h, 0, q); break;
    case 1: quads_tq1_0(h, 1, q); break;
    case 2: quads_tq1_0(h, 2, q); break;
    default: quads_tq1_0(h, 3, q); break;
    }
}

/* Digits 1 to 4 of a byte, two bits each. */
#define TQ1_DIGIT(b, power) ((((b) * (power) & 255) * 3 >> 8))
#define TQ1_1(b) (uint8_t)(TQ1_DIGIT(b, 3) | TQ1_DIGIT(b, 9) << 2 | TQ1_DIGIT(b, 27) << 4 | TQ1_DIGIT(b, 81) << 6)
#define TQ1_4(b) TQ1_1(b), TQ1_1((b) + 1), TQ1_1((b) + 2), TQ1_1((b) + 3)
#define TQ1_16(b) TQ1_4(b), TQ1_4((b) + 4), TQ1_4((b) + 8), TQ1_4((b) + 12)
#define TQ1_64(b) {TQ1_16(b), TQ1_16((b) + 16), TQ1_16((b) + 32), TQ1_16((b) + 48)}
static const _Alignas(64) uint8_t tq1_digits[4][64] = {TQ1_64(0), TQ1_64(64), TQ1_64(128), TQ1_64(192)};

INLINE void dot_tq1_0(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    const uint8_t *a[BLOCK256_REGS];
    __m512i s[BLOCK256_REGS][4], t[4];
    head_tq1_0(r, h);
    columns_of_ones(x, b, n, a, isum);
    for (int i = 0; i < 4; i++) t[i] = _mm512_load_si512(tq1_digits[i]);
    for (int c = 0; c < n; c++)
        for (int i = 0; i < 4; i++) s[c][i] = _mm512_setzero_si512();
#pragma GCC unroll 13
    for (int j = 0; j < 13; j++) { /* byte l of piece j / 4 */
        __m512i v = h->extra[j], first = digit(v, 0);
        __m512i rest = _mm512_mask_mov_epi8(_mm512_permutex2var_epi8(t[0], v, t[1]), _mm512_movepi8_mask(v),
                                            _mm512_permutex2var_epi8(t[2], v, t[3]));
        int at = j < 8 ? 4 * j : j < 12 ? 160 + 4 * (j - 8) : 240, step = j < 8 ? 32 : j < 12 ? 16 : 4;
        for (int c = 0; c < n; c++) s[c][0] = _mm512_dpbusd_epi32(s[c][0], first, bcast_i32(a[c] + at));
        dot_quarters(rest, (int[4]){at + step, at + 2 * step, at + 3 * step, at + 4 * step}, j < 12 ? 4 : 3, a, n, s);
    }
    for (int c = 0; c < n; c++) isum[c] = _mm512_add_epi32(isum[c], sum_quarters(s[c]));
}

BLOCK256_PANEL(panel_256, 256, false)

static void tile_tq1_0(const simd_tile *t)
{
    block256_tile(t, &(const format256){head_tq1_0, NULL, chunk_tq1_0, quad_in_order, 54, panel_256, .group = 256, .zero = 1,
                                        .dot = dot_tq1_0});
}

static void tile_tq2_0(const simd_tile *t)
{
    block256_tile(t, &(const format256){head_tq2_0, NULL, chunk_tq2_0, quad_by_32, 66, panel_256, .group = 256, .zero = 1,
                                        .dot = dot_tq2_0});
}

const simd_part simd_tile_ternary_avx512 = {.t = {.tile = {
    [QUANT_TQ1_0] = tile_tq1_0,
    [QUANT_TQ2_0] = tile_tq2_0,
}}};
