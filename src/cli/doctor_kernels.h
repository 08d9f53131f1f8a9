/* Doctor's examination of the kernels in use. */
#ifndef CLI_DOCTOR_KERNELS_H
#define CLI_DOCTOR_KERNELS_H

#include "../../simd/simd.h"

/* Computes a small tile of each format by the kernels that TAWNY_CPU or this CPU choose and by the scalar
 * specification, which must agree to the last bit; wrong[f] where they do not. A few milliseconds. */
tawny_status doctor_kernels(bool wrong[QUANT_FORMATS], tawny_error *err);

#endif
