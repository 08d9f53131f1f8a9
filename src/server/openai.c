/* What OpenAI's doors share. */
#include "openai.h"

#include <stdio.h>
#include <string.h>

#include "completion.h"

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
    return json_pack("{s:i,s:i,s:i,s:{s:i}}", "prompt_tokens", u.prompt, "completion_tokens", u.answer, "total_tokens", u.prompt + u.answer,
                     "prompt_tokens_details", "cached_tokens", u.cached);
}

json_t *openai_logprobs(choice *c)
{
    if (!c->tokens) return json_null();
    json_t *list = c->tokens;
    c->tokens = json_array();
    return json_pack("{s:o,s:n}", "content", list, "refusal");
}

void openai_models(exchange *x)
{
    const server *sv = x->sv;
    reply_json(x, 200,
               json_pack("{s:s,s:[{s:s,s:s,s:I,s:s,s:{s:i,s:i,s:i,s:i,s:I,s:I}}]}", "object", "list", "data", "id", server_model_name(sv), "object",
                         "model", "created", (json_int_t)sv->created, "owned_by", "tawny", "meta", "vocab_type", (int)tok_kind_of(sv->tok),
                         "n_vocab", (int)tawny_model_n_vocab(sv->model), "n_ctx_train", (int)tawny_model_n_ctx_train(sv->model), "n_embd",
                         (int)tawny_model_n_embd(sv->model), "n_params", (json_int_t)tawny_model_n_params(sv->model), "size",
                         (json_int_t)tawny_model_bytes(sv->model)));
}
