/* From Anthropic's messages, content blocks and tools to those of chat templates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anthropic.h"

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static bool is_type(const json_t *block, const char *type)
{
    const char *t = text_of(block, "type");
    return t && strcmp(t, type) == 0;
}

/* A turn while its blocks are read: its text, what the assistant thought and called, what tools answered. */
typedef struct turn {
    buf text, thinking;
    bool has_text;
    json_t *calls, *results;
} turn;

static void add_text(buf *b, const json_t *text, bool more)
{
    if (more && b->size) buf_char(b, '\n');
    buf_add(b, json_string_value(text), json_string_length(text));
}

static json_t *string_of(const buf *b) { return json_stringn(b->data ? b->data : "", b->size); }

/* The text of a string or of text blocks; false where there are others. */
static bool plain(const json_t *content, buf *out)
{
    if (!content || json_is_null(content)) return true;
    if (json_is_string(content)) add_text(out, content, false);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i), *text = json_object_get(block, "text");
        if (!is_type(block, "text") || !json_is_string(text)) return false;
        add_text(out, text, i > 0);
    }
    return json_is_string(content) || json_is_array(content);
}

static bool tool_result(exchange *x, const json_t *block, turn *t)
{
    buf text = {0};
    bool ok = text_of(block, "tool_use_id") && plain(json_object_get(block, "content"), &text);
    if (ok)
        json_array_append_new(t->results, json_pack("{s:s,s:O,s:o}", "role", "tool", "tool_call_id", json_object_get(block, "tool_use_id"), "content",
                                                    string_of(&text)));
    buf_free(&text);
    return ok ? true : refuse(x, "messages", "'messages': a tool_result wants a tool_use_id, and text as its content");
}

static bool tool_use(exchange *x, const json_t *block, turn *t)
{
    const json_t *input = json_object_get(block, "input");
    if (!text_of(block, "id") || !text_of(block, "name") || !json_is_object(input))
        return refuse(x, "messages", "'messages': a tool_use wants an id, a name and an input that is an object");
    char *arguments = json_dumps(input, JSON_COMPACT);
    json_array_append_new(t->calls, json_pack("{s:O,s:s,s:{s:O,s:s}}", "id", json_object_get(block, "id"), "type", "function", "function", "name",
                                              json_object_get(block, "name"), "arguments", arguments ? arguments : "{}"));
    free(arguments);
    return true;
}

static bool read_block(exchange *x, const json_t *block, bool assistant, turn *t)
{
    const json_t *text = json_object_get(block, "text"), *thought = json_object_get(block, "thinking");
    const json_t *source = json_object_get(block, "source"), *data = json_object_get(source, "data");
    if (is_type(block, "text") && json_is_string(text)) {
        add_text(&t->text, text, t->has_text);
        return t->has_text = true;
    }
    if (!assistant && is_type(block, "document") && is_type(source, "text") && json_is_string(data)) {
        add_text(&t->text, data, t->has_text);
        return t->has_text = true;
    }
    if (!assistant && is_type(block, "tool_result")) return tool_result(x, block, t);
    if (assistant && is_type(block, "tool_use")) return tool_use(x, block, t);
    if (assistant && is_type(block, "thinking") && json_is_string(thought)) {
        add_text(&t->thinking, thought, true);
        return true;
    }
    if (assistant && is_type(block, "redacted_thinking")) return true;
    return refuse(x, "messages", "'messages' must hold blocks of text, tool_use, tool_result and thinking: this server takes no images or files");
}

static bool read_turn(exchange *x, const json_t *m, bool assistant, turn *t)
{
    const json_t *content = json_object_get(m, "content");
    if (json_is_string(content)) {
        add_text(&t->text, content, false);
        return t->has_text = true;
    }
    if (!json_is_array(content)) return refuse(x, "messages", "'messages' must have a content: a text or a list of blocks");
    for (size_t i = 0; i < json_array_size(content); i++)
        if (!read_block(x, json_array_get(content, i), assistant, t)) return false;
    return true;
}

static void put_turn(const turn *t, bool assistant, json_t *to)
{
    json_array_extend(to, t->results);
    if (!assistant) {
        if (t->has_text || json_array_size(t->results) == 0) json_array_append_new(to, json_pack("{s:s,s:o}", "role", "user", "content", string_of(&t->text)));
        return;
    }
    json_t *m = json_pack("{s:s,s:o}", "role", "assistant", "content", string_of(&t->text));
    if (t->thinking.size) json_object_set_new(m, "reasoning_content", string_of(&t->thinking));
    if (json_array_size(t->calls)) json_object_set(m, "tool_calls", t->calls);
    json_array_append_new(to, m);
}

static bool add_message(exchange *x, const json_t *m, json_t *to)
{
    const char *role = text_of(m, "role");
    bool assistant = role && strcmp(role, "assistant") == 0;
    if (!role || (!assistant && strcmp(role, "user") != 0)) return refuse(x, "messages", "'messages' must have the role user or assistant");
    turn t = {.calls = json_array(), .results = json_array()};
    bool ok = read_turn(x, m, assistant, &t);
    if (ok) put_turn(&t, assistant, to);
    buf_free(&t.text);
    buf_free(&t.thinking);
    json_decref(t.calls);
    json_decref(t.results);
    return ok;
}

static bool add_system(exchange *x, const json_t *system, json_t *to)
{
    buf text = {0};
    bool ok = plain(system, &text);
    if (ok && text.size) json_array_append_new(to, json_pack("{s:s,s:o}", "role", "system", "content", string_of(&text)));
    buf_free(&text);
    return ok ? true : refuse(x, "system", "'system' must be a text or a list of text blocks");
}

/* An assistant's text at the end is the beginning of the answer. */
static void take_prefill(anthropic_chat *c)
{
    size_t n = json_array_size(c->messages);
    json_t *last = n > 1 ? json_array_get(c->messages, n - 1) : NULL, *text = json_object_get(last, "content");
    if (!last || strcmp(text_of(last, "role"), "assistant") != 0 || json_object_get(last, "tool_calls")) return;
    c->prefill = json_incref(text);
    json_array_remove(c->messages, n - 1);
}

static bool read_tools(exchange *x, const json_t *from, json_t *to)
{
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *t = json_array_get(from, i), *type = json_object_get(t, "type");
        const char *kind = json_string_value(type);
        if (!text_of(t, "name") || !json_is_object(json_object_get(t, "input_schema")) || (kind && strcmp(kind, "custom") != 0))
            return refuse(x, "tools", "'tools' must have a name and an input_schema: tools that the server runs are not known");
        json_t *f = json_pack("{s:O,s:O}", "name", json_object_get(t, "name"), "parameters", json_object_get(t, "input_schema"));
        json_object_set_new(f, "description", json_string(text_of(t, "description") ? text_of(t, "description") : ""));
        if (json_is_true(json_object_get(t, "strict"))) json_object_set_new(f, "strict", json_true());
        json_array_append_new(to, json_pack("{s:s,s:o}", "type", "function", "function", f));
    }
    return true;
}

static bool read_choice(exchange *x, const json_t *from, anthropic_chat *c)
{
    if (!from) return true;
    c->one_call = json_is_true(json_object_get(from, "disable_parallel_tool_use"));
    if (is_type(from, "auto") || is_type(from, "none"))
        c->tool_choice = json_string(text_of(from, "type"));
    else if (is_type(from, "any"))
        c->tool_choice = json_string("required");
    else if (is_type(from, "tool") && text_of(from, "name"))
        c->tool_choice = json_pack("{s:s,s:{s:O}}", "type", "function", "function", "name", json_object_get(from, "name"));
    else
        return refuse(x, "tool_choice", "'tool_choice' must have the type auto, any, none, or tool with a name");
    return true;
}

static bool read_thinking(exchange *x, const json_t *from, json_t *variables)
{
    if (!from) return true;
    bool on = is_type(from, "enabled") || is_type(from, "adaptive") || is_type(from, "between_tools");
    if (!on && !is_type(from, "disabled")) return refuse(x, "thinking", "'thinking' must have the type enabled, adaptive or disabled");
    json_object_set_new(variables, "enable_thinking", json_boolean(on));
    json_object_set_new(variables, "thinking", json_boolean(on));
    return true;
}

bool anthropic_chat_of(exchange *x, const anthropic_body *b, anthropic_chat *out)
{
    *out = (anthropic_chat){.messages = json_array(), .tools = json_array(), .variables = json_object()};
    if (json_array_size(b->messages) == 0) return refuse(x, "messages", "'messages' must not be empty");
    if (!add_system(x, b->system, out->messages)) return false;
    for (size_t i = 0; i < json_array_size(b->messages); i++)
        if (!add_message(x, json_array_get(b->messages, i), out->messages)) return false;
    take_prefill(out);
    return read_tools(x, b->tools, out->tools) && read_choice(x, b->tool_choice, out) && read_thinking(x, b->thinking, out->variables);
}

void anthropic_chat_free(anthropic_chat *c)
{
    json_decref(c->messages);
    json_decref(c->tools);
    json_decref(c->tool_choice);
    json_decref(c->variables);
    json_decref((json_t *)(uintptr_t)c->prefill);
    *c = (anthropic_chat){0};
}
