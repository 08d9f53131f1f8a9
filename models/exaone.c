/* exaone4: norms after the blocks only and of q and k; with 64 layers sliding windows, and RoPE in windowed layers
 * alone. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU, .post_only = true,
    });
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_POST_NORMS, BIND_ATTN, BIND_QK_NORMS(0),
                                   BIND_FFN, {0}};

static tawny_status load(model *m, tawny_error *err)
{
    enum { LAYERS_OF_32B = 64 };
    hparams *hp = &m->hp;
    uint32_t window = 4096;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    if (hp->n_layer != LAYERS_OF_32B) return TAWNY_OK;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    TRY(load_windows(m, window, 4, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].no_rope = !hp->layer[i].rope;
    hp->rope[1].base = hp->rope[0].base;
    return TAWNY_OK;
}

const arch arch_exaone4 = {.name = "exaone4", .load = load, .bindings = bindings, .forward = forward};
