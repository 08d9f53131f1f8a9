#include "conversation.h"

#include <stdlib.h>
#include <string.h>

#include "../text/chat.h"

struct conversation {
    chat_template *template;
    json_t *messages; /* the system prompt first, where there is one */
    bool has_system;
};

tawny_status conversation_new(const tokenizer *tok, conversation **out, tawny_error *err)
{
    *out = NULL;
    conversation *c = calloc(1, sizeof *c);
    if (!c) return err_nomem(err);
    c->messages = json_array();
    tawny_status st = c->messages ? chat_open(tok, NULL, 0, &c->template, err) : err_nomem(err);
    if (st == TAWNY_OK) *out = c;
    else conversation_free(c);
    return st;
}

void conversation_free(conversation *c)
{
    if (!c) return;
    chat_close(c->template);
    json_decref(c->messages);
    free(c);
}

bool conversation_is_default(const conversation *c) { return chat_is_default(c->template); }

static json_t *message(const char *role, const char *text, size_t n)
{
    json_t *m = json_object();
    if (json_object_set_new(m, "role", json_string(role)) == 0 &&
        json_object_set_new(m, "content", json_stringn(text, n)) == 0)
        return m;
    json_decref(m);
    return NULL;
}

tawny_status conversation_add(conversation *c, const char *role, const char *text, size_t n, tawny_error *err)
{
    json_t *m = message(role, text, n);
    if (!m) return err_set(err, TAWNY_E_FORMAT, "the message is not valid UTF-8");
    return json_array_append_new(c->messages, m) == 0 ? TAWNY_OK : err_nomem(err);
}

tawny_status conversation_system(conversation *c, const char *text, tawny_error *err)
{
    json_t *m = text ? message("system", text, strlen(text)) : NULL;
    if (text && !m) return err_set(err, TAWNY_E_FORMAT, "the system prompt is not valid UTF-8");
    if (c->has_system) json_array_remove(c->messages, 0);
    c->has_system = m != NULL;
    return !m || json_array_insert_new(c->messages, 0, m) == 0 ? TAWNY_OK : err_nomem(err);
}

size_t conversation_count(const conversation *c) { return json_array_size(c->messages) - c->has_system; }

void conversation_drop(conversation *c)
{
    if (conversation_count(c)) json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

void conversation_clear(conversation *c)
{
    while (conversation_count(c)) conversation_drop(c);
}

tawny_status conversation_prompt(const conversation *c, tok_vec *out, tawny_error *err)
{
    chat_request r = {.messages = c->messages, .thinking = -1};
    return chat_prompt(c->template, &r, out, NULL, err);
}
