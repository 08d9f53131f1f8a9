/* Tiles of F32, F16 and BF16 weights, AVX-512: sixteen partial sums an output (weight i goes to lane i mod 16),
 * so rows are read where they lie, lanes along k, and every output's lanes are folded once at the end. */
#include <string.h>

#include "avx512_float.h"
#include "parts.h"

enum {
    COLS = 6,           /* columns of a register tile, of */
    ROWS = 4,           /* rows, or */
    FEW_ROWS = 8,       /* where there are at most */
    FEW_COLS = 3,       /* columns */
    AHEAD = 1024,       /* bytes that a row is fetched before its use, where columns are few */
    CHUNK = 2048,       /* weights of a row: COLS chunks of activations stay in L2 while the rows pass */
    BLOCK = 512 * 1024, /* bytes of weights that stay in L2 while all columns pass, */
    BLOCK_ROWS = 32,    /* of so many rows at most, */
    PACK_COLS = 24,     /* in the order of their use where so many columns pass */
};

typedef __m512 (*load_fn)(const uint8_t *w, size_t i, __mmask16 m);

INLINE __m512 load_f32(const uint8_t *w, size_t i, __mmask16 m) { return _mm512_maskz_loadu_ps(m, w + 4 * i); }

INLINE __m512 load_f16(const uint8_t *w, size_t i, __mmask16 m)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, w + 2 * i));
}

INLINE __m512 load_bf16(const uint8_t *w, size_t i, __mmask16 m)
{
    __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, w + 2 * i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}

/* Columns of a register tile, and a stretch of k: [from, to). */
typedef struct place {
    size_t row_bytes, from, to;
    const float *x[COLS];
    float *y[COLS];
    const float *soon; /* activations that come next, or NULL: as many as here are fetched into the cache */
    __m512 *sums; /* of the stretches before this one, and after: [row][col]; NULL where this is all of k */
} place;

INLINE const float *column_of(const simd_tile *t, int c)
{
    return (const float *)(const void *)(t->x->data + (size_t)(t->x_index ? t->x_index[c] : c) * t->x->stride);
}

INLINE float *output_of(const simd_tile *t, int c)
{
    return t->y + (size_t)(t->y_index ? t->y_index[c] : c) * t->ldy;
}

INLINE void step(load_fn load, const place *p, const uint8_t *w, size_t i, int rows, int cols, __mmask16 m,
                 __m512 (*acc)[COLS], size_t spread, size_t row_bytes)
{
    __m512 x[COLS];
#pragma GCC unroll 8
    for (int c = 0; c < cols; c++) x[c] = _mm512_maskz_loadu_ps(m, p->x[c] + i);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __m512 v = load(w + (size_t)r * row_bytes, (i - p->from) * spread, m);
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++)
            acc[r][c] = m == 0xffff ? _mm512_fmadd_ps(v, x[c], acc[r][c])
                                    : _mm512_mask3_fmadd_ps(v, x[c], acc[r][c], m);
    }
}

/* The bytes of some rows that come AHEAD of weight i: of the rows that are `next` bytes further on where these end. */
INLINE void fetch_ahead(const place *p, const uint8_t *w, size_t next, size_t i, size_t size, int rows)
{
    size_t at = i * size + AHEAD;
    if ((p->to - i) * size <= AHEAD) at += next - p->to * size;
    for (int r = 0; r < rows; r++) _mm_prefetch((const char *)w + (size_t)r * p->row_bytes + at, _MM_HINT_T0);
}

/* Rows of weights at w by columns, outputs from row `row` on. next: bytes to the rows that come next, which are
 * then fetched ahead of time; or 0. */
INLINE void tile(load_fn load, size_t size, const place *p, const uint8_t *w, size_t next, int64_t row, int rows,
                 int cols, size_t spread, size_t row_bytes)
{
    __m512 acc[FEW_ROWS][COLS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++) acc[r][c] = p->from ? p->sums[r * COLS + c] : _mm512_setzero_ps();
    size_t i = p->from;
    for (; p->to - i >= 16; i += 16) {
        if (next && i * size % 64 == 0) fetch_ahead(p, w, next, i, size, rows);
        if (p->soon) _mm_prefetch((const char *)(p->soon + (i - p->from)), _MM_HINT_T0);
        step(load, p, w, i, rows, cols, 0xffff, acc, spread, row_bytes);
        if (cols == 4) __asm__("" : "+r"(i)); /* or GCC has a counter for each address, more than there are registers */
    }
    if (i < p->to) step(load, p, w, i, rows, cols, lanes(p->to - i), acc, spread, row_bytes);
    if (p->sums) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int c = 0; c < cols; c++) p->sums[r * COLS + c] = acc[r][c];
        return;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++) p->y[c][row + r] = fold16(acc[r][c]);
}

/* The same for one column of F16, in halves: Zen 4 converts eight numbers in half a cycle, but sixteen in 1.33, which
 * binds where weights come from L2. */
INLINE void tile_halves(const place *p, const uint8_t *w, size_t next, int64_t row, int rows)
{
    __m256 half[FEW_ROWS][2];
    __m512 acc[FEW_ROWS][COLS];
    size_t i = 0;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) half[r][0] = half[r][1] = _mm256_setzero_ps();
    size_t third = 3 * p->row_bytes; /* rows 0 to 3 and 4 to 7 are this or once or twice row_bytes away: few registers */
    const uint8_t *from[2] = {w, w + (rows > 4 ? 4 * p->row_bytes : 0)};
    const float *x = p->x[0];
    __asm__("" : "+r"(third), "+r"(from[1]), "+r"(x));
    for (; p->to - i >= 16; i += 16) {
        if (next && i % 32 == 0) fetch_ahead(p, w, next, i, 2, rows);
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            __m256 a = _mm256_loadu_ps(x + i + 8 * h);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const uint8_t *at = from[r / 4] + (r % 4 == 3 ? third : (size_t)(r % 4) * p->row_bytes);
                __m128i v = _mm_loadu_si128((const void *)(at + 2 * (i + 8 * h)));
                half[r][h] = _mm256_fmadd_ps(_mm256_cvtph_ps(v), a, half[r][h]);
            }
        }
        __asm__("" : "+r"(i));
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) acc[r][0] = _mm512_insertf32x8(_mm512_castps256_ps512(half[r][0]), half[r][1], 1);
    if (i < p->to) step(load_f16, p, w, i, rows, 1, lanes(p->to - i), acc, 1, p->row_bytes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) p->y[0][row + r] = fold16(acc[r][0]);
}

INLINE place place_at(const simd_tile *t, int c, int n)
{
    place p = {.row_bytes = t->row_bytes, .to = (size_t)t->k};
    for (int i = 0; i < n; i++) {
        p.x[i] = column_of(t, c + i);
        p.y[i] = output_of(t, c + i);
    }
    return p;
}

/* All rows by n columns from column c. */
INLINE void few(load_fn load, size_t size, const simd_tile *t, int c, int n)
{
    place p = place_at(t, c, n);
    int rows = n <= FEW_COLS ? FEW_ROWS : ROWS;
    int64_t r = 0;
    for (; t->rows - r >= rows; r += rows) {
        const uint8_t *w = t->w + (size_t)r * t->row_bytes;
        for (size_t i = 0; r == 0 && i < AHEAD; i += 64)
            for (int j = 0; j < rows; j++) _mm_prefetch((const char *)w + (size_t)j * t->row_bytes + i, _MM_HINT_T0);
        if (load == load_f16 && n == 1) tile_halves(&p, w, (size_t)rows * t->row_bytes, r, rows);
        else tile(load, size, &p, w, (size_t)rows * t->row_bytes, r, rows, n, 1, t->row_bytes);
    }
    for (; r < t->rows; r++) tile(load, size, &p, t->w + (size_t)r * t->row_bytes, 0, r, 1, n, 1, t->row_bytes);
}

/* fold16 of sixteen vectors, to a lane each. */
INLINE __m512 fold16_of_16(const __m512 *v)
{
    const __m512i lane = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
    __m512 a[8], b[4], c[2];
    for (int i = 0; i < 8; i++)
        a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44), _mm512_shuffle_f32x4(v[i], v[i + 8], 0xee));
    for (int i = 0; i < 4; i++)
        b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd));
    for (int i = 0; i < 2; i++) {
        __m512d x = _mm512_castps_pd(b[i]), y = _mm512_castps_pd(b[i + 2]);
        c[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    __m512 d = _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xdd));
    return _mm512_permutexvar_ps(lane, d);
}

/* The sums of rows [from, to), [row][column], to outputs. */
INLINE void fold_rows(const place *p, const __m512 *sums, int64_t from, int64_t to)
{
    for (int64_t r = from; r < to; r += 16, sums += 16 * COLS) {
        int n = to - r < 16 ? (int)(to - r) : 16;
        for (int c = 0; c < COLS; c++) {
            __m512 v[16];
            for (int i = 0; i < 16; i++) v[i] = i < n ? sums[i * COLS + c] : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(p->y[c] + r, lanes((size_t)n), fold16_of_16(v));
        }
    }
}

/* The weights of rows [from, to) in the order in which tiles read them, chunk by chunk: vectors of so many rows in turn.
 * Rows that are a power of two apart would evict each other, and the activations. */
INLINE void pack(size_t size, const simd_tile *t, int64_t from, int64_t to, uint8_t *out)
{
    for (size_t k = 0; k < (size_t)t->k; k += CHUNK) {
        size_t n = (size_t)t->k - k < CHUNK ? (size_t)t->k - k : CHUNK;
        for (int64_t r = from, rows; r < to; r += rows) {
            rows = to - r < ROWS ? 1 : ROWS;
            const uint8_t *w = t->w + (size_t)r * t->row_bytes + k * size;
            for (size_t i = 0; i < n; i += 16)
                for (size_t j = 0; j < (size_t)rows; j++, out += 16 * size) {
                    const uint8_t *v = w + j * t->row_bytes + i * size;
                    if (n - i >= 16) {
                        memcpy(out, v, 16 * size);
                        continue;
                    }
                    memset(out, 0, 16 * size);
                    memcpy(out, v, (n - i) * size);
                }
        }
    }
}

/* Rows [from, to) by COLS columns from column c: a chunk of k over all rows, then the next. */
INLINE void many(load_fn load, size_t size, const simd_tile *t, int64_t from, int64_t to, int c, const uint8_t *packed)
{
    place p = place_at(t, c, COLS), next = place_at(t, t->cols - c >= 2 * COLS ? c + COLS : c, COLS);
    __m512 *sums = t->scratch;
    for (size_t k = 0; k < (size_t)t->k; k += CHUNK) {
        bool last = (size_t)t->k - k <= CHUNK;
        int64_t r = from;
        p.from = k;
        p.to = last ? (size_t)t->k : k + CHUNK;
        p.sums = sums;
        size_t row = packed ? (p.to - k + 15) / 16 * 16 * size : t->row_bytes;
        const uint8_t *w = packed ? packed + k * size * (size_t)(to - from) : t->w + (size_t)from * row + k * size;
        for (int i = 0; to - r >= ROWS; r += ROWS, w += ROWS * row, p.sums += ROWS * COLS, i++) {
            p.soon = i >= COLS ? NULL : last ? next.x[i] : p.x[i] + p.to;
            if (packed) tile(load, size, &p, w, 0, r, ROWS, COLS, ROWS, 16 * size);
            else tile(load, size, &p, w, 0, r, ROWS, COLS, 1, t->row_bytes);
        }
        p.soon = NULL;
        for (; r < to; r++, w += row, p.sums += COLS) tile(load, size, &p, w, 0, r, 1, COLS, 1, row);
    }
    fold_rows(&p, sums, from, to);
}

INLINE void all(load_fn load, size_t size, const simd_tile *t)
{
    int64_t block = BLOCK / (int64_t)(t->row_bytes ? t->row_bytes : 1) / ROWS * ROWS;
    block = block < ROWS ? ROWS : block > BLOCK_ROWS ? BLOCK_ROWS : block;
    int whole = t->cols / COLS * COLS;
    uint8_t *packed = (uint8_t *)t->scratch + BLOCK_ROWS * COLS * sizeof(__m512);
    if (whole < PACK_COLS || ((size_t)t->k + 16) * size * (size_t)block > SIMD_SCRATCH - BLOCK_ROWS * COLS * sizeof(__m512)) packed = NULL;
    for (int64_t r = 0; r < t->rows; r += block) {
        int64_t to = t->rows - r < block ? t->rows : r + block;
        if (packed) pack(size, t, r, to, packed);
        for (int c = 0; c < whole; c += COLS) many(load, size, t, r, to, c, packed);
    }
    switch (t->cols - whole) {
    case 1: few(load, size, t, whole, 1); break;
    case 2: few(load, size, t, whole, 2); break;
    case 3: few(load, size, t, whole, 3); break;
    case 4: few(load, size, t, whole, 4); break;
    case 5: few(load, size, t, whole, 5); break;
    default: break;
    }
}

static void tile_f32(const simd_tile *t) { all(load_f32, 4, t); }
static void tile_f16(const simd_tile *t) { all(load_f16, 2, t); }
static void tile_bf16(const simd_tile *t) { all(load_bf16, 2, t); }

const simd_part simd_tile_float_avx512 = {.t = {.tile = {
    [QUANT_F32] = tile_f32,
    [QUANT_F16] = tile_f16,
    [QUANT_BF16] = tile_bf16,
}}};
