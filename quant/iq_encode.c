/* Encoder of IQ4_XS: for each 32 weights the least-squares scale under the sixteen levels, these rounded to six
 * bits times the block's scale, the neighbours of that rounding tried, then the codes. Not ggml's bytes; the
 * error is at or below that of its quantizer without importance matrix. (IQ4_NL is in iq.c.) */
#include <math.h>

#include "fit.h"
#include "parts.h"

/* The number of the level nearest to x. */
static int level(float x)
{
    int i = 0;
    while (i < 15 && x - quant_iq4_values[i] >= quant_iq4_values[i + 1] - x) i++;
    return i;
}

/* Squared error of 32 weights under scale s; with codes where asked for. */
static float error(const float *x, float s, uint8_t *codes)
{
    float inv = s != 0 ? 1 / s : 0, e = 0;
    for (int i = 0; i < 32; i++) {
        int l = level(x[i] * inv);
        float d = x[i] - s * (float)quant_iq4_values[l];
        e += d * d;
        if (codes) codes[i] = (uint8_t)l;
    }
    return e;
}

/* The scale, of either sign: the extreme weight on either end of the table, or some levels beside it. */
static float best_scale(const float *x)
{
    float top = fit_extreme(x, 32), best = 0, scale = 0;
    if (fabsf(top) < 1e-30f) return 0;
    for (int t = -10; t <= 10; t++) {
        for (int end = 0; end < 16; end += 15) {
            float inv = (float)(quant_iq4_values[end] + t) / top, xq = 0, qq = 0;
            for (int i = 0; i < 32; i++) {
                float q = quant_iq4_values[level(x[i] * inv)];
                xq += x[i] * q;
                qq += q * q;
            }
            if (qq > 0 && xq * xq > best * qq) {
                best = xq * xq / qq;
                scale = xq / qq;
            }
        }
    }
    return scale;
}

static int best_integer(const float *x, float want, float d)
{
    int s0 = fit_round(d != 0 ? want / d : 0, -32, 31), scale = s0;
    float best = INFINITY;
    for (int s = s0 - 1; s <= s0 + 1; s++) {
        if (s < -32 || s > 31) continue;
        float e = error(x, d * (float)s, NULL);
        if (e < best) {
            best = e;
            scale = s;
        }
    }
    return scale;
}

void quant_encode_IQ4_XS(const float *src, void *dst, size_t n)
{
    for (struct quant_IQ4_XS *b = dst; n >= 256; n -= 256, src += 256, b++) {
        float want[8];
        uint8_t codes[32];
        unsigned high = 0;
        for (int g = 0; g < 8; g++) want[g] = best_scale(src + 32 * g);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(fit_extreme(want, 8) / -32);
        float d = f16_to_f32(b->d);
        for (int g = 0; g < 8; g++) {
            int s = best_integer(src + 32 * g, want[g], d);
            error(src + 32 * g, d * (float)s, codes);
            b->scales_l[g / 2] |= (uint8_t)(((s + 32) & 15) << (g % 2 * 4));
            high |= (unsigned)(s + 32) >> 4 << 2 * g;
            for (int i = 0; i < 16; i++) b->qs[16 * g + i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
        }
        b->scales_h = (uint16_t)high;
    }
}
