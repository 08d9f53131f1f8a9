#include "sched_int.h"

enum { WORTH_SHARING = 32 };

static int32_t common(const slot *x, const task *j)
{
    int32_t n, same = 0;
    const tawny_token *t = tawny_session_tokens(x->session, &n);
    while (same < n && (size_t)same < j->prompt.n && t[same] == j->prompt.v[same]) same++;
    return same;
}

/* The prompt of j is being read by another already: what both share will be there to be had soon. */
static bool better_wait(const sched *s, const task *j)
{
    for (int i = 0; i < s->n_slots; i++) {
        const slot *x = &s->slots[i];
        if (!x->task || !x->reading || x->task->p.no_reuse) continue;
        size_t n = x->task->prompt.n < j->prompt.n ? x->task->prompt.n : j->prompt.n, same = 0;
        while (same < n && x->task->prompt.v[same] == j->prompt.v[same]) same++;
        if ((int32_t)same > x->n_done && same >= 2 * WORTH_SHARING && same * 2 > j->prompt.n) return true;
    }
    return false;
}

/* The slot that was asked for, which is idle; else the idle slot whose past is the longest prefix of the prompt, else the least recently used. */
static slot *place_for(sched *s, const task *j)
{
    if (j->p.slot >= 0) return &s->slots[j->p.slot];
    slot *best = NULL;
    int32_t most = 0;
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        if (!slot_idle(x)) continue;
        int32_t same = x->session && !j->p.no_reuse ? common(x, j) : 0;
        if (!best || same > most + WORTH_SHARING || (same + WORTH_SHARING > most && x->used < best->used)) {
            best = x;
            most = same;
        }
    }
    return best;
}

/* A session that begins as the prompt does: the slot's own, a second timeline of another's past, or one of the engine's cache. */
static tawny_status prepare_session(sched *s, slot *x, const task *j, tawny_error *err)
{
    const slot *from = NULL;
    int32_t own = x->session && !j->p.no_reuse ? common(x, j) : 0, most = own + WORTH_SHARING;
    for (int i = 0; i < s->n_slots && !j->p.no_reuse; i++) {
        const slot *o = &s->slots[i];
        if (o == x || !o->session) continue;
        int32_t same = common(o, j);
        if (same <= most) continue;
        most = same;
        from = o;
    }
    tawny_status st = TAWNY_OK;
    if (from) {
        tawny_session_free(x->session);
        x->session = NULL;
        st = tawny_session_fork(from->session, &x->session, err);
    } else if (!x->session) {
        st = tawny_session_new(s->engine, &x->session, err);
    }
    if (st != TAWNY_OK) return st;
    if (j->p.no_reuse) {
        tawny_session_truncate(x->session, 0);
        x->n_done = 0;
        return TAWNY_OK;
    }
    x->n_done = tawny_session_reuse(x->session, j->prompt.v, (int32_t)j->prompt.n);
    if (x->n_done == (int32_t)j->prompt.n && s->spec) { /* guesses want the logits of a step */
        tawny_session_truncate(x->session, x->n_done - 1);
        x->n_done = tawny_session_reuse(x->session, j->prompt.v, (int32_t)j->prompt.n - 1);
    }
    return TAWNY_OK;
}

static tawny_status begin(sched *s, slot *x, task *j, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    if (j->prompt.n == 0) return err_set(err, TAWNY_E_ARG, "the prompt is empty: there are no tokens to go on from");
    if (j->prompt.n >= (size_t)tawny_engine_n_ctx(s->engine) + (j->p.max_tokens == 0))
        return err_set(err, TAWNY_E_LIMIT, "the request exceeds the available context size: %zu tokens in a context of %d", j->prompt.n,
                       tawny_engine_n_ctx(s->engine));
    if (j->p.grammar && !s->vocab) {
        gbnf_tokens tokens = gbnf_tokens_of(s->tok);
        st = gbnf_vocab_new(&tokens, &s->vocab, err);
    }
    if (st == TAWNY_OK) st = prepare_session(s, x, j, err);
    if (st == TAWNY_OK) st = slot_begin(x, j, s->engine, s->model, s->tok, s->vocab, err);
    if (st != TAWNY_OK) return st;
    pthread_mutex_lock(&j->lock);
    j->state = TASK_RUNNING;
    j->times.started = task_now();
    j->n_prompt = (int)j->prompt.n;
    j->n_cached = j->n_done = x->n_done;
    j->slot = x->no;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&s->lock);
    s->stats.cached_tokens += (uint64_t)x->n_done;
    s->stats.cache_hits += x->n_done > 0;
    s->stats.queue_ms += j->times.started - j->times.queued;
    pthread_mutex_unlock(&s->lock);
    return TAWNY_OK;
}

/* Takes task *at out of the queue; under the lock. */
static task *unlink_task(sched *s, task **at)
{
    task *j = *at;
    *at = j->next;
    if (!*at) s->tail = at;
    s->n_queued--;
    j->next = NULL;
    return j;
}

/* A task from the queue that could begin, unlinked; NULL where there is none. Those nobody wants end here. */
static task *next_task(sched *s)
{
    task *found = NULL, *dropped = NULL;
    pthread_mutex_lock(&s->lock);
    for (task **at = &s->head; *at && !found;) {
        if (s->cancel_all || !sched_wanted(*at)) {
            task *j = unlink_task(s, at);
            j->next = dropped;
            dropped = j;
        } else if (better_wait(s, *at) || ((*at)->p.slot >= 0 && !slot_idle(&s->slots[(*at)->p.slot]))) {
            at = &(*at)->next;
        } else {
            found = unlink_task(s, at);
            s->n_running++;
        }
    }
    for (task *j = dropped; j; j = j->next) s->stats.cancelled++;
    pthread_mutex_unlock(&s->lock);
    for (task *j; (j = dropped);) {
        dropped = j->next;
        task_end(j, TASK_CANCELLED);
        sched_wake(j);
        task_drop(j);
    }
    return found;
}

static bool any_idle(const sched *s)
{
    for (int i = 0; i < s->n_slots; i++)
        if (slot_idle(&s->slots[i])) return true;
    return false;
}

void sched_admit(sched *s)
{
    task *j;
    while (any_idle(s) && (j = next_task(s))) {
        tawny_error err = {0};
        slot *x = place_for(s, j);
        if (begin(s, x, j, &err) == TAWNY_OK) {
            sched_wake(j);
            if (x->n_done == (int32_t)j->prompt.n) sched_first(s, x);
            continue;
        }
        task_fail(j, &err);
        pthread_mutex_lock(&s->lock);
        s->n_running--;
        s->stats.failed++;
        pthread_mutex_unlock(&s->lock);
        sched_wake(j);
        task_drop(j);
    }
}
