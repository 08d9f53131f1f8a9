/* Shapes of well-known models, from the config.json that each was published with, and the choice of formats of
 * llama-quantize: Q6_K for the output matrix and for half of the values and of the down projections. */
#include "shapes.h"

#include <string.h>
#include <strings.h>

#include "../../quant/quant.h"
#include "../gguf/gguf.h"

typedef struct shape {
    const char *name, *label, *arch;
    uint32_t n_layer, n_embd, n_head, n_head_kv, head, n_ff, n_vocab, n_ctx;
    uint32_t n_expert, n_used, n_ff_exp, n_dense; /* layers before the first with experts */
    bool shared_expert, qk_norm, biases, native;  /* biases: of all projections; native: MXFP4 experts, Q8_0 else */
    bool layer_norms_post;                        /* the second norm of a layer is called post_attention_norm */
    bool v_in_five_bits;                          /* llama-quantize treats the 70B's small attn_v so */
    float rope_base;
} shape;

static const shape shapes[] = {
    {.name = "7b",
     .label = "Llama 2 7B",
     .arch = "llama",
     .n_layer = 32,
     .n_embd = 4096,
     .n_head = 32,
     .n_head_kv = 32,
     .head = 128,
     .n_ff = 11008,
     .n_vocab = 32000,
     .n_ctx = 4096,
     .rope_base = 10000},
    {.name = "8b",
     .label = "Llama 3.1 8B",
     .arch = "llama",
     .n_layer = 32,
     .n_embd = 4096,
     .n_head = 32,
     .n_head_kv = 8,
     .head = 128,
     .n_ff = 14336,
     .n_vocab = 128256,
     .n_ctx = 131072,
     .rope_base = 500000},
    {.name = "13b",
     .label = "Llama 2 13B",
     .arch = "llama",
     .n_layer = 40,
     .n_embd = 5120,
     .n_head = 40,
     .n_head_kv = 40,
     .head = 128,
     .n_ff = 13824,
     .n_vocab = 32000,
     .n_ctx = 4096,
     .rope_base = 10000},
    {.name = "32b",
     .label = "Qwen3 32B",
     .arch = "qwen3",
     .n_layer = 64,
     .n_embd = 5120,
     .n_head = 64,
     .n_head_kv = 8,
     .head = 128,
     .n_ff = 25600,
     .n_vocab = 151936,
     .n_ctx = 40960,
     .qk_norm = true,
     .rope_base = 1e6f},
    {.name = "70b",
     .label = "Llama 3.3 70B",
     .arch = "llama",
     .n_layer = 80,
     .n_embd = 8192,
     .n_head = 64,
     .n_head_kv = 8,
     .head = 128,
     .n_ff = 28672,
     .n_vocab = 128256,
     .n_ctx = 131072,
     .v_in_five_bits = true,
     .rope_base = 500000},
    {.name = "gpt-oss-20b",
     .label = "gpt-oss 20B",
     .arch = "gpt-oss",
     .n_layer = 24,
     .n_embd = 2880,
     .n_head = 64,
     .n_head_kv = 8,
     .head = 64,
     .n_ff = 2880,
     .n_vocab = 201088,
     .n_ctx = 131072,
     .n_expert = 32,
     .n_used = 4,
     .n_ff_exp = 2880,
     .biases = true,
     .native = true,
     .layer_norms_post = true,
     .rope_base = 150000},
    {.name = "gpt-oss-120b",
     .label = "gpt-oss 120B",
     .arch = "gpt-oss",
     .n_layer = 36,
     .n_embd = 2880,
     .n_head = 64,
     .n_head_kv = 8,
     .head = 64,
     .n_ff = 2880,
     .n_vocab = 201088,
     .n_ctx = 131072,
     .n_expert = 128,
     .n_used = 4,
     .n_ff_exp = 2880,
     .biases = true,
     .native = true,
     .layer_norms_post = true,
     .rope_base = 150000},
    {.name = "qwen3-30b-a3b",
     .label = "Qwen3 30B A3B",
     .arch = "qwen3moe",
     .n_layer = 48,
     .n_embd = 2048,
     .n_head = 32,
     .n_head_kv = 4,
     .head = 128,
     .n_ff = 6144,
     .n_vocab = 151936,
     .n_ctx = 40960,
     .n_expert = 128,
     .n_used = 8,
     .n_ff_exp = 768,
     .qk_norm = true,
     .rope_base = 1e6f},
    {.name = "glm-4.5-air",
     .label = "GLM 4.5 Air",
     .arch = "glm4moe",
     .n_layer = 46,
     .n_embd = 4096,
     .n_head = 96,
     .n_head_kv = 8,
     .head = 128,
     .n_ff = 10944,
     .n_vocab = 151552,
     .n_ctx = 131072,
     .n_expert = 128,
     .n_used = 8,
     .n_ff_exp = 1408,
     .n_dense = 1,
     .shared_expert = true,
     .layer_norms_post = true,
     .rope_base = 1e6f},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

bool shape_type_by_name(const char *name, shape_type *out)
{
    *out = strcasecmp(name, "Q8_0") == 0 ? SHAPE_Q8_0 : SHAPE_Q4_K_M;
    return *out == SHAPE_Q8_0 || strcasecmp(name, "Q4_K_M") == 0;
}

const char *shape_names(void)
{
    static char names[256];
    size_t at = 0;
    for (int i = 0; i < SHAPES; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", shapes[i].name);
    return names;
}

/* What a tensor is, as far as its format depends on it. */
typedef enum part { PART_PLAIN, PART_V, PART_DOWN, PART_OUTPUT, PART_EXPERT } part;

typedef struct maker {
    gguf_writer *w;
    const shape *s;
    shape_type type;
    uint32_t il;
} maker;

/* llama-quantize gives half of the layers more bits: the first and the last eighth, and every third between. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static quant_id format_of(const maker *m, part p, uint64_t row)
{
    if (m->s->native) return p == PART_EXPERT ? QUANT_MXFP4 : QUANT_Q8_0;
    if (m->type == SHAPE_Q8_0) return QUANT_Q8_0;
    bool more = p == PART_OUTPUT || ((p == PART_V || p == PART_DOWN) && more_bits(m->il, m->s->n_layer));
    quant_id f = more ? QUANT_Q6_K : p == PART_V && m->s->v_in_five_bits ? QUANT_Q5_K : QUANT_Q4_K;
    if (row % 256 == 0) return f;
    return f == QUANT_Q4_K ? QUANT_Q5_0 : QUANT_Q8_0; /* rows that blocks of 256 do not fill */
}

static void name_of(const maker *m, const char *name, char out[GGUF_MAX_NAME])
{
    bool global = strncmp(name, "token_embd", 10) == 0 || strncmp(name, "output", 6) == 0;
    if (global)
        snprintf(out, GGUF_MAX_NAME, "%s", name);
    else
        snprintf(out, GGUF_MAX_NAME, "blk.%u.%s", m->il, name);
}

static void matrix(const maker *m, const char *name, part p, uint64_t row, uint64_t rows, uint64_t stack)
{
    char full[GGUF_MAX_NAME];
    name_of(m, name, full);
    gguf_writer_tensor(m->w, full, quant_table[format_of(m, p, row)].ggml_id, stack ? 3 : 2,
                       (uint64_t[]){row, rows, stack}, NULL);
}

static void floats(const maker *m, const char *name, uint64_t n, uint64_t rows)
{
    char full[GGUF_MAX_NAME];
    name_of(m, name, full);
    gguf_writer_tensor(m->w, full, quant_table[QUANT_F32].ggml_id, rows ? 2 : 1, (uint64_t[]){n, rows}, NULL);
}

static void attention(const maker *m)
{
    const shape *s = m->s;
    uint64_t q = (uint64_t)s->n_head * s->head, kv = (uint64_t)s->n_head_kv * s->head;
    floats(m, "attn_norm.weight", s->n_embd, 0);
    matrix(m, "attn_q.weight", PART_PLAIN, s->n_embd, q, 0);
    matrix(m, "attn_k.weight", PART_PLAIN, s->n_embd, kv, 0);
    matrix(m, "attn_v.weight", PART_V, s->n_embd, kv, 0);
    matrix(m, "attn_output.weight", PART_PLAIN, q, s->n_embd, 0);
    if (s->qk_norm) {
        floats(m, "attn_q_norm.weight", s->head, 0);
        floats(m, "attn_k_norm.weight", s->head, 0);
    }
    if (!s->biases) return;
    floats(m, "attn_q.bias", q, 0);
    floats(m, "attn_k.bias", kv, 0);
    floats(m, "attn_v.bias", kv, 0);
    floats(m, "attn_output.bias", s->n_embd, 0);
    floats(m, "attn_sinks.weight", s->n_head, 0);
}

static void experts(const maker *m)
{
    const shape *s = m->s;
    floats(m, "ffn_gate_inp.weight", s->n_embd, s->n_expert);
    matrix(m, "ffn_gate_exps.weight", PART_EXPERT, s->n_embd, s->n_ff_exp, s->n_expert);
    matrix(m, "ffn_up_exps.weight", PART_EXPERT, s->n_embd, s->n_ff_exp, s->n_expert);
    matrix(m, "ffn_down_exps.weight", s->native ? PART_EXPERT : PART_DOWN, s->n_ff_exp, s->n_embd, s->n_expert);
    if (s->shared_expert) {
        floats(m, "exp_probs_b.bias", s->n_expert, 0);
        matrix(m, "ffn_gate_shexp.weight", PART_PLAIN, s->n_embd, s->n_ff_exp, 0);
        matrix(m, "ffn_up_shexp.weight", PART_PLAIN, s->n_embd, s->n_ff_exp, 0);
        matrix(m, "ffn_down_shexp.weight", PART_DOWN, s->n_ff_exp, s->n_embd, 0);
    }
    if (!s->biases) return;
    floats(m, "ffn_gate_inp.bias", s->n_expert, 0);
    floats(m, "ffn_gate_exps.bias", s->n_ff_exp, s->n_expert);
    floats(m, "ffn_up_exps.bias", s->n_ff_exp, s->n_expert);
    floats(m, "ffn_down_exps.bias", s->n_embd, s->n_expert);
}

static void layer(const maker *m)
{
    const shape *s = m->s;
    attention(m);
    floats(m, s->layer_norms_post ? "post_attention_norm.weight" : "ffn_norm.weight", s->n_embd, 0);
    if (s->n_expert && m->il >= s->n_dense) {
        experts(m);
        return;
    }
    matrix(m, "ffn_gate.weight", PART_PLAIN, s->n_embd, s->n_ff, 0);
    matrix(m, "ffn_up.weight", PART_PLAIN, s->n_embd, s->n_ff, 0);
    matrix(m, "ffn_down.weight", PART_DOWN, s->n_ff, s->n_embd, 0);
}

static void u32(const maker *m, const char *key, uint32_t v)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", m->s->arch, key);
    gguf_writer_u32(m->w, full, v);
}

static void f32(const maker *m, const char *key, float v)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", m->s->arch, key);
    gguf_writer_f32(m->w, full, v);
}

static void metadata(const maker *m)
{
    const shape *s = m->s;
    gguf_writer_str(m->w, "general.architecture", s->arch, strlen(s->arch));
    gguf_writer_str(m->w, "general.name", s->label, strlen(s->label));
    gguf_writer_u32(m->w, "general.file_type", s->native ? 38 : m->type == SHAPE_Q8_0 ? 7 : 15);
    u32(m, "block_count", s->n_layer);
    u32(m, "embedding_length", s->n_embd);
    u32(m, "context_length", s->n_ctx);
    u32(m, "feed_forward_length", s->n_ff);
    u32(m, "attention.head_count", s->n_head);
    u32(m, "attention.head_count_kv", s->n_head_kv);
    u32(m, "attention.key_length", s->head);
    u32(m, "attention.value_length", s->head);
    u32(m, "rope.dimension_count", s->shared_expert ? s->head / 2 : s->head);
    f32(m, "rope.freq_base", s->rope_base);
    f32(m, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (!s->n_expert) return;
    u32(m, "expert_count", s->n_expert);
    u32(m, "expert_used_count", s->n_used);
    u32(m, "expert_feed_forward_length", s->n_ff_exp);
    if (s->native) u32(m, "attention.sliding_window", 128);
    if (!s->shared_expert) return;
    u32(m, "expert_shared_count", 1);
    u32(m, "leading_dense_block_count", s->n_dense);
    u32(m, "expert_gating_func", 2);
    f32(m, "expert_weights_scale", 1);
}

tawny_status shape_header(const char *name, shape_type type, buf *head, tawny_error *err)
{
    maker m = {.type = type};
    for (int i = 0; i < SHAPES; i++)
        if (strcasecmp(shapes[i].name, name) == 0) m.s = &shapes[i];
    if (!m.s) return err_set(err, TAWNY_E_ARG, "--shape %.60s: %s are known", name, shape_names());
    m.w = gguf_writer_new();
    if (!m.w) return err_nomem(err);
    metadata(&m);
    matrix(&m, "token_embd.weight", PART_PLAIN, m.s->n_embd, m.s->n_vocab, 0);
    matrix(&m, "output.weight", PART_OUTPUT, m.s->n_embd, m.s->n_vocab, 0);
    floats(&m, "output_norm.weight", m.s->n_embd, 0);
    for (; m.il < m.s->n_layer; m.il++) layer(&m);
    tawny_status st = gguf_writer_header(m.w, m.s->label, head, err);
    gguf_writer_free(m.w);
    return st;
}
