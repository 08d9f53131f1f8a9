/* deci (Llama-Nemotron, DeciLM): llama's layers as a search left them, each with heads and a feed-forward width of its own;
 * attention may be a matrix alone, or missing, and a layer without feed-forward is left out, as in the reference
 * (arXiv 2411.19146). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void layer(run *r, decoder *d, uint32_t il)
{
    const layer_weights *L = &r->m->layers[il];
    const layer_hp *l = &r->m->hp.layer[il];
    if (!l->n_ff) return;
    if (l->n_head) {
        op_norm(r, d->h, d->x, L->attn_norm, NULL);
        if (l->n_head_kv) {
            block_attention(r, d, il, &(attn_block){.scale = r->m->hp.attn_scale});
        } else {
            run_barrier(r); /* others may still read the layer before's y: no other operation stands between */
            op_matmul(r, d->y, &L->wo, NULL, d->h);
        }
        block_residual(r, d, d->y, NULL);
    }
    op_norm(r, d->h, d->x, L->ffn_norm, NULL);
    block_ffn(r, d, il, GLU_SILU);
    block_residual(r, d, d->y, NULL);
    run_probe_at(r, "l_out", (int)il, d->x, r->n, r->m->hp.n_embd);
}

static void forward(run *r)
{
    decoder d;
    decoder_buffers(r, &d);
    op_rope_table(r);
    op_embed(r, d.x);
    for (uint32_t il = 0; il < r->m->hp.n_layer; il++) layer(r, &d, il);
    op_logits(r, d.x);
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_ROPE_FACTORS,
    BIND_V(attn_norm, "attn_norm.weight", BIND_OPTIONAL, DIM_EMBD),
    BIND_HYBRID_ATTN,
    BIND_W(wo, "attn_output.weight", BIND_OPTIONAL, DIM_O, DIM_EMBD),
    BIND_V(bo, "attn_output.bias", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(ffn_norm, "ffn_norm.weight", BIND_FF, DIM_EMBD),
    BIND_W(gate, "ffn_gate.weight", BIND_FF, DIM_EMBD, DIM_FF),
    BIND_V(gate_b, "ffn_gate.bias", BIND_FF | BIND_OPTIONAL, DIM_FF),
    BIND_W(up, "ffn_up.weight", BIND_FF, DIM_EMBD, DIM_FF),
    BIND_V(up_b, "ffn_up.bias", BIND_FF | BIND_OPTIONAL, DIM_FF),
    BIND_W(down, "ffn_down.weight", BIND_FF, DIM_FF, DIM_EMBD),
    BIND_V(down_b, "ffn_down.bias", BIND_FF | BIND_OPTIONAL, DIM_EMBD),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NORM;
    TRY(load_rms_eps(m, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const layer_hp *l = &hp->layer[i];
        if (!l->n_head) continue;
        TRY(load_needs_tensor(m, i, "attn_norm.weight", err));
        TRY(load_needs_tensor(m, i, "attn_output.weight", err));
        if (!l->n_head_kv && l->n_head * l->dv != hp->n_embd)
            return err_set(err, TAWNY_E_FORMAT, "%s: deci.attention.head_count is %u in layer %u, which has no KV heads and needs %u",
                           gguf_path(m->file), l->n_head, i, hp->n_embd / (l->dv ? l->dv : 1));
    }
    return load_turns_whole_heads(m, err);
}

const arch arch_deci = {.name = "deci", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
