/* Sessions: a timeline of tokens, its pages of the KV cache, and how prompts become batches. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

/* A recurrent state, and room for one of an earlier position. Pages are used only where they are written. */
static bool make_state(tawny_session *s)
{
    size_t n = s->engine->layout.state_floats;
    if (!n) return true;
    void *p = mmap(NULL, 2 * n * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    s->kv.state = p;
    s->saved = s->kv.state + n;
    return true;
}

static void free_parts(tawny_session *s)
{
    if (s->kv.state) munmap(s->kv.state, 2 * s->engine->layout.state_floats * sizeof(float));
    free(s->kv.page);
    free(s->tokens);
    free(s);
}

tawny_status tawny_session_new(tawny_engine *e, tawny_session **out, tawny_error *err)
{
    *out = NULL;
    if (e->live >= e->n_sessions) return err_set(err, TAWNY_E_LIMIT, "sessions: all %d of this engine exist already", e->n_sessions);
    tawny_session *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->engine = e;
    s->tokens = malloc((size_t)e->n_ctx * sizeof *s->tokens);
    s->kv.page = calloc((size_t)engine_seq_pages(e), sizeof *s->kv.page);
    if (!s->tokens || !s->kv.page || !make_state(s)) {
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
    if (s->kv.state) memcpy(f->kv.state, s->kv.state, s->engine->layout.state_floats * sizeof(float));
    f->kv.n_state = s->kv.n_state;
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

/* A recurrent state cannot go back: where tokens were dropped it is taken from the saved one, or made anew, and the
 * tokens since then are computed again. */
static tawny_status catch_up(tawny_session *s, const listener *l, tawny_error *err)
{
    size_t bytes = s->engine->layout.state_floats * sizeof(float);
    int32_t want = s->n;
    if (!s->kv.state || s->kv.n_state == want) return TAWNY_OK;
    if (s->n_saved)
        memcpy(s->kv.state, s->saved, bytes);
    else
        memset(s->kv.state, 0, bytes);
    s->n = s->kv.n_state = s->n_saved;
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

/* A prompt's last token goes alone after a recurrent state is saved: its logits may be asked for again, and the
 * next turn of a chat often differs from here on. */
static tawny_status advance_prompt(tawny_session *s, const tawny_token *tokens, int32_t n, const listener *l, tawny_error *err)
{
    if (!s->kv.state || n == 0) return advance(s, tokens, n, true, NULL, l, err);
    tawny_status st = advance(s, tokens, n - 1, false, NULL, l, err);
    if (st != TAWNY_OK) return st;
    memcpy(s->saved, s->kv.state, s->engine->layout.state_floats * sizeof(float));
    s->n_saved = s->n;
    return advance(s, tokens + n - 1, 1, true, NULL, l, err);
}

tawny_status tawny_session_sync(tawny_session *s, const tawny_token *tokens, int32_t n, tawny_progress progress, void *user, tawny_error *err)
{
    tawny_status st = check_tokens(s, tokens, n, n, err);
    if (st != TAWNY_OK) return st;
    int32_t same = 0;
    while (same < n && same < s->n && tokens[same] == s->tokens[same]) same++;
    bool have = same == n && s->n == n && s->engine->logits_of == s;
    if (same == n && n > 0 && !have) same--; /* the last token again, for its logits */
    tawny_session_truncate(s, same);
    if (have) return TAWNY_OK;
    listener l = {progress, user, n};
    st = catch_up(s, &l, err);
    return st == TAWNY_OK ? advance_prompt(s, tokens + same, n - same, &l, err) : st;
}

void tawny_session_truncate(tawny_session *s, int32_t n)
{
    if (n < 0) n = 0;
    if (n >= s->n) return;
    kv_seq_truncate(&s->engine->pool, &s->kv, n);
    s->n = n;
    if (s->n_saved > n) s->n_saved = 0;
    if (s->engine->logits_of == s) s->engine->logits_of = NULL;
}

const tawny_token *tawny_session_tokens(const tawny_session *s, int32_t *n)
{
    *n = s->n;
    return s->tokens;
}

const float *tawny_session_logits(const tawny_session *s) { return s->engine->logits_of == s ? s->logits : NULL; }
