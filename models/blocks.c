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
static uint32_t dim_ff(const layer_hp *l) { return l->moe ? 0 : l->n_ff; }

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
    d->attn = run_rows(r, most(m, dim_o));
    d->y = run_rows(r, m->hp.n_embd);
    d->gate = run_rows(r, most(m, dim_ff));
    d->up = run_rows(r, most(m, dim_ff));
}

/* A part of a fused matrix: rows [row, row + n). */
static weight rows_of(const weight *w, int64_t row, int64_t n)
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
    op_matmul_jobs(r, jobs, 3, d->h);
}

void block_attention(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    const layer_weights *L = &r->m->layers[il];
    const layer_hp *l = &r->m->hp.layer[il];
    project_qkv(r, d, L, l);
    if (a->qk_norm && L->q_norm) {
        op_rms_norm_heads(r, d->qr, d->q, L->q_norm, l->n_head, l->dk, r->m->hp.norm_eps);
        op_rms_norm_heads(r, d->kr, d->k, L->k_norm, l->n_head_kv, l->dk, r->m->hp.norm_eps);
    } else {
        op_copy(r, d->qr, d->q, dim_q(l));
        op_copy(r, d->kr, d->k, dim_k(l));
    }
    op_rope(r, d->qr, il, l->n_head, l->dk);
    op_rope(r, d->kr, il, l->n_head_kv, l->dk);
    op_attn_temperature(r, d->qr, dim_q(l));
    run_probe_at(r, "q", (int)il, d->qr, r->n, dim_q(l));
    run_probe_at(r, "k", (int)il, d->kr, r->n, dim_k(l));
    run_probe_at(r, "v", (int)il, d->v, r->n, dim_v(l));
    op_kv_store(r, il, d->kr, d->v);
    op_attention(r, il, d->attn, d->qr, &(attn_spec){a->scale, a->softcap, a->sinks, a->slopes});
    run_probe_at(r, "attn", (int)il, d->attn, r->n, dim_o(l));
    op_matmul(r, d->y, &L->wo, L->bo, d->attn);
    run_probe_at(r, "attn_out", (int)il, d->y, r->n, r->m->hp.n_embd);
}

void block_ffn(run *r, decoder *d, uint32_t il, glu act)
{
    const layer_weights *L = &r->m->layers[il];
    job gate = {&L->gate, L->gate_b, d->gate}, up = {&L->up, L->up_b, d->up};
    op_matmul_glu(r, &gate, &up, act, d->h);
    op_matmul(r, d->y, &L->down, L->down_b, d->gate);
    run_probe_at(r, "ffn_out", (int)il, d->y, r->n, r->m->hp.n_embd);
}
