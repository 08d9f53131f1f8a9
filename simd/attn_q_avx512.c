/* Attention to a page of quantized keys or values, AVX-512 with VNNI.
 *
 * Scores: lanes are keys, four dimensions a step; codes are unsigned and the query's two bytes are signed, so that
 * the sum of a block is 256 hi + lo - zero * sum(q), an exact integer. Values: lanes are dimensions, codes become
 * floats and a weight is multiplied with the scale of its key, once for 32 dimensions. */
#include <string.h>

#include "../src/base/num.h"
#include "avx512_attn.h"

enum { BLOCK = SIMD_KV_BLOCK, Q_ROWS = 4, V_ROWS = 6, HALF = 2 /* vectors of keys at a time */ };

/* Four dimensions, step t of 8, of sixteen keys from 16 v on. */
INLINE __m512i keys(simd_kv type, const uint8_t *block, int t, int v)
{
    if (type == SIMD_KV_Q8_0) return _mm512_loadu_si512(block + (t * SIMD_PAGE + 16 * v) * 4);
    __m512i two = _mm512_loadu_si512(block + (t % 4 * SIMD_PAGE + 16 * v) * 4);
    return _mm512_and_si512(t < 4 ? two : _mm512_srli_epi16(two, 4), _mm512_set1_epi8(15));
}

INLINE __m512 scales16(simd_kv type, const uint8_t *block, int v)
{
    const void *p = block + simd_kv_block_codes(type) + 32 * v;
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE __m512i quad(const int8_t *q) { return _mm512_set1_epi32((int)load_u32(q)); }

/* Block b of n rows with the keys of vectors [v0, v0 + HALF): s = fma(sum, scales, s). */
INLINE void dot_block(const simd_query *q, int n, simd_kv type, const uint8_t *block, int b, int v0, __m512 s[Q_ROWS][HALF], fetch *f)
{
    __m512i hi[Q_ROWS][HALF], lo[Q_ROWS][HALF];
    int zero = type == SIMD_KV_Q8_0 ? 128 : 8;
    for (int r = 0; r < n; r++)
        for (int v = 0; v < HALF; v++) {
            hi[r][v] = _mm512_setzero_si512();
            lo[r][v] = _mm512_set1_epi32(-zero * q[r].sum[b]);
        }
#pragma GCC unroll 8
    for (int t = 0; t < 8; t++) {
        __m512i k[HALF];
        for (int v = 0; v < HALF; v++) k[v] = keys(type, block, t, v0 + v);
        for (int r = 0; r < n; r++) {
            __m512i qh = quad(q[r].hi + b * BLOCK + 4 * t), ql = quad(q[r].lo + b * BLOCK + 4 * t);
            for (int v = 0; v < HALF; v++) {
                hi[r][v] = _mm512_dpbusd_epi32(hi[r][v], k[v], qh);
                lo[r][v] = _mm512_dpbusd_epi32(lo[r][v], k[v], ql);
            }
        }
        fetch_step(f);
    }
    for (int v = 0; v < HALF; v++) {
        __m512 d = scales16(type, block, v0 + v);
        for (int r = 0; r < n; r++) {
            __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(hi[r][v], 8), lo[r][v]);
            s[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(d, _mm512_set1_ps(q[r].d[b])), s[r][v]);
        }
    }
}

INLINE void dots(const simd_attn *a, int row, int n, simd_kv type)
{
    simd_query q[Q_ROWS];
    int blocks = a->dk / BLOCK;
    fetch f = fetch_in(a, row, (size_t)blocks * 8 * (SIMD_PAGE / 16 / HALF));
    for (int r = 0; r < n; r++) q[r] = simd_query_at(a->query[row + r], (size_t)a->dk);
    for (int v0 = 0; v0 < SIMD_PAGE / 16; v0 += HALF) {
        __m512 s[Q_ROWS][HALF];
        for (int r = 0; r < n; r++)
            for (int v = 0; v < HALF; v++) s[r][v] = _mm512_setzero_ps();
        const uint8_t *block = a->k;
        for (int b = 0; b < blocks; b++, block += simd_kv_block_bytes(type)) dot_block(q, n, type, block, b, v0, s, &f);
        for (int r = 0; r < n; r++)
            for (int v = 0; v < HALF; v++) _mm512_store_ps(a->s + (row + r) * SIMD_PAGE + 16 * (v0 + v), s[r][v]);
    }
}

INLINE void all_dots(const simd_attn *a, simd_kv type)
{
#define DOTS(n) dots(a, row, n, type)
    ATTN_GROUPS(a, Q_ROWS, row, DOTS)
#undef DOTS
}

/* The codes of key j, 32 dimensions, as floats; `wide` has them unpacked. */
INLINE void codes(simd_kv type, const uint8_t *block, const float *wide, int j, __m512 x[2])
{
    if (wide) {
        x[0] = _mm512_load_ps(wide + j * BLOCK);
        x[1] = _mm512_load_ps(wide + j * BLOCK + 16);
    } else if (type == SIMD_KV_Q8_0) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(block + j * BLOCK));
        x[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(c)));
        x[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(c, 1)));
    } else { /* the permutation looks at four bits */
        const __m512 value = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
        __m512i two = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(block + j * BLOCK / 2)));
        x[0] = _mm512_permutexvar_ps(two, value);
        x[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(two, 4), value);
    }
}

/* o[r][i] += p[r][j] d[j] q[j][i] for from <= j < to in order: 32 dimensions. */
INLINE void weigh_block(const simd_attn *a, int row, int n, int from, int to, bool first, simd_kv type, int b, const float *wide, fetch *f)
{
    const uint8_t *block = (const uint8_t *)a->v + (size_t)b * simd_kv_block_bytes(type);
    float *o = a->o + (size_t)row * a->ldo + b * BLOCK;
    _Alignas(64) float w[V_ROWS][SIMD_PAGE];
    __m512 acc[V_ROWS][2];
    for (int v = 0; v < SIMD_PAGE / 16; v++) {
        __m512 d = scales16(type, block, v);
        for (int r = 0; r < n; r++)
            _mm512_store_ps(w[r] + 16 * v, _mm512_mul_ps(_mm512_load_ps(a->s + (row + r) * SIMD_PAGE + 16 * v), d));
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < 2; v++) acc[r][v] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(o + (size_t)r * a->ldo + 16 * v);
#pragma GCC unroll 2
    for (int j = from; j < to; j++) {
        __m512 x[2];
        codes(type, block, wide, j, x);
        for (int r = 0; r < n; r++) {
            __m512 p = _mm512_set1_ps(w[r][j]);
            for (int v = 0; v < 2; v++) acc[r][v] = _mm512_fmadd_ps(p, x[v], acc[r][v]);
        }
        fetch_step(f);
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < 2; v++) _mm512_storeu_ps(o + (size_t)r * a->ldo + 16 * v, acc[r][v]);
}

static __attribute__((noinline)) void weigh_row(const simd_attn *a, int row, int from, int to, bool first, simd_kv type, int b)
{
    fetch none = {0};
    if (type == SIMD_KV_Q8_0) weigh_block(a, row, 1, from, to, first, SIMD_KV_Q8_0, b, NULL, &none);
    else weigh_block(a, row, 1, from, to, first, SIMD_KV_Q4_0, b, NULL, &none);
}

/* n rows: what all of them see in one go, what only some see before and after that row by row. */
INLINE void values_block(const simd_attn *a, int row, int n, simd_kv type, int b, const float *wide)
{
    int from, to;
    bool before = false;
    common_range(a, row, n, &from, &to);
    if (from >= to) {
        for (int r = row; r < row + n; r++) weigh_row(a, r, a->lo[r], a->hi[r], true, type, b);
        return;
    }
    for (int r = row; r < row + n; r++) before |= a->lo[r] < from;
    for (int r = row; before && r < row + n; r++) weigh_row(a, r, a->lo[r], from, true, type, b);
    int blocks = a->dv / BLOCK;
    fetch f = fetch_in(a, row, (size_t)((to - from) * blocks));
    f.due = f.done = (size_t)b * f.step * (size_t)(to - from) / 64 * 64;
    weigh_block(a, row, n, from, to, !before, type, b, wide, &f);
    for (int r = row; r < row + n; r++)
        if (a->hi[r] > to) weigh_row(a, r, to, a->hi[r], false, type, b);
}

INLINE void all_values(const simd_attn *a, simd_kv type)
{
    float *wide = a->rows > 2 * V_ROWS ? a->scratch : NULL;
    for (int b = 0; b < a->dv / BLOCK; b++) {
        if (wide) {
            const uint8_t *block = (const uint8_t *)a->v + (size_t)b * simd_kv_block_bytes(type);
            for (int j = 0; j < SIMD_PAGE; j++) {
                __m512 x[2];
                codes(type, block, NULL, j, x);
                _mm512_store_ps(wide + j * BLOCK, x[0]);
                _mm512_store_ps(wide + j * BLOCK + 16, x[1]);
            }
#define WIDE(n) values_block(a, row, n, type, b, wide)
            ATTN_GROUPS(a, V_ROWS, row, WIDE)
#undef WIDE
        } else {
#define NARROW(n) values_block(a, row, n, type, b, NULL)
            ATTN_GROUPS(a, V_ROWS, row, NARROW)
#undef NARROW
        }
    }
}

static void qk_q8_0(const simd_attn *a) { all_dots(a, SIMD_KV_Q8_0); }
static void qk_q4_0(const simd_attn *a) { all_dots(a, SIMD_KV_Q4_0); }
static void pv_q8_0(const simd_attn *a) { all_values(a, SIMD_KV_Q8_0); }
static void pv_q4_0(const simd_attn *a) { all_values(a, SIMD_KV_Q4_0); }

const simd_part simd_attn_q_avx512 = {.t = {
    .attn_qk = {[SIMD_KV_Q8_0] = qk_q8_0, [SIMD_KV_Q4_0] = qk_q4_0},
    .attn_pv = {[SIMD_KV_Q8_0] = pv_q8_0, [SIMD_KV_Q4_0] = pv_q4_0},
}};
