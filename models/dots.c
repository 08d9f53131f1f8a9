/* dots.llm1: heads of queries and keys normed, experts beside shared ones after leading dense layers
 * (arXiv 2506.05767). */
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

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_deepseek_experts(m, err));
    return load_gating(m, MOE_GATING_SIGMOID, err);
}

const arch arch_dots1 = {.name = "dots1", .load = load, .bindings = bindings, .forward = forward};
