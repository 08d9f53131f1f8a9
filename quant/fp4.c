/* MXFP4 and NVFP4: E2M1 codes with a shared scale of their own kind.
 *
 * Codes are taken times two, so that they are whole; the half goes into d.
 * Sources: OCP Microscaling Formats 1.0 (E8M0, E2M1), and E4M3 without sign as ggml reads it. */
#include <math.h>

#include "fit.h"
#include "parts.h"

const int8_t quant_fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static uint8_t code(unsigned nibble) { return (uint8_t)(quant_fp4_values[nibble] + 16); }

/* 2^(e - 127) / 2. The code for NaN (255) counts as a number, as in ggml. */
static float e8m0_half(uint8_t e) { return f32_from_bits(e < 2 ? 0x200000u << e : (uint32_t)(e - 1) << 23); }

/* Half of an E4M3 number: bias 7, 127 (NaN) reads as 0. The sign bit, which no encoder sets, is not looked at. */
static float ue4m3_half(uint8_t x)
{
    unsigned exp = x >> 3 & 15, man = x & 7;
    if (x == 0x7f) return 0;
    if (!exp) return (float)man * 0x1p-10f;
    return f32_from_bits((exp + 119) << 23 | man << 20);
}

void quant_unpack_MXFP4(const void *src, quant_block *dst)
{
    const struct quant_MXFP4 *b = src;
    for (int i = 0; i < 16; i++) {
        dst->q[i] = code(b->qs[i] & 15);
        dst->q[i + 16] = code(b->qs[i] >> 4);
    }
    dst->scale[0] = 1;
    dst->d[0] = e8m0_half(b->e);
}

void quant_unpack_NVFP4(const void *src, quant_block *dst)
{
    const struct quant_NVFP4 *b = src;
    for (int i = 0; i < 64; i++) dst->q[i] = code(b->qs[i / 16 * 8 + i % 8] >> (i % 16 / 8 * 4) & 15);
    for (int g = 0; g < 4; g++) {
        dst->scale[g] = 1;
        dst->d[g] = ue4m3_half(b->d[g]);
    }
}

/* The code whose value times d is nearest to x, the lowest of equals. */
static unsigned nearest(float x, float d)
{
    unsigned best = 0;
    float e = fabsf(x);
    for (unsigned i = 1; i < 16; i++) {
        float t = fabsf((float)quant_fp4_values[i] * d - x);
        if (t < e) {
            e = t;
            best = i;
        }
    }
    return best;
}

/* As ggml's reference: the largest magnitude gets the exponent of the largest code (2^2). */
void quant_encode_MXFP4(const float *src, void *dst, size_t n)
{
    for (struct quant_MXFP4 *b = dst; n >= 32; n -= 32, src += 32, b++) {
        int e = (int)(f32_bits(fit_extreme(src, 32)) >> 23 & 255) - 2; /* floor(log2) + 127 - 2 */
        b->e = (uint8_t)(e < 0 ? 0 : e);
        for (int i = 0; i < 16; i++)
            b->qs[i] = (uint8_t)(nearest(src[i], e8m0_half(b->e)) | nearest(src[i + 16], e8m0_half(b->e)) << 4);
    }
}

static float nvfp4_error(const float *x, float d)
{
    float e = 0;
    for (int i = 0; i < 16; i++) {
        float t = (float)quant_fp4_values[nearest(x[i], d)] * d - x[i];
        e += t * t;
    }
    return e;
}

/* The scale's code around the one that reaches the largest magnitude (6 with the largest code) that errs least. */
static uint8_t nvfp4_scale(const float *x)
{
    float want = fabsf(fit_extreme(x, 16)) / 12, best = INFINITY;
    int top = 0, scale = 0;
    while (top < 126 && ue4m3_half((uint8_t)top) < want) top++;
    for (int c = top > 6 ? top - 6 : 0; c <= top + 3 && c <= 126; c++) {
        float e = nvfp4_error(x, ue4m3_half((uint8_t)c));
        if (e < best) {
            best = e;
            scale = c;
        }
    }
    return (uint8_t)scale;
}

void quant_encode_NVFP4(const float *src, void *dst, size_t n)
{
    for (struct quant_NVFP4 *b = dst; n >= 64; n -= 64, src += 64, b++)
        for (int g = 0; g < 4; g++) {
            const float *x = src + 16 * g;
            float d = ue4m3_half(b->d[g] = nvfp4_scale(x));
            for (int i = 0; i < 8; i++) b->qs[8 * g + i] = (uint8_t)(nearest(x[i], d) | nearest(x[i + 8], d) << 4);
        }
}
