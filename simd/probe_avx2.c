/* The machine's limits with AVX2 and FMA. */
#include <immintrin.h>

#include "probe.h"

typedef __m256i VI;
typedef __m256 VF;
#define I_ZERO _mm256_setzero_si256
#define I_ADD _mm256_add_epi64
#define I_LOAD(p) _mm256_load_si256((const __m256i *)(const void *)(p))
#define I_STREAM(p, a) _mm256_stream_si256((__m256i *)(void *)(p), a)
#define F_LOAD _mm256_load_ps
#define F_STREAM _mm256_stream_ps
#define F_SET _mm256_set1_ps
#define F_MADD _mm256_fmadd_ps

static inline uint64_t I_SUM(__m256i a)
{
    __m128i s = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(s, _mm_unpackhi_epi64(s, s)));
}
#include "probe.inc"

enum { SUMS_HELD = 12 };

/* vpmaddubsw and the least that can be done with its result, one addition of 16 bits: what widens to 32 bits can be
 * put off and is not counted, so no kernel passes this. */
static uint32_t probe_int8(uint64_t rounds)
{
    __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(2), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm256_setzero_si256();
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS_HELD; i++) {
            __asm__ volatile("" : "+x"(x));
            s[i] = _mm256_add_epi16(s[i], _mm256_maddubs_epi16(x, y));
        }
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm256_add_epi16(s[0], s[i]);
    return (uint32_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(s[0]));
}

static float probe_f32(uint64_t rounds)
{
    __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm256_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm256_fmadd_ps(s[i], x, y);
        __asm__ volatile("" : "+x"(x), "+x"(y));
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm256_add_ps(s[0], s[i]);
    return _mm256_cvtss_f32(s[0]);
}

const simd_probe simd_probe_avx2 = {
    probe_read, probe_copy, probe_triad, probe_int8, probe_f32, 2 * 32 * SUMS_HELD, 2 * 8 * SUMS_HELD,
};
