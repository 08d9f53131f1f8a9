/* One and two bits, three values: TQ1_0, TQ2_0, Q1_0, Q2_0. */
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
