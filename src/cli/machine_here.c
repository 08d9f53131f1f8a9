/* This machine, measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cpu.h"
#include "../base/mem.h"
#include "../engine/limits.h"
#include "machines.h"

/* GiB that a model may take: the machine's memory less what runs beside it, and no more than control groups let this process
 * have. */
double machine_memory_gib(void)
{
    const double gib = 1 << 30, beside = 0.5;
    double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / gib - beside;
    double group = (double)mem_group_limit("") / gib;
    return group < all ? group : all;
}

/* Medians of reading and multiplying; *reads 0 where there is no memory to measure it with. */
static tawny_status measure(int threads, const int *cpus, int cores, double *reads, double *rate, tawny_error *err)
{
    enum { SAMPLES = 5 };
    double read[SAMPLES], ops[SAMPLES];
    limits *l = NULL;
    *reads = *rate = 0;
    tawny_status st = limits_new(0, false, &l, err);
    if (st == TAWNY_E_NOMEM) return TAWNY_OK;
    if (st == TAWNY_OK) st = limits_threads(l, threads, cpus, cores, err);
    if (st == TAWNY_OK) {
        limits_sample(l, LIMITS_READ, simd_current(), 0.05); /* finds the fastest way */
        for (int i = 0; i < SAMPLES; i++) {
            read[i] = limits_sample(l, LIMITS_READ, simd_current(), 0.08);
            ops[i] = limits_sample(l, LIMITS_INT8, simd_current(), 0.03);
        }
        *reads = limits_range_of(read, SAMPLES).median;
        *rate = limits_range_of(ops, SAMPLES).median;
    }
    limits_free(l);
    return st;
}

tawny_status machine_here(int threads, machine *out, tawny_error *err)
{
    static char label[96];
    int cpus[CPU_MAX], cores = 0;
    double read, ops, gib = machine_memory_gib();
    cpu_order(cpus, CPU_MAX, &cores);
    if (threads <= 0) threads = cores;
    tawny_status st = measure(threads, cpus, cores, &read, &ops, err);
    if (st != TAWNY_OK) return st;
    if (read > 0)
        snprintf(label, sizeof label, "This machine (%.1f GB/s read, %d threads)", read, threads);
    else
        snprintf(label, sizeof label, "This machine (too little memory)");
    /* Decode reached 85 to 97 per cent of the reads measured beside it, prefill 50 to 72 of the arithmetic. */
    *out = (machine){"this", label, MACHINE_CPU, gib, gib, 0, 0.85 * read, 0.97 * read, 0.5 * ops / 1e3, 0.72 * ops / 1e3,
                     read > 0 ? "measured now" : "not measured: too little memory"};
    return TAWNY_OK;
}
