/* base/mathf: errors in ulp against long double, special values, and golden bits. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "base/mathf.h"

static uint64_t rng = 88172645463325252u;
static double uniform(double lo, double hi)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return lo + (hi - lo) * ((double)(rng >> 11) * 0x1p-53);
}

static double ulps(double got, long double want)
{
    double w = (double)want;
    if (w == 0 || isinf(w)) return got == w ? 0 : INFINITY;
    int e;
    frexp(w, &e);
    if (e < -1021) e = -1021;
    return (double)(fabsl((long double)got - want) / ldexpl(1, e - 53));
}

typedef struct {
    const char *name;
    double (*f)(double);
    long double (*ref)(long double);
    double lo, hi, bound;
} range;

START_TEST(errors_are_small)
{
    static const range r[] = {
        {"exp", d_exp, expl, -745, 709.7, 1},       {"exp", d_exp, expl, -1, 1, 1},
        {"log", d_log, logl, 0, 1e300, 1},          {"log", d_log, logl, 0.3, 3, 1},
        {"log", d_log, logl, 0, 0x1p-1022, 1},      {"log", d_log, logl, 0.9999, 1.0001, 1},
        {"sin", d_sin, sinl, -10, 10, 1},           {"sin", d_sin, sinl, -1e7, 1e7, 1},
        {"cos", d_cos, cosl, -10, 10, 1},           {"cos", d_cos, cosl, -1e8, 1e8, 1},
        {"tanh", d_tanh, tanhl, -25, 25, 3},        {"tanh", d_tanh, tanhl, -0.5, 0.5, 3},
        {"erf", d_erf, erfl, -7, 7, 16},             {"erf", d_erf, erfl, -1e-3, 1e-3, 16},
    };
    for (size_t k = 0; k < sizeof r / sizeof *r; k++) {
        double worst = 0, at = 0;
        for (int i = 0; i < 50000; i++) {
            double x = uniform(r[k].lo, r[k].hi), u = ulps(r[k].f(x), r[k].ref(x));
            if (!(u <= worst)) worst = u, at = x;
        }
        ck_assert_msg(worst < r[k].bound, "%s(%a): %g ulp", r[k].name, at, worst);
    }
}
END_TEST

START_TEST(pow_errors_are_small)
{
    double worst = 0, ax = 0, ay = 0;
    for (int i = 0; i < 200000; i++) {
        double x = i % 2 ? uniform(0, 3) : exp(uniform(-700, 700));
        double y = uniform(-700, 700) / fmax(fabs(log(x)), 1e-12);
        double u = ulps(d_pow(x, y), powl(x, y));
        if (!(u <= worst)) worst = u, ax = x, ay = y;
    }
    ck_assert_msg(worst < 1, "pow(%a, %a): %g ulp", ax, ay, worst);
    for (int n = -300; n <= 300; n++) ck_assert_double_eq(d_pow(2, n), ldexp(1, n));
}
END_TEST

START_TEST(special_values)
{
    static const double v[] = {0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, INFINITY, -INFINITY, NAN,
                               0x1p53, -0x1p53, 0x1p70, 1e300, -1e300, 0x1p-1074, -0x1p-1074, 1e-300};
    const size_t n = sizeof v / sizeof *v;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            double got = d_pow(v[i], v[j]), want = pow(v[i], v[j]);
            ck_assert_msg(isnan(want) ? isnan(got) : fabs(got - want) <= fabs(want) * 1e-15 || got == want,
                          "pow(%g, %g) = %g, not %g", v[i], v[j], got, want);
            if (!isnan(want)) ck_assert_int_eq(!signbit(got), !signbit(want));
        }
        ck_assert_int_eq(isnan(d_exp(v[i])), isnan(v[i]));
        ck_assert_int_eq(isnan(d_tanh(v[i])), isnan(v[i]));
        if (!isnan(v[i])) ck_assert_int_eq(!signbit(d_erf(v[i])), !signbit(v[i]));
    }
    ck_assert_double_eq(d_exp(INFINITY), INFINITY);
    ck_assert_double_eq(d_exp(-INFINITY), 0);
    ck_assert_double_eq(d_exp(0), 1);
    ck_assert_double_eq(d_log(0), -INFINITY);
    ck_assert_double_eq(d_log(1), 0);
    ck_assert_double_eq(d_log(INFINITY), INFINITY);
    ck_assert(isnan(d_log(-1)) && isnan(d_sin(INFINITY)) && isnan(d_cos(1e9)));
    ck_assert_double_eq(d_cos(0), 1);
    ck_assert(signbit(d_sin(-0.0)));
}
END_TEST

/* A sum of bits over many arguments: a change of it is a change of the contract. */
START_TEST(bits_are_fixed)
{
    uint64_t h = 0, u;
    for (int i = 1; i <= 2000; i++) {
        double x = i * 0.0371, v[] = {d_exp(x), d_exp(-x), d_log(x), d_sin(x * 1e4), d_cos(x * 1e4), d_tanh(x),
                                      d_erf(x),  d_pow(10000, -x / 64)};
        for (size_t k = 0; k < sizeof v / sizeof *v; k++) {
            memcpy(&u, &v[k], 8);
            h = (h ^ u) * 0x9e3779b97f4a7c15u;
            h ^= h >> 29;
        }
    }
    ck_assert_uint_eq(h, 10258426547886352199u);
}
END_TEST

Suite *suite_mathf(void)
{
    Suite *s = suite_create("mathf");
    TCase *t = tcase_create("mathf");
    tcase_add_test(t, errors_are_small);
    tcase_add_test(t, pow_errors_are_small);
    tcase_add_test(t, special_values);
    tcase_add_test(t, bits_are_fixed);
    suite_add_tcase(s, t);
    return s;
}
