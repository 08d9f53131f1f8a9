#include "cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static void detect_isa(cpu_info *c)
{
    unsigned a, b, cx, d;
    if (!__get_cpuid(1, &a, &b, &cx, &d)) return;
    c->family = (a >> 8 & 15) + ((a >> 8 & 15) == 15 ? a >> 20 & 255 : 0);
    c->model = (a >> 4 & 15) | (a >> 12 & 0xf0);
    bool osxsave = cx >> 27 & 1, avx = cx >> 28 & 1, fma = cx >> 12 & 1, f16c = cx >> 29 & 1;
    if (!osxsave || !avx) return;
    uint64_t xcr = xgetbv0();
    if ((xcr & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &cx, &d)) return;
    c->avx2 = (b >> 5 & 1) && (b >> 8 & 1) && fma && f16c;
    bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1, vbmi = cx >> 1 & 1, vnni = cx >> 11 & 1;
    c->avx512 = c->avx2 && f && dq && bw && vl && vbmi && vnni && (xcr & 0xe0) == 0xe0;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &cx, &d)) {
        c->avx_vnni = c->avx2 && (a >> 4 & 1);
        c->avx512_bf16 = c->avx512 && (a >> 5 & 1);
    }
}

static void detect_name(cpu_info *c)
{
    unsigned r[12], a, b, cx, d;
    if (__get_cpuid(0, &a, &b, &cx, &d)) {
        memcpy(c->vendor, &b, 4);
        memcpy(c->vendor + 4, &d, 4);
        memcpy(c->vendor + 8, &cx, 4);
    }
    if (!__get_cpuid(0x80000000, &a, &b, &cx, &d) || a < 0x80000004) return;
    for (unsigned i = 0; i < 3; i++) __get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    char name[49] = {0};
    memcpy(name, r, 48);
    char *p = name;
    while (*p == ' ') p++;
    for (size_t n = strlen(p); n && p[n - 1] == ' '; n--) p[n - 1] = 0;
    snprintf(c->name, sizeof c->name, "%s", p);
}

/* The size of cache `index` (0: L1 data, 2: L2, 3: L3) as the kernel knows it, else as the C library does, which
 * counts the L3 of all CCDs together on some CPUs. */
static size_t cache_bytes(int index, int which)
{
    char path[80], unit = 0;
    size_t kib = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE *f = fopen(path, "re");
    if (f && (fscanf(f, "%zu%c", &kib, &unit) != 2 || unit != 'K')) kib = 0;
    if (f) fclose(f);
    long n = kib ? 0 : sysconf(which);
    return kib ? kib * 1024 : n > 0 ? (size_t)n : 0;
}

const cpu_info *cpu_get(void)
{
    static cpu_info info;
    static int ready; /* racing first callers write the same values */
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
        cpu_info c = {0};
        detect_isa(&c);
        detect_name(&c);
        c.l1d = cache_bytes(0, _SC_LEVEL1_DCACHE_SIZE);
        c.l2 = cache_bytes(2, _SC_LEVEL2_CACHE_SIZE);
        c.l3 = cache_bytes(3, _SC_LEVEL3_CACHE_SIZE);
        info = c;
        __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    }
    return &info;
}

/* The number in /sys/devices/system/cpu/cpuN/..., or -1. A list ("0-7,16-23") gives its first member. */
static int sys_number(int cpu, const char *what)
{
    char path[160];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, what);
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    int v = -1;
    if (fscanf(f, "%d", &v) != 1) v = -1;
    fclose(f);
    return v;
}

int cpu_l3(int cpu) { return sys_number(cpu, "cache/index3/shared_cpu_list"); }

typedef struct place {
    int sibling; /* 0: the first thread of its core, 1: a further one */
    int l3, core, cpu;
} place;

static int by_place(const void *x, const void *y)
{
    const place *a = x, *b = y;
    if (a->sibling != b->sibling) return a->sibling - b->sibling;
    if (a->l3 != b->l3) return a->l3 - b->l3;
    if (a->core != b->core) return a->core - b->core;
    return a->cpu - b->cpu;
}

int cpu_order(int *cpus, int max, int *cores)
{
    cpu_set_t set;
    place places[CPU_MAX];
    int n = 0;
    *cores = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int cpu = 0; cpu < CPU_MAX && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &set)) continue;
        int first = sys_number(cpu, "topology/thread_siblings_list"), l3 = cpu_l3(cpu);
        places[n] = (place){0, l3, first < 0 ? cpu : first, cpu};
        for (int i = 0; i < n; i++) places[n].sibling |= places[i].core == places[n].core;
        *cores += !places[n].sibling;
        n++;
    }
    qsort(places, (size_t)n, sizeof *places, by_place);
    if (n > max) n = max;
    for (int i = 0; i < n; i++) cpus[i] = places[i].cpu;
    return n;
}
