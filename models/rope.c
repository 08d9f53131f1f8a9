/* Positions to angles: linear scaling, YaRN, per-frequency factors (llama3, longrope).
 * Sources: RoFormer (arXiv 2104.09864), YaRN (arXiv 2309.00071). */
#include <string.h>

#include "../src/base/mathf.h"
#include "model.h"

/* The dimension whose wavelength makes `turns` rotations over the original context. */
static double yarn_dim(const rope_hp *r, double turns)
{
    return (double)r->n_rot * d_log((double)r->orig_ctx / (turns * 6.283185307179586)) / (2 * d_log((double)r->base));
}

/* floor and ceil of moderate numbers, without libm */
static double floor_of(double x)
{
    double t = (double)(int64_t)x;
    return t > x ? t - 1 : t;
}

/* Pair i of a multi-section RoPE belongs to the fourth section, whose position is 0 with text. */
static bool fourth_section(const hparams *hp, uint32_t i)
{
    const uint32_t *s = hp->rope_section;
    uint32_t sum = s[0] + s[1] + s[2] + s[3];
    if (!sum) return false;
    i %= sum;
    return hp->rope_interleaved ? i >= 3 * s[i % 3] : i >= s[0] + s[1] + s[2];
}

tawny_status rope_frequencies(const model *m, const rope_hp *r, const float *factors, double *freq, float *magnitude)
{
    double low = 0, high = 0, mag = (double)r->attn_factor;
    if (r->ext_factor != 0) {
        low = floor_of(yarn_dim(r, (double)r->beta_fast));
        high = -floor_of(-yarn_dim(r, (double)r->beta_slow));
        if (low < 0) low = 0;
        if (high > r->n_rot - 1) high = r->n_rot - 1;
        if (r->scale < 1) mag *= 1 + 0.1 * d_log(1 / (double)r->scale);
    }
    for (uint32_t i = 0; i < r->n_rot / 2; i++) {
        double extrapolated = d_pow((double)r->base, -2.0 * i / r->n_rot) / (factors ? (double)factors[i] : 1.0);
        double f = (double)r->scale * extrapolated;
        if (r->ext_factor != 0) {
            double width = high - low > 0.001 ? high - low : 0.001, ramp = (i - low) / width;
            ramp = (1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp)) * (double)r->ext_factor;
            f = f * (1 - ramp) + extrapolated * ramp;
        }
        freq[i] = fourth_section(&m->hp, i) ? 0 : f;
    }
    *magnitude = (float)mag;
    return TAWNY_OK;
}
