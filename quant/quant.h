/* Weight formats: what a block of bytes stands for.
 *
 * Two views of a format. `decode` gives the float values of a row, as the reference decoder does, bit for
 * bit. `unpack` takes one block apart into the integers and the few floats that the numerical contract is
 * written in:
 *
 *   weight i of accumulated block b, in group g:
 *       d[b] * scale[g] * (q[i] - zero)                 and, where the format has minima,
 *       d[b] * scale[g] *  q[i]  +  m[b] * min[g]
 *
 *   dot product of a row with a column of int8 activations a (scale da a block of 32 or 256, see act.h):
 *       isum = sum over groups g of scale[g] * sum over i in g of (q[i] - zero) * a[i]      exact int32
 *       acc  = fma((float)isum, d[b] * da, acc)
 *       msum = sum over g of min[g] * sum over i in g of a[i]                               exact int32
 *       acc  = fma((float)msum, m[b] * da, acc)                                             minima only
 *   in the order of the blocks b, acc starting at +0. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include "../src/base/error.h"

typedef enum quant_id { /* dense numbers of our own; the file's numbers are quant_traits.ggml_id */
#define FORMAT(name, ...) QUANT_##name,
#include "formats.def"
#undef FORMAT
    QUANT_FORMATS
} quant_id;

typedef enum quant_act { QUANT_ACT_F32, QUANT_ACT_Q32, QUANT_ACT_Q256, QUANT_ACTS } quant_act;

enum { QUANT_MAX_BLOCK = 256 };

/* One block of a row taken apart. Arrays are filled as far as the format's block length asks. */
typedef struct quant_block {
    uint8_t q[QUANT_MAX_BLOCK];         /* codes, `zero` added */
    int16_t scale[QUANT_MAX_BLOCK / 16]; /* a group; 1 where the format has no integer sub-scales */
    int16_t min[QUANT_MAX_BLOCK / 16];   /* a group; formats with minima only */
    float d[QUANT_MAX_BLOCK / 16];       /* an accumulated block */
    float m[QUANT_MAX_BLOCK / 16];       /* an accumulated block; formats with minima only */
} quant_block;

typedef struct quant_traits {
    const char *name;
    uint32_t ggml_id;
    int block_len, block_bytes;
    quant_act act;
    int acc_len, group, zero;
    bool minima;
    /* n weights (whole blocks) at src to floats. */
    void (*decode)(const void *src, float *dst, size_t n);
    /* One block; NULL for F32, F16, BF16. */
    void (*unpack)(const void *src, quant_block *dst);
    /* n floats (whole blocks) to dst, as ggml's reference quantizer without importance matrix where that is
     * claimed in the format's file; NULL where there is no encoder (yet). */
    void (*encode)(const float *src, void *dst, size_t n);
} quant_traits;

extern const quant_traits quant_table[QUANT_FORMATS];

/* The format of a GGUF tensor type number; -1 where it is none of them. */
int quant_from_ggml(uint32_t ggml_type);
/* By name, case-insensitive ("q4_k", "Q4_K"); -1 where unknown. */
int quant_from_name(const char *name);

static inline size_t quant_row_bytes(quant_id f, size_t n)
{
    return n / (size_t)quant_table[f].block_len * (size_t)quant_table[f].block_bytes;
}

#endif
