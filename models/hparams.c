/* The metadata that all architectures share. Source: the GGUF specification's key names. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../src/base/mathf.h"
#include "model.h"

enum { KEY = 160 };

static const char *full_key(const model *m, const char *key, char out[KEY])
{
    snprintf(out, KEY, "%s.%s", m->arch_name, key);
    return out;
}

tawny_status model_get_u32(const model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err)
{
    char k[KEY];
    return gguf_get_u32(m->file, full_key(m, key, k), min, max, out, err);
}

tawny_status model_opt_u32(const model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err)
{
    char k[KEY];
    return gguf_opt_u32(m->file, full_key(m, key, k), min, max, out, err);
}

tawny_status model_get_f32(const model *m, const char *key, float min, float max, float *out, tawny_error *err)
{
    char k[KEY];
    return gguf_get_f32(m->file, full_key(m, key, k), min, max, out, err);
}

tawny_status model_opt_f32(const model *m, const char *key, float min, float max, float *out, tawny_error *err)
{
    char k[KEY];
    return gguf_opt_f32(m->file, full_key(m, key, k), min, max, out, err);
}

tawny_status model_opt_bool(const model *m, const char *key, bool *out, tawny_error *err)
{
    char k[KEY];
    return gguf_opt_bool(m->file, full_key(m, key, k), out, err);
}

tawny_status model_get_bool(const model *m, const char *key, bool *out, tawny_error *err)
{
    char k[KEY];
    if (!gguf_find(m->file, full_key(m, key, k))) return err_set(err, TAWNY_E_FORMAT, "%s: %s is missing", gguf_path(m->file), k);
    return gguf_opt_bool(m->file, k, out, err);
}

tawny_status model_opt_per_layer(const model *m, const char *key, uint32_t max, const uint32_t *fallback, uint32_t *out,
                                 tawny_error *err)
{
    char k[KEY];
    full_key(m, key, k);
    if (fallback && !gguf_find(m->file, k)) {
        memcpy(out, fallback, m->hp.n_layer * sizeof *out);
        return TAWNY_OK;
    }
    return gguf_get_u32_per_layer(m->file, k, m->hp.n_layer, 0, max, out, err);
}

tawny_status model_f32_per_layer(const model *m, const char *key, float min, float max, const float *fallback,
                                 float *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(m->file, key);
    gguf_array a = {0};
    float all = fallback ? *fallback : 0;
    if (kv && kv->type == GGUF_ARR) {
        TRY(gguf_get_array(m->file, key, GGUF_F32, &a, err));
        if (a.n < m->hp.n_layer)
            return err_set(err, TAWNY_E_FORMAT, "%s: %s has %llu elements for %u layers", gguf_path(m->file), key,
                           (unsigned long long)a.n, m->hp.n_layer);
    } else if (kv || !fallback) {
        TRY(gguf_get_f32(m->file, key, min, max, &all, err));
    }
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        out[i] = a.n ? (float)gguf_array_f64(&a, i) : all;
        if (!(out[i] >= min && out[i] <= max))
            return err_set(err, TAWNY_E_FORMAT, "%s: %s is %g in layer %u; expected %g to %g", gguf_path(m->file), key,
                           (double)out[i], i, (double)min, (double)max);
    }
    return TAWNY_OK;
}

/* A layer without attention, or an error where the architecture has none such. */
static tawny_status no_attention(const model *m, uint32_t i, layer_hp *l, const char *key, tawny_error *err)
{
    l->n_head_kv = 0;
    if (m->arch->hybrid) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%s: %s.attention.%s is 0 in layer %u", gguf_path(m->file), m->arch_name, key, i);
}

static uint32_t first_nonzero(const uint32_t *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (x[i]) return x[i];
    return 0;
}

static tawny_status load_heads(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t heads[MODEL_MAX_LAYERS], kv[MODEL_MAX_LAYERS], ff[MODEL_MAX_LAYERS], none[MODEL_MAX_LAYERS] = {0};
    uint32_t dk = 0, dv = 0;
    TRY(model_opt_per_layer(m, "attention.head_count", 65536, m->arch->hybrid ? none : NULL, heads, err));
    TRY(model_opt_per_layer(m, "attention.head_count_kv", 65536, heads, kv, err));
    TRY(model_opt_per_layer(m, "feed_forward_length", 1 << 24, none, ff, err));
    TRY(model_opt_u32(m, "attention.key_length", 1, 1024, &dk, err));
    TRY(model_opt_u32(m, "attention.value_length", 1, 1024, &dv, err));
    uint32_t most = first_nonzero(heads, hp->n_layer); /* heads are of one size, even where layers differ in their number */
    if (!dk && most && (hp->n_embd % most || hp->n_embd / most > 1024))
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.embedding_length %u over attention.head_count %u gives no head size from 1 to 1024",
                       gguf_path(m->file), m->arch_name, hp->n_embd, most);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        layer_hp *l = &hp->layer[i];
        l->n_head = heads[i];
        l->n_head_kv = kv[i];
        l->n_ff = ff[i];
        l->dk = dk ? dk : most ? hp->n_embd / most : 0;
        l->dv = dv ? dv : l->dk;
        if (heads[i] == 0 || kv[i] == 0) {
            TRY(no_attention(m, i, l, heads[i] == 0 ? "head_count" : "head_count_kv", err));
            continue;
        }
        if (heads[i] % kv[i] != 0)
            return err_set(err, TAWNY_E_FORMAT, "%s: %s.attention.head_count %u is not a multiple of head_count_kv %u in layer %u",
                           gguf_path(m->file), m->arch_name, heads[i], kv[i], i);
        if (heads[i] / kv[i] > MODEL_MAX_GROUP)
            return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s.attention.head_count %u shares head_count_kv %u in layer %u; at most %d may share one",
                           gguf_path(m->file), m->arch_name, heads[i], kv[i], i, MODEL_MAX_GROUP);
    }
    return TAWNY_OK;
}

static tawny_status load_rope(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    rope_hp *r = &hp->rope[0];
    float factor = 0;
    gguf_str type = {"linear", 6};
    char key[KEY];
    *r = (rope_hp){.base = 10000, .scale = 1, .attn_factor = 1, .beta_fast = 32, .beta_slow = 1,
                   .orig_ctx = hp->n_ctx_train, .n_rot = hp->layer[0].dk};
    TRY(model_opt_u32(m, "rope.dimension_count", 0, hp->layer[0].dk, &r->n_rot, err));
    TRY(model_opt_f32(m, "rope.freq_base", 1e-3f, 1e15f, &r->base, err));
    TRY(model_opt_f32(m, "rope.scale_linear", 0, 1e6f, &factor, err));
    TRY(model_opt_f32(m, "rope.scaling.factor", 0, 1e6f, &factor, err));
    TRY(model_opt_f32(m, "rope.scaling.attn_factor", 1e-6f, 1e6f, &r->attn_factor, err));
    TRY(model_opt_u32(m, "rope.scaling.original_context_length", 1, 1u << 30, &r->orig_ctx, err));
    TRY(gguf_opt_str(m->file, full_key(m, "rope.scaling.type", key), &type, err));
    if (!gguf_str_eq(type, "none") && !gguf_str_eq(type, "linear") && !gguf_str_eq(type, "yarn") && !gguf_str_eq(type, "longrope"))
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s is '%.*s'; none, linear, yarn and longrope are supported",
                       gguf_path(m->file), key, (int)(type.n < 40 ? type.n : 40), type.p);
    snprintf(hp->rope_type, sizeof hp->rope_type, "%.*s", (int)type.n, type.p);
    if (r->n_rot % 2)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.rope.dimension_count %u is odd", gguf_path(m->file), m->arch_name, r->n_rot);
    if (factor != 0 && !gguf_str_eq(type, "none")) r->scale = 1 / factor;
    if (gguf_str_eq(type, "yarn")) {
        float log_mul = 0, attn_factor = 1;
        r->ext_factor = 1;
        TRY(model_opt_f32(m, "rope.scaling.yarn_ext_factor", -1e6f, 1e6f, &r->ext_factor, err));
        TRY(model_opt_f32(m, "rope.scaling.yarn_attn_factor", 1e-6f, 1e6f, &attn_factor, err));
        TRY(model_opt_f32(m, "rope.scaling.yarn_beta_fast", 1e-6f, 1e6f, &r->beta_fast, err));
        TRY(model_opt_f32(m, "rope.scaling.yarn_beta_slow", 1e-6f, 1e6f, &r->beta_slow, err));
        TRY(model_opt_f32(m, "rope.scaling.yarn_log_multiplier", -1e6f, 1e6f, &log_mul, err));
        if (r->ext_factor < 0) r->ext_factor = 1;
        if (r->ext_factor == 0) r->attn_factor *= attn_factor; /* otherwise YaRN's own magnitude takes its place */
        /* The part of YaRN's magnitude that the attention scale takes (mscale_all_dim). */
        if (log_mul != 0 && r->scale < 1) r->attn_factor /= (float)(1 + 0.1 * (double)log_mul * d_log(1 / (double)r->scale));
    }
    hp->rope[1] = hp->rope[0];
    return TAWNY_OK;
}

/* A number that may be given a layer, but is the same in all that have one (0 in others); *value where it is missing. */
static tawny_status uniform(const model *m, const char *key, uint32_t max, uint32_t *value, tawny_error *err)
{
    uint32_t each[MODEL_MAX_LAYERS], none[MODEL_MAX_LAYERS], found = 0;
    for (uint32_t i = 0; i < m->hp.n_layer; i++) none[i] = *value;
    TRY(model_opt_per_layer(m, key, max, none, each, err));
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        if (!found) found = each[i];
        if (each[i] && each[i] != found)
            return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s.%s differs from layer to layer, which is not supported", gguf_path(m->file),
                           m->arch_name, key);
    }
    *value = found;
    return TAWNY_OK;
}

static tawny_status load_expert_groups(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    TRY(model_opt_u32(m, "expert_group_count", 0, MODEL_MAX_EXPERTS, &hp->n_expert_group, err));
    TRY(model_opt_u32(m, "expert_group_used_count", 0, MODEL_MAX_EXPERTS, &hp->n_expert_group_used, err));
    if (hp->n_expert_group <= 1) {
        hp->n_expert_group = 0;
        return TAWNY_OK;
    }
    if (hp->n_expert % hp->n_expert_group || hp->n_expert / hp->n_expert_group < 2 || hp->n_expert_group_used == 0 ||
        hp->n_expert_group_used > hp->n_expert_group ||
        hp->n_expert_used > hp->n_expert / hp->n_expert_group * hp->n_expert_group_used)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.expert_group_count %u and expert_group_used_count %u do not fit %u of %u experts",
                       gguf_path(m->file), m->arch_name, hp->n_expert_group, hp->n_expert_group_used, hp->n_expert_used, hp->n_expert);
    return TAWNY_OK;
}

/* Whether the architecture has experts at all; in others an expert_count says nothing (some write 1). */
static bool knows_experts(const arch *a)
{
    for (const binding *b = a->bindings; b->name; b++)
        for (int i = 0; i < 3; i++)
            if (b->dims[i] == DIM_EXPERTS) return true;
    return false;
}

static tawny_status load_experts(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    if (!knows_experts(m->arch)) return TAWNY_OK;
    TRY(model_opt_u32(m, "expert_count", 0, MODEL_MAX_EXPERTS, &hp->n_expert, err));
    if (hp->n_expert == 0) return TAWNY_OK;
    uint32_t most = hp->n_expert < MODEL_MAX_USED ? hp->n_expert : MODEL_MAX_USED;
    TRY(uniform(m, "expert_used_count", most, &hp->n_expert_used, err));
    if (hp->n_expert_used == 0)
        return err_set(err, TAWNY_E_FORMAT, "%s: %s.expert_used_count is missing or 0", gguf_path(m->file), m->arch_name);
    hp->n_ff_exp = hp->layer[0].n_ff;
    TRY(uniform(m, "expert_feed_forward_length", 1 << 24, &hp->n_ff_exp, err));
    TRY(load_expert_groups(m, err));
    TRY(model_opt_u32(m, "expert_shared_feed_forward_length", 0, 1 << 24, &hp->n_ff_shexp, err));
    TRY(model_opt_f32(m, "expert_weights_scale", -1e6f, 1e6f, &hp->expert_scale, err));
    TRY(model_opt_bool(m, "expert_weights_norm", &hp->expert_norm, err));
    if (hp->expert_scale == 0) hp->expert_scale = 1;
    for (uint32_t i = 0; i < hp->n_layer; i++) hp->layer[i].moe = true;
    return TAWNY_OK;
}

/* The vocabulary's size is that of the embedding matrix; the tokenizer must not have more. */
static tawny_status load_vocab(model *m, tawny_error *err)
{
    const gguf_tensor *t = gguf_tensor_find(m->file, "token_embd.weight");
    if (!t) return err_set(err, TAWNY_E_FORMAT, "%s: tensor token_embd.weight is missing", gguf_path(m->file));
    if (t->n_dims > 2 || t->ne[1] > INT32_MAX)
        return err_set(err, TAWNY_E_FORMAT, "%s: tensor token_embd.weight has no shape of a matrix", gguf_path(m->file));
    m->hp.n_vocab = (uint32_t)t->ne[1];
    gguf_array tokens = {0};
    TRY(gguf_opt_array(m->file, "tokenizer.ggml.tokens", GGUF_STR, &tokens, err));
    if (tokens.n > m->hp.n_vocab)
        return err_set(err, TAWNY_E_FORMAT, "%s: tokenizer.ggml.tokens has %llu entries, token_embd.weight %u rows",
                       gguf_path(m->file), (unsigned long long)tokens.n, m->hp.n_vocab);
    return TAWNY_OK;
}

tawny_status hparams_load(model *m, tawny_error *err)
{
    hparams *hp = &m->hp;
    uint32_t nextn = 0;
    TRY(model_get_u32(m, "block_count", 1, MODEL_MAX_LAYERS, &hp->n_layer, err));
    TRY(model_opt_u32(m, "nextn_predict_layers", 0, hp->n_layer - 1, &nextn, err));
    hp->n_layer -= nextn; /* layers that guess further tokens come last and are left out */
    TRY(model_get_u32(m, "embedding_length", 1, 1 << 20, &hp->n_embd, err));
    TRY(model_get_u32(m, "context_length", 1, 1u << 30, &hp->n_ctx_train, err));
    TRY(load_vocab(m, err));
    hp->layer = arena_array(m->mem, hp->n_layer, sizeof *hp->layer);
    m->layers = arena_array(m->mem, hp->n_layer, sizeof *m->layers);
    if (!hp->layer || !m->layers) return err_nomem(err);
    hp->embd_scale = hp->residual_scale = hp->logit_scale = 1;
    hp->moe_scale = hp->attn_out_scale = 1;
    hp->causal = true;
    TRY(model_opt_bool(m, "attention.causal", &hp->causal, err));
    hp->norm_eps = 1e-5f;
    TRY(load_heads(m, err));
    TRY(load_rope(m, err));
    TRY(load_experts(m, err));
    hp->attn_scale = hp->layer[0].dk ? 1.0f / sqrtf((float)hp->layer[0].dk) : 1;
    TRY(model_opt_f32(m, "attention.scale", 0, 1e6f, &hp->attn_scale, err));
    if (hp->attn_scale == 0 && hp->layer[0].dk) hp->attn_scale = 1.0f / sqrtf((float)hp->layer[0].dk);
    return TAWNY_OK;
}
