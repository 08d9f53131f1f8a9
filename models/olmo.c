/* OLMo: olmo (layer norms without weights, limited q, k and v), olmo2 (norms after the blocks only, RMS norms over
 * all heads of q and k, sliding windows in its third generation), olmoe (experts, the same norms of q and k). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward_olmo(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){.attn = {.scale = hp->attn_scale, .clamp = hp->clamp_kqv}, .act = GLU_SILU});
}

static void forward_olmo2(run *r)
{
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_ROWS}, .act = GLU_SILU, .post_only = true,
    });
}

static void forward_olmoe(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_ROWS},
                                       .act = GLU_SILU});
}

#define ROW_NORMS BIND_V(q_norm, "attn_q_norm.weight", 0, DIM_Q), BIND_V(k_norm, "attn_k_norm.weight", 0, DIM_K)

static const binding bindings_olmo[] = {
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),
    BIND_GW(output, "output.weight", BIND_OPTIONAL, DIM_EMBD, DIM_VOCAB),
    BIND_ATTN,
    BIND_FFN,
    {0},
};
static const binding bindings_olmo2[] = {BIND_ENDS, BIND_POST_NORMS, BIND_ATTN, ROW_NORMS, BIND_FFN, {0}};
static const binding bindings_olmoe[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, ROW_NORMS, BIND_EXPERTS, {0}};

static tawny_status load_olmo(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    TRY(load_layer_norm_eps(m, err));
    return model_opt_f32(m, "attention.clamp_kqv", 0, 1e9f, &m->hp.clamp_kqv, err);
}

/* Windowed layers turn without the scaling of the others. */
static tawny_status load_olmo2(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    return load_unscaled_windows(m, 4, err);
}

static tawny_status load_olmoe(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    m->hp.n_ff_exp = m->hp.layer[0].n_ff;
    m->hp.expert_norm = false;
    TRY(load_needs_experts(m, err));
    return load_rms_eps(m, err);
}

const arch arch_olmo = {.name = "olmo", .load = load_olmo, .bindings = bindings_olmo, .forward = forward_olmo};
const arch arch_olmo2 = {.name = "olmo2", .load = load_olmo2, .bindings = bindings_olmo2, .forward = forward_olmo2};
const arch arch_olmoe = {.name = "olmoe", .load = load_olmoe, .bindings = bindings_olmoe, .forward = forward_olmoe};
