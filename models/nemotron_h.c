/* nemotron_h and nemotron_h_moe: every layer is one block, of Mamba 2, attention without positions, or feed-forward with
 * squared ReLU; experts may work in a narrower space beside a shared one (arXiv 2504.03624). */
#include <stdio.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "mamba.h"

/* d->t = the experts over a projection of h, projected back, and the shared expert. */
static const float *experts(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    const hparams *hp = &r->m->hp;
    run_mark mark = run_mark_at(r);
    float *narrow = run_rows(r, hp->n_latent), *sum = run_tokens(r, hp->n_latent), *wide = run_rows(r, hp->n_embd);
    const float *in = d->h, *out = sum;
    if (L->latent_down.data) {
        op_matmul(r, narrow, &L->latent_down, NULL, d->h);
        in = narrow;
    }
    block_moe_routed(r, il, sum, in, d->h, GLU_RELU2);
    if (L->latent_up.data) {
        op_matmul(r, wide, &L->latent_up, NULL, sum);
        out = wide;
    }
    job up = {&L->up_sh, NULL, d->up};
    op_matmul_glu(r, &up, NULL, GLU_RELU2, d->h);
    op_matmul(r, d->y, &L->down_sh, NULL, d->up);
    op_add(r, d->t, out, d->y, hp->n_embd);
    run_barrier(r); /* what was read here is shared, and given back */
    run_release(r, mark);
    return d->t;
}

static const float *block(run *r, decoder *d, uint32_t il)
{
    const layer_hp *l = &r->m->hp.layer[il];
    if (l->moe) return experts(r, d, il);
    if (l->recurrent)
        block_mamba2(r, il, d->y, d->h);
    else if (l->n_ff)
        block_ffn(r, d, il, GLU_RELU2);
    else
        block_attention(r, d, il, &(attn_block){.scale = r->m->hp.attn_scale});
    return d->y;
}

static void forward(run *r)
{
    decoder d;
    decoder_buffers(r, &d);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < r->m->hp.n_layer; il++) {
        op_norm(r, d.h, d.x, r->m->layers[il].attn_norm, NULL);
        block_residual(r, &d, block(r, &d, il), NULL);
        run_probe_at(r, "l_out", (int)il, d.x, r->n, r->m->hp.n_embd);
    }
    op_logits(r, d.x);
}

#define BLOCKS                                                                                                   \
    BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_HYBRID_ATTN,                             \
    BIND_V(bo, "attn_output.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_EMBD), BIND_MAMBA2,                       \
    BIND_W(up, "ffn_up.weight", BIND_DENSE | BIND_FF, DIM_EMBD, DIM_FF),                                         \
    BIND_V(up_b, "ffn_up.bias", BIND_DENSE | BIND_FF | BIND_OPTIONAL, DIM_FF),                                   \
    BIND_W(down, "ffn_down.weight", BIND_DENSE | BIND_FF, DIM_FF, DIM_EMBD),                                     \
    BIND_V(down_b, "ffn_down.bias", BIND_DENSE | BIND_FF | BIND_OPTIONAL, DIM_EMBD)

static const binding bindings[] = {
    BLOCKS,
    BIND_W(router, "ffn_gate_inp.weight", BIND_MOE, DIM_EMBD, DIM_EXPERTS),
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE, DIM_EXPERTS),
    BIND_W(latent_down, "ffn_latent_down.weight", BIND_MOE | BIND_OPTIONAL, DIM_EMBD, DIM_LATENT),
    BIND_W(latent_up, "ffn_latent_up.weight", BIND_MOE | BIND_OPTIONAL, DIM_LATENT, DIM_EMBD),
    BIND_W(up_exps, "ffn_up_exps.weight", BIND_MOE, DIM_LATENT, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(down_exps, "ffn_down_exps.weight", BIND_MOE, DIM_FF_EXP, DIM_LATENT, DIM_EXPERTS),
    BIND_W(up_sh, "ffn_up_shexp.weight", BIND_MOE, DIM_EMBD, DIM_FF_SHEXP),
    BIND_W(down_sh, "ffn_down_shexp.weight", BIND_MOE, DIM_FF_SHEXP, DIM_EMBD),
    {0},
};

static uint32_t first_ff(const hparams *hp)
{
    for (uint32_t i = 0; i < hp->n_layer; i++)
        if (hp->layer[i].n_ff) return hp->layer[i].n_ff;
    return 0;
}

/* Experts of a width of their own need the projections. */
static tawny_status check_latent(const model *m, uint32_t il, tawny_error *err)
{
    static const char *const names[] = {"down", "up"};
    if (!m->hp.layer[il].moe || m->hp.n_latent == m->hp.n_embd) return TAWNY_OK;
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.ffn_latent_%s.weight", il, names[i]);
        if (!gguf_tensor_find(m->file, name)) return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s is missing", gguf_path(m->file), name);
    }
    return TAWNY_OK;
}

static tawny_status load_experts(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(model_opt_u32(m, "moe_latent_size", 0, 1 << 20, &hp->n_latent, err));
    if (!hp->n_latent) hp->n_latent = hp->n_embd;
    if (!hp->n_expert) return TAWNY_OK;
    if (!hp->n_ff_exp) hp->n_ff_exp = first_ff(hp) / hp->n_expert_used;
    hp->expert_gating = MOE_GATING_SIGMOID;
    if (!hp->n_ff_shexp || !hp->n_ff_exp)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.expert_shared_feed_forward_length %u and expert_feed_forward_length %u must not be 0",
                       gguf_path(m->file), m->arch_name, hp->n_ff_shexp, hp->n_ff_exp);
    return TAWNY_OK;
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NONE;
    TRY(model_opt_f32(m, "attention.layer_norm_epsilon", 0, 1, &hp->norm_eps, err));
    TRY(model_opt_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, &hp->norm_eps, err));
    TRY(load_mamba2(m, err));
    TRY(load_experts(m, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        layer_hp *l = &hp->layer[i];
        l->moe = hp->n_expert && l->n_ff;
        TRY(check_latent(m, i, err));
        if (l->n_head_kv == 0 && l->n_ff == 0) mamba_layer(m, i, false);
        if (l->n_ff) l->n_head = l->n_head_kv = 0;
    }
    return TAWNY_OK;
}

const arch arch_nemotron_h = {.name = "nemotron_h", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
const arch arch_nemotron_h_moe = {.name = "nemotron_h_moe", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
