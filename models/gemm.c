/* Float matrices times many columns by a matrix product from outside (run_shared.gemm): the engine's alternative to its
 * own tiles. Its sums have an order of their own, so the contract does not hold for what comes of it. */
#include "../src/base/num.h"
#include "run.h"

enum { MANY_COLUMNS = 9, ROWS = 16, MOST_ROWS = 256 };

int64_t run_gemm_rows(const run *r, const weight *w, int cols)
{
    if (!r->sh->gemm || cols < MANY_COLUMNS || quant_table[w->format].act != QUANT_ACT_F32) return 0;
    int64_t rows = (int64_t)(SIMD_SCRATCH / sizeof(float)) / w->k / ROWS * ROWS; /* what fits as floats */
    return rows < MOST_ROWS ? rows : MOST_ROWS;
}

bool run_gemm(run *r, const weight *w, const simd_tile *t)
{
    size_t k = (size_t)t->k;
    const float *rows = (const float *)(const void *)t->w;
    if (t->x_index || t->y_index || t->rows > run_gemm_rows(r, w, t->cols)) return false;
    if (w->format != QUANT_F32) {
        float *out = r->scratch;
        for (int64_t i = 0; i < t->rows; i++) {
            const uint16_t *half = (const uint16_t *)(const void *)(t->w + (size_t)i * t->row_bytes);
            if (w->format == QUANT_F16) simd.f16_to_f32(out + (size_t)i * k, half, k);
            else
                for (size_t j = 0; j < k; j++) out[(size_t)i * k + j] = bf16_to_f32(half[j]);
        }
        rows = out;
    }
    r->sh->gemm((int)t->rows, t->cols, (int)t->k, rows, (int)t->k, (const float *)(const void *)t->x->data,
                (int)(t->x->stride / sizeof(float)), t->y, (int)t->ldy);
    return true;
}
