/* tawny bandwidth: read, copy and triad through memory for 1..N threads and for each CCD, in small and in huge pages,
 * and the arithmetic that each tier can do on registers. Decode cannot be faster than the first, prefill than the
 * second. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/cpu.h"
#include "../engine/limits.h"
#include "cli.h"

enum { MAX_SAMPLES = 101, MANY = 16 };
static const double sample_seconds = 0.04;

typedef struct machine {
    int cores, cpus[CPU_MAX]; /* one CPU a core, CCD by CCD */
    int n_ccds, first[CPU_MAX + 1]; /* CCD i has cpus[first[i]] to cpus[first[i + 1]] */
} machine;

static void look(machine *m)
{
    int all = cpu_order(m->cpus, CPU_MAX, &m->cores);
    if (m->cores > all || m->cores < 1) m->cores = all > 0 ? all : 1;
    m->n_ccds = 0;
    for (int i = 0; i < m->cores; i++)
        if (i == 0 || cpu_l3(m->cpus[i]) != cpu_l3(m->cpus[i - 1])) m->first[m->n_ccds++] = i;
    m->first[m->n_ccds] = m->cores;
}

typedef struct report {
    const machine *m;
    int samples;
    json_t *memory, *arithmetic; /* NULL: a table is printed */
    tawny_error *err;
} report;

static json_t *range_json(limits_range r)
{
    return json_pack("{s:f, s:f, s:f}", "min", r.min, "median", r.median, "max", r.max);
}

static void print_range(limits_range r, int digits)
{
    printf("  %8.*f %8.*f %8.*f", digits, r.min, digits, r.median, digits, r.max);
}

/* A row: one set of cores, so many threads. ccd < 0: all of them. */
static tawny_status measure(const report *o, limits *l, int threads, int ccd)
{
    static const char *const names[] = {"read", "copy", "triad"};
    const machine *m = o->m;
    int first = ccd < 0 ? 0 : m->first[ccd], n = (ccd < 0 ? m->cores : m->first[ccd + 1]) - first;
    double v[3][MAX_SAMPLES], huge = limits_huge_share(l);
    tawny_status st = limits_threads(l, threads, m->cpus + first, n, o->err);
    if (st != TAWNY_OK) return st;
    for (int i = 0; i < o->samples; i++)
        for (int k = 0; k < 3; k++) v[k][i] = limits_sample(l, (limits_kind)k, SIMD_SCALAR, sample_seconds);
    json_t *row = NULL;
    if (o->memory)
        row = json_pack("{s:i, s:i, s:f, s:I, s:I}", "threads", threads, "ccd", ccd, "huge_pages", huge, "bytes",
                        (json_int_t)limits_bytes(l), "prefetch", (json_int_t)limits_prefetch(l));
    char where[16] = "all";
    if (ccd >= 0) snprintf(where, sizeof where, "CCD %d", ccd);
    if (!row) printf("%-6s %-7s %7d", huge > 0.5 ? "huge" : "4 KiB", where, threads);
    for (int k = 0; k < 3; k++) {
        limits_range r = limits_range_of(v[k], o->samples);
        if (row) json_object_set_new(row, names[k], range_json(r));
        else print_range(r, 1);
    }
    if (row) json_array_append_new(o->memory, row);
    else printf("  %8zu\n", limits_prefetch(l));
    fflush(stdout);
    return TAWNY_OK;
}

/* 1 to N threads (beyond 16, in sixteen steps) on all cores, then each CCD alone where there are several. */
static tawny_status measure_memory(const report *o, limits *l[2], int threads)
{
    tawny_status st = TAWNY_OK;
    if (!o->memory)
        printf("memory, GB/s: min, median and max of %d; %zu MiB\n%-6s %-7s %7s  %26s  %26s  %26s  %8s\n",
               o->samples, limits_bytes(l[0]) >> 20, "pages", "cores", "threads", "read         ", "copy         ",
               "triad         ", "prefetch");
    int steps = threads < MANY ? threads : MANY;
    for (int i = 1; st == TAWNY_OK && i <= steps; i++)
        for (int j = 0; st == TAWNY_OK && j < 2; j++) st = measure(o, l[j], threads * i / steps, -1);
    for (int i = 0; st == TAWNY_OK && o->m->n_ccds > 1 && i < o->m->n_ccds; i++)
        for (int j = 0; st == TAWNY_OK && j < 2; j++) {
            int cores = o->m->first[i + 1] - o->m->first[i];
            st = measure(o, l[j], cores < threads ? cores : threads, i);
        }
    return st;
}

static tawny_status measure_arithmetic(const report *o, limits *l, int threads)
{
    tawny_status st = TAWNY_OK;
    if (!o->arithmetic)
        printf("\narithmetic on registers, 10^9 operations a second: min, median and max of %d\n%-9s %7s  %26s  %26s\n",
               o->samples, "tier", "threads", "int8         ", "float         ");
    for (int step = 0; st == TAWNY_OK && step < 2 && (step == 0 || threads > 1); step++) {
        int n = step ? threads : 1;
        st = limits_threads(l, n, o->m->cpus, o->m->cores, o->err);
        for (int t = 0; st == TAWNY_OK && t < SIMD_TIERS; t++) {
            double v[2][MAX_SAMPLES];
            if (!simd_available((simd_tier)t)) continue;
            for (int i = 0; i < o->samples; i++)
                for (int k = 0; k < 2; k++)
                    v[k][i] = limits_sample(l, k ? LIMITS_F32 : LIMITS_INT8, (simd_tier)t, sample_seconds);
            limits_range r8 = limits_range_of(v[0], o->samples), rf = limits_range_of(v[1], o->samples);
            if (o->arithmetic) {
                json_t *row = json_pack("{s:s, s:i, s:o, s:o}", "tier", simd_tier_name((simd_tier)t), "threads", n,
                                        "int8", range_json(r8), "f32", range_json(rf));
                json_array_append_new(o->arithmetic, row);
                continue;
            }
            printf("%-9s %7d", simd_tier_name((simd_tier)t), n);
            print_range(r8, 0);
            print_range(rf, 0);
            printf("\n");
            fflush(stdout);
        }
    }
    return st;
}

int cmd_bandwidth(int argc, char **argv)
{
    static machine m;
    int threads = 0, samples = 7;
    bool json = false;
    const cli_opt opts[] = {
        {"-t --threads", CLI_INT, &threads, "N", "up to so many threads (default: the physical cores)", 0, CPU_MAX},
        {"-r --repetitions", CLI_INT, &samples, "N", "samples of each figure (default: 7)", 1, MAX_SAMPLES},
        {"--json", CLI_FLAG, &json, NULL, "one object instead of tables; ccd -1 is all of them", 0, 0},
        {0},
    };
    int code = cli_parse("bandwidth", argc, argv, opts, NULL);
    if (code >= 0) return code;
    tawny_error err;
    look(&m);
    if (threads == 0) threads = m.cores;
    report o = {.m = &m, .samples = samples, .err = &err};
    if (json) {
        o.memory = json_array();
        o.arithmetic = json_array();
    }
    limits *l[2] = {NULL, NULL};
    tawny_status st = simd_init(NULL, &err);
    if (st == TAWNY_OK) st = limits_new(0, false, &l[0], &err);
    if (st == TAWNY_OK) st = limits_new(0, true, &l[1], &err);
    if (st == TAWNY_OK) st = measure_memory(&o, l, threads);
    if (st == TAWNY_OK) st = measure_arithmetic(&o, l[1], threads);
    if (json && st == TAWNY_OK) {
        json_t *all = json_pack("{s:s, s:s, s:s, s:i, s:O, s:O}", "version", TAWNY_VERSION, "cpu", cpu_get()->name,
                                "tier", simd_tier_name(simd_current()), "cores", m.cores, "memory", o.memory,
                                "arithmetic", o.arithmetic);
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(all);
    }
    limits_free(l[0]);
    limits_free(l[1]);
    json_decref(o.memory);
    json_decref(o.arithmetic);
    return st == TAWNY_OK ? cli_finish(0) : cli_fail_err(&err);
}
