/* plamo (1): RMS norms, attention and feed-forward side by side over one norm, RoPE on halves of whole heads. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .parallel = true});
}

static const binding bindings[] = {BIND_ENDS, BIND_V(attn_norm, "attn_norm.weight", 0, DIM_EMBD), BIND_ATTN, BIND_FFN, {0}};

static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    return load_turns_whole_heads(m, err);
}

const arch arch_plamo = {.name = "plamo", .load = load, .bindings = bindings, .forward = forward};
