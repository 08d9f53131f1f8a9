/* The Mamba blocks, for architectures that are made of them or have them in some layers. */
#ifndef MODELS_MAMBA_H
#define MODELS_MAMBA_H

#include "blocks.h"

/* The sizes in hp.ssm; then mamba_layer marks the layers. */
tawny_status load_mamba(model *m, tawny_error *err);
tawny_status load_mamba2(model *m, tawny_error *err);
/* Layer il has a state; without `attention` it has that in its place. */
void mamba_layer(model *m, uint32_t il, bool attention);

/* y (a row buffer [n][n_embd]) = the block over h [n][n_embd]. */
void block_mamba(run *r, uint32_t il, float *y, const float *h);
void block_mamba2(run *r, uint32_t il, float *y, const float *h);

#define BIND_MAMBA                                                                                  \
    BIND_W(ssm_in, "ssm_in.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_PROJ),                        \
    BIND_V(ssm_conv, "ssm_conv1d.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_SSM_CHANNELS),          \
    BIND_V(ssm_conv_b, "ssm_conv1d.bias", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_CHANNELS),        \
    BIND_W(ssm_x, "ssm_x.weight", BIND_RECURRENT, DIM_SSM_INNER, DIM_SSM_X),                        \
    BIND_W(ssm_dt, "ssm_dt.weight", BIND_RECURRENT, DIM_SSM_RANK, DIM_SSM_INNER),                   \
    BIND_V(ssm_dt_b, "ssm_dt.bias", BIND_RECURRENT, DIM_SSM_INNER),                                 \
    BIND_V(ssm_a, "ssm_a", BIND_RECURRENT, DIM_SSM_STATE, DIM_SSM_INNER),                           \
    BIND_V(ssm_d, "ssm_d", BIND_RECURRENT, DIM_SSM_INNER),                                          \
    BIND_V(ssm_dt_norm, "ssm_dt_norm.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_RANK),        \
    BIND_V(ssm_b_norm, "ssm_b_norm.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_STATE),         \
    BIND_V(ssm_c_norm, "ssm_c_norm.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_STATE),         \
    BIND_W(ssm_out, "ssm_out.weight", BIND_RECURRENT, DIM_SSM_INNER, DIM_EMBD)

#define BIND_MAMBA2                                                                                 \
    BIND_W(ssm_in, "ssm_in.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_PROJ),                        \
    BIND_V(ssm_conv, "ssm_conv1d.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_SSM_CHANNELS),          \
    BIND_V(ssm_conv_b, "ssm_conv1d.bias", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_CHANNELS),        \
    BIND_V(ssm_dt_b, "ssm_dt.bias", BIND_RECURRENT, DIM_SSM_HEADS),                                 \
    BIND_V(ssm_a, "ssm_a", BIND_RECURRENT, DIM_ONE, DIM_SSM_HEADS),                                 \
    BIND_V(ssm_d, "ssm_d", BIND_RECURRENT, DIM_ONE, DIM_SSM_HEADS),                                 \
    BIND_V(ssm_norm, "ssm_norm.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_SSM_GROUP, DIM_SSM_GROUPS), \
    BIND_W(ssm_out, "ssm_out.weight", BIND_RECURRENT, DIM_SSM_INNER, DIM_EMBD)

#endif
