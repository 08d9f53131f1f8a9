#include "openai_items.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static bool bad_item(exchange *x, size_t i, const char *what)
{
    char message[200];
    snprintf(message, sizeof message, "'input[%zu]' %s", i, what);
    reply_error(x, 400, NULL, message, "input");
    return false;
}

/* What an assistant message before it lacks is put into it: calls follow the message, or stand alone. */
static json_t *last_assistant(json_t *messages, bool fresh)
{
    json_t *m = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = text_of(m, "role");
    bool open = role && strcmp(role, "assistant") == 0 && (!fresh || !json_object_get(m, "content"));
    if (open) return m;
    m = json_pack("{s:s}", "role", "assistant");
    json_array_append_new(messages, m);
    return m;
}

static bool add_call(exchange *x, size_t i, const json_t *item, json_t *messages)
{
    const char *name = text_of(item, "name"), *arguments = text_of(item, "arguments"), *id = text_of(item, "call_id");
    if (!name || !arguments || !id) return bad_item(x, i, "must have a call_id, a name and arguments");
    json_t *m = last_assistant(messages, false), *calls = json_object_get(m, "tool_calls");
    if (!calls) json_object_set_new(m, "tool_calls", calls = json_array());
    json_array_append_new(calls, json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function", "function", "name", name, "arguments", arguments));
    return true;
}

static bool add_result(exchange *x, size_t i, const json_t *item, json_t *messages)
{
    const char *id = text_of(item, "call_id");
    json_t *output = json_object_get(item, "output");
    if (!id || !(json_is_string(output) || json_is_array(output))) return bad_item(x, i, "must have a call_id and an output");
    json_array_append_new(messages, json_pack("{s:s,s:s,s:O}", "role", "tool", "tool_call_id", id, "content", output));
    return true;
}

/* Reasoning belongs to the answer that follows. */
static bool add_reasoning(const json_t *item, json_t *messages)
{
    buf b = {0};
    const json_t *parts = json_object_get(item, "content");
    for (size_t k = 0; k < json_array_size(parts); k++) {
        const char *text = text_of(json_array_get(parts, k), "text");
        if (text) buf_str(&b, text);
    }
    if (b.size) json_object_set_new(last_assistant(messages, true), "reasoning_content", json_stringn(b.data, b.size));
    buf_free(&b);
    return true;
}

static bool add_message(exchange *x, size_t i, const json_t *item, json_t *messages)
{
    const char *role = text_of(item, "role");
    json_t *content = json_object_get(item, "content");
    if (!role || !(json_is_string(content) || json_is_array(content))) return bad_item(x, i, "must have a role and a content");
    if (strcmp(role, "assistant") == 0)
        json_object_set(last_assistant(messages, true), "content", content);
    else
        json_array_append_new(messages, json_pack("{s:s,s:O}", "role", role, "content", content));
    return true;
}

static bool add_item(exchange *x, size_t i, const json_t *item, json_t *messages)
{
    const char *type = text_of(item, "type");
    if (!json_is_object(item)) return bad_item(x, i, "must be an object");
    if (!type || strcmp(type, "message") == 0) return add_message(x, i, item, messages);
    if (strcmp(type, "function_call") == 0) return add_call(x, i, item, messages);
    if (strcmp(type, "function_call_output") == 0) return add_result(x, i, item, messages);
    if (strcmp(type, "reasoning") == 0) return add_reasoning(item, messages);
    return bad_item(x, i, "is of a type that is not supported: message, function_call, function_call_output and reasoning are");
}

const json_t *openai_messages_of_items(exchange *x, const char *instructions, const json_t *input)
{
    json_t *messages = json_array();
    exchange_keep(x, messages);
    if (instructions && *instructions) json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "system", "content", instructions));
    if (json_is_string(input)) json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "user", "content", input));
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!add_item(x, i, json_array_get(input, i), messages)) return NULL;
    if (json_is_array(input) && json_array_size(input) == 0) {
        reply_error(x, 400, NULL, "'input' must not be empty", "input");
        return NULL;
    }
    return messages;
}

bool openai_tools_of_items(exchange *x, const json_t *from, const json_t **tools)
{
    *tools = NULL;
    if (json_array_size(from) == 0) return true;
    json_t *list = json_array();
    exchange_keep(x, list);
    for (size_t i = 0; i < json_array_size(from); i++) {
        static const char *const keys[] = {"name", "description", "parameters", "strict"};
        const json_t *t = json_array_get(from, i);
        const char *type = text_of(t, "type");
        char message[120];
        if (!type || strcmp(type, "function") != 0) {
            snprintf(message, sizeof message, "tools/%zu/type must be function: this server has no tools of its own", i);
            reply_error(x, 400, NULL, message, "tools");
            return false;
        }
        json_t *f = json_object();
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            json_t *v = json_object_get(t, keys[k]);
            if (v && !json_is_null(v)) json_object_set(f, keys[k], v);
        }
        json_array_append_new(list, json_pack("{s:s,s:o}", "type", "function", "function", f));
    }
    *tools = list;
    return true;
}
