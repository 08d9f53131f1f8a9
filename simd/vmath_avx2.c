#include "vops_avx2.h"
#define V_PART simd_vmath_avx2
#include "vmath_part.inc"
