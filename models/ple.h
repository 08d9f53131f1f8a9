/* Embeddings that each layer has of its own (gemma3n, gemma4): a table beside the token embedding, mixed with a
 * projection of it, gated into the residual stream at the end of each layer. */
#ifndef MODELS_PLE_H
#define MODELS_PLE_H

#include "bindings.h"
#include "blocks.h"

#define BIND_PLE                                                                            \
    BIND_GW(ple_embd, "per_layer_token_embd.weight", 0, DIM_PLE_ALL, DIM_VOCAB),            \
    BIND_GW(ple_model_proj, "per_layer_model_proj.weight", 0, DIM_EMBD, DIM_PLE_ALL),       \
    BIND_GV(ple_proj_norm, "per_layer_proj_norm.weight", 0, DIM_PLE),                       \
    BIND_W(ple_gate, "inp_gate.weight", 0, DIM_EMBD, DIM_PLE),                              \
    BIND_W(ple_proj, "proj.weight", 0, DIM_PLE, DIM_EMBD),                                  \
    BIND_V(ple_post_norm, "post_norm.weight", 0, DIM_EMBD)

/* The layers' inputs from the embeddings x: a token buffer [n][n_layer][n_ple]. */
const float *ple_inputs(run *r, const float *x);

/* y (a token buffer [n][n_embd]) = norm(proj(gelu(gate x) * input of layer il)). */
void ple_project(run *r, uint32_t il, float *y, const float *x, const float *inputs);

#endif
