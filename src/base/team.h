/* A team of threads that run one function together (SPMD): thread 0 is the caller, the others come from
 * OpenMP's pool. Barriers spin briefly, then sleep; between calls nobody spins for long. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct team team;

/* threads 0: one a physical core. pin: give each thread a core of its own where the team fills the machine's
 * cores, else keep them on distinct physical cores at the scheduler's choice. NULL when out of memory. */
team *team_new(int threads, bool pin);
void team_free(team *t);
int team_size(const team *t);
int team_default_size(void); /* physical cores this process may use, at least 1 */

/* Runs fn(arg, tid) for tid = 0 .. running - 1 and returns when all have returned. One call at a time. A thread that
 * the others keep waiting for, since its core is busy with something else, is left out of later calls for a while
 * (balance.h). */
void team_run(team *t, void (*fn)(void *arg, int tid), void *arg);

int team_running(const team *t); /* inside fn: the threads that take part */

/* Inside fn: waits for all threads; what any wrote before is seen by all after. */
void team_barrier(team *t, int tid);

/* Inside fn: a shared counter to draw work from, starting at 0. All threads call team_work the same number of
 * times in the same order, each use is followed by a barrier before the next team_work. */
_Atomic int64_t *team_work(team *t, int tid);
static inline int64_t team_take(_Atomic int64_t *work) { return atomic_fetch_add_explicit(work, 1, memory_order_relaxed); }

#endif
