/* Case and classes of strings. */
#include <string.h>
#include <utf8proc.h>

#include "jinja_str.h"

typedef size_t mapping(uint32_t c, uint32_t out[3]);

static bool cased(uint32_t c)
{
    uint32_t t[3];
    return jchar_upper(c) || jchar_lower(c) || (jchar_to_lower(c, t) == 1 && t[0] != c);
}

static bool case_ignorable(uint32_t c)
{
    if (c < 0x80) return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`';
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
        k == UTF8PROC_CATEGORY_LM ||
           k == UTF8PROC_CATEGORY_SK || c == 0xb7 || c == 0x2019;
}

/* Whether the sigma at p[at, at + 2) ends a word: then it becomes the final form. */
static bool final_sigma(const char *p, size_t n, size_t at)
{
    bool before = false, ignored = true;
    uint32_t c;
    for (size_t i = at; i > 0 && ignored;) {
        size_t k = 1;
        while (k < 4 && k < i && ((unsigned char)p[i - k] & 0xc0) == 0x80) k++;
        i -= k;
        utf8_next(p + i, k, &c);
        ignored = case_ignorable(c);
        if (!ignored) before = cased(c);
    }
    if (!before) return false;
    for (size_t i = at + 2; i < n;) {
        i += utf8_next(p + i, n - i, &c);
        if (!case_ignorable(c)) return !cased(c);
    }
    return true;
}

static void put(vsb *b, uint32_t c, bool trust, mapping *map, bool final)
{
    uint32_t out[3];
    if (map == jchar_to_lower && c == 0x3a3) {
        vsb_char(b, final ? 0x3c2 : 0x3c3, trust);
        return;
    }
    size_t n = map ? map(c, out) : 1;
    if (!map) out[0] = c;
    for (size_t i = 0; i < n; i++) vsb_char(b, out[i], trust);
}

/* Maps every character by what `choose` says for it (cased: whether a cased letter stands before it). */
static vstr *map_chars(jinja_rt *rt, vstr *s, mapping *(*choose)(uint32_t c, bool first, bool after_cased))
{
    const char *p = vstr_bytes(rt, s);
    bool after = false;
    size_t run = 0;
    vsb b = {.rt = rt};
    rt_step(rt, s->n);
    for (size_t i = 0, k; i < s->n; i += k) {
        uint32_t c;
        k = utf8_next(p + i, s->n - i, &c);
        while (s->marks && s->marks[run].end <= i) run++;
        mapping *map = choose(c, i == 0, after);
        put(&b, c, s->marks ? s->marks[run].trust : s->trust, map, c == 0x3a3 && final_sigma(p, s->n, i));
        after = cased(c);
    }
    vstr *r = vsb_done(&b);
    return s->markup ? vstr_markup(rt, r) : r;
}

static mapping *to_upper(uint32_t c, bool first, bool after)
{
    (void)c, (void)first, (void)after;
    return jchar_to_upper;
}

static mapping *to_lower(uint32_t c, bool first, bool after)
{
    (void)c, (void)first, (void)after;
    return jchar_to_lower;
}

static mapping *to_capitalized(uint32_t c, bool first, bool after)
{
    (void)c, (void)after;
    return first ? jchar_to_title : jchar_to_lower;
}

static mapping *to_title(uint32_t c, bool first, bool after)
{
    (void)c, (void)first;
    return after ? jchar_to_lower : jchar_to_title;
}

static mapping *to_swapped(uint32_t c, bool first, bool after)
{
    (void)first, (void)after;
    return jchar_upper(c) ? jchar_to_lower : jchar_lower(c) ? jchar_to_upper : NULL;
}

/* Full case folding, where it differs from lower case often enough to matter. */
static size_t fold(uint32_t c, uint32_t out[3])
{
    utf8proc_int32_t t[4];
    int last = 0;
    if (c < 0x80 || (c >= 0xdc80 && c < 0xdd00)) return jchar_to_lower(c, out);
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, t, 4, UTF8PROC_CASEFOLD, &last);
    if (n < 1 || n > 3) return jchar_to_lower(c, out);
    for (int i = 0; i < n; i++) out[i] = (uint32_t)t[i];
    return (size_t)n;
}

static mapping *to_folded(uint32_t c, bool first, bool after)
{
    (void)c, (void)first, (void)after;
    return fold;
}

vstr *str_upper(jinja_rt *rt, vstr *s) { return map_chars(rt, s, to_upper); }
vstr *str_lower(jinja_rt *rt, vstr *s) { return map_chars(rt, s, to_lower); }
vstr *str_capitalize(jinja_rt *rt, vstr *s) { return map_chars(rt, s, to_capitalized); }

bool str_cased(jinja_rt *rt, vstr *s, bool upper)
{
    const char *p = vstr_bytes(rt, s);
    bool any = false;
    uint32_t c;
    rt_step(rt, s->n / 4);
    for (size_t i = 0; i < s->n;) {
        i += utf8_next(p + i, s->n - i, &c);
        bool right = upper ? jchar_upper(c) : jchar_lower(c);
        if (!right && cased(c)) return false; /* title-case letters are neither */
        any |= right;
    }
    return any;
}

bool char_printable(uint32_t c)
{
    if (c < 0x7f) return c >= 0x20;
    if (c >= 0xdc80 && c < 0xdd00) return false;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

/* ---- methods ---- */

#define METHOD(name, expression)                                          \
    value name(jinja_rt *rt, value self, value *a, const cargs *raw)      \
    {                                                                     \
        (void)a, (void)raw;                                               \
        return expression;                                                \
    }
METHOD(m_upper, v_str(str_upper(rt, self.u.s)))
METHOD(m_lower, v_str(str_lower(rt, self.u.s)))
METHOD(m_title, v_str(map_chars(rt, self.u.s, to_title)))
METHOD(m_capitalize, v_str(str_capitalize(rt, self.u.s)))
METHOD(m_swapcase, v_str(map_chars(rt, self.u.s, to_swapped)))
METHOD(m_casefold, v_str(map_chars(rt, self.u.s, to_folded)))
METHOD(m_isupper, v_bool(str_cased(rt, self.u.s, true)))
METHOD(m_islower, v_bool(str_cased(rt, self.u.s, false)))

/* Whether all characters pass; `empty` is the answer for no characters. */
static value all_chars(jinja_rt *rt, value self, bool (*test)(uint32_t c), bool empty)
{
    vstr *s = self.u.s;
    const char *p = vstr_bytes(rt, s);
    uint32_t c;
    rt_step(rt, s->n / 4);
    for (size_t i = 0; i < s->n;) {
        i += utf8_next(p + i, s->n - i, &c);
        if (!test(c)) return v_bool(false);
    }
    return v_bool(s->n > 0 || empty);
}

static bool ascii(uint32_t c) { return c < 0x80; }

METHOD(m_isalpha, all_chars(rt, self, jchar_alpha, false))
METHOD(m_isdigit, all_chars(rt, self, jchar_digit, false))
METHOD(m_isdecimal, all_chars(rt, self, jchar_decimal, false))
METHOD(m_isnumeric, all_chars(rt, self, jchar_numeric, false))
METHOD(m_isalnum, all_chars(rt, self, jchar_word, false))
METHOD(m_isspace, all_chars(rt, self, jchar_space, false))
METHOD(m_isascii, all_chars(rt, self, ascii, true))
METHOD(m_isprintable, all_chars(rt, self, char_printable, true))

value m_isidentifier(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    vstr *s = self.u.s;
    const char *p = vstr_bytes(rt, s);
    uint32_t c;
    for (size_t i = 0, k; i < s->n; i += k) {
        k = utf8_next(p + i, s->n - i, &c);
        bool mark = c >= 0x80 && (utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_MN ||
                                  utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_MC);
        if (c != '_' && !jchar_alpha(c) && !(i && (jchar_decimal(c) || mark))) return v_bool(false);
    }
    return v_bool(s->n > 0);
}

value m_istitle(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a, (void)raw;
    vstr *s = self.u.s;
    const char *p = vstr_bytes(rt, s);
    bool after = false, any = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += utf8_next(p + i, s->n - i, &c);
        bool lower = jchar_lower(c), upper = !lower && cased(c);
        if (upper ? after : lower && !after) return v_bool(false);
        after = lower || upper;
        any |= after;
    }
    return v_bool(any);
}
