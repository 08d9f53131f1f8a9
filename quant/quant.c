/* The registry of weight formats, and decoding by the rule. */
#include "parts.h"

#include <strings.h>

/* The values of a row by the rule in quant.h: one rounding a product, one a sum, as the reference decoders. */
static void decode_blocks(const quant_traits *f, const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (; n >= (size_t)f->block_len; n -= (size_t)f->block_len, p += f->block_bytes, dst += f->block_len) {
        quant_block b;
        f->unpack(p, &b);
        for (int at = 0, g = 0; at < f->block_len; at += f->group, g++) {
            float s = b.d[at / f->acc_len] * (float)b.scale[g];
            for (int i = at; i < at + f->group; i++) dst[i] = s * (float)(b.q[i] - f->zero);
            if (!f->minima) continue;
            float m = b.m[at / f->acc_len] * (float)b.min[g];
            for (int i = at; i < at + f->group; i++) dst[i] += m;
        }
    }
}

#define DECODE_F32(name)
#define DECODE_Q32(name)                                            \
    void quant_decode_##name(const void *src, float *dst, size_t n) \
    {                                                               \
        decode_blocks(&quant_table[QUANT_##name], src, dst, n);     \
    }
#define DECODE_Q256(name) DECODE_Q32(name)
#define FORMAT(name, id, len, bytes, act, ...) DECODE_##act(name)
#include "formats.def"
#undef FORMAT

#define UNPACK_F32(name) NULL
#define UNPACK_Q32(name) quant_unpack_##name
#define UNPACK_Q256(name) quant_unpack_##name
#define ENCODE_0(name) NULL
#define ENCODE_1(name) quant_encode_##name
#define FORMAT(name, id, len, bytes, act, acc, group, zero, minima, encoder)                                   \
    [QUANT_##name] = {#name, id, len, bytes, QUANT_ACT_##act, acc, group, zero, minima, quant_decode_##name,  \
                      UNPACK_##act(name), ENCODE_##encoder(name)},
const quant_traits quant_table[QUANT_FORMATS] = {
#include "formats.def"
};
#undef FORMAT

/* formats.def, the block structs and the arrays of quant_block agree. */
#define FITS_F32(name, len, bytes, acc, group) _Static_assert(len == 1 && acc == 1 && group == 1, #name);
#define FITS_Q32(name, len, bytes, acc, group)                                                            \
    _Static_assert(sizeof(struct quant_##name) == bytes && len <= QUANT_MAX_BLOCK && len % acc == 0 &&    \
                       acc % group == 0 && group % 16 == 0, #name);
#define FITS_Q256(name, len, bytes, acc, group) FITS_Q32(name, len, bytes, acc, group)
#define FORMAT(name, id, len, bytes, act, acc, group, ...) FITS_##act(name, len, bytes, acc, group)
#include "formats.def"
#undef FORMAT

int quant_from_ggml(uint32_t ggml_type)
{
    for (int i = 0; i < QUANT_FORMATS; i++)
        if (quant_table[i].ggml_id == ggml_type) return i;
    return -1;
}

int quant_from_name(const char *name)
{
    for (int i = 0; i < QUANT_FORMATS; i++)
        if (strcasecmp(quant_table[i].name, name) == 0) return i;
    return -1;
}
