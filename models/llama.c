/* llama (dense and mixture of experts), mistral3, and their like: pre-norm, RoPE on adjacent pairs, SwiGLU. */
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
        block_attention(r, &d, il, &(attn_block){.scale = hp->attn_scale});
        op_add(r, d.x, d.x, d.y, hp->n_embd);

        op_rms_norm(r, d.h, d.x, L->ffn_norm, hp->n_embd, hp->norm_eps);
        if (hp->layer[il].moe) {
            block_moe(r, il, d.h, d.h, GLU_SILU);
            op_add(r, d.x, d.x, d.h, hp->n_embd);
        } else {
            block_ffn(r, &d, il, GLU_SILU);
            op_add(r, d.x, d.x, d.y, hp->n_embd);
        }
        run_probe_at(r, "layer_out", (int)il, d.x, r->n, hp->n_embd);
    }
    op_logits(r, d.x);
}

static const binding bindings[] = {
    BIND_GW(tok_embd, "token_embd.weight", 0, DIM_EMBD, DIM_VOCAB),
    BIND_GW(output, "output.weight", BIND_OPTIONAL, DIM_EMBD, DIM_VOCAB),
    BIND_GV(output_norm, "output_norm.weight", 0, DIM_EMBD),
    BIND_GV(rope_freqs[0], "rope_freqs.weight", BIND_OPTIONAL, DIM_ROT_HALF),
    BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD),
    BIND_W(wq, "attn_q.weight", 0, DIM_EMBD, DIM_Q),
    BIND_W(wk, "attn_k.weight", 0, DIM_EMBD, DIM_K),
    BIND_W(wv, "attn_v.weight", 0, DIM_EMBD, DIM_V),
    BIND_V(bq, "attn_q.bias", BIND_OPTIONAL, DIM_Q),
    BIND_V(bk, "attn_k.bias", BIND_OPTIONAL, DIM_K),
    BIND_V(bv, "attn_v.bias", BIND_OPTIONAL, DIM_V),
    BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),
    BIND_V(bo, "attn_output.bias", BIND_OPTIONAL, DIM_EMBD),
    BIND_V(ffn_norm, "ffn_norm.weight", 0, DIM_EMBD),
    BIND_W(gate, "ffn_gate.weight", BIND_DENSE, DIM_EMBD, DIM_FF),
    BIND_W(up, "ffn_up.weight", BIND_DENSE, DIM_EMBD, DIM_FF),
    BIND_W(down, "ffn_down.weight", BIND_DENSE, DIM_FF, DIM_EMBD),
    BIND_V(gate_b, "ffn_gate.bias", BIND_DENSE | BIND_OPTIONAL, DIM_FF),
    BIND_V(up_b, "ffn_up.bias", BIND_DENSE | BIND_OPTIONAL, DIM_FF),
    BIND_V(down_b, "ffn_down.bias", BIND_DENSE | BIND_OPTIONAL, DIM_EMBD),
    BIND_W(router, "ffn_gate_inp.weight", BIND_MOE, DIM_EMBD, DIM_EXPERTS),
    BIND_W(gate_exps, "ffn_gate_exps.weight", BIND_MOE, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(up_exps, "ffn_up_exps.weight", BIND_MOE, DIM_EMBD, DIM_FF_EXP, DIM_EXPERTS),
    BIND_W(down_exps, "ffn_down_exps.weight", BIND_MOE, DIM_FF_EXP, DIM_EMBD, DIM_EXPERTS),
    {0},
};

static tawny_status load_llama(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NORM;
    hp->expert_norm = true;
    TRY(model_get_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, &hp->norm_eps, err));
    if (hp->rope[0].n_rot != hp->layer[0].dk)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count is %u; this architecture rotates whole heads of %u", gguf_path(m->file),
                       m->arch_name, hp->rope[0].n_rot, hp->layer[0].dk);
    return TAWNY_OK;
}

static tawny_status load_mistral3(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(load_llama(m, err));
    TRY(model_opt_f32(m, "attention.temperature_scale", -1e6f, 1e6f, &hp->attn_temp_scale, err));
    hp->attn_temp_floor = (float)hp->rope[0].orig_ctx;
    return TAWNY_OK;
}

const arch arch_llama = {.name = "llama", .load = load_llama, .bindings = bindings, .forward = forward};
const arch arch_mistral3 = {.name = "mistral3", .load = load_mistral3, .bindings = bindings, .forward = forward};
