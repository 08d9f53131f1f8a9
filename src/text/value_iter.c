/* Length, membership, iteration. */
#include <string.h>

#include "jinja_impl.h"

bool val_len(jinja_rt *rt, value v, size_t *n)
{
    switch (v.t) {
    case V_UNDEF: *n = 0; return true;
    case V_STR: *n = vstr_chars(rt, v.u.s); return true;
    case V_LIST:
    case V_TUPLE: *n = v.u.q->n; return true;
    case V_DICT: *n = v.u.d->n; return true;
    case V_RANGE: *n = v.u.range->n; return true;
    case V_VIEW: *n = v.u.view->d->n; return true;
    case V_LOOP: *n = loop_length(rt, (loop_state *)(uintptr_t)v.u.p); return true;
    default: return false;
    }
}

static bool next_seq(jinja_rt *rt, viter *it, value *out)
{
    (void)rt;
    if (it->at == it->src.u.q->n) return false;
    *out = it->src.u.q->v[it->at++];
    return true;
}

static value pair(jinja_rt *rt, value a, value b)
{
    vseq *q = seq_new(rt, 2);
    q->v[0] = a;
    q->v[1] = b;
    return v_seq(V_TUPLE, q);
}

static bool next_view(jinja_rt *rt, viter *it, value *out)
{
    vdict *d = it->src.u.view->d;
    if (it->at == d->n) return false;
    value k = d->keys[it->at], v = d->vals[it->at];
    it->at++;
    char kind = it->src.u.view->kind;
    *out = kind == 'k' ? k : kind == 'v' ? v : pair(rt, k, v);
    return true;
}

static bool next_key(jinja_rt *rt, viter *it, value *out)
{
    (void)rt;
    if (it->at == it->src.u.d->n) return false;
    *out = it->src.u.d->keys[it->at++];
    return true;
}

static bool next_char(jinja_rt *rt, viter *it, value *out)
{
    vstr *s = it->src.u.s;
    if (it->at == s->n) return false;
    const char *p = vstr_bytes(rt, s);
    uint32_t c;
    size_t n = utf8_next(p + it->at, s->n - it->at, &c);
    *out = v_str(vstr_plain(rt, vstr_sub(rt, s, it->at, it->at + n)));
    it->at += n;
    return true;
}

static bool next_int(jinja_rt *rt, viter *it, value *out)
{
    (void)rt;
    vrange *r = it->src.u.range;
    if (it->at == r->n) return false;
    *out = v_int(r->start + (int64_t)it->at++ * r->step);
    return true;
}

static bool next_nothing(jinja_rt *rt, viter *it, value *out)
{
    (void)rt, (void)it, (void)out;
    return false;
}

void iter_start(viter *it, value v) { *it = (viter){.next = v.t == V_RANGE ? next_int : next_seq, .src = v}; }

viter *val_try_iter(jinja_rt *rt, value v)
{
    switch (v.t) {
    case V_UNDEF: return v_iter(rt, next_nothing, v, NULL, NULL).u.iter;
    case V_STR: return v_iter(rt, next_char, v, NULL, NULL).u.iter;
    case V_LIST:
    case V_TUPLE: return v_iter(rt, next_seq, v, NULL, NULL).u.iter;
    case V_DICT: return v_iter(rt, next_key, v, NULL, NULL).u.iter;
    case V_VIEW: return v_iter(rt, next_view, v, NULL, NULL).u.iter;
    case V_RANGE: return v_iter(rt, next_int, v, NULL, NULL).u.iter;
    case V_ITER: return v.u.iter;
    default: return NULL;
    }
}

viter *val_iter(jinja_rt *rt, value v)
{
    viter *it = val_try_iter(rt, v);
    if (!it) rt_type_error(rt, "'%s' object is not iterable", val_type(v));
    return it;
}

bool iter_next(jinja_rt *rt, viter *it, value *out)
{
    rt_guard(rt);
    if (it->done) return false;
    if (it->next(rt, it, out)) return true;
    it->done = true;
    return false;
}

vseq *val_list(jinja_rt *rt, value v)
{
    if (v.t == V_LIST || v.t == V_TUPLE) return v.u.q;
    viter *it = val_iter(rt, v);
    size_t n = 0, cap = 8;
    if (v.t == V_DICT) cap = v.u.d->n;
    if (v.t == V_VIEW) cap = v.u.view->d->n;
    if (v.t == V_RANGE) cap = v.u.range->n;
    value *a = rt_array(rt, cap, sizeof *a), x;
    while (iter_next(rt, it, &x)) {
        if (n == cap) {
            cap = cap ? cap * 2 : 8;
            value *b = rt_array(rt, cap, sizeof *b);
            memcpy(b, a, n * sizeof *a);
            a = b;
        }
        a[n++] = x;
    }
    vseq *q = rt_alloc(rt, sizeof *q);
    *q = (vseq){.v = a, .n = n};
    return q;
}

static bool in_range(value item, const vrange *r)
{
    if (!val_number(item) || r->n == 0) return false;
    double d = val_double(item);
    if (item.t == V_FLOAT && !(d > -9e18 && d < 9e18 && (double)(int64_t)d == d)) return false;
    int64_t i = item.t == V_FLOAT ? (int64_t)d : val_int(item), last = r->start + (int64_t)(r->n - 1) * r->step;
    if (r->step > 0 ? i < r->start || i > last : i > r->start || i < last) return false;
    return (i - r->start) % r->step == 0;
}

bool val_in(jinja_rt *rt, value item, value c)
{
    value x;
    switch (c.t) {
    case V_STR:
        if (item.t != V_STR)
            rt_type_error(rt, "'in <string>' requires string as left operand, not %s", val_type(item));
        return vstr_find(rt, c.u.s, item.u.s, 0, c.u.s->n) != SIZE_MAX;
    case V_DICT:
        if (!val_hashable(item)) rt_type_error(rt, "unhashable type: '%s'", val_type(item));
        return dict_get(rt, c.u.d, item) != NULL;
    case V_VIEW:
        if (c.u.view->kind == 'k') return dict_get(rt, c.u.view->d, item) != NULL;
        break;
    case V_RANGE: return in_range(item, c.u.range);
    default: break;
    }
    viter *it = val_try_iter(rt, c);
    if (!it) rt_type_error(rt, "argument of type '%s' is not iterable", val_type(c));
    while (iter_next(rt, it, &x))
        if (val_eq(rt, x, item)) return true;
    return false;
}
