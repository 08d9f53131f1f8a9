#include "chat.h"

#include <stdlib.h>
#include <string.h>

struct chat_template {
    jinja *t;
    const tokenizer *tok;
    bool is_default;
};

/* ChatML, which most models understand somewhat. */
static const char chatml[] =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

tawny_status chat_open(const tokenizer *tok, const char *source, size_t n, chat_template **out, tawny_error *err)
{
    *out = NULL;
    chat_template *t = calloc(1, sizeof *t);
    if (!t) return err_nomem(err);
    t->tok = tok;
    if (!source && tok) source = tok_chat_template(tok, NULL, &n);
    if (!source) {
        t->is_default = true;
        source = chatml;
        n = sizeof chatml - 1;
    }
    tawny_status st = jinja_parse(source, n, &t->t, err);
    if (st != TAWNY_OK) {
        free(t);
        return st;
    }
    *out = t;
    return TAWNY_OK;
}

void chat_close(chat_template *t)
{
    if (!t) return;
    jinja_free(t->t);
    free(t);
}

bool chat_is_default(const chat_template *t) { return t->is_default; }

unsigned chat_wants(const chat_template *t)
{
    unsigned w = jinja_mentions(t->t, "tools") ? CHAT_TOOLS : 0;
    if (jinja_mentions(t->t, "enable_thinking") || jinja_mentions(t->t, "thinking")) w |= CHAT_THINKING;
    if (jinja_mentions(t->t, "reasoning_effort")) w |= CHAT_EFFORT;
    return w;
}

/* ---- messages, as templates expect them ---- */

/* json_object_set_new, with the failure of json_copy and its like passed on. */
static bool put(json_t *o, const char *key, json_t *v) { return json_object_set_new(o, key, v) == 0; }

static bool text_parts(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *part = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        bool text = !type || strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0 ||
            strcmp(type, "output_text") == 0;
        if (!text || !json_is_string(json_object_get(part, "text"))) return false;
    }
    return true;
}

static json_t *join_parts(const json_t *list)
{
    buf b = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_object_get(json_array_get(list, i), "text");
        if (i) buf_char(&b, '\n');
        buf_add(&b, json_string_value(text), json_string_length(text));
    }
    json_t *s = buf_ok(&b) ? json_stringn_nocheck(b.data ? b.data : "", b.size) : NULL;
    buf_free(&b);
    return s;
}

/* A tool call with its arguments as an object, where they were JSON in a string. */
static json_t *with_arguments(const json_t *call)
{
    json_t *copy = json_deep_copy(call), *f = json_object_get(copy, "function");
    json_t *holder = f ? f : copy, *a = json_object_get(holder, "arguments");
    if (!json_is_string(a)) return copy;
    json_t *parsed = json_loadb(json_string_value(a), json_string_length(a), JSON_ALLOW_NUL, NULL);
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        return copy;
    }
    if (put(holder, "arguments", parsed)) return copy;
    json_decref(copy);
    return NULL;
}

static json_t *tool_calls(const json_t *list)
{
    json_t *calls = json_array();
    for (size_t i = 0; calls && i < json_array_size(list); i++) {
        if (json_array_append_new(calls, with_arguments(json_array_get(list, i))) == 0) continue;
        json_decref(calls);
        calls = NULL;
    }
    return calls;
}

static bool role_is(const json_t *message, const char *role)
{
    const char *r = json_string_value(json_object_get(message, "role"));
    return r && strcmp(r, role) == 0;
}

static json_t *normal_message(const chat_template *t, const json_t *from)
{
    json_t *m = json_copy((json_t *)(uintptr_t)from);
    const json_t *content = json_object_get(from, "content"), *calls = json_object_get(from, "tool_calls");
    bool ok = m != NULL;
    if (ok && (!content || json_is_null(content))) ok = put(m, "content", json_string(""));
    if (ok && json_is_array(content) && text_parts(content)) ok = put(m, "content", join_parts(content));
    if (ok && json_is_array(calls) && json_array_size(calls)) ok = put(m, "tool_calls", tool_calls(calls));
    if (ok && json_is_array(calls) && !json_array_size(calls)) json_object_del(m, "tool_calls");
    if (ok && json_is_null(calls)) json_object_del(m, "tool_calls");
    if (ok && role_is(from, "developer") && !jinja_mentions(t->t, "developer"))
        ok = put(m, "role", json_string("system"));
    if (ok) return m;
    json_decref(m);
    return NULL;
}

static tawny_status normal_messages(const chat_template *t, const json_t *from, json_t **out, tawny_error *err)
{
    *out = NULL;
    if (!json_is_array(from)) return err_set(err, TAWNY_E_ARG, "messages must be an array");
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *m = json_array_get(from, i);
        if (!json_is_string(json_object_get(m, "role"))) {
            json_decref(list);
            return err_set(err, TAWNY_E_ARG, "messages[%zu] must be an object with a role", i);
        }
        if (json_array_append_new(list, normal_message(t, m)) != 0) {
            json_decref(list);
            return err_nomem(err);
        }
    }
    *out = list;
    return list ? TAWNY_OK : err_nomem(err);
}

/* For templates that refuse a system message: its text goes before that of the first user message. false: nothing to
 * do. */
static bool fold_system(json_t *messages)
{
    json_t *system = json_array_get(messages, 0), *user = NULL;
    if (!role_is(system, "system")) return false;
    for (size_t i = 1; i < json_array_size(messages) && !user; i++)
        if (role_is(json_array_get(messages, i), "user")) user = json_array_get(messages, i);
    json_t *a = json_object_get(system, "content"), *b = json_object_get(user, "content");
    if (!json_is_string(a) || !json_is_string(b)) return false;
    buf text = {0};
    buf_add(&text, json_string_value(a), json_string_length(a));
    buf_str(&text, "\n\n");
    buf_add(&text, json_string_value(b), json_string_length(b));
    bool ok = buf_ok(&text) && put(user, "content", json_stringn_nocheck(text.data, text.size));
    buf_free(&text);
    return ok && json_array_remove(messages, 0) == 0;
}

/* ---- the context ---- */

static bool put_token(json_t *context, const char *name, const tokenizer *tok, tok_special which)
{
    size_t n = 0;
    tawny_token id = tok ? tok_special_id(tok, which) : TOK_NONE;
    const char *text = id == TOK_NONE ? NULL : tok_text(tok, id, &n);
    return put(context, name, text ? json_stringn_nocheck(text, n) : json_string(""));
}

static json_t *make_context(const chat_template *t, const chat_request *r, json_t *messages)
{
    json_t *c = json_object();
    bool ok = c && put_token(c, "bos_token", t->tok, TOK_BOS) && put_token(c, "eos_token", t->tok, TOK_EOS) &&
              put(c, "add_generation_prompt", json_boolean(!r->no_generation_prompt));
    for (size_t i = 0; ok && i < 2; i++) { /* these are not there where the model has none */
        tok_special which = i ? TOK_UNK : TOK_PAD;
        if (t->tok && tok_special_id(t->tok, which) != TOK_NONE)
            ok = put_token(c, i ? "unk_token" : "pad_token", t->tok, which);
    }
    bool tools = json_is_array(r->tools) && json_array_size(r->tools);
    if (ok) ok = put(c, "tools", tools ? json_incref((json_t *)(uintptr_t)r->tools) : json_null());
    if (ok) ok = put(c, "documents", json_null());
    if (ok && r->thinking >= 0)
        ok = put(c, "enable_thinking", json_boolean(r->thinking)) && put(c, "thinking", json_boolean(r->thinking));
    if (ok && json_is_object(r->extra)) ok = json_object_update(c, (json_t *)(uintptr_t)r->extra) == 0;
    if (ok) ok = json_object_set(c, "messages", messages) == 0;
    if (ok) return c;
    json_decref(c);
    return NULL;
}

static bool trust(const char *key, const char *text, size_t n)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython",
        "model",
        "environment", "observation", "tool_response", "latest_reminder", NULL};
    if (strcmp(key, "role") != 0) return false;
    for (size_t i = 0; roles[i]; i++)
        if (strlen(roles[i]) == n && memcmp(roles[i], text, n) == 0) return true;
    return false;
}

static tawny_status render_once(const chat_template *t, const chat_request *r, json_t *messages, jinja_output *out,
                                tawny_error *err)
{
    /* trusted unless the request brings its own */
    static const char *const names[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    const char *trusted[5] = {0};
    for (size_t i = 0, n = 0; i < 4; i++)
        if (!json_object_get(r->extra, names[i])) trusted[n++] = names[i];
    jinja_options opt = {.now = r->now, .trusted = trusted, .trust = trust};
    json_t *context = make_context(t, r, messages);
    if (!context) return err_nomem(err);
    tawny_status st = jinja_render(t->t, context, &opt, out, err);
    json_decref(context);
    return st;
}

tawny_status chat_render(const chat_template *t, const chat_request *r, jinja_output *out, tawny_error *err)
{
    json_t *messages;
    tawny_error second;
    *out = (jinja_output){0};
    tawny_status st = normal_messages(t, r->messages, &messages, err);
    if (st != TAWNY_OK) return st;
    st = render_once(t, r, messages, out, err);
    if (st == TAWNY_E_ARG && fold_system(messages) && render_once(t, r, messages, out, &second) == TAWNY_OK)
        st = TAWNY_OK;
    json_decref(messages);
    return st;
}

/* ---- tokens ---- */

static bool ends_in_thought(const jinja_output *text)
{
    static const char open[] = "<think>";
    size_t n = text->n, k = sizeof open - 1;
    while (n && strchr(" \t\r\n", text->text[n - 1])) n--;
    return n >= k && memcmp(text->text + n - k, open, k) == 0;
}

static tawny_status encode(const chat_template *t, const jinja_output *text, tok_vec *out, tawny_error *err)
{
    tok_segment *segments = calloc(text->n_segments + 1, sizeof *segments);
    if (!segments) return err_nomem(err);
    for (size_t i = 0; i < text->n_segments; i++) {
        const jinja_segment *s = &text->segments[i];
        segments[i] = (tok_segment){text->text + s->start, s->n, s->trusted};
    }
    tok_vec body = {0};
    tawny_status st = tok_encode_segments(t->tok, segments, text->n_segments, 0, &body, err);
    tawny_token bos = tok_special_id(t->tok, TOK_BOS);
    bool wants_bos = tok_add_bos(t->tok) && bos != TOK_NONE && (body.n == 0 || body.v[0] != bos);
    size_t before = out->n;
    if (st == TAWNY_OK && wants_bos && !tok_vec_add(out, bos)) st = err_nomem(err);
    for (size_t i = 0; st == TAWNY_OK && i < body.n; i++)
        if (!tok_vec_add(out, body.v[i])) st = err_nomem(err);
    if (st != TAWNY_OK) out->n = before;
    tok_vec_free(&body);
    free(segments);
    return st;
}

tawny_status chat_prompt(const chat_template *t, const chat_request *r, tok_vec *out, bool *thinks, tawny_error *err)
{
    jinja_output text;
    if (!t->tok) return err_set(err, TAWNY_E_ARG, "a prompt needs a tokenizer");
    tawny_status st = chat_render(t, r, &text, err);
    if (st != TAWNY_OK) return st;
    if (thinks) *thinks = ends_in_thought(&text);
    st = encode(t, &text, out, err);
    jinja_output_free(&text);
    return st;
}
