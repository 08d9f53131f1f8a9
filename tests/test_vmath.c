/* simd/vmath: errors in ulp against libm in double precision, limits, tails, and equal bits in all tiers.
 * TAWNY_SWEEP=1 (`make vmath-sweep`) looks at every float; by default at one of some thousands.
 * A passing ck_assert is slow, so in the loops only failures are reported. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "simd/simd.h"

static double ref_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double ref_silu(double x) { return x * ref_sigmoid(x); }
static double ref_gelu(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }
static double z_tanh(double x) { return 2 * M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x); }
static double ref_gelu_tanh(double x) { return x * ref_sigmoid(z_tanh(x)); }
static double ref_gelu_quick(double x) { return x * ref_sigmoid((double)1.702f * x); }
static double ref_softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

typedef void (*unary)(float *, const float *, size_t);
static unary slot(int i)
{
    unary f[] = {simd.exp,  simd.tanh,      simd.sigmoid,   simd.softplus, simd.silu, simd.gelu,
                 simd.gelu_tanh, simd.gelu_quick};
    return f[i];
}
static const struct {
    const char *name;
    double (*ref)(double);
    double bound, more; /* ulp: bound + more |z| */
    float at_minus_inf, at_inf;
} fun[] = {
    {"exp", exp, 1.1, 0, 0, INFINITY},
    {"tanh", tanh, 1.7, 0, -1, 1},
    {"sigmoid", ref_sigmoid, 2.5, 0, 0, 1},
    {"softplus", ref_softplus, 3, 0, 0, INFINITY},
    {"silu", ref_silu, 3.6, 0, 0, INFINITY},
    {"gelu", ref_gelu, 7.5, 0, 0, INFINITY},
    {"gelu_tanh", ref_gelu_tanh, 3, 2.5, 0, INFINITY},
    {"gelu_quick", ref_gelu_quick, 3, 1, 0, INFINITY},
};
enum { FUNCTIONS = sizeof fun / sizeof *fun, BATCH = 1 << 12 };

static double ulps(int f, float x, float got)
{
    double want = fun[f].ref(x), z = f == 6 ? z_tanh(x) : 1.702 * x;
    double allowed = fun[f].bound + fun[f].more * fmin(fabs(z), 104);
    if (isinf((float)want)) return isinf(got) || fabs(want - (double)got) <= 0x1p104 ? 0 : INFINITY;
    int e;
    frexp(fmax(fabs(want), 0x1p-100), &e);
    return fabs((double)got - want) / ldexp(1, e - 24) / allowed;
}

static uint64_t stride(uint64_t unless)
{
    const char *s = getenv("TAWNY_SWEEP");
    return s && atoi(s) > 0 ? (uint64_t)atoi(s) : unless;
}

/* Calls visit with batches of floats, all of them in steps. */
static void sweep(uint64_t step, void (*visit)(const float *x, int n))
{
    float x[BATCH];
    int n = 0;
    for (uint64_t u = 0; u < (uint64_t)1 << 32; u += step) {
        x[n++] = f32_from_bits((uint32_t)u);
        if (n == BATCH || u + step >= (uint64_t)1 << 32) visit(x, n), n = 0;
    }
}

static void use(simd_tier t)
{
    tawny_error err;
    if (simd_init(simd_tier_name(t), &err) != TAWNY_OK) ck_abort_msg("%s", err.message);
}

static double worst[FUNCTIONS];
static float worst_at[FUNCTIONS];

static void measure(const float *x, int n)
{
    for (int f = 0; f < FUNCTIONS; f++) {
        float y[BATCH];
        slot(f)(y, x, (size_t)n);
        for (int i = 0; i < n; i++) {
            if (isnan(x[i])) {
                if (!isnan(y[i])) ck_abort_msg("%s(NaN)", fun[f].name);
            } else if (isfinite(x[i])) {
                double u = ulps(f, x[i], y[i]);
                if (!(u <= worst[f])) worst[f] = u, worst_at[f] = x[i];
            }
        }
    }
}

static float near_one(uint32_t u, int i) /* these are few among all floats */
{
    return f32_from_bits(u % 0x04800000 + 0x3e000000) * (i % 2 ? 1.0f : -1.0f);
}

static void dense(const float *x, int n)
{
    float y[BATCH];
    for (int i = 0; i < n; i++) y[i] = near_one(f32_bits(x[i]), i);
    measure(y, n);
}

START_TEST(errors_are_small)
{
    simd_init(NULL, NULL); /* the tiers are equal: below */
    sweep(stride(8209), measure);
    if (stride(0) != 1) sweep(stride(8209), dense);
    for (int f = 0; f < FUNCTIONS; f++) {
        if (getenv("TAWNY_SWEEP"))
            printf("%-10s %.3f of the bound, at %a\n", fun[f].name, worst[f], (double)worst_at[f]);
        ck_assert_msg(worst[f] <= 1, "%s(%a): %g times the bound", fun[f].name, (double)worst_at[f], worst[f]);
    }
}
END_TEST

START_TEST(limits)
{
    for (int f = 0; f < FUNCTIONS; f++) {
        for (int t = 0; t < SIMD_TIERS; t++) {
            if (!simd_available((simd_tier)t)) continue;
            use((simd_tier)t);
            float x[] = {-INFINITY, INFINITY, -3e38f, 3e38f}, y[4];
            slot(f)(y, x, 4);
            for (int i = 0; i < 4; i++) {
                float want = i % 2 ? fun[f].at_inf : fun[f].at_minus_inf;
                if (i == 3 && isinf(want) && f) want = 3e38f;
                ck_assert_msg(y[i] == want, "%s(%g) = %g", fun[f].name, (double)x[i], (double)y[i]);
            }
        }
    }
}
END_TEST

static void agree(const float *x, int n)
{
    static float want[FUNCTIONS + 3][BATCH], got[BATCH];
    for (int t = 0; t < SIMD_TIERS; t++) {
        if (!simd_available((simd_tier)t)) continue;
        use((simd_tier)t);
        for (int f = 0; f < FUNCTIONS + 3; f++) {
            float *y = t ? got : want[f];
            if (f < FUNCTIONS) {
                slot(f)(y, x, (size_t)n);
            } else {
                (f == FUNCTIONS ? simd.silu_mul : f == FUNCTIONS + 1 ? simd.gelu_mul : simd.gelu_tanh_mul)(
                    y, x, want[1], (size_t)n);
            }
            for (int i = 0; i < n; i++) {
                bool same = f32_bits(y[i]) == f32_bits(want[f][i]) || (isnan(y[i]) && isnan(want[f][i]));
                if (!same)
                    ck_abort_msg("%s: function %d at %a: %a, not %a", simd_tier_name((simd_tier)t), f, (double)x[i],
                                 (double)y[i], (double)want[f][i]);
            }
        }
    }
}

static void agree_dense(const float *x, int n)
{
    float y[BATCH];
    for (int i = 0; i < n; i++) y[i] = near_one(f32_bits(x[i]), i);
    agree(y, n);
}

START_TEST(tiers_agree)
{
    sweep(stride(8209), agree);
    if (stride(0) != 1) sweep(stride(8209), agree_dense);
}
END_TEST

START_TEST(tails_and_in_place)
{
    for (int t = 0; t < SIMD_TIERS; t++) {
        if (!simd_available((simd_tier)t)) continue;
        use((simd_tier)t);
        for (size_t n = 0; n < 70; n++) {
            float x[80], y[80], one;
            for (size_t i = 0; i < 80; i++) x[i] = (float)i * 0.3f - 9;
            memcpy(y, x, sizeof y);
            simd.gelu(y, y, n);
            for (size_t i = 0; i < 80; i++) {
                simd.gelu(&one, &x[i], 1);
                if (f32_bits(y[i]) != f32_bits(i < n ? one : x[i])) ck_abort_msg("gelu: %zu of %zu", i, n);
            }
            memcpy(y, x, sizeof y);
            simd.silu_mul(y, y, x + 5, n < 75 ? n : 75);
            for (size_t i = 0; i < 75; i++) {
                simd.silu(&one, &x[i], 1);
                float want = i < n ? one * x[i + 5] : x[i];
                if (f32_bits(y[i]) != f32_bits(want)) ck_abort_msg("silu_mul: %zu of %zu", i, n);
            }
        }
    }
}
END_TEST

Suite *suite_vmath(void)
{
    Suite *s = suite_create("vmath");
    TCase *t = tcase_create("vmath");
    tcase_set_timeout(t, getenv("TAWNY_SWEEP") ? 0 : 60);
    tcase_add_test(t, errors_are_small);
    tcase_add_test(t, limits);
    tcase_add_test(t, tiers_agree);
    tcase_add_test(t, tails_and_in_place);
    suite_add_tcase(s, t);
    return s;
}
