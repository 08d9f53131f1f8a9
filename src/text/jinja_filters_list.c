/* Filters over sequences and mappings. What is a generator in Jinja is one here: evaluated as it is run over. */
#include <string.h>

#include "jinja_str.h"

#define FILTER(name) static value name(jinja_rt *rt, value v, value *a, const cargs *raw)
#define UNUSED (void)rt, (void)v, (void)a, (void)raw

/* ---- attributes by path, keys, order ---- */

static value path_step(jinja_rt *rt, value item, vstr *part)
{
    bool digits = part->n > 0 && part->n < 18;
    const char *p = vstr_bytes(rt, part);
    int64_t i = 0;
    for (size_t k = 0; k < part->n && digits; k++) {
        digits = p[k] >= '0' && p[k] <= '9';
        i = i * 10 + (p[k] - '0');
    }
    return op_item(rt, item, digits ? v_int(i) : v_str(part));
}

value attr_path(jinja_rt *rt, value item, value path, value otherwise)
{
    if (path.t == V_NONE || path.t == V_MISSING) return item;
    bool has_default = otherwise.t != V_MISSING && otherwise.t != V_NONE;
    if (path.t != V_STR) {
        item = op_item(rt, item, path);
        return has_default && item.t == V_UNDEF ? otherwise : item;
    }
    const char *p = vstr_bytes(rt, path.u.s);
    for (size_t at = 0, end; at <= path.u.s->n; at = end + 1) {
        for (end = at; end < path.u.s->n && p[end] != '.'; end++) {}
        item = path_step(rt, item, vstr_plain(rt, vstr_sub(rt, path.u.s, at, end)));
        if (has_default && item.t == V_UNDEF) item = otherwise;
    }
    return item;
}

value ignore_case(jinja_rt *rt, value v) { return v.t == V_STR ? v_str(str_lower(rt, v.u.s)) : v; }

static void merge(jinja_rt *rt, const size_t *from, size_t *to, size_t lo, size_t mid, size_t hi, const value *keys,
    bool reverse)
{
    size_t i = lo, j = mid;
    for (size_t k = lo; k < hi; k++) {
        bool right = i == mid;
        if (i < mid && j < hi)
            right = reverse ? val_cmp(rt, keys[from[i]], keys[from[j]], "<") == -1
                : val_cmp(rt, keys[from[j]], keys[from[i]], "<") == -1;
        to[k] = right ? from[j++] : from[i++];
    }
}

void sort_values(jinja_rt *rt, value *items, value *keys, size_t n, bool reverse)
{
    size_t *from = rt_array(rt, n, sizeof *from), *to = rt_array(rt, n, sizeof *to);
    value *sorted = rt_array(rt, n, sizeof *sorted), *sorted_keys = rt_array(rt, n, sizeof *sorted_keys);
    for (size_t i = 0; i < n; i++) from[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
            merge(rt, from, to, lo, mid, hi, keys, reverse);
        }
        size_t *t = from;
        from = to;
        to = t;
        rt_step(rt, n);
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = items[from[i]];
        sorted_keys[i] = keys[from[i]];
    }
    if (!n) return;
    memcpy(items, sorted, n * sizeof *items);
    memcpy(keys, sorted_keys, n * sizeof *keys);
}

static vseq *copy_list(jinja_rt *rt, value v)
{
    vseq *from = val_list(rt, v), *q = seq_new(rt, from->n);
    if (from->n) memcpy(q->v, from->v, from->n * sizeof(value));
    rt_step(rt, from->n);
    return q;
}

/* What sort compares: one key an attribute of "a,b". */
static value sort_key(jinja_rt *rt, value item, value path, bool fold)
{
    vseq *q;
    if (path.t != V_STR) {
        value k = attr_path(rt, item, path, v_missing());
        q = seq_new(rt, 1);
        q->v[0] = fold ? ignore_case(rt, k) : k;
        return v_seq(V_LIST, q);
    }
    const char *p = vstr_bytes(rt, path.u.s);
    size_t count = 1, i = 0;
    for (size_t k = 0; k < path.u.s->n; k++) count += p[k] == ',';
    q = seq_new(rt, count);
    for (size_t at = 0, end; at <= path.u.s->n; at = end + 1) {
        for (end = at; end < path.u.s->n && p[end] != ','; end++) {}
        value k = attr_path(rt, item, v_str(vstr_sub(rt, path.u.s, at, end)), v_missing());
        q->v[i++] = fold ? ignore_case(rt, k) : k;
    }
    return v_seq(V_LIST, q);
}

FILTER(f_sort)
{
    UNUSED;
    vseq *q = copy_list(rt, v);
    value *keys = rt_array(rt, q->n, sizeof *keys);
    bool fold = !arg_true(rt, a[1], false);
    for (size_t i = 0; i < q->n; i++) keys[i] = sort_key(rt, q->v[i], a[2], fold);
    sort_values(rt, q->v, keys, q->n, arg_true(rt, a[0], false));
    return v_seq(V_LIST, q);
}

FILTER(f_dictsort)
{
    UNUSED;
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (v.t != V_DICT) rt_type_error(rt, "'%s' object has no attribute 'items'", val_type(v));
    vstr *by = a[1].t == V_MISSING ? vstr_c(rt, "key") : arg_str(rt, a[1]);
    bool by_value = vstr_is(rt, by, "value"), fold = !arg_true(rt, a[0], false);
    if (!by_value && !vstr_is(rt, by, "key")) rt_type_error(rt, "you can only sort by either \"key\" or \"value\"");
    const vdict *d = v.u.d;
    vseq *q = seq_new(rt, d->n);
    value *keys = rt_array(rt, d->n, sizeof *keys);
    for (uint32_t i = 0; i < d->n; i++) {
        vseq *pair = seq_new(rt, 2);
        pair->v[0] = d->keys[i];
        pair->v[1] = d->vals[i];
        q->v[i] = v_seq(V_TUPLE, pair);
        keys[i] = fold ? ignore_case(rt, pair->v[by_value]) : pair->v[by_value];
    }
    sort_values(rt, q->v, keys, q->n, arg_true(rt, a[2], false));
    return v_seq(V_LIST, q);
}

FILTER(f_groupby)
{
    UNUSED;
    vseq *q = copy_list(rt, v), *out = seq_new(rt, q->n);
    value *keys = rt_array(rt, q->n, sizeof *keys);
    bool fold = !arg_true(rt, a[2], false);
    for (size_t i = 0; i < q->n; i++) {
        keys[i] = attr_path(rt, q->v[i], a[0], a[1]);
        if (fold) keys[i] = ignore_case(rt, keys[i]);
    }
    sort_values(rt, q->v, keys, q->n, false);
    out->n = 0;
    for (size_t i = 0, end; i < q->n; i = end) {
        for (end = i + 1; end < q->n && val_eq(rt, keys[i], keys[end]); end++) {}
        vseq *items = rt_alloc(rt, sizeof *items), *group = seq_new(rt, 2);
        *items = (vseq){.v = q->v + i, .n = end - i};
        group->v[0] = attr_path(rt, q->v[i], a[0], a[1]); /* the first item's own, not in lower case */
        group->v[1] = v_seq(V_LIST, items);
        group->group = true;
        out->v[out->n++] = v_seq(V_TUPLE, group);
    }
    return v_seq(V_LIST, out);
}

static value extreme(jinja_rt *rt, value v, value *a, bool max)
{
    viter *it = val_iter(rt, v);
    bool fold = !arg_true(rt, a[0], false);
    value best, item;
    if (!iter_next(rt, it, &best)) return v_undef(rt, "No aggregated item, sequence was empty.");
    value key = attr_path(rt, best, a[1], v_missing());
    if (fold) key = ignore_case(rt, key);
    while (iter_next(rt, it, &item)) {
        value k = attr_path(rt, item, a[1], v_missing());
        if (fold) k = ignore_case(rt, k);
        if (!op_compare(rt, max ? N_GT : N_LT, k, key)) continue;
        best = item;
        key = k;
    }
    return best;
}

FILTER(f_min)
{
    UNUSED;
    return extreme(rt, v, a, false);
}

FILTER(f_max)
{
    UNUSED;
    return extreme(rt, v, a, true);
}

FILTER(f_sum)
{
    UNUSED;
    viter *it = val_iter(rt, v);
    value sum = arg_or(a[1], v_int(0)), item;
    if (sum.t == V_STR) rt_type_error(rt, "sum() can't sum strings");
    while (iter_next(rt, it, &item)) sum = op_binary(rt, N_ADD, sum, attr_path(rt, item, a[0], v_missing()));
    return sum;
}

/* ---- parts ---- */

FILTER(f_length)
{
    UNUSED;
    size_t n;
    if (!val_len(rt, v, &n)) rt_type_error(rt, "object of type '%s' has no len()", val_type(v));
    return v_int((int64_t)n);
}

FILTER(f_first)
{
    UNUSED;
    value x;
    return iter_next(rt, val_iter(rt, v), &x) ? x : v_undef(rt, "No first item, sequence was empty.");
}

static bool reversible(value v)
{
    return v.t == V_LIST || v.t == V_TUPLE || v.t == V_STR || v.t == V_DICT || v.t == V_RANGE || v.t == V_VIEW ||
        v.t == V_UNDEF;
}

FILTER(f_last)
{
    UNUSED;
    if (!reversible(v)) rt_type_error(rt, "'%s' object is not reversible", val_type(v));
    if (v.t == V_STR && vstr_chars(rt, v.u.s)) return v_str(vstr_plain(rt, op_item(rt, v, v_int(-1)).u.s));
    vseq *q = val_list(rt, v);
    return q->n ? q->v[q->n - 1] : v_undef(rt, "No last item, sequence was empty.");
}

static bool next_back(jinja_rt *rt, viter *it, value *out)
{
    (void)rt;
    vseq *q = it->src.u.q;
    if (it->at == q->n) return false;
    *out = q->v[q->n - ++it->at];
    return true;
}

FILTER(f_reverse)
{
    UNUSED;
    if (v.t == V_STR) return op_slice(rt, v, v_missing(), v_missing(), v_int(-1));
    vseq *q = val_list(rt, v);
    if (reversible(v)) return v_iter(rt, next_back, v_seq(V_LIST, q), NULL, NULL);
    vseq *r = seq_new(rt, q->n);
    for (size_t i = 0; i < q->n; i++) r->v[i] = q->v[q->n - 1 - i];
    return v_seq(V_LIST, r);
}

FILTER(f_list)
{
    UNUSED;
    vseq *q = val_list(rt, v);
    if (v.t == V_TUPLE || v.t == V_LIST) { /* a list of its own */
        vseq *own = rt_alloc(rt, sizeof *own);
        *own = (vseq){.v = q->v, .n = q->n};
        q = own;
    }
    return v_seq(V_LIST, q);
}

FILTER(f_join)
{
    UNUSED;
    vstr *d = a[0].t == V_MISSING ? vstr_c(rt, "") : vstr_plain(rt, val_str(rt, a[0]));
    viter *it = val_iter(rt, v);
    vsb b = {.rt = rt};
    value x;
    for (bool first = true; iter_next(rt, it, &x); first = false) {
        if (!first) vsb_str(&b, d);
        if (a[1].t != V_MISSING && a[1].t != V_NONE) x = attr_path(rt, x, a[1], v_missing());
        val_str_to(&b, x);
    }
    return v_str(vsb_done(&b));
}

FILTER(f_default)
{
    UNUSED;
    bool missing = v.t == V_UNDEF || (arg_true(rt, a[1], false) && !val_true(rt, v));
    return missing ? arg_or(a[0], v_str(vstr_c(rt, ""))) : v;
}

FILTER(f_attr)
{
    UNUSED;
    vstr *name = arg_str(rt, a[0]);
    vstr_bytes(rt, name);
    if (v.t == V_DICT && !find_method(v, name)) { /* an attribute, not an element */
        value *item = dict_get_str(rt, v.u.d, name);
        if (item) return v_undef_attr(rt, v, name);
    }
    return op_attr(rt, v, name);
}

/* ---- generators: nothing is looked at, and nothing can fail, before they are run over ---- */

typedef struct gen {
    const builtin *fn; /* filter or test applied, or NULL */
    vstr *fn_name;
    cargs args;
    value path, otherwise, fill;
    bool ready, reject, attr, fold;
    int64_t n;
    vdict *seen;
} gen;

static bool next_pair(jinja_rt *rt, viter *it, value *out)
{
    if (!it->inner) {
        vview *w = rt_alloc(rt, sizeof *w);
        if (it->src.t == V_UNDEF) return false;
        if (it->src.t != V_DICT) rt_type_error(rt, "Can only get item pairs from a mapping.");
        *w = (vview){it->src.u.d, 'i'};
        it->inner = val_iter(rt, (value){.t = V_VIEW, .u.view = w});
    }
    return iter_next(rt, it->inner, out);
}

FILTER(f_items)
{
    UNUSED;
    return v_iter(rt, next_pair, v, NULL, NULL);
}

static gen *gen_new(jinja_rt *rt)
{
    gen *g = rt_alloc(rt, sizeof *g);
    *g = (gen){.path = v_missing(), .otherwise = v_missing(), .fill = v_none()};
    return g;
}

/* The next of what the generator runs over. */
static bool source_next(jinja_rt *rt, viter *it, value *out)
{
    if (!it->inner) it->inner = val_iter(rt, it->src);
    return iter_next(rt, it->inner, out);
}

/* Keeps arguments beyond the call. */
static cargs keep_args(jinja_rt *rt, const cargs *raw)
{
    cargs c = {.n = raw->n, .n_kw = raw->n_kw};
    c.pos = rt_array(rt, c.n, sizeof(value));
    c.kw = rt_array(rt, c.n_kw, sizeof *c.kw);
    c.kwv = rt_array(rt, c.n_kw, sizeof(value));
    if (c.n) memcpy(c.pos, raw->pos, c.n * sizeof(value));
    if (c.n_kw) {
        memcpy(c.kw, raw->kw, c.n_kw * sizeof *c.kw);
        memcpy(c.kwv, raw->kwv, c.n_kw * sizeof(value));
    }
    return c;
}

/* Takes the name of a filter or test, the argument at `at`, and leaves the arguments after it. */
static void take_fn(jinja_rt *rt, gen *g, size_t at, const builtin *(*find)(const vstr *))
{
    value v = g->args.pos[at];
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    g->fn_name = val_str(rt, v);
    vstr_bytes(rt, g->fn_name);
    g->fn = find(g->fn_name);
    g->args.pos += at + 1;
    g->args.n -= at + 1;
}

static value *kw_arg(const cargs *raw, const char *name)
{
    for (size_t i = 0; i < raw->n_kw; i++)
        if (raw->kw[i]->n == strlen(name) && memcmp(raw->kw[i]->p, name, raw->kw[i]->n) == 0) return &raw->kwv[i];
    return NULL;
}

static void map_prepare(jinja_rt *rt, gen *g)
{
    value *path = g->args.n ? NULL : kw_arg(&g->args, "attribute"), *otherwise = kw_arg(&g->args, "default");
    g->ready = true;
    if (!path) {
        if (!g->args.n) rt_type_error(rt, "map requires a filter argument");
        take_fn(rt, g, 0, find_filter);
        return;
    }
    if (g->args.n_kw > 1u + (otherwise != NULL)) rt_type_error(rt, "map() got an unexpected keyword argument");
    g->path = *path;
    if (otherwise) g->otherwise = *otherwise;
}

static _Noreturn void no_such(jinja_rt *rt, const char *what, vstr *name)
{
    rt_type_error(rt, "no %s named '%.100s'", what, vstr_cstr(rt, name));
}

static bool next_mapped(jinja_rt *rt, viter *it, value *out)
{
    gen *g = it->data;
    value x;
    if (!g->ready && !val_true(rt, it->src)) return false;
    if (!g->ready) map_prepare(rt, g);
    if (!source_next(rt, it, &x)) return false;
    if (g->fn_name && !g->fn) no_such(rt, "filter", g->fn_name);
    *out = g->fn ? builtin_call(rt, g->fn, x, &g->args) : attr_path(rt, x, g->path, g->otherwise);
    return true;
}

FILTER(f_map)
{
    UNUSED;
    gen *g = gen_new(rt);
    g->args = keep_args(rt, raw);
    return v_iter(rt, next_mapped, v, NULL, g);
}

static void select_prepare(jinja_rt *rt, gen *g)
{
    g->ready = true;
    if (g->attr && !g->args.n) rt_type_error(rt, "missing parameter for attribute name");
    if (g->attr) g->path = g->args.pos[0];
    if (g->args.n > g->attr) take_fn(rt, g, g->attr, find_test);
}

static bool next_selected(jinja_rt *rt, viter *it, value *out)
{
    gen *g = it->data;
    if (!g->ready && !val_true(rt, it->src)) return false;
    if (!g->ready) select_prepare(rt, g);
    while (source_next(rt, it, out)) {
        value x = attr_path(rt, *out, g->path, v_missing());
        if (g->fn_name && !g->fn) no_such(rt, "test", g->fn_name);
        if (g->fn) x = builtin_call(rt, g->fn, x, &g->args);
        if (val_true(rt, x) != g->reject) return true;
    }
    return false;
}

static value selection(jinja_rt *rt, value v, const cargs *raw, bool reject, bool attr)
{
    gen *g = gen_new(rt);
    g->reject = reject;
    g->attr = attr;
    g->args = keep_args(rt, raw);
    return v_iter(rt, next_selected, v, NULL, g);
}

FILTER(f_select)
{
    UNUSED;
    return selection(rt, v, raw, false, false);
}

FILTER(f_reject)
{
    UNUSED;
    return selection(rt, v, raw, true, false);
}

FILTER(f_selectattr)
{
    UNUSED;
    return selection(rt, v, raw, false, true);
}

FILTER(f_rejectattr)
{
    UNUSED;
    return selection(rt, v, raw, true, true);
}

static bool next_unique(jinja_rt *rt, viter *it, value *out)
{
    gen *g = it->data;
    while (source_next(rt, it, out)) {
        value key = attr_path(rt, *out, g->path, v_missing());
        if (g->fold) key = ignore_case(rt, key);
        uint32_t n = g->seen->n;
        dict_set(rt, g->seen, key, v_none());
        if (g->seen->n > n) return true;
    }
    return false;
}

FILTER(f_unique)
{
    UNUSED;
    gen *g = gen_new(rt);
    g->fold = !arg_true(rt, a[0], false);
    g->path = a[1];
    g->seen = dict_new(rt, 8);
    return v_iter(rt, next_unique, v, NULL, g);
}

/* The first n elements of what is left (n < 0: all), to which fill is added where there are too few. */
static vseq *take(jinja_rt *rt, viter *it, int64_t n, value fill)
{
    vseq *q = rt_alloc(rt, sizeof *q);
    *q = (vseq){0};
    size_t cap = 0;
    for (bool more = true; n < 0 || (int64_t)q->n < n;) {
        value x = fill;
        if (more) more = source_next(rt, it, &x);
        if (!more && (n < 0 || fill.t == V_NONE || q->n == 0)) break;
        if (!more) x = fill;
        if (q->n == cap) {
            value *bigger = rt_array(rt, cap = cap ? cap * 2 : 4, sizeof *bigger);
            if (q->n) memcpy(bigger, q->v, q->n * sizeof *bigger);
            q->v = bigger;
        }
        q->v[q->n++] = x;
        rt_step(rt, 1);
    }
    return q;
}

static bool next_batch(jinja_rt *rt, viter *it, value *out)
{
    gen *g = it->data;
    vseq *q = take(rt, it, g->n > 0 ? g->n : -1, g->fill);
    if (!q->n) return false;
    *out = v_seq(V_LIST, q);
    return true;
}

FILTER(f_batch)
{
    UNUSED;
    gen *g = gen_new(rt);
    g->n = val_is_int(a[0]) ? val_int(a[0]) : -1; /* what never equals a count ends no batch */
    g->fill = arg_or(a[1], v_none());
    return v_iter(rt, next_batch, v, NULL, g);
}

static bool next_slice(jinja_rt *rt, viter *it, value *out)
{
    gen *g = it->data;
    if (!g->ready) {
        it->src = v_seq(V_LIST, val_list(rt, it->src));
        g->n = arg_int(rt, g->otherwise, 0);
    }
    g->ready = true;
    if (g->n == 0) rt_type_error(rt, "integer division or modulo by zero");
    const vseq *all = it->src.u.q;
    if ((int64_t)it->at >= g->n) return false;
    size_t slices = (size_t)g->n, i = it->at++, each = all->n / slices, extra = all->n % slices;
    size_t start = i * each + (i < extra ? i : extra), end = start + each + (i < extra);
    bool fill = g->fill.t != V_NONE && i >= extra;
    vseq *q = seq_new(rt, end - start + fill);
    if (end > start) memcpy(q->v, all->v + start, (end - start) * sizeof(value));
    if (fill) q->v[q->n - 1] = g->fill;
    *out = v_seq(V_LIST, q);
    return true;
}

FILTER(f_slice)
{
    UNUSED;
    gen *g = gen_new(rt);
    g->otherwise = a[0];
    g->fill = arg_or(a[1], v_none());
    return v_iter(rt, next_slice, v, NULL, g);
}

const builtin filters_list[] = {
    {"sort", f_sort, "reverse case_sensitive attribute", 0}, {"dictsort", f_dictsort, "case_sensitive by reverse", 0},
    {"groupby", f_groupby, "attribute default case_sensitive", 1}, {"min", f_min, "case_sensitive attribute", 0},
    {"max", f_max, "case_sensitive attribute", 0}, {"sum", f_sum, "attribute start", 0}, {"length", f_length, "", 0},
    {"count", f_length, "", 0}, {"first", f_first, "", 0}, {"last", f_last, "", 0}, {"reverse", f_reverse, "", 0},
    {"list", f_list, "", 0}, {"join", f_join, "d attribute", 0}, {"default", f_default, "default_value boolean", 0},
    {"d", f_default, "default_value boolean", 0}, {"attr", f_attr, "name", 1}, {"items", f_items, "", 0},
    {"map", f_map, NULL, 0}, {"select", f_select, NULL, 0}, {"reject", f_reject, NULL, 0},
    {"selectattr", f_selectattr, NULL, 0}, {"rejectattr", f_rejectattr, NULL, 0},
    {"unique", f_unique, "case_sensitive attribute", 0}, {"batch", f_batch, "linecount fill_with", 1},
    {"slice", f_slice, "slices fill_with", 1}, {0}};
