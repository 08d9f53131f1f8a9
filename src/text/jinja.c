/* The way in: parsing, rendering, the context's conversion from JSON, the output's segments. */
#include "jinja.h"

#include <stdlib.h>
#include <string.h>

#include "jinja_impl.h"

enum {
    MAX_SOURCE = 4 << 20,
    PARSE_BYTES = 48 << 20,
    PARSE_STEPS = 1 << 21,
    STACK_VALUES = 4096
};

tawny_status jinja_parse(const char *source, size_t n, jinja **out, tawny_error *err)
{
    *out = NULL;
    if (n > MAX_SOURCE) return err_set(err, TAWNY_E_LIMIT, "a template of %zu bytes (limit %d)", n, MAX_SOURCE);
    arena *mem = arena_new();
    if (!mem) return err_nomem(err);
    jinja_rt rt = {.mem = mem, .max_bytes = PARSE_BYTES, .max_steps = PARSE_STEPS + n * 8, .max_text = PARSE_BYTES,
        .stack_base = __builtin_frame_address(0), .err = err, .line = 1};
    int failed = setjmp(rt.escape);
    if (failed) {
        arena_free(mem);
        return (tawny_status)failed;
    }
    jinja *t = rt_alloc(&rt, sizeof *t);
    *t = (jinja){.mem = mem};
    jinja_parse_tokens(&rt, jinja_lex(&rt, source, n), t);
    jinja_resolve(&rt, t);
    *out = t;
    return TAWNY_OK;
}

void jinja_free(jinja *t)
{
    if (t) arena_free(t->mem);
}

bool jinja_mentions(const jinja *t, const char *word)
{
    size_t n = strlen(word);
    for (uint32_t i = 0; i < t->words->n; i++) {
        const vstr *s = t->words->keys[i].u.s;
        if (s->n == n && memcmp(s->p, word, n) == 0) return true;
    }
    return false;
}

/* ---- the context ---- */

typedef struct importer {
    jinja_rt *rt;
    const jinja_options *opt;
    bool trusted; /* the variable being imported is trusted as a whole */
    vdict *keys[2]; /* of objects: one string for all equal ones, by trust */
} importer;

static value import(importer *x, const json_t *j, const char *key);

static value import_text(importer *x, const json_t *j, const char *key)
{
    const char *p = json_string_value(j);
    size_t n = json_string_length(j);
    bool trust = x->trusted || (x->opt && x->opt->trust && x->opt->trust(key, p, n));
    return v_str(vstr_new(x->rt, p, n, trust));
}

/* A key as a string: one for all equal keys, with the template's own bytes where it has that word. */
static value import_key(importer *x, const char *p, size_t n)
{
    vdict *known = x->keys[x->trusted];
    const vstr s = {.p = p, .n = n, .chars = SIZE_MAX};
    value *v = dict_get_str(x->rt, known, &s), *word;
    if (v) return *v;
    word = dict_get_str(x->rt, x->rt->run->tpl->words, &s);
    value k = v_str(vstr_new(x->rt, word ? word->u.s->p : p, n, x->trusted));
    dict_set(x->rt, known, k, k);
    return k;
}

static value import_object(importer *x, const json_t *j)
{
    jinja_rt *rt = x->rt;
    vdict *d = dict_new(rt, json_object_size(j));
    json_t *o = (json_t *)(uintptr_t)j;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *key = json_object_iter_key(it);
        value k = import_key(x, key, json_object_iter_key_len(it));
        dict_set(rt, d, k, import(x, json_object_iter_value(it), key));
    }
    return v_dict(d);
}

static value import(importer *x, const json_t *j, const char *key)
{
    rt_guard(x->rt);
    switch (json_typeof(j)) {
    case JSON_STRING: return import_text(x, j, key);
    case JSON_INTEGER: return v_int(json_integer_value(j));
    case JSON_REAL: return v_float(json_real_value(j));
    case JSON_TRUE: return v_bool(true);
    case JSON_FALSE: return v_bool(false);
    case JSON_OBJECT: return import_object(x, j);
    case JSON_ARRAY: {
        vseq *q = seq_new(x->rt, json_array_size(j));
        for (size_t i = 0; i < q->n; i++) q->v[i] = import(x, json_array_get(j, i), "");
        return v_seq(V_LIST, q);
    }
    default: return v_none();
    }
}

static bool named(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static vdict *import_context(jinja_rt *rt, const json_t *context, const jinja_options *opt)
{
    importer x = {.rt = rt, .opt = opt, .keys = {dict_new(rt, 32), dict_new(rt, 4)}};
    vdict *d = dict_new(rt, json_object_size(context));
    json_t *o = (json_t *)(uintptr_t)context;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *key = json_object_iter_key(it);
        x.trusted = opt && named(opt->trusted, key);
        value k = v_str(vstr_new(rt, key, json_object_iter_key_len(it), true));
        dict_set(rt, d, k, import(&x, json_object_iter_value(it), key));
    }
    return d;
}

/* How much there is in a context: values, and bytes of text. Limits grow with it: long conversations render. */
static void measure(const json_t *j, size_t *values, size_t *bytes, int depth)
{
    json_t *o = (json_t *)(uintptr_t)j;
    ++*values;
    if (depth > 100) return; /* the importer refuses it */
    if (json_is_string(j)) {
        *bytes += json_string_length(j);
    } else if (json_is_array(j)) {
        for (size_t i = 0; i < json_array_size(j); i++) measure(json_array_get(j, i), values, bytes, depth + 1);
    } else if (json_is_object(j)) {
        for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
            *bytes += json_object_iter_key_len(it);
            measure(json_object_iter_value(it), values, bytes, depth + 1);
        }
    }
}

static void set_limits(jinja_rt *rt, const json_t *context, const jinja_options *opt)
{
    size_t values = 0, bytes = 0;
    measure(context, &values, &bytes, 0);
    size_t some = (bytes < (size_t)1 << 40 ? bytes : (size_t)1 << 40) + values * 64;
    /* templates that look through all messages for each of them are common: some steps for every pair of values */
    uint64_t pairs = values < 20000 ? 2 * (uint64_t)values * values : 800000000;
    uint64_t steps = 400000 + 1000 * (uint64_t)values + 20 * (uint64_t)bytes + pairs;
    rt->max_steps = opt && opt->max_steps ? opt->max_steps : steps;
    rt->max_bytes = opt && opt->max_bytes ? opt->max_bytes : ((size_t)16 << 20) + 16 * some;
    rt->max_text = ((size_t)4 << 20) + 4 * some;
    if (rt->max_text > rt->max_bytes) rt->max_text = rt->max_bytes;
}

/* ---- the output ---- */

static tawny_status give(const vsb *b, jinja_output *out, tawny_error *err)
{
    out->text = malloc(b->n + 1);
    out->segments = malloc((b->n_marks + 1) * sizeof *out->segments);
    base_alloc_counted();
    if (!out->text || !out->segments) {
        jinja_output_free(out);
        return err_nomem(err);
    }
    if (b->n) memcpy(out->text, b->p, b->n);
    out->text[b->n] = 0;
    out->n = b->n;
    size_t start = 0;
    for (size_t i = 0; i < b->n_marks; i++) {
        out->segments[i] = (jinja_segment){start, b->marks[i].end - start, b->marks[i].trust};
        start = b->marks[i].end;
    }
    out->n_segments = b->n_marks;
    return TAWNY_OK;
}

void jinja_output_free(jinja_output *out)
{
    free(out->text);
    free(out->segments);
    *out = (jinja_output){0};
}

static void render(jinja_rt *rt, const jinja *t, const json_t *context, const jinja_options *opt)
{
    jinja_run *run = rt->run;
    rt->sp = rt_array(rt, STACK_VALUES, sizeof(value));
    rt->stack_end = rt->sp + STACK_VALUES;
    run->tpl = t;
    run->now = opt ? opt->now : NULL;
    run->context = import_context(rt, context, opt);
    frame *f = frame_enter(rt, t->root, NULL);
    run->root = f;
    jinja_exec(rt, t->body, f);
}

tawny_status jinja_render(const jinja *t, const json_t *context, const jinja_options *opt, jinja_output *out,
                          tawny_error *err)
{
    *out = (jinja_output){0};
    if (!json_is_object(context)) return err_set(err, TAWNY_E_ARG, "the context of a template must be an object");
    arena *mem = arena_new();
    if (!mem) return err_nomem(err);
    jinja_run run = {0};
    vsb b = {0};
    jinja_rt rt = {.mem = mem, .stack_base = __builtin_frame_address(0), .err = err, .line = 1, .out = &b,
        .run = &run};
    set_limits(&rt, context, opt);
    b.rt = &rt;
    int failed = setjmp(rt.escape);
    if (!failed) {
        render(&rt, t, context, opt);
        failed = (int)give(&b, out, err);
    }
    arena_free(mem);
    return (tawny_status)failed;
}
