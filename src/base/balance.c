#include "balance.h"

enum { STRIKES = 2, MS = 1000000, REST = 250 * MS };
#define MOST_REST ((uint64_t)4000 * MS)

int balance_begin(balance *b, uint64_t now)
{
    b->trying = b->active < b->size && now >= b->until;
    if (b->trying) b->active++;
    return b->active;
}

/* A thread of n is worth 1/n of a run where all is arithmetic, less where memory is the limit. */
static bool much(const balance *b, uint64_t elapsed, uint64_t lost) { return lost * (uint64_t)b->active * 5 > elapsed * 3; }

/* Twice the last one; but that counts for half for each time in which all was well for as long as it. */
static uint64_t next_rest(const balance *b, uint64_t now)
{
    uint64_t rest = b->rest, well = b->trying ? 0 : now - b->since;
    for (; rest > REST && well >= rest; rest /= 2) well -= rest;
    if (!rest || well >= rest) return REST;
    return 2 * rest < MOST_REST ? 2 * rest : MOST_REST;
}

bool balance_end(balance *b, uint64_t now, uint64_t elapsed, uint64_t lost)
{
    bool bad = b->active > 1 && much(b, elapsed, lost);
    b->strikes = bad ? b->strikes + 1 : 0;
    if (b->trying && !bad) b->since = now;
    if (!bad || (!b->trying && b->strikes < STRIKES)) return false;
    b->rest = next_rest(b, now);
    b->until = now + b->rest;
    b->active--;
    b->strikes = 0;
    return true;
}
