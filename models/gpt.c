/* Decoders after GPT-2: layer norms with biases, GELU without a gate, q, k and v in one matrix. gpt2 and starcoder have
 * learned positions. */
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_GELU_TANH,
                                       .parallel = r->m->hp.parallel});
}

static const binding bindings_positions[] = {
    BIND_ENDS, BIND_GW(pos_embd, "position_embd.weight", 0, DIM_EMBD, DIM_CTX), BIND_BIASED_NORMS(0, 0), BIND_ATTN,
    BIND_FFN_UNGATED, {0},
};

static tawny_status load_positions(model *m, tawny_error *err) { return load_layer_norm_eps(m, err); }

const arch arch_gpt2 = {.name = "gpt2", .load = load_positions, .bindings = bindings_positions, .forward = forward};
const arch arch_starcoder = {.name = "starcoder", .load = load_positions, .bindings = bindings_positions, .forward = forward};
