/* AVX2 tiles of MXFP4 and NVFP4 (layouts: quant/blocks.h, scales: quant/fp4.c): values times two, plus 16. */
#include "../quant/blocks.h"
#include "avx2_q32.h"

#define AT(type, field) __builtin_offsetof(struct quant_##type, field)

AVX2_INLINE __m256i fp4_values(__m256i nibble)
{
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4));
    return _mm256_shuffle_epi8(values, nibble);
}

AVX2_INLINE void mxfp4_codes(const uint8_t *lo, const uint8_t *hi, int part, __m256i q[2])
{
    (void)part;
    nibbles(lo + AT(MXFP4, qs), hi + AT(MXFP4, qs), q);
    for (int i = 0; i < 2; i++) q[i] = fp4_values(q[i]);
}

/* A byte of each row. */
AVX2_INLINE __m256i bytes_at(const uint8_t *const w[8], size_t at)
{
    return _mm256_setr_epi32(w[0][at], w[1][at], w[2][at], w[3][at], w[4][at], w[5][at], w[6][at], w[7][at]);
}

/* 2^(e - 128), of which the first two are denormal. */
AVX2_INLINE __m256 mxfp4_scales(const uint8_t *const w[8], size_t at)
{
    __m256i e = bytes_at(w, at), one = _mm256_set1_epi32(1);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(tiny, normal, _mm256_cmpgt_epi32(e, one)));
}

Q32(mxfp4, .codes = mxfp4_codes, .scales = mxfp4_scales, .bytes = 17, .bits = 5, .zero = 16)

/* NVFP4 accumulates after every 16 weights: group g of the block at `at`, of eight rows. */
enum { NVFP4_BYTES = 36, NVFP4_GROUPS = 4 };
static const avx2_shape nvfp4_shape = {.acc_len = 16, .act_len = 32, .group = 16, .run = 4, .bias = true};

/* Two rows' 16 codes: byte j of eight holds codes j and j + 8. */
AVX2_INLINE __m256i nvfp4_codes(const uint8_t *lo, const uint8_t *hi, int g)
{
    long long a = (long long)load_u64(lo + AT(NVFP4, qs) + 8 * g);
    long long b = (long long)load_u64(hi + AT(NVFP4, qs) + 8 * g);
    __m256i v = _mm256_srlv_epi64(_mm256_setr_epi64x(a, a, b, b), _mm256_setr_epi64x(0, 4, 0, 4));
    return fp4_values(_mm256_and_si256(v, _mm256_set1_epi8(15)));
}

/* Half of an E4M3 number without sign; 127 is 0. */
AVX2_INLINE __m256 nvfp4_scales(const uint8_t *const w[8], size_t at)
{
    __m256i x = bytes_at(w, at), m = _mm256_and_si256(x, _mm256_set1_epi32(7));
    __m256i e = _mm256_and_si256(x, _mm256_set1_epi32(0x78)), em = _mm256_or_si256(e, m);
    __m256i normal = _mm256_add_epi32(_mm256_slli_epi32(em, 20), _mm256_set1_epi32(119 << 23));
    __m256 tiny = _mm256_mul_ps(_mm256_cvtepi32_ps(m), _mm256_set1_ps(0x1p-10f));
    __m256 d = _mm256_blendv_ps(_mm256_castsi256_ps(normal), tiny,
                                _mm256_castsi256_ps(_mm256_cmpeq_epi32(e, _mm256_setzero_si256())));
    return _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, _mm256_set1_epi32(127))), d);
}

static void nvfp4_fill(const uint8_t *const w[8], size_t at, uint8_t *panel)
{
    for (int g = 0; g < NVFP4_GROUPS; g++, panel += avx2_panel_bytes(nvfp4_shape)) {
        __m256i q[4];
        for (int p = 0; p < 4; p++) q[p] = nvfp4_codes(w[p] + at, w[p + 4] + at, g);
        avx2_transpose4(q, panel);
        avx2_store(panel + avx2_at_pairs(nvfp4_shape), _mm256_set1_epi32(-16 & 0xffff));
        _mm256_store_ps((float *)(void *)(panel + avx2_at_d(nvfp4_shape)), nvfp4_scales(w, at + (size_t)g));
    }
}

/* Eight rows times one column. */
AVX2_INLINE void nvfp4_rows(const simd_tile *t, int64_t r, int c)
{
    const uint8_t *w[8];
    int n = avx2_rows8(t, r, w);
    avx2_column x = avx2_column_at(t, c);
    __m256 acc = _mm256_setzero_ps();
    for (int64_t b = 0; b < t->k / 16; b++) {
        size_t at = (size_t)(b / NVFP4_GROUPS) * NVFP4_BYTES;
        int g = (int)(b % NVFP4_GROUPS);
        __m256i a = avx2_both16(x.q + 16 * b), s[4];
        for (int p = 0; p < 4; p++) s[p] = avx2_mul_u(nvfp4_codes(w[p] + at, w[p + 4] + at, g), a);
        __m256i sum = _mm256_sub_epi32(avx2_fold4_16(s[0], s[1], s[2], s[3], 5), _mm256_set1_epi32(16 * x.s16[b]));
        acc = avx2_accumulate(sum, nvfp4_scales(w, at + (size_t)g), _mm256_set1_ps(x.d[b / 2]), acc);
    }
    avx2_store_rows(x.y + r, acc, n);
}

static void nvfp4_tile(const simd_tile *t)
{
    if (t->cols > 2) {
        avx2_tile_panel(t, nvfp4_shape, 64, NVFP4_BYTES, nvfp4_fill);
        return;
    }
    for (int64_t r = 0; r < t->rows; r += 8)
        for (int c = 0; c < t->cols; c++) nvfp4_rows(t, r, c);
}

const simd_part simd_fp4_avx2 = {.t = {.tile = {[QUANT_MXFP4] = mxfp4_tile, [QUANT_NVFP4] = nvfp4_tile}}};
