#include "slot.h"

#include <stdlib.h>
#include <string.h>

#include "../engine/sampler.h"

static void release(slot *s)
{
    sampler_free(s->sampler);
    if (s->matcher) grammar_return(s->grammar, s->matcher);
    grammar_drop(s->grammar);
    tawny_fingerprint_free(s->fingerprint);
    free(s->top);
    free(s->probs);
    s->sampler = NULL;
    s->matcher = NULL;
    s->grammar = NULL;
    s->fingerprint = NULL;
    s->top = NULL;
    s->probs = NULL;
}

tawny_status slot_begin(slot *s, task *j, tawny_engine *e, tawny_model *m, const tokenizer *tok, const gbnf_vocab *vocab,
                        tawny_error *err)
{
    sampler_vocab v = sampler_vocab_of(tok);
    size_t n_top = j->p.n_top > 0 ? (size_t)j->p.n_top : 0;
    tawny_status st = sampler_new(&j->p.sampling, (int)tok_n_vocab(tok), (size_t)tawny_engine_n_ctx(e), &v, &s->sampler, err);
    s->vocab = vocab;
    if (st == TAWNY_OK && j->p.grammar)
        st = grammar_matcher(s->grammar = grammar_hold(j->p.grammar), vocab, false, &s->matcher, &s->shared_matcher, err);
    if (st == TAWNY_OK && j->p.fingerprint) st = tawny_fingerprint_new(m, &s->fingerprint, err);
    s->top = calloc(n_top + 1, sizeof *s->top);
    s->n_probs = n_top && j->p.post_probs ? tok_n_vocab(tok) : n_top + 1;
    s->probs = calloc(s->n_probs, sizeof *s->probs);
    if (st == TAWNY_OK && (!s->top || !s->probs)) st = err_nomem(err);
    if (st != TAWNY_OK) {
        release(s);
        return st;
    }
    s->task = j;
    s->reading = true;
    s->n_answer = 0;
    s->stream = (tok_stream){0};
    sampler_state_init(s->sampler, &s->state);
    if (s->matcher) s->place = gbnf_start(s->matcher);
    return TAWNY_OK;
}

/* A matcher that others filled may come to its bounds where a new one would not: a new one takes its place, so that
 * an answer is what it would be alone. */
static bool renew_matcher(slot *s)
{
    gbnf_matcher *m;
    tawny_error err;
    if (!s->shared_matcher || grammar_matcher(s->grammar, s->vocab, true, &m, &s->shared_matcher, &err) != TAWNY_OK) return false;
    grammar_return(s->grammar, s->matcher);
    s->matcher = m;
    s->place = gbnf_start(m);
    bool ok = true;
    for (size_t i = 0; i < s->task->n_tokens && ok; i++) ok = gbnf_token(m, s->place, s->task->tokens[i].id, &s->place, &err) == TAWNY_OK;
    return ok;
}

static tawny_status advance_matcher(slot *s, tawny_token t, tawny_error *err)
{
    gbnf_state from = s->place;
    tawny_status st = s->matcher ? gbnf_token(s->matcher, from, t, &s->place, err) : TAWNY_OK;
    return st == TAWNY_E_LIMIT && renew_matcher(s) ? gbnf_token(s->matcher, s->place, t, &s->place, err) : st;
}

/* What there is to choose from after n tokens, whose logits these are, within the grammar. */
static tawny_status choices(slot *s, const float *logits, int32_t n, sampler_input *in, tawny_error *err)
{
    int32_t all;
    size_t n_allowed = 1;
    const tawny_token *history = tawny_session_tokens(s->session, &all);
    *in = (sampler_input){.logits = logits, .history = history, .n_history = (size_t)n, .position = (uint64_t)n};
    tawny_status st = TAWNY_OK;
    if (s->matcher) st = gbnf_allowed(s->matcher, s->place, &in->allowed, &n_allowed, err);
    if (st == TAWNY_E_LIMIT && renew_matcher(s)) st = gbnf_allowed(s->matcher, s->place, &in->allowed, &n_allowed, err);
    if (st == TAWNY_OK && n_allowed == 0)
        st = err_set(err, TAWNY_E_FORMAT, "grammar: no token of this vocabulary goes on from here");
    return st;
}

/* Probabilities that the token is drawn from: of the best, and of all where the token is still to be drawn (*n of them). */
static tawny_status distribution(slot *s, const sampler_input *in, size_t *n, tawny_error *err)
{
    *n = 0;
    if (!s->task->p.post_probs || s->task->p.n_top < 0) return TAWNY_OK;
    return sampler_distribution(s->sampler, &s->state, in, s->probs, s->n_probs, n, err);
}

static void drawn_from(slot *s, tawny_token t, size_t n, task_top *chosen, int *n_top)
{
    *chosen = (task_top){t, 0};
    for (size_t i = 0; i < n; i++)
        if (s->probs[i].token == t) chosen->logprob = s->probs[i].p;
    *n_top = (size_t)s->task->p.n_top < n ? s->task->p.n_top : (int)n;
    for (int i = 0; i < *n_top; i++) s->top[i] = (task_top){s->probs[i].token, s->probs[i].p};
}

/* Log probabilities of the chosen token and of the best, as the model gave them. */
static tawny_status logprobs(slot *s, const float *logits, tawny_token t, task_top *chosen, int *n_top, tawny_error *err)
{
    sampler_prob c = {.token = t};
    *n_top = s->task->p.n_top;
    tawny_status st = sampler_logprobs(s->sampler, logits, s->probs, (size_t)*n_top, &c, err);
    for (int i = 0; st == TAWNY_OK && i < *n_top; i++) s->top[i] = (task_top){s->probs[i].token, s->probs[i].logprob};
    *chosen = (task_top){t, c.logprob};
    return st;
}

static bool end(slot *s, task_state state)
{
    buf_clear(&s->text);
    if (tok_stream_flush(&s->stream, &s->text) && s->text.size) {
        pthread_mutex_lock(&s->task->lock);
        buf_add(&s->task->text, s->text.data, s->text.size);
        pthread_mutex_unlock(&s->task->lock);
    }
    if (s->fingerprint) {
        pthread_mutex_lock(&s->task->lock);
        tawny_fingerprint_hex(s->fingerprint, s->task->fingerprint);
        pthread_mutex_unlock(&s->task->lock);
    }
    task_end(s->task, state);
    return false;
}

static bool fail(slot *s, const tawny_error *err)
{
    task_fail(s->task, err);
    return false;
}

bool slot_sample(slot *s, const float *logits, int32_t n, const tokenizer *tok, int32_t n_ctx)
{
    task *j = s->task;
    tawny_error err = {0};
    tawny_token t;
    task_top chosen = {0};
    int n_top = 0;
    if (j->p.max_tokens == 0) return end(s, TASK_LENGTH);
    if (s->fingerprint) tawny_fingerprint_add(s->fingerprint, logits, tok_n_vocab(tok));
    sampler_input in;
    size_t n_drawn;
    if (choices(s, logits, n, &in, &err) != TAWNY_OK || distribution(s, &in, &n_drawn, &err) != TAWNY_OK) return fail(s, &err);
    if (sampler_sample(s->sampler, &s->state, &in, &t, &err) != TAWNY_OK) return fail(s, &err);
    if (advance_matcher(s, t, &err) != TAWNY_OK) return fail(s, &err);
    if (j->p.n_top >= 0 && j->p.post_probs)
        drawn_from(s, t, n_drawn, &chosen, &n_top);
    else if (j->p.n_top >= 0 && logprobs(s, logits, t, &chosen, &n_top, &err) != TAWNY_OK)
        return fail(s, &err);
    if (tok_is_eog(tok, t) && !j->p.ignore_eos) return end(s, TASK_STOPPED);
    buf_clear(&s->text);
    if (!tok_stream_push(tok, &s->stream, t, j->p.special ? TOK_SPECIAL : 0, &s->text)) {
        err_nomem(&err);
        return fail(s, &err);
    }
    s->n_answer++;
    bool stop = task_put(j, t, s->text.data, s->text.size, &chosen, s->top, n_top);
    if (stop) {
        s->stream = (tok_stream){0};
        return end(s, TASK_STOP_WORD);
    }
    if (task_ended(j->state)) return false;
    if ((j->p.max_tokens >= 0 && s->n_answer >= j->p.max_tokens) || n >= n_ctx) return end(s, TASK_LENGTH);
    s->next = t;
    return true;
}

void slot_end(slot *s)
{
    release(s);
    task_drop(s->task);
    s->task = NULL;
    s->reading = false;
}

void slot_free(slot *s)
{
    if (s->task) slot_end(s);
    tawny_session_free(s->session);
    buf_free(&s->text);
    *s = (slot){0};
}
