/* A loaded model: its metadata as numbers, its tensors where they lie in the file, and its architecture.
 *
 * An architecture is a row in the registry (arch.c): a name, a function that reads its metadata, a table that
 * binds its tensors, and a forward pass. Loading validates every tensor's presence, type and shape before any
 * arithmetic. */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include "../quant/quant.h"
#include "../src/base/arena.h"
#include "../src/gguf/gguf.h"

/* A matrix (or a stack of n matrices) in its file's format: `rows` rows of k weights. */
typedef struct weight {
    const uint8_t *data; /* NULL: not there */
    quant_id format;
    int64_t k, rows, n;
    size_t row_bytes;
    const float *scale; /* [n]: products of each matrix are multiplied by it (NVFP4's second scale); NULL: 1 */
} weight;

enum { MODEL_MAX_LAYERS = 512, MODEL_MAX_EXPERTS = 1024, MODEL_MAX_USED = 64, MODEL_MAX_GROUP = 128 };

typedef enum rope_style { ROPE_NONE, ROPE_NORM, ROPE_NEOX } rope_style;
typedef enum norm_kind { NORM_RMS, NORM_LAYER } norm_kind;

/* How positions become angles. Two at most a model: [0] everywhere, [1] in layers with a window of their own. */
typedef struct rope_hp {
    float base;        /* frequency base */
    float scale;       /* 1 / linear factor */
    float attn_factor; /* magnitude of cos and sin, beside YaRN's own */
    float ext_factor;  /* YaRN: 1, otherwise 0 */
    float beta_fast, beta_slow;
    uint32_t orig_ctx;
    uint32_t n_rot;
    uint32_t no_factors; /* not 0: the model's rope_freqs do not apply here */
} rope_hp;

/* Metadata a layer. */
typedef struct layer_hp {
    uint32_t n_head, n_head_kv, dk, dv, n_ff;
    uint32_t window; /* sliding window in tokens; 0: none */
    uint32_t chunk;  /* attention stays inside chunks of so many positions; 0: none */
    uint32_t kv_shared; /* 1 + the layer whose keys and values this one reads; 0: it has its own */
    uint32_t rope;   /* which rope_hp */
    float act[4];    /* parameters of the activation, where it has any */
    float limit_ff, limit_exp; /* of SwiGLU, dense (and shared) and in experts: silu(gate) <= it, |up| <= it; 0: none */
    bool no_rope;
    bool moe;
    bool recurrent;      /* a recurrence in place of attention */
    uint32_t conv_state; /* floats of the short convolution's past, a sequence; 0: none */
    uint32_t state;      /* floats of the recurrence's state */
} layer_hp;

/* How the embeddings of a text's tokens become one; numbered as in the metadata. */
typedef enum pooling { POOL_NONE, POOL_MEAN, POOL_CLS, POOL_LAST, POOL_RANK, POOL_KINDS } pooling;

/* What makes more of embeddings (head.h). Sizes are 0 where a model has no such part. */
typedef struct head_hp {
    pooling pooling;  /* the file's */
    bool mean;        /* the classifier reads the mean, not the first or last token */
    bool gelu;        /* its hidden layer has GELU, not tanh */
    bool softmax;     /* its labels share a probability of 1 */
    uint32_t hidden, labels; /* widths of the classifier's layers */
    uint32_t dense, out;     /* of the dense layers after pooling */
} head_hp;

/* Sizes of recurrent layers; 0 where an architecture has no use for one. */
typedef struct ssm_hp {
    uint32_t taps;     /* of the short convolution */
    uint32_t channels; /* that it runs over */
    uint32_t inner;    /* width of the recurrence's output */
    uint32_t state;    /* of each of its channels (Mamba); width of a key (linear attention) */
    uint32_t heads;    /* of inner */
    uint32_t groups;   /* heads of B and C, or of queries and keys */
    uint32_t rank;     /* of the time steps' projection (Mamba 1) */
    uint32_t proj;     /* rows of the input projection */
    bool norm_dt_b_c;  /* dt, B and C are normed without weights (Mamba 1) */
} ssm_hp;

/* Sizes of latent attention; 0 where an architecture has no use for one. */
typedef struct mla_hp {
    uint32_t lora; /* width of the latent row that is all heads' keys and values */
    uint32_t nope; /* of a head's queries and keys, the part without positions */
    uint32_t rope; /* the rest */
    uint32_t v;    /* of a head's values */
    uint32_t q_lora; /* width of the row that queries are made from; 0: the residual stream's */
    bool latent;   /* the cache holds latent rows, not keys and values of each head */
} mla_hp;

typedef struct hparams {
    uint32_t n_vocab, n_embd, n_layer, n_ctx_train;
    uint32_t n_expert, n_expert_used, n_ff_exp, n_ff_shexp;
    uint32_t n_expert_group, n_expert_group_used; /* only experts of the best groups are chosen; 0: no groups */
    uint32_t n_ple; /* width of the embeddings that each layer has of its own */
    uint32_t n_streams, laurel_rank; /* of AltUp and LAuReL */
    norm_kind norm; /* of the residual stream */
    float norm_eps;
    float attn_scale; /* of QK */
    float embd_scale, residual_scale, logit_scale; /* 1 unless the architecture says otherwise */
    float attn_out_scale; /* of what attention adds; 1 unless the architecture says otherwise */
    float clamp_kqv; /* 0: none */
    bool parallel; /* attention and feed-forward read the same x, where the metadata says so */
    float attn_softcap, final_softcap;             /* 0: none */
    float attn_temp_scale, attn_temp_floor, attn_temp_offset; /* q *= ln(floor((pos + offset) / floor) + 1) * scale + 1; 0: none */
    float expert_scale;
    float moe_scale; /* of the experts' and the shared expert's sum */
    bool expert_norm;     /* weights of the chosen experts are made to sum to 1 */
    bool expert_weigh_input; /* the weights multiply the experts' input, not their output */
    uint32_t expert_gating; /* MOE_... in blocks.h */
    rope_style rope_style;
    uint32_t rope_section[4]; /* pairs that turn by time, height, width, and (not with text) a fourth; all 0: no sections */
    bool rope_interleaved;    /* sections take turns pair by pair */
    rope_hp rope[2];
    char rope_type[16]; /* general scaling type: none, linear, yarn, longrope */
    bool causal;      /* a token sees what is before it; otherwise all of its text */
    bool ffn_silu;    /* SiLU in the feed-forward blocks, where the metadata chooses */
    bool window_both; /* windows reach window / 2 to either side */
    uint32_t n_types; /* of tokens (sentence A, sentence B) */
    head_hp head;
    ssm_hp ssm;
    mla_hp mla;
    uint32_t n_latent; /* width of what experts work on, where it is not n_embd */
    layer_hp *layer; /* [n_layer] */
} hparams;

/* The tensors of a layer, by the field's names. */
typedef struct layer_weights {
    const float *attn_norm, *attn_norm_b, *attn_post_norm, *ffn_norm, *ffn_norm_b, *ffn_post_norm;
    const float *attn_post_norm_b, *attn_post_norm_2, *attn_post_norm_2_b, *ffn_post_norm_b;
    const float *q_norm, *k_norm, *q_norm_b, *k_norm_b;
    weight wq, wk, wv, wqkv, wo;
    weight attn_gate; /* over attention's output: a row for each number of it, or for each head */
    const float *bq, *bk, *bv, *bqkv, *bo;
    const float *sinks, *slopes; /* [n_head]; slopes of ALiBi (load_alibi) */
    weight gate, up, down;
    weight gate_up; /* both in one: the rows of gate, then those of up */
    const float *gate_b, *up_b, *gate_up_b, *down_b;
    const float *attn_sub_norm, *ffn_sub_norm; /* before the output projections of attention and feed-forward */
    const float *act_scales; /* [n_ff]: what an activation without a gate is divided by (AWQ) */
    weight router;
    const float *router_b, *expert_bias;
    weight gate_exps, up_exps, down_exps, gate_up_exps;
    const float *gate_exps_b, *up_exps_b, *down_exps_b;
    weight gate_sh, up_sh, down_sh;
    const float *router_sh; /* [n_embd]: the shared expert counts sigmoid(router_sh . h) */
    /* of the later Gemmas */
    const float *router_scale, *ffn_pre_norm_2, *ffn_post_norm_1, *ffn_post_norm_2, *out_scale;
    weight ple_gate, ple_proj, laurel_l, laurel_r;
    const float *ple_post_norm, *laurel_post_norm;
    const float *altup_router, *altup_router_norm, *altup_predict_coef, *altup_correct_coef, *altup_correct_scale;
    weight latent_down, latent_up; /* before and after the experts */
    weight wq_a, wq_b, wkv_a, wk_b, wv_b, wkv_b;
    const float *q_a_norm, *kv_a_norm;
    weight ssm_f_a, ssm_f_b, ssm_g_a, ssm_g_b; /* decay and gate by way of a narrow row */
    const float *ssm_conv_k, *ssm_conv_v;
    weight ssm_in, ssm_gate, ssm_x, ssm_dt, ssm_out, ssm_beta, ssm_alpha;
    const float *ssm_conv, *ssm_conv_b; /* [channels][taps], oldest first; [channels] */
    const float *ssm_dt_b, *ssm_a, *ssm_d, *ssm_norm, *ssm_dt_norm, *ssm_b_norm, *ssm_c_norm;
} layer_weights;

typedef struct head_weights {
    weight cls, cls_out, dense_2, dense_3;
    const float *cls_b, *cls_norm, *cls_out_b, *dense_2_b;
} head_weights;

typedef struct arch arch;

typedef struct model {
    gguf *file;
    arena *mem;
    const arch *arch;
    char arch_name[64];
    hparams hp;
    weight tok_embd, output;
    weight pos_embd; /* learned positions: a session has no more than its rows */
    weight type_embd; /* of the tokens' types; a text is of the first one */
    const float *embd_norm, *embd_norm_b; /* of the embeddings */
    head_weights head;
    weight ple_embd, ple_model_proj, altup_proj, altup_unembd_proj;
    const float *ple_proj_norm;
    const float *output_norm, *output_norm_b, *output_b;
    const float *rope_freqs[3]; /* factors: [0] always, [1] long, [2] short contexts; [n_rot / 2] each */
    layer_weights *layers;              /* [n_layer] */
    bool *known;                /* [tensors of the file]: a binding names it */
    uint64_t weight_bytes;      /* of all tensors */
    uint64_t n_params;
} model;

/* A dimension in terms of the metadata. */
typedef enum dim_id {
    DIM_NONE, DIM_EMBD, DIM_VOCAB, DIM_CTX, DIM_FF, DIM_FF_EXP, DIM_FF_SHEXP, DIM_EXPERTS, DIM_2FF, DIM_2FF_EXP,
    DIM_Q,    /* n_head * dk */
    DIM_K,    /* n_head_kv * dk */
    DIM_V,    /* n_head_kv * dv */
    DIM_QKV,  /* all three */
    DIM_O,    /* n_head * dv */
    DIM_HEAD_K, DIM_HEAD_V, DIM_HEADS, DIM_HEADS_KV, DIM_ROT_HALF, DIM_ONE,
    DIM_ROT_MOST_HALF, /* of the layers that turn most */
    DIM_PLE, DIM_PLE_ALL, DIM_STREAMS, DIM_STREAMS_2 /* squared */, DIM_STREAMS_LESS_1, DIM_LAUREL,
    DIM_2Q,   /* queries and a gate for each head */
    DIM_2QKV, /* the same with keys and values */
    DIM_3EMBD,
    DIM_SSM_TAPS, DIM_SSM_CHANNELS, DIM_SSM_INNER, DIM_SSM_STATE, DIM_SSM_HEADS, DIM_SSM_2HEADS, DIM_SSM_GROUPS, DIM_SSM_RANK,
    DIM_SSM_PROJ,
    DIM_SSM_X,    /* rank + 2 state */
    DIM_SSM_HEAD, /* inner / heads */
    DIM_SSM_GROUP, /* inner / groups */
    DIM_LATENT, DIM_MLA_LORA, DIM_MLA_NOPE, DIM_MLA_V,
    DIM_MLA_KV, /* lora + rope */
    DIM_MLA_Q,  /* n_head * (nope + rope) */
    DIM_MLA_O,  /* n_head * v */
    DIM_MLA_Q_LORA,
    DIM_MLA_KV_B, /* n_head * (nope + v) */
    DIM_TYPES, DIM_HEAD_HIDDEN, DIM_HEAD_LABELS, DIM_HEAD_DENSE, DIM_HEAD_OUT,
    DIM_HEAD_LAST /* what the labels' layer reads */
} dim_id;

typedef enum bind_flag {
    BIND_OPTIONAL = 1,
    BIND_DENSE = 2,    /* only in layers without experts */
    BIND_MOE = 4,      /* only in layers with experts */
    BIND_VECTOR = 8,   /* a float vector (converted where it is not F32), otherwise a weight */
    BIND_GLOBAL = 16,  /* offset into model, not layer; the name is whole */
    BIND_SPLIT_QKV = 32,    /* only in layers without a fused attn_qkv (which its table binds before) */
    BIND_SPLIT_EXPS = 64,   /* only in layers without a fused ffn_gate_up_exps (likewise) */
    BIND_SHEXP = 128,       /* only where there are shared experts (n_ff_shexp), in layers with experts */
    BIND_OWN_KV = 256,      /* only in layers with keys and values of their own */
    BIND_WITH_QKV = 2048,   /* the opposite of BIND_SPLIT_QKV */
    BIND_RECURRENT = 4096,  /* only in layers with a recurrent state */
    BIND_ATTENTION = 8192,  /* only in layers with attention */
    BIND_FF = 16384         /* only in layers with a feed-forward block */
} bind_flag;

typedef struct binding {
    const char *name; /* "attn_q.weight" stands for "blk.N.attn_q.weight" */
    size_t offset;    /* of the slot */
    dim_id dims[3];
    unsigned flags;
} binding;

#define BIND_W(field, name, flags, ...) {name, offsetof(layer_weights, field), {__VA_ARGS__}, (flags)}
#define BIND_V(field, name, flags, ...) {name, offsetof(layer_weights, field), {__VA_ARGS__}, (flags) | BIND_VECTOR}
#define BIND_GW(field, name, flags, ...) {name, offsetof(model, field), {__VA_ARGS__}, (flags) | BIND_GLOBAL}
#define BIND_GV(field, name, flags, ...) {name, offsetof(model, field), {__VA_ARGS__}, (flags) | BIND_GLOBAL | BIND_VECTOR}

struct run;

struct arch {
    const char *name; /* general.architecture */
    bool hybrid;      /* layers may be without attention: their head_count or head_count_kv may be 0 */
    bool encoder;     /* gives embeddings and no logits */
    /* Reads what is the architecture's own; the common metadata has been read. */
    tawny_status (*load)(model *m, tawny_error *err);
    const binding *bindings; /* ends with a zeroed row */
    /* The forward pass of the batch in r, by all threads together; leaves logits (run.h). */
    void (*forward)(struct run *r);
};

const arch *arch_find(const char *name);
const arch *arch_at(size_t i); /* NULL past the last */

/* Reads the common metadata, the architecture's own, and binds all tensors. Of a file opened with GGUF_HEADER_ONLY
 * everything but the numbers is there: such a model serves planning passes (r->plan), and nothing else. */
tawny_status model_load(model *m, tawny_error *err);

/* Not so: embeddings are all it gives. */
static inline bool model_has_logits(const model *m) { return m->hp.causal && !m->arch->encoder; }

/* Checks against the metadata and binds one table (model_load does it; architectures may bind more). */
tawny_status model_bind(model *m, const binding *table, tawny_error *err);

/* Fails by name where the file has a tensor that no table names (a file without tensors has no tables bound). */
tawny_status model_check_known(const model *m, tawny_error *err);

/* Metadata under the architecture's own prefix: key "attention.head_count" is "ARCH.attention.head_count". */
tawny_status model_get_u32(const model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err);
tawny_status model_opt_u32(const model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err);
tawny_status model_get_f32(const model *m, const char *key, float min, float max, float *out, tawny_error *err);
tawny_status model_opt_f32(const model *m, const char *key, float min, float max, float *out, tawny_error *err);
tawny_status model_opt_bool(const model *m, const char *key, bool *out, tawny_error *err);
tawny_status model_get_bool(const model *m, const char *key, bool *out, tawny_error *err);
/* A value a layer (a scalar, or an array), or fallback[] where the key is missing (NULL: that is an error). */
tawny_status model_opt_per_layer(const model *m, const char *key, uint32_t max, const uint32_t *fallback, uint32_t *out, tawny_error *err);

/* The same for floats, of a key with its whole name. */
tawny_status model_f32_per_layer(const model *m, const char *key, float min, float max, const float *fallback,
                                 float *out, tawny_error *err);

/* Frequencies (radians a position) and the magnitude of each of the n_rot / 2 pairs. */
tawny_status rope_frequencies(const model *m, const rope_hp *rope, const float *factors, double *freq, float *magnitude);

#define TRY(call)                                   \
    do {                                            \
        tawny_status try_status = (call);           \
        if (try_status != TAWNY_OK) return try_status; \
    } while (0)

#endif
