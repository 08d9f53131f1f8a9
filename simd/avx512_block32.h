/* The loops of the formats with blocks of 32 weights, one scale (and minimum) each, on AVX-512 VNNI.
 *
 * A format gives `unpack`: one block of sixteen rows to eight vectors of unsigned codes and the scales. Few
 * columns use these straight from registers; for many columns they are stored in a panel of 32 rows first,
 * which a register tile of 32 rows x 6 columns then reads for every column. */
#ifndef SIMD_AVX512_BLOCK32_H
#define SIMD_AVX512_BLOCK32_H

#include "avx512_strip.h"

enum {
    BLOCK32_CHUNK = 64, /* blocks in a panel: 80 KiB; a multiple of any `parts` */
    BLOCK32_REGS = 4,   /* columns served from registers */
};

typedef struct block16 {
    __m512i q[8]; /* weights 4j .. 4j+3, `zero` added; lane = row */
    __m512 d, m;  /* scale, and minimum or the scale of the second half */
    __m512i raw[5]; /* what the parts of a block of the file share: kept from one to the next */
} block16;

typedef enum kind32 { BLOCK32_ZERO, BLOCK32_MINIMA, BLOCK32_HALVES } kind32;

/* Some columns from some block on: offsets of its codes, scale and sum in each column. */
typedef struct cols32 {
    const uint8_t *p[BLOCK32_REGS];
    float *y[BLOCK32_REGS];
    size_t q, d, s;
} cols32;

typedef struct panel32 { /* one block of 32 rows */
    __m512i q[8][2];
    __m512 d[2], m[2];
} panel32;

/* A panel's work, the same for all formats of a kind: nb blocks, all columns of the strip. */
typedef void (*panel32_fn)(strip *s, const panel32 *p, size_t nb, int zero);

typedef struct format32 {
    void (*unpack)(const rows16 *r, int part, block16 *b);
    size_t bytes; /* of a block of the file, */
    int parts;    /* which has so many times 32 weights */
    panel32_fn panel;
    int zero;
    kind32 kind;
} format32;

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
    return load_i16(x->p[c] + x->s + (kind == BLOCK32_HALVES ? 4 * b + 2 * (size_t)half : 2 * b));
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
    cols32 x = cols32_at(t, f->kind, 0, t->cols, b);
    switch (t->cols) {
    case 1: few32(f, g, &x, 1, nb, b > 0, soon); break;
    case 2: few32(f, g, &x, 2, nb, b > 0, soon); break;
    case 3: few32(f, g, &x, 3, nb, b > 0, soon); break;
    case 4: few32(f, g, &x, 4, nb, b > 0, soon); break;
    default: break;
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
            __m512i a = pin_int(bcast_i32(x[c] + at + 4 * (size_t)j));
            s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, a);
            s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, a);
        }
    }
}

/* A panel by n columns from column c0. */
INLINE void tile32(strip *t, int c0, int n, const panel32 *p, size_t blocks, int zero, kind32 kind)
{
    two_sums acc[STRIP_TILE];
    const uint8_t *const *x = t->x + c0;
    const char *soon = t->soon;
    strip_load(t, c0, n, acc);
    for (size_t b = 0; b < blocks; b++, p++) {
        __m512i s[STRIP_TILE][2];
        strip_fetch(t, &soon);
        size_t sums = t->s + (kind == BLOCK32_HALVES ? 4 : 2) * b, scale = t->d + 4 * b, codes = t->q + 32 * b;
        for (int c = 0; c < n; c++) s[c][0] = s[c][1] = start32(kind, zero, load_i16(x[c] + sums));
        tile32_half(p, x, codes, n, 0, s);
        if (kind == BLOCK32_HALVES)
            for (int c = 0; c < n; c++) {
                __m512 da = pin(bcast_f32(x[c] + scale));
                for (int h = 0; h < 2; h++) acc[c][h] = scale32(acc[c][h], s[c][h], p->d[h], da);
                s[c][0] = s[c][1] = start32(kind, zero, load_i16(x[c] + sums + 2));
            }
        tile32_half(p, x, codes, n, 1, s);
        for (int c = 0; c < n; c++) {
            __m512 da = pin(bcast_f32(x[c] + scale));
            for (int h = 0; h < 2; h++)
                acc[c][h] = scale32(acc[c][h], s[c][h], kind == BLOCK32_HALVES ? p->m[h] : p->d[h], da);
            for (int h = 0; h < 2 && kind == BLOCK32_MINIMA; h++)
                acc[c][h] = minimum32(acc[c][h], load_i16(x[c] + sums), p->m[h], da);
        }
    }
    strip_store(t, c0, n, acc);
    t->soon = soon;
}

/* Defines `name`, a panel32_fn. */
#define BLOCK32_PANEL(name, kind)                                                \
    static void name(strip *s, const panel32 *p, size_t nb, int zero)      \
    {                                                                            \
        STRIP_TILES(s, tile32, p, nb, zero, kind)                                \
    }

/* Panel by panel of the 32 rows from r on. */
INLINE void strip32(const simd_tile *t, const format32 *f, strip *s, int64_t r, panel32 *p, uint8_t *copy)
{
    size_t blocks = (size_t)t->k / 32, parts = (size_t)f->parts;
    for (size_t b = 0, nb; b < blocks; b += nb) {
        nb = blocks - b < BLOCK32_CHUNK ? blocks - b : BLOCK32_CHUNK;
        strip_rows(s, t, r, b / parts * f->bytes, nb / parts * f->bytes, copy);
        for (int h = 0; h < 2; h++) panel32_fill(f, p, h, s->rows[h].r, nb);
        s->first = b == 0;
        s->last = b + nb == blocks;
        s->q = 32 * b;
        s->d = t->x->off_d + 4 * b;
        s->s = f->kind == BLOCK32_HALVES ? t->x->off_s16 + 4 * b : t->x->off_s32 + 2 * b;
        strip_soon(s, t, r, b, nb, blocks, 1);
        f->panel(s, p, nb, f->zero);
    }
}

INLINE void many32(const simd_tile *t, const format32 *f)
{
    strip s;
    panel32 *p = t->scratch;
    uint8_t *copy = strip_place(&s, (uint8_t *)(p + BLOCK32_CHUNK));
    for (int c = 0; c < t->cols; c += s.cols) {
        strip_columns(&s, t, c, strip_size(t->cols - c));
        for (int64_t r = 0; r < t->rows; r += 32) strip32(t, f, &s, r, p, copy);
    }
}

INLINE void block32_tile(const simd_tile *t, const format32 *f)
{
    if (t->cols > BLOCK32_REGS) many32(t, f);
    else few32_rows(t, f);
}

#endif
