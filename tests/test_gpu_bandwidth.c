/* gpu-bandwidth, where it could be built and a Vulkan driver is here (Mesa's lavapipe will do), and plan with its output. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

static char out[1 << 14];

START_TEST(measures)
{
    if (program_sh("[ -x ${t%/tawny}/tools/gpu-bandwidth ] && ${t%/tawny}/tools/gpu-bandwidth --list 2>/dev/null",
                   out, sizeof out) != 0) {
        printf("skipped: gpu-bandwidth is not built (`make gpu-bandwidth`), or there is no Vulkan driver\n");
        return;
    }
    ck_assert_int_eq(program_sh("${t%/tawny}/tools/gpu-bandwidth --size 8 --repeat 2 --json", out, sizeof out), 0);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    static const char *const modes[] = {"read", "copy", "write"};
    for (int i = 0; i < 3; i++)
        ck_assert_double_gt(json_number_value(json_object_get(json_object_get(j, modes[i]), "median")), 0);
    json_decref(j);
    ck_assert_int_eq(program_sh("${t%/tawny}/tools/gpu-bandwidth --size 0 2>/dev/null", out, sizeof out), 2);
    ck_assert_int_eq(program_sh("${t%/tawny}/tools/gpu-bandwidth --device 9 2>/dev/null", out, sizeof out), 1);
}
END_TEST

START_TEST(plan_takes_it)
{
    const char *good =
        "echo '{\"device\": \"X\", \"type\": \"integrated\", \"read\": {\"min\": 200, \"median\": 210, \"max\": 220}}' | "
        "$t plan --shape 8b --machine rtx4090 --json --gpu -";
    ck_assert_int_eq(program_sh(good, out, sizeof out), 0);
    json_t *j = json_loads(out, 0, NULL), *row = json_array_get(json_object_get(j, "machines"), 0);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_object_get(row, "decode_tok_s"), 1)),
                            220e9 / 4617398528., 0.01);
    json_decref(j);
    static const char *const bad[] = {"", "[]", "{", "{\"device\": \"X\", \"type\": \"cpu\"}",
                                      "{\"device\": \"X\", \"type\": \"cpu\", \"read\": {\"min\": -1, \"max\": 2}}"};
    for (int i = 0; i < 5; i++) {
        char line[256];
        snprintf(line, sizeof line, "echo '%s' | $t plan --shape 8b --machine rtx4090 --gpu - 2>&1", bad[i]);
        ck_assert_int_eq(program_sh(line, out, sizeof out), 1);
        ck_assert_msg(strstr(out, "gpu-bandwidth"), "%s", out);
    }
}
END_TEST

Suite *suite_gpu_bandwidth(void);
Suite *suite_gpu_bandwidth(void)
{
    Suite *s = suite_create("gpu_bandwidth");
    TCase *t = tcase_create("gpu_bandwidth");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, measures);
    tcase_add_test(t, plan_takes_it);
    suite_add_tcase(s, t);
    return s;
}
