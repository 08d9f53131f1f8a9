/* tawny serve as OpenAI's clients see it, over a tiny model: enforced calls and schemas, items, several prompts. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "../src/server/grammar.h"
#include "server_proc.h"
#include "tiny_model.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64], model[128];
static server_proc server;

static void setup(void)
{
    server_model_make(dir, model);
    server_proc_start(&server, model, (const char *const[]){"-np", "4", "-t", "2", "-c", "2048", "-a", "tiny model", NULL});
}

static void teardown(void)
{
    server_proc_stop(&server);
    server_model_remove(dir, model);
}

/* "choices.0.message": a value below; NULL where there is none. */
static json_t *at(const json_t *j, const char *path)
{
    char part[64];
    json_t *v = (json_t *)(uintptr_t)j;
    while (v && *path) {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        v = json_is_array(v) ? json_array_get(v, strtoul(part, NULL, 10)) : json_object_get(v, part);
        path += n + (path[n] == '.');
    }
    return v;
}

static const char *text_at(const json_t *j, const char *path) { return json_string_value(at(j, path)); }

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define PARAMETERS                                                                                                                        \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":3},\"days\":{\"type\":\"integer\",\"minimum\":1," \
    "\"maximum\":9}},\"required\":[\"city\",\"days\"],\"additionalProperties\":false}"
#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" PARAMETERS "}}]"

static void check_arguments(const char *text)
{
    json_t *a = json_loads(text ? text : "", 0, NULL);
    ck_assert_msg(json_object_size(a) == 2, "%s", text);
    ck_assert(json_is_string(json_object_get(a, "city")));
    json_int_t days = json_integer_value(json_object_get(a, "days"));
    ck_assert(days >= 1 && days <= 9);
    json_decref(a);
}

/* A random model within the grammar writes valid calls, whatever the seed. */
START_TEST(calls_are_enforced)
{
    for (int seed = 0; seed < 8; seed++) {
        char body[1200];
        snprintf(body, sizeof body, "{" MESSAGES "," TOOLS ",\"tool_choice\":%s,\"parallel_tool_calls\":false,\"seed\":%d,\"max_tokens\":150}",
                 seed % 2 ? "\"required\"" : "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", seed);
        json_t *j = server_json(&server, "/v1/chat/completions", body, 200);
        ck_assert_str_eq(text_at(j, "choices.0.finish_reason"), "tool_calls");
        ck_assert(json_is_null(at(j, "choices.0.message.content")));
        ck_assert_str_eq(text_at(j, "choices.0.message.tool_calls.0.function.name"), "f");
        check_arguments(text_at(j, "choices.0.message.tool_calls.0.function.arguments"));
        ck_assert_uint_eq(json_array_size(at(j, "choices.0.message.tool_calls")), 1);
        json_decref(j);
    }
}
END_TEST

/* The events of a stream, one after the other: NULL at the end. */
static json_t *next_event(char **from)
{
    char *at = strstr(*from, "data: {"), *end = at ? strchr(at, '\n') : NULL;
    if (!end) return NULL;
    *end = 0;
    *from = end + 1;
    json_t *j = json_loads(at + 6, 0, NULL);
    ck_assert_msg(j != NULL, "%s", at);
    return j;
}

/* Arguments come as they are made, and are what they are in one piece, also where the answer ends in them. */
START_TEST(calls_come_in_pieces)
{
    for (int k = 0; k < 12; k++) {
        bool items = k % 2, cut = false;
        const char *path = items ? "/v1/responses" : "/v1/chat/completions";
        char body[1200], one[1300];
        int status, n = 0;
        buf all = {0};
        snprintf(body, sizeof body, "{%s,\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"seed\":%d,\"%s\":%d",
                 items ? "\"input\":\"hi\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":" PARAMETERS "}]" : MESSAGES "," TOOLS, k,
                 items ? "max_output_tokens" : "max_tokens", k % 3 ? 150 : 56);
        snprintf(one, sizeof one, "%s}", body);
        json_t *whole = server_json(&server, path, one, 200);
        snprintf(one, sizeof one, "%s,\"stream\":true}", body);
        char *events = server_ask(&server, "POST", path, NULL, one, &status), *from = events;
        for (json_t *e; (e = next_event(&from)); json_decref(e)) {
            const char *type = text_at(e, "type"), *piece = text_at(e, "choices.0.delta.tool_calls.0.function.arguments");
            if (type) piece = strcmp(type, "response.function_call_arguments.delta") == 0 ? text_at(e, "delta") : NULL;
            if (piece && *piece) n++;
            if (piece) buf_str(&all, piece);
            if (type && strcmp(type, "response.function_call_arguments.done") == 0) ck_assert_str_eq(text_at(e, "arguments"), all.data);
            if (type && strcmp(type, "response.incomplete") == 0) cut = true;
            const char *reason = text_at(e, "choices.0.finish_reason");
            if (reason && strcmp(reason, "length") == 0) cut = true;
        }
        ck_assert_str_eq(all.data, text_at(whole, items ? "output.0.arguments" : "choices.0.message.tool_calls.0.function.arguments"));
        ck_assert_int_gt(n, 0); /* as many as its threads take */
        ck_assert_int_eq(cut, k % 3 == 0);
        if (items) ck_assert_str_eq(text_at(whole, "output.0.status"), cut ? "incomplete" : "completed");
        if (!cut) check_arguments(all.data);
        buf_free(&all);
        free(events);
        json_decref(whole);
    }
}
END_TEST

START_TEST(schemas_are_enforced)
{
    static const char *const shapes[] = {
        "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":" PARAMETERS "}}", "{\"type\":\"json_schema\",\"schema\":" PARAMETERS "}",
    };
    for (int seed = 0; seed < 8; seed++) {
        char body[1000];
        snprintf(body, sizeof body, "{" MESSAGES ",\"response_format\":%s,\"seed\":%d,\"max_tokens\":150}", shapes[seed % 2], seed);
        json_t *j = server_json(&server, "/v1/chat/completions", body, 200);
        check_arguments(text_at(j, "choices.0.message.content"));
        json_decref(j);
    }
}
END_TEST

START_TEST(refusals_name_the_field)
{
    static const struct {
        const char *path, *body, *field, *message;
    } bad[] = {
        {"/v1/chat/completions", "{" MESSAGES ",\"tool_choice\":\"required\"}", "tool_choice", "tools"},
        {"/v1/chat/completions", "{" MESSAGES "," TOOLS ",\"tool_choice\":\"perhaps\"}", "tool_choice", "tool_choice"},
        {"/v1/chat/completions", "{" MESSAGES "," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}}", "tool_choice", "tools"},
        {"/v1/chat/completions", "{" MESSAGES ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":"
                                 "{\"type\":\"odd\"}}}}}],\"tool_choice\":\"required\"}", "tools", "tools/0/function/parameters/properties/x/type"},
        {"/v1/chat/completions", "{" MESSAGES ",\"functions\":[{\"name\":\"f\"}]}", "functions", "tools"},
        {"/v1/chat/completions", "{" MESSAGES ",\"reasoning_effort\":\"huge\"}", "reasoning_effort", "none"},
        {"/v1/chat/completions", "{" MESSAGES ",\"modalities\":[\"audio\"]}", "modalities", "text"},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", "messages", "messages[0].content[0]"},
        {"/v1/completions", "{\"prompt\":\"x\",\"suffix\":\"y\"}", "suffix", "infill"},
        {"/v1/completions", "{\"prompt\":\"x\",\"best_of\":2}", "best_of", "best_of"},
        {"/v1/completions", "{\"prompt\":\"x\",\"echo\":true,\"logprobs\":1}", "echo", "logprobs"},
        {"/v1/responses", "{}", "input", "input"},
        {"/v1/responses", "{\"input\":[]}", "input", "input"},
        {"/v1/responses", "{\"input\":[{\"type\":\"item_reference\"}]}", "input", "input[0]"},
        {"/v1/responses", "{\"input\":\"x\",\"previous_response_id\":\"y\"}", "previous_response_id", "stored"},
        {"/v1/responses", "{\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}]}", "tools", "tools/0/type"},
        {"/v1/responses", "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\"}}}", "text.format", "schema"},
        {"/v1/embeddings", "{\"input\":\"x\",\"encoding_format\":\"hex\"}", "encoding_format", "base64"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *j = server_json(&server, bad[i].path, bad[i].body, 400);
        ck_assert_msg(strcmp(text_at(j, "error.param"), bad[i].field) == 0, "%s: %s", bad[i].body, text_at(j, "error.param"));
        ck_assert_msg(strstr(text_at(j, "error.message"), bad[i].message), "%s: %s", bad[i].body, text_at(j, "error.message"));
        json_decref(j);
    }
}
END_TEST

START_TEST(several_prompts)
{
    json_t *two = server_json(&server, "/v1/completions", "{\"prompt\":[\"owl\",\"fox\"],\"n\":2,\"max_tokens\":9,\"temperature\":0,\"echo\":true}", 200);
    json_t *one = server_json(&server, "/v1/completions", "{\"prompt\":\"fox\",\"max_tokens\":9,\"temperature\":0}", 200);
    ck_assert_uint_eq(json_array_size(at(two, "choices")), 4);
    ck_assert_int_eq(strncmp(text_at(two, "choices.1.text"), "owl", 3), 0);
    ck_assert_int_eq(strncmp(text_at(two, "choices.3.text"), "fox", 3), 0);
    ck_assert_str_eq(text_at(two, "choices.2.text") + 3, text_at(one, "choices.0.text"));
    ck_assert_int_eq(json_integer_value(at(two, "usage.prompt_tokens")), 6);
    json_decref(two);
    json_decref(one);
    one = server_json(&server, "/v1/completions", "{\"prompt\":\"fox\",\"max_tokens\":9,\"ignore_eos\":true,\"seed\":1,\"logprobs\":2}", 200);
    ck_assert_uint_eq(json_array_size(at(one, "choices.0.logprobs.tokens")), 9);
    ck_assert_uint_eq(json_array_size(at(one, "choices.0.logprobs.text_offset")), 9);
    ck_assert_uint_eq(json_object_size(at(one, "choices.0.logprobs.top_logprobs.8")), 2);
    json_decref(one);
}
END_TEST

/* Events of /v1/responses: their names in order, and the text that they carry. */
START_TEST(items)
{
    static const char body[] = "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}],\"instructions\":\"be\","
                               "\"max_output_tokens\":9,\"seed\":4";
    char ask[400];
    int status, number = 0;
    buf names = {0}, text = {0};
    snprintf(ask, sizeof ask, "%s}", body);
    json_t *whole = server_json(&server, "/v1/responses", ask, 200);
    ck_assert_str_eq(text_at(whole, "status"), "incomplete");
    ck_assert_str_eq(text_at(whole, "incomplete_details.reason"), "max_output_tokens");
    ck_assert_int_eq(json_integer_value(at(whole, "usage.output_tokens")), 9);
    snprintf(ask, sizeof ask, "%s,\"stream\":true}", body);
    char *events = server_ask(&server, "POST", "/v1/responses", NULL, ask, &status);
    ck_assert_int_eq(status, 200);
    for (char *line = strtok(events, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "data: ", 6) != 0) continue;
        json_t *j = json_loads(line + 6, 0, NULL);
        const char *type = text_at(j, "type");
        ck_assert_int_eq(json_integer_value(at(j, "sequence_number")), number++);
        if (strcmp(type, "response.output_text.delta") == 0)
            buf_str(&text, text_at(j, "delta"));
        else
            buf_printf(&names, "%s ", type + strlen("response."));
        json_decref(j);
    }
    ck_assert_str_eq(names.data, "created in_progress output_item.added content_part.added output_text.done content_part.done output_item.done incomplete ");
    ck_assert_str_eq(text.data, text_at(whole, "output.0.content.0.text"));
    buf_free(&names);
    buf_free(&text);
    free(events);
    json_decref(whole);
}
END_TEST

START_TEST(items_with_calls)
{
    json_t *j = server_json(&server, "/v1/responses",
                            "{\"input\":\"hi\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":" PARAMETERS "}],\"tool_choice\":\"required\","
                            "\"parallel_tool_calls\":false,\"max_output_tokens\":150}",
                            200);
    ck_assert_str_eq(text_at(j, "output.0.type"), "function_call");
    check_arguments(text_at(j, "output.0.arguments"));
    json_decref(j);
    j = server_json(&server, "/v1/responses",
                    "{\"input\":[{\"role\":\"user\",\"content\":\"hi\"},{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
                    "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"7\"}],\"max_output_tokens\":2}",
                    200);
    json_decref(j);
}
END_TEST

START_TEST(models_and_fingerprint)
{
    json_t *j = server_json(&server, "/v1/models/tiny%20model", NULL, 200);
    ck_assert_str_eq(text_at(j, "id"), "tiny model");
    json_decref(j);
    json_decref(server_json(&server, "/v1/models/tiny", NULL, 404));
    for (int i = 0; i < 100; i++) { /* the model's hash is there soon */
        j = server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}", 200);
        size_t n = strlen(text_at(j, "system_fingerprint"));
        json_decref(j);
        if (n > 32) return;
        usleep(20000);
    }
    ck_abort_msg("no hash in system_fingerprint");
}
END_TEST

/* A template that opens a thought: what comes is reasoning until the model closes it, and is counted as such. A schema
 * holds for what comes after. */
START_TEST(reasoning)
{
    server_proc s;
    char path[] = "/tmp/tawny-template-XXXXXX", m[] = "/tmp/tawny-thinks-XXXXXX";
    static const char source[] = "{% for m in messages %}{{ m.content }}</think>{% endfor %}<think>\n";
    tawny_error err;
    int fd = mkstemp(path), other = mkstemp(m);
    ck_assert(fd >= 0 && other >= 0 && write(fd, source, sizeof source - 1) == sizeof source - 1);
    close(fd);
    close(other);
    ck_assert_int_eq(tiny_model_write(m, &err), TAWNY_OK);
    server_proc_start(&s, m, (const char *const[]){"--chat-template-file", path, "-t", "2", NULL});
    json_t *j = server_json(&s, "/v1/chat/completions",
                            "{" MESSAGES ",\"max_tokens\":30,\"seed\":1,\"response_format\":{\"type\":\"json_object\"},\"logit_bias\":{\"257\":-100}}", 200);
    ck_assert_str_eq(text_at(j, "choices.0.message.content"), "");
    ck_assert_uint_gt(strlen(text_at(j, "choices.0.message.reasoning_content")), 0);
    ck_assert_int_eq(json_integer_value(at(j, "usage.completion_tokens_details.reasoning_tokens")), 30);
    json_decref(j);
    j = server_json(&s, "/v1/responses", "{\"input\":\"x\",\"max_output_tokens\":30,\"seed\":1,\"logit_bias\":{\"257\":-100}}", 200);
    ck_assert_str_eq(text_at(j, "output.0.type"), "reasoning");
    ck_assert_str_eq(text_at(j, "output.0.status"), "incomplete");
    ck_assert_int_eq(json_integer_value(at(j, "usage.output_tokens_details.reasoning_tokens")), 30);
    json_decref(j);
    ck_assert_int_eq(server_proc_stop(&s), 0);
    unlink(path);
    unlink(m);
}
END_TEST

/* A model that gives embeddings alone is served too. */
START_TEST(embeddings_alone)
{
    server_proc s;
    const char *golden = "tests/golden/embed/jina-bert-v2.gguf";
    if (access(golden, R_OK) != 0) {
        printf("skipped: embeddings_alone, without %s\n", golden);
        return;
    }
    server_proc_start(&s, golden, (const char *const[]){"--pooling", "mean", "-t", "2", NULL});
    json_t *j = server_json(&s, "/v1/embeddings", "{\"input\":[[2,5,6,3],[2,7,3]]}", 200);
    ck_assert_uint_eq(json_array_size(at(j, "data.0.embedding")), 64);
    ck_assert_int_eq(json_integer_value(at(j, "data.1.index")), 1);
    ck_assert_int_eq(json_integer_value(at(j, "usage.prompt_tokens")), 7);
    json_t *packed = server_json(&s, "/v1/embeddings", "{\"input\":[2,7,3],\"encoding_format\":\"base64\"}", 200);
    ck_assert_uint_eq(strlen(text_at(packed, "data.0.embedding")), (64 * 4 + 2) / 3 * 4);
    json_decref(packed);
    json_decref(j);
    j = server_json(&s, "/v1/embeddings", "{\"input\":[2,7,3],\"dimensions\":8}", 400);
    ck_assert_str_eq(text_at(j, "error.param"), "dimensions");
    json_decref(j);
    json_decref(server_json(&s, "/v1/chat/completions", "{" MESSAGES "}", 400));
    ck_assert_int_eq(server_proc_stop(&s), 0);
}
END_TEST

/* ---- the cache of grammars ---- */

static tawny_status make_digits(void *arg, buf *text, tawny_error *err)
{
    (void)err;
    ++*(int *)arg;
    buf_str(text, "root ::= [0-9]+");
    return TAWNY_OK;
}

START_TEST(grammars_are_compiled_once)
{
    gbnf_tokens tokens = {0};
    grammar_cache *c = grammar_cache_new(&tokens);
    grammar *g[3];
    int made = 0;
    uint64_t found, compiled;
    tawny_error err;
    for (int i = 0; i < 3; i++) ck_assert_int_eq(grammar_get(c, "digits", 6, make_digits, &made, &g[i], &err), TAWNY_OK);
    ck_assert_int_eq(made, 1);
    ck_assert_ptr_eq(g[0], g[2]);
    grammar_cache_counts(c, &found, &compiled);
    ck_assert_uint_eq(found, 2);
    ck_assert_uint_eq(compiled, 1);
    gbnf_matcher *m[3]; /* one for all, but for whoever wants their own */
    bool shared;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(grammar_matcher(g[0], NULL, i == 1, &m[i], &shared, &err), TAWNY_OK);
        ck_assert_int_eq(shared, i != 1);
    }
    ck_assert_ptr_eq(m[0], m[2]);
    ck_assert_ptr_ne(m[0], m[1]);
    for (int i = 0; i < 3; i++) grammar_return(g[0], m[i]);
    ck_assert_int_eq(grammar_matcher(g[0], NULL, false, &m[1], &shared, &err), TAWNY_OK);
    ck_assert_ptr_eq(m[0], m[1]);
    grammar_return(g[0], m[1]);
    for (int i = 0; i < 100; i++) { /* others push it out; who has it keeps it */
        grammar *other;
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        ck_assert_int_eq(grammar_get(c, key, strlen(key), make_digits, &made, &other, &err), TAWNY_OK);
        grammar_drop(other);
    }
    ck_assert_int_eq(made, 101);
    grammar *anew;
    ck_assert_int_eq(grammar_get(c, "digits", 6, make_digits, &made, &anew, &err), TAWNY_OK);
    ck_assert_ptr_ne(anew, g[0]);
    grammar_drop(anew);
    for (int i = 0; i < 3; i++) grammar_drop(g[i]);
    grammar_cache_free(c);
}
END_TEST

#endif

Suite *suite_serve_openai(void);
Suite *suite_serve_openai(void)
{
    Suite *s = suite_create("serve_openai");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("requests");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, calls_are_enforced);
    tcase_add_test(t, calls_come_in_pieces);
    tcase_add_test(t, schemas_are_enforced);
    tcase_add_test(t, refusals_name_the_field);
    tcase_add_test(t, several_prompts);
    tcase_add_test(t, items);
    tcase_add_test(t, items_with_calls);
    tcase_add_test(t, models_and_fingerprint);
    suite_add_tcase(s, t);
    TCase *g = tcase_create("grammars");
    tcase_set_timeout(g, 60);
    tcase_add_test(g, reasoning);
    tcase_add_test(g, embeddings_alone);
    tcase_add_test(g, grammars_are_compiled_once);
    suite_add_tcase(s, g);
#else
    printf("skipped: serve_openai, built without libmicrohttpd\n");
#endif
    return s;
}
