/* Attention and feed-forward blocks of decoder layers. */
#include "blocks.h"

#include <string.h>

static int64_t most(const model *m, uint32_t (*of)(const layer_hp *))
{
    uint32_t top = 0;
    for (uint32_t i = 0; i < m->hp.n_layer; i++)
        if (of(&m->hp.layer[i]) > top) top = of(&m->hp.layer[i]);
    return top;
}

static uint32_t dim_q(const layer_hp *l) { return l->n_head * l->dk; }
static uint32_t dim_k(const layer_hp *l) { return l->n_head_kv * l->dk; }
static uint32_t dim_v(const layer_hp *l) { return l->n_head_kv * l->dv; }
static uint32_t dim_o(const layer_hp *l) { return l->n_head * l->dv; }
static uint32_t dim_ff(const layer_hp *l) { return l->n_ff; }

void decoder_buffers(run *r, decoder *d)
{
    const model *m = r->m;
    d->x = run_tokens(r, m->hp.n_embd);
    d->h = run_tokens(r, m->hp.n_embd);
    d->q = run_rows(r, most(m, dim_q));
    d->k = run_rows(r, most(m, dim_k));
    d->v = run_rows(r, most(m, dim_v));
    d->qr = run_tokens(r, most(m, dim_q));
    d->kr = run_tokens(r, most(m, dim_k));
    d->vr = run_tokens(r, most(m, dim_v));
    d->t = run_tokens(r, m->hp.n_embd);
    d->attn = run_rows(r, most(m, dim_o));
    d->y = run_rows(r, m->hp.n_embd);
    int64_t ff = most(m, dim_ff), shared = m->hp.n_ff_shexp;
    d->gate = run_rows(r, ff > shared ? ff : shared);
    d->up = run_rows(r, ff > shared ? ff : shared);
}

weight rows_of(const weight *w, int64_t row, int64_t n)
{
    weight part = *w;
    part.data = w->data + (size_t)row * w->row_bytes;
    part.rows = n;
    return part;
}

static void project_qkv(run *r, decoder *d, const layer_weights *L, const layer_hp *l)
{
    int64_t nq = dim_q(l), nk = dim_k(l), nv = dim_v(l);
    weight q = L->wq, k = L->wk, v = L->wv;
    const float *bq = L->bq, *bk = L->bk, *bv = L->bv;
    if (L->wqkv.data) {
        q = rows_of(&L->wqkv, 0, nq);
        k = rows_of(&L->wqkv, nq, nk);
        v = rows_of(&L->wqkv, nq + nk, nv);
        if (L->bqkv) {
            bq = L->bqkv;
            bk = L->bqkv + nq;
            bv = L->bqkv + nq + nk;
        }
    }
    job jobs[3] = {{&q, bq, d->q}, {&k, bk, d->k}, {&v, bv, d->v}};
    op_matmul_jobs(r, jobs, l->kv_shared ? 1 : v.data ? 3 : 2, d->h);
}

/* Queries or keys [n][heads][dk] from a row buffer to a token buffer, up to RoPE. */
static void norm_heads(run *r, const attn_block *a, float *to, const float *from, const float *w, const float *bias,
                       int64_t heads, int64_t dk)
{
    float eps = r->m->hp.norm_eps;
    if (a->clamp > 0) {
        op_clamp(r, to, from, a->clamp, heads * dk);
        from = to;
    }
    if (a->qk_norm == QK_NORM_HEADS && w)
        op_rms_norm_heads(r, to, from, w, heads, dk, eps);
    else if (a->qk_norm == QK_NORM_ROWS && w)
        op_rms_norm(r, to, from, w, heads * dk, eps);
    else if (a->qk_norm == QK_NORM_LAYER && w)
        op_layer_norm_heads(r, to, from, w, NULL, heads, dk, true, eps);
    else if (a->qk_norm == QK_NORM_LAYER_ROWS && w)
        op_layer_norm_heads(r, to, from, w, bias, 1, heads * dk, false, eps);
    else if (from != to)
        op_copy(r, to, from, heads * dk);
}

static void rotate_heads(run *r, uint32_t il, const attn_block *a, float *x, const float *w, int64_t heads,
                         int64_t dk)
{
    op_rope(r, x, il, heads, dk);
    bool plain = a->qk_norm == QK_NORM_PLAIN_AFTER && !r->m->hp.layer[il].no_rope;
    if (plain || (a->qk_norm == QK_NORM_AFTER && w))
        op_rms_norm_heads(r, x, x, plain ? NULL : w, heads, dk, r->m->hp.norm_eps);
}

/* Values, normed or limited where the block says so. */
static const float *values(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    const layer_hp *l = &r->m->hp.layer[il];
    const float *v = r->m->layers[il].wv.data || r->m->layers[il].wqkv.data ? d->v : d->k;
    if (a->v_norm)
        op_rms_norm_heads(r, d->vr, v, NULL, l->n_head_kv, l->dv, r->m->hp.norm_eps);
    else if (a->clamp > 0)
        op_clamp(r, d->vr, v, a->clamp, dim_v(l));
    else
        return v;
    return d->vr;
}

/* d->attn under sigmoid(gate h): a number of its own for each, or for each head. */
static const float *gated_heads(run *r, decoder *d, uint32_t il)
{
    const weight *w = &r->m->layers[il].attn_gate;
    size_t n = (size_t)dim_o(&r->m->hp.layer[il]), rows = (size_t)w->rows, each = n / rows;
    float *gate = run_rows(r, w->rows), *s = run_tokens(r, w->rows), *y = run_tokens(r, (int64_t)n);
    op_matmul(r, gate, w, NULL, d->h);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        const float *x = d->attn + (size_t)t * n, *g = s + (size_t)t * rows;
        simd.sigmoid(s + (size_t)t * rows, gate + (size_t)t * rows, rows);
        if (each == 1)
            simd.mul(y + (size_t)t * n, x, g, n);
        else
            for (size_t i = 0; i < rows; i++) simd.scale(y + (size_t)t * n + i * each, x + i * each, g[i], each);
    }
    run_tokens_done(r);
    run_probe_at(r, "attn_gated", (int)il, y, r->n, (int64_t)n);
    return y;
}

/* What the output projection of attention reads: gated or normed where the layer says so. */
static const float *heads_out(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    int64_t n = dim_o(&r->m->hp.layer[il]);
    if (L->attn_gate.data) return gated_heads(r, d, il);
    if (!L->attn_sub_norm) return d->attn;
    float *y = run_tokens(r, n);
    op_rms_norm(r, y, d->attn, L->attn_sub_norm, n, r->m->hp.norm_eps);
    return y;
}

void block_attention(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    const layer_weights *L = &r->m->layers[il];
    const layer_hp *l = &r->m->hp.layer[il];
    run_probe_at(r, "attn_norm", (int)il, d->h, r->n, r->m->hp.n_embd);
    project_qkv(r, d, L, l);
    norm_heads(r, a, d->qr, d->q, L->q_norm, L->q_norm_b, l->n_head, l->dk);
    rotate_heads(r, il, a, d->qr, L->q_norm, l->n_head, l->dk);
    if (!a->temperature_without_rope || l->no_rope) op_attn_temperature(r, d->qr, dim_q(l));
    run_probe_at(r, "Qcur", (int)il, d->qr, r->n, dim_q(l));
    if (!l->kv_shared) {
        norm_heads(r, a, d->kr, d->k, L->k_norm, L->k_norm_b, l->n_head_kv, l->dk);
        rotate_heads(r, il, a, d->kr, L->k_norm, l->n_head_kv, l->dk);
        const float *v = values(r, d, il, a);
        run_probe_at(r, "Kcur", (int)il, d->kr, r->n, dim_k(l));
        run_probe_at(r, "Vcur", (int)il, v, r->n, dim_v(l));
        op_kv_store(r, il, d->kr, v);
    }
    op_attention(r, il, d->attn, d->qr, &(attn_spec){a->scale, a->softcap, L->sinks, L->slopes});
    run_probe_at(r, "kqv_out", (int)il, d->attn, r->n, dim_o(l));
    run_mark mark = run_mark_at(r);
    op_matmul(r, d->y, &L->wo, L->bo, heads_out(r, d, il));
    run_release(r, mark);
    run_probe_at(r, "attn_out", (int)il, d->y, r->n, r->m->hp.n_embd);
}

/* What llama.cpp calls the result of a layer's activation. */
static const char *glu_name(glu act)
{
    return act == GLU_SILU ? "ffn_swiglu" : act == GLU_GELU || act == GLU_GELU_TANH ? "ffn_geglu" : "ffn_act";
}

/* d->y = down(act(gate h) * up h), under the layer's limit. */
static void gated(run *r, decoder *d, uint32_t il, const weight *gate, const float *gate_b, const weight *up,
                  const float *up_b, const weight *down, const float *down_b, glu act)
{
    job g = {gate, gate_b, d->gate}, u = {up, up_b, d->up};
    op_matmul_glu_limited(r, &g, up ? &u : NULL, act, r->m->hp.layer[il].limit_ff, d->h);
    if (down == &r->m->layers[il].down) run_probe_at(r, glu_name(act), (int)il, d->gate, r->n, gate->rows);
    op_matmul(r, d->y, down, down_b, d->gate);
}

/* d->y = down(norm(act(gate h) * up h)), or down(act(up h) / scales). */
static void reworked(run *r, decoder *d, const layer_weights *L, int64_t ff, glu act)
{
    job gate = {&L->gate, L->gate_b, d->gate}, up = {&L->up, L->up_b, d->up};
    const float *x = L->gate.data ? d->gate : d->up;
    run_mark mark = run_mark_at(r);
    float *wide = run_tokens(r, ff);
    op_matmul_glu(r, L->gate.data ? &gate : &up, L->gate.data ? &up : NULL, act, d->h);
    if (L->ffn_sub_norm)
        op_rms_norm(r, wide, x, L->ffn_sub_norm, ff, r->m->hp.norm_eps);
    else
        op_div_vector(r, wide, x, L->act_scales, ff);
    op_matmul(r, d->y, &L->down, L->down_b, wide);
    run_release(r, mark);
}

void block_ffn(run *r, decoder *d, uint32_t il, glu act)
{
    const layer_weights *L = &r->m->layers[il];
    int64_t ff = r->m->hp.layer[il].n_ff;
    run_probe_at(r, "ffn_norm", (int)il, d->h, r->n, r->m->hp.n_embd);
    if (L->gate_up.data) {
        weight gate = rows_of(&L->gate_up, 0, ff), up = rows_of(&L->gate_up, ff, ff);
        gated(r, d, il, &gate, L->gate_up_b, &up, L->gate_up_b ? L->gate_up_b + ff : NULL, &L->down, L->down_b, act);
    } else if (L->ffn_sub_norm || L->act_scales) {
        reworked(r, d, L, ff, act);
    } else if (L->gate.data) {
        gated(r, d, il, &L->gate, L->gate_b, &L->up, L->up_b, &L->down, L->down_b, act);
    } else {
        gated(r, d, il, &L->up, L->up_b, NULL, NULL, &L->down, L->down_b, act);
    }
    run_probe_at(r, "ffn_out", (int)il, d->y, r->n, r->m->hp.n_embd);
}

const float *block_feed_forward(run *r, decoder *d, uint32_t il, glu act)
{
    const layer_weights *L = &r->m->layers[il];
    int64_t dim = r->m->hp.n_embd;
    if (!r->m->hp.layer[il].moe) {
        block_ffn(r, d, il, act);
        return d->y;
    }
    run_probe_at(r, "ffn_norm", (int)il, d->h, r->n, dim);
    if (L->gate_sh.data) gated(r, d, il, &L->gate_sh, NULL, &L->up_sh, NULL, &L->down_sh, NULL, act);
    block_moe(r, il, d->t, d->h, act);
    if (L->gate_sh.data && L->router_sh)
        op_add_gated(r, d->t, d->y, L->router_sh, d->h, dim);
    else if (L->gate_sh.data)
        op_add(r, d->t, d->t, d->y, dim);
    if (L->gate_sh.data && r->m->hp.moe_scale != 1) op_scale(r, d->t, d->t, r->m->hp.moe_scale, dim);
    return d->t;
}

void block_residual(run *r, decoder *d, const float *y, const float *w)
{
    const hparams *hp = &r->m->hp;
    if (w) {
        op_norm(r, d->t, y, w, NULL);
        y = d->t;
    }
    if (hp->residual_scale != 1) {
        op_scale(r, d->t, y, hp->residual_scale, hp->n_embd);
        y = d->t;
    }
    op_add(r, d->x, d->x, y, hp->n_embd);
}

void decoder_layer(run *r, decoder *d, uint32_t il, const decoder_spec *s)
{
    const layer_weights *L = &r->m->layers[il];
    int64_t dim = r->m->hp.n_embd;
    if (s->post_only)
        op_copy(r, d->h, d->x, dim);
    else
        op_norm(r, d->h, d->x, L->attn_norm, L->attn_norm_b);
    (s->mix ? s->mix : block_attention)(r, d, il, &s->attn);
    if (s->parallel && L->ffn_norm && L->ffn_norm != L->attn_norm) op_norm(r, d->h, d->x, L->ffn_norm, L->ffn_norm_b);
    block_residual(r, d, d->y, L->attn_post_norm);
    if (!s->parallel) run_probe_at(r, "ffn_inp", (int)il, d->x, r->n, dim);
    if (!r->m->hp.layer[il].moe && !r->m->hp.layer[il].n_ff) return; /* a layer of one block */

    if (s->post_only)
        op_copy(r, d->h, d->x, dim);
    else if (!s->parallel)
        op_norm(r, d->h, d->x, L->ffn_norm, L->ffn_norm_b);
    block_residual(r, d, block_feed_forward(r, d, il, s->act), L->ffn_post_norm);
    run_probe_at(r, "l_out", (int)il, d->x, r->n, dim);
}

void decoder_forward(run *r, const decoder_spec *s)
{
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < r->m->hp.n_layer; il++) decoder_layer(r, &d, il, s);
    op_logits(r, d.x);
}
