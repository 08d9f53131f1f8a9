/* The contract: the same bits for any number of threads, any chunk, a reused prefix, any neighbours, any tier. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../simd/simd.h"
#include "base/arena.h"
#include "reference.h"

enum { N = 200 };

/* Tokens that are plausible nowhere and the same everywhere. */
static void make_tokens(tawny_token *token, int n, int n_vocab)
{
    uint32_t x = 12345;
    for (int i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        token[i] = (tawny_token)((x >> 8) % (uint32_t)n_vocab);
    }
}

static void same(const char *model, const tawny_token *token, how h, char first[33])
{
    char hex[33];
    tawny_error err = {0};
    ck_assert_msg(reference_fingerprint(model, token, N, h, hex, &err), "%s: %s", model, err.message);
    if (!first[0]) memcpy(first, hex, sizeof hex);
    ck_assert_msg(strcmp(hex, first) == 0, "%s: %s with tier %s, %d threads, chunks of %d, %s prefix; %s elsewhere", model,
                  hex, h.tier, h.threads, h.chunk, h.reuse ? "reused" : "fresh", first);
}

static const int threads[] = {1, 2, 4, 8}, chunks[] = {1, 7, 64, 512};

/* Every combination of threads, chunks, fresh and reused prefix on the tiers from `full` up, one on those below. */
static void matrix(const char *model, int n_vocab, simd_tier full, int bits)
{
    tawny_token token[N];
    char first[33] = "";
    make_tokens(token, N, n_vocab);
    for (int t = SIMD_TIERS - 1; t >= 0; t--) {
        if (!simd_available((simd_tier)t)) continue;
        for (int i = 0; i < 16; i++)
            for (int reuse = 0; reuse < 2; reuse++) {
                how h = {.tier = simd_tier_name((simd_tier)t), .threads = threads[i / 4], .chunk = chunks[i % 4],
                         .act_bits = bits, .reuse = reuse};
                if (t >= (int)full || (i == 7 && !reuse)) same(model, token, h, first);
            }
    }
    printf("contract: %s: %s\n", strrchr(model, '/') + 1, first);
}

/* A real model: each dimension by itself, since every combination would take minutes. */
static void cross(const char *model, int n_vocab)
{
    tawny_token token[N];
    char first[33] = "";
    make_tokens(token, N, n_vocab);
    for (int i = 0; i < 4; i++) same(model, token, (how){.threads = threads[i], .chunk = 64}, first);
    for (int i = 0; i < 4; i++) same(model, token, (how){.threads = 2, .chunk = chunks[i], .reuse = i % 2}, first);
    for (int t = 0; t < SIMD_TIERS; t++)
        if (simd_available((simd_tier)t))
            same(model, token, (how){.tier = simd_tier_name((simd_tier)t), .threads = 2, .chunk = 512, .reuse = true}, first);
    printf("contract: %s: %s\n", strrchr(model, '/') + 1, first);
}

START_TEST(quantized)
{
    matrix("tests/golden/quant/llama-Q4_K_M.gguf", 64, SIMD_SCALAR, 8);
    matrix("tests/golden/quant/llama-Q4_K_M.gguf", 64, SIMD_SCALAR, 16);
    matrix("tests/golden/quant/llama-Q8_0.gguf", 64, SIMD_SCALAR, 8);
    matrix("tests/golden/quant/qwen3-Q4_K_M.gguf", 64, SIMD_AVX2, 8);
}
END_TEST

START_TEST(experts) { matrix("tests/golden/archs/llama-moe.gguf", 64, SIMD_SCALAR, 0); }
END_TEST

START_TEST(recurrent) { matrix("tests/golden/archs/qwen35.gguf", 64, SIMD_AVX2, 0); }
END_TEST

START_TEST(positions)
{
    matrix("tests/golden/archs/starcoder.gguf", 64, SIMD_AVX2, 0);
    matrix("tests/golden/archs/bloom.gguf", 64, SIMD_AVX2, 0);
}
END_TEST

static bool equal_bits(const char *path, const reference *r, how h, const float *want, float *out)
{
    tawny_error err = {0};
    bool ran = reference_run(path, r->token, r->n, h, out, &err);
    if (ran && memcmp(out, want, (size_t)r->n * (size_t)r->dim * sizeof *out) == 0) return true;
    printf("%s: tier %s, %d threads, chunks of %d, %d bits%s%s: %s\n", path, h.tier ? h.tier : "best", h.threads, h.chunk,
           h.act_bits, h.reuse ? ", a reused prefix" : "", h.mixed ? ", others beside" : "", ran ? "other bits" : err.message);
    return false;
}

/* Each dimension by itself and some together; every one against a prefill with two threads on the best tier. */
static bool arch_matrix(const char *path, const reference *r, int bits, tawny_kv_type kv)
{
    static const how ways[] = {
        {.threads = 1, .chunk = 1},
        {.threads = 4, .chunk = 7},
        {.threads = 8, .chunk = 33, .reuse = true},
        {.threads = 1, .chunk = 1, .mixed = true},
        {.threads = 2, .chunk = 9, .mixed = true},
        {.threads = 3, .chunk = 40, .mixed = true},
        {.tier = "scalar", .threads = 2, .chunk = 48, .mixed = true},
        {.tier = "avx2", .threads = 1, .chunk = 64},
        {.tier = "avx2", .threads = 2, .chunk = 12, .mixed = true},
    };
    tawny_error err = {0};
    size_t bytes = (size_t)r->n * (size_t)r->dim * sizeof(float);
    float *want = malloc(bytes), *out = malloc(bytes);
    ck_assert(want && out);
    how plain = {.threads = 2, .chunk = r->n, .kv = kv, .act_bits = bits};
    ck_assert_msg(reference_run(path, r->token, r->n, plain, want, &err), "%s: %s", path, err.message);
    bool same_bits = true;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        how h = ways[i];
        h.kv = kv;
        h.act_bits = bits;
        if (h.tier && strcmp(h.tier, "avx2") == 0 && !simd_available(SIMD_AVX2)) continue;
        same_bits = equal_bits(path, r, h, want, out) && same_bits;
    }
    free(want);
    free(out);
    return same_bits;
}

/* All models of a folder that can be run; how many there are. */
static int every_model(const char *dir, bool quant)
{
    static char names[REFERENCE_FILES][REFERENCE_NAME];
    int skipped = 0, n = reference_list(dir, names, &skipped), done = 0, bad = 0;
    for (int i = 0; i < n; i++) {
        char path[REFERENCE_PATH];
        reference r;
        reference_path(path, dir, names[i], ".gguf");
        if (!reference_of(dir, names[i], &r)) continue;
        bool eight = quant && i % 2; /* 8 bits of activations, or 16, by turns */
        bad += !arch_matrix(path, &r, eight ? 8 : 16, eight ? TAWNY_KV_F32 : TAWNY_KV_F16);
        reference_free(&r);
        done++;
    }
    ck_assert_msg(bad == 0, "%s: other bits in some of %d models", dir, done);
    return done;
}

START_TEST(every_architecture)
{
    ck_assert_int_ge(every_model("tests/golden/archs", false), 8);
    ck_assert_int_ge(every_model("tests/golden/quant", true), 4);
}
END_TEST

START_TEST(every_architecture_of_the_kit)
{
    int done = every_model("../shared/kit/archs", false) + every_model("../shared/kit/archs-quant", true);
    if (!done)
        printf("skipped: no reference models in ../shared/kit\n");
    else
        printf("contract: %d reference models\n", done);
}
END_TEST

START_TEST(default_model)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[4096];
    snprintf(path, sizeof path, "%s%s/tawny/models/SmolLM2-135M-Instruct.Q4_1.gguf", cache && *cache ? cache : home ? home : "",
             cache && *cache ? "" : "/.cache");
    if (access(path, R_OK) != 0)
        printf("skipped: the default model is not there (tools/get-model fetches it)\n");
    else
        cross(path, 49152);
}
END_TEST

/* Greedy tokens of a session that decodes one by one. */
static void decode(tawny_session *s, int n, int n_vocab, tawny_error *err)
{
    for (int i = 0; i < n; i++) {
        const float *l = tawny_session_logits(s);
        tawny_token best = 0;
        for (int v = 1; v < n_vocab; v++)
            if (l[v] > l[best]) best = v;
        ck_assert_msg(tawny_session_append(s, &best, 1, NULL, err) == TAWNY_OK, "%s", err->message);
    }
}

static void session_life(const char *path)
{
    tawny_model *m;
    tawny_engine *e;
    tawny_session *s, *f;
    tawny_error err = {0};
    tawny_token token[N];
    make_tokens(token, N, 64);
    ck_assert_int_eq(tawny_model_open(path, &m, &err), TAWNY_OK);
    tawny_engine_params p = {.n_threads = 2, .n_sessions = 2, .n_ctx = 1024};
    ck_assert_int_eq(tawny_engine_new(m, &p, &e, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(e, &s, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_sync(s, token, N, NULL, NULL, &err), TAWNY_OK);
    decode(s, 1, 64, &err);
    uint64_t before = base_alloc_count();
    decode(s, 100, 64, &err);
    ck_assert_uint_eq(base_alloc_count(), before);

    /* a fork goes its own way from the shared past, and the original is untouched */
    ck_assert_int_eq(tawny_session_fork(s, &f, &err), TAWNY_OK);
    decode(s, 1, 64, &err);
    float was[64];
    memcpy(was, tawny_session_logits(s), sizeof was);
    int32_t n;
    const tawny_token *all = tawny_session_tokens(s, &n);
    ck_assert_int_eq(tawny_session_append(f, token, 3, NULL, &err), TAWNY_OK);
    ck_assert_ptr_null(tawny_session_logits(s));
    tawny_token copy[1024];
    memcpy(copy, all, (size_t)n * sizeof *copy);
    ck_assert_int_eq(tawny_session_sync(f, copy, n, NULL, NULL, &err), TAWNY_OK);
    ck_assert_mem_eq(tawny_session_logits(f), was, sizeof was);
    ck_assert_int_eq(tawny_session_sync(s, copy, n, NULL, NULL, &err), TAWNY_OK);
    ck_assert_mem_eq(tawny_session_logits(s), was, sizeof was);

    /* the context's end is an error, and nothing is lost */
    tawny_token many[1025] = {0};
    ck_assert_int_eq(tawny_session_append(s, many, 1025 - n, NULL, &err), TAWNY_E_LIMIT);
    ck_assert_int_eq(tawny_session_append(s, &(tawny_token){64}, 1, NULL, &err), TAWNY_E_ARG);
    tawny_session_free(f);
    tawny_session_free(s);
    tawny_engine_free(e);
    tawny_model_close(m);
}

START_TEST(decoding_allocates_nothing)
{
    session_life("tests/golden/quant/llama-Q4_K_M.gguf");
    session_life("tests/golden/archs/qwen35.gguf");
}
END_TEST

static void sync_equals(tawny_session *s, tawny_session *fresh, const tawny_token *token, int32_t n, int32_t keep, int n_vocab)
{
    tawny_error err = {0};
    float was[64];
    tawny_session_truncate(s, keep);
    ck_assert_int_eq(tawny_session_sync(s, token, n, NULL, NULL, &err), TAWNY_OK);
    memcpy(was, tawny_session_logits(s), (size_t)n_vocab * sizeof *was);
    tawny_session_truncate(fresh, 0);
    ck_assert_int_eq(tawny_session_append(fresh, token, n, NULL, &err), TAWNY_OK);
    ck_assert_mem_eq(tawny_session_logits(fresh), was, (size_t)n_vocab * sizeof *was);
}

/* A recurrent state cannot go back; sessions can: before, at and after the saved one, and to the start. */
START_TEST(recurrent_state_goes_back)
{
    tawny_model *m;
    tawny_engine *e;
    tawny_session *s, *fresh;
    tawny_error err = {0};
    tawny_token token[N];
    make_tokens(token, N, 64);
    ck_assert_int_eq(tawny_model_open("tests/golden/archs/qwen35.gguf", &m, &err), TAWNY_OK);
    tawny_engine_params p = {.n_threads = 2, .n_sessions = 2, .n_ctx = 512, .n_ubatch = 24};
    ck_assert_int_eq(tawny_engine_new(m, &p, &e, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(e, &s, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(e, &fresh, &err), TAWNY_OK);
    static const int32_t to[][2] = {{100, 0}, {100, 99}, {101, 100}, {130, 99}, {120, 110}, {90, 50}, {90, 88}, {1, 0}, {200, 0}, {200, 200}, {100, 200},
                                    {180, 100}, {100, 180}, {180, 100}, {60, 180}, {64, 60}, {200, 64}};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) sync_equals(s, fresh, token, to[i][0], to[i][1], 64);
    tawny_session_free(fresh);
    tawny_session_free(s);
    tawny_engine_free(e);
    tawny_model_close(m);
}
END_TEST

Suite *suite_contract(void)
{
    Suite *s = suite_create("contract");
    TCase *t = tcase_create("contract");
    tcase_set_timeout(t, 600);
    tcase_add_test(t, quantized);
    tcase_add_test(t, experts);
    tcase_add_test(t, every_architecture);
    tcase_add_test(t, every_architecture_of_the_kit);
    tcase_add_test(t, default_model);
    tcase_add_test(t, recurrent);
    tcase_add_test(t, positions);
    tcase_add_test(t, decoding_allocates_nothing);
    suite_add_tcase(s, t);
    t = tcase_create("recurrent");
    tcase_set_timeout(t, 600);
    tcase_add_test(t, recurrent_state_goes_back);
    suite_add_tcase(s, t);
    return s;
}
