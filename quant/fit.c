/* Least squares in turns: codes for a trial scale, the best scale for those codes, keep the best of all. */
#include "fit.h"

#include <math.h>

float fit_extreme(const float *x, int n)
{
    float top = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(top)) top = x[i];
    return top;
}

float fit_error(const float *x, const float *w, int n, int lo, int hi, float s, float m)
{
    float inv = s != 0 ? 1 / s : 0, e = 0;
    for (int i = 0; i < n; i++) {
        float d = x[i] - (s * (float)fit_round((x[i] - m) * inv, lo, hi) + m);
        e += w[i] * d * d;
    }
    return e;
}

float fit_signed(const float *x, const float *w, int n, int lo, int hi)
{
    float top = fit_extreme(x, n), best = 0, scale = 0;
    if (fabsf(top) < 1e-30f) return 0;
    /* the extreme value lands on lo, or on a code some tenths around it, or on hi */
    for (int t = -10; t <= 10; t++) {
        for (int end = 0; end < 2; end++) {
            float inv = ((float)(end ? hi : lo) + 0.1f * (float)t) / top, xq = 0, qq = 0;
            for (int i = 0; i < n; i++) {
                float q = (float)fit_round(x[i] * inv, lo, hi);
                xq += w[i] * x[i] * q;
                qq += w[i] * q * q;
            }
            /* with s = xq / qq the error falls by xq^2 / qq */
            if (qq > 0 && xq * xq > best * qq) {
                best = xq * xq / qq;
                scale = xq / qq;
            }
        }
    }
    return scale;
}

float fit_affine(const float *x, const float *w, int n, int top, float *m)
{
    float low = 0, high = x[0], sw = 0, sx = 0, best = INFINITY, scale = 0;
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sw += w[i];
        sx += w[i] * x[i];
    }
    *m = low;
    if (!(high - low > 1e-30f)) return 0;
    for (int t = -12; t <= 12; t++) {
        float inv = ((float)top + 0.1f * (float)t) / (high - low), sq = 0, sqq = 0, sxq = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)fit_round((x[i] - low) * inv, 0, top);
            sq += w[i] * q;
            sqq += w[i] * q * q;
            sxq += w[i] * x[i] * q;
        }
        float det = sw * sqq - sq * sq;
        float s = (sw * sxq - sx * sq) / det, min = (sqq * sx - sq * sxq) / det;
        if (min > 0 || !(det > 0)) { /* also where all codes are equal */
            min = 0;
            s = sxq / sqq;
        }
        if (!(s > 0)) continue;
        float e = fit_error(x, w, n, 0, top, s, min);
        if (e < best) {
            best = e;
            scale = s;
            *m = min;
        }
    }
    return scale;
}
