/* Sessions as bytes: they go on with the same bits; nothing that is damaged, foreign or forged is taken or does harm. */
#include <check.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/session_file.h"
#include "random.h"

enum { VOCAB = 64, TOKENS = 150, CTX = 256 };

static tawny_model *loaded;
static tawny_engine *engine;
static tawny_session *session;
static tawny_error err;
static buf file;
static tawny_token token[CTX];

static void begin(const char *path, tawny_engine_params p)
{
    p.n_threads = 2;
    p.n_sessions = 3;
    if (!p.n_ctx) p.n_ctx = CTX;
    for (int i = 0; i < CTX; i++) token[i] = (tawny_token)(random_u64(3, (uint64_t)i) % VOCAB);
    ck_assert_msg(tawny_model_open(path, &loaded, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_msg(tawny_engine_new(loaded, &p, &engine, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_int_eq(tawny_session_new(engine, &session, &err), TAWNY_OK);
}

static void end(void)
{
    tawny_session_free(session);
    ck_assert_int_eq(engine->pool.n_free, engine->pool.n_pages); /* none was lost */
    tawny_engine_free(engine);
    tawny_model_close(loaded);
    buf_free(&file);
}

static tawny_status append(void *user, const void *data, size_t n, tawny_error *e) { return buf_add(user, data, n) ? TAWNY_OK : err_nomem(e); }

typedef struct bytes {
    const char *at;
    size_t left;
} bytes;

static tawny_status take(void *user, void *data, size_t n, tawny_error *e)
{
    bytes *b = user;
    if (n > b->left) return err_set(e, TAWNY_E_FORMAT, "it ends early");
    memcpy(data, b->at, n);
    b->at += n;
    b->left -= n;
    return TAWNY_OK;
}

static tawny_status load(tawny_session *s, const char *data, size_t n)
{
    return tawny_session_load(s, "file", take, &(bytes){data, n}, &err);
}

static void save(const tawny_session *s, buf *to)
{
    buf_clear(to);
    ck_assert_msg(tawny_session_save(s, append, to, &err) == TAWNY_OK, "%s", err.message);
}

/* The logits after one more token. */
static void next(tawny_session *s, float out[VOCAB])
{
    int32_t n;
    tawny_session_tokens(s, &n);
    ck_assert_int_eq(tawny_session_append(s, &token[n], 1, NULL, &err), TAWNY_OK);
    memcpy(out, tawny_session_logits(s), VOCAB * sizeof *out);
}

static void goes_on(const char *path, tawny_kv_type type)
{
    float want[3][VOCAB], got[VOCAB];
    tawny_session *other;
    buf again = {0};
    int32_t n;
    begin(path, (tawny_engine_params){.type_k = type, .type_v = type});
    ck_assert_int_eq(tawny_session_sync(session, token, 100, NULL, NULL, &err), TAWNY_OK); /* with a checkpoint */
    ck_assert_int_eq(tawny_session_append(session, token + 100, TOKENS - 100, NULL, &err), TAWNY_OK);
    save(session, &file);
    for (int i = 0; i < 3; i++) next(session, want[i]);
    ck_assert_int_eq(tawny_session_new(engine, &other, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_append(other, token + 7, 77, NULL, &err), TAWNY_OK);
    ck_assert_msg(load(other, file.data, file.size) == TAWNY_OK, "%s", err.message);
    ck_assert_mem_eq(tawny_session_tokens(other, &n), token, TOKENS * sizeof *token);
    ck_assert_int_eq(n, TOKENS);
    save(other, &again); /* though the pages were others' before */
    ck_assert_uint_eq(again.size, file.size);
    ck_assert_mem_eq(again.data, file.data, file.size);
    for (int i = 0; i < 3; i++) {
        next(other, got);
        ck_assert_mem_eq(got, want[i], sizeof got);
    }
    ck_assert_int_eq(tawny_session_reuse(other, token, 110), session->kv.state ? 100 : 109); /* checkpoints too */
    buf_free(&again);
    tawny_session_free(other);
    end();
}

START_TEST(sessions_go_on)
{
    for (int type = 0; type < TAWNY_KV_TYPES; type++) goes_on("tests/golden/quant/llama-Q4_K_M.gguf", (tawny_kv_type)type);
    goes_on("tests/golden/archs/gemma3.gguf", TAWNY_KV_F16);
    goes_on("tests/golden/archs/qwen35.gguf", TAWNY_KV_F16);
}
END_TEST

START_TEST(empty_and_full)
{
    begin("tests/golden/archs/llama.gguf", (tawny_engine_params){0});
    save(session, &file);
    ck_assert_int_eq(tawny_session_append(session, token, CTX, NULL, &err), TAWNY_OK);
    ck_assert_int_eq(load(session, file.data, file.size), TAWNY_OK);
    ck_assert_int_eq(session->n, 0);
    ck_assert_int_eq(tawny_session_append(session, token, CTX, NULL, &err), TAWNY_OK);
    save(session, &file);
    tawny_session_truncate(session, 3);
    ck_assert_int_eq(load(session, file.data, file.size), TAWNY_OK);
    ck_assert_int_eq(session->n, CTX);
    end();
}
END_TEST

/* As it was: what it says and what comes next. */
static void unchanged(float want[VOCAB], int32_t n)
{
    float got[VOCAB];
    ck_assert_int_eq(session->n, n);
    next(session, got);
    ck_assert_mem_eq(got, want, sizeof got);
    tawny_session_truncate(session, n);
}

static void every_byte(const char *path)
{
    float want[VOCAB];
    begin(path, (tawny_engine_params){0});
    ck_assert_int_eq(tawny_session_append(session, token, 5, NULL, &err), TAWNY_OK);
    save(session, &file);
    ck_assert_int_eq(tawny_session_append(session, token + 5, 3, NULL, &err), TAWNY_OK);
    next(session, want);
    tawny_session_truncate(session, 8);
    for (size_t i = 0; i < file.size; i++) {
        char was = file.data[i];
        file.data[i] = (char)(was ^ (1 << random_u64(1, i) % 8));
        ck_assert_msg(load(session, file.data, file.size) == TAWNY_E_FORMAT, "byte %zu", i);
        ck_assert_msg(strncmp(err.message, "file: ", 6) == 0, "byte %zu: %s", i, err.message);
        file.data[i] = was;
        ck_assert_msg(load(session, file.data, i) == TAWNY_E_FORMAT, "%zu bytes", i);
        if (i % 997 == 0) unchanged(want, 8);
    }
    unchanged(want, 8);
    ck_assert_int_eq(load(session, file.data, file.size), TAWNY_OK);
    ck_assert_int_eq(session->n, 5);
    end();
}

START_TEST(damaged_bytes)
{
    every_byte("tests/golden/archs/llama.gguf");
    every_byte("tests/golden/archs/qwen35.gguf");
}
END_TEST

/* Makes both checksums right. */
static void seal(char *data, size_t n)
{
    if (n < sizeof(session_head) + 16) return;
    hash128 h = hash_bytes(data, offsetof(session_head, check));
    memcpy(data + offsetof(session_head, check), h.bytes, 16);
    h = hash_bytes(data, n - 16);
    memcpy(data + n - 16, h.bytes, 16);
}

/* Whoever can write a file can compute its checksum: whatever it holds, the process goes on. */
static void forged(const char *path)
{
    float want[VOCAB], out[VOCAB];
    int taken = 0;
    tawny_session *other;
    begin(path, (tawny_engine_params){0});
    ck_assert_int_eq(tawny_session_new(engine, &other, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_sync(session, token, 70, NULL, NULL, &err), TAWNY_OK);
    save(session, &file);
    next(session, want);
    tawny_session_truncate(session, 70);
    char *copy = malloc(file.size);
    for (uint64_t i = 0; i < 400; i++) {
        size_t n = i % 3 ? file.size : file.size - random_u64(i, 1) % 600;
        memcpy(copy, file.data, n);
        for (uint64_t k = 0; k < 1 + i % 4; k++) {
            size_t at = (size_t)(random_u64(i, 10 + k) % (i % 2 ? n : 700));
            uint32_t v = (uint32_t)random_u64(i, 20 + k) >> (random_u64(i, 30 + k) % 32);
            if (at + 4 <= n) memcpy(copy + at, &v, 4);
        }
        seal(copy, n);
        if (load(other, copy, n) == TAWNY_OK && other->n < CTX) {
            taken++;
            next(other, out);
        }
        unchanged(want, 70);
    }
    ck_assert_int_gt(taken, 20);
    free(copy);
    tawny_session_free(other);
    end();
}

START_TEST(forged_files)
{
    forged("tests/golden/archs/llama.gguf");
    forged("tests/golden/archs/qwen35.gguf");
}
END_TEST

static void refused(const char *says, tawny_status why)
{
    tawny_status st = load(session, file.data, file.size);
    ck_assert_msg(st == why && strstr(err.message, says), "%d: %s", st, err.message);
    tawny_session_free(session);
    tawny_engine_free(engine);
    tawny_model_close(loaded);
}

START_TEST(foreign_files)
{
    static const char path[] = "tests/golden/quant/llama-Q4_K_M.gguf", turned[] = "tests/golden/archs/phi3-longrope.gguf";
    begin(path, (tawny_engine_params){0});
    ck_assert_int_eq(tawny_session_append(session, token, 100, NULL, &err), TAWNY_OK);
    save(session, &file);
    tawny_session_free(session);
    tawny_engine_free(engine);
    tawny_model_close(loaded);
    begin("tests/golden/archs/llama.gguf", (tawny_engine_params){0});
    refused("another model", TAWNY_E_FORMAT);
    begin(path, (tawny_engine_params){.type_v = TAWNY_KV_Q8_0});
    refused("a cache of f16 and f16; here keys are f16 and values q8_0", TAWNY_E_FORMAT);
    begin(path, (tawny_engine_params){.act_bits = 8});
    refused("activations of 16 bits; here they have 8", TAWNY_E_FORMAT);
    begin(path, (tawny_engine_params){.n_ctx = 64});
    refused("100 tokens; the context has room for 64", TAWNY_E_LIMIT);
    session_head *h = (session_head *)(void *)file.data;
    h->contract++;
    seal(file.data, file.size);
    begin(path, (tawny_engine_params){0});
    refused("version 3 of the numerical contract", TAWNY_E_FORMAT);
    h->version = 7;
    begin(path, (tawny_engine_params){0});
    refused("version 7 of the format", TAWNY_E_FORMAT);
    /* a context whose size chooses other factors for its positions */
    begin(turned, (tawny_engine_params){.n_ctx = 64});
    ck_assert_int_eq(tawny_session_append(session, token, 30, NULL, &err), TAWNY_OK);
    save(session, &file);
    bool two = loaded->m.rope_freqs[1] != NULL;
    uint32_t orig = loaded->m.hp.rope[0].orig_ctx;
    tawny_session_free(session);
    tawny_engine_free(engine);
    tawny_model_close(loaded);
    ck_assert(two && orig >= 64);
    begin(turned, (tawny_engine_params){.n_ctx = (int32_t)orig + 1});
    refused("set up differently", TAWNY_E_FORMAT);
    buf_free(&file);
}
END_TEST

Suite *suite_session_file(void);
Suite *suite_session_file(void)
{
    Suite *s = suite_create("session_file");
    TCase *t = tcase_create("session_file");
    tcase_set_timeout(t, 180);
    tcase_add_test(t, sessions_go_on);
    tcase_add_test(t, empty_and_full);
    tcase_add_test(t, damaged_bytes);
    tcase_add_test(t, forged_files);
    tcase_add_test(t, foreign_files);
    suite_add_tcase(s, t);
    return s;
}
