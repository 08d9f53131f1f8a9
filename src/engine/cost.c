#include "cost.h"

#include <stdio.h>
#include <string.h>

/* Tensors with two dimensions or more that are looked up, not multiplied, or convolve and steer but little. */
static bool is_matrix(const model *m, const gguf_tensor *t, bool *out)
{
    static const char *const looked_up[] = {"per_layer_token_embd.", "position_embd.", "token_types."};
    static const char *const small[] = {"ssm_conv", "ssm_a", "shortconv.conv", "norm"};
    unsigned il = 0;
    *out = false;
    if (t->n_dims < 2 || (sscanf(t->name, "blk.%9u.", &il) == 1 && il >= m->hp.n_layer)) return false;
    if (strncmp(t->name, "token_embd.", 11) == 0) return *out = !gguf_tensor_find(m->file, "output.weight");
    for (size_t i = 0; i < sizeof looked_up / sizeof *looked_up; i++)
        if (strncmp(t->name, looked_up[i], strlen(looked_up[i])) == 0) return false;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (strstr(t->name, small[i])) return false;
    *out = strcmp(t->name, "output.weight") == 0;
    return true;
}

cost_products cost_products_of(const tawny_model *m)
{
    cost_products sum = {0};
    for (size_t i = 0; i < gguf_tensor_count(m->m.file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->m.file, i);
        int format = quant_from_ggml(t->type);
        bool out;
        if (format < 0 || !is_matrix(&m->m, t, &out)) continue;
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
