/* Where the arguments of a call begin, seen before the call is whole: what stands before them, as each format has it. */
#include <string.h>

#include "toolcall_int.h"

/* ---- through a value ---- */

static bool of_json(unsigned char c)
{
    return text_blank((char)c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("{}[]:,\"+-.", c));
}

static void put_in_string(buf *out, char c)
{
    if ((unsigned char)c >= ' ')
        buf_char(out, c);
    else
        buf_printf(out, "\\u%04x", (unsigned)c);
}

size_t json_walk_on(json_walk *w, const char *p, size_t n, buf *out)
{
    size_t i = 0;
    for (; i < n && !w->ended; i++) {
        char c = p[i];
        if (w->text) {
            w->text = w->escaped || c != '"';
            w->escaped = !w->escaped && c == '\\';
            if (out) put_in_string(out, c);
            continue;
        }
        w->ended = !of_json((unsigned char)c);
        if (w->ended) break;
        if (out && !text_blank(c)) buf_char(out, c);
        w->text = c == '"';
        w->depth += c == '{' || c == '[';
        w->depth -= (c == '}' || c == ']') && w->depth;
        w->ended = !w->depth;
    }
    return i;
}

/* Numbers that are too large for integers are as good as they can be. */
static json_t *load_object(const char *p, size_t n)
{
    json_t *j = json_loadb(p, n, JSON_ALLOW_NUL, NULL);
    if (!j) j = json_loadb(p, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    if (json_is_object(j)) return j;
    json_decref(j);
    return NULL;
}

json_t *answer_arguments(const char *text, size_t n)
{
    json_walk w = {0};
    buf part = {0};
    size_t end = 0; /* of the last member that is followed by another */
    json_t *j = load_object(text, n);
    for (size_t i = 0; i < n && !j && !w.ended; i++) {
        if (text[i] == ',' && !w.text && w.depth == 1) end = i;
        json_walk_on(&w, text + i, 1, NULL);
    }
    if (!j && end && buf_add(&part, text, end) && buf_char(&part, '}')) j = load_object(part.data, part.size);
    buf_free(&part);
    return j ? j : json_object();
}

/* ---- JSON before the arguments ---- */

typedef struct cursor {
    const char *p, *end;
} cursor;

static bool skip(cursor *c)
{
    while (c->p < c->end && text_blank(*c->p)) c->p++;
    return c->p < c->end;
}

/* A string without what escapes something, the quotes not in it. */
static head_state take_string(cursor *c, text_span *out)
{
    json_walk w = {.text = true};
    size_t left = (size_t)(c->end - c->p), n = 1;
    while (n < left && w.text) n += json_walk_on(&w, c->p + n, 1, NULL);
    if (w.text) return HEAD_MORE;
    *out = (text_span){c->p + 1, n - 2};
    c->p += n;
    return HEAD_FOUND;
}

/* Any value: a string, what stands in brackets, or a word. */
static head_state skip_value(cursor *c)
{
    text_span s;
    json_walk w = {0};
    if (*c->p == '"') return take_string(c, &s);
    if (*c->p == '{' || *c->p == '[') {
        c->p += json_walk_on(&w, c->p, (size_t)(c->end - c->p), NULL);
        return !w.ended ? HEAD_MORE : w.depth ? HEAD_NONE : HEAD_FOUND;
    }
    while (c->p < c->end && !text_blank(*c->p) && !strchr(",}]", *c->p)) c->p++;
    return c->p < c->end ? HEAD_FOUND : HEAD_MORE;
}

/* An object that has begun well begins at c. */
static head_state take_object(const cursor *c, text_span s, call_head *out)
{
    cursor in = {c->p + 1, c->end};
    if (*c->p != '{') return HEAD_NONE;
    if (!skip(&in)) return HEAD_MORE;
    out->at = (size_t)(c->p - s.p);
    return *in.p == '"' || *in.p == '}' ? HEAD_FOUND : HEAD_NONE;
}

static bool is(text_span s, const char *word) { return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0; }

/* "KEY": in front of a value. */
static head_state take_key(cursor *c, text_span *key)
{
    if (!skip(c)) return HEAD_MORE;
    head_state st = *c->p == '"' ? take_string(c, key) : HEAD_NONE;
    if (st != HEAD_FOUND) return st;
    if (!skip(c)) return HEAD_MORE;
    if (*c->p++ != ':') return HEAD_NONE;
    return skip(c) ? HEAD_FOUND : HEAD_MORE;
}

/* The members of an object up to its arguments. */
static head_state head_members(cursor *c, text_span s, call_head *out)
{
    text_span key, name;
    for (out->name[0] = 0;;) {
        head_state st = take_key(c, &key);
        if (st != HEAD_FOUND) return st;
        if (is(key, "arguments") || is(key, "parameters")) return out->name[0] ? take_object(c, s, out) : HEAD_NONE;
        if (is(key, "function") && *c->p == '{') {
            out->around++;
            c->p++;
            continue;
        }
        if (is(key, "name") || is(key, "tool_name")) {
            st = *c->p == '"' ? take_string(c, &name) : HEAD_NONE;
            if (st == HEAD_FOUND && (memchr(name.p, '\\', name.n) || !text_name(name, out->name, sizeof out->name))) return HEAD_NONE;
        } else {
            st = skip_value(c);
        }
        if (st != HEAD_FOUND) return st;
        if (!skip(c)) return HEAD_MORE;
        if (*c->p++ != ',') return HEAD_NONE;
    }
}

/* {"name": NAME, "arguments": {, perhaps the first of a list. */
head_state call_head_json(text_span s, call_head *out)
{
    cursor c = {s.p, s.p + s.n};
    if (skip(&c) && *c.p == '[') c.p++;
    if (!skip(&c)) return HEAD_MORE;
    if (*c.p++ != '{') return HEAD_NONE;
    out->around = 1;
    return head_members(&c, s, out);
}

/* ---- the name between markers ---- */

static head_state take_mark(cursor *c, const char *mark)
{
    size_t n = strlen(mark), left = (size_t)(c->end - c->p);
    if (memcmp(c->p, mark, left < n ? left : n) != 0) return HEAD_NONE;
    if (left < n) return HEAD_MORE;
    c->p += n;
    return HEAD_FOUND;
}

/* What stands before a marker. */
static head_state take_before(cursor *c, const char *mark, text_span *out)
{
    text_span s = {c->p, (size_t)(c->end - c->p)};
    if (!text_take_to(&s, mark, out)) return HEAD_MORE;
    c->p = s.p;
    return HEAD_FOUND;
}

static head_state named_object(cursor *c, text_span s, text_span name, call_head *out)
{
    out->around = 0;
    if (!text_name(name, out->name, sizeof out->name)) return HEAD_NONE;
    return skip(c) ? take_object(c, s, out) : HEAD_MORE;
}

head_state call_head_llama(text_span s, call_head *out)
{
    static const char tag[] = "<|python_tag|>";
    cursor c = {s.p, s.p + s.n};
    if (!skip(&c)) return HEAD_MORE;
    head_state st = *c.p == '<' ? take_mark(&c, tag) : HEAD_FOUND;
    if (st == HEAD_FOUND && !skip(&c)) st = HEAD_MORE;
    if (st == HEAD_FOUND && *c.p == '[') st = HEAD_NONE;
    size_t before = (size_t)(c.p - s.p);
    if (st == HEAD_FOUND) st = call_head_json((text_span){c.p, s.n - before}, out);
    out->at += before;
    return st;
}

head_state call_head_mistral(text_span s, call_head *out)
{
    cursor c = {s.p, s.p + s.n};
    text_span name, head, id;
    if (!skip(&c)) return HEAD_MORE;
    if (*c.p == '[' || *c.p == '{') return call_head_json(s, out);
    head_state st = take_before(&c, "[ARGS]", &name);
    if (st != HEAD_FOUND) return st;
    head = name;
    if (text_take_to(&head, "[CALL_ID]", &id)) name = id;
    return named_object(&c, s, name, out);
}

head_state call_head_deepseek(text_span s, call_head *out)
{
    cursor c = {s.p, s.p + s.n};
    text_span name;
    head_state st = skip(&c) ? take_mark(&c, DEEPSEEK_BEGIN) : HEAD_MORE;
    if (st == HEAD_FOUND) st = take_before(&c, DEEPSEEK_SEP, &name);
    if (st == HEAD_FOUND && !skip(&c)) st = HEAD_MORE;
    if (st == HEAD_FOUND && *c.p != '{') st = take_before(&c, "```json", &name);
    return st == HEAD_FOUND ? named_object(&c, s, name, out) : st;
}

head_state call_head_kimi(text_span s, call_head *out)
{
    cursor c = {s.p, s.p + s.n};
    text_span name;
    head_state st = skip(&c) ? take_mark(&c, KIMI_BEGIN) : HEAD_MORE;
    if (st == HEAD_FOUND) st = take_before(&c, KIMI_ARGUMENTS, &name);
    if (st != HEAD_FOUND) return st;
    text_kimi_name(&name);
    return named_object(&c, s, name, out);
}

/* The name is known already, as in harmony's headers. */
head_state call_head_body(text_span s, call_head *out)
{
    cursor c = {s.p, s.p + s.n};
    out->around = 0;
    return skip(&c) ? take_object(&c, s, out) : HEAD_MORE;
}
