/* Hunyuan: llama's layers with norms of q and k after RoPE; the moe has experts, as wide as feed_forward_length,
 * beside a shared one in all layers. The dense one may stretch its frequency base: base * alpha^(d / (d - 2)), d the
 * size of a head ("NTK-aware" scaling). Published by Tencent. */
#include "../src/base/mathf.h"
#include "archs.h"
#include "bindings.h"
#include "blocks.h"
#include "load.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale, .qk_norm = QK_NORM_AFTER},
                                       .act = GLU_SILU});
}

#define HUNYUAN                                                                                          \
    BIND_ENDS, BIND_PRE_NORMS, BIND_QKV, BIND_W(wo, "attn_output.weight", 0, DIM_O, DIM_EMBD),           \
    BIND_QK_NORMS(0)

static const binding bindings_dense[] = {HUNYUAN, BIND_FFN_PLAIN, {0}};
static const binding bindings_moe[] = {HUNYUAN, BIND_EXPERTS, BIND_SHARED_EXPERT, {0}};

static tawny_status load_alpha(model *m, tawny_error *err)
{
    rope_hp *rope = &m->hp.rope[0];
    uint32_t d = m->hp.layer[0].dk;
    float alpha = 0;
    TRY(model_opt_f32(m, "rope.scaling.alpha", -1e6f, 1e6f, &alpha, err));
    if (alpha <= 0) return TAWNY_OK;
    if (d <= 2)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.scaling.alpha needs heads of more than 2; they have %u",
                       gguf_path(m->file), m->arch_name, d);
    double base = (double)rope->base * d_pow((double)alpha, (double)((float)d / (float)(d - 2)));
    if (!(base >= 1e-3 && base <= 1e30))
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.scaling.alpha %g makes a frequency base of %g",
                       gguf_path(m->file), m->arch_name, (double)alpha, base);
    rope->base = (float)base;
    m->hp.rope[1] = *rope;
    return TAWNY_OK;
}

static tawny_status load_dense(model *m, tawny_error *err)
{
    m->hp.rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_rope_sections(m, false, err));
    return load_alpha(m, err);
}

static tawny_status load_moe(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NEOX;
    TRY(load_rms_eps(m, err));
    TRY(load_needs_experts(m, err));
    TRY(load_needs_expert_width(m, err));
    load_normed_weights(m);
    hp->n_ff_exp = hp->layer[0].n_ff;
    if (!hp->n_ff_shexp) hp->n_ff_shexp = hp->layer[0].n_ff;
    return TAWNY_OK;
}

const arch arch_hunyuan_dense = {.name = "hunyuan-dense", .load = load_dense, .bindings = bindings_dense,
                                 .forward = forward};
const arch arch_hunyuan_moe = {.name = "hunyuan-moe", .load = load_moe, .bindings = bindings_moe,
                               .forward = forward};
