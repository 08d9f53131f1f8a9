/* Inside the engine: what the public handles hold, and the forward driver. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdatomic.h>

#include "../../models/run.h"
#include "prefix.h"

struct tawny_model {
    model m;
    char hash[33]; /* "" until asked for */
    _Atomic bool hash_stopped;
    uint64_t bytes_per_token;
    tawny_load load;    /* as it was done; why, where that was to be found out */
    char load_why[240];
};

struct tawny_engine {
    tawny_model *model;
    arena *mem;
    team *team;
    kv_layout layout;
    kv_pool pool;
    prefix_cache *prefixes; /* NULL: none are kept */
    int32_t n_ctx, n_ubatch, n_sessions, live; /* live: sessions that exist */
    run_shared shared;
    run *runs;         /* a thread */
    uint8_t *region;   /* all buffers: shared, then each thread's, then its scratch, then logits */
    size_t region_size;
    int32_t *out_index; /* [n_ubatch] */
    tawny_token *tokens; /* [n_ubatch], of a step */
    span *spans;         /* [n_sessions] */
    uint64_t passes;     /* forward passes begun: what the buffers hold is of the last */
    uint64_t checks;     /* of steps: which sessions were seen in this one */
};

/* A recurrent state at the end of a prompt, with the logits there. */
enum { SESSION_SAVED = 2 };
typedef struct saved_state {
    float *state, *logits;
    int32_t n; /* tokens that it has seen; 0: none */
} saved_state;

struct tawny_session {
    tawny_engine *engine;
    kv_seq kv;
    tawny_token *tokens; /* [n_ctx] */
    int32_t n;           /* tokens, all of them in the cache */
    const float *logits; /* the row after the last token, in the engine's buffer or in a saved state; NULL: none */
    uint64_t pass, check; /* of the engine's: when logits was set, when a step last had this session */
    saved_state saved[SESSION_SAVED];
    saved_state mark; /* without logits */
};

/* Texts that share a batch of embeddings; the longest text that is seen whole unless more is asked for. */
enum { ENGINE_TEXTS = 64, ENGINE_WHOLE_TEXT = 32768 };

/* A hash that is being computed in another thread, or will be, fails: before the model is closed. */
void tawny_model_hash_stop(tawny_model *m);

/* Runs the batch; logits (or embeddings) of batch->out are in e->shared.logits (or .embd) afterwards. The spans' pages
 * must be prepared. */
tawny_status engine_forward(tawny_engine *e, const batch *b, tawny_error *err);

/* Brings the weights of a model that was just opened, and not yet bound, into memory. */
tawny_status engine_load(tawny_model *m, tawny_load load, tawny_error *err);

int32_t engine_seq_pages(const tawny_engine *e);

/* A model without its data, whose header alone is read: for engine_estimate and questions of size. */
tawny_status engine_open_header(const char *path, tawny_model **out, tawny_error *err);

/* The same, and data for its tensors from elsewhere (gguf_place), before they are bound. */
typedef struct engine_placer {
    void (*call)(void *user, gguf *g);
    void *user;
} engine_placer;
tawny_status engine_open_placed(const char *path, const engine_placer *place, tawny_model **out, tawny_error *err);

/* What an engine with these parameters would take, without making it. */
typedef struct engine_estimate {
    kv_layout kv;      /* kv.layer is NULL: sizes alone */
    size_t seq_pages;  /* of a session with a full context */
    size_t buffers;    /* bytes of all threads' buffers and of logits for one token, at the largest batch */
    size_t scratch;    /* of kernels, of all threads: used in part */
    int32_t n_threads, n_ctx, act_bits;
} engine_estimate;
tawny_status engine_estimate_of(tawny_model *m, const tawny_engine_params *p, engine_estimate *out, tawny_error *err);

/* tawny_engine_step for items that are checked and whose recurrent states stand at their sessions' ends (step.c). */
tawny_status engine_step(tawny_engine *e, tawny_step *items, int32_t n_items, tawny_error *err);
/* Tokens of the model, and room for them in the session's context after so many others. */
tawny_status session_check(const tawny_session *s, const tawny_token *tokens, int32_t n, int32_t past,
                           tawny_error *err);
/* Brings a recurrent state to where the session stands: tokens since a saved one are computed again. */
tawny_status session_catch_up(tawny_session *s, tawny_error *err);

/* A session that does not count among the engine's n_sessions: one that is there for a moment. */
tawny_status session_make(tawny_engine *e, tawny_session **out, tawny_error *err);
void session_unmake(tawny_session *s); /* NULL is fine */

/* Recurrent states (state.c); all do nothing where a model has none. A state cannot go back: where tokens are dropped it
 * is taken from a saved one, or made anew. Pages are used only where they are written. */
bool state_new(tawny_session *s);
void state_free(tawny_session *s);
void state_copy(tawny_session *to, const tawny_session *from);      /* and what it saved */
void state_save(tawny_session *s);                                 /* at s->n, whose logits are there; the oldest gives way */
void state_mark(tawny_session *s);                                 /* at s->n */
const saved_state *state_find(const tawny_session *s, int32_t n);  /* the last one of at most n tokens, or NULL */
size_t state_saved_bytes(const tawny_engine *e);                   /* of a saved one, its logits after it; 0: the model has none */
void state_take(tawny_session *s, const void *saved);              /* of s->n tokens; forgets all others */
int32_t state_go_back(tawny_session *s);                           /* to the last point of at most s->n tokens: its n */
void state_truncate(tawny_session *s, int32_t n);                  /* forgets those of more than n tokens */

#endif
