#include "head.h"

#include <stdio.h>
#include <string.h>

enum { MOST_WIDE = 1 << 20 };

/* Rows of a matrix that the file may have; 0: it is not there. */
static tawny_status rows_of_tensor(const model *m, const char *name, uint32_t *rows, tawny_error *err)
{
    const gguf_tensor *t = gguf_tensor_find(m->file, name);
    if (t && t->ne[1] > MOST_WIDE)
        return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s has %llu rows; at most %d are supported",
                       gguf_path(m->file), name, (unsigned long long)t->ne[1], MOST_WIDE);
    *rows = t ? (uint32_t)t->ne[1] : 0;
    return TAWNY_OK;
}

static tawny_status check_labels(const model *m, tawny_error *err)
{
    gguf_array labels = {0};
    char key[160];
    snprintf(key, sizeof key, "%s.classifier.output_labels", m->arch_name);
    TRY(gguf_opt_array(m->file, key, GGUF_STR, &labels, err));
    if (labels.n && m->hp.head.labels && labels.n != m->hp.head.labels)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s has %llu entries, cls.output.weight %u rows",
                       gguf_path(m->file), key, (unsigned long long)labels.n, m->hp.head.labels);
    return TAWNY_OK;
}

tawny_status head_load(model *m, tawny_error *err)
{
    head_hp *h = &m->hp.head;
    uint32_t kind = POOL_NONE, before = POOL_NONE;
    TRY(model_opt_u32(m, "pooling_type", 0, POOL_KINDS - 1, &kind, err));
    TRY(model_opt_u32(m, "classifier.pooling_type", 0, POOL_KINDS - 1, &before, err));
    h->pooling = (pooling)kind;
    h->mean = before == POOL_MEAN;
    TRY(rows_of_tensor(m, "cls.weight", &h->hidden, err));
    TRY(rows_of_tensor(m, "cls.output.weight", &h->labels, err));
    TRY(rows_of_tensor(m, "dense_2.weight", &h->dense, err));
    TRY(rows_of_tensor(m, "dense_3.weight", &h->out, err));
    if (h->out && !h->dense)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: tensor dense_3.weight without dense_2.weight",
                       gguf_path(m->file));
    return check_labels(m, err);
}

const binding head_bindings[] = {
    BIND_GW(head.cls, "cls.weight", BIND_OPTIONAL, DIM_EMBD, DIM_HEAD_HIDDEN),
    BIND_GV(head.cls_b, "cls.bias", BIND_OPTIONAL, DIM_HEAD_HIDDEN),
    BIND_GV(head.cls_norm, "cls.norm.weight", BIND_OPTIONAL, DIM_HEAD_HIDDEN),
    BIND_GW(head.cls_out, "cls.output.weight", BIND_OPTIONAL, DIM_HEAD_LAST, DIM_HEAD_LABELS),
    BIND_GV(head.cls_out_b, "cls.output.bias", BIND_OPTIONAL, DIM_HEAD_LABELS),
    BIND_GW(head.dense_2, "dense_2.weight", BIND_OPTIONAL, DIM_EMBD, DIM_HEAD_DENSE),
    BIND_GV(head.dense_2_b, "dense_2.bias", BIND_OPTIONAL, DIM_HEAD_DENSE),
    BIND_GW(head.dense_3, "dense_3.weight", BIND_OPTIONAL, DIM_HEAD_DENSE, DIM_HEAD_OUT),
    {0},
};

/* A hidden layer alone is a ranker's where it has one row (jina-reranker-v1). */
bool head_ranks(const model *m) { return m->hp.head.labels || m->hp.head.hidden == 1; }

uint32_t head_width(const model *m, bool rank)
{
    const head_hp *h = &m->hp.head;
    if (rank) return h->labels ? h->labels : h->hidden;
    return h->out ? h->out : h->dense ? h->dense : m->hp.n_embd;
}

/* act(W x + b), normed where there is a norm: a token buffer. */
static const float *hidden_layer(run *r, const float *x)
{
    const head_weights *w = &r->m->head;
    size_t dim = r->m->hp.head.hidden;
    float *y = run_rows(r, (int64_t)dim), *h = run_tokens(r, (int64_t)dim);
    op_matmul(r, y, &w->cls, w->cls_b, x);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *row = h + (size_t)t * dim;
        (r->m->hp.head.gelu ? simd.gelu_tanh : simd.tanh)(row, y + (size_t)t * dim, dim);
        if (w->cls_norm) simd.layer_norm(row, row, w->cls_norm, NULL, dim, r->m->hp.norm_eps);
    }
    run_tokens_done(r);
    return h;
}

static void softmax(float *p, size_t n)
{
    float sum = simd.exp_sum(p, p, simd.max(p, n), n);
    for (size_t i = 0; i < n; i++) p[i] /= sum;
}

/* Rows are few: thread 0 alone. */
static void classify(run *r, const float *x, float *y)
{
    const model *m = r->m;
    size_t labels = m->hp.head.labels, n = (size_t)r->n;
    if (m->head.cls.data) x = hidden_layer(r, x);
    if (m->head.cls_out.data) {
        op_matmul(r, y, &m->head.cls_out, m->head.cls_out_b, x);
        if (r->tid == 0 && !r->plan && m->hp.head.softmax)
            for (size_t i = 0; i < n; i++) softmax(y + i * labels, labels);
    } else if (r->tid == 0 && !r->plan) {
        memcpy(y, x, n * m->hp.head.hidden * sizeof *y);
    }
    run_barrier(r);
}

void head_forward(run *r)
{
    const head_job *h = r->b->head;
    const head_weights *w = &r->m->head;
    const float *x = h->x;
    if (h->rank) {
        classify(r, x, h->y);
        return;
    }
    float *y = w->dense_3.data ? run_rows(r, w->dense_2.rows) : h->y;
    op_matmul(r, y, &w->dense_2, w->dense_2_b, x);
    if (w->dense_3.data) op_matmul(r, h->y, &w->dense_3, NULL, y);
}
