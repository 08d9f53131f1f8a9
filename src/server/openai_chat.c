/* POST /v1/chat/completions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "completion.h"
#include "openai.h"
#include "prompt.h"

enum { MAX_TEXT = 64, MAX_TOP = 20 };

typedef struct chat_body {
    completion c; /* first: tables of completions read into it */
    const json_t *messages, *tools, *tool_choice, *response_format, *stream_options, *template_kwargs;
    const char *effort, *model;
    bool logprobs, parallel_tool_calls, timings_each;
    int top_logprobs, max_completion_tokens;
} chat_body;

#define B(field) offsetof(chat_body, field)
static const param chat_table[] = {
    {"messages", PARAM_JSON, B(messages), 0, 0, JSON_T_ARRAY, true, "the conversation"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"max_tokens", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "tokens of the answer at most"},
    {"max_completion_tokens", PARAM_INT, B(max_completion_tokens), -1, INT32_MAX, 0, false, "the same, by its newer name"},
    {"n", PARAM_INT, B(c.n), 1, COMPLETION_MAX_N, 0, false, "answers"},
    {"logprobs", PARAM_BOOL, B(logprobs), 0, 0, 0, false, "log probabilities of the tokens"},
    {"top_logprobs", PARAM_INT, B(top_logprobs), 0, MAX_TOP, 0, false, "and of so many alternatives"},
    {"tools", PARAM_JSON, B(tools), 0, 0, JSON_T_ARRAY, false, "functions that the model may call"},
    {"tool_choice", PARAM_JSON, B(tool_choice), 0, 0, JSON_T_STRING | JSON_T_OBJECT, false, "none, auto, required, or a function"},
    {"parallel_tool_calls", PARAM_BOOL, B(parallel_tool_calls), 0, 0, 0, false, "several calls in an answer"},
    {"response_format", PARAM_JSON, B(response_format), 0, 0, JSON_T_OBJECT, false, "text, json_object or json_schema"},
    {"stream_options", PARAM_JSON, B(stream_options), 0, 0, JSON_T_OBJECT, false, "include_usage"},
    {"timings_per_token", PARAM_BOOL, B(timings_each), 0, 0, 0, false, "timings with each piece of a stream"},
    {"reasoning_effort", PARAM_TEXT, B(effort), 0, MAX_TEXT, 0, false, "none, minimal, low, medium, high: as the model's template has it"},
    {"chat_template_kwargs", PARAM_JSON, B(template_kwargs), 0, 0, JSON_T_OBJECT, false, "further variables of the template"},
    PARAM_END,
};
const param *const openai_chat_tables[] = {chat_table, completion_sampling, NULL};

/* What chunks of an answer repeat. */
typedef struct chat_answer {
    bool usage, timings_each;
} chat_answer;

/* ---- the answer ---- */

/* {"content": [...], "refusal": null}, or null where there is none (or, in a stream, nothing new). */
static json_t *logprobs_of(choice *c)
{
    json_t *list = openai_tokens(c);
    if (list && (!c->x->stream || json_array_size(list))) return json_pack("{s:o,s:n}", "content", list, "refusal");
    json_decref(list);
    return json_null();
}

static void chunk(exchange *x, const choice *c, json_t *delta, json_t *logprobs, const char *reason)
{
    const chat_answer *a = x->own;
    json_t *o = openai_base(x, "chat.completion.chunk");
    json_object_set_new(o, "choices", json_pack("[{s:i,s:o,s:o,s:s?}]", "index", c->index, "delta", delta, "logprobs", logprobs, "finish_reason", reason));
    if (a->usage) json_object_set_new(o, "usage", json_null());
    if (a->timings_each) json_object_set_new(o, "timings", completion_timings(c));
    put_event(x, NULL, o);
}

static void chat_start(exchange *x)
{
    for (int i = 0; i < x->n_choices; i++)
        chunk(x, &x->choices[i], json_pack("{s:s,s:s,s:n}", "role", "assistant", "content", "", "refusal"), json_null(), NULL);
}

static void chat_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    const char *key = kind == ANSWER_REASONING ? "reasoning_content" : "content";
    chunk(x, c, json_pack("{s:o}", key, json_stringn(text, n)), logprobs_of(c), NULL);
}

/* "call_" and as many letters as make it unlike all others of this server. */
static json_t *call_json(const exchange *x, const choice *c, int no, const char *name, const char *arguments)
{
    char id[96];
    snprintf(id, sizeof id, "call_%s_%d_%d", x->id + strlen("chatcmpl-"), c->index, no);
    return json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function", "function", "name", name, "arguments", arguments);
}

/* The name first, then the arguments as they come. */
static void chat_call(exchange *x, choice *c, int no, const char *name)
{
    json_t *call = call_json(x, c, no, name, "");
    json_object_set_new(call, "index", json_integer(no));
    chunk(x, c, json_pack("{s:[o]}", "tool_calls", call), logprobs_of(c), NULL);
}

static void chat_arguments(exchange *x, choice *c, int no, const char *text, size_t n)
{
    json_t *delta = json_pack("{s:[{s:i,s:{s:o}}]}", "tool_calls", "index", no, "function", "arguments", json_stringn(text, n));
    chunk(x, c, delta, logprobs_of(c), NULL);
}

static void chat_finish(exchange *x, choice *c) { chunk(x, c, json_object(), logprobs_of(c), completion_reason(c)); }

static void chat_end(exchange *x)
{
    const chat_answer *a = x->own;
    if (a->usage) {
        json_t *o = openai_base(x, "chat.completion.chunk");
        json_object_set_new(o, "choices", json_array());
        json_object_set_new(o, "usage", openai_usage(x));
        openai_extras(x, o);
        put_event(x, NULL, o);
    }
    openai_end(x);
}

static json_t *message_of(const exchange *x, const choice *c)
{
    size_t calls = json_array_size(c->calls);
    json_t *m = json_pack("{s:s,s:o,s:n}", "role", "assistant", "content",
                          c->text.size || !calls ? json_stringn(c->text.data ? c->text.data : "", c->text.size) : json_null(), "refusal");
    if (c->reasoning.size) json_object_set_new(m, "reasoning_content", json_stringn(c->reasoning.data, c->reasoning.size));
    if (!calls) return m;
    json_t *list = json_array();
    for (size_t i = 0; i < calls; i++) {
        const json_t *call = json_array_get(c->calls, i);
        json_array_append_new(list, call_json(x, c, (int)i, json_string_value(json_object_get(call, "name")),
                                              json_string_value(json_object_get(call, "arguments"))));
    }
    json_object_set_new(m, "tool_calls", list);
    return m;
}

static json_t *chat_whole(exchange *x)
{
    json_t *o = openai_base(x, "chat.completion"), *list = json_array();
    for (int i = 0; i < x->n_choices; i++) {
        choice *c = &x->choices[i];
        json_array_append_new(list, json_pack("{s:i,s:o,s:o,s:s}", "index", i, "message", message_of(x, c), "logprobs", logprobs_of(c),
                                              "finish_reason", completion_reason(c)));
    }
    json_object_set_new(o, "choices", list);
    json_object_set_new(o, "usage", openai_usage(x));
    openai_extras(x, o);
    return o;
}

static const door chat_door = {
    .stream_type = "text/event-stream", .start = chat_start, .text = chat_text, .call = chat_call, .arguments = chat_arguments, .finish = chat_finish, .end = chat_end,
    .fail = openai_fail, .ping = openai_ping, .whole = chat_whole, .error = openai_error,
};

/* ---- the request ---- */

static const completion_refusal refused[] = {
    {"functions", "is not supported: 'tools' has taken its place"}, {"function_call", "is not supported: 'tool_choice' has taken its place"},
    {"audio", "is not supported: this server gives texts alone"}, {"web_search_options", "is not supported: this server reaches nothing"},
    {NULL, NULL},
};

static bool text_alone(exchange *x, const json_t *modalities)
{
    for (size_t i = 0; i < json_array_size(modalities); i++) {
        const char *m = json_string_value(json_array_get(modalities, i));
        if (!m || strcmp(m, "text") != 0) {
            reply_error(x, 400, NULL, "'modalities' must be text alone", "modalities");
            return false;
        }
    }
    return true;
}

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

static bool read_body(exchange *x, chat_body *b)
{
    completion_defaults(x->sv, &b->c);
    b->max_completion_tokens = -2;
    if (completion_refuses(x, refused) || !text_alone(x, json_object_get(x->json, "modalities"))) return false;
    if (!exchange_params(x, completion_sampling, &b->c) || !exchange_params(x, chat_table, b)) return false;
    if (b->max_completion_tokens != -2) b->c.max_tokens = b->max_completion_tokens;
    if (json_object_get(x->json, "top_logprobs") && !json_is_null(json_object_get(x->json, "top_logprobs")) && !b->logprobs)
        return refuse(x, "top_logprobs", "'top_logprobs' wants 'logprobs'");
    b->c.n_top = b->logprobs ? b->top_logprobs : -1;
    b->c.schema_field = "response_format";
    const json_t *schema;
    if (!openai_format(x, b->response_format, "response_format", &schema)) return false;
    if (schema) b->c.json_schema = schema;
    return true;
}

void openai_chat(exchange *x)
{
    chat_body b = {.parallel_tool_calls = true};
    tok_vec prompt = {0};
    task *tasks[COMPLETION_MAX_N];
    exchange_chat chat;
    chat_answer *own = calloc(1, sizeof *own);
    x->door = &chat_door;
    x->own = own;
    x->free_own = free;
    if (!own) reply_error(x, 500, NULL, "out of memory", NULL);
    if (!own || !read_body(x, &b)) return;
    prompt_request r = {.messages = b.messages, .tools = b.tools, .tool_choice = b.tool_choice, .one_call = !b.parallel_tool_calls,
                        .effort = b.effort, .variables = b.template_kwargs};
    if (prompt_make(x, &r, &b.c, &prompt, &chat) && completion_tasks(x, &b.c, &prompt, true, tasks)) {
        own->usage = json_is_true(json_object_get(b.stream_options, "include_usage"));
        own->timings_each = b.timings_each;
        server_id(x->sv, "chatcmpl-", x->id);
        exchange_submit(x, tasks, b.c.n, &chat);
    }
    tok_vec_free(&prompt);
}
