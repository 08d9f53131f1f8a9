/* The primitives of vmath.inc: what each means. One element a vector. fmaf rounds once by definition,
 * with or without an instruction for it. */
#ifndef SIMD_VOPS_H
#define SIMD_VOPS_H

#include <math.h>
#include <stddef.h>

#include "../src/base/num.h"

enum { V_WIDTH = 1 };
typedef float vf;
typedef bool vm;

#define V_ROUND 0x1.8p23f /* added to |x| < 2^22 it leaves the nearest integer in the low bits */

static inline vf v_load(const float *p) { return *p; }
static inline void v_store(float *p, vf a) { *p = a; }
static inline vf v_load_n(const float *p, size_t n) { return n ? *p : 0; } /* the rest is 0 */
static inline void v_store_n(float *p, vf a, size_t n) { if (n) *p = a; }
static inline vf v_set(float a) { return a; }

static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }
static inline vf v_max(vf a, vf b) { return a > b ? a : b; } /* b where either is NaN or both are zero */
static inline vf v_min(vf a, vf b) { return a < b ? a : b; } /* likewise */
static inline vf v_abs(vf a) { return f32_from_bits(f32_bits(a) & 0x7fffffff); }
static inline vf v_minus_abs(vf a) { return f32_from_bits(f32_bits(a) | 0x80000000); }
static inline vf v_signed(vf a, vf sign) /* a >= 0 or NaN, with the sign bit of the other */
{
    return f32_from_bits(f32_bits(a) | (f32_bits(sign) & 0x80000000));
}
static inline vm v_less(vf a, vf b) { return a < b; }
static inline vf v_select(vm m, vf a, vf b) { return m ? a : b; }

/* a times 2^k, rounded once, for k = t - V_ROUND, -252 <= k <= 254, and 0.5 <= a < 2; NaN where a is. */
static inline vf v_ldexp(vf a, vf t)
{
    uint32_t k = f32_bits(t) - f32_bits(V_ROUND), half = (uint32_t)((int32_t)k >> 1);
    return a * f32_from_bits((half + 127) << 23) * f32_from_bits((k - half + 127) << 23);
}

#endif
