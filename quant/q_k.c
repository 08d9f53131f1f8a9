/* Q2_K to Q6_K: 256 weights, a half-precision scale (and minimum), integer sub-scales for 16 or 32 weights. */
#include "parts.h"

/* Weight i's two bits of the layout that Q2_K and Q3_K share. */
static unsigned two_bits(const uint8_t *qs, int i) { return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3; }

void quant_unpack_Q2_K(const void *src, quant_block *dst)
{
    const struct quant_Q2_K *b = src;
    for (int i = 0; i < 256; i++) dst->q[i] = (uint8_t)two_bits(b->qs, i);
    for (int g = 0; g < 16; g++) {
        dst->scale[g] = b->scales[g] & 15;
        dst->min[g] = b->scales[g] >> 4;
    }
    dst->d[0] = f16_to_f32(b->d);
    dst->m[0] = -f16_to_f32(b->dmin);
}

void quant_unpack_Q3_K(const void *src, quant_block *dst)
{
    const struct quant_Q3_K *b = src;
    for (int i = 0; i < 256; i++)
        dst->q[i] = (uint8_t)(two_bits(b->qs, i) | (unsigned)(b->hmask[i % 32] >> (i / 32) & 1) << 2);
    for (int g = 0; g < 16; g++) {
        int low = b->scales[g % 8] >> (g / 8 * 4) & 15, high = b->scales[8 + g % 4] >> (g / 4 * 2) & 3;
        dst->scale[g] = (int16_t)((low | high << 4) - 32);
    }
    dst->d[0] = f16_to_f32(b->d);
}

/* The 6-bit scales and minima that Q4_K and Q5_K share. */
static void scales_k(const uint8_t *s, quant_block *dst)
{
    for (int g = 0; g < 4; g++) {
        dst->scale[g] = s[g] & 63;
        dst->min[g] = s[g + 4] & 63;
        dst->scale[g + 4] = (int16_t)((s[g + 8] & 15) | s[g] >> 6 << 4);
        dst->min[g + 4] = (int16_t)(s[g + 8] >> 4 | s[g + 4] >> 6 << 4);
    }
}

static unsigned nibble_k(const uint8_t *qs, int i) { return qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15; }

void quant_unpack_Q4_K(const void *src, quant_block *dst)
{
    const struct quant_Q4_K *b = src;
    for (int i = 0; i < 256; i++) dst->q[i] = (uint8_t)nibble_k(b->qs, i);
    scales_k(b->scales, dst);
    dst->d[0] = f16_to_f32(b->d);
    dst->m[0] = -f16_to_f32(b->dmin);
}

void quant_unpack_Q5_K(const void *src, quant_block *dst)
{
    const struct quant_Q5_K *b = src;
    for (int i = 0; i < 256; i++)
        dst->q[i] = (uint8_t)(nibble_k(b->qs, i) | (unsigned)(b->qh[i % 32] >> (i / 32) & 1) << 4);
    scales_k(b->scales, dst);
    dst->d[0] = f16_to_f32(b->d);
    dst->m[0] = -f16_to_f32(b->dmin);
}

void quant_unpack_Q6_K(const void *src, quant_block *dst)
{
    const struct quant_Q6_K *b = src;
    for (int i = 0; i < 256; i++) {
        int low = b->ql[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
        int high = b->qh[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        dst->q[i] = (uint8_t)(low | high << 4);
    }
    for (int g = 0; g < 16; g++) dst->scale[g] = b->scales[g];
    dst->d[0] = f16_to_f32(b->d);
}
