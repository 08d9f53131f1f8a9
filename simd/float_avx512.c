/* Quantization of activations, norms, RoPE, vector arithmetic and conversions, AVX-512. */
#include <math.h>
#include <string.h>

#include "avx512_float.h"
#include "parts.h"
#include "vops_avx512.h"
#include "vmath.inc"

/* ---- quantization ---- */

/* The largest |x| of n (a multiple of 16) as bits, which order as the numbers do. */
INLINE uint32_t top_bits(const float *x, int n)
{
    const __m512i abs = _mm512_set1_epi32(0x7fffffff);
    __m512i top = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16)
        top = _mm512_max_epu32(top, _mm512_and_si512(_mm512_castps_si512(_mm512_loadu_ps(x + i)), abs));
    return _mm512_reduce_max_epu32(top);
}

INLINE void quantize_block(const float *x, int n, int8_t *q, float *d)
{
    uint32_t top = top_bits(x, n);
    float amax;
    memcpy(&amax, &top, 4);
    if (amax < 0x1p-100f || top >= 0x7f800000) {
        memset(q, 0, (size_t)n);
        *d = top >= 0x7f800000 ? NAN : 0;
        return;
    }
    __m512 inv = _mm512_set1_ps(127.0f / amax);
    for (int i = 0; i < n; i += 16) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inv));
        _mm_storeu_si128((__m128i *)(void *)(q + i), _mm512_cvtepi32_epi8(v));
    }
    *d = amax / 127.0f;
}

/* Sums of sixteen q, and of thirty-two; n of q (a multiple of 32, at most 256). */
INLINE void sums(const int8_t *q, size_t n, int16_t *s16, int16_t *s32)
{
    /* lane 4 l + e of the fold has sixteen number 4 e + l */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i one = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i v[4];
    for (size_t i = 0; i < 4; i++) {
        size_t left = n > 64 * i ? n - 64 * i : 0;
        __mmask64 m = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
        v[i] = _mm512_dpbusd_epi32(zero, one, _mm512_maskz_loadu_epi8(m, q + 64 * i));
    }
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    __m256i h = _mm512_cvtepi32_epi16(_mm512_permutexvar_epi32(order, s));
    __m128i w = _mm256_cvtepi32_epi16(_mm256_madd_epi16(h, _mm256_set1_epi16(1)));
    _mm256_mask_storeu_epi16(s16, lanes(n / 16), h);
    _mm_mask_storeu_epi16(s32, (__mmask8)lanes(n / 32), w);
}

static void quantize(const simd_act *a, const float *x, uint8_t *column)
{
    int8_t *q = (int8_t *)column;
    float *d = (float *)(void *)(column + a->off_d);
    int16_t *s32 = (int16_t *)(void *)(column + a->off_s32), *s16 = (int16_t *)(void *)(column + a->off_s16);
    size_t k = (size_t)a->k;
    if (a->kind == QUANT_ACT_Q32)
        for (size_t i = 0; i < k; i += 32) quantize_block(x + i, 32, q + i, d + i / 32);
    else
        for (size_t i = 0; i < k; i += 256) quantize_block(x + i, 256, q + i, d + i / 256);
    for (size_t i = 0; i < k; i += 256) sums(q + i, k - i < 256 ? k - i : 256, s16 + i / 16, s32 + i / 32);
}

static void residual(const simd_act *a, const float *x, const uint8_t *column, float *rest)
{
    const float *d = (const float *)(const void *)(column + a->off_d);
    int64_t len = a->kind == QUANT_ACT_Q32 ? 32 : 256;
    for (int64_t i = 0; i < a->k; i += 16) {
        __m512 q = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(column + i))));
        _mm512_storeu_ps(rest + i, _mm512_sub_ps(_mm512_loadu_ps(x + i), _mm512_mul_ps(q, _mm512_set1_ps(d[i / len]))));
    }
}

/* ---- vectors ---- */

static float dot(const float *a, const float *b, size_t n)
{
    __m512 p = _mm512_setzero_ps();
    size_t i = 0;
    for (; n - i >= 16; i += 16) p = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), p);
    __mmask16 m = lanes(n - i);
    p = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i), p, m);
    return fold16(p);
}

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    __m512 r = _mm512_set1_ps(1.0f / sqrtf(dot(x, x, n) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), r);
        if (w) v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i));
        _mm512_mask_storeu_ps(y + i, m, v);
    }
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    __m512 p = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) p = _mm512_add_ps(p, _mm512_maskz_loadu_ps(lanes(n - i), x + i));
    __m512 mean = _mm512_set1_ps(fold16(p) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        _mm512_mask_storeu_ps(y + i, m, _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), mean));
    }
    __m512 r = _mm512_set1_ps(1.0f / sqrtf(dot(y, y, n) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, y + i), r);
        if (w) v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i));
        if (b) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, b + i));
        _mm512_mask_storeu_ps(y + i, m, v);
    }
}

/* y[i] = expression of the vectors at i, m the lanes that there are */
#define EACH(expression)                                 \
    for (size_t i = 0; i < n; i += 16) {                 \
        __mmask16 m = lanes(n - i);                      \
        _mm512_mask_storeu_ps(y + i, m, expression);     \
    }
#define AT(p) _mm512_maskz_loadu_ps(m, (p) + i)

static void add(float *y, const float *a, const float *b, size_t n) { EACH(_mm512_add_ps(AT(a), AT(b))) }
static void mul(float *y, const float *a, const float *b, size_t n) { EACH(_mm512_mul_ps(AT(a), AT(b))) }
static void scale(float *y, const float *a, float s, size_t n) { EACH(_mm512_mul_ps(AT(a), _mm512_set1_ps(s))) }
static void madd(float *y, const float *a, float s, size_t n)
{
    EACH(_mm512_fmadd_ps(AT(a), _mm512_set1_ps(s), AT(y)))
}

static float max(const float *a, size_t n)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 top = none;
    for (size_t i = 0; i < n; i += 16) /* of a NaN and a number, the second operand */
        top = _mm512_max_ps(_mm512_mask_loadu_ps(none, lanes(n - i), a + i), top);
    return first_zero(max16(top), a, n);
}

static float exp_sum(float *y, const float *x, float by, size_t n)
{
    __m512 p = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 e = v_exp(_mm512_sub_ps(AT(x), _mm512_set1_ps(by)));
        _mm512_mask_storeu_ps(y + i, m, e);
        p = _mm512_mask_add_ps(p, m, p, e);
    }
    return fold16(p);
}

/* ---- rotary embedding ---- */

static void rope_norm(float *x, const float *cs, size_t n)
{
    n = n / 2 * 2;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 v = AT(x), r = AT(cs);
        __m512 a = _mm512_mul_ps(v, _mm512_moveldup_ps(r));
        __m512 b = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(r)); /* neighbours swapped */
        _mm512_mask_storeu_ps(x + i, m, _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b));
    }
}

static void rope_neox(float *x, const float *cs, size_t n)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    size_t half = n / 2;
    for (size_t i = 0; i < half; i += 16) {
        size_t left = half - i;
        __mmask16 m = lanes(left);
        __m512 r0 = _mm512_maskz_loadu_ps(lanes(2 * left), cs + 2 * i);
        __m512 r1 = left > 8 ? _mm512_maskz_loadu_ps(lanes(2 * left - 16), cs + 2 * i + 16) : _mm512_setzero_ps();
        __m512 c = _mm512_permutex2var_ps(r0, even, r1), s = _mm512_permutex2var_ps(r0, odd, r1);
        __m512 a = AT(x), b = AT(x + half);
        _mm512_mask_storeu_ps(x + i, m, _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, m, _mm512_add_ps(_mm512_mul_ps(a, s), _mm512_mul_ps(b, c)));
    }
}

/* ---- conversions ---- */

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    EACH(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, x + i)))
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m256i h = _mm512_cvtps_ph(AT(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(y + i, m, h);
    }
}

const simd_part simd_float_avx512 = {.t = {
    .quantize = quantize, .residual = residual, .rms_norm = rms_norm, .layer_norm = layer_norm, .add = add, .mul = mul, .scale = scale,
    .madd = madd, .dot = dot, .max = max, .exp_sum = exp_sum, .rope_norm = rope_norm, .rope_neox = rope_neox,
    .f16_to_f32 = from_f16, .f32_to_f16 = to_f16,
}};
