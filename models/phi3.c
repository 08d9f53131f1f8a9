/* phi3: pre-norm, RoPE on halves with factors for long and for short contexts, gate and up in one matrix. phimoe: experts,
 * and norms with biases, which are RMS norms in the reference. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN_FUSED, {0}};
static const binding bindings_phimoe[] = {
    BIND_ENDS, BIND_GV(output_b, "output.bias", 0, DIM_VOCAB), BIND_ROPE_FACTORS, BIND_BIASED_NORMS(0, 0), BIND_ATTN, BIND_EXPERTS, {0},
};

/* Files state a sliding window that the models in circulation do not need; it stays off. */
static tawny_status load(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    return load_rms_eps(m, err);
}

static tawny_status load_phimoe(model *m, tawny_error *err)
{
    load_normed_weights(m);
    m->hp.n_ff_exp = m->hp.layer[0].n_ff;
    TRY(load_needs_experts(m, err));
    return load(m, err);
}

const arch arch_phi3 = {.name = "phi3", .load = load, .bindings = bindings, .forward = forward};
const arch arch_phimoe = {.name = "phimoe", .load = load_phimoe, .bindings = bindings_phimoe, .forward = forward};
