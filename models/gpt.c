/* Decoders after GPT-2: layer norms, GELU without a gate, q, k and v in one matrix. gpt2 and starcoder have learned
 * positions, bloom and mpt ALiBi, the others (codeshell too) RoPE on halves; gptneox (where it says so), falcon and phi2
 * compute attention and feed-forward side by side. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = hp->attn_scale, .clamp = hp->clamp_kqv, .qk_norm = QK_NORM_LAYER_ROWS},
        .act = GLU_GELU_TANH, .parallel = hp->parallel,
    });
}

#define POSITIONS(flags) BIND_GW(pos_embd, "position_embd.weight", (flags), DIM_EMBD, DIM_CTX)
#define GPT(bias) BIND_ENDS, BIND_BIASED_NORMS((bias), 0), BIND_ATTN, BIND_FFN_UNGATED

static const binding bindings_positions[] = {GPT(0), POSITIONS(0), {0}};
static const binding bindings_gptneox[] = {GPT(0), {0}};
static const binding bindings_bloom[] = {
    GPT(0),
    BIND_GV(embd_norm, "token_embd_norm.weight", 0, DIM_EMBD),
    BIND_GV(embd_norm_b, "token_embd_norm.bias", 0, DIM_EMBD),
    {0},
};
static const binding bindings_mpt[] = {
    GPT(BIND_OPTIONAL),
    POSITIONS(BIND_OPTIONAL),
    BIND_V(q_norm, "attn_q_norm.weight", BIND_OPTIONAL, DIM_Q),
    BIND_V(q_norm_b, "attn_q_norm.bias", BIND_OPTIONAL, DIM_Q),
    BIND_V(k_norm, "attn_k_norm.weight", BIND_OPTIONAL, DIM_K),
    BIND_V(k_norm_b, "attn_k_norm.bias", BIND_OPTIONAL, DIM_K),
    BIND_V(act_scales, "ffn.act.scales", BIND_OPTIONAL, DIM_FF),
    {0},
};
static const binding bindings_phi2[] = {
    BIND_ENDS,
    BIND_GV(output_norm_b, "output_norm.bias", 0, DIM_EMBD),
    BIND_GV(output_b, "output.bias", 0, DIM_VOCAB),
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_V(attn_norm_b, "attn_norm.bias", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_FFN_UNGATED,
    {0},
};

/* Where there are two norms, the second is attention's, and the first is left to the feed-forward. */
static const binding bindings_falcon[] = {
    BIND_ENDS,
    BIND_GV(output_norm_b, "output_norm.bias", 0, DIM_EMBD),
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_V(attn_norm_b, "attn_norm.bias", 0, DIM_EMBD),
    BIND_V(ffn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_V(ffn_norm_b, "attn_norm.bias", 0, DIM_EMBD),
    BIND_V(attn_norm, "attn_norm_2.weight", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(attn_norm_b, "attn_norm_2.bias", BIND_OPTIONAL, DIM_EMBD),
    BIND_ATTN,
    BIND_FFN_UNGATED,
    {0},
};

static tawny_status load_gptneox(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(model_get_bool(m, "use_parallel_residual", &m->hp.parallel, err));
    return load_layer_norm_eps(m, err);
}

static tawny_status load_phi2(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    m->hp.parallel = true;
    return load_layer_norm_eps(m, err);
}

static tawny_status load_falcon(model *m, tawny_error *err)
{
    TRY(load_phi2(m, err));
    TRY(load_together(m, "attn_norm_2.weight", "attn_norm_2.bias", err));
    return load_turns_whole_heads(m, err);
}

static tawny_status load_codeshell(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_layer_norm_eps(m, err));
    return load_turns_whole_heads(m, err);
}

/* The bias of ALiBi is not in the metadata. */
static tawny_status load_bloom(model *m, tawny_error *err)
{
    TRY(load_layer_norm_eps(m, err));
    return load_alibi(m, 8, err);
}

static tawny_status load_mpt(model *m, tawny_error *err)
{
    float bias = 0;
    TRY(load_layer_norm_eps(m, err));
    TRY(model_opt_f32(m, "attention.clamp_kqv", 0, 1e9f, &m->hp.clamp_kqv, err));
    TRY(model_opt_f32(m, "attention.max_alibi_bias", 0, 1e6f, &bias, err));
    TRY(load_together(m, "attn_q_norm.weight", "attn_k_norm.weight", err));
    return load_alibi(m, bias, err);
}

const arch arch_gpt2 = {.name = "gpt2", .load = load_layer_norm_eps, .bindings = bindings_positions, .forward = forward};
const arch arch_starcoder = {.name = "starcoder", .load = load_layer_norm_eps, .bindings = bindings_positions, .forward = forward};
const arch arch_gptneox = {.name = "gptneox", .load = load_gptneox, .bindings = bindings_gptneox, .forward = forward};
const arch arch_falcon = {.name = "falcon", .load = load_falcon, .bindings = bindings_falcon, .forward = forward};
const arch arch_phi2 = {.name = "phi2", .load = load_phi2, .bindings = bindings_phi2, .forward = forward};
const arch arch_codeshell = {.name = "codeshell", .load = load_codeshell, .bindings = bindings_gptneox, .forward = forward};
const arch arch_bloom = {.name = "bloom", .load = load_bloom, .bindings = bindings_bloom, .forward = forward};
const arch arch_mpt = {.name = "mpt", .load = load_mpt, .bindings = bindings_mpt, .forward = forward};
