/* The machine's limits without AVX: SSE2, which every x86-64 has. */
#include <emmintrin.h>

#include "probe.h"

typedef __m128i VI;
typedef __m128 VF;
#define I_ZERO _mm_setzero_si128
#define I_ADD _mm_add_epi64
#define I_LOAD(p) _mm_load_si128((const __m128i *)(const void *)(p))
#define I_STREAM(p, a) _mm_stream_si128((__m128i *)(void *)(p), a)
#define I_SUM(a) ((uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(a, _mm_unpackhi_epi64(a, a))))
#define F_LOAD _mm_load_ps
#define F_STREAM _mm_stream_ps
#define F_SET _mm_set1_ps
#define F_MADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#include "probe.inc"

enum { SUMS_HELD = 8 };

/* Products of 16 bits, added in pairs: SSE2 has none of eight. */
static uint32_t probe_int8(uint64_t rounds)
{
    __m128i x = _mm_set1_epi16(3), y = _mm_set1_epi16(2), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm_setzero_si128();
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < SUMS_HELD; i++) {
            __asm__ volatile("" : "+x"(x));
            s[i] = _mm_add_epi32(s[i], _mm_madd_epi16(x, y));
        }
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm_add_epi32(s[0], s[i]);
    return (uint32_t)_mm_cvtsi128_si32(s[0]);
}

static float probe_f32(uint64_t rounds)
{
    __m128 x = _mm_set1_ps(0.999f), y = _mm_set1_ps(1e-3f), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm_add_ps(_mm_mul_ps(s[i], x), y);
        __asm__ volatile("" : "+x"(x), "+x"(y));
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm_add_ps(s[0], s[i]);
    return _mm_cvtss_f32(s[0]);
}

const simd_probe simd_probe_scalar = {
    probe_read, probe_copy, probe_triad, probe_int8, probe_f32, 2 * 8 * SUMS_HELD, 2 * 4 * SUMS_HELD,
};

const simd_probe *simd_probe_of(simd_tier t)
{
    return t == SIMD_AVX512 ? &simd_probe_avx512 : t == SIMD_AVX2 ? &simd_probe_avx2 : &simd_probe_scalar;
}
