/* Encoders: every token sees the whole text, and the hidden states are the result.
 *
 * bert and its like norm after each block: x = norm(x + block(x)). bert has learned positions, nomic-bert and
 * jina-bert-v3 RoPE, jina-bert-v2 ALiBi; GELU is the tanh form, as their common reference has it. modern-bert,
 * neo-bert and eurobert norm before each block, as decoders do. */
#include <math.h>
#include <stdio.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void post_norm_layer(run *r, decoder *d, uint32_t il, const attn_block *a, glu act)
{
    const layer_weights *L = &r->m->layers[il];
    int64_t dim = r->m->hp.n_embd;
    op_copy(r, d->h, d->x, dim);
    block_attention(r, d, il, a);
    op_add(r, d->h, d->x, d->y, dim);
    op_norm(r, d->h, d->h, L->attn_post_norm, L->attn_post_norm_b);
    if (L->attn_post_norm_2) {
        op_add(r, d->h, d->h, d->x, dim);
        op_norm(r, d->h, d->h, L->attn_post_norm_2, L->attn_post_norm_2_b);
    }
    op_copy(r, d->x, d->h, dim);
    op_add(r, d->x, d->x, block_feed_forward(r, d, il, act), dim);
    op_norm(r, d->x, d->x, L->ffn_post_norm, L->ffn_post_norm_b);
    run_probe_at(r, "l_out", (int)il, d->x, r->n, dim);
}

static void forward_post_norm(run *r, const attn_block *a, glu act)
{
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < r->m->hp.n_layer; il++) post_norm_layer(r, &d, il, a, act);
    op_embeddings(r, d.x, false);
}

static void forward_gelu(run *r)
{
    forward_post_norm(r, &(attn_block){.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_LAYER_ROWS}, GLU_GELU_TANH);
}

static void forward_silu(run *r) { forward_post_norm(r, &(attn_block){.scale = r->m->hp.attn_scale}, GLU_SILU); }

/* The first layer's input is normed already. */
static void forward_modern(run *r)
{
    const hparams *hp = &r->m->hp;
    glu act = hp->ffn_silu ? GLU_SILU : GLU_GELU_TANH;
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        const layer_weights *L = &r->m->layers[il];
        if (L->attn_norm)
            op_norm(r, d.h, d.x, L->attn_norm, NULL);
        else
            op_copy(r, d.h, d.x, hp->n_embd);
        block_attention(r, &d, il, &(attn_block){.scale = hp->attn_scale});
        op_add(r, d.x, d.x, d.y, hp->n_embd);
        op_norm(r, d.h, d.x, L->ffn_norm, NULL);
        op_add(r, d.x, d.x, block_feed_forward(r, &d, il, act), hp->n_embd);
        run_probe_at(r, "l_out", (int)il, d.x, r->n, hp->n_embd);
    }
    op_embeddings(r, d.x, true);
}

static void forward_pre_norm(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

#define BIND_INPUT                                                                          \
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),                         \
    BIND_GW(type_embd, "token_types.weight", BIND_OPTIONAL, DIM_EMBD, DIM_TYPES),           \
    BIND_GV(embd_norm, "token_embd_norm.weight", 0, DIM_EMBD),                              \
    BIND_GV(embd_norm_b, "token_embd_norm.bias", BIND_OPTIONAL, DIM_EMBD)

#define BIND_AFTER                                                                          \
    BIND_V(attn_post_norm, "attn_output_norm.weight", 0, DIM_EMBD),                         \
    BIND_V(attn_post_norm_b, "attn_output_norm.bias", 0, DIM_EMBD),                         \
    BIND_V(ffn_post_norm, "layer_output_norm.weight", 0, DIM_EMBD),                         \
    BIND_V(ffn_post_norm_b, "layer_output_norm.bias", 0, DIM_EMBD)

static const binding bindings_bert[] = {
    BIND_INPUT,
    BIND_GW(pos_embd, "position_embd.weight", 0, DIM_EMBD, DIM_CTX),
    BIND_ATTN,
    BIND_AFTER,
    BIND_FFN_UNGATED,
    {0},
};
static const binding bindings_nomic[] = {BIND_INPUT, BIND_ATTN, BIND_AFTER, BIND_FFN, {0}};
static const binding bindings_jina_v3[] = {BIND_INPUT, BIND_ATTN, BIND_AFTER, BIND_FFN_UNGATED, {0}};
static const binding bindings_nomic_moe[] = {
    BIND_INPUT,
    BIND_ATTN,
    BIND_AFTER,
    BIND_FFN_UNGATED,
    BIND_W(router, "ffn_gate_inp.weight", BIND_MOE, DIM_EMBD, DIM_EXPERTS),
    BIND_W(up_exps, "ffn_up_exps.weight", BIND_MOE, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(down_exps, "ffn_down_exps.weight", BIND_MOE, DIM_FF_EXP, DIM_EMBD, DIM_EXPERTS),
    {0},
};
static const binding bindings_jina_v2[] = {
    BIND_INPUT,
    BIND_ATTN,
    BIND_AFTER,
    BIND_V(q_norm, "attn_q_norm.weight", BIND_OPTIONAL, DIM_Q),
    BIND_V(q_norm_b, "attn_q_norm.bias", BIND_OPTIONAL, DIM_Q),
    BIND_V(k_norm, "attn_k_norm.weight", BIND_OPTIONAL, DIM_K),
    BIND_V(k_norm_b, "attn_k_norm.bias", BIND_OPTIONAL, DIM_K),
    BIND_V(attn_post_norm_2, "attn_norm_2.weight", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(attn_post_norm_2_b, "attn_norm_2.bias", BIND_OPTIONAL, DIM_EMBD),
    BIND_W(gate, "ffn_gate.weight", BIND_OPTIONAL, DIM_EMBD, DIM_FF),
    BIND_W(down, "ffn_down.weight", 0, DIM_FF, DIM_EMBD),
    BIND_V(down_b, "ffn_down.bias", BIND_OPTIONAL, DIM_EMBD),
    {0},
};
static const binding bindings_jina_v2_up[] = {
    BIND_W(up, "ffn_up.weight", 0, DIM_EMBD, DIM_FF), BIND_V(up_b, "ffn_up.bias", BIND_OPTIONAL, DIM_FF), {0},
};
static const binding bindings_jina_v2_fused[] = {
    BIND_W(gate_up, "ffn_up.weight", 0, DIM_EMBD, DIM_2FF),
    BIND_V(gate_up_b, "ffn_up.bias", BIND_OPTIONAL, DIM_2FF),
    {0},
};
static const binding bindings_modern[] = {
    BIND_INPUT,
    BIND_GV(output_norm, "output_norm.weight", 0, DIM_EMBD),
    BIND_V(attn_norm, "attn_norm.weight", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(ffn_norm, "ffn_norm.weight", 0, DIM_EMBD),
    BIND_ATTN,
    BIND_FFN_FUSED,
    {0},
};
static const binding bindings_neo[] = {
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),
    BIND_GV(output_norm, "enc.output_norm.weight", 0, DIM_EMBD),
    BIND_PRE_NORMS,
    BIND_ATTN,
    BIND_FFN_FUSED,
    {0},
};
static const binding bindings_euro[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0}};

/* Positions that are learned or in the scores alone: nothing turns. */
static tawny_status load_bert(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NONE;
    TRY(gguf_get_u32(m->file, "tokenizer.ggml.token_type_count", 1, 1 << 16, &m->hp.n_types, err));
    return load_layer_norm_eps(m, err);
}

static tawny_status load_turning(model *m, tawny_error *err)
{
    TRY(load_bert(m, err));
    m->hp.rope_style = ROPE_NEOX;
    return TAWNY_OK;
}

static tawny_status load_nomic_moe(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t every = 0;
    TRY(load_turning(m, err));
    TRY(model_opt_u32(m, "moe_every_n_layers", 0, MODEL_MAX_LAYERS, &every, err));
    if (every) TRY(load_needs_experts(m, err));
    hp->n_ff_exp = hp->layer[0].n_ff;
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].moe = every && i % every == 1;
    return TAWNY_OK;
}

/* The gate of the feed-forward block is a matrix of its own, the first half of ffn_up, or not there. */
static tawny_status load_jina_v2(model *m, tawny_error *err)
{
    TRY(load_bert(m, err));
    TRY(load_alibi(m, 8, err));
    const gguf_tensor *gate = gguf_tensor_find(m->file, "blk.0.ffn_gate.weight");
    const gguf_tensor *up = gguf_tensor_find(m->file, "blk.0.ffn_up.weight");
    bool fused = !gate && up && up->ne[1] == 2ull * m->hp.layer[0].n_ff;
    return model_bind(m, fused ? bindings_jina_v2_fused : bindings_jina_v2_up, err);
}

static tawny_status load_modern(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    gguf_str act = {"gelu", 4};
    hp->rope_style = ROPE_NEOX;
    hp->head.gelu = true;
    TRY(load_layer_norm_eps(m, err));
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    if (window) TRY(load_windows_both(m, window, 3, true, err));
    TRY(gguf_opt_str(m->file, "modern-bert.hidden_activation", &act, err));
    hp->ffn_silu = gguf_str_eq(act, "silu") || gguf_str_eq(act, "swish") || gguf_str_eq(act, "swiglu");
    if (!hp->ffn_silu && !gguf_str_eq(act, "gelu") && !gguf_str_eq(act, "geglu"))
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "%s: modern-bert.hidden_activation is '%.*s'; gelu and silu are supported",
                       gguf_path(m->file), (int)(act.n < 40 ? act.n : 40), act.p);
    if (!gguf_find(m->file, "modern-bert.classifier.pooling_type")) hp->head.mean = true;
    return TAWNY_OK;
}

static tawny_status load_neo(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    return load_rms_eps(m, err);
}

static tawny_status load_euro(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

#define ENCODER(id, label, reads, table, pass)                                                                       \
    const arch arch_##id = {.name = label, .encoder = true, .load = reads, .bindings = table, .forward = pass}
ENCODER(bert, "bert", load_bert, bindings_bert, forward_gelu);
ENCODER(nomic_bert, "nomic-bert", load_turning, bindings_nomic, forward_silu);
ENCODER(nomic_bert_moe, "nomic-bert-moe", load_nomic_moe, bindings_nomic_moe, forward_gelu);
ENCODER(jina_bert_v2, "jina-bert-v2", load_jina_v2, bindings_jina_v2, forward_gelu);
ENCODER(jina_bert_v3, "jina-bert-v3", load_turning, bindings_jina_v3, forward_gelu);
ENCODER(modern_bert, "modern-bert", load_modern, bindings_modern, forward_modern);
ENCODER(neo_bert, "neo-bert", load_neo, bindings_neo, forward_pre_norm);
ENCODER(eurobert, "eurobert", load_euro, bindings_euro, forward_pre_norm);
