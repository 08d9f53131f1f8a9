/* Memory modules by SMBIOS (DMTF DSP0134, structure type 17), where its table may be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "doctor.h"

#define GIB ((double)(1ll << 30))

static double kib_of(const tree *t, const char *key)
{
    char value[64];
    return tree_value(t, "/proc/meminfo", key, value, sizeof value) ? strtod(value, NULL) * 1024 : -1;
}

/* ---- modules ---- */

typedef struct modules {
    int n, speed, bits; /* populated; MT/s configured; data width of all together */
    const char *type;
} modules;

static const char *type_name(unsigned type)
{
    switch (type) {
    case 0x18: return "DDR3";
    case 0x1a: return "DDR4";
    case 0x1e: return "LPDDR4";
    case 0x22: return "DDR5";
    case 0x23: return "LPDDR5";
    default: return "memory";
    }
}

static unsigned u16_at(const unsigned char *p) { return p[0] | (unsigned)p[1] << 8; }

/* One structure: its formatted part of p[1] bytes, then strings up to two NULs. */
static void read_module(const unsigned char *p, modules *m)
{
    unsigned len = p[1];
    if (p[0] != 17 || len < 0x17 || u16_at(p + 0x0c) == 0) return; /* no module in this socket */
    unsigned width = u16_at(p + 0x0a), speed = len >= 0x22 ? u16_at(p + 0x20) : u16_at(p + 0x15);
    m->n++;
    if (width != 0xffff) m->bits += (int)width;
    if (speed && speed != 0xffff) m->speed = (int)speed;
    m->type = type_name(p[0x12]);
}

static modules read_modules(const tree *t)
{
    enum { MOST = 1 << 16 };
    modules m = {.type = "memory"};
    char *data = malloc(MOST);
    long n = data ? tree_read(t, "/sys/firmware/dmi/tables/DMI", data, MOST) : -1;
    const unsigned char *p = (const unsigned char *)data;
    for (long at = 0; at + 4 <= n;) {
        long len = p[at + 1], end = at + len;
        if (len < 4 || end + 2 > n) break;
        while (end + 1 < n && (p[end] || p[end + 1])) end++;
        read_module(p + at, &m);
        at = end + 2;
    }
    free(data);
    return m;
}

static void show_modules(const tree *t, findings *f)
{
    modules m = read_modules(t);
    char text[96];
    if (!m.n) {
        if (tree_exists(t, "/sys/firmware/dmi/tables/DMI"))
            findings_fact_text(f, "memory", "modules", "readable by root alone (sudo dmidecode -t memory)");
        return;
    }
    snprintf(text, sizeof text, "%d x %s at %d MT/s, %d bits in all", m.n, m.type, m.speed, m.bits);
    findings_fact_text(f, "memory", "modules", text);
    double peak = (double)m.speed * 1e6 * m.bits / 8 / 1e9;
    if (peak > 0) findings_fact(f, "memory", "GB/s by the modules", json_real(peak));
    if (m.bits == 64 && strncmp(m.type, "LP", 2) != 0)
        findings_add(f, FINDING_SLOW, "one-channel", "all memory is on one channel",
                     "decode reads memory and nothing else: a second module doubles it",
                     "sudo dmidecode -t memory (says which slots are empty)");
}

double doctor_memory_peak(const findings *f)
{
    return json_number_value(json_object_get(json_object_get(f->facts, "memory"), "GB/s by the modules"));
}

/* ---- huge pages, swap ---- */

static void show_pages(const tree *t, findings *f)
{
    char line[96];
    if (!tree_line(t, "/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line)) {
        findings_fact_text(f, "memory", "huge pages", "transparent huge pages are not in this kernel");
        return;
    }
    findings_fact_text(f, "memory", "huge pages", line);
    if (strstr(line, "[never]"))
        findings_add(f, FINDING_SLOW, "thp-never", "transparent huge pages are switched off",
                     "a page walk for each 4 KiB costs reading bandwidth, and --load huge can do nothing about it",
                     "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
}

static void show_swap(const tree *t, findings *f)
{
    double swap = kib_of(t, "SwapTotal"), free_swap = kib_of(t, "SwapFree"), available = kib_of(t, "MemAvailable"),
           all = kib_of(t, "MemTotal");
    if (swap > 0) findings_fact(f, "memory", "swap, GiB", json_real(swap / GIB));
    if (available >= 0 && all > 0 && available < all / 10)
        findings_addf(f, FINDING_SLOW, "memory-full",
                      "weights that do not stay in the page cache are read from the disk for every token",
                      "ps aux --sort=-rss | head", "%.1f of %.1f GiB of memory are available", available / GIB,
                      all / GIB);
    if (swap > 0 && free_swap >= 0 && swap - free_swap > 1 * GIB)
        findings_addf(f, FINDING_NOTE, "swap-used", "memory was short lately: check that the model and its cache fit",
                      "swapon --show", "%.1f GiB are swapped out", (swap - free_swap) / GIB);
}

/* ---- limits ---- */

static double cpu_quota(const tree *t)
{
    char line[64];
    double quota, period;
    if (tree_line(t, "/sys/fs/cgroup/cpu.max", line, sizeof line) && sscanf(line, "%lf %lf", &quota, &period) == 2 &&
        period > 0)
        return quota / period;
    quota = (double)tree_number(t, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", -1);
    period = (double)tree_number(t, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", -1);
    return quota > 0 && period > 0 ? quota / period : -1;
}

static void show_limits(const tree *t, findings *f, double all)
{
    uint64_t group = mem_group_limit(t->root);
    double limit = group < UINT64_MAX ? (double)group : -1, quota = cpu_quota(t);
    bool container = tree_exists(t, "/.dockerenv") || tree_exists(t, "/run/.containerenv");
    if (container) findings_fact(f, "system", "container", json_true());
    if (limit >= 0 && (all <= 0 || limit < all)) {
        findings_fact(f, "memory", "cgroup limit, GiB", json_real(limit / GIB));
        findings_addf(f, FINDING_NOTE, "cgroup-memory",
                      "the mapped model counts against it: beyond it, weights are read from the disk again",
                      "docker run --memory=... (or systemd's MemoryMax=)", "a cgroup allows %.2f GiB of memory",
                      limit / GIB);
    }
    if (quota > 0) {
        findings_fact(f, "cpu", "cgroup quota, CPUs", json_real(quota));
        findings_addf(f, FINDING_SLOW, "cgroup-cpu",
                      "threads beyond it are stopped in the middle of a step, and all others wait for them",
                      "start with -t no larger than the quota, or use cpusets (docker run --cpuset-cpus=...)",
                      "a cgroup allows %.1f CPUs", quota);
    }
}

void doctor_memory(const tree *t, findings *f)
{
    double all = kib_of(t, "MemTotal"), available = kib_of(t, "MemAvailable");
    if (all > 0) findings_fact(f, "memory", "size, GiB", json_real(all / GIB));
    if (available >= 0) findings_fact(f, "memory", "available, GiB", json_real(available / GIB));
    show_modules(t, f);
    show_pages(t, f);
    show_swap(t, f);
    show_limits(t, f, all);
}
