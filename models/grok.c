/* grok: norms before and after each block, experts with GELU, in Grok 2 beside a dense block whose sum with theirs is
 * scaled by the root of a half; scores of attention are scaled and capped. Files of Grok 1 lack the keys of the scales
 * and caps. The router is not capped, whatever router_logit_softcapping says: softmax keeps the order, and so does the
 * reference. */
#include <math.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){.attn = {.scale = hp->attn_scale, .softcap = hp->attn_softcap}, .act = GLU_GELU_TANH});
}

/* Experts without ffn_gate_exps have no gate. */
static const binding bindings[] = {
    BIND_ENDS,
    BIND_PRE_NORMS,
    BIND_ATTN,
    BIND_V(attn_post_norm, "attn_output_norm.weight", 0, DIM_EMBD),
    BIND_W(router, "ffn_gate_inp.weight", 0, DIM_EMBD, DIM_EXPERTS),
    BIND_W(gate_exps, "ffn_gate_exps.weight", BIND_OPTIONAL, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(up_exps, "ffn_up_exps.weight", 0, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(down_exps, "ffn_down_exps.weight", 0, DIM_FF_EXP, DIM_EMBD, DIM_EXPERTS),
    BIND_W(gate_sh, "ffn_gate.weight", BIND_SHEXP | BIND_OPTIONAL, DIM_EMBD, DIM_FF_SHEXP),
    BIND_W(up_sh, "ffn_up.weight", BIND_SHEXP | BIND_OPTIONAL, DIM_EMBD, DIM_FF_SHEXP),
    BIND_W(down_sh, "ffn_down.weight", BIND_SHEXP | BIND_OPTIONAL, DIM_FF_SHEXP, DIM_EMBD),
    BIND_V(ffn_post_norm, "post_ffw_norm.weight", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(ffn_post_norm, "layer_output_norm.weight", BIND_OPTIONAL, DIM_EMBD),
    {0},
};

static tawny_status load_scales(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->embd_scale = 78.38367176906169f;   /* the root of 6144 */
    hp->logit_scale = 0.5773502691896257f; /* that of a third */
    hp->attn_scale = 0.08838834764831845f; /* of 1 / 128 */
    hp->attn_softcap = 30;
    TRY(model_opt_f32(m, "embedding_scale", -1e6f, 1e6f, &hp->embd_scale, err));
    TRY(model_opt_f32(m, "logit_scale", -1e6f, 1e6f, &hp->logit_scale, err));
    TRY(model_opt_f32(m, "attention.output_scale", -1e6f, 1e6f, &hp->attn_scale, err));
    TRY(model_opt_f32(m, "attn_logit_softcapping", 1e-6f, 1e6f, &hp->attn_softcap, err));
    if (hp->embd_scale == 0) hp->embd_scale = 1;
    return model_opt_f32(m, "final_logit_softcapping", 0, 1e6f, &hp->final_softcap, err);
}

static tawny_status load_yarn(model *m, tawny_error *err)
{
    rope_hp *rope = m->hp.rope;
    rope[0].beta_fast = 8;
    TRY(model_opt_f32(m, "rope.scaling.yarn_beta_fast", 1e-6f, 1e6f, &rope[0].beta_fast, err));
    rope[1] = rope[0];
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    load_normed_weights(m);
    hp->n_ff_shexp = hp->layer[0].n_ff;
    hp->moe_scale = sqrtf(0.5f);
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_scales(m, err));
    TRY(load_yarn(m, err));
    TRY(load_together(m, "ffn_up.weight", "ffn_gate.weight", err));
    TRY(load_together(m, "ffn_up.weight", "ffn_down.weight", err));
    return load_turns_whole_heads(m, err);
}

const arch arch_grok = {.name = "grok", .load = load, .bindings = bindings, .forward = forward};
