/* Attention to one page of 64 keys, AVX-512: keys are lanes for the scores, dimensions are lanes for the values.
 * (Quantized types: attn_q_avx512.c.)
 *
 * A few query rows at a time share each load of K and of V. Every score and every value is a sequential fma over
 * dimensions and over keys, as simd.h says; what a row must not see is left out, not multiplied by zero. */
#include <math.h>

#include "avx512_attn.h"
#include "vops_avx512.h"
#include "vmath.inc"

enum { ROWS = 6, VECTORS = SIMD_PAGE / 16 }; /* 6 x 4 accumulators and 4 vectors of keys or values */

INLINE __m512 kv_load(const void *p, size_t at, simd_kv type, __mmask16 m)
{
    if (type == SIMD_KV_F32) return _mm512_maskz_loadu_ps(m, (const float *)p + at);
    __m256i half = _mm256_maskz_loadu_epi16(m, (const uint16_t *)p + at);
    if (type == SIMD_KV_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* s[r][j] = q[r] . k[j], all 64 keys */
INLINE void dots(const simd_attn *a, const void *k, int row, int n, simd_kv type)
{
    __m512 acc[ROWS][VECTORS];
    fetch f = fetch_in(a, row, (size_t)a->dk);
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_setzero_ps();
    for (size_t d = 0; d < (size_t)a->dk; d++) {
        __m512 x[VECTORS];
        fetch_step(&f);
        for (size_t v = 0; v < VECTORS; v++) x[v] = kv_load(k, d * SIMD_PAGE + 16 * v, type, 0xffff);
        for (int r = 0; r < n; r++) {
            __m512 q = _mm512_set1_ps(a->q[row + r][d]);
            for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_fmadd_ps(q, x[v], acc[r][v]);
        }
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) _mm512_store_ps(a->s + (row + r) * SIMD_PAGE + 16 * v, acc[r][v]);
}

INLINE void all_dots(const simd_attn *a, const void *k, simd_kv type)
{
#define DOTS(n) dots(a, k, row, n, type)
    ATTN_GROUPS(a, ROWS, row, DOTS)
#undef DOTS
}

/* Lanes of vector v that are keys lo .. hi - 1. */
INLINE __mmask16 seen(const simd_attn *a, int row, int v)
{
    uint64_t below = ((uint64_t)1 << a->lo[row]) - 1, upto = ~(uint64_t)0 >> (SIMD_PAGE - a->hi[row]);
    return (__mmask16)((upto & ~below) >> (16 * v));
}

/* What becomes of q . k before the softmax. */
INLINE __m512 finish_score(const simd_attn *a, int row, int v, __m512 s)
{
    s = _mm512_mul_ps(s, _mm512_set1_ps(a->scale));
    if (a->softcap > 0) {
        __m512 cap = _mm512_set1_ps(a->softcap);
        s = _mm512_mul_ps(v_tanh(_mm512_div_ps(s, cap)), cap);
    }
    if (a->slope) {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        __m512i dist = _mm512_abs_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16 * v + a->dist[row])));
        s = _mm512_fnmadd_ps(_mm512_set1_ps(a->slope[row]), _mm512_cvtepi32_ps(dist), s);
    }
    return s;
}

/* s to weights, their maximum and sum to m[row] and l[row]. */
INLINE void softmax_row(const simd_attn *a, int row, float *s)
{
    __m512 x[VECTORS], top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (int v = 0; v < VECTORS; v++) {
        x[v] = finish_score(a, row, v, _mm512_loadu_ps(s + 16 * v));
        top = _mm512_mask_max_ps(top, seen(a, row, v), x[v], top); /* of a NaN and a number, the second operand */
    }
    float m = max16(top);
    if (m == 0) {
        for (int v = 0; v < VECTORS; v++) _mm512_storeu_ps(s + 16 * v, x[v]);
        m = first_zero(m, s + a->lo[row], (size_t)(a->hi[row] - a->lo[row]));
    }
    for (int v = 0; v < VECTORS; v++) {
        __m512 p = _mm512_maskz_mov_ps(seen(a, row, v), v_exp(_mm512_sub_ps(x[v], _mm512_set1_ps(m))));
        _mm512_storeu_ps(s + 16 * v, p);
        sum = _mm512_add_ps(sum, p); /* weights are not negative: adding +0 changes nothing */
    }
    a->m[row] = m;
    a->l[row] = fold16(sum);
}

static void softmax(const simd_attn *a)
{
    for (int r = 0; r < a->rows; r++) softmax_row(a, r, a->s + r * SIMD_PAGE);
}

/* o[r][d ..] += p[r][j] v[j][d ..] for from <= j < to in order; up to n_v vectors of dimensions, the last by mask. */
INLINE void weigh(const simd_attn *a, const void *values, int row, int n, int from, int to, bool first, size_t d, int n_v,
                  __mmask16 last, simd_kv type, fetch *f)
{
    __m512 acc[ROWS][VECTORS];
    __mmask16 m[VECTORS];
    const float *p = a->s + row * SIMD_PAGE;
    for (int v = 0; v < n_v; v++) m[v] = v == n_v - 1 ? last : 0xffff;
    for (int r = 0; r < n; r++)
        for (int v = 0; v < n_v; v++) {
            const float *o = a->o + (size_t)(row + r) * a->ldo + d + 16 * (size_t)v;
            acc[r][v] = first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(m[v], o);
        }
    for (int j = from; j < to; j++) {
        __m512 x[VECTORS];
        size_t at = (size_t)j * (size_t)a->dv + d;
        fetch_step(f);
        for (int v = 0; v < n_v; v++) x[v] = kv_load(values, at + 16 * (size_t)v, type, m[v]);
        for (int r = 0; r < n; r++) {
            __m512 w = _mm512_set1_ps(p[r * SIMD_PAGE + j]);
            for (int v = 0; v < n_v; v++) acc[r][v] = _mm512_fmadd_ps(w, x[v], acc[r][v]);
        }
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < n_v; v++)
            _mm512_mask_storeu_ps(a->o + (size_t)(row + r) * a->ldo + d + 16 * (size_t)v, m[v], acc[r][v]);
}

/* The same over all dimensions. */
INLINE void weigh_all(const simd_attn *a, const void *values, int row, int n, int from, int to, bool first, simd_kv type, fetch *f)
{
    size_t dv = (size_t)a->dv, d = 0;
    for (; dv - d >= 64; d += 64) weigh(a, values, row, n, from, to, first, d, 4, 0xffff, type, f);
    for (; d < dv; d += 16) weigh(a, values, row, n, from, to, first, d, 1, lanes(dv - d), type, f);
}

static __attribute__((noinline)) void weigh_row(const simd_attn *a, const void *values, int row, int from, int to, bool first, simd_kv type)
{
    fetch none = {0};
    if (type == SIMD_KV_F32) weigh_all(a, values, row, 1, from, to, first, SIMD_KV_F32, &none);
    else if (type == SIMD_KV_F16) weigh_all(a, values, row, 1, from, to, first, SIMD_KV_F16, &none);
    else weigh_all(a, values, row, 1, from, to, first, SIMD_KV_BF16, &none);
}

/* n rows: what all of them see in one go, what only some see before and after that row by row. */
INLINE void some_values(const simd_attn *a, const void *values, int row, int n, simd_kv type)
{
    int from, to;
    bool before = false;
    common_range(a, row, n, &from, &to);
    if (from >= to) {
        for (int r = row; r < row + n; r++) weigh_row(a, values, r, a->lo[r], a->hi[r], true, type);
        return;
    }
    for (int r = row; r < row + n; r++) before |= a->lo[r] < from;
    for (int r = row; before && r < row + n; r++) weigh_row(a, values, r, a->lo[r], from, true, type);
    fetch f = fetch_in(a, row, (size_t)(to - from) * ((size_t)(a->dv + 63) / 64));
    if (before) weigh_all(a, values, row, n, from, to, false, type, &f);
    else weigh_all(a, values, row, n, from, to, true, type, &f);
    for (int r = row; r < row + n; r++)
        if (a->hi[r] > to) weigh_row(a, values, r, to, a->hi[r], false, type);
}

INLINE void all_values(const simd_attn *a, const void *values, simd_kv type)
{
#define VALUES(n) some_values(a, values, row, n, type)
    ATTN_GROUPS(a, ROWS, row, VALUES)
#undef VALUES
}

/* A page in F32. */
INLINE float *widened(const simd_attn *a, const void *x, int dim, simd_kv type)
{
    _Static_assert(SIMD_MAX_HEAD * SIMD_PAGE * sizeof(float) <= SIMD_SCRATCH, "a page fits");
    float *y = a->scratch;
    for (size_t i = 0; i < (size_t)dim * SIMD_PAGE; i += 16) _mm512_store_ps(y + i, kv_load(x, i, type, 0xffff));
    return y;
}

static void qk_f32(const simd_attn *a) { all_dots(a, a->k, SIMD_KV_F32); }
static void pv_f32(const simd_attn *a) { all_values(a, a->v, SIMD_KV_F32); }

/* Rows in more than two goes find the page converted. */
#define NARROW(name, type)                                              \
    static void qk_##name(const simd_attn *a)                           \
    {                                                                   \
        if (a->rows > 2 * ROWS)                                         \
            all_dots(a, widened(a, a->k, a->dk, type), SIMD_KV_F32);    \
        else                                                            \
            all_dots(a, a->k, type);                                    \
    }                                                                   \
    static void pv_##name(const simd_attn *a)                           \
    {                                                                   \
        if (a->rows > 2 * ROWS)                                         \
            all_values(a, widened(a, a->v, a->dv, type), SIMD_KV_F32);  \
        else                                                            \
            all_values(a, a->v, type);                                  \
    }
NARROW(f16, SIMD_KV_F16)
NARROW(bf16, SIMD_KV_BF16)

/* Sixteen rows' factors at a time. */
static void merge(const simd_merge *g)
{
    enum { MANY = 16 };
    for (int from = 0; from < g->rows; from += MANY) {
        int n = g->rows - from < MANY ? g->rows - from : MANY;
        const int32_t *to = g->to + from;
        float m[MANY] = {0}, m2[MANY] = {0}, a[MANY], b[MANY];
        for (int i = 0; i < n; i++) {
            m[i] = g->m[to[i]];
            m2[i] = g->m2[from + i];
        }
        __m512 x = _mm512_loadu_ps(m), y = _mm512_loadu_ps(m2), top = _mm512_max_ps(y, x); /* y > x ? y : x */
        _mm512_storeu_ps(a, v_exp(_mm512_sub_ps(x, top)));
        _mm512_storeu_ps(b, v_exp(_mm512_sub_ps(y, top)));
        _mm512_storeu_ps(m, top);
        for (int i = 0; i < n; i++) {
            g->m[to[i]] = m[i];
            g->l[to[i]] = fmaf(g->l[to[i]], a[i], g->l2[from + i] * b[i]);
            float *o = g->o + (size_t)to[i] * g->n;
            const float *o2 = g->o2 + (size_t)(from + i) * g->ldo2;
            __m512 aa = _mm512_set1_ps(a[i]), bb = _mm512_set1_ps(b[i]);
            for (size_t d = 0; d < g->n; d += 16) {
                __mmask16 k = lanes(g->n - d);
                __m512 t = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, o2 + d), bb);
                _mm512_mask_storeu_ps(o + d, k, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, o + d), aa, t));
            }
        }
    }
}

const simd_part simd_attn_avx512 = {.t = {
    .attn_qk = {qk_f32, qk_f16, qk_bf16}, .attn_softmax = softmax, .attn_pv = {pv_f32, pv_f16, pv_bf16}, .attn_merge = merge,
}};
