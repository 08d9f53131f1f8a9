/* The loops of the formats with blocks of 256 weights and integer sub-scales, on AVX-512 VNNI.
 *
 * A format gives `head`, the scales of a block of sixteen rows, and `chunk`, the codes of a quarter of it, in the
 * order that suits its layout: sixteen weights of sixteen rows (four vectors) are a quad, and `quad` says which
 * sixteen they are. Few columns use the codes straight from registers; for many columns they are stored in a
 * panel of 32 rows first, which a register tile of 32 rows x 6 columns then reads for every column. */
#ifndef SIMD_AVX512_BLOCK256_H
#define SIMD_AVX512_BLOCK256_H

#include "avx512_grid.h"
#include "avx512_strip.h"

enum {
    BLOCK256_CHUNK = 8, /* blocks in a panel: at most 97 KiB */
    BLOCK256_FEW = 8,   /* columns served from registers, */
    BLOCK256_REGS = 4,  /* so many at a time (block256_some: all), and of grids no more (but see `few`); */
    BLOCK256_GRID = 256, /* blocks whose activations are put in a grid's order at a time */
};

typedef struct head256 {
    __m512i scale[16]; /* int32, a group */
    __m512i pair[8];   /* minima (or scales, see pairs), int16 of two groups */
    __m512i extra[20]; /* what quarters share, and the format knows */
    __m512 d, m;
    const __m512i *table; /* of the grid */
} head256;

/* Some columns from some block on: offsets of its codes, scale and sums in each column. */
typedef struct cols256 {
    const uint8_t *p[BLOCK256_FEW];
    float *y[BLOCK256_FEW];
    size_t q, d, s;
    const uint8_t *codes[BLOCK256_FEW]; /* in the order of a grid's vectors; few columns only */
} cols256;

typedef struct panel256 { /* one block of 32 rows */
    __m512i q[64][2], scale[16][2], pair[8][2];
    __m512 d[2], m[2];
} panel256;

/* A panel's work, the same for all formats of a shape: nb blocks, all columns of the strip. */
typedef void (*panel256_fn)(strip *s, const panel256 *p, size_t nb, int zero);

typedef struct format256 {
    void (*head)(const rows16 *r, head256 *h);
    void (*load)(const rows16 *r, head256 *h, int i); /* NULL, or what quarters 2 i and 2 i + 1 share; with it h->scale */
    /* or h->pair are what `chunk` fills in, of the two or four groups of a quarter. Sixteen vectors: */
    void (*chunk)(const rows16 *r, head256 *h, int j, __m512i *q);
    int (*quad)(int j, int i); /* quad i of chunk j holds weights 16 quad .. 16 quad + 15 */
    size_t bytes;              /* of a block */
    panel256_fn panel;
    int group; /* 16, 32, or 256 where there are no sub-scales */
    int zero;
    bool minima;
    int order; /* of a grid: weights a row (avx512_grid.h has the order of the vectors); 0: as the file has them */
    bool pairs; /* group 16 of a grid of order 8: scales are in `pair`; a dword's halves are of two groups */
    int few; /* columns served from registers; 0: as said above */
    const __m512i *table;
    /* In place of `head` and `chunk` where columns are few: d, and isum[c] of block b's products with n columns. */
    void (*dot)(const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum);
    void (*permute)(const uint8_t *from, uint8_t *to, size_t n); /* n activations to an order of `dot`; NULL: the grid's */
} format256;

/* Orders of quads: as numbered, and where byte l of a half has bits of weights l, l + 32, l + 64, l + 96. */
INLINE int quad_in_order(int j, int i) { return 4 * j + i; }
INLINE int quad_by_32(int j, int i) { return 8 * (j / 2) + 2 * i + j % 2; }

INLINE cols256 cols256_at(const simd_tile *t, int group, int c, int n, int64_t block)
{
    size_t b = (size_t)block;
    cols256 x = {.q = 256 * b, .d = t->x->off_d + 4 * b};
    x.s = group == 16 ? t->x->off_s16 + 32 * b : t->x->off_s32 + 16 * b;
    for (int i = 0; i < n; i++) {
        x.p[i] = column_of(t, c + i);
        x.y[i] = output_of(t, c + i);
    }
    return x;
}

/* The sums of block b's activations, 16 or 32 a sum, as the groups are. */
INLINE const uint8_t *sums256(const cols256 *x, int group, int c, size_t b)
{
    return x->p[c] + x->s + (group == 16 ? 32 : 16) * b;
}

/* sum of pair[g] * (sum of the activations of group g) */
INLINE __m512i pair_sum(int group, const __m512i *pair, int step, const uint8_t *sums)
{
    __m512i s = _mm512_setzero_si512();
    int n = group == 16 ? 8 : 4;
    for (int i = 0; i < n; i++) s = _mm512_dpwssd_epi32(s, pair[i * step], bcast_i32(sums + 4 * i));
    return s;
}

/* acc = fma(isum, d * da, acc) */
INLINE __m512 scale256(__m512 acc, __m512i isum, __m512 d, __m512 da)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, da), acc);
}

/* What the products of a group start from: its activations' sum times -zero; without sub-scales that of all. */
INLINE void starts256(int group, int zero, const uint8_t *sums, int32_t *start)
{
    const __m512i by = _mm512_set1_epi32(-zero);
    if (group == 16) {
        __m256i s = _mm256_loadu_si256((const __m256i *)(const void *)sums);
        _mm512_store_si512(start, _mm512_mullo_epi32(_mm512_cvtepi16_epi32(s), by));
        return;
    }
    __m256i s = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)sums));
    s = _mm256_mullo_epi32(s, _mm512_castsi512_si256(by));
    if (group == 32) _mm256_store_si256((__m256i *)(void *)start, s);
    else start[0] = _mm512_reduce_add_epi32(_mm512_zextsi256_si512(s));
}

INLINE __m512i dot_quad(__m512i s, const __m512i *q, const uint8_t *a)
{
    for (int j = 0; j < 4; j++) s = _mm512_dpbusd_epi32(s, q[j], bcast_i32(a + 4 * j));
    return s;
}

/* A quarter of a block against the activations a of one column. */
INLINE __m512i dot_chunk(const format256 *f, const head256 *h, int j, const __m512i *q, const uint8_t *a,
                         const int32_t *start, __m512i isum)
{
    /* quad(j, i) = quad(j, 0) + quad(0, i): so addresses are those of a chunk and constants, which takes few registers */
    const size_t first = (size_t)f->quad(j, 0), a_group = f->group == 16 ? 1 : 2;
    const __m512i *scale = h->scale + first / a_group;
    a += 16 * first;
    start += first / a_group;
    for (int i = 0; i < 4; i++) {
        size_t at = (size_t)f->quad(0, i);
        bool from_zero = f->minima || f->group == 256;
        __m512i s = from_zero ? _mm512_setzero_si512() : bcast_i32(start + at / a_group);
        s = dot_quad(s, q + 4 * i, a + 16 * at);
        if (f->group == 32) {
            i++;
            s = dot_quad(s, q + 4 * i, a + 16 * (size_t)f->quad(0, i));
        }
        if (f->group < 256) s = _mm512_mullo_epi32(s, scale[at / a_group]);
        isum = _mm512_add_epi32(isum, s);
    }
    return isum;
}

/* The same for the grids, where scales come with the codes; a: of the quarter. */
INLINE __m512i dot_grid(const head256 *h, const __m512i *q, const uint8_t *a, const int32_t *start, __m512i isum)
{
    for (int g = 0; g < 2; g++) {
        __m512i s = bcast_i32(start + g);
        for (int i = 8 * g; i < 8 * g + 8; i++) s = _mm512_dpbusd_epi32(s, q[i], bcast_i32(a + 4 * i));
        isum = _mm512_add_epi32(isum, _mm512_mullo_epi32(s, h->scale[g]));
    }
    return isum;
}

/* With groups of 16, without what the codes' zero adds. Sums of two products fit: codes are up to 107. */
INLINE __m512i dot_grid_pairs(const head256 *h, const __m512i *q, const uint8_t *a, __m512i isum)
{
    __m512i s[2] = {isum, _mm512_setzero_si512()};
    for (int i = 0; i < 16; i++) {
        __m512i two = _mm512_maddubs_epi16(q[i], bcast_i32(a + 4 * i));
        s[i % 2] = _mm512_dpwssd_epi32(s[i % 2], two, h->pair[i / 8]);
    }
    return _mm512_add_epi32(s[0], s[1]);
}

/* A block of a grid by n columns. */
INLINE void grid256(const format256 *f, const rows16 *r, head256 *h, const cols256 *x, size_t b, int n, __m512i *isum)
{
    _Alignas(64) int32_t start[BLOCK256_FEW][16];
    __m512i zero[BLOCK256_FEW];
    for (int c = 0; c < n; c++) {
        isum[c] = zero[c] = _mm512_setzero_si512();
        if (!f->pairs) starts256(32, f->zero, sums256(x, 32, c, b), start[c]);
    }
#pragma GCC unroll 1
    for (int i = 0; i < 2; i++) {
        f->load(r, h, i);
#pragma GCC unroll 2
        for (int j = 2 * i; j < 2 * i + 2; j++) {
            __m512i q[16];
            f->chunk(r, h, j, q);
            for (int c = 0; c < n; c++) {
                const uint8_t *a = x->codes[c] + 256 * b + 64 * j;
                if (!f->pairs) {
                    isum[c] = dot_grid(h, q, a, start[c] + 2 * j, isum[c]);
                    continue;
                }
                const uint8_t *sums = sums256(x, 16, c, b) + 8 * j;
                for (int k = 0; k < 2; k++) zero[c] = _mm512_dpwssd_epi32(zero[c], h->pair[k], bcast_i32(sums + 4 * k));
                isum[c] = dot_grid_pairs(h, q, a, isum[c]);
            }
        }
    }
    for (int c = 0; c < n && f->pairs; c++)
        isum[c] = _mm512_sub_epi32(isum[c], _mm512_slli_epi32(zero[c], f->zero == 64 ? 6 : 4));
}

/* One group of rows by n columns over `blocks` blocks. carry: the outputs hold the sums of the blocks before.
 * soon: the rows that come next, or NULL. */
INLINE void few256(const format256 *f, group16 g, const cols256 *x, int n, size_t blocks, bool carry,
                   const uint8_t *soon)
{
    __m512 acc[BLOCK256_FEW];
    for (int c = 0; c < n; c++)
        acc[c] = carry ? _mm512_maskz_loadu_ps(g.keep, x->y[c] + g.row) : _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++) {
        head256 h;
        __m512i isum[BLOCK256_FEW];
        _Alignas(64) int32_t start[BLOCK256_FEW][16];
        h.table = f->table;
        if (soon && (f->dot || f->load)) fetch_soon(soon + 16 * f->bytes * b, 16 * f->bytes);
        if (f->dot) f->dot(&g.r, &h, x, b, n, isum);
        else f->head(&g.r, &h);
        if (f->load && !f->dot) grid256(f, &g.r, &h, x, b, n, isum);
        for (int c = 0; c < n && !f->dot && !f->load; c++) {
            if (!f->minima) starts256(f->group, f->zero, sums256(x, f->group, c, b), start[c]);
            isum[c] = f->group == 256 ? _mm512_set1_epi32(start[c][0]) : _mm512_setzero_si512();
        }
#pragma GCC unroll 1
        for (int j = f->dot || f->load ? 4 : 0; j < 4; j++) {
            __m512i q[16];
            const uint8_t *next = soon ? soon + 4 * f->bytes * (4 * b + (size_t)j) : NULL;
            const int parts = 4 * f->bytes > FETCH_LINES * 64 ? 3 : 1;
            if (next) fetch_part(next, 4 * f->bytes, 0, parts);
            f->chunk(&g.r, &h, j, q);
            if (next && parts > 1) fetch_part(next, 4 * f->bytes, 1, parts);
            for (int c = 0; c < n; c++)
                isum[c] = dot_chunk(f, &h, j, q, x->p[c] + x->q + 256 * b, start[c], isum[c]);
            if (next && parts > 1) fetch_part(next, 4 * f->bytes, 2, parts);
        }
        rows_advance(&g.r, f->bytes);
        for (int c = 0; c < n; c++) {
            __m512 da = bcast_f32(x->p[c] + x->d + 4 * b);
            acc[c] = scale256(acc[c], isum[c], h.d, da);
            if (!f->minima) continue;
            acc[c] = scale256(acc[c], pair_sum(f->group, h.pair, 1, sums256(x, f->group, c, b)), h.m, da);
        }
    }
    for (int c = 0; c < n; c++) _mm512_mask_storeu_ps(x->y[c] + g.row, g.keep, acc[c]);
}

/* The same by five to eight columns. */
INLINE void some256(const simd_tile *t, const format256 *f, group16 g, int64_t b, size_t nb, const uint8_t *soon)
{
    cols256 x = cols256_at(t, f->group, 0, t->cols, b);
    switch (t->cols) {
    case 5: few256(f, g, &x, 5, nb, b > 0, soon); break;
    case 6: few256(f, g, &x, 6, nb, b > 0, soon); break;
    case 7: few256(f, g, &x, 7, nb, b > 0, soon); break;
    default: few256(f, g, &x, 8, nb, b > 0, soon); break;
    }
}

/* One group of rows by all columns. codes: of each column, in a grid's order. */
INLINE void few256_cols(const simd_tile *t, const format256 *f, group16 g, int64_t b, size_t nb,
                        const uint8_t *soon, const uint8_t *codes)
{
    for (int c = 0; c < t->cols; c += BLOCK256_REGS, soon = NULL) {
        int n = t->cols - c < BLOCK256_REGS ? t->cols - c : BLOCK256_REGS;
        cols256 x = cols256_at(t, f->group, c, n, b);
        for (int i = 0; i < n && f->order; i++) x.codes[i] = codes + 256 * nb * (size_t)(c + i);
        switch (n) {
        case 1: few256(f, g, &x, 1, nb, b > 0, soon); break;
        case 2: few256(f, g, &x, 2, nb, b > 0, soon); break;
        case 3: few256(f, g, &x, 3, nb, b > 0, soon); break;
        default: few256(f, g, &x, 4, nb, b > 0, soon); break;
        }
    }
}

INLINE void few256_rows(const simd_tile *t, const format256 *f, bool some)
{
    uint8_t *codes = (uint8_t *)t->scratch + 16 * BLOCK256_CHUNK * 256; /* after the copy of the rows */
    int64_t blocks = t->k / 256, chunk = t->rows < 16 ? BLOCK256_CHUNK : blocks;
    if (f->order && chunk > BLOCK256_GRID) chunk = BLOCK256_GRID;
    fetch_first(t);
    for (int64_t b = 0; b < blocks; b += chunk) {
        int64_t nb = blocks - b < chunk ? blocks - b : chunk;
        size_t n = 256 * (size_t)nb;
        for (int c = 0; c < t->cols && f->order; c++) {
            const uint8_t *from = column_of(t, c) + 256 * b;
            if (f->permute) f->permute(from, codes + n * (size_t)c, n);
            else grid_permute(f->order, from, codes + n * (size_t)c, n);
        }
        for (int64_t r = 0; r < t->rows; r += 16) {
            group16 g = group_at(t, r, (size_t)b * f->bytes, (size_t)nb * f->bytes, t->scratch);
            if (some) some256(t, f, g, b, (size_t)nb, soon_after(t, r));
            else few256_cols(t, f, g, b, (size_t)nb, soon_after(t, r), codes);
        }
    }
}

INLINE void panel256_fill(const format256 *f, panel256 *p, int half, rows16 r, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, p++) {
        head256 h = {.table = f->table};
        f->head(&r, &h);
#pragma GCC unroll 1
        for (int j = 0; j < 4; j++) {
            __m512i q[16];
            if (f->load && j % 2 == 0) f->load(&r, &h, j / 2);
            if (f->order) {
                __m512i v[16];
                f->chunk(&r, &h, j, v);
                grid_in_order(f->order, v, q);
            } else f->chunk(&r, &h, j, q);
            for (int i = 0; i < 16; i++) p->q[4 * f->quad(j, i / 4) + i % 4][half] = q[i];
            for (int i = 0; i < 2 && f->load; i++) {
                if (!f->pairs) p->scale[2 * j + i][half] = h.scale[i];
                else {
                    p->scale[4 * j + 2 * i][half] = _mm512_and_si512(h.pair[i], dwords_of(0xffff));
                    p->scale[4 * j + 2 * i + 1][half] = _mm512_srli_epi32(h.pair[i], 16);
                }
            }
        }
        rows_advance(&r, f->bytes);
        if (f->group < 256 && !f->load)
            for (int i = 0; i < 256 / f->group; i++) p->scale[i][half] = h.scale[i];
        p->d[half] = h.d;
        if (!f->minima) continue;
        for (int i = 0; i < 128 / f->group; i++) p->pair[i][half] = h.pair[i];
        p->m[half] = h.m;
    }
}

/* One group of codes, `vectors` of them from vector v, by n columns, with its scale (and start, [n][16]). */
INLINE void tile256_group(const panel256 *p, const uint8_t *const *x, int n, int v, int vectors, size_t at,
                          const __m512i *scale, const int32_t *start, __m512i (*isum)[2])
{
    __m512i s[STRIP_TILE][2];
    for (int c = 0; c < n; c++) s[c][0] = s[c][1] = start ? bcast_i32(start + 16 * c) : _mm512_setzero_si512();
    for (int j = v; j < v + vectors; j++) {
        __m512i w0 = p->q[j][0], w1 = p->q[j][1];
        for (int c = 0; c < n; c++) {
            __m512i a = bcast_i32(x[c] + at + 4 * (size_t)(j - v));
            if (vectors == 8) a = pin_int(a);
            s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, a);
            s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, a);
        }
    }
    for (int c = 0; c < n; c++)
        for (int i = 0; i < 2; i++) {
            isum[c][i] = _mm512_add_epi32(isum[c][i], scale ? _mm512_mullo_epi32(s[c][i], scale[i]) : s[c][i]);
            if (vectors == 8) isum[c][i] = pin_int(isum[c][i]);
        }
}

/* A panel by n columns from column c0. */
INLINE void tile256(strip *t, int c0, int n, const panel256 *p, size_t blocks, int group, int zero, bool minima)
{
    two_sums acc[STRIP_TILE];
    const uint8_t *const *x = t->x + c0;
    const char *soon = t->soon;
    strip_load(t, c0, n, acc);
    for (size_t b = 0; b < blocks; b++, p++) {
        __m512i isum[STRIP_TILE][2];
        _Alignas(64) int32_t start[STRIP_TILE][16];
        size_t sums = t->s + (group == 16 ? 32 : 16) * b;
        for (int c = 0; c < n; c++) {
            if (!minima) starts256(group, zero, x[c] + sums, start[c]);
            isum[c][0] = isum[c][1] = group == 256 ? bcast_i32(start[c]) : _mm512_setzero_si512();
        }
        int vectors = group == 16 ? 4 : 8;
#pragma GCC unroll 1
        for (int i = 0; i < 64 / vectors; i++) {
            if (vectors == 8 || i % 2) strip_fetch(t, &soon);
            tile256_group(p, x, n, i * vectors, vectors, t->q + 256 * b + 4 * (size_t)(i * vectors),
                          group < 256 ? p->scale[i] : NULL, minima || group == 256 ? NULL : start[0] + i, isum);
        }
        for (int c = 0; c < n; c++) {
            __m512 da = bcast_f32(x[c] + t->d + 4 * b);
            for (int i = 0; i < 2; i++) {
                acc[c][i] = scale256(acc[c][i], isum[c][i], p->d[i], da);
                if (!minima) continue;
                __m512i psum = pair_sum(group, &p->pair[0][i], 2, x[c] + sums);
                acc[c][i] = scale256(acc[c][i], psum, p->m[i], da);
            }
        }
    }
    strip_store(t, c0, n, acc);
    t->soon = soon;
}

/* Defines `name`, a panel256_fn for the formats with these groups. */
#define BLOCK256_PANEL(name, group, minima)                                       \
    static void name(strip *s, const panel256 *p, size_t nb, int zero)      \
    {                                                                             \
        STRIP_TILES(s, tile256, p, nb, group, zero, minima)                       \
    }

/* Panel by panel of the 32 rows from r on. */
INLINE void strip256(const simd_tile *t, const format256 *f, strip *s, int64_t r, panel256 *p, uint8_t *copy)
{
    size_t blocks = (size_t)t->k / 256, size = f->group == 16 ? 32 : 16;
    for (size_t b = 0, nb; b < blocks; b += nb) {
        nb = blocks - b < BLOCK256_CHUNK ? blocks - b : BLOCK256_CHUNK;
        strip_rows(s, t, r, b * f->bytes, nb * f->bytes, copy);
        for (int h = 0; h < 2; h++) panel256_fill(f, p, h, s->rows[h].r, nb);
        s->first = b == 0;
        s->last = b + nb == blocks;
        s->q = 256 * b;
        s->d = t->x->off_d + 4 * b;
        s->s = (f->group == 16 ? t->x->off_s16 : t->x->off_s32) + size * b;
        strip_soon(s, t, r, b, nb, blocks, 8);
        f->panel(s, p, nb, f->zero);
    }
}

INLINE void many256(const simd_tile *t, const format256 *f)
{
    strip s;
    panel256 *p = t->scratch;
    uint8_t *copy = strip_place(&s, (uint8_t *)(p + BLOCK256_CHUNK));
    for (int c = 0; c < t->cols; c += s.cols) {
        strip_columns(&s, t, c, strip_size(t->cols - c));
        for (int64_t r = 0; r < t->rows; r += 32) strip256(t, f, &s, r, p, copy);
    }
}

INLINE void block256_tile(const simd_tile *t, const format256 *f)
{
    if (t->cols > (f->few ? f->few : f->order ? BLOCK256_REGS : BLOCK256_FEW)) many256(t, f);
    else few256_rows(t, f, false);
}

/* Five to eight columns in one pass, for formats whose codes are 8 bits of their own once they are unpacked: what does
 * not stay in registers is near, and unpacking costs more. In a function of its own: the stack of one function with all
 * numbers of columns is so large that stores and loads in it meet 4 KiB apart, and wait for each other. */
#define BLOCK256_SOME(name)                                                                                 \
    static __attribute__((noinline)) void some_##name(const simd_tile *t) { few256_rows(t, &format_##name, true); }

INLINE bool block256_some(const simd_tile *t) { return t->cols > BLOCK256_REGS && t->cols <= BLOCK256_FEW; }

#endif
