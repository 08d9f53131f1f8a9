/* This machine, measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cpu.h"
#include "../engine/limits.h"
#include "machines.h"

/* A number in a file that holds nothing else; 0 where there is none ("max"). */
static double number_in(const char *path)
{
    char line[64] = "";
    FILE *f = fopen(path, "re");
    if (f) {
        if (!fgets(line, sizeof line, f)) line[0] = 0;
        fclose(f);
    }
    return strtod(line, NULL);
}

/* The least of the machine's memory and of what the cgroup of this process may take (version 2, and 1). */
static double memory_bytes(void)
{
    double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double given[] = {number_in("/sys/fs/cgroup/memory.max"),
                      number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")};
    for (int i = 0; i < 2; i++)
        if (given[i] > 0 && given[i] < all) all = given[i];
    return all;
}

tawny_status machine_here(int threads, machine *out, tawny_error *err)
{
    enum { SAMPLES = 5 };
    static char label[96];
    limits *l = NULL;
    int cpus[CPU_MAX], cores = 0;
    double read[SAMPLES], ops[SAMPLES];
    cpu_order(cpus, CPU_MAX, &cores);
    tawny_status st = limits_new(0, false, &l, err);
    if (st == TAWNY_OK) st = limits_threads(l, threads > 0 ? threads : cores, cpus, cores, err);
    if (st == TAWNY_OK) {
        limits_sample(l, LIMITS_READ, simd_current(), 0.05); /* finds the fastest way */
        for (int i = 0; i < SAMPLES; i++) {
            read[i] = limits_sample(l, LIMITS_READ, simd_current(), 0.08);
            ops[i] = limits_sample(l, LIMITS_INT8, simd_current(), 0.03);
        }
        limits_range r = limits_range_of(read, SAMPLES), o = limits_range_of(ops, SAMPLES);
        double gib = memory_bytes() / (double)(1 << 30) - 0.5; /* what runs beside it */
        snprintf(label, sizeof label, "This machine (%.1f GB/s read, %d threads)", r.median,
                 threads > 0 ? threads : cores);
        /* Decode reached 85 to 97 per cent of the reads measured beside it, prefill 50 to 72 of the arithmetic. */
        *out = (machine){"this",
                         label,
                         MACHINE_CPU,
                         gib,
                         gib,
                         0,
                         0.85 * r.median,
                         0.97 * r.median,
                         0.5 * o.median / 1e3,
                         0.72 * o.median / 1e3,
                         "measured now"};
    }
    limits_free(l);
    return st;
}
