/* AVX2: attention to one page. Lanes are keys in Q K, dimensions in P V; rows go in pairs that share their loads.
 * The specification: float_scalar.c. */
#include <math.h>

#include "vops_avx2.h"

#include "avx2_tile.h"
#include "vmath.inc"

enum { KEYS = SIMD_PAGE / 8, PART = 4 /* vectors at a time */ };

/* Eight elements of a page; `at` counts elements. */
typedef __m256 (*attn_load)(const void *p, size_t at);
AVX2_INLINE __m256 load_f32(const void *p, size_t at) { return _mm256_loadu_ps((const float *)p + at); }
AVX2_INLINE __m256 load_f16(const void *p, size_t at)
{
    return _mm256_cvtph_ps(avx2_load16((const uint16_t *)p + at));
}
typedef float (*attn_one)(const void *p, size_t at);
AVX2_INLINE float one_f32(const void *p, size_t at) { return ((const float *)p)[at]; }
AVX2_INLINE float one_f16(const void *p, size_t at) { return f16_to_f32(((const uint16_t *)p)[at]); }

/* q . k of n rows from r on with the keys of vectors [from, from + PART). */
AVX2_INLINE void scores(const simd_attn *a, attn_load load, int r, int n, int from, __m256 s[2][KEYS])
{
    __m256 sum[2][PART];
    for (int i = 0; i < n; i++)
        for (int v = 0; v < PART; v++) sum[i][v] = _mm256_setzero_ps();
    for (int d = 0; d < a->dk; d++) {
        __m256 k[PART];
        for (int v = 0; v < PART; v++) k[v] = load(a->k, (size_t)(d * SIMD_PAGE + 8 * (from + v)));
        for (int i = 0; i < n; i++) {
            __m256 q = _mm256_broadcast_ss(a->q[r + i] + d);
            for (int v = 0; v < PART; v++) sum[i][v] = _mm256_fmadd_ps(q, k[v], sum[i][v]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < PART; v++) s[i][from + v] = sum[i][v];
}

AVX2_INLINE __m256i key_numbers(int v)
{
    return _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(8 * v));
}

/* All bits where lo <= key < hi. */
AVX2_INLINE __m256 in_range(int v, int lo, int hi)
{
    __m256i j = key_numbers(v);
    return _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(lo), j),
                                                   _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), j)));
}

/* Scaled, capped, sloped: the scores as exp wants them. */
AVX2_INLINE __m256 adjust(const simd_attn *a, int r, int v, __m256 s)
{
    s = _mm256_mul_ps(s, _mm256_set1_ps(a->scale));
    if (a->softcap > 0) {
        __m256 cap = _mm256_set1_ps(a->softcap);
        s = _mm256_mul_ps(v_tanh(_mm256_div_ps(s, cap)), cap);
    }
    if (a->slope) {
        __m256i at = _mm256_add_epi32(key_numbers(v), _mm256_set1_epi32(a->dist[r]));
        s = _mm256_fnmadd_ps(_mm256_set1_ps(a->slope[r]), _mm256_cvtepi32_ps(_mm256_abs_epi32(at)), s);
    }
    return s;
}

/* Of zeros the first in range, whatever its sign; NaNs count for nothing. */
AVX2_INLINE float max_in_range(const __m256 s[KEYS], __m256 top, int lo, int hi)
{
    float t[SIMD_PAGE], m = -INFINITY;
    _mm256_storeu_ps(t, top);
    for (int i = 0; i < 8; i++) m = t[i] > m ? t[i] : m;
    if (m != 0) return m;
    memcpy(t, s, sizeof t);
    for (; lo + 1 < hi && t[lo] != 0; lo++) {}
    return t[lo];
}

/* Scores to probabilities, 0 outside of [lo, hi). */
static void softmax(const simd_attn *a, int r, __m256 s[KEYS])
{
    int lo = a->lo[r], hi = a->hi[r], from = lo / 8, to = (hi + 7) / 8;
    __m256 top = _mm256_set1_ps(-INFINITY), part[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int v = from; v < to; v++) {
        s[v] = adjust(a, r, v, s[v]);
        top = _mm256_max_ps(_mm256_blendv_ps(top, s[v], in_range(v, lo, hi)), top); /* x > m ? x : m */
    }
    float m = max_in_range(s, top, lo, hi);
    for (int v = from; v < to; v++) {
        s[v] = _mm256_and_ps(v_exp(_mm256_sub_ps(s[v], _mm256_set1_ps(m))), in_range(v, lo, hi));
        part[v % 2] = _mm256_add_ps(part[v % 2], s[v]);
    }
    a->m[r] = m;
    a->l[r] = avx2_fold16(part[0], part[1]);
}

/* n rows from r on of the same range, dimensions [d, d + 8 * width). */
AVX2_INLINE void values(const simd_attn *a, attn_load load, int r, int n, const float p[2][SIMD_PAGE], size_t d,
                        int width)
{
    __m256 o[2][PART];
    for (int i = 0; i < n; i++)
        for (int v = 0; v < width; v++) o[i][v] = _mm256_setzero_ps();
    for (int j = a->lo[r]; j < a->hi[r]; j++) {
        __m256 x[PART];
        for (int v = 0; v < width; v++) x[v] = load(a->v, (size_t)j * (size_t)a->dv + d + (size_t)(8 * v));
        for (int i = 0; i < n; i++) {
            __m256 w = _mm256_broadcast_ss(&p[i][j]);
            for (int v = 0; v < width; v++) o[i][v] = _mm256_fmadd_ps(w, x[v], o[i][v]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < width; v++) _mm256_storeu_ps(a->o + (size_t)(r + i) * a->ldo + d + 8 * v, o[i][v]);
}

/* The dimensions that fill no vector. */
AVX2_INLINE void last_values(const simd_attn *a, attn_one one, int r, const float p[SIMD_PAGE], size_t d)
{
    for (; d < (size_t)a->dv; d++) {
        float o = 0;
        for (int j = a->lo[r]; j < a->hi[r]; j++) o = fmaf(p[j], one(a->v, (size_t)j * (size_t)a->dv + d), o);
        a->o[(size_t)r * a->ldo + d] = o;
    }
}

AVX2_INLINE void attn_values(const simd_attn *a, attn_load load, attn_one one, int r, int n,
                             const float p[2][SIMD_PAGE])
{
    size_t d = 0, dv = (size_t)a->dv;
    for (; dv - d >= 8 * PART; d += 8 * PART) values(a, load, r, n, p, d, PART);
    for (; dv - d >= 8; d += 8) values(a, load, r, n, p, d, 1);
    for (int i = 0; i < n; i++) last_values(a, one, r + i, p[i], d);
}

/* n rows (1 or 2) from r on. */
AVX2_INLINE void attn_rows(const simd_attn *a, attn_load load, attn_one one, int r, int n)
{
    __m256 s[2][KEYS];
    float p[2][SIMD_PAGE];
    int lo = a->lo[r], hi = a->hi[r];
    for (int from = 0; from < KEYS; from += PART)
        if (lo < 8 * (from + PART) && hi > 8 * from) scores(a, load, r, n, from, s);
    for (int i = 0; i < n; i++) softmax(a, r + i, s[i]);
    memcpy(p, s, sizeof p);
    attn_values(a, load, one, r, n, (const float(*)[SIMD_PAGE])p);
}

AVX2_INLINE void attn_page(const simd_attn *a, attn_load load, attn_one one)
{
    int r = 0;
    while (r < a->rows) {
        bool pair = r + 1 < a->rows && a->lo[r] == a->lo[r + 1] && a->hi[r] == a->hi[r + 1];
        if (pair) attn_rows(a, load, one, r, 2);
        else attn_rows(a, load, one, r, 1);
        r += pair ? 2 : 1;
    }
}

static void attn(const simd_attn *a) { attn_page(a, load_f32, one_f32); }
static void attn_f16(const simd_attn *a) { attn_page(a, load_f16, one_f16); }

static void attn_merge(float *m, float *l, float *o, float m2, float l2, const float *o2, size_t n)
{
    float top = m2 > *m ? m2 : *m, ab[8] = {*m - top, m2 - top};
    _mm256_storeu_ps(ab, v_exp(_mm256_loadu_ps(ab)));
    *m = top;
    *l = fmaf(*l, ab[0], l2 * ab[1]);
    __m256 a = _mm256_set1_ps(ab[0]), b = _mm256_set1_ps(ab[1]);
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        v_store(o + i, v_fma(v_load(o + i), a, v_mul(v_load(o2 + i), b)));
    for (; i < n; i++) o[i] = fmaf(o[i], ab[0], o2[i] * ab[1]);
}

const simd_part simd_attn_avx2 = {.t = {.attn = attn, .attn_f16 = attn_f16, .attn_merge = attn_merge}};
