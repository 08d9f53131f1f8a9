/* Doctor's examination of the kernels: on this very CPU, do they give the bits of the scalar specification? */
#include "doctor_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/num.h"

enum { ROWS = 19, LENGTH = 512, COLS = 6, OUT = ROWS * COLS };

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Activations between -1 and 1, as the format wants them. */
static bool make_columns(simd_act *x, quant_act kind, const simd_table *scalar, uint64_t *seed)
{
    simd_act_layout(x, kind, LENGTH);
    x->data = aligned_alloc(64, x->stride * COLS);
    if (!x->data) return false;
    for (int c = 0; c < COLS; c++) {
        float v[LENGTH];
        for (int i = 0; i < LENGTH; i++) v[i] = (float)((int64_t)next(seed) >> 40) * 0x1p-23f;
        uint8_t *column = x->data + (size_t)c * x->stride;
        if (kind == QUANT_ACT_F32) memcpy(column, v, sizeof v);
        else scalar->quantize(x, v, column);
    }
    return true;
}

static bool same(const float *a, const float *b)
{
    for (int i = 0; i < OUT; i++)
        if (f32_bits(a[i]) != f32_bits(b[i]) && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

/* One column and several go different ways through a kernel. */
static bool tile_agrees(const simd_table *scalar, const simd_table *ours, simd_tile *t, quant_id f)
{
    float want[OUT] = {0}, got[OUT] = {0};
    for (t->cols = 1; t->cols <= COLS; t->cols += COLS - 1) {
        t->y = want;
        scalar->tile[f](t);
        t->y = got;
        ours->tile[f](t);
        if (!same(want, got)) return false;
    }
    return true;
}

/* Random bytes as weights: every code, and scales of any kind. */
static bool format_agrees(const simd_table *scalar, const simd_table *ours, quant_id f, void *scratch, bool *memory)
{
    uint64_t seed = (uint64_t)f;
    simd_act x = {0};
    size_t row = quant_row_bytes(f, LENGTH);
    uint8_t *w = malloc(row * ROWS);
    *memory = w && make_columns(&x, quant_table[f].act, scalar, &seed);
    for (size_t i = 0; *memory && i < row * ROWS; i++) w[i] = (uint8_t)next(&seed);
    simd_tile t = {.w = w, .row_bytes = row, .k = LENGTH, .rows = ROWS, .x = &x, .ldy = ROWS, .scratch = scratch};
    bool ok = !*memory || tile_agrees(scalar, ours, &t, f);
    free(x.data);
    free(w);
    return ok;
}

tawny_status doctor_kernels(bool wrong[QUANT_FORMATS], tawny_error *err)
{
    tawny_status s = simd_init("scalar", err);
    simd_table scalar = simd;
    if (!s) s = simd_init(NULL, err);
    if (s) return s;
    void *scratch = aligned_alloc(64, SIMD_SCRATCH);
    bool memory = scratch;
    for (int f = 0; f < QUANT_FORMATS && memory; f++)
        wrong[f] = !format_agrees(&scalar, &simd, (quant_id)f, scratch, &memory);
    free(scratch);
    return memory ? TAWNY_OK : err_set(err, TAWNY_E_NOMEM, "no memory to examine the kernels");
}
