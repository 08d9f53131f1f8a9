/* gemma4: gemma3's blocks with heads of their own size in windowed layers, values normed, keys and values shared
 * by the last layers, experts beside the dense product in layers that have them, embeddings a layer, a scale a
 * layer. */
#include <math.h>

#include "archs.h"
#include "load.h"
#include "ple.h"

/* Buffers beyond the decoder's. */
typedef struct extra {
    const float *ple;
    float *dense, *router; /* token buffers [n][n_embd] */
} extra;

/* d->t = norm(dense(norm x)) + norm(experts(norm x)); the router has its own view of x. */
static void experts(run *r, decoder *d, uint32_t il, const extra *e)
{
    const hparams *hp = &r->m->hp;
    const layer_weights *L = &r->m->layers[il];
    int64_t dim = hp->n_embd;
    op_norm(r, d->h, d->x, L->ffn_norm, NULL);
    block_ffn(r, d, il, GLU_GELU_TANH);
    op_norm(r, e->dense, d->y, L->ffn_post_norm_1, NULL);
    op_norm(r, e->router, d->x, L->router_scale, NULL);
    op_scale(r, e->router, e->router, 1.0f / sqrtf((float)dim), dim);
    op_norm(r, d->h, d->x, L->ffn_pre_norm_2, NULL);
    block_moe_routed(r, il, d->t, d->h, e->router, GLU_GELU_TANH);
    op_norm(r, d->t, d->t, L->ffn_post_norm_2, NULL);
    op_add(r, d->t, e->dense, d->t, dim);
}

static void layer(run *r, decoder *d, uint32_t il, const extra *e)
{
    const hparams *hp = &r->m->hp;
    const layer_weights *L = &r->m->layers[il];
    op_norm(r, d->h, d->x, L->attn_norm, NULL);
    block_attention(r, d, il, &(attn_block){.scale = hp->attn_scale, .qk_norm = QK_NORM_HEADS, .v_norm = true});
    block_residual(r, d, d->y, L->attn_post_norm);
    if (L->router.data) {
        experts(r, d, il, e);
        block_residual(r, d, d->t, L->ffn_post_norm);
    } else {
        op_norm(r, d->h, d->x, L->ffn_norm, NULL);
        block_ffn(r, d, il, GLU_GELU_TANH);
        block_residual(r, d, d->y, L->ffn_post_norm);
    }
    if (e->ple) {
        ple_project(r, il, d->t, d->x, e->ple);
        op_add(r, d->x, d->x, d->t, hp->n_embd);
    }
    if (L->out_scale) op_scale(r, d->x, d->x, *L->out_scale, hp->n_embd);
    run_probe_at(r, "l_out", (int)il, d->x, r->n, hp->n_embd);
}

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder d;
    extra e = {0};
    decoder_buffers(r, &d);
    op_rope_table(r);
    if (hp->n_expert) {
        e.dense = run_tokens(r, hp->n_embd);
        e.router = run_tokens(r, hp->n_embd);
    }
    op_embed(r, d.x);
    if (hp->n_ple) e.ple = ple_inputs(r, d.x);
    for (uint32_t il = 0; il < hp->n_layer; il++) layer(r, &d, il, &e);
    op_logits(r, d.x);
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_PRE_NORMS,
    BIND_POST_NORMS,
    BIND_W(wqkv, "attn_qkv.weight", BIND_OPTIONAL, DIM_EMBD, DIM_QKV),
    BIND_W(wq, "attn_q.weight", BIND_SPLIT_QKV, DIM_EMBD, DIM_Q),
    BIND_W(wk, "attn_k.weight", BIND_SPLIT_QKV | BIND_OWN_KV, DIM_EMBD, DIM_K),
    BIND_W(wv, "attn_v.weight", BIND_SPLIT_QKV | BIND_OWN_KV | BIND_OPTIONAL, DIM_EMBD, DIM_V),
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_V(q_norm, "attn_q_norm.weight", 0, DIM_HEAD_K),
    BIND_V(k_norm, "attn_k_norm.weight", BIND_OWN_KV, DIM_HEAD_K),
    BIND_V(out_scale, "layer_output_scale.weight", BIND_OPTIONAL, DIM_ONE),
    BIND_W(gate, "ffn_gate.weight", 0, DIM_EMBD, DIM_FF),
    BIND_W(up, "ffn_up.weight", 0, DIM_EMBD, DIM_FF),
    BIND_W(down, "ffn_down.weight", 0, DIM_FF, DIM_EMBD),
    BIND_EXPERTS,
    BIND_V(router_scale, "ffn_gate_inp.scale", BIND_MOE, DIM_EMBD),
    BIND_V(ffn_pre_norm_2, "pre_ffw_norm_2.weight", BIND_MOE, DIM_EMBD),
    BIND_V(ffn_post_norm_1, "post_ffw_norm_1.weight", BIND_MOE, DIM_EMBD),
    BIND_V(ffn_post_norm_2, "post_ffw_norm_2.weight", BIND_MOE, DIM_EMBD),
    {0},
};

static const binding bindings_factors[] = {BIND_GV(rope_freqs[0], "rope_freqs.weight", 0, DIM_ROT_HALF), {0}};
static const binding bindings_ple[] = {BIND_PLE, {0}};

static tawny_status load_heads(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0, shared = 0, dk = 0, dv = 0;
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    TRY(model_get_u32(m, "attention.key_length_swa", 1, 1024, &dk, err));
    TRY(model_get_u32(m, "attention.value_length_swa", 1, 1024, &dv, err));
    if (dk != dv || hp->layer[0].dk != hp->layer[0].dv)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.attention.key_length and value_length differ", gguf_path(m->file),
                       m->arch_name);
    hp->rope[1].base = 10000;
    hp->rope[1].scale = 1;
    hp->rope[1].no_factors = 1;
    TRY(load_windows(m, window, 0, err));
    TRY(model_opt_u32(m, "attention.shared_kv_layers", 0, hp->n_layer, &shared, err));
    return load_shared_kv(m, hp->n_layer - shared, err);
}

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    hp->embd_scale = sqrtf((float)hp->n_embd);
    hp->attn_scale = 1;
    hp->final_softcap = 30;
    load_normed_weights(m);
    TRY(load_rms_eps(m, err));
    TRY(model_opt_f32(m, "final_logit_softcapping", 0, 1e6f, &hp->final_softcap, err));
    TRY(model_get_u32(m, "embedding_length_per_layer_input", 0, 1 << 16, &hp->n_ple, err));
    TRY(load_heads(m, err));
    bool full = false;
    load_routed_layers(m);
    for (uint32_t i = 0; i < hp->n_layer; i++) full = full || !hp->layer[i].rope;
    if (hp->n_ple) TRY(model_bind(m, bindings_ple, err));
    return full ? model_bind(m, bindings_factors, err) : TAWNY_OK;
}

const arch arch_gemma4 = {.name = "gemma4", .load = load, .bindings = bindings, .forward = forward};
