/* The primitives of vmath.inc for AVX2 and FMA (see vops_scalar.h). */
#ifndef SIMD_VOPS_H
#define SIMD_VOPS_H

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

enum { V_WIDTH = 8 };
typedef __m256 vf;
typedef __m256 vm;

#define V_ROUND 0x1.8p23f

static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf v_load_n(const float *p, size_t n)
{
    float t[8] = {0};
    memcpy(t, p, n * sizeof *t);
    return _mm256_loadu_ps(t);
}
static inline void v_store_n(float *p, vf a, size_t n)
{
    float t[8];
    _mm256_storeu_ps(t, a);
    memcpy(p, t, n * sizeof *t);
}
static inline vf v_set(float a) { return _mm256_set1_ps(a); }

static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_sign_bit(void) { return _mm256_castsi256_ps(_mm256_set1_epi32((int)0x80000000)); }
static inline vf v_abs(vf a) { return _mm256_andnot_ps(v_sign_bit(), a); }
static inline vf v_minus_abs(vf a) { return _mm256_or_ps(v_sign_bit(), a); }
static inline vf v_signed(vf a, vf sign) { return _mm256_or_ps(a, _mm256_and_ps(v_sign_bit(), sign)); }
static inline vm v_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vf v_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }

static inline vf v_pow2(__m256i k)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
}
static inline vf v_ldexp(vf a, vf t)
{
    __m256i k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(v_set(V_ROUND)));
    __m256i half = _mm256_srai_epi32(k, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, v_pow2(half)), v_pow2(_mm256_sub_epi32(k, half)));
}

#endif
