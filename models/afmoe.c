/* afmoe: norms before and after each block, norms of q and k, a gate over attention's output, windows in three of
 * four layers and RoPE in the same three of four; after leading dense layers experts, chosen with a bias, beside
 * shared ones; embeddings scaled by the root of their width. Published by Arcee (Trinity). */
#include <math.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

enum { PERIOD = 4 };

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS},
                                       .act = GLU_SILU});
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_PRE_NORMS,
    BIND_POST_NORMS,
    BIND_QKV,
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_W(attn_gate, "attn_gate.weight", 0, DIM_EMBD, DIM_O),
    BIND_QK_NORMS(0),
    BIND_FFN_PLAIN,
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    BIND_SHARED_EXPERT,
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0, shared = 0;
    hp->rope_style = ROPE_NEOX;
    hp->embd_scale = sqrtf((float)hp->n_embd);
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(load_leading_dense(m, err));
    TRY(load_gating(m, MOE_GATING_SIGMOID, err));
    TRY(model_get_u32(m, "expert_shared_count", 0, 64, &shared, err));
    hp->n_ff_shexp = hp->n_ff_exp * shared;
    for (uint32_t i = PERIOD - 1; i < hp->n_layer; i += PERIOD) hp->layer[i].no_rope = true;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    return window ? load_windows(m, window, PERIOD, err) : TAWNY_OK;
}

const arch arch_afmoe = {.name = "afmoe", .load = load, .bindings = bindings, .forward = forward};
