/* AVX2: quantization of activations, norms, sums, RoPE, conversions. The specification: float_scalar.c. */
#include <math.h>

#include "vops_avx2.h"

#include "avx2_tile.h"
#include "vmath.inc"

/* The largest |x| of n floats as bits, which order as numbers do: finite < infinity < NaN. */
static uint32_t top_bits(const float *x, int n)
{
    const __m256i abs = _mm256_set1_epi32(0x7fffffff);
    __m256i top = _mm256_setzero_si256();
    for (int i = 0; i < n; i += 8) top = _mm256_max_epi32(top, _mm256_and_si256(avx2_load(x + i), abs));
    __m128i t = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}

/* 32 products rounded to int8, and their sums of 16. */
static void quantize32(const float *x, __m256 inv, uint8_t *q, int16_t *s16, int16_t *s32)
{
    __m256i v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inv));
    __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    avx2_store(q, b);
    __m256i s = avx2_widen(_mm256_maddubs_epi16(_mm256_set1_epi8(1), b));
    s = _mm256_hadd_epi32(s, s);
    s = _mm256_hadd_epi32(s, s);
    s16[0] = (int16_t)_mm256_extract_epi32(s, 0);
    s16[1] = (int16_t)_mm256_extract_epi32(s, 4);
    *s32 = (int16_t)(s16[0] + s16[1]);
}

static void quantize(const simd_act *a, const float *x, uint8_t *column)
{
    int len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    float *d = (float *)(void *)(column + a->off_d);
    int16_t *s32 = (int16_t *)(void *)(column + a->off_s32), *s16 = (int16_t *)(void *)(column + a->off_s16);
    for (int64_t k = 0; k < a->k; k += len) {
        uint32_t top = top_bits(x + k, len);
        float amax = f32_from_bits(top), inv = 127.0f / amax;
        bool zero = amax < 0x1p-100f, bad = top >= 0x7f800000;
        d[k / len] = bad ? f32_from_bits(0x7fc00000) : zero ? 0 : amax / 127.0f;
        if (zero || bad) {
            memset(column + k, 0, (size_t)len);
            memset(s32 + k / 32, 0, (size_t)len / 32 * sizeof *s32);
            memset(s16 + k / 16, 0, (size_t)len / 16 * sizeof *s16);
            continue;
        }
        __m256 scale = _mm256_set1_ps(inv);
        for (int64_t i = k; i < k + len; i += 32) quantize32(x + i, scale, column + i, s16 + i / 16, s32 + i / 32);
    }
}

static void residual(const simd_act *a, const float *x, const uint8_t *column, float *rest)
{
    const float *d = (const float *)(const void *)(column + a->off_d);
    int64_t len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    for (int64_t i = 0; i < a->k; i += 8) {
        __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(column + i))));
        _mm256_storeu_ps(rest + i, _mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_mul_ps(q, _mm256_set1_ps(d[i / len]))));
    }
}

/* The first n lanes of v, the others of `rest`. */
AVX2_INLINE __m256 lanes(__m256 v, __m256 rest, size_t n)
{
    const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_blendv_ps(rest, v, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), at)));
}

static float dot(const float *a, const float *b, size_t n)
{
    __m256 p[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        for (int h = 0; h < 2; h++)
            p[h] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8 * h), _mm256_loadu_ps(b + i + 8 * h), p[h]);
    for (int h = 0; h < 2 && i < n; h++) { /* partial sums that have no element left keep their bits */
        size_t m = n - i < 8 ? n - i : 8;
        p[h] = lanes(_mm256_fmadd_ps(v_load_n(a + i, m), v_load_n(b + i, m), p[h]), p[h], m);
        i += m;
    }
    return avx2_fold16(p[0], p[1]);
}

/* y = what `vector` makes of eight, `one` of one at the end. */
#define MAP(vector, one) \
    do { \
        size_t i = 0; \
        for (; n - i >= 8; i += 8) _mm256_storeu_ps(y + i, (vector)); \
        for (; i < n; i++) y[i] = (one); \
    } while (0)
#define V(p) _mm256_loadu_ps(p + i)

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float r = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    __m256 r8 = _mm256_set1_ps(r);
    if (w) MAP(_mm256_mul_ps(_mm256_mul_ps(V(x), r8), V(w)), (x[i] * r) * w[i]);
    else MAP(_mm256_mul_ps(V(x), r8), x[i] * r);
}

/* The sum of n values by sixteen partials. */
static float sum(const float *x, size_t n)
{
    __m256 p[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        for (int h = 0; h < 2; h++) p[h] = _mm256_add_ps(p[h], _mm256_loadu_ps(x + i + 8 * h));
    for (int h = 0; h < 2 && i < n; h++) {
        size_t m = n - i < 8 ? n - i : 8;
        p[h] = _mm256_add_ps(p[h], v_load_n(x + i, m));
        i += m;
    }
    return avx2_fold16(p[0], p[1]);
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    float mean = sum(x, n) / (float)n;
    __m256 mean8 = _mm256_set1_ps(mean);
    MAP(_mm256_sub_ps(V(x), mean8), x[i] - mean);
    float r = 1.0f / sqrtf(dot(y, y, n) / (float)n + eps);
    __m256 r8 = _mm256_set1_ps(r);
    MAP(_mm256_mul_ps(V(y), r8), y[i] * r);
    if (w) MAP(_mm256_mul_ps(V(y), V(w)), y[i] * w[i]);
    if (b) MAP(_mm256_add_ps(V(y), V(b)), y[i] + b[i]);
}

static void add(float *y, const float *a, const float *b, size_t n) { MAP(_mm256_add_ps(V(a), V(b)), a[i] + b[i]); }
static void mul(float *y, const float *a, const float *b, size_t n) { MAP(_mm256_mul_ps(V(a), V(b)), a[i] * b[i]); }

static void scale(float *y, const float *a, float s, size_t n)
{
    __m256 s8 = _mm256_set1_ps(s);
    MAP(_mm256_mul_ps(V(a), s8), a[i] * s);
}

static void madd(float *y, const float *a, float s, size_t n)
{
    __m256 s8 = _mm256_set1_ps(s);
    MAP(_mm256_fmadd_ps(V(a), s8, V(y)), fmaf(a[i], s, y[i]));
}

static float max(const float *a, size_t n)
{
    __m256 m8 = _mm256_set1_ps(-INFINITY);
    size_t i = 0;
    for (; n - i >= 8; i += 8) m8 = _mm256_max_ps(V(a), m8); /* x > m ? x : m */
    float t[8], m = -INFINITY;
    _mm256_storeu_ps(t, m8);
    for (int j = 0; j < 8; j++) m = t[j] > m ? t[j] : m;
    for (; i < n; i++) m = a[i] > m ? a[i] : m;
    if (m == 0) /* of zeros the first, whatever its sign */
        for (i = 0; a[i] != 0; i++) {}
    return m == 0 ? a[i] : m;
}

static float exp_sum(float *y, const float *x, float m, size_t n)
{
    __m256 p[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, m8 = _mm256_set1_ps(m);
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        for (int h = 0; h < 2; h++) {
            __m256 e = v_exp(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * h), m8));
            _mm256_storeu_ps(y + i + 8 * h, e);
            p[h] = _mm256_add_ps(p[h], e);
        }
    for (int h = 0; h < 2 && i < n; h++) {
        size_t k = n - i < 8 ? n - i : 8;
        __m256 e = v_exp(_mm256_sub_ps(v_load_n(x + i, k), m8));
        v_store_n(y + i, e, k);
        p[h] = lanes(_mm256_add_ps(p[h], e), p[h], k);
        i += k;
    }
    return avx2_fold16(p[0], p[1]);
}

static void rotate(float *a, float *b, float c, float s)
{
    float x0 = *a, x1 = *b, x0c = x0 * c, x1s = x1 * s, x0s = x0 * s, x1c = x1 * c;
    *a = x0c - x1s;
    *b = x0s + x1c;
}

static void rope_norm(float *x, const float *cs, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = V(x), a = V(cs), swapped = _mm256_permute_ps(v, 0xb1);
        v = _mm256_addsub_ps(_mm256_mul_ps(v, _mm256_moveldup_ps(a)), _mm256_mul_ps(swapped, _mm256_movehdup_ps(a)));
        _mm256_storeu_ps(x + i, v);
    }
    for (; i + 1 < n; i += 2) rotate(&x[i], &x[i + 1], cs[i], cs[i + 1]);
}

/* Pairs of lanes 0 2 1 3 to 0 1 2 3. */
AVX2_INLINE __m256 in_order(__m256 v) { return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8)); }

static void rope_neox(float *x, const float *cs, size_t n)
{
    size_t i = 0, half = n / 2;
    for (; i + 8 <= half; i += 8) {
        __m256 a = _mm256_loadu_ps(cs + 2 * i), b = _mm256_loadu_ps(cs + 2 * i + 8), lo = V(x), hi = V(x + half);
        __m256 c = in_order(_mm256_shuffle_ps(a, b, 0x88)), s = in_order(_mm256_shuffle_ps(a, b, 0xdd));
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(lo, c), _mm256_mul_ps(hi, s)));
        _mm256_storeu_ps(x + half + i, _mm256_add_ps(_mm256_mul_ps(lo, s), _mm256_mul_ps(hi, c)));
    }
    for (; i < half; i++) rotate(&x[i], &x[i + half], cs[2 * i], cs[2 * i + 1]);
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    MAP(_mm256_cvtph_ps(avx2_load16(x + i)), f16_to_f32(x[i]));
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        __m128i h = _mm256_cvtps_ph(V(x), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(y + i), h);
    }
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

const simd_part simd_float_avx2 = {.t = {
    .quantize = quantize, .residual = residual, .rms_norm = rms_norm, .layer_norm = layer_norm, .add = add, .mul = mul, .scale = scale, .madd = madd,
    .dot = dot, .max = max, .exp_sum = exp_sum, .rope_norm = rope_norm, .rope_neox = rope_neox,
    .f16_to_f32 = from_f16, .f32_to_f16 = to_f16,
}};
