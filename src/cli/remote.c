#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ANSWER = 16, /* of /v1/responses */ PROMPT_MOST = 4096, /* with probabilities all through it */ FEW = 8 /* alternatives */ };

const char *remote_kind_name(remote_kind k)
{
    static const char *const names[] = {"llama-server", "vLLM", "OpenAI", "ollama", "OpenAI responses", "OpenAI chat"};
    return names[k];
}

static int by_piece(const void *a, const void *b, void *tok)
{
    size_t n, m;
    tawny_token x = *(const tawny_token *)a, y = *(const tawny_token *)b;
    const char *p = tok_piece(tok, x, TOK_SPECIAL, &n), *q = tok_piece(tok, y, TOK_SPECIAL, &m);
    int c = memcmp(p ? p : "", q ? q : "", n < m ? n : m);
    return c ? c : n != m ? (n < m ? -1 : 1) : (x > y) - (x < y);
}

tawny_status remote_index(remote *r, tawny_error *err)
{
    union {
        const tokenizer *in;
        void *out;
    } u = {r->tok};
    size_t n = tok_n_vocab(r->tok);
    r->by_piece = malloc((n ? n : 1) * sizeof *r->by_piece);
    r->steps = malloc(REMOTE_STEPS * sizeof *r->steps);
    if (!r->by_piece || !r->steps) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        tok_piece(r->tok, (tawny_token)i, TOK_SPECIAL, &len);
        if (len) r->by_piece[r->n_pieces++] = (tawny_token)i;
    }
    qsort_r(r->by_piece, r->n_pieces, sizeof *r->by_piece, by_piece, u.out);
    return TAWNY_OK;
}

void remote_close(remote *r)
{
    free(r->by_piece);
    free(r->steps);
    chat_close(r->chat);
    buf_free(&r->content);
    r->by_piece = NULL;
    r->steps = NULL;
    r->chat = NULL;
}

static json_t *ids(const tawny_token *tokens, int32_t n)
{
    json_t *a = json_array();
    for (int32_t i = 0; i < n; i++) json_array_append_new(a, json_integer(tokens[i]));
    return a;
}

/* The template's prompt around a user's message of n tokens, whose text is kept. */
static tawny_status fit_message(remote *r, const tawny_token *tokens, int32_t n, tok_vec *out, tawny_error *err)
{
    buf_clear(&r->content);
    tawny_status st = tok_decode(r->tok, tokens, (size_t)n, TOK_REMOVE_SPECIAL, &r->content, err);
    if (st == TAWNY_OK && !r->chat) st = chat_open(r->tok, NULL, 0, &r->chat, err);
    if (st != TAWNY_OK) return st;
    json_t *messages = json_pack("[{s:s,s:s%}]", "role", "user", "content", r->content.data ? r->content.data : "", r->content.size);
    st = messages ? chat_prompt(r->chat, &(chat_request){.messages = messages, .thinking = -1}, out, NULL, err)
                  : err_set(err, TAWNY_E_FORMAT, "the prompt's text is no UTF-8");
    json_decref(messages);
    return st;
}

static tawny_status fit_chat(remote *r, const tawny_token *tokens, int32_t n, tok_vec *out, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    if (!r->around) {
        st = fit_message(r, tokens, 2, out, err);
        r->around = out->n > 2 ? (int32_t)out->n - 2 : 0;
        out->n = 0;
    }
    int32_t rest = n - r->around;
    return st == TAWNY_OK ? fit_message(r, tokens, rest > 2 ? rest : 2, out, err) : st;
}

tawny_status remote_fit(remote *r, const tawny_token *tokens, int32_t n, tok_vec *out, tawny_error *err)
{
    buf text = {0};
    tawny_status st = TAWNY_OK;
    if (r->kind == REMOTE_RESPONSES || r->kind == REMOTE_CHAT) return fit_chat(r, tokens, n, out, err);
    if (!r->texts) {
        for (int32_t i = 0; i < n; i++)
            if (!tok_vec_add(out, tokens[i])) return err_nomem(err);
        return TAWNY_OK;
    }
    st = tok_decode(r->tok, tokens, (size_t)n, TOK_REMOVE_SPECIAL, &text, err);
    if (st == TAWNY_OK) st = tok_encode(r->tok, text.data ? text.data : "", text.size, TOK_ADD_SPECIAL | TOK_PARSE_SPECIAL, out, err);
    buf_free(&text);
    return st;
}

/* The prompt as the server takes it. */
static json_t *prompt_of(const remote *r, const tawny_token *tokens, int32_t n)
{
    buf text = {0};
    tawny_error err;
    if (r->kind == REMOTE_RESPONSES || r->kind == REMOTE_CHAT) return json_stringn(r->content.data ? r->content.data : "", r->content.size);
    if (!r->texts) return ids(tokens, n);
    json_t *j = NULL;
    if (tok_decode(r->tok, tokens, (size_t)n, TOK_REMOVE_SPECIAL, &text, &err) == TAWNY_OK)
        j = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&text);
    return j;
}

/* vLLM computes probabilities of the prompt's tokens all at once, a vocabulary for each: not for long ones. They keep its prefix
 * cache out, and a salt does so too. */
static json_t *question_vllm(remote *r, json_t *prompt, int32_t n, int n_predict, bool fresh)
{
    json_t *q = json_pack("{s:s,s:o,s:i,s:i,s:f,s:b,s:b}", "model", r->model, "prompt", prompt, "max_tokens", n_predict, "logprobs", r->n_top,
                          "temperature", 0.0, "return_tokens_as_token_ids", 1, "ignore_eos", 1);
    if (n <= PROMPT_MOST) json_object_set_new(q, "prompt_logprobs", json_integer(r->n_top));
    else if (fresh) json_object_set_new(q, "cache_salt", json_sprintf("tawny %d %d", n, r->asked));
    return q;
}

static json_t *question(remote *r, json_t *prompt, int32_t n, int n_predict, bool fresh)
{
    r->asked++;
    switch (r->kind) {
    case REMOTE_LLAMA:
        return json_pack("{s:s,s:o,s:i,s:i,s:f,s:b,s:b,s:b,s:i}", "model", r->model, "prompt", prompt, "n_predict", n_predict, "n_probs", r->n_top, "temperature",
                         r->old_llama ? -1.0 : 0.0, "cache_prompt", !fresh, "stream", 0, "ignore_eos", 1, "seed", 1);
    case REMOTE_OLLAMA: /* num_ctx is what makes it load the model anew: always the same */
        return json_pack("{s:s,s:o,s:b,s:b,s:b,s:i,s:{s:i,s:f,s:i}}", "model", r->model, "prompt", prompt, "raw", 1, "stream", 0, "logprobs", 1,
                         "top_logprobs", r->n_top, "options", "num_predict", n_predict, "temperature", 0.0, "num_ctx",
                         r->n_ctx ? r->n_ctx : 4096);
    case REMOTE_VLLM: return question_vllm(r, prompt, n, n_predict, fresh);
    case REMOTE_RESPONSES:
        return json_pack("{s:s,s:o,s:i,s:i,s:f,s:[s],s:b}", "model", r->model, "input", prompt, "max_output_tokens",
                         n_predict > LEAST_ANSWER ? n_predict : LEAST_ANSWER, "top_logprobs", r->n_top, "temperature", 0.0, "include",
                         "message.output_text.logprobs", "store", 0);
    case REMOTE_CHAT:
        return json_pack("{s:s,s:[{s:s,s:o}],s:i,s:b,s:i,s:f}", "model", r->model, "messages", "role", "user", "content", prompt, "max_tokens",
                         n_predict, "logprobs", 1, "top_logprobs", r->n_top, "temperature", 0.0);
    default:
        return json_pack("{s:s,s:o,s:i,s:i,s:f}", "model", r->model, "prompt", prompt, "max_tokens", n_predict, "logprobs", r->n_top,
                         "temperature", 0.0);
    }
}

static tawny_status complete_once(remote *r, const tawny_token *tokens, int32_t n, int n_predict, bool fresh, tawny_error *err)
{
    static const char *const paths[] = {"/completion", "/v1/completions", "/v1/completions", "/api/generate", "/v1/responses",
                                        "/v1/chat/completions"};
    long code;
    json_t *prompt = prompt_of(r, tokens, n), *q = prompt ? question(r, prompt, n, n_predict, fresh) : NULL;
    if (!q) return err_nomem(err);
    json_t *a = remote_ask(r, paths[r->kind], q, r->seconds, &code, err);
    json_decref(q);
    r->code = code;
    if (!a) return err->code;
    tawny_status st = remote_read_steps(r, a, n, err);
    json_decref(a);
    return st;
}

tawny_status remote_complete(remote *r, const tawny_token *tokens, int32_t n, int n_predict, bool fresh, tawny_error *err)
{
    bool knew = r->old_llama;
    int n_top = r->n_top;
    tawny_status st = complete_once(r, tokens, n, n_predict, fresh, err);
    if (st == TAWNY_OK && r->old_llama != knew) st = complete_once(r, tokens, n, n_predict, fresh, err);
    if (st == TAWNY_OK || r->code != 500 || r->kind != REMOTE_LLAMA) return st;
    r->n_top = FEW; /* ik_llama.cpp fails where one of the alternatives is no whole character */
    st = complete_once(r, tokens, n, n_predict, fresh, err);
    r->n_top = n_top;
    return st;
}

static tawny_status take_ids(const remote *r, const json_t *a, tok_vec *out, tawny_error *err)
{
    const json_t *list = json_object_get(a, "tokens"), *t;
    size_t i;
    if (!json_is_array(list)) return err_set(err, TAWNY_E_IO, "%.200s/tokenize: no tokens in the answer", r->url);
    json_array_foreach(list, i, t) {
        json_int_t v = json_is_integer(t) ? json_integer_value(t) : -1;
        if (!tok_vec_add(out, v < INT32_MIN || v > INT32_MAX ? -1 : (tawny_token)v)) return err_nomem(err);
    }
    return TAWNY_OK;
}

tawny_status remote_tokenize(remote *r, const char *text, tok_vec *out, bool *offered, tawny_error *err)
{
    *offered = r->kind == REMOTE_LLAMA || r->kind == REMOTE_VLLM;
    if (!*offered) return TAWNY_OK;
    json_t *q = r->kind == REMOTE_VLLM
                    ? json_pack("{s:s,s:s,s:b}", "model", r->model, "prompt", text, "add_special_tokens", 0)
                    : json_pack("{s:s,s:s,s:b,s:b}", "model", r->model, "content", text, "add_special", 0, "parse_special", 1);
    long code;
    if (!q) return err_nomem(err);
    json_t *a = remote_ask(r, "/tokenize", q, r->seconds, &code, err);
    json_decref(q);
    *offered = code != 404 && code != 405 && code != 501;
    if (!a) return *offered ? err->code : TAWNY_OK;
    tawny_status st = take_ids(r, a, out, err);
    json_decref(a);
    return st;
}

tawny_status remote_template(remote *r, const json_t *messages, buf *out, bool *offered, tawny_error *err)
{
    *offered = r->kind == REMOTE_LLAMA;
    if (!*offered) return TAWNY_OK;
    json_t *q = json_pack("{s:s,s:O}", "model", r->model, "messages", messages);
    long code;
    if (!q) return err_nomem(err);
    json_t *a = remote_ask(r, "/apply-template", q, r->seconds, &code, err);
    json_decref(q);
    *offered = code == 200;
    const json_t *p = json_object_get(a, "prompt");
    tawny_status st = TAWNY_OK;
    if (a && !json_is_string(p)) st = err_set(err, TAWNY_E_IO, "%.200s/apply-template: no prompt in the answer", r->url);
    else if (a && !buf_add(out, json_string_value(p), json_string_length(p))) st = err_nomem(err);
    json_decref(a);
    return code == 0 ? err->code : st;
}
