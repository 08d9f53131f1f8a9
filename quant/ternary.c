/* One and two bits, three values: TQ1_0, TQ2_0, Q1_0, Q2_0. */
#include <math.h>

#include "fit.h"
#include "parts.h"

/* Digit n (0 is the top one) of a byte that holds ceil(256 v / 243), v of five ternary digits. */
static uint8_t trit(uint8_t byte, int n)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    uint8_t rest = (uint8_t)(byte * pow3[n]);
    return (uint8_t)(rest * 3 >> 8);
}

void quant_unpack_TQ1_0(const void *src, quant_block *dst)
{
    const struct quant_TQ1_0 *b = src;
    for (int i = 0; i < 160; i++) dst->q[i] = trit(b->qs[i % 32], i / 32);
    for (int i = 0; i < 80; i++) dst->q[160 + i] = trit(b->qs[32 + i % 16], i / 16);
    for (int i = 0; i < 16; i++) dst->q[240 + i] = trit(b->qh[i % 4], i / 4);
    dst->scale[0] = 1;
    dst->d[0] = f16_to_f32(b->d);
}

void quant_unpack_TQ2_0(const void *src, quant_block *dst)
{
    const struct quant_TQ2_0 *b = src;
    for (int i = 0; i < 256; i++) dst->q[i] = b->qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
    dst->scale[0] = 1;
    dst->d[0] = f16_to_f32(b->d);
}

void quant_unpack_Q1_0(const void *src, quant_block *dst)
{
    const struct quant_Q1_0 *b = src;
    for (int i = 0; i < 128; i++) dst->q[i] = (uint8_t)((b->qs[i / 8] >> i % 8 & 1) * 2); /* -1 or 1 */
    for (int g = 0; g < 4; g++) {
        dst->scale[g] = 1;
        dst->d[g] = f16_to_f32(b->d);
    }
}

void quant_unpack_Q2_0(const void *src, quant_block *dst)
{
    const struct quant_Q2_0 *b = src;
    for (int i = 0; i < 64; i++) dst->q[i] = b->qs[i / 4] >> (i % 4 * 2) & 3;
    for (int g = 0; g < 2; g++) {
        dst->scale[g] = 1;
        dst->d[g] = f16_to_f32(b->d);
    }
}

/* ---- encoders ---- */

/* -1, 0 or 1 plus one, as the largest magnitude is taken for one: exact for weights that are ternary. */
static unsigned digit(float x, float inv) { return (unsigned)(fit_round(roundf(x * inv), -1, 1) + 1); }

static float ternary_scale(const float *x, float *inv)
{
    float d = fabsf(fit_extreme(x, 256));
    *inv = d > 0 ? 1 / d : 0;
    return d;
}

/* Digits of n weights, `step` apart, as a fraction of 243 parts rounded up. */
static uint8_t trits(const float *x, int n, int step, float inv)
{
    unsigned v = 0;
    for (int i = 0; i < 5; i++) v = 3 * v + (i < n ? digit(x[i * step], inv) : 0);
    return (uint8_t)((v * 256 + 242) / 243);
}

void quant_encode_TQ1_0(const float *src, void *dst, size_t n)
{
    for (struct quant_TQ1_0 *b = dst; n >= 256; n -= 256, src += 256, b++) {
        float inv;
        b->d = f32_to_f16(ternary_scale(src, &inv));
        for (int i = 0; i < 32; i++) b->qs[i] = trits(src + i, 5, 32, inv);
        for (int i = 0; i < 16; i++) b->qs[32 + i] = trits(src + 160 + i, 5, 16, inv);
        for (int i = 0; i < 4; i++) b->qh[i] = trits(src + 240 + i, 4, 4, inv);
    }
}

void quant_encode_TQ2_0(const float *src, void *dst, size_t n)
{
    for (struct quant_TQ2_0 *b = dst; n >= 256; n -= 256, src += 256, b++) {
        float inv;
        b->d = f32_to_f16(ternary_scale(src, &inv));
        memset(b->qs, 0, sizeof b->qs);
        for (int i = 0; i < 256; i++)
            b->qs[i / 128 * 32 + i % 32] |= (uint8_t)(digit(src[i], inv) << (i / 32 % 4 * 2));
    }
}

/* The mean magnitude errs least. */
void quant_encode_Q1_0(const float *src, void *dst, size_t n)
{
    for (struct quant_Q1_0 *b = dst; n >= 128; n -= 128, src += 128, b++) {
        float sum = 0;
        memset(b->qs, 0, sizeof b->qs);
        for (int i = 0; i < 128; i++) {
            sum += fabsf(src[i]);
            b->qs[i / 8] |= (uint8_t)((src[i] >= 0) << i % 8);
        }
        b->d = f32_to_f16(sum / 128);
    }
}

void quant_encode_Q2_0(const float *src, void *dst, size_t n)
{
    float ones[64];
    for (int i = 0; i < 64; i++) ones[i] = 1;
    for (struct quant_Q2_0 *b = dst; n >= 64; n -= 64, src += 64, b++) {
        b->d = f32_to_f16(fit_signed(src, ones, 64, -1, 2));
        float d = f16_to_f32(b->d), inv = d != 0 ? 1 / d : 0;
        memset(b->qs, 0, sizeof b->qs);
        for (int i = 0; i < 64; i++) b->qs[i / 4] |= (uint8_t)((fit_round(src[i] * inv, -1, 2) + 1) << (i % 4 * 2));
    }
}
