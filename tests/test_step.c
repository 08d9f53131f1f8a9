/* Steps of several sessions: the bits that each gets alone, what is refused, and that nothing is lost then. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/engine.h"

enum { VOCAB = 64, SESSIONS = 8, CTX = 2048 };

static tawny_model *loaded;
static tawny_engine *engine;
static tawny_session *session[SESSIONS];
static tawny_error err;

static void open_engine(const char *path, int threads, int ubatch)
{
    tawny_engine_params p = {.n_threads = threads, .n_ctx = CTX, .n_sessions = SESSIONS, .n_ubatch = ubatch};
    ck_assert_msg(tawny_model_open(path, &loaded, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_int_eq(tawny_engine_new(loaded, &p, &engine, &err), TAWNY_OK);
    for (int i = 0; i < SESSIONS; i++) ck_assert_int_eq(tawny_session_new(engine, &session[i], &err), TAWNY_OK);
}

/* No pass took more of the buffers than was planned. */
static void check_buffers(void)
{
    for (int i = 0; i < tawny_engine_n_threads(engine); i++) {
        const run *r = &engine->runs[i];
        ck_assert_uint_le(r->shared_peak, engine->shared.buffers_size);
        ck_assert_uint_le(r->own_peak, r->own_size);
    }
}

static void close_engine(void)
{
    check_buffers();
    for (int i = 0; i < SESSIONS; i++) tawny_session_free(session[i]);
    tawny_engine_free(engine);
    tawny_model_close(loaded);
}

/* The token at a place of timeline `line`. */
static tawny_token token_at(int line, int i)
{
    uint32_t x = (uint32_t)(line * 5003 + i) * 2654435761u;
    return (tawny_token)((x ^ x >> 15) % VOCAB);
}

static void fill(tawny_token *to, int line, int from, int n)
{
    for (int i = 0; i < n; i++) to[i] = token_at(line, from + i);
}

static int32_t length(const tawny_session *s)
{
    int32_t n;
    tawny_session_tokens(s, &n);
    return n;
}

/* Some long enough for chunks of attention, one at the edge of one, one of a page, one almost empty. */
static const int past[SESSIONS] = {1300, 600, 10, 1023, 1, 64, 1535, 700};
static const int more[SESSIONS] = {1, 10, 1, 2, 3, 1, 1, 16};
enum { MORE = 16, STEPS = 2 };

typedef float logits[STEPS][SESSIONS][MORE][VOCAB];

static void start(int i)
{
    static tawny_token t[CTX];
    fill(t, i, 0, past[i]);
    ck_assert_int_eq(tawny_session_append(session[i], t, past[i], NULL, &err), TAWNY_OK);
}

static void alone(logits out)
{
    for (int i = 0; i < SESSIONS; i++) {
        start(i);
        for (int k = 0; k < STEPS; k++) {
            tawny_token t[MORE];
            fill(t, i, length(session[i]), more[i]);
            ck_assert_int_eq(tawny_session_append(session[i], t, more[i], out[k][i][0], &err), TAWNY_OK);
        }
    }
}

static void together(logits want, const char *path, int threads, const int *who, int n_who)
{
    static tawny_token t[SESSIONS][MORE];
    for (int k = 0; k < STEPS; k++) {
        tawny_step items[SESSIONS];
        for (int j = 0; j < n_who; j++) {
            int i = who[j];
            fill(t[i], i, length(session[i]), more[i]);
            items[j] = (tawny_step){.session = session[i], .tokens = t[i], .n = more[i], .n_logits = 1 + i % more[i]};
        }
        ck_assert_msg(tawny_engine_step(engine, items, n_who, &err) == TAWNY_OK, "%s", err.message);
        for (int j = 0; j < n_who; j++) {
            int i = who[j], n = items[j].n_logits;
            ck_assert_msg(memcmp(items[j].logits, want[k][i][more[i] - n], (size_t)n * VOCAB * sizeof(float)) == 0,
                          "%s, %d threads, session %d of %d, step %d: other bits", path, threads, i, n_who, k);
            ck_assert_ptr_eq(tawny_session_logits(session[i]), items[j].logits + (n - 1) * VOCAB);
        }
    }
}

/* All in one batch, and a few (up to four tokens go another way). */
static void lengths(const char *path)
{
    static logits want;
    static const int threads[] = {1, 2, 5}, all[] = {3, 0, 7, 2, 1, 6, 4, 5}, few[] = {6, 2, 0, 5};
    open_engine(path, 2, 512);
    alone(want);
    close_engine();
    for (int i = 0; i < 3; i++) {
        open_engine(path, threads[i], 100);
        for (int j = 0; j < SESSIONS; j++) start(j);
        together(want, path, threads[i], all, SESSIONS);
        close_engine();
        open_engine(path, threads[i], 512);
        for (int j = 0; j < 4; j++) start(few[j]);
        together(want, path, threads[i], few, 4);
        close_engine();
    }
}

START_TEST(contexts_of_all_lengths)
{
    lengths("tests/golden/quant/llama-Q4_K_M.gguf");
    lengths("tests/golden/archs/gemma3.gguf");
    lengths("tests/golden/archs/gpt-oss.gguf");
    lengths("tests/golden/archs/qwen35.gguf");
}
END_TEST

/* Every session as it was: its tokens, and what comes next. */
static void unchanged(void)
{
    static float want[VOCAB];
    for (int i = 0; i < 3; i++) {
        tawny_session *fresh = session[SESSIONS - 1], *s = session[i];
        ck_assert_int_eq(length(s), 20 + i);
        tawny_token next = token_at(i, 20 + i);
        tawny_session_truncate(fresh, 0);
        tawny_token t[32];
        fill(t, i, 0, 21 + i);
        ck_assert_mem_eq(tawny_session_tokens(s, &(int32_t){0}), t, (size_t)(20 + i) * sizeof *t);
        ck_assert_int_eq(tawny_session_append(fresh, t, 21 + i, NULL, &err), TAWNY_OK);
        memcpy(want, tawny_session_logits(fresh), sizeof want);
        ck_assert_int_eq(tawny_session_append(s, &next, 1, NULL, &err), TAWNY_OK);
        ck_assert_mem_eq(tawny_session_logits(s), want, sizeof want);
        tawny_session_truncate(s, 20 + i);
    }
}

static void refused(tawny_step *items, int n, tawny_status why, const char *says)
{
    tawny_status st = tawny_engine_step(engine, items, n, &err);
    ck_assert_msg(st == why && strstr(err.message, says), "%d: %s", st, err.message);
    unchanged();
}

static void refusals(const char *path)
{
    tawny_model *m2;
    tawny_engine *e2;
    tawny_session *foreign;
    static tawny_token many[CTX + 1];
    open_engine(path, 2, 64);
    ck_assert_int_eq(tawny_model_open(path, &m2, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_engine_new(m2, &(tawny_engine_params){.n_ctx = 64}, &e2, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(e2, &foreign, &err), TAWNY_OK);
    for (int i = 0; i < 3; i++) {
        fill(many, i, 0, 20 + i);
        ck_assert_int_eq(tawny_session_append(session[i], many, 20 + i, NULL, &err), TAWNY_OK);
    }
    memset(many, 0, sizeof many);
    tawny_token bad[3] = {1, 2, VOCAB};
    tawny_step good = {.session = session[0], .tokens = many, .n = 2, .n_logits = 1}, x[9] = {good};
#define SECOND(...) x[1] = (tawny_step){__VA_ARGS__}
    SECOND(.session = session[0], .tokens = many, .n = 1);
    refused(x, 2, TAWNY_E_ARG, "twice");
    SECOND(.session = foreign, .tokens = many, .n = 1);
    refused(x, 2, TAWNY_E_ARG, "another engine");
    SECOND(.session = session[1], .tokens = many, .n = 0);
    refused(x, 2, TAWNY_E_ARG, "0 tokens");
    SECOND(.session = session[1], .tokens = many, .n = -5);
    refused(x, 2, TAWNY_E_ARG, "-5 tokens");
    SECOND(.session = session[1], .tokens = many, .n = 2, .n_logits = 3);
    refused(x, 2, TAWNY_E_ARG, "3 of 2");
    SECOND(.session = session[1], .tokens = bad, .n = 3);
    refused(x, 2, TAWNY_E_ARG, "64 at index 2");
    SECOND(.session = session[1], .tokens = many, .n = 63);
    refused(x, 2, TAWNY_E_LIMIT, "64 tokens");
    SECOND(.session = session[1], .tokens = many, .n = INT32_MAX);
    refused(x, 2, TAWNY_E_LIMIT, "64 tokens");
    refused(x, 9, TAWNY_E_ARG, "9 items");
    refused(x, -1, TAWNY_E_ARG, "-1 items");
    ck_assert_int_eq(tawny_session_append(session[4], many, CTX - 1, NULL, &err), TAWNY_OK);
    SECOND(.session = session[4], .tokens = many, .n = 2);
    refused(x, 2, TAWNY_E_LIMIT, "context");
    ck_assert_int_eq(length(session[4]), CTX - 1);
    ck_assert_int_eq(tawny_engine_step(engine, NULL, 0, &err), TAWNY_OK);
    tawny_session_free(foreign);
    tawny_engine_free(e2);
    tawny_model_close(m2);
    close_engine();
}

START_TEST(refused_steps_change_nothing)
{
    refusals("tests/golden/quant/llama-Q4_K_M.gguf");
    refusals("tests/golden/archs/qwen35.gguf");
}
END_TEST

START_TEST(steps_allocate_nothing)
{
    open_engine("tests/golden/archs/qwen35.gguf", 2, 64);
    uint64_t before = 0;
    for (int k = 0; k < 40; k++) {
        if (k == 1) before = base_alloc_count();
        tawny_token t[SESSIONS][MORE];
        tawny_step items[SESSIONS];
        int n = 1 + k % SESSIONS;
        for (int i = 0; i < n; i++) {
            fill(t[i], i, 0, 8);
            items[i] = (tawny_step){.session = session[i], .tokens = t[i], .n = 1 + (i + k) % 8, .n_logits = 1};
        }
        ck_assert_int_eq(tawny_engine_step(engine, items, n, &err), TAWNY_OK);
    }
    ck_assert_uint_eq(base_alloc_count(), before);
    close_engine();
}
END_TEST

/* How a scheduler uses sessions: reuse, then chunks, then a checkpoint. Returns how many tokens were reused. */
static int32_t prompt(tawny_session *s, const tawny_token *t, int32_t n, float out[VOCAB])
{
    int32_t reused = tawny_session_reuse(s, t, n), at = reused;
    while (at < n) {
        tawny_step it = {.session = s, .tokens = t + at, .n = n - at < 24 ? n - at : 24};
        it.n_logits = at + it.n == n;
        ck_assert_int_eq(tawny_engine_step(engine, &it, 1, &err), TAWNY_OK);
        at += it.n;
    }
    tawny_session_checkpoint(s);
    ck_assert_int_eq(length(s), n);
    memcpy(out, tawny_session_logits(s), VOCAB * sizeof *out);
    return reused;
}

static void reuse(const char *path, bool recurrent)
{
    tawny_token t[200], other[200];
    float first[VOCAB], again[VOCAB];
    open_engine(path, 2, 64);
    fill(t, 0, 0, 200);
    memcpy(other, t, sizeof t);
    other[150] = (t[150] + 1) % VOCAB;
    ck_assert_int_eq(prompt(session[0], t, 100, first), 0);
    ck_assert_int_eq(prompt(session[0], t, 100, again), 100); /* its logits are there */
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_int_eq(prompt(session[0], t, 200, first), 100);
    ck_assert_int_eq(prompt(session[0], other, 200, again), recurrent ? 100 : 150);
    ck_assert_int_eq(prompt(session[1], other, 200, first), 0);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_int_eq(prompt(session[0], other, 100, again), recurrent ? 100 : 99);
    ck_assert_int_eq(prompt(session[2], other, 100, first), 0);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_int_eq(tawny_session_reuse(session[0], t, 0), 0);
    ck_assert_int_eq(length(session[0]), 0);
    close_engine();
}

START_TEST(prompts_reuse_what_they_can)
{
    reuse("tests/golden/quant/llama-Q4_K_M.gguf", false);
    reuse("tests/golden/archs/qwen35.gguf", true);
}
END_TEST

Suite *suite_step(void);
Suite *suite_step(void)
{
    Suite *s = suite_create("step");
    TCase *t = tcase_create("step");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, contexts_of_all_lengths);
    tcase_add_test(t, refused_steps_change_nothing);
    tcase_add_test(t, steps_allocate_nothing);
    tcase_add_test(t, prompts_reuse_what_they_can);
    suite_add_tcase(s, t);
    return s;
}
