#include "vops_scalar.h"
#define V_PART simd_vmath_scalar
#include "vmath_part.inc"
