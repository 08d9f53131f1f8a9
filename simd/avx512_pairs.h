/* The grids against one column of activations: two rows of weights a vector, for the AVX-512 kernels alone.
 *
 * A block of 256 weights is 32 rows of a grid, eight weights each: byte o of a vector's low half is row o of the grid
 * in one row of weights, of its high half in another, so that what a block says of them is read where it lies. Weight
 * p of all grid rows makes one vector, and the activations are put in that order beforehand. The sums of sixteen rows
 * of weights, a dword a group of 32, are folded once a block. src/README.md has what bounds this. */
#ifndef SIMD_AVX512_PAIRS_H
#define SIMD_AVX512_PAIRS_H

#include "avx512_grid.h"

enum {
    PAIRS = 2,          /* vectors at a time: tables take longer to load than to look up in */
    PAIRS_BLOCKS = 512, /* whose activations are put in order at a time */
};

/* A block's activations: vector p has those that meet weight p, twice. */
typedef struct acts256 {
    __m512i a[8];
    __m512i negative; /* where their signs are taken to the weights: bit p of a byte */
} acts256;

/* A block of four rows of weights: vector i has rows low[i] and high[i]. */
typedef struct pairs256 {
    const uint8_t *low[PAIRS], *high[PAIRS];
} pairs256;

/* 32 bytes of each. */
INLINE __m512i pair_32(const pairs256 *w, int i, size_t off)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(w->low[i] + off));
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(w->high[i] + off));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* 8 bytes of each, four times. */
INLINE __m512i pair_8(const pairs256 *w, int i, size_t off)
{
    __m512i v = _mm512_set1_epi64((long long)load_u64(w->low[i] + off));
    return _mm512_mask_blend_epi64(0xf0, v, _mm512_set1_epi64((long long)load_u64(w->high[i] + off)));
}

/* Of eight bytes of each (or what qword l has of them): byte i of qword l has their bits from `from` + by_qword * l +
 * step * i on. */
INLINE __m512i pair_bits(__m512i v, int from, int by_qword, int step)
{
    _Alignas(64) uint8_t at[64];
    for (int i = 0; i < 64; i++) at[i] = (uint8_t)((from + by_qword * (i / 8 % 4) + step * (i % 8)) & 63);
    return _mm512_multishift_epi64_epi8(_mm512_load_si512(at), v);
}

/* 16 bytes of each; two qwords have the same eight. */
INLINE __m512i pair_16(const pairs256 *w, int i, size_t off)
{
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(w->low[i] + off)));
    v = _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)(const void *)(w->high[i] + off)), 1);
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), _mm512_castsi256_si512(v));
}

/* 2 s + 1 of sixteen scales of `bits` bits, four in each word of eight bytes, as the words of four dwords a row. */
INLINE __m512i pair_scales(const pairs256 *w, int i, size_t off, int bits)
{
    _Alignas(64) uint8_t at[64];
    for (int k = 0; k < 64; k++) at[k] = (uint8_t)((63 + 16 * (k / 8 % 4) + bits * (k % 8 / 2)) & 63);
    __m512i v = _mm512_multishift_epi64_epi8(_mm512_load_si512(at), pair_8(w, i, off));
    return merge(v, _mm512_set1_epi16((short)((2 << bits) - 2)), _mm512_set1_epi16(1));
}

/* Zen 4 has a load of 64 bytes wait for a store of 64 to the line after it. */
typedef struct sum_apart { __m512i v, unused; } sum_apart;

/* v[i]: rows i and i + 4, v[4 + i]: rows i + 8 and i + 12; the sums of all sixteen. */
INLINE __m512i pairs_fold(const sum_apart *v)
{
    __m512i a[4], b[2];
    for (int i = 0; i < 4; i++, v += 2)
        a[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0].v, v[1].v), _mm512_unpackhi_epi32(v[0].v, v[1].v));
    for (int i = 0; i < 2; i++) {
        __m512i lo = _mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]), hi = _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]);
        b[i] = _mm512_add_epi32(lo, hi);
    }
    return _mm512_add_epi32(_mm512_shuffle_i32x4(b[0], b[1], 0x88), _mm512_shuffle_i32x4(b[0], b[1], 0xdd));
}

/* What was looked up for a block of four rows of weights: halves of grid rows, and what else the format knows. */
typedef struct looked256 {
    __m512i half[PAIRS][2], a[PAIRS], b[PAIRS];
} looked256;

typedef struct format_pairs {
    void (*look)(const pairs256 *w, const __m512i *table, looked256 *v);
    /* The sums of a block of four rows; sums: what `sums` made of the block's of activations. */
    void (*dot)(const looked256 *v, const acts256 *x, const __m512i *sums, __m512i *isum);
    __m512 (*scale)(const rows16 *r);
    void (*sums)(const simd_act *x, const uint8_t *column, size_t block, __m512i *sums); /* or NULL */
    size_t bytes;  /* of a block */
    bool absolute; /* the activations' signs are taken to the weights */
    bool ahead;    /* the next four rows are looked up before these are multiplied: where that is faster */
} format_pairs;

/* 256 activations in the order of the vectors. */
INLINE void acts256_fill(acts256 *x, const uint8_t *from, bool absolute)
{
    _Alignas(64) uint8_t at[64], negative[64];
    const __m512i left = _mm512_setr_epi64(0, 8, 0, 0, 0, 8, 0, 0), right = _mm512_setr_epi64(0, 0, 0, 8, 0, 0, 0, 8);
    __m512i v[4];
    for (int i = 0; i < 64; i++) at[i] = (uint8_t)(i % 8 * 8 + i / 8);
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_load_si512(from + 64 * i);
        uint64_t below = _mm512_movepi8_mask(v[i]);
        memcpy(negative + 8 * i, &below, 8);
        memcpy(negative + 32 + 8 * i, &below, 8);
        if (absolute) v[i] = _mm512_abs_epi8(v[i]);
        v[i] = _mm512_permutexvar_epi8(_mm512_load_si512(at), v[i]);
    }
    x->negative = _mm512_load_si512(negative);
    for (int p = 0; p < 8; p++) {
        const __m512i by = _mm512_set1_epi64(p);
        __m512i a = _mm512_permutex2var_epi64(v[0], _mm512_add_epi64(left, by), v[1]);
        __m512i b = _mm512_permutex2var_epi64(v[2], _mm512_add_epi64(right, by), v[3]);
        x->a[p] = _mm512_mask_blend_epi64(0xcc, a, b);
    }
}

/* Rows 0, 4, 8 and 12 of sixteen, from byte `at` on. */
INLINE pairs256 pairs_at(const rows16 *r, size_t at)
{
    return (pairs256){.low = {r->p[0] + at, r->p[2] + at}, .high = {r->p[1] + at, r->p[3] + at}};
}

/* Sixteen rows over some blocks, from what the output has. */
INLINE void pairs_rows(const format_pairs *f, const simd_tile *t, group16 g, const acts256 *x, size_t block, size_t nb,
                       const __m512i *table, const uint8_t *soon)
{
    const uint8_t *column = column_of(t, 0);
    float *y = output_of(t, 0) + g.row;
    __m512 acc = block > 0 ? _mm512_maskz_loadu_ps(g.keep, y) : _mm512_setzero_ps();
    const pairs256 first = pairs_at(&g.r, 0);
    looked256 v, next;
    f->look(&first, table, &next);
    for (size_t b = 0; b < nb; b++, x++) {
        sum_apart isum[8];
        __m512i sums[2];
        size_t at = 0, last = b + 1 < nb ? f->bytes : 0; /* nothing is read after the last block */
        if (soon) fetch_soon(soon + 16 * f->bytes * b, 16 * f->bytes);
        if (f->sums) f->sums(t->x, column, block + b, sums);
#pragma GCC unroll 1
        for (int e = 0; e < 4; e++) {
            __m512i s[PAIRS];
            const pairs256 w = pairs_at(&g.r, f->ahead ? e < 3 ? at + g.r.stride : last : at);
            if (f->ahead) v = next;
            f->look(&w, table, f->ahead ? &next : &v);
            f->dot(&v, x, sums, s);
            for (int i = 0; i < PAIRS; i++) isum[4 * i + e].v = s[i];
            at += g.r.stride;
        }
        __m512 d = _mm512_mul_ps(f->scale(&g.r), bcast_f32(column + t->x->off_d + 4 * (block + b)));
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(pairs_fold(isum)), d, acc);
        rows_advance(&g.r, f->bytes);
    }
    _mm512_mask_storeu_ps(y, g.keep, acc);
}

/* A tile of one column. */
INLINE void pairs_tile(const simd_tile *t, const format_pairs *f, const __m512i *table)
{
    acts256 *x = t->scratch;
    uint8_t *copy = (uint8_t *)(x + PAIRS_BLOCKS);
    size_t blocks = (size_t)t->k / 256;
    fetch_first(t);
    for (size_t b = 0, nb; b < blocks; b += nb) {
        nb = blocks - b < PAIRS_BLOCKS ? blocks - b : PAIRS_BLOCKS;
        for (size_t i = 0; i < nb; i++) acts256_fill(x + i, column_of(t, 0) + 256 * (b + i), f->absolute);
        for (int64_t r = 0; r < t->rows; r += 16) {
            group16 g = group_at(t, r, b * f->bytes, nb * f->bytes, copy);
            pairs_rows(f, t, g, x, b, nb, table, soon_after(t, r));
        }
    }
}

#endif
