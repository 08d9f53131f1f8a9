/* The cache's types: how a page of keys or values of one head lies in memory, and how a position is written into it.
 *
 * Elements of a page of SIMD_PAGE positions:
 *   F32, F16, BF16   K [dk][64], V [64][dv]
 *   Q8_0, Q4_0       K and V in blocks of 32 dimensions, each: codes of 64 positions, then their 64 scales (F16)
 *     Q8_0 K         [8][64][4] bytes 128 + q: four dimensions of a position together
 *     Q4_0 K         [4][64][4] bytes, 8 + q: dimension 4 i + j in the low half of byte [i][.][j], 16 + 4 i + j in the
 *                    high one
 *     Q8_0 V         [64][32] bytes q
 *     Q4_0 V         [64][16] bytes, 8 + q: dimension i in the low half, 16 + i in the high one
 * An element of the last two is q * d; d, the scale of 32 dimensions of a position, has F16's precision:
 *   Q8_0   d = amax / 127, q = x / d within -127 .. 127
 *   Q4_0   d = m / -8 for m the first of largest magnitude, q = x / d within -8 .. 7
 * with x / d as the product x * (1 / d) rounded to nearest even, and q = 0 where d is 0. A block that holds an
 * infinity or a NaN has q = 0 and d = NaN. */
#ifndef SIMD_KV_H
#define SIMD_KV_H

#include <stddef.h>
#include <stdint.h>

enum { SIMD_PAGE = 64, SIMD_KV_BLOCK = 32 };
typedef enum simd_kv { SIMD_KV_F32, SIMD_KV_F16, SIMD_KV_BF16, SIMD_KV_Q8_0, SIMD_KV_Q4_0, SIMD_KV_TYPES } simd_kv;

const char *simd_kv_name(simd_kv type);
/* The last two: their heads are whole blocks. */
static inline int simd_kv_quantized(simd_kv type) { return type >= SIMD_KV_Q8_0; }
/* Of a page of one head's keys, or values, of dim dimensions. */
size_t simd_kv_bytes(simd_kv type, size_t dim);
/* A block of 32 dimensions of a page in a quantized type; its scales lie at the end. */
static inline size_t simd_kv_block_codes(simd_kv type) { return type == SIMD_KV_Q8_0 ? 2048 : 1024; }
static inline size_t simd_kv_block_bytes(simd_kv type) { return simd_kv_block_codes(type) + SIMD_PAGE * 2; }

/* x[dim] becomes the page's position `slot`. */
void simd_kv_put_k(simd_kv type, void *page, int slot, const float *x, size_t dim);
void simd_kv_put_v(simd_kv type, void *page, int slot, const float *x, size_t dim);

/* Positions from `slot` on become zeros. */
void simd_kv_clear_k(simd_kv type, void *page, int slot, size_t dim);
void simd_kv_clear_v(simd_kv type, void *page, int slot, size_t dim);

/* A query as quantized keys are multiplied with: blocks of 32 rounded to integers of up to 32512 = 127 * 256,
 *   float   d[dk / 32]    amax / 32512; NaN for a block with an infinity or a NaN, 0 where amax < 2^-100: q is 0 then
 *   int32_t sum[dk / 32]  of q
 *   int16_t q[dk]         x * (32512 / amax), rounded to nearest even
 *   int8_t  hi[dk], lo[dk] q = 256 hi + lo */
static inline size_t simd_query_bytes(size_t dk) { return dk / SIMD_KV_BLOCK * 8 + 4 * dk; }
void simd_query_make(void *query, const float *x, size_t dk);

typedef struct simd_query {
    const float *d;
    const int32_t *sum;
    const int16_t *q;
    const int8_t *hi, *lo;
} simd_query;
static inline simd_query simd_query_at(const void *query, size_t dk)
{
    const uint8_t *p = (const uint8_t *)query, *q = p + dk / SIMD_KV_BLOCK * 8;
    const void *d = p, *sum = p + dk / SIMD_KV_BLOCK * 4, *words = q;
    return (simd_query){(const float *)d, (const int32_t *)sum, (const int16_t *)words, (const int8_t *)(q + 2 * dk),
                        (const int8_t *)(q + 3 * dk)};
}

#endif
