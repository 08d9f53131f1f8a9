/* DeepSeek: deepseek (llama's attention, experts beside shared ones after leading dense layers), deepseek2 (V2, V3, R1
 * and those built like them, with latent attention) and mistral4, which is deepseek2 with another magnitude of YaRN. */
#include <math.h>

#include "../src/base/mathf.h"
#include "archs.h"
#include "bindings.h"
#include "load.h"
#include "mla.h"

static void forward(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU});
}

static void forward_mla(run *r)
{
    decoder_forward(r, &(decoder_spec){.attn = {.scale = r->m->hp.attn_scale}, .act = GLU_SILU, .mix = block_mla});
}

static const binding bindings[] = {BIND_ENDS,    BIND_PRE_NORMS,     BIND_ATTN, BIND_FFN,
                                   BIND_EXPERTS, BIND_SHARED_EXPERT, {0}};

static const binding bindings_mla[] = {
    BIND_ENDS, BIND_PRE_NORMS, BIND_FFN, BIND_EXPERTS, BIND_SHARED_EXPERT,
    BIND_V(expert_bias, "exp_probs_b.bias", BIND_MOE | BIND_OPTIONAL, DIM_EXPERTS),
    {0},
};

static tawny_status load_deepseek(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    hp->rope_style = ROPE_NORM;
    TRY(load_rms_eps(m, err));
    TRY(load_deepseek_experts(m, err));
    hp->expert_norm = false;
    hp->expert_gating = MOE_GATING_SOFTMAX;
    return TAWNY_OK;
}

/* With YaRN's m(x) = 1 + 0.1 x ln(factor), the rotated part is multiplied by m(mscale) / m(mscale_all), and scores by
 * m(mscale_all)^2. The format has mscale_all alone (times 0.1); mscale is the same, but 1 with mistral4. Source:
 * modeling_deepseek.py of DeepSeek-V2. Where the file says nothing of it, the reference takes m(1) for both. */
static tawny_status load_yarn(model *m, bool mscale_is_1, tawny_error *err)
{
    rope_hp *r = &m->hp.rope[0];
    float all = 0, attn = 1;
    TRY(model_opt_f32(m, "rope.scaling.yarn_log_multiplier", -100, 100, &all, err));
    TRY(model_opt_f32(m, "rope.scaling.attn_factor", 1e-6f, 1e6f, &attn, err));
    double log_factor = -0.1 * d_log((double)r->scale), x = (double)all / 0.1, one = 1 + log_factor;
    double magnitude = (double)attn, scores = (double)attn * one;
    if (r->ext_factor != 0) {
        if (r->scale < 1) magnitude *= x == 0 ? one : mscale_is_1 ? one / (1 + x * log_factor) : 1;
        scores = magnitude;
    }
    scores *= 1 + x * log_factor;
    /* rope_frequencies multiplies by m(1) */
    r->attn_factor = (float)(r->ext_factor != 0 && r->scale < 1 ? magnitude / one : magnitude);
    m->hp.rope[1] = *r;
    m->hp.attn_scale = (float)(scores * scores) / sqrtf((float)(m->hp.mla.nope + m->hp.mla.rope));
    return TAWNY_OK;
}

/* Scores grow with the position where the file says so (Mistral Large 3, Mistral Small 4). */
static tawny_status load_temperature(model *m, tawny_error *err)
{
    uint32_t steps = 0;
    TRY(model_opt_f32(m, "attention.temperature_scale", -1e6f, 1e6f, &m->hp.attn_temp_scale, err));
    if (m->hp.attn_temp_scale != 0) TRY(model_get_u32(m, "attention.temperature_length", 1, 1u << 30, &steps, err));
    m->hp.attn_temp_floor = (float)steps;
    return TAWNY_OK;
}

/* Known by the number of layers alone: V2 Lite and GigaChat 3 (27 and 26), Kanana 2 (48 with its vocabulary). */
static bool without_q_lora(const model *m, uint32_t n_vocab)
{
    uint32_t n = m->hp.n_layer;
    return n == 26 || n == 27 || (n == 48 && n_vocab == 128256);
}

static tawny_status load_mla_model(model *m, bool mscale_is_1, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t n_vocab = hp->n_vocab;
    hp->rope_style = ROPE_NORM;
    TRY(load_rms_eps(m, err));
    TRY(model_opt_u32(m, "vocab_size", 0, UINT32_MAX, &n_vocab, err));
    if (!without_q_lora(m, n_vocab)) TRY(model_get_u32(m, "attention.q_lora_rank", 0, 1 << 20, &hp->mla.q_lora, err));
    TRY(load_mla(m, err));
    TRY(load_yarn(m, mscale_is_1, err));
    TRY(load_temperature(m, err));
    TRY(load_deepseek_experts(m, err));
    /* GLM 4.7 Flash came without the key */
    bool sigmoid = (hp->n_layer == 47 || hp->n_layer == 48) && n_vocab == 154880;
    TRY(load_gating(m, sigmoid ? MOE_GATING_SIGMOID : MOE_GATING_SOFTMAX, err));
    return bind_mla(m, err);
}

static tawny_status load_deepseek2(model *m, tawny_error *err) { return load_mla_model(m, false, err); }
static tawny_status load_mistral4(model *m, tawny_error *err) { return load_mla_model(m, true, err); }

const arch arch_deepseek = {.name = "deepseek", .load = load_deepseek, .bindings = bindings, .forward = forward};
const arch arch_deepseek2 = {.name = "deepseek2", .load = load_deepseek2, .bindings = bindings_mla,
                             .forward = forward_mla};
const arch arch_mistral4 = {.name = "mistral4", .load = load_mistral4, .bindings = bindings_mla,
                            .forward = forward_mla};
