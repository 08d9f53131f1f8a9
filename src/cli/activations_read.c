/* Files of intermediate results. Nothing in them is trusted: shapes are held against what is there. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activations.h"
#include "lines.h"

enum { MAX_LINE = 1 << 30, MAX_RECORDS = 1 << 16, EDGE = 3, MAX_EXCERPT = 2 * EDGE * 2 * EDGE * 2 * EDGE * 64 };
static const size_t MAX_VALUES = (size_t)1 << 29;

typedef struct reader {
    activations *a;
    size_t values;   /* in all */
    /* of the text form */
    activation *open; /* whose values come now */
    int depth;        /* of brackets */
    int64_t at[4];
    bool ids;         /* token ids come now */
    int64_t ids_left;
} reader;

static void free_one(activation *x)
{
    free(x->value);
    free(x->index);
}

void activations_free(activations *a)
{
    for (size_t i = 0; i < a->n; i++) free_one(&a->v[i]);
    free(a->v);
    free(a->tokens);
    *a = (activations){0};
}

static int64_t elements(const int64_t ne[4])
{
    int64_t n = 1;
    for (int i = 0; i < 4; i++) {
        if (ne[i] < 1 || ne[i] > INT32_MAX || n > ((int64_t)1 << 40) / ne[i]) return -1;
        n *= ne[i];
    }
    return n;
}

/* A new record, in place of an earlier one of the same name: the last result by a name is what goes on. */
static activation *add_record(reader *r, const char *name, size_t n, int layer, int32_t pos, tawny_error *err)
{
    activations *a = r->a;
    activation *x = NULL;
    for (size_t i = a->n; i-- > 0 && !x;)
        if (a->v[i].layer == layer && a->v[i].pos == pos && strlen(a->v[i].name) == n && memcmp(a->v[i].name, name, n) == 0) x = &a->v[i];
    if (x) {
        free_one(x);
    } else {
        if (a->n == MAX_RECORDS) return err_set(err, TAWNY_E_LIMIT, "more than %d results", MAX_RECORDS), NULL;
        if (a->n == a->cap) {
            size_t cap = a->cap ? 2 * a->cap : 256;
            activation *v = realloc(a->v, cap * sizeof *v);
            if (!v) return err_nomem(err), NULL;
            a->v = v;
            a->cap = cap;
        }
        x = &a->v[a->n++];
    }
    *x = (activation){.layer = layer, .pos = pos};
    memcpy(x->name, name, n < sizeof x->name - 1 ? n : sizeof x->name - 1);
    return x;
}

/* ---- JSON lines ---- */

static tawny_status read_tokens(reader *r, const json_t *list, tawny_error *err)
{
    size_t n = json_array_size(list), i;
    const json_t *t;
    if (n == 0 || n > 1 << 20) return err_set(err, TAWNY_E_FORMAT, "tokens: not an array of 1 to %d", 1 << 20);
    free(r->a->tokens);
    r->a->n_tokens = 0;
    r->a->tokens = malloc(n * sizeof *r->a->tokens);
    if (!r->a->tokens) return err_nomem(err);
    json_array_foreach(list, i, t) {
        json_int_t v = json_is_integer(t) ? json_integer_value(t) : -1;
        if (v < 0 || v > INT32_MAX) return err_set(err, TAWNY_E_FORMAT, "tokens: no token id at index %zu", i);
        r->a->tokens[r->a->n_tokens++] = (tawny_token)v;
    }
    return TAWNY_OK;
}

static tawny_status read_record(reader *r, const json_t *j, tawny_error *err)
{
    const json_t *shape = json_object_get(j, "shape"), *values = json_object_get(j, "values"), *layer = json_object_get(j, "layer");
    const json_t *pos = json_object_get(j, "pos"), *e;
    const char *name = json_string_value(json_object_get(j, "name"));
    size_t axes = json_array_size(shape), n = json_array_size(values), i;
    int64_t ne[4] = {1, 1, 1, 1};
    if (!name || !*name) return err_set(err, TAWNY_E_FORMAT, "name: no name");
    if (axes < 1 || axes > 4) return err_set(err, TAWNY_E_FORMAT, "shape: not an array of 1 to 4 numbers");
    json_array_foreach(shape, i, e) ne[axes - 1 - i] = json_integer_value(e);
    if (elements(ne) < 1 || (uint64_t)elements(ne) != n) return err_set(err, TAWNY_E_FORMAT, "values: %zu of them are not what shape says", n);
    if (n > MAX_VALUES - r->values) return err_set(err, TAWNY_E_LIMIT, "more than %zu values", MAX_VALUES);
    r->values += n;
    json_int_t il = json_is_integer(layer) ? json_integer_value(layer) : -1, at = json_is_integer(pos) ? json_integer_value(pos) : -1;
    if (il < -1 || il > 1 << 20) return err_set(err, TAWNY_E_FORMAT, "layer: %lld", (long long)il);
    if (at < -1 || at > INT32_MAX) return err_set(err, TAWNY_E_FORMAT, "pos: %lld", (long long)at);
    activation *x = add_record(r, name, strlen(name), (int)il, (int32_t)at, err);
    if (!x) return err->code;
    memcpy(x->ne, ne, sizeof ne);
    x->value = malloc(n * sizeof *x->value);
    if (!x->value) return err_nomem(err);
    x->n = n;
    json_array_foreach(values, i, e) x->value[i] = json_is_number(e) ? (float)json_number_value(e) : NAN;
    return TAWNY_OK;
}

static tawny_status read_json(reader *r, const char *line, size_t n, tawny_error *err)
{
    json_error_t why;
    json_t *j = json_loadb(line, n, 0, &why);
    tawny_status st;
    if (!j || !json_is_object(j)) st = err_set(err, TAWNY_E_FORMAT, "no JSON object%s%.100s", j ? "" : ": ", j ? "" : why.text);
    else if (json_object_get(j, "name")) st = read_record(r, j, err);
    else st = json_object_get(j, "tokens") ? read_tokens(r, json_object_get(j, "tokens"), err) : TAWNY_OK;
    json_decref(j);
    return st;
}

/* ---- llama-eval-callback's text ---- */

/* "...: NAME-LAYER = (f32) OP(...) = {a, b, c, d}"; views and what is not F32 are left out. */
static tawny_status read_heading(reader *r, const char *line, const char *name, tawny_error *err)
{
    const char *end = strstr(name, " = ("), *shape = strrchr(line, '{'), *dash;
    long long ne[4];
    int layer = -1;
    r->open = NULL;
    r->depth = 0;
    memset(r->at, 0, sizeof r->at);
    if (!end || strncmp(end + 4, "f32)", 4) != 0 || !shape) return TAWNY_OK;
    if (sscanf(shape, "{%lld, %lld, %lld, %lld}", &ne[0], &ne[1], &ne[2], &ne[3]) != 4) return TAWNY_OK;
    name += strspn(name, " ");
    if (name >= end || memchr(name, ' ', (size_t)(end - name))) return TAWNY_OK;
    for (dash = end; dash > name && dash[-1] >= '0' && dash[-1] <= '9';) dash--;
    if (dash > name && dash[-1] == '-' && dash < end && end - dash < 7) {
        layer = atoi(dash);
        end = dash - 1;
    }
    int64_t shape_of[4] = {ne[0], ne[1], ne[2], ne[3]};
    if (elements(shape_of) < 1) return TAWNY_OK;
    r->open = add_record(r, name, (size_t)(end - name), layer, -1, err);
    if (!r->open) return err->code;
    memcpy(r->open->ne, shape_of, sizeof shape_of);
    return TAWNY_OK;
}

static tawny_status add_value(reader *r, double v, tawny_error *err)
{
    activation *x = r->open;
    int64_t index = 0;
    for (int i = 4; i-- > 0;) {
        if (r->at[i] < 0 || r->at[i] >= x->ne[i]) return err_set(err, TAWNY_E_FORMAT, "%s: more values than its shape has", x->name);
        index = index * x->ne[i] + r->at[i];
    }
    if (x->n == MAX_EXCERPT) return err_set(err, TAWNY_E_LIMIT, "%s: more than %d values", x->name, MAX_EXCERPT);
    if ((x->n & (x->n - 1)) == 0) { /* room up to the next power of two */
        size_t cap = x->n ? 2 * x->n : 1;
        float *value = realloc(x->value, cap * sizeof *value);
        if (value) x->value = value;
        int64_t *at = realloc(x->index, cap * sizeof *at);
        if (at) x->index = at;
        if (!value || !at) return err_nomem(err);
    }
    x->value[x->n] = (float)v;
    x->index[x->n++] = index;
    r->at[0]++;
    return TAWNY_OK;
}

/* A line of brackets and numbers: the brackets are those of the third, second and first axis but one. */
static tawny_status read_values(reader *r, const char *p, tawny_error *err)
{
    p += strspn(p, " \t");
    if (strncmp(p, "sum", 3) == 0) {
        r->open = NULL;
        return TAWNY_OK;
    }
    while (*p && r->open) {
        if (*p == '[') {
            if (++r->depth > 3) return err_set(err, TAWNY_E_FORMAT, "%s: brackets too deep", r->open->name);
            r->at[3 - r->depth] = 0;
        } else if (*p == ']') {
            if (--r->depth < 0) return err_set(err, TAWNY_E_FORMAT, "%s: a bracket too many", r->open->name);
            r->at[3 - r->depth]++;
        } else if (strncmp(p, "...", 3) == 0) {
            int axis = 3 - r->depth;
            r->at[axis] = r->open->ne[axis] - EDGE;
            p += 2;
        } else if (strchr("-0123456789ni", *p)) {
            char *end;
            double v = strtod(p, &end);
            if (end == p || r->depth != 3) return r->open = NULL, TAWNY_OK;
            tawny_status st = add_value(r, v, err);
            if (st != TAWNY_OK) return st;
            p = end - 1;
        } else if (*p != ' ' && *p != ',' && *p != '\t' && *p != '\r') {
            r->open = NULL; /* something else is printed in between */
        }
        p++;
    }
    return TAWNY_OK;
}

/* "number of input tokens = N", then a line each. */
static tawny_status read_id(reader *r, const char *line, tawny_error *err)
{
    const char *last = strrchr(line, ' ');
    char *end;
    long v = strtol(last ? last + 1 : line, &end, 10);
    if (end == line || *end || v < 0 || v > INT32_MAX) {
        r->ids = false;
        return TAWNY_OK;
    }
    r->a->tokens[r->a->n_tokens++] = (tawny_token)v;
    if (--r->ids_left == 0) r->ids = false;
    (void)err;
    return TAWNY_OK;
}

static tawny_status read_text(reader *r, const char *line, tawny_error *err)
{
    static const char *const callbacks[] = {"common_debug_cb_eval:", "ggml_debug:"};
    const char *count = strstr(line, "number of input tokens = ");
    for (size_t i = 0; i < sizeof callbacks / sizeof *callbacks; i++) {
        const char *p = strstr(line, callbacks[i]);
        if (p) return read_heading(r, line, p + strlen(callbacks[i]), err);
    }
    if (count) {
        r->ids_left = strtol(count + 25, NULL, 10);
        if (r->ids_left < 1 || r->ids_left > 1 << 20) return err_set(err, TAWNY_E_FORMAT, "number of input tokens: %lld", (long long)r->ids_left);
        free(r->a->tokens);
        r->a->n_tokens = 0;
        r->a->tokens = malloc((size_t)r->ids_left * sizeof *r->a->tokens);
        r->ids = r->a->tokens != NULL;
        return r->ids ? TAWNY_OK : err_nomem(err);
    }
    if (r->ids) return read_id(r, line, err);
    return r->open ? read_values(r, line, err) : TAWNY_OK;
}

tawny_status activations_read(const char *path, activations *out, tawny_error *err)
{
    *out = (activations){0};
    reader r = {.a = out};
    tawny_error why = {0};
    tawny_status st = TAWNY_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", path);
    lines in = {.fd = fd, .max = MAX_LINE};
    buf copy = {0};
    while (st == TAWNY_OK) {
        const char *line;
        size_t n;
        lines_state state = lines_next(&in, true, &line, &n);
        if (state == LINES_END) break;
        if (state == LINES_LONG) st = err_set(&why, TAWNY_E_LIMIT, "longer than %d bytes", MAX_LINE);
        if (state != LINES_ONE || n == 0) continue;
        buf_clear(&copy);
        if (line[0] == '{') st = read_json(&r, line, n, &why);
        else st = buf_add(&copy, line, n) ? read_text(&r, copy.data, &why) : err_nomem(&why);
    }
    if (st != TAWNY_OK) err_set(err, st, "%s: line %zu: %s", path, in.number, why.message);
    else if (in.error) st = err_errno(err, in.error, "%s", path);
    else if (out->n == 0) st = err_set(err, TAWNY_E_FORMAT, "%s: no intermediate results in it", path);
    buf_free(&copy);
    lines_free(&in);
    close(fd);
    return st;
}
