/* What the machine can do at most, and what memory is left: the measuring itself, never its figures. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../simd/probe.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/limits.h"

enum { STREAM = 64 * PROBE_ALIGN };

/* All ways of reading see every byte once; copies and triads write every byte. */
START_TEST(probes_move_what_they_should)
{
    uint64_t *from = aligned_alloc(64, STREAM), sum = 0;
    float *a = aligned_alloc(64, STREAM), *b = aligned_alloc(64, STREAM), *c = aligned_alloc(64, STREAM);
    for (size_t i = 0; i < STREAM / 8; i++) sum += from[i] = i * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < STREAM / 4; i++) b[i] = (float)i, c[i] = (float)(i % 7);
    for (int t = 0; t < SIMD_TIERS; t++) {
        if (!simd_available((simd_tier)t)) continue;
        const simd_probe *p = simd_probe_of((simd_tier)t);
        for (size_t ahead = 0; ahead <= 4096; ahead += 2048)
            for (int once = 0; once < 2; once++) ck_assert_uint_eq(p->read(from, STREAM, ahead, once), sum);
        memset(a, 0, STREAM);
        p->copy(a, from, STREAM);
        ck_assert_int_eq(memcmp(a, from, STREAM), 0);
        p->triad(a, b, c, 0.5f, STREAM);
        for (size_t i = 0; i < STREAM / 4; i++) ck_assert(a[i] == b[i] + 0.5f * c[i]);
        ck_assert_uint_gt(p->int8(10), 0);
        ck_assert(p->f32(10) > 0);
        ck_assert_int_gt(p->int8_ops, 0);
    }
    free(from);
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(ranges)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {7};
    limits_range r = limits_range_of(odd, 3);
    ck_assert(r.min == 1 && r.median == 2 && r.max == 3);
    r = limits_range_of(even, 4);
    ck_assert(r.min == 1 && r.median == 2.5 && r.max == 4);
    r = limits_range_of(one, 1);
    ck_assert(r.min == 7 && r.median == 7 && r.max == 7);
}
END_TEST

START_TEST(samples_are_positive)
{
    tawny_error err;
    limits *l;
    int cpus[CPU_MAX], cores;
    ck_assert_int_gt(cpu_order(cpus, CPU_MAX, &cores), 0);
    ck_assert_int_eq(limits_new(64 << 20, false, &l, &err), TAWNY_OK);
    ck_assert_int_eq(limits_threads(l, cores + 1, cpus, cores, &err), TAWNY_OK);
    for (int k = 0; k < LIMITS_KINDS; k++) ck_assert(limits_sample(l, (limits_kind)k, SIMD_SCALAR, 0.001) > 0);
    ck_assert_int_eq(limits_threads(l, 0, cpus, cores, &err), TAWNY_E_ARG);
    limits_free(l);
    ck_assert_int_eq(limits_new(1 << 20, false, &l, &err), TAWNY_E_NOMEM);
    ck_assert_int_eq(limits_new((size_t)1 << 62, false, &l, &err), TAWNY_E_NOMEM);
    ck_assert_ptr_nonnull(strstr(err.message, "bandwidth"));
}
END_TEST

START_TEST(memory_maps)
{
    size_t n = 3 * MEM_HUGE + 1;
    char *p = mem_map(n, true);
    mem_pages pages;
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % MEM_HUGE, 0);
    memset(p, 1, n);
    ck_assert(mem_pages_of(p, n, &pages));
    ck_assert_uint_ge(pages.resident, n);
    ck_assert_uint_le(pages.huge, pages.resident);
    mem_unmap(p, n);
    ck_assert_ptr_null(mem_map(0, false));
    ck_assert_ptr_null(mem_map(SIZE_MAX, false));
}
END_TEST

static char root[] = "/tmp/tawny-mem-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[256], *at;
    tawny_error err;
    ck_assert_int_lt(snprintf(full, sizeof full, "%s/%s", root, path), (int)sizeof full);
    for (at = full + sizeof root; (at = strchr(at, '/')); *at++ = '/') {
        *at = 0;
        mkdir(full, 0777);
    }
    ck_assert_int_eq(file_write(full, text, strlen(text), &err), TAWNY_OK);
}

/* Limits of control groups, of either version and anywhere above, bound what is left. */
START_TEST(memory_left)
{
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_uint_eq(mem_available(root), UINT64_MAX);
    put("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:    3000 kB\n");
    ck_assert_uint_eq(mem_available(root), 3000 << 10);
    put("proc/self/cgroup", "5:devices:/a\n4:memory:/a/b\n0::/c/d\n");
    ck_assert_uint_eq(mem_available(root), 3000 << 10);
    put("sys/fs/cgroup/c/d/memory.max", "max\n");
    put("sys/fs/cgroup/c/memory.max", "2000000\n");
    ck_assert_uint_eq(mem_available(root), 2000000);
    put("sys/fs/cgroup/c/memory.current", "1500000\n");
    ck_assert_uint_eq(mem_available(root), 500000);
    put("sys/fs/cgroup/c/memory.stat", "anon 1\nactive_file 100000\ninactive_file 300000\n");
    ck_assert_uint_eq(mem_available(root), 900000);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "800000\n");
    put("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "900000\n");
    put("sys/fs/cgroup/memory/a/b/memory.stat", "total_inactive_file 200000\n");
    ck_assert_uint_eq(mem_available(root), 100000);
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", root);
    ck_assert_int_eq(system(line), 0);
}
END_TEST

/* `tawny bandwidth --json` is one object with every figure. */
START_TEST(bandwidth_json)
{
    char self[512] = "", line[600];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *at = strstr(self, "/tests/");
    ck_assert_ptr_nonnull(at);
    *at = 0;
    snprintf(line, sizeof line, "'%s/tawny' bandwidth -t 1 -r 1 --json", self);
    FILE *p = popen(line, "r");
    ck_assert_ptr_nonnull(p);
    json_t *j = json_loadf(p, 0, NULL), *memory = json_object_get(j, "memory"), *row;
    ck_assert_int_eq(pclose(p), 0);
    size_t i;
    ck_assert_uint_ge(json_array_size(memory), 2);
    json_array_foreach(memory, i, row)
    {
        static const char *const kinds[] = {"read", "copy", "triad"};
        for (int k = 0; k < 3; k++) {
            json_t *range = json_object_get(row, kinds[k]);
            ck_assert(json_real_value(json_object_get(range, "min")) > 0);
            ck_assert(json_real_value(json_object_get(range, "median")) > 0);
            ck_assert(json_real_value(json_object_get(range, "max")) > 0);
        }
        ck_assert_int_eq(json_integer_value(json_object_get(row, "threads")), 1);
        ck_assert(json_is_real(json_object_get(row, "huge_pages")));
    }
    ck_assert_uint_ge(json_array_size(json_object_get(j, "arithmetic")), 1);
    json_decref(j);
}
END_TEST

Suite *suite_limits(void);
Suite *suite_limits(void)
{
    Suite *s = suite_create("limits");
    TCase *t = tcase_create("limits");
    tcase_add_test(t, probes_move_what_they_should);
    tcase_add_test(t, ranges);
    tcase_add_test(t, samples_are_positive);
    tcase_add_test(t, memory_maps);
    tcase_add_test(t, memory_left);
    tcase_add_test(t, bandwidth_json);
    suite_add_tcase(s, t);
    return s;
}
