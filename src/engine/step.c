/* Steps: the tokens of several sessions in one forward pass. */
#include <string.h>

#include "engine.h"

static tawny_status check(tawny_engine *e, const tawny_step *items, int32_t n_items, tawny_error *err)
{
    int64_t total = 0;
    if (n_items < 0 || n_items > e->n_sessions)
        return err_set(err, TAWNY_E_ARG, "step: %d items; this engine has up to %d sessions", n_items, e->n_sessions);
    e->checks++;
    for (int32_t i = 0; i < n_items; i++) {
        const tawny_step *it = &items[i];
        if (it->session->engine != e) return err_set(err, TAWNY_E_ARG, "step: the session of item %d is of another engine", i);
        if (it->session->check == e->checks) return err_set(err, TAWNY_E_ARG, "step: the session of item %d is there twice", i);
        it->session->check = e->checks;
        if (it->n < 1) return err_set(err, TAWNY_E_ARG, "step: item %d has %d tokens", i, it->n);
        if (it->n_logits < 0 || it->n_logits > it->n)
            return err_set(err, TAWNY_E_ARG, "step: item %d wants the logits of %d of %d tokens", i, it->n_logits, it->n);
        total += it->n;
        if (total > e->n_ubatch) return err_set(err, TAWNY_E_LIMIT, "step: more than %d tokens", e->n_ubatch);
        tawny_status st = session_check(it->session, it->tokens, it->n, it->session->n, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

/* Pages to write to, and the batch: items one after the other. */
static tawny_status prepare(tawny_engine *e, const tawny_step *items, int32_t n_items, batch *b, tawny_error *err)
{
    *b = (batch){.token = e->tokens, .spans = e->spans, .n_spans = n_items, .out = e->out_index};
    for (int32_t i = 0; i < n_items; i++) {
        const tawny_step *it = &items[i];
        tawny_session *s = it->session;
        tawny_status st = kv_seq_prepare(&e->pool, &s->kv, engine_seq_pages(e), s->n, it->n, err);
        if (st != TAWNY_OK) return st;
        memcpy(e->tokens + b->n, it->tokens, (size_t)it->n * sizeof *e->tokens);
        e->spans[i] = (span){.seq = &s->kv, .from = b->n, .n = it->n, .pos = s->n};
        b->n += it->n;
        for (int32_t j = b->n - it->n_logits; j < b->n; j++) e->out_index[b->n_out++] = j;
    }
    return TAWNY_OK;
}

static void commit(tawny_engine *e, tawny_step *it, const float **logits)
{
    tawny_session *s = it->session;
    size_t n_vocab = e->model->m.hp.n_vocab;
    memmove(s->tokens + s->n, it->tokens, (size_t)it->n * sizeof *it->tokens);
    s->n += it->n;
    s->kv.n_state = s->n;
    if (s->kv.n_tokens < s->n) s->kv.n_tokens = s->n;
    it->logits = it->n_logits ? *logits : NULL;
    *logits += (size_t)it->n_logits * n_vocab;
    s->logits = it->n_logits ? *logits - n_vocab : NULL;
    s->pass = e->passes;
}

tawny_status engine_step(tawny_engine *e, tawny_step *items, int32_t n_items, tawny_error *err)
{
    batch b;
    tawny_status st = prepare(e, items, n_items, &b, err);
    if (st == TAWNY_OK) {
        for (int32_t i = 0; i < n_items; i++) items[i].session->kv.n_state = -1; /* until the pass has ended well */
        st = engine_forward(e, &b, err);
    }
    const float *logits = e->shared.logits;
    for (int32_t i = 0; i < n_items; i++) {
        kv_seq *kv = &items[i].session->kv;
        if (st == TAWNY_OK)
            commit(e, &items[i], &logits);
        else
            kv_seq_truncate(&e->pool, kv, kv->n_tokens);
    }
    return st;
}

tawny_status tawny_engine_step(tawny_engine *e, tawny_step *items, int32_t n_items, tawny_error *err)
{
    tawny_status st = check(e, items, n_items, err);
    if (st != TAWNY_OK || !n_items) return st;
    for (int32_t i = 0; i < n_items; i++) {
        st = session_catch_up(items[i].session, err);
        if (st != TAWNY_OK) return st;
    }
    return engine_step(e, items, n_items, err);
}
