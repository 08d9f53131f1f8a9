#include "team.h"

#include <linux/futex.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"
#include "cpu.h"

/* ThreadSanitizer does not see how libgomp forks and joins: it is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#else
#define __tsan_release(p) ((void)(p))
#define __tsan_acquire(p) ((void)(p))
#endif

enum { LINE = 64, COUNTERS = 8, SPINS = 4000, SPINS_CROWDED = 50 };

typedef struct slot {
    _Alignas(LINE) uint64_t op; /* how many times this thread asked for work */
    bool placed;                /* its affinity was set */
} slot;

struct team {
    int size, spins;
    int n_cpus, cpus[CPU_MAX];
    bool pin, one_cpu_each;
    _Alignas(LINE) _Atomic int running; /* threads OpenMP really gave */
    _Alignas(LINE) _Atomic int arrived;
    _Alignas(LINE) _Atomic uint32_t generation;
    _Atomic int sleepers;
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
    return t;
}

void team_free(team *t) { free(t); }
int team_size(const team *t) { return t->size; }

/* Workers belong to this caller's OpenMP pool and stay where they are put; the caller's own thread is left to
 * its owner. */
static void place(team *t, int tid)
{
    if (!t->pin || t->slots[tid].placed) return;
    t->slots[tid].placed = true;
    if (tid == 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < t->n_cpus; i++)
        if (!t->one_cpu_each || i == tid) CPU_SET((size_t)t->cpus[i], &set);
    sched_setaffinity(0, sizeof set, &set);
}

void team_run(team *t, void (*fn)(void *arg, int tid), void *arg)
{
    if (t->size == 1) {
        atomic_store(&t->running, 1);
        fn(arg, 0);
        return;
    }
    __tsan_release(t);
#pragma omp parallel num_threads(t->size)
    {
        __tsan_acquire(t);
        int tid = omp_get_thread_num();
        atomic_store_explicit(&t->running, omp_get_num_threads(), memory_order_relaxed);
        place(t, tid);
        fn(arg, tid);
        __tsan_release(t);
    }
    __tsan_acquire(t);
}

int team_running(const team *t) { return atomic_load_explicit(&t->running, memory_order_relaxed); }

static void futex_wait(_Atomic uint32_t *p, uint32_t value)
{
    syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *p) { syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }

void team_barrier(team *t)
{
    int n = atomic_load_explicit(&t->running, memory_order_relaxed);
    if (n == 1) return;
    uint32_t gen = atomic_load(&t->generation);
    if (atomic_fetch_add(&t->arrived, 1) == n - 1) {
        atomic_store(&t->arrived, 0);
        atomic_fetch_add(&t->generation, 1);
        if (atomic_load(&t->sleepers)) futex_wake_all(&t->generation);
        return;
    }
    for (int i = 0; i < t->spins; i++) {
        if (atomic_load_explicit(&t->generation, memory_order_acquire) != gen) return;
        __builtin_ia32_pause();
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
