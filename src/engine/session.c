/* Sessions: a timeline of tokens, its pages of the KV cache, and how prompts become steps. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

void session_unmake(tawny_session *s)
{
    if (!s) return;
    kv_seq_truncate(&s->engine->pool, &s->kv, 0);
    state_free(s);
    free(s->kv.page);
    free(s->tokens);
    free(s);
}

tawny_status session_make(tawny_engine *e, tawny_session **out, tawny_error *err)
{
    tawny_session *s = *out = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->engine = e;
    s->tokens = malloc((size_t)e->n_ctx * sizeof *s->tokens);
    s->kv.page = calloc((size_t)engine_seq_pages(e), sizeof *s->kv.page);
    if (s->tokens && s->kv.page && state_new(s)) return TAWNY_OK;
    session_unmake(s);
    *out = NULL;
    return err_nomem(err);
}

tawny_status tawny_session_new(tawny_engine *e, tawny_session **out, tawny_error *err)
{
    *out = NULL;
    if (!model_has_logits(&e->model->m))
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: a model of architecture %s that gives embeddings, not logits",
                       gguf_path(e->model->m.file), e->model->m.arch_name);
    if (e->live >= e->n_sessions) return err_set(err, TAWNY_E_LIMIT, "sessions: all %d of this engine exist already", e->n_sessions);
    tawny_status st = session_make(e, out, err);
    e->live += st == TAWNY_OK;
    return st;
}

void tawny_session_free(tawny_session *s)
{
    if (!s) return;
    s->engine->live--;
    session_unmake(s);
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

tawny_status session_check(const tawny_session *s, const tawny_token *tokens, int32_t n, int32_t past, tawny_error *err)
{
    int32_t n_vocab = tawny_model_n_vocab(s->engine->model);
    if (n < 0) return err_set(err, TAWNY_E_ARG, "tokens: a count of %d", n);
    if (n > s->engine->n_ctx - past)
        return err_set(err, TAWNY_E_LIMIT, "the context holds %d tokens, the prompt and answer want %lld", s->engine->n_ctx,
                       (long long)past + n);
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return err_set(err, TAWNY_E_ARG, "tokens: %d at index %d is not from 0 to %d", tokens[i], i, n_vocab - 1);
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
    tawny_engine *e = s->engine;
    size_t n_vocab = e->model->m.hp.n_vocab;
    for (int32_t done = 0; done < n;) {
        int32_t m = n - done < e->n_ubatch ? n - done : e->n_ubatch;
        tawny_step item = {.session = s, .tokens = tokens + done, .n = m, .n_logits = all ? m : last && done + m == n};
        tawny_status st = engine_step(e, &item, 1, err);
        if (st != TAWNY_OK) return st;
        if (all) memcpy(all + (size_t)done * n_vocab, item.logits, (size_t)m * n_vocab * sizeof *all);
        done += m;
        if (l->tell && !l->tell(l->user, s->n, l->total))
            return err_set(err, TAWNY_E_LIMIT, "stopped after %d of %d tokens", s->n, l->total);
    }
    return TAWNY_OK;
}

tawny_status session_catch_up(tawny_session *s, tawny_error *err)
{
    int32_t want = s->n;
    if (!s->kv.state || s->kv.n_state == want) return TAWNY_OK;
    s->n = state_go_back(s);
    tawny_status st = advance(s, s->tokens + s->n, want - s->n, false, NULL, &(listener){0}, err);
    s->n = want;
    return st;
}

tawny_status tawny_session_append(tawny_session *s, const tawny_token *tokens, int32_t n, float *all, tawny_error *err)
{
    tawny_status st = session_check(s, tokens, n, s->n, err);
    if (st == TAWNY_OK && n > 0) st = session_catch_up(s, err);
    return st == TAWNY_OK ? advance(s, tokens, n, true, all, &(listener){.total = s->n + n}, err) : st;
}

/* The end of a prompt that was computed before, its logits with it. */
static bool to_checkpoint(tawny_session *s, int32_t n)
{
    const saved_state *to = s->kv.state ? state_find(s, n) : NULL;
    if (!to || to->n != n) return false;
    tawny_session_truncate(s, n);
    if (s->kv.n_state != n) state_go_back(s);
    s->logits = to->logits;
    s->pass = s->engine->passes;
    return true;
}

/* How many of the first `same` tokens, which it has, the session can go on from. */
static int32_t reusable(const tawny_session *s, int32_t same)
{
    if (!s->kv.state) return same;
    const saved_state *from = state_find(s, same);
    int32_t saved = from ? from->n : 0;
    return s->kv.n_state <= same && s->kv.n_state > saved ? s->kv.n_state : saved;
}

/* The past becomes that of the engine's cache, where it is worth it: pages that it shares are copied by whoever writes. */
static bool take_prefix(tawny_session *s, const tawny_token *tokens, int32_t n, int32_t own)
{
    enum { WORTH = 16 };
    prefix_cache *c = s->engine->prefixes;
    prefix_hit hit = c ? prefix_find(c, tokens, n) : (prefix_hit){0};
    if (hit.n < own + WORTH) return false;
    tawny_session_truncate(s, 0);
    const void *state = prefix_take(c, hit, &s->kv);
    memcpy(s->tokens, tokens, (size_t)hit.n * sizeof *tokens);
    s->n = hit.n;
    if (s->kv.state) state_take(s, state);
    return true;
}

void tawny_session_keep(tawny_session *s)
{
    if (!s->engine->prefixes || !s->n) return;
    tawny_session_checkpoint(s);
    const saved_state *last = s->kv.state ? state_find(s, s->n) : NULL;
    prefix_keep(s->engine->prefixes, s->tokens, s->n, s->kv.page, last && last->n == s->n ? last->state : NULL);
}

void tawny_session_forget(const tawny_session *s)
{
    if (s->engine->prefixes) prefix_forget(s->engine->prefixes, s->tokens, s->n);
}

int32_t tawny_session_go_back(tawny_session *s, int32_t n)
{
    tawny_session_truncate(s, n);
    if (s->kv.state && s->kv.n_state != s->n) tawny_session_truncate(s, state_go_back(s));
    return s->n;
}

int32_t tawny_session_reuse(tawny_session *s, const tawny_token *tokens, int32_t n)
{
    int32_t same = 0;
    while (same < n && same < s->n && tokens[same] == s->tokens[same]) same++;
    if (take_prefix(s, tokens, n, reusable(s, same))) same = s->n;
    if (same == n && s->n == n && tawny_session_logits(s)) return n;
    if (same == n && to_checkpoint(s, n)) return n;
    if (same == n && n > 0) same--; /* the last token again, for its logits */
    return tawny_session_go_back(s, same);
}

void tawny_session_checkpoint(tawny_session *s)
{
    const saved_state *last = s->kv.state ? state_find(s, s->n) : NULL;
    if (s->kv.state && s->kv.n_state == s->n && tawny_session_logits(s) && !(last && last->n == s->n)) state_save(s);
}

void tawny_session_mark(tawny_session *s)
{
    const saved_state *last = s->kv.state ? state_find(s, s->n) : NULL;
    if (s->kv.state && s->kv.n_state == s->n && s->n > 0 && s->mark.n != s->n && !(last && last->n == s->n)) state_mark(s);
}

tawny_status tawny_session_sync(tawny_session *s, const tawny_token *tokens, int32_t n, tawny_progress progress, void *user, tawny_error *err)
{
    enum { WORTH_SAVING = 16 };
    tawny_status st = session_check(s, tokens, n, 0, err);
    if (st != TAWNY_OK) return st;
    int32_t from = tawny_session_reuse(s, tokens, n);
    st = advance(s, tokens + from, n - from, true, NULL, &(listener){progress, user, n}, err);
    if (st == TAWNY_OK && n - from >= WORTH_SAVING) tawny_session_checkpoint(s);
    return st;
}

void tawny_session_truncate(tawny_session *s, int32_t n)
{
    if (n < 0) n = 0;
    if (n >= s->n) return;
    kv_seq_truncate(&s->engine->pool, &s->kv, n);
    s->n = n;
    state_truncate(s, n);
    s->logits = NULL;
}

const tawny_token *tawny_session_tokens(const tawny_session *s, int32_t *n)
{
    *n = s->n;
    return s->tokens;
}

const float *tawny_session_logits(const tawny_session *s) { return s->pass == s->engine->passes ? s->logits : NULL; }
