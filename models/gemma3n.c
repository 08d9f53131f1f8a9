/* gemma3n: gemma3's attention inside AltUp (four streams of which a layer computes one and corrects all; Baykal et
 * al., arXiv 2301.13310), LAuReL (a low-rank residual; arXiv 2411.07501), sparse feed-forwards in the first
 * layers, embeddings a layer, and keys and values shared by the last layers. Streams, rank and counts are the
 * architecture's own. */
#include <math.h>
#include <string.h>

#include "archs.h"
#include "load.h"
#include "ple.h"

enum { STREAMS = 4, LAUREL_RANK = 64, PLE_WIDTH = 256, OWN_KV_LAYERS = 20, SPARSE_LAYERS = 10 };
#define SPARSE_STD 1.6448533535003662f /* a normal variable is below mean + so many deviations 95% of the time */

typedef struct buffers {
    decoder d;
    float *x[STREAMS], *p[STREAMS]; /* token buffers: the streams, and what is predicted of them */
    float *laurel;                  /* token buffer */
    float *wide;                    /* token buffer [n][n_ff] */
    const float *ple;
} buffers;

static float magnitude(const float *x, size_t n) { return sqrtf(simd.dot(x, x, n)); }

/* y = W x, brought to the magnitude of `like`; y a token buffer. */
static void project_stream(run *r, float *y, const weight *stack, int64_t which, const float *x, const float *like)
{
    size_t dim = r->m->hp.n_embd;
    weight w = *stack;
    w.data += (size_t)(which * w.rows) * w.row_bytes;
    run_mark mark = run_mark_at(r);
    float *raw = run_rows(r, (int64_t)dim);
    op_matmul(r, raw, &w, NULL, x);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        size_t at = (size_t)t * dim;
        simd.scale(y + at, raw + at, magnitude(like + at, dim) / magnitude(raw + at, dim), dim);
    }
    run_barrier(r);
    run_release(r, mark);
}

/* tanh(router . (norm(x) / width)): how much each stream has of what. */
static void modalities(const model *m, const layer_weights *L, const float *x, float *tmp, float *out)
{
    size_t dim = m->hp.n_embd;
    simd.rms_norm(tmp, x, L->altup_router_norm, dim, m->hp.norm_eps);
    simd.scale(tmp, tmp, 1.0f / (float)dim, dim);
    for (size_t j = 0; j < STREAMS; j++) out[j] = simd.dot(tmp, L->altup_router + j * dim, dim);
    simd.tanh(out, out, STREAMS);
}

/* p[j] = x[j] + sum over k of coefficient (j, k) x[k] */
static void predict(run *r, buffers *b, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    size_t dim = r->m->hp.n_embd;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        size_t at = (size_t)t * dim;
        float m[STREAMS], c[STREAMS * STREAMS];
        modalities(r->m, L, b->x[0] + at, b->d.t + at, m);
        for (size_t o = 0; o < STREAMS * STREAMS; o++)
            c[o] = simd.dot(m, L->altup_predict_coef + o * STREAMS, STREAMS);
        for (size_t j = 0; j < STREAMS; j++) {
            memcpy(b->p[j] + at, b->x[j] + at, dim * sizeof(float));
            for (size_t k = 0; k < STREAMS; k++) simd.madd(b->p[j] + at, b->x[k] + at, c[j * STREAMS + k], dim);
        }
    }
    run_tokens_done(r);
}

/* x[j] = p[j] + (1 + coefficient j) (activated - p[0]) */
static void correct(run *r, buffers *b, uint32_t il, const float *activated)
{
    const layer_weights *L = &r->m->layers[il];
    size_t dim = r->m->hp.n_embd;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        size_t at = (size_t)t * dim;
        float m[STREAMS], *innovation = b->d.t + at;
        modalities(r->m, L, activated + at, innovation, m);
        memcpy(innovation, activated + at, dim * sizeof(float));
        simd.madd(innovation, b->p[0] + at, -1, dim);
        for (size_t j = 0; j < STREAMS; j++) {
            memcpy(b->x[j] + at, b->p[j] + at, dim * sizeof(float));
            simd.madd(b->x[j] + at, innovation, simd.dot(m, L->altup_correct_coef + j * STREAMS, STREAMS) + 1, dim);
        }
    }
    run_tokens_done(r);
}

/* laurel = h + norm(right(left(h))) */
static void laurel(run *r, buffers *b, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    run_mark mark = run_mark_at(r);
    float *low = run_rows(r, LAUREL_RANK), *out = run_rows(r, r->m->hp.n_embd);
    op_matmul(r, low, &L->laurel_l, NULL, b->d.h);
    op_matmul(r, out, &L->laurel_r, NULL, low);
    op_norm(r, b->laurel, out, L->laurel_post_norm, NULL);
    op_add(r, b->laurel, b->laurel, b->d.h, r->m->hp.n_embd);
    run_barrier(r);
    run_release(r, mark);
}

static float sum(const float *x, size_t n)
{
    float p[16] = {0};
    for (size_t i = 0; i < n; i++) p[i % 16] += x[i];
    for (size_t half = 8; half; half /= 2)
        for (size_t i = 0; i < half; i++) p[i] += p[i + half];
    return p[0];
}

/* What exceeds mean + SPARSE_STD deviations of the row; the rest becomes 0. */
static void keep_largest(float *y, const float *x, size_t n)
{
    float mean = sum(x, n) / (float)n;
    for (size_t i = 0; i < n; i++) y[i] = x[i] - mean;
    float cut = mean + sqrtf(simd.dot(y, y, n) * (1.0f / (float)(n - 1))) * SPARSE_STD;
    for (size_t i = 0; i < n; i++) y[i] = x[i] - cut > 0 ? x[i] - cut : 0;
}

/* d->y = down(gelu(largest of gate h) * up h) */
static void sparse_ffn(run *r, buffers *b, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    decoder *d = &b->d;
    size_t ff = r->m->hp.layer[il].n_ff;
    op_matmul_jobs(r, (job[]){{&L->gate, NULL, d->gate}, {&L->up, NULL, d->up}}, 2, d->h);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        size_t at = (size_t)t * ff;
        keep_largest(b->wide + at, d->gate + at, ff);
        simd.gelu_tanh_mul(b->wide + at, b->wide + at, d->up + at, ff);
    }
    run_tokens_done(r);
    op_matmul(r, d->y, &L->down, NULL, b->wide);
}

static void layer(run *r, buffers *b, uint32_t il)
{
    const hparams *hp = &r->m->hp;
    const layer_weights *L = &r->m->layers[il];
    decoder *d = &b->d;
    int64_t dim = hp->n_embd;
    predict(r, b, il);
    op_norm(r, d->h, b->p[0], L->attn_norm, NULL);
    laurel(r, b, il);
    block_attention(r, d, il, &(attn_block){.scale = hp->attn_scale, .qk_norm = QK_NORM_HEADS, .v_norm = true});
    op_norm(r, d->x, d->y, L->attn_post_norm, NULL);
    op_add(r, d->x, d->x, b->p[0], dim);
    op_add(r, d->x, d->x, b->laurel, dim);
    op_scale(r, d->x, d->x, 1.0f / sqrtf(2.0f), dim);

    op_norm(r, d->h, d->x, L->ffn_norm, NULL);
    if (il < SPARSE_LAYERS)
        sparse_ffn(r, b, il);
    else
        block_ffn(r, d, il, GLU_GELU_TANH);
    block_residual(r, d, d->y, L->ffn_post_norm);
    correct(r, b, il, d->x);

    op_mul_vector(r, d->h, b->x[0], L->altup_correct_scale, dim);
    ple_project(r, il, d->t, d->h, b->ple);
    for (int j = 1; j < STREAMS; j++) op_add(r, b->x[j], b->x[j], d->t, dim);
    run_probe_at(r, "l_out", (int)il, b->x[0], r->n, dim);
}

static void forward(run *r)
{
    const model *m = r->m;
    int64_t dim = m->hp.n_embd, ff = 0;
    buffers b;
    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        if (m->hp.layer[il].n_ff > ff) ff = m->hp.layer[il].n_ff;
    decoder_buffers(r, &b.d);
    op_rope_table(r);
    for (int j = 0; j < STREAMS; j++) {
        b.x[j] = run_tokens(r, dim);
        b.p[j] = run_tokens(r, dim);
    }
    b.laurel = run_tokens(r, dim);
    b.wide = run_tokens(r, ff);
    op_embed(r, b.x[0]);
    b.ple = ple_inputs(r, b.x[0]);
    for (int j = 1; j < STREAMS; j++) project_stream(r, b.x[j], &m->altup_proj, j - 1, b.x[0], b.x[0]);
    for (uint32_t il = 0; il < m->hp.n_layer; il++) layer(r, &b, il);
    for (int j = 1; j < STREAMS; j++) {
        project_stream(r, b.p[j], &m->altup_unembd_proj, j - 1, b.x[j], b.x[0]);
        op_add(r, b.p[0], j == 1 ? b.x[0] : b.p[0], b.p[j], dim);
    }
    op_scale(r, b.p[0], b.p[0], 1.0f / (float)STREAMS, dim);
    op_logits(r, b.p[0]);
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_GW(altup_proj, "altup_proj.weight", 0, DIM_EMBD, DIM_EMBD, DIM_STREAMS_LESS_1),
    BIND_GW(altup_unembd_proj, "altup_unembd_proj.weight", 0, DIM_EMBD, DIM_EMBD, DIM_STREAMS_LESS_1),
    BIND_PLE,
    BIND_PRE_NORMS,
    BIND_POST_NORMS,
    BIND_ATTN,
    BIND_QK_NORMS(0),
    BIND_FFN,
    BIND_V(altup_correct_coef, "altup_correct_coef.weight", 0, DIM_STREAMS, DIM_STREAMS),
    BIND_V(altup_correct_scale, "altup_correct_scale.weight", 0, DIM_EMBD),
    BIND_V(altup_predict_coef, "altup_predict_coef.weight", 0, DIM_STREAMS, DIM_STREAMS_2),
    BIND_V(altup_router, "altup_router.weight", 0, DIM_EMBD, DIM_STREAMS),
    BIND_V(altup_router_norm, "altup_router_norm.weight", 0, DIM_EMBD),
    BIND_W(laurel_l, "laurel_l.weight", 0, DIM_EMBD, DIM_LAUREL),
    BIND_W(laurel_r, "laurel_r.weight", 0, DIM_LAUREL, DIM_EMBD),
    BIND_V(laurel_post_norm, "laurel_post_norm.weight", 0, DIM_EMBD),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    hp->rope_style = ROPE_NEOX;
    hp->embd_scale = sqrtf((float)hp->n_embd);
    hp->attn_scale = 1;
    hp->final_softcap = 30;
    hp->n_ple = PLE_WIDTH;
    hp->n_streams = STREAMS;
    hp->laurel_rank = LAUREL_RANK;
    hp->rope[1].base = 10000;
    hp->rope[1].scale = 1;
    TRY(load_rms_eps(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    TRY(load_windows(m, window, 5, err));
    return load_shared_kv(m, OWN_KV_LAYERS, err);
}

const arch arch_gemma3n = {.name = "gemma3n", .load = load, .bindings = bindings, .forward = forward};
