/* Sessions: a timeline of tokens, its pages of the KV cache, and how prompts become batches. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static void free_parts(tawny_session *s)
{
    state_free(s);
    free(s->kv.page);
    free(s->tokens);
    free(s);
}

tawny_status tawny_session_new(tawny_engine *e, tawny_session **out, tawny_error *err)
{
    *out = NULL;
    if (!model_has_logits(&e->model->m))
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: a model of architecture %s that gives embeddings, not logits",
                       gguf_path(e->model->m.file), e->model->m.arch_name);
    if (e->live >= e->n_sessions) return err_set(err, TAWNY_E_LIMIT, "sessions: all %d of this engine exist already", e->n_sessions);
    tawny_session *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->engine = e;
    s->tokens = malloc((size_t)e->n_ctx * sizeof *s->tokens);
    s->kv.page = calloc((size_t)engine_seq_pages(e), sizeof *s->kv.page);
    if (!s->tokens || !s->kv.page || !state_new(s)) {
        free_parts(s);
        return err_nomem(err);
    }
    e->live++;
    *out = s;
    return TAWNY_OK;
}

void tawny_session_free(tawny_session *s)
{
    if (!s) return;
    kv_seq_truncate(&s->engine->pool, &s->kv, 0);
    s->engine->live--;
    if (s->engine->logits_of == s) s->engine->logits_of = NULL;
    free_parts(s);
}

tawny_status tawny_session_fork(const tawny_session *s, tawny_session **out, tawny_error *err)
{
    tawny_status st = tawny_session_new(s->engine, out, err);
    if (st != TAWNY_OK) return st;
    tawny_session *f = *out;
    memcpy(f->tokens, s->tokens, (size_t)s->n * sizeof *s->tokens);
    f->n = s->n;
    kv_seq_share(&s->engine->pool, &f->kv, &s->kv);
    state_copy(f, s);
    return TAWNY_OK;
}

static tawny_status check_tokens(const tawny_session *s, const tawny_token *tokens, int32_t n, int32_t total, tawny_error *err)
{
    int32_t n_vocab = tawny_model_n_vocab(s->engine->model);
    if (n < 0) return err_set(err, TAWNY_E_ARG, "tokens: a count of %d", n);
    if (total > s->engine->n_ctx)
        return err_set(err, TAWNY_E_LIMIT, "the context holds %d tokens, the prompt and answer want %d", s->engine->n_ctx, total);
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return err_set(err, TAWNY_E_ARG, "tokens: %d at index %d is not from 0 to %d", tokens[i], i, n_vocab - 1);
    return TAWNY_OK;
}

/* One batch of consecutive tokens; logits of the last, or of all. */
static tawny_status step(tawny_session *s, const tawny_token *tokens, int32_t n, bool last, float *all, tawny_error *err)
{
    tawny_engine *e = s->engine;
    size_t n_vocab = e->model->m.hp.n_vocab;
    tawny_status st = kv_seq_prepare(&e->pool, &s->kv, engine_seq_pages(e), s->n, n, err);
    if (st != TAWNY_OK) return st;
    span sp = {.seq = &s->kv, .from = 0, .n = n, .pos = s->n};
    int32_t only = n - 1, *out = &only;
    batch b = {.n = n, .token = tokens, .spans = &sp, .n_spans = 1, .n_out = last ? 1 : 0};
    if (all) {
        for (int32_t i = 0; i < n; i++) e->out_index[i] = i;
        out = e->out_index;
        b.n_out = n;
    }
    b.out = out;
    s->kv.n_state = -1;
    st = engine_forward(e, &b, err);
    if (st != TAWNY_OK) return st;
    memmove(s->tokens + s->n, tokens, (size_t)n * sizeof *tokens);
    s->n += n;
    s->kv.n_tokens = s->kv.n_state = s->n;
    if (all) memcpy(all, e->shared.logits, (size_t)n * n_vocab * sizeof *all);
    s->logits = b.n_out ? e->shared.logits + (size_t)(b.n_out - 1) * n_vocab : NULL;
    e->logits_of = b.n_out ? s : NULL;
    return TAWNY_OK;
}

/* Who is told how far a prompt is, and of how many tokens. */
typedef struct listener {
    tawny_progress tell;
    void *user;
    int32_t total;
} listener;

/* Tokens chunk by chunk; last: the logits of the last one are wanted. */
static tawny_status advance(tawny_session *s, const tawny_token *tokens, int32_t n, bool last, float *all, const listener *l,
                            tawny_error *err)
{
    int32_t chunk = s->engine->n_ubatch;
    size_t n_vocab = s->engine->model->m.hp.n_vocab;
    for (int32_t done = 0; done < n;) {
        int32_t m = n - done < chunk ? n - done : chunk;
        tawny_status st = step(s, tokens + done, m, last && done + m == n, all ? all + (size_t)done * n_vocab : NULL, err);
        if (st != TAWNY_OK) return st;
        done += m;
        if (l->tell && !l->tell(l->user, s->n, l->total))
            return err_set(err, TAWNY_E_LIMIT, "stopped after %d of %d tokens", s->n, l->total);
    }
    return TAWNY_OK;
}

/* Brings a recurrent state to where the session stands: tokens since a saved one are computed again. */
static tawny_status catch_up(tawny_session *s, const listener *l, tawny_error *err)
{
    int32_t want = s->n;
    if (!s->kv.state || s->kv.n_state == want) return TAWNY_OK;
    s->n = state_go_back(s);
    kv_seq_truncate(&s->engine->pool, &s->kv, s->n);
    return advance(s, s->tokens + s->n, want - s->n, false, NULL, l, err);
}

tawny_status tawny_session_append(tawny_session *s, const tawny_token *tokens, int32_t n, float *all, tawny_error *err)
{
    tawny_status st = check_tokens(s, tokens, n, s->n + n, err);
    listener l = {.total = s->n + n};
    if (st == TAWNY_OK && n > 0) st = catch_up(s, &l, err);
    return st == TAWNY_OK ? advance(s, tokens, n, true, all, &l, err) : st;
}

/* The end of a prompt that was computed before, its logits with it. */
static bool go_back(tawny_session *s, int32_t n)
{
    const saved_state *to = s->kv.state ? state_find(s, n) : NULL;
    if (!to || to->n != n) return false;
    tawny_session_truncate(s, n);
    if (s->kv.n_state != n) state_go_back(s);
    s->logits = to->logits;
    s->engine->logits_of = s;
    return true;
}

tawny_status tawny_session_sync(tawny_session *s, const tawny_token *tokens, int32_t n, tawny_progress progress, void *user, tawny_error *err)
{
    enum { WORTH_SAVING = 16 };
    tawny_status st = check_tokens(s, tokens, n, n, err);
    if (st != TAWNY_OK) return st;
    int32_t same = 0;
    while (same < n && same < s->n && tokens[same] == s->tokens[same]) same++;
    if (same == n && s->n == n && s->engine->logits_of == s) return TAWNY_OK;
    if (same == n && go_back(s, n)) return TAWNY_OK;
    if (same == n && n > 0) same--; /* the last token again, for its logits */
    tawny_session_truncate(s, same);
    listener l = {progress, user, n};
    st = catch_up(s, &l, err);
    if (st == TAWNY_OK) st = advance(s, tokens + same, n - same, true, NULL, &l, err);
    if (st == TAWNY_OK && s->kv.state && n - same >= WORTH_SAVING) state_save(s);
    return st;
}

void tawny_session_truncate(tawny_session *s, int32_t n)
{
    if (n < 0) n = 0;
    if (n >= s->n) return;
    kv_seq_truncate(&s->engine->pool, &s->kv, n);
    s->n = n;
    state_truncate(s, n);
    if (s->engine->logits_of == s) s->engine->logits_of = NULL;
}

const tawny_token *tawny_session_tokens(const tawny_session *s, int32_t *n)
{
    *n = s->n;
    return s->tokens;
}

const float *tawny_session_logits(const tawny_session *s) { return s->engine->logits_of == s ? s->logits : NULL; }
