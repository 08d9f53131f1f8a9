/* What a tier can do at most: streams through memory, and arithmetic that never leaves the registers. The yardstick
 * of `tawny bandwidth` and `bench`; no result of a model comes from here. */
#ifndef SIMD_PROBE_H
#define SIMD_PROBE_H

#include "simd.h"

enum { PROBE_ALIGN = 1024 }; /* streams are whole multiples of it, aligned to 64 */

typedef struct simd_probe {
    /* Reads n bytes in address order, and gives a sum of them. ahead: how many bytes before its use a line is
     * prefetched (0: left to the hardware); once: it is asked for as data that is used once (prefetchnta). Prefetches
     * may name addresses beyond the end; they never fault. */
    uint64_t (*read)(const void *p, size_t n, size_t ahead, bool once);
    /* Stores bypass the caches, so that only the bytes that are counted move. */
    void (*copy)(void *to, const void *from, size_t n);
    void (*triad)(float *a, const float *b, const float *c, float s, size_t n); /* a = b + s c; n bytes each */
    /* Rounds of int8_ops and f32_ops operations, two a product; the result is a value that depends on them. */
    uint32_t (*int8)(uint64_t rounds);
    float (*f32)(uint64_t rounds);
    int int8_ops, f32_ops;
} simd_probe;

const simd_probe *simd_probe_of(simd_tier t);

extern const simd_probe simd_probe_scalar, simd_probe_avx2, simd_probe_avx512;

#endif
