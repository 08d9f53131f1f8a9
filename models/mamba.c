/* Mamba (arXiv 2312.00752) and Mamba 2 (arXiv 2405.21060): the blocks, and the models made of them alone. */
#include "mamba.h"

#include <string.h>

#include "archs.h"
#include "bindings.h"
#include "load.h"
#include "recurrent.h"

/* Planning passes have no buffers to point into. */
static const float *at(const run *r, const float *p, size_t i) { return r->plan ? p : p + i; }

/* dt and (B, C) out of rows [rank + 2 state], normed where the model norms them: by weights, or by none. */
static void split_projection(run *r, uint32_t il, const float *rows, float *dt, float *bc)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    size_t rank = s->rank, n = s->state, row = rank + 2 * n;
    bool norm = s->norm_dt_b_c || (L->ssm_dt_norm && L->ssm_b_norm && L->ssm_c_norm);
    float eps = r->m->hp.norm_eps;
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        const float *x = rows + (size_t)t * row;
        float *d = dt + (size_t)t * rank, *b = bc + (size_t)t * 2 * n;
        memcpy(d, x, rank * sizeof *d);
        memcpy(b, x + rank, 2 * n * sizeof *b);
        if (!norm) continue;
        simd.rms_norm(d, d, L->ssm_dt_norm, rank, eps);
        simd.rms_norm(b, b, L->ssm_b_norm, n, eps);
        simd.rms_norm(b + n, b + n, L->ssm_c_norm, n, eps);
    }
    run_tokens_done(r);
}

void block_mamba(run *r, uint32_t il, float *y, const float *h)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    run_mark mark = run_mark_at(r);
    float *xz = run_rows(r, s->proj), *x = run_rows(r, s->inner), *rows = run_rows(r, s->rank + 2 * (int64_t)s->state);
    float *wide = run_rows(r, s->inner), *o = run_rows(r, s->inner);
    float *dt = run_tokens(r, s->rank), *bc = run_tokens(r, 2 * (int64_t)s->state);
    op_matmul(r, xz, &L->ssm_in, NULL, h);
    op_conv(r, il, x, &(conv_spec){
        .x = xz, .ldx = s->proj, .w = L->ssm_conv, .b = L->ssm_conv_b, .taps = s->taps, .channels = s->inner, .silu = true,
    });
    op_matmul(r, rows, &L->ssm_x, NULL, x);
    split_projection(r, il, rows, dt, bc);
    op_matmul(r, wide, &L->ssm_dt, L->ssm_dt_b, dt);
    op_mamba(r, il, o, &(mamba_spec){
        .inner = s->inner, .state = s->state, .x = x, .dt = wide, .b = bc, .c = at(r, bc, s->state), .z = at(r, xz, s->inner),
        .ldbc = 2 * (size_t)s->state, .ldz = s->proj, .a = L->ssm_a, .d = L->ssm_d,
    });
    run_probe_at(r, "ssm", (int)il, o, r->n, s->inner);
    op_matmul(r, y, &L->ssm_out, NULL, o);
    run_release(r, mark);
}

/* Each group of heads is normed by itself, with weights of its own. */
static const float *norm_groups(run *r, uint32_t il, const float *x)
{
    const float *w = r->m->layers[il].ssm_norm;
    const ssm_hp *s = &r->m->hp.ssm;
    if (!w) return x;
    size_t n = s->inner / s->groups;
    float *y = run_tokens(r, s->inner);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++)
        for (size_t g = 0; g < s->groups; g++) {
            size_t i = (size_t)t * s->inner + g * n;
            simd.rms_norm(y + i, x + i, w + g * n, n, r->m->hp.norm_eps);
        }
    run_tokens_done(r);
    return y;
}

void block_mamba2(run *r, uint32_t il, float *y, const float *h)
{
    const layer_weights *L = &r->m->layers[il];
    const ssm_hp *s = &r->m->hp.ssm;
    run_mark mark = run_mark_at(r);
    float *all = run_rows(r, s->proj), *x = run_rows(r, s->channels), *o = run_rows(r, s->inner);
    op_matmul(r, all, &L->ssm_in, NULL, h);
    op_conv(r, il, x, &(conv_spec){
        .x = at(r, all, s->inner), .ldx = s->proj, .w = L->ssm_conv, .b = L->ssm_conv_b, .taps = s->taps, .channels = s->channels, .silu = true,
    });
    op_mamba2(r, il, o, &(mamba2_spec){
        .heads = s->heads, .groups = s->groups, .dim = s->inner / s->heads, .state = s->state,
        .x = x, .b = at(r, x, s->inner), .c = at(r, x, (size_t)s->inner + (size_t)s->groups * s->state),
        .dt = at(r, all, (size_t)s->inner + s->channels), .z = all, .ldx = s->channels, .ldz = s->proj, .lddt = s->proj,
        .dt_b = L->ssm_dt_b, .a = L->ssm_a, .d = L->ssm_d,
    });
    run_probe_at(r, "ssm", (int)il, o, r->n, s->inner);
    op_matmul(r, y, &L->ssm_out, NULL, norm_groups(r, il, o));
    run_release(r, mark);
}

static tawny_status load_sizes(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    TRY(model_get_u32(m, "ssm.conv_kernel", 1, SSM_MAX_TAPS, &s->taps, err));
    TRY(model_get_u32(m, "ssm.inner_size", 1, 1 << 20, &s->inner, err));
    return model_get_u32(m, "ssm.state_size", 1, SSM_MAX_HEAD, &s->state, err);
}

tawny_status load_mamba(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    TRY(load_sizes(m, err));
    TRY(model_get_u32(m, "ssm.time_step_rank", 1, 1 << 20, &s->rank, err));
    TRY(model_opt_bool(m, "ssm.dt_b_c_rms", &s->norm_dt_b_c, err));
    s->channels = s->inner;
    s->proj = 2 * s->inner;
    s->heads = s->groups = 1;
    return TAWNY_OK;
}

tawny_status load_mamba2(model *m, tawny_error *err)
{
    ssm_hp *s = &m->hp.ssm;
    TRY(load_sizes(m, err));
    TRY(model_get_u32(m, "ssm.time_step_rank", 1, 65536, &s->heads, err));
    TRY(model_get_u32(m, "ssm.group_count", 1, s->heads, &s->groups, err));
    if (s->inner % s->heads || s->inner / s->heads > SSM_MAX_HEAD || s->heads % s->groups)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.ssm.inner_size %u, time_step_rank %u and group_count %u make no whole heads and groups",
                       gguf_path(m->file), m->arch_name, s->inner, s->heads, s->groups);
    s->channels = s->inner + 2 * s->groups * s->state;
    s->proj = s->inner + s->channels + s->heads;
    return TAWNY_OK;
}

void mamba_layer(model *m, uint32_t il, bool attention)
{
    const ssm_hp *s = &m->hp.ssm;
    layer_hp *l = &m->hp.layer[il];
    l->recurrent = true;
    l->conv_state = (s->taps - 1) * s->channels;
    l->state = s->inner * s->state;
    if (!attention) l->n_head = l->n_head_kv = 0;
}

/* The models made of one block alone: no attention, no feed-forward. */
static tawny_status load_all_layers(model *m, tawny_error *err)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        mamba_layer(m, i, false);
        m->hp.layer[i].n_ff = 0;
        m->hp.layer[i].moe = false;
    }
    return load_rms_eps(m, err);
}

static tawny_status load_arch_mamba(model *m, tawny_error *err)
{
    TRY(load_mamba(m, err));
    return load_all_layers(m, err);
}

static tawny_status load_arch_mamba2(model *m, tawny_error *err)
{
    TRY(load_mamba2(m, err));
    return load_all_layers(m, err);
}

static void mix_mamba(run *r, decoder *d, uint32_t il, const attn_block *a) { (void)a, block_mamba(r, il, d->y, d->h); }
static void mix_mamba2(run *r, decoder *d, uint32_t il, const attn_block *a) { (void)a, block_mamba2(r, il, d->y, d->h); }
static void forward_mamba(run *r) { decoder_forward(r, &(decoder_spec){.mix = mix_mamba}); }
static void forward_mamba2(run *r) { decoder_forward(r, &(decoder_spec){.mix = mix_mamba2}); }

static const binding bindings_mamba[] = {BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_MAMBA, {0}};
static const binding bindings_mamba2[] = {BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_MAMBA2, {0}};

const arch arch_mamba = {.name = "mamba", .hybrid = true, .load = load_arch_mamba, .bindings = bindings_mamba, .forward = forward_mamba};
const arch arch_mamba2 = {.name = "mamba2", .hybrid = true, .load = load_arch_mamba2, .bindings = bindings_mamba2, .forward = forward_mamba2};
