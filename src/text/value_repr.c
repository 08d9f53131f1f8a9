/* str() and repr() of values, and floats as Python writes them. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_str.h"

/* ---- floats: digits come from printf, which rounds correctly; the locale's decimal point is skipped ---- */

/* n significant digits of |f| in digits[0..n), its decimal exponent returned: f = d.ddd * 10^exp. */
static int float_digits(double f, int n, char *digits)
{
    char s[400];
    snprintf(s, sizeof s, "%.*e", n - 1, fabs(f));
    const char *e = strrchr(s, 'e');
    int k = 0;
    for (const char *p = s; p < e && k < n; p++)
        if (*p >= '0' && *p <= '9') digits[k++] = *p;
    return (int)strtol(e + 1, NULL, 10);
}

static bool float_special(vsb *b, double f)
{
    if (isfinite(f)) return false;
    vsb_c(b, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    return true;
}

static void exponent_to(vsb *b, int e)
{
    vsb_c(b, e < 0 ? "e-" : "e+");
    int a = e < 0 ? -e : e;
    if (a < 10) vsb_c(b, "0");
    vsb_int(b, a);
}

/* Digits with the decimal point where exponent e puts it. */
static void plain_to(vsb *b, const char *digits, int n, int e)
{
    if (e < 0) {
        vsb_c(b, "0.");
        vsb_fill(b, '0', (size_t)(-e - 1));
        vsb_raw(b, digits, (size_t)n, true);
    } else if (n <= e + 1) {
        vsb_raw(b, digits, (size_t)n, true);
        vsb_fill(b, '0', (size_t)(e + 1 - n));
    } else {
        vsb_raw(b, digits, (size_t)e + 1, true);
        vsb_c(b, ".");
        vsb_raw(b, digits + e + 1, (size_t)(n - e - 1), true);
    }
}

/* The shortest digits that read back as f, as Python's repr. */
void float_repr_to(vsb *b, double f)
{
    if (float_special(b, f)) return;
    char digits[20], s[40];
    int n = 1;
    for (; n < 17; n++) {
        snprintf(s, sizeof s, "%.*e", n - 1, f);
        if (strtod(s, NULL) == f) break;
    }
    int e = float_digits(f, n, digits);
    while (n > 1 && digits[n - 1] == '0') n--;
    if (signbit(f)) vsb_c(b, "-");
    if (e >= -4 && e < 16) {
        plain_to(b, digits, n, e);
        if (n <= e + 1) vsb_c(b, ".0");
        return;
    }
    vsb_raw(b, digits, 1, true);
    if (n > 1) vsb_c(b, ".");
    vsb_raw(b, digits + 1, (size_t)n - 1, true);
    exponent_to(b, e);
}

static void fixed_to(vsb *b, double f, int prec, bool alt)
{
    char s[800];
    int n = snprintf(s, sizeof s, "%.*f", prec, fabs(f)), whole = 0;
    while (s[whole] >= '0' && s[whole] <= '9') whole++;
    vsb_raw(b, s, (size_t)whole, true);
    if (prec || alt) vsb_c(b, ".");
    if (prec) vsb_raw(b, s + n - prec, (size_t)prec, true);
}

static void general_to(vsb *b, double f, int prec, bool alt)
{
    char digits[400];
    if (prec == 0) prec = 1;
    int e = f == 0 ? 0 : float_digits(f, prec, digits), n = prec;
    if (f == 0) memset(digits, '0', (size_t)prec);
    if (!alt)
        while (n > 1 && digits[n - 1] == '0') n--;
    if (e >= -4 && e < prec) {
        if (n < e + 1) n = e + 1 <= prec ? e + 1 : prec;
        plain_to(b, digits, n, e);
        if (alt && n <= e + 1) vsb_c(b, ".");
        return;
    }
    vsb_raw(b, digits, 1, true);
    if (n > 1 || alt) vsb_c(b, ".");
    vsb_raw(b, digits + 1, (size_t)n - 1, true);
    exponent_to(b, e);
}

void float_fixed_to(vsb *b, double f, int prec, char kind, bool alt)
{
    if (prec > 300) rt_fail(b->rt, TAWNY_E_LIMIT, "a precision of %d digits", prec);
    if (float_special(b, f)) return;
    if (signbit(f)) vsb_c(b, "-");
    if (kind == 'f') {
        fixed_to(b, f, prec, alt);
    } else if (kind == 'g') {
        general_to(b, f, prec, alt);
    } else {
        char digits[400];
        int e = float_digits(f, prec + 1, digits);
        vsb_raw(b, digits, 1, true);
        if (prec || alt) vsb_c(b, ".");
        vsb_raw(b, digits + 1, (size_t)prec, true);
        exponent_to(b, e);
    }
}

static size_t digits_run(const char *p, size_t n, size_t at)
{
    size_t start = at;
    while (at < n && ((p[at] >= '0' && p[at] <= '9') || (p[at] == '_' && at > start && p[at - 1] != '_'))) at++;
    return at > start && p[at - 1] == '_' ? start : at;
}

static bool is_word(const char *p, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

bool text_to_double(const char *p, size_t n, double *out)
{
    char s[400];
    size_t at = n && (p[0] == '-' || p[0] == '+') ? 1 : 0, k = 0;
    if (is_word(p + at, n - at, "inf") || is_word(p + at, n - at, "infinity")) {
        *out = p[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (is_word(p + at, n - at, "nan")) {
        *out = NAN;
        return true;
    }
    size_t whole = digits_run(p, n, at), end = whole;
    bool any = whole > at;
    if (end < n && p[end] == '.') {
        end = digits_run(p, n, end + 1);
        any |= end > whole + 1;
    }
    if (any && end < n && (p[end] == 'e' || p[end] == 'E')) {
        size_t from = end + 1 < n && (p[end + 1] == '-' || p[end + 1] == '+') ? end + 2 : end + 1;
        end = digits_run(p, n, from);
        if (end == from) return false;
    }
    if (!any || end != n || n >= sizeof s) return false;
    for (size_t i = 0; i < n; i++)
        if (p[i] != '_') s[k++] = p[i];
    s[k] = 0;
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (!c) return false;
    *out = strtod_l(s, NULL, c);
    freelocale(c);
    return true;
}

/* ---- repr ---- */

static void escape_to(vsb *b, uint32_t c, char quote, bool trust)
{
    static const char hex[] = "0123456789abcdef";
    char s[12] = {'\\'};
    size_t n = 1, digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
    const char *plain = c == '\n' ? "n" : c == '\r' ? "r" : c == '\t' ? "t" : c == '\\' ? "\\" : NULL;
    if (plain || c == (unsigned char)quote) {
        s[n++] = plain ? *plain : quote;
    } else if (char_printable(c)) {
        vsb_char(b, c, trust);
        return;
    } else {
        s[n++] = digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
        while (digits--) s[n++] = hex[c >> digits * 4 & 15];
    }
    vsb_raw(b, s, n, trust);
}

void vstr_repr_to(vsb *b, vstr *s)
{
    const char *p = vstr_bytes(b->rt, s);
    bool single = memchr(p, '\'', s->n), dbl = memchr(p, '"', s->n);
    char quote = single && !dbl ? '"' : '\'';
    rt_step(b->rt, s->n / 2);
    vsb_raw(b, &quote, 1, true);
    size_t run = 0; /* for marks: runs are walked along */
    for (size_t i = 0, k; i < s->n; i += k) {
        uint32_t c;
        while (s->marks && s->marks[run].end <= i) run++;
        k = utf8_next(p + i, s->n - i, &c);
        escape_to(b, c, quote, s->marks ? s->marks[run].trust : s->trust);
    }
    vsb_raw(b, &quote, 1, true);
}

static void items_to(vsb *b, const vseq *q)
{
    for (size_t i = 0; i < q->n; i++) {
        if (i) vsb_c(b, ", ");
        val_repr_to(b, q->v[i]);
    }
}

static void dict_to(vsb *b, const vdict *d)
{
    vsb_c(b, "{");
    for (uint32_t i = 0; i < d->n; i++) {
        if (i) vsb_c(b, ", ");
        val_repr_to(b, d->keys[i]);
        vsb_c(b, ": ");
        val_repr_to(b, d->vals[i]);
    }
    vsb_c(b, "}");
}

static void view_to(vsb *b, const vview *view)
{
    const vdict *d = view->d;
    vsb_c(b, view->kind == 'k' ? "dict_keys([" : view->kind == 'v' ? "dict_values([" : "dict_items([");
    for (uint32_t i = 0; i < d->n; i++) {
        if (i) vsb_c(b, ", ");
        if (view->kind == 'i') vsb_c(b, "(");
        if (view->kind != 'v') val_repr_to(b, d->keys[i]);
        if (view->kind == 'i') vsb_c(b, ", ");
        if (view->kind != 'k') val_repr_to(b, d->vals[i]);
        if (view->kind == 'i') vsb_c(b, ")");
    }
    vsb_c(b, "])");
}

static void range_to(vsb *b, const vrange *r)
{
    vsb_c(b, "range(");
    vsb_int(b, r->start);
    vsb_c(b, ", ");
    vsb_int(b, r->stop);
    if (r->step != 1) {
        vsb_c(b, ", ");
        vsb_int(b, r->step);
    }
    vsb_c(b, ")");
}

static void object_to(vsb *b, value v)
{
    vsb_c(b, "<");
    vsb_c(b, val_type(v));
    vsb_c(b, " object>");
}

void val_repr_to(vsb *b, value v)
{
    rt_guard(b->rt);
    switch (v.t) {
    case V_UNDEF: vsb_c(b, "Undefined"); break;
    case V_NONE: vsb_c(b, "None"); break;
    case V_BOOL: vsb_c(b, v.u.b ? "True" : "False"); break;
    case V_INT: vsb_int(b, v.u.i); break;
    case V_FLOAT: float_repr_to(b, v.u.f); break;
    case V_STR:
        if (v.u.s->markup) vsb_c(b, "Markup(");
        vstr_repr_to(b, v.u.s);
        if (v.u.s->markup) vsb_c(b, ")");
        break;
    case V_LIST:
        vsb_c(b, "[");
        items_to(b, v.u.q);
        vsb_c(b, "]");
        break;
    case V_TUPLE:
        vsb_c(b, "(");
        items_to(b, v.u.q);
        vsb_c(b, v.u.q->n == 1 ? ",)" : ")");
        break;
    case V_DICT: dict_to(b, v.u.d); break;
    case V_NS:
        vsb_c(b, "<Namespace ");
        dict_to(b, v.u.d);
        vsb_c(b, ">");
        break;
    case V_VIEW: view_to(b, v.u.view); break;
    case V_RANGE: range_to(b, v.u.range); break;
    case V_MACRO: macro_repr_to(b, v); break;
    case V_LOOP: loop_repr_to(b, v); break;
    default: object_to(b, v); break;
    }
}

void val_str_to(vsb *b, value v)
{
    if (v.t == V_STR)
        vsb_str(b, v.u.s);
    else if (v.t != V_UNDEF)
        val_repr_to(b, v);
}

vstr *val_str(jinja_rt *rt, value v)
{
    if (v.t == V_STR) return v.u.s;
    vsb b = {.rt = rt};
    val_str_to(&b, v);
    return vsb_done(&b);
}
