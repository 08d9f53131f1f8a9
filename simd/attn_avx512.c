/* Attention to one page of 64 keys, AVX-512: keys are lanes for the scores, dimensions are lanes for the values.
 *
 * A few query rows at a time share each load of K and of V. Every score and every value is a sequential fma over
 * dimensions and over keys, as simd.h says; what a row must not see is left out, not multiplied by zero. */
#include <math.h>

#include "avx512_float.h"
#include "parts.h"
#include "vops_avx512.h"
#include "vmath.inc"

enum { ROWS = 6, VECTORS = SIMD_PAGE / 16 }; /* 6 x 4 accumulators and 4 vectors of keys or values */

/* Scores, then weights, of a few rows. */
typedef float scores[ROWS][SIMD_PAGE];

INLINE __m512 kv_load(const void *p, size_t at, bool half, __mmask16 m)
{
    if (half) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, (const uint16_t *)p + at));
    return _mm512_maskz_loadu_ps(m, (const float *)p + at);
}

/* s[r][j] = q[r] . k[j], all 64 keys */
INLINE void dots(const simd_attn *a, int row, int n, bool half, float (*s)[SIMD_PAGE])
{
    __m512 acc[ROWS][VECTORS];
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_setzero_ps();
    for (size_t d = 0; d < (size_t)a->dk; d++) {
        __m512 k[VECTORS];
        for (size_t v = 0; v < VECTORS; v++) k[v] = kv_load(a->k, d * SIMD_PAGE + 16 * v, half, 0xffff);
        for (int r = 0; r < n; r++) {
            __m512 q = _mm512_set1_ps(a->q[row + r][d]);
            for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_fmadd_ps(q, k[v], acc[r][v]);
        }
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) _mm512_storeu_ps(s[r] + 16 * v, acc[r][v]);
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
INLINE void softmax(const simd_attn *a, int row, float *s)
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

/* o[r][d ..] += p[r][j] v[j][d ..] for from <= j < to in order; up to n_v vectors of dimensions, the last by mask. */
INLINE void weigh(const simd_attn *a, int row, int n, int from, int to, bool first, size_t d, int n_v,
                  __mmask16 last, bool half, const float (*p)[SIMD_PAGE])
{
    __m512 acc[ROWS][VECTORS];
    __mmask16 m[VECTORS];
    for (int v = 0; v < n_v; v++) m[v] = v == n_v - 1 ? last : 0xffff;
    for (int r = 0; r < n; r++)
        for (int v = 0; v < n_v; v++) {
            const float *o = a->o + (size_t)(row + r) * a->ldo + d + 16 * (size_t)v;
            acc[r][v] = first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(m[v], o);
        }
    for (int j = from; j < to; j++) {
        __m512 x[VECTORS];
        size_t at = (size_t)j * (size_t)a->dv + d;
        for (int v = 0; v < n_v; v++) x[v] = kv_load(a->v, at + 16 * (size_t)v, half, m[v]);
        for (int r = 0; r < n; r++) {
            __m512 w = _mm512_set1_ps(p[r][j]);
            for (int v = 0; v < n_v; v++) acc[r][v] = _mm512_fmadd_ps(w, x[v], acc[r][v]);
        }
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < n_v; v++)
            _mm512_mask_storeu_ps(a->o + (size_t)(row + r) * a->ldo + d + 16 * (size_t)v, m[v], acc[r][v]);
}

/* The same over all dimensions. */
INLINE void values(const simd_attn *a, int row, int n, int from, int to, bool first, bool half,
                   const float (*p)[SIMD_PAGE])
{
    size_t dv = (size_t)a->dv, d = 0;
    for (; dv - d >= 64; d += 64) weigh(a, row, n, from, to, first, d, 4, 0xffff, half, p);
    for (; d < dv; d += 16) weigh(a, row, n, from, to, first, d, 1, lanes(dv - d), half, p);
}

/* n rows: what all of them see in one go, what only some see before and after that row by row. */
INLINE void some_rows(const simd_attn *a, int row, int n, bool half)
{
    scores s;
    int from = 0, to = SIMD_PAGE;
    dots(a, row, n, half, s);
    for (int r = 0; r < n; r++) {
        softmax(a, row + r, s[r]);
        if (a->lo[row + r] > from) from = a->lo[row + r];
        if (a->hi[row + r] < to) to = a->hi[row + r];
    }
    if (n == 1 || from >= to) {
        for (int r = 0; r < n; r++) values(a, row + r, 1, a->lo[row + r], a->hi[row + r], true, half, &s[r]);
        return;
    }
    bool before = false;
    for (int r = 0; r < n; r++) before |= a->lo[row + r] < from;
    for (int r = 0; before && r < n; r++) values(a, row + r, 1, a->lo[row + r], from, true, half, &s[r]);
    values(a, row, n, from, to, !before, half, s);
    for (int r = 0; r < n; r++)
        if (a->hi[row + r] > to) values(a, row + r, 1, to, a->hi[row + r], false, half, &s[r]);
}

INLINE void all_rows(const simd_attn *a, bool half)
{
    for (int row = 0, n; row < a->rows; row += n) {
        int left = a->rows - row;
        n = left >= ROWS && left != 8 ? ROWS : left >= 4 ? 4 : left >= 2 ? 2 : 1; /* eight as twice four */
        if (n == ROWS) some_rows(a, row, ROWS, half);
        else if (n == 4) some_rows(a, row, 4, half);
        else if (n == 2) some_rows(a, row, 2, half);
        else some_rows(a, row, 1, half);
    }
}

static void attn(const simd_attn *a) { all_rows(a, false); }

static void widen(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        _mm512_mask_storeu_ps(y + i, m, kv_load(x, i, true, m));
    }
}

/* Rows in more than two goes find the page converted. */
static void attn_f16(const simd_attn *a)
{
    if (a->rows <= 2 * ROWS) {
        all_rows(a, true);
        return;
    }
    size_t nk = (size_t)a->dk * SIMD_PAGE, nv = (size_t)a->dv * SIMD_PAGE;
    float *k = a->scratch, *v = k + nk;
    _Static_assert(2 * SIMD_MAX_HEAD * SIMD_PAGE * sizeof(float) <= SIMD_SCRATCH, "a page fits");
    widen(k, a->k, nk);
    widen(v, a->v, nv);
    simd_attn b = *a;
    b.k = k;
    b.v = v;
    attn(&b);
}

const simd_part simd_attn_avx512 = {.t = {.attn = attn, .attn_f16 = attn_f16}};
