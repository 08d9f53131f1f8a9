/* tojson: Python's json.dumps. */
#include <math.h>
#include <string.h>

#include "jinja_impl.h"

typedef struct dumper {
    vsb b;
    bool ascii, sort, indented;
    vstr *indent;     /* of one level */
    vstr *item, *key; /* separators */
} dumper;

static void unicode_escape(vsb *b, uint32_t c, bool trust)
{
    static const char hex[] = "0123456789abcdef";
    char s[6] = {'\\', 'u', hex[c >> 12 & 15], hex[c >> 8 & 15], hex[c >> 4 & 15], hex[c & 15]};
    vsb_raw(b, s, sizeof s, trust);
}

static void dump_char(dumper *d, uint32_t c, bool trust)
{
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    const char *hit = c && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (hit) {
        char s[2] = {'\\', to[hit - from]};
        vsb_raw(&d->b, s, 2, trust);
    } else if (c < 0x20 || (d->ascii && c > 0x7e && c < 0x10000)) {
        unicode_escape(&d->b, c, trust);
    } else if (d->ascii && c >= 0x10000) {
        unicode_escape(&d->b, 0xd800 + ((c - 0x10000) >> 10), trust);
        unicode_escape(&d->b, 0xdc00 + ((c - 0x10000) & 0x3ff), trust);
    } else {
        vsb_char(&d->b, c, trust);
    }
}

static bool plain(const dumper *d, unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && (!d->ascii || c < 0x7f);
}

static void dump_str(dumper *d, vstr *s)
{
    const char *p = vstr_bytes(d->b.rt, s);
    size_t run = 0;
    rt_step(d->b.rt, s->n / 8);
    vsb_c(&d->b, "\"");
    for (size_t i = 0, k; i < s->n; i = k) {
        for (k = i; k < s->n && plain(d, (unsigned char)p[k]); k++) {}
        if (k > i) {
            vsb_sub(&d->b, s, i, k);
            continue;
        }
        uint32_t c;
        while (s->marks && s->marks[run].end <= i) run++;
        k = i + utf8_next(p + i, s->n - i, &c);
        dump_char(d, c, s->marks ? s->marks[run].trust : s->trust);
    }
    vsb_c(&d->b, "\"");
}

static void dump_float(dumper *d, double f)
{
    if (isnan(f))
        vsb_c(&d->b, "NaN");
    else if (isinf(f))
        vsb_c(&d->b, f < 0 ? "-Infinity" : "Infinity");
    else
        float_repr_to(&d->b, f);
}

static void new_line(dumper *d, int depth)
{
    if (!d->indented) return;
    vsb_c(&d->b, "\n");
    for (int i = 0; i < depth; i++) vsb_str(&d->b, d->indent);
    rt_step(d->b.rt, (size_t)depth);
}

static void dump(dumper *d, value v, int depth);

static void dump_list(dumper *d, const vseq *q, int depth)
{
    vsb_c(&d->b, "[");
    for (size_t i = 0; i < q->n; i++) {
        if (i) vsb_str(&d->b, d->item);
        new_line(d, depth + 1);
        dump(d, q->v[i], depth + 1);
    }
    if (q->n) new_line(d, depth);
    vsb_c(&d->b, "]");
}

static void dump_key(dumper *d, value k)
{
    switch (k.t) {
    case V_STR: dump_str(d, k.u.s); return;
    case V_INT:
    case V_FLOAT:
    case V_BOOL:
    case V_NONE:
        vsb_c(&d->b, "\"");
        dump(d, k, 0);
        vsb_c(&d->b, "\"");
        return;
    default: rt_type_error(d->b.rt, "keys must be str, int, float, bool or None, not %s", val_type(k));
    }
}

static void dump_dict(dumper *d, const vdict *m, int depth)
{
    jinja_rt *rt = d->b.rt;
    value *order = rt_array(rt, m->n, sizeof *order);
    for (uint32_t i = 0; i < m->n; i++) order[i] = v_int(i);
    if (d->sort) {
        value *keys = rt_array(rt, m->n, sizeof *keys);
        if (m->n) memcpy(keys, m->keys, m->n * sizeof *keys);
        sort_values(rt, order, keys, m->n, false);
    }
    vsb_c(&d->b, "{");
    for (uint32_t i = 0; i < m->n; i++) {
        size_t at = (size_t)order[i].u.i;
        if (i) vsb_str(&d->b, d->item);
        new_line(d, depth + 1);
        dump_key(d, m->keys[at]);
        vsb_str(&d->b, d->key);
        dump(d, m->vals[at], depth + 1);
    }
    if (m->n) new_line(d, depth);
    vsb_c(&d->b, "}");
}

static void dump(dumper *d, value v, int depth)
{
    rt_guard(d->b.rt);
    switch (v.t) {
    case V_NONE: vsb_c(&d->b, "null"); break;
    case V_BOOL: vsb_c(&d->b, v.u.b ? "true" : "false"); break;
    case V_INT: vsb_int(&d->b, v.u.i); break;
    case V_FLOAT: dump_float(d, v.u.f); break;
    case V_STR: dump_str(d, v.u.s); break;
    case V_LIST:
    case V_TUPLE: dump_list(d, v.u.q, depth); break;
    case V_DICT: dump_dict(d, v.u.d, depth); break;
    default: rt_type_error(d->b.rt, "Object of type %s is not JSON serializable", val_type(v));
    }
}

vstr *tojson_text(jinja_rt *rt, value v, bool ascii, value indent, value separators, bool sort)
{
    dumper d = {.b = {.rt = rt}, .ascii = ascii, .sort = sort, .indent = vstr_c(rt, "")};
    d.indented = indent.t != V_MISSING && indent.t != V_NONE;
    if (d.indented) {
        if (indent.t == V_STR)
            d.indent = indent.u.s;
        else if (val_is_int(indent))
            d.indent = str_repeat(rt, vstr_c(rt, " "), val_int(indent));
        else
            rt_type_error(rt, "tojson: indent must be an integer or a string, not %s", val_type(indent));
    }
    d.item = vstr_c(rt, d.indented ? "," : ", ");
    d.key = vstr_c(rt, ": ");
    if (separators.t != V_MISSING && separators.t != V_NONE) {
        vseq *q = val_list(rt, separators);
        if (q->n != 2) rt_type_error(rt, "tojson: separators must be two strings");
        d.item = arg_str(rt, q->v[0]);
        d.key = arg_str(rt, q->v[1]);
    }
    dump(&d, v, 0);
    return vsb_done(&d.b);
}
