#include "toolcall.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HELD = 16 << 20 };

typedef enum state {
    AT_START, /* nothing but blanks so far */
    IN_THOUGHT,
    IN_TEXT,
    IN_CALL,   /* after an opening marker */
    IN_HEADER, /* harmony: between <|start|> and <|message|> */
    IN_BODY    /* harmony: after it */
} state;

struct answer {
    answer_format format;
    const json_t *tools;
    answer_events on;
    state at;
    buf held;          /* not passed on yet */
    bool skip_blanks;  /* what follows a thought or a call loses the blanks in front */
    const char *close; /* of the thought */
    bool to_reasoning; /* harmony: what the body is */
    char to[128];      /* harmony: the function called, "" where none */
    size_t calls;
    size_t tried; /* bytes of a call in which no end was found */
};

static const char *const open_thought[] = {"<think>", "[THINK]", NULL};
static const char *const close_thought[] = {"</think>", "[/THINK]"};
static const char *const body_ends[] = {"<|end|>", "<|call|>", "<|return|>", "<|start|>", NULL};

static bool contains(const char *p, size_t n, const char *what) { return memmem(p, n, what, strlen(what)) != NULL; }

answer_format answer_format_of(const char *source, size_t n)
{
    if (contains(source, n, "<|channel|>")) return ANSWER_HARMONY;
    if (contains(source, n, "[TOOL_CALLS]")) return ANSWER_MISTRAL;
    if (contains(source, n, "<tool_call>")) return ANSWER_TAGS;
    if (contains(source, n, "<|python_tag|>") || contains(source, n, "ipython")) return ANSWER_LLAMA;
    return ANSWER_PLAIN;
}

answer *answer_new(answer_format format, const json_t *tools, bool thinks, const answer_events *events)
{
    answer *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->format = format;
    a->tools = tools;
    a->on = *events;
    a->held.max = MAX_HELD;
    a->at = format == ANSWER_HARMONY ? IN_HEADER : thinks ? IN_THOUGHT : AT_START;
    a->close = close_thought[0];
    a->skip_blanks = thinks;
    return a;
}

void answer_free(answer *a)
{
    if (!a) return;
    buf_free(&a->held);
    free(a);
}

size_t answer_calls(const answer *a) { return a->calls; }

/* ---- what is held back ---- */

static bool blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static void drop(answer *a, size_t n)
{
    if (!n) return;
    memmove(a->held.data, a->held.data + n, a->held.size - n + 1);
    a->held.size -= n;
}

static void pass(answer *a, answer_kind kind, size_t n)
{
    if (n) a->on.text(a->on.user, kind, a->held.data, n);
    drop(a, n);
}

static size_t without_blanks(const char *p, size_t n)
{
    while (n && blank(p[n - 1])) n--;
    return n;
}

/* Where the longest end of the text that could begin `marker` starts; n where none can. */
static size_t partial(const char *p, size_t n, const char *marker)
{
    size_t k = strlen(marker), from = n > k - 1 ? n - (k - 1) : 0;
    for (size_t i = from; i < n; i++)
        if (memcmp(p + i, marker, n - i) == 0) return i;
    return n;
}

static size_t find(const answer *a, const char *marker)
{
    const char *hit = a->held.size ? memmem(a->held.data, a->held.size, marker, strlen(marker)) : NULL;
    return hit ? (size_t)(hit - a->held.data) : SIZE_MAX;
}

static void skip_blanks(answer *a)
{
    size_t n = 0;
    if (!a->skip_blanks) return;
    while (n < a->held.size && blank(a->held.data[n])) n++;
    drop(a, n);
    if (a->held.size) a->skip_blanks = false;
}

/* ---- calls ---- */

static void call(answer *a, const char *name, json_t *arguments)
{
    char *text = json_is_object(arguments) ? json_dumps(arguments, JSON_COMPACT) : NULL;
    a->on.call(a->on.user, name, text ? text : "{}");
    a->calls++;
    free(text);
}

/* {"name": ..., "arguments" or "parameters": {...}}: passed on, or false. */
static bool call_object(answer *a, const json_t *j)
{
    const json_t *f = json_object_get(j, "function"), *from = json_is_object(f) ? f : j;
    const char *name = json_string_value(json_object_get(from, "name"));
    json_t *args = json_object_get(from, "arguments"), *parsed = NULL;
    if (!args) args = json_object_get(from, "parameters");
    if (!name || !*name) return false;
    if (json_is_string(args))
        args = parsed = json_loadb(json_string_value(args), json_string_length(args), JSON_ALLOW_NUL, NULL);
    bool ok = !args || json_is_null(args) || json_is_object(args);
    if (ok) call(a, name, args);
    json_decref(parsed);
    return ok;
}

/* One object, or an array of them; all of the n bytes but blanks must be used. */
static bool call_json(answer *a, const char *p, size_t n)
{
    json_t *j = json_loadb(p, n, JSON_ALLOW_NUL, NULL);
    bool ok = json_is_object(j) && call_object(a, j);
    if (json_is_array(j) && json_array_size(j)) {
        ok = true;
        for (size_t i = 0; i < json_array_size(j); i++)
            ok &= json_string_value(json_object_get(json_array_get(j, i), "name")) != NULL;
        for (size_t i = 0; ok && i < json_array_size(j); i++) ok = call_object(a, json_array_get(j, i));
    }
    json_decref(j);
    return ok;
}

/* The schema of a parameter among the tools offered; NULL where it is not known. */
static const json_t *schema_of(const answer *a, const char *tool, const char *key)
{
    for (size_t i = 0; i < json_array_size(a->tools); i++) {
        const json_t *t = json_array_get(a->tools, i), *f = json_object_get(t, "function");
        if (!f) f = t;
        const char *name = json_string_value(json_object_get(f, "name"));
        if (name && strcmp(name, tool) == 0)
            return json_object_get(json_object_get(json_object_get(f, "parameters"), "properties"), key);
    }
    return NULL;
}

/* A value written as bare text: a string where the schema says so or where it is no JSON. */
static json_t *typed_value(const answer *a, const char *tool, const char *key, const char *p, size_t n)
{
    const char *type = json_string_value(json_object_get(schema_of(a, tool, key), "type"));
    json_t *j = type && strcmp(type, "string") == 0 ? NULL : json_loadb(p, n, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (!type && json_is_string(j)) { /* quotes that nobody asked for are part of the text */
        json_decref(j);
        j = NULL;
    }
    return j ? j : json_stringn(p, n);
}

typedef struct span {
    const char *p;
    size_t n;
} span;

static span trim(span s)
{
    while (s.n && blank(*s.p)) s.p++, s.n--;
    s.n = without_blanks(s.p, s.n);
    return s;
}

/* Takes what stands before `marker` and the marker off s. */
static bool take_to(span *s, const char *marker, span *out)
{
    const char *hit = s->n ? memmem(s->p, s->n, marker, strlen(marker)) : NULL;
    if (!hit) return false;
    *out = (span){s->p, (size_t)(hit - s->p)};
    s->n -= out->n + strlen(marker);
    s->p = hit + strlen(marker);
    return true;
}

static bool copy_name(span s, char *out, size_t size)
{
    s = trim(s);
    if (!s.n || s.n >= size || memchr(s.p, 0, s.n)) return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

/* One newline at each end belongs to the markup, not to the value. */
static span inner_lines(span s)
{
    if (s.n && *s.p == '\n') s.p++, s.n--;
    if (s.n && s.p[s.n - 1] == '\n') s.n--;
    return s;
}

/* <function=NAME><parameter=KEY>VALUE</parameter>...</function> */
static bool call_function_tag(answer *a, span s)
{
    char name[128], key[128];
    span part;
    if (!take_to(&s, "<function=", &part) || !take_to(&s, ">", &part) || !copy_name(part, name, sizeof name))
        return false;
    json_t *args = json_object();
    while (take_to(&s, "<parameter=", &part)) {
        if (!take_to(&s, ">", &part) || !copy_name(part, key, sizeof key)) break;
        span value = s;
        if (!take_to(&s, "</parameter>", &value)) s.n = 0;
        value = inner_lines(value);
        json_object_set_new(args, key, typed_value(a, name, key, value.p, value.n));
    }
    call(a, name, args);
    json_decref(args);
    return true;
}

/* NAME <arg_key>KEY</arg_key><arg_value>VALUE</arg_value>... */
static bool call_arg_tags(answer *a, span s)
{
    char name[128], key[128];
    span part = s, value;
    if (!take_to(&s, "<arg_key>", &part)) {
        s.n = 0;
        if (!copy_name(part, name, sizeof name) || strpbrk(name, " \n<>{}")) return false;
        call(a, name, NULL);
        return true;
    }
    if (!copy_name(part, name, sizeof name) || strpbrk(name, " \n<>{}")) return false;
    json_t *args = json_object();
    bool more = true;
    while (more && take_to(&s, "</arg_key>", &part) && copy_name(part, key, sizeof key) &&
        take_to(&s, "<arg_value>", &part)) {
        value = s;
        if (!take_to(&s, "</arg_value>", &value)) s.n = 0;
        json_object_set_new(args, key, typed_value(a, name, key, value.p, value.n));
        more = take_to(&s, "<arg_key>", &part);
    }
    call(a, name, args);
    json_decref(args);
    return true;
}

static bool call_tagged(answer *a, const char *p, size_t n)
{
    span s = trim((span){p, n});
    if (!s.n) return false;
    if (*s.p == '{' || *s.p == '[') return call_json(a, s.p, s.n);
    if (*s.p == '<') return call_function_tag(a, s);
    return call_arg_tags(a, s);
}

/* NAME[ARGS]{...}, perhaps with [CALL_ID]ID before [ARGS]; or JSON. Several, apart by [TOOL_CALLS]. */
static bool call_mistral(answer *a, span s)
{
    bool any = false;
    for (bool more = true; more;) {
        span one = s, name, id;
        char text[128];
        more = take_to(&s, "[TOOL_CALLS]", &one);
        one = trim(one);
        if (one.n && (*one.p == '[' || *one.p == '{')) {
            any |= call_json(a, one.p, one.n);
            continue;
        }
        span rest = one;
        if (!take_to(&rest, "[ARGS]", &name)) continue;
        span head = name;
        if (take_to(&head, "[CALL_ID]", &id)) name = id;
        json_t *args = json_loadb(rest.p, rest.n, JSON_ALLOW_NUL, NULL);
        bool ok = json_is_object(args) && copy_name(name, text, sizeof text);
        if (ok) call(a, text, args);
        any |= ok;
        json_decref(args);
    }
    return any;
}

/* The whole answer: objects apart by ";" or blanks. */
static bool call_llama(answer *a, span s)
{
    static const char tag[] = "<|python_tag|>";
    s = trim(s);
    if (s.n >= sizeof tag - 1 && memcmp(s.p, tag, sizeof tag - 1) == 0)
        s = trim((span){s.p + sizeof tag - 1, s.n - (sizeof tag - 1)});
    bool any = false;
    while (s.n) {
        json_error_t e;
        json_t *j = json_loadb(s.p, s.n, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &e);
        bool ok = json_is_object(j) && call_object(a, j);
        json_decref(j);
        if (!ok) break;
        any = true;
        size_t used = (size_t)e.position;
        s = trim((span){s.p + used, s.n - used});
        if (s.n && *s.p == ';') s = trim((span){s.p + 1, s.n - 1});
    }
    return any;
}

/* ---- the states: each returns whether there is more to do with what is held ---- */

static bool at_start(answer *a, bool final)
{
    size_t n = 0;
    while (n < a->held.size && blank(a->held.data[n])) n++;
    if (n == a->held.size && !final) return false;
    for (int i = 0; open_thought[i]; i++) {
        size_t k = strlen(open_thought[i]), have = a->held.size - n;
        if (have >= k && memcmp(a->held.data + n, open_thought[i], k) == 0) {
            drop(a, n + k);
            a->at = IN_THOUGHT;
            a->close = close_thought[i];
            a->skip_blanks = true;
            return true;
        }
        if (!final && have && have < k && memcmp(a->held.data + n, open_thought[i], have) == 0) return false;
    }
    a->at = IN_TEXT;
    if (a->format == ANSWER_LLAMA && a->tools && a->held.size > n) { /* the whole answer is a call, or none of it */
        static const char tag[] = "<|python_tag|>";
        size_t have = a->held.size - n, k = have < sizeof tag - 1 ? have : sizeof tag - 1;
        bool tagged = memcmp(a->held.data + n, tag, k) == 0;
        if (tagged && k < sizeof tag - 1 && !final) {
            a->at = AT_START;
            return false;
        }
        if (a->held.data[n] == '{' || tagged) a->at = IN_CALL;
    }
    return true;
}

static bool in_thought(answer *a, bool final)
{
    skip_blanks(a);
    size_t hit = find(a, a->close);
    if (hit != SIZE_MAX) {
        size_t n = without_blanks(a->held.data, hit);
        pass(a, ANSWER_REASONING, n);
        drop(a, hit - n + strlen(a->close));
        a->skip_blanks = true;
        a->at = a->format == ANSWER_LLAMA ? AT_START : IN_TEXT;
        return true;
    }
    size_t keep = final ? a->held.size : partial(a->held.data, a->held.size, a->close);
    pass(a, ANSWER_REASONING, without_blanks(a->held.data, keep));
    if (final) drop(a, a->held.size);
    return false;
}

static const char *call_marker(const answer *a)
{
    if (!a->tools) return NULL;
    return a->format == ANSWER_TAGS ? "<tool_call>" : a->format == ANSWER_MISTRAL ? "[TOOL_CALLS]" : NULL;
}

static bool in_text(answer *a, bool final)
{
    const char *marker = call_marker(a);
    skip_blanks(a);
    size_t hit = marker ? find(a, marker) : SIZE_MAX;
    if (hit != SIZE_MAX) {
        size_t n = without_blanks(a->held.data, hit);
        pass(a, ANSWER_TEXT, n);
        drop(a, hit - n);
        a->at = IN_CALL; /* the marker stays: it is text if no call follows */
        return true;
    }
    size_t keep = a->held.size;
    if (!final && marker) keep = without_blanks(a->held.data, partial(a->held.data, a->held.size, marker));
    if (final && a->calls) keep = without_blanks(a->held.data, keep);
    pass(a, ANSWER_TEXT, keep);
    if (final) drop(a, a->held.size);
    return false;
}

/* <tool_call> ... </tool_call>; an end inside of a JSON string is none. */
static bool in_tagged_call(answer *a, bool final)
{
    static const char open[] = "<tool_call>", close[] = "</tool_call>";
    const char *p = a->held.data + sizeof open - 1, *end = a->held.data + a->held.size;
    const char *from = a->tried > sizeof open - 1 ? a->held.data + a->tried : p;
    while (p < end) {
        const char *hit = memmem(from, (size_t)(end - from), close, sizeof close - 1);
        if (!hit) break;
        if (call_tagged(a, p, (size_t)(hit - p))) {
            drop(a, (size_t)(hit - a->held.data) + sizeof close - 1);
            a->at = IN_TEXT;
            a->skip_blanks = true;
            a->tried = 0;
            return true;
        }
        from = hit + sizeof close - 1;
    }
    a->tried = (size_t)(from - a->held.data);
    if (!final && end - from > (ptrdiff_t)sizeof close) a->tried = a->held.size - (sizeof close - 1);
    if (!final) return false;
    a->at = IN_TEXT;
    if (p < end && call_tagged(a, p, (size_t)(end - p))) { /* the model forgot to close it */
        drop(a, a->held.size);
        return false;
    }
    pass(a, ANSWER_TEXT, a->tried > sizeof open - 1 ? a->tried : sizeof open - 1);
    a->tried = 0;
    return true;
}

static bool in_call(answer *a, bool final)
{
    if (a->format == ANSWER_TAGS) return in_tagged_call(a, final);
    if (!final) return false;
    span all = {a->held.data, a->held.size};
    bool ok = a->format == ANSWER_MISTRAL ? call_mistral(a, all) : call_llama(a, all);
    if (!ok) pass(a, ANSWER_TEXT, a->held.size);
    drop(a, a->held.size);
    a->at = IN_TEXT;
    return false;
}

/* ---- harmony ---- */

static void read_header(answer *a, span h)
{
    static const char to[] = "to=functions.";
    const char *hit = h.n ? memmem(h.p, h.n, to, sizeof to - 1) : NULL;
    a->to[0] = 0;
    a->to_reasoning = contains(h.p, h.n, "analysis");
    if (!hit || !a->tools) return;
    const char *p = hit + sizeof to - 1, *end = h.p + h.n;
    size_t n = 0;
    while (p + n < end && !blank(p[n]) && p[n] != '<' && n < sizeof a->to - 1) n++;
    memcpy(a->to, p, n);
    a->to[n] = 0;
}

static bool in_header(answer *a, bool final)
{
    static const char message[] = "<|message|>";
    size_t hit = find(a, message);
    if (hit == SIZE_MAX) { /* text without any header is an answer too */
        size_t n = 0;
        while (n < a->held.size && blank(a->held.data[n])) n++;
        bool plain = n < a->held.size && a->held.data[n] != '<' && a->held.size - n > 200;
        if (!plain && !final) return false;
        bool marked = a->held.size && contains(a->held.data, a->held.size, "<|");
        if (!marked) pass(a, ANSWER_TEXT, a->held.size);
        drop(a, a->held.size);
        return false;
    }
    read_header(a, (span){a->held.data, hit});
    drop(a, hit + sizeof message - 1);
    a->at = IN_BODY;
    return true;
}

static void end_body(answer *a, size_t n)
{
    answer_kind kind = a->to_reasoning ? ANSWER_REASONING : ANSWER_TEXT;
    if (!a->to[0]) {
        pass(a, kind, n);
        return;
    }
    span s = trim((span){a->held.data, n});
    json_t *args = s.n ? json_loadb(s.p, s.n, JSON_ALLOW_NUL, NULL) : json_object();
    if (json_is_object(args)) {
        call(a, a->to, args);
        drop(a, n);
    } else {
        pass(a, ANSWER_TEXT, n);
    }
    json_decref(args);
}

static bool in_body(answer *a, bool final)
{
    size_t first = SIZE_MAX, which = 0, keep = a->held.size;
    for (size_t i = 0; body_ends[i]; i++) {
        size_t hit = find(a, body_ends[i]);
        if (hit < first) {
            first = hit;
            which = i;
        }
        size_t part = a->held.size ? partial(a->held.data, a->held.size, body_ends[i]) : 0;
        if (part < keep) keep = part;
    }
    if (first != SIZE_MAX) {
        end_body(a, first);
        drop(a, strlen(body_ends[which]));
        a->at = IN_HEADER;
        return true;
    }
    if (final)
        end_body(a, a->held.size);
    else if (!a->to[0])
        pass(a, a->to_reasoning ? ANSWER_REASONING : ANSWER_TEXT, keep);
    return false;
}

static void run(answer *a, bool final)
{
    for (bool more = true; more && a->held.size;) {
        switch (a->at) {
        case AT_START: more = at_start(a, final); break;
        case IN_THOUGHT: more = in_thought(a, final); break;
        case IN_TEXT: more = in_text(a, final); break;
        case IN_CALL: more = in_call(a, final); break;
        case IN_HEADER: more = in_header(a, final); break;
        case IN_BODY: more = in_body(a, final); break;
        }
    }
}

tawny_status answer_push(answer *a, const char *text, size_t n, tawny_error *err)
{
    if (!buf_add(&a->held, text, n))
        return err_set(err, TAWNY_E_LIMIT, "a tool call of more than %d bytes", MAX_HELD);
    run(a, false);
    return TAWNY_OK;
}

tawny_status answer_end(answer *a, tawny_error *err)
{
    (void)err;
    run(a, true);
    return TAWNY_OK;
}
