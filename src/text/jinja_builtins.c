/* Built-ins: binding of arguments, tests, global functions, methods of everything but strings. */
#include <string.h>

#include "jinja_str.h"

/* ---- arguments ---- */

static bool word_is(const char *p, size_t n, const vstr *s) { return s->n == n && memcmp(s->p, p, n) == 0; }

/* The place of the parameter called name, or -1. */
static int param_at(const char *params, const vstr *name)
{
    int i = 0;
    for (const char *p = params; *p; i++) {
        size_t n = strcspn(p, " ");
        if (word_is(p, n, name)) return i;
        p += n;
        while (*p == ' ') p++;
    }
    return -1;
}

static int param_count(const char *params)
{
    int n = *params != 0;
    for (const char *p = params; *p; p++) n += *p == ' ';
    return n;
}

value builtin_call(jinja_rt *rt, const builtin *b, value self, const cargs *a)
{
    value out[MAX_PARAMS];
    rt_guard(rt);
    for (size_t i = 0; i < a->n_kw; i++) vstr_bytes(rt, a->kw[i]);
    if (!b->params) return b->fn(rt, self, NULL, a);
    bool positional = b->params[0] == '/';
    const char *params = b->params + positional;
    int count = param_count(params);
    if (a->n > (size_t)count)
        rt_type_error(rt, "%s() takes at most %d argument(s) (%zu given)", b->name, count, a->n);
    for (int i = 0; i < count; i++) out[i] = (size_t)i < a->n ? a->pos[i] : v_missing();
    for (size_t i = 0; i < a->n_kw; i++) {
        int at = positional ? -1 : param_at(params, a->kw[i]);
        if (at < 0)
            rt_type_error(rt, "%s() got an unexpected keyword argument '%.100s'", b->name, vstr_cstr(rt, a->kw[i]));
        if (out[at].t != V_MISSING) rt_type_error(rt, "%s() got multiple values for an argument", b->name);
        out[at] = a->kwv[i];
    }
    for (int i = 0; i < b->required; i++)
        if (out[i].t == V_MISSING) rt_type_error(rt, "%s() misses a required argument", b->name);
    return b->fn(rt, self, out, a);
}

int64_t arg_int(jinja_rt *rt, value v, int64_t otherwise)
{
    if (v.t == V_MISSING) return otherwise;
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (!val_is_int(v)) rt_type_error(rt, "'%s' object cannot be interpreted as an integer", val_type(v));
    return val_int(v);
}

bool arg_true(jinja_rt *rt, value v, bool otherwise) { return v.t == V_MISSING ? otherwise : val_true(rt, v); }

vstr *arg_str(jinja_rt *rt, value v)
{
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (v.t != V_STR) rt_type_error(rt, "a string is required, not '%s'", val_type(v));
    return v.u.s;
}

vstr *soft_str(jinja_rt *rt, value v) { return val_str(rt, v); }
value arg_or(value v, value otherwise) { return v.t == V_MISSING ? otherwise : v; }

/* ---- lookup ---- */

const builtin *builtin_in(const builtin *table, const char *p, size_t n)
{
    for (; table->name; table++)
        if (table->name[0] == (n ? *p : 0) && strlen(table->name) == n && memcmp(table->name, p, n) == 0)
            return table;
    return NULL;
}

const builtin *find_filter(const vstr *name)
{
    const builtin *b = builtin_in(filters_text, name->p, name->n);
    return b ? b : builtin_in(filters_list, name->p, name->n);
}

const builtin *find_test(const vstr *name) { return builtin_in(builtin_tests, name->p, name->n); }
const builtin *find_global(const vstr *name) { return builtin_in(builtin_globals, name->p, name->n); }

const builtin *find_method(value obj, const vstr *name)
{
    const builtin *table = obj.t == V_STR ? methods_str : obj.t == V_DICT ? methods_dict : obj.t == V_LIST
        ? methods_list
        : obj.t == V_TUPLE || obj.t == V_RANGE ? methods_tuple : val_number(obj) ? methods_number
        : obj.t == V_LOOP ? methods_loop : obj.t == V_CYCLER ? methods_cycler : NULL;
    return table ? builtin_in(table, name->p, name->n) : NULL;
}

/* ---- tests ---- */

static value is_odd(jinja_rt *rt, value v, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    return v_bool(val_eq(rt, op_binary(rt, N_MOD, v, v_int(2)), v_int(1)));
}

static value is_even(jinja_rt *rt, value v, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    return v_bool(val_eq(rt, op_binary(rt, N_MOD, v, v_int(2)), v_int(0)));
}

static value is_divisible(jinja_rt *rt, value v, value *a, const cargs *raw)
{
    (void)raw;
    return v_bool(val_eq(rt, op_binary(rt, N_MOD, v, a[0]), v_int(0)));
}

#define TYPE_TEST(name, condition)                                              \
    static value name(jinja_rt *rt, value v, value *a, const cargs *raw)        \
    {                                                                           \
        (void)rt, (void)a, (void)raw;                                           \
        return v_bool(condition);                                               \
    }
TYPE_TEST(is_defined, v.t != V_UNDEF)
TYPE_TEST(is_undefined, v.t == V_UNDEF)
TYPE_TEST(is_none, v.t == V_NONE)
TYPE_TEST(is_boolean, v.t == V_BOOL)
TYPE_TEST(is_false, v.t == V_BOOL && !v.u.b)
TYPE_TEST(is_true, v.t == V_BOOL && v.u.b)
TYPE_TEST(is_integer, v.t == V_INT)
TYPE_TEST(is_float, v.t == V_FLOAT)
TYPE_TEST(is_string, v.t == V_STR)
TYPE_TEST(is_mapping, v.t == V_DICT)
TYPE_TEST(is_number, val_number(v))
TYPE_TEST(is_sequence, v.t == V_UNDEF || v.t == V_STR || v.t == V_LIST || v.t == V_TUPLE || v.t == V_DICT ||
    v.t == V_RANGE)
TYPE_TEST(is_iterable, v.t == V_LOOP || val_try_iter(rt, v) != NULL)
TYPE_TEST(is_escaped, v.t == V_STR && v.u.s->markup)
TYPE_TEST(is_callable, v.t == V_UNDEF || v.t == V_FUNC || v.t == V_METHOD || v.t == V_MACRO || v.t == V_LOOP ||
    v.t == V_JOINER || v.t == V_BLOCK)
TYPE_TEST(is_filter, v.t == V_STR && vstr_bytes(rt, v.u.s) && find_filter(v.u.s) != NULL)
TYPE_TEST(is_test, v.t == V_STR && vstr_bytes(rt, v.u.s) && find_test(v.u.s) != NULL)

TYPE_TEST(is_lower, str_cased(rt, val_str(rt, v), false))
TYPE_TEST(is_upper, str_cased(rt, val_str(rt, v), true))

static bool same_object(jinja_rt *rt, value a, value b)
{
    if (a.t != b.t) return false;
    if (a.t < V_LIST) return a.t != V_UNDEF && val_eq(rt, a, b);
    return a.u.p == b.u.p;
}

TYPE_TEST(is_sameas, same_object(rt, v, a[0]))
TYPE_TEST(is_in, val_in(rt, v, a[0]))
TYPE_TEST(is_eq, val_eq(rt, v, a[0]))
TYPE_TEST(is_ne, !val_eq(rt, v, a[0]))
TYPE_TEST(is_gt, op_compare(rt, N_GT, v, a[0]))
TYPE_TEST(is_ge, op_compare(rt, N_GE, v, a[0]))
TYPE_TEST(is_lt, op_compare(rt, N_LT, v, a[0]))
TYPE_TEST(is_le, op_compare(rt, N_LE, v, a[0]))

const builtin builtin_tests[] = {
    {"odd", is_odd, "", 0}, {"even", is_even, "", 0}, {"divisibleby", is_divisible, "num", 1},
    {"defined", is_defined, "", 0}, {"undefined", is_undefined, "", 0}, {"none", is_none, "", 0},
    {"boolean", is_boolean, "", 0}, {"false", is_false, "", 0}, {"true", is_true, "", 0},
    {"integer", is_integer, "", 0},
    {"float", is_float, "", 0}, {"lower", is_lower, "", 0}, {"upper", is_upper, "", 0}, {"string", is_string, "", 0},
    {"mapping", is_mapping, "", 0}, {"number", is_number, "", 0}, {"sequence", is_sequence, "", 0},
    {"iterable", is_iterable, "", 0}, {"callable", is_callable, "", 0}, {"sameas", is_sameas, "other", 1},
    {"escaped", is_escaped, "", 0}, {"in", is_in, "seq", 1}, {"filter", is_filter, "", 0}, {"test", is_test, "", 0},
    {"==", is_eq, "/other", 1}, {"eq", is_eq, "/other", 1}, {"equalto", is_eq, "/other", 1},
    {"!=", is_ne, "/other", 1}, {"ne", is_ne, "/other", 1}, {">", is_gt, "/other", 1}, {"gt", is_gt, "/other", 1},
    {"greaterthan", is_gt, "/other", 1}, {">=", is_ge, "/other", 1}, {"ge", is_ge, "/other", 1},
    {"<", is_lt, "/other", 1}, {"lt", is_lt, "/other", 1}, {"lessthan", is_lt, "/other", 1},
    {"<=", is_le, "/other", 1}, {"le", is_le, "/other", 1}, {0}};

/* ---- global functions ---- */

static value global_range(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)raw;
    enum { MAX_RANGE = 100000 }; /* as the sandbox has it */
    int64_t x = arg_int(rt, a[0], 0), y = arg_int(rt, a[1], 0), step = arg_int(rt, a[2], 1);
    vrange *r = rt_alloc(rt, sizeof *r);
    *r = a[1].t == V_MISSING ? (vrange){0, x, 1, 0} : (vrange){x, y, step, 0};
    if (step == 0) rt_type_error(rt, "range() arg 3 must not be zero");
    int64_t lo = r->step > 0 ? r->start : r->stop, hi = r->step > 0 ? r->stop : r->start;
    uint64_t n = 0, by = r->step > 0 ? (uint64_t)r->step : 0 - (uint64_t)r->step;
    if (hi > lo) n = ((uint64_t)hi - (uint64_t)lo - 1) / by + 1;
    if (n > MAX_RANGE)
        rt_fail(rt, TAWNY_E_LIMIT, "range too big: the sandbox blocks ranges larger than %d", MAX_RANGE);
    r->n = (size_t)n;
    return (value){.t = V_RANGE, .u.range = r};
}

/* dict(...) and namespace(...): from a mapping or pairs, then keyword arguments. */
static vdict *dict_from(jinja_rt *rt, const cargs *raw, const char *name)
{
    if (raw->n > 1) rt_type_error(rt, "%s expected at most 1 argument, got %zu", name, raw->n);
    vdict *d = dict_new(rt, raw->n_kw);
    if (raw->n && raw->pos[0].t == V_DICT) {
        vdict *from = raw->pos[0].u.d;
        for (uint32_t i = 0; i < from->n; i++) dict_set(rt, d, from->keys[i], from->vals[i]);
    } else if (raw->n) {
        viter *it = val_iter(rt, raw->pos[0]);
        for (value v; iter_next(rt, it, &v);) {
            vseq *q = val_list(rt, v);
            if (q->n != 2)
                rt_type_error(rt, "dictionary update sequence element has length %zu; 2 is required", q->n);
            dict_set(rt, d, q->v[0], q->v[1]);
        }
    }
    for (size_t i = 0; i < raw->n_kw; i++) dict_set(rt, d, v_str(raw->kw[i]), raw->kwv[i]);
    return d;
}

static value global_dict(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)a;
    return v_dict(dict_from(rt, raw, "dict"));
}

static value global_namespace(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)a;
    return (value){.t = V_NS, .u.d = dict_from(rt, raw, "namespace")};
}

static value global_cycler(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)a;
    if (!raw->n || raw->n_kw) rt_type_error(rt, "at least one item has to be provided");
    vcycler *c = rt_alloc(rt, sizeof *c);
    *c = (vcycler){.items = rt_array(rt, raw->n, sizeof(value)), .n = raw->n};
    memcpy(c->items, raw->pos, raw->n * sizeof(value));
    return (value){.t = V_CYCLER, .u.cycler = c};
}

static value global_joiner(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)raw;
    vcycler *c = rt_alloc(rt, sizeof *c);
    *c = (vcycler){.sep = a[0].t == V_MISSING ? vstr_c(rt, ", ") : val_str(rt, a[0])};
    return (value){.t = V_JOINER, .u.cycler = c};
}

static value global_raise(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)raw;
    rt_fail(rt, TAWNY_E_ARG, "%s", vstr_cstr(rt, val_str(rt, a[0])));
}

static value global_strftime(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)raw;
    return time_now(rt, a[0]);
}

static value global_lipsum(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)a, (void)raw;
    rt_fail(rt, TAWNY_E_UNSUPPORTED, "lipsum() is not supported in chat templates");
}

const builtin builtin_globals[] = {
    {"range", global_range, "/start stop step", 1}, {"dict", global_dict, NULL, 0},
    {"namespace", global_namespace, NULL, 0},
    {"cycler", global_cycler, NULL, 0}, {"joiner", global_joiner, "sep", 0}, {"lipsum", global_lipsum, NULL, 0},
    {"raise_exception", global_raise, "message", 1}, {"strftime_now", global_strftime, "format", 1}, {0}};

/* ---- methods ---- */

static value dict_view(jinja_rt *rt, value self, char kind)
{
    vview *w = rt_alloc(rt, sizeof *w);
    *w = (vview){self.u.d, kind};
    return (value){.t = V_VIEW, .u.view = w};
}

static value dict_keys(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    return dict_view(rt, self, 'k');
}

static value dict_values(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    return dict_view(rt, self, 'v');
}

static value dict_items(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    return dict_view(rt, self, 'i');
}

static value dict_get_method(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    if (!val_hashable(a[0])) rt_type_error(rt, "unhashable type: '%s'", val_type(a[0]));
    value *v = dict_get(rt, self.u.d, a[0]);
    return v ? *v : arg_or(a[1], v_none());
}

static value copy_method(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)rt, (void)a, (void)raw;
    return self; /* nothing can change it */
}

static value seq_count(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    viter *it = val_iter(rt, self);
    int64_t n = 0;
    for (value v; iter_next(rt, it, &v);) n += val_eq(rt, v, a[0]);
    return v_int(n);
}

static value seq_index(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vseq *q = val_list(rt, self);
    int64_t n = (int64_t)q->n, from = arg_int(rt, a[1], 0), to = arg_int(rt, a[2], n);
    if (from < 0) from = from + n < 0 ? 0 : from + n;
    if (to < 0) to += n;
    for (int64_t i = from; i < to && i < n; i++)
        if (val_eq(rt, q->v[i], a[0])) return v_int(i);
    rt_type_error(rt, "the value is not in the %s", val_type(self));
}

static value number_bits(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    if (!val_is_int(self)) rt_type_error(rt, "'float' object has no attribute 'bit_length'");
    int64_t i = val_int(self), n = 0;
    for (uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; u; u >>= 1) n++;
    return v_int(n);
}

static value number_is_integer(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)rt, (void)a, (void)raw;
    return v_bool(self.t != V_FLOAT || __builtin_floor(self.u.f) == self.u.f);
}

static value loop_cycle(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a;
    const loop_state *l = self.u.p;
    if (!raw->n) rt_type_error(rt, "no items for cycling given");
    return raw->pos[(size_t)l->index0 % raw->n];
}

static value loop_changed(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a;
    loop_state *l = (loop_state *)(uintptr_t)self.u.p;
    vseq *q = seq_new(rt, raw->n);
    if (raw->n) memcpy(q->v, raw->pos, raw->n * sizeof(value));
    value now = v_seq(V_TUPLE, q);
    if (l->changed.t == V_TUPLE && val_eq(rt, l->changed, now)) return v_bool(false);
    l->changed = now;
    return v_bool(true);
}

static value cycler_next(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)rt, (void)a, (void)raw;
    vcycler *c = self.u.cycler;
    value v = c->items[c->at];
    c->at = (c->at + 1) % c->n;
    return v;
}

static value cycler_reset(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)rt, (void)a, (void)raw;
    self.u.cycler->at = 0;
    return v_none();
}

const builtin methods_dict[] = {{"get", dict_get_method, "/key default", 1}, {"items", dict_items, "", 0},
    {"keys", dict_keys, "", 0}, {"values", dict_values, "", 0}, {"copy", copy_method, "", 0}, {0}};
const builtin methods_list[] = {{"count", seq_count, "/value", 1}, {"index", seq_index, "/value start stop", 1},
    {"copy", copy_method, "", 0}, {0}};
const builtin methods_tuple[] = {{"count", seq_count, "/value", 1}, {"index", seq_index, "/value start stop", 1},
    {0}};
const builtin methods_number[] = {{"bit_length", number_bits, "", 0}, {"is_integer", number_is_integer, "", 0},
    {"conjugate", copy_method, "", 0}, {0}};
const builtin methods_loop[] = {{"cycle", loop_cycle, NULL, 0}, {"changed", loop_changed, NULL, 0}, {0}};
const builtin methods_cycler[] = {{"next", cycler_next, "", 0}, {"reset", cycler_reset, "", 0}, {0}};
