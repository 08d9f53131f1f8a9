/* dbrx: experts in every layer, layer norms without biases, q, k and v limited. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){.attn = {.scale = hp->attn_scale, .clamp = hp->clamp_kqv}, .act = GLU_SILU});
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_V(ffn_norm, "attn_output_norm.weight", 0, DIM_EMBD),
    BIND_EXPERTS,
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    load_normed_weights(m);
    TRY(load_layer_norm_eps(m, err));
    TRY(load_needs_experts(m, err));
    hp->n_ff_exp = hp->layer[0].n_ff;
    TRY(model_get_f32(m, "attention.clamp_kqv", 0, 1e9f, &hp->clamp_kqv, err));
    return load_turns_whole_heads(m, err);
}

const arch arch_dbrx = {.name = "dbrx", .load = load, .bindings = bindings, .forward = forward};
