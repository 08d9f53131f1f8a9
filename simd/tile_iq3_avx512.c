/* Tiles of IQ3_XXS and IQ3_S, AVX-512 VNNI and VBMI: three bits of a grid row a weight, four weights a row
 * (quant/blocks.h has the layouts, avx512_grid.h how rows are looked up).
 *
 * The 64 row numbers of a block are a vector as the file has them. With few columns a block of one row of weights is
 * looked up at a time: vector p has weight p of all 64 grid rows, activations are put in that order, and a dword of
 * the products is of sixteen weights. Sixteen rows of weights are then added up to a lane each.
 *
 * What binds on Zen 4, where a vector takes two turns of a pipe, in turns for 256 weights of a row and one column:
 *             permutations, shifts   other simple ones   products   all on four pipes   measured, cycles
 *   IQ3_XXS   28                     18                  9          13.8                21.3   (98 bytes)
 *   IQ3_S     36                     24                  9          17.3                25.6   (110 bytes)
 * (permutations and shifts have two of the pipes: 14 and 18 cycles). Instructions that do not wait for each other
 * take 16.3 cycles (IQ3_XXS); the rest is that the schedulers hold 64 instructions, less than two rows. */
#include "avx512_block256.h"
#include "parts.h"

/* Bytes that are looked up have the levels of weights 0 and 2, or 1 and 3; with the signs of a grid row in bits 1 to 4
 * of a byte, each weight's sign is among the three bits that its level is not. */
#define IQ3_VALUES(f) \
    {GRID_VALUES(f, 3, 3, 1), GRID_VALUES(f, 3, 3, 2), GRID_VALUES(f, 3, 0, 3), GRID_VALUES(f, 3, 0, 4)}
#define IQ3_XXS_VALUE(level, negative) (64 + ((negative) ? -1 : 1) * ((level) == 7 ? 62 : 4 + 8 * (level)))
#define IQ3_S_VALUE(level, negative) (16 + ((negative) ? -1 : 1) * (1 + 2 * (level)))
static const _Alignas(64) uint8_t iq3_xxs_values[4][64] = IQ3_VALUES(IQ3_XXS_VALUE);
static const _Alignas(64) uint8_t iq3_s_values[4][64] = IQ3_VALUES(IQ3_S_VALUE);

INLINE void table_iq3(const uint16_t *grid, int n, __m512i *table)
{
    _Alignas(64) uint16_t rows[512];
    for (int i = 0; i < n; i++) {
        unsigned r = grid[i];
        rows[i] = (uint16_t)((r & 7) << 3 | (r >> 6 & 7) | (r >> 3 & 7) << 11 | (r >> 9) << 8);
    }
    grid_bytes(rows, n, table, table + n / 64);
}

/* Four weights of each grid row from its halves and the row's signs. */
INLINE void codes_iq3(const __m512i *half, __m512i signs, const uint8_t (*values)[64], __m512i *q)
{
    for (int p = 0; p < 4; p++) q[p] = grid_codes(half[p % 2], p < 2 ? 56 : 7, signs, values[p]);
}

/* ---- many columns: sixteen rows at a time ---- */

/* Two vectors of four rows each; their signs are 32 bits of `signs`. */
INLINE void two_codes_iq3(__m512i (*half)[2], __m512i signs, const uint8_t (*values)[64], __m512i *q)
{
    for (int i = 0; i < 2; i++) codes_iq3(half[i], pick_bits(signs, 16 * i + 63, 4), values, q + 4 * i);
}

/* 2 s + 1 for groups of 32, s in the top bits of v */
INLINE __m512i odd_scale_of(__m512i v) { return _mm512_or_si512(_mm512_srli_epi32(v, 27), dwords_of(1)); }

INLINE void head_iq3_xxs(const rows16 *r, head256 *h)
{
    h->d = _mm512_mul_ps(_mm512_cvtph_ps(rows_u16(r, 0)), _mm512_set1_ps(0.25f));
}

/* extra: rows (8 dwords), signs and scales of four groups */
INLINE void load_iq3_xxs(const rows16 *r, head256 *h, int i)
{
    rows_piece(r, 2 + 32 * (size_t)i, h->extra);
    rows_piece(r, 18 + 32 * (size_t)i, h->extra + 4);
    rows_piece(r, 66 + 16 * (size_t)i, h->extra + 8);
}

INLINE void chunk_iq3_xxs(const rows16 *r, head256 *h, int j, __m512i *q)
{
    int at = j % 2;
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i ss = h->extra[8 + 2 * at + g], half[2][2];
        h->scale[g] = odd_scale_of(ss);
        grid_rows(h->table, 2, 0, 2, h->extra + 4 * at + 2 * g, NULL, half);
        __m512i s7 = pick_bits(ss, 0, 7);
        two_codes_iq3(half, _mm512_permutex2var_epi8(h->table[8], s7, h->table[9]), iq3_xxs_values, q + 8 * g);
    }
}

/* extra: signs (8 dwords), rows' high bits (2), scales */
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
    h->extra[10] = v[3];
    h->d = _mm512_cvtph_ps(rows_u16(r, 0));
}

INLINE void load_iq3_s(const rows16 *r, head256 *h, int i)
{
    rows_piece(r, 2 + 32 * (size_t)i, h->extra + 12);
    rows_piece(r, 18 + 32 * (size_t)i, h->extra + 16);
    h->extra[11] = h->extra[8 + i];
}

INLINE void chunk_iq3_s(const rows16 *r, head256 *h, int j, __m512i *q)
{
    (void)r;
    for (int g = 0; g < 2; g++) {
        __m512i top[2], half[2][2];
        for (int i = 0; i < 2; i++) top[i] = pick_bits(h->extra[11], 16 * (j % 2) + 8 * g + 4 * i, 1);
        grid_rows(h->table, 2, 1, 2, h->extra + 12 + 4 * (j % 2) + 2 * g, top, half);
        __m512i s = _mm512_srl_epi32(h->extra[10], _mm_cvtsi32_si128(8 * j + 4 * g));
        s = _mm512_and_si512(s, dwords_of(15));
        h->scale[g] = _mm512_or_si512(_mm512_add_epi32(s, s), dwords_of(1));
        two_codes_iq3(half, h->extra[2 * j + g], iq3_s_values, q + 8 * g);
    }
}

/* ---- few columns: a row at a time ---- */

/* Byte 64 p + i of a block's activations comes from 4 i + p. */
static void permute_iq3(const uint8_t *from, uint8_t *to, size_t n)
{
    const __m512i by4 = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i quads = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (size_t i = 0; i < n; i += 64) {
        __m512i v = _mm512_shuffle_epi8(_mm512_load_si512(from + i), by4);
        uint8_t *out = to + i / 256 * 256 + i % 256 / 4;
        v = _mm512_permutexvar_epi32(quads, v);
        _mm_store_si128((__m128i *)(void *)out, _mm512_castsi512_si128(v));
        _mm_store_si128((__m128i *)(void *)(out + 64), _mm512_extracti32x4_epi32(v, 1));
        _mm_store_si128((__m128i *)(void *)(out + 128), _mm512_extracti32x4_epi32(v, 2));
        _mm_store_si128((__m128i *)(void *)(out + 192), _mm512_extracti32x4_epi32(v, 3));
    }
}

/* What is looked up of a block: halves of its 64 grid rows, each from two tables, the second of which counts where
 * `which` is set. */
typedef struct found_iq3 {
    __m512i even[2], odd[2], signs;
    __mmask64 which;
} found_iq3;

/* Weights 0, 1, 2 and 3 of the 64 grid rows of a block. */
typedef struct block_iq3 { __m512i q0, q1, q2, q3; } block_iq3;

INLINE __m256i words_iq3(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
INLINE __m512i look_up_128(const __m512i *t, __m512i i) { return _mm512_permutex2var_epi8(t[0], i, t[1]); }

/* Halves from a table of 256. */
INLINE __m512i look_up_256(const __m512i *t, __m512i i, __mmask64 bit7)
{
    return _mm512_mask_mov_epi8(look_up_128(t, i), bit7, look_up_128(t + 2, i));
}

INLINE found_iq3 find_iq3_xxs(const uint8_t *p, const __m512i *table)
{
    __m512i low = _mm512_loadu_si512(p + 2);
    __m256i s7 = _mm256_multishift_epi64_epi8(_mm256_set1_epi64x(0x352e2720150e0700), words_iq3(p + 66));
    __m512i s8 = look_up_128(table + 8, _mm512_castsi256_si512(s7));
    return (found_iq3){{look_up_128(table, low), look_up_128(table + 2, low)},
                       {look_up_128(table + 4, low), look_up_128(table + 6, low)},
                       _mm512_cvtepu8_epi16(_mm512_castsi512_si256(s8)), _mm512_movepi8_mask(low)};
}

INLINE found_iq3 find_iq3_s(const uint8_t *p, const __m512i *table)
{
    __m512i low = _mm512_loadu_si512(p + 2);
    __mmask64 bit7 = _mm512_movepi8_mask(low);
    return (found_iq3){{look_up_256(table, low, bit7), look_up_256(table + 4, low, bit7)},
                       {look_up_256(table + 8, low, bit7), look_up_256(table + 12, low, bit7)},
                       _mm512_cvtepu8_epi16(words_iq3(p + 74)), _cvtu64_mask64(load_u64(p + 66))};
}

INLINE block_iq3 block_of(found_iq3 f, const uint8_t (*v)[64])
{
    /* a byte of signs is in 16 bits: two nibbles, from bit 1 of a byte on */
    __m512i signs = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x332f231f130f033f), f.signs);
    __m512i even = _mm512_mask_mov_epi8(f.even[0], f.which, f.even[1]);
    __m512i odd = _mm512_mask_mov_epi8(f.odd[0], f.which, f.odd[1]);
    return (block_iq3){grid_codes(even, 56, signs, v[0]), grid_codes(odd, 56, signs, v[1]),
                       grid_codes(even, 7, signs, v[2]), grid_codes(odd, 7, signs, v[3])};
}

/* Scales of two rows, of groups 2 i and 2 i + 1 each in 128 bits. */
INLINE __m512i scales_iq3_xxs(const uint8_t *p, const uint8_t *next)
{
    const __m512i both = _mm512_setr_epi32(0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    __m512i a = _mm512_castsi256_si512(words_iq3(p + 66)), b = _mm512_castsi256_si512(words_iq3(next + 66));
    return odd_scale_of(_mm512_permutex2var_epi32(a, both, b));
}

INLINE __m512i scales_iq3_s(const uint8_t *p, const uint8_t *next)
{
    const __m512i nibbles = _mm512_setr_epi32(31, 3, 31, 3, 7, 11, 7, 11, 15, 19, 15, 19, 23, 27, 23, 27);
    __m512i both = _mm512_mask_mov_epi32(bcast_i32(p + 106), 0xcccc, bcast_i32(next + 106));
    return merge(_mm512_rorv_epi32(both, nibbles), dwords_of(30), dwords_of(1));
}

/* Sixteen products a dword. */
INLINE __m512i dot_block(block_iq3 w, __m512i s, const uint8_t *a)
{
    s = _mm512_dpbusd_epi32(s, w.q0, _mm512_load_si512(a));
    s = _mm512_dpbusd_epi32(s, w.q1, _mm512_load_si512(a + 64));
    s = _mm512_dpbusd_epi32(s, w.q2, _mm512_load_si512(a + 128));
    return _mm512_dpbusd_epi32(s, w.q3, _mm512_load_si512(a + 192));
}

/* Sums of neighbouring dwords: 128 bits have two of a, then two of b. */
INLINE __m512i sums_of_two(__m512i a, __m512i b)
{
    __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}

/* Sums of the four 128 bits of four vectors, in order. */
INLINE __m512i sums_of_lanes(__m512i v0, __m512i v1, __m512i v2, __m512i v3)
{
    __m512i a = _mm512_add_epi32(_mm512_shuffle_i32x4(v0, v1, 0x88), _mm512_shuffle_i32x4(v0, v1, 0xdd));
    __m512i b = _mm512_add_epi32(_mm512_shuffle_i32x4(v2, v3, 0x88), _mm512_shuffle_i32x4(v2, v3, 0xdd));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

typedef struct row_iq3 {
    found_iq3 (*find)(const uint8_t *p, const __m512i *table);
    __m512i (*scales)(const uint8_t *p, const uint8_t *next);
    const uint8_t (*values)[64];
    int log2_zero;
} row_iq3;

/* The block of the row that was looked up; looks up the next one at p. A core waits with few instructions at a time, so
 * that it sees no further than a row: what the next one needs must be begun before the products of this one. */
INLINE block_iq3 next_iq3(const row_iq3 *f, found_iq3 *found, const uint8_t *p, const __m512i *table)
{
    block_iq3 w = block_of(*found, f->values);
    found_iq3 n = f->find(p, table);
    __asm__ volatile("" : "+v"(n.even[0]), "+v"(n.even[1]), "+v"(n.odd[0]), "+v"(n.odd[1]), "+v"(n.signs), "+v"(w.q0),
                     "+v"(w.q1), "+v"(w.q2), "+v"(w.q3));
    *found = n;
    return w;
}

/* Isums of two rows that follow each other by n columns, two in each 128 bits; looks up the row at `next`. */
INLINE void two_iq3(const row_iq3 *f, found_iq3 *found, const uint8_t *p, size_t stride, const uint8_t *next,
                    const __m512i *table, const uint8_t *const *a, int n, const __m512i *start, __m512i *sum)
{
    block_iq3 w = next_iq3(f, found, p + stride, table);
#pragma GCC unroll 4
    for (int c = 0; c < n; c++) sum[c] = dot_block(w, start[c], a[c]);
    w = next_iq3(f, found, next, table);
    __m512i scale = f->scales(p, p + stride);
#pragma GCC unroll 4
    for (int c = 0; c < n; c++)
        sum[c] = _mm512_mullo_epi32(sums_of_two(sum[c], dot_block(w, start[c], a[c])), scale);
}

/* Sums that are not side by side: Zen 4 has a load of 64 bytes wait for a store of 64 to the line after it. */
typedef struct apart { __m512i sums, unused; } apart;

/* Isums of rows 4 l to 4 l + 3, four in each 128 bits; looks up the row after them. */
INLINE void four_iq3(const row_iq3 *f, found_iq3 *found, const rows16 *r, int l, const __m512i *table,
                     const uint8_t *const *a, int n, const __m512i *start, apart (*four)[4])
{
    const uint8_t *p = r->p[l], *q = p + 2 * r->stride;
    __m512i s[2][BLOCK256_REGS];
    two_iq3(f, found, p, r->stride, q, table, a, n, start, s[0]);
    two_iq3(f, found, q, r->stride, r->p[l < 3 ? l + 1 : l], table, a, n, start, s[1]);
#pragma GCC unroll 4
    for (int c = 0; c < n; c++) four[c][l].sums = sums_of_two(s[0][c], s[1][c]);
}

INLINE void dot_iq3(const row_iq3 *f, const rows16 *r, const __m512i *table, const cols256 *x, size_t b, int n,
                    __m512i *isum)
{
    __m512i start[BLOCK256_REGS];
    apart four[BLOCK256_REGS][4];
    const uint8_t *a[BLOCK256_REGS];
    for (int c = 0; c < n; c++) { /* the sums of 32 activations, in the first of two dwords */
        __m128i s = _mm_loadu_si128((const __m128i *)(const void *)sums256(x, 32, c, b));
        __m512i zero = _mm512_slli_epi32(_mm512_cvtepi16_epi64(s), (unsigned)f->log2_zero);
        start[c] = _mm512_maskz_sub_epi32(0x5555, _mm512_setzero_si512(), zero);
        a[c] = x->codes[c] + 256 * b;
    }
    found_iq3 found = f->find(r->p[0], table);
    if (n == 1) {
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) four_iq3(f, &found, r, l, table, a, 1, start, four);
    } else {
#pragma GCC unroll 1
        for (int l = 0; l < 4; l++) four_iq3(f, &found, r, l, table, a, n, start, four);
    }
    for (int c = 0; c < n; c++)
        isum[c] = sums_of_lanes(four[c][0].sums, four[c][1].sums, four[c][2].sums, four[c][3].sums);
}

INLINE void dot_iq3_xxs(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    head_iq3_xxs(r, h);
    dot_iq3(&(const row_iq3){find_iq3_xxs, scales_iq3_xxs, iq3_xxs_values, 6}, r, h->table, x, b, n, isum);
}

INLINE void dot_iq3_s(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    h->d = _mm512_cvtph_ps(rows_u16(r, 0));
    dot_iq3(&(const row_iq3){find_iq3_s, scales_iq3_s, iq3_s_values, 4}, r, h->table, x, b, n, isum);
}

BLOCK256_PANEL(panel_32, 32, false)

static void tile_iq3_xxs(const simd_tile *t)
{
    __m512i table[10];
    table_iq3(quant_grid_iq3_xxs, 256, table);
    signs_table(table + 8);
    block256_tile(t, &(const format256){head_iq3_xxs, load_iq3_xxs, chunk_iq3_xxs, quad_in_order, 98, panel_32,
                                        .table = table, .group = 32, .zero = 64, .order = 4, .dot = dot_iq3_xxs,
                                        .permute = permute_iq3});
}

static void tile_iq3_s(const simd_tile *t)
{
    __m512i table[16];
    table_iq3(quant_grid_iq3_s, 512, table);
    block256_tile(t, &(const format256){head_iq3_s, load_iq3_s, chunk_iq3_s, quad_in_order, 110, panel_32,
                                        .table = table, .group = 32, .zero = 16, .order = 4, .few = BLOCK256_FEW,
                                        .dot = dot_iq3_s, .permute = permute_iq3});
}

const simd_part simd_tile_iq3_avx512 = {.t = {.tile = {
    [QUANT_IQ3_XXS] = tile_iq3_xxs,
    [QUANT_IQ3_S] = tile_iq3_s,
}}};
