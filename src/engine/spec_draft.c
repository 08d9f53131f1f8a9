/* Guesses of a draft model: an engine of its own with a session for each sequence, whose draws are those of the sequence's
 * sampler at the same positions. Random numbers are the same then, so a draft that is like the model draws alike. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "spec_int.h"

struct draft {
    tawny_engine *engine;
    tawny_session **session; /* [n] */
    tawny_step *items;       /* [n] */
    draft_ask **of;          /* [n] */
    float *logits;           /* [n_vocab] of the model, where the draft has fewer; else NULL */
    int n;
    int32_t n_vocab, n_own;  /* of the model and of the draft */
    float p_min;
};

tawny_status draft_new(tawny_model *m, const tawny_engine_params *p, int n, int32_t n_vocab, float p_min, draft **out, tawny_error *err)
{
    *out = NULL;
    draft *d = calloc(1, sizeof *d);
    if (!d) return err_nomem(err);
    d->n = n;
    d->n_vocab = n_vocab;
    d->n_own = tawny_model_n_vocab(m);
    d->p_min = p_min;
    tawny_engine_params engine = *p;
    int32_t trained = tawny_model_n_ctx_train(m);
    engine.n_sessions = n;
    if (trained > 0 && engine.n_ctx > trained) engine.n_ctx = trained;
    if (engine.n_ubatch && engine.n_ubatch < n) engine.n_ubatch = n;
    d->session = calloc((size_t)n, sizeof *d->session);
    d->items = calloc((size_t)n, sizeof *d->items);
    d->of = calloc((size_t)n, sizeof *d->of);
    if (d->n_own < n_vocab) d->logits = malloc((size_t)n_vocab * sizeof *d->logits);
    tawny_status st = d->session && d->items && d->of && (d->logits || d->n_own >= n_vocab) ? TAWNY_OK : err_nomem(err);
    if (st == TAWNY_OK) st = tawny_engine_new(m, &engine, &d->engine, err);
    for (int i = 0; st == TAWNY_OK && i < n; i++) st = tawny_session_new(d->engine, &d->session[i], err);
    if (st != TAWNY_OK) {
        draft_free(d);
        return st;
    }
    for (int32_t i = d->n_own; i < n_vocab; i++) d->logits[i] = -INFINITY;
    *out = d;
    return TAWNY_OK;
}

void draft_free(draft *d)
{
    if (!d) return;
    for (int i = 0; d->session && i < d->n; i++) tawny_session_free(d->session[i]);
    tawny_engine_free(d->engine);
    free(d->session);
    free(d->items);
    free(d->of);
    free(d->logits);
    free(d);
}

static bool known(const draft *d, const tawny_token *tokens, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] >= d->n_own) return false;
    return true;
}

/* What of its text the session holds, all but the last token at most: that one's logits are wanted. */
static int32_t reuse(tawny_session *s, const draft_ask *a)
{
    int32_t have = tawny_session_reuse(s, a->text, a->n);
    if (have < a->n) return have;
    tawny_session_truncate(s, a->n - 1);
    return tawny_session_reuse(s, a->text, a->n - 1);
}

/* The tokens that each session lacks, as far as there is room: a step with logits for those who then have all. */
static int catch_up(draft *d, draft_ask *asks, int n, int32_t room)
{
    int n_items = 0;
    int32_t left = tawny_engine_n_ubatch(d->engine);
    if (room < left) left = room < n ? n : room;
    for (int i = 0; i < n; i++) {
        draft_ask *a = &asks[i];
        tawny_session *s = d->session[a->stream];
        if (a->n >= tawny_engine_n_ctx(d->engine)) continue;
        int32_t have = reuse(s, a), lacks = a->n - have, others = n - 1 - i;
        int32_t take = lacks < left - others ? lacks : left - others;
        if (!known(d, a->text + have, take)) continue;
        d->of[n_items] = a;
        d->items[n_items++] = (tawny_step){.session = s, .tokens = a->text + have, .n = take, .n_logits = take == lacks};
        left -= take;
    }
    return n_items;
}

/* The token that the sampler draws of the draft's logits; false: nothing worth a guess. */
static bool draw(draft *d, draft_ask *a, const float *logits, tawny_token *t)
{
    size_t n = (size_t)(a->n + a->n_out);
    if (d->logits) {
        memcpy(d->logits, logits, (size_t)d->n_own * sizeof *logits);
        logits = d->logits;
    }
    sampler_input in = {.logits = logits, .history = a->text, .n_history = n, .position = n};
    if (sampler_sample(a->sampler, &a->state, &in, t, NULL) != TAWNY_OK || *t >= d->n_own) return false;
    sampler_prob p = {.token = *t};
    return d->p_min <= 0 || (sampler_logprobs(a->sampler, logits, NULL, 0, &p, NULL) == TAWNY_OK && p.p >= d->p_min);
}

/* Draws after each item; the items of the next step, which are those that go on. */
static int next_items(draft *d, int n_items)
{
    int n = 0;
    for (int i = 0; i < n_items; i++) {
        const tawny_step *it = &d->items[i];
        draft_ask *a = d->of[i];
        tawny_token *t = a->out + a->n_out;
        if (!it->n_logits || !draw(d, a, it->logits, t)) continue;
        a->n_out++;
        if (a->n_out >= a->most || a->n + a->n_out > tawny_engine_n_ctx(d->engine)) continue;
        d->of[n] = a;
        d->items[n++] = (tawny_step){.session = it->session, .tokens = t, .n = 1, .n_logits = 1};
    }
    return n;
}

tawny_status draft_guess(draft *d, draft_ask *asks, int n, int32_t room, tawny_error *err)
{
    int n_items = catch_up(d, asks, n, room);
    for (bool first = true; n_items; first = false) {
        tawny_status st = tawny_engine_step(d->engine, d->items, n_items, err);
        if (st != TAWNY_OK) return st;
        for (int i = 0; first && i < n_items; i++) tawny_session_mark(d->items[i].session);
        n_items = next_items(d, n_items);
    }
    return TAWNY_OK;
}
