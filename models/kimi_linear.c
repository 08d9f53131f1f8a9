/* kimi-linear: layers of linear attention whose decay is a channel's own (KDA), and latent attention without positions in
 * the layers with KV heads; experts beside shared ones (arXiv 2510.26692). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
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

/* The latent row: its first part normed, as keys and as values; the rest belongs to the keys alone. */
static void split_latent(run *r, const layer_weights *L, const float *kv, float *k, float *v)
{
    size_t lora = r->m->hp.mla.lora, row = lora + r->m->hp.mla.rope;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        memcpy(k + (size_t)t * row, kv + (size_t)t * row, row * sizeof *k);
        simd.rms_norm(k + (size_t)t * row, k + (size_t)t * row, L->kv_a_norm, lora, r->m->hp.norm_eps);
        memcpy(v + (size_t)t * lora, k + (size_t)t * row, lora * sizeof *v);
    }
    run_tokens_done(r);
}

/* to [n][heads][a]: the first a of each of x's [n][heads][ldx] */
static void take_heads(run *r, float *to, const float *x, size_t a, size_t ldx, size_t heads)
{
    int from, end;
    run_share(r, r->n, &from, &end);
    for (size_t i = (size_t)from * heads; i < (size_t)end * heads; i++) memcpy(to + i * a, x + i * ldx, a * sizeof *to);
    run_tokens_done(r);
}

/* to [n][heads][a + b] = (x [n][heads][a], the last b of y's [n][heads][ldy]) */
static void join_heads(run *r, float *to, const float *x, size_t a, const float *y, size_t ldy, size_t b, size_t heads)
{
    int from, end;
    run_share(r, r->n, &from, &end);
    for (size_t i = (size_t)from * heads; i < (size_t)end * heads; i++) {
        memcpy(to + i * (a + b), x + i * a, a * sizeof *to);
        memcpy(to + i * (a + b) + a, y + i * ldy + ldy - b, b * sizeof *to);
    }
    run_tokens_done(r);
}

/* Attention in the space of the latent rows, which are keys and values of all heads: queries are taken into it (attn_k_b),
 * results out of it (attn_v_b). */
static void latent_attention(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    const mla_hp *m = &r->m->hp.mla;
    size_t heads = r->m->hp.layer[il].n_head, nope = m->nope, lora = m->lora, rope = m->rope;
    run_mark mark = run_mark_at(r);
    float *q = run_rows(r, (int64_t)(heads * (nope + rope))), *kv = run_rows(r, (int64_t)(lora + rope));
    float *part = run_tokens(r, (int64_t)(heads * nope)), *v = run_tokens(r, (int64_t)lora);
    float *absorbed = run_rows(r, (int64_t)(heads * lora)), *out = run_rows(r, (int64_t)(heads * m->v));
    job jobs[2] = {{&L->wq, NULL, q}, {&L->wkv_a, NULL, kv}};
    op_matmul_jobs(r, jobs, 2, d->h);
    split_latent(r, L, kv, d->kr, v);
    take_heads(r, part, q, nope, nope + rope, heads);
    op_matmul_heads(r, absorbed, &L->wk_b, part);
    join_heads(r, d->qr, absorbed, lora, q, nope + rope, rope, heads);
    op_kv_store(r, il, d->kr, v);
    op_attention(r, il, d->attn, d->qr, &(attn_spec){.scale = 1 / sqrtf((float)(nope + rope))});
    op_matmul_heads(r, out, &L->wv_b, d->attn);
    run_probe_at(r, "attn", (int)il, out, r->n, (int64_t)(heads * m->v));
    op_matmul(r, d->y, &L->wo, NULL, out);
    run_release(r, mark);
}

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    (void)a;
    if (r->m->hp.layer[il].recurrent)
        delta_attention(r, d, il);
    else
        latent_attention(r, d, il);
}

static void forward(run *r) { decoder_forward(r, &(decoder_spec){.act = GLU_SILU, .mix = mix}); }

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
    BIND_W(wq, "attn_q.weight", BIND_ATTENTION, DIM_EMBD, DIM_MLA_Q),
    BIND_W(wkv_a, "attn_kv_a_mqa.weight", BIND_ATTENTION, DIM_EMBD, DIM_MLA_KV),
    BIND_V(kv_a_norm, "attn_kv_a_norm.weight", BIND_ATTENTION, DIM_MLA_LORA),
    BIND_W(wk_b, "attn_k_b.weight", BIND_ATTENTION, DIM_MLA_NOPE, DIM_MLA_LORA, DIM_HEADS),
    BIND_W(wv_b, "attn_v_b.weight", BIND_ATTENTION, DIM_MLA_LORA, DIM_MLA_V, DIM_HEADS),
    BIND_W(wo, "attn_output.weight", BIND_ATTENTION, DIM_MLA_O, DIM_EMBD),
    BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    {0},
};

static tawny_status load_latent(model *m, tawny_error *err)
{
    mla_hp *l = &m->hp.mla;
    uint32_t key;
    TRY(model_get_u32(m, "attention.kv_lora_rank", 1, SIMD_MAX_HEAD, &l->lora, err));
    TRY(model_get_u32(m, "attention.key_length_mla", 1, SIMD_MAX_HEAD, &key, err));
    TRY(model_get_u32(m, "attention.value_length_mla", 1, SIMD_MAX_HEAD, &l->v, err));
    TRY(model_get_u32(m, "rope.dimension_count", 0, key - 1, &l->rope, err));
    l->nope = key - l->rope;
    if (l->lora + l->rope > SIMD_MAX_HEAD)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s.attention.kv_lora_rank %u and rope.dimension_count %u make keys of more than %d",
                       gguf_path(m->file), m->arch_name, l->lora, l->rope, SIMD_MAX_HEAD);
    return TAWNY_OK;
}

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
    TRY(load_latent(m, err));
    TRY(load_delta(m, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        layer_hp *l = &hp->layer[i];
        l->recurrent = l->n_head_kv == 0;
        if (l->recurrent) {
            l->conv_state = 3 * (hp->ssm.taps - 1) * hp->ssm.inner;
            l->state = hp->ssm.inner * hp->ssm.state;
            l->n_head = 0;
            continue;
        }
        l->n_head = hp->ssm.heads;
        l->n_head_kv = 1;
        l->dk = hp->mla.lora + hp->mla.rope;
        l->dv = hp->mla.lora;
    }
    return load_mixture(m, err);
}

const arch arch_kimi_linear = {.name = "kimi-linear", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
