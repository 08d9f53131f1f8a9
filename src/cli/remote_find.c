/* What answers at a URL, and which of its models. */
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "remote.h"

enum { FIRST_SECONDS = 15 };

static int64_t whole(const json_t *o, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(o, key));
    return v > 0 ? v : 0;
}

/* The model of the list that is wanted, or, where none is named, the only one; its name is under `key`. */
static const json_t *choose(remote *r, const json_t *list, const char *key, bool first, tawny_error *err)
{
    const json_t *m;
    char names[256] = "";
    size_t i, n = 0;
    json_array_foreach(list, i, m) {
        const char *name = json_string_value(json_object_get(m, key));
        if (!name) continue;
        if (r->wanted ? strcmp(name, r->wanted) == 0 : first || json_array_size(list) == 1) {
            snprintf(r->model, sizeof r->model, "%s", name);
            remote_trim(r->model);
            return m;
        }
        if (n < sizeof names) n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", name);
    }
    remote_trim(names);
    if (r->wanted && n) err_set(err, TAWNY_E_ARG, "%.150s has no model '%.100s', but: %s", r->url, r->wanted, names);
    else if (n) err_set(err, TAWNY_E_ARG, "%.150s has several models, --server-model says which: %s", r->url, names);
    else err_set(err, TAWNY_E_IO, "%.200s: no model in the answer", r->url);
    return NULL;
}

/* /v1/models: the model, and what llama-server and vLLM add. vLLM's first is the one without adapters. */
static bool read_models(remote *r, const json_t *j, bool first, tawny_error *err)
{
    const json_t *list = json_object_get(j, "data"), *owner = json_object_get(json_array_get(list, 0), "owned_by");
    bool vllm = json_is_string(owner) && strcmp(json_string_value(owner), "vllm") == 0;
    const json_t *m = choose(r, list, "id", first || vllm, err), *meta = json_object_get(m, "meta");
    if (!m) return false;
    r->n_vocab = whole(meta, "n_vocab");
    r->n_params = whole(meta, "n_params");
    r->bytes = whole(meta, "size");
    int64_t most = whole(m, "max_model_len");
    if (most && most < INT32_MAX && !r->n_ctx) r->n_ctx = (int32_t)most;
    if (vllm) r->kind = REMOTE_VLLM;
    return true;
}

/* /props, of the model that the router of several is to ask; what it says of the context is kept. NULL: no llama-server. */
static json_t *props(remote *r, int seconds, long *code, tawny_error *err)
{
    char path[8 + 3 * sizeof r->model] = "/props?model=";
    size_t n = strlen(path);
    for (const char *p = r->model; *p; p++) n += (size_t)snprintf(path + n, sizeof path - n, "%%%02X", (unsigned char)*p);
    json_t *j = remote_ask(r, *r->model ? path : "/props", NULL, seconds, code, err);
    const json_t *defaults = json_object_get(j, "default_generation_settings");
    int64_t n_ctx = whole(defaults, "n_ctx");
    if (n_ctx < INT32_MAX) r->n_ctx = (int32_t)n_ctx;
    if (j && !defaults) {
        err_set(err, TAWNY_E_IO, "%.300s%.200s: no default_generation_settings in the answer", r->url, path);
        json_decref(j);
        j = NULL;
    }
    return j;
}

/* llama-server, with one model or as the router of several. */
static tawny_status find_llama(remote *r, int seconds, bool *is, long *code, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    tawny_error none;
    long ignored;
    json_t *j = props(r, seconds, code, err);
    const char *role = json_string_value(json_object_get(j, "role"));
    bool router = role && strcmp(role, "router") == 0;
    *is = j != NULL;
    json_decref(j);
    if (!*is) return TAWNY_OK;
    r->n_top = 40;
    j = remote_ask(r, "/v1/models", NULL, seconds, &ignored, router ? err : &none);
    if (router && (!j || !read_models(r, j, false, err))) st = err->code;
    else if (j) read_models(r, j, true, &none);
    r->kind = REMOTE_LLAMA;
    json_decref(j);
    if (!router || st != TAWNY_OK) return st;
    j = props(r, r->seconds, code, err); /* which loads it */
    if (!j) return err->code;
    json_decref(j);
    j = remote_ask(r, "/v1/models", NULL, seconds, &ignored, &none); /* now with its sizes */
    if (j) read_models(r, j, false, &none);
    r->kind = REMOTE_LLAMA;
    json_decref(j);
    return TAWNY_OK;
}

/* ollama: the model that is named, else the one that is loaded, else the only one. */
static tawny_status find_ollama(remote *r, int seconds, bool *is, long *code, tawny_error *err)
{
    json_t *tags = remote_ask(r, "/api/tags", NULL, seconds, code, err), *j;
    tawny_error none;
    long ignored;
    *is = json_is_array(json_object_get(tags, "models"));
    if (!*is) {
        json_decref(tags);
        return TAWNY_OK;
    }
    r->kind = REMOTE_OLLAMA;
    r->n_top = 20;
    r->texts = r->own_cache = true;
    j = r->wanted ? NULL : remote_ask(r, "/api/ps", NULL, seconds, &ignored, &none);
    bool found = json_array_size(json_object_get(j, "models")) == 1 && choose(r, json_object_get(j, "models"), "name", true, &none);
    if (!found) found = choose(r, json_object_get(tags, "models"), "name", false, err) != NULL;
    json_decref(j);
    json_decref(tags);
    if (!found) return err->code;
    json_t *q = json_pack("{s:s}", "model", r->model);
    j = q ? remote_ask(r, "/api/show", q, seconds, &ignored, &none) : NULL;
    r->n_params = whole(json_object_get(j, "model_info"), "general.parameter_count");
    json_decref(j);
    json_decref(q);
    return TAWNY_OK;
}

/* OpenAI's: what of it works is found by trying. A server that does not answer at all is not tried again. */
static tawny_status try_openai(remote *r, tawny_error *err)
{
    static const struct {
        remote_kind kind;
        bool texts;
        int top;
    } ways[] = {{REMOTE_OPENAI, false, 20}, {REMOTE_OPENAI, false, 5}, {REMOTE_OPENAI, true, 20}, {REMOTE_OPENAI, true, 5},
                {REMOTE_RESPONSES, true, 20}, {REMOTE_CHAT, true, 20}, {REMOTE_CHAT, true, 5}};
    tok_vec prompt = {0}, fit = {0};
    remote_kind completions = r->kind;
    char first[160] = "";
    tawny_status st = tok_encode(r->tok, "The owl sat on the old", 22, TOK_ADD_SPECIAL, &prompt, err);
    if (st != TAWNY_OK) goto done;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        r->kind = ways[i].kind == REMOTE_OPENAI ? completions : ways[i].kind;
        r->texts = ways[i].texts;
        r->own_cache = r->kind != REMOTE_VLLM;
        r->n_top = ways[i].top;
        fit.n = 0;
        if ((st = remote_fit(r, prompt.v, (int32_t)prompt.n, &fit, err)) != TAWNY_OK) goto done;
        if ((st = remote_complete(r, fit.v, (int32_t)fit.n, 1, true, err)) == TAWNY_OK || r->code == 0) goto done;
        if (!*first || st == TAWNY_E_UNSUPPORTED) snprintf(first, sizeof first, "%.150s", err->message);
    }
    remote_trim(first);
    st = err_set(err, TAWNY_E_UNSUPPORTED, "%.150s: no log probabilities by /v1/completions, /v1/responses or /v1/chat/completions: %s", r->url,
                 first);
done:
    tok_vec_free(&prompt);
    tok_vec_free(&fit);
    return st;
}

tawny_status remote_open(remote *r, const char *url, const char *key, const char *model, const tokenizer *tok, int seconds, tawny_error *err)
{
    *r = (remote){.tok = tok, .key = key, .wanted = model, .seconds = seconds};
    int first = seconds < FIRST_SECONDS ? seconds : FIRST_SECONDS;
    bool is;
    long code;
    snprintf(r->url, sizeof r->url, "%s%s", net_is_url(url) ? "" : "http://", url);
    size_t n = strlen(r->url);
    while (n && r->url[n - 1] == '/') r->url[--n] = 0;
    if (n > 3 && strcmp(r->url + n - 3, "/v1") == 0) r->url[n - 3] = 0;
    tawny_status st = remote_index(r, err);
    if (st != TAWNY_OK) return st;
    st = find_llama(r, first, &is, &code, err);
    if (is) return st;
    if (code == 0 || code == 401 || code == 403 || code == 503) return err->code; /* nobody there, not for us, or still loading */
    st = find_ollama(r, first, &is, &code, err);
    if (is || code == 0) return is ? st : err->code;
    json_t *j = remote_ask(r, "/v1/models", NULL, first, &code, err);
    r->kind = REMOTE_OPENAI;
    if (!j) return err->code;
    bool found = read_models(r, j, false, err);
    json_decref(j);
    return found ? try_openai(r, err) : err->code;
}
