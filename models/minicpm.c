/* MiniCPM: llama's layers, or latent attention (minicpm3), with scales of the embeddings, of what each block adds and
 * of the logits, whose values are fixed where the file does not have them (arXiv 2404.06395). */
#include <math.h>

#include "archs.h"
#include "bindings.h"
#include "load.h"
#include "mla.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static void forward_minicpm3(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = block_mla});
}

static const binding bindings[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_ATTN, BIND_FFN, BIND_EXPERTS,
                                   {0}};
static const binding bindings_minicpm3[] = {BIND_ENDS, BIND_ROPE_FACTORS, BIND_PRE_NORMS, BIND_FFN, {0}};

static float fixed_residual_scale(const hparams *hp) { return 1.4f / sqrtf((float)hp->n_layer); }

/* Files without scales: the logits' is the inverse of what such models were trained with, as in the reference. */
static tawny_status load_minicpm(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    float logits = 256.0f / (float)hp->n_embd;
    hp->rope_style = ROPE_NORM;
    hp->expert_norm = true;
    hp->n_ff_exp = hp->layer[0].n_ff;
    hp->n_ff_shexp = 0;
    hp->embd_scale = 12;
    hp->residual_scale = fixed_residual_scale(hp);
    TRY(load_rms_eps(m, err));
    TRY(model_opt_f32(m, "embedding_scale", -1e6f, 1e6f, &hp->embd_scale, err));
    TRY(model_opt_f32(m, "residual_scale", -1e6f, 1e6f, &hp->residual_scale, err));
    TRY(model_opt_f32(m, "logit_scale", 1e-9f, 1e9f, &logits, err));
    hp->logit_scale = 1 / logits;
    if (hp->residual_scale == 0) hp->residual_scale = 1;
    if (hp->embd_scale == 0) hp->embd_scale = 1;
    return TAWNY_OK;
}

static tawny_status load_minicpm3(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    hp->embd_scale = 12;
    hp->residual_scale = fixed_residual_scale(hp);
    hp->logit_scale = 256.0f / (float)hp->n_embd;
    TRY(load_rms_eps(m, err));
    TRY(model_get_u32(m, "attention.q_lora_rank", 1, 1 << 20, &hp->mla.q_lora, err));
    TRY(load_mla(m, err));
    hp->attn_scale = 1 / sqrtf((float)(hp->mla.nope + hp->mla.rope));
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].moe = false;
    return bind_mla(m, err);
}

const arch arch_minicpm = {.name = "minicpm", .load = load_minicpm, .bindings = bindings, .forward = forward};
const arch arch_minicpm3 = {.name = "minicpm3", .load = load_minicpm3, .bindings = bindings_minicpm3,
                            .forward = forward_minicpm3};
