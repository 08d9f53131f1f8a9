/* qwen3next, qwen35 and qwen35moe: three layers of linear attention (the gated delta rule) to one of attention whose
 * output a gate weighs; dense or experts beside a shared one. The text side of the Qwen3.5 family has RoPE in sections.
 * Published as Qwen3-Next (arXiv 2412.06464 has the recurrence). */
#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "recurrent.h"

/* Queries and gates come in one row, head by head: the former normed and rotated, the latter applied at the end. */
static void gated_attention(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    const layer_weights *L = &r->m->layers[il];
    const layer_hp *l = &r->m->hp.layer[il];
    int64_t dk = l->dk, nq = (int64_t)l->n_head * dk, nk = (int64_t)l->n_head_kv * dk;
    run_mark mark = run_mark_at(r);
    float *qg = run_rows(r, 2 * nq), *gate = run_tokens(r, nq), *out = run_tokens(r, nq);
    weight q = L->wq, k = L->wk, v = L->wv;
    if (L->wqkv.data) {
        q = rows_of(&L->wqkv, 0, 2 * nq);
        k = rows_of(&L->wqkv, 2 * nq, nk);
        v = rows_of(&L->wqkv, 2 * nq + nk, nk);
    }
    job jobs[3] = {{&q, L->bq, qg}, {&k, L->bk, d->k}, {&v, L->bv, d->v}};
    op_matmul_jobs(r, jobs, 3, d->h);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++)
        for (uint32_t h = 0; h < l->n_head; h++) {
            const float *both = qg + ((size_t)t * l->n_head + h) * 2 * l->dk;
            size_t at = ((size_t)t * l->n_head + h) * l->dk;
            simd.rms_norm(d->qr + at, both, L->q_norm, l->dk, r->m->hp.norm_eps);
            simd.sigmoid(gate + at, both + l->dk, l->dk);
        }
    run_tokens_done(r);
    op_rms_norm_heads(r, d->kr, d->k, L->k_norm, l->n_head_kv, dk, r->m->hp.norm_eps);
    op_rope(r, d->qr, il, l->n_head, dk);
    op_rope(r, d->kr, il, l->n_head_kv, dk);
    run_probe_at(r, "Qcur", (int)il, d->qr, r->n, nq);
    run_probe_at(r, "Kcur", (int)il, d->kr, r->n, nk);
    op_kv_store(r, il, d->kr, d->v);
    op_attention(r, il, d->attn, d->qr, &(attn_spec){.scale = a->scale});
    op_mul_rows(r, out, d->attn, (size_t)nq, gate, (size_t)nq, nq);
    run_probe_at(r, "kqv_out", (int)il, out, r->n, nq);
    op_matmul(r, d->y, &L->wo, L->bo, out);
    run_release(r, mark);
}

/* qkv [n][channels] and z [n][inner] from one projection or two. In the fused one each key head has its own q, k, v, z. */
static void project_qkvz(run *r, const layer_weights *L, const float *h, float *qkv, float *z)
{
    const ssm_hp *s = &r->m->hp.ssm;
    if (!L->ssm_in.data) {
        job jobs[2] = {{&L->wqkv, NULL, qkv}, {&L->ssm_gate, NULL, z}};
        op_matmul_jobs(r, jobs, 2, h);
        return;
    }
    size_t k = s->state, v = s->inner / s->groups, row = 2 * (k + v);
    run_mark mark = run_mark_at(r);
    float *all = run_rows(r, s->proj);
    op_matmul(r, all, &L->ssm_in, NULL, h);
    for (int t = r->tid; t < r->n && !r->plan; t += r->threads)
        for (size_t g = 0; g < s->groups; g++) {
            const float *from = all + (size_t)t * s->proj + g * row;
            float *to = qkv + (size_t)t * s->channels;
            memcpy(to + g * k, from, k * sizeof *to);
            memcpy(to + (s->groups + g) * k, from + k, k * sizeof *to);
            memcpy(to + 2 * s->groups * k + g * v, from + 2 * k, v * sizeof *to);
            memcpy(z + (size_t)t * s->inner + g * v, from + 2 * k + v, v * sizeof *to);
        }
    run_barrier(r);
    run_release(r, mark);
}

/* One head's gate and step: g = softplus(alpha + dt_b) A, beta = sigmoid(b). */
static void gate_head(const layer_weights *L, uint32_t head, float alpha, float b, float *g, float *beta)
{
    float x = alpha + L->ssm_dt_b[head];
    simd.softplus(&x, &x, 1);
    *g = x * L->ssm_a[head];
    simd.sigmoid(beta, &b, 1);
}

/* g and beta: token buffers [n][heads]. In the fused projection each key head has its betas, then its alphas. */
static void project_gates(run *r, const layer_weights *L, const float *h, float *g, float *beta)
{
    const ssm_hp *s = &r->m->hp.ssm;
    run_mark mark = run_mark_at(r);
    float *rows = run_rows(r, 2 * (int64_t)s->heads), *alphas = rows + (r->plan ? 0 : (size_t)r->n * s->heads);
    bool fused = L->ssm_x.data != NULL;
    if (fused) {
        op_matmul(r, rows, &L->ssm_x, NULL, h);
    } else {
        job jobs[2] = {{&L->ssm_beta, NULL, rows}, {&L->ssm_alpha, NULL, alphas}};
        op_matmul_jobs(r, jobs, 2, h);
    }
    uint32_t each = s->heads / s->groups;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++)
        for (uint32_t i = 0; i < s->heads; i++) {
            size_t at = (size_t)t * s->heads + i, two = (size_t)t * 2 * s->heads + i / each * 2 * each + i % each;
            gate_head(L, i, fused ? rows[two + each] : alphas[at], fused ? rows[two] : rows[at], g + at, beta + at);
        }
    run_barrier(r); /* rows are shared, and given back */
    run_release(r, mark);
}

static void linear_attention(run *r, decoder *d, uint32_t il, bool interleaved)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    run_mark mark = run_mark_at(r);
    float *g = run_tokens(r, s->heads), *beta = run_tokens(r, s->heads);
    float *qkv = run_rows(r, s->channels), *conv = run_rows(r, s->channels), *z = run_rows(r, s->inner), *o = run_rows(r, s->inner);
    project_qkvz(r, L, d->h, qkv, z);
    project_gates(r, L, d->h, g, beta);
    op_conv(r, il, conv, &(conv_spec){
        .x = qkv, .ldx = s->channels, .w = L->ssm_conv, .taps = s->taps, .channels = s->channels, .silu = true,
    });
    size_t keys = (size_t)s->groups * s->state;
    op_delta(r, il, o, &(delta_spec){
        .heads = s->heads, .key_heads = s->groups, .dk = s->state, .dv = s->inner / s->heads, .interleaved = interleaved,
        .q = conv, .k = conv + (r->plan ? 0 : keys), .v = conv + (r->plan ? 0 : 2 * keys), .ldqk = s->channels, .ldv = s->channels,
        .g = g, .beta = beta, .l2_eps = r->m->hp.norm_eps, .norm = L->ssm_norm, .norm_eps = r->m->hp.norm_eps, .gate = z, .ldgate = s->inner,
    });
    run_probe_at(r, "linear_attn", (int)il, o, r->n, s->inner);
    op_matmul(r, d->y, &L->ssm_out, NULL, o);
    run_release(r, mark);
}

static void mix_qwen3next(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        linear_attention(r, d, il, true);
    else
        gated_attention(r, d, il, a);
}

static void mix_qwen35(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        linear_attention(r, d, il, false);
    else
        gated_attention(r, d, il, a);
}

static void forward_qwen3next(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix_qwen3next});
}

static void forward_qwen35(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix_qwen35});
}

#define LINEAR                                                                                         \
    BIND_V(ssm_conv, "ssm_conv1d.weight", BIND_RECURRENT, DIM_SSM_TAPS, DIM_SSM_CHANNELS),             \
    BIND_V(ssm_dt_b, "ssm_dt.bias", BIND_RECURRENT, DIM_SSM_HEADS),                                    \
    BIND_V(ssm_a, "ssm_a", BIND_RECURRENT, DIM_SSM_HEADS),                                             \
    BIND_V(ssm_norm, "ssm_norm.weight", BIND_RECURRENT, DIM_SSM_HEAD),                                 \
    BIND_W(ssm_out, "ssm_out.weight", BIND_RECURRENT, DIM_SSM_INNER, DIM_EMBD)

#define COMMON                                                                                         \
    BIND_ENDS,                                                                                         \
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),                                                \
    BIND_V(ffn_norm, "post_attention_norm.weight", 0, DIM_EMBD),                                       \
    BIND_W(wqkv, "attn_qkv.weight", BIND_ATTENTION | BIND_OPTIONAL, DIM_EMBD, DIM_2QKV),               \
    BIND_W(wq, "attn_q.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_2Q),                    \
    BIND_W(wk, "attn_k.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_K),                     \
    BIND_W(wv, "attn_v.weight", BIND_ATTENTION | BIND_SPLIT_QKV, DIM_EMBD, DIM_V),                     \
    BIND_V(bq, "attn_q.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_2Q),                                 \
    BIND_V(bk, "attn_k.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_K),                                  \
    BIND_V(bv, "attn_v.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_V),                                  \
    BIND_W(wo, "attn_output.weight", BIND_ATTENTION, DIM_O, DIM_EMBD),                                 \
    BIND_QK_NORMS(BIND_ATTENTION), LINEAR

#define MIXTURE                                                                                        \
    BIND_EXPERTS, BIND_SHARED_EXPERT, BIND_V(router_sh, "ffn_gate_inp_shexp.weight", BIND_MOE, DIM_EMBD)

#define LINEAR_35                                                                                      \
    BIND_W(wqkv, "attn_qkv.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_CHANNELS),                       \
    BIND_W(ssm_gate, "attn_gate.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_INNER),                     \
    BIND_W(ssm_beta, "ssm_beta.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_HEADS),                      \
    BIND_W(ssm_alpha, "ssm_alpha.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_HEADS)

static const binding bindings_qwen35[] = {COMMON, LINEAR_35, BIND_FFN, {0}};
static const binding bindings_qwen35moe[] = {COMMON, LINEAR_35, MIXTURE, {0}};
static const binding bindings_qwen3next[] = {
    COMMON, MIXTURE,
    BIND_W(wqkv, "attn_qkv.weight", BIND_RECURRENT | BIND_OPTIONAL, DIM_EMBD, DIM_SSM_CHANNELS),
    BIND_W(ssm_gate, "attn_gate.weight", BIND_RECURRENT | BIND_WITH_QKV, DIM_EMBD, DIM_SSM_INNER),
    BIND_W(ssm_in, "ssm_in.weight", BIND_RECURRENT | BIND_SPLIT_QKV, DIM_EMBD, DIM_SSM_PROJ),
    BIND_W(ssm_x, "ssm_ba.weight", BIND_RECURRENT, DIM_EMBD, DIM_SSM_2HEADS),
    {0},
};

static tawny_status load_sizes(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    TRY(model_get_u32(m, "ssm.conv_kernel", 1, SSM_MAX_TAPS, &s->taps, err));
    TRY(model_get_u32(m, "ssm.inner_size", 1, 1 << 20, &s->inner, err));
    TRY(model_get_u32(m, "ssm.state_size", 1, SSM_MAX_HEAD, &s->state, err));
    TRY(model_get_u32(m, "ssm.time_step_rank", 1, 65536, &s->heads, err));
    TRY(model_get_u32(m, "ssm.group_count", 1, s->heads, &s->groups, err));
    if (s->heads % s->groups || s->inner != (uint64_t)s->heads * s->state)
        return err_set(err, TAWNY_E_FORMAT,
                       "%s: %s.ssm.inner_size %u is not time_step_rank %u times state_size %u, or group_count %u does not divide it",
                       gguf_path(m->file), m->arch_name, s->inner, s->heads, s->state, s->groups);
    s->channels = s->inner + 2 * s->groups * s->state;
    s->proj = s->channels + s->inner;
    return TAWNY_OK;
}

/* Layers of linear attention: those that an array marks, or all but every fourth (or other interval). */
static tawny_status load_layers(model *m, tawny_error *err)
{
    const ssm_hp *s = &m->hp.ssm;
    uint32_t interval = 4, fallback[MODEL_MAX_LAYERS], recurrent[MODEL_MAX_LAYERS];
    TRY(model_opt_u32(m, "full_attention_interval", 1, 1 << 20, &interval, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) fallback[i] = (i + 1) % interval != 0;
    TRY(model_opt_per_layer(m, "attention.recurrent_layers", 1, fallback, recurrent, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        layer_hp *l = &m->hp.layer[i];
        if (!recurrent[i] && (l->n_head_kv == 0 || l->dv != l->dk))
            return err_set(err, TAWNY_E_FORMAT, "%s: %s: layer %u has attention, but head_count_kv %u, key_length %u, value_length %u",
                           gguf_path(m->file), m->arch_name, i, l->n_head_kv, l->dk, l->dv);
        if (!recurrent[i]) continue;
        l->recurrent = true;
        l->n_head = l->n_head_kv = 0;
        l->conv_state = (s->taps - 1) * s->channels;
        l->state = s->inner * s->state;
    }
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_sizes(m, err));
    return load_layers(m, err);
}

static tawny_status load_mixture(model *m, tawny_error *err)
{
    TRY(load_needs_experts(m, err));
    load_expert_width(m);
    m->hp.expert_norm = true;
    if (!m->hp.n_ff_shexp) m->hp.n_ff_shexp = m->hp.layer[0].n_ff;
    return TAWNY_OK;
}

static tawny_status load_qwen35(model *m, tawny_error *err)
{
    m->hp.rope_interleaved = true;
    TRY(load(m, err));
    return load_rope_sections(m, true, err);
}

static tawny_status load_qwen35moe(model *m, tawny_error *err)
{
    TRY(load_qwen35(m, err));
    return load_mixture(m, err);
}

static tawny_status load_qwen3next(model *m, tawny_error *err)
{
    TRY(load(m, err));
    return load_mixture(m, err);
}

const arch arch_qwen35 = {.name = "qwen35", .hybrid = true, .load = load_qwen35, .bindings = bindings_qwen35, .forward = forward_qwen35};
const arch arch_qwen35moe = {
    .name = "qwen35moe", .hybrid = true, .load = load_qwen35moe, .bindings = bindings_qwen35moe, .forward = forward_qwen35,
};
const arch arch_qwen3next = {
    .name = "qwen3next", .hybrid = true, .load = load_qwen3next, .bindings = bindings_qwen3next, .forward = forward_qwen3next,
};
