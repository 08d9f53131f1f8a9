/* Many columns of activations over panels of 32 rows, for the integer tiles on AVX-512.
 *
 * A panel is some blocks of 32 rows, few enough to stay in the cache while all columns pass; a register tile takes
 * up to STRIP_TILE of them at a time. What a tile has summed up before the panel's last block waits in a buffer of
 * its own, since outputs of neighbouring columns lie a whole column apart, often a power of two, and evict each other. */
#ifndef SIMD_AVX512_STRIP_H
#define SIMD_AVX512_STRIP_H

#include "avx512_rows.h"

enum {
    STRIP_TILE = 6,    /* columns of a register tile, */
    STRIP_COLS = 1024, /* and at most of a strip: their sums stay in L2 */
};

typedef __m512 two_sums[2]; /* of 32 rows */

typedef struct strip {
    int cols;
    const uint8_t **x; /* columns: activations, */
    float **y;         /* outputs, */
    two_sums *sums;    /* and what has been summed up by the panels before */
    group16 rows[2];
    bool first, last;  /* panel of these rows */
    size_t q, d, s;    /* where a column's codes, scale and sums for the panel begin */
    const char *soon, *end; /* what will be read next: so many lines of it are fetched with each step of a tile */
    size_t pace;
} strip;

/* Room for a strip at p; returns the first byte after it. */
INLINE uint8_t *strip_place(strip *s, uint8_t *p)
{
    s->sums = (two_sums *)(void *)p;
    s->x = (const uint8_t **)(void *)(s->sums + STRIP_COLS);
    s->y = (float **)(s->x + STRIP_COLS);
    return (uint8_t *)(s->y + STRIP_COLS);
}

INLINE void strip_columns(strip *s, const simd_tile *t, int from, int n)
{
    s->cols = n;
    for (int c = 0; c < n; c++) {
        s->x[c] = column_of(t, from + c);
        s->y[c] = output_of(t, from + c);
    }
}

/* How many of the `left` columns the next strip has. */
INLINE int strip_size(int left)
{
    int strips = (left + STRIP_COLS - 1) / STRIP_COLS;
    return (left + strips - 1) / strips;
}

/* The rows from `row` on, of which `bytes` from `off` on are read. */
INLINE void strip_rows(strip *s, const simd_tile *t, int64_t row, size_t off, size_t bytes, uint8_t *copy)
{
    bool two = row + 16 < t->rows;
    s->rows[0] = group_at(t, row, off, bytes, copy);
    s->rows[1] = two ? group_at(t, row + 16, off, bytes, copy) : s->rows[0];
    if (!two) s->rows[1].keep = 0;
}

/* How many columns the tile at column c has: as even as possible. */
INLINE int strip_next(const strip *s, int c)
{
    int left = s->cols - c, tiles = (left + STRIP_TILE - 1) / STRIP_TILE;
    return (left + tiles - 1) / tiles;
}

/* While a panel of some of all blocks is multiplied, as much of the next 32 rows (after the last: of what the caller
 * reads next) is fetched into L2, in the order of their addresses: some lines with each step of a tile, of which a block
 * has so many. Few at a time, since what is in flight from memory keeps what is wanted from L2 waiting. */
INLINE void strip_soon(strip *s, const simd_tile *t, int64_t row, size_t block, size_t nb, size_t blocks, size_t a_block)
{
    size_t left = t->rows - row > 32 ? (size_t)(t->rows - row - 32) : 0;
    const uint8_t *soon = left ? t->w + (size_t)(row + 32) * t->row_bytes : t->ahead;
    size_t most = left ? (left < 32 ? left : 32) * t->row_bytes : t->ahead_bytes;
    size_t from = most * block / blocks, to = most * (block + nb) / blocks;
    size_t steps = (size_t)(s->cols + STRIP_TILE - 1) / STRIP_TILE * nb * a_block, lines = (to - from + 63) / 64;
    s->soon = (const char *)soon + from;
    s->end = soon ? s->soon + (to - from) : s->soon;
    s->pace = (lines + steps - 1) / steps;
}

INLINE void strip_fetch(const strip *s, const char **soon)
{
    if (*soon >= s->end) return;
    for (size_t i = 0; i < s->pace; i++, *soon += 64) _mm_prefetch(*soon, _MM_HINT_T1);
}

INLINE void strip_load(const strip *s, int c, int n, two_sums *acc)
{
    for (int i = 0; i < n; i++)
        for (int h = 0; h < 2; h++) acc[i][h] = s->first ? _mm512_setzero_ps() : s->sums[c + i][h];
    for (int i = 0; i < n && s->last; i++) /* outputs are far from each other: wanted in a while */
        for (int h = 0; h < 2; h++) __builtin_prefetch(s->y[c + i] + s->rows[h].row, 1);
}

INLINE void strip_store(const strip *s, int c, int n, two_sums *acc)
{
    for (int i = 0; i < n; i++)
        for (int h = 0; h < 2; h++) {
            if (s->last) _mm512_mask_storeu_ps(s->y[c + i] + s->rows[h].row, s->rows[h].keep, acc[i][h]);
            else s->sums[c + i][h] = acc[i][h];
        }
}

/* Calls tile(..., c, n, ...) for the columns of a strip, n a constant. */
#define STRIP_TILES(s, tile, ...)                       \
    for (int c = 0, n; c < (s)->cols; c += n) {         \
        n = strip_next(s, c);                           \
        switch (n) {                                    \
        case 6: tile(s, c, 6, __VA_ARGS__); break;      \
        case 5: tile(s, c, 5, __VA_ARGS__); break;      \
        case 4: tile(s, c, 4, __VA_ARGS__); break;      \
        case 3: tile(s, c, 3, __VA_ARGS__); break;      \
        case 2: tile(s, c, 2, __VA_ARGS__); break;      \
        default: tile(s, c, 1, __VA_ARGS__); break;     \
        }                                               \
    }

#endif
