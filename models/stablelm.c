/* Decoders with layer norms that have biases: stablelm (SwiGLU; its 12B has no norm before the feed-forward, which
 * then runs beside attention, but norms q and k), orion (SwiGLU), jais (SwiGLU, ALiBi, scores over the head's size),
 * starcoder2 (GELU without a gate), nemotron (squared ReLU without a gate). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward_stablelm(run *r)
{
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < r->m->hp.n_layer; il++)
        decoder_layer(r, &d, il, &(decoder_spec){
            .attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_LAYER}, .act = GLU_SILU,
            .parallel = !r->m->layers[il].ffn_norm,
        });
    op_logits(r, d.x);
}

static void forward_gated(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static void forward_starcoder2(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_GELU_TANH});
}

static void forward_nemotron(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_RELU2});
}

#define LAYER_NORMS(ffn) BIND_ENDS, BIND_BIASED_NORMS(0, (ffn)), BIND_ATTN

static const binding bindings_stablelm[] = {
    LAYER_NORMS(BIND_OPTIONAL),
    BIND_V(q_norm, "attn_q_norm.weight", BIND_OPTIONAL, DIM_HEAD_K, DIM_HEADS),
    BIND_V(k_norm, "attn_k_norm.weight", BIND_OPTIONAL, DIM_HEAD_K, DIM_HEADS_KV),
    BIND_FFN,
    {0},
};
static const binding bindings_gated[] = {LAYER_NORMS(0), BIND_FFN, {0}};
static const binding bindings_ungated[] = {LAYER_NORMS(0), BIND_FFN_UNGATED, {0}};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_layer_norm_eps(m, err);
}

static tawny_status load_orion(model *m, tawny_error *err)
{
    TRY(load(m, err));
    return load_turns_whole_heads(m, err);
}

static tawny_status load_jais(model *m, tawny_error *err)
{
    float bias = 0;
    m->hp.attn_scale = 1.0f / (float)m->hp.layer[0].dk;
    TRY(load_layer_norm_eps(m, err));
    TRY(model_opt_f32(m, "attention.max_alibi_bias", 0, 1e6f, &bias, err));
    return load_alibi(m, bias, err);
}

const arch arch_stablelm = {.name = "stablelm", .load = load, .bindings = bindings_stablelm,
                            .forward = forward_stablelm};
const arch arch_starcoder2 = {.name = "starcoder2", .load = load, .bindings = bindings_ungated,
                              .forward = forward_starcoder2};
const arch arch_nemotron = {.name = "nemotron", .load = load, .bindings = bindings_ungated,
                            .forward = forward_nemotron};
const arch arch_orion = {.name = "orion", .load = load_orion, .bindings = bindings_gated, .forward = forward_gated};
const arch arch_jais = {.name = "jais", .load = load_jais, .bindings = bindings_gated, .forward = forward_gated};
