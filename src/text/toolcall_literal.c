/* Values of arguments that are no JSON: Python's literals, and Gemma's. */
#include <stdlib.h>
#include <string.h>

#include "toolcall_int.h"

enum { MAX_DEPTH = 64, MAX_NUMBER = 64 };

typedef struct reader {
    text_span s;
    const char *quote;
    int depth;
} reader;

static void skip(reader *r)
{
    while (r->s.n && text_blank(*r->s.p)) r->s.p++, r->s.n--;
}

static bool take(reader *r, const char *word)
{
    skip(r);
    return text_take(&r->s, word);
}

static void advance(reader *r, size_t n)
{
    r->s.p += n;
    r->s.n -= n;
}

static int hex(const char *p, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        int c = p[i] | 0x20, d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = 16 * v + d;
    }
    return v;
}

/* What stands after a backslash, into b; how many bytes it took. */
static size_t escape(buf *b, const char *p, size_t n)
{
    static const char from[] = "ntrbf0", to[] = "\n\t\r\b\f";
    const char *at = strchr(from, *p);
    if (*p == '\n') return 1;
    if (at && *p) return buf_add(b, &to[at - from], 1), 1;
    size_t digits = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    int c = digits && n > digits ? hex(p + 1, digits) : -1;
    if (c >= 0 && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff)) return buf_utf8(b, (uint32_t)c), digits + 1;
    if (*p != '\\' && *p != '\'' && *p != '"') buf_add(b, "\\", 1);
    return buf_add(b, p, 1), 1;
}

static json_t *python_string(reader *r)
{
    char end = *r->s.p;
    buf b = {0};
    json_t *j = NULL;
    size_t i = 1;
    while (i < r->s.n && r->s.p[i] != end) {
        if (r->s.p[i] == '\\' && i + 1 < r->s.n) {
            i += 1 + escape(&b, r->s.p + i + 1, r->s.n - i - 1);
        } else {
            buf_add(&b, r->s.p + i, 1);
            i++;
        }
    }
    if (i < r->s.n && buf_ok(&b)) j = json_stringn(b.size ? b.data : "", b.size);
    if (j) advance(r, i + 1);
    buf_free(&b);
    return j;
}

/* The bytes up to `mark`, which is taken too. */
static bool take_until(reader *r, const char *mark, text_span *out)
{
    const char *hit = r->s.n ? memmem(r->s.p, r->s.n, mark, strlen(mark)) : NULL;
    if (!hit) return false;
    *out = (text_span){r->s.p, (size_t)(hit - r->s.p)};
    advance(r, out->n + strlen(mark));
    return true;
}

static json_t *number(reader *r)
{
    char text[MAX_NUMBER];
    size_t n = 0;
    while (n < r->s.n && n < sizeof text - 1 && strchr("+-.0123456789eE", r->s.p[n])) n++;
    if (!n) return NULL;
    memcpy(text, r->s.p, n);
    json_t *j = json_loadb(text, n, JSON_DECODE_ANY, NULL);
    if (j && !json_is_number(j)) {
        json_decref(j);
        j = NULL;
    }
    if (j) advance(r, n);
    return j;
}

static json_t *value(reader *r);

static json_t *list(reader *r)
{
    json_t *all = json_array();
    for (bool first = true; all && !take(r, "]"); first = false) {
        json_t *v = first || take(r, ",") ? value(r) : NULL;
        if (v && json_array_append_new(all, v) == 0) continue;
        json_decref(all);
        all = NULL;
    }
    return all;
}

/* A key and what follows it, '=' or ':'. */
static bool key(reader *r, char after, char *out, size_t size)
{
    text_span k;
    skip(r);
    bool quoted = r->quote && text_take(&r->s, r->quote);
    if (quoted) {
        if (!take_until(r, r->quote, &k)) return false;
    } else if (r->s.n && (*r->s.p == '"' || *r->s.p == '\'')) {
        char q[2] = {*r->s.p};
        advance(r, 1);
        if (!take_until(r, q, &k)) return false;
    } else {
        k = (text_span){r->s.p, 0};
        while (k.n < r->s.n && !text_blank(r->s.p[k.n]) && !strchr("=:,{}[]()", r->s.p[k.n])) k.n++;
        advance(r, k.n);
        if (!k.n) return false;
    }
    if (k.n >= size || memchr(k.p, 0, k.n)) return false;
    memcpy(out, k.p, k.n);
    out[k.n] = 0;
    return take(r, (char[]){after, 0});
}

static json_t *members(reader *r, char after, char end)
{
    const char ends[2] = {end};
    json_t *all = json_object();
    for (bool first = true; all && !take(r, ends); first = false) {
        char k[128];
        json_t *v = (first || take(r, ",")) && key(r, after, k, sizeof k) ? value(r) : NULL;
        if (v && json_object_set_new(all, k, v) == 0) continue;
        json_decref(all);
        all = NULL;
    }
    return all;
}

/* Text without quotes: up to what ends a value. */
static json_t *bare(reader *r)
{
    size_t n = 0;
    while (n < r->s.n && !strchr(",}]", r->s.p[n])) n++;
    text_span s = text_trim((text_span){r->s.p, n});
    json_t *j = s.n ? json_stringn(s.p, s.n) : NULL;
    if (j) advance(r, n);
    return j;
}

static json_t *nested(reader *r)
{
    json_t *j = NULL;
    if (r->depth < MAX_DEPTH) {
        r->depth++;
        j = take(r, "[") ? list(r) : take(r, "{") ? members(r, ':', '}') : NULL;
        r->depth--;
    }
    return j;
}

/* What is JSON is read as such, in texts with quotes of their own too. */
static json_t *json_here(reader *r)
{
    json_error_t e;
    json_t *j = json_loadb(r->s.p, r->s.n, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &e);
    if (j) advance(r, (size_t)e.position);
    return j;
}

static json_t *value(reader *r)
{
    text_span s;
    skip(r);
    if (!r->s.n) return NULL;
    json_t *whole = r->quote && strchr("[{\"", *r->s.p) ? json_here(r) : NULL;
    if (whole) return whole;
    if (*r->s.p == '[' || *r->s.p == '{') return nested(r);
    if (r->quote && text_take(&r->s, r->quote)) return take_until(r, r->quote, &s) ? json_stringn(s.p, s.n) : NULL;
    if (*r->s.p == '"' || *r->s.p == '\'') return python_string(r);
    json_t *j = number(r);
    if (j) return j;
    if (r->quote) {
        j = bare(r);
        const char *t = json_string_value(j);
        json_t *word = !t ? NULL : !strcmp(t, "true") ? json_true() : !strcmp(t, "false") ? json_false() : !strcmp(t, "null") ? json_null() : NULL;
        if (!word) return j;
        json_decref(j);
        return word;
    }
    if (take(r, "True") || take(r, "true")) return json_true();
    if (take(r, "False") || take(r, "false")) return json_false();
    return take(r, "None") || take(r, "null") ? json_null() : NULL;
}

json_t *literal_read(text_span *s, const char *quote)
{
    reader r = {.s = *s, .quote = quote};
    json_t *j = value(&r);
    *s = r.s;
    return j;
}

json_t *literal_arguments(text_span *s, const char *quote, char end)
{
    reader r = {.s = *s, .quote = quote};
    json_t *j = members(&r, quote ? ':' : '=', end);
    *s = r.s;
    return j;
}
