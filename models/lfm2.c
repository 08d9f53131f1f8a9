/* lfm2 and lfm2moe: gated short convolutions, and attention in the layers with KV heads. Published by Liquid AI. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "recurrent.h"

/* y = out_proj(c * conv(b * x)) with b, c, x = in_proj(h) */
static void short_convolution(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    int64_t n = s->channels;
    size_t row = s->proj;
    run_mark mark = run_mark_at(r);
    float *bcx = run_rows(r, s->proj), *bx = run_tokens(r, n), *conv = run_rows(r, n), *y = run_tokens(r, n);
    const float *c = r->plan ? bcx : bcx + n, *x = r->plan ? bcx : bcx + 2 * n;
    op_matmul(r, bcx, &L->ssm_in, NULL, d->h);
    op_mul_rows(r, bx, bcx, row, x, row, n);
    op_conv(r, il, conv, &(conv_spec){.x = bx, .ldx = s->channels, .w = L->ssm_conv, .taps = s->taps, .channels = s->channels});
    op_mul_rows(r, y, c, row, conv, s->channels, n);
    op_matmul(r, d->y, &L->ssm_out, NULL, y);
    run_release(r, mark);
}

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        short_convolution(r, d, il);
    else
        block_attention(r, d, il, a);
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU, .mix = mix});
}

static const binding bindings[] = {
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),
    BIND_GW(output, "output.weight", BIND_OPTIONAL, DIM_EMBD, DIM_VOCAB),
    BIND_GV(output_norm, "token_embd_norm.weight", 0, DIM_EMBD),
    BIND_PRE_NORMS,
    BIND_HYBRID_ATTN,
    BIND_QK_NORMS(BIND_ATTENTION),
    BIND_W(ssm_in, "shortconv.in_proj.weight", BIND_RECURRENT, DIM_EMBD, DIM_3EMBD),
    BIND_V(ssm_conv, "shortconv.conv.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_EMBD),
    BIND_W(ssm_out, "shortconv.out_proj.weight", BIND_RECURRENT, DIM_EMBD, DIM_EMBD),
    BIND_FFN,
    BIND_EXPERTS,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    uint32_t window = 0;
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(model_get_u32(m, "shortconv.l_cache", 2, SSM_MAX_TAPS, &s->taps, err));
    TRY(model_opt_bool(m, "attention.causal", &m->hp.causal, err));
    if (!m->hp.causal)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s.attention.causal is false, which is not supported", gguf_path(m->file), m->arch_name);
    s->channels = m->hp.n_embd;
    s->proj = 3 * m->hp.n_embd;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, INT32_MAX, &window, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        layer_hp *l = &m->hp.layer[i];
        l->recurrent = l->n_head_kv == 0;
        if (l->recurrent)
            l->conv_state = (s->taps - 1) * s->channels;
        else
            l->window = window;
    }
    return TAWNY_OK;
}

static tawny_status load_lfm2(model *m, tawny_error *err)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++) m->hp.layer[i].moe = false;
    return load(m, err);
}

static tawny_status load_lfm2moe(model *m, tawny_error *err)
{
    TRY(load(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_leading_dense(m, err));
    m->hp.expert_norm = true;
    return load_gating(m, MOE_GATING_SIGMOID, err);
}

const arch arch_lfm2 = {.name = "lfm2", .hybrid = true, .load = load_lfm2, .bindings = bindings, .forward = forward};
const arch arch_lfm2moe = {.name = "lfm2moe", .hybrid = true, .load = load_lfm2moe, .bindings = bindings, .forward = forward};
