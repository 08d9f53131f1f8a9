/* Operations with a state that goes from token to token: short convolutions, linear attention, state spaces.
 *
 * The state lies with the sequence (kv.h). Each operation walks every sequence of the batch strictly token by token
 * in one order of operations, so a prompt's chunks change no bit; heads and channels are shared out among the
 * threads. All end with a barrier. Row strides (ld...) are in floats. */
#ifndef MODELS_RECURRENT_H
#define MODELS_RECURRENT_H

#include "run.h"

enum {
    SSM_MAX_TAPS = 16,
    SSM_MAX_HEAD = 1024 /* width of a key or of a head */
};

/* y[t][c] = act(sum over j of w[c][j] x[t - taps + 1 + j][c] + b[c]), oldest first; products and sums rounded each. */
typedef struct conv_spec {
    const float *x;
    size_t ldx;
    const float *w, *b; /* [channels][taps]; [channels] or NULL */
    uint32_t taps, channels;
    bool silu;
    size_t at; /* where its past begins in the layer's, where a layer has several convolutions */
} conv_spec;
/* y: a row buffer [n][channels] */
void op_conv(run *r, uint32_t il, float *y, const conv_spec *s);

/* The gated delta rule (arXiv 2412.06464; with a decay a channel, KDA: arXiv 2510.26692). A head's state S [dk][dv]:
 *   S[i] *= exp(g[i]);  e = beta (v - sum of k[i] S[i]);  S[i] = fma(e, k[i], S[i]);  o = sum of q[i] S[i] / sqrt(dk)
 * with q and k of length 1; then o is normed (RMS) and gated. */
typedef struct delta_spec {
    uint32_t heads, key_heads, dk, dv;
    bool interleaved; /* head h reads key head h / (heads / key_heads), otherwise h mod key_heads */
    const float *q, *k, *v;
    size_t ldqk, ldv;
    const float *g, *beta; /* [n][heads], or g [n][heads][dk] with channel_decay: logarithms of the decay */
    bool channel_decay;
    float l2_eps; /* q / sqrt(|q|^2 + l2_eps) */
    const float *norm; /* [dv] */
    float norm_eps;
    const float *gate; /* [n][heads * dv] */
    size_t ldgate;
    bool gate_sigmoid; /* otherwise SiLU */
} delta_spec;
/* y: a row buffer [n][heads * dv] */
void op_delta(run *r, uint32_t il, float *y, const delta_spec *s);

/* Mamba 2 (arXiv 2405.21060). A head's state S [state][dim], dt = softplus(dt + dt_b), a = exp(dt A):
 *   S[n] = fma(B[n], dt x, a S[n]);  y = sum of C[n] S[n] + D x;  y *= silu(z) */
typedef struct mamba2_spec {
    uint32_t heads, groups, dim, state; /* dim of a head */
    const float *x, *b, *c, *dt, *z;
    size_t ldx, ldz, lddt; /* x, b and c lie in one row */
    const float *dt_b, *a, *d; /* [heads] */
} mamba2_spec;
/* y: a row buffer [n][heads * dim] */
void op_mamba2(run *r, uint32_t il, float *y, const mamba2_spec *s);

/* Mamba (arXiv 2312.00752): the same with a decay for each channel and state, A [inner][state]. */
typedef struct mamba_spec {
    uint32_t inner, state;
    const float *x, *dt;    /* [n][inner] */
    const float *b, *c;     /* [n][state] */
    const float *z;
    size_t ldbc, ldz;
    const float *a, *d;     /* [inner][state], [inner] */
} mamba_spec;
/* y: a row buffer [n][inner] */
void op_mamba(run *r, uint32_t il, float *y, const mamba_spec *s);

/* y[t][i] = a[t][i] * b[t][i] over rows of dim; y a token buffer [n][dim] */
void op_mul_rows(run *r, float *y, const float *a, size_t lda, const float *b, size_t ldb, int64_t dim);

#endif
