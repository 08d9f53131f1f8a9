/* phi3: pre-norm, RoPE on halves with factors for long and for short contexts, gate and up in one matrix. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN_FUSED, {0}};

/* Files state a sliding window that the models in circulation do not need; it stays off. */
static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

const arch arch_phi3 = {.name = "phi3", .load = load, .bindings = bindings, .forward = forward};
