/* GLM: chatglm (2 to 4: gate and up in one matrix, RoPE on part of a head), glm4 (the same with norms after each block
 * too) and glm4moe (experts beside shared ones after leading dense layers). With sections RoPE turns halves in the last
 * two, whatever it turned without. */
#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS},
                                       .act = GLU_SILU});
}

static const binding bindings_glm4[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_POST_NORMS, BIND_ATTN, BIND_FFN_FUSED, {0}};

static const binding bindings_chatglm[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN_FUSED, {0}};

static const binding bindings_glm4moe[] = {
    BIND_ENDS,
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_QK_NORMS(BIND_OPTIONAL),
    BIND_V(ffn_norm, "post_attention_norm.weight", 0, DIM_EMBD),
    BIND_FFN,
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    BIND_SHARED_EXPERT,
    {0},
};

static tawny_status load_common(model *m, rope_style plain, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(load_rms_eps(m, err));
    TRY(load_rope_sections(m, false, err));
    if (!hp->rope_section[0] || !hp->rope_section[1]) memset(hp->rope_section, 0, sizeof hp->rope_section);
    hp->rope_style = hp->rope_section[0] ? ROPE_NEOX : plain;
    return TAWNY_OK;
}

static tawny_status load_glm4(model *m, tawny_error *err) { return load_common(m, ROPE_NORM, err); }

static tawny_status load_glm4moe(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t shared = 0;
    TRY(load_common(m, ROPE_NEOX, err));
    TRY(load_needs_experts(m, err));
    load_expert_width(m);
    TRY(load_leading_dense(m, err));
    TRY(load_gating(m, MOE_GATING_SIGMOID, err));
    TRY(model_get_u32(m, "expert_shared_count", 0, 64, &shared, err));
    hp->n_ff_shexp = hp->n_ff_exp * shared;
    return TAWNY_OK;
}

static tawny_status load_chatglm(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    return load_rms_eps(m, err);
}

const arch arch_chatglm = {.name = "chatglm", .load = load_chatglm, .bindings = bindings_chatglm, .forward = forward};
const arch arch_glm4 = {.name = "glm4", .load = load_glm4, .bindings = bindings_glm4, .forward = forward};
const arch arch_glm4moe = {.name = "glm4moe", .load = load_glm4moe, .bindings = bindings_glm4moe, .forward = forward};
