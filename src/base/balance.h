/* Which threads of a team take part: one that others keep waiting for is left out, and tried again later.
 *
 * All threads meet at every barrier. One that shares its core with another process stands still for milliseconds at a
 * time, and the others wait: worse than without it. What is lost is measured (time at barriers beyond the spinning, by
 * who came last); in two runs in a row more than a share of a thread's worth, and the next runs do without. After a rest
 * that doubles from a quarter of a second to four, one run tries again; while all is well the rest shrinks, so that short
 * trouble after a long one costs little. No clock is read here: times come from the team. */
#ifndef BASE_BALANCE_H
#define BASE_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct balance {
    int size, active; /* threads there are, and that take part */
    int strikes;      /* runs in a row that lost much */
    bool trying;      /* this run has one more than the last */
    uint64_t rest, until, since; /* ns: how long to do without, until when; since when one is back */
} balance;

/* Threads for a run that begins now (ns). */
int balance_begin(balance *b, uint64_t now);
/* After a run of `elapsed` in which one thread cost the others `lost`: true where that thread shall be left out. */
bool balance_end(balance *b, uint64_t now, uint64_t elapsed, uint64_t lost);

#endif
