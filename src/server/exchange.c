#include "exchange.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"
#include "json_limits.h"

enum { MOST_UNTAKEN = 16 << 10, MOST_ASIDE = 16 };

exchange *exchange_new(server *sv, struct MHD_Connection *c, const route *r)
{
    exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    atomic_fetch_add(&sv->exchanges, 1);
    x->sv = sv;
    x->connection = c;
    x->route = r;
    x->door = r->door;
    x->body.max = sv->config.max_body;
    x->sent = task_now();
    x->ping = 1e3 * sv->config.ping;
    x->created = (int64_t)time(NULL);
    server_fingerprint(sv, x->fingerprint);
    pthread_mutex_init(&x->lock, NULL);
    return x;
}

static void choice_free(choice *c)
{
    if (c->task) {
        pthread_mutex_lock(&c->task->lock);
        c->task->wake = NULL; /* whoever was about to has done it */
        pthread_mutex_unlock(&c->task->lock);
        sched_cancel(c->x->sv->sched, c->task);
        task_drop(c->task);
    }
    answer_free(c->parser);
    buf_free(&c->text);
    buf_free(&c->reasoning);
    buf_free(&c->arguments);
    json_decref(c->calls);
    json_decref(c->tokens);
}

void exchange_free(exchange *x)
{
    if (!x) return;
    pthread_mutex_lock(&x->lock); /* whoever woke it lets go of it */
    pthread_mutex_unlock(&x->lock);
    for (int i = 0; i < x->n_choices; i++) choice_free(&x->choices[i]);
    free(x->choices);
    if (x->free_own) x->free_own(x->own);
    json_decref(x->json);
    json_decref(x->kept);
    buf_free(&x->body);
    buf_free(&x->out);
    buf_free(&x->reply);
    pthread_mutex_destroy(&x->lock);
    atomic_fetch_sub(&x->sv->exchanges, 1);
    free(x);
}

/* ---- replies ---- */

void reply_text(exchange *x, int status, const char *type, const char *text, size_t n)
{
    buf_clear(&x->reply);
    x->reply.max = 0;
    if (!buf_add(&x->reply, text, n)) status = 500;
    x->reply_type = type;
    x->status = status;
}

void reply_field(exchange *x, const char *name, const char *value)
{
    if (x->n_fields == REPLY_FIELDS) return;
    x->fields[x->n_fields].name = name;
    x->fields[x->n_fields++].value = value;
}

void reply_constant(exchange *x, int status, const char *type, const char *text, size_t n)
{
    x->constant = text;
    x->n_constant = n;
    x->reply_type = type;
    x->status = status;
}

void reply_json(exchange *x, int status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text)
        reply_text(x, status, "application/json; charset=utf-8", text, strlen(text));
    else
        reply_text(x, 500, "text/plain", "out of memory", 13);
    free(text);
}

void reply_error(exchange *x, int status, const char *type, const char *message, const char *field)
{
    reply_json(x, status, x->door->error(status, type, message, field));
}

void reply_status(exchange *x, const tawny_error *err, const char *field)
{
    bool theirs = err->code == TAWNY_E_ARG || err->code == TAWNY_E_FORMAT || err->code == TAWNY_E_UNSUPPORTED || err->code == TAWNY_E_LIMIT;
    reply_error(x, theirs ? 400 : 500, NULL, err->message, field);
}

bool exchange_params(exchange *x, const param *table, void *to)
{
    char field[64] = "";
    tawny_error err;
    if (params_read(x->json, table, to, field, &err) == TAWNY_OK) return true;
    reply_error(x, 400, NULL, err.message, field);
    return false;
}

void exchange_handle(exchange *x)
{
    x->handled = true;
    if (x->route->tables) {
        json_error_t why;
        const char *deep = json_too_deep(x->body.data, x->body.size);
        if (!deep) x->json = json_loadb(x->body.data ? x->body.data : "", x->body.size, JSON_ALLOW_NUL, &why);
        if (!x->json && !x->body.size && x->route->flags & ROUTE_ANY_BODY) x->json = json_object();
        if (!json_is_object(x->json)) {
            char message[300];
            snprintf(message, sizeof message, "the body is no JSON object: %.200s", deep ? deep : x->json ? "it is something else" : why.text);
            reply_error(x, 400, NULL, message, NULL);
            return;
        }
    }
    x->route->handle(x);
}

/* ---- tasks ---- */

/* Under the exchange's lock. */
static void wake_locked(exchange *x)
{
    x->news = true;
    if (!x->suspended) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

/* Called from the scheduler's thread, under the task's lock. */
static void wake(void *user)
{
    exchange *x = user;
    pthread_mutex_lock(&x->lock);
    wake_locked(x);
    pthread_mutex_unlock(&x->lock);
}

void exchange_ping(exchange *x, double now, double milliseconds)
{
    if (now - x->sent > milliseconds) wake(x);
}

static void on_text(void *user, answer_kind kind, const char *text, size_t n)
{
    choice *c = user;
    buf_add(kind == ANSWER_REASONING ? &c->reasoning : &c->text, text, n);
    if (c->x->stream) c->x->door->text(c->x, c, kind, text, n);
}

static int last_call(const choice *c) { return (int)json_array_size(c->calls) - 1; }

static void on_call(void *user, const char *name)
{
    choice *c = user;
    const door *d = c->x->door;
    json_array_append_new(c->calls, json_pack("{s:s}", "name", name));
    buf_clear(&c->arguments);
    if (c->x->stream && d->call) d->call(c->x, c, last_call(c), name);
}

static void on_arguments(void *user, const char *text, size_t n)
{
    choice *c = user;
    const door *d = c->x->door;
    buf_add(&c->arguments, text, n);
    if (c->x->stream && d->arguments) d->arguments(c->x, c, last_call(c), text, n);
}

static void on_call_end(void *user, bool whole)
{
    choice *c = user;
    const door *d = c->x->door;
    json_t *call = json_array_get(c->calls, (size_t)last_call(c));
    json_object_set_new(call, "arguments", json_stringn(c->arguments.data ? c->arguments.data : "", c->arguments.size));
    json_object_set_new(call, "whole", json_boolean(whole));
    if (c->x->stream && d->call_end) d->call_end(c->x, c, last_call(c), call);
}

static bool open_choice(exchange *x, choice *c, int i, task *j, const exchange_chat *chat)
{
    const answer_events events = {.user = c, .text = on_text, .call = on_call, .arguments = on_arguments, .call_end = on_call_end};
    *c = (choice){.x = x, .index = i, .task = j, .calls = json_array()};
    if (j->p.n_top >= 0) c->tokens = json_array();
    if (chat) c->parser = answer_new(chat->format, chat->tools, chat->thinks, &events);
    j->wake = wake;
    j->user = x;
    j->most_untaken = x->stream ? MOST_UNTAKEN : 0;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    j->fd = info ? info->connect_fd : -1;
    return c->calls && (!chat || c->parser);
}

static void refuse_work(exchange *x, sched_answer a)
{
    x->retry_after = 1;
    if (a == SCHED_FULL)
        reply_error(x, 429, "rate_limit_exceeded", "the queue is full: try again later", NULL);
    else
        reply_error(x, 503, "unavailable_error", "the server is shutting down", NULL);
}

void exchange_submit(exchange *x, task **tasks, int n, const exchange_chat *chat)
{
    bool ok = (x->choices = calloc((size_t)n, sizeof *x->choices)) != NULL;
    for (int i = 0; i < n && ok; i++) {
        ok = open_choice(x, &x->choices[i], i, tasks[i], chat);
        x->n_choices++;
    }
    if (!ok) {
        for (int i = x->n_choices; i < n; i++) task_drop(tasks[i]);
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    sched_answer a = sched_submit(x->sv->sched, tasks, n);
    if (a != SCHED_TAKEN) refuse_work(x, a);
}

/* ---- other work ---- */

static exchange *of_work(sched_work *w) { return (exchange *)(void *)((char *)w - offsetof(exchange, work)); }

static bool client_gone(const exchange *x)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

static bool work_piece(sched_work *w, tawny_engine *e)
{
    exchange *x = of_work(w);
    if (!client_gone(x)) return x->piece(x, e);
    pthread_mutex_lock(&x->lock);
    x->cut = true;
    pthread_mutex_unlock(&x->lock);
    return false;
}

static void work_done(sched_work *w, bool ended)
{
    exchange *x = of_work(w);
    pthread_mutex_lock(&x->lock);
    x->working = false;
    x->cut |= ended;
    wake_locked(x); /* in one go: as soon as it is known to be done, it may be freed */
    pthread_mutex_unlock(&x->lock);
}

void exchange_post(exchange *x, bool (*piece)(exchange *x, tawny_engine *e), void (*done)(exchange *x))
{
    x->work = (sched_work){.step = work_piece, .done = work_done};
    x->piece = piece;
    x->done = done;
    x->working = true;
    sched_answer a = sched_post(x->sv->sched, &x->work);
    if (a == SCHED_TAKEN) return;
    x->working = false;
    refuse_work(x, a);
}

static void *aside(void *arg)
{
    exchange *x = arg;
    server *sv = x->sv;
    x->aside(x);
    work_done(&x->work, false);
    atomic_fetch_sub(&sv->asides, 1);
    return NULL;
}

void exchange_aside(exchange *x, void (*work)(exchange *x), void (*done)(exchange *x))
{
    pthread_t thread;
    server *sv = x->sv;
    x->aside = work;
    x->done = done;
    x->working = true;
    if (atomic_fetch_add(&sv->asides, 1) < MOST_ASIDE && pthread_create(&thread, NULL, aside, x) == 0) {
        pthread_detach(thread);
        return;
    }
    atomic_fetch_sub(&sv->asides, 1);
    x->working = false;
    refuse_work(x, SCHED_FULL);
}

static void drain_work(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool working = x->working, cut = x->cut;
    pthread_mutex_unlock(&x->lock);
    if (working) return;
    if (cut)
        reply_error(x, 503, "unavailable_error", "the server ended the request", NULL);
    else
        x->done(x);
}

void exchange_keep(exchange *x, json_t *j)
{
    if (!x->kept) x->kept = json_array();
    json_array_append_new(x->kept, j);
}

/* ---- what tasks did ---- */

/* What is new of a task, copied under its lock. */
typedef struct news {
    buf text;
    json_t *tokens; /* [{id, logprob, text's bytes, top: [...]}] */
    task_state state;
} news;

static json_t *token_json(const server *sv, tawny_token id, float logprob)
{
    size_t n;
    const char *p = tok_piece(sv->tok, id, TOK_SPECIAL, &n);
    json_t *bytes = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(bytes, json_integer((unsigned char)p[i]));
    json_t *text = json_stringn(p, n);
    if (!text) { /* part of a character */
        buf b = {0};
        for (size_t i = 0; i < n; i++) buf_utf8(&b, (unsigned char)p[i] < 128 ? (unsigned char)p[i] : 0xfffd);
        text = json_stringn(b.data ? b.data : "", b.size);
        buf_free(&b);
    }
    return json_pack("{s:i,s:o,s:f,s:o}", "id", (int)id, "token", text, "logprob", (double)(logprob < -9999 ? -9999 : logprob), "bytes", bytes);
}

static size_t characters(const char *p, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += ((unsigned char)p[i] & 0xc0) != 0x80;
    return k;
}

static void copy_tokens(const server *sv, choice *c, task *j, json_t *to)
{
    for (; c->token_at < j->n_tokens; c->token_at++) {
        const task_token *t = &j->tokens[c->token_at];
        if (t->text_end > j->ready && !task_ended(j->state)) break;
        json_t *o = token_json(sv, t->id, t->logprob), *top = json_array();
        for (int i = 0; i < t->n_top; i++) {
            const task_top *alternative = &j->top[t->top + i];
            json_array_append_new(top, token_json(sv, alternative->token, alternative->logprob));
        }
        json_object_set_new(o, "top_logprobs", top);
        size_t from = c->token_at ? j->tokens[c->token_at - 1].text_end : 0, to_end = t->text_end < j->text.size ? t->text_end : j->text.size;
        json_object_set_new(o, "offset", json_integer((json_int_t)c->offset));
        if (to_end > from) c->offset += characters(j->text.data + from, to_end - from);
        json_array_append_new(to, o);
    }
}

static void take_news(choice *c, news *n)
{
    task *j = c->task;
    pthread_mutex_lock(&j->lock);
    if (j->ready > c->text_at) buf_add(&n->text, j->text.data + c->text_at, j->ready - c->text_at);
    c->text_at = j->taken = j->ready;
    if (c->tokens) copy_tokens(c->x->sv, c, j, c->tokens);
    n->state = j->state;
    pthread_mutex_unlock(&j->lock);
}

static void start(exchange *x)
{
    if (x->started) return;
    x->started = true;
    if (x->stream && x->door->start) x->door->start(x);
}

static void task_error(exchange *x, const choice *c)
{
    const task *j = c->task; /* it has ended: nothing changes any more */
    if (x->stream && x->started)
        x->door->fail(x, j->state == TASK_CANCELLED ? "the server ended the request" : j->error.message);
    else if (j->state == TASK_CANCELLED)
        reply_error(x, 503, "unavailable_error", "the server ended the request", NULL);
    else
        reply_status(x, &j->error, NULL);
    x->ended = true;
}

static void drain_choice(exchange *x, choice *c)
{
    news n = {0};
    tawny_error err;
    take_news(c, &n);
    if (n.text.size || task_ended(n.state)) {
        if (n.state != TASK_FAILED && n.state != TASK_CANCELLED) start(x);
        if (n.text.size && c->parser)
            answer_push(c->parser, n.text.data, n.text.size, &err);
        else if (n.text.size)
            on_text(c, ANSWER_TEXT, n.text.data, n.text.size);
    }
    if (task_ended(n.state)) {
        if (c->parser) answer_end(c->parser, &err);
        c->state = n.state;
        if (n.state == TASK_FAILED || n.state == TASK_CANCELLED)
            task_error(x, c);
        else if (x->stream)
            x->door->finish(x, c);
    }
    buf_free(&n.text);
}

void exchange_drain(exchange *x)
{
    int ended = 0;
    size_t before = x->out.size;
    if (x->ended || x->status) return;
    if (x->done) {
        drain_work(x);
        return;
    }
    for (int i = 0; i < x->n_choices && !x->ended; i++) {
        choice *c = &x->choices[i];
        if (!task_ended(c->state)) drain_choice(x, c);
        ended += task_ended(c->state);
    }
    if (!x->ended && x->n_choices && ended == x->n_choices) {
        x->ended = true;
        if (x->stream)
            x->door->end(x);
        else
            reply_json(x, 200, x->door->whole(x));
    }
    double now = task_now();
    if (x->stream && !x->ended && x->out.size == before && x->ping >= 0 && now - x->sent > x->ping && x->door->ping) {
        start(x);
        x->door->ping(x);
    }
    if (x->out.size != before) x->sent = now;
}

void put_event(exchange *x, const char *name, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    if (name) {
        buf_str(&x->out, "event: ");
        buf_str(&x->out, name);
        buf_str(&x->out, "\n");
    }
    buf_str(&x->out, "data: ");
    buf_str(&x->out, text ? text : "{\"error\":{\"message\":\"out of memory\"}}");
    buf_str(&x->out, "\n\n");
    free(text);
}

void put_line(exchange *x, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    buf_str(&x->out, text ? text : "{\"error\":\"out of memory\"}");
    buf_str(&x->out, "\n");
    free(text);
}
