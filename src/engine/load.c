/* How a model's weights come into memory, and the choice that `auto` makes. */
#include <stdio.h>
#include <string.h>

#include "../base/cpu.h"
#include "../base/error.h"
#include "../base/file.h"
#include "../base/mem.h"
#include "engine.h"
#include "limits.h"

enum { SAMPLE = 128 << 20, ROUNDS = 7, WORTH_PERCENT = 5, MOST_SECONDS = 30 };
static const double sample_seconds = 0.01;

static const char *const names[] = {"mmap", "huge", "lock", "huge+lock", "recache", "auto"};

const char *tawny_load_name(tawny_load load) { return names[load]; }

bool tawny_load_parse(const char *name, tawny_load *load)
{
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *load = (tawny_load)i;
        return true;
    }
    return false;
}

/* Medians of reading the same way from the mapped file and from huge pages, in turn, with a thread a core. */
static tawny_status compare(const gguf *g, double *mapped, double *huge, tawny_error *err)
{
    static int cpus[CPU_MAX];
    limits *l[2] = {NULL, NULL};
    double v[2][ROUNDS];
    int cores, n = cpu_order(cpus, CPU_MAX, &cores);
    tawny_status st = limits_over(gguf_tensor_at(g, 0)->data, SAMPLE, &l[0], err);
    if (st == TAWNY_OK) st = limits_new(SAMPLE, true, &l[1], err);
    for (int i = 0; st == TAWNY_OK && i < 2; i++) {
        st = limits_threads(l[i], cores > 0 ? cores : 1, cpus, cores < n ? cores : n, err);
        limits_as_usual(l[i]);
    }
    if (st == TAWNY_OK) limits_sample(l[0], LIMITS_READ, SIMD_SCALAR, sample_seconds); /* what is not in memory yet */
    for (int r = 0; st == TAWNY_OK && r < ROUNDS; r++)
        for (int i = 0; i < 2; i++) v[i][r] = limits_sample(l[i], LIMITS_READ, SIMD_SCALAR, sample_seconds);
    if (st == TAWNY_OK) {
        *mapped = limits_range_of(v[0], ROUNDS).median;
        *huge = limits_range_of(v[1], ROUNDS).median;
    }
    limits_free(l[0]);
    limits_free(l[1]);
    return st;
}

static bool faster(double a, double b) { return a * 100 > b * (100 + WORTH_PERCENT); }

/* The whole file made anew in large pages; `why` gets what came of it. */
static tawny_status recache(const gguf *g, char *why, size_t size, tawny_error *err)
{
    file_recached r;
    uint64_t bytes = gguf_file_bytes(g), left = mem_available("");
    if (bytes > left) {
        snprintf(why, size, "recache: left as it is: %llu MiB would not stay in the %llu MiB of memory that are left",
                 (unsigned long long)bytes >> 20, (unsigned long long)left >> 20);
        return TAWNY_OK;
    }
    tawny_status st = gguf_recache(g, &r, err);
    unsigned long long before = r.before >> 20, after = r.after >> 20, whole = r.bytes >> 20;
    if (st != TAWNY_OK) return st;
    if (r.again == 0)
        snprintf(why, size, "recache: %llu of %llu MiB lie in large pages", after, whole);
    else if (r.useless)
        snprintf(why, size, "recache: given up after %llu MiB, which stay in small pages: the file system or kernel has no "
                 "large ones for them, or other processes use the file", whole);
    else
        snprintf(why, size, "recache: %llu of %llu MiB lie in large pages, before it were %llu; %.1f s", after, whole, before,
                 r.seconds);
    return TAWNY_OK;
}

/* Tries it on the sample: whether it came into large pages, is read faster, and the rest would not take long. */
static bool try_recache(const gguf *g, const gguf_tensor *first, double before, double huge, char *why, size_t size)
{
    file_recached r;
    tawny_error err;
    double mapped, again;
    uint64_t bytes = gguf_file_bytes(g);
    if (bytes > mem_available("") || gguf_recache_part(g, first, SAMPLE, &r, &err) != TAWNY_OK || r.useless) return false;
    if (compare(g, &mapped, &again, &err) != TAWNY_OK || !faster(mapped, before)) return false;
    double rest = r.again ? r.seconds / (double)r.again * (double)bytes : 0;
    if (rest > MOST_SECONDS) return false;
    snprintf(why, size, "recache: %.1f GB/s were read as it was cached, %.1f after it was read again in large pages (%.1f from "
             "memory in huge pages)", before, mapped, (huge + again) / 2);
    return true;
}

static tawny_load choose(const gguf *g, char *why, size_t size)
{
    double mapped, huge;
    tawny_error err;
    uint64_t bytes = gguf_file_bytes(g), left = mem_available("");
    const gguf_tensor *first = gguf_tensor_count(g) ? gguf_tensor_at(g, 0) : NULL;
    if (!first || gguf_bytes_from(g, first) < SAMPLE) {
        snprintf(why, size, "mmap: too few weights for a measurement");
    } else if (compare(g, &mapped, &huge, &err) != TAWNY_OK) {
        snprintf(why, size, "mmap: %.120s", err.message);
    } else if (!faster(huge, mapped)) {
        snprintf(why, size, "mmap: %.1f GB/s are read as it is mapped, %.1f from huge pages", mapped, huge);
    } else if (try_recache(g, first, mapped, huge, why, size)) {
        return TAWNY_LOAD_RECACHE;
    } else if (bytes > left / 2) {
        snprintf(why, size, "mmap: %.1f GB/s are read as it is mapped, %.1f from huge pages, but a copy would take more than "
                 "half of the %llu MiB of memory that are left", mapped, huge, (unsigned long long)left >> 20);
    } else {
        snprintf(why, size, "huge: %.1f GB/s are read as it is mapped, %.1f from huge pages", mapped, huge);
        return TAWNY_LOAD_HUGE;
    }
    return TAWNY_LOAD_MMAP;
}

tawny_status engine_load(tawny_model *t, tawny_load load, tawny_error *err)
{
    char told[sizeof t->load_why];
    bool chosen = load == TAWNY_LOAD_AUTO;
    if (chosen) load = choose(t->m.file, t->load_why, sizeof t->load_why);
    t->load = load;
    if (load == TAWNY_LOAD_RECACHE) return recache(t->m.file, chosen ? told : t->load_why, sizeof told, err);
    bool copy = load == TAWNY_LOAD_HUGE || load == TAWNY_LOAD_HUGE_LOCK;
    return gguf_load(t->m.file, copy, load == TAWNY_LOAD_LOCK || load == TAWNY_LOAD_HUGE_LOCK, err);
}

tawny_load tawny_model_loaded(const tawny_model *m, const char **why)
{
    if (why) *why = m->load_why;
    return m->load;
}
