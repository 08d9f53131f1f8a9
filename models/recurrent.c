#include "recurrent.h"

#include <math.h>
#include <string.h>

enum { LANES = 64 }; /* channels that a unit of work takes */

/* Units of every sequence of the batch, numbered one after the other: this thread's are tid, tid + threads, ... */
#define EACH_UNIT(r, s, u, units)                                                                   \
    for (int s##_i = 0, s##_base = 0; !(r)->plan && s##_i < (r)->b->n_spans; s##_i++, s##_base += (units)) \
        for (int u = (((r)->tid - s##_base) % (r)->threads + (r)->threads) % (r)->threads; u < (units); u += (r)->threads) \
            for (const span *s = &(r)->b->spans[s##_i]; s; s = NULL)

void op_mul_rows(run *r, float *y, const float *a, size_t lda, const float *b, size_t ldb, int64_t dim)
{
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) simd.mul(y + (size_t)t * (size_t)dim, a + (size_t)t * lda, b + (size_t)t * ldb, (size_t)dim);
    run_tokens_done(r);
}

/* Channels [c, c + n) of one sequence, n <= LANES. */
static void conv_unit(const conv_spec *s, const span *sp, float *past, size_t c, size_t n, float *y)
{
    float w[SSM_MAX_TAPS][LANES], x[SSM_MAX_TAPS][LANES], sum[LANES];
    uint32_t taps = s->taps;
    for (uint32_t j = 0; j < taps; j++)
        for (size_t i = 0; i < n; i++) w[j][i] = s->w[(c + i) * taps + j];
    for (uint32_t j = 0; j + 1 < taps; j++) memcpy(x[j], past + (size_t)j * s->channels + c, n * sizeof(float));
    uint32_t at = taps - 1; /* x is a ring: the token's input goes to x[at], the oldest is at + 1 */
    for (int t = sp->from; t < sp->from + sp->n; t++) {
        memcpy(x[at], s->x + (size_t)t * s->ldx + c, n * sizeof(float));
        at = at + 1 == taps ? 0 : at + 1;
        memset(sum, 0, n * sizeof(float));
        for (uint32_t j = 0, from = at; j < taps; j++, from = from + 1 == taps ? 0 : from + 1)
            for (size_t i = 0; i < n; i++) sum[i] = sum[i] + x[from][i] * w[j][i];
        if (s->b) simd.add(sum, sum, s->b + c, n);
        float *row = y + (size_t)t * s->channels + c;
        if (s->silu)
            simd.silu(row, sum, n);
        else
            memcpy(row, sum, n * sizeof(float));
    }
    for (uint32_t j = 0; j + 1 < taps; j++) { /* x[at] is what the next token overwrites */
        uint32_t from = at + 1 + j;
        memcpy(past + (size_t)j * s->channels + c, x[from >= taps ? from - taps : from], n * sizeof(float));
    }
}

void op_conv(run *r, uint32_t il, float *y, const conv_spec *s)
{
    int units = (int)((s->channels + LANES - 1) / LANES);
    EACH_UNIT(r, sp, u, units) {
        size_t c = (size_t)u * LANES, n = s->channels - c < LANES ? s->channels - c : LANES;
        conv_unit(s, sp, kv_conv(r->sh->kv, sp->seq, il) + s->at, c, n, y);
    }
    run_barrier(r);
}

/* x scaled to length `scale`, with eps under the root. */
static void unit_length(float *y, const float *x, size_t n, float eps, float scale)
{
    float sum = simd.dot(x, x, n);
    simd.scale(y, x, 1 / sqrtf(sum + eps) * scale, n);
}

static void delta_step(const delta_spec *s, float *state, const float *q, const float *k, const float *v, const float *decay, float beta,
                       float *o)
{
    size_t dk = s->dk, dv = s->dv;
    float e[SSM_MAX_HEAD];
    memset(e, 0, dv * sizeof *e);
    for (size_t i = 0; i < dk; i++) {
        float *row = state + i * dv;
        simd.scale(row, row, s->channel_decay ? decay[i] : decay[0], dv);
        simd.madd(e, row, k[i], dv);
    }
    for (size_t j = 0; j < dv; j++) e[j] = (v[j] - e[j]) * beta;
    memset(o, 0, dv * sizeof *o);
    for (size_t i = 0; i < dk; i++) {
        float *row = state + i * dv;
        simd.madd(row, e, k[i], dv);
        simd.madd(o, row, q[i], dv);
    }
}

static void delta_unit(const delta_spec *s, const span *sp, float *state, uint32_t h, float *y)
{
    size_t dk = s->dk, dv = s->dv, n_decay = s->channel_decay ? dk : 1;
    size_t key = s->interleaved ? h / (s->heads / s->key_heads) : h % s->key_heads;
    float q[SSM_MAX_HEAD], k[SSM_MAX_HEAD], o[SSM_MAX_HEAD], decay[SSM_MAX_HEAD];
    for (size_t t = (size_t)sp->from, end = t + (size_t)sp->n; t < end; t++) {
        unit_length(q, s->q + t * s->ldqk + key * dk, dk, s->l2_eps, 1 / sqrtf((float)dk));
        unit_length(k, s->k + t * s->ldqk + key * dk, dk, s->l2_eps, 1);
        simd.exp(decay, s->g + (t * s->heads + h) * n_decay, n_decay);
        delta_step(s, state, q, k, s->v + t * s->ldv + h * dv, decay, s->beta[t * s->heads + h], o);
        simd.rms_norm(o, o, s->norm, dv, s->norm_eps);
        const float *gate = s->gate + t * s->ldgate + h * dv;
        float *row = y + (t * s->heads + h) * dv;
        if (s->gate_sigmoid) {
            simd.sigmoid(row, gate, dv);
            simd.mul(row, row, o, dv);
        } else {
            simd.silu_mul(row, gate, o, dv);
        }
    }
}

void op_delta(run *r, uint32_t il, float *y, const delta_spec *s)
{
    EACH_UNIT(r, sp, h, (int)s->heads)
        delta_unit(s, sp, kv_state(r->sh->kv, sp->seq, il) + (size_t)h * s->dk * s->dv, (uint32_t)h, y);
    run_barrier(r);
}

static void mamba2_unit(const mamba2_spec *s, const span *sp, float *state, uint32_t h, float *y)
{
    size_t dim = s->dim, group = h / (s->heads / s->groups);
    float xdt[SSM_MAX_HEAD], out[SSM_MAX_HEAD];
    for (size_t t = (size_t)sp->from, end = t + (size_t)sp->n; t < end; t++) {
        const float *x = s->x + t * s->ldx + h * dim;
        const float *b = s->b + t * s->ldx + group * s->state, *c = s->c + t * s->ldx + group * s->state;
        float dt = s->dt[t * s->lddt + h] + s->dt_b[h];
        simd.softplus(&dt, &dt, 1);
        float a = dt * s->a[h];
        simd.exp(&a, &a, 1);
        simd.scale(xdt, x, dt, dim);
        memset(out, 0, dim * sizeof *out);
        for (size_t n = 0; n < s->state; n++) {
            float *row = state + n * dim;
            simd.scale(row, row, a, dim);
            simd.madd(row, xdt, b[n], dim);
            simd.madd(out, row, c[n], dim);
        }
        simd.madd(out, x, s->d[h], dim);
        simd.silu_mul(y + (t * s->heads + h) * dim, s->z + t * s->ldz + h * dim, out, dim);
    }
}

void op_mamba2(run *r, uint32_t il, float *y, const mamba2_spec *s)
{
    EACH_UNIT(r, sp, h, (int)s->heads)
        mamba2_unit(s, sp, kv_state(r->sh->kv, sp->seq, il) + (size_t)h * s->dim * s->state, (uint32_t)h, y);
    run_barrier(r);
}

/* Channels [c, c + n); the layer's state is [state][inner]. */
static void mamba_unit(const mamba_spec *s, const span *sp, float *state, size_t c, size_t n, float *y)
{
    float dt[LANES], xdt[LANES], decay[LANES], out[LANES];
    for (size_t t = (size_t)sp->from, end = t + (size_t)sp->n; t < end; t++) {
        const float *x = s->x + t * s->inner + c, *b = s->b + t * s->ldbc, *cc = s->c + t * s->ldbc;
        simd.softplus(dt, s->dt + t * s->inner + c, n);
        simd.mul(xdt, x, dt, n);
        memset(out, 0, n * sizeof *out);
        for (size_t j = 0; j < s->state; j++) {
            float *row = state + j * s->inner + c;
            for (size_t i = 0; i < n; i++) decay[i] = dt[i] * s->a[(c + i) * s->state + j];
            simd.exp(decay, decay, n);
            simd.mul(row, row, decay, n);
            simd.madd(row, xdt, b[j], n);
            simd.madd(out, row, cc[j], n);
        }
        for (size_t i = 0; i < n; i++) out[i] = out[i] + x[i] * s->d[c + i];
        simd.silu_mul(y + t * s->inner + c, s->z + t * s->ldz + c, out, n);
    }
}

void op_mamba(run *r, uint32_t il, float *y, const mamba_spec *s)
{
    int units = (int)((s->inner + LANES - 1) / LANES);
    EACH_UNIT(r, sp, u, units) {
        size_t c = (size_t)u * LANES, n = s->inner - c < LANES ? s->inner - c : LANES;
        mamba_unit(s, sp, kv_state(r->sh->kv, sp->seq, il), c, n, y);
    }
    run_barrier(r);
}
