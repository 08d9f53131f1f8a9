/* tawny serve over a tiny model: answers equal to solo ones, errors that name the field, who may ask, how it ends. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64], model[128];
static server_proc server;

static void make_model(void)
{
    server_model_make(dir, model);
}

static void remove_model(void)
{
    server_model_remove(dir, model);
}

static void setup(void)
{
    make_model();
    server_proc_start(&server, model, (const char *const[]){"-np", "4", "-t", "2", NULL});
}

static void teardown(void)
{
    server_proc_stop(&server);
    remove_model();
}

static const char *text_at(const json_t *j, const char *list, const char *key)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(j, list), 0), key));
}

static char *complete(const char *body)
{
    json_t *j = server_json(&server, "/v1/completions", body, 200);
    char *text = strdup(text_at(j, "choices", "text"));
    json_decref(j);
    return text;
}

START_TEST(answers)
{
    json_t *j = server_json(&server, "/health", NULL, 200);
    ck_assert_str_eq(json_string_value(json_object_get(j, "status")), "ok");
    json_decref(j);
    j = server_json(&server, "/v1/models", NULL, 200);
    ck_assert_str_eq(text_at(j, "data", "id"), "m.gguf");
    json_decref(j);
    j = server_json(&server, "/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":7,\"seed\":3}", 200);
    const json_t *usage = json_object_get(j, "usage");
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "completion_tokens")), 7);
    ck_assert_str_eq(text_at(j, "choices", "finish_reason"), "length");
    json_decref(j);
}
END_TEST

/* The deltas of a stream together are the text of the answer that is not streamed. */
START_TEST(streams)
{
    int status;
    buf joined = {0};
    char *whole = complete("{\"prompt\":\"owl\",\"max_tokens\":40,\"seed\":5}");
    char *events = server_ask(&server, "POST", "/v1/completions", NULL, "{\"prompt\":\"owl\",\"max_tokens\":40,\"seed\":5,\"stream\":true}", &status);
    ck_assert_int_eq(status, 200);
    for (char *line = strtok(events, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "data: {", 7) != 0) continue;
        json_t *j = json_loads(line + 6, 0, NULL);
        ck_assert_ptr_nonnull(j);
        buf_str(&joined, text_at(j, "choices", "text"));
        json_decref(j);
    }
    ck_assert_str_eq(joined.data, whole);
    buf_free(&joined);
    free(events);
    free(whole);
}
END_TEST

START_TEST(stop_texts_are_left_out)
{
    char *whole = complete("{\"prompt\":\"abc\",\"max_tokens\":60,\"temperature\":0}"), body[256], stop[8] = "";
    ck_assert_uint_gt(strlen(whole), 20);
    for (char *p = whole + 10; *p && !stop[0]; p++) /* two plain letters in a row */
        if (p[0] >= 'a' && p[0] <= 'z' && p[1] >= 'a' && p[1] <= 'z') snprintf(stop, sizeof stop, "%.2s", p);
    if (stop[0]) {
        snprintf(body, sizeof body, "{\"prompt\":\"abc\",\"max_tokens\":60,\"temperature\":0,\"stop\":[\"%s\",\"nowhere\"]}", stop);
        char *cut = complete(body);
        ck_assert_ptr_null(strstr(cut, stop));
        ck_assert_int_eq(strncmp(cut, whole, strlen(cut)), 0);
        free(cut);
    }
    free(whole);
}
END_TEST

START_TEST(errors_name_the_field)
{
    static const struct {
        const char *path, *body, *field;
    } bad[] = {
        {"/v1/completions", "{}", "prompt"},
        {"/v1/completions", "{\"prompt\":5}", "prompt"},
        {"/v1/completions", "{\"prompt\":[1,-1]}", "prompt"},
        {"/v1/completions", "{\"prompt\":\"x\",\"temperature\":\"hot\"}", "temperature"},
        {"/v1/completions", "{\"prompt\":\"x\",\"top_p\":1.5}", "top_p"},
        {"/v1/completions", "{\"prompt\":\"x\",\"n\":0}", "n"},
        {"/v1/completions", "{\"prompt\":\"x\",\"n\":1000000}", "n"},
        {"/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1.5}", "max_tokens"},
        {"/v1/completions", "{\"prompt\":\"x\",\"stop\":[1]}", "stop"},
        {"/v1/completions", "{\"prompt\":\"x\",\"logit_bias\":{\"99999999\":1}}", "logit_bias"},
        {"/v1/completions", "{\"prompt\":\"x\",\"grammar\":\"root ::= (\"}", "grammar"},
        {"/v1/completions", "{\"prompt\":\"x\",\"json_schema\":{\"type\":\"strange\"}}", "json_schema"},
        {"/v1/chat/completions", "{\"messages\":[]}", "messages"},
        {"/v1/chat/completions", "{\"messages\":[{}]}", "messages"},
        {"/v1/chat/completions", "{\"messages\":\"hi\"}", "messages"},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"top_logprobs\":3}", "top_logprobs"},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"response_format\":{\"type\":\"xml\"}}", "response_format"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *j = server_json(&server, bad[i].path, bad[i].body, 400), *e = json_object_get(j, "error");
        ck_assert_msg(e && strstr(json_string_value(json_object_get(e, "message")), bad[i].field), "%s", bad[i].body);
        ck_assert_str_eq(json_string_value(json_object_get(e, "param")), bad[i].field);
        json_decref(j);
    }
    static const char *const broken[] = {"", "[]", "nothing", "{\"prompt\":\"x\"", "{\"prompt\":\"\\ud800\"}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) json_decref(server_json(&server, "/v1/completions", broken[i], 400));
    char deep[400];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    json_decref(server_json(&server, "/v1/completions", deep, 400));
    json_decref(server_json(&server, "/v1/nothing", "{}", 404));
    json_decref(server_json(&server, "/health", "{}", 405));
    json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"\",\"max_tokens\":1}", 400));
}
END_TEST

START_TEST(pages_of_other_sites)
{
    static const char *const headers[] = {"Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Origin: null\r\n"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        int status;
        free(server_ask(&server, "POST", "/v1/completions", headers[i], "{\"prompt\":\"x\"}", &status));
        ck_assert_int_eq(status, 403);
    }
    int status;
    char *a = server_ask(&server, "GET", "/health", "Origin: http://localhost\r\n", NULL, &status);
    ck_assert_int_eq(status, 200);
    free(a);
}
END_TEST

/* ---- many at once: each answer is what the request gets alone ---- */

enum { CLIENTS = 8, ROUNDS = 6 };
static char *alone[CLIENTS];

static void body_of(int i, char *body, size_t size)
{
    snprintf(body, size, "{\"prompt\":\"%.*s owl number %d\",\"max_tokens\":%d,\"seed\":%d,\"fingerprint\":true}", i * 7,
             "the quick brown fox jumps over the lazy dog and away again", i, 5 + 3 * i, i);
}

static void *client(void *arg)
{
    int i = *(int *)arg;
    char body[256];
    body_of(i, body, sizeof body);
    for (int r = 0; r < ROUNDS; r++) {
        char *text = complete(body);
        if (strcmp(text, alone[i]) != 0) *(int *)arg = -1;
        free(text);
    }
    return NULL;
}

START_TEST(together_as_alone)
{
    pthread_t threads[CLIENTS];
    int no[CLIENTS];
    char body[256];
    for (int i = 0; i < CLIENTS; i++) {
        body_of(i, body, sizeof body);
        alone[i] = complete(body);
    }
    for (int i = 0; i < CLIENTS; i++) {
        no[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client, &no[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(no[i], i);
        free(alone[i]);
    }
}
END_TEST

START_TEST(ends_in_order)
{
    make_model();
    server_proc_start(&server, model, (const char *const[]){"--grace", "0", NULL});
    ck_assert_int_eq(server_proc_stop(&server), 0);
    server_proc_start(&server, model, (const char *const[]){"--api-key", "secret", "--api-key", "other", NULL});
    int status;
    free(server_ask(&server, "GET", "/health", NULL, NULL, &status));
    ck_assert_int_eq(status, 200);
    free(server_ask(&server, "GET", "/v1/models", NULL, NULL, &status));
    ck_assert_int_eq(status, 401);
    free(server_ask(&server, "GET", "/v1/models", "Authorization: Bearer secre\r\n", NULL, &status));
    ck_assert_int_eq(status, 401);
    free(server_ask(&server, "GET", "/v1/models", "Authorization: Bearer other\r\n", NULL, &status));
    ck_assert_int_eq(status, 200);
    free(server_ask(&server, "GET", "/v1/models", "x-api-key: secret\r\n", NULL, &status));
    ck_assert_int_eq(status, 200);
    ck_assert_int_eq(server_proc_stop(&server), 0);
    remove_model();
}
END_TEST

#endif

Suite *suite_serve(void);
Suite *suite_serve(void)
{
    Suite *s = suite_create("serve");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("requests"), *l = tcase_create("life");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, answers);
    tcase_add_test(t, streams);
    tcase_add_test(t, stop_texts_are_left_out);
    tcase_add_test(t, errors_name_the_field);
    tcase_add_test(t, pages_of_other_sites);
    tcase_add_test(t, together_as_alone);
    suite_add_tcase(s, t);
    tcase_set_timeout(l, 60);
    tcase_add_test(l, ends_in_order);
    suite_add_tcase(s, l);
#else
    printf("skipped: serve, built without libmicrohttpd\n");
#endif
    return s;
}
