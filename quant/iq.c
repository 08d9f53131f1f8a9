/* The IQ formats: weights by rows of a grid (IQ1, IQ2, IQ3) or by a table of levels (IQ4).
 *
 * The fractions of the reference (0.5 + s, a quarter; an eighth of a shift) go into d, so that codes and
 * sub-scales are whole: all these products are exact in f32. */
#include <math.h>

#include "fit.h"
#include "grids.h"
#include "parts.h"

const int8_t quant_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static const uint8_t iq2_levels[4] = {8, 25, 43, 43};
static const uint8_t iq3_xxs_levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static const uint8_t iq3_s_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* Seven signs and the eighth that makes their number even. */
static unsigned even_signs(unsigned s7)
{
    unsigned p = s7 ^ s7 >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return s7 | (p & 1) << 7;
}

/* n weights of a grid row: `bits` bits choose a level, bit j of signs negates it. */
static void grid_row(uint8_t *q, int n, unsigned row, int bits, const uint8_t *levels, unsigned signs, int zero)
{
    for (int j = 0; j < n; j++) {
        int v = levels[row >> (bits * j) & ((1u << bits) - 1)];
        q[j] = (uint8_t)((signs >> j & 1 ? -v : v) + zero);
    }
}

static void iq2_row(uint8_t *q, unsigned row, unsigned signs) { grid_row(q, 8, row, 2, iq2_levels, signs, 64); }

/* 16 odd sub-scales from nibbles. */
static void nibble_scales(const uint8_t *s, quant_block *dst)
{
    for (int g = 0; g < 16; g++) dst->scale[g] = (int16_t)(2 * (s[g / 2] >> (g % 2 * 4) & 15) + 1);
}

void quant_unpack_IQ2_XXS(const void *src, quant_block *dst)
{
    const struct quant_IQ2_XXS *b = src;
    for (int g = 0; g < 8; g++) {
        uint32_t rows = b->qs[2 * g], ss = b->qs[2 * g + 1];
        for (int l = 0; l < 4; l++)
            iq2_row(dst->q + 32 * g + 8 * l, quant_grid_iq2_xxs[rows >> 8 * l & 255], even_signs(ss >> 7 * l & 127));
        dst->scale[g] = (int16_t)(2 * (ss >> 28) + 1);
    }
    dst->d[0] = f16_to_f32(b->d) * 0.125f;
}

void quant_unpack_IQ2_XS(const void *src, quant_block *dst)
{
    const struct quant_IQ2_XS *b = src;
    for (int l = 0; l < 32; l++)
        iq2_row(dst->q + 8 * l, quant_grid_iq2_xs[b->qs[l] & 511], even_signs(b->qs[l] >> 9));
    nibble_scales(b->scales, dst);
    dst->d[0] = f16_to_f32(b->d) * 0.125f;
}

void quant_unpack_IQ2_S(const void *src, quant_block *dst)
{
    const struct quant_IQ2_S *b = src;
    for (int l = 0; l < 32; l++) {
        unsigned row = b->qs[l] | (unsigned)(b->qh[l / 4] >> (l % 4 * 2) & 3) << 8;
        iq2_row(dst->q + 8 * l, quant_grid_iq2_s[row], b->signs[l]);
    }
    nibble_scales(b->scales, dst);
    dst->d[0] = f16_to_f32(b->d) * 0.125f;
}

void quant_unpack_IQ3_XXS(const void *src, quant_block *dst)
{
    const struct quant_IQ3_XXS *b = src;
    for (int l = 0; l < 64; l++) {
        unsigned signs = even_signs(b->ss[l / 8] >> (l % 8 / 2 * 7) & 127) >> (l % 2 * 4);
        grid_row(dst->q + 4 * l, 4, quant_grid_iq3_xxs[b->qs[l]], 3, iq3_xxs_levels, signs, 64);
    }
    for (int g = 0; g < 8; g++) dst->scale[g] = (int16_t)(2 * (b->ss[g] >> 28) + 1);
    dst->d[0] = f16_to_f32(b->d) * 0.25f;
}

void quant_unpack_IQ3_S(const void *src, quant_block *dst)
{
    const struct quant_IQ3_S *b = src;
    for (int l = 0; l < 64; l++) {
        unsigned row = b->qs[l] | (unsigned)(b->qh[l / 8] >> (l % 8) & 1) << 8;
        grid_row(dst->q + 4 * l, 4, quant_grid_iq3_s[row], 3, iq3_s_levels,
                 (unsigned)b->signs[l / 2] >> (l % 2 * 4), 16);
    }
    for (int g = 0; g < 8; g++) dst->scale[g] = (int16_t)(2 * (b->scales[g / 2] >> (g % 2 * 4) & 15) + 1);
    dst->d[0] = f16_to_f32(b->d);
}

/* Ternary rows of eight, shifted by an eighth up or down: in eighths, 8 t + 1 or 8 t - 1. */
static void iq1_row(uint8_t *q, unsigned row, bool down)
{
    for (int j = 0; j < 8; j++) {
        int t = (int)(quant_grid_iq1[row] >> 2 * j & 3) - 1;
        q[j] = (uint8_t)(8 * t + (down ? -1 : 1) + 16);
    }
}

void quant_unpack_IQ1_S(const void *src, quant_block *dst)
{
    const struct quant_IQ1_S *b = src;
    for (int g = 0; g < 8; g++) {
        unsigned h = b->qh[g];
        for (int l = 0; l < 4; l++)
            iq1_row(dst->q + 32 * g + 8 * l, b->qs[4 * g + l] | (h >> 3 * l & 7) << 8, h >> 15);
        dst->scale[g] = (int16_t)(2 * (h >> 12 & 7) + 1);
    }
    dst->d[0] = f16_to_f32(b->d) * 0.125f;
}

void quant_unpack_IQ1_M(const void *src, quant_block *dst)
{
    const struct quant_IQ1_M *b = src;
    unsigned d = 0;
    for (int l = 0; l < 32; l++) {
        unsigned h = (unsigned)b->qh[l / 2] >> (l % 2 * 4);
        iq1_row(dst->q + 8 * l, b->qs[l] | (h & 7) << 8, h & 8);
    }
    for (int g = 0; g < 16; g++) dst->scale[g] = (int16_t)(2 * (b->scales[g / 4] >> (g % 4 * 3) & 7) + 1);
    for (int i = 0; i < 4; i++) d |= (unsigned)b->scales[i] >> 12 << 4 * i;
    dst->d[0] = f16_to_f32((uint16_t)d) * 0.125f;
}

static void iq4_codes(const uint8_t *qs, uint8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (uint8_t)(quant_iq4_values[qs[i] & 15] + 128);
        q[i + 16] = (uint8_t)(quant_iq4_values[qs[i] >> 4] + 128);
    }
}

void quant_unpack_IQ4_NL(const void *src, quant_block *dst)
{
    const struct quant_IQ4_NL *b = src;
    iq4_codes(b->qs, dst->q);
    dst->scale[0] = 1;
    dst->d[0] = f16_to_f32(b->d);
}

void quant_unpack_IQ4_XS(const void *src, quant_block *dst)
{
    const struct quant_IQ4_XS *b = src;
    for (int g = 0; g < 8; g++) {
        int low = b->scales_l[g / 2] >> (g % 2 * 4) & 15, high = b->scales_h >> 2 * g & 3;
        iq4_codes(b->qs + 16 * g, dst->q + 32 * g);
        dst->scale[g] = (int16_t)((low | high << 4) - 32);
    }
    dst->d[0] = f16_to_f32(b->d);
}

/* ---- encoder ---- */

/* The number of the level nearest to x, the higher of equals. */
static unsigned nearest_level(float x)
{
    unsigned i = 0;
    while (i < 15 && !(x - quant_iq4_values[i] < quant_iq4_values[i + 1] - x)) i++;
    return i;
}

/* As ggml's from_float_ref: the extreme value gives a first scale and the codes; least squares, weighted by
 * x^2, the scale that is stored. */
void quant_encode_IQ4_NL(const float *src, void *dst, size_t n)
{
    for (struct quant_IQ4_NL *b = dst; n >= 32; n -= 32, src += 32, b++) {
        float top = fit_extreme(src, 32), xq = 0, qq = 0;
        float inv = fabsf(top) < 1e-15f ? 0 : 1 / (top / quant_iq4_values[0]);
        unsigned codes[32];
        for (int i = 0; i < 32; i++) {
            codes[i] = inv != 0 ? nearest_level(src[i] * inv) : 0;
            float q = quant_iq4_values[codes[i]], w = src[i] * src[i];
            xq += w * q * src[i];
            qq += w * q * q;
        }
        b->d = f32_to_f16(inv != 0 && qq > 0 ? xq / qq : 0);
        for (int i = 0; i < 16; i++) b->qs[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
    }
}
