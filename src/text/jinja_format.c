/* Formatting: str % values, str.format, HTML escapes, the clock. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_impl.h"

/* ---- numbers with a width: shared by % and format ---- */

typedef struct fmt {
    char type, align, sign, group, fill[4];
    size_t n_fill;
    bool alt, zero;
    int64_t width, prec; /* -1: not given */
} fmt;

static void int_digits(vsb *b, uint64_t u, unsigned base, bool upper)
{
    char s[65];
    size_t at = sizeof s;
    do {
        unsigned d = (unsigned)(u % base);
        s[--at] = (char)(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
        u /= base;
    } while (u);
    vsb_raw(b, s + at, sizeof s - at, true);
}

/* Adds `body` (digits after its sign and prefix `head`) padded to the width. */
static void pad_to(vsb *b, const fmt *f, vstr *head, vstr *body, char align)
{
    size_t n = vstr_chars(b->rt, head) + vstr_chars(b->rt, body);
    size_t pad = f->width > 0 && (uint64_t)f->width > n ? (size_t)f->width - n : 0;
    size_t before = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
    if (pad > b->rt->max_text / 4) rt_fail(b->rt, TAWNY_E_LIMIT, "a width of %zu", (size_t)f->width);
    if (align == '=') vsb_str(b, head);
    for (size_t i = 0; i < before; i++) vsb_raw(b, f->fill, f->n_fill, true);
    if (align != '=') vsb_str(b, head);
    vsb_str(b, body);
    for (size_t i = before; i < pad; i++) vsb_raw(b, f->fill, f->n_fill, true);
}

static vstr *group_digits(jinja_rt *rt, vstr *s, char mark)
{
    size_t whole = 0;
    while (whole < s->n && s->p[whole] >= '0' && s->p[whole] <= '9') whole++;
    vsb b = {.rt = rt};
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0) vsb_raw(&b, &mark, 1, true);
        vsb_raw(&b, s->p + i, 1, true);
    }
    vsb_sub(&b, s, whole, s->n);
    return vsb_done(&b);
}

static vstr *sign_head(jinja_rt *rt, const fmt *f, bool negative, const char *prefix)
{
    vsb b = {.rt = rt};
    if (negative)
        vsb_c(&b, "-");
    else if (f->sign == '+' || f->sign == ' ')
        vsb_raw(&b, &f->sign, 1, true);
    if (f->alt) vsb_c(&b, prefix);
    return vsb_done(&b);
}

static void format_int(vsb *out, const fmt *f, int64_t i)
{
    jinja_rt *rt = out->rt;
    unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    const char *prefix = f->type == 'x' ? "0x" : f->type == 'X' ? "0X" : f->type == 'o' ? "0o" : f->type == 'b' ? "0b"
        : "";
    vsb b = {.rt = rt};
    int_digits(&b, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, base, f->type == 'X');
    vstr *body = vsb_done(&b);
    if (f->prec > (int64_t)body->n && f->prec < 10000) { /* of % only: at least so many digits */
        vsb z = {.rt = rt};
        vsb_fill(&z, '0', (size_t)f->prec - body->n);
        vsb_str(&z, body);
        body = vsb_done(&z);
    }
    if (f->group) body = group_digits(rt, body, f->group);
    pad_to(out, f, sign_head(rt, f, i < 0, prefix), body, f->align ? f->align : '>');
}

static void format_float(vsb *out, const fmt *f, double d)
{
    jinja_rt *rt = out->rt;
    vsb b = {.rt = rt};
    char kind = f->type == 'F' ? 'f' : f->type == 'E' ? 'e' : f->type == 'G' || f->type == 'n' ? 'g' : f->type;
    bool negative = __builtin_signbit(d);
    double a = negative ? -d : d;
    if (f->prec > 300) rt_fail(rt, TAWNY_E_LIMIT, "a precision of %lld digits", (long long)f->prec);
    int prec = f->prec < 0 ? 6 : (int)f->prec;
    if (kind == '%') a *= 100;
    if (!kind && f->prec < 0)
        float_repr_to(&b, a);
    else
        float_fixed_to(&b, a, prec, !kind ? 'g' : kind == '%' ? 'f' : kind, f->alt);
    if (kind == '%') vsb_c(&b, "%");
    vstr *body = vsb_done(&b);
    if (f->type == 'E' || f->type == 'G' || f->type == 'F') {
        char *p = rt_alloc(rt, body->n);
        for (size_t i = 0; i < body->n; i++)
            p[i] = (char)(body->p[i] >= 'a' && body->p[i] <= 'z' ? body->p[i] - 32 : body->p[i]);
        body = vstr_new(rt, p, body->n, true);
    }
    if (f->group) body = group_digits(rt, body, f->group);
    pad_to(out, f, sign_head(rt, f, negative, ""), body, f->align ? f->align : '>');
}

static void format_text(vsb *out, const fmt *f, vstr *s)
{
    if (f->prec >= 0) s = vstr_sub(out->rt, s, 0, vstr_offset(out->rt, s, (size_t)f->prec));
    pad_to(out, f, vstr_c(out->rt, ""), s, f->align ? f->align : '<');
}

/* ---- HTML ---- */

vstr *html_escape(jinja_rt *rt, value v)
{
    vstr *s = val_str(rt, v);
    if (v.t == V_STR && s->markup) return s;
    const char *p = vstr_bytes(rt, s);
    vsb b = {.rt = rt};
    rt_step(rt, s->n / 4);
    for (size_t i = 0, k; i < s->n; i = k) {
        for (k = i; k < s->n && !strchr("&<>'\"", p[k] ? p[k] : 'x'); k++) {}
        vsb_sub(&b, s, i, k);
        if (k == s->n) break;
        const char *e = p[k] == '&' ? "&amp;" : p[k] == '<' ? "&lt;" : p[k] == '>' ? "&gt;" : p[k] == '"' ? "&#34;"
            : "&#39;";
        vsb_raw(&b, e, strlen(e), vstr_trust_at(s, k));
        k++;
    }
    return vstr_markup(rt, vsb_done(&b));
}

/* ---- str % values ---- */

typedef struct percent {
    jinja_rt *rt;
    vstr *s;
    const char *p;
    size_t at;
    value arg;
    size_t used; /* positional arguments taken */
    bool mapped;
    vsb out;
} percent;

static value next_arg(percent *x)
{
    if (x->arg.t == V_TUPLE) {
        if (x->used == x->arg.u.q->n) rt_type_error(x->rt, "not enough arguments for format string");
        return x->arg.u.q->v[x->used++];
    }
    if (x->used++) rt_type_error(x->rt, "not enough arguments for format string");
    return x->arg;
}

static int64_t percent_number(percent *x)
{
    int64_t n = 0;
    if (x->at < x->s->n && x->p[x->at] == '*') {
        x->at++;
        value v = next_arg(x);
        if (!val_is_int(v)) rt_type_error(x->rt, "* wants int");
        return val_int(v);
    }
    for (; x->at < x->s->n && x->p[x->at] >= '0' && x->p[x->at] <= '9'; x->at++)
        if ((n = n * 10 + (x->p[x->at] - '0')) > 100000000) rt_fail(x->rt, TAWNY_E_LIMIT, "width too big");
    return n;
}

static value mapped_arg(percent *x)
{
    size_t depth = 1, from = ++x->at;
    for (; x->at < x->s->n; x->at++) {
        if (x->p[x->at] == '(') depth++;
        if (x->p[x->at] == ')' && --depth == 0) break;
    }
    if (x->at == x->s->n) rt_type_error(x->rt, "incomplete format key");
    if (x->arg.t != V_DICT) rt_type_error(x->rt, "format requires a mapping");
    vstr *key = vstr_plain(x->rt, vstr_sub(x->rt, x->s, from, x->at++));
    value *v = dict_get(x->rt, x->arg.u.d, v_str(key));
    if (!v) rt_type_error(x->rt, "no key '%.100s' to format", vstr_cstr(x->rt, key));
    x->mapped = true;
    return *v;
}

static void percent_value(percent *x, fmt *f, value v)
{
    jinja_rt *rt = x->rt;
    bool left = f->align == '<', markup = x->s->markup;
    vsb b = {.rt = rt};
    if (!left && f->zero && !strchr("srac", f->type)) {
        f->align = '=';
        f->fill[0] = '0';
    }
    if (!left && strchr("srac", f->type)) f->align = '>';
    switch (f->type) {
    case 'd':
    case 'i':
    case 'u':
        f->type = 'd';
        if (v.t == V_UNDEF) rt_undefined(rt, v);
        if (!val_number(v)) rt_type_error(rt, "%%d format: a real number is required, not %s", val_type(v));
        if (v.t == V_FLOAT && !(v.u.f > -9e18 && v.u.f < 9e18)) rt_type_error(rt, "cannot convert float to integer");
        format_int(&x->out, f, v.t == V_FLOAT ? (int64_t)v.u.f : val_int(v));
        return;
    case 'x':
    case 'X':
    case 'o':
        if (!val_is_int(v)) rt_type_error(rt, "%%%c format: an integer is required, not %s", f->type, val_type(v));
        format_int(&x->out, f, val_int(v));
        return;
    case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
        if (v.t == V_UNDEF) rt_undefined(rt, v);
        if (!val_number(v)) rt_type_error(rt, "must be real number, not %s", val_type(v));
        format_float(&x->out, f, val_double(v));
        return;
    case 'c':
        if (v.t == V_STR && vstr_chars(rt, v.u.s) == 1) {
            format_text(&x->out, f, v.u.s);
            return;
        }
        if (!val_is_int(v) || val_int(v) < 0 || val_int(v) > 0x10ffff) rt_type_error(rt, "%%c requires int or char");
        vsb_char(&b, (uint32_t)val_int(v), true);
        format_text(&x->out, f, vsb_done(&b));
        return;
    case 's': format_text(&x->out, f, markup ? html_escape(rt, v) : val_str(rt, v)); return;
    case 'r':
    case 'a':
        val_repr_to(&b, v);
        format_text(&x->out, f, markup ? html_escape(rt, v_str(vsb_done(&b))) : vsb_done(&b));
        return;
    default: rt_type_error(rt, "unsupported format character '%c'", f->type);
    }
}

static void percent_one(percent *x)
{
    fmt f = {.fill = " ", .n_fill = 1, .width = -1, .prec = -1};
    value v = v_missing();
    if (x->at < x->s->n && x->p[x->at] == '(') v = mapped_arg(x);
    for (; x->at < x->s->n && strchr("#0- +", x->p[x->at] ? x->p[x->at] : 'x'); x->at++) {
        char c = x->p[x->at];
        if (c == '#') f.alt = true;
        if (c == '0') f.zero = true;
        if (c == '-') f.align = '<';
        if (c == '+' || (c == ' ' && f.sign != '+')) f.sign = c;
    }
    f.width = percent_number(x);
    if (f.width < 0) {
        f.align = '<';
        f.width = -f.width;
    }
    if (x->at < x->s->n && x->p[x->at] == '.') {
        x->at++;
        f.prec = percent_number(x);
        if (f.prec < 0) f.prec = 0;
    }
    while (x->at < x->s->n && strchr("hlL", x->p[x->at] ? x->p[x->at] : 'x')) x->at++;
    if (x->at == x->s->n) rt_type_error(x->rt, "incomplete format");
    f.type = x->p[x->at++];
    if (f.type == '%') {
        vsb_c(&x->out, "%");
        return;
    }
    percent_value(x, &f, v.t == V_MISSING ? next_arg(x) : v);
}

vstr *str_percent(jinja_rt *rt, vstr *s, value arg)
{
    percent x = {.rt = rt, .s = s, .p = vstr_bytes(rt, s), .arg = arg, .out = {.rt = rt}};
    while (x.at < s->n) {
        const char *hit = memchr(x.p + x.at, '%', s->n - x.at);
        size_t to = hit ? (size_t)(hit - x.p) : s->n;
        vsb_sub(&x.out, s, x.at, to);
        x.at = to + 1;
        if (hit) percent_one(&x);
        rt_step(rt, 1);
    }
    bool keyed = arg.t == V_DICT || arg.t == V_LIST || arg.t == V_RANGE || arg.t == V_UNDEF;
    bool free_args = arg.t == V_TUPLE ? x.used < arg.u.q->n : !x.used && !x.mapped && !keyed;
    if (free_args) rt_type_error(rt, "not all arguments converted during string formatting");
    vstr *r = vsb_done(&x.out);
    return s->markup ? vstr_markup(rt, r) : r;
}

/* ---- str.format ---- */

static bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

static int64_t spec_number(jinja_rt *rt, const char *p, size_t n, size_t *at, int64_t otherwise)
{
    size_t start = *at;
    int64_t v = 0;
    for (; *at < n && p[*at] >= '0' && p[*at] <= '9'; ++*at)
        if ((v = v * 10 + (p[*at] - '0')) > 100000000)
            rt_fail(rt, TAWNY_E_LIMIT, "too many decimal digits in format string");
    return *at > start ? v : otherwise;
}

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static fmt parse_spec(jinja_rt *rt, const char *p, size_t n)
{
    fmt f = {.fill = " ", .n_fill = 1, .width = -1, .prec = -1};
    size_t at = 0;
    uint32_t c;
    size_t k = n ? utf8_next(p, n, &c) : 0;
    if (k && k < n && is_align(p[k])) {
        memcpy(f.fill, p, k);
        f.n_fill = k;
        f.align = p[k];
        at = k + 1;
    } else if (n && is_align(p[0])) {
        f.align = p[at++];
    }
    if (at < n && (p[at] == '+' || p[at] == '-' || p[at] == ' ')) f.sign = p[at++];
    if (at < n && p[at] == '#') f.alt = at++ < n;
    if (at < n && p[at] == '0' && !f.align) {
        f.zero = true;
        f.align = '=';
        f.fill[0] = '0';
        at++;
    }
    f.width = spec_number(rt, p, n, &at, -1);
    if (at < n && (p[at] == ',' || p[at] == '_')) f.group = p[at++];
    if (at < n && p[at] == '.') {
        at++;
        f.prec = spec_number(rt, p, n, &at, -1);
        if (f.prec < 0) rt_type_error(rt, "format specifier missing precision");
    }
    if (at < n) f.type = p[at++];
    if (at < n) rt_type_error(rt, "invalid format specifier");
    return f;
}

static void wrong_code(jinja_rt *rt, const fmt *f, value v)
{
    rt_type_error(rt, "unknown format code '%c' for object of type '%s'", f->type, val_type(v));
}

vstr *format_spec(jinja_rt *rt, value v, const char *p, size_t n)
{
    if (!n) return val_str(rt, v);
    if (v.t == V_UNDEF || v.t > V_STR || v.t == V_NONE)
        rt_type_error(rt, "unsupported format string passed to %s.__format__", val_type(v));
    fmt f = parse_spec(rt, p, n);
    vsb b = {.rt = rt};
    if (v.t == V_STR) {
        if (f.type && f.type != 's') wrong_code(rt, &f, v);
        if (f.zero) f.align = '<';
        if (f.sign || f.alt || f.align == '=' || f.group)
            rt_type_error(rt, "format specifier not allowed with string");
        format_text(&b, &f, v.u.s);
        return vsb_done(&b);
    }
    bool floats = f.type && strchr("eEfFgG%", f.type);
    if (v.t == V_FLOAT || floats) {
        if (f.type && !floats && f.type != 'n') wrong_code(rt, &f, v);
        format_float(&b, &f, val_double(v));
    } else {
        if (f.type && !strchr("bcdoxXn", f.type)) wrong_code(rt, &f, v);
        if (f.prec >= 0) rt_type_error(rt, "precision not allowed in integer format specifier");
        if (f.type == 'c') {
            vsb_char(&b, (uint32_t)val_int(v) & 0x1fffff, true);
            return vsb_done(&b);
        }
        format_int(&b, &f, val_int(v));
    }
    return vsb_done(&b);
}

typedef struct formatter {
    jinja_rt *rt;
    const cargs *a;
    size_t next;
    bool automatic, manual;
    bool markup;
} formatter;

static void format_text_to(formatter *x, vsb *out, vstr *s, int depth);

static bool all_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9') return false;
    return n > 0 && n < 9;
}

static value first_field(formatter *x, vstr *name)
{
    jinja_rt *rt = x->rt;
    size_t i;
    if (!name->n || all_digits(name->p, name->n)) {
        (name->n ? &x->manual : &x->automatic)[0] = true;
        if (x->manual && x->automatic) rt_type_error(rt, "cannot mix manual and automatic field numbering");
        i = name->n ? (size_t)strtoul(vstr_cstr(rt, name), NULL, 10) : x->next++;
        if (i >= x->a->n) rt_type_error(rt, "Replacement index %zu out of range for positional args tuple", i);
        return x->a->pos[i];
    }
    for (i = 0; i < x->a->n_kw; i++)
        if (vstr_eq(rt, x->a->kw[i], name)) return x->a->kwv[i];
    rt_type_error(rt, "no argument '%.100s' to format", vstr_cstr(rt, name));
}

/* name.attr[key] */
static value get_field(formatter *x, vstr *s)
{
    jinja_rt *rt = x->rt;
    const char *p = vstr_bytes(rt, s);
    size_t at = 0, end;
    while (at < s->n && p[at] != '.' && p[at] != '[') at++;
    value v = first_field(x, vstr_sub(rt, s, 0, at));
    while (at < s->n) {
        bool attr = p[at] == '.';
        if (!attr && p[at] != '[') rt_type_error(rt, "only '.' or '[' may follow ']' in format field specifier");
        for (end = ++at; end < s->n && (attr ? p[end] != '.' && p[end] != '[' : p[end] != ']'); end++) {}
        if (end == at || (!attr && end == s->n)) rt_type_error(rt, "empty attribute in format string");
        vstr *key = vstr_sub(rt, s, at, end);
        if (attr)
            v = op_attr(rt, v, key);
        else
            v = op_item(rt, v, all_digits(key->p, key->n) ? v_int(strtol(vstr_cstr(rt, key), NULL, 10)) : v_str(key));
        at = end + !attr;
    }
    return v;
}

/* The end of the field that starts at `at` (after its brace). */
static size_t field_end(formatter *x, const char *p, size_t n, size_t at)
{
    for (int depth = 1; at < n; at++) {
        if (p[at] == '{') depth++;
        if (p[at] == '}' && --depth == 0) return at;
    }
    rt_type_error(x->rt, "expected '}' before end of string");
}

static void format_field(formatter *x, vsb *out, vstr *s, size_t from, size_t to, int depth)
{
    jinja_rt *rt = x->rt;
    const char *p = vstr_bytes(rt, s);
    size_t name_end = from, brackets = 0;
    while (name_end < to && (brackets || (p[name_end] != '!' && p[name_end] != ':'))) {
        if (p[name_end] == '[') brackets = 1;
        if (p[name_end] == ']') brackets = 0;
        name_end++;
    }
    value v = get_field(x, vstr_plain(rt, vstr_sub(rt, s, from, name_end)));
    size_t at = name_end;
    if (at < to && p[at] == '!') {
        char c = at + 1 < to ? p[at + 1] : 0;
        vsb b = {.rt = rt};
        if (c == 's')
            v = v_str(val_str(rt, v));
        else if (c == 'r' || c == 'a') {
            val_repr_to(&b, v);
            v = v_str(vsb_done(&b));
        } else
            rt_type_error(rt, "unknown conversion specifier");
        at += 2;
        if (at < to && p[at] != ':') rt_type_error(rt, "expected ':' after conversion specifier");
    }
    vsb spec = {.rt = rt};
    if (at < to) format_text_to(x, &spec, vstr_sub(rt, s, at + 1, to), depth + 1);
    vstr *sp = vsb_done(&spec);
    vstr *r = format_spec(rt, v, sp->p, sp->n);
    vsb_str(out, x->markup ? html_escape(rt, v_str(r)) : r);
}

static void format_text_to(formatter *x, vsb *out, vstr *s, int depth)
{
    jinja_rt *rt = x->rt;
    const char *p = vstr_bytes(rt, s);
    if (depth > 2) rt_type_error(rt, "Max string recursion exceeded");
    for (size_t at = 0, end; at < s->n;) {
        for (end = at; end < s->n && p[end] != '{' && p[end] != '}'; end++) {}
        vsb_sub(out, s, at, end);
        if (end == s->n) return;
        if (end + 1 < s->n && p[end + 1] == p[end]) {
            vsb_sub(out, s, end, end + 1);
            at = end + 2;
            continue;
        }
        if (p[end] == '}') rt_type_error(rt, "Single '}' encountered in format string");
        size_t close = field_end(x, p, s->n, end + 1);
        format_field(x, out, s, end + 1, close, depth);
        at = close + 1;
        rt_step(rt, 2);
    }
}

vstr *str_format(jinja_rt *rt, vstr *s, const cargs *a)
{
    formatter x = {.rt = rt, .a = a, .markup = s->markup};
    vsb out = {.rt = rt};
    format_text_to(&x, &out, s, 0);
    vstr *r = vsb_done(&out);
    return s->markup ? vstr_markup(rt, r) : r;
}

/* ---- the clock ---- */

value time_now(jinja_rt *rt, value format)
{
    vstr *s = arg_str(rt, format);
    const char *f = vstr_cstr(rt, s);
    struct tm now;
    if (rt->run->now) {
        now = *rt->run->now;
    } else {
        time_t t = time(NULL);
        if (!localtime_r(&t, &now)) rt_type_error(rt, "the clock cannot be read");
    }
    enum { MAX_TIME = 4096 };
    char *text = rt_alloc(rt, MAX_TIME + 256);
    size_t n = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) rt_type_error(rt, "the clock cannot be formatted");
    for (size_t i = 0; f[i] && n < MAX_TIME;) {
        char one[8] = {0};
        size_t k = 0;
        one[k++] = f[i++];
        if (one[0] == '%') {
            while (f[i] && strchr("-_0^#", f[i]) && k < 4) one[k++] = f[i++];
            if (f[i]) one[k++] = f[i++];
            /* a time without zone, as Python's datetime.now() */
            if (one[k - 1] == 'z' || one[k - 1] == 'Z') continue;
            if (one[k - 1] == 'f') memcpy(one, "000000", 7);
        }
        n += strftime_l(text + n, 256, one, &now, c);
    }
    freelocale(c);
    return v_str(vstr_new(rt, text, n, !s->marks && s->trust));
}
