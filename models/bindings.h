/* Groups of tensors that many architectures have, for their tables. Fused and split forms are both taken. */
#ifndef MODELS_BINDINGS_H
#define MODELS_BINDINGS_H

#include "model.h"

/* Embedding, final norm, output matrix (missing: the embedding serves). */
#define BIND_ENDS                                                   \
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB), \
    BIND_GW(output, "output.weight", BIND_OPTIONAL, DIM_EMBD, DIM_VOCAB), \
    BIND_GV(output_norm, "output_norm.weight", 0, DIM_EMBD)

/* The same where the output matrix must be there. */
#define BIND_ENDS_UNTIED                                            \
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB), \
    BIND_GW(output, "output.weight", 0, DIM_EMBD, DIM_VOCAB),       \
    BIND_GV(output_norm, "output_norm.weight", 0, DIM_EMBD)

/* Factors of the frequencies: for all contexts, or for long and short ones. */
#define BIND_ROPE_FACTORS                                                                   \
    BIND_GV(rope_freqs[0], "rope_freqs.weight", BIND_OPTIONAL, DIM_ROT_HALF),               \
    BIND_GV(rope_freqs[1], "rope_factors_long.weight", BIND_OPTIONAL, DIM_ROT_HALF),        \
    BIND_GV(rope_freqs[2], "rope_factors_short.weight", BIND_OPTIONAL, DIM_ROT_HALF)

#define BIND_QKV                                                                            \
    BIND_W(wqkv, "attn_qkv.weight", BIND_OPTIONAL, DIM_EMBD, DIM_QKV),                      \
    BIND_V(bqkv, "attn_qkv.bias", BIND_OPTIONAL, DIM_QKV),                                  \
    BIND_W(wq, "attn_q.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_Q),                           \
    BIND_W(wk, "attn_k.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_K),                           \
    BIND_W(wv, "attn_v.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_V),                           \
    BIND_V(bq, "attn_q.bias", BIND_OPTIONAL, DIM_Q),                                        \
    BIND_V(bk, "attn_k.bias", BIND_OPTIONAL, DIM_K),                                        \
    BIND_V(bv, "attn_v.bias", BIND_OPTIONAL, DIM_V)

#define BIND_QKV_PLAIN                                                                      \
    BIND_W(wqkv, "attn_qkv.weight", BIND_OPTIONAL, DIM_EMBD, DIM_QKV),                      \
    BIND_W(wq, "attn_q.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_Q),                           \
    BIND_W(wk, "attn_k.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_K),                           \
    BIND_W(wv, "attn_v.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_V)

#define BIND_ATTN                                                                           \
    BIND_QKV,                                                                               \
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),                                   \
    BIND_V(bo, "attn_output.bias", BIND_OPTIONAL, DIM_EMBD)

/* BIND_ATTN for architectures with attention in some layers. */
#define BIND_HYBRID_ATTN                                                                    \
    BIND_W(wqkv, "attn_qkv.weight", BIND_ATTENTION | BIND_OPTIONAL, DIM_EMBD, DIM_QKV),     \
    BIND_V(bqkv, "attn_qkv.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_QKV),                 \
    BIND_W(wq, "attn_q.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_Q),          \
    BIND_W(wk, "attn_k.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_K),          \
    BIND_W(wv, "attn_v.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_V),          \
    BIND_V(bq, "attn_q.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_Q),                       \
    BIND_V(bk, "attn_k.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_K),                       \
    BIND_V(bv, "attn_v.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_V),                       \
    BIND_W(wo, "attn_output.weight", BIND_ATTENTION, DIM_O, DIM_EMBD)

/* One norm weight for all heads, of q and of k. */
#define BIND_QK_NORMS(flags)                                                                \
    BIND_V(q_norm, "attn_q_norm.weight", (flags), DIM_HEAD_K),                              \
    BIND_V(k_norm, "attn_k_norm.weight", (flags), DIM_HEAD_K)

#define BIND_PRE_NORMS                                                                      \
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),                                     \
    BIND_V(ffn_norm, "ffn_norm.weight", 0, DIM_EMBD)

/* Layer norms with biases; flags of the biases, and of the norm before the feed-forward. */
#define BIND_BIASED_NORMS(bias, ffn)                                                        \
    BIND_GV(output_norm_b, "output_norm.bias", (bias), DIM_EMBD),                           \
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),                                     \
    BIND_V(attn_norm_b, "attn_norm.bias", (bias), DIM_EMBD),                                \
    BIND_V(ffn_norm, "ffn_norm.weight", (ffn), DIM_EMBD),                                   \
    BIND_V(ffn_norm_b, "ffn_norm.bias", (bias) | (ffn), DIM_EMBD)

#define BIND_POST_NORMS                                                                     \
    BIND_V(attn_post_norm, "post_attention_norm.weight", 0, DIM_EMBD),                      \
    BIND_V(ffn_post_norm, "post_ffw_norm.weight", 0, DIM_EMBD)

/* Feed-forward with a gate, in layers without experts. */
#define BIND_FFN                                                                            \
    BIND_W(gate, "ffn_gate.weight", BIND_DENSE, DIM_EMBD, DIM_FF),                          \
    BIND_V(gate_b, "ffn_gate.bias", BIND_DENSE | BIND_OPTIONAL, DIM_FF),                    \
    BIND_FFN_UNGATED

#define BIND_FFN_PLAIN                                                                      \
    BIND_W(gate, "ffn_gate.weight", BIND_DENSE, DIM_EMBD, DIM_FF),                          \
    BIND_W(up, "ffn_up.weight", BIND_DENSE, DIM_EMBD, DIM_FF),                              \
    BIND_W(down, "ffn_down.weight", BIND_DENSE, DIM_FF, DIM_EMBD)

#define BIND_FFN_UNGATED                                                                    \
    BIND_W(up, "ffn_up.weight", BIND_DENSE, DIM_EMBD, DIM_FF),                              \
    BIND_V(up_b, "ffn_up.bias", BIND_DENSE | BIND_OPTIONAL, DIM_FF),                        \
    BIND_W(down, "ffn_down.weight", BIND_DENSE, DIM_FF, DIM_EMBD),                          \
    BIND_V(down_b, "ffn_down.bias", BIND_DENSE | BIND_OPTIONAL, DIM_EMBD)

/* Gate and up in one, as ffn_up. */
#define BIND_FFN_FUSED                                                                      \
    BIND_W(gate_up, "ffn_up.weight", BIND_DENSE, DIM_EMBD, DIM_2FF),                        \
    BIND_W(down, "ffn_down.weight", BIND_DENSE, DIM_FF, DIM_EMBD)

/* Router and experts, in layers that have them. */
#define BIND_EXPERTS                                                                        \
    BIND_W(router, "ffn_gate_inp.weight", BIND_MOE, DIM_EMBD, DIM_EXPERTS),                 \
    BIND_W(gate_up_exps, "ffn_gate_up_exps.weight", BIND_MOE | BIND_OPTIONAL, DIM_EMBD, DIM_2FF_EXP, DIM_EXPERTS), \
    BIND_W(gate_exps, "ffn_gate_exps.weight", BIND_MOE | BIND_SPLIT_EXPS, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),      \
    BIND_W(up_exps, "ffn_up_exps.weight", BIND_MOE | BIND_SPLIT_EXPS, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),          \
    BIND_W(down_exps, "ffn_down_exps.weight", BIND_MOE, DIM_FF_EXP, DIM_EMBD, DIM_EXPERTS)

#define BIND_SHARED_EXPERT                                                                  \
    BIND_W(gate_sh, "ffn_gate_shexp.weight", BIND_SHEXP, DIM_EMBD, DIM_FF_SHEXP),           \
    BIND_W(up_sh, "ffn_up_shexp.weight", BIND_SHEXP, DIM_EMBD, DIM_FF_SHEXP),               \
    BIND_W(down_sh, "ffn_down_shexp.weight", BIND_SHEXP, DIM_FF_SHEXP, DIM_EMBD)

#endif
