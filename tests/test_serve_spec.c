/* tawny serve with speculation: answers, their log probabilities and fingerprints are those of a server without, one at a
 * time and many at once. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "server_proc.h"
#include "tiny_model.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64];
static server_proc server;

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void setup(void)
{
    tawny_error err;
    strcpy(dir, "/tmp/tawny-spec-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(tiny_model_write(in_dir("m.gguf"), &err), TAWNY_OK);
    ck_assert_int_eq(tiny_model_write_padded(in_dir("padded.gguf"), &err), TAWNY_OK);
    ck_assert_int_eq(tiny_model_write_damaged(in_dir("other.gguf"), "blk.1.ffn_down.weight", &err), TAWNY_OK);
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
}

#define TEXT "\"prompt\":\"one two three, one two three, one two three, one \""
static const struct {
    const char *path, *body;
} requests[] = {
    {"/v1/completions", "{" TEXT ",\"max_tokens\":60,\"temperature\":0,\"logprobs\":3,\"fingerprint\":true}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":50,\"seed\":4,\"logprobs\":2,\"fingerprint\":true}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":40,\"seed\":5,\"n\":3,\"temperature\":1.5,\"frequency_penalty\":0.5}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":60,\"seed\":6,\"stop\":[\"e\",\"th\"],\"top_k\":3}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":1,\"seed\":7}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":2,\"seed\":7}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":300,\"seed\":8,\"temperature\":0.3,\"ignore_eos\":true}"}, /* until the context is full */
    {"/v1/completions", "{" TEXT ",\"max_tokens\":40,\"seed\":9,\"logit_bias\":{\"101\":30,\"111\":29,\"32\":29.5}}"},
    {"/v1/completions", "{" TEXT ",\"max_tokens\":40,\"seed\":10,\"repeat_penalty\":1.3,\"dry_multiplier\":0.8,\"mirostat\":2}"},
    {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"list list list\"}],\"max_tokens\":60,\"seed\":11,\"logprobs\":true,"
                             "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":\"array\",\"items\":"
                             "{\"enum\":[\"aaaa\",\"bbbb\"]},\"minItems\":4,\"maxItems\":6}}}}"},
    {"/completion", "{" TEXT ",\"n_predict\":40,\"seed\":12,\"grammar\":\"root ::= (\\\"ab\\\" | \\\"abc\\\")+\",\"n_probs\":2}"},
    {"/completion", "{" TEXT ",\"n_predict\":40,\"seed\":13,\"n_probs\":3,\"post_sampling_probs\":true,\"min_p\":0.02,\"return_tokens\":true}"},
    {"/completion", "{" TEXT ",\"n_predict\":30,\"seed\":14,\"cache_prompt\":false,\"return_tokens\":true}"},
    {"/api/generate", "{" TEXT ",\"raw\":true,\"stream\":false,\"options\":{\"num_predict\":30,\"seed\":15}}"},
};
enum { REQUESTS = sizeof requests / sizeof *requests, THREADS = 6, MOST = 32 };

/* What says when and how, not what. */
static void leave_out(json_t *o)
{
    static const char *const keys[] = {"id", "created", "created_at", "timings", "usage", "id_slot", "tokens_cached", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration",
                                       "generation_settings", "system_fingerprint", "prompt_eval_count", "tokens_evaluated", "model"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) json_object_del(o, keys[i]);
}

static json_int_t guessed, right; /* of the last answers, by timings */

static char *ask(const char *path, const char *body)
{
    json_t *j = server_json(&server, path, body, 200);
    guessed += json_integer_value(json_object_get(json_object_get(j, "timings"), "draft_n"));
    right += json_integer_value(json_object_get(json_object_get(j, "timings"), "draft_n_accepted"));
    leave_out(j);
    char *text = json_dumps(j, JSON_SORT_KEYS);
    json_decref(j);
    return text;
}

static char *want[MOST];

typedef struct client {
    pthread_t thread;
    int no;
    char wrong[2048];
} client;

static void *many(void *arg)
{
    client *c = arg;
    for (int i = 0; i < REQUESTS && !*c->wrong; i++) {
        int k = (i * 5 + c->no * 3) % REQUESTS;
        json_t *j = server_json(&server, requests[k].path, requests[k].body, 200);
        leave_out(j);
        char *text = json_dumps(j, JSON_SORT_KEYS);
        if (strcmp(text, want[k]) != 0) snprintf(c->wrong, sizeof c->wrong, "%s:\n%.900s\nnot\n%.900s", requests[k].body, text, want[k]);
        free(text);
        json_decref(j);
    }
    return NULL;
}

static void all_at_once(void)
{
    static client clients[THREADS];
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (client){.no = i};
        ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, many, &clients[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) ck_assert_msg(!*clients[i].wrong, "%s", clients[i].wrong);
}

static double metric(const char *name)
{
    int status;
    char *text = server_ask(&server, "GET", "/metrics", NULL, NULL, &status), *at = text;
    size_t n = strlen(name);
    while (at && (strncmp(at, name, n) != 0 || at[n] != ' ')) at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    ck_assert_ptr_nonnull(at);
    double v = strtod(at + n, NULL);
    free(text);
    return v;
}

static void start(const char *const *args)
{
    const char *all[20] = {"-np", "4", "-t", "2", "-c", "256"};
    int n = 6;
    while (args && *args) all[n++] = *args++;
    server_proc_start(&server, in_dir("m.gguf"), all);
}

START_TEST(the_same_answers)
{
    char itself[128], padded[128], other[128];
    strcpy(itself, in_dir("m.gguf"));
    strcpy(padded, in_dir("padded.gguf"));
    strcpy(other, in_dir("other.gguf"));
    const char *const ways[][10] = {
        {"--spec", "ngram"},
        {"--spec", "ngram-simple", "--draft-min", "3"},
        {"-md", itself, "--draft-min", "4", "--draft-max", "4"},
        {"-md", other, "--draft-min", "1"},
        {"--spec", "ngram,draft", "-md", padded, "--draft-min", "1", "-ub", "40"},
    };
    start(NULL);
    for (int i = 0; i < REQUESTS; i++) want[i] = ask(requests[i].path, requests[i].body);
    ck_assert_int_eq(guessed, 0);
    server_proc_stop(&server);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        start(ways[w]);
        guessed = right = 0;
        for (int i = 0; i < REQUESTS; i++) {
            char *text = ask(requests[i].path, requests[i].body);
            ck_assert_msg(strcmp(text, want[i]) == 0, "%s %s, %s:\n%s\nnot\n%s", ways[w][0], ways[w][1], requests[i].body, text, want[i]);
            free(text);
        }
        ck_assert_int_gt(guessed, 0);
        ck_assert_double_ge(metric("tawny:draft_tokens_total"), (double)guessed);
        ck_assert_double_ge(metric("tawny:draft_tokens_accepted_total"), (double)right);
        if (w == 2) ck_assert_int_gt(right, guessed / 2);
        all_at_once();
        ck_assert_int_eq(server_proc_stop(&server), 0);
    }
    for (int i = 0; i < REQUESTS; i++) free(want[i]);
}
END_TEST

static char *tokens(int seed)
{
    char body[256];
    snprintf(body, sizeof body, "{\"prompt\":[1,2,3,4,5,6,1,2,3,4,5,6,1,2,3],\"n_predict\":60,\"seed\":%d,\"return_tokens\":true,\"n_probs\":1,\"temperature\":0.6}", seed);
    return ask("/completion", body);
}

/* A recurrent state, which cannot go back, as the model and as the draft. */
START_TEST(recurrent)
{
    static const char hybrid[] = "tests/golden/archs/qwen35.gguf";
    const char *const ways[][10] = {{"--spec", "ngram", "--draft-min", "2"}, {"-md", hybrid, "--draft-min", "3"}};
    server_proc_start(&server, hybrid, (const char *const[]){NULL});
    for (int i = 0; i < 4; i++) want[i] = tokens(i);
    server_proc_stop(&server);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        server_proc_start(&server, hybrid, ways[w]);
        guessed = 0;
        for (int i = 0; i < 12; i++) { /* again: on what was there before */
            char *text = tokens(i % 4);
            ck_assert_str_eq(text, want[i % 4]);
            free(text);
        }
        ck_assert_int_gt(guessed, 0);
        server_proc_stop(&server);
    }
    for (int i = 0; i < 4; i++) free(want[i]);
}
END_TEST

Suite *suite_serve_spec(void)
{
    Suite *s = suite_create("serve_spec");
    TCase *t = tcase_create("equal");
    tcase_set_timeout(t, 200);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_same_answers);
    tcase_add_test(t, recurrent);
    suite_add_tcase(s, t);
    return s;
}

#else

Suite *suite_serve_spec(void) { return suite_create("serve_spec"); }

#endif
