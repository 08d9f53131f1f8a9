/* tawny serve: the doors of llama-server, Anthropic and Ollama over a tiny model, and the document that describes them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "embed_model.h"
#include "server_proc.h"
#include "tiny_model.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64], model[128];
static server_proc server;

static void start_server(void)
{
    server_model_make(dir, model);
    server_proc_start(&server, model, (const char *const[]){"-np", "2", "-t", "2", "-c", "1024", "--pooling", "mean", NULL});
}

static void stop_server(void)
{
    ck_assert_int_eq(server_proc_stop(&server), 0);
    server_model_remove(dir, model);
}

/* "a.0.b": members and elements. */
static const json_t *at(const json_t *j, const char *path)
{
    char part[64];
    for (int n; *path; path += n + (path[n] == '.')) {
        n = (int)strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", n, path);
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(part)) : json_object_get(j, part);
    }
    return j;
}
static const char *text_at(const json_t *j, const char *path) { return json_string_value(at(j, path)); }
static int int_at(const json_t *j, const char *path) { return (int)json_integer_value(at(j, path)); }

static char *ask(const char *path, const char *body)
{
    int status;
    char *text = server_ask(&server, "POST", path, NULL, body, &status);
    ck_assert_msg(status == 200, "%s %s: %d %s", path, body, status, text);
    return text;
}

/* The next line of a stream that begins with `start`, as JSON; *from goes on behind it. NULL at the end. */
static json_t *next_json(char **from, const char *start)
{
    for (char *line; *from && (line = strsep(from, "\n"));) {
        if (strncmp(line, start, strlen(start)) != 0) continue;
        json_t *j = json_loads(line + strlen(start), 0, NULL);
        ck_assert_msg(j, "%s", line);
        return j;
    }
    return NULL;
}

/* ---- llama-server ---- */

START_TEST(completion)
{
    json_t *j = server_json(&server, "/completion", "{\"prompt\":\"owl\",\"n_predict\":5,\"seed\":3,\"n_probs\":2,\"return_tokens\":true}", 200);
    ck_assert_int_eq(int_at(j, "tokens_predicted"), 5);
    ck_assert_uint_eq(json_array_size(at(j, "tokens")), 5);
    ck_assert_uint_eq(json_array_size(at(j, "completion_probabilities")), 5);
    ck_assert_uint_eq(json_array_size(at(j, "completion_probabilities.4.top_logprobs")), 2);
    ck_assert_int_eq(int_at(j, "completion_probabilities.0.id"), int_at(j, "tokens.0"));
    ck_assert_str_eq(text_at(j, "stop_type"), "limit");
    ck_assert_int_eq(int_at(j, "generation_settings.seed"), 3);
    ck_assert_ptr_nonnull(strstr(text_at(j, "prompt"), "owl"));
    buf joined = {0};
    char *all = ask("/completion", "{\"prompt\":\"owl\",\"n_predict\":5,\"seed\":3,\"stream\":true,\"n_probs\":1,\"post_sampling_probs\":true}"), *from = all;
    int ids = 0;
    for (json_t *e; (e = next_json(&from, "data: ")); json_decref(e)) {
        buf_str(&joined, text_at(e, "content"));
        for (size_t i = 0; i < json_array_size(at(e, "tokens")); i++, ids++)
            ck_assert_int_eq(json_integer_value(json_array_get(at(e, "tokens"), i)), json_integer_value(json_array_get(at(j, "tokens"), (size_t)ids)));
        if (json_is_false(at(e, "stop"))) ck_assert_double_le(json_number_value(at(e, "completion_probabilities.0.prob")), 1);
    }
    ck_assert_int_eq(ids, 5);
    ck_assert_str_eq(joined.data, text_at(j, "content"));
    buf_free(&joined);
    free(all);
    json_decref(j);
    j = server_json(&server, "/completion", "{\"prompt\":[\"a\",[5,\"b\"]],\"n_predict\":2,\"id_slot\":1}", 200);
    ck_assert_uint_eq(json_array_size(j), 2);
    ck_assert_int_eq(int_at(j, "1.id_slot"), 1);
    json_decref(j);
    j = server_json(&server, "/completion", "{\"prompt\":\"a\",\"n_predict\":2,\"response_fields\":[\"stop\",\"generation_settings/n_predict\",\"no/such\"]}", 200);
    ck_assert_uint_eq(json_object_size(j), 2);
    ck_assert_int_eq((int)json_integer_value(json_object_get(j, "generation_settings/n_predict")), 2);
    json_decref(j);
}
END_TEST

START_TEST(tokens_and_templates)
{
    char body[400];
    json_t *j = server_json(&server, "/tokenize", "{\"content\":\"h\\u00f6 x\"}", 200);
    char *ids = json_dumps(at(j, "tokens"), 0);
    snprintf(body, sizeof body, "{\"tokens\":%s}", ids);
    json_t *back = server_json(&server, "/detokenize", body, 200);
    ck_assert_ptr_nonnull(strstr(text_at(back, "content"), "h\xc3\xb6 x"));
    json_decref(back);
    json_decref(j);
    free(ids);
    j = server_json(&server, "/tokenize", "{\"content\":[\"x\",7],\"with_pieces\":true}", 200);
    ck_assert_int_eq(int_at(j, "tokens.1.id"), 7);
    ck_assert_ptr_nonnull(at(j, "tokens.0.piece"));
    json_decref(j);
    j = server_json(&server, "/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"where?\"}]}", 200);
    ck_assert_ptr_nonnull(strstr(text_at(j, "prompt"), "where?"));
    json_decref(j);
}
END_TEST

START_TEST(embeddings)
{
    json_t *one = server_json(&server, "/embedding", "{\"content\":\"owl\"}", 200), *two = server_json(&server, "/embedding", "{\"content\":[\"cat\",\"owl\"]}", 200);
    ck_assert_uint_eq(json_array_size(two), 2);
    ck_assert(json_equal(at(one, "0.embedding"), at(two, "1.embedding")));
    json_t *j = server_json(&server, "/api/embed", "{\"input\":[\"owl\"]}", 200);
    ck_assert(json_equal(at(one, "0.embedding.0"), at(j, "embeddings.0")));
    json_decref(j);
    j = server_json(&server, "/api/embeddings", "{\"prompt\":\"owl\"}", 200);
    ck_assert(json_equal(at(one, "0.embedding.0"), at(j, "embedding")));
    json_decref(j);
    json_decref(one);
    json_decref(two);
    json_decref(server_json(&server, "/rerank", "{\"query\":\"x\",\"documents\":[\"y\"]}", 400));
}
END_TEST

START_TEST(what_it_is_like)
{
    json_t *j = server_json(&server, "/props", NULL, 200);
    ck_assert_int_eq(int_at(j, "total_slots"), 2);
    ck_assert_int_eq(int_at(j, "default_generation_settings.n_ctx"), 1024);
    json_decref(j);
    j = server_json(&server, "/slots", NULL, 200);
    ck_assert_uint_eq(json_array_size(j), 2);
    json_decref(j);
    j = server_json(&server, "/lora-adapters", NULL, 200);
    ck_assert_uint_eq(json_array_size(j), 0);
    json_decref(j);
    json_decref(server_json(&server, "/completion", "{\"prompt\":\"x\",\"n_predict\":4,\"ignore_eos\":true}", 200));
    int status;
    char *text = server_ask(&server, "GET", "/metrics", NULL, NULL, &status);
    ck_assert_int_eq(status, 200);
    ck_assert_msg(strstr(text, "\nllamacpp:tokens_predicted_total 4\n"), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "\ntawny:slots 2\n"));
    free(text);
}
END_TEST

START_TEST(the_interface)
{
    static const struct { const char *path, *at, *text; } known[] = {
        {"/v1/messages", "max_tokens.type.0", "integer"}, {"/v1/messages", "messages.items.properties.role.enum.0", "user"},
        {"/v1/messages", "messages.items.properties.content.anyOf.1.items.oneOf.2.properties.type.const", "tool_use"},
        {"/v1/messages", "tools.items.required.1", "input_schema"}, {"/v1/messages", "tool_choice.properties.type.enum.3", "tool"},
        {"/v1/messages", "system.items.properties.type.const", "text"}, {"/v1/messages", "thinking.properties.type.enum.0", "enabled"},
        {"/v1/chat/completions", "messages.items.properties.content.anyOf.1.items.oneOf.0.required.1", "text"},
        {"/v1/chat/completions", "messages.items.properties.tool_calls.items.properties.function.required.0", "name"},
        {"/v1/chat/completions", "tools.items.properties.function.properties.parameters.type.0", "object"},
        {"/v1/chat/completions", "tool_choice.anyOf.1.enum.2", "required"}, {"/v1/chat/completions", "response_format.properties.type.enum.0", "text"},
        {"/v1/chat/completions", "tool_choice.anyOf.2.required.1", "function"}, {"/v1/responses", "tool_choice.anyOf.2.required.1", "name"},
        {"/v1/responses", "input.items.anyOf.1.properties.type.const", "function_call"}, {"/v1/responses", "tools.items.required.1", "name"},
        {"/v1/embeddings", "input.items.type", "string"}, {"/api/chat", "messages.items.properties.tool_name.type", "string"},
        {"/api/chat", "options.properties.stop.items.type", "string"}, {"/completion", "stop.items.type", "string"},
    };
    json_t *j = server_json(&server, "/openapi.json", NULL, 200);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const json_t *post = json_object_get(json_object_get(at(j, "paths"), known[i].path), "post");
        const json_t *schema = at(json_object_get(at(post, "requestBody.content"), "application/json"), "schema.properties");
        const char *text = text_at(schema, known[i].at);
        ck_assert_msg(text && strcmp(text, known[i].text) == 0, "%s: %s", known[i].path, known[i].at);
    }
    json_decref(j);
}
END_TEST

/* ---- models of other kinds ---- */

START_TEST(ranks)
{
    heads *h = make_heads();
    const embed_tensor head[] = {{"cls.weight", {WIDTH, 1}, h->cls}, {"cls.bias", {1, 0}, h->cls_b}, {0}};
    server_proc ranker, *s = &ranker;
    tawny_error err;
    char path[64];
    double last = 1e30;
    ck_assert_msg(embed_model_write(temporary(path), 4, head, &err) == TAWNY_OK, "%s", err.message);
    server_proc_start(s, path, (const char *const[]){"-t", "1", NULL});
    json_t *j = server_json(s, "/v1/rerank", "{\"query\":\"a\",\"documents\":[\"b\",{\"text\":\"c d\"},\"e\"],\"return_documents\":true}", 200);
    ck_assert_uint_eq(json_array_size(at(j, "results")), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *r = json_array_get(at(j, "results"), i);
        double score = json_number_value(at(r, "relevance_score"));
        ck_assert_double_le(score, last);
        last = score;
    }
    json_t *best = server_json(s, "/rerank", "{\"query\":\"a\",\"texts\":[\"b\",\"c d\",\"e\"],\"top_n\":1,\"return_text\":true}", 200);
    ck_assert_uint_eq(json_array_size(best), 1);
    ck_assert(json_equal(at(best, "0.score"), at(j, "results.0.relevance_score")));
    ck_assert_str_eq(text_at(best, "0.text"), text_at(j, "results.0.document.text"));
    json_decref(best);
    json_decref(j);
    json_decref(server_json(s, "/rerank", "{\"query\":\"a\"}", 400));
    json_decref(server_json(s, "/completion", "{\"prompt\":\"a\"}", 400)); /* it has no logits */
    ck_assert_int_eq(server_proc_stop(s), 0);
    unlink(path);
    free(h);
}
END_TEST

/* The tiny model with three of its letters as the tokens for gaps. */
static void write_gap_model(const char *path)
{
    tawny_error err;
    gguf *g;
    gguf_writer *w = gguf_writer_new();
    ck_assert_int_eq(gguf_open(model, 0, &g, &err), TAWNY_OK);
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
    gguf_writer_u32(w, "tokenizer.ggml.fim_pre_token_id", 'P');
    gguf_writer_u32(w, "tokenizer.ggml.fim_suf_token_id", 'S');
    gguf_writer_u32(w, "tokenizer.ggml.fim_mid_token_id", 'M');
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    ck_assert_msg(gguf_writer_write(w, path, &err) == TAWNY_OK, "%s", err.message);
    gguf_writer_free(w);
    gguf_close(g);
}

START_TEST(gaps)
{
    server_proc s;
    char path[64], body[3000];
    json_decref(server_json(&server, "/infill", "{\"input_prefix\":\"a\",\"input_suffix\":\"b\"}", 400));
    write_gap_model(temporary(path));
    server_proc_start(&s, path, (const char *const[]){"-t", "1", NULL});
    json_t *j = server_json(&s, "/infill", "{\"input_prefix\":\"ab\",\"input_suffix\":\"yz\",\"prompt\":\"c\",\"n_predict\":3}", 200);
    const char *prompt = text_at(j, "prompt");
    ck_assert_msg(strstr(prompt, "PabcSyzM") != NULL, "%s", prompt);
    json_decref(j);
    memset(body, 'x', sizeof body); /* far more than the context: the end of the prefix stays */
    size_t n = (size_t)snprintf(body, sizeof body, "{\"n_predict\":3,\"input_suffix\":\"yz\",\"input_prefix\":\"");
    body[n] = 'x';
    snprintf(body + 2000, sizeof body - 2000, "ab\"}");
    j = server_json(&s, "/infill", body, 200);
    prompt = text_at(j, "prompt");
    ck_assert_msg(strstr(prompt, "xxabSyzM") != NULL, "%s", prompt);
    ck_assert_int_le(int_at(j, "tokens_evaluated"), TINY_CTX);
    json_decref(j);
    ck_assert_int_eq(server_proc_stop(&s), 0);
    unlink(path);
}
END_TEST

/* ---- Anthropic ---- */

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

START_TEST(messages)
{
    json_t *j = server_json(&server, "/v1/messages", "{" HI ",\"max_tokens\":6,\"seed\":4,\"system\":[{\"type\":\"text\",\"text\":\"be brief\"}]}", 200);
    ck_assert_str_eq(text_at(j, "type"), "message");
    ck_assert_str_eq(text_at(j, "stop_reason"), "max_tokens");
    ck_assert_int_eq(int_at(j, "usage.output_tokens"), 6);
    json_t *n = server_json(&server, "/v1/messages/count_tokens", "{" HI ",\"system\":\"be brief\"}", 200);
    ck_assert_int_eq(int_at(n, "input_tokens"), int_at(j, "usage.input_tokens") + int_at(j, "usage.cache_read_input_tokens"));
    json_decref(n);
    json_decref(j);
    j = server_json(&server, "/v1/messages",
                    "{\"messages\":[{\"role\":\"user\",\"content\":\"w\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t1\","
                    "\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"5\"}]}],"
                    "\"max_tokens\":80,\"seed\":1,\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"const\":7}},"
                    "\"required\":[\"a\"],\"additionalProperties\":false}}],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}", 200);
    ck_assert_str_eq(text_at(j, "stop_reason"), "tool_use");
    ck_assert_str_eq(text_at(j, "content.0.name"), "f");
    ck_assert_int_eq(int_at(j, "content.0.input.a"), 7);
    json_decref(j);
}
END_TEST

/* The official order of events, and their deltas are the text. */
START_TEST(message_events)
{
    json_t *whole = server_json(&server, "/v1/messages", "{" HI ",\"max_tokens\":30,\"seed\":4}", 200);
    char *all = ask("/v1/messages", "{" HI ",\"max_tokens\":30,\"seed\":4,\"stream\":true}"), *from = all;
    buf order = {0}, text = {0};
    for (json_t *e; (e = next_json(&from, "data: ")); json_decref(e)) {
        const char *type = text_at(e, "type");
        if (strcmp(type, "content_block_delta") != 0) buf_printf(&order, "%s ", type);
        else buf_str(&text, text_at(e, "delta.text"));
    }
    ck_assert_str_eq(order.data, "message_start content_block_start content_block_stop message_delta message_stop ");
    ck_assert_str_eq(text.data, text_at(whole, "content.0.text"));
    buf_free(&order);
    buf_free(&text);
    free(all);
    json_decref(whole);
}
END_TEST

#define TWO "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"const\":7},\"b\":{\"type\":\"string\"," \
            "\"minLength\":40,\"maxLength\":60}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false}}]"

/* Input comes as it is made. Of one that is cut off, what is complete is there in the end. */
START_TEST(tool_use_in_pieces)
{
    for (int k = 0; k < 2; k++) {
        char body[700], one[800];
        int n = 0;
        buf all = {0};
        snprintf(body, sizeof body, "{" HI "," TWO ",\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true},\"seed\":1,\"max_tokens\":%d",
                 k ? 400 : 65);
        snprintf(one, sizeof one, "%s}", body);
        json_t *whole = server_json(&server, "/v1/messages", one, 200), *input;
        snprintf(one, sizeof one, "%s,\"stream\":true}", body);
        char *events = ask("/v1/messages", one), *from = events;
        for (json_t *e; (e = next_json(&from, "data: ")); json_decref(e)) {
            const char *piece = text_at(e, "delta.partial_json");
            if (piece) n++, buf_str(&all, piece);
        }
        ck_assert_int_gt(n, 0);
        ck_assert_str_eq(text_at(whole, "stop_reason"), k ? "tool_use" : "max_tokens");
        ck_assert_int_eq(int_at(whole, "content.0.input.a"), 7);
        input = json_loads(all.data, 0, NULL);
        if (k) ck_assert(json_equal(input, at(whole, "content.0.input")));
        else ck_assert(!input && json_object_size(at(whole, "content.0.input")) == 1);
        json_decref(input);
        json_decref(whole);
        buf_free(&all);
        free(events);
    }
}
END_TEST

START_TEST(message_errors)
{
    static const char *const bad[] = {
        "{" HI "}", "{\"messages\":[],\"max_tokens\":1}", "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"}],\"max_tokens\":1}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}],\"max_tokens\":1}", "{" HI ",\"max_tokens\":0}",
        "{" HI ",\"max_tokens\":1,\"tools\":[{\"name\":\"x\",\"type\":\"web_search_20250305\"}]}", "{" HI ",\"max_tokens\":1,\"tool_choice\":{\"type\":\"all\"}}",
        "{" HI ",\"max_tokens\":1,\"thinking\":{}}", "{" HI ",\"max_tokens\":1,\"system\":[5]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *j = server_json(&server, "/v1/messages", bad[i], 400);
        ck_assert_str_eq(text_at(j, "type"), "error");
        ck_assert_str_eq(text_at(j, "error.type"), "invalid_request_error");
        json_decref(j);
    }
}
END_TEST

/* ---- Ollama ---- */

START_TEST(ollama)
{
    json_t *j = server_json(&server, "/api/chat", "{" HI ",\"stream\":false,\"options\":{\"num_predict\":9,\"seed\":2}}", 200);
    ck_assert_int_eq(int_at(j, "eval_count"), 9);
    ck_assert_str_eq(text_at(j, "done_reason"), "length");
    char *all = ask("/api/chat", "{" HI ",\"options\":{\"num_predict\":9,\"seed\":2}}"), *from = all;
    buf text = {0};
    bool done = false;
    for (json_t *e; !done && (e = next_json(&from, "")); json_decref(e)) {
        buf_str(&text, text_at(e, "message.content"));
        done = json_is_true(at(e, "done"));
    }
    ck_assert(done);
    ck_assert_str_eq(text.data, text_at(j, "message.content"));
    buf_free(&text);
    free(all);
    json_decref(j);
    j = server_json(&server, "/api/generate", "{\"prompt\":\"x\",\"raw\":true,\"stream\":false,\"format\":\"json\",\"options\":{\"num_predict\":30}}", 200);
    ck_assert_int_eq(text_at(j, "response")[0], '{');
    json_decref(j);
    j = server_json(&server, "/api/generate", "{\"model\":\"x\"}", 200);
    ck_assert_str_eq(text_at(j, "done_reason"), "load");
    json_decref(j);
    j = server_json(&server, "/api/show", "{}", 200);
    ck_assert_str_eq(text_at(j, "details.family"), "llama");
    json_decref(j);
    json_decref(server_json(&server, "/api/tags", NULL, 200));
    json_decref(server_json(&server, "/api/ps", NULL, 200));
    json_decref(server_json(&server, "/api/version", NULL, 200));
    static const char *const bad[] = {"{}", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[\"eA==\"]}]}", "{" HI ",\"format\":\"xml\"}",
                                      "{" HI ",\"options\":{\"top_p\":7}}", "{" HI ",\"think\":\"hard\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        j = server_json(&server, "/api/chat", bad[i], 400);
        ck_assert_ptr_nonnull(text_at(j, "error"));
        json_decref(j);
    }
}
END_TEST

#endif

Suite *suite_serve_doors(void);
Suite *suite_serve_doors(void)
{
    Suite *s = suite_create("serve_doors");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("doors");
    tcase_add_checked_fixture(t, start_server, stop_server);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, completion);
    tcase_add_test(t, tokens_and_templates);
    tcase_add_test(t, embeddings);
    tcase_add_test(t, what_it_is_like);
    tcase_add_test(t, the_interface);
    tcase_add_test(t, ranks);
    tcase_add_test(t, gaps);
    tcase_add_test(t, messages);
    tcase_add_test(t, message_events);
    tcase_add_test(t, tool_use_in_pieces);
    tcase_add_test(t, message_errors);
    tcase_add_test(t, ollama);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_doors, built without libmicrohttpd\n");
#endif
    return s;
}
