/* What the float kernels of AVX-512 share: tails, the fold of sixteen partial sums. */
#ifndef SIMD_AVX512_FLOAT_H
#define SIMD_AVX512_FLOAT_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* The first n of sixteen lanes (n from 0; all where n is more). */
INLINE __mmask16 lanes(size_t n) { return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffffu); }

/* p[i] += p[i + 8], then + 4, + 2, + 1 */
INLINE float fold16(__m512 p)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(p), _mm512_extractf32x8_ps(p, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

/* The largest lane; of zeros of both signs any. No NaNs. */
INLINE float max16(__m512 p)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(p), _mm512_extractf32x8_ps(p, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* The maximum m of a[0..n) as the scalar loop has it: of zeros of both signs the first. */
INLINE float first_zero(float m, const float *a, size_t n)
{
    for (size_t i = 0; i < n && m == 0; i++)
        if (a[i] == 0) return a[i];
    return m;
}

#endif
