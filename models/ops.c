/* Operations that share out tokens: embedding, norms, sums, RoPE; and the logits. */
#include <math.h>
#include <string.h>

#include "../src/base/mathf.h"
#include "run.h"

/* for (each token of this thread's share) */
#define EACH_TOKEN(r, t)                            \
    int t##_from, t##_to;                           \
    run_share(r, (r)->n, &t##_from, &t##_to);       \
    for (int t = t##_from; t < t##_to; t++)

/* The span that holds token t of the batch. */
static const span *span_of(const batch *b, int t)
{
    const span *s = b->spans;
    while (t >= s->from + s->n) s++;
    return s;
}

static int32_t position(const batch *b, int t)
{
    const span *s = span_of(b, t);
    return s->pos + (t - s->from);
}

/* The model's kind of norm; y may be x, w and b may be NULL. */
static void norm_row(const hparams *hp, float *y, const float *x, const float *w, const float *b)
{
    if (hp->norm == NORM_LAYER) {
        simd.layer_norm(y, x, w, b, hp->n_embd, hp->norm_eps);
        return;
    }
    simd.rms_norm(y, x, w, hp->n_embd, hp->norm_eps);
    if (b) simd.add(y, y, b, hp->n_embd);
}

static void row_of(const weight *w, size_t i, float *row)
{
    quant_table[w->format].decode(w->data + i * w->row_bytes, row, (size_t)w->k);
}

void op_embed(run *r, float *x)
{
    const model *m = r->m;
    size_t dim = (size_t)m->tok_embd.k;
    float scale = m->hp.embd_scale;
    run_mark mark = run_mark_at(r);
    float *more = run_own_bytes(r, dim * sizeof *more);
    EACH_TOKEN(r, t) {
        float *row = x + (size_t)t * dim;
        row_of(&m->tok_embd, (size_t)r->b->token[t], row);
        if (scale != 1) simd.scale(row, row, scale, dim);
        if (m->type_embd.data) {
            row_of(&m->type_embd, 0, more);
            simd.add(row, row, more, dim);
        }
        if (m->pos_embd.data) {
            row_of(&m->pos_embd, (size_t)position(r->b, t), more);
            simd.add(row, row, more, dim);
        }
        if (m->embd_norm) norm_row(&m->hp, row, row, m->embd_norm, m->embd_norm_b);
    }
    run_release(r, mark);
    run_tokens_done(r);
    run_probe_at(r, "embd", -1, x, r->n, (int64_t)dim);
}

void op_rms_norm(run *r, float *y, const float *x, const float *w, int64_t dim, float eps)
{
    op_rms_norm_heads(r, y, x, w, 1, dim, eps);
}

void op_rms_norm_heads(run *r, float *y, const float *x, const float *w, int64_t n_vec, int64_t dim, float eps)
{
    EACH_TOKEN(r, t)
        for (int64_t i = 0; i < n_vec; i++) {
            size_t at = ((size_t)t * (size_t)n_vec + (size_t)i) * (size_t)dim;
            simd.rms_norm(y + at, x + at, w, (size_t)dim, eps);
        }
    run_tokens_done(r);
}

void op_layer_norm_heads(run *r, float *y, const float *x, const float *w, const float *b, int64_t n_vec, int64_t dim, bool each,
                         float eps)
{
    EACH_TOKEN(r, t)
        for (int64_t i = 0; i < n_vec; i++) {
            size_t at = ((size_t)t * (size_t)n_vec + (size_t)i) * (size_t)dim;
            simd.layer_norm(y + at, x + at, w && each ? w + i * dim : w, b, (size_t)dim, eps);
        }
    run_tokens_done(r);
}

void op_norm(run *r, float *y, const float *x, const float *w, const float *b)
{
    size_t dim = r->m->hp.n_embd;
    EACH_TOKEN(r, t) norm_row(&r->m->hp, y + (size_t)t * dim, x + (size_t)t * dim, w, b);
    run_tokens_done(r);
}

void op_add(run *r, float *y, const float *a, const float *b, int64_t dim)
{
    EACH_TOKEN(r, t) {
        size_t at = (size_t)t * (size_t)dim;
        simd.add(y + at, a + at, b + at, (size_t)dim);
    }
    run_tokens_done(r);
}

void op_add_gated(run *r, float *y, const float *a, const float *w, const float *h, int64_t dim)
{
    EACH_TOKEN(r, t) {
        size_t at = (size_t)t * (size_t)dim;
        float g = simd.dot(h + at, w, (size_t)dim);
        simd.sigmoid(&g, &g, 1);
        simd.madd(y + at, a + at, g, (size_t)dim);
    }
    run_tokens_done(r);
}

void op_mul_vector(run *r, float *y, const float *a, const float *w, int64_t dim)
{
    EACH_TOKEN(r, t) {
        size_t at = (size_t)t * (size_t)dim;
        simd.mul(y + at, a + at, w, (size_t)dim);
    }
    run_tokens_done(r);
}

void op_div_vector(run *r, float *y, const float *a, const float *w, int64_t dim)
{
    EACH_TOKEN(r, t)
        for (int64_t i = 0; i < dim; i++) y[t * dim + i] = a[t * dim + i] / w[i];
    run_tokens_done(r);
}

void op_clamp(run *r, float *y, const float *a, float limit, int64_t dim)
{
    EACH_TOKEN(r, t)
        for (int64_t i = t * dim; i < (t + 1) * dim; i++) y[i] = a[i] > limit ? limit : a[i] < -limit ? -limit : a[i];
    run_tokens_done(r);
}

void op_scale(run *r, float *y, const float *a, float s, int64_t dim)
{
    EACH_TOKEN(r, t) {
        size_t at = (size_t)t * (size_t)dim;
        simd.scale(y + at, a + at, s, (size_t)dim);
    }
    run_tokens_done(r);
}

void op_copy(run *r, float *y, const float *a, int64_t dim)
{
    EACH_TOKEN(r, t) {
        size_t at = (size_t)t * (size_t)dim;
        memcpy(y + at, a + at, (size_t)dim * sizeof *y);
    }
    run_tokens_done(r);
}

static void fill_table(run *r, float *table, int which)
{
    uint32_t n_rot = r->m->hp.rope[which].n_rot;
    const double *freq = r->sh->rope_freq[which];
    float mag = r->sh->rope_mag[which];
    EACH_TOKEN(r, t) {
        int32_t pos = position(r->b, t);
        for (uint32_t i = 0; i < n_rot / 2; i++) {
            double angle = freq[i] * pos;
            float *cs = table + (size_t)t * n_rot + 2 * i;
            cs[0] = (float)d_cos(angle) * mag;
            cs[1] = (float)d_sin(angle) * mag;
        }
    }
    run_tokens_done(r);
}

void op_rope_table(run *r)
{
    if (r->m->hp.rope_style == ROPE_NONE) return;
    bool two = r->sh->rope_freq[1] != r->sh->rope_freq[0];
    for (int i = 0; i < (two || r->plan ? 2 : 1); i++) {
        float *table = run_tokens(r, r->m->hp.rope[i].n_rot);
        fill_table(r, table, i);
        r->rope_table[i] = table;
    }
    if (!two) r->rope_table[1] = r->rope_table[0];
}

void op_rope(run *r, float *x, uint32_t il, int64_t n_head, int64_t d)
{
    const layer_hp *l = &r->m->hp.layer[il];
    if (l->no_rope || r->m->hp.rope_style == ROPE_NONE) return;
    uint32_t n_rot = r->m->hp.rope[l->rope].n_rot;
    void (*rotate)(float *, const float *, size_t) = r->m->hp.rope_style == ROPE_NORM ? simd.rope_norm : simd.rope_neox;
    EACH_TOKEN(r, t) {
        const float *cs = r->rope_table[l->rope] + (size_t)t * n_rot;
        for (int64_t h = 0; h < n_head; h++) rotate(x + ((size_t)t * (size_t)n_head + (size_t)h) * (size_t)d, cs, n_rot);
    }
    run_tokens_done(r);
}

void op_attn_temperature(run *r, float *q, int64_t dim)
{
    const hparams *hp = &r->m->hp;
    if (hp->attn_temp_scale == 0) return;
    EACH_TOKEN(r, t) {
        float *row = q + (size_t)t * (size_t)dim;
        double steps = (double)(int64_t)(((double)position(r->b, t) + (double)hp->attn_temp_offset) / (double)hp->attn_temp_floor);
        simd.scale(row, row, (float)(d_log(steps + 1) * (double)hp->attn_temp_scale + 1), (size_t)dim);
    }
    run_tokens_done(r);
}

/* This thread's share of n rows of a buffer that all threads have: with few tokens, thread 0 writes it alone. */
static void share_rows(const run *r, int n, int *from, int *to)
{
    run_share(r, n, from, to);
    if (r->local) *to = r->tid == 0 && !r->plan ? n : 0;
}

void op_embeddings(run *r, const float *x, bool norm)
{
    const model *m = r->m;
    size_t dim = m->hp.n_embd;
    int from, to;
    share_rows(r, r->b->n_out, &from, &to);
    for (int i = from; i < to; i++) {
        const float *row = x + (size_t)r->b->out[i] * dim;
        float *y = r->sh->embd + (size_t)i * dim;
        if (norm)
            norm_row(&m->hp, y, row, m->output_norm, m->output_norm_b);
        else
            memcpy(y, row, dim * sizeof *y);
    }
    run_barrier(r);
}

static void softcap_rows(run *r, float *y, int n, size_t dim)
{
    float cap = r->m->hp.final_softcap, scale = r->m->hp.logit_scale;
    int from, to;
    share_rows(r, n, &from, &to);
    for (int i = from; i < to; i++) {
        float *row = y + (size_t)i * dim;
        if (scale != 1) simd.scale(row, row, scale, dim);
        if (cap <= 0) continue;
        simd.scale(row, row, 1 / cap, dim);
        simd.tanh(row, row, dim);
        simd.scale(row, row, cap, dim);
    }
    run_barrier(r);
}

void op_logits(run *r, const float *x)
{
    const model *m = r->m;
    size_t dim = m->hp.n_embd;
    int n = r->n, n_out = r->b->n_out;
    if (!n_out) return;
    if (r->b->embed) {
        op_embeddings(r, x, true);
        return;
    }
    /* From here on the batch has the wanted tokens only. */
    float *h = run_tokens(r, m->hp.n_embd);
    int from, to;
    run_share(r, n_out, &from, &to);
    for (int i = from; i < to; i++)
        norm_row(&m->hp, h + (size_t)i * dim, x + (size_t)r->b->out[i] * dim, m->output_norm, m->output_norm_b);
    run_tokens_done(r);
    r->n = n_out;
    run_probe_at(r, "result_norm", -1, h, n_out, m->hp.n_embd);
    op_matmul(r, r->sh->logits, &m->output, m->output_b, h);
    if (m->hp.logit_scale != 1 || m->hp.final_softcap > 0) softcap_rows(r, r->sh->logits, n_out, m->hp.n_vocab);
    run_probe_at(r, "result_output", -1, r->sh->logits, n_out, m->hp.n_vocab);
    r->n = n;
}
