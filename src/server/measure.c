#include "measure.h"

#include <stdlib.h>

#include "../base/cpu.h"
#include "../engine/limits.h"

enum { SAMPLES = 5, FRESH = 10000 }; /* FRESH: ms for which a figure is not measured again */
static const double find = 0.05, each = 0.08; /* seconds */

typedef struct measurement {
    limits *l;
    int threads, n; /* n: samples in v */
    bool found;     /* the fastest way to read */
    double v[SAMPLES];
} measurement;

static tawny_status open_memory(measurement *m, tawny_error *err)
{
    int cpus[CPU_MAX], cores = 0;
    cpu_order(cpus, CPU_MAX, &cores);
    tawny_status st = limits_new(0, false, &m->l, err); /* more than caches hold */
    if (st == TAWNY_OK) st = limits_threads(m->l, m->threads > 0 ? m->threads : cores, cpus, cores, err);
    return st;
}

/* One piece: memory, then the way to read it, then samples. *more: there is another. */
static tawny_status step(measurement *m, bool *more, tawny_error *err)
{
    *more = true;
    if (!m->l) return open_memory(m, err);
    limits_settle();
    double gbs = limits_sample(m->l, LIMITS_READ, simd_current(), m->found ? each : find);
    if (m->found) m->v[m->n++] = gbs;
    m->found = true;
    *more = m->n < SAMPLES;
    return TAWNY_OK;
}

static double result(measurement *m) { return limits_range_of(m->v, SAMPLES).median; }

double measure_read(int threads)
{
    measurement m = {.threads = threads};
    tawny_error err;
    bool more = true;
    tawny_status st = TAWNY_OK;
    while (st == TAWNY_OK && more) st = step(&m, &more, &err);
    limits_free(m.l);
    return st == TAWNY_OK ? result(&m) : 0;
}

/* ---- the request ---- */

static void free_own(void *own)
{
    measurement *m = own;
    limits_free(m->l);
    free(m);
}

static bool piece(exchange *x, tawny_engine *e)
{
    bool more;
    (void)e;
    return step(x->own, &more, &x->failure) == TAWNY_OK && more;
}

static void reply(exchange *x)
{
    reply_json(x, 200, json_pack("{s:f}", "read_gigabytes_per_second_possible", atomic_load(&x->sv->read_gbs)));
}

static void done(exchange *x)
{
    measurement *m = x->own;
    double gbs = x->failure.code == TAWNY_OK ? result(m) : 0;
    if (x->failure.code != TAWNY_OK) {
        reply_status(x, &x->failure, NULL);
        return;
    }
    atomic_store(&x->sv->read_gbs, gbs);
    atomic_store(&x->sv->measured, task_now());
    reply(x);
}

/* Whoever asks again and again gets the figure that is there, and does not hold answers up. */
void measure_now(exchange *x)
{
    double last = atomic_load(&x->sv->measured);
    if (last > 0 && task_now() - last < FRESH) {
        reply(x);
        return;
    }
    measurement *m = calloc(1, sizeof *m);
    x->own = m;
    x->free_own = free_own;
    if (!m) {
        x->free_own = NULL;
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    m->threads = tawny_engine_n_threads(sched_engine(x->sv->sched));
    exchange_post(x, piece, done);
}
