/* The cache's types: sizes, and writing. Exact or rounded once, the same on every tier. */
#include "kv.h"

#include <string.h>

#include "../src/base/num.h"
#include "simd.h"

enum { BLOCK = SIMD_KV_BLOCK };

const char *simd_kv_name(simd_kv type)
{
    static const char *const names[SIMD_KV_TYPES] = {"f32", "f16", "bf16", "q8_0", "q4_0"};
    return names[type];
}

size_t simd_kv_bytes(simd_kv type, size_t dim)
{
    if (simd_kv_quantized(type)) return dim / BLOCK * simd_kv_block_bytes(type);
    return dim * SIMD_PAGE * (type == SIMD_KV_F32 ? 4 : 2);
}

/* To the nearest integer, ties to even; |x| < 2^22. */
static inline int32_t nearest(float x) { return (int32_t)((x + 0x1.8p23f) - 0x1.8p23f); }

/* The largest magnitude's bits, which order as magnitudes do: finite < infinity < NaN. */
static uint32_t top_bits(const float *x)
{
    uint32_t top = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t a = f32_bits(x[i]) & 0x7fffffff;
        top = a > top ? a : top;
    }
    return top;
}

/* 32 elements to q; the scale. */
static uint16_t quantize(simd_kv type, const float *x, int8_t q[BLOCK])
{
    uint32_t top = top_bits(x);
    int low = type == SIMD_KV_Q8_0 ? -127 : -8, high = type == SIMD_KV_Q8_0 ? 127 : 7;
    memset(q, 0, BLOCK);
    if (top >= 0x7f800000) return 0x7e00;
    float d = f32_from_bits(top) / 127;
    if (type == SIMD_KV_Q4_0) {
        int i = 0;
        while ((f32_bits(x[i]) & 0x7fffffff) != top) i++;
        d = x[i] / -8;
    }
    uint16_t half = f32_to_f16(d);
    if (!(half & 0x7fff)) return half;
    if ((half & 0x7fff) >= 0x7c00) return half; /* beyond F16: an infinity times 0, NaN */
    float inv = 1 / f16_to_f32(half);
    for (int i = 0; i < BLOCK; i++) {
        float y = x[i] * inv;
        y = y < (float)low ? (float)low : y > (float)high ? (float)high : y;
        q[i] = (int8_t)nearest(y);
    }
    return half;
}

static uint8_t *block_at(simd_kv type, void *page, size_t b) { return (uint8_t *)page + b * simd_kv_block_bytes(type); }

static void put_scale(simd_kv type, uint8_t *block, int slot, uint16_t d)
{
    memcpy(block + simd_kv_block_codes(type) + 2 * slot, &d, sizeof d);
}

static void put_k_block(simd_kv type, uint8_t *block, int slot, const float *x)
{
    int8_t q[BLOCK];
    put_scale(type, block, slot, quantize(type, x, q));
    for (int i = 0; i < BLOCK / 4; i++)
        for (int j = 0; j < 4; j++) {
            uint8_t *at = block + (i % (type == SIMD_KV_Q8_0 ? 8 : 4) * SIMD_PAGE + slot) * 4 + j;
            int v = q[4 * i + j];
            if (type == SIMD_KV_Q8_0) *at = (uint8_t)(v + 128);
            else if (i < 4) *at = (uint8_t)(v + 8);
            else *at = (uint8_t)(*at | (v + 8) << 4);
        }
}

static void put_v_block(simd_kv type, uint8_t *block, int slot, const float *x)
{
    int8_t q[BLOCK];
    put_scale(type, block, slot, quantize(type, x, q));
    if (type == SIMD_KV_Q8_0)
        memcpy(block + slot * BLOCK, q, BLOCK);
    else
        for (int i = 0; i < BLOCK / 2; i++) block[slot * BLOCK / 2 + i] = (uint8_t)((q[i] + 8) | (q[16 + i] + 8) << 4);
}

static void to_half(simd_kv type, uint16_t *y, const float *x, size_t n)
{
    if (type == SIMD_KV_F16) simd.f32_to_f16(y, x, n);
    else
        for (size_t i = 0; i < n; i++) y[i] = f32_to_bf16(x[i]);
}

void simd_kv_put_k(simd_kv type, void *page, int slot, const float *x, size_t dim)
{
    if (simd_kv_quantized(type)) {
        for (size_t b = 0; b < dim / BLOCK; b++) put_k_block(type, block_at(type, page, b), slot, x + b * BLOCK);
        return;
    }
    float *wide = (float *)page + slot;
    uint16_t half[SIMD_MAX_HEAD], *narrow = (uint16_t *)page + slot;
    if (type == SIMD_KV_F32) {
        for (size_t d = 0; d < dim; d++) wide[d * SIMD_PAGE] = x[d];
        return;
    }
    to_half(type, half, x, dim);
    for (size_t d = 0; d < dim; d++) narrow[d * SIMD_PAGE] = half[d];
}

void simd_kv_put_v(simd_kv type, void *page, int slot, const float *x, size_t dim)
{
    if (simd_kv_quantized(type)) {
        for (size_t b = 0; b < dim / BLOCK; b++) put_v_block(type, block_at(type, page, b), slot, x + b * BLOCK);
        return;
    }
    size_t at = (size_t)slot * dim;
    if (type == SIMD_KV_F32) memcpy((float *)page + at, x, dim * sizeof *x);
    else to_half(type, (uint16_t *)page + at, x, dim);
}

void simd_query_make(void *query, const float *x, size_t dk)
{
    enum { TOP = 127 * 256 };
    uint8_t *p = query;
    void *pd = p, *psum = p + dk / BLOCK * 4, *pq = p + dk / BLOCK * 8;
    float *d = pd;
    int32_t *sum = psum;
    int16_t *q = pq;
    int8_t *hi = (int8_t *)pq + 2 * dk, *lo = hi + dk;
    for (size_t b = 0; b < dk / BLOCK; b++, x += BLOCK, q += BLOCK) {
        uint32_t top = top_bits(x);
        float amax = f32_from_bits(top);
        bool zero = amax < 0x1p-100f, bad = top >= 0x7f800000;
        float inv = zero || bad ? 0 : TOP / amax;
        d[b] = bad ? f32_from_bits(0x7fc00000) : zero ? 0 : amax / TOP;
        sum[b] = 0;
        for (int i = 0; i < BLOCK; i++) {
            int32_t v = bad ? 0 : nearest(x[i] * inv);
            q[i] = (int16_t)v;
            sum[b] += v;
        }
    }
    q -= dk;
    for (size_t i = 0; i < dk; i++) {
        hi[i] = (int8_t)((q[i] + 128) >> 8);
        lo[i] = (int8_t)(q[i] - 256 * hi[i]);
    }
}

/* rows of [SIMD_PAGE] elements of so many bytes, from position `slot` on. */
static void clear_rows(uint8_t *p, size_t rows, int slot, size_t bytes)
{
    for (size_t i = 0; i < rows; i++) memset(p + (i * SIMD_PAGE + (size_t)slot) * bytes, 0, ((size_t)SIMD_PAGE - (size_t)slot) * bytes);
}

static void clear_blocks(simd_kv type, uint8_t *page, int slot, size_t dim, size_t rows)
{
    size_t codes = simd_kv_block_codes(type);
    for (size_t b = 0; b < dim / BLOCK; b++, page += simd_kv_block_bytes(type)) {
        clear_rows(page, rows, slot, codes / SIMD_PAGE / rows);
        clear_rows(page + codes, 1, slot, 2);
    }
}

static size_t element(simd_kv type) { return type == SIMD_KV_F32 ? 4 : 2; }

void simd_kv_clear_k(simd_kv type, void *page, int slot, size_t dim)
{
    if (simd_kv_quantized(type)) clear_blocks(type, page, slot, dim, type == SIMD_KV_Q8_0 ? 8 : 4);
    else clear_rows(page, dim, slot, element(type));
}

void simd_kv_clear_v(simd_kv type, void *page, int slot, size_t dim)
{
    if (simd_kv_quantized(type)) clear_blocks(type, page, slot, dim, 1);
    else clear_rows(page, 1, slot, dim * element(type));
}
