/* gemma, gemma2, gemma3: embeddings scaled by the root of their width, GELU in its tanh form, RoPE on halves.
 * gemma2 adds norms after the blocks, soft caps, and sliding windows; gemma3 trades the caps of attention for
 * norms of q and k, and turns windowed layers at a base of their own; gemma-embedding lets tokens see both ways. */
#include <math.h>

#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    const hparams *hp = &r->m->hp;
    decoder_forward(r, &(decoder_spec){
        .attn = {.scale = hp->attn_scale, .softcap = hp->attn_softcap, .qk_norm = QK_NORM_HEADS},
        .act = GLU_GELU_TANH,
    });
}

static const binding bindings_gemma[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, {0}};
static const binding bindings_gemma2[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_POST_NORMS, BIND_ATTN, BIND_FFN, {0}};
static const binding bindings_gemma3[] = {BIND_ENDS, BIND_PRE_NORMS, BIND_POST_NORMS, BIND_ATTN, BIND_QK_NORMS(0),
                                          BIND_FFN, {0}};

static tawny_status load_gemma(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    m->hp.embd_scale = sqrtf((float)m->hp.n_embd);
    return load_rms_eps(m, err);
}

/* The 27B models of both generations, known by their number of layers, scale by the width over the heads. */
static float scale_of(const hparams *hp, uint32_t layers_27b)
{
    uint32_t n = hp->n_layer == layers_27b ? hp->n_embd / hp->layer[0].n_head : hp->layer[0].dk;
    return 1.0f / sqrtf((float)(n ? n : 1));
}

static tawny_status load_gemma2(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 4096;
    TRY(load_gemma(m, err));
    hp->attn_softcap = 50;
    hp->final_softcap = 30;
    TRY(model_opt_f32(m, "attn_logit_softcapping", 0, 1e6f, &hp->attn_softcap, err));
    TRY(model_opt_f32(m, "final_logit_softcapping", 0, 1e6f, &hp->final_softcap, err));
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    hp->attn_scale = scale_of(hp, 46);
    return load_windows(m, window, 2, err);
}

static tawny_status load_gemma3(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t window = 0;
    TRY(load_gemma(m, err));
    TRY(model_opt_f32(m, "final_logit_softcapping", 0, 1e6f, &hp->final_softcap, err));
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    hp->attn_scale = scale_of(hp, 62);
    if (!window) return TAWNY_OK;
    hp->rope[1].base = 10000;
    hp->rope[1].scale = 1;
    return load_windows(m, window, 6, err);
}

/* gemma3 as an encoder. */
static tawny_status load_gemma_embedding(model *m, tawny_error *err)
{
    uint32_t window;
    TRY(load_gemma(m, err));
    TRY(model_get_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    m->hp.causal = false;
    m->hp.attn_scale = 1.0f / sqrtf((float)m->hp.layer[0].dk);
    return load_windows_both(m, window, 6, false, err);
}

const arch arch_gemma = {.name = "gemma", .load = load_gemma, .bindings = bindings_gemma, .forward = forward};
const arch arch_gemma2 = {.name = "gemma2", .load = load_gemma2, .bindings = bindings_gemma2, .forward = forward};
const arch arch_gemma3 = {.name = "gemma3", .load = load_gemma3, .bindings = bindings_gemma3, .forward = forward};
const arch arch_gemma_embedding = {.name = "gemma-embedding", .encoder = true, .load = load_gemma_embedding,
                                   .bindings = bindings_gemma3, .forward = forward};
