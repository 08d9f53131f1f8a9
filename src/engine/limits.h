/* What this machine can do at most, measured: streams through memory, and arithmetic on registers. Figures of one
 * machine change within minutes as its neighbours do, so whoever judges by them measures them in between. */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include "../../simd/simd.h"

typedef enum limits_kind {
    LIMITS_READ,  /* GB/s (10^9 bytes) */
    LIMITS_COPY,  /* the same, bytes read and bytes written */
    LIMITS_TRIAD, /* a = b + s c: two streams read, one written */
    LIMITS_INT8,  /* 10^9 operations a second, two a product */
    LIMITS_F32,
    LIMITS_KINDS
} limits_kind;

typedef struct limits limits;

/* Memory to stream through, in huge pages or small ones. bytes 0: four times all caches, at least 256 MiB, at most a
 * quarter of the memory that is left. Fails where there is less than 64 MiB. */
tawny_status limits_new(size_t bytes, bool huge, limits **out, tawny_error *err);
/* The same over memory of somebody else (the first whole MiB of it): for reading only. */
tawny_status limits_over(const void *data, size_t bytes, limits **out, tawny_error *err);
void limits_free(limits *l);
size_t limits_bytes(const limits *l);
double limits_huge_share(const limits *l); /* of that memory, how much really lies in huge pages: 0 to 1 */

/* Measures with so many threads on the given logical CPUs from now on: a CPU each where they are as many, else placed
 * among them by the scheduler. The first sample of reading then finds the fastest way to do it (0.3 s). */
tawny_status limits_threads(limits *l, int threads, const int *cpus, int n_cpus, tawny_error *err);
void limits_as_usual(limits *l); /* does not look for it, but prefetches as is mostly best */
size_t limits_prefetch(const limits *l); /* how many bytes ahead the fastest way asks for data; 0: not at all */

/* One sample of about so many seconds; 0 where no thread could be had. tier: whose arithmetic; memory is always
 * measured with the widest vectors there are. */
double limits_sample(limits *l, limits_kind kind, simd_tier tier, double seconds);

/* Waits until the threads of the last team have gone to sleep: idle ones of OpenMP spin for some milliseconds, and
 * would take from a sample. */
void limits_settle(void);

typedef struct limits_range {
    double min, median, max;
} limits_range;
limits_range limits_range_of(double *v, int n); /* sorts v; n >= 1 */

#endif
