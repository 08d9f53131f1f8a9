/* Ernie 4.5, text side: llama's layers; the moe has experts, chosen by softmax with a bias, beside a shared one in
 * every n-th layer after the leading dense ones. Sections of RoPE do not matter to text. Published by Baidu. */
#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings_dense[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN_PLAIN, {0}};

/* Experts may be without a gate. */
static const binding bindings_moe[] = {
    BIND_ENDS,
    BIND_PRE_NORMS,
    BIND_ATTN,
    BIND_FFN_PLAIN,
    BIND_W(router, "ffn_gate_inp.weight", BIND_MOE, DIM_EMBD, DIM_EXPERTS),
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    BIND_W(gate_exps, "ffn_gate_exps.weight", BIND_MOE | BIND_OPTIONAL, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(up_exps, "ffn_up_exps.weight", BIND_MOE, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(down_exps, "ffn_down_exps.weight", BIND_MOE, DIM_FF_EXP, DIM_EMBD, DIM_EXPERTS),
    BIND_SHARED_EXPERT,
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    TRY(load_rms_eps(m, err));
    TRY(load_rope_sections(m, false, err));
    memset(m->hp.rope_section, 0, sizeof m->hp.rope_section);
    m->hp.rope_style = ROPE_NORM;
    return TAWNY_OK;
}

static tawny_status load_moe(model *m, tawny_error *err)
{
    uint32_t step = 0;
    TRY(load(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    load_normed_weights(m);
    TRY(load_leading_dense(m, err));
    TRY(model_get_u32(m, "interleave_moe_layer_step", 1, MODEL_MAX_LAYERS, &step, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++)
        if ((i + 1) % step) m->hp.layer[i].moe = false;
    return TAWNY_OK;
}

const arch arch_ernie4_5 = {.name = "ernie4_5", .load = load, .bindings = bindings_dense, .forward = forward};
const arch arch_ernie4_5_moe = {.name = "ernie4_5-moe", .load = load_moe, .bindings = bindings_moe,
                                .forward = forward};
