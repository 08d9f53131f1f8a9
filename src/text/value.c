#include "value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- memory, limits, errors ---- */

_Noreturn void rt_fail(jinja_rt *rt, tawny_status code, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(rt->err, code, "template line %u: %s", rt->line, text);
    longjmp(rt->escape, (int)code);
}

_Noreturn void rt_type_error(jinja_rt *rt, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rt_fail(rt, TAWNY_E_FORMAT, "%s", text);
}

_Noreturn void rt_out_of_steps(jinja_rt *rt)
{
    rt_fail(rt, TAWNY_E_LIMIT, "the template takes too much work (limit %llu steps)",
        (unsigned long long)rt->max_steps);
}

_Noreturn void rt_too_deep(jinja_rt *rt) { rt_fail(rt, TAWNY_E_LIMIT, "nested too deeply"); }

enum { ALIGN = 16, BLOCK_MIN = 32 * 1024, BLOCK_MAX = 4 * 1024 * 1024 };

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

void *rt_alloc(jinja_rt *rt, size_t n)
{
    if (n > rt->max_bytes || rt->used > rt->max_bytes - n)
        rt_fail(rt, TAWNY_E_LIMIT, "the template takes too much memory (limit %zu bytes)", rt->max_bytes);
    n = aligned(n ? n : 1);
    rt->used += n;
    if (n > (size_t)(rt->end - rt->at)) {
        if (rt->block < BLOCK_MIN) rt->block = BLOCK_MIN;
        size_t want = n > rt->block / 2 ? n : rt->block;
        char *p = arena_alloc(rt->mem, want);
        if (!p) {
            err_nomem(rt->err);
            longjmp(rt->escape, TAWNY_E_NOMEM);
        }
        if (want == n) return p;
        if (rt->block < BLOCK_MAX) rt->block *= 2;
        rt->at = p;
        rt->end = p + want;
    }
    void *p = rt->at;
    rt->at += n;
    return p;
}

void *rt_array(jinja_rt *rt, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / 2 / size) rt_fail(rt, TAWNY_E_LIMIT, "the template takes too much memory");
    return rt_alloc(rt, n * size);
}

void rt_push(jinja_rt *rt, value v)
{
    if (rt->sp == rt->stack_end) rt_fail(rt, TAWNY_E_LIMIT, "too many arguments");
    *rt->sp++ = v;
}

/* ---- undefined ---- */

static const char *const type_names[] = {"missing", "Undefined", "NoneType", "bool", "int", "float", "str", "list",
    "tuple", "dict", "range", "dict_items", "generator", "Namespace", "Macro", "function",
    "builtin_function_or_method", "LoopContext", "Cycler", "Joiner", "TemplateReference", "BlockReference"};

value v_undef(jinja_rt *rt, const char *hint)
{
    (void)rt;
    return (value){.t = V_UNDEF, .aux = UNDEF_HINT, .u.p = hint};
}

static value undef(unsigned kind, vtype of, const vstr *name)
{
    return (value){.t = V_UNDEF, .aux = kind | (unsigned)of << 8, .u.p = name};
}

value v_undef_name(jinja_rt *rt, const vstr *name)
{
    (void)rt;
    return undef(UNDEF_NAME, V_MISSING, name);
}

value v_undef_attr(jinja_rt *rt, value obj, const vstr *name)
{
    (void)rt;
    return undef(UNDEF_ATTRIBUTE, obj.t, name);
}

value v_undef_denied(jinja_rt *rt, value obj, const vstr *name)
{
    (void)rt;
    return undef(UNDEF_DENIED, obj.t, name);
}

value v_undef_item(jinja_rt *rt, value obj, value key)
{
    if (key.t == V_STR) return undef(UNDEF_ATTRIBUTE, obj.t, key.u.s);
    vsb b = {.rt = rt};
    val_repr_to(&b, key);
    return undef(UNDEF_ELEMENT, obj.t, vsb_done(&b));
}

_Noreturn void rt_undefined(jinja_rt *rt, value v)
{
    unsigned kind = v.aux & 255, t = v.aux >> 8;
    if (kind == UNDEF_HINT) rt_type_error(rt, "%s", (const char *)v.u.p);
    const char *name = vstr_cstr(rt, v.u.s), *of = t == V_NONE ? "None" : type_names[t];
    const char *object = t == V_LIST || t == V_DICT || t == V_STR ? " object" : "";
    if (kind == UNDEF_DENIED) rt_type_error(rt, "access to attribute '%.200s' of '%s' object is unsafe", name, of);
    if (kind == UNDEF_ELEMENT) rt_type_error(rt, "%s%s has no element %.200s", of, object, name);
    if (kind == UNDEF_ATTRIBUTE) rt_type_error(rt, "'%s%s' has no attribute '%.200s'", of, object, name);
    rt_type_error(rt, "'%.200s' is undefined", name);
}

vseq *seq_new(jinja_rt *rt, size_t n)
{
    vseq *q = rt_alloc(rt, sizeof *q);
    *q = (vseq){.v = rt_array(rt, n, sizeof(value)), .n = n};
    rt_step(rt, n / 4);
    return q;
}

value v_iter(jinja_rt *rt, bool (*next)(jinja_rt *, viter *, value *), value src, viter *inner, void *data)
{
    viter *it = rt_alloc(rt, sizeof *it);
    *it = (viter){.next = next, .src = src, .inner = inner, .data = data};
    return (value){.t = V_ITER, .u.iter = it};
}

/* ---- what every value can be asked ---- */

const char *val_type(value v)
{
    if (v.t == V_VIEW)
        return v.u.view->kind == 'k' ? "dict_keys" : v.u.view->kind == 'v' ? "dict_values" : "dict_items";
    if (v.t == V_STR && v.u.s->markup) return "Markup";
    return type_names[v.t];
}

bool val_number(value v) { return v.t == V_INT || v.t == V_FLOAT || v.t == V_BOOL; }
bool val_is_int(value v) { return v.t == V_INT || v.t == V_BOOL; }
int64_t val_int(value v) { return v.t == V_BOOL ? v.u.b : v.u.i; }
double val_double(value v) { return v.t == V_FLOAT ? v.u.f : (double)val_int(v); }

bool val_true(jinja_rt *rt, value v)
{
    size_t n;
    switch (v.t) {
    case V_MISSING:
    case V_UNDEF:
    case V_NONE: return false;
    case V_BOOL: return v.u.b;
    case V_INT: return v.u.i != 0;
    case V_FLOAT: return v.u.f != 0;
    case V_LOOP: return val_len(rt, v, &n) && n > 0;
    case V_STR: return v.u.s->n > 0;
    case V_LIST:
    case V_TUPLE: return v.u.q->n > 0;
    case V_DICT: return v.u.d->n > 0;
    case V_RANGE: return v.u.range->n > 0;
    case V_VIEW: return v.u.view->d->n > 0;
    default: return true;
    }
}

static int sign(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

/* Exact also where one is an integer beyond 2^53: long double has 64 bits of mantissa. 2 with a NaN. */
static int number_cmp(value a, value b)
{
    if (a.t != V_FLOAT && b.t != V_FLOAT) return sign(val_int(a), val_int(b));
    long double x = a.t == V_FLOAT ? (long double)a.u.f : (long double)val_int(a);
    long double y = b.t == V_FLOAT ? (long double)b.u.f : (long double)val_int(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

static bool seq_eq(jinja_rt *rt, const vseq *a, const vseq *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!val_eq(rt, a->v[i], b->v[i])) return false;
    return true;
}

static bool dict_eq(jinja_rt *rt, const vdict *a, const vdict *b)
{
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++) {
        value *v = dict_get(rt, b, a->keys[i]);
        if (!v || !val_eq(rt, a->vals[i], *v)) return false;
    }
    return true;
}

bool val_eq(jinja_rt *rt, value a, value b)
{
    rt_guard(rt);
    if (val_number(a) && val_number(b)) return number_cmp(a, b) == 0;
    if (a.t != b.t) return false;
    switch (a.t) {
    case V_MISSING:
    case V_UNDEF:
    case V_NONE: return true;
    case V_STR: return vstr_eq(rt, a.u.s, b.u.s);
    case V_LIST:
    case V_TUPLE: return a.u.q == b.u.q || seq_eq(rt, a.u.q, b.u.q);
    case V_DICT: return a.u.d == b.u.d || dict_eq(rt, a.u.d, b.u.d);
    case V_RANGE: {
        vrange *x = a.u.range, *y = b.u.range;
        return x->n == y->n && (x->n == 0 || (x->start == y->start && (x->n == 1 || x->step == y->step)));
    }
    default: return a.u.p == b.u.p;
    }
}

static int seq_cmp(jinja_rt *rt, const vseq *a, const vseq *b, const char *op)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!val_eq(rt, a->v[i], b->v[i])) return val_cmp(rt, a->v[i], b->v[i], op);
    return sign((int64_t)a->n, (int64_t)b->n);
}

int val_cmp(jinja_rt *rt, value a, value b, const char *op)
{
    rt_guard(rt);
    if (val_number(a) && val_number(b)) return number_cmp(a, b);
    if (a.t == V_UNDEF) rt_undefined(rt, a);
    if (b.t == V_UNDEF) rt_undefined(rt, b);
    if (a.t == V_STR && b.t == V_STR) return vstr_cmp(rt, a.u.s, b.u.s);
    if ((a.t == V_LIST || a.t == V_TUPLE) && a.t == b.t) return seq_cmp(rt, a.u.q, b.u.q, op);
    rt_type_error(rt, "'%s' not supported between instances of '%s' and '%s'", op, val_type(a), val_type(b));
}

/* ---- dicts ---- */

bool val_hashable(value v)
{
    if (v.t == V_LIST || v.t == V_DICT) return false;
    if (v.t == V_TUPLE)
        for (size_t i = 0; i < v.u.q->n; i++)
            if (v.u.q->v[i].t == V_TUPLE || !val_hashable(v.u.q->v[i])) return false; /* one level is enough here */
    return true;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t bytes_hash(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = mix(h, w);
        p += 8;
        n -= 8;
    }
    uint64_t w = 0;
    if (n) memcpy(&w, p, n);
    h = mix(h, w ^ (uint64_t)n << 56);
    return h ? h : 1;
}

static uint64_t str_hash(jinja_rt *rt, vstr *s)
{
    if (!s->hash) {
        rt_step(rt, s->n / 32);
        s->hash = bytes_hash(vstr_bytes(rt, s), s->n);
    }
    return s->hash;
}

void vstr_seal(jinja_rt *rt, vstr *s)
{
    str_hash(rt, s);
    vstr_chars(rt, s);
}

/* Numbers that are equal hash alike, whatever their types. */
static uint64_t val_hash(jinja_rt *rt, value v)
{
    uint64_t bits;
    switch (v.t) {
    case V_STR: return str_hash(rt, v.u.s);
    case V_BOOL:
    case V_INT: return mix(7, (uint64_t)val_int(v));
    case V_FLOAT:
        if (v.u.f >= -9e18 && v.u.f <= 9e18 && (double)(int64_t)v.u.f == v.u.f)
            return mix(7, (uint64_t)(int64_t)v.u.f);
        memcpy(&bits, &v.u.f, sizeof bits);
        return mix(8, bits);
    case V_TUPLE: {
        uint64_t h = 9;
        for (size_t i = 0; i < v.u.q->n; i++) h = mix(h, val_hash(rt, v.u.q->v[i]));
        return h;
    }
    case V_NONE: return 10;
    case V_UNDEF: return 11;
    case V_RANGE: return mix(12, v.u.range->n);
    default: return mix(13, (uint64_t)(uintptr_t)v.u.p);
    }
}

enum { SMALL_DICT = 8 };

vdict *dict_new(jinja_rt *rt, size_t cap)
{
    if (cap > UINT32_MAX / 4) rt_fail(rt, TAWNY_E_LIMIT, "a dict of %zu entries", cap);
    vdict *d = rt_alloc(rt, sizeof *d);
    *d = (vdict){.cap = (uint32_t)cap};
    if (cap) {
        d->keys = rt_array(rt, cap, sizeof(value));
        d->vals = rt_array(rt, cap, sizeof(value));
    }
    return d;
}

static void index_put(vdict *d, uint64_t h, uint32_t at)
{
    uint32_t mask = d->n_index - 1, i = (uint32_t)h & mask;
    while (d->index[i]) i = (i + 1) & mask;
    d->index[i] = at + 1;
}

static void dict_reindex(jinja_rt *rt, vdict *d)
{
    uint32_t n = 32;
    while (n < d->cap * 2) n *= 2;
    d->index = rt_array(rt, n, sizeof *d->index);
    memset(d->index, 0, n * sizeof *d->index);
    d->n_index = n;
    for (uint32_t i = 0; i < d->n; i++) index_put(d, val_hash(rt, d->keys[i]), i);
    rt_step(rt, n);
}

static void dict_grow(jinja_rt *rt, vdict *d)
{
    vdict *big = dict_new(rt, d->cap ? (size_t)d->cap * 2 : 4);
    if (d->n) {
        memcpy(big->keys, d->keys, d->n * sizeof(value));
        memcpy(big->vals, d->vals, d->n * sizeof(value));
    }
    rt_step(rt, d->n);
    big->n = d->n;
    *d = *big;
}

static bool key_is(value k, const char *p, size_t n)
{
    const vstr *s = k.u.s;
    return k.t == V_STR && s->n == n && s->p && (s->p == p || memcmp(s->p, p, n) == 0);
}

value *dict_get(jinja_rt *rt, const vdict *d, value key)
{
    rt_step(rt, 1);
    const char *p = key.t == V_STR ? vstr_bytes(rt, key.u.s) : NULL;
    if (!d->index || d->n <= SMALL_DICT) {
        for (uint32_t i = 0; p && i < d->n; i++)
            if (key_is(d->keys[i], p, key.u.s->n)) return &d->vals[i];
        for (uint32_t i = 0; !p && i < d->n; i++)
            if (val_eq(rt, d->keys[i], key)) return &d->vals[i];
        return NULL;
    }
    uint32_t mask = d->n_index - 1;
    for (uint32_t i = (uint32_t)val_hash(rt, key) & mask; d->index[i]; i = (i + 1) & mask) {
        uint32_t at = d->index[i] - 1;
        if (val_eq(rt, d->keys[at], key)) return &d->vals[at];
    }
    return NULL;
}

value *dict_get_str(jinja_rt *rt, const vdict *d, const vstr *key)
{
    if (d->index && d->n > SMALL_DICT) {
        vstr copy = *key; /* a template's string is shared by threads: its hash is not to be stored */
        return dict_get(rt, d, v_str(&copy));
    }
    rt_step(rt, 1);
    for (uint32_t i = 0; i < d->n; i++)
        if (key_is(d->keys[i], key->p, key->n)) return &d->vals[i];
    return NULL;
}

value *dict_get_c(jinja_rt *rt, const vdict *d, const char *key)
{
    vstr s = {.p = key, .n = strlen(key), .chars = SIZE_MAX};
    return dict_get_str(rt, d, &s);
}

void dict_set(jinja_rt *rt, vdict *d, value key, value v)
{
    if (!val_hashable(key)) rt_type_error(rt, "unhashable type: '%s'", val_type(key));
    value *old = dict_get(rt, d, key);
    if (old) {
        *old = v;
        return;
    }
    if (key.t == V_STR) vstr_bytes(rt, key.u.s);
    bool grow = d->n == d->cap;
    if (grow) dict_grow(rt, d);
    d->keys[d->n] = key;
    d->vals[d->n] = v;
    d->n++;
    if (d->n > SMALL_DICT) {
        if (grow || !d->index)
            dict_reindex(rt, d);
        else
            index_put(d, val_hash(rt, key), d->n - 1);
    }
}
