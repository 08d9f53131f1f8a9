/* The cache of prefixes: what is found is what was kept, whatever hashes say; its memory; and the bits of who begins there. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/engine.h"
#include "random.h"

typedef struct rng {
    uint64_t seed, i;
} rng;
static uint64_t rng_below(rng *r, uint64_t n) { return random_u64(r->seed, r->i++) % n; }

enum { PAGE_BYTES = 4096, POOL = 512, LONGEST = 400, STATE = 64 };

static kv_pool pool;
static arena *mem;
static tawny_error err;
static prefix_cache *cache;
static uint8_t *table[LONGEST / SIMD_PAGE + 1];

static uint64_t same_for_all(uint64_t before, const void *tokens, size_t bytes) { return (void)before, (void)tokens, (void)bytes, 7; }

static size_t block_bytes(void) /* of a page and what finds it */
{
    size_t n = PAGE_BYTES;
    while (!prefix_pages(n, PAGE_BYTES)) n++;
    return n;
}

static void make(uint64_t bytes, size_t state_bytes, prefix_hash *hash)
{
    mem = arena_new();
    ck_assert_int_eq(kv_pool_init(&pool, PAGE_BYTES, POOL, mem, &err), TAWNY_OK);
    ck_assert_int_eq(prefix_new(&pool, &(prefix_params){.bytes = bytes, .state_bytes = state_bytes, .hash = hash}, &cache, &err), TAWNY_OK);
}

static void drop(void)
{
    int32_t held = prefix_stats(cache).blocks;
    ck_assert_int_eq(pool.n_free, POOL - held); /* sequences gave theirs back */
    prefix_free(cache);
    kv_pool_free(&pool);
    arena_free(mem);
}

/* What a page of these tokens holds here: they, and how many came before. A state: all tokens, counted. */
static void fill_page(uint8_t *page, const tawny_token *t, int32_t n, int32_t from)
{
    memset(page, 0xee, PAGE_BYTES);
    memcpy(page, &from, sizeof from);
    memcpy(page + sizeof from, t + from, (size_t)(n - from < SIMD_PAGE ? n - from : SIMD_PAGE) * sizeof *t);
}

static int32_t state_of(const tawny_token *t, int32_t n)
{
    uint32_t sum = (uint32_t)n;
    for (int32_t i = 0; i < n; i++) sum = sum * 31 + (uint32_t)t[i];
    return (int32_t)sum;
}

static void keep(const tawny_token *t, int32_t n, bool with_state)
{
    kv_seq s = {.page = table};
    int32_t state[STATE / 4] = {state_of(t, n)};
    if (n) ck_assert_int_eq(kv_seq_prepare(&pool, &s, LONGEST / SIMD_PAGE + 1, 0, n, &err), TAWNY_OK);
    for (int32_t i = 0; i < s.n_pages; i++) fill_page(s.page[i], t, n, i * SIMD_PAGE);
    prefix_keep(cache, t, n, s.page, with_state ? state : NULL);
    kv_seq_truncate(&pool, &s, 0);
}

/* What is found holds what these tokens would have computed. */
static int32_t found(const tawny_token *t, int32_t n, bool with_state)
{
    prefix_hit hit = prefix_find(cache, t, n);
    ck_assert_int_le(hit.n, n);
    if (!hit.n) return 0;
    kv_seq s = {.page = table};
    const void *state = prefix_take(cache, hit, &s);
    ck_assert_int_eq(s.n_tokens, hit.n);
    ck_assert_int_eq(s.n_pages, (hit.n + SIMD_PAGE - 1) / SIMD_PAGE);
    for (int32_t from = 0; from < hit.n; from += SIMD_PAGE) {
        uint8_t want[PAGE_BYTES];
        fill_page(want, t, hit.n, from);
        size_t bytes = (size_t)(hit.n - from < SIMD_PAGE ? hit.n - from : SIMD_PAGE) * sizeof *t + sizeof from;
        ck_assert_mem_eq(s.page[from / SIMD_PAGE], want, bytes);
    }
    if (with_state) ck_assert_int_eq(*(const int32_t *)state, state_of(t, hit.n));
    kv_seq_truncate(&pool, &s, 0);
    return hit.n;
}

static void counted(tawny_token *t, int32_t n, tawny_token first)
{
    for (int32_t i = 0; i < n; i++) t[i] = first + i;
}

START_TEST(whole_and_in_part)
{
    tawny_token t[LONGEST], o[LONGEST];
    make(64 * block_bytes(), 0, NULL);
    counted(t, LONGEST, 1000);
    ck_assert_int_eq(found(t, LONGEST, false), 0);
    keep(t, 200, false);
    ck_assert_int_eq(prefix_stats(cache).blocks, 4);
    ck_assert_int_eq(found(t, LONGEST, false), 200);
    ck_assert_int_eq(found(t, 200, false), 200);
    ck_assert_int_eq(found(t, 150, false), 150);
    ck_assert_int_eq(found(t, 64, false), 64);
    ck_assert_int_eq(found(t, 1, false), 1);
    keep(t, 230, false); /* the rest of 8 tokens is one of 38 now */
    ck_assert_int_eq(prefix_stats(cache).blocks, 4);
    keep(t, 195, false);
    ck_assert_int_eq(prefix_stats(cache).blocks, 4);
    ck_assert_int_eq(found(t, LONGEST, false), 230);
    memcpy(o, t, sizeof t);
    o[100] = 1;
    ck_assert_int_eq(found(o, LONGEST, false), 100);
    keep(o, 300, false);
    ck_assert_int_eq(found(o, LONGEST, false), 300);
    ck_assert_int_eq(found(t, LONGEST, false), 230);
    prefix_forget(cache, o, 300);
    ck_assert_int_eq(found(o, LONGEST, false), 100);
    ck_assert_int_eq(found(t, LONGEST, false), 230);
    prefix_forget(cache, t, 200); /* 30 more go with it */
    ck_assert_int_eq(prefix_stats(cache).blocks, 0);
    ck_assert_uint_eq(prefix_stats(cache).bytes, 0);
    ck_assert_uint_eq(prefix_stats(cache).evicted, 0);
    drop();
}
END_TEST

START_TEST(least_recently_used_go_first)
{
    tawny_token t[5][LONGEST];
    make(9 * block_bytes(), 0, NULL);
    for (int i = 0; i < 5; i++) counted(t[i], LONGEST, 1000 * i);
    for (int i = 0; i < 3; i++) keep(t[i], 192, false);
    ck_assert_int_eq(found(t[0], LONGEST, false), 192);
    keep(t[3], 128, false); /* of t[1], its end */
    ck_assert_uint_eq(prefix_stats(cache).evicted, 2);
    ck_assert_int_eq(prefix_find(cache, t[1], LONGEST).n, 64);
    ck_assert_int_eq(found(t[0], LONGEST, false), 192);
    ck_assert_int_eq(found(t[3], LONGEST, false), 128);
    keep(t[4], LONGEST, false); /* all but the newest give way */
    ck_assert_int_eq(prefix_find(cache, t[1], LONGEST).n, 0);
    ck_assert_int_eq(prefix_find(cache, t[2], LONGEST).n, 0);
    ck_assert_int_eq(prefix_find(cache, t[4], LONGEST).n, LONGEST);
    ck_assert_uint_le(prefix_stats(cache).bytes, 9 * block_bytes());
    drop();
}
END_TEST

START_TEST(a_past_that_is_too_long_is_kept_in_part)
{
    tawny_token t[LONGEST];
    make(3 * block_bytes() + 100, 0, NULL);
    counted(t, LONGEST, 5);
    keep(t, LONGEST, false);
    ck_assert_int_eq(found(t, LONGEST, false), 192);
    prefix_free(cache);
    ck_assert_int_eq(prefix_new(&pool, &(prefix_params){.bytes = 10}, &cache, &err), TAWNY_OK);
    keep(t, LONGEST, false);
    ck_assert_int_eq(found(t, LONGEST, false), 0);
    prefix_free(cache);
    ck_assert_int_eq(prefix_new(&pool, &(prefix_params){.bytes = 3 * block_bytes() + 100, .state_bytes = STATE}, &cache, &err), TAWNY_OK);
    keep(t, 192, true);
    ck_assert_int_eq(found(t, LONGEST, true), 192);
    keep(t, 100, true); /* a block of its own, for which the end of the other gives way */
    ck_assert_int_eq(found(t, LONGEST, true), 100);
    kv_pool_free(&pool);
    prefix_free(cache);
    arena_free(mem);
}
END_TEST

START_TEST(states_only_at_their_ends)
{
    tawny_token t[LONGEST], o[LONGEST];
    make(64 * block_bytes(), STATE, NULL);
    counted(t, LONGEST, 0);
    keep(t, 130, false);
    ck_assert_int_eq(found(t, LONGEST, true), 0);
    keep(t, 130, true);
    keep(t, 128, true);
    keep(t, 150, true);
    ck_assert_int_eq(found(t, LONGEST, true), 150);
    ck_assert_int_eq(found(t, 150, true), 150);
    ck_assert_int_eq(found(t, 149, true), 130);
    ck_assert_int_eq(found(t, 129, true), 128);
    ck_assert_int_eq(found(t, 127, true), 0);
    memcpy(o, t, sizeof t);
    o[140] = 7777;
    ck_assert_int_eq(found(o, LONGEST, true), 130);
    keep(o, 260, true);
    ck_assert_int_eq(found(o, LONGEST, true), 260);
    ck_assert_int_eq(found(o, 259, true), 130);
    ck_assert_uint_eq(prefix_stats(cache).bytes, (uint64_t)prefix_stats(cache).blocks * block_bytes() + 4 * STATE);
    drop();
}
END_TEST

/* Pasts of few tokens, so that many share beginnings, against a list of what was kept. */
static void at_random(uint64_t seed, int32_t blocks, bool states, prefix_hash *hash)
{
    enum { ROUNDS = 600, KEPT = 64 };
    static struct {
        tawny_token t[LONGEST];
        int32_t n;
    } kept[KEPT];
    int n_kept = 0;
    rng r = {.seed = seed};
    uint64_t bytes = (uint64_t)blocks * block_bytes();
    make(bytes, states ? STATE : 0, hash);
    for (int round = 0; round < ROUNDS; round++) {
        tawny_token t[LONGEST];
        int32_t n = (int32_t)rng_below(&r, LONGEST + 1), shared = 0;
        if (n_kept) {
            int from = (int)rng_below(&r, (uint64_t)n_kept);
            shared = (int32_t)rng_below(&r, (uint64_t)kept[from].n + 1);
            if (shared > n) shared = n;
            memcpy(t, kept[from].t, (size_t)shared * sizeof *t);
        }
        for (int32_t i = shared; i < n; i++) t[i] = (tawny_token)rng_below(&r, 2);
        int32_t most = 0;
        for (int i = 0; i < n_kept; i++) {
            int32_t same = 0;
            while (same < n && same < kept[i].n && t[same] == kept[i].t[same]) same++;
            if ((!states || same == kept[i].n) && same > most) most = same;
        }
        int32_t got = found(t, n, states);
        if (prefix_stats(cache).evicted) ck_assert_int_le(got, most);
        else ck_assert_int_eq(got, most);
        if (n_kept < KEPT) {
            keep(t, n, states);
            memcpy(kept[n_kept].t, t, sizeof t);
            kept[n_kept++].n = n;
        }
        ck_assert_uint_le(prefix_stats(cache).bytes, bytes);
    }
    drop();
}

START_TEST(random_pasts)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        at_random(seed, 480, seed % 2, NULL);
        at_random(seed, 20, seed % 2, NULL);
        at_random(seed, 480, seed % 2, same_for_all); /* tokens are compared: equal hashes find nothing that is wrong */
        at_random(seed, 20, !(seed % 2), same_for_all);
    }
}
END_TEST

/* ---- through sessions ---- */

enum { VOCAB = 64, SESSIONS = 3, TOKENS = 300 };

static tawny_model *loaded;
static tawny_engine *engine;

static void begin(const char *path, uint64_t bytes)
{
    tawny_engine_params p = {.n_threads = 2, .n_ctx = 512, .n_sessions = SESSIONS, .n_ubatch = 64, .prefix_bytes = bytes};
    ck_assert_msg(tawny_model_open(path, &loaded, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_int_eq(tawny_engine_new(loaded, &p, &engine, &err), TAWNY_OK);
}

static void end(void)
{
    tawny_engine_free(engine);
    tawny_model_close(loaded);
}

/* As a scheduler does it; returns how many tokens were there. */
static int32_t answer(tawny_session *s, const tawny_token *t, int32_t n, bool reuse, float out[VOCAB])
{
    int32_t had = reuse ? tawny_session_reuse(s, t, n) : 0;
    if (!reuse) tawny_session_truncate(s, 0);
    for (int32_t at = had; at < n;) {
        tawny_step it = {.session = s, .tokens = t + at, .n = n - at < 50 ? n - at : 50};
        it.n_logits = at + it.n == n;
        ck_assert_int_eq(tawny_engine_step(engine, &it, 1, &err), TAWNY_OK);
        at += it.n;
    }
    memcpy(out, tawny_session_logits(s), VOCAB * sizeof *out);
    tawny_session_keep(s);
    return had;
}

static void same_bits(const char *path, bool recurrent)
{
    tawny_token t[TOKENS], o[TOKENS];
    float fresh[VOCAB], again[VOCAB];
    tawny_session *a, *b;
    rng r = {.seed = 9};
    for (int i = 0; i < TOKENS; i++) t[i] = o[i] = (tawny_token)rng_below(&r, VOCAB);
    o[170] = (t[170] + 1) % VOCAB;
    begin(path, 64 << 20);
    ck_assert_int_eq(tawny_session_new(engine, &a, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(engine, &b, &err), TAWNY_OK);
    ck_assert_int_eq(answer(a, t, 150, true, fresh), 0);
    ck_assert_int_eq(answer(a, t, TOKENS, false, fresh), 0);
    tawny_session_free(a); /* what it kept stays */
    ck_assert_int_eq(answer(b, t, TOKENS, true, again), recurrent ? TOKENS : TOKENS - 1);
    ck_assert_mem_eq(fresh, again, sizeof fresh);
    ck_assert_int_eq(answer(b, o, TOKENS, false, fresh), 0);
    ck_assert_int_eq(tawny_session_new(engine, &a, &err), TAWNY_OK);
    prefix_forget(engine->prefixes, o, TOKENS);
    ck_assert_int_eq(answer(a, o, TOKENS, true, again), recurrent ? 150 : 170);
    ck_assert_mem_eq(fresh, again, sizeof fresh);
    ck_assert_int_eq(answer(b, t, TOKENS, true, again), recurrent ? TOKENS : TOKENS - 1); /* in the page that a wrote to */
    ck_assert_int_eq(answer(a, t, TOKENS, false, fresh), 0);
    ck_assert_mem_eq(fresh, again, sizeof fresh);
    ck_assert_uint_eq(tawny_engine_prefix_stats(engine).hits, 3);
    tawny_session_forget(a);
    tawny_session_truncate(a, 0);
    tawny_session_truncate(b, 0);
    ck_assert_int_eq(answer(a, t, 60, true, again), recurrent ? 0 : 59); /* what the other past has of it stays */
    tawny_session_forget(a);
    tawny_session_truncate(a, 0);
    ck_assert_int_eq(tawny_session_reuse(a, t, TOKENS), recurrent ? 150 : 170);
    tawny_session_free(a);
    tawny_session_free(b);
    end();
}

START_TEST(sessions_begin_with_the_same_bits)
{
    same_bits("tests/golden/quant/llama-Q4_K_M.gguf", false);
    same_bits("tests/golden/archs/gemma3.gguf", false);
    same_bits("tests/golden/archs/qwen35.gguf", true);
}
END_TEST

/* A cache of a few pages under sessions that come and go: no page is lost, and none is used by two. */
static void churn(const char *path)
{
    tawny_session *s[SESSIONS] = {0};
    float out[VOCAB], fresh[VOCAB];
    rng r = {.seed = 4};
    begin(path, 300000);
    for (int round = 0; round < 60; round++) {
        tawny_token t[TOKENS];
        int i = (int)rng_below(&r, SESSIONS - 1);
        int32_t n = 1 + (int32_t)rng_below(&r, TOKENS);
        rng q = {.seed = rng_below(&r, 4)};
        for (int k = 0; k < n; k++) t[k] = (tawny_token)rng_below(&q, VOCAB);
        if (n > 100) t[n - 20] = (tawny_token)rng_below(&r, VOCAB);
        if (!s[i]) ck_assert_int_eq(tawny_session_new(engine, &s[i], &err), TAWNY_OK);
        answer(s[i], t, n, true, out);
        ck_assert_uint_le(tawny_engine_prefix_stats(engine).bytes, 300000);
        if (round % 4 == 0) {
            tawny_session *f = s[SESSIONS - 1];
            if (!f) ck_assert_int_eq(tawny_session_new(engine, &f, &err), TAWNY_OK);
            s[SESSIONS - 1] = f;
            answer(f, t, n, false, fresh);
            ck_assert_mem_eq(fresh, out, sizeof out);
        }
        if (rng_below(&r, 5) == 0) {
            tawny_session_free(s[i]);
            s[i] = NULL;
        }
    }
    ck_assert_uint_gt(tawny_engine_prefix_stats(engine).hits, 5);
    ck_assert_uint_gt(tawny_engine_prefix_stats(engine).evicted, 5);
    for (int i = 0; i < SESSIONS; i++) tawny_session_free(s[i]);
    ck_assert_int_eq(engine->pool.n_free, engine->pool.n_pages - tawny_engine_prefix_stats(engine).blocks);
    end();
}

START_TEST(small_caches)
{
    churn("tests/golden/quant/llama-Q4_K_M.gguf");
    churn("tests/golden/archs/qwen35.gguf");
}
END_TEST

Suite *suite_prefix(void);
Suite *suite_prefix(void)
{
    Suite *s = suite_create("prefix");
    TCase *t = tcase_create("prefix");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, whole_and_in_part);
    tcase_add_test(t, least_recently_used_go_first);
    tcase_add_test(t, a_past_that_is_too_long_is_kept_in_part);
    tcase_add_test(t, states_only_at_their_ends);
    tcase_add_test(t, random_pasts);
    tcase_add_test(t, sessions_begin_with_the_same_bits);
    tcase_add_test(t, small_caches);
    suite_add_tcase(s, t);
    return s;
}
