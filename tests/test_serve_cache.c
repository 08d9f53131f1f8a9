/* What tawny serve remembers: pasts in slots and in the cache of prefixes, and the bits of answers that begin there. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server_proc.h"
#include "tiny_model.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64], model[128];
static server_proc server;

static void start(const char *const *args)
{
    tawny_error err;
    strcpy(dir, "/tmp/tawny-cache-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(model, sizeof model, "%s/m.gguf", dir);
    ck_assert_msg(tiny_model_write(model, &err) == TAWNY_OK, "%s", err.message);
    server_proc_start(&server, model, args);
}

static void stop(void)
{
    ck_assert_int_eq(server_proc_stop(&server), 0);
    unlink(model);
    rmdir(dir);
}

/* A text of n tokens: no two of them share a beginning. */
static const char *text_of(int which, int n)
{
    static char text[8][300];
    char *t = text[which];
    for (int i = 0; i < n; i++) t[i] = (char)('a' + (which + i * (which + 3)) % 26);
    t[n] = 0;
    return t;
}

typedef struct answer {
    int prompt, cached; /* tokens */
    char text[1024], fingerprint[33];
} answer;

static answer ask(const char *prompt, const char *more)
{
    char body[1024];
    answer a;
    snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"n_predict\":20,\"temperature\":0,\"fingerprint\":true%s}", prompt, more);
    json_t *j = server_json(&server, "/completion", body, 200), *t = json_object_get(j, "timings");
    a.cached = (int)json_integer_value(json_object_get(t, "cache_n"));
    a.prompt = a.cached + (int)json_integer_value(json_object_get(t, "prompt_n"));
    ck_assert_int_eq(a.prompt, json_integer_value(json_object_get(j, "tokens_evaluated")));
    ck_assert_int_eq(json_integer_value(json_object_get(j, "tokens_cached")), a.prompt + 19); /* the last was not computed */
    snprintf(a.text, sizeof a.text, "%s", json_string_value(json_object_get(j, "content")));
    snprintf(a.fingerprint, sizeof a.fingerprint, "%s", json_string_value(json_object_get(j, "fingerprint")));
    json_decref(j);
    return a;
}

static void same(const answer *a, const answer *b)
{
    ck_assert_str_eq(a->text, b->text);
    ck_assert_str_eq(a->fingerprint, b->fingerprint);
}

static double metric(const char *name)
{
    int status;
    char *text = server_ask(&server, "GET", "/metrics", NULL, NULL, &status), line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    ck_assert_msg(at, "%s", name);
    double v = strtod(at + strlen(line), NULL);
    free(text);
    return v;
}

static const char fresh[] = ",\"cache_prompt\":false";

/* One slot, so that each prompt takes it from the one before. */
START_TEST(pasts_come_back)
{
    start((const char *const[]){"-np", "1", "-t", "2", "--cache-ram", "8", NULL});
    answer first[3];
    for (int i = 0; i < 3; i++) {
        first[i] = ask(text_of(i, 150), "");
        ck_assert_int_eq(first[i].cached, 0);
    }
    for (int i = 0; i < 3; i++) {
        answer again = ask(text_of(i, 150), ""), alone = ask(text_of(i, 150), fresh);
        ck_assert_int_eq(again.cached, 149);
        ck_assert_int_eq(alone.cached, 0);
        same(&again, &first[i]);
        same(&alone, &first[i]);
    }
    answer part = ask(text_of(1, 100), ""), alone = ask(text_of(1, 100), fresh);
    ck_assert_int_eq(part.cached, 99);
    same(&part, &alone);
    ck_assert_double_ge(metric("tawny:prefix_cache_hits_total"), 4);
    ck_assert_double_ge(metric("tawny:prefix_cache_tokens_total"), 3 * 149 + 99);
    ck_assert_double_gt(metric("tawny:prefix_cache_bytes"), 0);
    ck_assert_double_eq(metric("tawny:prefix_cache_bytes_limit"), 8 << 20);
    ck_assert_double_eq(metric("llamacpp:prompt_tokens_cached_total"), 3 * 149 + 99);
    stop();
}
END_TEST

static const char *turn(json_t *messages, int *prompt, int *cached, bool reuse)
{
    static char text[1024];
    json_t *body = json_pack("{s:O,s:i,s:f,s:b}", "messages", messages, "max_tokens", 12, "temperature", 0.0, "cache_prompt", reuse);
    char *s = json_dumps(body, 0);
    json_t *j = server_json(&server, "/v1/chat/completions", s, 200), *u = json_object_get(j, "usage");
    *prompt = (int)json_integer_value(json_object_get(u, "prompt_tokens"));
    *cached = (int)json_integer_value(json_object_get(json_object_get(u, "prompt_tokens_details"), "cached_tokens"));
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    snprintf(text, sizeof text, "%s", json_string_value(json_object_get(json_object_get(choice, "message"), "content")));
    free(s);
    json_decref(body);
    json_decref(j);
    return text;
}

START_TEST(second_turns)
{
    start((const char *const[]){"-np", "2", "-t", "2", NULL});
    json_t *m = json_pack("[{s:s,s:s}]", "role", "user", "content", text_of(3, 90));
    int n, first, cached;
    char said[1024];
    snprintf(said, sizeof said, "%s", turn(m, &first, &cached, true));
    ck_assert_int_eq(cached, 0);
    for (int i = 0; i < 4; i++) ask(text_of(i + 4, 120), ""); /* the slots are others' now */
    json_array_append_new(m, json_pack("{s:s,s:s}", "role", "assistant", "content", said));
    json_array_append_new(m, json_pack("{s:s,s:s}", "role", "user", "content", "and then?"));
    snprintf(said, sizeof said, "%s", turn(m, &n, &cached, true));
    ck_assert_int_gt(n, first);
    ck_assert_int_ge(cached, first - 1);
    ck_assert_str_eq(said, turn(m, &n, &cached, false));
    ck_assert_int_eq(cached, 0);
    json_decref(m);
    stop();
}
END_TEST

START_TEST(without_a_cache)
{
    setenv("LLAMA_ARG_CACHE_RAM", "0", 1);
    start((const char *const[]){"-np", "1", "-t", "2", NULL});
    unsetenv("LLAMA_ARG_CACHE_RAM");
    answer a = ask(text_of(0, 150), ""), b = ask(text_of(0, 150), "");
    ck_assert_int_eq(b.cached, 149); /* the slot's own past */
    same(&a, &b);
    ask(text_of(1, 150), "");
    b = ask(text_of(0, 150), "");
    ck_assert_int_eq(b.cached, 0);
    same(&a, &b);
    ck_assert_double_eq(metric("tawny:prefix_cache_bytes_limit"), 0);
    stop();
}
END_TEST

#endif

Suite *suite_serve_cache(void);
Suite *suite_serve_cache(void)
{
    Suite *s = suite_create("serve_cache");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("pasts");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, pasts_come_back);
    tcase_add_test(t, second_turns);
    tcase_add_test(t, without_a_cache);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_cache, built without libmicrohttpd\n");
#endif
    return s;
}
