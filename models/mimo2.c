/* mimo2: attention sinks, windowed layers with a frequency base and KV heads of their own, keys wider than values, a
 * scale of what attention adds; experts, chosen with a bias, in layers that have a router. Published by Xiaomi. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    size_t dim = r->m->hp.n_embd;
    block_attention(r, d, il, a);
    if (r->m->hp.attn_out_scale == 1) return;
    for (int t = r->tid; t < r->n && !r->plan; t += r->threads)
        simd.scale(d->y + (size_t)t * dim, d->y + (size_t)t * dim, r->m->hp.attn_out_scale, dim);
    run_barrier(r);
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix});
}

static const binding bindings[] = {
    BIND_ENDS_UNTIED,
    BIND_PRE_NORMS,
    BIND_QKV_PLAIN,
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_V(sinks, "attn_sinks.weight", BIND_OPTIONAL, DIM_HEADS),
    BIND_FFN_PLAIN,
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    if (hp->n_expert) TRY(load_needs_expert_width(m, err));
    hp->expert_gating = MOE_GATING_SIGMOID;
    load_normed_weights(m);
    load_routed_layers(m);
    TRY(model_opt_f32(m, "attention.value_scale", -1e6f, 1e6f, &hp->attn_out_scale, err));
    if (hp->attn_out_scale == 0) hp->attn_out_scale = 1;
    hp->rope[1].base = 10000;
    hp->rope[1].scale = 1;
    TRY(load_needs_pattern(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 1, 1u << 30, &window, err));
    return load_windows(m, window, 0, err);
}

const arch arch_mimo2 = {.name = "mimo2", .load = load, .bindings = bindings, .forward = forward};
