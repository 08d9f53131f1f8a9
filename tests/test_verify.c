/* tawny verify against servers that are right and servers that are wrong on purpose. With TAWNY_LLAMA_SERVER=http://127.0.0.1:PORT, a
 * llama-server that runs the default model, those tests are made through it as well. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "program.h"
#include "server_proc.h"
#include "tiny_model.h"

static char dir[64], model[128], damaged[96], out[1 << 16];

static void setup(void)
{
    tawny_error err;
    server_model_make(dir, model);
    snprintf(damaged, sizeof damaged, "%s/damaged", dir);
    ck_assert_msg(tiny_model_write_damaged(damaged, "blk.1.ffn_down.weight", &err) == TAWNY_OK, "%s", err.message);
    unsetenv("http_proxy");
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

/* ---- intermediate results ---- */

static int activations(const char *name, const char *more)
{
    char line[512];
    snprintf(line, sizeof line, "$t verify -t 1 --no-pin -m %s --activations %s/%s %s 2>&1", model, dir, name, more);
    return program_sh(line, out, sizeof out);
}

static void probe(const char *of, const char *name)
{
    char line[512];
    snprintf(line, sizeof line, "$t logits -t 1 --no-pin -m %s --act-bits 16 --tokens 65,66,67,68,69,70,71,72 --probe %s/%s 2>&1", of, dir, name);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
}

START_TEST(layers_that_diverge)
{
    probe(model, "right");
    probe(damaged, "wrong");
    ck_assert_msg(activations("right", "") == 0 && strstr(out, "sound"), "%s", out);
    ck_assert_msg(activations("right", "--tokens 65,66,67,68,69,70,71,73") == 1 && strstr(out, "diverges is embd"), "%s", out);
    ck_assert_msg(activations("wrong", "") == 1 && strstr(out, "diverges is ffn_out of layer 1,"), "%s", out);
    ck_assert_int_eq(activations("wrong", "--json"), 1);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    ck_assert_str_eq(text_of(json_object_get(j, "first"), "name"), "ffn_out");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j, "first"), "layer")), 1);
    json_decref(j);
}
END_TEST

/* The first and last three of each axis, as llama-eval-callback prints them. */
static void print_axis(FILE *f, const json_t *values, long long n0, long long n1)
{
    fprintf(f, "    [\n        [\n");
    for (long long i = 0; i < n1; i++) {
        if (i == 3 && n1 > 6) {
            fprintf(f, "            ..., \n");
            i = n1 - 3;
        }
        fprintf(f, "            [");
        for (long long k = 0; k < n0; k++) {
            if (k == 3 && n0 > 6) {
                fprintf(f, "   ..., ");
                k = n0 - 3;
            }
            fprintf(f, "%12.4f%s", json_number_value(json_array_get(values, (size_t)(i * n0 + k))), k < n0 - 1 ? ", " : "");
        }
        fprintf(f, "  ],\n");
    }
    fprintf(f, "        ],\n    ]\n    sum = 1.0\n");
}

static void as_text(const char *from, const char *to)
{
    char path[128];
    char *line = NULL;
    size_t cap = 0;
    snprintf(path, sizeof path, "%s/%s", dir, from);
    FILE *in = fopen(path, "r");
    snprintf(path, sizeof path, "%s/%s", dir, to);
    FILE *f = fopen(path, "w");
    fprintf(f, "0.00.1 I number of input tokens = 8\n");
    for (int i = 65; i < 73; i++) fprintf(f, "0.00.1 I   %d\n", i);
    while (getline(&line, &cap, in) > 0) {
        json_t *j = json_loads(line, 0, NULL), *shape = json_object_get(j, "shape");
        int layer = (int)json_integer_value(json_object_get(j, "layer"));
        long long n1 = json_integer_value(json_array_get(shape, 0)), n0 = json_integer_value(json_array_get(shape, 1));
        if (*text_of(j, "name")) {
            fprintf(f, "common_debug_cb_eval: %20s", text_of(j, "name"));
            if (layer >= 0) fprintf(f, "-%d", layer);
            fprintf(f, " = (f32)    MUL_MAT(w{%lld, 7, 1, 1}, x{1, 1, 1, 1}}) = {%lld, %lld, 1, 1}\n", n0, n0, n1);
            print_axis(f, json_object_get(j, "values"), n0, n1);
        }
        json_decref(j);
    }
    free(line);
    fclose(in);
    fclose(f);
}

START_TEST(text_of_llama_eval_callback)
{
    probe(model, "right");
    probe(damaged, "wrong");
    as_text("right", "right.txt");
    as_text("wrong", "wrong.txt");
    ck_assert_msg(activations("right.txt", "") == 0, "%s", out);
    ck_assert_msg(activations("wrong.txt", "") == 1 && strstr(out, "diverges is ffn_out of layer 1,"), "%s", out);
}
END_TEST

START_TEST(activations_that_are_none)
{
    static const char *const bad[] = {
        "", "nothing of the kind\n", "{\"tokens\": [65]}\n", "{\"tokens\": [-1]}\n", "{\"name\": \"embd\"\n",
        "{\"name\": \"embd\", \"shape\": [2, 3], \"values\": [1]}\n", "{\"name\": \"embd\", \"shape\": [1e9, 99999999], \"values\": [1]}\n",
        "{\"tokens\": [65]}\n{\"name\": \"embd\", \"shape\": [1, 3], \"values\": [1, 2, 3]}\n",
        "{\"tokens\": [99999]}\n{\"name\": \"embd\", \"shape\": [1, 64], \"values\": []}\n",
        "common_debug_cb_eval: embd = (f32) X(a{1, 1, 1, 1}, }) = {64, 1, 1, 1}\n[[[1,2,[\n",
        "common_debug_cb_eval: embd = (f32) X(a{1, 1, 1, 1}, }) = {64, 1, 1, 1}\n]]]]\n",
        "common_debug_cb_eval: embd = (f32) X(a{1, 1, 1, 1}, }) = {2, 1, 1, 1}\n[[[1,2,3,4]\n",
        "number of input tokens = 99999999999\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/bad", dir);
        FILE *f = fopen(path, "w");
        fputs(bad[i], f);
        fclose(f);
        int code = activations("bad", "");
        ck_assert_msg((code == 2 || code == 3) && strncmp(out, "tawny: ", 7) == 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s: %d %s",
                      bad[i], code, out);
    }
    ck_assert_int_eq(activations("missing", ""), 3);
}
END_TEST

#ifdef HAVE_LIBCURL

/* Runs verify against s with more arguments; the exit code, output in out. */
static int verify(fake_server *s, const char *more)
{
    char line[512];
    s->port = 0;
    fake_server_start(s);
    snprintf(line, sizeof line, "$t verify -t 1 --no-pin -m %s --url http://127.0.0.1:%d --server-ubatch 64 %s 2>&1", model, s->port, more);
    int code = program_sh(line, out, sizeof out);
    fake_server_stop(s);
    return code;
}

static json_t *verify_json(fake_server *s, int expected, const char *more)
{
    char line[160];
    snprintf(line, sizeof line, "--json %s", more);
    int code = verify(s, line);
    ck_assert_msg(code == expected, "%d: %s", code, out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_msg(j, "%s", out);
    return j;
}

START_TEST(right_servers_of_every_shape)
{
    static const char *const kinds[] = {"llama-server", "llama-server", "llama-server", "vLLM", "OpenAI", "OpenAI", "OpenAI chat", "OpenAI responses", "ollama"};
    for (int shape = FAKE_LLAMA; shape <= FAKE_OLLAMA; shape++) {
        fake_server s = {.model = model, .shape = (fake_shape)shape};
        if (shape == FAKE_LM_STUDIO || shape == FAKE_ROUTER) {
            ck_assert_msg(verify(&s, "") == 3 && strstr(out, "--server-model says which: tiny, text-embedding-"), "%s", out);
            ck_assert_msg(verify(&s, "--server-model other") == 3 && strstr(out, "has no model 'other', but: tiny, text-"), "%s", out);
        }
        json_t *j = verify_json(&s, 0, shape == FAKE_OLLAMA ? "--server-model tiny:latest" : "--server-model tiny");
        ck_assert_str_eq(text_of(j, "verdict"), "sound");
        ck_assert_str_eq(text_of(json_object_get(j, "server"), "kind"), kinds[shape]);
        ck_assert_uint_gt(json_array_size(json_object_get(j, "depths")), 6);
        json_decref(j);
    }
}
END_TEST

/* A server that cannot tell of as many alternatives as it is asked for. */
START_TEST(few_alternatives)
{
    fake_server s = {.model = model, .fault = FAKE_FEW, .from = 100};
    ck_assert_msg(verify(&s, "") == 0, "%s", out);
}
END_TEST

START_TEST(padded_vocabulary)
{
    tawny_error err;
    ck_assert_int_eq(tiny_model_write_padded(model, &err), TAWNY_OK);
    fake_server s = {.model = model};
    ck_assert_msg(verify(&s, "") == 0, "%s", out);
}
END_TEST

/* Another model is told by its size; an embedding that is the output matrix, too, may count twice. */
START_TEST(sizes_of_models)
{
    tawny_model *m;
    tawny_error err;
    ck_assert_int_eq(tawny_model_open(model, &m, &err), TAWNY_OK);
    long long n = (long long)tawny_model_n_params(m), embedding = (long long)tawny_model_n_vocab(m) * tawny_model_n_embd(m);
    tawny_model_close(m);
    fake_server s = {.model = model, .n_params = n};
    ck_assert_msg(verify(&s, "--depth 64") == 0, "%s", out);
    s.n_params = n + embedding;
    ck_assert_msg(verify(&s, "--depth 64") == 0, "%s", out);
    s.n_params = 2 * n;
    ck_assert_msg(verify(&s, "--depth 64") == 3 && strstr(out, "another model: of "), "%s", out);
    s.shape = FAKE_OLLAMA;
    ck_assert_msg(verify(&s, "--depth 64") == 3 && strstr(out, "another model: of "), "%s", out);
}
END_TEST

START_TEST(no_false_alarm)
{
    fake_server s = {.model = model};
    for (int i = 0; i < 50; i++) {
        char more[64];
        snprintf(more, sizeof more, "--seed %d --depth 130", 100 + i);
        ck_assert_msg(verify(&s, more) == 0, "%s", out);
    }
}
END_TEST

START_TEST(wrong_from_a_depth_on)
{
    static const struct {
        fake_fault fault;
        fake_shape shape;
        int from;
    } wrong[] = {{FAKE_NOISE, FAKE_LLAMA, 100}, {FAKE_NOISE, FAKE_VLLM, 129}, {FAKE_NOISE, FAKE_OPENAI, 150}, {FAKE_REPEAT, FAKE_LLAMA, 129},
                 {FAKE_NAN, FAKE_LLAMA, 65}, {FAKE_NAN, FAKE_OPENAI, 192}, {FAKE_BAD_TOKEN, FAKE_LLAMA, 200}, {FAKE_NOISE, FAKE_LLAMA, 30},
                 {FAKE_HALF, FAKE_LLAMA, 161}, {FAKE_HALF, FAKE_LLAMA, 128}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fake_server s = {.model = model, .shape = wrong[i].shape, .fault = wrong[i].fault, .from = wrong[i].from};
        json_t *j = verify_json(&s, 1, "");
        ck_assert_msg(strcmp(text_of(j, "verdict"), "broken") == 0, "%zu: %s", i, out);
        ck_assert_msg(json_integer_value(json_object_get(j, "from_depth")) == wrong[i].from, "%zu: %s", i, out);
        json_decref(j);
    }
}
END_TEST

/* Most depths are found without the steps in between. */
START_TEST(few_prompts)
{
    fake_server s = {.model = model}, wrong = {.model = model, .fault = FAKE_NOISE, .from = 100};
    json_t *j = verify_json(&s, 0, "--quick");
    ck_assert_uint_eq(json_array_size(json_object_get(j, "depths")), 4); /* 64, 65, 128, 247 */
    json_decref(j);
    j = verify_json(&wrong, 1, "--quick");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "from_depth")), 128);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "sound_to_depth")), 65);
    json_decref(j);
}
END_TEST

/* Long prompts are wrong where they are read at once, and right where most of them is in the cache. */
START_TEST(wrong_beyond_a_micro_batch)
{
    fake_server s = {.model = model, .fault = FAKE_NOISE, .from = 65, .fresh_alone = true};
    json_t *j = verify_json(&s, 1, "--server-ubatch 64");
    ck_assert_str_eq(text_of(j, "verdict"), "broken");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "from_depth")), 65);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "sound_to_depth")), 64);
    ck_assert_msg(strstr(text_of(j, "note"), "reading a long prompt at once"), "%s", out);
    json_decref(j);
}
END_TEST

START_TEST(depths_that_are_left_out)
{
    fake_server s = {.model = model, .n_ctx = 140};
    ck_assert_msg(verify(&s, "--depth 200") == 0, "%s", out);
    ck_assert_msg(strstr(out, "left out       prompts of more than 131 tokens: the server's context has room for 140"), "%s", out);
    s.n_ctx = 0;
    json_t *j = verify_json(&s, 0, "-c 100"), *o = json_object_get(j, "left_out");
    ck_assert_uint_eq(json_array_size(json_object_get(o, "depths")), 6);
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(o, "depths"), 0)), 512);
    ck_assert_msg(strstr(text_of(o, "why"), "512, 1024, 2048, 4096, 8192, 16384 and other prompts of more than 91 tokens: the context here has room for 100 "
                                            "tokens (-c N for more)"), "%s", out);
    json_decref(j);
    ck_assert_int_eq(verify(&s, "--depth 65"), 0);
    ck_assert_msg(!strstr(out, "left out"), "%s", out);
    char more[96];
    snprintf(more, sizeof more, "%s/text", dir);
    FILE *f = fopen(more, "w");
    fprintf(f, "An owl upon an oak.\n");
    fclose(f);
    snprintf(more, sizeof more, "-f %s/text --depth 64", dir);
    ck_assert_msg(verify(&s, more) == 0, "%s", out);
    ck_assert_msg(strstr(out, "/text has "), "%s", out);
}
END_TEST

START_TEST(usual_ports)
{
    static const int ports[] = {8080, 9931};
    fake_server s[2] = {{.model = model, .port = ports[0]}, {.model = model, .port = ports[1]}};
    char line[256];
    for (int i = 0; i < 2; i++) {
        fake_server_start(&s[i]);
        if (s[i].pid < 0) printf("skipped: verify without --url, port %d is taken\n", ports[i]);
    }
    if (s[0].pid > 0 && s[1].pid > 0) {
        snprintf(line, sizeof line, "$t verify -t 1 --no-pin -m %s --quick --server-ubatch 64 --depth 70 2>&1", model);
        for (int i = 0; i < 2; i++) {
            char expected[64];
            ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
            snprintf(expected, sizeof expected, "http://127.0.0.1:%d (llama-server)", ports[i]);
            ck_assert_msg(strstr(out, expected), "%s", out);
            fake_server_stop(&s[i]);
            s[i].pid = -1;
        }
        int code = program_sh(line, out, sizeof out);
        ck_assert_msg(code == 3 && strstr(out, "no --url, and none at the usual places: ") && strchr(out, '\n') == out + strlen(out) - 1, "%d %s", code, out);
    }
    for (int i = 0; i < 2; i++)
        if (s[i].pid > 0) fake_server_stop(&s[i]);
}
END_TEST

START_TEST(wrong_throughout)
{
    fake_server layer = {.model = damaged}, constant = {.model = model, .fault = FAKE_CONSTANT};
    json_t *j = verify_json(&layer, 1, "");
    ck_assert_str_eq(text_of(j, "verdict"), "broken");
    ck_assert_int_le(json_integer_value(json_object_get(j, "from_depth")), 3);
    json_decref(j);
    j = verify_json(&constant, 1, "");
    ck_assert_str_eq(text_of(j, "verdict"), "broken");
    ck_assert(json_is_true(json_object_get(j, "constant")));
    json_decref(j);
}
END_TEST

START_TEST(texts_are_told_from_arithmetic)
{
    fake_server tokenizer = {.model = model, .fault = FAKE_TOKENIZER}, template = {.model = model, .fault = FAKE_TEMPLATE};
    json_t *j = verify_json(&tokenizer, 1, "");
    ck_assert_str_eq(text_of(j, "verdict"), "suspicious");
    ck_assert_str_eq(text_of(j, "arithmetic"), "sound");
    ck_assert_ptr_nonnull(strstr(text_of(j, "words"), "tokenizer"));
    json_decref(j);
    j = verify_json(&template, 1, "");
    ck_assert_str_eq(text_of(j, "verdict"), "suspicious");
    ck_assert_str_eq(text_of(j, "arithmetic"), "sound");
    ck_assert_ptr_nonnull(strstr(text_of(j, "words"), "template"));
    json_decref(j);
}
END_TEST

START_TEST(no_answers)
{
    static const fake_fault faults[] = {FAKE_HANG, FAKE_STREAM, FAKE_DRIP, FAKE_HTML, FAKE_HUGE, FAKE_CUT, FAKE_DROP, FAKE_ERROR, FAKE_GARBAGE, FAKE_NO_LOGPROBS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (int shape = FAKE_LLAMA; shape <= FAKE_OLLAMA; shape++) {
            fake_server s = {.model = model, .fault = faults[i], .shape = (fake_shape)shape};
            int code = verify(&s, shape == FAKE_LM_STUDIO || shape == FAKE_ROUTER ? "--timeout 1 --json --server-model tiny" : "--timeout 1 --json");
            ck_assert_msg(code == 3, "%d: %d %s", (int)faults[i], code, out);
            ck_assert_msg(strncmp(out, "tawny: ", 7) == 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
        }
    }
    fake_server late = {.model = model, .fault = FAKE_ERROR, .from = 128}; /* sound as far as it went */
    ck_assert_msg(verify(&late, "--timeout 1") == 3, "%s", out);
    ck_assert_msg(strstr(out, "unknown: sound up to 127 tokens"), "%s", out);
    fake_server small = {.model = model, .n_ctx = 140};
    ck_assert_msg(verify(&small, "") == 0, "%s", out);
    ck_assert_msg(strstr(out, "sound up to 131 tokens"), "%s", out);
    ck_assert_int_eq(program_sh("$t verify --url http://127.0.0.1:1 2>&1", out, sizeof out) & ~2, 1);
    ck_assert_int_eq(program_sh("$t verify --predict 0 2>&1", out, sizeof out), 2);
}
END_TEST

/* The file, and, with TAWNY_JUNIT_XSD naming a schema, whether it meets that (by xmllint). */
static void junit_has(const char *pattern)
{
    char line[512];
    snprintf(line, sizeof line, "grep -q \"%s\" %s/junit.xml && tail -n 1 %s/junit.xml", pattern, dir, dir);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0 && strstr(out, "</testsuites>"), "%s: %s", pattern, out);
    snprintf(line, sizeof line, "[ -z \"$TAWNY_JUNIT_XSD\" ] || xmllint --noout --schema $TAWNY_JUNIT_XSD %s/junit.xml 2>&1", dir);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
}

START_TEST(junit)
{
    char more[128];
    fake_server s = {.model = model, .fault = FAKE_NOISE, .from = 129}, late = {.model = model, .fault = FAKE_ERROR, .from = 128};
    fake_server template = {.model = model, .fault = FAKE_TEMPLATE};
    snprintf(more, sizeof more, "--junit %s/junit.xml", dir);
    ck_assert_msg(verify(&s, more) == 1, "%s", out);
    ck_assert_msg(strstr(out, "broken from prompts of 129 tokens on") && strstr(out, "sound up to 128"), "%s", out);
    junit_has("name=.depth 129. time=.[0-9.]*.><failure type=.verify. message=.broken at position");
    junit_has("name=.depth 512. time=.0.000.><skipped message=.*the context here");
    ck_assert_msg(verify(&late, more) == 3, "%s", out);
    junit_has("<error type=.verify. message=.at 128 tokens: .*the server answers 500");
    ck_assert_msg(verify(&template, more) == 1, "%s", out);
    junit_has("name=.chat template. time=.0.000.><failure");
}
END_TEST

/* A real llama-server, and the same behind a proxy that spoils its answers. */
START_TEST(llama_server)
{
    const char *url = getenv("TAWNY_LLAMA_SERVER"), *port = url ? strrchr(url, ':') : NULL;
    char line[256];
    if (!port) {
        printf("skipped: verify against llama-server, TAWNY_LLAMA_SERVER is not set\n");
        return;
    }
    snprintf(line, sizeof line, "$t verify --depth 130 --server-ubatch 64 --url %s 2>&1", url);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
    static const fake_fault faults[] = {FAKE_NOISE, FAKE_REPEAT};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        fake_server s = {.backend = atoi(port + 1), .fault = faults[i], .from = 90};
        fake_server_start(&s);
        snprintf(line, sizeof line, "$t verify --depth 130 --server-ubatch 64 --json --url http://127.0.0.1:%d 2>&1", s.port);
        ck_assert_msg(program_sh(line, out, sizeof out) == 1, "%s", out);
        fake_server_stop(&s);
        json_t *j = json_loads(out, 0, NULL);
        ck_assert_msg(j && json_integer_value(json_object_get(j, "from_depth")) == 90, "%s", out);
        json_decref(j);
    }
}
END_TEST

#endif

Suite *suite_verify(void);
Suite *suite_verify(void)
{
    Suite *s = suite_create("verify");
    TCase *t = tcase_create("verify");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 600);
    tcase_add_test(t, layers_that_diverge);
    tcase_add_test(t, text_of_llama_eval_callback);
    tcase_add_test(t, activations_that_are_none);
#ifdef HAVE_LIBCURL
    tcase_add_test(t, right_servers_of_every_shape);
    tcase_add_test(t, few_alternatives);
    tcase_add_test(t, padded_vocabulary);
    tcase_add_test(t, sizes_of_models);
    tcase_add_test(t, no_false_alarm);
    tcase_add_test(t, wrong_from_a_depth_on);
    tcase_add_test(t, few_prompts);
    tcase_add_test(t, wrong_beyond_a_micro_batch);
    tcase_add_test(t, depths_that_are_left_out);
    tcase_add_test(t, usual_ports);
    tcase_add_test(t, wrong_throughout);
    tcase_add_test(t, texts_are_told_from_arithmetic);
    tcase_add_test(t, no_answers);
    tcase_add_test(t, junit);
    tcase_add_test(t, llama_server);
#else
    printf("skipped: verify against servers, built without libcurl\n");
#endif
    suite_add_tcase(s, t);
    return s;
}
