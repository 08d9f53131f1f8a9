/* Strings with provenance: flat text with runs of marks, ropes, and the builder. */
#include <string.h>

#include "value.h"

enum { CAT_FLAT = 512 }; /* joining up to this many bytes copies them */

static vstr *new_str(jinja_rt *rt, vstr s)
{
    vstr *p = rt_alloc(rt, sizeof *p);
    *p = s;
    return p;
}

vstr *vstr_new(jinja_rt *rt, const char *p, size_t n, bool trust)
{
    if (n > rt->max_text) rt_fail(rt, TAWNY_E_LIMIT, "a string of %zu bytes (limit %zu)", n, rt->max_text);
    return new_str(rt, (vstr){.p = n ? p : "", .n = n, .chars = SIZE_MAX, .trust = trust});
}

vstr *vstr_copy(jinja_rt *rt, const char *p, size_t n, bool trust)
{
    char *q = rt_alloc(rt, n);
    if (n) memcpy(q, p, n);
    return vstr_new(rt, q, n, trust);
}

vstr *vstr_c(jinja_rt *rt, const char *text) { return vstr_new(rt, text, strlen(text), true); }

/* Writes the leaves from the last to the first, so that the common rope (long to the left) needs no stack. */
static void rope_write(jinja_rt *rt, vstr *s, char *p)
{
    vstr **stack = rt_array(rt, (size_t)s->depth + 2, sizeof *stack);
    size_t n = 0, at = s->n;
    stack[n++] = s;
    while (n) {
        vstr *x = stack[--n];
        if (x->p) {
            at -= x->n;
            memcpy(p + at, x->p, x->n);
        } else {
            stack[n++] = x->left;
            stack[n++] = x->right;
        }
        rt_step(rt, 1);
    }
}

static void marks_add(vsb *b, size_t n, bool trust)
{
    if (!n) return;
    if (b->n_marks && b->marks[b->n_marks - 1].trust == trust) {
        b->marks[b->n_marks - 1].end += n;
        return;
    }
    if (b->n_marks == b->cap_marks) {
        size_t cap = b->cap_marks ? b->cap_marks * 2 : 8;
        vmark *m = rt_array(b->rt, cap, sizeof *m);
        if (b->n_marks) memcpy(m, b->marks, b->n_marks * sizeof *m);
        b->marks = m;
        b->cap_marks = cap;
    }
    size_t start = b->n_marks ? b->marks[b->n_marks - 1].end : 0;
    b->marks[b->n_marks++] = (vmark){start + n, trust};
}

/* The marks of bytes [from, to) of the flat s, added to b. */
static void marks_sub(vsb *b, const vstr *s, size_t from, size_t to)
{
    if (!s->marks) {
        marks_add(b, to - from, s->trust);
        return;
    }
    size_t lo = 0, hi = s->n_marks;
    while (lo < hi) { /* the first run that ends after `from` */
        size_t mid = (lo + hi) / 2;
        if (s->marks[mid].end > from)
            hi = mid;
        else
            lo = mid + 1;
    }
    for (; lo < s->n_marks && from < to; lo++) {
        size_t end = s->marks[lo].end < to ? s->marks[lo].end : to;
        marks_add(b, end - from, s->marks[lo].trust);
        rt_step(b->rt, 1);
        from = end;
    }
}

static void marks_give(vstr *s, const vsb *b)
{
    s->trust = b->n_marks == 0 || b->marks[0].trust;
    s->marks = b->n_marks > 1 ? b->marks : NULL;
    s->n_marks = b->n_marks > 1 ? (uint32_t)b->n_marks : 0;
}

static void rope_marks(jinja_rt *rt, vstr *s)
{
    vstr **stack = rt_array(rt, (size_t)s->depth + 2, sizeof *stack);
    vsb b = {.rt = rt};
    size_t n = 0;
    stack[n++] = s;
    while (n) { /* first to last: a rope that is long to the left fills the stack, which has room for its depth */
        vstr *x = stack[--n];
        if (x->p) {
            marks_sub(&b, x, 0, x->n);
        } else {
            stack[n++] = x->right;
            stack[n++] = x->left;
        }
    }
    marks_give(s, &b);
}

const char *vstr_bytes(jinja_rt *rt, vstr *s)
{
    if (s->p) return s->p;
    rt_step(rt, s->n / 64);
    char *p = rt_alloc(rt, s->n);
    rope_write(rt, s, p);
    rope_marks(rt, s);
    s->p = p;
    s->left = s->right = NULL;
    s->depth = 0;
    return p;
}

const char *vstr_cstr(jinja_rt *rt, vstr *s)
{
    const char *p = vstr_bytes(rt, s);
    char *q = rt_alloc(rt, s->n + 1);
    memcpy(q, p, s->n);
    for (size_t i = 0; i < s->n; i++)
        if (!q[i]) q[i] = '?';
    q[s->n] = 0;
    return q;
}

size_t utf8_next(const char *p, size_t n, uint32_t *c)
{
    const unsigned char *s = (const unsigned char *)p;
    if (s[0] < 0x80) {
        *c = s[0];
        return 1;
    }
    size_t len = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    uint32_t v = len ? s[0] & (0x7fu >> len) : 0;
    for (size_t i = 1; i < len; i++) {
        if (i >= n || (s[i] & 0xc0) != 0x80) {
            len = 0;
            break;
        }
        v = v << 6 | (s[i] & 0x3f);
    }
    if (len == 0 || (len == 3 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) ||
        (len == 4 && (v < 0x10000 || v > 0x10ffff))) {
        *c = 0xdc80u + (s[0] - 0x80u);
        return 1;
    }
    *c = v;
    return len;
}

static size_t count_chars(const char *p, size_t n)
{
    size_t chars = 0;
    uint32_t c;
    for (size_t i = 0; i < n; chars++) i += (unsigned char)p[i] < 0x80 ? 1 : utf8_next(p + i, n - i, &c);
    return chars;
}

size_t vstr_chars(jinja_rt *rt, vstr *s)
{
    if (s->chars != SIZE_MAX) return s->chars;
    const char *p = vstr_bytes(rt, s);
    rt_step(rt, s->n / 16);
    size_t chars = count_chars(p, s->n);
    s->chars = chars;
    return chars;
}

size_t vstr_offset(jinja_rt *rt, vstr *s, size_t chars)
{
    if (chars >= vstr_chars(rt, s)) return s->n;
    if (s->chars == s->n) return chars;
    const char *p = vstr_bytes(rt, s);
    size_t at = 0;
    uint32_t c;
    for (size_t i = 0; i < chars; i++) at += utf8_next(p + at, s->n - at, &c);
    rt_step(rt, at / 16);
    return at;
}

vstr *vstr_sub(jinja_rt *rt, vstr *s, size_t from, size_t to)
{
    const char *p = vstr_bytes(rt, s);
    if (to > s->n) to = s->n;
    if (from > to) from = to;
    if (from == 0 && to == s->n) return s;
    vstr *r = new_str(rt,
        (vstr){.p = p + from, .n = to - from, .chars = SIZE_MAX, .trust = s->trust, .markup = s->markup});
    if (s->chars == s->n) r->chars = r->n;
    if (s->marks) {
        vsb b = {.rt = rt};
        marks_sub(&b, s, from, to);
        marks_give(r, &b);
    }
    return r;
}

vstr *vstr_cat(jinja_rt *rt, vstr *a, vstr *b)
{
    if (!b->n && a->markup == b->markup) return a;
    if (!a->n && a->markup == b->markup) return b;
    size_t n = a->n + b->n;
    if (n > rt->max_text) rt_fail(rt, TAWNY_E_LIMIT, "a string of %zu bytes (limit %zu)", n, rt->max_text);
    if (n <= CAT_FLAT || !a->n || !b->n) {
        vsb s = {.rt = rt};
        vsb_str(&s, a);
        vsb_str(&s, b);
        return vsb_done(&s);
    }
    uint32_t depth = a->depth > b->depth ? a->depth : b->depth;
    vstr r = {.n = n, .chars = SIZE_MAX, .left = a, .right = b, .depth = depth + 1};
    return new_str(rt, r);
}

vstr *vstr_plain(jinja_rt *rt, vstr *s)
{
    if (!s->markup) return s;
    vstr_bytes(rt, s);
    vstr *r = new_str(rt, *s);
    r->markup = false;
    return r;
}

vstr *vstr_markup(jinja_rt *rt, vstr *s)
{
    if (s->markup) return s;
    vstr_bytes(rt, s);
    vstr *r = new_str(rt, *s);
    r->markup = true;
    return r;
}

bool vstr_trust_at(const vstr *s, size_t at)
{
    if (!s->marks) return s->trust;
    for (uint32_t i = 0; i < s->n_marks; i++)
        if (at < s->marks[i].end) return s->marks[i].trust;
    return s->trust;
}

bool vstr_eq(jinja_rt *rt, vstr *a, vstr *b)
{
    if (a == b) return true;
    if (a->n != b->n) return false;
    if (a->p && a->p == b->p) return true;
    rt_step(rt, a->n / 64);
    return memcmp(vstr_bytes(rt, a), vstr_bytes(rt, b), a->n) == 0;
}

bool vstr_is(jinja_rt *rt, vstr *s, const char *text)
{
    return s->n == strlen(text) && memcmp(vstr_bytes(rt, s), text, s->n) == 0;
}

/* The order of UTF-8 bytes is the order of code points. */
int vstr_cmp(jinja_rt *rt, vstr *a, vstr *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    rt_step(rt, n / 64);
    int c = memcmp(vstr_bytes(rt, a), vstr_bytes(rt, b), n);
    return c ? (c < 0 ? -1 : 1) : a->n < b->n ? -1 : a->n > b->n;
}

size_t vstr_find(jinja_rt *rt, vstr *s, vstr *sub, size_t from, size_t to)
{
    if (to > s->n) to = s->n;
    if (from > to || sub->n > to - from) return SIZE_MAX;
    const char *p = vstr_bytes(rt, s), *q = vstr_bytes(rt, sub);
    if (!sub->n) return from;
    const char *hit = memmem(p + from, to - from, q, sub->n);
    rt_step(rt, (hit ? (size_t)(hit - p) - from : to - from) / 8);
    return hit ? (size_t)(hit - p) : SIZE_MAX;
}

size_t vstr_rfind(jinja_rt *rt, vstr *s, vstr *sub, size_t from, size_t to)
{
    if (to > s->n) to = s->n;
    if (from > to || sub->n > to - from) return SIZE_MAX;
    const char *p = vstr_bytes(rt, s), *q = vstr_bytes(rt, sub);
    for (size_t at = to - sub->n + 1; at-- > from;) {
        if (memcmp(p + at, q, sub->n) == 0) return at;
        rt_step(rt, 1 + (sub->n > 64 ? sub->n / 64 : 0));
    }
    return SIZE_MAX;
}

/* ---- the builder ---- */

static void vsb_room(vsb *b, size_t extra)
{
    jinja_rt *rt = b->rt;
    if (extra > rt->max_text || b->n > rt->max_text - extra)
        rt_fail(rt, TAWNY_E_LIMIT, "text of more than %zu bytes", rt->max_text);
    if (b->n + extra <= b->cap) return;
    size_t cap = b->cap ? b->cap * 2 : 64;
    if (cap < b->n + extra) cap = b->n + extra;
    cap = (cap + 15) / 16 * 16;
    /* the newest block: it grows */
    if (b->cap && b->p + b->cap == rt->at && cap - b->cap <= (size_t)(rt->end - rt->at)) {
        rt_alloc(rt, cap - b->cap);
    } else {
        char *p = rt_alloc(rt, cap);
        if (b->n) memcpy(p, b->p, b->n);
        rt_step(rt, b->n / 64);
        b->p = p;
    }
    b->cap = cap;
}

void vsb_raw(vsb *b, const char *p, size_t n, bool trust)
{
    if (!n) return;
    vsb_room(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    marks_add(b, n, trust);
    rt_step(b->rt, 1 + n / 64);
}

void vsb_c(vsb *b, const char *text) { vsb_raw(b, text, strlen(text), true); }

void vsb_char(vsb *b, uint32_t c, bool trust)
{
    char s[4];
    size_t n = 0;
    if (c >= 0xdc80 && c < 0xdd00) { /* a byte that was no UTF-8 (see utf8_next) */
        s[n++] = (char)(c - 0xdc80 + 0x80);
    } else if (c < 0x80) {
        s[n++] = (char)c;
    } else {
        if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
        if (c < 0x800) {
            s[n++] = (char)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
            s[n++] = (char)(0xe0 | c >> 12);
            s[n++] = (char)(0x80 | (c >> 6 & 63));
        } else {
            s[n++] = (char)(0xf0 | c >> 18);
            s[n++] = (char)(0x80 | (c >> 12 & 63));
            s[n++] = (char)(0x80 | (c >> 6 & 63));
        }
        s[n++] = (char)(0x80 | (c & 63));
    }
    vsb_raw(b, s, n, trust);
}

void vsb_fill(vsb *b, char c, size_t n)
{
    if (!n) return;
    vsb_room(b, n);
    memset(b->p + b->n, c, n);
    b->n += n;
    marks_add(b, n, true);
    rt_step(b->rt, n / 64);
}

void vsb_sub(vsb *b, vstr *s, size_t from, size_t to)
{
    if (from >= to) return;
    const char *p = vstr_bytes(b->rt, s);
    vsb_room(b, to - from);
    memcpy(b->p + b->n, p + from, to - from);
    b->n += to - from;
    marks_sub(b, s, from, to);
    rt_step(b->rt, 1 + (to - from) / 64);
}

void vsb_str(vsb *b, vstr *s) { vsb_sub(b, s, 0, s->n); }

void vsb_int(vsb *b, int64_t i)
{
    char s[24];
    size_t at = sizeof s;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        s[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (i < 0) s[--at] = '-';
    vsb_raw(b, s + at, sizeof s - at, true);
}

vstr *vsb_done(vsb *b)
{
    vstr *s = vstr_new(b->rt, b->p, b->n, true);
    marks_give(s, b);
    return s;
}
