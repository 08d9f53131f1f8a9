/* AVX2: attention to a page of quantized keys or values. The specification: attn_scalar.c.
 *
 * Scores: codes widen to sixteen bits and are multiplied with the query's integers in pairs; the two halves of a key's
 * sum meet at the end of a block. Values: as in attn_avx2.c, a weight times the scale of its key. */
#include <string.h>

#include "avx2_attn.h"

enum { BLOCK = SIMD_KV_BLOCK, KEYS = SIMD_PAGE / 8 };

/* Four dimensions, step t of 8, of eight keys from 8 v on. */
AVX2_INLINE __m256i keys(simd_kv type, const uint8_t *block, int t, int v)
{
    if (type == SIMD_KV_Q8_0) return avx2_load(block + (t * SIMD_PAGE + 8 * v) * 4);
    __m256i two = avx2_load(block + (t % 4 * SIMD_PAGE + 8 * v) * 4);
    return _mm256_and_si256(t < 4 ? two : _mm256_srli_epi16(two, 4), _mm256_set1_epi8(15));
}

AVX2_INLINE __m256 scales8(simd_kv type, const uint8_t *block, int v)
{
    return _mm256_cvtph_ps(avx2_load16(block + simd_kv_block_codes(type) + 16 * v));
}

/* Block b of n rows with eight keys: s = fma(sum, scales, s). */
AVX2_INLINE void dot_block(const simd_query *q, int n, simd_kv type, const uint8_t *block, int b, int v, __m256 s[2])
{
    __m256i even[2], odd[2]; /* keys 0 1 4 5 and 2 3 6 7, two sums each */
    int zero = type == SIMD_KV_Q8_0 ? 128 : 8;
    for (int r = 0; r < n; r++) even[r] = odd[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int t = 0; t < 8; t++) {
        __m256i k = keys(type, block, t, v), none = _mm256_setzero_si256();
        __m256i low = _mm256_unpacklo_epi8(k, none), high = _mm256_unpackhi_epi8(k, none);
        for (int r = 0; r < n; r++) {
            __m256i x = _mm256_set1_epi64x((int64_t)load_u64(q[r].q + b * BLOCK + 4 * t));
            even[r] = _mm256_add_epi32(even[r], _mm256_madd_epi16(low, x));
            odd[r] = _mm256_add_epi32(odd[r], _mm256_madd_epi16(high, x));
        }
    }
    __m256 d = scales8(type, block, v);
    for (int r = 0; r < n; r++) {
        __m256i sum = _mm256_sub_epi32(_mm256_hadd_epi32(even[r], odd[r]), _mm256_set1_epi32(zero * q[r].sum[b]));
        s[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(d, _mm256_set1_ps(q[r].d[b])), s[r]);
    }
}

AVX2_INLINE void qk_rows(const simd_attn *a, simd_kv type, int row, int n)
{
    simd_query q[2];
    int blocks = a->dk / BLOCK;
    avx2_fetch f = avx2_fetch_in(a, row, (size_t)(blocks * KEYS));
    for (int r = 0; r < n; r++) q[r] = simd_query_at(a->query[row + r], (size_t)a->dk);
    for (int v = 0; v < KEYS; v++) {
        __m256 s[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        const uint8_t *block = a->k;
        for (int b = 0; b < blocks; b++, block += simd_kv_block_bytes(type)) {
            dot_block(q, n, type, block, b, v, s);
            avx2_fetch_step(&f);
        }
        for (int r = 0; r < n; r++) _mm256_store_ps(a->s + (row + r) * SIMD_PAGE + 8 * v, s[r]);
    }
}

AVX2_INLINE void qk(const simd_attn *a, simd_kv type)
{
    int r = 0;
    for (; r + 1 < a->rows; r += 2) qk_rows(a, type, r, 2);
    if (r < a->rows) qk_rows(a, type, r, 1);
}

/* Codes of key j, dimensions 8 v .. 8 v + 7. */
AVX2_INLINE __m256 codes(simd_kv type, const uint8_t *block, int j, int v)
{
    if (type == SIMD_KV_Q8_0)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(block + j * BLOCK + 8 * v))));
    __m256i two = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(block + j * BLOCK / 2 + v % 2 * 8)));
    __m256i one = v < 2 ? _mm256_and_si256(two, _mm256_set1_epi32(15)) : _mm256_srli_epi32(two, 4);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(one, _mm256_set1_epi32(8)));
}

/* n rows of the same range, the 32 dimensions of block b. */
AVX2_INLINE void value_rows(const simd_attn *a, simd_kv type, int row, int n, int b, avx2_fetch *f)
{
    enum { V = BLOCK / 8 };
    const uint8_t *block = (const uint8_t *)a->v + (size_t)b * simd_kv_block_bytes(type);
    float *o = a->o + (size_t)row * a->ldo + b * BLOCK;
    _Alignas(32) float w[2][SIMD_PAGE];
    __m256 sum[2][V];
    for (int v = 0; v < KEYS; v++)
        for (int r = 0; r < n; r++)
            _mm256_store_ps(w[r] + 8 * v, _mm256_mul_ps(_mm256_load_ps(a->s + (row + r) * SIMD_PAGE + 8 * v), scales8(type, block, v)));
    for (int r = 0; r < n; r++)
        for (int v = 0; v < V; v++) sum[r][v] = _mm256_setzero_ps();
    for (int j = a->lo[row]; j < a->hi[row]; j++) {
        __m256 x[V];
        for (int v = 0; v < V; v++) x[v] = codes(type, block, j, v);
        for (int r = 0; r < n; r++) {
            __m256 p = _mm256_broadcast_ss(&w[r][j]);
            for (int v = 0; v < V; v++) sum[r][v] = _mm256_fmadd_ps(p, x[v], sum[r][v]);
        }
        avx2_fetch_step(f);
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < V; v++) _mm256_storeu_ps(o + (size_t)r * a->ldo + 8 * v, sum[r][v]);
}

AVX2_INLINE void pv(const simd_attn *a, simd_kv type)
{
    int blocks = a->dv / BLOCK;
    for (int r = 0, n; r < a->rows; r += n) {
        n = avx2_pair_at(a, r);
        avx2_fetch f = avx2_fetch_in(a, r, (size_t)((a->hi[r] - a->lo[r]) * blocks));
        for (int b = 0; b < blocks; b++) {
            if (n == 2) value_rows(a, type, r, 2, b, &f);
            else value_rows(a, type, r, 1, b, &f);
        }
    }
}

static void qk_q8_0(const simd_attn *a) { qk(a, SIMD_KV_Q8_0); }
static void qk_q4_0(const simd_attn *a) { qk(a, SIMD_KV_Q4_0); }
static void pv_q8_0(const simd_attn *a) { pv(a, SIMD_KV_Q8_0); }
static void pv_q4_0(const simd_attn *a) { pv(a, SIMD_KV_Q4_0); }

const simd_part simd_attn_q_avx2 = {.t = {
    .attn_qk = {[SIMD_KV_Q8_0] = qk_q8_0, [SIMD_KV_Q4_0] = qk_q4_0},
    .attn_pv = {[SIMD_KV_Q8_0] = pv_q8_0, [SIMD_KV_Q4_0] = pv_q4_0},
}};
