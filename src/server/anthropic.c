/* POST /v1/messages and /v1/messages/count_tokens: the request, and the answer as a message or as its events. */
#include "anthropic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"

#define B(field) offsetof(anthropic_body, field)
static const param most_table[] = {
    {"max_tokens", PARAM_INT, B(c.max_tokens), 1, INT32_MAX, 0, true, "tokens of the answer at most"},
    {"stop_sequences", PARAM_JSON, B(c.stop), 0, 0, JSON_T_ARRAY, false, "texts that end the answer"},
    {"metadata", PARAM_JSON, B(metadata), 0, 0, JSON_T_OBJECT, false, "nothing is made of it"},
    {"output_format", PARAM_JSON, B(format), 0, 0, JSON_T_OBJECT, false, "json_schema with a schema that the text must match"},
    {"output_config", PARAM_JSON, B(output), 0, 0, JSON_T_OBJECT, false, "the same as its format, and the effort of reasoning"},
    PARAM_END,
};
static const param chat_table[] = {
    {"messages", PARAM_JSON, B(messages), 0, 0, JSON_T_ARRAY, true, "the conversation"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"system", PARAM_JSON, B(system), 0, 0, JSON_T_STRING | JSON_T_ARRAY, false, "a text or text blocks"},
    {"tools", PARAM_JSON, B(tools), 0, 0, JSON_T_ARRAY, false, "that the model may use"},
    {"tool_choice", PARAM_JSON, B(tool_choice), 0, 0, JSON_T_OBJECT, false, "auto, none, any, or a tool by its name"},
    {"thinking", PARAM_JSON, B(thinking), 0, 0, JSON_T_OBJECT, false, "enabled or disabled, where the model's template has it"},
    PARAM_END,
};
const param *const anthropic_messages_tables[] = {chat_table, most_table, completion_sampling, NULL};
const param *const anthropic_count_tables[] = {chat_table, NULL};

typedef struct message {
    anthropic_chat chat;
    int block;      /* index of the open block, or of the next one */
    char open;      /* 0: none, 't'ext, 'r'easoning */
} message;

static void free_message(void *p)
{
    message *m = p;
    if (m) anthropic_chat_free(&m->chat);
    free(m);
}

json_t *anthropic_error(int status, const char *type, const char *text, const char *field)
{
    static const struct {
        int status;
        const char *type;
    } types[] = {{400, "invalid_request_error"}, {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"},
                 {405, "not_found_error"},       {413, "request_too_large"},    {429, "rate_limit_error"}, {503, "overloaded_error"}};
    const char *name = "api_error";
    (void)type, (void)field;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].status == status) name = types[i].type;
    return json_pack("{s:s,s:{s:s,s:s}}", "type", "error", "error", "type", name, "message", text);
}

const door anthropic_door = {.stream_type = "text/event-stream", .error = anthropic_error};

/* ---- the answer ---- */

static json_t *usage(const exchange *x, int output)
{
    completion_usage u = completion_usage_of(x);
    int prompt = (int)x->choices[0].task->prompt.n; /* also before it has begun */
    return json_pack("{s:i,s:i,s:i,s:i}", "input_tokens", prompt - u.cached, "cache_creation_input_tokens", 0, "cache_read_input_tokens", u.cached,
                     "output_tokens", output < 0 ? u.answer : output);
}

static const char *stop_reason(const choice *c)
{
    const task *j = c->task; /* it has ended */
    if (c->state == TASK_LENGTH)
        return j->p.max_tokens >= 0 && (int)j->n_tokens >= j->p.max_tokens ? "max_tokens" : "model_context_window_exceeded";
    if (json_array_size(c->calls)) return "tool_use";
    return c->state == TASK_STOP_WORD ? "stop_sequence" : "end_turn";
}

static const char *stop_word(const choice *c) { return c->state == TASK_STOP_WORD ? c->task->p.stop[c->task->stop_word] : NULL; }

static void event(exchange *x, const char *type, json_t *rest)
{
    json_t *o = json_pack("{s:s}", "type", type);
    if (rest) json_object_update(o, rest);
    json_decref(rest);
    put_event(x, type, o);
}

static void message_start(exchange *x)
{
    event(x, "message_start", json_pack("{s:{s:s,s:s,s:s,s:[],s:s,s:n,s:n,s:o}}", "message", "id", x->id, "type", "message", "role", "assistant",
                                        "content", "model", server_model_name(x->sv), "stop_reason", "stop_sequence", "usage", usage(x, 0)));
}

static void delta(exchange *x, json_t *what) { event(x, "content_block_delta", json_pack("{s:i,s:o}", "index", ((message *)x->own)->block, "delta", what)); }

static void close_block(exchange *x)
{
    message *m = x->own;
    if (!m->open) return;
    if (m->open == 'r') delta(x, json_pack("{s:s,s:s}", "type", "signature_delta", "signature", ""));
    event(x, "content_block_stop", json_pack("{s:i}", "index", m->block));
    m->open = 0;
    m->block++;
}

static void open_block(exchange *x, char kind, json_t *block)
{
    message *m = x->own;
    event(x, "content_block_start", json_pack("{s:i,s:o}", "index", m->block, "content_block", block));
    m->open = kind;
}

static void message_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    message *m = x->own;
    bool thinks = kind == ANSWER_REASONING;
    char wanted = thinks ? 'r' : 't';
    (void)c;
    if (m->open != wanted) {
        close_block(x);
        open_block(x, wanted, thinks ? json_pack("{s:s,s:s,s:s}", "type", "thinking", "thinking", "", "signature", "")
                                     : json_pack("{s:s,s:s}", "type", "text", "text", ""));
    }
    delta(x, json_pack("{s:s,s:o}", "type", thinks ? "thinking_delta" : "text_delta", thinks ? "thinking" : "text", json_stringn(text, n)));
}

static json_t *tool_use(const exchange *x, int no, const char *name, json_t *input)
{
    char id[96];
    snprintf(id, sizeof id, "toolu_%s_%d", x->id + strlen("msg_"), no);
    return json_pack("{s:s,s:s,s:s,s:o}", "type", "tool_use", "id", id, "name", name, "input", input);
}

static void message_call(exchange *x, choice *c, int no, const char *name)
{
    (void)c;
    close_block(x);
    open_block(x, 'c', tool_use(x, no, name, json_object()));
}

static void message_arguments(exchange *x, choice *c, int no, const char *text, size_t n)
{
    (void)c, (void)no;
    delta(x, json_pack("{s:s,s:o}", "type", "input_json_delta", "partial_json", json_stringn(text, n)));
}

static void message_call_end(exchange *x, choice *c, int no, const json_t *call)
{
    (void)c, (void)no, (void)call;
    close_block(x);
}

static void message_finish(exchange *x, choice *c)
{
    close_block(x);
    event(x, "message_delta", json_pack("{s:{s:s,s:s?},s:o}", "delta", "stop_reason", stop_reason(c), "stop_sequence", stop_word(c), "usage", usage(x, -1)));
}

static void message_end(exchange *x) { event(x, "message_stop", NULL); }
static void message_ping(exchange *x) { event(x, "ping", NULL); }
static void message_fail(exchange *x, const char *text) { put_event(x, "error", anthropic_error(500, NULL, text, NULL)); }

static json_t *content_of(const exchange *x, const choice *c)
{
    json_t *list = json_array();
    if (c->reasoning.size)
        json_array_append_new(list, json_pack("{s:s,s:o,s:s}", "type", "thinking", "thinking", json_stringn(c->reasoning.data, c->reasoning.size),
                                              "signature", ""));
    if (c->text.size) json_array_append_new(list, json_pack("{s:s,s:o}", "type", "text", "text", json_stringn(c->text.data, c->text.size)));
    for (size_t i = 0; i < json_array_size(c->calls); i++) {
        const json_t *call = json_array_get(c->calls, i);
        json_array_append_new(list, tool_use(x, (int)i, json_string_value(json_object_get(call, "name")), completion_arguments(call)));
    }
    return list;
}

static json_t *message_whole(exchange *x)
{
    const choice *c = &x->choices[0];
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s?,s:o}", "id", x->id, "type", "message", "role", "assistant", "model",
                          server_model_name(x->sv), "content", content_of(x, c), "stop_reason", stop_reason(c), "stop_sequence", stop_word(c), "usage",
                          usage(x, -1));
    if (c->task->fingerprint[0]) json_object_set_new(o, "fingerprint", json_string(c->task->fingerprint));
    return o;
}

static const door message_door = {
    .stream_type = "text/event-stream", .start = message_start, .text = message_text, .call = message_call, .arguments = message_arguments,
    .call_end = message_call_end, .finish = message_finish, .end = message_end, .fail = message_fail, .ping = message_ping, .whole = message_whole, .error = anthropic_error,
};

/* ---- the request ---- */

static bool read_format(exchange *x, anthropic_body *b)
{
    const json_t *f = b->format ? b->format : json_object_get(b->output, "format");
    const char *type = json_string_value(json_object_get(f, "type")), *field = b->format ? "output_format" : "output_config";
    if (!f || json_is_null(f)) return true;
    b->c.json_schema = json_object_get(f, "schema");
    if (type && strcmp(type, "json_schema") == 0 && json_is_object(b->c.json_schema)) return true;
    reply_error(x, 400, NULL, "'output_format' must have the type json_schema and a schema", field);
    return false;
}

/* The tokens of the conversation, and of what the answer begins with. */
static bool make_prompt(exchange *x, const anthropic_chat *c, completion *to, tok_vec *prompt, exchange_chat *chat)
{
    const char *effort = json_string_value(json_object_get(json_object_get(x->json, "output_config"), "effort"));
    if (effort && strcmp(effort, "max") == 0) effort = "xhigh";
    const prompt_request r = {.messages = c->messages, .tools = json_array_size(c->tools) ? c->tools : NULL, .tool_choice = c->tool_choice,
                   .one_call = c->one_call, .effort = effort, .variables = c->variables};
    if (!prompt_make(x, &r, to, prompt, chat)) return false;
    return !c->prefill || completion_mixed(x, c->prefill, "messages", 0, prompt);
}

void anthropic_messages(exchange *x)
{
    anthropic_body b = {0};
    tok_vec prompt = {0};
    task *one;
    exchange_chat chat;
    message *own = calloc(1, sizeof *own);
    x->door = &message_door;
    x->own = own;
    x->free_own = free_message;
    completion_defaults(x->sv, &b.c);
    if (!exchange_params(x, completion_sampling, &b.c) || !exchange_params(x, chat_table, &b) || !exchange_params(x, most_table, &b)) return;
    if (own && read_format(x, &b) && anthropic_chat_of(x, &b, &own->chat) && make_prompt(x, &own->chat, &b.c, &prompt, &chat) &&
        completion_tasks(x, &b.c, &prompt, true, &one)) {
        server_id(x->sv, "msg_", x->id);
        exchange_submit(x, &one, 1, &chat);
    }
    if (!own) reply_error(x, 500, NULL, "out of memory", NULL);
    tok_vec_free(&prompt);
}

void anthropic_count_tokens(exchange *x)
{
    anthropic_body b = {0};
    tok_vec prompt = {0};
    exchange_chat chat;
    anthropic_chat c = {0};
    x->door = &anthropic_door;
    completion_defaults(x->sv, &b.c);
    if (exchange_params(x, chat_table, &b) && anthropic_chat_of(x, &b, &c) && make_prompt(x, &c, &b.c, &prompt, &chat))
        reply_json(x, 200, json_pack("{s:I}", "input_tokens", (json_int_t)prompt.n));
    anthropic_chat_free(&c);
    tok_vec_free(&prompt);
}
