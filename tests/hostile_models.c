/* Hostile models: a small valid llama with changes, see hostile.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "gguf/gguf.h"
#include "hostile.h"

#define BAD TAWNY_E_FORMAT
#define NEW TAWNY_E_UNSUPPORTED

const hostile_model hostile_models[] = {
    {"arch-missing", BAD, "general.architecture", "drop general.architecture"},
    {"arch-unknown", NEW, "owlet", "str general.architecture owlet"},
    {"arch-relative", NEW, "RWKV's time mixing; the nearest that is: mamba2", "str general.architecture rwkv7"},
    {"arch-spelling", NEW, "the nearest name that is supported: llama4", "str general.architecture LLaMA-4"},
    {"arch-number", BAD, "general.architecture", "u32 general.architecture 1"},
    {"arch-escape", NEW, "?[31m", "str general.architecture \033[31m"},
    {"blocks-missing", BAD, "llama.block_count", "drop llama.block_count"},
    {"blocks-0", BAD, "llama.block_count", "u32 llama.block_count 0"},
    {"blocks-one-more", BAD, "blk.2.", "u32 llama.block_count 3"},
    {"blocks-huge", BAD, "llama.block_count", "u32 llama.block_count 4294967295"},
    {"blocks-string", BAD, "llama.block_count", "str llama.block_count 2"},
    {"embd-missing", BAD, "llama.embedding_length", "drop llama.embedding_length"},
    {"embd-0", BAD, "llama.embedding_length", "u32 llama.embedding_length 0"},
    {"embd-other", BAD, "token_embd.weight", "u32 llama.embedding_length 64; drop llama.rope.dimension_count"},
    {"embd-huge", BAD, "llama.embedding_length", "u32 llama.embedding_length 4294967295"},
    {"context-0", BAD, "llama.context_length", "u32 llama.context_length 0"},
    {"heads-missing", BAD, "llama.attention.head_count", "drop llama.attention.head_count"},
    {"heads-0", BAD, "attention.head_count", "u32 llama.attention.head_count 0"},
    {"heads-3", BAD, "head_count", "u32 llama.attention.head_count 3"},
    {"heads-huge", BAD, "head_count", "u32 llama.attention.head_count 4294967295"},
    {"kv-heads-0", BAD, "head_count_kv", "u32 llama.attention.head_count_kv 0"},
    {"kv-heads-3", BAD, "head_count_kv", "u32 llama.attention.head_count_kv 3"},
    {"kv-heads-8", BAD, "head_count_kv", "u32 llama.attention.head_count_kv 8"},
    {"heads-a-layer-short", BAD, "llama.attention.head_count", "i32s llama.attention.head_count 1 4"},
    {"heads-a-layer-negative", BAD, "llama.attention.head_count", "i32s llama.attention.head_count 2 -4"},
    {"ff-missing", BAD, "ffn_", "drop llama.feed_forward_length"},
    {"ff-0", BAD, "ffn_", "u32 llama.feed_forward_length 0"},
    {"ff-other", BAD, "ffn_", "u32 llama.feed_forward_length 96"},
    {"head-size-0", BAD, "llama.attention.key_length", "u32 llama.attention.key_length 0"},
    {"head-size-huge", BAD, "llama.attention.key_length", "u32 llama.attention.key_length 4294967295"},
    {"eps-missing", BAD, "layer_norm_rms_epsilon", "drop llama.attention.layer_norm_rms_epsilon"},
    {"eps-nan", BAD, "layer_norm_rms_epsilon", "f32 llama.attention.layer_norm_rms_epsilon nan"},
    {"eps-negative", BAD, "layer_norm_rms_epsilon", "f32 llama.attention.layer_norm_rms_epsilon -1"},
    {"rope-base-0", BAD, "llama.rope.freq_base", "f32 llama.rope.freq_base 0"},
    {"rope-base-inf", BAD, "llama.rope.freq_base", "f32 llama.rope.freq_base inf"},
    {"rope-dims-odd", BAD, "llama.rope.dimension_count", "u32 llama.rope.dimension_count 7"},
    {"rope-dims-beyond-head", BAD, "llama.rope.dimension_count", "u32 llama.rope.dimension_count 16"},
    {"rope-type", NEW, "llama.rope.scaling.type", "str llama.rope.scaling.type spiral"},
    {"activation", NEW, "llama.hidden_act is 'gelu'", "str llama.hidden_act silu; str llama.hidden_act gelu"},
    {"activation-new", NEW, "llama.activation_function", "str llama.activation_function"},
    {"activation-number", BAD, "llama.hidden_activation", "u32 llama.hidden_activation 1"},
    {"rope-factor-nan", BAD, "llama.rope.scaling.factor", "f32 llama.rope.scaling.factor nan"},
    {"experts-huge", BAD, "llama.expert_count", "u32 llama.expert_count 4294967295"},
    {"experts-unused", BAD, "llama.expert_used_count", "u32 llama.expert_count 4"},
    {"experts-overused", BAD, "llama.expert_used_count", "u32 llama.expert_count 4; u32 llama.expert_used_count 5"},
    {"experts-missing", BAD, "blk.0.ffn_", "u32 llama.expert_count 4; u32 llama.expert_used_count 2"},
    {"pooling-beyond", BAD, "llama.pooling_type", "u32 llama.pooling_type 5"},
    {"pooling-string", BAD, "llama.pooling_type", "str llama.pooling_type mean"},
    {"causal-number", BAD, "llama.attention.causal", "u32 llama.attention.causal 1"},
    {"labels-numbers", BAD, "llama.classifier.output_labels", "i32s llama.classifier.output_labels 2 1"},
    {"no-embedding", BAD, "token_embd.weight", "notensor token_embd.weight"},
    {"no-output-norm", BAD, "output_norm.weight", "notensor output_norm.weight"},
    {"no-q", BAD, "blk.1.attn_q.weight", "notensor blk.1.attn_q.weight"},
    {"no-down", BAD, "blk.1.ffn_down.weight", "notensor blk.1.ffn_down.weight"},
    {"q-narrow", BAD, "blk.0.attn_q.weight", "shape blk.0.attn_q.weight 32,16"},
    {"q-3d", BAD, "blk.0.attn_q.weight", "shape blk.0.attn_q.weight 32,16,2"},
    {"down-transposed", BAD, "blk.0.ffn_down.weight", "shape blk.0.ffn_down.weight 32,64"},
    {"norm-short", BAD, "output_norm.weight", "shape output_norm.weight 16"},
    {"embedding-flat", BAD, "token_embd.weight", "shape token_embd.weight 32"},
    {"embedding-short", BAD, "tokenizer.ggml.tokens", "shape token_embd.weight 32,260"},
    {"q-integers", NEW, "blk.0.attn_q.weight", "type blk.0.attn_q.weight 26"},
    {"norm-integers", NEW, "output_norm.weight", "type output_norm.weight 24"},
    {0},
};

const hostile_model hostile_tokenizers[] = {
    {"tokenizer-missing", BAD, "tokenizer.ggml.model", "drop tokenizer.ggml.model"},
    {"tokenizer-unknown", NEW, "tokenizer.ggml.model", "str tokenizer.ggml.model abacus"},
    {"tokenizer-number", BAD, "tokenizer.ggml.model", "u32 tokenizer.ggml.model 1"},
    {"pre-unknown", NEW, "tokenizer.ggml.pre", "str tokenizer.ggml.pre abacus"},
    {"tokens-missing", BAD, "tokenizer.ggml.tokens", "drop tokenizer.ggml.tokens"},
    {"tokens-numbers", BAD, "tokenizer.ggml.tokens", "i32s tokenizer.ggml.tokens 261 1"},
    {"tokens-string", BAD, "tokenizer.ggml.tokens", "str tokenizer.ggml.tokens abc"},
    {"types-short", BAD, "tokenizer.ggml.token_type", "i32s tokenizer.ggml.token_type 260 1"},
    {"types-strings", BAD, "tokenizer.ggml.token_type", "strs tokenizer.ggml.token_type a,b"},
    {"merges-missing", BAD, "tokenizer.ggml.merges", "drop tokenizer.ggml.merges"},
    {"merges-numbers", BAD, "tokenizer.ggml.merges", "i32s tokenizer.ggml.merges 2 1"},
    {"merges-no-blank", BAD, "tokenizer.ggml.merges", "strs tokenizer.ggml.merges he,ll"},
    {"bos-beyond", BAD, "tokenizer.ggml.bos_token_id", "u32 tokenizer.ggml.bos_token_id 261"},
    {"bos-string", BAD, "tokenizer.ggml.bos_token_id", "str tokenizer.ggml.bos_token_id <s>"},
    {"eos-huge", BAD, "tokenizer.ggml.eos_token_id", "u32 tokenizer.ggml.eos_token_id 4294967294"},
    {"scores-missing", BAD, "tokenizer.ggml.scores", "str tokenizer.ggml.model llama"},
    {"scores-short", BAD, "tokenizer.ggml.scores",
     "str tokenizer.ggml.model llama; f32s tokenizer.ggml.scores 260 0"},
    {"scores-nan", BAD, "tokenizer.ggml.scores",
     "str tokenizer.ggml.model llama; f32s tokenizer.ggml.scores 261 nan"},
    {"scores-strings", BAD, "tokenizer.ggml.scores", "str tokenizer.ggml.model llama; strs tokenizer.ggml.scores a"},
    {0},
};

enum { WIDTH = 32, HEADS = 4, KV_HEADS = 2, FF = 64, LAYERS = 2, MERGES = 4, VOCAB = 256 + MERGES + 1, TENSORS = 32 };

typedef struct shape {
    char name[GGUF_MAX_NAME];
    uint32_t type, n_dims;
    uint64_t ne[GGUF_MAX_DIMS];
} shape;

typedef struct maker {
    gguf_writer *w;
    shape tensors[TENSORS];
    int n;
    float *data; /* one block for all tensors: small numbers, never zero */
    float *made; /* or this, for the tensor of this index */
    int made_for;
} maker;

static void add_tensor(maker *m, const char *name, uint64_t columns, uint64_t rows)
{
    shape *s = &m->tensors[m->n++];
    *s = (shape){.n_dims = rows ? 2 : 1, .ne = {columns, rows ? rows : 1, 1, 1}};
    snprintf(s->name, sizeof s->name, "%s", name);
}

static void add_tensors(maker *m)
{
    static const struct {
        const char *name;
        uint64_t columns, rows;
    } layer[] = {
        {"attn_norm", WIDTH, 0}, {"attn_q", WIDTH, WIDTH}, {"attn_k", WIDTH, WIDTH / 2}, {"attn_v", WIDTH, WIDTH / 2},
        {"attn_output", WIDTH, WIDTH}, {"ffn_norm", WIDTH, 0}, {"ffn_gate", WIDTH, FF}, {"ffn_up", WIDTH, FF},
        {"ffn_down", FF, WIDTH},
    };
    char name[GGUF_MAX_NAME];
    add_tensor(m, "token_embd.weight", WIDTH, VOCAB);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer[i].name);
            add_tensor(m, name, layer[i].columns, layer[i].rows);
        }
    add_tensor(m, "output_norm.weight", WIDTH, 0);
}

static void pack_str(buf *b, const char *s, size_t n)
{
    uint64_t len = n;
    buf_add(b, &len, 8);
    buf_add(b, s, n);
}

static void set_strs(maker *m, const char *key, const char *const *items, size_t n)
{
    buf b = {0};
    for (size_t i = 0; i < n; i++) pack_str(&b, items[i], strlen(items[i]));
    gguf_writer_array(m->w, key, GGUF_STR, b.data, b.size, n);
    buf_free(&b);
}

/* Bytes as GPT-2 spells them: those that print stand for themselves, the others are U+0100 and on. */
static void add_vocabulary(maker *m)
{
    static const char *const merges[MERGES] = {"h e", "l l", "he ll", "hell o"};
    static const char *const merged[MERGES + 1] = {"he", "ll", "hell", "hello", "<|end|>"};
    buf tokens = {0}, one = {0};
    int32_t types[VOCAB];
    for (unsigned c = 0, next = 256; c < 256; c++) {
        bool prints = (c > 32 && c < 127) || (c > 160 && c != 173);
        buf_clear(&one);
        buf_utf8(&one, prints ? c : next++);
        pack_str(&tokens, one.data, one.size);
    }
    for (int i = 0; i <= MERGES; i++) pack_str(&tokens, merged[i], strlen(merged[i]));
    for (int i = 0; i < VOCAB; i++) types[i] = i == VOCAB - 1 ? 3 : 1;
    gguf_writer_str(m->w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_writer_str(m->w, "tokenizer.ggml.pre", "gpt-2", 5);
    gguf_writer_array(m->w, "tokenizer.ggml.tokens", GGUF_STR, tokens.data, tokens.size, VOCAB);
    gguf_writer_array(m->w, "tokenizer.ggml.token_type", GGUF_I32, types, sizeof types, VOCAB);
    set_strs(m, "tokenizer.ggml.merges", merges, MERGES);
    gguf_writer_u32(m->w, "tokenizer.ggml.bos_token_id", VOCAB - 1);
    gguf_writer_u32(m->w, "tokenizer.ggml.eos_token_id", VOCAB - 1);
    buf_free(&tokens);
    buf_free(&one);
}

static void add_metadata(maker *m)
{
    gguf_writer_str(m->w, "general.architecture", "llama", 5);
    gguf_writer_u32(m->w, "llama.block_count", LAYERS);
    gguf_writer_u32(m->w, "llama.context_length", 128);
    gguf_writer_u32(m->w, "llama.embedding_length", WIDTH);
    gguf_writer_u32(m->w, "llama.feed_forward_length", FF);
    gguf_writer_u32(m->w, "llama.attention.head_count", HEADS);
    gguf_writer_u32(m->w, "llama.attention.head_count_kv", KV_HEADS);
    gguf_writer_f32(m->w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_writer_f32(m->w, "llama.rope.freq_base", 10000);
    gguf_writer_u32(m->w, "llama.rope.dimension_count", WIDTH / HEADS);
}

static shape *find(maker *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return &m->tensors[i];
    return NULL;
}

static bool change_key(maker *m, const char *op, const char *key, const char *value)
{
    if (strcmp(op, "drop") == 0) gguf_writer_drop(m->w, key);
    else if (strcmp(op, "u32") == 0) gguf_writer_u32(m->w, key, (uint32_t)strtoul(value, NULL, 0));
    else if (strcmp(op, "f32") == 0) gguf_writer_f32(m->w, key, strtof(value, NULL));
    else if (strcmp(op, "bool") == 0) gguf_writer_bool(m->w, key, *value == '1');
    else if (strcmp(op, "str") == 0) gguf_writer_str(m->w, key, value, strlen(value));
    else if (strcmp(op, "i32") == 0)
        gguf_writer_scalar(m->w, key, GGUF_I32, &(int32_t){(int32_t)strtol(value, NULL, 0)});
    else return false;
    return true;
}

static bool change_array(maker *m, const char *op, const char *key, char *value)
{
    static const char *items[64];
    size_t n = 0;
    if (strcmp(op, "strs") == 0) {
        for (char *s = strtok(value, ","); s && n < 64; s = strtok(NULL, ",")) items[n++] = s;
        set_strs(m, key, items, n);
        return true;
    }
    char *end;
    buf b = {0};
    n = strtoul(value, &end, 0);
    bool floats = strcmp(op, "f32s") == 0;
    if (!floats && strcmp(op, "i32s") != 0) return false;
    for (size_t i = 0; i < n; i++) {
        float f = strtof(end, NULL);
        int32_t v = floats ? 0 : (int32_t)strtol(end, NULL, 0);
        buf_add(&b, floats ? (void *)&f : (void *)&v, 4);
    }
    gguf_writer_array(m->w, key, floats ? GGUF_F32 : GGUF_I32, b.data, b.size, n);
    buf_free(&b);
    return true;
}

static bool change_tensor(maker *m, const char *op, const char *name, char *value)
{
    shape *s = find(m, name);
    if (!s) return false;
    if (strcmp(op, "notensor") == 0) {
        *s = m->tensors[--m->n];
    } else if (strcmp(op, "type") == 0) {
        s->type = (uint32_t)strtoul(value, NULL, 0);
    } else if (strcmp(op, "value") == 0) {
        m->made_for = (int)(s - m->tensors);
        for (size_t i = 0; i < WIDTH * VOCAB; i++) m->made[i] = strtof(value, NULL);
    } else if (strcmp(op, "shape") == 0) {
        s->n_dims = 0;
        for (char *d = strtok(value, ","); d && s->n_dims < GGUF_MAX_DIMS; d = strtok(NULL, ","))
            s->ne[s->n_dims++] = strtoull(d, NULL, 0);
    } else {
        return false;
    }
    return true;
}

static bool change(maker *m, const char *one)
{
    char op[16], key[80], value[200] = "";
    int n = sscanf(one, " %15s %79s %199[^;]", op, key, value);
    return n >= 2 &&
           (change_key(m, op, key, value) || change_tensor(m, op, key, value) || change_array(m, op, key, value));
}

tawny_status hostile_model_write(const char *changes, const char *path, tawny_error *err)
{
    maker m = {.w = gguf_writer_new(), .made_for = -1};
    tawny_status status = TAWNY_OK;
    m.data = malloc(WIDTH * VOCAB * sizeof(float));
    m.made = malloc(WIDTH * VOCAB * sizeof(float));
    if (!m.w || !m.data || !m.made) {
        status = err_nomem(err);
        goto end;
    }
    uint32_t r = 1;
    for (size_t i = 0; i < WIDTH * VOCAB; i++) {
        r = r * 1664525 + 1013904223; /* Numerical Recipes' generator: any will do */
        m.data[i] = ((float)(r >> 16) - 32767.5f) / 131072;
    }
    add_metadata(&m);
    add_vocabulary(&m);
    add_tensors(&m);
    for (const char *c = changes; c && *c && !status; c = strchr(c, ';') ? strchr(c, ';') + 1 : NULL)
        if (!change(&m, c)) status = err_set(err, TAWNY_E_ARG, "cannot be understood: %s", c);
    if (status) goto end;
    for (int i = 0; i < m.n; i++) {
        const shape *s = &m.tensors[i];
        gguf_writer_tensor(m.w, s->name, s->type, s->n_dims, s->ne, i == m.made_for ? m.made : m.data);
    }
    status = gguf_writer_write(m.w, path, err);
end:
    gguf_writer_free(m.w);
    free(m.data);
    free(m.made);
    return status;
}
