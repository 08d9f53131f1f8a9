#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { FIRST_SECONDS = 15 };

const char *remote_kind_name(remote_kind k)
{
    static const char *const names[] = {"llama-server", "vLLM", "OpenAI", "ollama"};
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

static tawny_status index_pieces(remote *r, tawny_error *err)
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

static int64_t whole(const json_t *o, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(o, key));
    return v > 0 ? v : 0;
}

static void name_model(remote *r, const json_t *name)
{
    if (json_is_string(name)) snprintf(r->model, sizeof r->model, "%s", json_string_value(name));
}

/* /v1/models: the first model, and what llama-server and vLLM add. */
static bool read_models(remote *r, const json_t *j)
{
    const json_t *m = json_array_get(json_object_get(j, "data"), 0), *meta = json_object_get(m, "meta");
    const json_t *owner = json_object_get(m, "owned_by");
    if (!m) return false;
    name_model(r, json_object_get(m, "id"));
    r->n_vocab = whole(meta, "n_vocab");
    r->n_params = whole(meta, "n_params");
    r->bytes = whole(meta, "size");
    int64_t most = whole(m, "max_model_len");
    if (most && most < INT32_MAX && !r->n_ctx) r->n_ctx = (int32_t)most;
    if (json_is_string(owner) && strcmp(json_string_value(owner), "vllm") == 0) r->kind = REMOTE_VLLM;
    return true;
}

static bool find_llama(remote *r, int seconds, long *code, tawny_error *err)
{
    json_t *j = remote_ask(r, "/props", NULL, seconds, code, err);
    const json_t *defaults = json_object_get(j, "default_generation_settings");
    bool is = defaults != NULL;
    int64_t n = whole(defaults, "n_ctx");
    if (is && n < INT32_MAX) r->n_ctx = (int32_t)n;
    json_decref(j);
    if (!is) return false;
    r->kind = REMOTE_LLAMA;
    r->n_top = 40;
    long ignored;
    tawny_error none;
    j = remote_ask(r, "/v1/models", NULL, seconds, &ignored, &none);
    if (j) read_models(r, j);
    r->kind = REMOTE_LLAMA;
    json_decref(j);
    return true;
}

static bool find_ollama(remote *r, int seconds, long *code, tawny_error *err)
{
    json_t *j = remote_ask(r, "/api/tags", NULL, seconds, code, err);
    const json_t *m = json_array_get(json_object_get(j, "models"), 0);
    if (m) {
        r->kind = REMOTE_OLLAMA;
        r->n_top = 20;
        r->texts = true;
        name_model(r, json_object_get(m, "name"));
    }
    json_decref(j);
    return m != NULL;
}

/* OpenAI's: what of it works is found by trying. */
static tawny_status try_openai(remote *r, tawny_error *err)
{
    static const int tops[] = {20, 5};
    tok_vec prompt = {0}, fit = {0};
    tawny_status st = tok_encode(r->tok, "The owl sat on the old", 22, TOK_ADD_SPECIAL, &prompt, err);
    if (st != TAWNY_OK) goto done;
    for (int texts = 0; texts < 2; texts++) {
        for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
            r->texts = texts != 0;
            r->n_top = tops[i];
            fit.n = 0;
            if ((st = remote_fit(r, prompt.v, (int32_t)prompt.n, &fit, err)) != TAWNY_OK) goto done;
            if ((st = remote_complete(r, fit.v, (int32_t)fit.n, 1, true, err)) == TAWNY_OK || st == TAWNY_E_LIMIT) goto done;
        }
    }
done:
    tok_vec_free(&prompt);
    tok_vec_free(&fit);
    return st;
}

tawny_status remote_open(remote *r, const char *url, const char *key, const tokenizer *tok, int seconds, tawny_error *err)
{
    *r = (remote){.tok = tok, .key = key, .seconds = seconds};
    int first = seconds < FIRST_SECONDS ? seconds : FIRST_SECONDS;
    long code;
    snprintf(r->url, sizeof r->url, "%s%s", net_is_url(url) ? "" : "http://", url);
    size_t n = strlen(r->url);
    while (n && r->url[n - 1] == '/') r->url[--n] = 0;
    if (n > 3 && strcmp(r->url + n - 3, "/v1") == 0) r->url[n - 3] = 0;
    tawny_status st = index_pieces(r, err);
    if (st != TAWNY_OK) return st;
    if (find_llama(r, first, &code, err)) return TAWNY_OK;
    if (code == 0 || code == 401 || code == 403 || code == 503) return err->code; /* nobody there, not for us, or still loading */
    if (find_ollama(r, first, &code, err)) return TAWNY_OK;
    json_t *j = remote_ask(r, "/v1/models", NULL, first, &code, err);
    r->kind = REMOTE_OPENAI;
    if (!j) return err->code;
    if (!read_models(r, j)) st = err_set(err, TAWNY_E_IO, "%.200s/v1/models: no model in the answer", r->url);
    json_decref(j);
    return st == TAWNY_OK ? try_openai(r, err) : st;
}

void remote_close(remote *r)
{
    free(r->by_piece);
    free(r->steps);
    r->by_piece = NULL;
    r->steps = NULL;
}

static json_t *ids(const tawny_token *tokens, int32_t n)
{
    json_t *a = json_array();
    for (int32_t i = 0; i < n; i++) json_array_append_new(a, json_integer(tokens[i]));
    return a;
}

tawny_status remote_fit(const remote *r, const tawny_token *tokens, int32_t n, tok_vec *out, tawny_error *err)
{
    buf text = {0};
    tawny_status st = TAWNY_OK;
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
    if (!r->texts) return ids(tokens, n);
    json_t *j = NULL;
    if (tok_decode(r->tok, tokens, (size_t)n, TOK_REMOVE_SPECIAL, &text, &err) == TAWNY_OK)
        j = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&text);
    return j;
}

static json_t *question(const remote *r, json_t *prompt, int n_predict, bool fresh)
{
    switch (r->kind) {
    case REMOTE_LLAMA:
        return json_pack("{s:o,s:i,s:i,s:f,s:b,s:b,s:b,s:i}", "prompt", prompt, "n_predict", n_predict, "n_probs", r->n_top, "temperature", 0.0,
                         "cache_prompt", !fresh, "stream", 0, "ignore_eos", 1, "seed", 1);
    case REMOTE_OLLAMA: /* num_ctx is what makes it load the model anew: always the same */
        return json_pack("{s:s,s:o,s:b,s:b,s:b,s:i,s:{s:i,s:f,s:i}}", "model", r->model, "prompt", prompt, "raw", 1, "stream", 0, "logprobs", 1,
                         "top_logprobs", r->n_top, "options", "num_predict", n_predict, "temperature", 0.0, "num_ctx",
                         r->n_ctx ? r->n_ctx : 4096);
    case REMOTE_VLLM:
        return json_pack("{s:s,s:o,s:i,s:i,s:i,s:f,s:b,s:b}", "model", r->model, "prompt", prompt, "max_tokens", n_predict, "logprobs", r->n_top,
                         "prompt_logprobs", r->n_top, "temperature", 0.0, "return_tokens_as_token_ids", 1, "ignore_eos", 1);
    default:
        return json_pack("{s:s,s:o,s:i,s:i,s:f}", "model", r->model, "prompt", prompt, "max_tokens", n_predict, "logprobs", r->n_top,
                         "temperature", 0.0);
    }
}

tawny_status remote_complete(remote *r, const tawny_token *tokens, int32_t n, int n_predict, bool fresh, tawny_error *err)
{
    static const char *const paths[] = {"/completion", "/v1/completions", "/v1/completions", "/api/generate"};
    long code;
    json_t *prompt = prompt_of(r, tokens, n), *q = prompt ? question(r, prompt, n_predict, fresh) : NULL;
    if (!q) return err_nomem(err);
    json_t *a = remote_ask(r, paths[r->kind], q, r->seconds, &code, err);
    json_decref(q);
    r->code = code;
    if (!a) return err->code;
    tawny_status st = remote_read_steps(r, a, n, err);
    json_decref(a);
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
                    : json_pack("{s:s,s:b,s:b}", "content", text, "add_special", 0, "parse_special", 1);
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
    json_t *q = json_pack("{s:O}", "messages", messages);
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
