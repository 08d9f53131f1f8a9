/* Granite: llama's layers with scales of the embeddings, of what each block adds, of attention and of the logits; dense, or
 * with experts and a shared one; the hybrid has Mamba 2 in layers without KV heads. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "mamba.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        block_mamba2(r, il, d->y, d->h);
    else
        block_attention(r, d, il, a);
}

static void forward_hybrid(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix});
}

static const binding bindings_hybrid[] = {
    BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_HYBRID_ATTN, BIND_V(bo, "attn_output.bias", BIND_ATTENTION | BIND_OPTIONAL, DIM_EMBD),
    BIND_MAMBA2, BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT, {0},
};

static const binding bindings[] = {
    BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT, {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    float logits = 1;
    hp->rope_style = ROPE_NORM;
    hp->expert_norm = true;
    hp->n_ff_exp = hp->layer[0].n_ff;
    TRY(load_rms_eps(m, err));
    TRY((m->arch->hybrid ? model_opt_f32 : model_get_f32)(m, "logit_scale", 1e-9f, 1e9f, &logits, err));
    TRY(model_opt_f32(m, "residual_scale", -1e6f, 1e6f, &hp->residual_scale, err));
    TRY(model_opt_f32(m, "embedding_scale", -1e6f, 1e6f, &hp->embd_scale, err));
    hp->logit_scale = 1 / logits;
    if (hp->residual_scale == 0) hp->residual_scale = 1;
    if (hp->embd_scale == 0) hp->embd_scale = 1;
    return TAWNY_OK;
}

/* Without "finetuned" RoPE there is none. */
static tawny_status load_granite(model *m, tawny_error *err)
{
    bool rope = true;
    TRY(load(m, err));
    TRY(model_opt_bool(m, "rope.scaling.finetuned", &rope, err));
    if (!rope) m->hp.rope_style = ROPE_NONE;
    return TAWNY_OK;
}

static tawny_status load_hybrid(model *m, tawny_error *err)
{
    TRY(load_granite(m, err));
    TRY(load_mamba2(m, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++)
        if (m->hp.layer[i].n_head_kv == 0) mamba_layer(m, i, false);
    return TAWNY_OK;
}

const arch arch_granite = {.name = "granite", .load = load_granite, .bindings = bindings, .forward = forward};
const arch arch_granitemoe = {.name = "granitemoe", .load = load, .bindings = bindings, .forward = forward};
const arch arch_granitehybrid = {
    .name = "granitehybrid", .hybrid = true, .load = load_hybrid, .bindings = bindings_hybrid, .forward = forward_hybrid,
};
