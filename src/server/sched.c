#include "sched.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "slot.h"

enum { WORTH_SHARING = 32, LEAST_CHUNK = 8 };

typedef struct call {
    void (*fn)(void *arg, tawny_engine *e);
    void *arg;
    bool done;
    struct call *next;
} call;

struct sched {
    tawny_model *model;
    const tokenizer *tok;
    tawny_engine *engine;
    gbnf_vocab *vocab; /* made when the first grammar comes */
    slot *slots;
    int n_slots, max_queue, first; /* first: whose prompt goes first in the next step */
    tawny_step *items;  /* [n_slots] */
    slot **of;          /* [n_slots]: whose item it is */
    pthread_t thread;
    bool started;
    double decode_ms;   /* of a step without prompts, as it was lately */
    double token_ms;    /* that a token of a prompt adds to a step */
    uint64_t now;       /* steps so far */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;  /* something to do */
    pthread_cond_t idle;  /* something was done */
    task *head, **tail;
    int n_queued, n_running;
    bool stop, draining, cancel_all;
    call *calls;
    sched_work *works;   /* a ring: the last one, whose next is the first */
    int n_works;
    sched_stats stats;
    sched_slot *shown;    /* [n_slots] */
};

static void wake(task *j)
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
static bool wanted(task *j)
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

/* ---- places for tasks ---- */

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
        if (x->task) continue;
        int32_t same = x->session && !j->p.no_reuse ? common(x, j) : 0;
        if (!best || same > most + WORTH_SHARING || (same + WORTH_SHARING > most && x->used < best->used)) {
            best = x;
            most = same;
        }
    }
    return best;
}

/* A session that begins as the prompt does: the slot's own, or a second timeline of another's past. */
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
    if (j->p.no_reuse) tawny_session_truncate(x->session, 0);
    x->n_done = tawny_session_reuse(x->session, j->prompt.v, (int32_t)j->prompt.n);
    if (x->n_done == (int32_t)j->prompt.n) { /* the logits of a step are wanted, not of memory that others' steps use */
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

/* Ends the slot's task for the statistics, tells who waits, and lets it go. */
static void finish(sched *s, slot *x)
{
    task *j = x->task;
    pthread_mutex_lock(&j->lock);
    task_state state = j->state;
    double first = j->times.first ? j->times.first : j->times.ended, read = first - j->times.started, answer = j->times.ended - first;
    uint64_t tokens = j->prompt.n + j->n_tokens;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&s->lock);
    if (tokens > s->stats.most_tokens) s->stats.most_tokens = tokens;
    s->n_running--;
    s->stats.cancelled += state == TASK_CANCELLED;
    s->stats.failed += state == TASK_FAILED;
    s->stats.prompt_ms += read;
    s->stats.answer_ms += answer;
    pthread_mutex_unlock(&s->lock);
    wake(j);
    slot_end(x);
    x->used = s->now;
}

/* A task from the queue that could begin, unlinked; NULL where there is none. Those nobody wants end here. */
static task *next_task(sched *s)
{
    task *found = NULL, *dropped = NULL;
    pthread_mutex_lock(&s->lock);
    for (task **at = &s->head; *at && !found;) {
        if (s->cancel_all || !wanted(*at)) {
            task *j = unlink_task(s, at);
            j->next = dropped;
            dropped = j;
        } else if (better_wait(s, *at) || ((*at)->p.slot >= 0 && s->slots[(*at)->p.slot].task)) {
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
        wake(j);
        task_drop(j);
    }
    return found;
}

static bool any_idle(const sched *s)
{
    for (int i = 0; i < s->n_slots; i++)
        if (!s->slots[i].task) return true;
    return false;
}

static void admit(sched *s)
{
    task *j;
    while (any_idle(s) && (j = next_task(s))) {
        tawny_error err = {0};
        slot *x = place_for(s, j);
        if (begin(s, x, j, &err) == TAWNY_OK) {
            wake(j);
            continue;
        }
        task_fail(j, &err);
        pthread_mutex_lock(&s->lock);
        s->n_running--;
        s->stats.failed++;
        pthread_mutex_unlock(&s->lock);
        wake(j);
        task_drop(j);
    }
}

static void sweep(sched *s, bool all)
{
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        if (!x->task || (!all && wanted(x->task))) continue;
        task_end(x->task, TASK_CANCELLED);
        finish(s, x);
    }
}

/* ---- steps ---- */

/* How many tokens of prompts go into a step beside `decoding` answers: as many as make it no longer than about three
 * without them, or a tenth of a second. */
static int chunk(const sched *s, int decoding)
{
    int most = tawny_engine_n_ubatch(s->engine) - decoding;
    if (!decoding || s->token_ms <= 0) return decoding && most > 64 ? 64 : most;
    double room = 2 * s->decode_ms > 100 - s->decode_ms ? 2 * s->decode_ms : 100 - s->decode_ms;
    double n = room / s->token_ms;
    return n < LEAST_CHUNK ? (most < LEAST_CHUNK ? most : LEAST_CHUNK) : n > most ? most : (int)n;
}

/* The items of a step: the next token of every answer, then pieces of prompts, beginning with another each time. */
static int collect(sched *s, int *n_read)
{
    int n = 0;
    *n_read = 0;
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        if (!x->task || x->reading) continue;
        s->of[n] = x;
        s->items[n++] = (tawny_step){.session = x->session, .tokens = &x->next, .n = 1, .n_logits = 1};
    }
    int room = chunk(s, n);
    for (int i = 0; i < s->n_slots && room > 0; i++) {
        slot *x = &s->slots[(s->first + i) % s->n_slots];
        if (!x->task || !x->reading) continue;
        int left = (int)x->task->prompt.n - x->n_done, take = left < room ? left : room;
        s->of[n] = x;
        s->items[n++] = (tawny_step){.session = x->session, .tokens = x->task->prompt.v + x->n_done, .n = take, .n_logits = take == left};
        room -= take;
        *n_read += take;
    }
    s->first = (s->first + 1) % s->n_slots;
    return n;
}

static void learn(sched *s, int n, int n_read, double ms)
{
    const double new = 0.2;
    if (n_read == 0)
        s->decode_ms = s->decode_ms > 0 ? (1 - new) * s->decode_ms + new * ms : ms;
    else if (n_read >= LEAST_CHUNK) {
        double base = n > 1 ? s->decode_ms : 0, each = ms > base ? (ms - base) / n_read : 0;
        s->token_ms = s->token_ms > 0 ? (1 - new) * s->token_ms + new * each : each;
    }
}

static void after(sched *s, const tawny_step *item, slot *x)
{
    task *j = x->task;
    if (x->reading) {
        x->n_done += item->n;
        pthread_mutex_lock(&j->lock);
        j->n_done = x->n_done;
        pthread_mutex_unlock(&j->lock);
        x->reading = x->n_done < (int32_t)j->prompt.n;
        if (!x->reading) tawny_session_checkpoint(x->session);
    }
    int before = x->n_answer;
    bool more = x->reading || slot_sample(x, item->logits, s->tok, tawny_engine_n_ctx(s->engine));
    pthread_mutex_lock(&s->lock);
    s->stats.answer_tokens += (uint64_t)(x->n_answer - before);
    pthread_mutex_unlock(&s->lock);
    if (more) wake(j);
    else finish(s, x);
}

static void count(sched *s, int n, int n_read, double ms)
{
    pthread_mutex_lock(&s->lock);
    s->stats.steps++;
    s->stats.step_ms += ms;
    s->stats.prompt_tokens += (uint64_t)n_read;
    s->stats.busy += (uint64_t)n;
    s->stats.bytes_read += tawny_model_bytes_per_token(s->model);
    pthread_mutex_unlock(&s->lock);
}

static void step(sched *s)
{
    int n_read, n = collect(s, &n_read);
    tawny_error err = {0};
    if (n == 0) return;
    double start = task_now();
    tawny_status st = tawny_engine_step(s->engine, s->items, n, &err);
    double ms = task_now() - start;
    s->now++;
    count(s, n, n_read, ms);
    learn(s, n, n_read, ms);
    for (int i = 0; i < n; i++) {
        if (st == TAWNY_OK) {
            after(s, &s->items[i], s->of[i]);
        } else {
            task_fail(s->of[i]->task, &err);
            finish(s, s->of[i]);
        }
    }
}

/* ---- the thread ---- */

static void show(sched *s)
{
    s->stats.decode_ms = s->decode_ms;
    for (int i = 0; i < s->n_slots; i++) {
        const slot *x = &s->slots[i];
        int32_t n = 0;
        if (x->session) tawny_session_tokens(x->session, &n);
        s->shown[i] = (sched_slot){.n_tokens = n, .busy = x->task != NULL, .reading = x->reading,
                                   .n_prompt = x->task ? (int)x->task->prompt.n : 0, .n_done = x->task ? x->n_done : 0,
                                   .n_answer = x->task ? x->n_answer : 0};
    }
}

static void serve_calls(sched *s)
{
    for (call *c; (c = s->calls);) {
        s->calls = c->next;
        pthread_mutex_unlock(&s->lock);
        c->fn(c->arg, s->engine);
        pthread_mutex_lock(&s->lock);
        c->done = true;
        pthread_cond_broadcast(&s->idle);
    }
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
        while (!s->stop && !busy(s) && !s->calls) pthread_cond_wait(&s->work, &s->lock);
        if (s->stop && !busy(s)) break;
        bool all = s->cancel_all || s->stop;
        s->cancel_all = all;
        pthread_mutex_unlock(&s->lock);
        sweep(s, all);
        admit(s);
        step(s);
        serve_works(s, all);
        pthread_mutex_lock(&s->lock);
        if (!busy(s)) s->cancel_all = false;
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
    pthread_cond_init(&s->work, NULL);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&s->idle, &a);
    pthread_condattr_destroy(&a);
    s->model = m;
    s->tok = tok;
    s->tail = &s->head;
    s->n_slots = p->n_slots > 0 ? p->n_slots : 1;
    s->max_queue = p->max_queue;
    tawny_engine_params engine = p->engine;
    engine.n_sessions = s->n_slots + 1; /* room in the cache for embeddings while all slots are full */
    s->slots = calloc((size_t)s->n_slots, sizeof *s->slots);
    s->items = calloc((size_t)s->n_slots, sizeof *s->items);
    s->of = calloc((size_t)s->n_slots, sizeof *s->of);
    s->shown = calloc((size_t)s->n_slots, sizeof *s->shown);
    tawny_status st = s->slots && s->items && s->of && s->shown ? TAWNY_OK : err_nomem(err);
    for (int i = 0; st == TAWNY_OK && i < s->n_slots; i++) s->slots[i].no = i;
    if (st == TAWNY_OK) st = tawny_engine_new(m, &engine, &s->engine, err);
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
    tawny_engine_free(s->engine);
    free(s->slots);
    free(s->items);
    free(s->of);
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

void sched_call(sched *s, void (*fn)(void *arg, tawny_engine *e), void *arg)
{
    call c = {.fn = fn, .arg = arg};
    pthread_mutex_lock(&s->lock);
    call **at = &s->calls;
    while (*at) at = &(*at)->next;
    *at = &c;
    pthread_cond_signal(&s->work);
    while (!c.done) pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
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
