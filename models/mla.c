/* Latent attention in both of its forms. They compute the same: attn_kv_b times a latent row is what attn_k_b and
 * attn_v_b, moved to the other side of the dot products, leave to be done once a query. */
#include "mla.h"

#include <stdio.h>
#include <string.h>

#include "bindings.h"

/* Queries q [n][heads][nope + rope], by way of a narrow normed row where the model has one, and latent rows
 * kv [n][lora + rope]. */
static void project(run *r, const layer_weights *L, const float *h, float *q, float *kv)
{
    uint32_t q_lora = r->m->hp.mla.q_lora;
    run_mark mark = run_mark_at(r);
    if (!q_lora) {
        job jobs[2] = {{&L->wq, NULL, q}, {&L->wkv_a, NULL, kv}};
        op_matmul_jobs(r, jobs, 2, h);
        return;
    }
    float *narrow = run_rows(r, q_lora), *normed = run_tokens(r, q_lora);
    job jobs[2] = {{&L->wq_a, NULL, narrow}, {&L->wkv_a, NULL, kv}};
    op_matmul_jobs(r, jobs, 2, h);
    op_rms_norm(r, normed, narrow, L->q_a_norm, q_lora, r->m->hp.norm_eps);
    op_matmul(r, q, &L->wq_b, NULL, normed);
    run_release(r, mark);
}

/* RoPE of what follows the first `at` of each head's dim values. */
static void rotate_tails(run *r, uint32_t il, float *x, size_t heads, size_t dim, size_t at)
{
    op_rope(r, r->plan ? x : x + at, il, (int64_t)heads, (int64_t)dim);
}

/* The latent rows: their first part normed, which `latent` gets alone, the rest turned. */
static void split_latent(run *r, uint32_t il, const float *kv, float *row, float *latent)
{
    size_t lora = r->m->hp.mla.lora, dim = lora + r->m->hp.mla.rope;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *y = row + (size_t)t * dim;
        memcpy(y, kv + (size_t)t * dim, dim * sizeof *y);
        simd.rms_norm(y, y, r->m->layers[il].kv_a_norm, lora, r->m->hp.norm_eps);
        memcpy(latent + (size_t)t * lora, y, lora * sizeof *y);
    }
    run_tokens_done(r);
    rotate_tails(r, il, row, 1, dim, lora);
}

/* to [n][heads][a]: the values from `at` on of each of x's [n][heads][ldx] */
static void take_heads(run *r, float *to, size_t a, const float *x, size_t at, size_t ldx, size_t heads)
{
    int from, end;
    run_share(r, r->n, &from, &end);
    for (size_t i = (size_t)from * heads; i < (size_t)end * heads; i++)
        memcpy(to + i * a, x + i * ldx + at, a * sizeof *to);
    run_tokens_done(r);
}

/* to [n][heads][a + b] = (the first a of x [n][heads][ldx], b values from `at` on of y [n][y_heads][ldy]); one head of
 * y serves all. */
static void join_heads(run *r, float *to, size_t heads, const float *x, size_t a, size_t ldx, const float *y, size_t b,
                       size_t at, size_t ldy, size_t y_heads)
{
    int from, end;
    run_share(r, r->n, &from, &end);
    for (size_t i = (size_t)from * heads; i < (size_t)end * heads; i++) {
        size_t j = y_heads == heads ? i : i / heads;
        memcpy(to + i * (a + b), x + i * ldx, a * sizeof *to);
        memcpy(to + i * (a + b) + a, y + j * ldy + at, b * sizeof *to);
    }
    run_tokens_done(r);
}

static void attend(run *r, decoder *d, uint32_t il, const attn_block *a, const float *v)
{
    const layer_hp *l = &r->m->hp.layer[il];
    op_attn_temperature(r, d->qr, (int64_t)l->n_head * l->dk);
    run_probe_at(r, "Qcur", (int)il, d->qr, r->n, (int64_t)l->n_head * l->dk);
    run_probe_at(r, "Kcur", (int)il, d->kr, r->n, (int64_t)l->n_head_kv * l->dk);
    run_probe_at(r, "Vcur", (int)il, v, r->n, (int64_t)l->n_head_kv * l->dv);
    op_kv_store(r, il, d->kr, v);
    op_attention(r, il, d->attn, d->qr, &(attn_spec){.scale = a->scale});
}

/* In the space of the latent rows, which are keys and values of all heads: queries are taken into it (attn_k_b),
 * results out of it (attn_v_b). */
static const float *latent_form(run *r, decoder *d, uint32_t il, const attn_block *a, const float *q, const float *kv)
{
    const layer_weights *L = &r->m->layers[il];
    const mla_hp *m = &r->m->hp.mla;
    size_t heads = r->m->hp.layer[il].n_head, nope = m->nope, lora = m->lora, rope = m->rope;
    float *part = run_tokens(r, (int64_t)(heads * nope)), *absorbed = d->q, *out = run_rows(r, (int64_t)(heads * m->v));
    split_latent(r, il, kv, d->kr, d->vr);
    take_heads(r, part, nope, q, 0, nope + rope, heads);
    op_matmul_heads(r, absorbed, &L->wk_b, part);
    join_heads(r, d->qr, heads, absorbed, lora, lora, q, rope, nope, nope + rope, heads);
    rotate_tails(r, il, d->qr, heads, lora + rope, lora);
    attend(r, d, il, a, d->vr);
    op_matmul_heads(r, out, &L->wv_b, d->attn);
    return out;
}

/* With each head's keys and values unfolded (attn_kv_b). */
static const float *unfolded_form(run *r, decoder *d, uint32_t il, const attn_block *a, const float *q, const float *kv)
{
    const mla_hp *m = &r->m->hp.mla;
    size_t heads = r->m->hp.layer[il].n_head, nope = m->nope, lora = m->lora, rope = m->rope, both = nope + m->v;
    float *row = run_tokens(r, (int64_t)(lora + rope)), *latent = run_tokens(r, (int64_t)lora);
    float *wide = run_rows(r, (int64_t)(heads * both));
    split_latent(r, il, kv, row, latent);
    op_matmul(r, wide, &r->m->layers[il].wkv_b, NULL, latent);
    join_heads(r, d->kr, heads, wide, nope, both, row, rope, lora, lora + rope, 1);
    take_heads(r, d->vr, m->v, wide, nope, both, heads);
    op_copy(r, d->qr, q, (int64_t)(heads * (nope + rope)));
    rotate_tails(r, il, d->qr, heads, nope + rope, nope);
    attend(r, d, il, a, d->vr);
    return d->attn;
}

void block_mla(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    const mla_hp *m = &r->m->hp.mla;
    size_t heads = r->m->hp.layer[il].n_head;
    run_mark mark = run_mark_at(r);
    float *q = m->latent ? run_rows(r, (int64_t)(heads * (m->nope + m->rope))) : d->q;
    float *kv = run_rows(r, (int64_t)m->lora + m->rope);
    run_probe_at(r, "attn_norm", (int)il, d->h, r->n, r->m->hp.n_embd);
    project(r, &r->m->layers[il], d->h, q, kv);
    const float *out = (m->latent ? latent_form : unfolded_form)(r, d, il, a, q, kv);
    run_probe_at(r, "kqv_out", (int)il, out, r->n, (int64_t)(heads * m->v));
    op_matmul(r, d->y, &r->m->layers[il].wo, NULL, out);
    run_probe_at(r, "attn_out", (int)il, d->y, r->n, r->m->hp.n_embd);
    run_release(r, mark);
}

/* Whether a layer has this tensor. */
static bool anywhere(const model *m, const char *tensor)
{
    char name[GGUF_MAX_NAME];
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", i, tensor);
        if (gguf_tensor_find(m->file, name)) return true;
    }
    return false;
}

static tawny_status load_sizes(model *m, tawny_error *err)
{
    mla_hp *l = &m->hp.mla;
    uint32_t key = 0, v = 0;
    TRY(model_get_u32(m, "attention.kv_lora_rank", 1, SIMD_MAX_HEAD, &l->lora, err));
    TRY(model_opt_u32(m, "attention.key_length_mla", 0, SIMD_MAX_HEAD, &key, err));
    TRY(model_opt_u32(m, "attention.value_length_mla", 0, SIMD_MAX_HEAD, &v, err));
    if (!key != !v)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.attention.key_length_mla %u and value_length_mla %u go together",
                       gguf_path(m->file), m->arch_name, key, v);
    l->latent = key && (anywhere(m, "attn_k_b.weight") || !anywhere(m, "attn_kv_b.weight"));
    l->v = key ? v : m->hp.layer[0].dv;
    if (!key) key = m->hp.layer[0].dk;
    l->rope = m->hp.rope[0].n_rot;
    if (l->rope >= key)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count %u leaves nothing of a head's %u",
                       gguf_path(m->file), m->arch_name, l->rope, key);
    l->nope = key - l->rope;
    if (l->latent && l->lora + l->rope > SIMD_MAX_HEAD)
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "%s: %s.attention.kv_lora_rank %u and rope.dimension_count %u make keys of more than %d",
                       gguf_path(m->file), m->arch_name, l->lora, l->rope, SIMD_MAX_HEAD);
    return TAWNY_OK;
}

tawny_status load_mla(model *m, tawny_error *err)
{
    const mla_hp *a = &m->hp.mla;
    TRY(load_sizes(m, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        layer_hp *l = &m->hp.layer[i];
        if (!l->n_head_kv) continue;
        l->n_head_kv = a->latent ? 1 : l->n_head;
        l->dk = a->latent ? a->lora + a->rope : a->nope + a->rope;
        l->dv = a->latent ? a->lora : a->v;
        if (a->latent && l->n_head > MODEL_MAX_GROUP)
            return err_set(err, TAWNY_E_UNSUPPORTED,
                           "%s: %s.attention.head_count is %u in layer %u; at most %d may share a latent row",
                           gguf_path(m->file), m->arch_name, l->n_head, i, MODEL_MAX_GROUP);
    }
    return TAWNY_OK;
}

tawny_status bind_mla(model *m, tawny_error *err)
{
    static const binding all[] = {
        BIND_W(wkv_a, "attn_kv_a_mqa.weight", BIND_ATTENTION, DIM_EMBD, DIM_MLA_KV),
        BIND_V(kv_a_norm, "attn_kv_a_norm.weight", BIND_ATTENTION, DIM_MLA_LORA),
        BIND_W(wo, "attn_output.weight", BIND_ATTENTION, DIM_MLA_O, DIM_EMBD),
        {0},
    };
    static const binding latent[] = {
        BIND_W(wk_b, "attn_k_b.weight", BIND_ATTENTION, DIM_MLA_NOPE, DIM_MLA_LORA, DIM_HEADS),
        BIND_W(wv_b, "attn_v_b.weight", BIND_ATTENTION, DIM_MLA_LORA, DIM_MLA_V, DIM_HEADS),
        {0},
    };
    static const binding unfolded[] = {
        BIND_W(wkv_b, "attn_kv_b.weight", BIND_ATTENTION, DIM_MLA_LORA, DIM_MLA_KV_B),
        {0},
    };
    static const binding wide_q[] = {BIND_W(wq, "attn_q.weight", BIND_ATTENTION, DIM_EMBD, DIM_MLA_Q), {0}};
    static const binding narrow_q[] = {
        BIND_W(wq_a, "attn_q_a.weight", BIND_ATTENTION, DIM_EMBD, DIM_MLA_Q_LORA),
        BIND_V(q_a_norm, "attn_q_a_norm.weight", BIND_ATTENTION, DIM_MLA_Q_LORA),
        BIND_W(wq_b, "attn_q_b.weight", BIND_ATTENTION, DIM_MLA_Q_LORA, DIM_MLA_Q),
        {0},
    };
    TRY(model_bind(m, all, err));
    TRY(model_bind(m, m->hp.mla.latent ? latent : unfolded, err));
    return model_bind(m, m->hp.mla.q_lora ? narrow_q : wide_q, err);
}
