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
    float *vr;      /* token buffer: values where something is done to them */
    float *t;       /* token buffer: a block's result on its way to x */
    float *gate, *up;
} decoder;
void decoder_buffers(run *r, decoder *d);

/* A part of a fused matrix: rows [row, row + n). */
weight rows_of(const weight *w, int64_t row, int64_t n);

/* The norm of q and k (where the layer has tensors for it). */
typedef enum qk_norm {
    QK_NORM_NONE,
    QK_NORM_HEADS,       /* RMS norm of each head, before RoPE */
    QK_NORM_ROWS,        /* RMS norm of all heads as one vector, before RoPE */
    QK_NORM_LAYER,       /* layer norm of each head with weights of its own, before RoPE */
    QK_NORM_LAYER_ROWS,  /* layer norm of all heads as one vector, before RoPE */
    QK_NORM_AFTER,       /* RMS norm of each head, after RoPE */
    QK_NORM_PLAIN_AFTER  /* the same without weights, in layers with RoPE */
} qk_norm;

typedef struct attn_block {
    qk_norm qk_norm;
    bool v_norm;         /* RMS norm of each head's v, without weights */
    float scale;
    float softcap;
    float clamp;         /* q, k and v are limited to -clamp .. clamp; 0: not */
    bool temperature_without_rope; /* the positions' temperature in layers without RoPE only */
} attn_block;

/* d->attn = attention of layer il over d->h: projections (split or fused) with biases, norms, RoPE, cache, sinks;
 * d->y = output projection, of what a gate leaves where the layer has one (attn_gate). A layer that
 * shares another's cache has queries alone; one without attn_v takes k for v. */
void block_attention(run *r, decoder *d, uint32_t il, const attn_block *a);

/* d->y = down(act(gate h) * up h), over d->h; without a gate: down(act(up h)). */
void block_ffn(run *r, decoder *d, uint32_t il, glu act);

/* The dense product or the experts (and shared experts) of layer il over d->h; returns d->y or d->t. */
const float *block_feed_forward(run *r, decoder *d, uint32_t il, glu act);

/* x += residual_scale * norm(y), the norm where `w` is given. */
void block_residual(run *r, decoder *d, const float *y, const float *w);

/* How a decoder's layers are put together. Norms after a block (attn_post_norm, ffn_post_norm) are applied where a
 * layer has them. */
typedef struct decoder_spec {
    attn_block attn;
    glu act;
    /* Leaves a layer's mix of tokens over d->h in d->y; NULL: block_attention. */
    void (*mix)(run *r, decoder *d, uint32_t il, const attn_block *a);
    bool post_only; /* no norms before the blocks, only after them */
    bool parallel;  /* attention and feed-forward read the same x, the latter by a norm of its own where it has one */
} decoder_spec;

/* A whole forward pass: embedding, layers, logits. */
void decoder_forward(run *r, const decoder_spec *s);
void decoder_layer(run *r, decoder *d, uint32_t il, const decoder_spec *s);

enum { MOE_GATING_SOFTMAX, MOE_GATING_SIGMOID, MOE_GATING_SOFTMAX_CHOSEN };

/* y (a token buffer [n][n_embd], may be h) = the chosen experts' weighted sum over h, in the order of their ids.
 * Experts without a gate: down(act(up h)). Widths are those of the experts' matrices. */
void block_moe(run *r, uint32_t il, float *y, const float *h, glu act);
/* With the router over an input of its own. */
void block_moe_routed(run *r, uint32_t il, float *y, const float *h, const float *router_in, glu act);

#endif
