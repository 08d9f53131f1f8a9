/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 weights, a half-precision scale, perhaps a half-precision minimum. */
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
