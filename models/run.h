/* The forward pass at run time: what every thread of the team carries through it, and the operations.
 *
 * All threads run the same forward function. An operation takes its share of the work by thread number and
 * ends where its result may be used by all. There are two kinds of buffers, both [n tokens][dim] floats:
 *
 *   row buffers   written by operations that share out rows or heads (matmul, attention): one for the team
 *   token buffers written by operations that share out tokens (norms, sums, RoPE). With few tokens
 *                 (r->local) every thread computes all of them in a buffer of its own, which costs less than
 *                 a barrier; otherwise one for the team, tokens shared out, and a barrier.
 *
 * Buffers are taken in the same order by all threads, so all agree on the addresses; a planning pass
 * (r->plan) with the largest batch measures what is needed, and nothing is allocated later. */
#ifndef MODELS_RUN_H
#define MODELS_RUN_H

#include "../src/base/team.h"
#include "kv.h"

enum {
    RUN_LOCAL = 4,     /* batches of up to so many tokens use token buffers a thread */
    RUN_CHUNK = 8,     /* pages merged as one unit of attention: 512 positions */
    RUN_MAX_JOBS = 4
};

/* Consecutive tokens of one sequence in a batch. */
typedef struct span {
    kv_seq *seq;
    int from, n;   /* tokens from .. from + n - 1 of the batch */
    int32_t pos;   /* of the first */
} span;

typedef struct batch {
    int n;
    const tawny_token *token;
    const span *spans;
    int n_spans;
    const int32_t *out; /* tokens whose logits are wanted, ascending */
    int n_out;
    bool embed;         /* not logits but embeddings of them are: the hidden states, normed */
    const struct head_job *head; /* not NULL: no forward pass, but this (head.h) */
} batch;

/* Called in thread 0 with the values of an intermediate result, [n][dim]. */
typedef void (*run_probe)(void *user, const char *name, int layer, const float *values, int n, int64_t dim);

/* What the team shares during a forward pass. */
typedef struct run_shared {
    const model *model;
    const kv_layout *kv;
    team *team;
    const batch *batch;
    uint8_t *buffers;         /* shared region */
    size_t buffers_size;
    float *logits;            /* [n_out][n_vocab] */
    float *embd;              /* [n_out][n_embd] */
    int32_t n_ctx;            /* positions a sequence can have */
    int planes;               /* of activations: 1 (8 bits) or 2 (16 bits); the output matrix always has 2 */
    const double *rope_freq[2]; /* [n_rot / 2] */
    float rope_mag[2];
    tawny_gemm gemm;          /* of float weights and many columns; NULL: the tiles */
    run_probe probe;
    void *probe_user;
} run_shared;

/* What each thread carries. */
typedef struct run {
    const model *m;
    run_shared *sh;
    const batch *b;
    int n;            /* tokens of the batch */
    int tid, threads;
    bool local, plan;
    uint8_t *own;     /* this thread's region */
    size_t own_size, own_at, own_peak, shared_at, shared_peak;
    void *scratch;    /* SIMD_SCRATCH bytes for kernels */
    const float *rope_table[2]; /* [n][n_rot] cos, sin pairs; NULL until made */
} run;

float *run_rows(run *r, int64_t dim);  /* a row buffer */
float *run_tokens(run *r, int64_t dim); /* a token buffer */
/* bytes of either kind for n items, for what is not floats a token */
void *run_shared_bytes(run *r, size_t bytes);
void *run_token_bytes(run *r, size_t bytes);
void *run_own_bytes(run *r, size_t bytes); /* this thread's alone */

typedef struct run_mark {
    size_t own, shared;
} run_mark;
run_mark run_mark_at(const run *r);
void run_release(run *r, run_mark mark);

void run_barrier(run *r);
/* This thread's share of n tokens (all of them when local). */
void run_share(const run *r, int n, int *from, int *to);
/* After writing token buffers: a barrier unless local. */
void run_tokens_done(run *r);
void run_probe_at(run *r, const char *name, int layer, const float *values, int n, int64_t dim);

/* Activations as kernels read them: one plane of int8, or two, the second of what the first left over
 * (16 bits); F32 formats read the floats themselves. */
typedef struct run_acts {
    int planes, n;
    simd_act act; /* n columns, then those of the second plane */
} run_acts;

/* Quantizes x [n][k] for the weight w (token bytes). The caller calls run_tokens_done before they are used. */
void run_quantize(run *r, run_acts *a, const weight *w, const float *x, int n);
typedef enum glu { GLU_SILU, GLU_GELU, GLU_GELU_TANH, GLU_RELU, GLU_RELU2, GLU_SWIGLU_OAI } glu;

/* Some rows of w times some columns of x, plus bias: y[y_index[c] * ldy + i] is row `row + i`, column x_index[c] (an index
 * that is NULL: c itself). bias has all rows of w. */
typedef struct run_part {
    const weight *w;
    int64_t row, rows;
    const run_acts *x;
    const int32_t *x_index;
    int cols;
    float *y;
    const int32_t *y_index;
    size_t ldy;
    const float *bias;
    const weight *next; /* what this thread most likely reads after it, from row next_row on; or NULL */
    int64_t next_row;
} run_part;

/* Memory for products with up to n columns; this thread's. */
typedef struct run_space {
    float *planes, *glu;
    size_t most; /* outputs that fit into half of glu */
} run_space;
run_space run_product_space(run *r, int n);
run_space run_glu_space(run *r, int n);
void run_product(run *r, const run_part *p, const run_space *space);
/* act(gate) * up to gate->y, or act(gate) where up is NULL; limit: as op_matmul_glu_limited. Space of run_glu_space. */
void run_glu(run *r, const run_part *gate, const run_part *up, glu act, float limit, const run_space *space);
/* What is read after p: this thread's next unit of the same matrix, or, after the last, the matrix `then` (or NULL). */
void run_read_next(const run *r, run_part *p, const weight *then);
/* b is read after a, and then what was to come after a. */
void run_read_first(run_part *a, run_part *b);
/* Rows a unit of work, for products with so many columns. */
int64_t run_unit_rows(const run *r, const weight *w, int cols);
/* By run_shared.gemm, where there is one and it fits: how many rows at once (0: not at all); false: not done. */
int64_t run_gemm_rows(const run *r, const weight *w, int cols);
bool run_gemm(run *r, const weight *w, const simd_tile *t);

/* y[n][w->rows] = W x (+ bias). x is any buffer [n][w->k]; y a row buffer. Ends with a barrier. */
void op_matmul(run *r, float *y, const weight *w, const float *bias, const float *x);

/* y[n][heads][w->rows] = W[head] x[n][heads][w->k]: a matrix a head, w is their stack. y a row buffer. Ends with a barrier. */
void op_matmul_heads(run *r, float *y, const weight *w, const float *x);

/* Several matrices over the same x in one pass, or gate and up with their product: */
typedef struct job {
    const weight *w;
    const float *bias;
    float *y;
} job;
void op_matmul_jobs(run *r, const job *jobs, int n_jobs, const float *x);

/* GLU_SWIGLU_OAI: g sigmoid(1.702 g) (u + 1) with g <= 7, |u| <= 7 (gpt-oss). */
/* y = act(gate x) * (up x); both have the same rows. Result in gate->y. Without up (NULL): act(gate x). */
void op_matmul_glu(run *r, const job *gate, const job *up, glu act, const float *x);
/* The same with silu(gate x) at most `limit` and up x in -limit .. limit (0: without limits). */
void op_matmul_glu_limited(run *r, const job *gate, const job *up, glu act, float limit, const float *x);

/* x (token buffer [n][n_embd]) = the tokens' embeddings, with the positions' and normed where the model has those. */
void op_embed(run *r, float *x);
void op_rms_norm(run *r, float *y, const float *x, const float *w, int64_t dim, float eps);
/* The norm of each of n_vec vectors of dim in a token's row (QK norm). y may be x only if it is a token buffer. */
void op_rms_norm_heads(run *r, float *y, const float *x, const float *w, int64_t n_vec, int64_t dim, float eps);
/* The layer norm of each of n_vec vectors; w is [dim] or, with `each`, [n_vec][dim]; w and b may be NULL. */
void op_layer_norm_heads(run *r, float *y, const float *x, const float *w, const float *b, int64_t n_vec, int64_t dim, bool each,
                         float eps);
/* The model's kind of norm over the residual stream's width. */
void op_norm(run *r, float *y, const float *x, const float *w, const float *b);
void op_add(run *r, float *y, const float *a, const float *b, int64_t dim); /* y a token buffer */
/* y += a * sigmoid(w . h), y a token buffer */
void op_add_gated(run *r, float *y, const float *a, const float *w, const float *h, int64_t dim);
void op_mul_vector(run *r, float *y, const float *a, const float *w, int64_t dim); /* y = a * w, w [dim] */
void op_div_vector(run *r, float *y, const float *a, const float *w, int64_t dim); /* y = a / w, w [dim] */
void op_clamp(run *r, float *y, const float *a, float limit, int64_t dim);         /* to -limit .. limit */
void op_scale(run *r, float *y, const float *a, float s, int64_t dim);
void op_copy(run *r, float *y, const float *a, int64_t dim); /* y a token buffer */

/* The tables of cos and sin for the batch's positions; once a forward pass, before op_rope. */
void op_rope_table(run *r);
/* Rotates the first n_rot of each of n_head vectors of dim d; x a token buffer, in place. */
void op_rope(run *r, float *x, uint32_t il, int64_t n_head, int64_t d);
/* Multiplies queries by the temperature of their position (hp.attn_temp_scale). */
void op_attn_temperature(run *r, float *q, int64_t dim);

/* k [n][n_head_kv * dk], v [n][n_head_kv * dv] into the cache. Ends with a barrier. */
void op_kv_store(run *r, uint32_t il, const float *k, const float *v);

typedef struct attn_spec {
    float scale, softcap;
    const float *sinks;  /* [n_head] or NULL */
    const float *slopes; /* [n_head] ALiBi, or NULL */
} attn_spec;
/* out: a row buffer [n][n_head * dv]; q [n][n_head * dk]. Ends with a barrier. */
void op_attention(run *r, uint32_t il, float *out, const float *q, const attn_spec *s);

/* The logits of the wanted tokens: final norm, output matrix, scale, softcap. Where embeddings are wanted: those. */
void op_logits(run *r, const float *x);
/* The embeddings of the wanted tokens: x, or the final norm of it. */
void op_embeddings(run *r, const float *x, bool norm);

#endif
