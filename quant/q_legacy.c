/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 weights, a half-precision scale, perhaps a half-precision minimum. */
#include <float.h>
#include <math.h>

#include "fit.h"
#include "parts.h"

/* Nibbles and, where qh is used, fifth bits. */
static void codes(const uint8_t *qs, uint32_t qh, quant_block *dst)
{
    for (int i = 0; i < 16; i++) {
        dst->q[i] = (uint8_t)((qs[i] & 15) | (qh >> i & 1) << 4);
        dst->q[i + 16] = (uint8_t)(qs[i] >> 4 | (qh >> (i + 16) & 1) << 4);
    }
}

static void scale(quant_half d, quant_half m, quant_block *dst)
{
    dst->scale[0] = dst->min[0] = 1;
    dst->d[0] = f16_to_f32(d);
    dst->m[0] = f16_to_f32(m);
}

void quant_unpack_Q4_0(const void *src, quant_block *dst)
{
    const struct quant_Q4_0 *b = src;
    codes(b->qs, 0, dst);
    scale(b->d, 0, dst);
}

void quant_unpack_Q4_1(const void *src, quant_block *dst)
{
    const struct quant_Q4_1 *b = src;
    codes(b->qs, 0, dst);
    scale(b->d, b->m, dst);
}

void quant_unpack_Q5_0(const void *src, quant_block *dst)
{
    const struct quant_Q5_0 *b = src;
    codes(b->qs, b->qh, dst);
    scale(b->d, 0, dst);
}

void quant_unpack_Q5_1(const void *src, quant_block *dst)
{
    const struct quant_Q5_1 *b = src;
    codes(b->qs, b->qh, dst);
    scale(b->d, b->m, dst);
}

void quant_unpack_Q8_0(const void *src, quant_block *dst)
{
    const struct quant_Q8_0 *b = src;
    for (int i = 0; i < 32; i++) dst->q[i] = (uint8_t)(b->qs[i] + 128);
    scale(b->d, 0, dst);
}

/* ---- encoders: the bytes of ggml's reference quantizers ---- */

static uint8_t truncated(float v, int top) { return v >= (float)top ? (uint8_t)top : v > 0 ? (uint8_t)v : 0; }

/* Codes of x * inv + shift cut off to 0..top: low nibbles to qs, fifth bits returned. */
static uint32_t put_codes(const float *x, float low, float inv, float shift, int top, uint8_t *qs)
{
    uint32_t qh = 0;
    for (int i = 0; i < 16; i++) {
        uint32_t a = truncated((x[i] - low) * inv + shift, top), b = truncated((x[i + 16] - low) * inv + shift, top);
        qs[i] = (uint8_t)((a & 15) | (b & 15) << 4);
        qh |= a >> 4 << i | b >> 4 << (i + 16);
    }
    return qh;
}

/* The extreme value becomes the lowest code, which has one more step than the highest. */
static float signed_scale(const float *x, int low, float *inv)
{
    float d = fit_extreme(x, 32) / (float)low;
    *inv = d != 0 ? 1 / d : 0;
    return d;
}

static float affine_scale(const float *x, int top, float *inv, float *low)
{
    float high = -FLT_MAX;
    *low = FLT_MAX;
    for (int i = 0; i < 32; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > high) high = x[i];
    }
    float d = (high - *low) / (float)top;
    *inv = d != 0 ? 1 / d : 0;
    return d;
}

void quant_encode_Q4_0(const float *src, void *dst, size_t n)
{
    for (struct quant_Q4_0 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float inv;
        b->d = f32_to_f16(signed_scale(src, -8, &inv));
        put_codes(src, 0, inv, 8.5f, 15, b->qs);
    }
}

void quant_encode_Q5_0(const float *src, void *dst, size_t n)
{
    for (struct quant_Q5_0 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float inv;
        b->d = f32_to_f16(signed_scale(src, -16, &inv));
        b->qh = put_codes(src, 0, inv, 16.5f, 31, b->qs);
    }
}

void quant_encode_Q4_1(const float *src, void *dst, size_t n)
{
    for (struct quant_Q4_1 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float inv, low;
        b->d = f32_to_f16(affine_scale(src, 15, &inv, &low));
        b->m = f32_to_f16(low);
        put_codes(src, low, inv, 0.5f, 15, b->qs);
    }
}

void quant_encode_Q5_1(const float *src, void *dst, size_t n)
{
    for (struct quant_Q5_1 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float inv, low;
        b->d = f32_to_f16(affine_scale(src, 31, &inv, &low));
        b->m = f32_to_f16(low);
        b->qh = put_codes(src, low, inv, 0.5f, 31, b->qs);
    }
}

void quant_encode_Q8_0(const float *src, void *dst, size_t n)
{
    for (struct quant_Q8_0 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float d = fabsf(fit_extreme(src, 32)) / 127, inv = d != 0 ? 1 / d : 0;
        b->d = f32_to_f16(d);
        for (int i = 0; i < 32; i++) b->qs[i] = (int8_t)fit_round(roundf(src[i] * inv), -127, 127);
    }
}
