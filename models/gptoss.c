/* gpt-oss: experts with biases and a limited SwiGLU, attention sinks, every other layer with a sliding window. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SWIGLU_OAI});
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_V(sinks, "attn_sinks.weight", 0, DIM_HEADS),
    BIND_V(ffn_norm, "post_attention_norm.weight", 0, DIM_EMBD),
    BIND_EXPERTS,
    BIND_V(router_b, "ffn_gate_inp.bias", 0, DIM_EXPERTS),
    BIND_V(gate_exps_b, "ffn_gate_exps.bias", 0, DIM_FF_EXP, DIM_EXPERTS),
    BIND_V(up_exps_b, "ffn_up_exps.bias", 0, DIM_FF_EXP, DIM_EXPERTS),
    BIND_V(down_exps_b, "ffn_down_exps.bias", 0, DIM_EMBD, DIM_EXPERTS),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    hp->rope_style = ROPE_NEOX;
    hp->expert_gating = MOE_GATING_SOFTMAX_CHOSEN;
    hp->expert_norm = false;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    return load_windows(m, window, 2, err);
}

const arch arch_gpt_oss = {.name = "gpt-oss", .load = load, .bindings = bindings, .forward = forward};
