/* The specification of the float kernels: quantization of activations, norms, RoPE, conversions.
 * (Activation functions: vmath_scalar.c; attention: attn_scalar.c.) */
#include <math.h>
#include <string.h>

#include "../src/base/num.h"
#include "fold_scalar.h"
#include "parts.h"

static void quantize_block(const float *x, int n, int8_t *q, float *d)
{
    uint32_t top = 0; /* the bits of |x| order as numbers do: finite < infinity < NaN */
    for (int i = 0; i < n; i++) {
        uint32_t a = f32_bits(x[i]) & 0x7fffffff;
        if (a > top) top = a;
    }
    float amax = f32_from_bits(top);
    bool zero = amax < 0x1p-100f, bad = top >= 0x7f800000;
    float inv = 127.0f / amax;
    for (int i = 0; i < n; i++) q[i] = zero || bad ? 0 : (int8_t)nearbyintf(x[i] * inv);
    *d = bad ? f32_from_bits(0x7fc00000) : zero ? 0 : amax / 127.0f;
}

static void quantize(const simd_act *a, const float *x, uint8_t *column)
{
    int len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    int8_t *q = (int8_t *)column;
    float *d = (float *)(void *)(column + a->off_d);
    int16_t *s32 = (int16_t *)(void *)(column + a->off_s32), *s16 = (int16_t *)(void *)(column + a->off_s16);
    for (int64_t k = 0; k < a->k; k += len) quantize_block(x + k, len, q + k, d + k / len);
    for (int64_t k = 0; k < a->k; k += 16) {
        int s = 0;
        for (int i = 0; i < 16; i++) s += q[k + i];
        s16[k / 16] = (int16_t)s;
    }
    for (int64_t k = 0; k < a->k / 32; k++) s32[k] = (int16_t)(s16[2 * k] + s16[2 * k + 1]);
}

static void residual(const simd_act *a, const float *x, const uint8_t *column, float *rest)
{
    int len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    const int8_t *q = (const int8_t *)column;
    const float *d = (const float *)(const void *)(column + a->off_d);
    for (int64_t k = 0; k < a->k; k += len)
        for (int i = 0; i < len; i++) rest[k + i] = x[k + i] - (float)q[k + i] * d[k / len];
}

static float dot(const float *a, const float *b, size_t n)
{
    float p[16] = {0};
    for (size_t i = 0; i < n; i++) p[i % 16] = fmaf(a[i], b[i], p[i % 16]);
    return fold(p);
}

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float r = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = w ? (x[i] * r) * w[i] : x[i] * r;
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    float p[16] = {0};
    for (size_t i = 0; i < n; i++) p[i % 16] += x[i];
    float mean = fold(p) / (float)n;
    for (size_t i = 0; i < n; i++) y[i] = x[i] - mean;
    float r = 1.0f / sqrtf(dot(y, y, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        y[i] *= r;
        if (w) y[i] *= w[i];
        if (b) y[i] += b[i];
    }
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void scale(float *y, const float *a, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] * s;
}

static void madd(float *y, const float *a, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a[i], s, y[i]);
}

static float max(const float *a, size_t n)
{
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (a[i] > m) m = a[i];
    return m;
}

static float exp_sum(float *y, const float *x, float m, size_t n)
{
    float p[16] = {0};
    for (size_t i = 0; i < n; i++) y[i] = x[i] - m;
    simd.exp(y, y, n);
    for (size_t i = 0; i < n; i++) p[i % 16] += y[i];
    return fold(p);
}

static void rotate(float *a, float *b, float c, float s)
{
    float x0 = *a, x1 = *b, x0c = x0 * c, x1s = x1 * s, x0s = x0 * s, x1c = x1 * c;
    *a = x0c - x1s;
    *b = x0s + x1c;
}

static void rope_norm(float *x, const float *cs, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) rotate(&x[2 * i], &x[2 * i + 1], cs[2 * i], cs[2 * i + 1]);
}

static void rope_neox(float *x, const float *cs, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) rotate(&x[i], &x[i + n / 2], cs[2 * i], cs[2 * i + 1]);
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = f16_to_f32(x[i]);
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = f32_to_f16(x[i]);
}

const simd_part simd_float_scalar = {.t = {
    .quantize = quantize, .residual = residual, .rms_norm = rms_norm, .layer_norm = layer_norm, .add = add, .mul = mul,
    .scale = scale, .madd = madd,
    .dot = dot, .max = max, .exp_sum = exp_sum, .rope_norm = rope_norm, .rope_neox = rope_neox,
    .f16_to_f32 = from_f16, .f32_to_f16 = to_f16,
}};
