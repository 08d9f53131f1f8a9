/* Gated activations, shared by the dense and the expert products. */
#ifndef MODELS_GLU_H
#define MODELS_GLU_H

#include "run.h"

static inline void glu_relu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

static inline void glu_relu2(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = x[i] > 0 ? x[i] : 0;
        y[i] = g * g;
    }
}

/* gelu_quick is x sigmoid(1.702 x). The limits and the constant are the architecture's own. */
static inline void glu_swiglu_oai(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = gate[i] > 7.0f ? 7.0f : gate[i];
    simd.gelu_quick(y, y, n);
    for (size_t i = 0; i < n; i++) {
        float u = up[i] > 7.0f ? 7.0f : up[i] < -7.0f ? -7.0f : up[i];
        y[i] *= u + 1.0f;
    }
}

/* y = act(x), n values; y may be x. */
static inline void act_apply(glu act, float *y, const float *x, size_t n)
{
    switch (act) {
    case GLU_SILU: simd.silu(y, x, n); break;
    case GLU_GELU: simd.gelu(y, x, n); break;
    case GLU_GELU_TANH: simd.gelu_tanh(y, x, n); break;
    case GLU_RELU: glu_relu(y, x, n); break;
    case GLU_RELU2: glu_relu2(y, x, n); break;
    case GLU_SWIGLU_OAI: break; /* there is none without up */
    }
}

/* SwiGLU with silu(gate) <= limit and |up| <= limit. */
static inline void glu_silu_limited(float *y, const float *gate, const float *up, float limit, size_t n)
{
    simd.silu(y, gate, n);
    for (size_t i = 0; i < n; i++) {
        float g = y[i] > limit ? limit : y[i], u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        y[i] = g * u;
    }
}

/* y = act(gate) * up, n values; y may be gate. */
static inline void glu_apply(glu act, float *y, const float *gate, const float *up, size_t n)
{
    switch (act) {
    case GLU_SWIGLU_OAI: glu_swiglu_oai(y, gate, up, n); break;
    case GLU_SILU: simd.silu_mul(y, gate, up, n); break;
    case GLU_GELU: simd.gelu_mul(y, gate, up, n); break;
    case GLU_GELU_TANH: simd.gelu_tanh_mul(y, gate, up, n); break;
    case GLU_RELU:
        glu_relu(y, gate, n);
        simd.mul(y, y, up, n);
        break;
    case GLU_RELU2:
        glu_relu2(y, gate, n);
        simd.mul(y, y, up, n);
        break;
    }
}

/* What becomes of the products: y = act(gate) * up, limited (SwiGLU) where limit is not 0, or act(gate) where up is NULL. */
static inline void glu_combine(glu act, float limit, float *y, const float *gate, const float *up, size_t n)
{
    if (!up) act_apply(act, y, gate, n);
    else if (limit > 0) glu_silu_limited(y, gate, up, limit, n);
    else glu_apply(act, y, gate, up, n);
}

#endif
