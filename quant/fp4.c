/* MXFP4 and NVFP4: E2M1 codes with a shared scale of their own kind.
 *
 * Codes are taken times two, so that they are whole; the half goes into d.
 * Sources: OCP Microscaling Formats 1.0 (E8M0, E2M1), and E4M3 without sign as ggml reads it. */
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
