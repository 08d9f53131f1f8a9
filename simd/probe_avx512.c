/* The machine's limits with AVX-512 and VNNI. */
#include <immintrin.h>

#include "probe.h"

typedef __m512i VI;
typedef __m512 VF;
#define I_ZERO _mm512_setzero_si512
#define I_ADD _mm512_add_epi64
#define I_LOAD(p) _mm512_load_si512(p)
#define I_STREAM(p, a) _mm512_stream_si512((__m512i *)(void *)(p), a)
#define I_SUM(a) ((uint64_t)_mm512_reduce_add_epi64(a))
#define F_LOAD _mm512_load_ps
#define F_STREAM _mm512_stream_ps
#define F_SET _mm512_set1_ps
#define F_MADD _mm512_fmadd_ps
#include "probe.inc"

enum { SUMS_HELD = 16 };

static uint32_t probe_int8(uint64_t rounds)
{
    __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(2), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm512_setzero_si512();
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm512_dpbusd_epi32(s[i], x, y);
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm512_add_epi32(s[0], s[i]);
    return (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(s[0]));
}

static float probe_f32(uint64_t rounds)
{
    __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f), s[SUMS_HELD];
    for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm512_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS_HELD; i++) s[i] = _mm512_fmadd_ps(s[i], x, y);
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    for (int i = 1; i < SUMS_HELD; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    return _mm512_cvtss_f32(s[0]);
}

const simd_probe simd_probe_avx512 = {
    probe_read, probe_copy, probe_triad, probe_int8, probe_f32, 2 * 64 * SUMS_HELD, 2 * 16 * SUMS_HELD,
};
