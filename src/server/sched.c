#include "sched_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

void sched_wake(task *j)
{
    pthread_mutex_lock(&j->lock);
    if (j->wake) j->wake(j->user);
    pthread_mutex_unlock(&j->lock);
}

/* ---- the queue ---- */

static bool busy(const sched *s) { return s->head || s->n_running || s->n_works; } /* under the lock */

sched_answer sched_submit(sched *s, task *const *tasks, int n)
{
    pthread_mutex_lock(&s->lock);
    sched_answer a = s->draining || s->stop ? SCHED_DRAINING : s->n_queued + n > s->max_queue + s->n_slots - s->n_running ? SCHED_FULL : SCHED_TAKEN;
    for (int i = 0; a == SCHED_TAKEN && i < n; i++) {
        task_hold(tasks[i]);
        tasks[i]->times.queued = task_now();
        tasks[i]->next = NULL;
        *s->tail = tasks[i];
        s->tail = &tasks[i]->next;
        s->n_queued++;
        s->stats.tasks++;
    }
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return a;
}

static void add_work(sched *s, sched_work *w)
{
    w->next = s->works ? s->works->next : w;
    if (s->works) s->works->next = w;
    s->works = w;
}

sched_answer sched_post(sched *s, sched_work *w)
{
    pthread_mutex_lock(&s->lock);
    sched_answer a = s->draining || s->stop ? SCHED_DRAINING : s->n_works > s->max_queue ? SCHED_FULL : SCHED_TAKEN;
    if (a == SCHED_TAKEN) {
        add_work(s, w);
        s->n_works++;
    }
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return a;
}

void sched_cancel(sched *s, task *j)
{
    pthread_mutex_lock(&j->lock);
    j->cancel = true;
    j->fd = -1;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

/* Whether anybody still waits: it was not cancelled, the client's end of the connection is open, and the client reads. One
 * that does not, until the socket is full and more than enough text waits behind it, is hung up on: HTTP then closes. */
bool sched_wanted(task *j)
{
    pthread_mutex_lock(&j->lock);
    bool gone = j->cancel;
    if (!gone && j->fd >= 0) {
        struct pollfd p = {.fd = j->fd, .events = POLLRDHUP | POLLOUT};
        bool knows = poll(&p, 1, 0) >= 0, full = knows && !(p.revents & POLLOUT);
        gone = knows && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
        if (!gone && full && j->most_untaken && j->text.size - j->taken > j->most_untaken) {
            shutdown(j->fd, SHUT_RDWR);
            gone = true;
        }
    }
    pthread_mutex_unlock(&j->lock);
    return !gone;
}

/* ---- the thread ---- */

void sched_finish(sched *s, slot *x)
{
    task *j = x->task;
    pthread_mutex_lock(&j->lock);
    task_state state = j->state;
    task_phases ms = task_phases_of(j);
    uint64_t tokens = j->prompt.n + j->n_tokens;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&s->lock);
    if (tokens > s->stats.most_tokens) s->stats.most_tokens = tokens;
    s->n_running--;
    s->stats.cancelled += state == TASK_CANCELLED;
    s->stats.failed += state == TASK_FAILED;
    s->stats.prompt_ms += ms.prompt;
    s->stats.answer_ms += ms.answer;
    pthread_mutex_unlock(&s->lock);
    sched_wake(j);
    if (state != TASK_FAILED) tawny_session_keep(x->session);
    slot_end(x);
    x->used = s->now;
}

static void sweep(sched *s, bool all)
{
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        if (!x->task || (!all && sched_wanted(x->task))) continue;
        task_end(x->task, TASK_CANCELLED);
        sched_finish(s, x);
    }
}

static void show(sched *s)
{
    s->stats.decode_ms = s->decode_ms;
    s->stats.prefixes = tawny_engine_prefix_stats(s->engine);
    for (int i = 0; i < s->n_slots; i++) {
        const slot *x = &s->slots[i];
        int32_t n = 0;
        if (x->session) tawny_session_tokens(x->session, &n);
        s->shown[i] = (sched_slot){.n_tokens = n, .busy = x->task != NULL, .reading = x->reading,
                                   .n_prompt = x->task ? (int)x->task->prompt.n : 0, .n_done = x->task ? x->n_done : 0,
                                   .n_answer = x->task ? x->n_answer : 0};
    }
}

static void serve_slot_call(sched *s, const call *c)
{
    slot *x = &s->slots[c->slot];
    if (c->begins) x->held = c->hold;
    x->begun = c->begins;
    c->slot_fn(c->arg, s->engine, &x->session);
    if (!c->begins) x->held = false;
}

/* The first call that can be served now, or NULL; slots that others wait for are marked. */
static call **ready_call(sched *s)
{
    call **first = NULL;
    for (int i = 0; i < s->n_slots; i++) s->slots[i].asked = false;
    for (call **at = &s->calls; *at; at = &(*at)->next) {
        const call *c = *at;
        slot *x = c->slot_fn ? &s->slots[c->slot] : NULL;
        bool ready = !x || !c->begins || (!x->task && !x->begun);
        if (ready && !first) first = at;
        if (!ready) x->asked = true;
    }
    return first;
}

static void serve_calls(sched *s)
{
    for (call **at, *c; (at = ready_call(s));) {
        c = *at;
        *at = c->next;
        pthread_mutex_unlock(&s->lock);
        if (c->slot_fn) serve_slot_call(s, c);
        else c->fn(c->arg, s->engine);
        pthread_mutex_lock(&s->lock);
        c->done = true;
        pthread_cond_broadcast(&s->idle);
    }
}

/* Tasks wait for a slot that something else is done with, and nothing runs: until that has ended, or one is cancelled. */
static void wait_for_slots(sched *s)
{
    const long often = 10000000; /* ns */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += often;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    if (s->head && !s->n_running && !s->n_works && !ready_call(s)) pthread_cond_timedwait(&s->work, &s->lock, &t);
}

/* A piece of the first work, which then goes behind the others. */
static void serve_works(sched *s, bool end)
{
    pthread_mutex_lock(&s->lock);
    sched_work *last = s->works, *w = last ? last->next : NULL;
    if (w) {
        last->next = w->next;
        s->works = w == last ? NULL : last;
    }
    pthread_mutex_unlock(&s->lock);
    if (!w) return;
    bool more = !end && w->step(w, s->engine);
    pthread_mutex_lock(&s->lock);
    if (more) {
        add_work(s, w);
    } else {
        s->n_works--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!more) w->done(w, end);
}

static void *run(void *arg)
{
    sched *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        serve_calls(s);
        show(s);
        pthread_cond_broadcast(&s->idle);
        while (!s->stop && !busy(s) && !ready_call(s)) pthread_cond_wait(&s->work, &s->lock);
        if (s->stop && !busy(s)) break;
        bool all = s->cancel_all || s->stop;
        s->cancel_all = all;
        pthread_mutex_unlock(&s->lock);
        sweep(s, all);
        sched_admit(s);
        sched_step(s);
        serve_works(s, all);
        pthread_mutex_lock(&s->lock);
        if (!busy(s)) s->cancel_all = false;
        wait_for_slots(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

tawny_status sched_new(tawny_model *m, const tokenizer *tok, const sched_params *p, sched **out, tawny_error *err)
{
    *out = NULL;
    sched *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &a);
    pthread_cond_init(&s->idle, &a);
    pthread_condattr_destroy(&a);
    s->model = m;
    s->tok = tok;
    s->tail = &s->head;
    s->n_slots = p->n_slots > 0 ? p->n_slots : 1;
    s->max_queue = p->max_queue;
    tawny_engine_params engine = p->engine;
    engine.n_sessions = 2 * s->n_slots + 1; /* one more for each slot's files; room for embeddings while all slots are full */
    if (engine.n_ubatch && engine.n_ubatch < s->n_slots) engine.n_ubatch = s->n_slots; /* a token of each in a step */
    s->slots = calloc((size_t)s->n_slots, sizeof *s->slots);
    s->items = calloc((size_t)s->n_slots, sizeof *s->items);
    s->of = calloc((size_t)s->n_slots, sizeof *s->of);
    s->asks = calloc((size_t)s->n_slots, sizeof *s->asks);
    s->shown = calloc((size_t)s->n_slots, sizeof *s->shown);
    tawny_status st = s->slots && s->items && s->of && s->asks && s->shown ? TAWNY_OK : err_nomem(err);
    for (int i = 0; st == TAWNY_OK && i < s->n_slots; i++) s->slots[i].no = i;
    if (st == TAWNY_OK) st = tawny_engine_new(m, &engine, &s->engine, err);
    if (st == TAWNY_OK && (p->spec.ngram || p->spec.draft))
        st = spec_new(m, &p->spec, s->n_slots, tawny_engine_n_ctx(s->engine), &s->spec, err);
    if (st == TAWNY_OK && pthread_create(&s->thread, NULL, run, s) != 0)
        st = err_set(err, TAWNY_E_NOMEM, "no thread for the scheduler");
    s->started = st == TAWNY_OK;
    if (st != TAWNY_OK) {
        sched_free(s);
        return st;
    }
    *out = s;
    return TAWNY_OK;
}

void sched_free(sched *s)
{
    if (!s) return;
    if (s->started) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->work);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    for (int i = 0; s->slots && i < s->n_slots; i++) slot_free(&s->slots[i]);
    gbnf_vocab_free(s->vocab);
    spec_free(s->spec);
    tawny_engine_free(s->engine);
    free(s->slots);
    free(s->items);
    free(s->of);
    free(s->asks);
    free(s->shown);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void sched_drain(sched *s)
{
    pthread_mutex_lock(&s->lock);
    s->draining = true;
    pthread_mutex_unlock(&s->lock);
}

void sched_cancel_all(sched *s)
{
    pthread_mutex_lock(&s->lock);
    s->cancel_all = busy(s);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

bool sched_wait(sched *s, double milliseconds)
{
    double until = task_now() + milliseconds;
    struct timespec t = {.tv_sec = (time_t)(until / 1e3)};
    t.tv_nsec = (long)((until - (double)t.tv_sec * 1e3) * 1e6);
    int timed_out = 0;
    pthread_mutex_lock(&s->lock);
    while (busy(s) && timed_out != ETIMEDOUT) timed_out = pthread_cond_timedwait(&s->idle, &s->lock, &t);
    bool nothing = !busy(s);
    pthread_mutex_unlock(&s->lock);
    return nothing;
}

static void wait_for_call(sched *s, call *c)
{
    pthread_mutex_lock(&s->lock);
    call **at = &s->calls;
    while (*at) at = &(*at)->next;
    *at = c;
    pthread_cond_signal(&s->work);
    while (!c->done) pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void sched_call(sched *s, void (*fn)(void *arg, tawny_engine *e), void *arg) { wait_for_call(s, &(call){.fn = fn, .arg = arg}); }

void sched_slot_begin(sched *s, int no, bool hold, sched_slot_fn *fn, void *arg)
{
    wait_for_call(s, &(call){.slot_fn = fn, .slot = no, .begins = true, .hold = hold, .arg = arg});
}

void sched_slot_end(sched *s, int no, sched_slot_fn *fn, void *arg)
{
    wait_for_call(s, &(call){.slot_fn = fn, .slot = no, .arg = arg});
}

const tawny_engine *sched_engine(const sched *s) { return s->engine; }
int sched_n_slots(const sched *s) { return s->n_slots; }

void sched_stats_of(sched *s, sched_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    out->queued = s->n_queued;
    out->running = s->n_running;
    pthread_mutex_unlock(&s->lock);
}

void sched_slot_of(sched *s, int i, sched_slot *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->shown[i];
    pthread_mutex_unlock(&s->lock);
}
