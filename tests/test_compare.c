/* tawny compare: recorded outputs of llama-bench and tawny bench, rows as other versions and backends write them, and traps. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/base/file.h"
#include "program.h"

static char dir[64], out[1 << 17];

static void setup(void)
{
    strcpy(dir, "/tmp/tawny-compare-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
}

static void put(const char *name, const char *text)
{
    char path[128];
    tawny_error err;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ck_assert_int_eq(file_write(path, text, strlen(text), &err), TAWNY_OK);
}

static int compare(const char *args)
{
    char line[1024];
    snprintf(line, sizeof line, "d=%s; $t compare %s 2>&1", dir, args);
    return program_sh(line, out, sizeof out);
}

static json_t *compared(const char *args)
{
    char line[900];
    snprintf(line, sizeof line, "-o json %s", args);
    ck_assert_msg(compare(line) == 0, "%s: %s", args, out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    return j;
}

static bool warned(const json_t *j, const char *words)
{
    size_t i;
    const json_t *w;
    json_array_foreach(json_object_get(j, "warnings"), i, w) if (strstr(json_string_value(w), words)) return true;
    return false;
}

static double at(const json_t *j, size_t pair, const char *side, const char *key)
{
    const json_t *o = json_array_get(json_object_get(j, "pairs"), pair);
    return json_number_value(json_object_get(side ? json_object_get(o, side) : o, key));
}

/* The recorded ones are all of the CPU, and say the same in each format. */
START_TEST(recorded)
{
    static const char *const files[] = {"llama-cpp-cpu.json", "llama-cpp-cpu.jsonl", "llama-cpp-cpu.csv",
                                        "tawny.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char line[128];
        snprintf(line, sizeof line, "tests/golden/bench/%s", files[i]);
        json_t *j = compared(line);
        const json_t *pairs = json_object_get(j, "pairs");
        ck_assert_uint_eq(json_array_size(pairs), 4);
        for (size_t k = 0; k < 4; k++) {
            ck_assert(json_is_null(json_object_get(json_array_get(pairs, k), "gpu")));
            ck_assert_double_gt(at(j, k, "cpu", "tok_s"), 1);
        }
        ck_assert(warned(j, "no test ran on both sides"));
        const json_t *first = json_object_get(json_array_get(pairs, 0), "cpu");
        ck_assert_str_eq(json_string_value(json_object_get(first, "engine")), i == 3 ? "tawny" : "llama.cpp");
        /* model_size x tok/s of a generation is its bandwidth */
        ck_assert_double_eq_tol(at(j, 2, "cpu", "gb_per_s"),
                                at(j, 2, "cpu", "bytes_per_token") * at(j, 2, "cpu", "tok_s") / 1e9, 1e-9);
        json_decref(j);
    }
}
END_TEST

#define MODEL "\"model_type\":\"llama 8B Q4_K - Medium\",\"model_size\":4912898048,\"model_n_params\":8030261248,"
#define CPU_ROW                                                                                                      \
    "{\"build_commit\":\"a\",\"backends\":\"CPU\"," MODEL                                                            \
    "\"type_k\":\"f16\",\"type_v\":\"f16\",\"n_gpu_layers\":0,\"n_ubatch\":512,"
#define GPU_ROW                                                                                                      \
    "{\"build_commit\":\"a\",\"backends\":\"ROCm\",\"gpu_info\":\"AMD Radeon Graphics\"," MODEL                      \
    "\"type_k\":\"f16\",\"type_v\":\"f16\",\"n_gpu_layers\":99,\"devices\":\"auto\",\"n_ubatch\":512,"
#define TG "\"n_prompt\":0,\"n_gen\":128,\"n_depth\":0,"
#define PP "\"n_prompt\":512,\"n_gen\":0,\"n_depth\":0,"

START_TEST(both_sides)
{
    put("c.json", "[" CPU_ROW TG "\"avg_ts\":22.0,\"stddev_ts\":0.1}," CPU_ROW PP "\"avg_ts\":120}]");
    put("g.json", "[" GPU_ROW TG "\"avg_ts\":40.0,\"stddev_ts\":0.1}," GPU_ROW PP "\"avg_ts\":900}]");
    json_t *j = compared("$d/c.json $d/g.json --ceiling cpu=118,gpu=215");
    ck_assert_uint_eq(json_array_size(json_object_get(j, "pairs")), 2);
    ck_assert_double_eq_tol(at(j, 0, NULL, "cpu_to_gpu"), 120.0 / 900, 1e-9);
    ck_assert_double_eq_tol(at(j, 1, NULL, "cpu_to_gpu"), 22.0 / 40, 1e-9);
    ck_assert_double_eq_tol(at(j, 1, "cpu", "gb_per_s"), 22 * 4.912898048, 1e-6);
    ck_assert_double_eq_tol(at(j, 1, "gpu", "percent_of_ceiling"), 100 * 40 * 4.912898048 / 215, 1e-6);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "warnings")), 0);
    json_decref(j);
    static const char *const formats[] = {"term", "md", "csv", "html", "svg"};
    for (int i = 0; i < 5; i++) {
        char line[128];
        snprintf(line, sizeof line, "$d/c.json $d/g.json -o %s --machine max395-128", formats[i]);
        ck_assert_int_eq(compare(line), 0);
        ck_assert_msg(strstr(out, "40.00") && strstr(out, "22.00"), "%s: %s", formats[i], out);
    }
}
END_TEST

/* What a build is called is not where it ran. */
START_TEST(traps)
{
    put("vk0.json",
        "[{\"backends\":\"Vulkan\"," MODEL "\"n_gpu_layers\":0," PP "\"avg_ts\":500},{\"backends\":\"Vulkan\"," MODEL
        "\"n_gpu_layers\":99,\"devices\":\"none\"," TG "\"avg_ts\":21}]");
    json_t *j = compared("$d/vk0.json");
    ck_assert(warned(j, "no layer is on a GPU") && warned(j, "sends large prompts"));
    for (size_t k = 0; k < 2; k++)
        ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(j, "pairs"), k), "gpu")));
    json_decref(j);

    put("old.json", "[{\"build_commit\":\"b\",\"cuda\":true,\"gpu_blas\":true,\"blas\":true," MODEL
                    "\"n_gpu_layers\":33,\"n_prompt\":0,\"n_gen\":128,"
                    "\"avg_ns\":3200000000}]"); /* years old: flags for backends, no depth, no speed but a time */
    put("c.json", "[" CPU_ROW TG "\"avg_ts\":22.0}]");
    j = compared("$d/old.json $d/c.json");
    ck_assert_double_eq_tol(at(j, 0, "gpu", "tok_s"), 40, 1e-9);
    json_decref(j);

    put("ik.csv",
        "build_commit,cuda,model_type,model_size,model_n_params,n_gpu_layers,mla_attn,n_prompt,n_gen,avg_ts\n"
        "\"x\",\"0\",\"llama 8B Q4_K - Medium\",\"4912898048\",\"8030261248\",\"0\",\"0\",\"0\",\"128\",\"23.5\"\n");
    j = compared("$d/ik.csv $d/old.json");
    ck_assert_str_eq(json_string_value(json_object_get(
                         json_object_get(json_array_get(json_object_get(j, "pairs"), 0), "cpu"), "engine")),
                     "ik_llama.cpp");
    json_decref(j);

    put("other.json",
        "[{\"backends\":\"CUDA\",\"model_type\":\"llama 8B Q8_0\",\"model_size\":8532934656,\"model_n_params\":8030261248,"
        "\"type_k\":\"q8_0\",\"type_v\":\"f16\",\"n_gpu_layers\":99," TG "\"avg_ts\":60,\"stddev_ts\":9}]");
    j = compared("$d/c.json $d/other.json");
    ck_assert(warned(j, "another quantization") && warned(j, "type_k") && warned(j, "differ by 15%"));
    json_decref(j);

    put("moe.jsonl",
        "{\"backends\":\"ROCm\",\"model_type\":\"qwen3moe 30B.A3B Q4_K - Medium\",\"model_size\":18556686912,\"model_n_params\":30532122624,"
        "\"n_gpu_layers\":99,\"n_cpu_moe\":10," TG "\"avg_ts\":50}\n");
    j = compared("$d/moe.jsonl");
    ck_assert(warned(j, "neither of both") && warned(j, "model's header"));
    ck_assert_uint_eq(json_array_size(json_object_get(j, "pairs")), 0);
    json_decref(j);
}
END_TEST

START_TEST(rubbish)
{
    static const char *const texts[] = {"",
                                        "hello",
                                        "{",
                                        "[1,2]",
                                        "[{}]",
                                        "{\"a\":1}\n{\"b\"",
                                        "a,b\n1,2\n",
                                        "<html>",
                                        "[{\"avg_ts\":\"x\",\"n_gen\":1}]",
                                        "\xff\xfe\x01",
                                        "avg_ts,n_gen\n\"1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("x", texts[i]);
        ck_assert_msg(compare("$d/x") == 1, "%s: %s", texts[i], out);
        ck_assert_msg(strncmp(out, "tawny: ", 7) == 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
    }
    put("m.json", "[{\"backends\":\"CPU\",\"model_type\":\"<script>alert(1)</script>\",\"n_gen\":1,\"avg_ts\":1}]");
    ck_assert_int_eq(compare("$d/m.json -o html"), 0);
    ck_assert_ptr_null(strstr(out, "<script>"));
    ck_assert_int_eq(compare("$d/m.json -o xml"), 2);
    ck_assert_int_eq(compare("$d/m.json --ceiling 5"), 2);
    ck_assert_int_eq(compare("$d/m.json --machine toaster"), 2);
    ck_assert_int_eq(compare("/nowhere"), 1);
    ck_assert_int_eq(compare(""), 2);
    ck_assert_int_eq(compare("--with /nowhere/llama-bench -m tests/golden/archs/llama.gguf -p 4 -n 2 -r 1"), 1);
}
END_TEST

/* Both sides run by compare itself: a second tawny stands for the GPU's llama-bench. */
START_TEST(runs_both)
{
    char script[256];
    snprintf(
        script, sizeof script,
        "#!/bin/sh\nexec \"$TAWNY\" bench \"$@\" | sed 's/\"backends\": \"CPU\"/\"backends\": \"Vulkan\"/; s/\"n_gpu_layers\": 0/"
        "\"n_gpu_layers\": 99/; s/\"devices\": \"none\"/\"devices\": \"auto\"/; s/\"contract\"/\"c\"/'\n");
    put("gpu", script);
    char line[512];
    snprintf(
        line, sizeof line,
        "export TAWNY=$t; chmod +x %s/gpu; $t compare -o json -m tests/golden/archs/llama.gguf --with %s/gpu --args '-t 1' -p 8 -n 4 -r 1 2>&1",
        dir, dir);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j && json_array_size(json_object_get(j, "pairs")) == 2, "%s", out);
    ck_assert_double_gt(at(j, 1, "gpu", "tok_s"), 0);
    ck_assert_double_gt(at(j, 1, "cpu", "tok_s"), 0);
    json_decref(j);
}
END_TEST

Suite *suite_compare(void);
Suite *suite_compare(void)
{
    Suite *s = suite_create("compare");
    TCase *t = tcase_create("compare");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, recorded);
    tcase_add_test(t, both_sides);
    tcase_add_test(t, traps);
    tcase_add_test(t, rubbish);
    tcase_add_test(t, runs_both);
    suite_add_tcase(s, t);
    return s;
}
