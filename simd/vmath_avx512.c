#include "vops_avx512.h"
#define V_PART simd_vmath_avx512
#include "vmath_part.inc"
