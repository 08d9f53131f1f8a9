/* Filters that make text and numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mathf.h"
#include "jinja_str.h"

#define FILTER(name) static value name(jinja_rt *rt, value v, value *a, const cargs *raw)
#define UNUSED (void)rt, (void)v, (void)a, (void)raw

static value keep(vstr *from, jinja_rt *rt, vstr *r) { return v_str(from->markup ? vstr_markup(rt, r) : r); }

FILTER(f_upper)
{
    UNUSED;
    return v_str(str_upper(rt, soft_str(rt, v)));
}

FILTER(f_lower)
{
    UNUSED;
    return v_str(str_lower(rt, soft_str(rt, v)));
}

FILTER(f_capitalize)
{
    UNUSED;
    return v_str(str_capitalize(rt, soft_str(rt, v)));
}

static bool word_break(uint32_t c) { return jchar_space(c) || c == '-' || c == '(' || c == '{' || c == '[' ||
    c == '<'; }

/* Unlike the method: words begin after blanks, dashes and opening brackets alone. */
FILTER(f_title)
{
    UNUSED;
    vstr *s = vstr_plain(rt, soft_str(rt, v));
    const char *p = vstr_bytes(rt, s);
    vsb b = {.rt = rt};
    uint32_t c;
    for (size_t at = 0, end; at < s->n; at = end) {
        size_t k = utf8_next(p + at, s->n - at, &c);
        bool brk = word_break(c);
        for (end = at + k; end < s->n; end += k) {
            k = utf8_next(p + end, s->n - end, &c);
            if (word_break(c) != brk) break;
        }
        k = utf8_next(p + at, s->n - at, &c);
        vsb_str(&b, str_upper(rt, vstr_sub(rt, s, at, at + k)));
        vsb_str(&b, str_lower(rt, vstr_sub(rt, s, at + k, end)));
        rt_step(rt, 2);
    }
    return v_str(vsb_done(&b));
}

FILTER(f_trim)
{
    UNUSED;
    vstr *chars = a[0].t == V_MISSING || a[0].t == V_NONE ? NULL : arg_str(rt, a[0]);
    return v_str(str_strip(rt, soft_str(rt, v), chars, true, true));
}

FILTER(f_replace)
{
    UNUSED;
    int64_t count = a[2].t == V_NONE ? -1 : arg_int(rt, a[2], -1);
    return v_str(str_replace(rt, vstr_plain(rt, val_str(rt, v)), val_str(rt, a[0]), vstr_plain(rt, val_str(rt, a[1])),
        count));
}

FILTER(f_center)
{
    UNUSED;
    return v_str(str_pad(rt, soft_str(rt, v), arg_int(rt, a[0], 80), vstr_c(rt, " "), 1));
}

FILTER(f_string)
{
    UNUSED;
    return v_str(soft_str(rt, v));
}

FILTER(f_safe)
{
    UNUSED;
    return v_str(vstr_markup(rt, val_str(rt, v)));
}

FILTER(f_escape)
{
    UNUSED;
    return v_str(html_escape(rt, v));
}

FILTER(f_forceescape)
{
    UNUSED;
    return v_str(html_escape(rt, v_str(vstr_plain(rt, val_str(rt, v)))));
}

FILTER(f_format)
{
    UNUSED;
    vstr *s = soft_str(rt, v);
    if (raw->n && raw->n_kw) rt_type_error(rt, "can't handle positional and keyword arguments at the same time");
    if (raw->n_kw) {
        vdict *d = dict_new(rt, raw->n_kw);
        for (size_t i = 0; i < raw->n_kw; i++) dict_set(rt, d, v_str(raw->kw[i]), raw->kwv[i]);
        return v_str(str_percent(rt, s, v_dict(d)));
    }
    vseq *q = seq_new(rt, raw->n);
    if (raw->n) memcpy(q->v, raw->pos, raw->n * sizeof(value));
    return v_str(str_percent(rt, s, v_seq(V_TUPLE, q)));
}

FILTER(f_tojson)
{
    UNUSED;
    return v_str(tojson_text(rt, v, arg_true(rt, a[0], false), a[1], a[2], arg_true(rt, a[3], false)));
}

FILTER(f_indent)
{
    UNUSED;
    vstr *by;
    if (a[0].t == V_STR)
        by = a[0].u.s;
    else
        by = str_repeat(rt, vstr_c(rt, " "), arg_int(rt, a[0], 4));
    bool first = arg_true(rt, a[1], false), blank = arg_true(rt, a[2], false);
    vstr *s = op_binary(rt, N_ADD, v, v_str(vstr_c(rt, "\n"))).u.s;
    if (s->markup) by = vstr_markup(rt, by);
    vseq *lines = str_lines(rt, s, false);
    vsb b = {.rt = rt};
    for (size_t i = 0; i < lines->n; i++) {
        vstr *line = lines->v[i].u.s;
        if (i) vsb_c(&b, "\n");
        if (i ? blank || line->n : first) vsb_str(&b, by);
        vsb_str(&b, line);
        rt_step(rt, 1);
    }
    return keep(s, rt, vsb_done(&b));
}

FILTER(f_truncate)
{
    UNUSED;
    size_t len;
    if (!val_len(rt, v, &len)) rt_type_error(rt, "object of type '%s' has no len()", val_type(v));
    vstr *end = a[2].t == V_MISSING ? vstr_c(rt, "...") : arg_str(rt, a[2]);
    int64_t length = arg_int(rt, a[0], 255), leeway = a[3].t == V_NONE ? 5 : arg_int(rt, a[3], 5);
    int64_t n = (int64_t)len, n_end = (int64_t)vstr_chars(rt, end);
    if (length < n_end || leeway < 0) rt_type_error(rt, "truncate: length and leeway are too small");
    if (leeway > n || n <= length + leeway) return v;
    vstr *s = arg_str(rt, v);
    vstr *head = vstr_sub(rt, s, 0, vstr_offset(rt, s, (size_t)(length - n_end)));
    if (!arg_true(rt, a[1], false)) {
        size_t at = vstr_rfind(rt, head, vstr_c(rt, " "), 0, head->n);
        if (at != SIZE_MAX) head = vstr_sub(rt, head, 0, at);
    }
    return op_concat_markup(rt, head, end);
}

FILTER(f_wordcount)
{
    UNUSED;
    vstr *s = soft_str(rt, v);
    const char *p = vstr_bytes(rt, s);
    int64_t n = 0;
    bool in = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += utf8_next(p + i, s->n - i, &c);
        bool word = c == '_' || jchar_word(c);
        n += word && !in;
        in = word;
    }
    rt_step(rt, s->n / 4);
    return v_int(n);
}

/* ---- HTML and URLs ---- */

static void quote_to(vsb *b, value v, bool query)
{
    vstr *s = val_str(b->rt, v);
    const char *p = vstr_bytes(b->rt, s);
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s->n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c && strchr("_.-~", c));
        if (plain || (c == '/' && !query)) {
            vsb_sub(b, s, i, i + 1);
        } else if (c == ' ' && query) {
            vsb_raw(b, "+", 1, vstr_trust_at(s, i));
        } else {
            char e[3] = {'%', hex[c >> 4], hex[c & 15]};
            vsb_raw(b, e, 3, vstr_trust_at(s, i));
        }
    }
}

FILTER(f_urlencode)
{
    UNUSED;
    vsb b = {.rt = rt};
    if (v.t == V_STR || !val_try_iter(rt, v)) {
        quote_to(&b, v, false);
        return v_str(vsb_done(&b));
    }
    if (v.t == V_DICT) {
        vview *w = rt_alloc(rt, sizeof *w);
        *w = (vview){v.u.d, 'i'};
        v = (value){.t = V_VIEW, .u.view = w};
    }
    viter *it = val_iter(rt, v);
    value pair;
    for (bool first = true; iter_next(rt, it, &pair); first = false) {
        vseq *q = val_list(rt, pair);
        if (q->n != 2) rt_type_error(rt, "urlencode wants pairs");
        if (!first) vsb_c(&b, "&");
        quote_to(&b, q->v[0], true);
        vsb_c(&b, "=");
        quote_to(&b, q->v[1], true);
    }
    return v_str(vsb_done(&b));
}

FILTER(f_xmlattr)
{
    UNUSED;
    if (v.t != V_DICT) rt_type_error(rt, "xmlattr wants a mapping, not %s", val_type(v));
    vsb b = {.rt = rt};
    const vdict *d = v.u.d;
    bool space = arg_true(rt, a[0], true);
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->vals[i].t == V_NONE || d->vals[i].t == V_UNDEF) continue;
        vstr *key = arg_str(rt, d->keys[i]);
        for (size_t k = 0; k < key->n; k++)
            if (strchr(" \t\n\r\f\v/>=", vstr_bytes(rt, key)[k] ? key->p[k] : 'x'))
                rt_type_error(rt, "invalid character in attribute name");
        if (b.n || space) vsb_c(&b, " ");
        vsb_str(&b, html_escape(rt, d->keys[i]));
        vsb_c(&b, "=\"");
        vsb_str(&b, html_escape(rt, d->vals[i]));
        vsb_c(&b, "\"");
    }
    return v_str(vsb_done(&b));
}

/* Tags and comments go, white space becomes single blanks, the five entities that escape() makes are undone. */
FILTER(f_striptags)
{
    UNUSED;
    vstr *s = vstr_plain(rt, val_str(rt, v));
    const char *p = vstr_bytes(rt, s);
    vsb b = {.rt = rt};
    for (size_t at = 0; at < s->n;) {
        size_t open = vstr_find(rt, s, vstr_c(rt, "<"), at, s->n), close = SIZE_MAX;
        if (open != SIZE_MAX) {
            bool comment = s->n - open >= 4 && memcmp(p + open, "<!--", 4) == 0;
            close = vstr_find(rt, s, vstr_c(rt, comment ? "-->" : ">"), open + (comment ? 4 : 0), s->n);
            if (close != SIZE_MAX) close += comment ? 3 : 1;
        }
        vsb_sub(&b, s, at, close == SIZE_MAX ? s->n : open);
        at = close == SIZE_MAX ? s->n : close;
    }
    cargs none = {0};
    vstr *text = vsb_done(&b), *blank = vstr_c(rt, " ");
    vseq *words = val_list(rt, builtin_call(rt, builtin_in(methods_str, "split", 5), v_str(text), &none));
    vsb joined = {.rt = rt};
    for (size_t i = 0; i < words->n; i++) {
        if (i) vsb_str(&joined, blank);
        vsb_str(&joined, words->v[i].u.s);
    }
    text = vsb_done(&joined);
    static const char *const entities[][2] = {{"&lt;", "<"}, {"&gt;", ">"}, {"&#34;", "\""}, {"&quot;", "\""},
        {"&#39;", "'"},
        {"&nbsp;", "\xc2\xa0"}, {"&amp;", "&"}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        text = str_replace(rt, text, vstr_c(rt, entities[i][0]), vstr_c(rt, entities[i][1]), -1);
    return v_str(text);
}

/* ---- numbers ---- */

FILTER(f_abs)
{
    UNUSED;
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (!val_number(v)) rt_type_error(rt, "bad operand type for abs(): '%s'", val_type(v));
    if (v.t == V_FLOAT) return v_float(fabs(v.u.f));
    return val_int(v) < 0 ? op_unary(rt, N_NEG, v) : v_int(val_int(v));
}

static bool double_of(jinja_rt *rt, value v, double *d)
{
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (val_number(v)) {
        *d = val_double(v);
        return true;
    }
    if (v.t != V_STR) return false;
    vstr *s = str_strip(rt, v.u.s, NULL, true, true);
    return text_to_double(vstr_bytes(rt, s), s->n, d);
}

FILTER(f_float)
{
    UNUSED;
    double d;
    return double_of(rt, v, &d) ? v_float(d) : arg_or(a[0], v_float(0));
}

/* An integer as int() reads it; false where it is none. */
static bool text_to_int(jinja_rt *rt, vstr *text, int64_t base, int64_t *out)
{
    vstr *s = str_strip(rt, text, NULL, true, true);
    const char *p = vstr_bytes(rt, s);
    size_t i = s->n && (p[0] == '-' || p[0] == '+') ? 1 : 0;
    char mark = i + 1 < s->n && p[i] == '0' ? (char)(p[i + 1] | 32) : 0;
    int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0, v = 0;
    bool negative = s->n && p[0] == '-', digit = false;
    if (base == 0 && !marked && i + 1 < s->n && p[i] == '0') return false;
    if (marked && (base == marked || base == 0)) i += i + 2 < s->n && p[i + 2] == '_' ? 3 : 2;
    if (base == 0) base = marked ? marked : 10;
    for (; i < s->n; i++) {
        char c = p[i];
        if (c == '_' && digit) {
            digit = false;
            continue;
        }
        int64_t d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (d >= base) return false;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_sub_overflow(v, d, &v)) /* negative: the larger range */
            rt_fail(rt, TAWNY_E_LIMIT, "an integer beyond 64 bits");
        digit = true;
    }
    if (!digit) return false;
    if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
        rt_fail(rt, TAWNY_E_LIMIT, "an integer beyond 64 bits");
    *out = v;
    return true;
}

FILTER(f_int)
{
    UNUSED;
    int64_t i, base = arg_int(rt, a[1], 10);
    double d;
    if (base != 0 && (base < 2 || base > 36)) base = 10;
    if (val_is_int(v)) return v_int(val_int(v));
    if (v.t == V_STR && text_to_int(rt, v.u.s, base, &i)) return v_int(i);
    if (!double_of(rt, v, &d) || isnan(d) || (v.t == V_STR && isinf(d))) return arg_or(a[0], v_int(0));
    if (isinf(d)) rt_type_error(rt, "cannot convert float infinity to integer");
    if (!(d > -9.2233720368547758e18 && d < 9.2233720368547758e18))
        rt_fail(rt, TAWNY_E_LIMIT, "an integer beyond 64 bits");
    return v_int((int64_t)d);
}

static int64_t power_of_ten(jinja_rt *rt, int64_t n)
{
    int64_t p = 1;
    if (n > 18) rt_fail(rt, TAWNY_E_LIMIT, "a precision of %lld digits", (long long)n);
    while (n-- > 0) p *= 10;
    return p;
}

/* Half to even, as Python rounds. */
static value round_half(jinja_rt *rt, value v, int64_t digits)
{
    if (v.t != V_FLOAT) {
        int64_t i = val_int(v);
        if (digits >= 0) return v_int(i);
        if (digits < -18) return v_int(0);
        int64_t p = power_of_ten(rt, -digits), r = i % p;
        if (r < 0) r += p;
        int64_t low = i - r, up = r > p / 2 || (r == p / 2 && (low / p) % 2 != 0);
        return op_binary(rt, N_ADD, v_int(low), v_int(up ? p : 0));
    }
    double f = v.u.f;
    if (!isfinite(f) || digits > 300) return v;
    if (digits < 0) {
        if (digits < -308) return v_float(copysign(0, f));
        double p = d_pow(10, (double)-digits);
        return v_float(nearbyint(f / p) * p);
    }
    char text[800];
    snprintf(text, sizeof text, "%.*f", (int)digits, f); /* correctly rounded, and read back in the same locale */
    return v_float(strtod(text, NULL));
}

FILTER(f_round)
{
    UNUSED;
    int64_t digits = arg_int(rt, a[0], 0);
    vstr *method = a[1].t == V_MISSING ? vstr_c(rt, "common") : arg_str(rt, a[1]);
    bool up = vstr_is(rt, method, "ceil"), down = vstr_is(rt, method, "floor");
    if (!up && !down && !vstr_is(rt, method, "common")) rt_type_error(rt, "method must be common, ceil or floor");
    if (v.t == V_UNDEF) rt_undefined(rt, v);
    if (!val_number(v)) rt_type_error(rt, "type %s doesn't define __round__ method", val_type(v));
    if (!up && !down) return round_half(rt, v, digits);
    double p = digits >= 0 ? (double)power_of_ten(rt, digits) : d_pow(10, (double)digits), x = val_double(v) * p;
    if (!isfinite(x)) rt_type_error(rt, "cannot convert float infinity or NaN to integer");
    return v_float((up ? ceil(x) : floor(x)) / p);
}

FILTER(f_filesizeformat)
{
    UNUSED;
    double bytes, unit;
    bool binary = arg_true(rt, a[0], false);
    if (!double_of(rt, v, &bytes)) rt_type_error(rt, "could not convert to a number of bytes");
    double base = binary ? 1024 : 1000;
    vsb b = {.rt = rt};
    if (bytes == 1) return v_str(vstr_c(rt, "1 Byte"));
    if (bytes < base) {
        vsb_int(&b, (int64_t)bytes);
        vsb_c(&b, " Bytes");
        return v_str(vsb_done(&b));
    }
    static const char prefixes[] = "kMGTPEZY";
    int i = 0;
    for (unit = base * base; i < 7 && bytes >= unit; i++) unit *= base;
    float_fixed_to(&b, base * bytes / unit, 1, 'f', false);
    vsb_c(&b, " ");
    char prefix = binary && i == 0 ? 'K' : prefixes[i];
    vsb_raw(&b, &prefix, 1, true);
    vsb_c(&b, binary ? "iB" : "B");
    return v_str(vsb_done(&b));
}

FILTER(f_pprint)
{
    UNUSED;
    vsb b = {.rt = rt};
    val_repr_to(&b, v);
    return v_str(vsb_done(&b));
}

FILTER(f_refused)
{
    UNUSED;
    rt_fail(rt, TAWNY_E_UNSUPPORTED, "the filters random, urlize and wordwrap are not supported in chat templates");
}

const builtin filters_text[] = {
    {"upper", f_upper, "", 0}, {"lower", f_lower, "", 0}, {"capitalize", f_capitalize, "", 0},
    {"title", f_title, "", 0},
    {"trim", f_trim, "chars", 0}, {"replace", f_replace, "old new count", 2}, {"center", f_center, "width", 0},
    {"string", f_string, "", 0}, {"safe", f_safe, "", 0}, {"escape", f_escape, "", 0}, {"e", f_escape, "", 0},
    {"forceescape", f_forceescape, "", 0}, {"format", f_format, NULL, 0},
    {"tojson", f_tojson, "ensure_ascii indent separators sort_keys", 0}, {"indent", f_indent, "width first blank", 0},
    {"truncate", f_truncate, "length killwords end leeway", 0}, {"wordcount", f_wordcount, "", 0},
    {"urlencode", f_urlencode, "", 0}, {"xmlattr", f_xmlattr, "autospace", 0}, {"striptags", f_striptags, "", 0},
    {"abs", f_abs, "", 0}, {"float", f_float, "default", 0}, {"int", f_int, "default base", 0},
    {"round", f_round, "precision method", 0}, {"filesizeformat", f_filesizeformat, "binary", 0},
    {"pprint", f_pprint, "", 0},
    {"random", f_refused, NULL, 0}, {"urlize", f_refused, NULL, 0}, {"wordwrap", f_refused, NULL, 0}, {0}};
