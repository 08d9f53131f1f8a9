/* Binding: tensors by name, checked against the shapes that the metadata gives. */
#include <stdio.h>
#include <string.h>

#include "model.h"

enum { BIND_NAME = GGUF_MAX_NAME + 32 };

static uint64_t ssm_dim(const ssm_hp *s, dim_id d)
{
    switch (d) {
    case DIM_SSM_TAPS: return s->taps;
    case DIM_SSM_CHANNELS: return s->channels;
    case DIM_SSM_INNER: return s->inner;
    case DIM_SSM_STATE: return s->state;
    case DIM_SSM_HEADS: return s->heads;
    case DIM_SSM_2HEADS: return 2ull * s->heads;
    case DIM_SSM_GROUPS: return s->groups;
    case DIM_SSM_RANK: return s->rank;
    case DIM_SSM_PROJ: return s->proj;
    case DIM_SSM_X: return s->rank + 2ull * s->state;
    case DIM_SSM_HEAD: return s->inner / s->heads;
    case DIM_SSM_GROUP: return s->inner / s->groups;
    default: return 1; /* DIM_ONE, DIM_NONE */
    }
}

static uint64_t head_dim(const hparams *hp, dim_id d)
{
    switch (d) {
    case DIM_HEAD_HIDDEN: return hp->head.hidden;
    case DIM_HEAD_LABELS: return hp->head.labels;
    case DIM_HEAD_DENSE: return hp->head.dense;
    case DIM_HEAD_OUT: return hp->head.out;
    case DIM_HEAD_LAST: return hp->head.hidden ? hp->head.hidden : hp->n_embd;
    default: return ssm_dim(&hp->ssm, d);
    }
}

static uint64_t dim_value(const model *m, uint32_t il, dim_id d)
{
    const hparams *hp = &m->hp;
    const layer_hp *l = &hp->layer[il];
    switch (d) {
    case DIM_EMBD: return hp->n_embd;
    case DIM_VOCAB: return hp->n_vocab;
    case DIM_CTX: return hp->n_ctx_train;
    case DIM_FF: return l->n_ff;
    case DIM_2FF: return 2ull * l->n_ff;
    case DIM_FF_EXP: return hp->n_ff_exp;
    case DIM_2FF_EXP: return 2ull * hp->n_ff_exp;
    case DIM_FF_SHEXP: return hp->n_ff_shexp;
    case DIM_EXPERTS: return hp->n_expert;
    case DIM_Q: return (uint64_t)l->n_head * l->dk;
    case DIM_K: return (uint64_t)l->n_head_kv * l->dk;
    case DIM_V: return (uint64_t)l->n_head_kv * l->dv;
    case DIM_QKV: return (uint64_t)l->n_head * l->dk + (uint64_t)l->n_head_kv * (l->dk + l->dv);
    case DIM_O: return (uint64_t)l->n_head * l->dv;
    case DIM_HEAD_K: return l->dk;
    case DIM_HEAD_V: return l->dv;
    case DIM_HEADS: return l->n_head;
    case DIM_HEADS_KV: return l->n_head_kv;
    case DIM_ROT_HALF: return hp->rope[0].n_rot / 2;
    case DIM_ROT_MOST_HALF: return (hp->rope[0].n_rot > hp->rope[1].n_rot ? hp->rope[0] : hp->rope[1]).n_rot / 2;
    case DIM_PLE: return hp->n_ple;
    case DIM_PLE_ALL: return (uint64_t)hp->n_ple * hp->n_layer;
    case DIM_STREAMS: return hp->n_streams;
    case DIM_STREAMS_2: return (uint64_t)hp->n_streams * hp->n_streams;
    case DIM_STREAMS_LESS_1: return hp->n_streams - 1u;
    case DIM_LAUREL: return hp->laurel_rank;
    case DIM_2Q: return 2ull * l->n_head * l->dk;
    case DIM_2QKV: return 2ull * l->n_head * l->dk + (uint64_t)l->n_head_kv * (l->dk + l->dv);
    case DIM_3EMBD: return 3ull * hp->n_embd;
    case DIM_LATENT: return hp->n_latent;
    case DIM_MLA_LORA: return hp->mla.lora;
    case DIM_MLA_NOPE: return hp->mla.nope;
    case DIM_MLA_V: return hp->mla.v;
    case DIM_MLA_KV: return (uint64_t)hp->mla.lora + hp->mla.rope;
    case DIM_MLA_Q: return (uint64_t)l->n_head * (hp->mla.nope + hp->mla.rope);
    case DIM_MLA_O: return (uint64_t)l->n_head * hp->mla.v;
    case DIM_MLA_Q_LORA: return hp->mla.q_lora;
    case DIM_MLA_KV_B: return (uint64_t)l->n_head * (hp->mla.nope + hp->mla.v);
    case DIM_TYPES: return hp->n_types;
    default: return head_dim(hp, d);
    }
}

static tawny_status check_shape(const model *m, const gguf_tensor *t, const binding *b, uint32_t il, tawny_error *err)
{
    for (int i = 0; i < GGUF_MAX_DIMS; i++) {
        uint64_t want = i < 3 ? dim_value(m, il, b->dims[i]) : 1;
        if (t->ne[i] == want) continue;
        char shape[128] = "";
        size_t at = 0;
        for (int j = 0; j < 3 && b->dims[j] != DIM_NONE; j++)
            at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%llu", j ? " x " : "",
                                   (unsigned long long)dim_value(m, il, b->dims[j]));
        return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s is %llu x %llu x %llu x %llu; the metadata asks for %s",
                       gguf_path(m->file), t->name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                       (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], shape);
    }
    return TAWNY_OK;
}

static tawny_status bind_vector(model *m, const gguf_tensor *t, const float **v, tawny_error *err);

static void mark_known(model *m, const gguf_tensor *t)
{
    if (m->known) m->known[t - gguf_tensor_at(m->file, 0)] = true;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), e = strlen(end);
    return n >= e && strcmp(s + n - e, end) == 0;
}

/* X.scale beside X.weight holds a factor for each matrix of the stack, unless the architecture binds it as
 * something else. */
static tawny_status bind_scale(model *m, const gguf_tensor *t, weight *w, tawny_error *err)
{
    char name[GGUF_MAX_NAME + 32];
    if (!ends_with(t->name, ".weight")) return TAWNY_OK;
    snprintf(name, sizeof name, "%.*s.scale", (int)(strlen(t->name) - strlen(".weight")), t->name);
    const gguf_tensor *s = gguf_tensor_find(m->file, name);
    if (!s) return TAWNY_OK;
    mark_known(m, s);
    for (const binding *b = m->arch->bindings; b->name; b++)
        if (ends_with(name, b->name)) return TAWNY_OK;
    if (s->ne[0] != (uint64_t)w->n || s->ne[1] * s->ne[2] * s->ne[3] != 1)
        return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s has %llu elements; %s holds %lld matrices",
                       gguf_path(m->file), name,
                       (unsigned long long)s->ne[0], t->name, (long long)w->n);
    return bind_vector(m, s, &w->scale, err);
}

/* Stands for what a header without its data does not have; a planning pass looks at shapes alone. */
static const float not_there[1];

static tawny_status bind_weight(model *m, const gguf_tensor *t, weight *w, tawny_error *err)
{
    int f = quant_from_ggml(t->type);
    if (f < 0) {
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: tensor %s has type %u, which is no weight format",
                       gguf_path(m->file), t->name, t->type);
    }
    *w = (weight){
        .data = t->data ? t->data : (const uint8_t *)not_there, .format = (quant_id)f, .row_bytes = quant_row_bytes((quant_id)f, t->ne[0]),
        .k = (int64_t)t->ne[0], .rows = (int64_t)t->ne[1], .n = (int64_t)t->ne[2],
    };
    return bind_scale(m, t, w, err);
}

/* Vectors are few and small: F32 is used where it lies, other formats are converted. */
static tawny_status bind_vector(model *m, const gguf_tensor *t, const float **v, tawny_error *err)
{
    int f = quant_from_ggml(t->type);
    uint64_t n = t->ne[0] * t->ne[1] * t->ne[2];
    if (f < 0)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: tensor %s has type %u, which is no weight format",
                       gguf_path(m->file), t->name, t->type);
    if (!t->data || (f == QUANT_F32 && (uintptr_t)t->data % sizeof(float) == 0)) {
        *v = t->data ? (const float *)(const void *)t->data : not_there;
        return TAWNY_OK;
    }
    float *copy = arena_array(m->mem, n, sizeof *copy);
    if (!copy) return err_nomem(err);
    quant_table[f].decode(t->data, copy, n);
    *v = copy;
    return TAWNY_OK;
}

/* Whether a layer is of the kind that has such a tensor. */
static bool belongs(const model *m, const binding *b, uint32_t il)
{
    const layer_hp *l = &m->hp.layer[il];
    if ((b->flags & BIND_DENSE) && l->moe) return false;
    if ((b->flags & BIND_MOE) && !l->moe) return false;
    if ((b->flags & BIND_SHEXP) && (!l->moe || !m->hp.n_ff_shexp)) return false;
    if ((b->flags & BIND_RECURRENT) && !l->state && !l->conv_state) return false;
    if ((b->flags & BIND_ATTENTION) && !l->n_head_kv) return false;
    if ((b->flags & BIND_FF) && !l->n_ff) return false;
    return true;
}

/* Whether another form of the same, or another layer's, is used in its place. */
static bool superseded(const model *m, const binding *b, uint32_t il)
{
    const layer_weights *L = &m->layers[il];
    if ((b->flags & BIND_SPLIT_QKV) && L->wqkv.data) return true;
    if ((b->flags & BIND_WITH_QKV) && !L->wqkv.data) return true;
    if ((b->flags & BIND_SPLIT_EXPS) && L->gate_up_exps.data) return true;
    return (b->flags & BIND_OWN_KV) && m->hp.layer[il].kv_shared;
}

/* The tensor of a binding; its name in name[]. */
static const gguf_tensor *find(const model *m, const binding *b, uint32_t il, char name[BIND_NAME])
{
    if (b->flags & BIND_GLOBAL)
        snprintf(name, BIND_NAME, "%s", b->name);
    else
        snprintf(name, BIND_NAME, "blk.%u.%s", il, b->name);
    return gguf_tensor_find(m->file, name);
}

static tawny_status bind_one(model *m, const binding *b, uint32_t il, void *base, tawny_error *err)
{
    char name[BIND_NAME];
    const gguf_tensor *t = find(m, b, il, name);
    if (!(b->flags & BIND_GLOBAL)) {
        /* A tensor that its layer has no use for contradicts the metadata: it stays unknown. */
        if (!belongs(m, b, il)) return TAWNY_OK;
        if (t && superseded(m, b, il)) mark_known(m, t);
        if (superseded(m, b, il)) return TAWNY_OK;
    }
    if (!t && (b->flags & BIND_OPTIONAL)) return TAWNY_OK;
    if (!t) return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s is missing", gguf_path(m->file), name);
    mark_known(m, t);
    TRY(check_shape(m, t, b, il, err));
    void *slot = (char *)base + b->offset;
    return b->flags & BIND_VECTOR ? bind_vector(m, t, slot, err) : bind_weight(m, t, slot, err);
}

tawny_status model_bind(model *m, const binding *table, tawny_error *err)
{
    if (!m->known) m->known = arena_array(m->mem, gguf_tensor_count(m->file), sizeof *m->known);
    if (!m->known) return err_nomem(err);
    for (const binding *b = table; b->name; b++) {
        if (b->flags & BIND_GLOBAL) {
            TRY(bind_one(m, b, 0, m, err));
            continue;
        }
        for (uint32_t il = 0; il < m->hp.n_layer; il++) TRY(bind_one(m, b, il, &m->layers[il], err));
    }
    return TAWNY_OK;
}

/* What a file may hold beside the tensors that are computed with: factors of RoPE that some converters always
 * write, scales of activations, towers of other modes, layers that guess further tokens. */
static bool may_be_left_out(const model *m, const char *name)
{
    static const char *const begins[] = {"rope_f", "v.", "mm.", "a.", NULL};
    unsigned il = 0;
    for (const char *const *b = begins; *b; b++)
        if (strncmp(name, *b, strlen(*b)) == 0) return true;
    if (ends_with(name, ".input_scale") || ends_with(name, ".attn_rot_embd.weight")) return true;
    return sscanf(name, "blk.%9u.", &il) == 1 && il >= m->hp.n_layer;
}

tawny_status model_check_known(const model *m, tawny_error *err)
{
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        if (!m->known[i] && !may_be_left_out(m, t->name))
            return err_set(err, TAWNY_E_UNSUPPORTED,
                           "%s: tensor %s has no place in architecture %s with this metadata, and without it the "
                           "numbers would be wrong",
                           gguf_path(m->file), t->name, m->arch_name);
    }
    return TAWNY_OK;
}
