/* For the encoders: scales that make the squared error small. */
#ifndef QUANT_FIT_H
#define QUANT_FIT_H

/* v rounded to the nearest integer (even at ties) within lo..hi, which are within +-2^22; lo where v is a NaN. */
static inline int fit_round(float v, int lo, int hi)
{
    v = v > (float)lo ? v : (float)lo;
    v = v < (float)hi ? v : (float)hi;
    return (int)((v + 0x1.8p23f) - 0x1.8p23f);
}

/* The number of largest magnitude, with its sign; the first of equals, 0 where all are NaN. */
float fit_extreme(const float *x, int n);

/* The scale s that makes the sum of w (x - s q)^2 small with q = fit_round(x / s, lo, hi); lo < 0 < hi.
 * Either sign; 0 where all x are 0. */
float fit_signed(const float *x, const float *w, int n, int lo, int hi);

/* The same for x = s q + m, q in 0..top, s >= 0, m <= 0. */
float fit_affine(const float *x, const float *w, int n, int top, float *m);

/* Sum of w (x - (s q + m))^2 with q = fit_round((x - m) / s, lo, hi). */
float fit_error(const float *x, const float *w, int n, int lo, int hi, float s, float m);

#endif
