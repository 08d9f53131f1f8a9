/* Encoders of Q2_K to Q6_K: a least-squares scale (and minimum) for each group, these rounded to integers times
 * the block's scale, the neighbours of that rounding tried, then the codes. Not ggml's bytes; errors are at or
 * below those of its quantizers without importance matrix (tests/test_quant.c). */
#include <math.h>

#include "fit.h"
#include "parts.h"

/* Groups of a block under work: their scales and minima, first as numbers, then as integers. */
typedef struct work {
    int groups, len, lo, hi; /* codes lo..hi */
    const float *x;
    float w[256];
    float scale[16], min[16];
    int iscale[16], imin[16];
    float d, m; /* as stored */
    int code[256];
} work;

/* Larger weights count more, as ggml weighs them: root mean square plus magnitude. */
static void weigh(work *k)
{
    for (int g = 0; g < k->groups; g++) {
        const float *x = k->x + g * k->len;
        float sum = 0;
        for (int i = 0; i < k->len; i++) sum += x[i] * x[i];
        float rms = sqrtf(sum / (float)k->len);
        for (int i = 0; i < k->len; i++) k->w[g * k->len + i] = rms + fabsf(x[i]);
    }
}

static float half(float v) { return f16_to_f32(f32_to_f16(v)); }

static float group_error(const work *k, int g, int s, int m)
{
    int at = g * k->len;
    return fit_error(k->x + at, k->w + at, k->len, k->lo, k->hi, k->d * (float)s, k->m * (float)m);
}

/* The integers within one of the nearest that err least. */
static void round_group(work *k, int g, int slo, int shi, int mhi)
{
    int s0 = fit_round(k->d != 0 ? k->scale[g] / k->d : 0, slo, shi);
    int m0 = fit_round(k->m != 0 ? k->min[g] / k->m : 0, 0, mhi);
    float best = INFINITY;
    k->iscale[g] = s0;
    k->imin[g] = m0;
    for (int s = s0 - 1; s <= s0 + 1; s++)
        for (int m = m0 - (mhi > 0); m <= m0 + (mhi > 0); m++) {
            if (s < slo || s > shi || m < 0 || m > mhi) continue;
            float e = group_error(k, g, s, m);
            if (e < best) {
                best = e;
                k->iscale[g] = s;
                k->imin[g] = m;
            }
        }
}

static void set_codes(work *k)
{
    for (int i = 0; i < 256; i++) {
        int g = i / k->len;
        float s = k->d * (float)k->iscale[g], m = k->m * (float)k->imin[g];
        k->code[i] = fit_round(s != 0 ? (k->x[i] - m) / s : 0, k->lo, k->hi);
    }
}

/* Formats with minima: codes 0..top, scales and minima 0..limit. */
static void affine(work *k, const float *x, int len, int top, int limit)
{
    *k = (work){.groups = 256 / len, .len = len, .lo = 0, .hi = top, .x = x};
    float s = 0, m = 0;
    weigh(k);
    for (int g = 0; g < k->groups; g++) {
        k->scale[g] = fit_affine(x + g * len, k->w + g * len, len, top, &k->min[g]);
        s = k->scale[g] > s ? k->scale[g] : s;
        m = k->min[g] < m ? k->min[g] : m;
    }
    k->d = half(s / (float)limit);
    k->m = -half(-m / (float)limit);
    for (int g = 0; g < k->groups; g++) round_group(k, g, 0, limit, limit);
    set_codes(k);
}

/* Formats without: codes lo..hi, scales slo..shi; the extreme scale becomes slo. */
static void symmetric(work *k, const float *x, int lo, int hi, int slo, int shi)
{
    *k = (work){.groups = 16, .len = 16, .lo = lo, .hi = hi, .x = x};
    weigh(k);
    for (int g = 0; g < 16; g++) k->scale[g] = fit_signed(x + g * 16, k->w + g * 16, 16, lo, hi);
    k->d = half(fit_extreme(k->scale, 16) / (float)slo);
    for (int g = 0; g < 16; g++) round_group(k, g, slo, shi, 0);
    set_codes(k);
}

static void put_two_bits(uint8_t *qs, int i, int code)
{
    qs[i / 128 * 32 + i % 32] |= (uint8_t)((code & 3) << (i / 32 % 4 * 2));
}

void quant_encode_Q2_K(const float *src, void *dst, size_t n)
{
    work k;
    for (struct quant_Q2_K *b = dst; n >= 256; n -= 256, src += 256, b++) {
        affine(&k, src, 16, 3, 15);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(k.d);
        b->dmin = f32_to_f16(-k.m);
        for (int g = 0; g < 16; g++) b->scales[g] = (uint8_t)(k.iscale[g] | k.imin[g] << 4);
        for (int i = 0; i < 256; i++) put_two_bits(b->qs, i, k.code[i]);
    }
}

void quant_encode_Q3_K(const float *src, void *dst, size_t n)
{
    work k;
    for (struct quant_Q3_K *b = dst; n >= 256; n -= 256, src += 256, b++) {
        symmetric(&k, src, -4, 3, -32, 31);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(k.d);
        for (int g = 0; g < 16; g++) {
            int s = k.iscale[g] + 32;
            b->scales[g % 8] |= (uint8_t)((s & 15) << (g / 8 * 4));
            b->scales[8 + g % 4] |= (uint8_t)(s >> 4 << (g / 4 * 2));
        }
        for (int i = 0; i < 256; i++) {
            put_two_bits(b->qs, i, k.code[i] + 4);
            b->hmask[i % 32] |= (uint8_t)((k.code[i] + 4) >> 2 << (i / 32));
        }
    }
}

static void put_scales_k(uint8_t *out, const work *k)
{
    for (int g = 0; g < 4; g++) {
        int s = k->iscale[g + 4], m = k->imin[g + 4];
        out[g] = (uint8_t)(k->iscale[g] | s >> 4 << 6);
        out[g + 4] = (uint8_t)(k->imin[g] | m >> 4 << 6);
        out[g + 8] = (uint8_t)((s & 15) | (m & 15) << 4);
    }
}

static void put_nibble_k(uint8_t *qs, int i, int code)
{
    qs[i / 64 * 32 + i % 32] |= (uint8_t)((code & 15) << (i / 32 % 2 * 4));
}

void quant_encode_Q4_K(const float *src, void *dst, size_t n)
{
    work k;
    for (struct quant_Q4_K *b = dst; n >= 256; n -= 256, src += 256, b++) {
        affine(&k, src, 32, 15, 63);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(k.d);
        b->dmin = f32_to_f16(-k.m);
        put_scales_k(b->scales, &k);
        for (int i = 0; i < 256; i++) put_nibble_k(b->qs, i, k.code[i]);
    }
}

void quant_encode_Q5_K(const float *src, void *dst, size_t n)
{
    work k;
    for (struct quant_Q5_K *b = dst; n >= 256; n -= 256, src += 256, b++) {
        affine(&k, src, 32, 31, 63);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(k.d);
        b->dmin = f32_to_f16(-k.m);
        put_scales_k(b->scales, &k);
        for (int i = 0; i < 256; i++) {
            put_nibble_k(b->qs, i, k.code[i]);
            b->qh[i % 32] |= (uint8_t)(k.code[i] >> 4 << (i / 32));
        }
    }
}

void quant_encode_Q6_K(const float *src, void *dst, size_t n)
{
    work k;
    for (struct quant_Q6_K *b = dst; n >= 256; n -= 256, src += 256, b++) {
        symmetric(&k, src, -32, 31, -128, 127);
        memset(b, 0, sizeof *b);
        b->d = f32_to_f16(k.d);
        for (int g = 0; g < 16; g++) b->scales[g] = (int8_t)k.iscale[g];
        for (int i = 0; i < 256; i++) {
            int c = k.code[i] + 32;
            b->ql[i / 128 * 64 + i % 64] |= (uint8_t)((c & 15) << (i / 64 % 2 * 4));
            b->qh[i / 128 * 32 + i % 32] |= (uint8_t)(c >> 4 << (i / 32 % 4 * 2));
        }
    }
}
