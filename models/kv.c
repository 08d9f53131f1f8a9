#include "kv.h"

static size_t round_up(size_t floats) { return (floats + 15) / 16 * 16; }

/* Nobody comes back to a text that was seen whole: its layers may use the same memory, one after the other. */
static bool layers_in_turn(const hparams *hp)
{
    for (uint32_t i = 0; i < hp->n_layer; i++)
        if (hp->layer[i].kv_shared) return false;
    return !hp->causal;
}

static tawny_status check_head(const model *m, const char *what, simd_kv type, uint32_t dim, uint32_t layer, tawny_error *err)
{
    if (!simd_kv_quantized(type) || dim % SIMD_KV_BLOCK == 0) return TAWNY_OK;
    return err_set(err, TAWNY_E_UNSUPPORTED, "%s: a cache of %s in %s has blocks of %d, which do not divide the head size %u of layer %u",
                   gguf_path(m->file), what, simd_kv_name(type), SIMD_KV_BLOCK, dim, layer);
}

tawny_status kv_layout_make(kv_layout *l, const model *m, simd_kv type_k, simd_kv type_v, arena *mem, tawny_error *err)
{
    enum { LINE = 64 };
    bool in_turn = layers_in_turn(&m->hp);
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
        tawny_status st = h->n_head_kv ? check_head(m, "keys", type_k, h->dk, i, err) : TAWNY_OK;
        if (st == TAWNY_OK && h->n_head_kv) st = check_head(m, "values", type_v, h->dv, i, err);
        if (st != TAWNY_OK) return st;
        *k = (kv_layer){.n_head = h->n_head_kv, .dk = h->dk, .dv = h->dv};
        k->k_head = simd_kv_bytes(type_k, h->dk);
        k->v_head = simd_kv_bytes(type_v, h->dv);
        k->k = in_turn ? 0 : l->page_bytes;
        k->v = k->k + h->n_head_kv * k->k_head;
        k->conv = l->state_floats;
        k->state = k->conv + round_up(h->conv_state);
        l->state_floats = k->state + round_up(h->state);
        size_t end = (k->v + h->n_head_kv * k->v_head + LINE - 1) / LINE * LINE;
        if (end > l->page_bytes) l->page_bytes = end;
    }
    l->page_bytes = (l->page_bytes + 4095) / 4096 * 4096;
    if (!l->page_bytes) l->page_bytes = 4096; /* address space alone: nothing is stored there */
    return TAWNY_OK;
}

void kv_clear(const kv_layout *l, uint8_t *page, int slot)
{
    for (uint32_t il = 0; il < l->n_layer; il++)
        for (uint32_t h = 0; h < l->layer[il].n_head; h++) {
            simd_kv_clear_k(l->type_k, kv_k(l, page, il, h), slot, l->layer[il].dk);
            simd_kv_clear_v(l->type_v, kv_v(l, page, il, h), slot, l->layer[il].dv);
        }
}
