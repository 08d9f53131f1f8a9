/* The types of the KV cache: the same bits everywhere, and what each costs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../simd/simd.h"
#include "reference.h"

enum { N = 200 };

/* A few threads and chunks, every tier. */
START_TEST(contract)
{
    static const char model[] = "tests/golden/quant/llama-Q4_K_M.gguf";
    static const int threads[] = {1, 2, 4, 8}, chunks[] = {512, 64, 7, 1};
    tawny_token token[N];
    tawny_error err = {0};
    for (int i = 0; i < N; i++) token[i] = (tawny_token)((uint32_t)i * 2654435761u >> 26);
    for (int type = 0; type < TAWNY_KV_TYPES; type++) {
        char first[33] = "", hex[33];
        for (int i = 0; i < 4 + SIMD_TIERS; i++) {
            if (i >= 4 && !simd_available((simd_tier)(i - 4))) continue;
            how h = {.tier = i < 4 ? NULL : simd_tier_name((simd_tier)(i - 4)), .threads = threads[i % 4], .chunk = chunks[i % 4],
                     .kv = (tawny_kv_type)type, .reuse = i % 2};
            ck_assert_msg(reference_fingerprint(model, token, N, h, hex, &err), "%s", err.message);
            if (!i) memcpy(first, hex, sizeof hex);
            ck_assert_msg(strcmp(hex, first) == 0, "cache of %s: %s, %s in case %d", tawny_kv_type_name((tawny_kv_type)type), first, hex, i);
        }
    }
}
END_TEST

/* Against references with an F32 cache. */
START_TEST(errors)
{
    static const struct {
        tawny_kv_type type;
        double limit;
    } kinds[] = {{TAWNY_KV_BF16, 1e-5}, {TAWNY_KV_Q8_0, 1e-4}, {TAWNY_KV_Q4_0, 2e-2}};
    static const char *const names[] = {"qwen3.gguf", "qwen3.f32", "gemma.gguf", "gemma.exact.f32", "qwen35.gguf", "qwen35.f32"};
    for (size_t i = 0; i < 3; i++) {
        char path[128], ref[128];
        reference r;
        tawny_error err = {0};
        snprintf(path, sizeof path, "tests/golden/archs/%s", names[2 * i]);
        snprintf(ref, sizeof ref, "tests/golden/archs/%s", names[2 * i + 1]);
        ck_assert(reference_load(ref, &r));
        size_t n = (size_t)r.n * (size_t)r.dim;
        float *out = malloc(n * sizeof *out);
        for (size_t k = 0; k < 3; k++) {
            how h = {.threads = 2, .chunk = 32, .kv = kinds[k].type};
            ck_assert_msg(reference_run(path, r.token, r.n, h, out, &err), "%s", err.message);
            double nmse = reference_nmse(r.data, out, n);
            ck_assert_msg(nmse <= kinds[k].limit, "%s, cache of %s: NMSE %.3g", path, tawny_kv_type_name(kinds[k].type), nmse);
        }
        reference_free(&r);
        free(out);
    }
}
END_TEST

START_TEST(heads_of_whole_blocks)
{
    tawny_model *m;
    tawny_engine *e;
    tawny_error err = {0};
    ck_assert_int_eq(tawny_model_open("tests/golden/archs/llama.gguf", &m, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_engine_new(m, &(tawny_engine_params){.type_v = TAWNY_KV_Q8_0}, &e, &err), TAWNY_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.message, "values in q8_0") && strstr(err.message, "head size 16"), "%s", err.message);
    ck_assert_int_eq(tawny_engine_new(m, &(tawny_engine_params){.type_k = TAWNY_KV_TYPES}, &e, &err), TAWNY_E_ARG);
    tawny_model_close(m);
}
END_TEST

/* Bits an element: 32, 16, 16, 8.5, 4.5. */
START_TEST(bytes)
{
    static const size_t want[SIMD_KV_TYPES] = {4 * 8192, 2 * 8192, 2 * 8192, 8704, 4608};
    for (int t = 0; t < SIMD_KV_TYPES; t++) ck_assert_uint_eq(simd_kv_bytes((simd_kv)t, 128), want[t]);
}
END_TEST

Suite *suite_kv(void)
{
    Suite *s = suite_create("kv");
    TCase *t = tcase_create("kv");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, contract);
    tcase_add_test(t, errors);
    tcase_add_test(t, heads_of_whole_blocks);
    tcase_add_test(t, bytes);
    suite_add_tcase(s, t);
    return s;
}
