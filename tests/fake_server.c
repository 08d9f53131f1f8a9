#include "fake_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "loopback.h"
#include "text/chat.h"

enum { TOP = 40, MOST = 8 << 20 };

typedef struct state {
    const fake_server *s;
    tawny_model *model;
    tawny_session *session;
    tokenizer *tok;
    json_t *said; /* the first answer */
} state;

/* ---- answers from a model ---- */

static void must(tawny_status st, const tawny_error *err)
{
    if (st == TAWNY_OK) return;
    fprintf(stderr, "fake server: %s\n", err->message);
    _exit(1);
}

static void open_model(state *t, const char *path)
{
    tawny_error err;
    gguf *g;
    tawny_engine *e;
    must(gguf_open(path, GGUF_HEADER_ONLY, &g, &err), &err);
    must(tok_open(g, &t->tok, &err), &err);
    gguf_close(g);
    must(tawny_model_open(path, &t->model, &err), &err);
    must(tawny_engine_new(t->model, &(tawny_engine_params){.n_threads = 1, .act_bits = 16, .no_pin = true}, &e, &err), &err);
    must(tawny_session_new(e, &t->session, &err), &err);
}

/* {"id", "token", "bytes", "logprob", "top_logprobs": [...]} of the n most probable tokens. */
static json_t *entry(const state *t, tawny_token id, double logprob)
{
    size_t n;
    const char *p = tok_piece(t->tok, id, TOK_SPECIAL, &n);
    json_t *bytes = json_array(), *text = json_stringn(p, n);
    for (size_t i = 0; i < n; i++) json_array_append_new(bytes, json_integer((unsigned char)p[i]));
    return json_pack("{s:i,s:o,s:o,s:f}", "id", id, "token", text ? text : json_string("\xef\xbf\xbd"), "bytes", bytes, "logprob", logprob);
}

static json_t *position(const state *t, const float *x)
{
    uint32_t n = (uint32_t)tawny_model_n_vocab(t->model);
    double sum = 0;
    bool *taken = calloc(n, sizeof *taken);
    json_t *top = json_array(), *first = NULL;
    for (uint32_t i = 0; i < n; i++) sum += exp((double)x[i]);
    for (int k = 0; k < TOP; k++) {
        int best = -1;
        for (uint32_t i = 0; i < n; i++)
            if (!taken[i] && (best < 0 || x[i] > x[best])) best = (int)i;
        taken[best] = true;
        json_array_append_new(top, entry(t, best, (double)x[best] - log(sum)));
    }
    free(taken);
    first = json_deep_copy(json_array_get(top, 0));
    json_object_set_new(first, "top_logprobs", top);
    return first;
}

/* A greedy answer: positions as llama-server has them. */
static json_t *answer(state *t, const tok_vec *prompt, int n)
{
    tawny_error err;
    json_t *list = json_array();
    must(tawny_session_sync(t->session, prompt->v, (int32_t)prompt->n, NULL, NULL, &err), &err);
    for (int i = 0; i < n; i++) {
        json_t *p = position(t, tawny_session_logits(t->session));
        json_array_append_new(list, p);
        tawny_token id = (tawny_token)json_integer_value(json_object_get(p, "id"));
        if (i + 1 < n) must(tawny_session_append(t->session, &id, 1, NULL, &err), &err);
    }
    return list;
}

/* ---- shapes ---- */

static json_t *old_shape(json_t *list)
{
    size_t i, k;
    json_t *p, *a, *out = json_array();
    json_array_foreach(list, i, p) {
        json_t *probs = json_array();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a)
            json_array_append_new(probs, json_pack("{s:O,s:f}", "tok_str", json_object_get(a, "token"), "prob",
                                                   exp(json_number_value(json_object_get(a, "logprob")))));
        json_array_append_new(out, json_pack("{s:O,s:o}", "content", json_object_get(p, "token"), "probs", probs));
    }
    json_decref(list);
    return json_pack("{s:o}", "completion_probabilities", out);
}

static json_t *name_of(const state *t, const json_t *a)
{
    return t->s->shape == FAKE_VLLM ? json_sprintf("token_id:%lld", (long long)json_integer_value(json_object_get(a, "id")))
                                    : json_incref(json_object_get(a, "token"));
}

/* Lists side by side; vLLM's with prompt_logprobs. */
static json_t *openai_shape(state *t, json_t *list, const tok_vec *prompt)
{
    size_t i, k;
    json_t *p, *a, *tokens = json_array(), *values = json_array(), *tops = json_array();
    json_array_foreach(list, i, p) {
        json_t *top = json_object();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a) {
            json_t *name = name_of(t, a);
            if (k < 20 && !json_object_get(top, json_string_value(name))) json_object_set(top, json_string_value(name), json_object_get(a, "logprob"));
            json_decref(name);
        }
        json_array_append_new(tokens, name_of(t, p));
        json_array_append(values, json_object_get(p, "logprob"));
        json_array_append_new(tops, top);
    }
    json_decref(list);
    json_t *choice = json_pack("{s:i,s:{s:o,s:o,s:o}}", "index", 0, "logprobs", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops);
    if (t->s->shape == FAKE_VLLM) {
        json_t *all = json_array();
        json_array_append_new(all, json_null());
        for (size_t n = 1; n < prompt->n; n++) {
            json_t *map = json_object(), *one = answer(t, &(tok_vec){.v = prompt->v, .n = n}, 1);
            json_array_foreach(json_object_get(json_array_get(one, 0), "top_logprobs"), k, a) {
                char key[24];
                snprintf(key, sizeof key, "%lld", (long long)json_integer_value(json_object_get(a, "id")));
                json_object_set_new(map, key, json_pack("{s:O}", "logprob", json_object_get(a, "logprob")));
            }
            json_decref(one);
            json_array_append_new(all, map);
        }
        json_object_set_new(choice, "prompt_logprobs", all);
    }
    return json_pack("{s:[o],s:{s:i}}", "choices", choice, "usage", "prompt_tokens", (int)prompt->n);
}

static json_t *shaped(state *t, json_t *list, const tok_vec *prompt)
{
    switch (t->s->shape) {
    case FAKE_LLAMA: return json_pack("{s:o}", "completion_probabilities", list);
    case FAKE_LLAMA_OLD: return old_shape(list);
    case FAKE_OLLAMA: return json_pack("{s:o,s:i}", "logprobs", list, "prompt_eval_count", (int)prompt->n);
    default: return openai_shape(t, list, prompt);
    }
}

/* ---- faults ---- */

/* Numbers by the name of "logprob", in maps of them and in lists, all through the answer. */
static void spoil(json_t *j, fake_fault fault, bool here)
{
    const char *key;
    json_t *v;
    void *next;
    size_t i;
    json_object_foreach_safe(j, next, key, v) {
        bool inside = here || strcmp(key, "logprob") == 0 || strcmp(key, "top_logprobs") == 0 || strcmp(key, "token_logprobs") == 0;
        if (json_is_real(v) && inside && fault == FAKE_NAN) json_object_set_new(j, key, json_null());
        else if (json_is_real(v) && inside) json_object_set_new(j, key, json_real(json_real_value(v) * 1.3 - fabs(sin(1e3 * json_real_value(v)))));
        else if (strcmp(key, "timings")) spoil(v, fault, strcmp(key, "top_logprobs") == 0 && json_is_array(v));
    }
    json_array_foreach(j, i, v) spoil(v, fault, here);
}

static void spoil_answer(state *t, json_t *j)
{
    json_t *list = json_object_get(j, "completion_probabilities");
    size_t n = json_array_size(list);
    switch (t->s->fault) {
    case FAKE_NOISE:
    case FAKE_NAN:
        spoil(j, t->s->fault, false);
        break;
    case FAKE_REPEAT:
        for (size_t i = 1; i < n; i++) json_array_set(list, i, json_array_get(list, 0));
        break;
    case FAKE_BAD_TOKEN:
        for (size_t i = 0; i < n; i++) {
            json_t *p = json_array_get(list, i), *third = json_array_get(json_object_get(p, "top_logprobs"), 2);
            json_object_set(p, "id", json_object_get(third, "id"));
            json_object_set(p, "logprob", json_object_get(third, "logprob"));
        }
        break;
    case FAKE_NO_LOGPROBS:
        json_object_clear(j);
        break;
    default:
        break;
    }
}

/* ---- HTTP ---- */

static void put(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return;
        p += k;
        n -= (size_t)k;
    }
}

static void reply(int fd, int code, const char *type, const char *body, size_t said)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", code, type, said);
    put(fd, head, strlen(head));
    put(fd, body, strlen(body));
}

static void reply_json(int fd, int code, json_t *j)
{
    char *s = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9));
    reply(fd, code, "application/json", s, strlen(s));
    free(s);
    json_decref(j);
}

/* Answers that are none; false where the fault is none of those. */
static bool no_answer(int fd, fake_fault fault)
{
    char page[1024];
    switch (fault) {
    case FAKE_HANG:
    case FAKE_STREAM:
        if (fork() != 0) return true;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fault == FAKE_HANG) pause();
        put(fd, "HTTP/1.1 200 OK\r\n\r\n{\"x\":[0", 26);
        for (;;) {
            put(fd, ",0", 2);
            usleep(20000);
        }
    case FAKE_HTML:
        reply(fd, 200, "text/html", "<html><body>please log in</body></html>", 39);
        return true;
    case FAKE_ERROR:
        reply(fd, 500, "text/html", "<html>oh</html>", 15);
        return true;
    case FAKE_HUGE:
        put(fd, "HTTP/1.1 200 OK\r\n\r\n{\"x\":\"", 25);
        memset(page, 'x', sizeof page);
        for (int i = 0; i < 40 << 10; i++) put(fd, page, sizeof page);
        return true;
    case FAKE_CUT:
        reply(fd, 200, "application/json", "{\"completion_probabilities\":[{\"id\":1,", 37);
        return true;
    case FAKE_DROP:
        reply(fd, 200, "application/json", "{\"completion_", 1000);
        return true;
    case FAKE_GARBAGE:
        snprintf(page, sizeof page, "%s",
                 "{\"completion_probabilities\":[7,{\"id\":1e99,\"logprob\":\"x\",\"top_logprobs\":{}},{\"id\":-4,\"logprob\":-1e300},[]],\"logprobs\":3}");
        reply(fd, 200, "application/json", page, strlen(page));
        return true;
    default:
        return false;
    }
}

typedef struct request {
    char path[256], *body;
    json_t *json;
} request;

static bool read_request(int fd, request *r, char *b)
{
    size_t n = 0, want = 0;
    char *end = NULL;
    *r = (request){0};
    while (n < MOST - 1) {
        ssize_t k = read(fd, b + n, MOST - 1 - n);
        if (k <= 0) return false;
        n += (size_t)k;
        b[n] = 0;
        if (!end && (end = strstr(b, "\r\n\r\n"))) {
            const char *len = strcasestr(b, "\r\nContent-Length:");
            want = (size_t)(end + 4 - b) + (len && len < end ? strtoul(len + 17, NULL, 10) : 0);
        }
        if (end && n >= want) break;
    }
    if (!end || sscanf(b, "%*s %255s", r->path) != 1) return false;
    r->body = end + 4;
    r->json = json_loads(r->body, 0, NULL);
    return true;
}

/* What the server behind says. */
static json_t *passed_on(const state *t, const char *method, const request *r, int *code)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t->s->backend), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *b = malloc(MOST), head[512];
    size_t n = 0;
    json_t *j = NULL;
    *code = 502;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", method,
                 r->path, strlen(r->body));
        put(fd, head, strlen(head));
        put(fd, r->body, strlen(r->body));
        for (ssize_t k; n < MOST - 1 && (k = read(fd, b + n, MOST - 1 - n)) > 0;) n += (size_t)k;
        b[n] = 0;
        const char *from = strstr(b, "\r\n\r\n"), *first = from ? strchr(from, '{') : NULL;
        sscanf(b, "HTTP/%*s %d", code);
        if (first) j = json_loads(first, JSON_DISABLE_EOF_CHECK, NULL);
    }
    close(fd);
    free(b);
    return j;
}

static json_t *token_list(const tok_vec *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->n; i++) json_array_append_new(a, json_integer(v->v[i]));
    return a;
}

static void completion(state *t, int fd, const request *r, const char *method)
{
    const fake_server *s = t->s;
    const json_t *p = json_object_get(r->json, "prompt"), *n = json_object_get(r->json, "n_predict"), *e;
    tok_vec prompt = {0};
    tawny_error err;
    size_t i;
    int code = 200;
    if (!n) n = json_object_get(r->json, "max_tokens");
    if (!n) n = json_object_get(json_object_get(r->json, "options"), "num_predict");
    json_array_foreach(p, i, e) tok_vec_add(&prompt, (tawny_token)json_integer_value(e));
    if (json_is_string(p) && t->tok) tok_encode(t->tok, json_string_value(p), json_string_length(p), TOK_ADD_SPECIAL, &prompt, &err);
    bool wrong = s->fault != FAKE_RIGHT && (int)prompt.n >= s->from;
    if (wrong && no_answer(fd, s->fault)) {
        tok_vec_free(&prompt);
        return;
    }
    if ((s->shape == FAKE_LM_STUDIO && !json_is_string(p)) || (!s->backend && (int)prompt.n + (int)json_integer_value(n) > (s->n_ctx ? s->n_ctx : 256))) {
        reply_json(fd, 400, json_pack("{s:{s:s}}", "error", "message", "the prompt will not do"));
    } else {
        json_t *j = s->backend ? passed_on(t, method, r, &code) : shaped(t, answer(t, &prompt, (int)json_integer_value(n)), &prompt);
        if (wrong && s->fault == FAKE_CONSTANT && t->said) {
            json_decref(j);
            j = json_deep_copy(t->said);
        } else if (wrong && j) {
            spoil_answer(t, j);
        }
        if (!t->said && prompt.n > 8) t->said = json_deep_copy(j);
        reply_json(fd, code, j ? j : json_object());
    }
    tok_vec_free(&prompt);
}

/* The routes beside completions. */
static void route(state *t, int fd, const request *r)
{
    const fake_server *s = t->s;
    tawny_error err;
    bool llama = s->shape == FAKE_LLAMA || s->shape == FAKE_LLAMA_OLD;
    if (llama && strcmp(r->path, "/props") == 0) {
        reply_json(fd, 200, json_pack("{s:{s:i}}", "default_generation_settings", "n_ctx", s->n_ctx ? s->n_ctx : 256));
    } else if (s->shape == FAKE_OLLAMA && strcmp(r->path, "/api/tags") == 0) {
        reply_json(fd, 200, json_pack("{s:[{s:s}]}", "models", "name", "tiny:latest"));
    } else if (s->shape != FAKE_OLLAMA && strcmp(r->path, "/v1/models") == 0) {
        reply_json(fd, 200, json_pack("{s:[{s:s,s:s,s:i}]}", "data", "id", "tiny", "owned_by", s->shape == FAKE_VLLM ? "vllm" : "me", "max_model_len", 256));
    } else if ((llama || s->shape == FAKE_VLLM) && strcmp(r->path, "/tokenize") == 0) {
        const char *text = json_string_value(json_object_get(r->json, llama ? "content" : "prompt"));
        tok_vec v = {0};
        tok_encode(t->tok, text, strlen(text), TOK_PARSE_SPECIAL, &v, &err);
        if (s->fault == FAKE_TOKENIZER && v.n > 30) v.v[3] = 7;
        reply_json(fd, 200, json_pack("{s:o}", "tokens", token_list(&v)));
        tok_vec_free(&v);
    } else if (llama && strcmp(r->path, "/apply-template") == 0) {
        chat_template *c;
        jinja_output out;
        must(chat_open(t->tok, NULL, 0, &c, &err), &err);
        must(chat_render(c, &(chat_request){.messages = json_object_get(r->json, "messages"), .thinking = -1}, &out, &err), &err);
        if (s->fault == FAKE_TEMPLATE) out.text[5] = '!';
        reply_json(fd, 200, json_pack("{s:s#}", "prompt", out.text, (int)out.n));
        jinja_output_free(&out);
        chat_close(c);
    } else {
        reply_json(fd, 404, json_pack("{s:s}", "error", "no such thing"));
    }
}

static void serve(int listener, const fake_server *s)
{
    state t = {.s = s};
    char *b = malloc(MOST);
    if (s->model) open_model(&t, s->model);
    for (;;) {
        int fd = accept(listener, NULL, NULL), code;
        request r;
        if (fd < 0) continue;
        if (read_request(fd, &r, b)) {
            const char *method = strncmp(b, "POST", 4) == 0 ? "POST" : "GET";
            if (strstr(r.path, "completion") || strcmp(r.path, "/api/generate") == 0) {
                completion(&t, fd, &r, method);
            } else if (s->backend) {
                json_t *j = passed_on(&t, method, &r, &code);
                reply_json(fd, code, j ? j : json_object());
            } else {
                route(&t, fd, &r);
            }
            json_decref(r.json);
        }
        shutdown(fd, SHUT_WR);
        close(fd);
    }
}

void fake_server_start(fake_server *s)
{
    int fd;
    s->pid = loopback_fork(&s->port, &fd);
    if (s->pid == 0) serve(fd, s);
}

void fake_server_stop(fake_server *s)
{
    loopback_end(s->pid);
}
