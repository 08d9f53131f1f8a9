#include "prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

/* ---- messages ---- */

static bool bad_message(exchange *x, size_t i, const char *what)
{
    char message[200];
    snprintf(message, sizeof message, "'messages[%zu]%s", i, what);
    return refuse(x, "messages", message);
}

static bool check_parts(exchange *x, size_t i, const json_t *parts)
{
    for (size_t k = 0; k < json_array_size(parts); k++) {
        static const char *const texts[] = {"text", "input_text", "output_text", "refusal"};
        const json_t *part = json_array_get(parts, k);
        const char *type = text_of(part, "type");
        bool known = false;
        char what[120];
        for (size_t t = 0; type && t < sizeof texts / sizeof *texts; t++) known |= strcmp(type, texts[t]) == 0;
        snprintf(what, sizeof what, ".content[%zu]' must be a part with a text: this server takes no images, sound or files", k);
        if (!known || !text_of(part, strcmp(type, "refusal") == 0 ? "refusal" : "text")) return bad_message(x, i, what);
    }
    return true;
}

static bool check_messages(exchange *x, const json_t *messages)
{
    if (json_array_size(messages) == 0) return refuse(x, "messages", "'messages' must not be empty");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content"), *calls = json_object_get(m, "tool_calls");
        if (!text_of(m, "role")) return bad_message(x, i, "' must be an object with a role");
        if (content && !json_is_null(content) && !json_is_string(content) && !json_is_array(content))
            return bad_message(x, i, ".content' must be a text or a list of parts");
        if (!check_parts(x, i, content)) return false;
        if (calls && !json_is_null(calls) && !json_is_array(calls)) return bad_message(x, i, ".tool_calls' must be a list");
        for (size_t k = 0; k < json_array_size(calls); k++)
            if (!text_of(json_object_get(json_array_get(calls, k), "function"), "name"))
                return bad_message(x, i, ".tool_calls' must be functions with a name");
    }
    return true;
}

/* A part {"type": "refusal"} is text too. */
static json_t *plain_content(const json_t *content)
{
    json_t *list = json_array();
    for (size_t k = 0; k < json_array_size(content); k++) {
        const json_t *part = json_array_get(content, k);
        const char *text = text_of(part, "refusal");
        json_array_append_new(list, json_pack("{s:s,s:O}", "type", "text", "text", json_object_get(part, text ? "refusal" : "text")));
    }
    return list;
}

static json_t *plain_messages(const json_t *messages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m = json_copy(json_array_get(messages, i));
        const json_t *content = json_object_get(m, "content"), *refusal = json_object_get(m, "refusal");
        if (json_is_array(content)) json_object_set_new(m, "content", plain_content(content));
        if ((!content || json_is_null(content)) && json_is_string(refusal)) json_object_set(m, "content", (json_t *)(uintptr_t)refusal);
        json_array_append_new(list, m);
    }
    return list;
}

/* ---- tools where the template knows none: as text, in the form that many models were taught ---- */

static void add_json(buf *b, const json_t *j)
{
    char *text = json_dumps(j, JSON_ENCODE_ANY);
    buf_str(b, text ? text : "null");
    free(text);
}

static void describe_tools(buf *b, const json_t *tools)
{
    buf_str(b, "You may call functions to help with the request. They are, as JSON:\n<tools>\n");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        add_json(b, json_array_get(tools, i));
        buf_char(b, '\n');
    }
    buf_str(b, "</tools>\nFor each call, answer with its name and arguments in this form:\n"
               "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>");
}

static void add_content(buf *b, const json_t *content)
{
    if (json_is_string(content)) buf_add(b, json_string_value(content), json_string_length(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (i) buf_char(b, '\n');
        buf_add(b, json_string_value(text), json_string_length(text));
    }
}

static void add_calls(buf *b, const json_t *calls)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *f = json_object_get(json_array_get(calls, i), "function"), *arguments = json_object_get(f, "arguments");
        buf_str(b, b->size ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
        add_json(b, json_object_get(f, "name"));
        buf_str(b, ", \"arguments\": ");
        if (json_is_string(arguments)) buf_add(b, json_string_value(arguments), json_string_length(arguments));
        else add_json(b, arguments);
        buf_str(b, "}\n</tool_call>");
    }
}

static json_t *string_of(buf *b)
{
    json_t *s = buf_ok(b) ? json_stringn_nocheck(b->data ? b->data : "", b->size) : NULL;
    buf_free(b);
    return s;
}

/* Changes the messages, which are a copy. */
static void tools_as_text(json_t *messages, const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m = json_array_get(messages, i);
        const json_t *calls = json_object_get(m, "tool_calls");
        bool result = strcmp(text_of(m, "role"), "tool") == 0;
        buf b = {0};
        if (!result && json_array_size(calls) == 0) continue;
        if (result) buf_str(&b, "<tool_response>\n");
        add_content(&b, json_object_get(m, "content"));
        if (result) buf_str(&b, "\n</tool_response>");
        add_calls(&b, calls);
        json_object_set_new(m, "content", string_of(&b));
        json_object_del(m, "tool_calls");
        if (result) json_object_set_new(m, "role", json_string("user"));
    }
    if (!tools) return;
    json_t *first = json_array_get(messages, 0);
    bool system = strcmp(text_of(first, "role"), "system") == 0 || strcmp(text_of(first, "role"), "developer") == 0;
    buf b = {0};
    if (system) add_content(&b, json_object_get(first, "content"));
    if (b.size) buf_str(&b, "\n\n");
    describe_tools(&b, tools);
    json_t *text = string_of(&b);
    if (system) json_object_set_new(first, "content", text);
    else json_array_insert_new(messages, 0, json_pack("{s:s,s:o}", "role", "system", "content", text));
}

/* ---- which tools, and whether they must be called ---- */

typedef struct choosing {
    const json_t *tools; /* NULL: none */
    const char *only;
    bool required;
} choosing;

static const char *name_of(const json_t *tool)
{
    const json_t *f = json_object_get(tool, "function");
    return text_of(f ? f : tool, "name");
}

/* {"type": "allowed_tools", "allowed_tools": {"mode", "tools": [...]}} */
static bool allowed_tools(exchange *x, const json_t *how, choosing *c)
{
    const json_t *inner = json_object_get(how, "allowed_tools"), *from = inner ? inner : how, *list = json_object_get(from, "tools");
    const char *mode = text_of(from, "mode");
    json_t *kept = json_array();
    for (size_t i = 0; i < json_array_size(c->tools); i++)
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *a = name_of(json_array_get(c->tools, i)), *b = name_of(json_array_get(list, k));
            if (a && b && strcmp(a, b) == 0 && json_array_append(kept, json_array_get(c->tools, i)) == 0) break;
        }
    exchange_keep(x, kept);
    if (json_array_size(kept) != json_array_size(list) || !json_array_size(kept))
        return refuse(x, "tool_choice", "'tool_choice' must allow functions of 'tools'");
    c->tools = kept;
    c->required = mode && strcmp(mode, "required") == 0;
    return true;
}

static bool choose(exchange *x, const prompt_request *r, choosing *c)
{
    tawny_error err;
    char message[600];
    const char *word = json_string_value(r->tool_choice), *type = text_of(r->tool_choice, "type");
    *c = (choosing){.tools = r->tools && json_array_size(r->tools) ? r->tools : NULL};
    if (r->tools && answer_tools_check(r->tools, &err) != TAWNY_OK) {
        snprintf(message, sizeof message, "tools%s", err.message);
        return refuse(x, "tools", message);
    }
    if (word && strcmp(word, "none") == 0) c->tools = NULL;
    c->required = word && (strcmp(word, "required") == 0 || strcmp(word, "any") == 0);
    if (!r->tool_choice || (word && (c->required || strcmp(word, "none") == 0 || strcmp(word, "auto") == 0)))
        return !c->required || c->tools ? true : refuse(x, "tool_choice", "'tool_choice' requires a call, but there are no 'tools'");
    if (type && strcmp(type, "allowed_tools") == 0) return allowed_tools(x, r->tool_choice, c);
    if (!type || strcmp(type, "function") != 0 || !(c->only = name_of(r->tool_choice)))
        return refuse(x, "tool_choice", "'tool_choice' must be none, auto, required, or name a function");
    for (size_t i = 0; i < json_array_size(c->tools); i++) {
        const char *name = name_of(json_array_get(c->tools, i));
        if (name && strcmp(name, c->only) == 0) c->required = true;
    }
    return c->required ? true : refuse(x, "tool_choice", "'tool_choice' names a function that is not among 'tools'");
}

static bool any_strict(const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *t = json_array_get(tools, i), *f = json_object_get(t, "function");
        if (json_is_true(json_object_get(f ? f : t, "strict"))) return true;
    }
    return false;
}

/* What the answer must be. Where nothing is asked of calls they are left to the model. */
static void ask_of_calls(const prompt_request *r, const choosing *which, completion *c)
{
    bool form = c->frame.style.format != ANSWER_PLAIN && c->frame.style.format != ANSWER_HARMONY;
    bool content = c->json_schema || c->grammar;
    if (c->frame.style.format == ANSWER_PLAIN && !which->required && !any_strict(which->tools)) return;
    if (!which->tools || !(which->required || any_strict(which->tools) || content || (r->one_call && form))) return;
    c->tools = which->tools;
    c->only = which->only;
    c->one_call = r->one_call;
    c->must = which->required ? ANSWER_MUST_CALL : ANSWER_MAY_CALL;
}

/* ---- reasoning ---- */

static bool effort_known(const char *effort)
{
    static const char *const known[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
    for (size_t i = 0; effort && i < sizeof known / sizeof *known; i++)
        if (strcmp(effort, known[i]) == 0) return true;
    return !effort;
}

static json_t *variables_of(const prompt_request *r, int *thinking)
{
    json_t *v = r->variables ? json_copy((json_t *)(uintptr_t)r->variables) : json_object();
    bool none = r->effort && strcmp(r->effort, "none") == 0;
    *thinking = !r->effort || strcmp(r->effort, "minimal") == 0 ? -1 : !none;
    if (json_is_false(json_object_get(v, "enable_thinking"))) *thinking = 0;
    if (r->effort && !none && !json_object_get(v, "reasoning_effort")) json_object_set_new(v, "reasoning_effort", json_string(r->effort));
    return v;
}

bool prompt_make(exchange *x, const prompt_request *r, completion *c, tok_vec *out, exchange_chat *chat)
{
    const server *sv = x->sv;
    tawny_error err;
    choosing which;
    int thinking;
    if (!check_messages(x, r->messages) || !choose(x, r, &which)) return false;
    if (!effort_known(r->effort))
        return refuse(x, "reasoning_effort", "'reasoning_effort' must be none, minimal, low, medium, high or xhigh");
    json_t *messages = plain_messages(r->messages), *variables = variables_of(r, &thinking);
    c->frame = (answer_frame){.style = sv->style, .may_think = thinking != 0};
    if (!(chat_wants(sv->chat) & CHAT_TOOLS)) {
        tools_as_text(messages, which.tools);
        c->frame.style.format = ANSWER_TAGS;
        c->frame.style.variant = CALLS_JSON;
    }
    chat_request q = {.messages = messages, .tools = which.tools, .extra = variables, .thinking = thinking};
    tawny_status st = chat_prompt(sv->chat, &q, out, &c->frame.thinks, &err);
    json_decref(messages);
    json_decref(variables);
    if (st != TAWNY_OK) {
        reply_status(x, &err, "messages");
        return false;
    }
    *chat = (exchange_chat){.tools = which.tools, .thinks = c->frame.thinks, .format = c->frame.style.format};
    ask_of_calls(r, &which, c);
    return true;
}
