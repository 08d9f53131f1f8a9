/* Inside the engine: what the public handles hold, and the forward driver. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "../../models/run.h"
#include "kv.h"

struct tawny_model {
    model m;
    char hash[33]; /* "" until asked for */
    uint64_t bytes_per_token;
};

struct tawny_engine {
    tawny_model *model;
    arena *mem;
    team *team;
    kv_layout layout;
    kv_pool pool;
    int32_t n_ctx, n_ubatch, n_sessions, live; /* live: sessions that exist */
    run_shared shared;
    run *runs;         /* a thread */
    uint8_t *region;   /* all buffers: shared, then each thread's, then its scratch, then logits */
    size_t region_size;
    int32_t *out_index; /* [n_ubatch] */
    const void *logits_of; /* the session whose logits the buffer holds */
};

struct tawny_session {
    tawny_engine *engine;
    kv_seq kv;
    tawny_token *tokens; /* [n_ctx] */
    int32_t n;           /* tokens, all of them in the cache */
    float *logits;       /* the row after the last token, in the engine's buffer */
    float *saved;        /* the recurrent state before the last token of a prompt, to go back to */
    int32_t n_saved;     /* tokens that it had seen; 0: none */
};

/* Runs the batch; logits of batch->out are in e->shared.logits afterwards. The spans' pages must be prepared. */
tawny_status engine_forward(tawny_engine *e, const batch *b, tawny_error *err);

int32_t engine_seq_pages(const tawny_engine *e);

#endif
