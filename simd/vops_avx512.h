/* The primitives of vmath.inc for AVX-512 F and DQ (see vops_scalar.h). */
#ifndef SIMD_VOPS_H
#define SIMD_VOPS_H

#include <immintrin.h>
#include <stddef.h>

enum { V_WIDTH = 16 };
typedef __m512 vf;
typedef __mmask16 vm;

#define V_ROUND 0x1.8p23f

static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf v_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps((vm)((1u << n) - 1), p); }
static inline void v_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, (vm)((1u << n) - 1), a); }
static inline vf v_set(float a) { return _mm512_set1_ps(a); }

static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_sign_bit(void) { return _mm512_castsi512_ps(_mm512_set1_epi32((int)0x80000000)); }
static inline vf v_abs(vf a) { return _mm512_andnot_ps(v_sign_bit(), a); }
static inline vf v_minus_abs(vf a) { return _mm512_or_ps(v_sign_bit(), a); }
static inline vf v_signed(vf a, vf sign) { return _mm512_or_ps(a, _mm512_and_ps(v_sign_bit(), sign)); }
static inline vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }

/* scalef, too, rounds once. */
static inline vf v_ldexp(vf a, vf t) { return _mm512_scalef_ps(a, _mm512_sub_ps(t, v_set(V_ROUND))); }

#endif
