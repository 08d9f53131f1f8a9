/* minimax-m2: experts in all layers, chosen with a bias, RMS norms over all heads of q and k. The experts' width is
 * feed_forward_length. Published by MiniMax. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_ROWS},
                                       .act = GLU_SILU});
}

static const binding bindings[] = {
    BIND_ENDS_UNTIED,
    BIND_PRE_NORMS,
    BIND_QKV,
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_V(q_norm, "attn_q_norm.weight", 0, DIM_Q),
    BIND_V(k_norm, "attn_k_norm.weight", 0, DIM_K),
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(load_needs_gating(m, err));
    load_normed_weights(m);
    hp->n_ff_exp = hp->layer[0].n_ff;
    return TAWNY_OK;
}

const arch arch_minimax_m2 = {.name = "minimax-m2", .load = load, .bindings = bindings, .forward = forward};
