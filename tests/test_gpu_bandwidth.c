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

#define ROW(backend, layers, speed)                                                                                  \
    "{\\\"backends\\\": \\\"" backend "\\\", \\\"model_type\\\": \\\"x 1B\\\", \\\"model_size\\\": 1000000000, \\\"model_n_params\\\": 1000000000, "   \
    "\\\"n_gpu_layers\\\": " layers ", \\\"n_prompt\\\": 0, \\\"n_gen\\\": 64, \\\"avg_ts\\\": " speed "}"

/* 1 GB a token at 100 tokens a second of 200 GB/s; a device that is the CPU is called so, by plan as well. */
START_TEST(compare_takes_it)
{
    const char *line = "d=$(mktemp -d) && echo \"[" ROW("CPU", "0", "50") "," ROW("Vulkan", "99", "100") "]\" >$d/r.json && "
                       "for k in integrated cpu; do echo \"{\\\"device\\\": \\\"X\\\", \\\"type\\\": \\\"$k\\\", \\\"read\\\": {\\\"min\\\": 190, "
                       "\\\"median\\\": 195, \\\"max\\\": 200}}\" >$d/$k.json; $t compare -o csv --gpu $d/$k.json $d/r.json; done 2>&1; "
                       "$t compare -o md --gpu $d/cpu.json $d/r.json; $t plan --shape 7b --machine rtx4090 --gpu $d/cpu.json; rm -r $d";
    ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
    ck_assert_msg(strstr(out, "50.00,100.00,0.50") || strstr(out, "50.00,100.00,0.500"), "%s", out);
    ck_assert_msg(strstr(out, ",50.0"), "%s", out);
    ck_assert_msg(strstr(out, "- --gpu ") && strstr(out, "cpu.json: X: no GPU but the CPU"), "%s", out);
    ck_assert_msg(strstr(strstr(out, "machine  "), "\nX: no GPU but the CPU, measured"), "%s", out);
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
    tcase_add_test(t, compare_takes_it);
    suite_add_tcase(s, t);
    return s;
}
