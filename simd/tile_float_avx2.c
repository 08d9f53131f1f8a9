/* AVX2 tiles of F32, F16 and BF16: sixteen partial sums an output are two vectors, folded 8, 4, 2, 1. */
#include "avx2_tile.h"

enum { FLOAT_ROWS = 2, FLOAT_COLS = 3, FLOAT_L2 = 512 * 1024 };

/* Eight weights. */
typedef __m256 (*float_load)(const uint8_t *w);

AVX2_INLINE __m256 load_f32(const uint8_t *w) { return _mm256_loadu_ps((const float *)(const void *)w); }
AVX2_INLINE __m256 load_f16(const uint8_t *w) { return _mm256_cvtph_ps(avx2_load16(w)); }
AVX2_INLINE __m256 load_bf16(const uint8_t *w)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(avx2_load16(w)), 16));
}

/* Rows [r, r + nr) and columns [c, c + nc), both constants; what is beyond the tile repeats its last. */
AVX2_INLINE void float_block(const simd_tile *t, float_load load, int bytes, int64_t r, int nr, int c, int nc)
{
    const uint8_t *w[4];
    const float *x[FLOAT_COLS];
    __m256 p[4][FLOAT_COLS][2];
    for (int i = 0; i < nr; i++) w[i] = t->w + (size_t)(r + i < t->rows ? r + i : t->rows - 1) * t->row_bytes;
    for (int j = 0; j < nc; j++) x[j] = (const float *)(const void *)avx2_column_at(t, c + j < t->cols ? c + j : c).q;
    for (int i = 0; i < nr; i++)
        for (int j = 0; j < nc; j++) p[i][j][0] = p[i][j][1] = _mm256_setzero_ps();
    int64_t k = 0;
    for (; k + 16 <= t->k; k += 16) {
        for (int h = 0; h < 2; h++) {
            __m256 v[4];
            for (int i = 0; i < nr; i++) v[i] = avx2_keep(load(w[i] + (k + 8 * h) * bytes));
            for (int j = 0; j < nc; j++) {
                __m256 a = avx2_keep(_mm256_loadu_ps(x[j] + k + 8 * h));
                for (int i = 0; i < nr; i++) p[i][j][h] = _mm256_fmadd_ps(v[i], a, p[i][j][h]);
            }
        }
    }
    if (k < t->k) { /* partial sums that have no element left keep their bits */
        size_t n = (size_t)(t->k - k);
        int32_t live[16] = {0};
        for (size_t i = 0; i < n; i++) live[i] = -1;
        for (int j = 0; j < nc; j++)
            for (int i = 0; i < nr; i++) {
                uint8_t rest[64] = {0};
                float a[16] = {0};
                memcpy(rest, w[i] + k * bytes, n * (size_t)bytes);
                memcpy(a, x[j] + k, n * sizeof *a);
                for (int h = 0; h < 2; h++) {
                    __m256 more = _mm256_fmadd_ps(load(rest + 8 * h * bytes), _mm256_loadu_ps(a + 8 * h), p[i][j][h]);
                    p[i][j][h] = _mm256_blendv_ps(p[i][j][h], more, _mm256_castsi256_ps(avx2_load(live + 8 * h)));
                }
            }
    }
    for (int j = 0; j < nc && c + j < t->cols; j++) {
        float *y = avx2_column_at(t, c + j).y;
        for (int i = 0; i < nr && r + i < t->rows; i++) y[r + i] = avx2_fold16(p[i][j][0], p[i][j][1]);
    }
}

/* Columns [c, end), few enough to stay in L2. */
AVX2_INLINE void float_columns(const simd_tile *t, float_load load, int bytes, int c, int end)
{
    if (end - c == 1) {
        for (int64_t r = 0; r < t->rows; r += 4) float_block(t, load, bytes, r, 4, c, 1);
        return;
    }
    for (int64_t r = 0; r < t->rows; r += FLOAT_ROWS)
        for (int j = c; j < end; j += FLOAT_COLS) float_block(t, load, bytes, r, FLOAT_ROWS, j, FLOAT_COLS);
}

AVX2_INLINE void float_tile(const simd_tile *t, float_load load, int bytes)
{
    int64_t fit = FLOAT_L2 / ((t->k + 1) * 4) / FLOAT_COLS * FLOAT_COLS;
    int step = fit < FLOAT_COLS ? FLOAT_COLS : fit > t->cols ? t->cols : (int)fit;
    for (int c = 0; c < t->cols; c += step) float_columns(t, load, bytes, c, c + step < t->cols ? c + step : t->cols);
}

static void tile_f32(const simd_tile *t) { float_tile(t, load_f32, 4); }
static void tile_f16(const simd_tile *t) { float_tile(t, load_f16, 2); }
static void tile_bf16(const simd_tile *t) { float_tile(t, load_bf16, 2); }

const simd_part simd_tile_float_avx2 = {.t = {.tile = {
    [QUANT_F32] = tile_f32, [QUANT_F16] = tile_f16, [QUANT_BF16] = tile_bf16,
}}};
