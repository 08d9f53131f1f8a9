/* The specification of attention to one page, for every type of the cache, and of the merging of pages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../src/base/num.h"
#include "fold_scalar.h"
#include "parts.h"

enum { BLOCK = SIMD_KV_BLOCK };

static float element(simd_kv type, const void *p, size_t i)
{
    uint16_t half;
    if (type == SIMD_KV_F32) return ((const float *)p)[i];
    half = ((const uint16_t *)p)[i];
    return type == SIMD_KV_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

static void qk_float(const simd_attn *a, simd_kv type)
{
    for (int r = 0; r < a->rows; r++)
        for (int j = a->lo[r]; j < a->hi[r]; j++) {
            float s = 0;
            for (int d = 0; d < a->dk; d++) s = fmaf(a->q[r][d], element(type, a->k, (size_t)(d * SIMD_PAGE + j)), s);
            a->s[r * SIMD_PAGE + j] = s;
        }
}

static const uint8_t *block_at(simd_kv type, const void *page, int b)
{
    return (const uint8_t *)page + (size_t)b * simd_kv_block_bytes(type);
}

static float scale_at(simd_kv type, const uint8_t *block, int j)
{
    return f16_to_f32(load_u16(block + simd_kv_block_codes(type) + 2 * j));
}

/* Dimension i of key j of a block. */
static int key_at(simd_kv type, const uint8_t *block, int j, int i)
{
    if (type == SIMD_KV_Q8_0) return block[(i / 4 * SIMD_PAGE + j) * 4 + i % 4] - 128;
    uint8_t two = block[(i / 4 % 4 * SIMD_PAGE + j) * 4 + i % 4];
    return (i < 16 ? two & 15 : two >> 4) - 8;
}

static int value_at(simd_kv type, const uint8_t *block, int j, int i)
{
    if (type == SIMD_KV_Q8_0) return (int8_t)block[j * BLOCK + i];
    uint8_t two = block[j * BLOCK / 2 + i % 16];
    return (i < 16 ? two & 15 : two >> 4) - 8;
}

static void qk_quantized(const simd_attn *a, simd_kv type)
{
    for (int r = 0; r < a->rows; r++) {
        simd_query q = simd_query_at(a->query[r], (size_t)a->dk);
        for (int j = a->lo[r]; j < a->hi[r]; j++) {
            float s = 0;
            for (int b = 0; b < a->dk / BLOCK; b++) {
                const uint8_t *block = block_at(type, a->k, b);
                int32_t sum = 0;
                for (int i = 0; i < BLOCK; i++) sum += q.q[b * BLOCK + i] * key_at(type, block, j, i);
                s = fmaf((float)sum, scale_at(type, block, j) * q.d[b], s);
            }
            a->s[r * SIMD_PAGE + j] = s;
        }
    }
}

static void pv_float(const simd_attn *a, simd_kv type)
{
    for (int r = 0; r < a->rows; r++) {
        const float *p = a->s + r * SIMD_PAGE;
        float *o = a->o + (size_t)r * a->ldo;
        memset(o, 0, (size_t)a->dv * sizeof *o);
        for (int j = a->lo[r]; j < a->hi[r]; j++)
            for (int d = 0; d < a->dv; d++) o[d] = fmaf(p[j], element(type, a->v, (size_t)(j * a->dv + d)), o[d]);
    }
}

static void pv_quantized(const simd_attn *a, simd_kv type)
{
    for (int r = 0; r < a->rows; r++)
        for (int b = 0; b < a->dv / BLOCK; b++) {
            const uint8_t *block = block_at(type, a->v, b);
            float *o = a->o + (size_t)r * a->ldo + b * BLOCK;
            memset(o, 0, BLOCK * sizeof *o);
            for (int j = a->lo[r]; j < a->hi[r]; j++) {
                float w = a->s[r * SIMD_PAGE + j] * scale_at(type, block, j);
                for (int i = 0; i < BLOCK; i++) o[i] = fmaf(w, (float)value_at(type, block, j, i), o[i]);
            }
        }
}

static void softmax_row(const simd_attn *a, int r)
{
    float *s = a->s + r * SIMD_PAGE, part[16] = {0}, m = -INFINITY;
    int lo = a->lo[r], hi = a->hi[r];
    for (int j = lo; j < hi; j++) {
        s[j] *= a->scale;
        if (a->softcap > 0) {
            s[j] /= a->softcap;
            simd.tanh(&s[j], &s[j], 1);
            s[j] *= a->softcap;
        }
        if (a->slope) s[j] = fmaf(a->slope[r], -(float)abs(j + a->dist[r]), s[j]);
        if (s[j] > m) m = s[j];
    }
    for (int j = lo; j < hi; j++) s[j] -= m;
    simd.exp(s + lo, s + lo, (size_t)(hi - lo));
    for (int j = lo; j < hi; j++) part[j % 16] += s[j];
    a->m[r] = m;
    a->l[r] = fold(part);
}

static void softmax(const simd_attn *a)
{
    for (int r = 0; r < a->rows; r++) softmax_row(a, r);
}

static void qk_f32(const simd_attn *a) { qk_float(a, SIMD_KV_F32); }
static void qk_f16(const simd_attn *a) { qk_float(a, SIMD_KV_F16); }
static void qk_bf16(const simd_attn *a) { qk_float(a, SIMD_KV_BF16); }
static void qk_q8_0(const simd_attn *a) { qk_quantized(a, SIMD_KV_Q8_0); }
static void qk_q4_0(const simd_attn *a) { qk_quantized(a, SIMD_KV_Q4_0); }
static void pv_f32(const simd_attn *a) { pv_float(a, SIMD_KV_F32); }
static void pv_f16(const simd_attn *a) { pv_float(a, SIMD_KV_F16); }
static void pv_bf16(const simd_attn *a) { pv_float(a, SIMD_KV_BF16); }
static void pv_q8_0(const simd_attn *a) { pv_quantized(a, SIMD_KV_Q8_0); }
static void pv_q4_0(const simd_attn *a) { pv_quantized(a, SIMD_KV_Q4_0); }

static void attn_merge(const simd_merge *g)
{
    for (int i = 0; i < g->rows; i++) {
        float *m = g->m + g->to[i], *l = g->l + g->to[i], *o = g->o + (size_t)g->to[i] * g->n;
        const float *o2 = g->o2 + (size_t)i * g->ldo2;
        float top = g->m2[i] > *m ? g->m2[i] : *m, ab[2] = {*m - top, g->m2[i] - top};
        simd.exp(ab, ab, 2);
        *m = top;
        *l = fmaf(*l, ab[0], g->l2[i] * ab[1]);
        for (size_t d = 0; d < g->n; d++) o[d] = fmaf(o[d], ab[0], o2[d] * ab[1]);
    }
}

const simd_part simd_attn_scalar = {.t = {
    .attn_qk = {qk_f32, qk_f16, qk_bf16, qk_q8_0, qk_q4_0}, .attn_softmax = softmax,
    .attn_pv = {pv_f32, pv_f16, pv_bf16, pv_q8_0, pv_q4_0}, .attn_merge = attn_merge,
}};
