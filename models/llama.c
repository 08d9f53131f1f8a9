/* llama (dense and mixture of experts), mistral3, and their like: pre-norm, RoPE, SwiGLU. smollm3 leaves RoPE out of
 * every fourth layer, seed_oss and pangu-embedded turn halves, arcee has a squared ReLU without a gate. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, BIND_EXPERTS,
                                   {0}};

static tawny_status load_llama(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NORM;
    hp->expert_norm = true;
    TRY(load_rms_eps(m, err));
    return load_turns_whole_heads(m, err);
}

static tawny_status load_mistral3(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(load_llama(m, err));
    TRY(model_opt_f32(m, "attention.temperature_scale", -1e6f, 1e6f, &hp->attn_temp_scale, err));
    hp->attn_temp_floor = (float)hp->rope[0].orig_ctx;
    return TAWNY_OK;
}

/* Every fourth layer goes without RoPE. */
static tawny_status load_smollm3(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    for (uint32_t i = 3; i < m->hp.n_layer; i += 4) m->hp.layer[i].no_rope = true;
    return load_rms_eps(m, err);
}

static tawny_status load_seed_oss(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

static tawny_status load_internlm2(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    return load_rms_eps(m, err);
}

static void forward_arcee(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_RELU2});
}

static const binding bindings_arcee[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN_UNGATED,
                                         {0}};
static const binding bindings_seed_oss[] = {
    BIND_ENDS,
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_V(ffn_norm, "post_attention_norm.weight", 0, DIM_EMBD),
    BIND_FFN,
    {0},
};
static const binding bindings_dense[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0}};

static tawny_status load_xverse(model *m, tawny_error *err)
{
    TRY(load_internlm2(m, err));
    return load_turns_whole_heads(m, err);
}

static tawny_status load_pangu(model *m, tawny_error *err)
{
    TRY(load_seed_oss(m, err));
    return load_turns_whole_heads(m, err);
}

static const binding bindings_pangu[] = {
    BIND_ENDS, BIND_GV(output_b, "output.bias", BIND_OPTIONAL, DIM_VOCAB), BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0},
};

const arch arch_llama = {.name = "llama", .load = load_llama, .bindings = bindings, .forward = forward};
const arch arch_mistral3 = {.name = "mistral3", .load = load_mistral3, .bindings = bindings, .forward = forward};
const arch arch_smollm3 = {.name = "smollm3", .load = load_smollm3, .bindings = bindings_dense, .forward = forward};
const arch arch_internlm2 = {.name = "internlm2", .load = load_internlm2, .bindings = bindings_dense,
                             .forward = forward};
const arch arch_seed_oss = {.name = "seed_oss", .load = load_seed_oss, .bindings = bindings_seed_oss,
                            .forward = forward};
const arch arch_arcee = {.name = "arcee", .load = load_internlm2, .bindings = bindings_arcee,
                         .forward = forward_arcee};
const arch arch_llama_embed = {.name = "llama-embed", .encoder = true, .load = load_llama, .bindings = bindings,
                               .forward = forward};
const arch arch_xverse = {.name = "xverse", .load = load_xverse, .bindings = bindings_dense, .forward = forward};
const arch arch_pangu_embedded = {.name = "pangu-embedded", .load = load_pangu, .bindings = bindings_pangu, .forward = forward};
