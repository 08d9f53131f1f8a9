/* What OpenAI's doors share. */
#include "openai.h"

#include <stdio.h>
#include <string.h>

#include "completion.h"
#include "http.h"

static const char *usual_type(int status)
{
    switch (status) {
    case 400:
    case 413: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404:
    case 405: return "not_found_error";
    case 429: return "rate_limit_exceeded";
    case 503: return "unavailable_error";
    default: return "server_error";
    }
}

json_t *openai_error(int status, const char *type, const char *message, const char *field)
{
    return json_pack("{s:{s:s,s:s,s:s?,s:i}}", "error", "message", message, "type", type ? type : usual_type(status), "param", field, "code",
                     status);
}

const door openai_door = {.stream_type = "text/event-stream", .error = openai_error};

json_t *openai_usage(const exchange *x)
{
    completion_usage u = completion_usage_of(x);
    return json_pack("{s:i,s:i,s:i,s:{s:i},s:{s:i}}", "prompt_tokens", u.prompt, "completion_tokens", u.answer, "total_tokens", u.prompt + u.answer,
                     "prompt_tokens_details", "cached_tokens", u.cached, "completion_tokens_details", "reasoning_tokens", u.reasoning);
}

json_t *openai_tokens(choice *c)
{
    json_t *list = c->tokens, *t, *a;
    size_t i, k;
    if (!list) return NULL;
    c->tokens = json_array();
    json_array_foreach(list, i, t)
    {
        json_object_del(t, "id");
        json_object_del(t, "offset");
        json_array_foreach(json_object_get(t, "top_logprobs"), k, a) json_object_del(a, "id");
    }
    return list;
}

json_t *openai_base(const exchange *x, const char *object)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:s}", "id", x->id, "object", object, "created", (json_int_t)x->created, "model", server_model_name(x->sv),
                     "system_fingerprint", x->fingerprint);
}

void openai_extras(const exchange *x, json_t *whole)
{
    json_object_set_new(whole, "timings", completion_timings(&x->choices[0]));
    if (x->choices[0].task->fingerprint[0]) json_object_set_new(whole, "fingerprint", json_string(x->choices[0].task->fingerprint));
}

const json_t *openai_any_object(void)
{
    static json_t *schema;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!schema) schema = json_pack("{s:s,s:b}", "type", "object", "additionalProperties", 1);
    pthread_mutex_unlock(&lock);
    return schema;
}

bool openai_format(exchange *x, const json_t *format, const char *field, const json_t **schema)
{
    char message[120] = "";
    const char *type = json_string_value(json_object_get(format, "type"));
    *schema = NULL;
    if (!format || (type && strcmp(type, "text") == 0)) return true;
    const json_t *inner = json_object_get(format, "json_schema"), *given = json_object_get(inner ? inner : format, "schema");
    if (type && strcmp(type, "json_object") == 0)
        *schema = given ? given : openai_any_object();
    else if (type && strcmp(type, "json_schema") == 0)
        *schema = given;
    else
        snprintf(message, sizeof message, "'%s.type' must be text, json_object or json_schema", field);
    if (!message[0] && !json_is_object(*schema) && !json_is_boolean(*schema))
        snprintf(message, sizeof message, "'%s' must have a schema, an object", field);
    if (message[0]) reply_error(x, 400, NULL, message, field);
    return !message[0];
}

void openai_end(exchange *x) { buf_str(&x->out, "data: [DONE]\n\n"); }
void openai_fail(exchange *x, const char *message) { put_event(x, NULL, openai_error(500, NULL, message, NULL)); }
void openai_ping(exchange *x) { buf_str(&x->out, ": still reading\n\n"); }

/* ---- models ---- */

static json_t *model_json(const server *sv)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:{s:i,s:i,s:i,s:i,s:I,s:I}}", "id", server_model_name(sv), "object", "model", "created",
                     (json_int_t)sv->created, "owned_by", "tawny", "meta", "vocab_type", (int)tok_kind_of(sv->tok), "n_vocab",
                     (int)tawny_model_n_vocab(sv->model), "n_ctx_train", (int)tawny_model_n_ctx_train(sv->model), "n_embd",
                     (int)tawny_model_n_embd(sv->model), "n_params", (json_int_t)tawny_model_n_params(sv->model), "size",
                     (json_int_t)tawny_model_bytes(sv->model));
}

void openai_models(exchange *x) { reply_json(x, 200, json_pack("{s:s,s:[o]}", "object", "list", "data", model_json(x->sv))); }

static int hex_digit(char c)
{
    c |= 0x20;
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The rest of the path is the name, with %XX for some characters. */
static bool is_named(const char *escaped, const char *name)
{
    for (; *escaped && *name; name++) {
        int hi = *escaped == '%' ? hex_digit(escaped[1]) : -1, lo = hi >= 0 ? hex_digit(escaped[2]) : -1;
        char c = lo >= 0 ? (char)(hi * 16 + lo) : *escaped;
        if (c != *name) return false;
        escaped += lo >= 0 ? 3 : 1;
    }
    return !*escaped && !*name;
}

void openai_model(exchange *x)
{
    if (is_named(http_rest(x), server_model_name(x->sv)))
        reply_json(x, 200, model_json(x->sv));
    else
        reply_error(x, 404, NULL, "there is no model of this name: /v1/models lists what there is", "model");
}
