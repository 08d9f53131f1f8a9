/* llama-server's /completion and /infill. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"
#include "openai.h"

typedef struct native_body {
    completion c; /* first: tables of completions read into it */
    const json_t *prompt, *prefix, *suffix, *extra, *lora, *fields;
    bool return_tokens, post_probs, timings_each;
    int n_probs, slot;
} native_body;

#define B(field) offsetof(native_body, field)
static const param native_table[] = {
    {"n_predict", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "tokens of the answer at most; -1: until the context is full"},
    {"max_tokens", PARAM_INT, B(c.max_tokens), -1, INT32_MAX, 0, false, "the same"},
    {"min_keep", PARAM_INT, B(c.sampling.min_keep), 0, INT32_MAX, 0, false, "candidates that samplers leave at least"},
    {"n_probs", PARAM_INT, B(n_probs), 0, TASK_MAX_TOP, 0, false, "probabilities of the tokens and of so many alternatives"},
    {"post_sampling_probs", PARAM_BOOL, B(post_probs), 0, 0, 0, false, "those that the token was drawn from, not the model's"},
    {"return_tokens", PARAM_BOOL, B(return_tokens), 0, 0, 0, false, "the answer's token ids"},
    {"timings_per_token", PARAM_BOOL, B(timings_each), 0, 0, 0, false, "timings with each piece of a stream"},
    {"id_slot", PARAM_INT, B(slot), -1, 4095, 0, false, "the slot that computes it; -1: any"},
    {"response_fields", PARAM_JSON, B(fields), 0, 0, JSON_T_ARRAY, false, "of the answer, those alone; a/b: b of a"},
    {"lora", PARAM_JSON, B(lora), 0, 0, JSON_T_ARRAY, false, "no adapters are known: must be empty"},
    PARAM_END,
};
static const param prompt_table[] = {
    {"prompt", PARAM_JSON, B(prompt), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true,
     "a text, token ids, or both mixed; an array of such: an answer for each"},
    PARAM_END,
};
static const param infill_table[] = {
    {"input_prefix", PARAM_JSON, B(prefix), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "what stands before the gap"},
    {"input_suffix", PARAM_JSON, B(suffix), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "what stands behind it"},
    {"input_extra", PARAM_JSON, B(extra), 0, 0, JSON_T_ARRAY, false, "further files: {\"filename\", \"text\"}"},
    {"prompt", PARAM_JSON, B(prompt), 0, 0, JSON_T_STRING, false, "what the gap begins with"},
    PARAM_END,
};
const param *const llama_completion_tables[] = {prompt_table, native_table, completion_sampling, NULL};
const param *const llama_infill_tables[] = {infill_table, native_table, completion_sampling, NULL};

typedef struct native_answer {
    completion c;
    const json_t *fields; /* of the request; NULL: all */
    bool return_tokens, post_probs, timings_each;
    size_t at[COMPLETION_MAX_N]; /* tokens of a choice that were sent */
} native_answer;

/* ---- the answer ---- */

/* The ids of tokens from *at on that belong to the text seen so far; *at goes on. */
static json_t *ids_from(const choice *c, size_t *at)
{
    task *j = c->task;
    json_t *list = json_array();
    pthread_mutex_lock(&j->lock);
    for (; *at < j->n_tokens && (j->tokens[*at].text_end <= c->text_at || task_ended(c->state)); ++*at)
        json_array_append_new(list, json_integer(j->tokens[*at].id));
    pthread_mutex_unlock(&j->lock);
    return list;
}

/* What sampling drew from is told as probabilities, the model's own numbers as logarithms. */
static json_t *probabilities(const native_answer *a, choice *c)
{
    json_t *list = c->tokens;
    size_t i;
    json_t *t;
    c->tokens = json_array();
    if (!a->post_probs) return list;
    json_array_foreach(list, i, t) {
        json_t *tops = json_object_get(t, "top_logprobs"), *o;
        size_t k;
        json_array_foreach(tops, k, o) {
            json_object_set(o, "prob", json_object_get(o, "logprob"));
            json_object_del(o, "logprob");
        }
        json_object_set(t, "prob", json_object_get(t, "logprob"));
        json_object_set(t, "top_probs", tops);
        json_object_del(t, "logprob");
        json_object_del(t, "top_logprobs");
    }
    return list;
}

static void native_text(exchange *x, choice *c, answer_kind kind, const char *text, size_t n)
{
    native_answer *a = x->own;
    (void)kind;
    json_t *o = json_pack("{s:i,s:o,s:o,s:b,s:i,s:i}", "index", c->index, "content", json_stringn(text, n), "tokens",
                          ids_from(c, &a->at[c->index]), "stop", 0, "id_slot", -1, "tokens_evaluated", (int)c->task->prompt.n);
    json_object_set_new(o, "tokens_predicted", json_integer((json_int_t)a->at[c->index]));
    if (a->timings_each) json_object_set_new(o, "timings", completion_timings(c));
    if (c->tokens) json_object_set_new(o, "completion_probabilities", probabilities(a, c));
    put_event(x, NULL, o);
}

static const char *stop_type(const choice *c)
{
    switch (c->state) {
    case TASK_STOPPED: return "eos";
    case TASK_STOP_WORD: return "word";
    case TASK_LENGTH: return "limit";
    default: return "none";
    }
}

static json_t *prompt_text(const exchange *x, const task *j)
{
    tok_stream stream = {0};
    buf b = {0};
    bool ok = true;
    for (size_t i = 0; i < j->prompt.n && ok; i++) ok = tok_stream_push(x->sv->tok, &stream, j->prompt.v[i], TOK_SPECIAL, &b);
    ok = ok && tok_stream_flush(&stream, &b);
    json_t *s = json_stringn(b.data ? b.data : "", b.size);
    buf_free(&b);
    return s;
}

/* Takes the answer; gives what is wanted of it, under the names as they were asked for. */
static json_t *only(json_t *answer_json, const json_t *fields)
{
    json_t *out = json_object();
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const char *path = json_string_value(json_array_get(fields, i));
        json_t *v = answer_json;
        for (const char *p = path; p && v;) {
            char key[128];
            size_t n = strcspn(p, "/");
            snprintf(key, sizeof key, "%.*s", (int)(n < sizeof key ? n : sizeof key), p);
            v = json_object_get(v, key);
            p = p[n] ? p + n + 1 : NULL;
        }
        if (path && v) json_object_set(out, path, v);
    }
    json_decref(answer_json);
    return out;
}

/* The last event of a choice, or all of it where it is not streamed. */
static json_t *final(exchange *x, choice *c)
{
    native_answer *a = x->own;
    const task *j = c->task; /* it has ended */
    int n = (int)j->n_tokens;
    bool full = j->n_prompt + n >= tawny_engine_n_ctx(sched_engine(x->sv->sched)) && c->state == TASK_LENGTH;
    json_t *o = json_pack("{s:i,s:o,s:i,s:b,s:s,s:i,s:i,s:o,s:o,s:b,s:b,s:s,s:s,s:i,s:o}", "index", c->index, "content",
                          x->stream ? json_string("") : json_stringn(c->text.data ? c->text.data : "", c->text.size), "id_slot", j->slot, "stop", 1,
                          "model", server_model_name(x->sv), "tokens_predicted", n, "tokens_evaluated", j->n_prompt, "generation_settings",
                          llama_settings(x, &a->c, a->post_probs), "prompt", prompt_text(x, j), "has_new_line",
                          c->text.data && memchr(c->text.data, '\n', c->text.size), "truncated", full, "stop_type", stop_type(c), "stopping_word",
                          c->state == TASK_STOP_WORD ? j->p.stop[j->stop_word] : "", "tokens_cached", j->n_prompt + (n ? n - 1 : 0), "timings",
                          completion_timings(c));
    json_object_set_new(o, "tokens", x->stream || a->return_tokens ? ids_from(c, &a->at[c->index]) : json_array());
    if (c->tokens && (!x->stream || json_array_size(c->tokens))) json_object_set_new(o, "completion_probabilities", probabilities(a, c));
    if (j->fingerprint[0]) json_object_set_new(o, "fingerprint", json_string(j->fingerprint));
    return json_array_size(a->fields) ? only(o, a->fields) : o;
}

static void native_finish(exchange *x, choice *c) { put_event(x, NULL, final(x, c)); }
static void native_end(exchange *x) { (void)x; }
static void native_ping(exchange *x) { buf_str(&x->out, ": still reading\n\n"); }
static void native_fail(exchange *x, const char *message) { put_event(x, NULL, x->door->error(500, NULL, message, NULL)); }

static json_t *native_whole(exchange *x)
{
    if (x->n_choices == 1) return final(x, &x->choices[0]);
    json_t *list = json_array();
    for (int i = 0; i < x->n_choices; i++) json_array_append_new(list, final(x, &x->choices[i]));
    return list;
}

static const door native_door = {
    .stream_type = "text/event-stream", .text = native_text, .finish = native_finish, .end = native_end, .fail = native_fail, .ping = native_ping,
    .whole = native_whole, .error = openai_error,
};

/* ---- the request ---- */

static bool refuse(exchange *x, const char *field, const char *message)
{
    reply_error(x, 400, NULL, message, field);
    return false;
}

static bool read_body(exchange *x, native_body *b, const param *own)
{
    completion_defaults(x->sv, &b->c);
    if (!exchange_params(x, completion_sampling, &b->c) || !exchange_params(x, native_table, b) || !exchange_params(x, own, b)) return false;
    b->c.n_top = b->n_probs > 0 ? b->n_probs : -1;
    if (json_array_size(b->lora)) return refuse(x, "lora", "'lora' must be empty: no adapters are known");
    if (b->slot >= sched_n_slots(x->sv->sched)) return refuse(x, "id_slot", "'id_slot' must be that of a slot");
    return true;
}

static void submit(exchange *x, const native_body *b, task **tasks, int n)
{
    native_answer *own = calloc(1, sizeof *own);
    x->own = own;
    x->free_own = free;
    if (!own) {
        for (int i = 0; i < n; i++) task_drop(tasks[i]);
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    *own = (native_answer){.c = b->c, .fields = b->fields, .return_tokens = b->return_tokens, .post_probs = b->post_probs, .timings_each = b->timings_each};
    own->c.sampling.seed = tasks[0]->p.sampling.seed;
    for (int i = 0; i < n; i++) {
        tasks[i]->p.post_probs = b->post_probs;
        tasks[i]->p.slot = b->slot;
    }
    exchange_submit(x, tasks, n, NULL);
}

/* An array without numbers holds prompts; other arrays are one. */
static bool several(const json_t *prompt)
{
    size_t i;
    const json_t *v;
    json_array_foreach(prompt, i, v)
        if (json_is_number(v)) return false;
    return json_array_size(prompt) > 0;
}

static bool add_prompt(exchange *x, const native_body *b, const json_t *from, task **at)
{
    tok_vec prompt = {0};
    bool ok = completion_prompt(x, from, &prompt) && completion_tasks(x, &b->c, &prompt, false, at);
    tok_vec_free(&prompt);
    return ok;
}

void llama_completion(exchange *x)
{
    native_body b = {.slot = -1};
    task *tasks[COMPLETION_MAX_N];
    int n = 0;
    x->door = &native_door;
    if (!read_body(x, &b, prompt_table)) return;
    bool list = several(b.prompt), ok = true;
    int wanted = list ? (int)json_array_size(b.prompt) : 1;
    if (wanted > COMPLETION_MAX_N) {
        refuse(x, "prompt", "'prompt' must hold at most 16 prompts");
        return;
    }
    for (; ok && n < wanted; n += ok) ok = add_prompt(x, &b, list ? json_array_get(b.prompt, (size_t)n) : b.prompt, &tasks[n]);
    if (ok)
        submit(x, &b, tasks, n);
    else
        while (n > 0) task_drop(tasks[--n]);
}

/* ---- a gap to be filled: [FIM_REP] project [FIM_SEP] file ... [FIM_PRE] prefix [FIM_SUF] suffix [FIM_MID], as
 * Qwen2.5-Coder's report (arXiv 2409.12186) has it, and llama-server with it. ---- */

static bool special(exchange *x, tok_special which, tok_vec *out)
{
    tawny_token id = tok_special_id(x->sv->tok, which);
    return id == TOK_NONE || tok_vec_add(out, id);
}

static bool text(exchange *x, const char *s, size_t n, tok_vec *out)
{
    tawny_error err;
    if (tok_encode(x->sv->tok, s, n, 0, out, &err) == TAWNY_OK) return true;
    reply_status(x, &err, NULL);
    return false;
}

static bool extra_files(exchange *x, const native_body *b, tok_vec *out)
{
    bool marks = tok_special_id(x->sv->tok, TOK_FIM_SEP) != TOK_NONE, ok = true;
    if (tok_special_id(x->sv->tok, TOK_FIM_REP) != TOK_NONE) ok = special(x, TOK_FIM_REP, out) && text(x, "myproject\n", 10, out);
    for (size_t i = 0; ok && i < json_array_size(b->extra); i++) {
        const json_t *file = json_array_get(b->extra, i), *body = json_object_get(file, "text"), *name = json_object_get(file, "filename");
        if (!json_is_string(body) || (name && !json_is_string(name)))
            return refuse(x, "input_extra", "'input_extra' must hold objects of texts: {\"filename\", \"text\"}");
        const char *title = name ? json_string_value(name) : "tmp";
        ok = marks ? special(x, TOK_FIM_SEP, out) && text(x, title, strlen(title), out) && text(x, "\n", 1, out)
                   : text(x, "\n\n--- snippet ---\n\n", 19, out);
        ok = ok && text(x, json_string_value(body), json_string_length(body), out);
    }
    if (marks) ok = ok && special(x, TOK_FIM_SEP, out) && text(x, "filename\n", 9, out);
    return ok;
}

/* The last `most` of the tokens, or the first. */
static bool add_part(const tok_vec *from, size_t most, bool last, tok_vec *out)
{
    size_t n = from->n < most ? from->n : most, start = last ? from->n - n : 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = tok_vec_add(out, from->v[start + i]);
    return ok;
}

/* What does not fit is left out: of the files the first, of the prefix the beginning, of the suffix the end. */
static bool infill_prompt(exchange *x, const native_body *b, tok_vec *out)
{
    tok_vec files = {0}, before = {0}, behind = {0}, begun = {0};
    size_t n_ctx = (size_t)tawny_engine_n_ctx(sched_engine(x->sv->sched)), wanted = b->c.max_tokens > 0 ? (size_t)b->c.max_tokens : n_ctx / 4;
    bool ok = extra_files(x, b, &files) && completion_mixed(x, b->prefix, "input_prefix", 0, &before) &&
              completion_mixed(x, b->suffix, "input_suffix", 0, &behind) &&
              (!b->prompt || completion_mixed(x, b->prompt, "prompt", TOK_PARSE_SPECIAL, &begun));
    size_t taken = begun.n + 8 + (wanted < n_ctx / 2 ? wanted : n_ctx / 2), room = taken < n_ctx ? n_ctx - taken : 0;
    size_t suffix = behind.n < room / 4 ? behind.n : room / 4, prefix = before.n < room - suffix ? before.n : room - suffix;
    ok = ok && add_part(&files, room - suffix - prefix, true, out);
    if (ok && tok_add_bos(x->sv->tok)) ok = special(x, TOK_BOS, out);
    ok = ok && special(x, TOK_FIM_PRE, out) && add_part(&before, prefix, true, out) && add_part(&begun, begun.n, false, out) &&
         special(x, TOK_FIM_SUF, out) && add_part(&behind, suffix, false, out) && special(x, TOK_FIM_MID, out);
    tok_vec_free(&files);
    tok_vec_free(&before);
    tok_vec_free(&behind);
    tok_vec_free(&begun);
    if (!ok && !x->status) reply_error(x, 500, NULL, "out of memory", NULL);
    return ok;
}

void llama_infill(exchange *x)
{
    native_body b = {.slot = -1};
    tok_vec prompt = {0};
    task *one;
    const tokenizer *t = x->sv->tok;
    x->door = &native_door;
    if (tok_special_id(t, TOK_FIM_PRE) == TOK_NONE || tok_special_id(t, TOK_FIM_SUF) == TOK_NONE || tok_special_id(t, TOK_FIM_MID) == TOK_NONE)
        reply_error(x, 400, "not_supported_error", "Infill is not supported by this model: it has no tokens for it", NULL);
    else if (read_body(x, &b, infill_table) && infill_prompt(x, &b, &prompt) && completion_tasks(x, &b.c, &prompt, false, &one))
        submit(x, &b, &one, 1);
    tok_vec_free(&prompt);
}
