/* AVX2: attention to one page. Lanes are keys in Q K, dimensions in P V; rows go in pairs that share their loads.
 * The specification: attn_scalar.c; quantized types: attn_q_avx2.c. */
#include <math.h>

#include "vops_avx2.h"

#include "avx2_attn.h"
#include "vmath.inc"

enum { KEYS = SIMD_PAGE / 8, PART = 4 /* vectors at a time */ };

/* Eight elements of a page; `at` counts elements. */
typedef __m256 (*attn_load)(const void *p, size_t at);
AVX2_INLINE __m256 load_f32(const void *p, size_t at) { return _mm256_loadu_ps((const float *)p + at); }
AVX2_INLINE __m256 load_f16(const void *p, size_t at)
{
    return _mm256_cvtph_ps(avx2_load16((const uint16_t *)p + at));
}
AVX2_INLINE __m256 load_bf16(const void *p, size_t at)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(avx2_load16((const uint16_t *)p + at)), 16));
}
typedef float (*attn_one)(const void *p, size_t at);
AVX2_INLINE float one_f32(const void *p, size_t at) { return ((const float *)p)[at]; }
AVX2_INLINE float one_f16(const void *p, size_t at) { return f16_to_f32(((const uint16_t *)p)[at]); }
AVX2_INLINE float one_bf16(const void *p, size_t at) { return bf16_to_f32(((const uint16_t *)p)[at]); }

/* q . k of n rows from r on with the keys of vectors [from, from + PART). */
AVX2_INLINE void scores(const simd_attn *a, attn_load load, int r, int n, int from, avx2_fetch *f)
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
        avx2_fetch_step(f);
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < PART; v++) _mm256_store_ps(a->s + (r + i) * SIMD_PAGE + 8 * (from + v), sum[i][v]);
}

AVX2_INLINE void qk(const simd_attn *a, attn_load load)
{
    for (int r = 0, n; r < a->rows; r += n) {
        n = avx2_pair_at(a, r);
        avx2_fetch f = avx2_fetch_in(a, r, (size_t)a->dk * (KEYS / PART));
        for (int from = 0; from < KEYS; from += PART) {
            if (a->lo[r] >= 8 * (from + PART) || a->hi[r] <= 8 * from) continue;
            if (n == 2) scores(a, load, r, 2, from, &f);
            else scores(a, load, r, 1, from, &f);
        }
    }
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

/* Scores to probabilities, 0 in lanes outside of [lo, hi). */
static void softmax_row(const simd_attn *a, int r)
{
    __m256 s[KEYS];
    int lo = a->lo[r], hi = a->hi[r], from = lo / 8, to = (hi + 7) / 8;
    __m256 top = _mm256_set1_ps(-INFINITY), part[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int v = from; v < to; v++) {
        s[v] = adjust(a, r, v, _mm256_load_ps(a->s + r * SIMD_PAGE + 8 * v));
        top = _mm256_max_ps(_mm256_blendv_ps(top, s[v], in_range(v, lo, hi)), top); /* x > m ? x : m */
    }
    float m = max_in_range(s, top, lo, hi);
    for (int v = from; v < to; v++) {
        s[v] = _mm256_and_ps(v_exp(_mm256_sub_ps(s[v], _mm256_set1_ps(m))), in_range(v, lo, hi));
        part[v % 2] = _mm256_add_ps(part[v % 2], s[v]);
        _mm256_store_ps(a->s + r * SIMD_PAGE + 8 * v, s[v]);
    }
    a->m[r] = m;
    a->l[r] = avx2_fold16(part[0], part[1]);
}

static void softmax(const simd_attn *a)
{
    for (int r = 0; r < a->rows; r++) softmax_row(a, r);
}

/* n rows from r on of the same range, dimensions [d, d + 8 * width). */
AVX2_INLINE void values(const simd_attn *a, attn_load load, int r, int n, size_t d, int width, avx2_fetch *f)
{
    __m256 o[2][PART];
    for (int i = 0; i < n; i++)
        for (int v = 0; v < width; v++) o[i][v] = _mm256_setzero_ps();
    for (int j = a->lo[r]; j < a->hi[r]; j++) {
        __m256 x[PART];
        for (int v = 0; v < width; v++) x[v] = load(a->v, (size_t)j * (size_t)a->dv + d + (size_t)(8 * v));
        for (int i = 0; i < n; i++) {
            __m256 w = _mm256_broadcast_ss(a->s + (r + i) * SIMD_PAGE + j);
            for (int v = 0; v < width; v++) o[i][v] = _mm256_fmadd_ps(w, x[v], o[i][v]);
        }
        avx2_fetch_step(f);
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < width; v++) _mm256_storeu_ps(a->o + (size_t)(r + i) * a->ldo + d + 8 * v, o[i][v]);
}

/* The dimensions that fill no vector. */
AVX2_INLINE void last_values(const simd_attn *a, attn_one one, int r, size_t d)
{
    for (; d < (size_t)a->dv; d++) {
        float o = 0;
        for (int j = a->lo[r]; j < a->hi[r]; j++) o = fmaf(a->s[r * SIMD_PAGE + j], one(a->v, (size_t)j * (size_t)a->dv + d), o);
        a->o[(size_t)r * a->ldo + d] = o;
    }
}

AVX2_INLINE void value_rows(const simd_attn *a, attn_load load, attn_one one, int r, int n)
{
    size_t d = 0, dv = (size_t)a->dv;
    avx2_fetch f = avx2_fetch_in(a, r, (size_t)(a->hi[r] - a->lo[r]) * ((dv + 8 * PART - 1) / (8 * PART)));
    for (; dv - d >= 8 * PART; d += 8 * PART) values(a, load, r, n, d, PART, &f);
    for (; dv - d >= 8; d += 8) values(a, load, r, n, d, 1, &f);
    for (int i = 0; i < n; i++) last_values(a, one, r + i, d);
}

AVX2_INLINE void pv(const simd_attn *a, attn_load load, attn_one one)
{
    for (int r = 0, n; r < a->rows; r += n) {
        n = avx2_pair_at(a, r);
        if (n == 2) value_rows(a, load, one, r, 2);
        else value_rows(a, load, one, r, 1);
    }
}

static void qk_f32(const simd_attn *a) { qk(a, load_f32); }
static void qk_f16(const simd_attn *a) { qk(a, load_f16); }
static void qk_bf16(const simd_attn *a) { qk(a, load_bf16); }
static void pv_f32(const simd_attn *a) { pv(a, load_f32, one_f32); }
static void pv_f16(const simd_attn *a) { pv(a, load_f16, one_f16); }
static void pv_bf16(const simd_attn *a) { pv(a, load_bf16, one_bf16); }

/* Eight rows' factors at a time. */
static void merge(const simd_merge *g)
{
    enum { MANY = 8 };
    for (int from = 0; from < g->rows; from += MANY) {
        int n = g->rows - from < MANY ? g->rows - from : MANY;
        const int32_t *to = g->to + from;
        float m[MANY] = {0}, m2[MANY] = {0}, fa[MANY], fb[MANY];
        for (int i = 0; i < n; i++) {
            m[i] = g->m[to[i]];
            m2[i] = g->m2[from + i];
        }
        __m256 x = _mm256_loadu_ps(m), y = _mm256_loadu_ps(m2), top = _mm256_max_ps(y, x); /* y > x ? y : x */
        _mm256_storeu_ps(fa, v_exp(_mm256_sub_ps(x, top)));
        _mm256_storeu_ps(fb, v_exp(_mm256_sub_ps(y, top)));
        _mm256_storeu_ps(m, top);
        for (int i = 0; i < n; i++) {
            g->m[to[i]] = m[i];
            g->l[to[i]] = fmaf(g->l[to[i]], fa[i], g->l2[from + i] * fb[i]);
            float *o = g->o + (size_t)to[i] * g->n;
            const float *o2 = g->o2 + (size_t)(from + i) * g->ldo2;
            __m256 a = _mm256_set1_ps(fa[i]), b = _mm256_set1_ps(fb[i]);
            size_t d = 0;
            for (; g->n - d >= 8; d += 8) v_store(o + d, v_fma(v_load(o + d), a, v_mul(v_load(o2 + d), b)));
            for (; d < g->n; d++) o[d] = fmaf(o[d], fa[i], o2[d] * fb[i]);
        }
    }
}

const simd_part simd_attn_avx2 = {.t = {
    .attn_qk = {qk_f32, qk_f16, qk_bf16}, .attn_softmax = softmax, .attn_pv = {pv_f32, pv_f16, pv_bf16}, .attn_merge = merge,
}};
