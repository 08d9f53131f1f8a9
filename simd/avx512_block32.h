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
    __m512 d, m;  /* scale, and minimum or the scale of the second half */
    __m512i raw[5]; /* what the parts of a block of the file share: kept from one to the next */
} block16;

typedef enum kind32 { BLOCK32_ZERO, BLOCK32_MINIMA, BLOCK32_HALVES } kind32;

/* Some columns from some block on: offsets of its codes, scale and sum in each column. */
enum { BLOCK32_TILE = 6 }; /* columns of the register tile over a panel */
typedef struct cols32 {
    const uint8_t *p[BLOCK32_TILE];
    float *y[BLOCK32_TILE];
    size_t q, d, s;
} cols32;

typedef struct panel32 { /* one block of 32 rows */
    __m512i q[8][2];
    __m512 d[2], m[2];
} panel32;

/* A panel's work, the same for all formats of a kind: nb blocks from block b on, all columns. */
typedef void (*panel32_fn)(const simd_tile *t, const panel32 *p, const group16 *g, int64_t b, size_t nb, int zero);

typedef struct format32 {
    void (*unpack)(const rows16 *r, int part, block16 *b);
    size_t bytes; /* of a block of the file, */
    int parts;    /* which has so many times 32 weights */
    panel32_fn panel;
    int zero;
    kind32 kind;
} format32;

enum {
    BLOCK32_CHUNK = 32, /* blocks in a panel: 37 KiB, about the L1 cache; a multiple of any `parts` */
    BLOCK32_FEW = 8,    /* columns served from registers, */
    BLOCK32_REGS = 4,   /* so many at a time */
};

INLINE cols32 cols32_at(const simd_tile *t, kind32 kind, int c, int n, int64_t block)
{
    size_t b = (size_t)block;
    cols32 x = {.q = 32 * b, .d = t->x->off_d + 4 * b};
    x.s = kind == BLOCK32_HALVES ? t->x->off_s16 + 4 * b : t->x->off_s32 + 2 * b;
    for (int i = 0; i < n; i++) {
        x.p[i] = column_of(t, c + i);
        x.y[i] = output_of(t, c + i);
    }
    return x;
}

/* The sum of a block's activations, or of its half. */
INLINE int sum32(kind32 kind, const cols32 *x, int c, size_t b, int half)
{
    int16_t v;
    memcpy(&v, x->p[c] + x->s + (kind == BLOCK32_HALVES ? 4 * b + 2 * (size_t)half : 2 * b), 2);
    return v;
}

INLINE __m512i start32(kind32 kind, int zero, int sum)
{
    return kind == BLOCK32_MINIMA ? _mm512_setzero_si512() : _mm512_set1_epi32(-zero * sum);
}

/* acc = fma(isum, d * da, acc) */
INLINE __m512 scale32(__m512 acc, __m512i isum, __m512 d, __m512 da)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, da), acc);
}

/* acc = fma(sum, m * da, acc) */
INLINE __m512 minimum32(__m512 acc, int sum, __m512 m, __m512 da)
{
    return _mm512_fmadd_ps(_mm512_set1_ps((float)sum), _mm512_mul_ps(m, da), acc);
}

/* The next 32 weights of sixteen rows, number b of them. */
INLINE void next32(const format32 *f, rows16 *r, size_t b, block16 *w)
{
    f->unpack(r, (int)b % f->parts, w);
    if ((int)b % f->parts == f->parts - 1) rows_advance(r, f->bytes);
}

/* acc and block b by column c */
INLINE __m512 block32(const format32 *f, const block16 *w, const cols32 *x, int c, size_t b, __m512 acc)
{
    const uint8_t *a = x->p[c] + x->q + 32 * b;
    int sum = sum32(f->kind, x, c, b, 0);
    __m512 da = bcast_f32(x->p[c] + x->d + 4 * b);
    __m512i s = start32(f->kind, f->zero, sum);
    for (int j = 0; j < 8; j++) {
        s = _mm512_dpbusd_epi32(s, w->q[j], bcast_i32(a + 4 * j));
        if (j != 3 || f->kind != BLOCK32_HALVES) continue;
        acc = scale32(acc, s, w->d, da);
        s = start32(f->kind, f->zero, sum32(f->kind, x, c, b, 1));
    }
    acc = scale32(acc, s, f->kind == BLOCK32_HALVES ? w->m : w->d, da);
    return f->kind == BLOCK32_MINIMA ? minimum32(acc, sum, w->m, da) : acc;
}

/* One group of rows by n columns over `blocks` blocks. carry: the outputs hold the sums of the blocks before.
 * soon: the rows that come next, or NULL. */
INLINE void few32(const format32 *f, group16 g, const cols32 *x, int n, size_t blocks, bool carry, const uint8_t *soon)
{
    __m512 acc[BLOCK32_REGS];
    for (int c = 0; c < n; c++)
        acc[c] = carry ? _mm512_maskz_loadu_ps(g.keep, x->y[c] + g.row) : _mm512_setzero_ps();
    block16 w = {.d = _mm512_setzero_ps()};
    for (size_t b = 0; b < blocks;) {
        if (soon) {
            fetch_soon(soon, 16 * f->bytes);
            soon += 16 * f->bytes;
        }
#pragma GCC unroll 4
        for (int part = 0; part < f->parts; part++, b++) {
            f->unpack(&g.r, part, &w);
            for (int c = 0; c < n; c++) acc[c] = block32(f, &w, x, c, b, acc[c]);
        }
        rows_advance(&g.r, f->bytes);
    }
    for (int c = 0; c < n; c++) _mm512_mask_storeu_ps(x->y[c] + g.row, g.keep, acc[c]);
}

/* One group of rows by all columns. */
INLINE void few32_cols(const simd_tile *t, const format32 *f, group16 g, int64_t b, size_t nb,
                       const uint8_t *soon)
{
    for (int c = 0; c < t->cols; c += BLOCK32_REGS, soon = NULL) {
        int n = t->cols - c < BLOCK32_REGS ? t->cols - c : BLOCK32_REGS;
        cols32 x = cols32_at(t, f->kind, c, n, b);
        switch (n) {
        case 1: few32(f, g, &x, 1, nb, b > 0, soon); break;
        case 2: few32(f, g, &x, 2, nb, b > 0, soon); break;
        case 3: few32(f, g, &x, 3, nb, b > 0, soon); break;
        default: few32(f, g, &x, 4, nb, b > 0, soon); break;
        }
    }
}

INLINE void few32_rows(const simd_tile *t, const format32 *f)
{
    int64_t blocks = t->k / 32, chunk = t->rows < 16 ? BLOCK32_CHUNK : blocks;
    fetch_first(t);
    for (int64_t b = 0; b < blocks; b += chunk) {
        int64_t nb = blocks - b < chunk ? blocks - b : chunk;
        size_t off = (size_t)(b / f->parts) * f->bytes, bytes = (size_t)(nb / f->parts) * f->bytes;
        for (int64_t r = 0; r < t->rows; r += 16) {
            group16 g = group_at(t, r, off, bytes, t->scratch);
            few32_cols(t, f, g, b, (size_t)nb, soon_after(t, r));
        }
    }
}

INLINE void panel32_fill(const format32 *f, panel32 *p, int half, rows16 r, size_t blocks)
{
    block16 w = {.d = _mm512_setzero_ps()};
    for (size_t b = 0; b < blocks; b++) {
        next32(f, &r, b, &w);
        for (int j = 0; j < 8; j++) p[b].q[j][half] = w.q[j];
        p[b].d[half] = w.d;
        if (f->kind != BLOCK32_ZERO) p[b].m[half] = w.m;
    }
}

/* Half a block of a panel (four vectors) by n columns. */
INLINE void tile32_half(const panel32 *p, const uint8_t *const *x, size_t at, int n, int half, __m512i (*s)[2])
{
    for (int j = 4 * half; j < 4 * half + 4; j++) {
        __m512i w0 = p->q[j][0], w1 = p->q[j][1];
        for (int c = 0; c < n; c++) {
            __m512i a = bcast_i32(x[c] + at + 4 * (size_t)j);
            s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, a);
            s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, a);
        }
    }
}

/* A panel by n columns. */
INLINE void tile32(const panel32 *p, const group16 *g, const cols32 *x, int n, size_t blocks, bool carry, int zero,
                   kind32 kind)
{
    __m512 acc[BLOCK32_TILE][2];
    for (int c = 0; c < n; c++)
        for (int h = 0; h < 2; h++)
            acc[c][h] = carry ? _mm512_maskz_loadu_ps(g[h].keep, x->y[c] + g[h].row) : _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, p++) {
        __m512i s[BLOCK32_TILE][2];
        for (int c = 0; c < n; c++) s[c][0] = s[c][1] = start32(kind, zero, sum32(kind, x, c, b, 0));
        tile32_half(p, x->p, x->q + 32 * b, n, 0, s);
        if (kind == BLOCK32_HALVES)
            for (int c = 0; c < n; c++) {
                __m512 da = bcast_f32(x->p[c] + x->d + 4 * b);
                for (int h = 0; h < 2; h++) acc[c][h] = scale32(acc[c][h], s[c][h], p->d[h], da);
                s[c][0] = s[c][1] = start32(kind, zero, sum32(kind, x, c, b, 1));
            }
        tile32_half(p, x->p, x->q + 32 * b, n, 1, s);
        for (int c = 0; c < n; c++) {
            __m512 da = bcast_f32(x->p[c] + x->d + 4 * b);
            for (int h = 0; h < 2; h++)
                acc[c][h] = scale32(acc[c][h], s[c][h], kind == BLOCK32_HALVES ? p->m[h] : p->d[h], da);
            for (int h = 0; h < 2 && kind == BLOCK32_MINIMA; h++)
                acc[c][h] = minimum32(acc[c][h], sum32(kind, x, c, b, 0), p->m[h], da);
        }
    }
    for (int c = 0; c < n; c++)
        for (int h = 0; h < 2; h++) _mm512_mask_storeu_ps(x->y[c] + g[h].row, g[h].keep, acc[c][h]);
}

/* Defines `name`, a panel32_fn. */
#define BLOCK32_PANEL(name, kind)                                                                              \
    static void name(const simd_tile *t, const panel32 *p, const group16 *g, int64_t b, size_t nb, int zero)   \
    {                                                                                                          \
        for (int c = 0, n; c < t->cols; c += n) {                                                              \
            int left = t->cols - c;                                                                            \
            n = left >= BLOCK32_TILE ? BLOCK32_TILE : left >= 4 ? 4 : left >= 2 ? 2 : 1;                       \
            cols32 x = cols32_at(t, kind, c, n, b);                                                            \
            if (n == BLOCK32_TILE) tile32(p, g, &x, BLOCK32_TILE, nb, b > 0, zero, kind);                      \
            else if (n == 4) tile32(p, g, &x, 4, nb, b > 0, zero, kind);                                       \
            else if (n == 2) tile32(p, g, &x, 2, nb, b > 0, zero, kind);                                       \
            else tile32(p, g, &x, 1, nb, b > 0, zero, kind);                                                   \
        }                                                                                                      \
    }

INLINE void many32(const simd_tile *t, const format32 *f)
{
    panel32 *p = t->scratch;
    uint8_t *copy = (uint8_t *)(p + BLOCK32_CHUNK);
    int64_t blocks = t->k / 32;
    for (int64_t b = 0; b < blocks; b += BLOCK32_CHUNK) {
        int64_t nb = blocks - b < BLOCK32_CHUNK ? blocks - b : BLOCK32_CHUNK;
        size_t off = (size_t)(b / f->parts) * f->bytes, bytes = (size_t)(nb / f->parts) * f->bytes;
        for (int64_t r = 0; r < t->rows; r += 32) {
            group16 g[2];
            bool down = r + 32 < t->rows; /* else the next blocks of the first rows */
            if (t->cols <= COLUMNS_SOON && (down || b + nb < blocks))
                fetch_rows(t, down ? r + 32 : 0, down ? off : off + bytes, bytes);
            for (int h = 0; h < 2; h++) {
                bool any = r + 16 * h < t->rows;
                g[h] = group_at(t, any ? r + 16 * h : r, off, bytes, copy);
                if (!any) g[h].keep = 0;
                panel32_fill(f, p, h, g[h].r, (size_t)nb);
            }
            f->panel(t, p, g, b, (size_t)nb, f->zero);
        }
    }
}

INLINE void block32_tile(const simd_tile *t, const format32 *f)
{
    if (t->cols > BLOCK32_FEW) many32(t, f);
    else few32_rows(t, f);
}

#endif
