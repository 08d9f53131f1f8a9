/* llama4: chunked attention with RoPE, every fourth layer full without it but with a temperature that grows with
 * the position; in every n-th layer experts, weighed at their input, beside a shared one. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

enum { CHUNK = 8192, FULL_EVERY = 4, EXPERTS_WITHOUT_QK_NORM = 128 };

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = hp->attn_scale, .temperature_without_rope = true,
                 .qk_norm = hp->n_expert == EXPERTS_WITHOUT_QK_NORM ? QK_NORM_NONE : QK_NORM_PLAIN_AFTER},
        .act = GLU_SILU,
    });
}

static const binding bindings[] = {
    BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT, {0},
};

/* The window that files state counts only when it is 0, which turns chunks off. */
static tawny_status load_attention(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = CHUNK;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, UINT32_MAX, &window, err));
    if (!window) return TAWNY_OK;
    hp->attn_temp_floor = CHUNK;
    hp->attn_temp_scale = 0.1f;
    hp->attn_temp_offset = 1;
    TRY(load_windows(m, 0, FULL_EVERY, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        if (hp->layer[i].rope) hp->layer[i].chunk = CHUNK;
        hp->layer[i].no_rope = (i + 1) % FULL_EVERY == 0;
    }
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t step = 0;
    hp->rope_style = ROPE_NORM;
    hp->expert_gating = MOE_GATING_SIGMOID;
    hp->expert_norm = false;
    hp->expert_weigh_input = true;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(model_get_u32(m, "interleave_moe_layer_step", 0, MODEL_MAX_LAYERS, &step, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].moe = step && (i + 1) % step == 0;
    hp->n_ff_shexp = hp->n_ff_exp;
    return load_attention(m, err);
}

const arch arch_llama4 = {.name = "llama4", .load = load, .bindings = bindings, .forward = forward};
