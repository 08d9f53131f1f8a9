/* tawny bench: lists of parameters, and its output in every format; never its figures. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiny_model.h"

static char dir[64], self[512];
static char out[1 << 17];

static void setup(void)
{
    tawny_error err;
    strcpy(dir, "/tmp/tawny-bench-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *at = strstr(self, "/tests/");
    ck_assert_ptr_nonnull(at);
    *at = 0;
    char path[128];
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    ck_assert_int_eq(tiny_model_write(path, &err), TAWNY_OK);
}

static void teardown(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

/* Runs a shell command with $b = "tawny bench -m MODEL -t 1 -r 1 --no-ceiling",
 * $p the program, $d the folder; its stdout goes to `out`. */
static int sh(const char *command)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "p='%s/tawny'; d=%s; b=\"$p bench -m $d/m.gguf -t 1 -r 1 --no-ceiling\"; %s",
                     self, dir, command);
    ck_assert_int_lt(n, (int)sizeof line);
    FILE *p = popen(line, "r");
    ck_assert_ptr_nonnull(p);
    out[fread(out, 1, sizeof out - 1, p)] = 0;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The keys that llama-bench writes; its tools look for them. */
static const char *const llama_keys[] = {
    "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
    "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v",
    "n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "devices", "tensor_split",
    "tensor_buft_overrides", "load_mode", "lazy_mode", "embeddings", "no_op_offload", "no_host", "repack",
    "fit_target", "fit_min_ctx", "n_prompt", "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts",
    "stddev_ts", "samples_ns", "samples_ts",
};
static const char *const own_keys[] = {
    "tier", "act_bits", "contract", "pages", "huge_pages", "bytes_per_token", "gb_per_s", "ceiling_gb_per_s",
    "percent_of_ceiling", "int8_gops", "int8_peak_gops", "percent_of_int8_peak",
};
enum { LLAMA_KEYS = sizeof llama_keys / sizeof *llama_keys, OWN_KEYS = sizeof own_keys / sizeof *own_keys };

static void check_row(json_t *row)
{
    size_t i = 0;
    const char *key;
    json_t *v;
    json_object_foreach(row, key, v)
    {
        if (i < LLAMA_KEYS) ck_assert_str_eq(key, llama_keys[i]);
        i++;
    }
    for (i = 0; i < OWN_KEYS; i++) ck_assert_msg(json_object_get(row, own_keys[i]), "%s", own_keys[i]);
    ck_assert(json_real_value(json_object_get(row, "avg_ts")) > 0);
}

START_TEST(json_has_the_keys)
{
    ck_assert_int_eq(sh("$b -p 8,16 -n 2-4+2 -pg 4,2 -o json"), 0);
    static const int prompts[] = {8, 16, 0, 0, 4}, gens[] = {0, 0, 2, 4, 2};
    json_t *all = json_loads(out, 0, NULL);
    ck_assert_uint_eq(json_array_size(all), 5);
    for (size_t i = 0; i < 5; i++) {
        json_t *row = json_array_get(all, i);
        check_row(row);
        ck_assert_int_eq(json_integer_value(json_object_get(row, "n_prompt")), prompts[i]);
        ck_assert_int_eq(json_integer_value(json_object_get(row, "n_gen")), gens[i]);
        ck_assert_uint_eq(json_array_size(json_object_get(row, "samples_ns")), 1);
        ck_assert_int_eq(json_is_real(json_object_get(row, "gb_per_s")), gens[i] && !prompts[i]);
    }
    json_decref(all);
}
END_TEST

START_TEST(jsonl_is_a_line_a_test)
{
    ck_assert_int_eq(sh("$b -p 8 -n 2 -d 0,20 -ctk f16,f32 -o jsonl"), 0);
    int rows = 0;
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), rows++) {
        json_t *row = json_loads(line, 0, NULL);
        check_row(row);
        ck_assert_str_eq(json_string_value(json_object_get(row, "type_k")), rows < 4 ? "f16" : "f32");
        ck_assert_int_eq(json_integer_value(json_object_get(row, "n_depth")), rows % 4 < 2 ? 0 : 20);
        json_decref(row);
    }
    ck_assert_int_eq(rows, 8);
}
END_TEST

/* With the limits of the machine measured, shares of them are there. */
START_TEST(ceilings)
{
    ck_assert_int_eq(sh("${b%--no-ceiling} -r 2 -p 8 -n 2 -o json"), 0);
    json_t *all = json_loads(out, 0, NULL), *row = json_array_get(all, 1);
    ck_assert(json_real_value(json_object_get(row, "ceiling_gb_per_s")) > 0);
    ck_assert(json_real_value(json_object_get(row, "percent_of_ceiling")) > 0);
    ck_assert_uint_eq(json_array_size(json_object_get(row, "samples_ceiling_gb_per_s")), 3);
    ck_assert(json_real_value(json_object_get(json_array_get(all, 0), "f32_peak_gflops")) > 0);
    json_decref(all);
}
END_TEST

/* Several sequences at once, with llama-batched-bench's keys. */
START_TEST(batched)
{
    static const char *const keys[] = {"n_kv_max", "n_batch", "n_ubatch", "flash_attn", "is_pp_shared",
                                       "n_gpu_layers", "n_threads", "n_threads_batch", "pp", "tg", "pl", "n_kv", "t_pp", "speed_pp",
                                       "t_tg", "speed_tg", "t", "speed", "tier", "contract", "int8_gops"};
    int rows = 0;
    ck_assert_int_eq(sh("$b --batched -npp 5,20 -ntg 3 -npl 1,3,9 -ub 8 -o jsonl; "
                        "$b --batched -npp 5 -ntg 2 -npl 3 -pps -o jsonl"),
                     0);
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), rows++) {
        json_t *row = json_loads(line, 0, NULL);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            ck_assert_msg(json_object_get(row, keys[i]), "%s", keys[i]);
        long pp = json_integer_value(json_object_get(row, "pp")), pl = json_integer_value(json_object_get(row, "pl"));
        ck_assert_int_eq(pp, rows < 3 || rows == 6 ? 5 : 20);
        ck_assert_int_eq(json_integer_value(json_object_get(row, "n_kv")), rows == 6 ? 5 + 3 * 2 : pl * (pp + 3));
        ck_assert(json_real_value(json_object_get(row, "speed_tg")) > 0);
        json_decref(row);
    }
    ck_assert_int_eq(rows, 7);
    ck_assert_int_eq(sh("$b --batched -npp 5 -ntg 3 -npl 2"), 0);
    ck_assert_ptr_nonnull(strstr(out, "S_TG t/s"));
    ck_assert_int_eq(sh("$b -npl 2 2>/dev/null"), 2);
    ck_assert_int_eq(sh("$b --batched -d 5 2>/dev/null"), 2);
    ck_assert_int_eq(sh("$b --batched -n 0 2>/dev/null"), 2);
}
END_TEST

START_TEST(csv_and_sql_are_tables)
{
    ck_assert_int_eq(sh("command -v python3 >/dev/null"), 0);
    ck_assert_int_eq(sh("$b -p 8 -n 2 -o csv | python3 -c 'import csv, sys; r = list(csv.DictReader(sys.stdin)); "
                        "assert len(r) == 2 and None not in r[0] and None not in r[1].values(), r; "
                        "assert r[1][\"n_gen\"] == \"2\" and float(r[0][\"avg_ts\"]) > 0'"),
                     0);
    ck_assert_int_eq(sh("{ $b -p 8 -n 2 -o sql; $b -p 0 -n 3 -o sql; } | python3 -c 'import sqlite3, sys; "
                        "c = sqlite3.connect(\":memory:\"); c.executescript(sys.stdin.read()); "
                        "r = c.execute(\"select n_prompt, n_gen, avg_ts > 0, repack from llama_bench\").fetchall(); "
                        "assert r == [(8, 0, 1, 0), (0, 2, 1, 0), (0, 3, 1, 0)], r'"),
                     0);
}
END_TEST

/* bench/peers, with peers that claim one token a second. */
START_TEST(peers)
{
    ck_assert_int_eq(sh("cat >$d/peer <<'END'\n#!/bin/sh\n"
                        "echo '[{\"n_prompt\":8,\"n_gen\":0,\"avg_ts\":1},{\"n_prompt\":0,\"n_gen\":2,\"avg_ts\":1}]'\nEND\n"
                        "chmod +x $d/peer; "
                        "bench/peers --tawny $p --llama $d/peer --ik $d/peer -r 2 -p 8 -n 2 $d/m.gguf 2>/dev/null"),
                     0);
    ck_assert_ptr_nonnull(strstr(out, "| m.gguf | pp8 | "));
    ck_assert_ptr_nonnull(strstr(out, "| m.gguf | tg2 | "));
    ck_assert_ptr_nonnull(strstr(out, "| 1.00 | 1.00 | 1.00 | 1.00 | llama.cpp --repack 1 | "));
}
END_TEST

/* Logits by OpenBLAS are close to tawny's own, where it was built with it. */
START_TEST(gemm)
{
    int code = sh("$b -p 16 -n 0 --gemm blas -o jsonl 2>&1");
    if (code == 1) {
        ck_assert_ptr_nonnull(strstr(out, "without OpenBLAS"));
        return;
    }
    ck_assert_int_eq(code, 0);
    ck_assert_ptr_nonnull(strstr(out, "\"gemm\": \"blas\""));
    ck_assert_ptr_nonnull(strstr(out, "outside of the contract"));
    ck_assert_int_eq(sh("for g in own blas; do $p logits -m tests/golden/archs/llama.gguf --gemm $g -o $d/$g "
                        "--tokens 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20 2>/dev/null >/dev/null; done; "
                        "cat $d/own $d/blas"),
                     0);
    int32_t head[2];
    static float v[2][1 << 14];
    memcpy(head, out, sizeof head);
    size_t n = (size_t)head[0] * (size_t)head[1], file = 8 + 4 * (size_t)head[0] + n * 4;
    ck_assert_int_eq(head[0], 20);
    ck_assert_uint_le(n, 1 << 14);
    ck_assert_uint_le(2 * file, sizeof out);
    double error = 0, sum = 0;
    for (int i = 0; i < 2; i++) memcpy(v[i], out + (size_t)i * file + 8 + 4 * (size_t)head[0], n * 4);
    for (size_t i = 0; i < n; i++) {
        error += (double)(v[0][i] - v[1][i]) * (double)(v[0][i] - v[1][i]);
        sum += (double)v[0][i] * (double)v[0][i];
    }
    ck_assert(error < 1e-8 * sum);
    ck_assert_int_eq(sh("$b --gemm cuda 2>/dev/null"), 2);
}
END_TEST

START_TEST(md_shows_what_was_asked)
{
    ck_assert_int_eq(sh("$b -p 8 -n 2 -ub 4,8 -ctk f32 -d 3"), 0);
    ck_assert_ptr_nonnull(strstr(out, "| n_ubatch | type_k |"));
    ck_assert_ptr_nonnull(strstr(out, "pp8 @ d3 |"));
    ck_assert_ptr_null(strstr(out, "n_batch"));
    ck_assert_int_eq(sh("$b -p 8 -n 0 -o csv -oe md --progress 2>&1 >/dev/null"), 0);
    ck_assert_ptr_nonnull(strstr(out, "| model "));
    ck_assert_ptr_nonnull(strstr(out, "benchmark 1/1: run 1/1"));
}
END_TEST

START_TEST(lists_as_llama_bench_takes_them)
{
    ck_assert_int_eq(sh("$b -p 1-3,8 -p 4-16*2 -n 0 -o jsonl | "
                        "sed 's/.*\"n_prompt\": \\([0-9]*\\),.*/\\1/' | tr '\\n' ' '"), 0);
    ck_assert_str_eq(out, "1 2 3 8 4 8 16 ");
    static const char *const wrong[] = {
        "-p x", "-p 1,", "-p ,1", "-p 3-1", "-p 1-9*1", "-p 1-9+0", "-p 0-9*2", "-p 1-3-5", "-p 99999999999", "-p -1",
        "-p 1-1000", "-p ''", "-t 9999", "-ub 0", "-pg 5", "-ctk q9_9", "-ctv ,", "-o xml", "-oe xml", "-r 0",
        "--delay -1", "-hf some/model", "-rpc host",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char command[128];
        snprintf(command, sizeof command, "$b %s 2>&1 >/dev/null", wrong[i]);
        ck_assert_msg(sh(command) == 2, "%s", wrong[i]);
        ck_assert_msg(strncmp(out, "tawny: ", 7) == 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s: %s",
                      wrong[i], out);
    }
    ck_assert_int_eq(sh("$b -p 4 -n 0 -fa 1 -ngl 99 --repack 1 -rtr 0 --poll 50 -nkvo 0 -sm none -mg 0 -dev none "
                        "-v -ncmoe 0 -nopo 0 --no-host 0 --delay 0 --no-warmup -b 64"),
                     0);
    ck_assert_int_eq(sh("$b -m /nowhere.gguf -p 4 2>/dev/null >/dev/null"), 1);
}
END_TEST

Suite *suite_bench(void);
Suite *suite_bench(void)
{
    Suite *s = suite_create("bench");
    TCase *t = tcase_create("program");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, json_has_the_keys);
    tcase_add_test(t, jsonl_is_a_line_a_test);
    tcase_add_test(t, ceilings);
    tcase_add_test(t, batched);
    tcase_add_test(t, csv_and_sql_are_tables);
    tcase_add_test(t, peers);
    tcase_add_test(t, gemm);
    tcase_add_test(t, md_shows_what_was_asked);
    tcase_add_test(t, lists_as_llama_bench_takes_them);
    suite_add_tcase(s, t);
    return s;
}
