/* Source of families and models: AMD's and Intel's revision guides, as the kernel's arch/x86/include/asm/intel-family.h
 * and arch/x86/kernel/cpu/amd.c have them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

typedef struct march {
    const char *vendor;
    int family, from, to; /* models */
    const char *name;
} march;

static const march marches[] = {
    {"AuthenticAMD", 23, 0x00, 0x2f, "Zen or Zen+"},
    {"AuthenticAMD", 23, 0x30, 0xff, "Zen 2"},
    {"AuthenticAMD", 25, 0x10, 0x1f, "Zen 4"},
    {"AuthenticAMD", 25, 0x60, 0x7f, "Zen 4"},
    {"AuthenticAMD", 25, 0xa0, 0xaf, "Zen 4"},
    {"AuthenticAMD", 25, 0x00, 0xff, "Zen 3"},
    {"AuthenticAMD", 26, 0x70, 0x77, "Zen 5 (Strix Halo)"},
    {"AuthenticAMD", 26, 0x00, 0x7f, "Zen 5"},
    {"GenuineIntel", 6, 0x55, 0x55, "Skylake-SP or Cascade Lake"},
    {"GenuineIntel", 6, 0x6a, 0x6c, "Ice Lake-SP"},
    {"GenuineIntel", 6, 0x7d, 0x7e, "Ice Lake"},
    {"GenuineIntel", 6, 0x8c, 0x8d, "Tiger Lake"},
    {"GenuineIntel", 6, 0x8f, 0x8f, "Sapphire Rapids"},
    {"GenuineIntel", 6, 0x97, 0x9a, "Alder Lake"},
    {"GenuineIntel", 6, 0xad, 0xae, "Granite Rapids"},
    {"GenuineIntel", 6, 0xcf, 0xcf, "Emerald Rapids"},
    {"GenuineIntel", 6, 0xb7, 0xbf, "Raptor Lake"},
    {"GenuineIntel", 6, 0xc5, 0xc6, "Arrow Lake"},
    {"GenuineIntel", 6, 0xaa, 0xac, "Meteor Lake"},
};

static void show_model(const tree *t, findings *f)
{
    char name[128] = "unknown", vendor[32] = "", family[16] = "0", model[16] = "0";
    const char *known = "not in the table";
    tree_value(t, "/proc/cpuinfo", "model name", name, sizeof name);
    tree_value(t, "/proc/cpuinfo", "vendor_id", vendor, sizeof vendor);
    tree_value(t, "/proc/cpuinfo", "cpu family", family, sizeof family);
    tree_value(t, "/proc/cpuinfo", "model", model, sizeof model);
    for (size_t i = sizeof marches / sizeof *marches; i-- > 0;) {
        const march *m = &marches[i];
        if (strcmp(m->vendor, vendor) == 0 && m->family == atoi(family) && atoi(model) >= m->from &&
            atoi(model) <= m->to)
            known = m->name;
    }
    findings_fact_text(f, "cpu", "model", name);
    findings_fact_text(f, "cpu", "microarchitecture", known);
    findings_fact(f, "cpu", "family", json_integer(atoi(family)));
    findings_fact(f, "cpu", "model number", json_integer(atoi(model)));
}

static bool has_flag(const char *flags, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = flags; (p = strstr(p, name)); p += n)
        if ((p == flags || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return true;
    return false;
}

static void show_flags(const tree *t, findings *f)
{
    static const char *const known[] = {"avx2",        "fma",      "f16c",     "bmi2",        "avx512f",
                                        "avx512bw",    "avx512dq", "avx512vl", "avx512_vnni", "avx512vbmi",
                                        "avx512_bf16", "avx_vnni", "amx_int8"};
    enum { AVX512 = 10 };
    char flags[8192] = "";
    int missing = 0;
    json_t *list = json_array();
    tree_value(t, "/proc/cpuinfo", "flags", flags, sizeof flags);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool has = has_flag(flags, known[i]);
        if (has) json_array_append_new(list, json_string(known[i]));
        if (i < AVX512 && !has) missing++;
    }
    findings_fact(f, "cpu", "instructions", list);
    if (flags[0] && (!has_flag(flags, "avx2") || !has_flag(flags, "fma")))
        findings_add(f, FINDING_SLOW, "no-avx2", "the CPU, or the hypervisor, offers no AVX2",
                     "tawny runs its scalar kernels: right, but many times slower",
                     "lscpu (in a virtual machine: give it the host's CPU, as qemu -cpu host)");
    else if (missing && has_flag(flags, "avx512f"))
        findings_add(f, FINDING_NOTE, "avx512-part",
                     "AVX-512 is there, but not all of it that the fast kernels use (VNNI, VBMI)",
                     "the AVX2 kernels run instead",
                     "lscpu (in a virtual machine: give it the host's CPU, as qemu -cpu host)");
}

/* ---- topology ---- */

typedef struct topology {
    const tree *t;
    int cpus, smt, l3, performance, epp_other;
    char seen_l3[4096]; /* "|0-7,16-23|8-15,24-31|" */
    char governor[32], epp[32];
} topology;

static void see_cpu(void *user, const char *name)
{
    topology *p = user;
    char path[160], line[128];
    int no, used;
    if (sscanf(name, "cpu%d%n", &no, &used) != 1 || name[used]) return;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/online", name);
    if (tree_number(p->t, path, 1) == 0) return;
    p->cpus++;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/topology/thread_siblings_list", name);
    if (tree_line(p->t, path, line, sizeof line) && atoi(line) != no) p->smt++;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/cache/index3/shared_cpu_list", name);
    if (tree_line(p->t, path, line, sizeof line)) {
        char mark[160];
        snprintf(mark, sizeof mark, "|%s|", line);
        if (!strstr(p->seen_l3, mark) && strlen(p->seen_l3) + strlen(mark) < sizeof p->seen_l3) {
            strcat(p->seen_l3, mark);
            p->l3++;
        }
    }
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/cpufreq/scaling_governor", name);
    if (tree_line(p->t, path, line, sizeof line)) {
        snprintf(p->governor, sizeof p->governor, "%.31s", line);
        p->performance += strcmp(line, "performance") == 0;
    }
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/cpufreq/energy_performance_preference", name);
    if (tree_line(p->t, path, line, sizeof line)) {
        snprintf(p->epp, sizeof p->epp, "%.31s", line);
        p->epp_other += strcmp(line, "performance") != 0 && strcmp(line, "balance_performance") != 0;
    }
}

static void show_caches(const tree *t, findings *f)
{
    static const char *const names[] = {"L1 data", "", "L2", "L3"};
    for (int i = 0; i < 4; i++) {
        char path[96], line[32], name[16];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        snprintf(name, sizeof name, "%s", names[i]);
        if (name[0] && tree_line(t, path, line, sizeof line)) findings_fact_text(f, "cpu", name, line);
    }
}

static void show_power(const topology *p, findings *f)
{
    if (p->governor[0]) findings_fact_text(f, "cpu", "governor", p->governor);
    if (p->epp[0]) findings_fact_text(f, "cpu", "energy preference", p->epp);
    if (strcmp(p->governor, "powersave") == 0 && !p->epp[0])
        findings_add(f, FINDING_SLOW, "governor",
                     "the governor is powersave without a driver that knows better (no EPP)",
                     "cores stay at their lowest clock", "sudo cpupower frequency-set -g performance");
    if (p->epp_other)
        findings_addf(
            f, FINDING_SLOW, "epp",
            "cores rise slowly to their clock, and the memory's fabric with them: decode is slower and uneven",
            "echo balance_performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference",
            "the energy preference of %d CPUs is %s", p->epp_other, p->epp);
}

void doctor_cpu(const tree *t, findings *f)
{
    topology p = {.t = t};
    char line[64];
    show_model(t, f);
    show_flags(t, f);
    tree_each(t, "/sys/devices/system/cpu", see_cpu, &p);
    if (p.cpus) {
        findings_fact(f, "cpu", "cores", json_integer(p.cpus - p.smt));
        findings_fact(f, "cpu", "logical CPUs", json_integer(p.cpus));
        findings_fact(f, "cpu", "SMT", json_boolean(p.smt > 0));
    }
    if (p.l3) findings_fact(f, "cpu", "CCDs (L3 domains)", json_integer(p.l3));
    show_caches(t, f);
    show_power(&p, f);
    if (tree_line(t, "/sys/firmware/acpi/platform_profile", line, sizeof line)) {
        findings_fact_text(f, "cpu", "platform profile", line);
        if (strcmp(line, "low-power") == 0 || strcmp(line, "quiet") == 0)
            findings_addf(f, FINDING_SLOW, "platform-profile",
                          "the firmware holds the power limit low: prefill suffers most",
                          "echo performance | sudo tee /sys/firmware/acpi/platform_profile",
                          "the platform profile is %s", line);
    }
    if (tree_line(t, "/proc/sys/kernel/osrelease", line, sizeof line))
        findings_fact_text(f, "system", "kernel", line);
    if (!tree_exists(t, "/sys/devices/system/cpu"))
        findings_add(f, FINDING_NOTE, "no-sys", "/sys is not there: a container without it",
                     "caches, cores and CCDs are not known, so threads cannot be placed by them", "docker run -v /sys:/sys:ro ...");
}
