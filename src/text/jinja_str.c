/* Methods of strings, as Python's str has them; the marks of provenance go along with the text. */
#include <string.h>

#include "jinja_str.h"

static value keep(jinja_rt *rt, vstr *self, vstr *r) { return v_str(self->markup ? vstr_markup(rt, r) : r); }

/* ---- trimming ---- */

static bool in_set(jinja_rt *rt, vstr *chars, uint32_t c)
{
    const char *p = vstr_bytes(rt, chars);
    uint32_t x;
    for (size_t i = 0; i < chars->n;) {
        i += utf8_next(p + i, chars->n - i, &x);
        if (x == c) return true;
    }
    return false;
}

static bool strips(jinja_rt *rt, vstr *chars, uint32_t c) { return chars ? in_set(rt, chars, c) : jchar_space(c); }

/* Start of the code point before `at`. */
static size_t char_before(const char *p, size_t at)
{
    size_t k = 1;
    uint32_t c;
    while (k < 4 && k < at && ((unsigned char)p[at - k] & 0xc0) == 0x80) k++;
    return utf8_next(p + at - k, k, &c) == k ? at - k : at - 1;
}

vstr *str_strip(jinja_rt *rt, vstr *s, vstr *chars, bool left, bool right)
{
    const char *p = vstr_bytes(rt, s);
    size_t from = 0, to = s->n;
    uint32_t c;
    while (left && from < to) {
        size_t k = utf8_next(p + from, to - from, &c);
        if (!strips(rt, chars, c)) break;
        from += k;
    }
    while (right && to > from) {
        size_t k = char_before(p, to);
        utf8_next(p + k, to - k, &c);
        if (!strips(rt, chars, c)) break;
        to = k;
    }
    rt_step(rt, (s->n - (to - from)) / 8);
    return vstr_sub(rt, s, from, to);
}

static vstr *strip_chars(jinja_rt *rt, value v) { return v.t == V_MISSING || v.t == V_NONE ? NULL : arg_str(rt, v); }

static value m_strip(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_strip(rt, self.u.s, strip_chars(rt, a[0]), true, true));
}

static value m_lstrip(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_strip(rt, self.u.s, strip_chars(rt, a[0]), true, false));
}

static value m_rstrip(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_strip(rt, self.u.s, strip_chars(rt, a[0]), false, true));
}

/* ---- splitting ---- */

static void push_part(jinja_rt *rt, vseq *q, vstr *s, size_t from, size_t to)
{
    if ((q->n & (q->n - 1)) == 0) {
        value *v = rt_array(rt, q->n ? q->n * 2 : 1, sizeof *v);
        if (q->n) memcpy(v, q->v, q->n * sizeof *v);
        q->v = v;
    }
    q->v[q->n++] = v_str(vstr_sub(rt, s, from, to));
    rt_step(rt, 2);
}

static vseq *empty_list(jinja_rt *rt)
{
    vseq *q = rt_alloc(rt, sizeof *q);
    *q = (vseq){0};
    return q;
}

static size_t space_run(const char *p, size_t n, size_t at, bool space)
{
    uint32_t c;
    while (at < n) {
        size_t k = utf8_next(p + at, n - at, &c);
        if (jchar_space(c) != space) break;
        at += k;
    }
    return at;
}

static vseq *split_words(jinja_rt *rt, vstr *s, int64_t max)
{
    const char *p = vstr_bytes(rt, s);
    vseq *q = empty_list(rt);
    rt_step(rt, s->n / 8);
    for (size_t at = space_run(p, s->n, 0, true); at < s->n;) {
        size_t end = max == 0 ? s->n : space_run(p, s->n, at, false); /* what is left keeps its blanks at the end */
        if (max > 0) max--;
        push_part(rt, q, s, at, end);
        at = space_run(p, s->n, end, true);
    }
    return q;
}

static size_t word_start(const char *p, size_t at, bool space)
{
    uint32_t c;
    while (at > 0) {
        size_t k = char_before(p, at);
        utf8_next(p + k, at - k, &c);
        if (jchar_space(c) != space) break;
        at = k;
    }
    return at;
}

static void reverse(vseq *q)
{
    for (size_t i = 0; i < q->n / 2; i++) {
        value v = q->v[i];
        q->v[i] = q->v[q->n - 1 - i];
        q->v[q->n - 1 - i] = v;
    }
}

static vseq *rsplit_words(jinja_rt *rt, vstr *s, int64_t max)
{
    const char *p = vstr_bytes(rt, s);
    vseq *q = empty_list(rt);
    rt_step(rt, s->n / 8);
    for (size_t end = word_start(p, s->n, true); end > 0;) {
        size_t at = max == 0 ? 0 : word_start(p, end, false);
        if (max > 0) max--;
        push_part(rt, q, s, at, end);
        end = word_start(p, at, true);
    }
    reverse(q);
    return q;
}

static vseq *split_by(jinja_rt *rt, vstr *s, vstr *sep, int64_t max)
{
    vseq *q = empty_list(rt);
    size_t at = 0, hit;
    if (!sep->n) rt_type_error(rt, "empty separator");
    while (max-- != 0 && (hit = vstr_find(rt, s, sep, at, s->n)) != SIZE_MAX) {
        push_part(rt, q, s, at, hit);
        at = hit + sep->n;
    }
    push_part(rt, q, s, at, s->n);
    return q;
}

static vseq *rsplit_by(jinja_rt *rt, vstr *s, vstr *sep, int64_t max)
{
    vseq *q = empty_list(rt);
    size_t end = s->n, hit;
    if (!sep->n) rt_type_error(rt, "empty separator");
    while (max-- != 0 && (hit = vstr_rfind(rt, s, sep, 0, end)) != SIZE_MAX) {
        push_part(rt, q, s, hit + sep->n, end);
        end = hit;
    }
    push_part(rt, q, s, 0, end);
    reverse(q);
    return q;
}

static value m_split(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *sep = strip_chars(rt, a[0]);
    int64_t max = arg_int(rt, a[1], -1);
    return v_seq(V_LIST, sep ? split_by(rt, self.u.s, sep, max) : split_words(rt, self.u.s, max));
}

static value m_rsplit(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *sep = strip_chars(rt, a[0]);
    int64_t max = arg_int(rt, a[1], -1);
    return v_seq(V_LIST, sep ? rsplit_by(rt, self.u.s, sep, max) : rsplit_words(rt, self.u.s, max));
}

vseq *str_lines(jinja_rt *rt, vstr *s, bool keep_ends)
{
    const char *p = vstr_bytes(rt, s);
    vseq *q = empty_list(rt);
    size_t from = 0;
    uint32_t c;
    rt_step(rt, s->n / 8);
    for (size_t at = 0, k; at < s->n; at += k) {
        k = utf8_next(p + at, s->n - at, &c);
        if (!jchar_line_end(c)) continue;
        if (c == '\r' && at + 1 < s->n && p[at + 1] == '\n') k = 2;
        push_part(rt, q, s, from, keep_ends ? at + k : at);
        from = at + k;
    }
    if (from < s->n) push_part(rt, q, s, from, s->n);
    return q;
}

static value m_splitlines(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_seq(V_LIST, str_lines(rt, self.u.s, arg_true(rt, a[0], false)));
}

static value three(jinja_rt *rt, vstr *x, vstr *y, vstr *z)
{
    vseq *q = seq_new(rt, 3);
    q->v[0] = v_str(x);
    q->v[1] = v_str(y);
    q->v[2] = v_str(z);
    return v_seq(V_TUPLE, q);
}

static value partition(jinja_rt *rt, vstr *s, vstr *sep, bool last)
{
    if (!sep->n) rt_type_error(rt, "empty separator");
    size_t at = last ? vstr_rfind(rt, s, sep, 0, s->n) : vstr_find(rt, s, sep, 0, s->n);
    vstr *none = vstr_c(rt, "");
    if (at == SIZE_MAX) return last ? three(rt, none, none, s) : three(rt, s, none, none);
    return three(rt, vstr_sub(rt, s, 0, at), vstr_sub(rt, s, at, at + sep->n), vstr_sub(rt, s, at + sep->n, s->n));
}

static value m_partition(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return partition(rt, self.u.s, arg_str(rt, a[0]), false);
}

static value m_rpartition(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return partition(rt, self.u.s, arg_str(rt, a[0]), true);
}

/* ---- searching ---- */

/* Bytes of the part [start, end) in characters, as slices are; false where it is empty beyond the end. */
static bool part(jinja_rt *rt, vstr *s, value *a, size_t *from, size_t *to)
{
    int64_t n = (int64_t)vstr_chars(rt, s);
    int64_t start = a[0].t == V_NONE ? 0 : arg_int(rt, a[0], 0), end = a[1].t == V_NONE ? n : arg_int(rt, a[1], n);
    if (start < 0) start = start + n < 0 ? 0 : start + n;
    if (end < 0) end = end + n < 0 ? 0 : end + n;
    if (end > n) end = n;
    if (start > end) return false;
    *from = vstr_offset(rt, s, (size_t)start);
    *to = vstr_offset(rt, s, (size_t)end);
    return true;
}

static int64_t find(jinja_rt *rt, value self, value *a, bool last)
{
    vstr *s = self.u.s, *sub = arg_str(rt, a[0]);
    size_t from, to;
    if (!part(rt, s, a + 1, &from, &to)) return -1;
    size_t at;
    if (last)
        at = sub->n ? vstr_rfind(rt, s, sub, from, to) : to;
    else
        at = vstr_find(rt, s, sub, from, to);
    if (at == SIZE_MAX) return -1;
    return s->chars == s->n ? (int64_t)at : (int64_t)vstr_chars(rt, vstr_sub(rt, s, 0, at));
}

static value m_find(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_int(find(rt, self, a, false));
}

static value m_rfind(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_int(find(rt, self, a, true));
}

static value m_index(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    int64_t at = find(rt, self, a, false);
    if (at < 0) rt_type_error(rt, "substring not found");
    return v_int(at);
}

static value m_rindex(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    int64_t at = find(rt, self, a, true);
    if (at < 0) rt_type_error(rt, "substring not found");
    return v_int(at);
}

static value m_count(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s, *sub = arg_str(rt, a[0]);
    size_t from, to, hit;
    int64_t n = 0;
    if (!part(rt, s, a + 1, &from, &to)) return v_int(0);
    if (!sub->n) return v_int((int64_t)vstr_chars(rt, vstr_sub(rt, s, from, to)) + 1);
    while ((hit = vstr_find(rt, s, sub, from, to)) != SIZE_MAX) {
        n++;
        from = hit + sub->n;
        rt_step(rt, 1);
    }
    return v_int(n);
}

static bool has_affix(jinja_rt *rt, vstr *s, size_t from, size_t to, vstr *x, bool end)
{
    if (x->n > to - from) return false;
    const char *p = vstr_bytes(rt, s), *q = vstr_bytes(rt, x);
    return memcmp(end ? p + to - x->n : p + from, q, x->n) == 0;
}

static value affix(jinja_rt *rt, value self, value *a, bool end)
{
    vstr *s = self.u.s;
    size_t from, to;
    bool some = part(rt, s, a + 1, &from, &to);
    if (a[0].t != V_TUPLE) {
        vstr *x = arg_str(rt, a[0]);
        return v_bool(some && has_affix(rt, s, from, to, x, end));
    }
    for (size_t i = 0; i < a[0].u.q->n; i++)
        if (some && has_affix(rt, s, from, to, arg_str(rt, a[0].u.q->v[i]), end)) return v_bool(true);
    return v_bool(false);
}

static value m_startswith(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return affix(rt, self, a, false);
}

static value m_endswith(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return affix(rt, self, a, true);
}

static value m_removeprefix(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s, *x = arg_str(rt, a[0]);
    return v_str(has_affix(rt, s, 0, s->n, x, false) ? vstr_sub(rt, s, x->n, s->n) : s);
}

static value m_removesuffix(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s, *x = arg_str(rt, a[0]);
    return v_str(has_affix(rt, s, 0, s->n, x, true) ? vstr_sub(rt, s, 0, s->n - x->n) : s);
}

/* ---- building ---- */

/* Every place between characters, the ends included, for an empty `old`. */
static void replace_empty(vsb *b, vstr *s, vstr *new, int64_t count)
{
    const char *p = vstr_bytes(b->rt, s);
    size_t at = 0;
    uint32_t c;
    for (; count != 0; count--) {
        vsb_str(b, new);
        if (at == s->n) return;
        size_t k = utf8_next(p + at, s->n - at, &c);
        vsb_sub(b, s, at, at + k);
        at += k;
    }
    vsb_sub(b, s, at, s->n);
}

vstr *str_replace(jinja_rt *rt, vstr *s, vstr *old, vstr *new, int64_t count)
{
    vsb b = {.rt = rt};
    size_t at = 0, hit;
    if (!old->n) {
        replace_empty(&b, s, new, count);
        return vsb_done(&b);
    }
    if (count == 0 || vstr_find(rt, s, old, 0, s->n) == SIZE_MAX) return vstr_plain(rt, s);
    while (count-- != 0 && (hit = vstr_find(rt, s, old, at, s->n)) != SIZE_MAX) {
        vsb_sub(&b, s, at, hit);
        vsb_str(&b, new);
        at = hit + old->n;
        rt_step(rt, 1);
    }
    vsb_sub(&b, s, at, s->n);
    return vsb_done(&b);
}

static value m_replace(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s, *new = arg_str(rt, a[1]);
    if (s->markup) new = html_escape(rt, a[1]);
    return keep(rt, s, str_replace(rt, s, arg_str(rt, a[0]), new, arg_int(rt, a[2], -1)));
}

static value m_join(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vsb b = {.rt = rt};
    viter *it = val_iter(rt, a[0]);
    value v;
    for (size_t i = 0; iter_next(rt, it, &v); i++) {
        if (v.t != V_STR) rt_type_error(rt, "sequence item %zu: expected str instance, %s found", i, val_type(v));
        if (i) vsb_str(&b, self.u.s);
        vsb_str(&b, self.u.s->markup ? html_escape(rt, v) : v.u.s);
    }
    return keep(rt, self.u.s, vsb_done(&b));
}

vstr *str_pad(jinja_rt *rt, vstr *s, int64_t width, vstr *fill, int before_share)
{
    size_t n = vstr_chars(rt, s);
    if (vstr_chars(rt, fill) != 1) rt_type_error(rt, "The fill character must be exactly one character long");
    if (width <= 0 || (uint64_t)width <= n) return s;
    if ((uint64_t)width > rt->max_text) rt_fail(rt, TAWNY_E_LIMIT, "a width of %lld", (long long)width);
    size_t pad = (size_t)width - n, before = before_share == 0 ? 0 : pad;
    if (before_share == 1) before = pad / 2 + (pad & (size_t)width & 1); /* as Python's center */
    vsb b = {.rt = rt};
    for (size_t i = 0; i < before; i++) vsb_str(&b, fill);
    vsb_str(&b, s);
    for (size_t i = before; i < pad; i++) vsb_str(&b, fill);
    vstr *r = vsb_done(&b);
    return s->markup ? vstr_markup(rt, r) : r;
}

static vstr *fill_char(jinja_rt *rt, value v) { return v.t == V_MISSING ? vstr_c(rt, " ") : arg_str(rt, v); }

static value m_ljust(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_pad(rt, self.u.s, arg_int(rt, a[0], 0), fill_char(rt, a[1]), 0));
}

static value m_center(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_pad(rt, self.u.s, arg_int(rt, a[0], 0), fill_char(rt, a[1]), 1));
}

static value m_rjust(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    return v_str(str_pad(rt, self.u.s, arg_int(rt, a[0], 0), fill_char(rt, a[1]), 2));
}

static value m_zfill(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s;
    int64_t width = arg_int(rt, a[0], 0);
    size_t n = vstr_chars(rt, s), head = s->n && strchr("+-", vstr_bytes(rt, s)[0] ? s->p[0] : 'x') ? 1 : 0;
    if (width <= 0 || (uint64_t)width <= n) return self;
    vsb b = {.rt = rt};
    vsb_sub(&b, s, 0, head);
    vsb_fill(&b, '0', (size_t)width - n);
    vsb_sub(&b, s, head, s->n);
    return keep(rt, s, vsb_done(&b));
}

static value m_expandtabs(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    vstr *s = self.u.s;
    const char *p = vstr_bytes(rt, s);
    int64_t tab = arg_int(rt, a[0], 8), column = 0;
    uint32_t c;
    vsb b = {.rt = rt};
    for (size_t i = 0, k; i < s->n; i += k) {
        k = utf8_next(p + i, s->n - i, &c);
        if (c == '\t') {
            int64_t n = tab > 0 ? tab - column % tab : 0;
            vsb_fill(&b, ' ', (size_t)n);
            column += n;
        } else {
            vsb_sub(&b, s, i, i + k);
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        }
    }
    return keep(rt, s, vsb_done(&b));
}

static value m_format(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)a;
    return v_str(str_format(rt, self.u.s, raw));
}

static value m_format_map(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)raw;
    if (a[0].t != V_DICT) rt_type_error(rt, "format_map() wants a mapping, not %s", val_type(a[0]));
    vdict *d = a[0].u.d;
    cargs kw = {.kw = rt_array(rt, d->n, sizeof *kw.kw), .kwv = d->vals};
    for (uint32_t i = 0; i < d->n; i++) kw.kw[i] = d->keys[i].t == V_STR ? d->keys[i].u.s : vstr_c(rt, "\xff");
    kw.n_kw = d->n;
    return v_str(str_format(rt, self.u.s, &kw));
}

static value m_bytes(jinja_rt *rt, value self, value *a, const cargs *raw)
{
    (void)self, (void)a, (void)raw;
    rt_fail(rt, TAWNY_E_UNSUPPORTED, "encode(), translate() and maketrans() are not supported in chat templates");
}

const builtin methods_str[] = {
    {"strip", m_strip, "/chars", 0}, {"lstrip", m_lstrip, "/chars", 0}, {"rstrip", m_rstrip, "/chars", 0},
    {"split", m_split, "sep maxsplit", 0}, {"rsplit", m_rsplit, "sep maxsplit", 0},
    {"splitlines", m_splitlines, "keepends", 0}, {"partition", m_partition, "/sep", 1},
    {"rpartition", m_rpartition, "/sep", 1}, {"find", m_find, "/sub start end", 1},
    {"rfind", m_rfind, "/sub start end", 1},
    {"index", m_index, "/sub start end", 1}, {"rindex", m_rindex, "/sub start end", 1},
    {"count", m_count, "/sub start end", 1}, {"startswith", m_startswith, "/prefix start end", 1},
    {"endswith", m_endswith, "/suffix start end", 1}, {"removeprefix", m_removeprefix, "/prefix", 1},
    {"removesuffix", m_removesuffix, "/suffix", 1}, {"replace", m_replace, "/old new count", 2},
    {"join", m_join, "/iterable", 1},
    {"ljust", m_ljust, "/width fillchar", 1}, {"rjust", m_rjust, "/width fillchar", 1},
    {"center", m_center, "/width fillchar", 1}, {"zfill", m_zfill, "/width", 1},
    {"expandtabs", m_expandtabs, "tabsize", 0},
    {"format", m_format, NULL, 0}, {"format_map", m_format_map, "/mapping", 1}, {"encode", m_bytes, NULL, 0},
    {"translate", m_bytes, NULL, 0}, {"maketrans", m_bytes, NULL, 0}, {"upper", m_upper, "", 0},
    {"lower", m_lower, "", 0},
    {"title", m_title, "", 0}, {"capitalize", m_capitalize, "", 0}, {"swapcase", m_swapcase, "", 0},
    {"casefold", m_casefold, "", 0}, {"isupper", m_isupper, "", 0}, {"islower", m_islower, "", 0},
    {"istitle", m_istitle, "", 0},
    {"isalpha", m_isalpha, "", 0}, {"isdigit", m_isdigit, "", 0}, {"isdecimal", m_isdecimal, "", 0},
    {"isnumeric", m_isnumeric, "", 0}, {"isalnum", m_isalnum, "", 0}, {"isspace", m_isspace, "", 0},
    {"isascii", m_isascii, "", 0}, {"isidentifier", m_isidentifier, "", 0}, {"isprintable", m_isprintable, "", 0},
    {0}};
