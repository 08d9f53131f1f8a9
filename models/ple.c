#include "ple.h"

#include <math.h>

const float *ple_inputs(run *r, const float *x)
{
    const model *m = r->m;
    size_t n_ple = m->hp.n_ple, n_layer = m->hp.n_layer, all = n_ple * n_layer;
    float *in = run_tokens(r, (int64_t)all);
    run_mark mark = run_mark_at(r);
    float *proj = run_rows(r, (int64_t)all), *p = run_token_bytes(r, (size_t)r->n * n_ple * sizeof *p);
    float embd_scale = sqrtf((float)n_ple), proj_scale = 1.0f / sqrtf((float)m->hp.n_embd), half = 1.0f / sqrtf(2.0f);
    op_matmul(r, proj, &m->ple_model_proj, NULL, x);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *row = in + (size_t)t * all, *tmp = p + (size_t)t * n_ple;
        quant_table[m->ple_embd.format].decode(m->ple_embd.data + (size_t)r->b->token[t] * m->ple_embd.row_bytes, row,
                                               all);
        simd.scale(row, row, embd_scale, all);
        for (size_t il = 0; il < n_layer; il++) {
            simd.scale(tmp, proj + (size_t)t * all + il * n_ple, proj_scale, n_ple);
            simd.rms_norm(tmp, tmp, m->ple_proj_norm, n_ple, m->hp.norm_eps);
            simd.add(row + il * n_ple, row + il * n_ple, tmp, n_ple);
        }
        simd.scale(row, row, half, all);
    }
    run_barrier(r); /* proj is the team's: nobody may reuse it while another reads */
    run_release(r, mark);
    return in;
}

void ple_project(run *r, uint32_t il, float *y, const float *x, const float *inputs)
{
    const model *m = r->m;
    const layer_weights *L = &m->layers[il];
    size_t n_ple = m->hp.n_ple, all = n_ple * m->hp.n_layer;
    run_mark mark = run_mark_at(r);
    float *gate = run_rows(r, (int64_t)n_ple), *h = run_tokens(r, (int64_t)n_ple), *out = run_rows(r, m->hp.n_embd);
    op_matmul(r, gate, &L->ple_gate, NULL, x);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++)
        simd.gelu_tanh_mul(h + (size_t)t * n_ple, gate + (size_t)t * n_ple, inputs + (size_t)t * all + il * n_ple,
                           n_ple);
    run_tokens_done(r);
    op_matmul(r, out, &L->ple_proj, NULL, h);
    op_rms_norm(r, y, out, L->ple_post_norm, m->hp.n_embd, m->hp.norm_eps);
    run_barrier(r);
    run_release(r, mark);
}
