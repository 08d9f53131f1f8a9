/* Inside quant/: the functions of each format, in the file of its family. */
#ifndef QUANT_PARTS_H
#define QUANT_PARTS_H

#include "../src/base/num.h"
#include "blocks.h"
#include "quant.h"

#define FORMAT(name, ...)                                          \
    void quant_decode_##name(const void *src, float *dst, size_t n); \
    void quant_unpack_##name(const void *src, quant_block *dst);     \
    void quant_encode_##name(const float *src, void *dst, size_t n);
#include "formats.def"
#undef FORMAT

/* What the codes of these formats stand for: E2M1 times two, and the sixteen levels of IQ4. */
extern const int8_t quant_fp4_values[16], quant_iq4_values[16];

#endif
