/* Answers of servers of models: JSON in bounds, and log probabilities in all the shapes they come in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/mathf.h"
#include "net.h"
#include "remote.h"

enum { MAX_ANSWER = 32 << 20 };

/* NaN and Infinity outside of strings, as Python's json writes them and jansson does not take them, become numbers that
 * are no logarithms of probabilities either; a NUL, which it does not take in keys, becomes U+FFFD. */
static void mend(char *s, size_t n)
{
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        if (inside && n - i >= 6 && memcmp(s + i, "\\u0000", 6) == 0) memcpy(s + i, "\\ufffd", 6);
        if (inside && s[i] == '\\') i++;
        else if (s[i] == '"') inside = !inside;
        else if (!inside && n - i >= 3 && strncasecmp(s + i, "nan", 3) == 0) memcpy(s + i, "9e9", 3);
        else if (!inside && n - i >= 8 && memcmp(s + i, "Infinity", 8) == 0) memcpy(s + i, "9e9     ", 8);
    }
}

/* The reason in {"error": {"message": ...}} or {"error": ...}, or what there is. */
static const char *reason(const json_t *j)
{
    const json_t *e = json_object_get(j, "error"), *m = json_object_get(e, "message");
    if (!m) m = json_is_string(e) ? e : json_object_get(j, "message");
    return m && json_is_string(m) ? json_string_value(m) : "no reason is given";
}

json_t *remote_ask(remote *r, const char *path, json_t *question, int seconds, long *code, tawny_error *err)
{
    char url[640];
    buf body = {0};
    json_error_t why;
    json_t *j = NULL;
    char *post = question ? json_dumps(question, JSON_COMPACT) : NULL;
    *code = 0;
    snprintf(url, sizeof url, "%s%s", r->url, path);
    if (question && !post) {
        err_nomem(err);
        goto done;
    }
    if (net_ask(url, r->key, post, MAX_ANSWER, seconds, &body, code, err) != TAWNY_OK) {
        *code = 0;
        goto done;
    }
    j = json_loadb(body.data ? body.data : "", body.size, JSON_ALLOW_NUL, &why);
    if (!j && *code == 200) {
        mend(body.data, body.size);
        j = json_loadb(body.data ? body.data : "", body.size, JSON_ALLOW_NUL, &why);
    }
    if (*code != 200) {
        err_set(err, TAWNY_E_IO, "%.200s: the server answers %ld: %.200s", url, *code, j ? reason(j) : "no JSON");
        json_decref(j);
        j = NULL;
    } else if (!j || !json_is_object(j)) {
        err_set(err, TAWNY_E_IO, "%.200s: the answer is no JSON object%s%.100s", url, j ? "" : ": ", j ? "" : why.text);
        json_decref(j);
        j = NULL;
    }
done:
    free(post);
    buf_free(&body);
    return j;
}

static int compare_piece(const remote *r, tawny_token id, const char *text, size_t n)
{
    size_t m;
    const char *p = tok_piece(r->tok, id, TOK_SPECIAL, &m);
    int c = memcmp(p ? p : "", text, m < n ? m : n);
    return c ? c : m < n ? -1 : m > n;
}

/* The one token with this text, or -1. */
static tawny_token by_text(const remote *r, const char *text, size_t n)
{
    size_t from = 0, to = r->n_pieces;
    long long id;
    char rest;
    if (n > 9 && n < 30 && memcmp(text, "token_id:", 9) == 0 && sscanf(text + 9, "%lld%c", &id, &rest) == 1)
        return id >= 0 && id < (long long)tok_n_vocab(r->tok) ? (tawny_token)id : -1;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (compare_piece(r, r->by_piece[mid], text, n) < 0) from = mid + 1;
        else to = mid;
    }
    if (from == r->n_pieces || compare_piece(r, r->by_piece[from], text, n) != 0) return -1;
    if (from + 1 < r->n_pieces && compare_piece(r, r->by_piece[from + 1], text, n) == 0) return -1;
    return r->by_piece[from];
}

/* The token that an object tells of: by its id, its bytes or its text. */
static tawny_token token_of(const remote *r, const json_t *o)
{
    char text[512];
    const json_t *id = json_object_get(o, "id"), *bytes = json_object_get(o, "bytes"), *t = json_object_get(o, "token");
    if (json_is_integer(id))
        return json_integer_value(id) >= 0 && json_integer_value(id) < (json_int_t)tok_n_vocab(r->tok) ? (tawny_token)json_integer_value(id) : -1;
    if (!t) t = json_object_get(o, "tok_str");
    size_t n = json_array_size(bytes);
    if (n && n <= sizeof text) {
        for (size_t i = 0; i < n; i++) text[i] = (char)json_integer_value(json_array_get(bytes, i));
        return by_text(r, text, n);
    }
    return json_is_string(t) ? by_text(r, json_string_value(t), json_string_length(t)) : -1;
}

static void add(remote_step *s, tawny_token id, const json_t *value)
{
    double v = json_number_value(value);
    if (!json_is_number(value) || v > 1e-3) {
        s->not_numbers = true;
        return;
    }
    if (id < 0 && v > s->unknown) s->unknown = v;
    if (id < 0 || s->n == REMOTE_TOP) return;
    for (int i = 0; i < s->n; i++)
        if (s->id[i] == id) return;
    s->id[s->n] = id;
    s->logprob[s->n++] = v < -1000 ? -1000 : v;
}

/* {"id", "token", "bytes", "logprob", "top_logprobs": [...]}, or llama-server's older {"content", "probs": [...]}. */
static void read_object(remote *r, remote_step *s, const json_t *o)
{
    const json_t *top = json_object_get(o, "top_logprobs"), *old = json_object_get(o, "probs"), *a;
    size_t i;
    s->chosen = token_of(r, o);
    if (old) r->old_llama = true;
    json_array_foreach(top, i, a) add(s, token_of(r, a), json_object_get(a, "logprob"));
    json_array_foreach(old, i, a) {
        double p = json_number_value(json_object_get(a, "prob"));
        json_t *v = json_is_number(json_object_get(a, "prob")) ? json_real(p > 0 ? d_log(p) : -1000) : NULL;
        add(s, token_of(r, a), v);
        json_decref(v);
        if (i == 0 && s->chosen < 0) s->chosen = token_of(r, a);
    }
    if (!old) add(s, s->chosen, json_object_get(o, "logprob"));
}

/* {text or id: value or {"logprob": value}, ...} */
static void read_map(const remote *r, remote_step *s, const json_t *map, bool ids)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)map, key, v) {
        long id = ids ? strtol(key, NULL, 10) : -1;
        tawny_token t = !ids ? by_text(r, key, strlen(key)) : id >= 0 && id < (long)tok_n_vocab(r->tok) ? (tawny_token)id : -1;
        add(s, t, json_is_object(v) ? json_object_get(v, "logprob") : v);
    }
}

static remote_step *next_step(remote *r, int32_t pos)
{
    if (r->n_steps == REMOTE_STEPS) return NULL;
    remote_step *s = &r->steps[r->n_steps++];
    *s = (remote_step){.pos = pos, .chosen = -1, .unknown = -1e9};
    return s;
}

static void read_objects(remote *r, const json_t *list, int32_t n_prompt)
{
    size_t i;
    const json_t *o;
    json_array_foreach(list, i, o) {
        remote_step *s = json_is_object(o) ? next_step(r, n_prompt + (int32_t)i) : NULL;
        if (s) read_object(r, s, o);
    }
}

/* Lists side by side, of the answer alone. */
static void read_lists(remote *r, const json_t *lists, int32_t n_prompt)
{
    const json_t *tokens = json_object_get(lists, "tokens"), *tops = json_object_get(lists, "top_logprobs"), *t;
    const json_t *values = json_object_get(lists, "token_logprobs");
    size_t i;
    json_array_foreach(tokens, i, t) {
        remote_step *s = next_step(r, n_prompt + (int32_t)i);
        if (!s) return;
        if (json_is_string(t)) s->chosen = by_text(r, json_string_value(t), json_string_length(t));
        const json_t *top = json_array_get(tops, i), *a;
        size_t k;
        if (json_is_object(top)) read_map(r, s, top, false);
        json_array_foreach(top, k, a) add(s, token_of(r, a), json_object_get(a, "logprob"));
        add(s, s->chosen, json_array_get(values, i));
    }
}

/* vLLM's: one map for each token of the prompt (the first is null); those of the last ones are kept. */
static void read_prompt(remote *r, const json_t *list, int32_t n_prompt)
{
    size_t n = json_array_size(list), from = n > REMOTE_STEPS / 2 ? n - REMOTE_STEPS / 2 : 0;
    if (n != (size_t)n_prompt) return;
    for (size_t i = from ? from : 1; i < n; i++) {
        const json_t *map = json_array_get(list, i);
        remote_step *s = json_is_object(map) ? next_step(r, (int32_t)i) : NULL;
        if (s) read_map(r, s, map, true);
    }
}

/* OpenAI's responses: the text of the message; false where there is another kind of output before it. */
static bool read_output(remote *r, const json_t *output, int32_t n_prompt)
{
    size_t i, k;
    const json_t *item, *part;
    json_array_foreach(output, i, item) {
        const char *type = json_string_value(json_object_get(item, "type"));
        if (!type || strcmp(type, "message") != 0) return false;
        json_array_foreach(json_object_get(item, "content"), k, part) read_objects(r, json_object_get(part, "logprobs"), n_prompt);
        return true;
    }
    return true;
}

void remote_trim(char *s)
{
    size_t n = strlen(s), back = 0;
    while (back < 3 && back < n && ((unsigned char)s[n - 1 - back] & 0xc0) == 0x80) back++;
    if (back == n) return;
    unsigned char lead = (unsigned char)s[n - 1 - back];
    size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (want > back) s[n - 1 - back] = 0;
}

tawny_status remote_read_steps(remote *r, const json_t *answer, int32_t n_prompt, tawny_error *err)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0), *lp = json_object_get(choice, "logprobs");
    const json_t *native = json_object_get(answer, "completion_probabilities"), *ollama = json_object_get(answer, "logprobs");
    const json_t *usage = json_object_get(answer, "usage"), *count = json_object_get(usage, "prompt_tokens");
    const json_t *reasoning = json_object_get(json_object_get(choice, "message"), "reasoning_content");
    if (!count) count = json_object_get(usage, "input_tokens");
    if (!count) count = json_object_get(answer, "prompt_eval_count");
    r->n_steps = 0;
    r->prompt_tokens = json_is_integer(count) ? json_integer_value(count) : -1;
    read_prompt(r, json_object_get(choice, "prompt_logprobs"), n_prompt);
    int before = r->n_steps;
    if (!read_output(r, json_object_get(answer, "output"), n_prompt) || json_string_length(reasoning))
        return err_set(err, TAWNY_E_UNSUPPORTED, "%.200s: the model reasons before it answers, and nothing is told of that", r->url);
    read_objects(r, native ? native : ollama, n_prompt);
    if (json_object_get(lp, "content")) read_objects(r, json_object_get(lp, "content"), n_prompt);
    else read_lists(r, lp, n_prompt);
    for (int i = before; i < r->n_steps; i++)
        if (r->steps[i].n || r->steps[i].not_numbers) return TAWNY_OK;
    return err_set(err, TAWNY_E_UNSUPPORTED, "%.200s: the server tells no log probabilities of its tokens%s", r->url,
                   r->kind == REMOTE_OLLAMA ? " (ollama does from 0.12.11 on)" : "");
}
