/* POST /v1/completions: a text goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "completion.h"
#include "openai.h"

enum { MAX_TOP = 20, MAX_PROMPTS = 64 };

typedef struct text_body {
    completion c;
    const json_t *prompt, *stream_options;
    const char *model;
    bool echo;
    int logprobs, best_of;
} text_body;

#define B(field) offsetof(text_body, field)
static const param text_table[] = {
    {"prompt", PARAM_JSON, B(prompt), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "a text, token ids, or a list of either"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"max_tokens", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "tokens of the answer at most (default: 16)"},
    {"n", PARAM_INT, B(c.n), 1, COMPLETION_MAX_N, 0, false, "answers"},
    {"logprobs", PARAM_INT, B(logprobs), 0, MAX_TOP, 0, false, "log probabilities of the tokens and of so many alternatives"},
    {"best_of", PARAM_INT, B(best_of), 1, COMPLETION_MAX_N, 0, false, "nothing but 'n'"},
    {"echo", PARAM_BOOL, B(echo), 0, 0, 0, false, "the prompt first"},
    {"stream_options", PARAM_JSON, B(stream_options), 0, 0, JSON_T_OBJECT, false, "include_usage"},
    PARAM_END,
};
const param *const openai_text_tables[] = {text_table, completion_sampling, NULL};

typedef struct text_answer {
    bool usage, echo;
    json_t *prompts; /* to be echoed: their texts */
} text_answer;

static void free_answer(void *p)
{
    text_answer *a = p;
    if (a) json_decref(a->prompts);
    free(a);
}

static const json_t *echo_of(const exchange *x, const choice *c)
{
    const text_answer *a = x->own;
    return a->echo ? json_array_get(a->prompts, (size_t)(c->index / x->per_prompt)) : NULL;
}

/* The older form of log probabilities: lists side by side. Offsets count the characters of the text. */
static json_t *logprobs(choice *c)
{
    size_t i, k;
    const json_t *t, *a;
    if (!c->tokens || (c->x->stream && !json_array_size(c->tokens))) return json_null();
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    json_array_foreach(c->tokens, i, t)
    {
        json_t *top = json_object();
        json_array_append(tokens, json_object_get(t, "token"));
        json_array_append(values, json_object_get(t, "logprob"));
        json_array_append(offsets, json_object_get(t, "offset"));
        json_array_foreach(json_object_get(t, "top_logprobs"), k, a)
            json_object_set(top, json_string_value(json_object_get(a, "token")), json_object_get(a, "logprob"));
        json_array_append_new(tops, top);
    }
    json_array_clear(c->tokens);
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops, "text_offset", offsets);
}

static void chunk(exchange *x, choice *c, json_t *text, const char *reason)
{
    const text_answer *a = x->own;
    json_t *o = openai_base(x, "text_completion");
    json_object_set_new(o, "choices", json_pack("[{s:i,s:o,s:o,s:s?}]", "index", c->index, "text", text, "logprobs", logprobs(c), "finish_reason", reason));
    if (a->usage) json_object_set_new(o, "usage", json_null());
    put_event(x, NULL, o);
}

static void text_start(exchange *x)
{
    for (int i = 0; i < x->n_choices; i++) {
        const json_t *echo = echo_of(x, &x->choices[i]);
        if (echo) chunk(x, &x->choices[i], json_deep_copy(echo), NULL);
    }
}

static void text_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    (void)kind;
    chunk(x, c, json_stringn(text, n), NULL);
}

static void text_finish(exchange *x, choice *c) { chunk(x, c, json_string(""), completion_reason(c)); }

static void text_end(exchange *x)
{
    const text_answer *a = x->own;
    if (a->usage) {
        json_t *o = openai_base(x, "text_completion");
        json_object_set_new(o, "choices", json_array());
        json_object_set_new(o, "usage", openai_usage(x));
        openai_extras(x, o);
        put_event(x, NULL, o);
    }
    openai_end(x);
}

static json_t *text_whole(exchange *x)
{
    json_t *o = openai_base(x, "text_completion"), *list = json_array();
    for (int i = 0; i < x->n_choices; i++) {
        choice *c = &x->choices[i];
        const json_t *echo = echo_of(x, c);
        buf all = {0};
        if (echo) buf_add(&all, json_string_value(echo), json_string_length(echo));
        if (c->text.size) buf_add(&all, c->text.data, c->text.size);
        json_array_append_new(list, json_pack("{s:i,s:o,s:o,s:s}", "index", i, "text", json_stringn(all.data ? all.data : "", all.size), "logprobs",
                                              logprobs(c), "finish_reason", completion_reason(c)));
        buf_free(&all);
    }
    json_object_set_new(o, "choices", list);
    json_object_set_new(o, "usage", openai_usage(x));
    openai_extras(x, o);
    return o;
}

static const door text_door = {
    .stream_type = "text/event-stream", .start = text_start, .text = text_text, .finish = text_finish, .end = text_end, .fail = openai_fail,
    .ping = openai_ping, .whole = text_whole, .error = openai_error,
};

/* ---- the request ---- */

static const completion_refusal refused[] = {
    {"suffix", "is not supported here: /infill fills gaps"},
    {NULL, NULL},
};

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

/* A text, or token ids with texts among them, is one prompt; a list of texts, or of lists, is several. */
static size_t count_prompts(const json_t *p)
{
    size_t n = json_array_size(p);
    bool several = n > 0;
    for (size_t i = 0; i < n; i++) several &= !json_is_number(json_array_get(p, i));
    return several ? n : 1;
}

static json_t *text_of_tokens(const server *sv, const tok_vec *v)
{
    buf b = {0};
    for (size_t i = 0; i < v->n; i++) {
        size_t n;
        const char *p = tok_piece(sv->tok, v->v[i], 0, &n);
        if (p) buf_add(&b, p, n);
    }
    json_t *s = json_stringn(b.data ? b.data : "", b.size);
    buf_free(&b);
    return s ? s : json_string("");
}

/* The tasks of prompt number `no`. */
static bool add_prompt(exchange *x, const text_body *b, const json_t *from, int no, task **tasks)
{
    text_answer *own = x->own;
    tok_vec prompt = {0};
    bool ok = completion_prompt(x, from, &prompt) && completion_tasks(x, &b->c, &prompt, false, tasks + no * b->c.n);
    if (ok && b->echo)
        json_array_append_new(own->prompts, json_is_string(from) ? json_deep_copy(from) : text_of_tokens(x->sv, &prompt));
    tok_vec_free(&prompt);
    return ok;
}

static bool read_body(exchange *x, text_body *b)
{
    completion_defaults(x->sv, &b->c);
    b->c.max_tokens = 16;
    if (completion_refuses(x, refused)) return false;
    if (!exchange_params(x, completion_sampling, &b->c) || !exchange_params(x, text_table, b)) return false;
    b->c.n_top = b->logprobs;
    if (b->best_of && b->best_of != b->c.n) return refuse(x, "best_of", "'best_of' is not supported, unless it is 'n'");
    if (b->echo && b->logprobs >= 0) return refuse(x, "echo", "'echo' with 'logprobs' is not supported: there are none of the prompt");
    size_t n = count_prompts(b->prompt);
    if (n * (size_t)b->c.n > MAX_PROMPTS) return refuse(x, "prompt", "'prompt' must ask for at most 64 answers in all");
    return true;
}

void openai_completions(exchange *x)
{
    text_body b = {.logprobs = -1};
    task *tasks[MAX_PROMPTS] = {NULL};
    text_answer *own = calloc(1, sizeof *own);
    x->door = &text_door;
    x->own = own;
    x->free_own = free_answer;
    if (!own || !(own->prompts = json_array())) {
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    if (!read_body(x, &b)) return;
    int n = (int)count_prompts(b.prompt), done = 0;
    bool several = json_is_array(b.prompt) && (n > 1 || !json_is_number(json_array_get(b.prompt, 0)));
    for (bool ok = true; done < n && ok; done += ok)
        ok = add_prompt(x, &b, several && json_array_size(b.prompt) ? json_array_get(b.prompt, (size_t)done) : b.prompt, done, tasks);
    own->usage = json_is_true(json_object_get(b.stream_options, "include_usage"));
    own->echo = b.echo;
    x->per_prompt = b.c.n;
    server_id(x->sv, "cmpl-", x->id);
    if (done == n)
        exchange_submit(x, tasks, n * b.c.n, NULL);
    else
        for (int i = 0; i < done * b.c.n; i++) task_drop(tasks[i]);
}
