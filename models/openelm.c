/* Llama's layers that norm the heads of q and k: openelm (before RoPE, on halves; heads and feed-forward widths a layer),
 * maincoder (after RoPE, on pairs). */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward_openelm(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU});
}

static void forward_maincoder(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_AFTER}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_QK_NORMS(0), BIND_FFN, {0}};

static tawny_status load_openelm(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

static tawny_status load_maincoder(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NORM;
    TRY(load_rms_eps(m, err));
    return load_turns_whole_heads(m, err);
}

const arch arch_openelm = {.name = "openelm", .load = load_openelm, .bindings = bindings, .forward = forward_openelm};
const arch arch_maincoder = {.name = "maincoder", .load = load_maincoder, .bindings = bindings, .forward = forward_maincoder};
