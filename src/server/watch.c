#include "watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "../base/error.h"
#include "exchange.h"

/* HEAD: ms beyond the time-out for a request's lines; GONE: ms for what was sent last to be taken in; RATE: bytes a
 * second that a body or an answer must move at; TICK: s. */
enum { HEAD = 10000, GONE = 1000, RATE = 16 << 10, TICK = 1 };

typedef enum doing { IDLE, ASKING, WAITING, READING } doing;

struct client {
    watch *w;
    client *prev, *next;
    int fd;
    doing doing;
    bool ending;  /* it was hung up on */
    double since; /* ms, of what it is doing */
    size_t bytes; /* that moved, or are to move */
    exchange *x;  /* while it waits for a stream */
};

struct watch {
    watch_params p;
    pthread_t thread;
    bool started, stop;
    pthread_mutex_t lock; /* guards all clients */
    pthread_cond_t news;
    client all; /* a ring around it: whoever began first what it is at comes first */
    int n, n_ending;
};

static void unlink_client(client *c)
{
    c->prev->next = c->next;
    c->next->prev = c->prev;
}

static void link_last(watch *w, client *c)
{
    c->next = &w->all;
    c->prev = w->all.prev;
    c->prev->next = w->all.prev = c;
}

/* Whoever serves the connection sees its end, and closes it. */
static void hang_up(client *c)
{
    if (c->ending) return;
    c->ending = true;
    c->w->n_ending++;
    shutdown(c->fd, SHUT_RDWR);
}

/* For another. Of those that the server does not owe an answer, who has been at it longest. */
static void make_room(watch *w)
{
    if (w->n - w->n_ending < w->p.most) return;
    for (client *c = w->all.next; c != &w->all; c = c->next) {
        if (c->ending || c->doing == WAITING) continue;
        hang_up(c);
        return;
    }
}

client *watch_add(watch *w, int fd)
{
    client *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    *c = (client){.w = w, .fd = fd, .since = task_now()};
    pthread_mutex_lock(&w->lock);
    make_room(w);
    link_last(w, c);
    if (w->n++ == 0) pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    return c;
}

void watch_remove(client *c)
{
    if (!c) return;
    watch *w = c->w;
    pthread_mutex_lock(&w->lock);
    unlink_client(c);
    w->n--;
    w->n_ending -= c->ending;
    pthread_mutex_unlock(&w->lock);
    free(c);
}

static void begin(client *c, doing what, size_t bytes, exchange *x)
{
    if (!c) return;
    pthread_mutex_lock(&c->w->lock);
    unlink_client(c);
    link_last(c->w, c);
    c->doing = what;
    c->since = task_now();
    c->bytes = bytes;
    c->x = x;
    pthread_mutex_unlock(&c->w->lock);
}

void watch_idle(client *c) { begin(c, IDLE, 0, NULL); }
void watch_asking(client *c) { begin(c, ASKING, 0, NULL); }
void watch_waiting(client *c, exchange *x) { begin(c, WAITING, 0, x); }
void watch_reading(client *c, size_t size) { begin(c, READING, size, NULL); }

void watch_asked_more(client *c, size_t bytes)
{
    if (!c) return;
    pthread_mutex_lock(&c->w->lock);
    c->bytes += bytes;
    pthread_mutex_unlock(&c->w->lock);
}

/* HTTP's own time-out sees who sends and reads nothing; this one, who does so a byte at a time. */
static bool too_slow(const client *c, double now)
{
    if (c->doing == WAITING) return false;
    double may = 1e3 * c->w->p.timeout + (c->doing == IDLE ? HEAD : (double)c->bytes * 1e3 / RATE);
    return now - c->since > may;
}

/* An end that comes together with the last bytes before it is not seen by libmicrohttpd 0.9.75: epoll tells it once. */
static bool gone(const client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return c->doing <= ASKING && poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void look(watch *w, double now)
{
    for (client *c = w->all.next; c != &w->all; c = c->next) {
        if (c->ending) continue;
        if (too_slow(c, now) || (now - c->since > GONE && gone(c))) hang_up(c);
        if (c->x && w->p.ping >= 0) exchange_ping(c->x, now, 1e3 * w->p.ping);
    }
}

static void *keep_watch(void *arg)
{
    watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        if (w->n == 0) {
            pthread_cond_wait(&w->news, &w->lock);
            continue;
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += TICK;
        pthread_cond_timedwait(&w->news, &w->lock, &t);
        look(w, task_now());
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

tawny_status watch_new(const watch_params *p, watch **out, tawny_error *err)
{
    *out = NULL;
    watch *w = calloc(1, sizeof *w);
    if (!w) return err_nomem(err);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&w->news, &a);
    pthread_condattr_destroy(&a);
    pthread_mutex_init(&w->lock, NULL);
    w->p = *p;
    w->all.prev = w->all.next = &w->all;
    w->started = pthread_create(&w->thread, NULL, keep_watch, w) == 0;
    if (!w->started) {
        watch_free(w);
        return err_set(err, TAWNY_E_NOMEM, "no thread to watch over clients");
    }
    *out = w;
    return TAWNY_OK;
}

void watch_free(watch *w)
{
    if (!w) return;
    if (w->started) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->news);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->news);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
