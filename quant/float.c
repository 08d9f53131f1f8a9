/* F32, F16, BF16. */
#include "parts.h"

void quant_decode_F32(const void *src, float *dst, size_t n) { memcpy(dst, src, n * sizeof *dst); }
void quant_encode_F32(const float *src, void *dst, size_t n) { memcpy(dst, src, n * sizeof *src); }

void quant_decode_F16(const void *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = f16_to_f32(load_u16((const uint8_t *)src + 2 * i));
}

void quant_encode_F16(const float *src, void *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) memcpy((uint8_t *)dst + 2 * i, &(uint16_t){f32_to_f16(src[i])}, 2);
}

void quant_decode_BF16(const void *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = bf16_to_f32(load_u16((const uint8_t *)src + 2 * i));
}

void quant_encode_BF16(const float *src, void *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) memcpy((uint8_t *)dst + 2 * i, &(uint16_t){f32_to_bf16(src[i])}, 2);
}
