/* Latent attention (MLA; DeepSeek-V2, arXiv 2405.04434): the keys and values of all heads come from one narrow row a
 * token, beside which a part of the keys that carries positions is the same for all heads. */
#ifndef MODELS_MLA_H
#define MODELS_MLA_H

#include "blocks.h"

/* Reads the sizes and sets the heads of all layers with attention. With attention.key_length_mla and value_length_mla
 * the cache holds the latent rows as one KV head (latent form); without them, or where the file has attn_kv_b alone, it
 * holds each head's own keys and values. */
tawny_status load_mla(model *m, tawny_error *err);

/* Binds the block's tensors in layers with attention, after the metadata is read: attn_kv_a_mqa, attn_kv_a_norm,
 * attn_k_b and attn_v_b or attn_kv_b, attn_output, and attn_q or, with hp.mla.q_lora, attn_q_a, attn_q_a_norm and
 * attn_q_b. */
tawny_status bind_mla(model *m, tawny_error *err);

/* d->y = latent attention of layer il over d->h; of `a` the scale. */
void block_mla(run *r, decoder *d, uint32_t il, const attn_block *a);

#endif
