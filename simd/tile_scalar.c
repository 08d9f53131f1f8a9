/* The specification of the tiles: dot products of rows of weights with columns of activations.
 *
 * One text for all integer formats (the rule of quant/quant.h, by unpack) and one for the float formats. */
#include <math.h>

#include "../src/base/num.h"
#include "fold_scalar.h"
#include "parts.h"

/* sum over i in a group of q[i] * a[i], exact */
static int32_t group_dot(const uint8_t *restrict q, const int8_t *restrict a, int n)
{
    int32_t s = 0;
    for (int i = 0; i < n; i++) s += q[i] * a[i];
    return s;
}

typedef struct column {
    const int8_t *q;
    const float *d;
    const int16_t *s16;
} column;

static column column_of(const simd_tile *t, int c)
{
    const uint8_t *p = t->x->data + (size_t)(t->x_index ? t->x_index[c] : c) * t->x->stride;
    return (column){(const int8_t *)p, (const float *)(p + t->x->off_d), (const int16_t *)(p + t->x->off_s16)};
}

static float *output_of(const simd_tile *t, int c)
{
    return t->y + (size_t)(t->y_index ? t->y_index[c] : c) * t->ldy;
}

/* The sum of the activations [from, from + n), n a multiple of 16. */
static int32_t act_sum(const int16_t *s16, int64_t from, int n)
{
    int32_t s = 0;
    for (int i = 0; i < n / 16; i++) s += s16[from / 16 + i];
    return s;
}

/* Adds the accumulated block b of an unpacked block, whose first weight is weight `at` of the row. */
static float add_block(const quant_traits *f, const quant_block *w, int b, const column *x, int64_t at, float acc)
{
    int act_len = f->act == QUANT_ACT_Q32 ? 32 : 256;
    float da = x->d[at / act_len];
    int32_t isum = 0, msum = 0;
    for (int i = 0; i < f->acc_len; i += f->group) {
        int in_block = b * f->acc_len + i, g = in_block / f->group;
        int32_t sum = act_sum(x->s16, at + i, f->group);
        isum += w->scale[g] * (group_dot(w->q + in_block, x->q + at + i, f->group) - f->zero * sum);
        if (f->minima) msum += w->min[g] * sum;
    }
    acc = fmaf((float)isum, w->d[b] * da, acc);
    if (f->minima) acc = fmaf((float)msum, w->m[b] * da, acc);
    return acc;
}

static void tile_int(const simd_tile *t, const quant_traits *f)
{
    for (int64_t r = 0; r < t->rows; r++) {
        for (int c = 0; c < t->cols; c++) output_of(t, c)[r] = 0;
        for (int64_t k = 0; k < t->k; k += f->block_len) {
            quant_block w;
            f->unpack(t->w + (size_t)r * t->row_bytes + (size_t)(k / f->block_len) * (size_t)f->block_bytes, &w);
            for (int c = 0; c < t->cols; c++) {
                column x = column_of(t, c);
                float *y = output_of(t, c) + r;
                for (int b = 0; b < f->block_len / f->acc_len; b++) *y = add_block(f, &w, b, &x, k + b * f->acc_len, *y);
            }
        }
    }
}

static float weight(const uint8_t *w, int64_t i, quant_id f)
{
    return f == QUANT_F16   ? f16_to_f32(load_u16(w + 2 * i))
           : f == QUANT_F32 ? f32_from_bits(load_u32(w + 4 * i))
                            : bf16_to_f32(load_u16(w + 2 * i));
}

static void tile_float(const simd_tile *t, quant_id f)
{
    for (int c = 0; c < t->cols; c++) {
        const float *x = (const float *)(const void *)(t->x->data + (size_t)(t->x_index ? t->x_index[c] : c) * t->x->stride);
        float *y = output_of(t, c);
        for (int64_t r = 0; r < t->rows; r++) {
            const uint8_t *w = t->w + (size_t)r * t->row_bytes;
            float p[16] = {0};
            for (int64_t i = 0; i < t->k; i++) p[i % 16] = fmaf(weight(w, i, f), x[i], p[i % 16]);
            y[r] = fold(p);
        }
    }
}

#define FLOAT_F32(name) static void tile_##name(const simd_tile *t) { tile_float(t, QUANT_##name); }
#define FLOAT_Q32(name) static void tile_##name(const simd_tile *t) { tile_int(t, &quant_table[QUANT_##name]); }
#define FLOAT_Q256(name) FLOAT_Q32(name)
#define FORMAT(name, id, len, bytes, act, ...) FLOAT_##act(name)
#include "../quant/formats.def"
#undef FORMAT

const simd_part simd_tile_scalar = {.t = {.tile = {
#define FORMAT(name, ...) [QUANT_##name] = tile_##name,
#include "../quant/formats.def"
#undef FORMAT
}}};
