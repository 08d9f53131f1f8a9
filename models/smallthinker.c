/* smallthinker: experts with ReLU gates in all layers; the router reads what comes into the layer, before attention.
 * Three of four layers have windows, of 4096 whatever the file says; every fourth goes without RoPE.
 * Published as SmallThinker (arXiv 2507.20984). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

enum { WINDOW = 4096, PERIOD = 4 };

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder d;
    decoder_buffers(r, &d);
    float *in = run_tokens(r, hp->n_embd);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        const layer_weights *L = &r->m->layers[il];
        op_copy(r, in, d.x, hp->n_embd);
        op_norm(r, d.h, d.x, L->attn_norm, NULL);
        block_attention(r, &d, il, &(attn_block){.scale = hp->attn_scale});
        block_residual(r, &d, d.y, NULL);
        op_norm(r, d.h, d.x, L->ffn_norm, NULL);
        block_moe_routed(r, il, d.t, d.h, in, GLU_RELU);
        block_residual(r, &d, d.t, NULL);
        run_probe_at(r, "l_out", (int)il, d.x, r->n, hp->n_embd);
    }
    op_logits(r, d.x);
}

static const binding bindings[] = {
    BIND_ENDS, BIND_PRE_NORMS, BIND_QKV, BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD), BIND_EXPERTS, {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    TRY(load_needs_gating(m, err));
    load_normed_weights(m);
    TRY(model_opt_u32(m, "attention.sliding_window", 0, UINT32_MAX, &window, err));
    if (!window) return TAWNY_OK;
    /* The reference takes a model of as many layers as the period for one that turns everywhere. */
    for (uint32_t i = 0; i < hp->n_layer && hp->n_layer != PERIOD; i += PERIOD) hp->layer[i].no_rope = true;
    return load_windows_after_full(m, WINDOW, PERIOD, err);
}

const arch arch_smallthinker = {.name = "smallthinker", .load = load, .bindings = bindings, .forward = forward};
