#include "mathf.h"

#include <math.h> /* constants and classification only */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A value as an unevaluated sum, |lo| <= ulp(hi) / 2. */
typedef struct dd {
    double hi, lo;
} dd;

static dd fast_two_sum(double a, double b) /* |a| >= |b| */
{
    double s = a + b;
    return (dd){s, b - (s - a)};
}

static dd two_sum(double a, double b) /* Knuth */
{
    double s = a + b, t = s - a;
    return (dd){s, (a - (s - t)) + (b - t)};
}

static dd two_mul(double a, double b) /* Dekker; |a|, |b| < 2^995 */
{
    double p = a * b;
    double ta = 0x1.0000002p27 * a, ah = ta - (ta - a), al = a - ah;
    double tb = 0x1.0000002p27 * b, bh = tb - (tb - b), bl = b - bh;
    return (dd){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

static dd dd_mul(dd a, dd b)
{
    dd p = two_mul(a.hi, b.hi);
    return fast_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

/* To the nearest integer, |x| < 2^51. */
static double nearest(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

static uint64_t bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, 8);
    return u;
}

static double from_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, 8);
    return x;
}

static double pow2(int k) { return from_bits((uint64_t)(k + 1023) << 52); } /* -1022 <= k <= 1023 */

/* Horner's rule, c[0] the constant term. */
static double poly(double x, const double *c, int n)
{
    double s = c[n - 1];
    for (int i = n - 2; i >= 0; i--) s = s * x + c[i];
    return s;
}

static const double ln2_hi = 0x1.62e42ffp-1; /* 32 bits: times an exponent it is exact */
static const double ln2_lo = -0x1.718432a1b0e26p-35;
static const double ln2_lolo = -0x1.9ff0342542fc3p-90;

/* x = k ln 2 + r, |r| <= ln 2 / 2. */
static double exp_reduce(double hi, double lo, dd *r)
{
    double k = nearest(hi * 0x1.71547652b82fep+0);
    dd t = two_sum(hi - k * ln2_hi, -(k * ln2_lo));
    *r = two_sum(t.hi, t.lo + lo);
    return k;
}

/* e^r - 1 without its first term: r^2/2! + ... + r^14/14! */
static double exp_tail(double r)
{
    static const double c[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,       1.0 / 720,
                               1.0 / 5040,    1.0 / 40320,    1.0 / 362880,    1.0 / 3628800,   1.0 / 39916800,
                               1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200};
    return r * r * poly(r, c, sizeof c / sizeof *c);
}

static double exp_dd(double hi, double lo)
{
    if (hi > 709.8) return INFINITY;
    if (hi < -745.2) return 0;
    dd r;
    int k = (int)exp_reduce(hi, lo, &r);
    dd s = fast_two_sum(1, r.hi);
    double y = s.hi + (s.lo + (r.lo + r.lo * r.hi + exp_tail(r.hi)));
    return y * pow2(k / 2) * pow2(k - k / 2);
}

double d_exp(double x) { return x != x ? x : exp_dd(x, 0); }

/* log(x) for finite x > 0, to about 2^-66. With m = x / 2^k in [sqrt(1/2), sqrt(2)) and s = (m-1)/(m+1):
 * log m = 2 atanh(s) = 2s + 2/3 s^3 + 2/5 s^5 + ..., the first two terms in double-double. */
static dd log_dd(double x)
{
    static const double c[] = {2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                               2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t u = bits(x) - 0x3fe6a09e667f3bcdu; /* sqrt(1/2) */
    k += (int)((int64_t)u >> 52);
    double m = from_bits((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);

    double f = m - 1;
    dd d = two_sum(m, 1);
    double q = f / d.hi;
    dd p = two_mul(q, d.hi);
    dd s = fast_two_sum(q, ((f - p.hi) - p.lo - q * d.lo) / d.hi);

    dd s2 = dd_mul(s, s), s3 = dd_mul(s2, s);
    dd t = dd_mul(s3, (dd){0x1.5555555555555p-1, 0x1.5555555555555p-55});
    double rest = s3.hi * s2.hi * poly(s2.hi, c, sizeof c / sizeof *c);

    dd a = two_sum(k * ln2_hi, k * ln2_lo);
    dd b = two_sum(a.hi, 2 * s.hi);
    dd e = fast_two_sum(b.hi, t.hi);
    double lo = e.lo + (b.lo + (a.lo + (2 * s.lo + (t.lo + (rest + k * ln2_lolo)))));
    return fast_two_sum(e.hi, lo);
}

double d_log(double x)
{
    if (x != x || x == INFINITY) return x;
    if (x <= 0) return x < 0 ? NAN : -INFINITY;
    return log_dd(x).hi;
}

/* x, y finite, x > 0. */
static double pow_positive(double x, double y)
{
    if (x == 1) return 1;
    bool up = (x > 1) == (y > 0);
    if (y > 0x1p64 || y < -0x1p64) return up ? INFINITY : 0;
    if (y < 0x1p-64 && y > -0x1p-64) return 1;
    dd l = log_dd(x), p = dd_mul(l, (dd){y, 0});
    return exp_dd(p.hi, p.lo);
}

double d_pow(double x, double y)
{
    if (y == 0 || x == 1) return 1;
    if (x != x || y != y) return NAN;
    double a = x < 0 ? -x : x, b = y < 0 ? -y : y;
    bool integral = b >= 0x1p53 || (double)(int64_t)b == b;
    bool odd = b < 0x1p53 && integral && ((int64_t)b & 1);
    double r;
    if (b == INFINITY) {
        r = a == 1 ? 1 : (a > 1) == (y > 0) ? INFINITY : 0;
        return r;
    }
    if (a == 0 || a == INFINITY) {
        r = (a == 0) == (y > 0) ? 0 : INFINITY;
    } else {
        if (x < 0 && !integral) return NAN;
        r = pow_positive(a, y);
    }
    return odd && (bits(x) >> 63) ? -r : r;
}

/* x = n pi/2 + r, |r| <= pi/4; returns n mod 4. The first three parts of pi/2 have 26 bits, so that
 * their products with n < 2^27 are exact (Cody and Waite). */
static int trig_reduce(double x, dd *r)
{
    double n = nearest(x * 0x1.45f306dc9c883p-1);
    dd a = two_sum(x, -(n * 0x1.921fb58p+0));
    dd b = two_sum(a.hi, -(n * -0x1.dde974p-27));
    dd c = two_sum(b.hi, -(n * 0x1.1a6263p-54));
    *r = two_sum(c.hi, c.lo + (b.lo + a.lo) - n * 0x1.8a2e03707344ap-81);
    return (int)((int64_t)n & 3);
}

static double sin_kernel(dd r)
{
    static const double c[] = {-1.0 / 6,         1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
                               -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
    double z = r.hi * r.hi;
    return r.hi + (z * r.hi * poly(z, c, sizeof c / sizeof *c) + r.lo * (1 - 0.5 * z));
}

static double cos_kernel(dd r)
{
    static const double c[] = {1.0 / 24,        -1.0 / 720,         1.0 / 40320,          -1.0 / 3628800,
                               1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000, -1.0 / 6402373705728000};
    double z = r.hi * r.hi, h = 0.5 * z, w = 1 - h;
    return w + (((1 - w) - h) + (z * z * poly(z, c, sizeof c / sizeof *c) - r.hi * r.lo));
}

static double trig(double x, int quarter)
{
    if (!(x <= 1e8 && x >= -1e8)) return NAN;
    dd r;
    int n = (trig_reduce(x, &r) + quarter) & 3;
    double y = n & 1 ? cos_kernel(r) : sin_kernel(r);
    return n & 2 ? -y : y;
}

double d_sin(double x) { return x == 0 ? x : trig(x, 0); }
double d_cos(double x) { return trig(x, 1); }

/* tanh x = (e^2x - 1) / (e^2x + 1), the numerator free of cancellation. */
double d_tanh(double x)
{
    double a = x < 0 ? -x : x, y = 1;
    if (x != x || a < 0x1p-28) return x;
    if (a < 22) {
        dd r;
        double t = pow2((int)exp_reduce(2 * a, 0, &r));
        double m = (t - 1) + t * (r.hi + (r.lo + exp_tail(r.hi)));
        y = m / (m + 2);
    }
    return x < 0 ? -y : y;
}

/* Below 2 the series 2/sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!, whose terms are all positive;
 * above it 1 - erfc by Laplace's continued fraction (Abramowitz and Stegun 7.1.6, 7.1.14). */
double d_erf(double x)
{
    double a = x < 0 ? -x : x, y = 1;
    if (x != x) return x;
    if (a < 2) {
        double term = a, sum = a;
        for (int n = 1; n < 80 && term > sum * 0x1p-56; n++) {
            term *= 2 * a * a / (2 * n + 1);
            sum += term;
        }
        dd z = two_mul(a, a);
        y = 0x1.20dd750429b6dp+0 * sum * exp_dd(-z.hi, -z.lo);
    } else if (a < 6) {
        double f = a;
        for (int n = 60; n > 0; n--) f = a + 0.5 * n / f;
        y = 1 - 0.5 * 0x1.20dd750429b6dp+0 * exp_dd(-a * a, 0) / f;
    }
    return x < 0 ? -y : y;
}
