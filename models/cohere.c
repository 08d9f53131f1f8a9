/* Cohere: command-r and cohere2. Layer norms without biases, attention and feed-forward side by side, scaled logits.
 * command-r norms q and k in its larger models; cohere2 turns q and k in windowed layers only. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_LAYER}, .act = GLU_SILU, .parallel = true,
    });
}

#define COHERE BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_ATTN, BIND_FFN

static const binding bindings_command_r[] = {
    COHERE,
    BIND_V(q_norm, "attn_q_norm.weight", BIND_OPTIONAL, DIM_HEAD_K, DIM_HEADS),
    BIND_V(k_norm, "attn_k_norm.weight", BIND_OPTIONAL, DIM_HEAD_K, DIM_HEADS_KV),
    {0},
};
static const binding bindings_cohere2[] = {COHERE, {0}};

static tawny_status load_command_r(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NORM;
    TRY(load_layer_norm_eps(m, err));
    TRY(model_opt_f32(m, "logit_scale", -1e6f, 1e6f, &hp->logit_scale, err));
    if (hp->logit_scale == 0) hp->logit_scale = 1;
    return load_together(m, "attn_q_norm.weight", "attn_k_norm.weight", err);
}

static tawny_status load_cohere2(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    TRY(load_command_r(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    TRY(load_windows(m, window, 4, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].no_rope = !hp->layer[i].rope;
    hp->rope[1].base = hp->rope[0].base;
    return TAWNY_OK;
}

const arch arch_command_r = {.name = "command-r", .load = load_command_r, .bindings = bindings_command_r,
                             .forward = forward};
const arch arch_cohere2 = {.name = "cohere2", .load = load_cohere2, .bindings = bindings_cohere2, .forward = forward};
