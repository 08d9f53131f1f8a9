/* Expressions: a walk over the syntax tree. */
#include <string.h>

#include "jinja_impl.h"

static value eval_name(jinja_rt *rt, const node *n, frame *f)
{
    for (uint32_t i = n->up; i; i--) f = f->up;
    value v = f->v[n->slot];
    return v.t == V_MISSING ? v_undef_name(rt, n->name) : v;
}

static vseq *eval_list(jinja_rt *rt, nodes l, frame *f)
{
    vseq *q = seq_new(rt, l.n);
    for (size_t i = 0; i < l.n; i++) q->v[i] = jinja_eval(rt, l.v[i], f);
    return q;
}

static value eval_dict(jinja_rt *rt, const node *n, frame *f)
{
    vdict *d = dict_new(rt, n->list.n / 2);
    for (size_t i = 0; i < n->list.n; i += 2) {
        value k = jinja_eval(rt, n->list.v[i], f);
        dict_set(rt, d, k, jinja_eval(rt, n->list.v[i + 1], f));
    }
    return v_dict(d);
}

/* a ~ b ~ c: the strings of the values, without any escaping. */
static value eval_concat(jinja_rt *rt, const node *n, frame *f)
{
    vstr *s = NULL;
    for (size_t i = 0; i < n->list.n; i++) {
        vstr *x = vstr_plain(rt, val_str(rt, jinja_eval(rt, n->list.v[i], f)));
        s = s ? vstr_cat(rt, s, x) : x;
    }
    return v_str(s);
}

static value eval_compare(jinja_rt *rt, const node *n, frame *f)
{
    value a = jinja_eval(rt, n->a, f);
    for (size_t i = 0; i < n->list.n; i++) {
        value b = jinja_eval(rt, n->list.v[i]->a, f);
        rt->line = n->line;
        if (!op_compare(rt, n->list.v[i]->k, a, b)) return v_bool(false);
        a = b;
    }
    return v_bool(true);
}

static value eval_cond(jinja_rt *rt, const node *n, frame *f)
{
    if (val_true(rt, jinja_eval(rt, n->b, f))) return jinja_eval(rt, n->a, f);
    if (n->d) return jinja_eval(rt, n->d, f);
    rt->line = n->line;
    return v_undef(rt, "the inline if-expression evaluated to false and no else section was defined");
}

static value eval_or_missing(jinja_rt *rt, node *n, frame *f) { return n ? jinja_eval(rt, n, f) : v_missing(); }

static value eval_item(jinja_rt *rt, const node *n, frame *f)
{
    value obj = jinja_eval(rt, n->a, f);
    if (n->b->k != N_SLICE) {
        value key = jinja_eval(rt, n->b, f);
        rt->line = n->line;
        return op_item(rt, obj, key);
    }
    value start = eval_or_missing(rt, n->b->a, f), stop = eval_or_missing(rt, n->b->b, f);
    value step = eval_or_missing(rt, n->b->d, f);
    rt->line = n->line;
    return op_slice(rt, obj, start, stop, step);
}

/* ---- calls ---- */

static void push_star(jinja_rt *rt, node *star, frame *f)
{
    if (!star) return;
    viter *it = val_iter(rt, jinja_eval(rt, star, f));
    value v;
    while (iter_next(rt, it, &v)) rt_push(rt, v);
}

static void add_kw(jinja_rt *rt, cargs *out, vstr *name, value v)
{
    for (size_t i = 0; i < out->n_kw; i++)
        if (vstr_eq(rt, out->kw[i], name))
            rt_type_error(rt, "got multiple values for keyword argument '%.100s'", vstr_cstr(rt, name));
    rt_push(rt, v);
    out->kw[out->n_kw++] = name;
}

static void push_star2(jinja_rt *rt, const nargs *a, cargs *out, frame *f, vstr *caller, value caller_value)
{
    value d = a->star2 ? jinja_eval(rt, a->star2, f) : v_missing();
    if (a->star2 && d.t != V_DICT) rt_type_error(rt, "argument after ** must be a mapping, not %s", val_type(d));
    size_t extra = a->star2 ? d.u.d->n : 0;
    vstr **kw = rt_array(rt, out->n_kw + extra + 1, sizeof *kw);
    if (out->n_kw) memcpy(kw, out->kw, out->n_kw * sizeof *kw);
    out->kw = kw;
    for (size_t i = 0; i < extra; i++) {
        if (d.u.d->keys[i].t != V_STR) rt_type_error(rt, "keywords must be strings");
        add_kw(rt, out, d.u.d->keys[i].u.s, d.u.d->vals[i]);
    }
    if (caller) add_kw(rt, out, caller, caller_value);
}

/* Evaluates arguments onto the stack; whoever calls this puts rt->sp back. caller: a further keyword argument, or
 * NULL. */
static cargs eval_args(jinja_rt *rt, const nargs *a, frame *f, vstr *caller, value caller_value)
{
    cargs out = {.pos = rt->sp};
    for (size_t i = 0; i < a->pos.n; i++) rt_push(rt, jinja_eval(rt, a->pos.v[i], f));
    push_star(rt, a->star, f);
    out.n = (size_t)(rt->sp - out.pos);
    out.kwv = rt->sp;
    for (size_t i = 0; i < a->kwv.n; i++) rt_push(rt, jinja_eval(rt, a->kwv.v[i], f));
    out.kw = a->kw;
    out.n_kw = a->kwv.n;
    if (a->star2 || caller) push_star2(rt, a, &out, f, caller, caller_value);
    return out;
}

/* obj.name(...) where name is a method: without making a bound method first. */
static bool eval_method_call(jinja_rt *rt, const node *n, frame *f, value *fn, value *result)
{
    value obj = jinja_eval(rt, n->a->a, f);
    const builtin *m = find_method(obj, n->a->name);
    if (!m) {
        rt->line = n->line;
        *fn = op_attr(rt, obj, n->a->name);
        return false;
    }
    value *sp = rt->sp;
    cargs args = eval_args(rt, n->args, f, NULL, v_missing());
    rt->line = n->line;
    *result = builtin_call(rt, m, obj, &args);
    rt->sp = sp;
    return true;
}

static value eval_call(jinja_rt *rt, const node *n, frame *f, vstr *caller, value caller_value)
{
    value fn, result;
    if (n->a->k == N_ATTR && !caller) {
        if (eval_method_call(rt, n, f, &fn, &result)) return result;
    } else {
        fn = jinja_eval(rt, n->a, f);
    }
    value *sp = rt->sp;
    cargs args = eval_args(rt, n->args, f, caller, caller_value);
    rt->line = n->line;
    result = call_value(rt, fn, &args);
    rt->sp = sp;
    return result;
}

value call_value(jinja_rt *rt, value fn, const cargs *a)
{
    rt_guard(rt);
    switch (fn.t) {
    case V_FUNC: return builtin_call(rt, fn.u.p, v_missing(), a);
    case V_METHOD: return builtin_call(rt, fn.u.method->fn, fn.u.method->self, a);
    case V_MACRO: return v_str(macro_invoke(rt, fn, a));
    case V_LOOP: return loop_call(rt, fn, a);
    case V_BLOCK: return block_call(rt, fn);
    case V_JOINER:
        if (a->n || a->n_kw) rt_type_error(rt, "a joiner takes no arguments");
        return v_str(fn.u.cycler->at++ ? fn.u.cycler->sep : vstr_c(rt, ""));
    case V_UNDEF: rt_undefined(rt, fn);
    default: rt_type_error(rt, "'%s' object is not callable", val_type(fn));
    }
}

/* {% call %}: out comes what the call gives. */
void exec_call_block(jinja_rt *rt, node *n, frame *f)
{
    macro *m = rt_alloc(rt, sizeof *m);
    *m = (macro){.def = n, .up = f};
    value caller = {.t = V_MACRO, .u.p = m};
    if (!n->a) { /* generation */
        cargs none = {.pos = rt->sp};
        vsb_str(rt->out, macro_invoke(rt, caller, &none));
        return;
    }
    val_str_to(rt->out, eval_call(rt, n->a, f, vstr_c(rt, "caller"), caller));
}

/* ---- filters and tests ---- */

static value eval_filter(jinja_rt *rt, const node *n, frame *f)
{
    value self = n->a ? jinja_eval(rt, n->a, f) : *--rt->sp; /* of a filter block: its body lies on the stack */
    value *sp = rt->sp;
    cargs args = eval_args(rt, n->args, f, NULL, v_missing());
    rt->line = n->line;
    if (!n->fn)
        rt_type_error(rt, "no %s named '%.100s'", n->k == N_FILTER ? "filter" : "test", vstr_cstr(rt, n->name));
    value v = builtin_call(rt, n->fn, self, &args);
    rt->sp = sp;
    return v;
}

static value eval_and_or(jinja_rt *rt, const node *n, frame *f)
{
    value a = jinja_eval(rt, n->a, f);
    return val_true(rt, a) == (n->k == N_OR) ? a : jinja_eval(rt, n->b, f);
}

static value eval_binary(jinja_rt *rt, const node *n, frame *f)
{
    value a = jinja_eval(rt, n->a, f), b = jinja_eval(rt, n->b, f);
    rt->line = n->line;
    return op_binary(rt, n->k, a, b);
}

value jinja_eval(jinja_rt *rt, node *n, frame *f)
{
    value v;
    rt_guard(rt);
    switch (n->k) {
    case N_CONST: return n->c;
    case N_NAME: return eval_name(rt, n, f);
    case N_TUPLE: return v_seq(V_TUPLE, eval_list(rt, n->list, f));
    case N_LIST: return v_seq(V_LIST, eval_list(rt, n->list, f));
    case N_DICT: return eval_dict(rt, n, f);
    case N_NOT: return v_bool(!val_true(rt, jinja_eval(rt, n->a, f)));
    case N_NEG:
    case N_POS: v = jinja_eval(rt, n->a, f); return op_unary(rt, n->k, v);
    case N_AND:
    case N_OR: return eval_and_or(rt, n, f);
    case N_CONCAT: return eval_concat(rt, n, f);
    case N_COMPARE: return eval_compare(rt, n, f);
    case N_COND: return eval_cond(rt, n, f);
    case N_ATTR:
        v = jinja_eval(rt, n->a, f);
        rt->line = n->line;
        return op_attr(rt, v, n->name);
    case N_ITEM: return eval_item(rt, n, f);
    case N_CALL: return eval_call(rt, n, f, NULL, v_missing());
    case N_FILTER:
    case N_TEST: return eval_filter(rt, n, f);
    case N_SLICE: rt_type_error(rt, "a slice is not an index here");
    default: return eval_binary(rt, n, f);
    }
}
