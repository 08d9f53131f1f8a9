/* Ling (bailingmoe): llama's layers with experts beside shared ones. Ling and Ring 2 (bailingmoe2): heads of queries and keys normed, a part of each head rotated, experts in groups beside shared ones
 * after leading dense layers. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS},
                                       .act = GLU_SILU});
}

static const binding bindings[] = {
    BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_QK_NORMS(0), BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    {0},
};

static const binding bindings_1[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_EXPERTS, BIND_SHARED_EXPERT, {0}};

static tawny_status load_1(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t shared = 0;
    hp->rope_style = ROPE_NORM;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(model_get_u32(m, "expert_shared_count", 1, 64, &shared, err));
    hp->n_ff_shexp = hp->n_ff_exp * shared;
    return load_turns_whole_heads(m, err);
}

/* Shared experts may have a width of their own. */
static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t width = hp->n_ff_shexp, shared = 0;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_deepseek_experts(m, err));
    TRY(model_get_u32(m, "expert_shared_count", 0, 64, &shared, err));
    if (width) hp->n_ff_shexp = width * shared;
    return load_gating(m, MOE_GATING_SIGMOID, err);
}

const arch arch_bailingmoe = {.name = "bailingmoe", .load = load_1, .bindings = bindings_1, .forward = forward};
const arch arch_bailingmoe2 = {.name = "bailingmoe2", .load = load, .bindings = bindings, .forward = forward};
