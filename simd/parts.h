/* The parts that make up each tier: a file's table, a comma after each. */
#ifndef SIMD_PARTS_H
#define SIMD_PARTS_H

#include "simd.h"

extern const simd_part simd_tile_scalar, simd_float_scalar, simd_attn_scalar, simd_vmath_scalar;
#define SIMD_PARTS_SCALAR &simd_tile_scalar, &simd_float_scalar, &simd_attn_scalar, &simd_vmath_scalar,

extern const simd_part simd_vmath_avx2, simd_float_avx2, simd_attn_avx2, simd_attn_q_avx2, simd_tile_float_avx2, simd_q32_avx2,
    simd_k_avx2, simd_iq_avx2, simd_fp4_avx2, simd_ternary_avx2;
#define SIMD_PARTS_AVX2 \
    &simd_vmath_avx2, &simd_float_avx2, &simd_attn_avx2, &simd_attn_q_avx2, &simd_tile_float_avx2, &simd_q32_avx2, &simd_k_avx2, \
    &simd_iq_avx2, &simd_fp4_avx2, &simd_ternary_avx2,

extern const simd_part simd_vmath_avx512, simd_float_avx512, simd_attn_avx512, simd_attn_q_avx512, simd_tile_float_avx512,
    simd_tile_q_avx512, simd_tile_k_avx512, simd_tile_iq_avx512, simd_tile_iq1_avx512, simd_tile_iq3_avx512,
    simd_tile_ternary_avx512;
#define SIMD_PARTS_AVX512 \
    &simd_vmath_avx512, &simd_float_avx512, &simd_attn_avx512, &simd_attn_q_avx512, &simd_tile_float_avx512, &simd_tile_q_avx512, \
    &simd_tile_k_avx512, &simd_tile_iq_avx512, &simd_tile_iq1_avx512, &simd_tile_iq3_avx512, \
    &simd_tile_ternary_avx512,

#endif
