/* jamba: Mamba, attention without positions in the layers with KV heads, and a dense or an expert feed-forward block
 * (arXiv 2403.19887). */
#include <stdio.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"
#include "mamba.h"

static void mix(run *r, decoder *d, uint32_t il, const attn_block *a)
{
    if (r->m->hp.layer[il].recurrent)
        block_mamba(r, il, d->y, d->h);
    else
        block_attention(r, d, il, a);
}

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = mix});
}

static const binding bindings[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_HYBRID_ATTN, BIND_MAMBA, BIND_FFN, BIND_EXPERTS, {0}};

/* A layer has experts where it has a router. */
static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NONE;
    hp->expert_norm = false;
    hp->n_ff_exp = hp->layer[0].n_ff;
    TRY(load_rms_eps(m, err));
    TRY(load_mamba(m, err));
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        hp->layer[i].moe = hp->n_expert && gguf_tensor_find(m->file, name);
        if (hp->layer[i].n_head_kv == 0) mamba_layer(m, i, false);
    }
    return TAWNY_OK;
}

const arch arch_jamba = {.name = "jamba", .hybrid = true, .load = load, .bindings = bindings, .forward = forward};
