/* Steps of loading that several architectures share. */
#include "load.h"

#include <math.h>
#include <stdio.h>

#include "../src/base/mathf.h"
#include "blocks.h"

tawny_status load_rms_eps(model *m, tawny_error *err)
{
    return model_get_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, &m->hp.norm_eps, err);
}

tawny_status load_layer_norm_eps(model *m, tawny_error *err)
{
    m->hp.norm = NORM_LAYER;
    return model_get_f32(m, "attention.layer_norm_epsilon", 0, 1, &m->hp.norm_eps, err);
}

/* Which layers have a window: the array, or the period. */
static tawny_status windowed_layers(const model *m, uint32_t period, bool full_first, uint32_t *yes, tawny_error *err)
{
    char key[160];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", m->arch_name);
    const gguf_kv *kv = gguf_find(m->file, key);
    if (kv && kv->type == GGUF_ARR) return gguf_get_u32_per_layer(m->file, key, m->hp.n_layer, 0, 1, yes, err);
    TRY(model_opt_u32(m, "attention.sliding_window_pattern", 0, MODEL_MAX_LAYERS, &period, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) yes[i] = period == 0 || i % period != (full_first ? 0 : period - 1);
    return TAWNY_OK;
}

static tawny_status windows(model *m, uint32_t window, uint32_t period, bool full_first, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t yes[MODEL_MAX_LAYERS], dk = 0, dv = 0;
    TRY(windowed_layers(m, period, full_first, yes, err));
    TRY(model_opt_u32(m, "attention.key_length_swa", 1, 1024, &dk, err));
    TRY(model_opt_u32(m, "attention.value_length_swa", 1, 1024, &dv, err));
    uint32_t head = dk ? dk : hp->layer[0].dk;
    if (dk && hp->rope[1].n_rot > dk) hp->rope[1].n_rot = dk;
    TRY(model_opt_f32(m, "rope.freq_base_swa", 1e-3f, 1e15f, &hp->rope[1].base, err));
    TRY(model_opt_u32(m, "rope.dimension_count_swa", 0, head, &hp->rope[1].n_rot, err));
    if (hp->rope[1].n_rot % 2)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count_swa %u is odd", gguf_path(m->file),
                       m->arch_name, hp->rope[1].n_rot);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        if (!yes[i]) continue;
        layer_hp *l = &hp->layer[i];
        l->window = window;
        l->rope = 1;
        if (dk) l->dk = dk;
        if (dv) l->dv = dv;
    }
    return TAWNY_OK;
}

tawny_status load_windows(model *m, uint32_t window, uint32_t period, tawny_error *err)
{
    return windows(m, window, period, false, err);
}

tawny_status load_windows_after_full(model *m, uint32_t window, uint32_t period, tawny_error *err)
{
    return windows(m, window, period, true, err);
}

tawny_status load_needs_pattern(const model *m, tawny_error *err)
{
    char key[160];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", m->arch_name);
    const gguf_kv *kv = gguf_find(m->file, key);
    if (kv && kv->type == GGUF_ARR) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: %s is %s; expected an array of flags, one a layer", gguf_path(m->file),
                   key, kv ? "no array" : "missing");
}

tawny_status load_windows_both(model *m, uint32_t window, uint32_t period, bool first, tawny_error *err)
{
    m->hp.window_both = true;
    m->hp.rope[1].base = 10000;
    m->hp.rope[1].scale = 1;
    return windows(m, window, period, first, err);
}

tawny_status load_unscaled_windows(model *m, uint32_t period, tawny_error *err)
{
    rope_hp *r = m->hp.rope;
    uint32_t window = 0;
    TRY(model_opt_u32(m, "attention.sliding_window", 0, 1u << 30, &window, err));
    if (!window) return TAWNY_OK;
    TRY(load_windows(m, window, period, err));
    r[1].base = r[0].base;
    r[1].scale = r[1].attn_factor = 1;
    r[1].ext_factor = 0;
    return TAWNY_OK;
}

tawny_status load_shared_kv(model *m, uint32_t own, tawny_error *err)
{
    for (uint32_t i = own; i < m->hp.n_layer; i++) {
        layer_hp *l = &m->hp.layer[i];
        uint32_t back = l->rope ? 2 : 1;
        if (own < 2)
            return err_set(err, TAWNY_E_FORMAT, "%s: %s layer %u has no layer before it to share keys and values with",
                           gguf_path(m->file), m->arch_name, i);
        const layer_hp *from = &m->hp.layer[own - back];
        if (from->window != l->window || from->rope != l->rope || from->n_head_kv != l->n_head_kv ||
            from->dk != l->dk || from->dv != l->dv)
            return err_set(err, TAWNY_E_UNSUPPORTED,
                           "%s: %s layer %u cannot share the keys and values of layer %u: their windows or heads differ",
                           gguf_path(m->file), m->arch_name, i, own - back);
        l->kv_shared = 1 + own - back;
    }
    return TAWNY_OK;
}

tawny_status load_rope_sections(model *m, bool required, tawny_error *err)
{
    char key[160];
    uint32_t *s = m->hp.rope_section;
    snprintf(key, sizeof key, "%s.rope.dimension_sections", m->arch_name);
    if (!required && !gguf_find(m->file, key)) return TAWNY_OK;
    TRY(gguf_get_u32_per_layer(m->file, key, 4, 0, 65536, s, err));
    if (required && s[0] + s[1] + s[2] + s[3] == 0)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s is all zeros", gguf_path(m->file), key);
    return TAWNY_OK;
}

/* n need not be a power of two: heads beyond the largest one below it take every other slope of twice as many. */
static float alibi_slope(uint32_t h, uint32_t n, float max_bias)
{
    uint32_t base = 1;
    while (base <= n / 2) base *= 2;
    double step = -(double)max_bias / base;
    return (float)(h < base ? d_pow(2, step * (h + 1)) : d_pow(2, step / 2 * (2 * (h - base) + 1)));
}

tawny_status load_alibi(model *m, float max_bias, tawny_error *err)
{
    if (max_bias == 0) return TAWNY_OK;
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        uint32_t n = m->hp.layer[i].n_head;
        if (i && n == m->hp.layer[i - 1].n_head) {
            m->layers[i].slopes = m->layers[i - 1].slopes;
            continue;
        }
        float *slopes = arena_array(m->mem, n, sizeof *slopes);
        if (!slopes) return err_nomem(err);
        for (uint32_t h = 0; h < n; h++) slopes[h] = alibi_slope(h, n, max_bias);
        m->layers[i].slopes = slopes;
    }
    return TAWNY_OK;
}

tawny_status load_turns_whole_heads(const model *m, tawny_error *err)
{
    uint32_t n_rot = m->hp.rope[0].n_rot, dk = m->hp.layer[0].dk;
    if (n_rot == dk) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count is %u; this architecture rotates whole heads of %u",
                   gguf_path(m->file), m->arch_name, n_rot, dk);
}

tawny_status load_leading_dense(model *m, tawny_error *err)
{
    uint32_t lead = 0;
    TRY(model_opt_u32(m, "leading_dense_block_count", 0, m->hp.n_layer, &lead, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) m->hp.layer[i].moe = m->hp.n_expert && i >= lead;
    return TAWNY_OK;
}

static const uint32_t gating[] = {0, MOE_GATING_SOFTMAX, MOE_GATING_SIGMOID, MOE_GATING_SOFTMAX_CHOSEN};

tawny_status load_gating(model *m, uint32_t fallback, tawny_error *err)
{
    uint32_t f = 0;
    TRY(model_opt_u32(m, "expert_gating_func", 0, UINT32_MAX, &f, err));
    if (f > 3)
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "%s: %s.expert_gating_func is %u; 1 (softmax), 2 (sigmoid) and 3 (softmax of those chosen) are "
                       "supported", gguf_path(m->file), m->arch_name, f);
    m->hp.expert_gating = f ? gating[f] : fallback;
    return TAWNY_OK;
}

tawny_status load_needs_gating(model *m, tawny_error *err)
{
    uint32_t f = 0;
    TRY(model_get_u32(m, "expert_gating_func", 1, UINT32_MAX, &f, err));
    return load_gating(m, 0, err);
}

tawny_status load_needs_experts(const model *m, tawny_error *err)
{
    if (m->hp.n_expert) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: %s.expert_count is missing or 0", gguf_path(m->file), m->arch_name);
}

static bool has_tensor(const model *m, uint32_t il, const char *name)
{
    char whole[GGUF_MAX_NAME + 32];
    snprintf(whole, sizeof whole, "blk.%u.%s", il, name);
    return gguf_tensor_find(m->file, whole) != NULL;
}

tawny_status load_needs_tensor(const model *m, uint32_t il, const char *name, tawny_error *err)
{
    if (has_tensor(m, il, name)) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: tensor blk.%u.%s is missing", gguf_path(m->file), il, name);
}

tawny_status load_together(const model *m, const char *a, const char *b, tawny_error *err)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++)
        if (has_tensor(m, i, a) != has_tensor(m, i, b))
            return err_set(err, TAWNY_E_FORMAT, "%s: tensor blk.%u.%s is missing", gguf_path(m->file), i, has_tensor(m, i, a) ? b : a);
    return TAWNY_OK;
}

void load_expert_width(model *m)
{
    char key[160];
    snprintf(key, sizeof key, "%s.expert_feed_forward_length", m->arch_name);
    if (!gguf_find(m->file, key)) m->hp.n_ff_exp = m->hp.layer[0].n_ff / m->hp.n_expert_used;
}

tawny_status load_deepseek_experts(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t lead = 0, shared = 0;
    char key[160];
    TRY(load_leading_dense(m, err));
    TRY(model_opt_u32(m, "leading_dense_block_count", 0, hp->n_layer, &lead, err));
    if (lead < hp->n_layer) TRY(load_needs_experts(m, err));
    TRY(model_get_u32(m, "expert_shared_count", 0, 64, &shared, err));
    snprintf(key, sizeof key, "%s.expert_feed_forward_length", m->arch_name);
    if (!gguf_find(m->file, key)) return err_set(err, TAWNY_E_FORMAT, "%s: key %s is missing", gguf_path(m->file), key);
    hp->n_ff_shexp = hp->n_ff_exp * shared;
    return TAWNY_OK;
}

tawny_status load_needs_expert_width(const model *m, tawny_error *err)
{
    char key[160];
    snprintf(key, sizeof key, "%s.expert_feed_forward_length", m->arch_name);
    if (gguf_find(m->file, key) && m->hp.n_ff_exp) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: %s is missing or 0", gguf_path(m->file), key);
}

void load_routed_layers(model *m)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        m->hp.layer[i].moe = m->hp.n_expert && gguf_tensor_find(m->file, name);
    }
}

void load_normed_weights(model *m)
{
    m->hp.expert_norm = true;
    m->hp.expert_scale = 1;
}
