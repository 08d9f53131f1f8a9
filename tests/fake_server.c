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
#include "fake_shapes.h"
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

typedef struct request {
    char path[256], *body;
    json_t *json;
} request;

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

/* What comes before each token of a prompt but the first. */
static json_t *positions_of(state *t, const tok_vec *prompt)
{
    json_t *all = json_array();
    for (size_t n = 1; n < prompt->n; n++) {
        json_t *one = answer(t, &(tok_vec){.v = prompt->v, .n = n}, 1);
        json_array_append(all, json_array_get(one, 0));
        json_decref(one);
    }
    return all;
}

static json_t *completed(state *t, const request *r, const tok_vec *prompt, int n)
{
    json_t *before = json_object_get(r->json, "prompt_logprobs") ? positions_of(t, prompt) : NULL;
    json_t *j = fake_shaped(t->s->shape, r->path, r->json, answer(t, prompt, n), before, (int)prompt->n);
    json_decref(before);
    return j;
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
    case FAKE_HALF:
        for (size_t i = 1; i < n; i += 2) spoil(json_array_get(list, i), FAKE_NOISE, false);
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
    case FAKE_DRIP:
        if (fork() != 0) return true;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fault == FAKE_HANG) pause();
        if (fault == FAKE_STREAM) put(fd, "HTTP/1.1 200 OK\r\n\r\n{\"x\":[0", 26);
        for (const char *p = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"x\":[0";; p += *p != 0) {
            if (fault == FAKE_STREAM) put(fd, ",0", 2);
            else put(fd, *p ? p : " ", 1);
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

/* The prompt's tokens, of ids, a text or a message. */
static void prompt_of(const state *t, const json_t *q, tok_vec *out)
{
    const json_t *p = json_object_get(q, "prompt"), *input = json_object_get(q, "input"), *e;
    const json_t *message = json_array_get(json_object_get(q, "messages"), 0);
    tawny_error err;
    size_t i;
    if (message) input = json_object_get(message, "content");
    json_array_foreach(p, i, e) tok_vec_add(out, (tawny_token)json_integer_value(e));
    if (json_is_string(p) && t->tok) tok_encode(t->tok, json_string_value(p), json_string_length(p), TOK_ADD_SPECIAL, out, &err);
    if (!json_is_string(input) || !t->tok) return;
    chat_template *c;
    json_t *messages = json_pack("[{s:s,s:O}]", "role", "user", "content", input);
    must(chat_open(t->tok, NULL, 0, &c, &err), &err);
    must(chat_prompt(c, &(chat_request){.messages = messages, .thinking = -1}, out, NULL, &err), &err);
    chat_close(c);
    json_decref(messages);
}

static int wanted_of(const json_t *q)
{
    static const char *const keys[] = {"n_predict", "max_tokens", "max_output_tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(q, keys[i])) return (int)json_integer_value(json_object_get(q, keys[i]));
    return (int)json_integer_value(json_object_get(json_object_get(q, "options"), "num_predict"));
}

static bool is_wrong(const fake_server *s, const json_t *q, int n_prompt)
{
    return s->fault != FAKE_RIGHT && n_prompt >= s->from && !(s->fresh_alone && json_is_true(json_object_get(q, "cache_prompt")));
}

static void completion(state *t, int fd, const request *r, const char *method)
{
    const fake_server *s = t->s;
    tok_vec prompt = {0};
    int code = 200;
    prompt_of(t, r->json, &prompt);
    int n = wanted_of(r->json);
    bool wrong = is_wrong(s, r->json, (int)prompt.n);
    json_t *no = s->backend ? NULL : fake_refuses(s->shape, r->path, r->json);
    if (wrong && no_answer(fd, s->fault)) {
        json_decref(no);
    } else if (wrong && s->fault == FAKE_FEW && json_integer_value(json_object_get(r->json, "n_probs")) > 10) {
        json_decref(no);
        reply_json(fd, 500, json_pack("{s:{s:s}}", "error", "message", "incomplete UTF-8 string; last byte: 0x80"));
    } else if (no || (!s->backend && (int)prompt.n + n > (s->n_ctx ? s->n_ctx : 256))) {
        reply_json(fd, 400, no ? no : json_pack("{s:{s:s}}", "error", "message", "the prompt will not do"));
    } else {
        json_t *j = s->backend ? passed_on(t, method, r, &code) : completed(t, r, &prompt, n);
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
    bool llama = s->shape == FAKE_LLAMA || s->shape == FAKE_LLAMA_OLD || s->shape == FAKE_ROUTER;
    int n_ctx = s->n_ctx ? s->n_ctx : 256;
    json_t *about = fake_about(s->shape, r->path, n_ctx, s->n_params);
    if (about) {
        reply_json(fd, 200, about);
    } else if ((llama || s->shape == FAKE_VLLM) && strcmp(r->path, "/tokenize") == 0) {
        const char *text = json_string_value(json_object_get(r->json, llama ? "content" : "prompt"));
        tok_vec v = {0};
        tok_encode(t->tok, text, strlen(text), TOK_PARSE_SPECIAL, &v, &err);
        if (s->fault == FAKE_TOKENIZER && v.n > 30) v.v[3] = 7;
        reply_json(fd, 200, llama ? json_pack("{s:o}", "tokens", token_list(&v))
                                  : json_pack("{s:i,s:i,s:o,s:n}", "count", (int)v.n, "max_model_len", n_ctx, "tokens", token_list(&v), "token_strs"));
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

static void serve(void *arg, int fd)
{
    static state t;
    static char b[MOST];
    request r;
    int code;
    if (!t.s) {
        t.s = arg;
        if (t.s->model) open_model(&t, t.s->model);
    }
    if (!read_request(fd, &r, b)) return;
    const char *method = strncmp(b, "POST", 4) == 0 ? "POST" : "GET";
    if (strstr(r.path, "completion") || strcmp(r.path, "/api/generate") == 0 || strcmp(r.path, "/v1/responses") == 0) {
        completion(&t, fd, &r, method);
    } else if (t.s->backend) {
        json_t *j = passed_on(&t, method, &r, &code);
        reply_json(fd, code, j ? j : json_object());
    } else {
        route(&t, fd, &r);
    }
    json_decref(r.json);
}

void fake_server_start(fake_server *s) { s->pid = loopback_start(&s->port, serve, s); }
void fake_server_stop(fake_server *s) { loopback_end(s->pid); }
