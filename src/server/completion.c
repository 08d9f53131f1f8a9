#include "completion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../text/schema.h"

enum { MAX_BIASES = 1024, MAX_GRAMMAR = 1 << 20, MAX_STOP = 4096 };

#define S(field) offsetof(completion, sampling.field)
#define C(field) offsetof(completion, field)

const param completion_sampling[] = {
    {"temperature", PARAM_NUMBER, S(temp), 0, 1e6, 0, false, "0: always the most probable token"},
    {"top_p", PARAM_NUMBER, S(top_p), 0, 1, 0, false, "the fewest tokens whose probabilities reach it"},
    {"top_k", PARAM_INT, S(top_k), 0, INT32_MAX, 0, false, "the k most probable; 0: all"},
    {"min_p", PARAM_NUMBER, S(min_p), 0, 1, 0, false, "those at least so probable, of the most probable one"},
    {"typical_p", PARAM_NUMBER, S(typ_p), 0, 1, 0, false, "locally typical; 1: off"},
    {"top_n_sigma", PARAM_NUMBER, S(top_n_sigma), -1, 1e6, 0, false, "within so many standard deviations of the best logit"},
    {"xtc_probability", PARAM_NUMBER, S(xtc_probability), 0, 1, 0, false, "chance to exclude the top"},
    {"xtc_threshold", PARAM_NUMBER, S(xtc_threshold), 0, 1, 0, false, "of those above it"},
    {"dynatemp_range", PARAM_NUMBER, S(dynatemp_range), 0, 1e6, 0, false, "temperature by entropy, plus or minus"},
    {"dynatemp_exponent", PARAM_NUMBER, S(dynatemp_exponent), 0, 1e6, 0, false, "its exponent"},
    {"repeat_last_n", PARAM_INT, S(repeat_last_n), -1, INT32_MAX, 0, false, "tokens that penalties look at; -1: all"},
    {"repeat_penalty", PARAM_NUMBER, S(repeat_penalty), 0, 1e6, 0, false, "divides repeated logits; 1: off"},
    {"presence_penalty", PARAM_NUMBER, S(presence_penalty), -2e3, 2e3, 0, false, "off logits of what is there"},
    {"frequency_penalty", PARAM_NUMBER, S(frequency_penalty), -2e3, 2e3, 0, false, "times its count"},
    {"dry_multiplier", PARAM_NUMBER, S(dry_multiplier), 0, 1e6, 0, false, "against repeated sequences; 0: off"},
    {"dry_base", PARAM_NUMBER, S(dry_base), 0, 1e6, 0, false, NULL},
    {"dry_allowed_length", PARAM_INT, S(dry_allowed_length), 0, INT32_MAX, 0, false, NULL},
    {"dry_penalty_last_n", PARAM_INT, S(dry_penalty_last_n), -1, INT32_MAX, 0, false, NULL},
    {"dry_sequence_breakers", PARAM_JSON, C(breakers), 0, 0, JSON_T_ARRAY, false, "texts that end a repetition"},
    {"mirostat", PARAM_INT, S(mirostat), 0, 2, 0, false, "0: off, 1 or 2"},
    {"mirostat_tau", PARAM_NUMBER, S(mirostat_tau), 0, 1e6, 0, false, NULL},
    {"mirostat_eta", PARAM_NUMBER, S(mirostat_eta), 0, 1e6, 0, false, NULL},
    {"samplers", PARAM_JSON, C(samplers), 0, 0, JSON_T_ARRAY | JSON_T_STRING, false, "their names in order"},
    {"seed", PARAM_SEED, S(seed), 0, 0, 0, false, "of the random numbers; -1: any"},
    {"stop", PARAM_JSON, C(stop), 0, 0, JSON_T_STRING | JSON_T_ARRAY, false, "texts that end the answer"},
    {"logit_bias", PARAM_JSON, C(logit_bias), 0, 0, JSON_T_OBJECT | JSON_T_ARRAY, false, "token id to what is added to its logit"},
    {"ignore_eos", PARAM_BOOL, C(ignore_eos), 0, 0, 0, false, "go on where the model would end"},
    {"cache_prompt", PARAM_BOOL, C(cache_prompt), 0, 0, 0, false, "go on from what is computed already (changes no bit)"},
    {"fingerprint", PARAM_BOOL, C(fingerprint), 0, 0, 0, false, "a hash of the model and all logits in the answer"},
    {"grammar", PARAM_TEXT, C(grammar), 0, MAX_GRAMMAR, 0, false, "GBNF that the answer must match"},
    {"json_schema", PARAM_JSON, C(json_schema), 0, 0, JSON_T_OBJECT | JSON_T_BOOL, false, "a schema that the answer must match"},
    {"stream", PARAM_BOOL, C(stream), 0, 0, 0, false, "send the answer as it comes"},
    PARAM_END,
};

void completion_defaults(const server *sv, completion *c)
{
    *c = (completion){.sampling = sv->config.sampling, .max_tokens = sv->config.n_predict, .n = 1, .cache_prompt = true, .n_top = -1};
}

static bool bad(exchange *x, const char *field, const char *what)
{
    char message[600];
    snprintf(message, sizeof message, "'%s' %s", field, what);
    reply_error(x, 400, NULL, message, field);
    return false;
}

static bool read_stops(exchange *x, const json_t *stop, task *j)
{
    size_t n = json_is_array(stop) ? json_array_size(stop) : stop ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_array(stop) ? json_array_get(stop, i) : stop;
        if (!json_is_string(s)) return bad(x, "stop", "must be a string or a list of strings");
        if (json_string_length(s) > MAX_STOP) return bad(x, "stop", "must hold texts of at most 4096 bytes");
        if (!task_add_stop(j, json_string_value(s), json_string_length(s))) return bad(x, "stop", "must hold at most 64 texts");
    }
    return true;
}

static bool one_bias(const server *sv, const char *token, const json_t *value, sampler_bias *out)
{
    char *end;
    long id = strtol(token, &end, 10);
    if (end == token || *end || id < 0 || id >= (long)tok_n_vocab(sv->tok)) return false;
    double v = json_is_number(value) ? json_number_value(value) : json_is_false(value) ? -INFINITY : NAN;
    if (!(v <= 1e6) || (v < -1e6 && !isinf(v))) return false;
    *out = (sampler_bias){(tawny_token)id, v <= -100 ? -INFINITY : (float)v};
    return true;
}

/* {"id": bias} (OpenAI), or [[id, bias or false], ...] (llama-server). */
static bool read_biases(exchange *x, const json_t *from, task *j)
{
    size_t never, n = 0, given = json_is_object(from) ? json_object_size(from) : json_array_size(from);
    const tawny_token *suppressed = tok_suppressed(x->sv->tok, &never);
    if (given > MAX_BIASES) return bad(x, "logit_bias", "must hold at most 1024 tokens");
    sampler_bias *b = calloc(given + never + 1, sizeof *b);
    bool ok = b != NULL;
    const char *key;
    json_t *v;
    if (json_is_object(from)) json_object_foreach((json_t *)(uintptr_t)from, key, v) ok = ok && one_bias(x->sv, key, v, &b[n]) && ++n;
    for (size_t i = 0; ok && json_is_array(from) && i < given; i++) {
        const json_t *pair = json_array_get(from, i), *id = json_array_get(pair, 0);
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(id));
        ok = json_is_integer(id) && one_bias(x->sv, text, json_array_get(pair, 1), &b[n]) && ++n;
    }
    if (!ok) {
        free(b);
        return bad(x, "logit_bias", "must map token ids of the vocabulary to numbers");
    }
    for (size_t i = 0; i < never; i++) b[n++] = (sampler_bias){suppressed[i], -INFINITY};
    j->p.sampling.bias = b;
    j->p.sampling.n_bias = n;
    return true;
}

static bool read_breakers(exchange *x, const json_t *from, task *j)
{
    size_t n = json_array_size(from), done = 0;
    if (!from) {
        j->p.sampling.dry_breakers = NULL; /* the usual ones are borrowed: the task owns what it has */
        j->p.sampling.n_dry_breakers = 0;
        sampler_params d = sampler_params_default();
        n = (size_t)d.n_dry_breakers;
        char **own = calloc(n + 1, sizeof *own);
        for (; own && done < n && (own[done] = strdup(d.dry_breakers[done])); done++) continue;
        j->p.sampling.dry_breakers = (const char *const *)own;
        j->p.sampling.n_dry_breakers = (int)done;
        return true;
    }
    if (n > SAMPLER_MAX_BREAKERS) return bad(x, "dry_sequence_breakers", "must hold at most 64 texts");
    char **own = calloc(n + 1, sizeof *own);
    for (; own && done < n; done++) {
        const char *s = json_string_value(json_array_get(from, done));
        if (!s || !(own[done] = strdup(s))) break;
    }
    j->p.sampling.dry_breakers = (const char *const *)own;
    j->p.sampling.n_dry_breakers = (int)done;
    return done == n ? true : bad(x, "dry_sequence_breakers", "must be a list of strings");
}

static bool read_samplers(exchange *x, const json_t *from, sampler_params *p)
{
    tawny_error err;
    buf names = {0};
    if (!from) return true;
    for (size_t i = 0; json_is_array(from) && i < json_array_size(from); i++) {
        const char *s = json_string_value(json_array_get(from, i));
        if (i) buf_char(&names, ';');
        buf_str(&names, s ? s : "?");
    }
    tawny_status st = json_is_string(from) ? sampler_params_parse_letters(json_string_value(from), p, &err)
                                           : sampler_params_parse_chain(names.data ? names.data : "", p, &err);
    buf_free(&names);
    return st == TAWNY_OK ? true : bad(x, "samplers", err.message);
}

/* ---- grammars ---- */

static bool bad_place(exchange *x, const char *field, const char *prefix, const tawny_error *why)
{
    char message[600], top[64];
    snprintf(message, sizeof message, "%s%s", prefix, why->message);
    snprintf(top, sizeof top, "%.*s", (int)strcspn(field, "."), field);
    reply_error(x, why->code == TAWNY_E_NOMEM ? 500 : 400, NULL, message, top);
    return false;
}

/* The grammar that a schema becomes, or a refusal that names the place. What the schema does not describe is left out unless
 * it asks for more: a model would not stop to invent properties. */
static tawny_status from_schema(const json_t *schema, buf *text, tawny_error *err)
{
    char *source = json_dumps(schema, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!source) return err_nomem(err);
    tawny_status st = schema_rules(source, strlen(source), "root", SCHEMA_CLOSED, text, err);
    free(source);
    return st;
}

typedef struct making {
    const completion *c;
    const gbnf_tokens *tokens;
    bool content_failed; /* else the tools did */
} making;

static tawny_status make_content(const completion *c, const gbnf_tokens *tokens, buf *text, tawny_error *err)
{
    gbnf *alone = NULL;
    if (c->json_schema) return from_schema(c->json_schema, text, err);
    if (!c->grammar) return TAWNY_OK;
    buf_str(text, c->grammar);
    tawny_status st = gbnf_parse(text->data ? text->data : "", text->size, tokens, &alone, err); /* its errors have its own lines */
    gbnf_free(alone);
    return st;
}

static tawny_status make_grammar(void *arg, buf *out, tawny_error *err)
{
    making *m = arg;
    const completion *c = m->c;
    bool given = c->json_schema || c->grammar;
    answer_frame frame = c->frame;
    buf content = {0};
    frame.tokens = m->tokens;
    tawny_status st = make_content(c, m->tokens, &content, err);
    m->content_failed = st != TAWNY_OK;
    if (st == TAWNY_OK && c->tools)
        st = answer_grammar_calls(&frame, c->must, c->tools, c->only, !c->one_call, given ? &content : NULL, out, err);
    else if (st == TAWNY_OK && answer_grammar_frames(&frame))
        st = answer_grammar_content(&frame, content.data ? content.data : "", content.size, out, err);
    else if (st == TAWNY_OK)
        buf_add(out, content.data ? content.data : "", content.size);
    buf_free(&content);
    return st;
}

/* All that the grammar depends on. */
static void grammar_key(const completion *c, buf *key)
{
    const answer_frame *f = &c->frame;
    buf_printf(key, "%d %d %d %d %d %d %d %s\n", (int)f->style.format, (int)f->style.variant, f->style.thought, f->thinks, f->may_think,
               (int)c->must, c->one_call, c->only ? c->only : "");
    const json_t *parts[] = {c->tools, c->json_schema};
    for (int i = 0; i < 2; i++) {
        char *text = parts[i] ? json_dumps(parts[i], JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        buf_printf(key, "%c", text ? '+' : '-');
        if (text) buf_str(key, text);
        buf_char(key, '\n');
        free(text);
    }
    if (c->grammar) buf_str(key, c->grammar);
}

/* NULL where the answer is free. */
static bool read_grammar(exchange *x, const completion *c, grammar **out)
{
    tawny_error err;
    buf key = {0};
    gbnf_tokens tokens = gbnf_tokens_of(x->sv->tok);
    making m = {.c = c, .tokens = &tokens};
    *out = NULL;
    if (c->grammar && c->json_schema) return bad(x, "grammar", "and 'json_schema' exclude each other");
    if (!c->grammar && !c->json_schema && !c->tools) return true;
    grammar_key(c, &key);
    tawny_status st = buf_ok(&key) ? grammar_get(x->sv->grammars, key.data, key.size, make_grammar, &m, out, &err) : err_nomem(&err);
    buf_free(&key);
    if (st == TAWNY_OK) return true;
    if (c->tools && !m.content_failed) return bad_place(x, "tools", "tools", &err);
    char prefix[100];
    const char *field = !c->json_schema ? "grammar" : c->schema_field ? c->schema_field : "json_schema";
    snprintf(prefix, sizeof prefix, "'%s': ", field);
    return bad_place(x, field, prefix, &err);
}

static bool one_piece(exchange *x, const json_t *v, const char *field, unsigned flags, tok_vec *out)
{
    tawny_error err;
    if (json_is_integer(v)) {
        json_int_t id = json_integer_value(v);
        if (id < 0 || id >= (json_int_t)tok_n_vocab(x->sv->tok)) return bad(x, field, "must hold token ids of the vocabulary");
        return tok_vec_add(out, (tawny_token)id);
    }
    if (!json_is_string(v)) return bad(x, field, "must be a text, token ids, or a list of them");
    if (tok_encode(x->sv->tok, json_string_value(v), json_string_length(v), flags, out, &err) == TAWNY_OK) return true;
    reply_status(x, &err, field);
    return false;
}

bool completion_mixed(exchange *x, const json_t *from, const char *field, unsigned flags, tok_vec *out)
{
    if (!json_is_array(from)) return one_piece(x, from, field, flags, out);
    for (size_t i = 0; i < json_array_size(from); i++)
        if (!one_piece(x, json_array_get(from, i), field, i ? flags & ~(unsigned)TOK_ADD_SPECIAL : flags, out)) return false;
    return true;
}

bool completion_prompt(exchange *x, const json_t *from, tok_vec *out)
{
    return completion_mixed(x, from, "prompt", TOK_PARSE_SPECIAL | TOK_ADD_SPECIAL, out);
}

static bool fill(exchange *x, const completion *c, const tok_vec *prompt, bool special, int no, task *j)
{
    tawny_error err;
    j->p = (task_params){.sampling = c->sampling, .max_tokens = c->max_tokens, .n_top = c->n_top, .slot = -1, .special = special,
                        .ignore_eos = c->ignore_eos, .no_reuse = !c->cache_prompt, .fingerprint = c->fingerprint};
    j->p.sampling.bias = NULL;
    j->p.sampling.n_bias = 0;
    j->p.sampling.dry_breakers = NULL;
    j->p.sampling.n_dry_breakers = 0;
    if (j->p.sampling.seed != SAMPLER_SEED_RANDOM) j->p.sampling.seed += (uint64_t)no;
    for (size_t i = 0; i < prompt->n; i++)
        if (!tok_vec_add(&j->prompt, prompt->v[i])) {
            reply_error(x, 500, NULL, "out of memory", NULL);
            return false;
        }
    if (!read_stops(x, c->stop, j) || !read_biases(x, c->logit_bias, j) || !read_breakers(x, c->breakers, j) ||
        !read_samplers(x, c->samplers, &j->p.sampling))
        return false;
    if (sampler_params_check(&j->p.sampling, &err) == TAWNY_OK) return true;
    reply_status(x, &err, NULL);
    return false;
}

bool completion_tasks(exchange *x, const completion *c, const tok_vec *prompt, bool special, task **tasks)
{
    grammar *g;
    bool ok = read_grammar(x, c, &g);
    int n = 0;
    for (; n < c->n && ok; n++) {
        tasks[n] = task_new();
        if (!tasks[n]) reply_error(x, 500, NULL, "out of memory", NULL);
        ok = tasks[n] && fill(x, c, prompt, special, n, tasks[n]);
        if (ok) tasks[n]->p.grammar = grammar_hold(g);
    }
    grammar_drop(g);
    while (!ok && n > 0) task_drop(tasks[--n]);
    x->stream = c->stream;
    return ok;
}

bool completion_refuses(exchange *x, const completion_refusal *list)
{
    for (; list->name; list++) {
        const json_t *v = json_object_get(x->json, list->name);
        bool empty = !v || json_is_null(v) || json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
                     (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
        if (!empty) return !bad(x, list->name, list->why);
    }
    return false;
}

json_t *completion_arguments(const json_t *call)
{
    const json_t *text = json_object_get(call, "arguments");
    return answer_arguments(json_string_value(text), json_string_length(text));
}

const char *completion_reason(const choice *c)
{
    if (c->state == TASK_LENGTH) return "length";
    return json_array_size(c->calls) ? "tool_calls" : "stop";
}

completion_usage completion_usage_of(const exchange *x)
{
    completion_usage u = {0};
    for (int i = 0; i < x->n_choices; i++) {
        task *j = x->choices[i].task;
        pthread_mutex_lock(&j->lock);
        if (i == 0 || (x->per_prompt && i % x->per_prompt == 0)) u.prompt += j->n_prompt, u.cached += j->n_cached;
        u.answer += (int)j->n_tokens;
        size_t thought = x->choices[i].parser ? answer_thought(x->choices[i].parser) : 0;
        for (size_t t = 0; t < j->n_tokens && j->tokens[t].text_end <= thought; t++) u.reasoning++;
        pthread_mutex_unlock(&j->lock);
    }
    return u;
}

json_t *completion_timings(const choice *c)
{
    task *j = c->task;
    pthread_mutex_lock(&j->lock);
    const task_phases ms = task_phases_of(j);
    const double read = ms.prompt, write = ms.answer;
    int n = j->n_prompt - j->n_cached, made = (int)j->n_tokens, guessed = j->n_guessed, right = j->n_guessed_right;
    pthread_mutex_unlock(&j->lock);
    json_t *o = json_pack("{s:i,s:i,s:f,s:f,s:f,s:i,s:f,s:f,s:f}", "cache_n", j->n_cached, "prompt_n", n, "prompt_ms", read, "prompt_per_token_ms",
                     n ? read / n : 0.0, "prompt_per_second", read > 0 ? n / read * 1e3 : 0.0, "predicted_n", made, "predicted_ms", write,
                     "predicted_per_token_ms", made ? write / made : 0.0, "predicted_per_second", write > 0 ? made / write * 1e3 : 0.0);
    if (guessed) json_object_set_new(o, "draft_n", json_integer(guessed));
    if (guessed) json_object_set_new(o, "draft_n_accepted", json_integer(right));
    return o;
}
