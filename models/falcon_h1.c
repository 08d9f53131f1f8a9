/* falcon-h1: attention and Mamba 2 side by side in every layer, over the same input; their results are added. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "mamba.h"

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    int64_t dim = r->m->hp.n_embd;
    run_mark mark = run_mark_at(r);
    float *y = run_rows(r, dim);
    block_attention(r, d, il, a);
    block_mamba2(r, il, y, d->h);
    for (int t = r->tid; t < r->n && !r->plan; t += r->threads) {
        float *row = d->y + (size_t)t * (size_t)dim;
        simd.add(row, row, y + (size_t)t * (size_t)dim, (size_t)dim);
    }
    run_barrier(r);
    run_release(r, mark);
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix});
}

/* Files name the second norm without ".weight". */
static const binding bindings[] = {
    BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_V(ffn_norm, "ffn_norm", 0, DIM_EMBD),
    BIND_HYBRID_ATTN, BIND_MAMBA2, BIND_FFN, {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_mamba2(m, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        m->hp.layer[i].moe = false;
        mamba_layer(m, i, true);
    }
    return TAWNY_OK;
}

const arch arch_falcon_h1 = {.name = "falcon-h1", .load = load, .bindings = bindings, .forward = forward};
