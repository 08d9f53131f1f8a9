/* step35: a number of heads for each layer, a gate over each head's output, norms of q and k. Full layers turn half of
 * what windowed ones turn, by factors and a base of their own. Layers with a router have experts, chosen with a bias,
 * beside a shared one; SwiGLU is limited where the metadata says so. Published by StepFun. */
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

#define FACTORS(i, name) BIND_GV(rope_freqs[i], name, BIND_OPTIONAL, DIM_ROT_MOST_HALF)

static const binding bindings[] = {
    BIND_ENDS_UNTIED,
    BIND_PRE_NORMS,
    BIND_QKV,
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_W(attn_gate, "attn_gate.weight", BIND_OPTIONAL, DIM_EMBD, DIM_HEADS),
    BIND_QK_NORMS(BIND_OPTIONAL),
    BIND_FFN_PLAIN,
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    BIND_SHARED_EXPERT,
    {0},
};
static const binding factors[] = {FACTORS(0, "rope_freqs.weight"), {0}};
static const binding factors_by_context[] = {
    FACTORS(1, "rope_factors_long.weight"), FACTORS(2, "rope_factors_short.weight"), {0},
};

static tawny_status load_limits(model *m, tawny_error *err)
{
    float ff[MODEL_MAX_LAYERS], experts[MODEL_MAX_LAYERS];
    const float none = 0;
    TRY(model_f32_per_layer(m, "step35.swiglu_clamp_shexp", -1e9f, 1e9f, &none, ff, err));
    TRY(model_f32_per_layer(m, "step35.swiglu_clamp_exp", -1e9f, 1e9f, &none, experts, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        m->hp.layer[i].limit_ff = ff[i] > 1e-6f ? ff[i] : 0;
        m->hp.layer[i].limit_exp = experts[i] > 1e-6f ? experts[i] : 0;
    }
    return TAWNY_OK;
}

static tawny_status load_positions(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    hp->rope_style = ROPE_NEOX;
    hp->rope[1].base = 10000;
    hp->rope[1].scale = 1;
    hp->rope[1].no_factors = 1;
    TRY(load_needs_pattern(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 1, 1u << 30, &window, err));
    TRY(load_windows(m, window, 0, err));
    if (hp->rope[0].n_rot % 4)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count %u is not a multiple of 4", gguf_path(m->file),
                       m->arch_name, hp->rope[0].n_rot);
    hp->rope[0].n_rot /= 2;
    return model_bind(m, strcmp(hp->rope_type, "longrope") ? factors : factors_by_context, err);
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(load_gating(m, MOE_GATING_SIGMOID, err));
    TRY(model_get_u32(m, "expert_shared_feed_forward_length", 1, 1 << 24, &hp->n_ff_shexp, err));
    load_routed_layers(m);
    TRY(load_limits(m, err));
    return load_positions(m, err);
}

const arch arch_step35 = {.name = "step35", .load = load, .bindings = bindings, .forward = forward};
