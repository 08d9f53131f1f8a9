/* ROCm, firmware and kernel: pairs that were seen to fail, and engines here that would fall back to the CPU silently.
 *
 * The table is of 2026-11-25; each row names where it was reported. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

typedef struct version {
    int part[3];
} version;

/* "7.1.1-38", "6.18.4-200.fc43.x86_64": the first three numbers. */
static version version_of(const char *s)
{
    version v = {{0}};
    sscanf(s, "%9d.%9d.%9d", &v.part[0], &v.part[1], &v.part[2]);
    return v;
}

static int compare(version a, version b)
{
    for (int i = 0; i < 3; i++)
        if (a.part[i] != b.part[i]) return a.part[i] < b.part[i] ? -1 : 1;
    return 0;
}

/* What is installed; "" where it is not known. */
typedef struct stack {
    char gfx[32], kernel[64], rocm[32], firmware[64];
} stack;

typedef struct known_bad {
    const char *id, *gfx;                   /* gfx: a prefix of the target */
    const char *kernel_from, *kernel_below; /* kernels in [from, below); NULL: any */
    const char *rocm_below;                 /* ROCm older than this; NULL: any */
    const char *firmware;                   /* a part of the package's version; NULL: any */
    finding_level level;
    const char *what, *why, *fix;
} known_bad;

static const known_bad table[] = {
    {"firmware-20251125", "gfx115", NULL, NULL, NULL, "20251125", FINDING_WRONG,
     "linux-firmware 20251125 is installed",
     "it hangs the GPU or faults under any ROCm on gfx1151 (ROCm/legacy-rocm-build#5724, kyuz0/amd-strix-halo-toolboxes#37)",
     "sudo apt install --only-upgrade firmware-amd-graphics (or sudo dnf upgrade linux-firmware), to 20260110 or later"},
    {"kernel-old-gfx1151", "gfx115", NULL, "6.18.4", NULL, NULL, FINDING_WRONG, "the kernel is older than 6.18.4",
     "compute on gfx1151 was unstable until then (kyuz0/amd-strix-halo-toolboxes#69)", "sudo apt full-upgrade (or sudo dnf upgrade kernel), to Linux 6.18.4 or later"},
    {"rocm-old-kernel-new", "gfx115", "6.18.4", NULL, "7.2.0", NULL, FINDING_WRONG,
     "ROCm is older than 7.2 on Linux 6.18.4 or later",
     "the kernel's fix of 6.18.4 made older ROCm incompatible (kyuz0/amd-strix-halo-toolboxes#45)",
     "sudo apt install --only-upgrade rocm (or sudo dnf upgrade 'rocm*'), to 7.2 or later"},
    {"hip-wrong-logits", "gfx115", NULL, NULL, NULL, NULL, FINDING_WRONG,
     "llama.cpp with HIP may compute wrong logits on this GPU",
     "builds before September 2026 read weights in host memory wrongly: perplexity 1334 where CPU and Vulkan give 6.8, worst with prompts "
     "longer than the micro-batch (ggml-org/llama.cpp#28211)",
     "tawny verify -m MODEL --url http://127.0.0.1:8080"},
};

static bool matches(const known_bad *k, const stack *s)
{
    version kernel = version_of(s->kernel), rocm = version_of(s->rocm);
    if (strncmp(s->gfx, k->gfx, strlen(k->gfx)) != 0) return false;
    if (k->kernel_from && (!s->kernel[0] || compare(kernel, version_of(k->kernel_from)) < 0)) return false;
    if (k->kernel_below && (!s->kernel[0] || compare(kernel, version_of(k->kernel_below)) >= 0)) return false;
    if (k->rocm_below && (!s->rocm[0] || compare(rocm, version_of(k->rocm_below)) >= 0)) return false;
    if (k->firmware && !strstr(s->firmware, k->firmware)) return false;
    return s->rocm[0] || k->firmware || k->kernel_below; /* without ROCm only what its absence does not excuse */
}

static void see_package(void *user, const char *name)
{
    stack *s = user;
    size_t n = strcspn(name, "0123456789"); /* linux-firmware-amdgpu-20251125-2 */
    if (strncmp(name, "linux-firmware", 14) != 0 || (s->firmware[0] && !strstr(name, "amdgpu"))) return;
    snprintf(s->firmware, sizeof s->firmware, "%.60s", name + n);
}

/* The package's version, by the databases of dpkg and pacman. */
static void find_firmware(const tree *t, stack *s)
{
    static const char *const packages[] = {"firmware-amd-graphics", "linux-firmware"};
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++)
        if (tree_package(t, packages[i], s->firmware, sizeof s->firmware)) return;
    tree_each(t, "/var/lib/pacman/local", see_package, s);
}

typedef struct rocm_place {
    const tree *t;
    stack *s;
} rocm_place;

/* /opt/rocm-7.1.1, which /opt/rocm should lead to. */
static void see_rocm(void *user, const char *name)
{
    rocm_place *p = user;
    char path[128], found[sizeof p->s->rocm];
    if (strncmp(name, "rocm-", 5) != 0) return;
    snprintf(path, sizeof path, "/opt/%.60s/.info/version", name);
    if (tree_line(p->t, path, found, sizeof found)) memcpy(p->s->rocm, found, sizeof found);
}

/* Where AMD's packages say it, else the version of a distribution's. */
static void find_rocm(const tree *t, stack *s)
{
    static const char *const packages[] = {"rocm-core", "libamdhip64-7", "libamdhip64-6", "libamdhip64-5"};
    if (tree_line(t, "/opt/rocm/.info/version", s->rocm, sizeof s->rocm)) return;
    if (tree_line(t, "/usr/share/rocm/version", s->rocm, sizeof s->rocm)) return;
    tree_each(t, "/opt", see_rocm, &(rocm_place){t, s});
    for (size_t i = 0; !s->rocm[0] && i < sizeof packages / sizeof *packages; i++)
        tree_package(t, packages[i], s->rocm, sizeof s->rocm);
}

static void show_engines(const tree *t, findings *f, bool gpu);

void doctor_stack(const tree *t, findings *f)
{
    stack s = {0};
    const char *gfx = json_string_value(json_object_get(json_object_get(f->facts, "gpu"), "gfx target"));
    snprintf(s.gfx, sizeof s.gfx, "%s", gfx ? gfx : "");
    tree_line(t, "/proc/sys/kernel/osrelease", s.kernel, sizeof s.kernel);
    find_rocm(t, &s);
    find_firmware(t, &s);
    if (s.rocm[0]) findings_fact_text(f, "gpu", "ROCm", s.rocm);
    if (s.firmware[0]) findings_fact_text(f, "gpu", "linux-firmware", s.firmware);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (matches(&table[i], &s))
            findings_add(f, table[i].level, table[i].id, table[i].what, table[i].why, table[i].fix);
    if (gfx && !s.rocm[0])
        findings_add(f, FINDING_NOTE, "no-rocm", "ROCm is not installed",
                     "HIP builds of other engines cannot use the GPU; Vulkan builds can, and tawny needs neither",
                     "llama-server --list-devices (of a Vulkan build)");
    bool gpu = json_integer_value(json_object_get(json_object_get(f->facts, "gpu"), "AMD")) > 0 ||
               json_integer_value(json_object_get(json_object_get(f->facts, "gpu"), "NVIDIA")) > 0;
    show_engines(t, f, gpu);
}

/* ---- other engines ---- */

typedef struct backends {
    bool gpu; /* a library for some GPU was seen */
} backends;

static void see_library(void *user, const char *name)
{
    static const char *const gpu[] = {"hip", "vulkan", "cuda", "rocm"};
    for (size_t i = 0; i < sizeof gpu / sizeof *gpu; i++)
        if (strstr(name, gpu[i])) ((backends *)user)->gpu = true;
}

typedef struct engine_place {
    const char *name, *program, *libraries[4];
} engine_place;

/* Where packages and installers put them; a program with everything linked in shows nothing here and is not judged. */
static const engine_place places[] = {
    {"ollama", "/usr/local/bin/ollama", {"/usr/local/lib/ollama"}},
    {"ollama", "/usr/bin/ollama", {"/usr/lib/ollama"}},
    {"llama.cpp",
     "/usr/bin/llama-server",
     {"/usr/lib/x86_64-linux-gnu/ggml/backends0", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}},
    {"llama.cpp", "/usr/local/bin/llama-server", {"/usr/local/lib", "/usr/local/lib64"}},
};

static void see_ggml(void *user, const char *name)
{
    if (strncmp(name, "libggml-", 8) == 0) see_library(user, name);
}

static void show_engines(const tree *t, findings *f, bool gpu)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const engine_place *p = &places[i];
        backends b = {0};
        bool own = strcmp(p->name, "ollama") == 0;
        if (!tree_exists(t, p->program)) continue;
        for (int k = 0; k < 4 && p->libraries[k]; k++)
            tree_each(t, p->libraries[k], own ? see_library : see_ggml, &b);
        findings_fact_text(f, "engines", p->name, b.gpu ? "with libraries for a GPU" : "no libraries for a GPU seen");
        if (gpu && !b.gpu)
            findings_addf(f, FINDING_NOTE, own ? "ollama-cpu" : "llama-cpu",
                          "it answers from the CPU and does not say so: its numbers are no numbers of the GPU",
                          own ? "ollama ps (its PROCESSOR column), and install its ROCm package"
                              : "llama-server --list-devices",
                          "%s is here without libraries for a GPU", p->name);
    }
    const char *home = t->root[0] ? "/root" : getenv("HOME");
    char path[512];
    snprintf(path, sizeof path, "%.400s/.lmstudio/extensions/backends", home ? home : "/root");
    if (!tree_exists(t, path)) return;
    backends b = {0};
    tree_each(t, path, see_library, &b);
    findings_fact_text(f, "engines", "LM Studio", b.gpu ? "with a runtime for a GPU" : "with CPU runtimes alone");
    if (gpu && !b.gpu)
        findings_add(f, FINDING_NOTE, "lmstudio-cpu", "LM Studio has CPU runtimes alone",
                     "it answers from the CPU and does not say so", "lms runtime ls; lms runtime get");
}
