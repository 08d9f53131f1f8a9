/* The transformers of the Qwen family: pre-norm, RoPE on halves, SwiGLU. qwen (1) states the feed-forward's width twice
 * as large as it is; qwen2 has biases on q, k, v; qwen3 an RMS
 * norm of q and k a head; the moe ones experts, qwen2moe beside a shared one that a gate weighs. The text side of
 * qwen2vl and qwen3vl differs in the sections of its RoPE alone. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS},
                                       .act = GLU_SILU});
}

#define QWEN BIND_ENDS, BIND_GV(output_b, "output.bias", BIND_OPTIONAL, DIM_VOCAB), BIND_PRE_NORMS, BIND_ATTN

static const binding bindings_qwen2[] = {QWEN, BIND_FFN, {0}};
static const binding bindings_qwen3[] = {QWEN, BIND_QK_NORMS(0), BIND_FFN, {0}};
static const binding bindings_qwen3moe[] = {QWEN, BIND_QK_NORMS(0), BIND_EXPERTS, {0}};
static const binding bindings_qwen2moe[] = {
    QWEN, BIND_EXPERTS, BIND_SHARED_EXPERT, BIND_V(router_sh, "ffn_gate_inp_shexp.weight", BIND_MOE, DIM_EMBD), {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

static tawny_status load_qwen(model *m, tawny_error *err)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++) m->hp.layer[i].n_ff /= 2;
    return load(m, err);
}

/* Labels of rerankers share a probability of 1. */
static tawny_status load_qwen3(model *m, tawny_error *err)
{
    m->hp.head.softmax = true;
    return load(m, err);
}

/* Files without an epsilon mean 0. */
static tawny_status load_qwen2vl(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    m->hp.norm_eps = 0;
    TRY(model_opt_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, &m->hp.norm_eps, err));
    return load_rope_sections(m, true, err);
}

static tawny_status load_qwen3vl(model *m, tawny_error *err)
{
    m->hp.rope_interleaved = true;
    TRY(load_qwen3(m, err));
    return load_rope_sections(m, true, err);
}

static tawny_status load_moe(model *m, tawny_error *err)
{
    TRY(load(m, err));
    TRY(load_needs_experts(m, err));
    load_expert_width(m);
    return TAWNY_OK;
}

static tawny_status load_qwen2moe(model *m, tawny_error *err)
{
    TRY(load_moe(m, err));
    m->hp.expert_norm = false;
    if (!m->hp.n_ff_shexp) m->hp.n_ff_shexp = m->hp.layer[0].n_ff;
    return TAWNY_OK;
}

static tawny_status load_qwen3moe(model *m, tawny_error *err)
{
    TRY(load_moe(m, err));
    m->hp.expert_norm = true;
    return TAWNY_OK;
}

static tawny_status load_qwen3vlmoe(model *m, tawny_error *err)
{
    m->hp.rope_interleaved = true;
    TRY(load_qwen3moe(m, err));
    return load_rope_sections(m, true, err);
}

const arch arch_qwen = {.name = "qwen", .load = load_qwen, .bindings = bindings_qwen2, .forward = forward};
const arch arch_qwen2 = {.name = "qwen2", .load = load, .bindings = bindings_qwen2, .forward = forward};
const arch arch_qwen2vl = {.name = "qwen2vl", .load = load_qwen2vl, .bindings = bindings_qwen2, .forward = forward};
const arch arch_qwen2moe = {.name = "qwen2moe", .load = load_qwen2moe, .bindings = bindings_qwen2moe,
                            .forward = forward};
const arch arch_qwen3 = {.name = "qwen3", .load = load_qwen3, .bindings = bindings_qwen3, .forward = forward};
const arch arch_qwen3vl = {.name = "qwen3vl", .load = load_qwen3vl, .bindings = bindings_qwen3, .forward = forward};
const arch arch_qwen3moe = {.name = "qwen3moe", .load = load_qwen3moe, .bindings = bindings_qwen3moe,
                            .forward = forward};
const arch arch_qwen3vlmoe = {.name = "qwen3vlmoe", .load = load_qwen3vlmoe, .bindings = bindings_qwen3moe,
                              .forward = forward};
