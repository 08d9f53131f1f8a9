/* Llama's layers with other positions, which files do not speak of. baichuan: with 32 layers (7B) RoPE turns, with 40
 * (13B) ALiBi slopes, others have neither; refact: ALiBi. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0}};

static tawny_status load(model *m, tawny_error *err)
{
    enum { LAYERS_OF_7B = 32, LAYERS_OF_13B = 40 };
    TRY(load_rms_eps(m, err));
    if (m->hp.n_layer == LAYERS_OF_13B) return load_alibi(m, 8, err);
    if (m->hp.n_layer != LAYERS_OF_7B) return TAWNY_OK;
    m->hp.rope_style = ROPE_NORM;
    return load_turns_whole_heads(m, err);
}

static tawny_status load_refact(model *m, tawny_error *err)
{
    TRY(load_rms_eps(m, err));
    return load_alibi(m, 8, err);
}

const arch arch_refact = {.name = "refact", .load = load_refact, .bindings = bindings, .forward = forward};
const arch arch_baichuan = {.name = "baichuan", .load = load, .bindings = bindings, .forward = forward};
