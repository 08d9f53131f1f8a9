/* Operators and attributes, with Python's rules. */
#include <math.h>
#include <string.h>

#include "../base/mathf.h"
#include "jinja_impl.h"

/* ---- arithmetic ---- */

static _Noreturn void overflow(jinja_rt *rt) { rt_fail(rt, TAWNY_E_LIMIT, "an integer beyond 64 bits"); }

static _Noreturn void unsupported(jinja_rt *rt, nkind op, value a, value b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    const char *name = names[op - N_ADD];
    if (a.t == V_UNDEF) rt_undefined(rt, a);
    if (b.t == V_UNDEF) rt_undefined(rt, b);
    if (op == N_ADD && a.t == V_STR) rt_type_error(rt, "can only concatenate str (not \"%s\") to str", val_type(b));
    if (op == N_ADD && (a.t == V_LIST || a.t == V_TUPLE))
        rt_type_error(rt, "can only concatenate %s (not \"%s\") to %s", val_type(a), val_type(b), val_type(a));
    rt_type_error(rt, "unsupported operand type(s) for %s: '%s' and '%s'", name, val_type(a), val_type(b));
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

static value int_pow(jinja_rt *rt, int64_t a, int64_t b)
{
    if (b < 0) {
        if (a == 0) rt_type_error(rt, "0.0 cannot be raised to a negative power");
        return v_float(d_pow((double)a, (double)b));
    }
    int64_t r = 1;
    while (b) {
        if ((b & 1) && __builtin_mul_overflow(r, a, &r)) overflow(rt);
        b >>= 1;
        if (b && __builtin_mul_overflow(a, a, &a)) overflow(rt);
    }
    return v_int(r);
}

static value int_op(jinja_rt *rt, nkind op, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case N_ADD: over = __builtin_add_overflow(a, b, &r); break;
    case N_SUB: over = __builtin_sub_overflow(a, b, &r); break;
    case N_MUL: over = __builtin_mul_overflow(a, b, &r); break;
    case N_POW: return int_pow(rt, a, b);
    default:
        if (b == 0) rt_type_error(rt, op == N_DIV ? "division by zero" : "integer division or modulo by zero");
        if (op == N_DIV) return v_float((double)((long double)a / (long double)b));
        if (b == -1) { /* the one quotient that may not fit */
            over = op == N_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &r);
        } else {
            r = floor_div(a, b);
            if (op == N_MOD) r = a - r * b;
        }
    }
    if (over) overflow(rt);
    return v_int(r);
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m == 0) return copysign(0.0, b);
    return (m < 0) != (b < 0) ? m + b : m;
}

static double float_floor_div(double a, double b)
{
    double m = fmod(a, b), d = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0)) d -= 1;
    if (d == 0) return copysign(0.0, a / b);
    double f = floor(d);
    return d - f > 0.5 ? f + 1 : f;
}

static value float_op(jinja_rt *rt, nkind op, double a, double b)
{
    if (b == 0 && (op == N_DIV || op == N_FLOORDIV || op == N_MOD)) rt_type_error(rt, "float division by zero");
    switch (op) {
    case N_ADD: return v_float(a + b);
    case N_SUB: return v_float(a - b);
    case N_MUL: return v_float(a * b);
    case N_DIV: return v_float(a / b);
    case N_FLOORDIV: return v_float(float_floor_div(a, b));
    case N_MOD: return v_float(float_mod(a, b));
    default: {
        double r = d_pow(a, b);
        if (a == 0 && b < 0) rt_type_error(rt, "0.0 cannot be raised to a negative power");
        if (isnan(r) && !isnan(a) && !isnan(b)) rt_type_error(rt, "complex numbers are not supported");
        if (isinf(r) && !isinf(a) && !isinf(b)) rt_type_error(rt, "numerical result out of range");
        return v_float(r);
    }
    }
}

vstr *str_repeat(jinja_rt *rt, vstr *s, int64_t times)
{
    vsb b = {.rt = rt};
    if (times > 0 && s->n > rt->max_text / (size_t)times)
        rt_fail(rt, TAWNY_E_LIMIT, "text of more than %zu bytes", rt->max_text);
    for (int64_t i = 0; i < times && s->n; i++) vsb_str(&b, s);
    vstr *r = vsb_done(&b);
    return s->markup ? vstr_markup(rt, r) : r;
}

static value seq_repeat(jinja_rt *rt, value a, int64_t times)
{
    size_t n = a.u.q->n;
    if (times < 0) times = 0;
    if (n && (size_t)times > rt->max_bytes / sizeof(value) / n)
        rt_fail(rt, TAWNY_E_LIMIT, "a list of %zu times %lld elements", n, (long long)times);
    vseq *q = seq_new(rt, n * (size_t)times);
    for (size_t i = 0; i < q->n; i += n) memcpy(q->v + i, a.u.q->v, n * sizeof(value));
    rt_step(rt, q->n);
    return v_seq(a.t, q);
}

static value seq_cat(jinja_rt *rt, value a, value b)
{
    vseq *q = seq_new(rt, a.u.q->n + b.u.q->n);
    if (a.u.q->n) memcpy(q->v, a.u.q->v, a.u.q->n * sizeof(value));
    if (b.u.q->n) memcpy(q->v + a.u.q->n, b.u.q->v, b.u.q->n * sizeof(value));
    return v_seq(a.t, q);
}

value op_concat_markup(jinja_rt *rt, vstr *a, vstr *b)
{
    bool markup = a->markup || b->markup;
    if (markup && !a->markup) a = html_escape(rt, v_str(a));
    if (markup && !b->markup) b = html_escape(rt, v_str(b));
    vstr *r = vstr_cat(rt, a, b);
    return v_str(markup ? vstr_markup(rt, r) : r);
}

value op_binary(jinja_rt *rt, nkind op, value a, value b)
{
    if (op == N_MOD && a.t == V_STR) return v_str(str_percent(rt, a.u.s, b));
    if (val_number(a) && val_number(b)) {
        if (a.t == V_FLOAT || b.t == V_FLOAT) return float_op(rt, op, val_double(a), val_double(b));
        return int_op(rt, op, val_int(a), val_int(b));
    }
    bool sa = a.t == V_LIST || a.t == V_TUPLE, sb = b.t == V_LIST || b.t == V_TUPLE;
    if (op == N_ADD) {
        if (a.t == V_STR && b.t == V_STR) return op_concat_markup(rt, a.u.s, b.u.s);
        if (sa && a.t == b.t) return seq_cat(rt, a, b);
    } else if (op == N_MUL) {
        if (a.t == V_STR && val_is_int(b)) return v_str(str_repeat(rt, a.u.s, val_int(b)));
        if (b.t == V_STR && val_is_int(a)) return v_str(str_repeat(rt, b.u.s, val_int(a)));
        if (sa && val_is_int(b)) return seq_repeat(rt, a, val_int(b));
        if (sb && val_is_int(a)) return seq_repeat(rt, b, val_int(a));
    }
    unsupported(rt, op, a, b);
}

value op_unary(jinja_rt *rt, nkind op, value a)
{
    if (a.t == V_UNDEF) rt_undefined(rt, a);
    if (!val_number(a))
        rt_type_error(rt, "bad operand type for unary %s: '%s'", op == N_NEG ? "-" : "+", val_type(a));
    if (a.t == V_FLOAT) return v_float(op == N_NEG ? -a.u.f : a.u.f);
    int64_t i = val_int(a);
    if (op == N_NEG && __builtin_sub_overflow((int64_t)0, i, &i)) overflow(rt);
    return v_int(i);
}

bool op_compare(jinja_rt *rt, nkind op, value a, value b)
{
    int c; /* 2 where one is not a number: no order holds */
    switch (op) {
    case N_EQ: return val_eq(rt, a, b);
    case N_NE: return !val_eq(rt, a, b);
    case N_IN: return val_in(rt, a, b);
    case N_NOTIN: return !val_in(rt, a, b);
    case N_GT: return val_cmp(rt, a, b, ">") == 1;
    case N_GE: c = val_cmp(rt, a, b, ">="); return c == 0 || c == 1;
    case N_LT: return val_cmp(rt, a, b, "<") == -1;
    default: c = val_cmp(rt, a, b, "<="); return c == 0 || c == -1;
    }
}

/* ---- attributes and elements ---- */

static bool refused(value obj, const vstr *name)
{
    static const char *const lists[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
        NULL};
    static const char *const dicts[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *l = obj.t == V_LIST ? lists : obj.t == V_DICT ? dicts : NULL;
    for (; l && *l; l++)
        if (strlen(*l) == name->n && memcmp(*l, name->p, name->n) == 0) return true;
    return name->n > 4 && memcmp(name->p, "__", 2) == 0 && memcmp(name->p + name->n - 2, "__", 2) == 0;
}

static bool is(const vstr *s, const char *word) { return s->n == strlen(word) && memcmp(s->p, word, s->n) == 0; }

/* Properties: what is there without a call. */
static bool property(jinja_rt *rt, value obj, const vstr *name, value *out)
{
    const vrange *r = obj.u.range;
    switch (obj.t) {
    case V_TUPLE:
        if (!obj.u.q->group || !(is(name, "grouper") || is(name, "list"))) return false;
        *out = obj.u.q->v[is(name, "list")];
        return true;
    case V_LOOP: *out = loop_attr(rt, obj, name); return true;
    case V_INT:
    case V_BOOL:
        if (is(name, "real") || is(name, "numerator")) *out = v_int(val_int(obj));
        else if (is(name, "imag") || is(name, "denominator")) *out = v_int(is(name, "denominator"));
        else return false;
        return true;
    case V_FLOAT:
        if (!is(name, "real") && !is(name, "imag")) return false;
        *out = is(name, "real") ? obj : v_float(0);
        return true;
    case V_RANGE:
        if (!is(name, "start") && !is(name, "stop") && !is(name, "step")) return false;
        *out = v_int(is(name, "start") ? r->start : is(name, "stop") ? r->stop : r->step);
        return true;
    case V_MACRO: {
        const macro *m = obj.u.p;
        if (!is(name, "name")) return false;
        *out = m->def->name ? v_str(m->def->name) : v_none();
        return true;
    }
    case V_CYCLER:
        if (!is(name, "current")) return false;
        *out = obj.u.cycler->items[obj.u.cycler->at];
        return true;
    case V_BLOCKS:
        for (size_t i = 0; i < rt->run->tpl->blocks.n; i++) {
            const node *b = rt->run->tpl->blocks.v[i];
            if (b->name->n != name->n || memcmp(b->name->p, name->p, name->n) != 0) continue;
            *out = (value){.t = V_BLOCK, .u.p = b};
            return true;
        }
        return false;
    default: return false;
    }
}

/* What Python's getattr finds, or what the sandbox makes of it. */
static bool get_attribute(jinja_rt *rt, value obj, const vstr *name, value *out)
{
    if (obj.t == V_UNDEF) rt_undefined(rt, obj);
    if (obj.t == V_NS) {
        value *v = dict_get_str(rt, obj.u.d, name);
        if (v) *out = *v;
        return v != NULL;
    }
    if (refused(obj, name)) {
        *out = v_undef_denied(rt, obj, name);
        return true;
    }
    const builtin *m = find_method(obj, name);
    if (m) {
        vmethod *b = rt_alloc(rt, sizeof *b);
        *b = (vmethod){obj, m};
        *out = (value){.t = V_METHOD, .u.method = b};
        return true;
    }
    return property(rt, obj, name, out);
}

value op_attr(jinja_rt *rt, value obj, const vstr *name)
{
    value v;
    if (get_attribute(rt, obj, name, &v)) return v;
    if (obj.t == V_DICT) {
        value *item = dict_get_str(rt, obj.u.d, name);
        if (item) return *item;
    }
    return v_undef_attr(rt, obj, name);
}

static bool index_in(value key, size_t n, size_t *at)
{
    if (!val_is_int(key)) return false;
    int64_t i = val_int(key);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n) return false;
    *at = (size_t)i;
    return true;
}

static bool get_element(jinja_rt *rt, value obj, value key, value *out)
{
    size_t at, n;
    switch (obj.t) {
    case V_DICT: {
        value *v = val_hashable(key) ? dict_get(rt, obj.u.d, key) : NULL;
        if (v) *out = *v;
        return v != NULL;
    }
    case V_LIST:
    case V_TUPLE:
        if (!index_in(key, obj.u.q->n, &at)) return false;
        *out = obj.u.q->v[at];
        return true;
    case V_RANGE:
        if (!index_in(key, obj.u.range->n, &at)) return false;
        *out = v_int(obj.u.range->start + (int64_t)at * obj.u.range->step);
        return true;
    case V_STR:
        if (!val_is_int(key) || !index_in(key, vstr_chars(rt, obj.u.s), &at)) return false;
        n = vstr_offset(rt, obj.u.s, at);
        uint32_t c;
        *out = v_str(vstr_sub(rt, obj.u.s, n, n + utf8_next(vstr_bytes(rt, obj.u.s) + n, obj.u.s->n - n, &c)));
        return true;
    default: return false;
    }
}

value op_item(jinja_rt *rt, value obj, value key)
{
    value v;
    if (obj.t == V_UNDEF) rt_undefined(rt, obj);
    if (get_element(rt, obj, key, &v)) return v;
    if (key.t == V_STR) {
        vstr_bytes(rt, key.u.s);
        if (get_attribute(rt, obj, key.u.s, &v)) return v;
        return v_undef_attr(rt, obj, key.u.s);
    }
    return v_undef_item(rt, obj, key);
}

/* ---- slices ---- */

static int64_t slice_index(jinja_rt *rt, value v, int64_t n, int64_t otherwise, int64_t low, int64_t high)
{
    if (v.t == V_MISSING || v.t == V_NONE) return otherwise;
    if (!val_is_int(v)) {
        if (v.t == V_UNDEF) rt_type_error(rt, "slice indices must be integers or None, not undefined");
        rt_type_error(rt, "slice indices must be integers or None or have an __index__ method");
    }
    int64_t i = val_int(v);
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static vstr *str_slice(jinja_rt *rt, vstr *s, int64_t start, int64_t step, int64_t count)
{
    if (step == 1) {
        size_t from = vstr_offset(rt, s, (size_t)start);
        return vstr_sub(rt, s, from, vstr_offset(rt, s, (size_t)(start + count)));
    }
    const char *p = vstr_bytes(rt, s);
    size_t n = vstr_chars(rt, s), at = 0;
    size_t *offsets = rt_array(rt, n + 1, sizeof *offsets);
    uint32_t c;
    for (size_t i = 0; i < n; i++) {
        offsets[i] = at;
        at += utf8_next(p + at, s->n - at, &c);
    }
    offsets[n] = at;
    rt_step(rt, n);
    vsb b = {.rt = rt};
    for (int64_t i = start, k = 0; k < count; k++, i += step) vsb_sub(&b, s, offsets[i], offsets[i + 1]);
    vstr *r = vsb_done(&b);
    return s->markup ? vstr_markup(rt, r) : r;
}

static value seq_slice(jinja_rt *rt, value obj, int64_t start, int64_t step, int64_t count)
{
    const vseq *from = obj.u.q;
    if (step == 1) { /* lists never change: a part shares the whole's memory */
        vseq *q = rt_alloc(rt, sizeof *q);
        *q = (vseq){.v = from->v + start, .n = (size_t)count};
        return v_seq(obj.t, q);
    }
    vseq *q = seq_new(rt, (size_t)count);
    for (int64_t k = 0; k < count; k++) q->v[k] = from->v[start + k * step];
    return v_seq(obj.t, q);
}

value op_slice(jinja_rt *rt, value obj, value vstart, value vstop, value vstep)
{
    size_t len = 0;
    if (obj.t == V_UNDEF) rt_undefined(rt, obj);
    bool fine = obj.t == V_STR || obj.t == V_LIST || obj.t == V_TUPLE || obj.t == V_RANGE;
    if (!fine) rt_type_error(rt, "'%s' object is not subscriptable by a slice", val_type(obj));
    val_len(rt, obj, &len);
    int64_t n = (int64_t)len, step = 1;
    if (vstep.t != V_MISSING && vstep.t != V_NONE) {
        if (!val_is_int(vstep))
            rt_type_error(rt, "slice indices must be integers or None or have an __index__ method");
        step = val_int(vstep);
    }
    if (step == 0) rt_type_error(rt, "slice step cannot be zero");
    if (step < -n - 1) step = -n - 1; /* as far as any */
    if (step > n + 1) step = n + 1;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    int64_t start = slice_index(rt, vstart, n, step < 0 ? high : low, low, high);
    int64_t stop = slice_index(rt, vstop, n, step < 0 ? low : high, low, high);
    int64_t count = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
    if (count < 0 || (step > 0 ? start >= stop : start <= stop)) count = 0;
    if (obj.t == V_RANGE) { /* a range of 100000 and a step within its length: nothing here overflows */
        const vrange *from = obj.u.range;
        vrange *r = rt_alloc(rt, sizeof *r);
        *r = (vrange){from->start + start * from->step, from->start + stop * from->step, from->step * step,
            (size_t)count};
        return (value){.t = V_RANGE, .u.range = r};
    }
    if (!count) start = 0;
    if (obj.t == V_STR) return v_str(str_slice(rt, obj.u.s, start, step, count));
    return seq_slice(rt, obj, start, step, count);
}
