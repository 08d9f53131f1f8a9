/* The KV cache as the forward pass sees it: pages of SIMD_PAGE positions.
 *
 * A page holds, layer by layer and head by head, K and V as simd/kv.h has them (a position of K a lane). A sequence is a table of pages; full pages may be shared between sequences. Who owns and
 * allocates them: src/engine/kv.h. */
#ifndef MODELS_KV_H
#define MODELS_KV_H

#include "../simd/simd.h"
#include "model.h"

typedef struct kv_layer {
    size_t k, v;               /* offsets of head 0 in a page, bytes */
    size_t k_head, v_head;     /* bytes from head to head */
    uint32_t n_head, dk, dv;
    size_t conv, state;        /* offsets in a sequence's recurrent state, floats */
} kv_layer;

typedef struct kv_layout {
    simd_kv type_k, type_v;
    size_t page_bytes;
    size_t state_floats; /* of a sequence's recurrent state; 0: none */
    uint32_t n_layer;
    kv_layer *layer;
} kv_layout;

/* One timeline's cache. */
typedef struct kv_seq {
    uint8_t **page;   /* [n_pages] */
    int32_t n_pages;
    int32_t n_tokens; /* positions that hold values */
    float *state;     /* recurrent state, aligned to 64 bytes; NULL where the model has none */
    int32_t n_state;  /* tokens that the state has seen; -1: not known. A forward pass starts where it stands. */
} kv_seq;

/* Lays out a page for the model's layers. Quantized types want heads of whole blocks. */
tawny_status kv_layout_make(kv_layout *l, const model *m, simd_kv type_k, simd_kv type_v, arena *mem, tawny_error *err);

/* The past of layer il's short convolution, and the state of its recurrence. All zeros at the start. */
static inline float *kv_conv(const kv_layout *l, const kv_seq *s, uint32_t il) { return s->state + l->layer[il].conv; }
static inline float *kv_state(const kv_layout *l, const kv_seq *s, uint32_t il) { return s->state + l->layer[il].state; }

/* Positions of a page from `slot` on become zeros: what others left there is nobody's to see. */
void kv_clear(const kv_layout *l, uint8_t *page, int slot);

static inline uint8_t *kv_k(const kv_layout *l, uint8_t *page, uint32_t il, uint32_t head)
{
    return page + l->layer[il].k + head * l->layer[il].k_head;
}

static inline uint8_t *kv_v(const kv_layout *l, uint8_t *page, uint32_t il, uint32_t head)
{
    return page + l->layer[il].v + head * l->layer[il].v_head;
}

#endif
