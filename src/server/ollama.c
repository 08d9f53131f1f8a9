/* Ollama's /api/chat and /api/generate: a JSON object a line. */
#include "ollama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"

typedef struct ollama_body {
    completion c; /* first: tables of completions read into it */
    const json_t *messages, *tools, *format, *options, *keep_alive, *think, *images, *context;
    const char *model, *prompt, *suffix, *system, *template;
    bool raw, logprobs;
    int top_logprobs;
} ollama_body;

enum { MOST_PROMPT = 1 << 30, MOST_TOP = 20 };

#define B(field) offsetof(ollama_body, field)
#define C(field) offsetof(completion, field)
static const param common_table[] = {
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"stream", PARAM_BOOL, B(c.stream), 0, 0, 0, false, "send the answer as it comes (default: true)"},
    {"format", PARAM_JSON, B(format), 0, 0, JSON_T_STRING | JSON_T_OBJECT, false, "json, or a schema that the answer must match"},
    {"options", PARAM_JSON, B(options), 0, 0, JSON_T_OBJECT, false, "of sampling: temperature, seed, num_predict, stop, ..."},
    {"think", PARAM_JSON, B(think), 0, 0, JSON_T_BOOL | JSON_T_STRING, false, "whether the model thinks first, or how much: low, medium, high"},
    {"logprobs", PARAM_BOOL, B(logprobs), 0, 0, 0, false, "log probabilities of the tokens"},
    {"top_logprobs", PARAM_INT, B(top_logprobs), 0, MOST_TOP, 0, false, "and of so many alternatives"},
    {"keep_alive", PARAM_JSON, B(keep_alive), 0, 0, JSON_T_STRING | JSON_T_NUMBER, false, "nothing is made of it: the model stays"},
    PARAM_END,
};
static const param chat_table[] = {
    {"messages", PARAM_JSON, B(messages), 0, 0, JSON_T_ARRAY, true, "the conversation"},
    {"tools", PARAM_JSON, B(tools), 0, 0, JSON_T_ARRAY, false, "functions that the model may call"},
    PARAM_END,
};
static const param generate_table[] = {
    {"prompt", PARAM_TEXT, B(prompt), 0, MOST_PROMPT, 0, false, "the text to answer; without one, nothing is computed"},
    {"system", PARAM_TEXT, B(system), 0, MOST_PROMPT, 0, false, "a system message"},
    {"raw", PARAM_BOOL, B(raw), 0, 0, 0, false, "the prompt as it stands, without the model's template"},
    {"suffix", PARAM_TEXT, B(suffix), 0, MOST_PROMPT, 0, false, "must be empty: /infill fills gaps"},
    {"template", PARAM_TEXT, B(template), 0, MOST_PROMPT, 0, false, "must be empty: the template is the model's"},
    {"images", PARAM_JSON, B(images), 0, 0, JSON_T_ARRAY, false, "must be empty"},
    {"context", PARAM_JSON, B(context), 0, 0, JSON_T_ARRAY, false, "must be empty: /api/chat takes conversations"},
    PARAM_END,
};
/* Of "options", beside those of sampling. Others are about hardware and loading, and change no answer. */
static const param option_table[] = {
    {"num_predict", PARAM_INT, C(max_tokens), -2, INT32_MAX, 0, false, NULL},
    PARAM_END,
};
const param *const ollama_chat_tables[] = {chat_table, common_table, NULL};
const param *const ollama_generate_tables[] = {generate_table, common_table, NULL};

typedef struct ollama_answer {
    json_t *messages, *tools, *variables, *schema;
    bool chat;
} ollama_answer;

static void free_answer(void *p)
{
    ollama_answer *a = p;
    if (!a) return;
    json_decref(a->messages);
    json_decref(a->tools);
    json_decref(a->variables);
    json_decref(a->schema);
    free(a);
}

/* ---- the answer ---- */

static json_t *base(const exchange *x, bool done)
{
    return json_pack("{s:s,s:o,s:b}", "model", server_model_name(x->sv), "created_at", ollama_time(0), "done", done);
}

/* Those that no line carried yet. */
static void set_logprobs(json_t *o, choice *c)
{
    if (!json_array_size(c->tokens)) return;
    json_object_set_new(o, "logprobs", c->tokens);
    c->tokens = json_array();
}

/* {"message": {...}}, or {"response", "thinking"}. Takes text and thinking, which may be NULL, and calls. */
static void set_content(const exchange *x, json_t *o, json_t *text, json_t *thinking, json_t *calls)
{
    const ollama_answer *a = x->own;
    json_t *to = a->chat ? json_pack("{s:s}", "role", "assistant") : json_incref(o);
    json_object_set_new(to, a->chat ? "content" : "response", text ? text : json_string(""));
    if (thinking) json_object_set_new(to, "thinking", thinking);
    if (calls) json_object_set_new(to, "tool_calls", calls);
    if (a->chat) json_object_set_new(o, "message", to);
    else json_decref(to);
}

static void set_end(json_t *o, choice *c)
{
    set_logprobs(o, c);
    const task *j = c->task; /* it has ended */
    const task_phases ms = task_phases_of(j);
    json_object_set_new(o, "done_reason", json_string(c->state == TASK_LENGTH ? "length" : "stop"));
    json_object_set_new(o, "total_duration", json_integer((json_int_t)((j->times.ended - j->times.queued) * 1e6)));
    json_object_set_new(o, "load_duration", json_integer(0));
    json_object_set_new(o, "prompt_eval_count", json_integer(j->n_prompt));
    json_object_set_new(o, "prompt_eval_duration", json_integer((json_int_t)(ms.prompt * 1e6)));
    json_object_set_new(o, "eval_count", json_integer((json_int_t)j->n_tokens));
    json_object_set_new(o, "eval_duration", json_integer((json_int_t)(ms.answer * 1e6)));
}

static void answer_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    json_t *o = base(x, false), *s = json_stringn(text, n);
    set_logprobs(o, c);
    set_content(x, o, kind == ANSWER_TEXT ? s : NULL, kind == ANSWER_REASONING ? s : NULL, NULL);
    put_line(x, o);
}

static json_t *call_json(const json_t *call)
{
    return json_pack("{s:{s:O,s:o}}", "function", "name", json_object_get(call, "name"), "arguments", completion_arguments(call));
}

/* Arguments are objects here: a call comes in one piece, and not at all where they have no end. */
static bool complete(const json_t *call) { return json_is_true(json_object_get(call, "whole")); }

static void answer_call(exchange *x, choice *c, int no, const json_t *call)
{
    if (!complete(call)) return;
    json_t *o = base(x, false), *out = call_json(call);
    (void)c;
    json_object_set_new(json_object_get(out, "function"), "index", json_integer(no));
    set_content(x, o, NULL, NULL, json_pack("[o]", out));
    put_line(x, o);
}

static void answer_finish(exchange *x, choice *c)
{
    json_t *o = base(x, true);
    set_content(x, o, NULL, NULL, NULL);
    set_end(o, c);
    put_line(x, o);
}

static void answer_done(exchange *x) { (void)x; }
static void answer_fail(exchange *x, const char *message) { put_line(x, ollama_error(500, NULL, message, NULL)); }

static json_t *answer_whole(exchange *x)
{
    choice *c = &x->choices[0];
    json_t *o = base(x, true), *calls = NULL;
    for (size_t i = 0; i < json_array_size(c->calls); i++) {
        const json_t *call = json_array_get(c->calls, i);
        if (!calls) calls = json_array();
        if (complete(call)) json_array_append_new(calls, call_json(call));
    }
    set_content(x, o, json_stringn(c->text.data ? c->text.data : "", c->text.size),
                c->reasoning.size ? json_stringn(c->reasoning.data, c->reasoning.size) : NULL, calls);
    set_end(o, c);
    return o;
}

static const door answer_door = {
    .stream_type = "application/x-ndjson", .text = answer_text, .call_end = answer_call, .finish = answer_finish, .end = answer_done,
    .fail = answer_fail, .whole = answer_whole, .error = ollama_error,
};

/* ---- the request ---- */

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

static bool read_format(exchange *x, ollama_body *b, ollama_answer *own)
{
    const char *name = json_string_value(b->format);
    if (json_is_object(b->format)) b->c.json_schema = b->format;
    if (!name || !*name) return true;
    if (strcmp(name, "json") != 0) return refuse(x, "format", "'format' must be json, or a schema");
    b->c.json_schema = own->schema = json_pack("{s:s,s:b}", "type", "object", "additionalProperties", 1);
    return true;
}

static bool read_options(exchange *x, ollama_body *b)
{
    char field[64];
    tawny_error err;
    if (!b->options) return true;
    tawny_status st = params_read(b->options, completion_sampling, &b->c, field, &err);
    if (st == TAWNY_OK) st = params_read(b->options, option_table, &b->c, field, &err);
    if (st != TAWNY_OK) reply_status(x, &err, "options");
    if (b->c.max_tokens < -1) b->c.max_tokens = -1;
    return st == TAWNY_OK;
}

/* true, false, or an effort. */
static bool read_think(exchange *x, const json_t *think, json_t *variables)
{
    const char *effort = json_string_value(think);
    if (!think) return true;
    if (effort && strcmp(effort, "low") != 0 && strcmp(effort, "medium") != 0 && strcmp(effort, "high") != 0)
        return refuse(x, "think", "'think' must be true, false, low, medium or high");
    json_object_set_new(variables, "enable_thinking", json_boolean(effort || json_is_true(think)));
    json_object_set_new(variables, "thinking", json_boolean(effort || json_is_true(think)));
    if (effort) json_object_set_new(variables, "reasoning_effort", json_string(effort));
    return true;
}

static bool read_common(exchange *x, ollama_body *b, ollama_answer *own)
{
    completion_defaults(x->sv, &b->c);
    b->c.stream = true;
    if (!exchange_params(x, common_table, b)) return false;
    b->c.n_top = b->logprobs ? b->top_logprobs : -1;
    return read_format(x, b, own) && read_options(x, b) && read_think(x, b->think, own->variables);
}

static ollama_answer *new_answer(exchange *x, bool chat)
{
    ollama_answer *own = calloc(1, sizeof *own);
    x->door = &answer_door;
    x->own = own;
    x->free_own = free_answer;
    if (!own || !(own->messages = json_array()) || !(own->variables = json_object())) {
        reply_error(x, 500, NULL, "out of memory", NULL);
        return NULL;
    }
    own->chat = chat;
    return own;
}

static void submit(exchange *x, const ollama_body *b, const tok_vec *prompt, const exchange_chat *chat)
{
    task *one;
    if (completion_tasks(x, &b->c, prompt, chat != NULL, &one)) exchange_submit(x, &one, 1, chat);
}

static void submit_chat(exchange *x, ollama_body *b, const ollama_answer *own)
{
    const prompt_request a = {.messages = own->messages, .tools = json_array_size(own->tools) ? own->tools : NULL, .variables = own->variables};
    exchange_chat chat;
    tok_vec prompt = {0};
    if (prompt_make(x, &a, &b->c, &prompt, &chat)) submit(x, b, &prompt, &chat);
    tok_vec_free(&prompt);
}

/* Arguments are objects here; calls have no ids. */
static bool add_message(exchange *x, const json_t *m, json_t *to)
{
    const json_t *content = json_object_get(m, "content"), *calls = json_object_get(m, "tool_calls"), *thinking = json_object_get(m, "thinking");
    const char *role = json_string_value(json_object_get(m, "role")), *tool = json_string_value(json_object_get(m, "tool_name"));
    if (!role) return refuse(x, "messages", "'messages' must be objects with a role");
    if (content && !json_is_null(content) && !json_is_string(content)) return refuse(x, "messages", "'messages' must have texts as their content");
    if (json_array_size(json_object_get(m, "images"))) return refuse(x, "messages", "'messages': this server takes no images");
    json_t *out = json_pack("{s:s,s:O}", "role", role, "content", json_is_string(content) ? content : json_string("")), *list = json_array();
    for (size_t i = 0; i < json_array_size(calls); i++) {
        char id[32];
        const json_t *f = json_object_get(json_array_get(calls, i), "function"), *arguments = json_object_get(f, "arguments");
        const char *name = json_string_value(json_object_get(f, "name"));
        snprintf(id, sizeof id, "call_%zu", i);
        if (name)
            json_array_append_new(list, json_pack("{s:s,s:s,s:{s:s,s:o}}", "id", id, "type", "function", "function", "name", name, "arguments",
                                                  json_is_object(arguments) ? json_deep_copy(arguments) : json_object()));
    }
    bool ok = json_array_size(list) == json_array_size(calls);
    if (json_array_size(list)) json_object_set(out, "tool_calls", list);
    if (json_is_string(thinking)) json_object_set_new(out, "reasoning_content", json_deep_copy(thinking));
    if (tool) json_object_set_new(out, "name", json_string(tool));
    json_decref(list);
    json_array_append_new(to, out);
    return ok ? true : refuse(x, "messages", "'messages' must have tool_calls of functions with a name");
}

void ollama_chat(exchange *x)
{
    ollama_body b = {0};
    ollama_answer *own = new_answer(x, true);
    if (!own || !read_common(x, &b, own) || !exchange_params(x, chat_table, &b)) return;
    for (size_t i = 0; i < json_array_size(b.messages); i++)
        if (!add_message(x, json_array_get(b.messages, i), own->messages)) return;
    own->tools = json_incref((json_t *)(uintptr_t)b.tools);
    if (json_array_size(own->messages))
        submit_chat(x, &b, own);
    else
        refuse(x, "messages", "'messages' must not be empty");
}

/* Clients ask for nothing in order to have the model loaded. */
static void loaded(exchange *x)
{
    json_t *o = base(x, true);
    json_object_set_new(o, "response", json_string(""));
    json_object_set_new(o, "done_reason", json_string("load"));
    reply_json(x, 200, o);
}

void ollama_generate(exchange *x)
{
    ollama_body b = {0};
    tok_vec prompt = {0};
    ollama_answer *own = new_answer(x, false);
    if (!own || !read_common(x, &b, own) || !exchange_params(x, generate_table, &b)) return;
    if (b.suffix && *b.suffix) refuse(x, "suffix", "'suffix' must be empty: /infill fills gaps");
    else if (b.template && *b.template) refuse(x, "template", "'template' must be empty: the template is the model's");
    else if (json_array_size(b.images)) refuse(x, "images", "'images' must be empty: this server takes no images");
    else if (json_array_size(b.context)) refuse(x, "context", "'context' must be empty: /api/chat takes conversations");
    else if (!b.prompt || !*b.prompt) loaded(x);
    else if (b.raw) {
        json_t *text = json_string(b.prompt);
        if (completion_prompt(x, text, &prompt)) submit(x, &b, &prompt, NULL);
        json_decref(text);
    } else {
        if (b.system && *b.system) json_array_append_new(own->messages, json_pack("{s:s,s:s}", "role", "system", "content", b.system));
        json_array_append_new(own->messages, json_pack("{s:s,s:s}", "role", "user", "content", b.prompt));
        submit_chat(x, &b, own);
    }
    tok_vec_free(&prompt);
}
