/* kimi-linear: layers of linear attention whose decay is a channel's own (KDA), and latent attention without positions in
 * the layers with KV heads; experts beside shared ones (arXiv 2510.26692). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "load.h"
#include "mla.h"
#include "recurrent.h"

/* Logarithms of the decay from the gate's rows, with the layer's bias and each head's A; steps from theirs. Token buffers. */
static void gates(run *r, const layer_weights *L, float *g, float *beta, const float *wide, const float *steps)
{
    const ssm_hp *s = &r->m->hp.ssm;
    size_t inner = s->inner, dim = s->state;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *row = g + (size_t)t * inner;
        simd.add(row, wide + (size_t)t * inner, L->ssm_dt_b, inner);
        simd.softplus(row, row, inner);
        for (size_t h = 0; h < s->heads; h++) simd.scale(row + h * dim, row + h * dim, L->ssm_a[h], dim);
        simd.sigmoid(beta + (size_t)t * s->heads, steps + (size_t)t * s->heads, s->heads);
    }
    run_tokens_done(r);
}

/* q, k, v [n][inner], each after a short convolution of its own. */
static void convolutions(run *r, uint32_t il, const float *h, float *const conv[3])
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    const float *w[3] = {L->ssm_conv, L->ssm_conv_k, L->ssm_conv_v}, *in[3];
    run_mark mark = run_mark_at(r);
    float *all = run_rows(r, s->proj);
    size_t part = r->plan ? 0 : s->inner * (L->wqkv.data ? 1 : (size_t)r->n);
    for (int i = 0; i < 3; i++) in[i] = all + (size_t)i * part;
    if (L->wqkv.data) {
        op_matmul(r, all, &L->wqkv, NULL, h);
    } else {
        job jobs[3] = {{&L->wq, NULL, all}, {&L->wk, NULL, all + part}, {&L->wv, NULL, all + 2 * part}};
        op_matmul_jobs(r, jobs, 3, h);
    }
    for (int i = 0; i < 3; i++)
        op_conv(r, il, conv[i], &(conv_spec){
            .x = in[i], .ldx = L->wqkv.data ? s->proj : s->inner, .w = w[i], .taps = s->taps, .channels = s->inner, .silu = true,
            .at = (size_t)i * (s->taps - 1) * s->inner,
        });
    run_release(r, mark);
}

static void delta_attention(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    run_mark mark = run_mark_at(r);
    float *conv[3], *wide = run_rows(r, s->inner), *gate = run_rows(r, s->inner), *o = run_rows(r, s->inner);
    for (int i = 0; i < 3; i++) conv[i] = run_rows(r, s->inner);
    float *narrow = run_rows(r, s->state), *narrow_g = run_rows(r, s->state), *steps = run_rows(r, s->heads);
    float *g = run_tokens(r, s->inner), *beta = run_tokens(r, s->heads);
    convolutions(r, il, d->h, conv);
    job jobs[3] = {{&L->ssm_f_a, NULL, narrow}, {&L->ssm_g_a, NULL, narrow_g}, {&L->ssm_beta, NULL, steps}};
    op_matmul_jobs(r, jobs, 3, d->h);
    op_matmul(r, wide, &L->ssm_f_b, NULL, narrow);
    op_matmul(r, gate, &L->ssm_g_b, NULL, narrow_g);
    gates(r, L, g, beta, wide, steps);
    op_delta(r, il, o, &(delta_spec){
        .heads = s->heads, .key_heads = s->heads, .dk = s->state, .dv = s->state, .q = conv[0], .k = conv[1], .v = conv[2],
        .ldqk = s->inner, .ldv = s->inner, .g = g, .beta = beta, .channel_decay = true, .l2_eps = r->m->hp.norm_eps,
        .norm = L->ssm_norm, .norm_eps = r->m->hp.norm_eps, .gate = gate, .ldgate = s->inner, .gate_sigmoid = true,
    });
    run_probe_at(r, "linear_attn", (int)il, o, r->n, s->inner);
    op_matmul(r, d->y, &L->wo, NULL, o);
    run_release(r, mark);
}

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        delta_attention(r, d, il);
    else
        block_mla(r, d, il, a);
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix});
}

static const binding bindings[] = {
    BIND_ENDS, BIND_PRE_NORMS,
    BIND_W(wqkv, "attn_qkv.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_EMBD, DIM_SSM_PROJ),
    BIND_W(wq, "attn_q.weight", BIND_RECURRENT | BIND_SPLIT_QKV, DIM_EMBD, DIM_SSM_INNER),
    BIND_W(wk, "attn_k.weight", BIND_RECURRENT | BIND_SPLIT_QKV, DIM_EMBD, DIM_SSM_INNER),
    BIND_W(wv, "attn_v.weight", BIND_RECURRENT | BIND_SPLIT_QKV, DIM_EMBD, DIM_SSM_INNER),
    BIND_V(ssm_conv, "ssm_conv1d_q.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_ONE, DIM_SSM_INNER),
    BIND_V(ssm_conv_k, "ssm_conv1d_k.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_ONE, DIM_SSM_INNER),
    BIND_V(ssm_conv_v, "ssm_conv1d_v.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_ONE, DIM_SSM_INNER),
    BIND_W(ssm_f_a, "ssm_f_a.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_STATE),
    BIND_W(ssm_f_b, "ssm_f_b.weight", BIND_RECURRENT, DIM_SSM_STATE, DIM_SSM_INNER),
    BIND_W(ssm_g_a, "ssm_g_a.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_STATE),
    BIND_W(ssm_g_b, "ssm_g_b.weight", BIND_RECURRENT, DIM_SSM_STATE, DIM_SSM_INNER),
    BIND_W(ssm_beta, "ssm_beta.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_HEADS),
    BIND_V(ssm_a, "ssm_a", BIND_RECURRENT, DIM_ONE, DIM_SSM_HEADS),
    BIND_V(ssm_dt_b, "ssm_dt.bias", BIND_RECURRENT, DIM_SSM_INNER),
    BIND_V(ssm_norm, "ssm_norm.weight", BIND_RECURRENT, DIM_SSM_STATE),
    BIND_W(wo, "attn_output.weight", BIND_RECURRENT, DIM_SSM_INNER, DIM_EMBD),
    BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    {0},
};

static tawny_status load_delta(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    TRY(model_get_u32(m, "ssm.conv_kernel", 1, SSM_MAX_TAPS, &s->taps, err));
    TRY(model_get_u32(m, "kda.head_dim", 1, SSM_MAX_HEAD, &s->state, err));
    for (uint32_t i = 0; i < m->hp.n_layer && !s->heads; i++) s->heads = m->hp.layer[i].n_head;
    if (!s->heads || s->heads > MODEL_MAX_GROUP)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s.attention.head_count %u is not from 1 to %d", gguf_path(m->file), m->arch_name, s->heads,
                       MODEL_MAX_GROUP);
    s->groups = s->heads;
    s->inner = s->heads * s->state;
    s->proj = 3 * s->inner;
    return TAWNY_OK;
}

static tawny_status load_mixture(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t shared = 0;
    char name[64];
    hp->expert_norm = true;
    TRY(load_needs_experts(m, err));
    TRY(load_leading_dense(m, err));
    TRY(load_gating(m, MOE_GATING_SIGMOID, err));
    TRY(model_opt_u32(m, "expert_shared_count", 0, 64, &shared, err));
    snprintf(name, sizeof name, "blk.%u.ffn_gate_shexp.weight", hp->n_layer - 1);
    if (gguf_tensor_find(m->file, name)) hp->n_ff_shexp = hp->n_ff_exp * (shared ? shared : 1);
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NONE;
    TRY(load_rms_eps(m, err));
    TRY(load_delta(m, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        layer_hp *l = &hp->layer[i];
        l->recurrent = l->n_head_kv == 0;
        l->n_head = l->recurrent ? 0 : hp->ssm.heads;
        if (!l->recurrent) continue;
        l->conv_state = 3 * (hp->ssm.taps - 1) * hp->ssm.inner;
        l->state = hp->ssm.inner * hp->ssm.state;
    }
    TRY(load_mla(m, err));
    hp->attn_scale = 1 / sqrtf((float)(hp->mla.nope + hp->mla.rope));
    TRY(load_mixture(m, err));
    return bind_mla(m, err);
}

const arch arch_kimi_linear = {.name = "kimi-linear", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
