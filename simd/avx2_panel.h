/* The micro-kernel of many columns: one for all integer formats.
 *
 * A panel is sixteen rows of a stretch of k, unpacked. A lane is a row: the codes of four neighbouring weights of
 * eight rows make a vector, the four activations they meet are broadcast, and the int32 sums need no fold.
 * A panel's block (acc_len weights) is made of vectors of 32 bytes, rows 0-7 and rows 8-15 in turn:
 *   acc_len / 4      codes (bytes), four a row
 *   acc_len / group  sub-scales (int16), each twice, where the format has them
 *   groups / 2       int16 pairs for the sums of activations, where there are minima or a bias: the minima, or
 *                    what the products of unsigned codes have too much (-zero * scale)
 *   1                d (float), and m where there are minima */
#ifndef SIMD_AVX2_PANEL_H
#define SIMD_AVX2_PANEL_H

#include "avx2_tile.h"

typedef struct avx2_shape {
    int acc_len, act_len; /* weights summed exactly; activations that share a scale */
    int group;            /* weights that share a sub-scale: 16, 32, acc_len where there are none */
    int run;              /* int16 sums of two products that may be added up: codes up to 129 / run */
    bool sign;            /* codes are int8, otherwise uint8 */
    bool scaled, bias, minima;
} avx2_shape;

enum { AVX2_PANEL = 64 * 1024, AVX2_COLS = 4 };

AVX2_INLINE int avx2_pairs(avx2_shape f) { return f.acc_len / f.group < 2 ? 1 : f.acc_len / f.group / 2; }
AVX2_INLINE int avx2_at_scale(avx2_shape f) { return f.acc_len / 4 * 64; }
AVX2_INLINE int avx2_at_pairs(avx2_shape f) { return avx2_at_scale(f) + (f.scaled ? f.acc_len / f.group * 64 : 0); }
AVX2_INLINE int avx2_at_d(avx2_shape f) { return avx2_at_pairs(f) + (f.bias || f.minima ? avx2_pairs(f) * 64 : 0); }
AVX2_INLINE int avx2_panel_bytes(avx2_shape f) { return avx2_at_d(f) + (f.minima ? 128 : 64); }

AVX2_INLINE __m256i avx2_part(const uint8_t *p, int i, int half)
{
    return _mm256_load_si256((const __m256i *)(const void *)(p + 64 * i + 32 * half));
}

/* The sums of activations that a pair of groups meets, as int16 pairs (the second meets a 0 where there is one). */
AVX2_INLINE __m256i avx2_sums(avx2_shape f, const avx2_column *x, int64_t at, int pair)
{
    if (f.acc_len == f.group) return _mm256_set1_epi16(f.group == 32 ? x->s32[at / 32] : x->s16[at / 16]);
    return avx2_quad((f.group == 32 ? x->s32 + at / 32 : x->s16 + at / 16) + 2 * pair);
}

/* Adds the products of `run` vectors of codes from p on, as int16. The order is forced: compilers would multiply
 * all first and run out of registers. */
AVX2_INLINE void avx2_panel_run(avx2_shape f, int run, const uint8_t *p, const avx2_column x[AVX2_COLS], int64_t at,
                                __m256i part[AVX2_COLS][2])
{
    for (int c = 0; c < AVX2_COLS; c++) part[c][0] = part[c][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < run; i++) {
        __m256i w[2] = {avx2_keep_int(avx2_part(p, i, 0)), avx2_keep_int(avx2_part(p, i, 1))};
        for (int c = 0; c < AVX2_COLS; c++) {
            __m256i a = avx2_quad(x[c].q + at + 4 * i);
            for (int h = 0; h < 2; h++) {
                __m256i m = f.sign ? avx2_mul_s(w[h], a) : avx2_mul_u(w[h], a);
                part[c][h] = avx2_keep_int(i ? _mm256_add_epi16(part[c][h], m) : m);
            }
        }
    }
}

/* The same for codes so large that nothing may be added up as int16: straight to the int32 sums, which then stay in
 * registers. s: sub-scales, or ones. */
AVX2_INLINE void avx2_panel_one(avx2_shape f, const uint8_t *p, const avx2_column x[AVX2_COLS], int64_t at, const __m256i s[2],
                                __m256i sum[AVX2_COLS][2])
{
    __m256i w[2] = {avx2_keep_int(avx2_part(p, 0, 0)), avx2_keep_int(avx2_part(p, 0, 1))};
    for (int c = 0; c < AVX2_COLS; c++) {
        __m256i a = avx2_quad(x[c].q + at);
        for (int h = 0; h < 2; h++) {
            __m256i m = f.sign ? avx2_mul_s(w[h], a) : avx2_mul_u(w[h], a);
            sum[c][h] = avx2_keep_int(_mm256_add_epi32(sum[c][h], _mm256_madd_epi16(m, s[h])));
        }
    }
}

/* One block of a panel times four columns. acc: [column][half]. */
AVX2_INLINE void avx2_panel_block(avx2_shape f, const uint8_t *p, const avx2_column x[AVX2_COLS], int64_t at,
                                  __m256 acc[AVX2_COLS][2])
{
    __m256i sum[AVX2_COLS][2], part[AVX2_COLS][2];
    int run = f.run * 4 > f.group ? f.group / 4 : f.run;
    for (int c = 0; c < AVX2_COLS; c++) sum[c][0] = sum[c][1] = _mm256_setzero_si256();
    for (int k = 0; k < f.acc_len / 4; k += run) {
        if (run == 1) {
            __m256i s[2];
            for (int h = 0; h < 2; h++)
                s[h] = f.scaled ? avx2_part(p + avx2_at_scale(f), 4 * k / f.group, h) : _mm256_set1_epi16(1);
            avx2_panel_one(f, p + 64 * k, x, at + 4 * k, s, sum);
            continue;
        }
        avx2_panel_run(f, run, p + 64 * k, x, at + 4 * k, part);
        for (int h = 0; h < 2; h++) {
            __m256i s = f.scaled ? avx2_part(p + avx2_at_scale(f), 4 * k / f.group, h) : _mm256_set1_epi16(1);
            for (int c = 0; c < AVX2_COLS; c++)
                sum[c][h] = avx2_keep_int(_mm256_add_epi32(sum[c][h], _mm256_madd_epi16(part[c][h], s)));
        }
    }
    for (int c = 0; c < AVX2_COLS; c++) {
        __m256 da = _mm256_set1_ps(x[c].d[at / f.act_len]);
        for (int h = 0; h < 2; h++) {
            const float *d = (const float *)(const void *)(p + avx2_at_d(f) + 32 * h);
            __m256i more = _mm256_setzero_si256();
            for (int g = 0; (f.bias || f.minima) && g < avx2_pairs(f); g++) {
                __m256i pair = avx2_part(p + avx2_at_pairs(f), g, h);
                more = _mm256_add_epi32(more, _mm256_madd_epi16(pair, avx2_sums(f, &x[c], at, g)));
            }
            if (f.bias) sum[c][h] = _mm256_add_epi32(sum[c][h], more);
            acc[c][h] = avx2_accumulate(sum[c][h], _mm256_load_ps(d), da, acc[c][h]);
            if (f.minima) acc[c][h] = avx2_accumulate(more, _mm256_load_ps(d + 16), da, acc[c][h]);
        }
    }
}

/* Columns [c, c + 4) of a panel of n rows (up to 16) at row r; k weights from `at` on. */
AVX2_INLINE void avx2_panel_cols(avx2_shape f, const simd_tile *t, const uint8_t *panel, int64_t r, int c, int64_t at,
                                 int64_t k)
{
    avx2_column x[AVX2_COLS];
    __m256 acc[AVX2_COLS][2];
    float tail[AVX2_COLS][16];
    int n = t->rows - r < 16 ? (int)(t->rows - r) : 16, cols = t->cols - c < AVX2_COLS ? t->cols - c : AVX2_COLS;
    for (int i = 0; i < AVX2_COLS; i++) {
        x[i] = avx2_column_at(t, i < cols ? c + i : c);
        const float *y = x[i].y + r;
        if (n < 16 && at) {
            memset(tail[i], 0, sizeof tail[i]);
            memcpy(tail[i], y, (size_t)n * sizeof *y);
            y = tail[i];
        }
        for (int h = 0; h < 2; h++) acc[i][h] = at ? _mm256_loadu_ps(y + 8 * h) : _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < k; b += f.acc_len, panel += avx2_panel_bytes(f))
        avx2_panel_block(f, panel, x, at + b, acc);
    for (int i = 0; i < cols; i++) {
        float *y = n < 16 ? tail[i] : x[i].y + r;
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(y + 8 * h, acc[i][h]);
        if (n < 16) memcpy(x[i].y + r, y, (size_t)n * sizeof *y);
    }
}

/* Unpacks one block of the file's format of eight rows to their half of a panel. */
typedef void (*avx2_fill)(const uint8_t *const w[8], size_t at, uint8_t *panel);

AVX2_INLINE void avx2_tile_panel(const simd_tile *t, avx2_shape f, int block_len, int block_bytes, avx2_fill fill)
{
    uint8_t *panel = t->scratch;
    size_t block = (size_t)(block_len / f.acc_len * avx2_panel_bytes(f));
    int64_t chunk = AVX2_PANEL / (int64_t)block * block_len;
    chunk = chunk < 256 ? 256 : chunk / 256 * 256;
    for (int64_t at = 0; at < t->k || at == 0; at += chunk) {
        int64_t k = t->k - at < chunk ? t->k - at : chunk;
        for (int64_t r = 0; r < t->rows; r += 16) {
            for (int h = 0; h < 2; h++) {
                const uint8_t *w[8];
                avx2_rows8(t, r + 8 * h < t->rows ? r + 8 * h : r, w);
                for (int64_t b = 0; b < k / block_len; b++)
                    fill(w, (size_t)((at / block_len + b) * block_bytes), panel + (size_t)b * block + 32 * h);
            }
            for (int c = 0; c < t->cols; c += AVX2_COLS) avx2_panel_cols(f, t, panel, r, c, at, k);
        }
    }
}

/* Eight rows of 16 codes (row p and row p + 4 in the halves of q[p]) to four vectors of four codes a row. */
AVX2_INLINE void avx2_transpose4(const __m256i q[4], uint8_t *panel)
{
    __m256i a = _mm256_unpacklo_epi32(q[0], q[1]), b = _mm256_unpackhi_epi32(q[0], q[1]);
    __m256i c = _mm256_unpacklo_epi32(q[2], q[3]), d = _mm256_unpackhi_epi32(q[2], q[3]);
    avx2_store(panel, _mm256_unpacklo_epi64(a, c));
    avx2_store(panel + 64, _mm256_unpackhi_epi64(a, c));
    avx2_store(panel + 128, _mm256_unpacklo_epi64(b, d));
    avx2_store(panel + 192, _mm256_unpackhi_epi64(b, d));
}

/* Eight rows of 32 codes, the first sixteen in q[p][0], the last in q[p][1]. */
AVX2_INLINE void avx2_transpose_pairs(const __m256i q[4][2], uint8_t *panel)
{
    for (int i = 0; i < 2; i++) {
        __m256i half[4] = {q[0][i], q[1][i], q[2][i], q[3][i]};
        avx2_transpose4(half, panel + 256 * i);
    }
}

/* The same from eight vectors of 32 codes, a row each. */
AVX2_INLINE void avx2_transpose_rows(const __m256i v[8], uint8_t *panel)
{
    __m256i q[4][2];
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 2; i++)
            q[p][i] = i ? _mm256_permute2x128_si256(v[p], v[p + 4], 0x31)
                        : _mm256_permute2x128_si256(v[p], v[p + 4], 0x20);
    avx2_transpose_pairs((const __m256i(*)[2])q, panel);
}

#endif
