/* Blocks that several architectures share, with explicit parameters. */
#ifndef MODELS_BLOCKS_H
#define MODELS_BLOCKS_H

#include "run.h"

/* Buffers of a decoder layer, taken once a forward pass for the widest layer. */
typedef struct decoder {
    float *x;       /* token buffer: the residual stream */
    float *h;       /* token buffer: normed input of a block */
    float *q, *k, *v, *attn, *y; /* row buffers */
    float *qr, *kr; /* token buffers: queries and keys after norm and RoPE */
    float *gate, *up;
} decoder;
void decoder_buffers(run *r, decoder *d);

typedef struct attn_block {
    bool qk_norm;        /* RMS norm of each head's q and k, before RoPE */
    float scale;
    float softcap;
    const float *sinks, *slopes;
} attn_block;

/* d->attn = attention of layer il over d->h: projections (split or fused) with biases, norms, RoPE, cache;
 * d->y = output projection. */
void block_attention(run *r, decoder *d, uint32_t il, const attn_block *a);

/* d->y = down(act(gate h) * up h), over d->h. */
void block_ffn(run *r, decoder *d, uint32_t il, glu act);

enum { MOE_GATING_SOFTMAX, MOE_GATING_SIGMOID, MOE_GATING_SOFTMAX_CHOSEN };

/* y (a token buffer [n][n_embd], may be h) = the chosen experts' weighted sum over d->h, in the order of their ids. */
void block_moe(run *r, uint32_t il, float *y, const float *h, glu act);

#endif
