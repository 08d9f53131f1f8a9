/* tawny: large language models from GGUF files on the CPU alone.
 *
 * A model is the loaded file; a session is one timeline of tokens over it. Nothing here prints,
 * exits or aborts: a fallible function returns a tawny_status and, where err is not NULL, fills it.
 */
#ifndef TAWNY_H
#define TAWNY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default) /* the library itself is compiled with -fvisibility=hidden */
#endif

#define TAWNY_VERSION "0.1.0"

/* The version of the numerical contract: results with equal versions are equal to the last bit. */
#define TAWNY_CONTRACT 2

typedef enum tawny_status {
    TAWNY_OK = 0,
    TAWNY_E_IO,          /* the operating system refused a file */
    TAWNY_E_FORMAT,      /* data from outside is malformed */
    TAWNY_E_UNSUPPORTED, /* well-formed, but not something this build can do */
    TAWNY_E_NOMEM,
    TAWNY_E_ARG,   /* the caller asked for something impossible */
    TAWNY_E_LIMIT, /* a stated limit was passed (context full, work, depth, size) */
    TAWNY_E_CPU,   /* the CPU or the forced tier lacks what is needed */
    TAWNY_E_DAMAGED /* a mapped file changed or shrank while in use */
} tawny_status;

typedef struct tawny_error {
    tawny_status code;
    char message[500]; /* names file, field and value; printable, one line */
} tawny_error;

typedef int32_t tawny_token;

/* ---- Models: a file, mapped and validated. Immutable; may be used by several threads. ---- */

typedef struct tawny_model tawny_model;

/* Opens a GGUF file (any member of a split set). Every tensor that the architecture needs is checked against
 * the metadata before this returns. */
tawny_status tawny_model_open(const char *path, tawny_model **out, tawny_error *err);

/* How the weights come into memory. */
typedef enum tawny_load {
    TAWNY_LOAD_MMAP,      /* used where they lie in the mapped file, which all processes share */
    TAWNY_LOAD_HUGE,      /* copied into anonymous memory in huge pages, by direct I/O: the page cache holds none */
    TAWNY_LOAD_LOCK,      /* mapped, read and kept in memory (mlock); fails where the limit of the process is too low */
    TAWNY_LOAD_HUGE_LOCK, /* copied and kept */
    TAWNY_LOAD_RECACHE,   /* mapped; what the page cache holds in small pages is first read again in large ones */
    TAWNY_LOAD_AUTO       /* mapped, recache or huge, by what is left of the memory and a measurement (half a second) */
} tawny_load;

tawny_status tawny_model_open_as(const char *path, tawny_load load, tawny_model **out, tawny_error *err);
/* What was done (never AUTO); *why: the reason, where AUTO had to find one, what RECACHE came to, else "". */
tawny_load tawny_model_loaded(const tawny_model *m, const char **why);
const char *tawny_load_name(tawny_load load);              /* "mmap", "huge", "lock", "huge+lock", "recache", "auto" */
bool tawny_load_parse(const char *name, tawny_load *load); /* false: unknown */

void tawny_model_close(tawny_model *m); /* after its engines; NULL is fine */

const char *tawny_model_arch(const tawny_model *m);      /* general.architecture */
int32_t tawny_model_n_vocab(const tawny_model *m);
int32_t tawny_model_n_embd(const tawny_model *m);
int32_t tawny_model_n_layer(const tawny_model *m);
int32_t tawny_model_n_ctx_train(const tawny_model *m);   /* positions it was trained for */
uint64_t tawny_model_n_params(const tawny_model *m);
uint64_t tawny_model_bytes(const tawny_model *m);        /* of all weights */
/* Bytes of weights that decoding one token reads: of the experts, those that a token uses. */
uint64_t tawny_model_bytes_per_token(const tawny_model *m);
/* XXH3-128 over the architecture's metadata and all tensors (name, type, shape, data), independent of how the
 * file is split. Reads the whole file the first time. hex: 33 bytes. */
tawny_status tawny_model_hash(tawny_model *m, char hex[33], tawny_error *err);

/* ---- Engines: threads, buffers and a KV cache for sessions over one model. One caller at a time. ---- */

typedef struct tawny_engine tawny_engine;

/* Types of the KV cache, by llama.cpp's names. The quantized ones store 8.5 and 4.5 bits an element and want heads of
 * whole blocks of 32 (TAWNY_E_UNSUPPORTED otherwise). */
typedef enum tawny_kv_type { TAWNY_KV_F16, TAWNY_KV_F32, TAWNY_KV_BF16, TAWNY_KV_Q8_0, TAWNY_KV_Q4_0, TAWNY_KV_TYPES } tawny_kv_type;
const char *tawny_kv_type_name(tawny_kv_type t); /* "f16"; NULL for a number that is no type */

/* A matrix product from outside: y[c ldy + r] = sum over i < k of w[r ldw + i] x[c ldx + i], for r < rows, c < cols.
 * Called by several threads at once. */
typedef void (*tawny_gemm)(int rows, int cols, int k, const float *w, int ldw, const float *x, int ldx, float *y,
                           int ldy);

typedef struct tawny_engine_params {
    int32_t n_threads;  /* 0: the physical cores */
    int32_t n_ctx;      /* positions a session can have; 0: what the model was trained for */
    int32_t n_sessions; /* at most so many at once; 0: 1 */
    int32_t n_ubatch;   /* tokens computed together at most; 0: 512 */
    tawny_kv_type type_k, type_v;
    /* Bits of the activations that quantized weights are multiplied with: 8, or 16 (two planes of 8), which is
     * as good as F32 and doubles the arithmetic. 0: 16 for models of up to 256 MiB of weights, where arithmetic is
     * cheap and errors show most, else 8. Part of what makes the bits of a result. */
    int32_t act_bits;
    bool no_pin;        /* leave the threads to the scheduler */
    uint64_t prefix_bytes; /* memory at most for pasts that tawny_session_keep leaves behind; 0: none are kept */
    /* For F32, F16 and BF16 weights in prefill. NULL: tawny's own, which alone keep the contract: with another one bits
     * differ between machines, and fingerprints mean nothing beyond this one. */
    tawny_gemm gemm;
} tawny_engine_params;

tawny_status tawny_engine_new(tawny_model *m, const tawny_engine_params *params, tawny_engine **out, tawny_error *err);
void tawny_engine_free(tawny_engine *e); /* after its sessions */
int32_t tawny_engine_n_threads(const tawny_engine *e);
int32_t tawny_engine_n_ctx(const tawny_engine *e);
int32_t tawny_engine_n_ubatch(const tawny_engine *e); /* the most tokens of a step */
uint64_t tawny_engine_kv_bytes(const tawny_engine *e, int32_t n_tokens); /* of the cache that so many positions fill */
int32_t tawny_engine_act_bits(const tawny_engine *e);                   /* 8 or 16 */
const char *tawny_engine_tier(const tawny_engine *e);                    /* "scalar", "avx2", "avx512" */

/* ---- Sessions: one timeline of tokens. ---- */

typedef struct tawny_session tawny_session;

tawny_status tawny_session_new(tawny_engine *e, tawny_session **out, tawny_error *err);
void tawny_session_free(tawny_session *s);
/* A second timeline with the same past; full pages of the cache are shared. */
tawny_status tawny_session_fork(const tawny_session *s, tawny_session **out, tawny_error *err);

/* Called between chunks of a long prompt with the tokens done and wanted; false stops with TAWNY_E_LIMIT. */
typedef bool (*tawny_progress)(void *user, int32_t done, int32_t total);

/* Makes the timeline equal to these tokens: keeps the common prefix, drops the rest, computes what is new.
 * Afterwards tawny_session_logits holds the logits after the last token. */
tawny_status tawny_session_sync(tawny_session *s, const tawny_token *tokens, int32_t n, tawny_progress progress, void *user,
                                tawny_error *err);

/* Appends tokens. all, where not NULL, receives the logits after each of them: [n][n_vocab]. */
tawny_status tawny_session_append(tawny_session *s, const tawny_token *tokens, int32_t n, float *all, tawny_error *err);

/* Forgets what came after the first n tokens. */
void tawny_session_truncate(tawny_session *s, int32_t n);

/* Keeps the longest past that is a prefix of these tokens and can be gone on from at once, drops the rest, and returns
 * its length: the tokens from there on are to be computed. That is all of them but the last at most, or n where
 * tawny_session_logits already holds the logits after the last. (Attention can go back anywhere; a recurrent
 * state to its checkpoints alone.) Where the engine's cache of prefixes has a longer one, the session goes on from that. */
int32_t tawny_session_reuse(tawny_session *s, const tawny_token *tokens, int32_t n);

/* Where the session stands, with its logits, becomes a point that it can come back to at once: worth it at the end of
 * a prompt. Two are kept. Does nothing without logits, or where any point is such. tawny_session_sync does it. */
void tawny_session_checkpoint(tawny_session *s);

/* For those who append tokens that they may drop again, as guesses: where the session stands becomes a point that it can come
 * back to at once, without logits. One is kept. */
void tawny_session_mark(tawny_session *s);
/* Forgets what came after the first n tokens, and of these what has to be computed again for a recurrent state, which goes
 * back to the last point that was marked or saved. Returns how many are left. */
int32_t tawny_session_go_back(tawny_session *s, int32_t n);

/* Leaves the session's past, as it is now, to the engine's cache of prefixes, where any session finds it in
 * tawny_session_reuse, and begins with the same bits as if it had computed it. Pages of the KV cache are shared, not copied.
 * Attention can go on from any part of a past; a recurrent state only from where it was kept, for which this makes a
 * checkpoint. The least recently used pasts give way. Does nothing where the engine has no such cache. */
void tawny_session_keep(tawny_session *s);
/* Drops from the cache of prefixes what no other past than this session's has. */
void tawny_session_forget(const tawny_session *s);

typedef struct tawny_prefix_stats {
    uint64_t bytes, most_bytes;     /* in use, and at most */
    uint64_t hits, tokens, evicted; /* sessions that began with a past from there, with so many tokens; blocks that gave way */
    int32_t blocks;                 /* of 64 tokens at most */
} tawny_prefix_stats;
tawny_prefix_stats tawny_engine_prefix_stats(const tawny_engine *e); /* all 0: there is no such cache */

const tawny_token *tawny_session_tokens(const tawny_session *s, int32_t *n);
/* [n_vocab], after the last token computed; valid until the engine computes again. NULL where there is none. */
const float *tawny_session_logits(const tawny_session *s);

/* ---- Sessions in files: the tokens with what was computed of them, for the same model, types of cache and activations. ---- */

typedef tawny_status (*tawny_write)(void *user, const void *data, size_t n, tawny_error *err);
typedef tawny_status (*tawny_read)(void *user, void *data, size_t n, tawny_error *err); /* all n bytes, or an error */

/* The session as bytes, which end with their checksum (XXH3-128). The same session gives the same bytes. Hashes the model,
 * which takes its time for the first time. */
tawny_status tawny_session_save(const tawny_session *s, tawny_write write, void *user, tawny_error *err);
/* The session becomes the one that was saved, and goes on with the same bits. What is damaged, of another model or engine, or
 * longer than the context fails, with `name` in the message, and leaves the session as it was: any bytes may come. Bytes that
 * follow are not read. Until it has ended the cache needs pages for both. */
tawny_status tawny_session_load(tawny_session *s, const char *name, tawny_read read, void *user, tawny_error *err);

/* ---- Embeddings: what a model makes of whole texts. No session is needed. ---- */

/* How the embeddings of a text's tokens, which are the hidden states after the final norm, become one. */
typedef enum tawny_pooling {
    TAWNY_POOLING_MODEL, /* as the model's file says (pooling_type); none where it says nothing */
    TAWNY_POOLING_NONE,  /* not at all: one for each token */
    TAWNY_POOLING_MEAN,
    TAWNY_POOLING_CLS,   /* that of the first token */
    TAWNY_POOLING_LAST,  /* that of the last token */
    TAWNY_POOLING_RANK   /* the scores of the model's classifier: of a reranker, how well a document answers a query */
} tawny_pooling;

tawny_pooling tawny_model_pooling(const tawny_model *m);     /* what TAWNY_POOLING_MODEL stands for */
bool tawny_model_embeds_only(const tawny_model *m);          /* it gives no logits: sessions are refused */
/* Numbers in an embedding: n_embd, unless the model has dense layers that change it; with RANK the classifier's labels, 0
 * where there is no classifier. */
int32_t tawny_model_n_embd_out(const tawny_model *m, tawny_pooling p);

typedef struct tawny_text {
    const tawny_token *tokens; /* with what the model wants before and after them, as [CLS] and [SEP] */
    int32_t n;                 /* 1 to tawny_engine_n_ctx: longer texts fail with TAWNY_E_LIMIT, nothing is cut off */
} tawny_text;

/* The embeddings of n texts, not normalized: out is [n][tawny_model_n_embd_out], or, with NONE, that for each token, one
 * text after the other. Texts share forward passes, up to 512 tokens; the bits are those that each would get alone. Models
 * whose tokens see the whole text compute it in one pass (n_ctx is 32768 at most there unless the parameters say more, n_ubatch
 * follows it, and keys and values are always F32); others go chunk by chunk. The cache's pages that this takes are given
 * back at the end; live sessions may leave too few (TAWNY_E_LIMIT). */
tawny_status tawny_engine_embed(tawny_engine *e, const tawny_text *texts, int32_t n, tawny_pooling p, float *out, tawny_error *err);

/* Scales x [n] as llama.cpp's --embd-normalize does: -1 not at all, 0 to a largest magnitude of 32760, 1 to a sum of
 * magnitudes of 1, 2 to a length of 1, higher ones to a p-norm of 1. All zeros stay zeros. */
void tawny_embedding_normalize(float *x, int32_t n, int32_t norm);

/* ---- Steps: one pass over the weights for several sessions. ---- */

typedef struct tawny_step {
    tawny_session *session;
    const tawny_token *tokens; /* to append */
    int32_t n;                 /* at least 1 */
    int32_t n_logits;          /* of how many of them, the last ones, logits are wanted: 0 to n */
    const float *logits;       /* out: [n_logits][n_vocab] or NULL, valid until the engine computes again */
} tawny_step;

/* Appends tokens to several sessions of this engine in one forward pass: next tokens of some, chunks of the prompts of
 * others, tokens to verify of a third; at most n_ubatch tokens in all, each session once. The bits are those
 * that each session would get alone. Where it fails, all sessions are as they were. A recurrent state that was left
 * behind by tawny_session_truncate is first brought up, in passes of its own: tawny_session_reuse avoids that. */
tawny_status tawny_engine_step(tawny_engine *e, tawny_step *items, int32_t n_items, tawny_error *err);

/* ---- Fingerprints: XXH3-128 over contract version, model hash and the bits of logits. ---- */

typedef struct tawny_fingerprint tawny_fingerprint;
tawny_status tawny_fingerprint_new(tawny_model *m, tawny_fingerprint **out, tawny_error *err);
void tawny_fingerprint_free(tawny_fingerprint *f);
void tawny_fingerprint_add(tawny_fingerprint *f, const float *logits, size_t n);
void tawny_fingerprint_hex(const tawny_fingerprint *f, char hex[33]);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
