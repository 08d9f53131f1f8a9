/* EXAONE: exaone (3: llama's layers, RoPE on halves), exaone4 (norms after the blocks only and of q and k; with 64 layers
 * sliding windows, and RoPE in windowed layers alone), exaone-moe (norms before the blocks, windows and RoPE likewise,
 * experts beside shared ones). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward_exaone(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU});
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU, .post_only = true,
    });
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_POST_NORMS, BIND_ATTN, BIND_QK_NORMS(0),
                                   BIND_FFN, {0}};

static const binding bindings_exaone[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0}};
static const binding bindings_moe[] = {
    BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_QK_NORMS(0), BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS), {0},
};

static tawny_status load_exaone(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    return load_turns_whole_heads(m, err);
}

/* Windows, and RoPE in windowed layers alone, at the base of all. */
static tawny_status load_local(model *m, uint32_t window, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(load_windows(m, window, 4, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].no_rope = !hp->layer[i].rope;
    hp->rope[1].base = hp->rope[0].base;
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    enum { LAYERS_OF_32B = 64 };
    hparams *hp = &m->hp;
    uint32_t window = 4096;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    if (hp->n_layer != LAYERS_OF_32B) return TAWNY_OK;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    return load_local(m, window, err);
}

static tawny_status load_moe(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    TRY(load_exaone(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(load_needs_gating(m, err));
    TRY(load_leading_dense(m, err));
    if (!hp->n_ff_shexp) hp->n_ff_shexp = hp->n_ff_exp;
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    return load_local(m, window, err);
}

const arch arch_exaone = {.name = "exaone", .load = load_exaone, .bindings = bindings_exaone, .forward = forward_exaone};
const arch arch_exaone_moe = {.name = "exaone-moe", .load = load_moe, .bindings = bindings_moe, .forward = forward_exaone};
const arch arch_exaone4 = {.name = "exaone4", .load = load, .bindings = bindings, .forward = forward};
