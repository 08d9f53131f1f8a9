/* Sixteen rows of weights at a time, a lane a row; for the AVX-512 kernels alone (everything here is static).
 *
 * The integer kernels read a 16-byte piece of each of sixteen rows and transpose it in registers: four vectors,
 * vector j holding bytes 4j .. 4j+3 of all sixteen rows. Codes made from these meet the activations, broadcast
 * four at a time, in vpdpbusd, and the sums need no folding: lane = row = output. */
#ifndef SIMD_AVX512_ROWS_H
#define SIMD_AVX512_ROWS_H

#include <immintrin.h>
#include <string.h>

#include "../src/base/num.h"
#include "simd.h"

#define INLINE static inline __attribute__((always_inline))

/* Row 4 * l + e starts at p[l] + e * stride: few enough registers to stay in them. */
typedef struct rows16 {
    const uint8_t *p[4];
    size_t stride;
} rows16;

INLINE rows16 rows_from(const uint8_t *w, size_t stride)
{
    return (rows16){{w, w + 4 * stride, w + 8 * stride, w + 12 * stride}, stride};
}

INLINE void rows_advance(rows16 *r, size_t bytes)
{
    for (int l = 0; l < 4; l++) r->p[l] += bytes;
}

/* 16 bytes of rows e, 4 + e, 8 + e and 12 + e. */
INLINE __m512i rows_load(const rows16 *r, size_t e, size_t off)
{
    size_t at = e * r->stride + off;
    __m256i a = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(r->p[0] + at)));
    __m256i b = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(r->p[2] + at)));
    a = _mm256_inserti128_si256(a, _mm_loadu_si128((const __m128i *)(const void *)(r->p[1] + at)), 1);
    b = _mm256_inserti128_si256(b, _mm_loadu_si128((const __m128i *)(const void *)(r->p[3] + at)), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* v[e] as rows_load gives them: out[j] has bytes 4j .. 4j+3 of every row, lane = row. */
INLINE void rows_transpose(const __m512i *v, __m512i *out)
{
    __m512i a = v[0], b = v[1], c = v[2], d = v[3];
    __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b);
    __m512i cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
    out[0] = _mm512_unpacklo_epi64(ab0, cd0);
    out[1] = _mm512_unpackhi_epi64(ab0, cd0);
    out[2] = _mm512_unpacklo_epi64(ab1, cd1);
    out[3] = _mm512_unpackhi_epi64(ab1, cd1);
}

/* The 16 bytes at off of every row. */
INLINE void rows_piece(const rows16 *r, size_t off, __m512i *out)
{
    __m512i v[4];
    for (size_t e = 0; e < 4; e++) v[e] = rows_load(r, e, off);
    rows_transpose(v, out);
}

/* The 14 bytes at off + 2, where they end a block, and two zeros. */
INLINE void rows_piece_14(const rows16 *r, size_t off, __m512i *out)
{
    __m512i v[4];
    for (size_t e = 0; e < 4; e++) v[e] = _mm512_bsrli_epi128(rows_load(r, e, off), 2);
    rows_transpose(v, out);
}

/* The 4 bytes at off of every row. */
INLINE __m512i rows_u32(const rows16 *r, size_t off)
{
    __m128i v[4];
    for (int l = 0; l < 4; l++) {
        v[l] = _mm_cvtsi32_si128((int)load_u32(r->p[l] + off));
        v[l] = _mm_insert_epi32(v[l], (int)load_u32(r->p[l] + r->stride + off), 1);
        v[l] = _mm_insert_epi32(v[l], (int)load_u32(r->p[l] + 2 * r->stride + off), 2);
        v[l] = _mm_insert_epi32(v[l], (int)load_u32(r->p[l] + 3 * r->stride + off), 3);
    }
    __m512i x = _mm512_inserti32x4(_mm512_castsi128_si512(v[0]), v[1], 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(x, v[2], 2), v[3], 3);
}

/* The 2 bytes at off of every row: put together in general registers, which have nothing else to do. */
INLINE __m256i rows_u16(const rows16 *r, size_t off)
{
    __m128i v[4];
    for (int l = 0; l < 4; l++) {
        const uint8_t *p = r->p[l] + off;
        uint64_t lo = load_u16(p) | (uint64_t)load_u16(p + r->stride) << 16;
        uint64_t hi = load_u16(p + 2 * r->stride) | (uint64_t)load_u16(p + 3 * r->stride) << 16;
        v[l] = _mm_cvtsi64_si128((long long)(lo | hi << 32));
    }
    __m128i lo = _mm_unpacklo_epi64(v[0], v[1]), hi = _mm_unpacklo_epi64(v[2], v[3]);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1);
}

/* The byte at off of every row. */
INLINE __m128i rows_u8(const rows16 *r, size_t off)
{
    uint64_t v[2];
    for (int i = 0; i < 2; i++) {
        uint32_t w[2];
        for (int l = 0; l < 2; l++) {
            const uint8_t *p = r->p[2 * i + l] + off;
            uint32_t lo = p[0] | (uint32_t)p[r->stride] << 8, hi = p[2 * r->stride] | (uint32_t)p[3 * r->stride] << 8;
            w[l] = lo | hi << 16;
        }
        v[i] = w[0] | (uint64_t)w[1] << 32;
    }
    return _mm_set_epi64x((long long)v[1], (long long)v[0]);
}

/* The low and the high halves of every lane, as f16. */
INLINE __m512 low_f16(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
INLINE __m512 high_f16(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16))); }

/* A number of an activation column in every lane. */
INLINE __m512i bcast_i32(const void *p)
{
    int v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

INLINE __m512 bcast_f32(const void *p)
{
    float v;
    memcpy(&v, p, 4);
    return _mm512_set1_ps(v);
}

/* In a register, here: GCC 12 otherwise puts what follows into an order that takes tiles up to 3% longer (Clang 19 does not). */
#ifdef __clang__
#define PIN(v) (void)(v)
#else
#define PIN(v) __asm__("" : "+v"(v))
#endif
INLINE __m512i pin_int(__m512i v)
{
    PIN(v);
    return v;
}

INLINE __m512 pin(__m512 v)
{
    PIN(v);
    return v;
}

INLINE int load_i16(const void *p)
{
    int16_t v;
    memcpy(&v, p, 2);
    return v;
}

/* ---- prefetching, for kernels that read each byte once ----
 * Sixteen streams are more than the hardware follows from memory, but from L2 they are no slower than one: while
 * sixteen rows are computed, the next sixteen are fetched into L2 in the order of their addresses. */
enum {
    ROWS_SOON = 256 * 1024, /* the most bytes to be fetched so */
    FETCH_LINES = 9,        /* better not more at once: what is in flight from memory keeps what is wanted from L2 waiting */
};

INLINE void fetch_soon(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

/* A part of that. */
INLINE void fetch_part(const uint8_t *p, size_t bytes, int part, int parts)
{
    int lines = (int)((bytes + 63) / 64);
    for (int i = lines * part / parts; i < lines * (part + 1) / parts; i++)
        _mm_prefetch((const char *)p + 64 * (size_t)i, _MM_HINT_T1);
}

/* The first sixteen of a tile's rows, and what is fetched while they are computed. */
INLINE void fetch_first(const simd_tile *t)
{
    if (t->rows >= 16 && 16 * t->row_bytes <= ROWS_SOON) fetch_soon(t->w, 16 * t->row_bytes);
}

/* As many bytes as sixteen rows have, from after those from row r on; after the last rows, of what the caller reads next.
 * NULL where there are none, or too many. */
INLINE const uint8_t *soon_after(const simd_tile *t, int64_t r)
{
    size_t bytes = 16 * t->row_bytes;
    if (bytes > ROWS_SOON) return NULL;
    if (t->rows - r >= 32) return t->w + (size_t)(r + 16) * t->row_bytes;
    return t->rows - r <= 16 && t->ahead_bytes >= bytes ? t->ahead : NULL;
}

/* Columns of activations, and of outputs. */
INLINE const uint8_t *column_of(const simd_tile *t, int c)
{
    return t->x->data + (size_t)(t->x_index ? t->x_index[c] : c) * t->x->stride;
}

INLINE float *output_of(const simd_tile *t, int c)
{
    return t->y + (size_t)(t->y_index ? t->y_index[c] : c) * t->ldy;
}

/* Sixteen rows to be computed: where they lie and which lanes are outputs still to be written.
 * The last group of a tile steps back to have sixteen rows; a tile of fewer is copied first. */
typedef struct group16 {
    rows16 r;
    int64_t row; /* output row of lane 0 */
    __mmask16 keep;
} group16;

/* The group whose first new row is `row`, at the byte `off` of its rows, of which `bytes` will be read.
 * `copy` has 16 * bytes, used where the tile has fewer than sixteen rows. */
INLINE group16 group_at(const simd_tile *t, int64_t row, size_t off, size_t bytes, uint8_t *copy)
{
    const uint8_t *w = t->w + off;
    if (t->rows - row >= 16) return (group16){rows_from(w + (size_t)row * t->row_bytes, t->row_bytes), row, 0xffff};
    if (t->rows >= 16) {
        int64_t first = t->rows - 16;
        __mmask16 keep = (__mmask16)(0xffffu << (row - first));
        return (group16){rows_from(w + (size_t)first * t->row_bytes, t->row_bytes), first, keep};
    }
    for (int64_t i = 0; i < 16; i++)
        memcpy(copy + (size_t)i * bytes, w + (size_t)(i < t->rows ? i : 0) * t->row_bytes, bytes);
    return (group16){rows_from(copy, bytes), 0, (__mmask16)((1u << t->rows) - 1)};
}

#endif
