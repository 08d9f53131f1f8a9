/* Mellum 2: experts in every layer, heads of q and k normed, windows in three of four layers, which turn without the
 * scaling of the others. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_HEADS}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_QK_NORMS(0), BIND_EXPERTS, {0}};

static tawny_status load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    load_normed_weights(m);
    TRY(load_turns_whole_heads(m, err));
    return load_unscaled_windows(m, 4, err);
}

const arch arch_mellum = {.name = "mellum", .load = load, .bindings = bindings, .forward = forward};
