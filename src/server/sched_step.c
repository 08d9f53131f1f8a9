#include "sched_int.h"

enum { LEAST_CHUNK = 8 };

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

/* The items of a step: the next tokens of every answer (*n_next), then pieces of prompts (*n_read tokens), beginning with
 * another each time. */
static int collect(sched *s, int *n_next, int *n_read)
{
    int n = 0;
    *n_read = *n_next = 0;
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        if (!x->task || x->reading) continue;
        s->of[n] = x;
        s->items[n] = s->spec ? sched_spec_item(s, x) : (tawny_step){.session = x->session, .tokens = &x->next, .n = 1, .n_logits = 1};
        *n_next += s->items[n++].n;
    }
    int room = chunk(s, *n_next);
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

static bool sample(sched *s, const tawny_step *item, slot *x)
{
    int32_t n;
    tawny_session_tokens(x->session, &n);
    return slot_sample(x, item->logits, n, s->tok, tawny_engine_n_ctx(s->engine));
}

/* A token of the answer. */
static void answer_more(sched *s, const tawny_step *item, slot *x)
{
    task *j = x->task;
    int before = x->n_answer;
    bool more = s->spec ? sched_spec_sample(s, item, x) : sample(s, item, x);
    pthread_mutex_lock(&s->lock);
    s->stats.answer_tokens += (uint64_t)(x->n_answer - before);
    pthread_mutex_unlock(&s->lock);
    if (more) sched_wake(j);
    else sched_finish(s, x);
}

void sched_first(sched *s, slot *x)
{
    x->reading = false;
    answer_more(s, &(tawny_step){.session = x->session, .n_logits = 1, .logits = tawny_session_logits(x->session)}, x);
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
        if (!x->reading) {
            tawny_session_checkpoint(x->session);
            tawny_session_keep(x->session);
        }
        if (!x->reading && s->spec) sched_spec_begin(s, x);
    }
    if (x->reading) sched_wake(j);
    else answer_more(s, item, x);
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

void sched_step(sched *s)
{
    if (s->spec) sched_guess(s);
    int n_next, n_read, n = collect(s, &n_next, &n_read);
    tawny_error err = {0};
    if (n == 0) return;
    double start = task_now();
    tawny_status st = tawny_engine_step(s->engine, s->items, n, &err);
    double ms = task_now() - start;
    s->now++;
    count(s, n, n_read, ms);
    learn(s, n, n_read, ms);
    if (s->spec && !n_read) spec_took(s->spec, n_next, ms);
    for (int i = 0; i < n; i++) {
        if (st == TAWNY_OK) {
            after(s, &s->items[i], s->of[i]);
        } else {
            task_fail(s->of[i]->task, &err);
            sched_finish(s, s->of[i]);
        }
    }
}
