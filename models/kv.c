#include "kv.h"

const char *kv_type_name(simd_kv type)
{
    static const char *const names[SIMD_KV_TYPES] = {"f32", "f16"};
    return names[type];
}

static size_t round_up(size_t floats) { return (floats + 15) / 16 * 16; }

tawny_status kv_layout_make(kv_layout *l, const model *m, simd_kv type_k, simd_kv type_v, arena *mem, tawny_error *err)
{
    enum { LINE = 64 };
    l->type_k = type_k;
    l->type_v = type_v;
    l->n_layer = m->hp.n_layer;
    l->page_bytes = l->state_floats = 0;
    l->layer = arena_array(mem, l->n_layer, sizeof *l->layer);
    if (!l->layer) return err_nomem(err);
    for (uint32_t i = 0; i < l->n_layer; i++) {
        const layer_hp *h = &m->hp.layer[i];
        kv_layer *k = &l->layer[i];
        if (h->kv_shared) {
            *k = l->layer[h->kv_shared - 1];
            continue;
        }
        *k = (kv_layer){.n_head = h->n_head_kv, .dk = h->dk, .dv = h->dv};
        k->k_head = (size_t)h->dk * SIMD_PAGE * kv_size(type_k);
        k->v_head = (size_t)h->dv * SIMD_PAGE * kv_size(type_v);
        k->k = l->page_bytes;
        k->v = k->k + h->n_head_kv * k->k_head;
        k->conv = l->state_floats;
        k->state = k->conv + round_up(h->conv_state);
        l->state_floats = k->state + round_up(h->state);
        l->page_bytes = (k->v + h->n_head_kv * k->v_head + LINE - 1) / LINE * LINE;
    }
    l->page_bytes = (l->page_bytes + 4095) / 4096 * 4096;
    if (!l->page_bytes) l->page_bytes = 4096; /* address space alone: nothing is stored there */
    return TAWNY_OK;
}
