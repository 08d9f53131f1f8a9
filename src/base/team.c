#include "team.h"

#include <linux/futex.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "balance.h"
#include "cpu.h"

/* ThreadSanitizer does not see how libgomp forks and joins: it is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#else
#define __tsan_release(p) ((void)(p))
#define __tsan_acquire(p) ((void)(p))
#endif

enum { LINE = 64, COUNTERS = 8, SPINS = 4000, SPINS_CROWDED = 50, LATE = 50000 /* ns */ };

typedef struct slot {
    _Alignas(LINE) uint64_t op; /* how many times this thread asked for work */
    int cpu;                    /* where its affinity was set to, + 1 */
    uint64_t lost, ended;       /* ns that others slept until it came, when it was through */
} slot;

struct team {
    int size, spins;
    int n_cpus, cpus[CPU_MAX]; /* thread by thread: those of the ones left out come last */
    bool pin, one_cpu_each, steady;
    balance balance;
    _Alignas(LINE) _Atomic int running; /* threads OpenMP really gave */
    _Alignas(LINE) _Atomic int arrived;
    _Alignas(LINE) _Atomic uint32_t generation;
    _Atomic int sleepers;
    _Atomic uint32_t asleep;     /* the generation, + 1, that somebody sleeps for */
    _Atomic uint64_t asleep_since;
    struct {
        _Alignas(LINE) _Atomic int64_t next;
    } work[COUNTERS];
    slot slots[];
};

int team_default_size(void)
{
    static int cpus[CPU_MAX];
    int cores;
    cpu_order(cpus, CPU_MAX, &cores);
    return cores > 0 ? cores : 1;
}

team *team_new(int threads, bool pin)
{
    int cores = 0, cpus[CPU_MAX], n = cpu_order(cpus, CPU_MAX, &cores);
    if (threads <= 0) threads = cores > 0 ? cores : 1;
    base_alloc_counted();
    size_t size = (sizeof(team) + (size_t)threads * sizeof(slot) + LINE - 1) / LINE * LINE;
    team *t = aligned_alloc(LINE, size);
    if (!t) return NULL;
    __builtin_memset(t, 0, size);
    t->size = threads;
    t->n_cpus = cores;
    for (int i = 0; i < cores; i++) t->cpus[i] = cpus[i];
    t->pin = pin && threads <= cores;
    t->one_cpu_each = threads == cores;
    t->spins = threads > n ? SPINS_CROWDED : SPINS;
    t->steady = threads > n; /* more than there are CPUs: as they were asked for */
    t->balance = (balance){.size = threads, .active = threads};
    return t;
}

void team_free(team *t) { free(t); }
int team_size(const team *t) { return t->size; }

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Workers belong to this caller's OpenMP pool and stay where they are put; the caller's own thread is left to
 * its owner. */
static void place(team *t, int tid)
{
    int cpu = t->one_cpu_each ? t->cpus[tid] + 1 : 1;
    if (!t->pin || t->slots[tid].cpu == cpu) return;
    t->slots[tid].cpu = cpu;
    if (tid == 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < t->n_cpus; i++)
        if (!t->one_cpu_each || i == tid) CPU_SET((size_t)t->cpus[i], &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* The core of a thread that is left out goes to the end. The caller's thread stays, and with one core more to go to the
 * scheduler moves it. OpenMP ends the threads that a smaller team does not need. */
static void leave_out(team *t, int tid)
{
    int last = t->balance.active; /* after it went */
    if (tid > 0 && t->one_cpu_each) {
        int cpu = t->cpus[tid];
        t->cpus[tid] = t->cpus[last];
        for (int i = last; i + 1 < t->size; i++) t->cpus[i] = t->cpus[i + 1];
        t->cpus[t->size - 1] = cpu; /* of several that are left out, another is tried first */
    }
    if (last > 1)
        for (int i = last; i < t->size; i++) t->slots[i].cpu = 0;
}

static void run_threads(team *t, int n, void (*fn)(void *arg, int tid), void *arg)
{
    for (int i = 1; i < n; i++) t->slots[i].op = t->slots[0].op; /* of those that were left out */
    if (n == 1) {
        atomic_store(&t->running, 1);
        fn(arg, 0);
        return;
    }
    __tsan_release(t);
#pragma omp parallel num_threads(n)
    {
        __tsan_acquire(t);
        int tid = omp_get_thread_num();
        atomic_store_explicit(&t->running, omp_get_num_threads(), memory_order_relaxed);
        place(t, tid);
        fn(arg, tid);
        t->slots[tid].ended = now_ns();
        __tsan_release(t);
    }
    __tsan_acquire(t);
}

/* The thread that cost the others most: late at barriers, and at the end. */
static int slowest(team *t, int n, uint64_t *lost)
{
    int worst = 0;
    for (int i = 0; i < n; i++) {
        slot *s = &t->slots[i];
        if (s->ended > t->slots[0].ended + LATE) s->lost += s->ended - t->slots[0].ended;
        if (s->lost > t->slots[worst].lost) worst = i;
    }
    *lost = t->slots[worst].lost;
    for (int i = 0; i < n; i++) t->slots[i].lost = 0;
    return worst;
}

void team_run(team *t, void (*fn)(void *arg, int tid), void *arg)
{
    if (t->size == 1 || t->steady) {
        run_threads(t, t->size, fn, arg);
        return;
    }
    uint64_t start = now_ns(), lost = 0;
    int n = balance_begin(&t->balance, start), worst = 0;
    run_threads(t, n, fn, arg);
    uint64_t end = now_ns();
    if (n > 1) worst = slowest(t, n, &lost);
    if (balance_end(&t->balance, end, end - start, lost)) leave_out(t, worst);
}

int team_running(const team *t) { return atomic_load_explicit(&t->running, memory_order_relaxed); }

static void futex_wait(_Atomic uint32_t *p, uint32_t value)
{
    syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *p) { syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }

/* Who comes last, and finds others asleep, cost them the time since. */
static void count_lost(team *t, int tid, uint32_t gen)
{
    if (atomic_load(&t->asleep) != gen + 1) return;
    uint64_t since = atomic_load(&t->asleep_since), now = now_ns();
    if (now > since) t->slots[tid].lost += now - since;
}

void team_barrier(team *t, int tid)
{
    int n = atomic_load_explicit(&t->running, memory_order_relaxed);
    if (n == 1) return;
    uint32_t gen = atomic_load(&t->generation);
    if (atomic_fetch_add(&t->arrived, 1) == n - 1) {
        count_lost(t, tid, gen);
        atomic_store(&t->arrived, 0);
        atomic_fetch_add(&t->generation, 1);
        if (atomic_load(&t->sleepers)) futex_wake_all(&t->generation);
        return;
    }
    for (int i = 0; i < t->spins; i++) {
        if (atomic_load_explicit(&t->generation, memory_order_acquire) != gen) return;
        __builtin_ia32_pause();
    }
    if (atomic_load(&t->asleep) != gen + 1) {
        atomic_store(&t->asleep_since, now_ns());
        atomic_store(&t->asleep, gen + 1);
    }
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->generation) == gen) futex_wait(&t->generation, gen);
    atomic_fetch_sub(&t->sleepers, 1);
}

_Atomic int64_t *team_work(team *t, int tid)
{
    uint64_t op = t->slots[tid].op++;
    /* The counter of four uses ago is free: everybody has passed the barriers since. */
    if (tid == 0) atomic_store_explicit(&t->work[(op + COUNTERS / 2) % COUNTERS].next, 0, memory_order_relaxed);
    return &t->work[op % COUNTERS].next;
}
