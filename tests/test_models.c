/* Architectures against reference logits: the tiny models in tests/golden, and all of ../shared/kit where it is. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../simd/simd.h"
#include "reference.h"
#include "supported.h"

static const char *const table = "models/SUPPORTED.md";
static bool noting; /* what comes out goes into the table */

static met column_of(how h)
{
    if (h.act_bits) return h.act_bits == 8 ? MET_8 : MET_16;
    if (h.mixed) return MET_MIXED;
    return h.kv == TAWNY_KV_F16 ? MET_HALF : h.chunk == 1 ? MET_STEPS : MET_PREFILL;
}

static void check_model(const char *path, const char *label, const reference *r, how h, double limit, float *out)
{
    tawny_error err = {0};
    ck_assert_msg(reference_run(path, r->token, r->n, h, out, &err), "%s: %s", label, err.message);
    double nmse = reference_nmse(r->data, out, (size_t)r->n * (size_t)r->dim);
    if (noting) supported_note(path, column_of(h), nmse);
    ck_assert_msg(nmse <= limit, "%s (%s, %schunk %d, threads %d): NMSE %.3g > %.3g", label, h.tier,
                  h.mixed ? "mixed, " : "", h.chunk, h.threads, nmse, limit);
}

/* Prefill, token by token, and in mixed batches, on every tier; F32 and F16 cache. */
static int check_folder(const char *dir, int *skipped)
{
    static char names[REFERENCE_FILES][REFERENCE_NAME];
    int n = reference_list(dir, names, skipped), done = 0;
    for (int i = 0; i < n; i++) {
        char path[REFERENCE_PATH];
        reference r;
        reference_path(path, dir, names[i], ".gguf");
        if (!reference_of(dir, names[i], &r)) {
            ++*skipped;
            continue;
        }
        float *out = malloc((size_t)r.n * (size_t)r.dim * sizeof *out);
        for (simd_tier t = 0; t < SIMD_TIERS; t++) {
            if (!simd_available(t)) continue;
            how h = {.tier = simd_tier_name(t), .threads = 2, .chunk = r.n, .kv = TAWNY_KV_F32};
            check_model(path, names[i], &r, h, 1e-8, out);
            h.threads = h.chunk = 1;
            check_model(path, names[i], &r, h, 1e-8, out);
            h = (how){.tier = h.tier, .threads = 2, .chunk = 20, .kv = TAWNY_KV_F32, .mixed = true};
            check_model(path, names[i], &r, h, 1e-8, out);
            h = (how){.tier = h.tier, .threads = 2, .chunk = 32, .kv = TAWNY_KV_F16};
            check_model(path, names[i], &r, h, 1e-4, out);
        }
        free(out);
        reference_free(&r);
        done++;
    }
    return done;
}

START_TEST(golden)
{
    int skipped = 0;
    ck_assert_int_ge(check_folder("tests/golden/archs", &skipped), 8);
    ck_assert_int_eq(skipped, 0);
}
END_TEST

/* Learned positions end with their table. */
START_TEST(context_beyond_positions)
{
    tawny_model *m;
    tawny_engine *e = NULL;
    tawny_error err = {0};
    ck_assert_int_eq(tawny_model_open("tests/golden/archs/starcoder.gguf", &m, &err), TAWNY_OK);
    tawny_engine_params p = {.n_threads = 1, .n_ctx = tawny_model_n_ctx_train(m) + 1};
    ck_assert_int_eq(tawny_engine_new(m, &p, &e, &err), TAWNY_E_ARG);
    ck_assert_ptr_nonnull(strstr(err.message, "positions"));
    p.n_ctx = 0;
    ck_assert_int_eq(tawny_engine_new(m, &p, &e, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_engine_n_ctx(e), tawny_model_n_ctx_train(m));
    tawny_engine_free(e);
    tawny_model_close(m);
}
END_TEST

/* With 8-bit activations a position near a tie may take other experts, and its row then differs altogether: a row
 * of a hundred. */
static double quantized_limit(const char *name)
{
    if (strstr(name, "F16")) return 1e-8;
    if (strstr(name, "deepseek2")) return 4e-2;
    return strstr(name, "moe") || strstr(name, "gpt-oss") ? 1e-2 : 3e-3;
}

/* Quantized weights and activations: what the file stands for, within the spread of 8-bit activations, and a
 * thousandth of it with 16 bits. */
static int check_quantized(const char *dir)
{
    static char names[REFERENCE_FILES][REFERENCE_NAME];
    int skipped = 0, n = reference_list(dir, names, &skipped), done = 0;
    for (int i = 0; i < n; i++) {
        char path[REFERENCE_PATH], ref[REFERENCE_PATH];
        reference r;
        reference_path(path, dir, names[i], ".gguf");
        reference_path(ref, dir, names[i], ".deq.f32");
        if (!reference_load(ref, &r)) continue;
        float *out = malloc((size_t)r.n * (size_t)r.dim * sizeof *out);
        double fine = strstr(names[i], "F16") ? 1e-8 : quantized_limit(names[i]) / 1000;
        how h = {.threads = 2, .chunk = r.n, .kv = TAWNY_KV_F32, .act_bits = 8};
        check_model(path, names[i], &r, h, quantized_limit(names[i]), out);
        h.act_bits = 16;
        check_model(path, names[i], &r, h, fine, out);
        free(out);
        reference_free(&r);
        done++;
    }
    return done;
}

START_TEST(quantized) { ck_assert_int_ge(check_quantized("tests/golden/quant"), 4); }
END_TEST

/* TAWNY_TABLE=FILE writes the table anew instead of holding the committed one to what comes out. */
START_TEST(kit)
{
    const char *anew = getenv("TAWNY_TABLE");
    int skipped = 0;
    noting = true;
    int done = check_folder("../shared/kit/archs", &skipped);
    if (done)
        printf("architectures: %d reference models met, %d of architectures not supported yet\n", done, skipped);
    else
        printf("skipped: no reference models in ../shared/kit/archs\n");
    if (!check_quantized("../shared/kit/archs-quant")) printf("skipped: no quantized models in ../shared/kit/archs-quant\n");
    noting = false;
    if (anew && done) supported_write(anew);
    supported_check(table, done > 0);
}
END_TEST

Suite *suite_models(void)
{
    Suite *s = suite_create("models");
    TCase *t = tcase_create("models");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, golden);
    tcase_add_test(t, context_beyond_positions);
    tcase_add_test(t, kit);
    tcase_add_test(t, quantized);
    suite_add_tcase(s, t);
    return s;
}
