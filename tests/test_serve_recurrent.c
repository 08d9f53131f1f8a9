/* tawny serve with models that keep a state, alone or beside attention: what a request gets is what it gets alone. */
#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "random.h"
#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

enum { CLIENTS = 8, ROUNDS = 4, VOCAB = 64 };

static server_proc server;
static char *alone[CLIENTS];

/* Prompts of token ids; some begin as others do, up to a few tokens or to their ends, and one is another's with more. */
static void body_of(int i, const char *more, char *body, size_t size)
{
    int shared = i < 2 ? 0 : 20 + 10 * (i % 3), own = 3 + i * 9 % 40;
    size_t n = (size_t)snprintf(body, size, "{\"prompt\":[");
    for (int k = 0; k < shared + own; k++)
        n += (size_t)snprintf(body + n, size - n, "%s%d", k ? "," : "", 1 + (int)(random_u64(k < shared ? 99 : 7 + (uint64_t)i / 2, (uint64_t)k) % (VOCAB - 1)));
    snprintf(body + n, size - n, "],\"n_predict\":%d,\"seed\":%d,\"ignore_eos\":true,\"temperature\":%s,\"fingerprint\":true,\"return_tokens\":true%s}",
             6 + 5 * i, i, i % 2 ? "0.8" : "0", more);
}

/* The tokens and the fingerprint of all logits. */
static char *complete(const char *body)
{
    json_t *j = server_json(&server, "/completion", body, 200), *fingerprint = json_object_get(j, "fingerprint");
    json_t *both = json_pack("[O,O]", json_object_get(j, "tokens"), fingerprint);
    char *text = json_dumps(both, JSON_COMPACT);
    ck_assert_msg(json_string_length(fingerprint) == 32 && text, "%s", body);
    json_decref(both);
    json_decref(j);
    return text;
}

static void *client(void *arg)
{
    int i = *(int *)arg;
    char body[1200];
    for (int r = 0; r < ROUNDS; r++) {
        body_of(i, r % 2 ? ",\"cache_prompt\":false" : "", body, sizeof body);
        char *text = complete(body);
        if (strcmp(text, alone[i]) != 0) *(int *)arg = -1;
        free(text);
    }
    return NULL;
}

static void check(const char *path)
{
    pthread_t threads[CLIENTS];
    int no[CLIENTS];
    char body[1200];
    server_proc_start(&server, path, (const char *const[]){"-np", "4", "-t", "2", "-c", "1024", "-ub", "32", NULL});
    for (int i = 0; i < CLIENTS; i++) {
        body_of(i, ",\"cache_prompt\":false", body, sizeof body);
        alone[i] = complete(body);
        body_of(i, "", body, sizeof body);
        char *again = complete(body);
        ck_assert_msg(strcmp(again, alone[i]) == 0, "%s, request %d goes on from what was there:\n%s\n%s", path, i, alone[i], again);
        free(again);
    }
    for (int i = 0; i < CLIENTS; i++) {
        no[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client, &no[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(no[i] == i, "%s, request %d among others", path, i);
        free(alone[i]);
    }
    ck_assert_int_eq(server_proc_stop(&server), 0);
}

static const char *const models[] = {"qwen35", "mamba", "mamba2", "falcon-h1", "jamba-moe", "granitehybrid", "lfm2", "nemotron_h", "qwen3next"};

START_TEST(among_others_as_alone)
{
    static const char *const folders[] = {"../shared/kit/archs", "tests/golden/archs"};
    char path[128];
    bool done = false;
    for (size_t f = 0; f < sizeof folders / sizeof *folders && !done; f++) {
        snprintf(path, sizeof path, "%s/%s.gguf", folders[f], models[_i]);
        if (access(path, R_OK) != 0) continue;
        check(path);
        done = true;
    }
    if (!done) printf("skipped: serve_recurrent, no %s in ../shared/kit/archs\n", models[_i]);
}
END_TEST

#endif

Suite *suite_serve_recurrent(void);
Suite *suite_serve_recurrent(void)
{
    Suite *s = suite_create("serve_recurrent");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("serve_recurrent");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, among_others_as_alone, 0, (int)(sizeof models / sizeof *models));
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_recurrent, built without libmicrohttpd\n");
#endif
    return s;
}
