/* apertus: llama's layers with norms of q and k, and xIELU without a gate (Huang and Schlag, arXiv 2411.13010). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

/* Where x > 0: ap x^2 + beta x; otherwise an (e^min(x, eps) - 1 - x) + beta x. With t = tanh(x / 2) the first
 * difference is 2 t / (1 - t), which loses nothing near 0. */
static void xielu(float *y, const float *x, size_t n, const float *p)
{
    float an = p[0], ap = p[1], beta = p[2], eps = p[3];
    for (size_t i = 0; i < n; i++) y[i] = 0.5f * (x[i] < eps ? x[i] : eps);
    simd.tanh(y, y, n);
    for (size_t i = 0; i < n; i++) {
        float low = (2 * y[i] / (1 - y[i]) - x[i]) * an, high = ap * x[i] * x[i];
        y[i] = (x[i] > 0 ? high : low) + beta * x[i];
    }
}

static void feed_forward(run *r, decoder *d, uint32_t il, float *wide)
{
    const layer_weights *L = &r->m->layers[il];
    const layer_hp *l = &r->m->hp.layer[il];
    op_matmul(r, d->up, &L->up, NULL, d->h);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) xielu(wide + (size_t)t * l->n_ff, d->up + (size_t)t * l->n_ff, l->n_ff, l->act);
    run_tokens_done(r);
    op_matmul(r, d->y, &L->down, NULL, wide);
}

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder d;
    uint32_t ff = 0;
    for (uint32_t il = 0; il < hp->n_layer; il++)
        if (hp->layer[il].n_ff > ff) ff = hp->layer[il].n_ff;
    decoder_buffers(r, &d);
    float *wide = run_tokens(r, ff);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        const layer_weights *L = &r->m->layers[il];
        op_norm(r, d.h, d.x, L->attn_norm, NULL);
        block_attention(r, &d, il, &(attn_block){.scale = hp->attn_scale, .qk_norm = QK_NORM_HEADS});
        block_residual(r, &d, d.y, NULL);
        op_norm(r, d.h, d.x, L->ffn_norm, NULL);
        feed_forward(r, &d, il, wide);
        block_residual(r, &d, d.y, NULL);
        run_probe_at(r, "l_out", (int)il, d.x, r->n, hp->n_embd);
    }
    op_logits(r, d.x);
}

static const binding bindings[] = {
    BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_QK_NORMS(0), BIND_FFN_UNGATED, {0},
};

/* A number for all layers or an array of one for each; the keys have no prefix. */
static tawny_status parameter(model *m, const char *key, int which, tawny_error *err)
{
    float v[MODEL_MAX_LAYERS];
    TRY(model_f32_per_layer(m, key, -1e6f, 1e6f, NULL, v, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) m->hp.layer[i].act[which] = v[i];
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(parameter(m, "xielu.alpha_n", 0, err));
    TRY(parameter(m, "xielu.alpha_p", 1, err));
    TRY(parameter(m, "xielu.beta", 2, err));
    TRY(parameter(m, "xielu.eps", 3, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        float *p = hp->layer[i].act;
        simd.softplus(p, p, 2);
        p[0] += p[2];
    }
    return TAWNY_OK;
}

const arch arch_apertus = {.name = "apertus", .load = load, .bindings = bindings, .forward = forward};
