/* POST /v1/responses: an answer as items: reasoning, message, calls of functions. Nothing is stored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "completion.h"
#include "openai.h"
#include "openai_items.h"
#include "prompt.h"

enum { MAX_TEXT = 1 << 20, MAX_TOP = 20 };

typedef struct items_body {
    completion c;
    const json_t *input, *tools, *tool_choice, *text, *reasoning, *include, *metadata;
    const char *model, *instructions;
    bool parallel_tool_calls, background;
    int top_logprobs;
} items_body;

#define B(field) offsetof(items_body, field)
static const param items_table[] = {
    {"input", PARAM_JSON, B(input), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "a text, or items: messages, calls, their outputs, reasoning"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"instructions", PARAM_TEXT, B(instructions), 0, MAX_TEXT, 0, false, "a system message"},
    {"max_output_tokens", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "tokens of the answer at most"},
    {"top_logprobs", PARAM_INT, B(top_logprobs), 0, MAX_TOP, 0, false, "alternatives of each token, with message.output_text.logprobs included"},
    {"tools", PARAM_JSON, B(tools), 0, 0, JSON_T_ARRAY, false, "functions that the model may call"},
    {"tool_choice", PARAM_JSON, B(tool_choice), 0, 0, JSON_T_STRING | JSON_T_OBJECT, false, "none, auto, required, or a function"},
    {"parallel_tool_calls", PARAM_BOOL, B(parallel_tool_calls), 0, 0, 0, false, "several calls in an answer"},
    {"text", PARAM_JSON, B(text), 0, 0, JSON_T_OBJECT, false, "format: text, json_object or json_schema"},
    {"reasoning", PARAM_JSON, B(reasoning), 0, 0, JSON_T_OBJECT, false, "effort: none, minimal, low, medium, high"},
    {"include", PARAM_JSON, B(include), 0, 0, JSON_T_ARRAY, false, "message.output_text.logprobs"},
    {"metadata", PARAM_JSON, B(metadata), 0, 0, JSON_T_OBJECT, false, "given back"},
    {"background", PARAM_BOOL, B(background), 0, 0, 0, false, "false"},
    PARAM_END,
};
const param *const openai_responses_tables[] = {items_table, completion_sampling, NULL};

/* The item that text is being added to. */
typedef enum item_kind { NO_ITEM, REASONING_ITEM, MESSAGE_ITEM } item_kind;

typedef struct items_answer {
    json_t *request; /* what the answer repeats of it */
    json_t *output;  /* items that are complete */
    json_t *logprobs; /* of the open message */
    item_kind open;
    buf text;        /* of the open item */
    int sequence;
} items_answer;

static void free_answer(void *p)
{
    items_answer *a = p;
    if (!a) return;
    json_decref(a->request);
    json_decref(a->output);
    json_decref(a->logprobs);
    buf_free(&a->text);
    free(a);
}

/* ---- items ---- */

static json_t *item_id(const exchange *x, const char *prefix, size_t no)
{
    return json_sprintf("%s_%s_%zu", prefix, x->id + strlen("resp_"), no);
}

static json_t *text_part(item_kind kind, const char *text, size_t n, json_t *logprobs)
{
    if (kind == REASONING_ITEM) return json_pack("{s:s,s:o}", "type", "reasoning_text", "text", json_stringn(text, n));
    return json_pack("{s:s,s:o,s:[],s:o}", "type", "output_text", "text", json_stringn(text, n), "annotations", "logprobs",
                     logprobs ? json_incref(logprobs) : json_array());
}

/* part NULL: the item has just begun. */
static json_t *text_item(const exchange *x, item_kind kind, size_t no, json_t *part, const char *status)
{
    json_t *content = part ? json_pack("[o]", part) : json_array();
    if (kind == REASONING_ITEM)
        return json_pack("{s:s,s:o,s:[],s:o,s:s}", "type", "reasoning", "id", item_id(x, "rs", no), "summary", "content", content, "status", status);
    return json_pack("{s:s,s:o,s:s,s:s,s:o}", "type", "message", "id", item_id(x, "msg", no), "status", status, "role", "assistant", "content",
                     content);
}

static json_t *call_item(const exchange *x, size_t no, int call, const char *name, const char *arguments, const char *status)
{
    json_t *id = json_sprintf("call_%s_%d", x->id + strlen("resp_"), call);
    return json_pack("{s:s,s:o,s:o,s:s,s:s,s:s}", "type", "function_call", "id", item_id(x, "fc", no), "call_id", id, "name", name, "arguments",
                     arguments, "status", status);
}

static json_t *usage_of(const exchange *x)
{
    completion_usage u = completion_usage_of(x);
    return json_pack("{s:i,s:{s:i},s:i,s:{s:i},s:i}", "input_tokens", u.prompt, "input_tokens_details", "cached_tokens", u.cached, "output_tokens",
                     u.answer, "output_tokens_details", "reasoning_tokens", u.reasoning, "total_tokens", u.prompt + u.answer);
}

/* The response as it stands: ended with usage, or in progress. */
static json_t *response(exchange *x, const char *status)
{
    const items_answer *a = x->own;
    bool ended = strcmp(status, "in_progress") != 0, cut = strcmp(status, "incomplete") == 0;
    json_t *o = json_pack("{s:s,s:s,s:I,s:s,s:s,s:n,s:o,s:O,s:o}", "id", x->id, "object", "response", "created_at", (json_int_t)x->created, "status",
                          status, "model", server_model_name(x->sv), "error", "incomplete_details",
                          cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null(), "output", a->output, "usage",
                          ended ? usage_of(x) : json_null());
    json_object_update(o, a->request);
    json_object_set_new(o, "system_fingerprint", json_string(x->fingerprint));
    if (ended) openai_extras(x, o);
    return o;
}

/* ---- events ---- */

static void event(exchange *x, const char *type, json_t *data)
{
    items_answer *a = x->own;
    json_object_set_new(data, "type", json_string(type));
    json_object_set_new(data, "sequence_number", json_integer(a->sequence++));
    put_event(x, type, data);
}

static json_t *place(const exchange *x, const char *prefix, bool part)
{
    const items_answer *a = x->own;
    size_t no = json_array_size(a->output);
    json_t *o = json_pack("{s:o,s:I}", "item_id", item_id(x, prefix, no), "output_index", (json_int_t)no);
    if (part) json_object_set_new(o, "content_index", json_integer(0));
    return o;
}

static void item_event(exchange *x, const char *type, json_t *item)
{
    const items_answer *a = x->own;
    event(x, type, json_pack("{s:I,s:o}", "output_index", (json_int_t)json_array_size(a->output), "item", item));
}

static const char *prefix_of(item_kind k) { return k == REASONING_ITEM ? "rs" : "msg"; }

static void open_item(exchange *x, item_kind kind)
{
    items_answer *a = x->own;
    a->open = kind;
    buf_clear(&a->text);
    json_decref(a->logprobs);
    a->logprobs = json_array();
    if (!x->stream) return;
    item_event(x, "response.output_item.added", text_item(x, kind, json_array_size(a->output), NULL, "in_progress"));
    json_t *o = place(x, prefix_of(kind), true);
    json_object_set_new(o, "part", text_part(kind, "", 0, NULL));
    event(x, "response.content_part.added", o);
}

/* Complete: it goes into the output. */
static void close_item(exchange *x, const char *status)
{
    items_answer *a = x->own;
    item_kind kind = a->open;
    if (kind == NO_ITEM) return;
    const char *text = a->text.data ? a->text.data : "";
    json_t *part = text_part(kind, text, a->text.size, a->logprobs);
    if (x->stream) {
        json_t *o = place(x, prefix_of(kind), true);
        json_object_set_new(o, "text", json_stringn(text, a->text.size));
        if (kind == MESSAGE_ITEM) json_object_set(o, "logprobs", a->logprobs);
        event(x, kind == REASONING_ITEM ? "response.reasoning_text.done" : "response.output_text.done", o);
        o = place(x, prefix_of(kind), true);
        json_object_set(o, "part", part);
        event(x, "response.content_part.done", o);
    }
    json_t *item = text_item(x, kind, json_array_size(a->output), part, status);
    if (x->stream) item_event(x, "response.output_item.done", json_incref(item));
    json_array_append_new(a->output, item);
    a->open = NO_ITEM;
}

static void add_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    items_answer *a = x->own;
    item_kind wanted = kind == ANSWER_REASONING ? REASONING_ITEM : MESSAGE_ITEM;
    if (a->open != wanted) {
        close_item(x, "completed");
        open_item(x, wanted);
    }
    buf_add(&a->text, text, n);
    json_t *logprobs = wanted == MESSAGE_ITEM ? openai_tokens(c) : NULL;
    if (!logprobs) logprobs = json_array();
    if (wanted == MESSAGE_ITEM) json_array_extend(a->logprobs, logprobs);
    if (x->stream) {
        json_t *o = place(x, prefix_of(wanted), true);
        json_object_set_new(o, "delta", json_stringn(text, n));
        if (wanted == MESSAGE_ITEM) json_object_set(o, "logprobs", logprobs);
        event(x, wanted == REASONING_ITEM ? "response.reasoning_text.delta" : "response.output_text.delta", o);
    }
    json_decref(logprobs);
}

/* ---- calls ---- */

static void begin_call(exchange *x, choice *c, int no, const char *name)
{
    const items_answer *a = x->own;
    (void)c;
    close_item(x, "completed");
    item_event(x, "response.output_item.added", call_item(x, json_array_size(a->output), no, name, "", "in_progress"));
}

static void add_arguments(exchange *x, choice *c, int no, const char *text, size_t n)
{
    json_t *o = place(x, "fc", false);
    (void)c, (void)no;
    json_object_set_new(o, "delta", json_stringn(text, n));
    event(x, "response.function_call_arguments.delta", o);
}

/* Complete, or cut off: it goes into the output. */
static void end_call(exchange *x, choice *c, int no, const json_t *call)
{
    items_answer *a = x->own;
    json_t *name = json_object_get(call, "name"), *arguments = json_object_get(call, "arguments");
    bool whole = json_is_true(json_object_get(call, "whole"));
    (void)c;
    close_item(x, "completed");
    if (x->stream) {
        json_t *o = place(x, "fc", false);
        json_object_set(o, "name", name);
        json_object_set(o, "arguments", arguments);
        event(x, "response.function_call_arguments.done", o);
    }
    json_t *item = call_item(x, json_array_size(a->output), no, json_string_value(name), json_string_value(arguments),
                             whole ? "completed" : "incomplete");
    if (x->stream) item_event(x, "response.output_item.done", json_incref(item));
    json_array_append_new(a->output, item);
}

static void items_start(exchange *x)
{
    event(x, "response.created", json_pack("{s:o}", "response", response(x, "in_progress")));
    event(x, "response.in_progress", json_pack("{s:o}", "response", response(x, "in_progress")));
}

static const char *status_of(const choice *c) { return c->state == TASK_LENGTH ? "incomplete" : "completed"; }

static void items_finish(exchange *x, choice *c)
{
    items_answer *a = x->own;
    if (a->open == NO_ITEM && json_array_size(a->output) == 0) open_item(x, MESSAGE_ITEM);
    close_item(x, status_of(c));
}

static void items_end(exchange *x)
{
    const char *status = status_of(&x->choices[0]);
    event(x, strcmp(status, "completed") == 0 ? "response.completed" : "response.incomplete", json_pack("{s:o}", "response", response(x, status)));
}

static void items_fail(exchange *x, const char *message)
{
    json_t *o = response(x, "failed");
    json_object_set_new(o, "error", json_pack("{s:s,s:s}", "code", "server_error", "message", message));
    event(x, "response.failed", json_pack("{s:o}", "response", o));
}

/* The same items from an answer that was not streamed. */
static json_t *items_whole(exchange *x)
{
    choice *c = &x->choices[0];
    size_t i;
    const json_t *call;
    if (c->reasoning.size) add_text(x, c, ANSWER_REASONING, c->reasoning.data, c->reasoning.size);
    if (c->text.size) add_text(x, c, ANSWER_TEXT, c->text.data, c->text.size);
    json_array_foreach(c->calls, i, call) end_call(x, c, (int)i, call);
    items_finish(x, c);
    return response(x, status_of(c));
}

static const door items_door = {
    .stream_type = "text/event-stream", .start = items_start, .text = add_text, .call = begin_call, .arguments = add_arguments,
    .call_end = end_call, .finish = items_finish, .end = items_end, .fail = items_fail, .ping = openai_ping, .whole = items_whole, .error = openai_error,
};

/* ---- the request ---- */

static const completion_refusal refused[] = {
    {"previous_response_id", "is not supported: nothing is stored; send the items again"},
    {"conversation", "is not supported: nothing is stored"}, {"prompt", "is not supported: nothing is stored"},
    {"background", "is not supported"},
    {NULL, NULL},
};

static bool includes(const json_t *list, const char *what)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (s && strcmp(s, what) == 0) return true;
    }
    return false;
}

/* What the answer repeats. */
static json_t *repeated(const items_body *b, const char *effort)
{
    json_t *format = json_object_get(b->text, "format"), *none = NULL;
    const json_t *tools = b->tools ? b->tools : (none = json_array());
    json_t *o = json_pack("{s:s?,s:O,s:o,s:b,s:f,s:f,s:o,s:O?,s:o,s:{s:s?,s:n},s:s,s:b,s:b,s:n}", "instructions", b->instructions, "tools", tools,
                          "tool_choice", b->tool_choice ? json_deep_copy(b->tool_choice) : json_string("auto"), "parallel_tool_calls",
                          b->parallel_tool_calls, "temperature", (double)b->c.sampling.temp, "top_p", (double)b->c.sampling.top_p,
                          "max_output_tokens", b->c.max_tokens >= 0 ? json_integer(b->c.max_tokens) : json_null(), "metadata", b->metadata, "text",
                          json_pack("{s:o}", "format", format ? json_deep_copy(format) : json_pack("{s:s}", "type", "text")), "reasoning", "effort",
                          effort, "summary", "truncation", "disabled", "store", 0, "background", 0, "previous_response_id");
    json_decref(none);
    return o;
}

static bool read_body(exchange *x, items_body *b)
{
    const json_t *schema;
    completion_defaults(x->sv, &b->c);
    if (completion_refuses(x, refused)) return false;
    if (!exchange_params(x, completion_sampling, &b->c) || !exchange_params(x, items_table, b)) return false;
    if (includes(b->include, "message.output_text.logprobs")) b->c.n_top = b->top_logprobs;
    b->c.schema_field = "text.format";
    if (!openai_format(x, json_object_get(b->text, "format"), "text.format", &schema)) return false;
    if (schema) b->c.json_schema = schema;
    return true;
}

void openai_responses(exchange *x)
{
    items_body b = {.parallel_tool_calls = true};
    tok_vec prompt = {0};
    task *j[1];
    exchange_chat chat;
    items_answer *own = calloc(1, sizeof *own);
    x->door = &items_door;
    x->own = own;
    x->free_own = free_answer;
    if (!own || !(own->output = json_array())) {
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    if (!read_body(x, &b)) return;
    prompt_request r = {.tool_choice = b.tool_choice, .one_call = !b.parallel_tool_calls,
                        .effort = json_string_value(json_object_get(b.reasoning, "effort"))};
    own->request = repeated(&b, r.effort);
    r.messages = openai_messages_of_items(x, b.instructions, b.input);
    if (r.messages && openai_tools_of_items(x, b.tools, &r.tools) && prompt_make(x, &r, &b.c, &prompt, &chat) &&
        completion_tasks(x, &b.c, &prompt, true, j)) {
        server_id(x->sv, "resp_", x->id);
        exchange_submit(x, j, 1, &chat);
    }
    tok_vec_free(&prompt);
}
