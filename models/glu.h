/* Gated activations, shared by the dense and the expert products. */
#ifndef MODELS_GLU_H
#define MODELS_GLU_H

#include "run.h"

/* y = act(gate) * up, n values; y may be gate. */
static inline void glu_apply(glu act, float *y, const float *gate, const float *up, size_t n)
{
    switch (act) {
    case GLU_SILU: simd.silu_mul(y, gate, up, n); break;
    case GLU_GELU: simd.gelu_mul(y, gate, up, n); break;
    case GLU_GELU_TANH: simd.gelu_tanh_mul(y, gate, up, n); break;
    case GLU_RELU2:
        for (size_t i = 0; i < n; i++) {
            float g = gate[i] > 0 ? gate[i] : 0;
            y[i] = g * g * up[i];
        }
        break;
    }
}

#endif
