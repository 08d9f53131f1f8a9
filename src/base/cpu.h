/* The CPU: instruction sets that both it and the OS offer, its name, caches, and the cores to run on. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cpu_info {
    char vendor[16], name[64];
    unsigned family, model;
    bool avx2;      /* AVX2, FMA, F16C, BMI2, and the OS saves ymm */
    bool avx512;    /* F, BW, DQ, VL, VNNI, VBMI, and the OS saves zmm */
    bool avx512_bf16, avx_vnni;
    size_t l1d, l2, l3; /* bytes; 0 where unknown */
} cpu_info;

const cpu_info *cpu_get(void);

enum { CPU_MAX = 1024 };

/* Physical cores this process may run on, one logical CPU each, CCD by CCD (CPUs that share an L3 follow
 * each other); then their SMT siblings in the same order. Fills cpus[] with at most max logical CPU numbers,
 * returns how many; *cores gets the number of physical cores among them. */
int cpu_order(int *cpus, int max, int *cores);

/* Which CPUs share a last-level cache (a CCD): equal numbers for those that do, -1 where unknown. */
int cpu_l3(int cpu);

#endif
