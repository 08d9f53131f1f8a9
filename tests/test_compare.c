/* tawny compare: recorded outputs of llama-bench and tawny bench, rows as other versions and backends write them, and traps. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/base/file.h"
#include "program.h"

static char dir[64], out[1 << 18];

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

/* tests/golden/compare: outputs of llama-bench of four ages and of ik_llama.cpp's in all their formats, and some made by hand for
 * devices that are not here; expected.json is what Python's readers of JSON and CSV make of them. */
START_TEST(of_all_formats_and_ages)
{
    json_t *all = json_load_file("tests/golden/compare/expected.json", 0, NULL), *rows;
    const char *file;
    int n = 0;
    ck_assert_ptr_nonnull(all);
    json_object_foreach(all, file, rows)
    {
        char line[160];
        size_t i;
        const json_t *want;
        snprintf(line, sizeof line, "tests/golden/compare/%s", file);
        json_t *j = compared(line), *got = json_object_get(j, "rows");
        ck_assert_msg(json_array_size(got) == json_array_size(rows), "%s", file);
        json_array_foreach(rows, i, want)
        {
            static const char *const texts[] = {"test", "side", "engine"}, *const numbers[] = {"tok_s", "gb_per_s"};
            const json_t *is = json_array_get(got, i);
            bool markdown = strstr(file, ".md") != NULL; /* which does not tell the engine */
            for (int k = 0; k < (markdown ? 2 : 3); k++) {
                const char *a = json_string_value(json_object_get(is, texts[k])),
                           *b = json_string_value(json_object_get(want, texts[k]));
                ck_assert_msg(a && b && strcmp(a, b) == 0, "%s, row %zu, %s: %s instead of %s", file, i, texts[k], a, b);
            }
            for (int k = 0; k < 2; k++) {
                if (!json_object_get(want, numbers[k])) continue;
                double a = json_number_value(json_object_get(is, numbers[k])),
                       b = json_number_value(json_object_get(want, numbers[k]));
                ck_assert_msg(a / b > 0.999999 && a / b < 1.000001, "%s, row %zu, %s: %f instead of %f", file, i,
                              numbers[k], a, b);
            }
            n++;
        }
        json_decref(j);
    }
    ck_assert_int_gt(n, 80);
    json_decref(all);
}
END_TEST

static void check_warned(const char *args, const char *words)
{
    char line[512];
    snprintf(line, sizeof line, "%s", args);
    json_t *j = compared(line);
    ck_assert_msg(warned(j, words), "%s: no warning of '%s': %s", args, words, out);
    json_decref(j);
}

#define GOLDEN "tests/golden/compare/"
START_TEST(traps_of_recorded_ones)
{
    static const char *const cases[][2] = {
        {GOLDEN "hand-vulkan-no-gpu.json", "called Vulkan, but it found no GPU"},
        {GOLDEN "hand-partly.json", "hand-partly.json:1: a part of the layers, experts or cache"},
        {GOLDEN "hand-partly.json", "hand-partly.json:2: a part of the layers, experts or cache"},
        {GOLDEN "hand-partly.json", "hand-partly.json:3: a part of the layers, experts or cache"},
        {GOLDEN "hand-partly.json", "hand-partly.json:4: how much a token reads"},
        {GOLDEN "hand-rpc.json " GOLDEN "hand-rocm.json", "other machines too (RPC)"},
        {GOLDEN "hand-hip-2024.csv", "hand-hip-2024.csv:3: the build is called cuda, but no layer"},
        {GOLDEN "hand-hip-2024.csv", "hand-hip-2024.csv:4: such a build still sends large prompts"},
        {GOLDEN "hand-hip-2024.csv", "whether 20 layers are all of them"},
        {GOLDEN "hand-cpu.jsonl " GOLDEN "hand-rocm.json", "type_k is q8_0 on the CPU and f16 on the GPU"},
        {GOLDEN "hand-cpu.jsonl " GOLDEN "hand-rocm.json", "flash_attn is 0 on the CPU and 1 on the GPU"},
        {GOLDEN "hand-cpu.jsonl " GOLDEN "hand-rocm.json", "n_ubatch is 256 on the CPU and 512 on the GPU"},
        {GOLDEN "ik-cpu.json", "ik_llama.cpp counts an output matrix"},
        {GOLDEN "llama-cpp-0.2.90.csv", "llama.cpp of that age counts an output matrix"},
        {GOLDEN "hand-issue.md", "hand-issue.md:2: how much a token reads of a mixture of experts"}, /* an "8x7B" */
        {GOLDEN "hand-issue.md", "tg128 @ d4096: the cache's type_k is q8_0 on the CPU and f16 on the GPU"},
        {GOLDEN "hand-issue.md", "the build is 99887766 b5000 on the CPU and a1b2c3d b6100 on the GPU"},
        {GOLDEN "hand-issue.md", "GB/s of a generation at a depth leave out what it reads of the cache"},
        {GOLDEN "ik-cpu.json", "repeat it on a quiet machine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_warned(cases[i][0], cases[i][1]);
    /* The same file by two engines, of which one counts the embedding twice: one model */
    json_t *j = compared(GOLDEN "ik-cpu.json " GOLDEN "llama-cpp-cpu.json");
    ck_assert_uint_eq(json_array_size(json_object_get(j, "pairs")), 4);
    ck_assert(!warned(j, "counts an output matrix") && !warned(j, "another quantization"));
    json_decref(j);
    /* Markdown's rounded sizes are those of the JSON of the CPU */
    j = compared(GOLDEN "hand-cpu.jsonl " GOLDEN "hand-vulkan.md");
    ck_assert_double_eq_tol(at(j, 2, NULL, "cpu_to_gpu"), 21.9 / 42.3, 1e-9);
    ck_assert(!warned(j, "another quantization"));
    json_decref(j);
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

/* One row, whose keys before the test and the speed are given, and on which side it is. */
static void check_side(const char *keys, const char *side, const char *words)
{
    char text[1024];
    snprintf(text, sizeof text, "[{%s,%s\"n_prompt\":0,\"n_gen\":128,\"avg_ts\":10.5}]", keys, MODEL);
    put("one.json", text);
    json_t *j = compared("$d/one.json"), *r = json_array_get(json_object_get(j, "rows"), 0);
    const char *is = json_string_value(json_object_get(r, "side"));
    ck_assert_msg(is && strcmp(is, side) == 0, "%s: %s instead of %s", keys, is, side);
    ck_assert_msg(!words || warned(j, words), "%s: %s", keys, out);
    ck_assert_double_eq_tol(json_number_value(json_object_get(r, "tok_s")), 10.5, 1e-12);
    json_decref(j);
}

/* What computed, by the keys of their time: flags until November 2024, then "backends" and "gpu_info", then "devices". */
START_TEST(sides_through_the_years)
{
#define FLAGS(cuda, metal, rpc) "\"cuda\":" cuda ",\"opencl\":false,\"metal\":" metal ",\"rpc\":" rpc ",\"gpu_blas\":false,\"blas\":true,"
    static const char *const rows[][3] = {
        {FLAGS("true", "false", "false") "\"gpu_info\":\"NVIDIA GeForce RTX 3090\",\"n_gpu_layers\":99", "GPU", NULL},
        {FLAGS("true", "false", "false") "\"gpu_info\":\"\",\"n_gpu_layers\":0", "CPU", "called cuda, but no layer"},
        {FLAGS("false", "true", "false") "\"n_gpu_layers\":99", "GPU", NULL},
        {FLAGS("false", "false", "false") "\"n_gpu_layers\":99", "CPU", NULL},
        {FLAGS("false", "false", "true") "\"n_gpu_layers\":99", "?", "other machines"},
        {"\"backends\":\"BLAS\",\"gpu_info\":\"\",\"n_gpu_layers\":-1,\"flash_attn\":-1", "CPU", NULL},
        {"\"backends\":\"ROCm\",\"gpu_info\":\"Radeon 8060S Graphics\",\"n_gpu_layers\":-1,\"flash_attn\":-1,\"n_cpu_moe\":0", "GPU", NULL},
        {"\"backends\":\"ROCm\",\"gpu_info\":\"Radeon 8060S Graphics\",\"n_gpu_layers\":99,\"n_cpu_moe\":4", "CPU+GPU", "experts"},
        {"\"backends\":\"ROCm\",\"gpu_info\":\"Radeon 8060S Graphics\",\"n_gpu_layers\":99,\"devices\":\"none\"", "CPU", "no layer"},
        {"\"backends\":\"Vulkan\",\"gpu_info\":\"llvmpipe (LLVM 19.1.7, 256 bits)\",\"n_gpu_layers\":99", "CPU", "is no GPU"},
        {"\"backends\":\"Vulkan\",\"gpu_info\":\"AMD Radeon Graphics (RADV GFX1151), llvmpipe (LLVM 19.1.7, 256 bits)\",\"n_gpu_layers\":99",
         "GPU", NULL},
        {"\"backends\":\"SYCL\",\"gpu_info\":\"Intel(R) Arc(TM) A770 Graphics\",\"n_gpu_layers\":99,\"flash_attn\":true", "GPU", NULL},
        {"\"backends\":\"Metal,BLAS\",\"gpu_info\":\"Apple M3 Max\",\"n_gpu_layers\":0", "CPU", "no layer"},
        {"\"backends\":\"CUDA,RPC\",\"gpu_info\":\"NVIDIA A100\",\"n_gpu_layers\":99", "?", "other machines"},
        {"\"backends\":\"CUDA\",\"gpu_info\":\"NVIDIA A100\",\"n_gpu_layers\":99,\"tensor_buft_overrides\":\"exps=CPU\"", "CPU+GPU", "experts"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_side(rows[i][0], rows[i][1], rows[i][2]);
}
END_TEST

/* Names of models whose tokens read but a part of them, and of such as read all. */
START_TEST(models_of_which_a_part_is_read)
{
    static const char *const parts[] = {"llama 8x7B Q4_K - Medium", "qwen3moe 30B.A3B Q4_K - Medium", "hunyuan-moe A13B Q4_0", "dbrx 16x12B Q4_0",
                                        "llama4 17Bx16E (Scout) Q4_K - Medium", "gpt-oss 20B MXFP4 MoE", "arctic 10B+128x3.66B Q4_0",
                                        "deepseek2 671B Q1_0", "gemma3n E4B Q8_0", "kimi 2.8T.A50B Q4_0"};
    static const char *const wholes[] = {"llama 7B Q4_0", "qwen3 0.6B Q8_0", "gemma3 27B Q4_0", "phi3 3B Q4_K - Medium", "mamba 1.4B F16"};
    for (int i = 0; i < 15; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "[{\"backends\":\"CPU\",\"model_type\":\"%s\",\"model_size\":4000000000,\"model_n_params\":7000000000,"
                 "\"n_prompt\":0,\"n_gen\":64,\"avg_ts\":2.5}]", i < 10 ? parts[i] : wholes[i - 10]);
        put("one.json", text);
        json_t *j = compared("$d/one.json");
        const json_t *speed = json_object_get(json_array_get(json_object_get(j, "rows"), 0), "gb_per_s");
        ck_assert_msg(i < 10 ? json_is_null(speed) : json_number_value(speed) == 10, "%s", out);
        json_decref(j);
    }
}
END_TEST

/* Files as PowerShell and editors leave them. */
START_TEST(marks_of_byte_order)
{
    char line[512];
    snprintf(line, sizeof line,
             "cd %s && o=%s && printf '\\357\\273\\277' >bom.json && cat $o/hand-rocm.json >>bom.json && printf '\\377\\376' >wide.md && "
             "iconv -f utf-8 -t utf-16le $o/hand-vulkan.md >>wide.md", dir, "$OLDPWD/tests/golden/compare");
    ck_assert_int_eq(system(line), 0);
    json_t *j = compared("$d/bom.json $d/wide.md"), *plain = compared(GOLDEN "hand-rocm.json " GOLDEN "hand-vulkan.md");
    ck_assert_uint_eq(json_array_size(json_object_get(j, "rows")), json_array_size(json_object_get(plain, "rows")));
    json_decref(j);
    json_decref(plain);
}
END_TEST

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
    ck_assert_ptr_null(strstr(out, "<script>alert"));
    ck_assert_int_eq(compare("$d/m.json -o xml"), 2);
    ck_assert_int_eq(compare("$d/m.json --ceiling 5"), 2);
    ck_assert_int_eq(compare("$d/m.json --machine toaster"), 2);
    ck_assert_int_eq(compare("/nowhere"), 1);
    ck_assert_int_eq(compare(""), 2);
    ck_assert_int_eq(compare("--with /nowhere/llama-bench -m tests/golden/archs/llama.gguf -p 4 -n 2 -r 1"), 1);
    ck_assert_ptr_nonnull(strstr(out, "no such program"));
    /* one that does not know -d, as ik_llama.cpp: it is not given where it is 0, and what it complains of is told */
    put("old", "#!/bin/sh\necho loading >&2\ncase \"$*\" in *-d*) echo 'error: invalid parameter for argument: -d' >&2; exit 1;; esac\n"
               "echo '[{\"n_prompt\":4,\"avg_ts\":3},{\"n_gen\":2,\"avg_ts\":5}]'\n");
    char path[128];
    snprintf(path, sizeof path, "%s/old", dir);
    ck_assert_int_eq(chmod(path, 0755), 0);
    ck_assert_int_eq(compare("-o csv --with $d/old -m tests/golden/archs/llama.gguf -p 4 -n 2 -r 1 -d 0,4"), 1);
    ck_assert_msg(strstr(out, "old failed: error: invalid parameter for argument: -d\n"), "%s", out);
    ck_assert_int_eq(compare("-o csv --with $d/old -m tests/golden/archs/llama.gguf -p 4 -n 2 -r 1"), 0);
}
END_TEST

/* The page as a browser shows it: the kept library draws, and names from files are text and nothing else. */
START_TEST(page_in_a_browser)
{
    char line[1024];
    if (program_sh("command -v chromium || command -v chromium-browser || command -v google-chrome", out, sizeof out) != 0) {
        printf("skipped: no Chromium here\n");
        return;
    }
    out[strcspn(out, "\n")] = 0;
    char browser[256];
    snprintf(browser, sizeof browser, "%.250s", out);
    put("x.json", "[" CPU_ROW TG "\"avg_ts\":22.5}," GPU_ROW TG "\"avg_ts\":40},{\"backends\":\"CPU\",\"model_type\":\"</script>"
                  "<b id=evil>\",\"n_gen\":1,\"avg_ts\":1}]");
    snprintf(line, sizeof line, "$t compare %s/x.json -o html > %s/page.html && grep -c uplot %s/page.html", dir, dir, dir);
    program_sh(line, out, sizeof out);
    if (atoi(out) == 0) {
        printf("skipped: tawny was built without plots (npm)\n");
        return;
    }
    snprintf(line, sizeof line,
             "timeout 50 %s --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
             "--disable-component-update --disable-sync --user-data-dir=%s/profile --dump-dom file://%s/page.html 2>/dev/null",
             browser, dir, dir);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 0);
    ck_assert_msg(strstr(out, "<canvas") && strstr(out, "llama 8B Q4_K - Medium: generation</div>"), "nothing was drawn");
    ck_assert_ptr_nonnull(strstr(out, "id=\"picture\" hidden"));
    ck_assert_ptr_null(strstr(out, "<b id"));
}
END_TEST

/* Both sides run by compare itself: a second tawny stands for the GPU's llama-bench. */
START_TEST(runs_both)
{
    char script[256];
    snprintf(
        script, sizeof script,
        "#!/bin/sh\nexec \"$TAWNY\" bench \"$@\" | sed 's/\"backends\": \"CPU\"/\"backends\": \"Vulkan\"/; s/\"n_gpu_layers\": 0/"
        "\"n_gpu_layers\": 99/; s/\"devices\": \"none\"/\"devices\": \"auto\"/; s/\"contract\"/\"c\"/; s/\"gpu_info\": \"\"/\"gpu_info\": \"a GPU\"/'\n");
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
    tcase_add_test(t, of_all_formats_and_ages);
    tcase_add_test(t, traps_of_recorded_ones);
    tcase_add_test(t, sides_through_the_years);
    tcase_add_test(t, models_of_which_a_part_is_read);
    tcase_add_test(t, marks_of_byte_order);
    tcase_add_test(t, both_sides);
    tcase_add_test(t, traps);
    tcase_add_test(t, rubbish);
    tcase_add_test(t, runs_both);
    tcase_add_test(t, page_in_a_browser);
    suite_add_tcase(s, t);
    return s;
}
