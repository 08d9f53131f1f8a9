#include "limits.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../../simd/probe.h"
#include "../base/clock.h"
#include "../base/cpu.h"
#include "../base/error.h"
#include "../base/mem.h"

enum { PIECE = 1 << 20, LEAST = 64 << 20, FIRST = 256 << 20, ROUNDS = 4096, TUNE_ROUNDS = 5 };
static const double tune_seconds = 0.01;

/* Ways to read: which is the fastest differs by CPU, page size and number of threads. */
typedef struct way {
    size_t ahead;
    bool once;
} way;
static const way ways[] = {{0, false}, {512, false}, {2048, false}, {4096, false}, {2048, true}, {4096, true}};
enum { WAYS = sizeof ways / sizeof *ways };

struct limits {
    char *data;
    size_t bytes;
    int threads, n_cpus, cpus[CPU_MAX];
    bool borrowed; /* the memory is somebody else's */
    bool tuned; /* way is the fastest for these threads */
    way way;
};

/* One sample: threads draw pieces from a counter, round and round, until the time is over. */
typedef struct sample {
    const limits *l;
    const simd_probe *probe;
    limits_kind kind;
    double seconds;
    pthread_mutex_t gate; /* held until all threads exist */
    double deadline;
    _Atomic int64_t next;
} sample;

typedef struct worker {
    _Alignas(64) sample *s;
    pthread_t thread;
    int index;
    double start, end, work; /* work: bytes, or operations */
} worker;

static _Atomic uint32_t sink; /* results that must not be optimized away */

static double work_piece(const sample *s, int64_t piece)
{
    const limits *l = s->l;
    const simd_probe *p = s->probe;
    size_t part = s->kind == LIMITS_READ ? l->bytes : s->kind == LIMITS_COPY ? l->bytes / 2 : l->bytes / 3;
    part = part / PIECE * PIECE;
    char *at = l->data + (size_t)piece * PIECE % part;
    switch (s->kind) {
    case LIMITS_READ: sink += (uint32_t)p->read(at, PIECE, l->way.ahead, l->way.once); return PIECE;
    case LIMITS_COPY: p->copy(at, at + part, PIECE); return 2.0 * PIECE;
    case LIMITS_TRIAD:
        p->triad((float *)(void *)at, (float *)(void *)(at + part), (float *)(void *)(at + 2 * part), 0.5f, PIECE);
        return 3.0 * PIECE;
    case LIMITS_INT8: sink += p->int8(ROUNDS); return (double)ROUNDS * p->int8_ops;
    default: sink += (uint32_t)p->f32(ROUNDS); return (double)ROUNDS * p->f32_ops;
    }
}

static void place(const limits *l, int index)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < l->n_cpus; i++)
        if (l->threads != l->n_cpus || i == index) CPU_SET((size_t)l->cpus[i], &set);
    sched_setaffinity(0, sizeof set, &set); /* where it fails, the scheduler places the thread */
}

static void *run_worker(void *arg)
{
    worker *w = arg;
    sample *s = w->s;
    place(s->l, w->index);
    pthread_mutex_lock(&s->gate);
    double deadline = s->deadline;
    pthread_mutex_unlock(&s->gate);
    w->start = clock_now();
    do {
        w->work += work_piece(s, atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed));
        w->end = clock_now();
    } while (w->end < deadline);
    return NULL;
}

static simd_tier widest(void)
{
    return simd_available(SIMD_AVX512) ? SIMD_AVX512 : simd_available(SIMD_AVX2) ? SIMD_AVX2 : SIMD_SCALAR;
}

static double run_sample(const limits *l, limits_kind kind, simd_tier tier, double seconds)
{
    sample s = {.l = l, .probe = simd_probe_of(tier), .kind = kind, .gate = PTHREAD_MUTEX_INITIALIZER};
    worker *w = aligned_alloc(64, (size_t)l->threads * sizeof *w);
    int n = 0;
    if (!w) return 0;
    memset(w, 0, (size_t)l->threads * sizeof *w);
    pthread_mutex_lock(&s.gate);
    for (; n < l->threads; n++) {
        w[n].s = &s;
        w[n].index = n;
        if (pthread_create(&w[n].thread, NULL, run_worker, &w[n]) != 0) break;
    }
    s.deadline = clock_now() + seconds;
    pthread_mutex_unlock(&s.gate);
    double start = 0, end = 0, work = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        if (i == 0 || w[i].start < start) start = w[i].start;
        if (w[i].end > end) end = w[i].end;
        work += w[i].work;
    }
    free(w);
    return n == l->threads ? work / (end - start) * 1e-9 : 0;
}

void limits_settle(void)
{
    struct timespec left = {.tv_nsec = 30000000}; /* 300,000 pauses, which are 140 cycles at most on what is in use */
    while (nanosleep(&left, &left) != 0) {}
}

limits_range limits_range_of(double *v, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && v[j] < v[j - 1]; j--) {
            double t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    return (limits_range){v[0], n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[n - 1]};
}

/* The ways in turn, several times; the one with the best median. */
static void tune(limits *l)
{
    double v[WAYS][TUNE_ROUNDS], best = 0;
    way fastest = ways[0];
    for (int r = 0; r < TUNE_ROUNDS; r++)
        for (int i = 0; i < WAYS; i++) {
            l->way = ways[i];
            v[i][r] = run_sample(l, LIMITS_READ, widest(), tune_seconds);
        }
    for (int i = 0; i < WAYS; i++) {
        limits_range range = limits_range_of(v[i], TUNE_ROUNDS);
        if (range.median > best) {
            best = range.median;
            fastest = ways[i];
        }
    }
    l->way = fastest;
    l->tuned = true;
}

double limits_sample(limits *l, limits_kind kind, simd_tier tier, double seconds)
{
    if (kind == LIMITS_READ && !l->tuned) tune(l);
    return run_sample(l, kind, kind <= LIMITS_TRIAD ? widest() : tier, seconds);
}

tawny_status limits_threads(limits *l, int threads, const int *cpus, int n_cpus, tawny_error *err)
{
    if (threads < 1 || threads > CPU_MAX || n_cpus < 1 || n_cpus > CPU_MAX)
        return err_set(err, TAWNY_E_ARG, "threads: %d is not from 1 to %d", threads, CPU_MAX);
    l->threads = threads;
    l->n_cpus = n_cpus;
    l->tuned = false;
    memcpy(l->cpus, cpus, (size_t)n_cpus * sizeof *cpus);
    return TAWNY_OK;
}

void limits_as_usual(limits *l)
{
    l->way = ways[3];
    l->tuned = true;
}

size_t limits_prefetch(const limits *l) { return l->way.ahead; }
size_t limits_bytes(const limits *l) { return l->bytes; }

static size_t default_bytes(void)
{
    int cpus[CPU_MAX], cores, n = cpu_order(cpus, CPU_MAX, &cores), domains = 0;
    for (int i = 0; i < cores && i < n; i++) domains += i == 0 || cpu_l3(cpus[i]) != cpu_l3(cpus[i - 1]);
    size_t bytes = 4 * cpu_get()->l3 * (size_t)(domains ? domains : 1);
    uint64_t left = mem_available("") / 4;
    if (bytes < FIRST) bytes = FIRST;
    return bytes < left ? bytes : (size_t)left;
}

tawny_status limits_new(size_t bytes, bool huge, limits **out, tawny_error *err)
{
    *out = NULL;
    if (!bytes) bytes = default_bytes();
    bytes = bytes / MEM_HUGE * MEM_HUGE;
    if (bytes < LEAST)
        return err_set(err, TAWNY_E_NOMEM, "bandwidth: %zu MiB of memory are too few to measure it", bytes >> 20);
    limits *l = calloc(1, sizeof *l);
    if (!l) return err_nomem(err);
    l->bytes = bytes;
    l->data = mem_map(bytes, huge);
    if (!l->data) {
        free(l);
        return err_errno(err, errno, "bandwidth: %zu MiB of memory", bytes >> 20);
    }
    float x = 1; /* a page that nobody wrote to is the kernel's page of zeros, again and again */
    for (size_t i = 0; i < bytes; i += sizeof x) memcpy(l->data + i, &x, sizeof x);
    *out = l;
    return TAWNY_OK;
}

tawny_status limits_over(const void *data, size_t bytes, limits **out, tawny_error *err)
{
    size_t skip = (PROBE_ALIGN - (uintptr_t)data % PROBE_ALIGN) % PROBE_ALIGN;
    *out = NULL;
    if (bytes < PIECE + skip) return err_set(err, TAWNY_E_ARG, "bandwidth: %zu bytes are too few", bytes);
    limits *l = calloc(1, sizeof *l);
    if (!l) return err_nomem(err);
    l->borrowed = true;
    l->data = (char *)(uintptr_t)data + skip;
    l->bytes = (bytes - skip) / PIECE * PIECE;
    *out = l;
    return TAWNY_OK;
}

double limits_huge_share(const limits *l)
{
    mem_pages pages;
    if (!mem_pages_of(l->data, l->bytes, &pages)) return 0;
    return pages.huge >= l->bytes ? 1 : (double)pages.huge / (double)l->bytes;
}

void limits_free(limits *l)
{
    if (!l) return;
    if (!l->borrowed) mem_unmap(l->data, l->bytes);
    free(l);
}
