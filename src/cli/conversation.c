#include "conversation.h"

#include <stdlib.h>
#include <string.h>

#include "../text/jinja.h"

struct conversation {
    const tokenizer *tok;
    jinja *template;
    json_t *messages;
    json_t *system; /* NULL: none */
};

tawny_status conversation_new(const tokenizer *tok, conversation **out, tawny_error *err)
{
    *out = NULL;
    size_t n;
    const char *source = tok_chat_template(tok, NULL, &n);
    if (!source) return err_set(err, TAWNY_E_UNSUPPORTED, "the model has no chat template; --raw completes a text as it is");
    conversation *c = calloc(1, sizeof *c);
    if (!c) return err_nomem(err);
    c->tok = tok;
    c->messages = json_array();
    tawny_status st = c->messages ? jinja_parse(source, n, &c->template, err) : err_nomem(err);
    if (st != TAWNY_OK) {
        conversation_free(c);
        return st;
    }
    *out = c;
    return TAWNY_OK;
}

void conversation_free(conversation *c)
{
    if (!c) return;
    jinja_free(c->template);
    json_decref(c->messages);
    json_decref(c->system);
    free(c);
}

static json_t *message(const char *role, const char *text, size_t n)
{
    json_t *m = json_object(), *content = json_stringn(text, n);
    if (m && content && json_object_set_new(m, "role", json_string(role)) == 0 &&
        json_object_set(m, "content", content) == 0) {
        json_decref(content);
        return m;
    }
    json_decref(content);
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
    json_decref(c->system);
    c->system = m;
    return TAWNY_OK;
}

void conversation_drop(conversation *c)
{
    size_t n = json_array_size(c->messages);
    if (n) json_array_remove(c->messages, n - 1);
}

void conversation_clear(conversation *c) { json_array_clear(c->messages); }
size_t conversation_count(const conversation *c) { return json_array_size(c->messages); }

static int set_token(json_t *context, const char *name, const tokenizer *tok, tok_special which)
{
    size_t n = 0;
    tawny_token t = tok_special_id(tok, which);
    const char *text = t == TOK_NONE ? NULL : tok_text(tok, t, &n);
    return json_object_set_new(context, name, text ? json_stringn(text, n) : json_string(""));
}

/* The template's variables, as transformers name them. */
static json_t *make_context(const conversation *c)
{
    json_t *context = json_object(), *messages = json_array();
    bool ok = context && messages && (!c->system || json_array_append(messages, c->system) == 0) &&
              json_array_extend(messages, c->messages) == 0 && json_object_set(context, "messages", messages) == 0 &&
              json_object_set_new(context, "add_generation_prompt", json_true()) == 0 &&
              set_token(context, "bos_token", c->tok, TOK_BOS) == 0 &&
              set_token(context, "eos_token", c->tok, TOK_EOS) == 0;
    json_decref(messages);
    if (ok) return context;
    json_decref(context);
    return NULL;
}

static tawny_status encode(const conversation *c, const jinja_output *text, tok_vec *out, tawny_error *err)
{
    tok_segment *segments = calloc(text->n_segments + 1, sizeof *segments);
    if (!segments) return err_nomem(err);
    for (size_t i = 0; i < text->n_segments; i++) {
        const jinja_segment *s = &text->segments[i];
        segments[i] = (tok_segment){text->text + s->start, s->n, s->trusted};
    }
    tok_vec body = {0};
    tawny_status st = tok_encode_segments(c->tok, segments, text->n_segments, 0, &body, err);
    tawny_token bos = tok_special_id(c->tok, TOK_BOS);
    bool wants_bos = tok_add_bos(c->tok) && bos != TOK_NONE && (body.n == 0 || body.v[0] != bos);
    if (st == TAWNY_OK && wants_bos && !tok_vec_add(out, bos)) st = err_nomem(err);
    for (size_t i = 0; st == TAWNY_OK && i < body.n; i++)
        if (!tok_vec_add(out, body.v[i])) st = err_nomem(err);
    tok_vec_free(&body);
    free(segments);
    return st;
}

tawny_status conversation_prompt(const conversation *c, tok_vec *out, tawny_error *err)
{
    static const char *const trusted[] = {"bos_token", "eos_token", NULL};
    json_t *context = make_context(c);
    if (!context) return err_nomem(err);
    jinja_output text = {0};
    tawny_status st = jinja_render(c->template, context, &(jinja_options){.trusted = trusted}, &text, err);
    if (st == TAWNY_OK) st = encode(c, &text, out, err);
    jinja_output_free(&text);
    json_decref(context);
    return st;
}
