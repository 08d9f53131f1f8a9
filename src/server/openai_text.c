/* POST /v1/completions: a text goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "completion.h"
#include "openai.h"

enum { MAX_TOP = 20 };

typedef struct text_body {
    completion c;
    const json_t *prompt, *stream_options;
    const char *model, *suffix;
    bool echo;
    int logprobs;
} text_body;

#define B(field) offsetof(text_body, field)
static const param text_table[] = {
    {"prompt", PARAM_JSON, B(prompt), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "a text, or token ids"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"max_tokens", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "tokens of the answer at most (default: 16)"},
    {"n", PARAM_INT, B(c.n), 1, COMPLETION_MAX_N, 0, false, "answers"},
    {"logprobs", PARAM_INT, B(logprobs), 0, MAX_TOP, 0, false, "log probabilities of the tokens and of so many alternatives"},
    {"echo", PARAM_BOOL, B(echo), 0, 0, 0, false, "the prompt first"},
    {"stream_options", PARAM_JSON, B(stream_options), 0, 0, JSON_T_OBJECT, false, "include_usage"},
    PARAM_END,
};
const param *const openai_text_tables[] = {text_table, completion_sampling, NULL};

typedef struct text_answer {
    bool usage, echo;
    char *prompt; /* to be echoed */
} text_answer;

static void free_answer(void *p)
{
    text_answer *a = p;
    if (a) free(a->prompt);
    free(a);
}

static json_t *base(const exchange *x)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:s}", "id", x->id, "object", "text_completion", "created", (json_int_t)x->sv->created, "model",
                     server_model_name(x->sv), "system_fingerprint", x->sv->fingerprint);
}

/* The older form of log probabilities: lists side by side. */
static json_t *logprobs(choice *c)
{
    if (!c->tokens) return json_null();
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    size_t i;
    const json_t *t;
    json_array_foreach(c->tokens, i, t) {
        json_t *top = json_object();
        size_t k;
        const json_t *a;
        json_array_append(tokens, json_object_get(t, "token"));
        json_array_append(values, json_object_get(t, "logprob"));
        json_array_foreach(json_object_get(t, "top_logprobs"), k, a)
            json_object_set(top, json_string_value(json_object_get(a, "token")), json_object_get(a, "logprob"));
        json_array_append_new(tops, top);
        json_array_append_new(offsets, json_integer(0));
    }
    json_array_clear(c->tokens);
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops, "text_offset", offsets);
}

static void chunk(exchange *x, choice *c, const char *text, size_t n, const char *reason)
{
    json_t *o = base(x);
    json_object_set_new(o, "choices", json_pack("[{s:i,s:o,s:o,s:s?}]", "index", c->index, "text", json_stringn(text, n), "logprobs", logprobs(c),
                                                "finish_reason", reason));
    put_event(x, NULL, o);
}

static void text_start(exchange *x)
{
    const text_answer *a = x->own;
    for (int i = 0; a->echo && a->prompt && i < x->n_choices; i++) chunk(x, &x->choices[i], a->prompt, strlen(a->prompt), NULL);
}

static void text_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    (void)kind;
    chunk(x, c, text, n, NULL);
}

static void text_finish(exchange *x, choice *c) { chunk(x, c, "", 0, completion_reason(c)); }

static void text_end(exchange *x)
{
    const text_answer *a = x->own;
    if (a->usage) {
        json_t *o = base(x);
        json_object_set_new(o, "choices", json_array());
        json_object_set_new(o, "usage", openai_usage(x));
        put_event(x, NULL, o);
    }
    buf_str(&x->out, "data: [DONE]\n\n");
}

static void text_fail(exchange *x, const char *message) { put_event(x, NULL, openai_error(500, NULL, message, NULL)); }
static void text_ping(exchange *x) { buf_str(&x->out, ": still reading\n\n"); }

static json_t *text_whole(exchange *x)
{
    const text_answer *a = x->own;
    json_t *o = base(x), *list = json_array();
    for (int i = 0; i < x->n_choices; i++) {
        choice *c = &x->choices[i];
        buf all = {0};
        if (a->echo && a->prompt) buf_str(&all, a->prompt);
        if (c->text.size) buf_add(&all, c->text.data, c->text.size);
        json_array_append_new(list, json_pack("{s:i,s:o,s:o,s:s}", "index", i, "text", json_stringn(all.data ? all.data : "", all.size), "logprobs",
                                              logprobs(c), "finish_reason", completion_reason(c)));
        buf_free(&all);
    }
    json_object_set_new(o, "choices", list);
    json_object_set_new(o, "usage", openai_usage(x));
    json_object_set_new(o, "timings", completion_timings(&x->choices[0]));
    if (x->choices[0].task->fingerprint[0]) json_object_set_new(o, "fingerprint", json_string(x->choices[0].task->fingerprint));
    return o;
}

static const door text_door = {
    .stream_type = "text/event-stream", .start = text_start, .text = text_text, .finish = text_finish, .end = text_end, .fail = text_fail,
    .ping = text_ping, .whole = text_whole, .error = openai_error,
};

void openai_completions(exchange *x)
{
    text_body b = {.logprobs = -1};
    tok_vec prompt = {0};
    task *tasks[COMPLETION_MAX_N];
    text_answer *own = calloc(1, sizeof *own);
    x->door = &text_door;
    x->own = own;
    x->free_own = free_answer;
    completion_defaults(x->sv, &b.c);
    b.c.max_tokens = 16;
    if (!exchange_params(x, completion_sampling, &b.c) || !exchange_params(x, text_table, &b)) return;
    b.c.n_top = b.logprobs;
    if (own && completion_prompt(x, b.prompt, &prompt) && completion_tasks(x, &b.c, &prompt, false, tasks)) {
        own->usage = json_is_true(json_object_get(b.stream_options, "include_usage"));
        own->echo = b.echo;
        if (json_is_string(b.prompt)) own->prompt = strdup(json_string_value(b.prompt));
        server_id(x->sv, "cmpl-", x->id);
        exchange_submit(x, tasks, b.c.n, NULL);
    }
    tok_vec_free(&prompt);
}
