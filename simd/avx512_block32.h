/* The loops of the formats with blocks of 32 weights, one scale (and minimum) each, on AVX-512 VNNI.
 *
 * A format gives `unpack`: one block of sixteen rows to eight vectors of unsigned codes and the scales. Few
 * columns use these straight from registers; for many columns they are stored in a panel of 32 rows first,
 * which a register tile of 32 rows x 6 columns then reads for every column. */
#ifndef SIMD_AVX512_BLOCK32_H
#define SIMD_AVX512_BLOCK32_H

#include "avx512_rows.h"

typedef struct block16 {
    __m512i q[8]; /* weights 4j .. 4j+3, `zero` added; lane = row */
    __m512 d, m;
} block16;

typedef struct format32 {
    void (*unpack)(const rows16 *r, block16 *b);
    size_t bytes; /* of a block */
    int zero;
    bool minima;
} format32;

typedef struct panel32 { /* one block of 32 rows */
    __m512i q[8][2];
    __m512 d[2], m[2];
} panel32;

enum {
    BLOCK32_CHUNK = 32, /* blocks in a panel: 37 KiB, about the L1 cache */
    BLOCK32_FEW = 8,    /* columns served from registers */
    BLOCK32_TILE = 6,   /* columns of the register tile over a panel */
};

/* Some columns from some block on: offsets of its codes, scale and sum in each column. */
typedef struct cols32 {
    const uint8_t *p[BLOCK32_FEW];
    float *y[BLOCK32_FEW];
    size_t q, d, s;
} cols32;

INLINE cols32 cols32_at(const simd_tile *t, int c, int n, int64_t block)
{
    size_t b = (size_t)block;
    cols32 x = {.q = 32 * b, .d = t->x->off_d + 4 * b, .s = t->x->off_s32 + 2 * b};
    for (int i = 0; i < n; i++) {
        x.p[i] = column_of(t, c + i);
        x.y[i] = output_of(t, c + i);
    }
    return x;
}

/* The sum of a block's activations, where the format has a use for it. */
INLINE int sum32(const format32 *f, const cols32 *x, int c, size_t b)
{
    int16_t v;
    if (!f->zero && !f->minima) return 0;
    memcpy(&v, x->p[c] + x->s + 2 * b, 2);
    return v;
}

/* acc = fma(isum, d * da, acc), then fma(sum, m * da, acc) */
INLINE __m512 scale32(__m512 acc, __m512i isum, __m512 d, __m512 m, __m512 da, int sum, bool minima)
{
    acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, da), acc);
    if (minima) acc = _mm512_fmadd_ps(_mm512_set1_ps((float)sum), _mm512_mul_ps(m, da), acc);
    return acc;
}

/* One group of rows by n columns over `blocks` blocks. carry: the outputs hold the sums of the blocks before.
 * ahead: where the weights to be read next lie, as long as these. */
INLINE void few32(const format32 *f, group16 g, const cols32 *x, int n, size_t blocks, bool carry, const uint8_t *ahead)
{
    __m512 acc[BLOCK32_FEW];
    for (int c = 0; c < n; c++)
        acc[c] = carry ? _mm512_maskz_loadu_ps(g.keep, x->y[c] + g.row) : _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++) {
        block16 w;
        for (size_t i = 0; i < 16 * f->bytes; i += 64) _mm_prefetch((const char *)ahead + i, _MM_HINT_T1);
        ahead += 16 * f->bytes;
        f->unpack(&g.r, &w);
        rows_advance(&g.r, f->bytes);
        for (int c = 0; c < n; c++) {
            const uint8_t *a = x->p[c] + x->q + 32 * b;
            int sum = sum32(f, x, c, b);
            __m512i s = _mm512_set1_epi32(-f->zero * sum);
            for (int j = 0; j < 8; j++) s = _mm512_dpbusd_epi32(s, w.q[j], bcast_i32(a + 4 * j));
            acc[c] = scale32(acc[c], s, w.d, w.m, bcast_f32(x->p[c] + x->d + 4 * b), sum, f->minima);
        }
    }
    for (int c = 0; c < n; c++) _mm512_mask_storeu_ps(x->y[c] + g.row, g.keep, acc[c]);
}

/* All rows by n columns from column c0. */
INLINE void few32_rows(const simd_tile *t, const format32 *f, int c0, int n)
{
    int64_t blocks = t->k / 32, chunk = t->rows < 16 ? BLOCK32_CHUNK : blocks;
    for (int64_t b = 0; b < blocks; b += chunk) {
        int64_t nb = blocks - b < chunk ? blocks - b : chunk;
        cols32 x = cols32_at(t, c0, n, b);
        for (int64_t r = 0; r < t->rows; r += 16) {
            group16 g = group_at(t, r, (size_t)b * f->bytes, (size_t)nb * f->bytes, t->scratch);
            const uint8_t *ahead = t->rows - r >= 32 ? g.r.p[0] + 16 * t->row_bytes : g.r.p[0];
            few32(f, g, &x, n, (size_t)nb, b > 0, ahead);
        }
    }
}

INLINE void panel32_fill(const format32 *f, panel32 *p, int half, rows16 r, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++) {
        block16 w;
        f->unpack(&r, &w);
        rows_advance(&r, f->bytes);
        for (int j = 0; j < 8; j++) p[b].q[j][half] = w.q[j];
        p[b].d[half] = w.d;
        if (f->minima) p[b].m[half] = w.m;
    }
}

/* A panel by n columns. */
INLINE void tile32(const format32 *f, const panel32 *p, const group16 *g, const cols32 *x, int n, size_t blocks, bool carry)
{
    __m512 acc[BLOCK32_TILE][2];
    for (int c = 0; c < n; c++)
        for (int h = 0; h < 2; h++)
            acc[c][h] = carry ? _mm512_maskz_loadu_ps(g[h].keep, x->y[c] + g[h].row) : _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, p++) {
        __m512i s[BLOCK32_TILE][2];
        for (int c = 0; c < n; c++) s[c][0] = s[c][1] = _mm512_set1_epi32(-f->zero * sum32(f, x, c, b));
        for (int j = 0; j < 8; j++) {
            __m512i w0 = p->q[j][0], w1 = p->q[j][1];
            for (int c = 0; c < n; c++) {
                __m512i a = bcast_i32(x->p[c] + x->q + 32 * b + 4 * (size_t)j);
                s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, a);
                s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, a);
            }
        }
        for (int c = 0; c < n; c++) {
            __m512 da = bcast_f32(x->p[c] + x->d + 4 * b);
            int sum = sum32(f, x, c, b);
            for (int h = 0; h < 2; h++) acc[c][h] = scale32(acc[c][h], s[c][h], p->d[h], p->m[h], da, sum, f->minima);
        }
    }
    for (int c = 0; c < n; c++)
        for (int h = 0; h < 2; h++) _mm512_mask_storeu_ps(x->y[c] + g[h].row, g[h].keep, acc[c][h]);
}

INLINE void many32_panel(const simd_tile *t, const format32 *f, const panel32 *p, const group16 *g, int64_t b, size_t nb)
{
    int c = 0;
    for (; c + BLOCK32_TILE <= t->cols; c += BLOCK32_TILE) {
        cols32 x = cols32_at(t, c, BLOCK32_TILE, b);
        tile32(f, p, g, &x, BLOCK32_TILE, nb, b > 0);
    }
    cols32 x = cols32_at(t, c, t->cols - c, b);
    switch (t->cols - c) {
    case 1: tile32(f, p, g, &x, 1, nb, b > 0); break;
    case 2: tile32(f, p, g, &x, 2, nb, b > 0); break;
    case 3: tile32(f, p, g, &x, 3, nb, b > 0); break;
    case 4: tile32(f, p, g, &x, 4, nb, b > 0); break;
    case 5: tile32(f, p, g, &x, 5, nb, b > 0); break;
    default: break;
    }
}

INLINE void many32(const simd_tile *t, const format32 *f)
{
    panel32 *p = t->scratch;
    uint8_t *copy = (uint8_t *)(p + BLOCK32_CHUNK);
    int64_t blocks = t->k / 32;
    for (int64_t b = 0; b < blocks; b += BLOCK32_CHUNK) {
        int64_t nb = blocks - b < BLOCK32_CHUNK ? blocks - b : BLOCK32_CHUNK;
        size_t off = (size_t)b * f->bytes, bytes = (size_t)nb * f->bytes;
        for (int64_t r = 0; r < t->rows; r += 32) {
            group16 g[2];
            g[0] = g[1] = group_at(t, r, off, bytes, copy);
            g[1].keep = 0;
            panel32_fill(f, p, 0, g[0].r, (size_t)nb);
            if (t->rows - r > 16) g[1] = group_at(t, r + 16, off, bytes, copy);
            panel32_fill(f, p, 1, g[1].r, (size_t)nb);
            many32_panel(t, f, p, g, b, (size_t)nb);
        }
    }
}

INLINE void block32_tile(const simd_tile *t, const format32 *f)
{
    if (t->cols > BLOCK32_FEW) {
        many32(t, f);
        return;
    }
    switch (t->cols) {
    case 1: few32_rows(t, f, 0, 1); break;
    case 2: few32_rows(t, f, 0, 2); break;
    case 3: few32_rows(t, f, 0, 3); break;
    case 4: few32_rows(t, f, 0, 4); break;
    case 5: few32_rows(t, f, 0, 5); break;
    case 6: few32_rows(t, f, 0, 6); break;
    case 7: few32_rows(t, f, 0, 7); break;
    case 8: few32_rows(t, f, 0, 8); break;
    default: break;
    }
}

#endif
