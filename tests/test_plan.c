/* tawny plan: sizes of known models by their shapes, and of models at hand against what an engine takes. */
#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/cli/plan.h"
#include "../src/engine/rehearse.h"
#include "program.h"

static char out[1 << 16];

static json_t *plan(const char *args)
{
    char line[512];
    snprintf(line, sizeof line, "$t plan --json %s", args);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", args);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s: %s", args, out);
    return j;
}

static double number(const json_t *j, const char *key)
{
    json_t *v = json_object_get(j, key);
    ck_assert_msg(json_is_number(v), "%s", key);
    return json_number_value(v);
}

/* Sizes of files in circulation, in bytes, which beside the tensors hold a header of up to 8 MB. */
START_TEST(shapes_have_the_sizes_of_their_files)
{
    static const struct {
        const char *args;
        double bytes;
    } files[] = {
        {"--shape 7b", 4081004224.},
        {"--shape 7b --type Q8_0", 7161089728.},
        {"--shape 8b", 4920734272.},
        {"--shape 13b", 7865956224.},
        {"--shape 32b", 19762149024.},
        {"--shape 70b", 42520395584.},
        {"--shape 70b --type q8_0", 74975058016.},
        {"--shape qwen3-30b-a3b", 18556686912.},
        {"--shape gpt-oss-20b", 12109566560.},
        {"--shape gpt-oss-120b", 63387346464.},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char line[128];
        snprintf(line, sizeof line, "%s --machine max395-128-cpu", files[i].args);
        json_t *j = plan(line);
        double rest = files[i].bytes - number(j, "weight_bytes");
        ck_assert_msg(rest > 0 && rest < 15e6, "%s: %.0f bytes beside the tensors", files[i].args, rest);
        json_decref(j);
    }
}
END_TEST

/* Of an embedding that is no output matrix (128256 rows of 8192 in Q4_K) short texts touch a part, long ones nearly all. */
START_TEST(rows_that_no_text_asks_for_stay_on_the_disk)
{
    const double table = 128256. * 8192 / 256 * 144;
    double rest[2];
    for (int i = 0; i < 2; i++) {
        json_t *j = plan(i ? "--shape 70b -c 131072 --machine max395-128-cpu" : "--shape 70b -c 512 --machine max395-128-cpu");
        rest[i] = (number(j, "weight_bytes") - number(j, "weight_bytes_in_memory")) / table;
        ck_assert_double_lt(number(j, "weight_bytes_in_memory") + number(j, "kv_bytes") + number(j, "buffer_bytes"),
                            number(j, "total_bytes"));
        json_decref(j);
    }
    ck_assert_msg(0.6 < rest[0] && rest[0] < 0.9 && 0 <= rest[1] && rest[1] < 0.1, "%.3f, %.3f", rest[0], rest[1]);
    json_t *tied = plan("-m tests/golden/archs/llama.gguf --machine max395-128-cpu");
    ck_assert_double_le(number(tied, "weight_bytes_in_memory"), number(tied, "weight_bytes"));
    json_decref(tied);
}
END_TEST

START_TEST(no_claim_beyond_the_bus)
{
    json_t *j = plan("--shape 70b --type Q8_0 --machine max395-128-igpu"),
           *row = json_array_get(json_object_get(j, "machines"), 0);
    ck_assert_double_gt(number(row, "decode_bound_tok_s"), 3.3);
    ck_assert_double_lt(number(row, "decode_bound_tok_s"), 3.5);
    ck_assert_double_lt(json_number_value(json_array_get(json_object_get(row, "decode_tok_s"), 1)), 3.0);
    json_decref(j);
    ck_assert_int_eq(program_sh("$t plan --shape 70b --type Q8_0 --machine max395-128-cpu", out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "can exceed about 3.4"));
}
END_TEST

START_TEST(what_is_asked_wrongly)
{
    static const char *const bad[] = {"--shape 9b",         "--shape 7b --type Q3_K", "--shape 7b --machine toaster",
                                      "--shape 7b -m x",    "-m /nowhere/x.gguf",     "a b",
                                      "--shape 7b -ctk q9", "--shape 7b -c -1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[256];
        snprintf(line, sizeof line, "$t plan %s 2>&1", bad[i]);
        ck_assert_int_gt(program_sh(line, out, sizeof out), 0);
        ck_assert_msg(strncmp(out, "tawny: ", 7) == 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s: %s", bad[i],
                      out);
    }
}
END_TEST

/* The pages that a session of n tokens really takes, and its states. */
static double taken(tawny_model *m, const tawny_engine_params *p, int32_t n)
{
    tawny_engine *e;
    tawny_session *s;
    tawny_error err = {0};
    tawny_token *t = calloc((size_t)n, sizeof *t);
    ck_assert_msg(t && tawny_engine_new(m, p, &e, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_msg(tawny_session_new(e, &s, &err) == TAWNY_OK && tawny_session_append(s, t, n, NULL, &err) == TAWNY_OK,
                  "%s", err.message);
    double bytes = (double)(e->pool.n_pages - e->pool.n_free) * (double)e->pool.page_bytes;
    bytes += s->kv.state ? (double)e->layout.state_floats * sizeof(float) : 0;
    tawny_session_free(s);
    tawny_engine_free(e);
    free(t);
    return bytes;
}

/* Every type of the cache, and two of mixed ones. */
static const tawny_kv_type caches[][2] = {
    {TAWNY_KV_F16, TAWNY_KV_F16},   {TAWNY_KV_F32, TAWNY_KV_F32},   {TAWNY_KV_BF16, TAWNY_KV_BF16},
    {TAWNY_KV_Q8_0, TAWNY_KV_Q8_0}, {TAWNY_KV_Q4_0, TAWNY_KV_Q4_0}, {TAWNY_KV_Q8_0, TAWNY_KV_Q4_0},
    {TAWNY_KV_F32, TAWNY_KV_BF16},
};

/* What an engine refuses (heads that are no blocks of 32), the plan refuses with the same words. */
static void check_cache(const char *path, tawny_model *whole, tawny_model *header, const tawny_kv_type type[2])
{
    tawny_error err = {0}, why = {0};
    tawny_engine *e = NULL;
    plan_need need;
    tawny_engine_params p = {.n_threads = 1, .n_ctx = 100, .type_k = type[0], .type_v = type[1]};
    tawny_status st = plan_need_of(header, &p, &need, &err);
    if (st != TAWNY_OK) {
        ck_assert_msg(tawny_engine_new(whole, &p, &e, &why) == st, "%s: %s", path, err.message);
        ck_assert_str_eq(err.message, why.message);
        return;
    }
    ck_assert_uint_eq(need.weights, tawny_model_bytes(whole));
    ck_assert_uint_eq(need.weights_per_token, tawny_model_bytes_per_token(whole));
    if (!tawny_model_embeds_only(whole) && tawny_model_n_ctx_train(whole) >= 100)
        ck_assert_msg((double)need.kv == taken(whole, &p, 100), "%s: %llu planned, %.0f taken", path,
                      (unsigned long long)need.kv, taken(whole, &p, 100));
}

static void check_model(const char *path)
{
    tawny_model *whole, *header;
    tawny_error err = {0};
    if (tawny_model_open(path, &whole, &err) != TAWNY_OK) return; /* other suites hold which models are supported */
    ck_assert_msg(engine_open_header(path, &header, &err) == TAWNY_OK, "%s: %s", path, err.message);
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) check_cache(path, whole, header, caches[i]);
    tawny_model_close(whole);
    tawny_model_close(header);
}

static int for_each_in(const char *dir, void (*check)(const char *path))
{
    DIR *d = opendir(dir);
    int n = 0;
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%.200s", dir, e->d_name);
        check(path);
        n++;
    }
    closedir(d);
    return n;
}

START_TEST(the_cache_is_as_planned)
{
    ck_assert_int_gt(for_each_in("tests/golden/archs", check_model) + for_each_in("tests/golden/quant", check_model), 0);
    if (!for_each_in("../shared/kit/archs", check_model)) printf("skipped: no reference models in ../shared/kit/archs\n");
}
END_TEST

/* Every architecture that gives logits can be rehearsed, its weights being nobody's. */
static void check_rehearsal(const char *path)
{
    tawny_model *header;
    tawny_error err = {0};
    rehearsal *r = NULL;
    limits_range speed;
    if (engine_open_header(path, &header, &err) != TAWNY_OK) return;
    if (!tawny_model_embeds_only(header)) {
        tawny_status st = rehearsal_open(path, header, false, &r, &err);
        if (st == TAWNY_OK) st = rehearsal_decode(r, &(tawny_engine_params){.n_threads = 1}, 0.001, &speed, &err);
        ck_assert_msg(st == TAWNY_OK, "%s: %s", path, err.message);
        ck_assert(0 < speed.min && speed.min <= speed.median && speed.median <= speed.max);
    }
    rehearsal_close(r);
    tawny_model_close(header);
}

START_TEST(rehearsed)
{
    ck_assert_int_gt(for_each_in("tests/golden/archs", check_rehearsal), 0);
    for_each_in("../shared/kit/archs", check_rehearsal);
    json_t *j = plan("-m tests/golden/archs/llama.gguf -t 1"),
           *speed = json_object_get(json_array_get(json_object_get(j, "machines"), 0), "decode_tok_s");
    ck_assert_double_gt(json_number_value(json_array_get(speed, 0)), 0);
    json_decref(j);
}
END_TEST

Suite *suite_plan(void);
Suite *suite_plan(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, shapes_have_the_sizes_of_their_files);
    tcase_add_test(t, rows_that_no_text_asks_for_stay_on_the_disk);
    tcase_add_test(t, no_claim_beyond_the_bus);
    tcase_add_test(t, what_is_asked_wrongly);
    tcase_add_test(t, the_cache_is_as_planned);
    tcase_add_test(t, rehearsed);
    suite_add_tcase(s, t);
    return s;
}
