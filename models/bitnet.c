/* BitNet b1.58: llama's layers for ternary weights, with a norm before each output projection
 * (arXiv 2402.17764). The embedding is the output matrix too. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings[] = {
    BIND_ENDS,
    BIND_PRE_NORMS,
    BIND_ATTN,
    BIND_V(attn_sub_norm, "attn_sub_norm.weight", 0, DIM_O),
    BIND_FFN,
    BIND_V(ffn_sub_norm, "ffn_sub_norm.weight", 0, DIM_FF),
    {0},
};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

const arch arch_bitnet = {.name = "bitnet", .load = load, .bindings = bindings, .forward = forward};
