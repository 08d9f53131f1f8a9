/* qwen2 (biases on q, k, v) and qwen3 (RMS norm of q and k a head): pre-norm, RoPE on halves, SwiGLU. */
#include "archs.h"
#include "blocks.h"

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        const layer_weights *L = &r->m->layers[il];
        op_rms_norm(r, d.h, d.x, L->attn_norm, hp->n_embd, hp->norm_eps);
        block_attention(r, &d, il, &(attn_block){.scale = hp->attn_scale, .qk_norm = true});
        op_add(r, d.x, d.x, d.y, hp->n_embd);

        op_rms_norm(r, d.h, d.x, L->ffn_norm, hp->n_embd, hp->norm_eps);
        block_ffn(r, &d, il, GLU_SILU);
        op_add(r, d.x, d.x, d.y, hp->n_embd);
        run_probe_at(r, "layer_out", (int)il, d.x, r->n, hp->n_embd);
    }
    op_logits(r, d.x);
}

#define COMMON                                                              \
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),         \
    BIND_GW(output, "output.weight", BIND_OPTIONAL, DIM_EMBD, DIM_VOCAB),   \
    BIND_GV(output_b, "output.bias", BIND_OPTIONAL, DIM_VOCAB),             \
    BIND_GV(output_norm, "output_norm.weight", 0, DIM_EMBD),                \
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),                     \
    BIND_W(wq, "attn_q.weight", 0, DIM_EMBD, DIM_Q),                        \
    BIND_W(wk, "attn_k.weight", 0, DIM_EMBD, DIM_K),                        \
    BIND_W(wv, "attn_v.weight", 0, DIM_EMBD, DIM_V),                        \
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),                   \
    BIND_V(ffn_norm, "ffn_norm.weight", 0, DIM_EMBD),                       \
    BIND_W(gate, "ffn_gate.weight", 0, DIM_EMBD, DIM_FF),                   \
    BIND_W(up, "ffn_up.weight", 0, DIM_EMBD, DIM_FF),                       \
    BIND_W(down, "ffn_down.weight", 0, DIM_FF, DIM_EMBD)

static const binding bindings_qwen2[] = {
    COMMON,
    BIND_V(bq, "attn_q.bias", BIND_OPTIONAL, DIM_Q),
    BIND_V(bk, "attn_k.bias", BIND_OPTIONAL, DIM_K),
    BIND_V(bv, "attn_v.bias", BIND_OPTIONAL, DIM_V),
    {0},
};

static const binding bindings_qwen3[] = {
    COMMON,
    BIND_V(q_norm, "attn_q_norm.weight", 0, DIM_HEAD_K),
    BIND_V(k_norm, "attn_k_norm.weight", 0, DIM_HEAD_K),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return model_get_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, &m->hp.norm_eps, err);
}

const arch arch_qwen2 = {.name = "qwen2", .load = load, .bindings = bindings_qwen2, .forward = forward};
const arch arch_qwen3 = {.name = "qwen3", .load = load, .bindings = bindings_qwen3, .forward = forward};
