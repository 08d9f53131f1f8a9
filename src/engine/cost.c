#include "cost.h"

#include <stdio.h>
#include <string.h>

cost_use cost_use_of(const tawny_model *m, const gguf_tensor *t)
{
    static const char *const looked_up[] = {"token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight",
                                            "token_types.weight"};
    unsigned il = 0;
    if (sscanf(t->name, "blk.%9u.", &il) == 1 && il >= m->m.hp.n_layer) return COST_NOTHING;
    bool tied = !tawny_model_embeds_only(m) && !gguf_tensor_find(m->m.file, "output.weight");
    for (size_t i = tied; i < sizeof looked_up / sizeof *looked_up; i++)
        if (strcmp(t->name, looked_up[i]) == 0) return COST_ROW;
    return COST_ALL;
}

uint64_t cost_bytes_used(const tawny_model *m, const gguf_tensor *t)
{
    cost_use use = cost_use_of(m, t);
    if (use == COST_NOTHING) return 0;
    if (use == COST_ROW) return t->bytes / t->ne[1];
    return m->m.hp.n_expert && strstr(t->name, "_exps.") ? t->bytes / m->m.hp.n_expert * m->m.hp.n_expert_used : t->bytes;
}

/* Tensors with two dimensions or more, but for those that convolve and steer but little. */
static bool is_matrix(const tawny_model *m, const gguf_tensor *t, bool *out)
{
    static const char *const small[] = {"ssm_conv", "ssm_a", "shortconv.conv", "norm"};
    *out = strcmp(t->name, "output.weight") == 0 || strcmp(t->name, "token_embd.weight") == 0; /* a tied one */
    if (t->n_dims < 2 || cost_use_of(m, t) != COST_ALL) return false;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (strstr(t->name, small[i])) return false;
    return true;
}

cost_products cost_products_of(const tawny_model *m)
{
    cost_products sum = {0};
    for (size_t i = 0; i < gguf_tensor_count(m->m.file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->m.file, i);
        int format = quant_from_ggml(t->type);
        bool out;
        if (format < 0 || !is_matrix(m, t, &out)) continue;
        uint64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        if (m->m.hp.n_expert && strstr(t->name, "_exps.")) n = n / m->m.hp.n_expert * m->m.hp.n_expert_used;
        bool floats = quant_table[format].act == QUANT_ACT_F32;
        *(out ? floats ? &sum.f32_out : &sum.int8_out : floats ? &sum.f32 : &sum.int8) += n;
    }
    return sum;
}

cost_operations cost_of(const cost_products *p, int planes, int n, int n_out)
{
    return (cost_operations){
        .int8 = 2.0 * planes * n * (double)p->int8 + 2.0 * 2 * n_out * (double)p->int8_out,
        .f32 = 2.0 * n * (double)p->f32 + 2.0 * n_out * (double)p->f32_out,
    };
}

double cost_cache_bytes(const tawny_model *m, double depth, double key, double value)
{
    double sum = 0;
    for (uint32_t i = 0; i < m->m.hp.n_layer; i++) {
        const layer_hp *l = &m->m.hp.layer[i];
        double keys = depth;
        if (l->window && keys > l->window) keys = l->window;
        if (l->chunk && keys > l->chunk) keys = l->chunk;
        sum += l->recurrent ? 2.0 * sizeof(float) * (l->state + l->conv_state)
                            : keys * l->n_head_kv * (l->dk * key + l->dv * value);
    }
    return sum;
}

/* Of an element, on the average of a block. */
static double element_bytes(simd_kv type)
{
    enum { DIM = 32 };
    return (double)simd_kv_bytes(type, DIM) / (DIM * SIMD_PAGE);
}

double cost_cache_bytes_of(const tawny_model *m, const kv_layout *kv, double depth)
{
    return cost_cache_bytes(m, depth, element_bytes(kv->type_k), element_bytes(kv->type_v));
}
