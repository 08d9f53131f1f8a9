/* tawny doctor on recorded trees: what it must find there, and what it must not. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "../src/base/file.h"
#include "../src/cli/download.h"
#include "program.h"

static char root[64], out[1 << 16];

static void setup(void)
{
    strcpy(root, "/tmp/tawny-doctor-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", root);
    ck_assert_int_eq(system(line), 0);
}

static void put(const char *path, const void *data, size_t n, int mode)
{
    char full[512];
    FILE *f;
    snprintf(full, sizeof full, "%s%s", root, path);
    ck_assert_int_eq(make_folders(full, NULL), TAWNY_OK);
    ck_assert_ptr_nonnull(f = fopen(full, "w"));
    ck_assert_uint_eq(fwrite(data, 1, n, f), n);
    fclose(f);
    chmod(full, (mode_t)mode);
}

/* n memory modules of a type (hex), speed and width, as SMBIOS has them. */
static void put_dmi(const char *args)
{
    unsigned char table[4096] = {0};
    unsigned n, type, speed, width, at = 0;
    ck_assert_int_eq(sscanf(args, "%u %x %u %u", &n, &type, &speed, &width), 4);
    for (unsigned i = 0; i < n; i++, at += 0x28 + 4) {
        unsigned char *p = table + at;
        p[0] = 17;
        p[1] = 0x28;
        p[0x0a] = (unsigned char)width;
        p[0x0c] = 16; /* size: there is one */
        p[0x12] = (unsigned char)type;
        p[0x15] = p[0x20] = (unsigned char)speed;
        p[0x16] = p[0x21] = (unsigned char)(speed >> 8);
        memcpy(p + 0x28, "P0\0\0", 4);
    }
    put("/sys/firmware/dmi/tables/DMI", table, at, 0644);
}

/* "/path [mode] = content" a line, with \n and \t written so. */
static void unpack(const char *name)
{
    char path[128];
    buf b = {0};
    tawny_error err;
    snprintf(path, sizeof path, "tests/golden/doctor/%s.tree", name);
    ck_assert_msg(file_read(path, 1 << 20, &b, &err) == TAWNY_OK, "%s", err.message);
    for (char *line = strtok(b.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (line[0] == '#') continue;
        if (strncmp(line, "!dmi ", 5) == 0) {
            put_dmi(line + 5);
            continue;
        }
        char *eq = strstr(line, " ="), *to = eq + 2, *from;
        unsigned mode = 0644;
        ck_assert_ptr_nonnull(eq);
        *eq = 0;
        char *bracket = strstr(line, " [");
        if (bracket) {
            ck_assert_int_eq(sscanf(bracket, " [%o]", &mode), 1);
            *bracket = 0;
        }
        from = *to == ' ' ? to + 1 : to;
        char *start = to;
        for (; *from; from++) {
            bool escape = from[0] == '\\' && from[1];
            if (escape) from++;
            *to++ = !escape ? *from : *from == 'n' ? '\n' : *from == 't' ? '\t' : *from;
        }
        put(line, start, (size_t)(to - start), (int)mode);
    }
    buf_free(&b);
}

static json_t *examine(const char *name)
{
    char line[256];
    unpack(name);
    snprintf(line, sizeof line, "$t doctor --json --root %s", root);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    return j;
}

/* The ids that were found are these, in any order. */
static void found(const json_t *j, const char *ids)
{
    const json_t *list = json_object_get(j, "findings"), *x;
    size_t i, n = 0;
    json_array_foreach(list, i, x)
    {
        const char *id = json_string_value(json_object_get(x, "id"));
        char word[64];
        snprintf(word, sizeof word, " %s ", id);
        ck_assert_msg(strstr(ids, word), "found %s: %s", id, json_string_value(json_object_get(x, "what")));
        ck_assert_uint_gt(json_string_length(json_object_get(x, "why")), 0);
        ck_assert_uint_gt(json_string_length(json_object_get(x, "fix")), 0);
    }
    for (const char *p = ids; *p; p++) n += *p != ' ' && p[1] == ' ';
    ck_assert_msg(json_array_size(list) == n, "%zu of %zu were found in %s", json_array_size(list), n, out);
}

static const json_t *fact(const json_t *j, const char *section, const char *name)
{
    const json_t *v = json_object_get(json_object_get(json_object_get(j, "facts"), section), name);
    ck_assert_msg(v, "%s: %s", section, name);
    return v;
}

START_TEST(strix_halo)
{
    json_t *j = examine("strix-halo");
    found(j, " epp gtt-small kfd-group iommu firmware-20251125 rocm-old-kernel-new hip-wrong-logits ollama-cpu ");
    ck_assert_str_eq(json_string_value(fact(j, "cpu", "microarchitecture")), "Zen 5 (Strix Halo)");
    ck_assert_int_eq(json_integer_value(fact(j, "cpu", "cores")), 16);
    ck_assert_int_eq(json_integer_value(fact(j, "cpu", "CCDs (L3 domains)")), 2);
    ck_assert_double_eq_tol(json_real_value(fact(j, "memory", "GB/s by the modules")), 256, 1e-9);
    ck_assert_str_eq(json_string_value(fact(j, "gpu", "gfx target")), "gfx1151");
    ck_assert_str_eq(json_string_value(fact(j, "engines", "llama.cpp")), "with libraries for a GPU");
    json_decref(j);
}
END_TEST

START_TEST(rtx_desktop)
{
    json_t *j = examine("rtx-desktop");
    found(j, " governor one-channel thp-never memory-full swap-used no-nvidia lmstudio-cpu ");
    json_decref(j);
}
END_TEST

START_TEST(virtual_machine)
{
    json_t *j = examine("vm");
    found(j, " ");
    json_decref(j);
}
END_TEST

START_TEST(container)
{
    json_t *j = examine("container");
    found(j, " no-sys cgroup-memory cgroup-cpu ");
    ck_assert_double_eq_tol(json_real_value(fact(j, "memory", "cgroup limit, GiB")), 0.0625, 1e-9);
    json_decref(j);
}
END_TEST

static void put_text(const char *path, const char *text, int mode) { put(path, text, strlen(text), mode); }

static json_t *examine_as_it_is(void)
{
    char line[256];
    snprintf(line, sizeof line, "$t doctor --json --root %s", root);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    return j;
}

/* A Strix Halo whose driver did not start, with Mesa's drivers; then it has, for root alone, and there is an old ROCm without
 * its usual link; then all may open the nodes, and the only driver for Vulkan is Mesa's for the CPU. */
START_TEST(broken_stacks)
{
    put_text("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n", 0644);
    put_text("/proc/sys/kernel/osrelease", "6.18.9-300.fc44.x86_64\n", 0644);
    put_text("/proc/meminfo", "MemTotal: 131000000 kB\nMemAvailable: 120000000 kB\n", 0644);
    put_text("/proc/cpuinfo", "flags : avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl avx512_vnni avx512vbmi\n", 0644);
    put_text("/sys/bus/pci/devices/0000:c4:00.0/vendor", "0x1002\n", 0644);
    put_text("/sys/bus/pci/devices/0000:c4:00.0/class", "0x038000\n", 0644);
    put_text("/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "{}", 0644);
    put_text("/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "{}", 0644);
    json_t *j = examine_as_it_is();
    found(j, " no-amdgpu software-vulkan ");
    ck_assert_str_eq(json_string_value(json_array_get(fact(j, "gpu", "Vulkan drivers"), 0)), "lvp_icd.x86_64.json (software: the CPU computes)");
    json_decref(j);
    put_text("/sys/class/drm/card0/device/vendor", "0x1002\n", 0644);
    put_text("/sys/class/drm/card0/device/device", "0x1586\n", 0644);
    put_text("/sys/class/drm/card0/device/mem_info_vram_total", "536870912\n", 0644);
    put_text("/sys/class/drm/card0/device/mem_info_gtt_total", "120000000000\n", 0644);
    put_text("/sys/class/drm/renderD128/dev", "226:128\n", 0644);
    put_text("/sys/class/kfd/kfd/topology/nodes/1/properties", "gfx_target_version 110501\n", 0644);
    put_text("/dev/kfd", "", 0600);
    put_text("/dev/dri/renderD128", "", 0600);
    put_text("/opt/rocm-6.4.2/.info/version", "6.4.2-120\n", 0644);
    j = examine_as_it_is();
    found(j, " kfd-group render-group rocm-old-kernel-new hip-wrong-logits ");
    ck_assert_str_eq(json_string_value(fact(j, "gpu", "ROCm")), "6.4.2-120");
    json_decref(j);
    put_text("/dev/kfd", "", 0666);
    put_text("/dev/dri/renderD128", "", 0666);
    put_text("/opt/rocm-6.4.2/.info/version", "7.2.1\n", 0644);
    char line[256];
    snprintf(line, sizeof line, "%s/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", root);
    ck_assert_int_eq(unlink(line), 0);
    j = examine_as_it_is();
    found(j, " no-vulkan hip-wrong-logits ");
    json_decref(j);
}
END_TEST

/* Nothing there, or rubbish there: it still ends well, with valid JSON. */
START_TEST(nothing_and_rubbish)
{
    static const char *const paths[] = {"/proc/cpuinfo",
                                        "/proc/meminfo",
                                        "/sys/firmware/dmi/tables/DMI",
                                        "/proc/self/cgroup",
                                        "/sys/class/drm/card0/device/vendor",
                                        "/sys/class/kfd/kfd/topology/nodes/1/properties",
                                        "/sys/kernel/mm/transparent_hugepage/enabled",
                                        "/sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list",
                                        "/proc/cmdline",
                                        "/opt/rocm/.info/version",
                                        "/var/lib/dpkg/status",
                                        "/sys/fs/cgroup/cpu.max"};
    char line[256], noise[3000];
    snprintf(line, sizeof line, "$t doctor --json --root %s/empty", root);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
    json_decref(json_loads(out, 0, NULL));
    for (unsigned seed = 0; seed < 8; seed++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (char)((seed * 2654435761u + i * 40503u + i * i * seed) >> 7);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
            put(paths[i], noise + 13 * i, sizeof noise - 200 - 13 * i, 0644);
        snprintf(line, sizeof line, "$t doctor --json --root %s && $t doctor --root %s >/dev/null", root, root);
        ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
        json_t *j = json_loads(out, 0, NULL);
        ck_assert_msg(j, "%s", out);
        json_decref(j);
    }
}
END_TEST

/* On the machine itself: a model's pages; a file that is no model is an error. */
START_TEST(a_model)
{
    ck_assert_int_eq(program_sh("$t doctor --json -m tests/golden/archs/llama.gguf", out, sizeof out), 0);
    json_t *j = json_loads(out, 0, NULL), *m = json_object_get(json_object_get(j, "facts"), "model");
    ck_assert_str_eq(json_string_value(json_object_get(m, "file")), "tests/golden/archs/llama.gguf");
    ck_assert(json_is_integer(json_object_get(m, "of them in large pages")));
    json_decref(j);
    ck_assert_int_eq(program_sh("$t doctor --json -m Makefile 2>&1", out, sizeof out), 1);
    ck_assert_ptr_nonnull(strstr(out, "Makefile"));
}
END_TEST

Suite *suite_doctor(void);
Suite *suite_doctor(void)
{
    Suite *s = suite_create("doctor");
    TCase *t = tcase_create("trees");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, strix_halo);
    tcase_add_test(t, rtx_desktop);
    tcase_add_test(t, virtual_machine);
    tcase_add_test(t, container);
    tcase_add_test(t, broken_stacks);
    tcase_add_test(t, nothing_and_rubbish);
    tcase_add_test(t, a_model);
    suite_add_tcase(s, t);
    return s;
}
