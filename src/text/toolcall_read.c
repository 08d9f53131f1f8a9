/* What stands between the markers of calls, read as each format has it. */
#include <stdlib.h>
#include <string.h>

#include "toolcall_int.h"

/* ---- pieces ---- */

text_span text_trim(text_span s)
{
    while (s.n && text_blank(*s.p)) s.p++, s.n--;
    while (s.n && text_blank(s.p[s.n - 1])) s.n--;
    return s;
}

bool text_take(text_span *s, const char *word)
{
    size_t n = strlen(word);
    if (s->n < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    s->n -= n;
    return true;
}

bool text_take_to(text_span *s, const char *marker, text_span *out)
{
    const char *hit = s->n ? memmem(s->p, s->n, marker, strlen(marker)) : NULL;
    if (!hit) return false;
    *out = (text_span){s->p, (size_t)(hit - s->p)};
    s->n -= out->n + strlen(marker);
    s->p = hit + strlen(marker);
    return true;
}

bool text_name(text_span s, char *out, size_t size)
{
    s = text_trim(s);
    if (!s.n || s.n >= size || memchr(s.p, 0, s.n)) return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

void found_clear(found *f)
{
    for (size_t i = 0; i < f->n; i++) json_decref(f->call[i].arguments);
    free(f->call);
    *f = (found){.tools = f->tools};
}

bool found_add(found *f, text_span name, json_t *arguments)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 4;
        found_call *more = realloc(f->call, cap * sizeof *more);
        if (!more) goto fail;
        f->call = more;
        f->cap = cap;
    }
    if (!text_name(name, f->call[f->n].name, sizeof f->call->name)) goto fail;
    if (!arguments) arguments = json_object();
    if (!arguments) return false;
    f->call[f->n++].arguments = arguments;
    return true;
fail:
    json_decref(arguments);
    return false;
}

/* ---- JSON ---- */

/* {"name" or "tool_name": ..., "arguments" or "parameters": {...}}, perhaps inside of "function". */
static bool add_object(found *f, const json_t *j)
{
    const json_t *inner = json_object_get(j, "function"), *from = json_is_object(inner) ? inner : j;
    const char *name = json_string_value(json_object_get(from, "name"));
    if (!name) name = json_string_value(json_object_get(from, "tool_name"));
    json_t *args = json_object_get(from, "arguments"), *parsed = NULL;
    if (!args) args = json_object_get(from, "parameters");
    if (!name || !*name) return false;
    if (json_is_string(args))
        args = parsed = json_loadb(json_string_value(args), json_string_length(args), JSON_ALLOW_NUL, NULL);
    bool ok = !args || json_is_null(args) || json_is_object(args);
    if (ok) ok = found_add(f, (text_span){name, strlen(name)}, json_is_object(args) ? json_incref(args) : NULL);
    json_decref(parsed);
    return ok;
}

bool call_read_json(found *f, text_span s)
{
    json_t *j = json_loadb(s.p, s.n, JSON_ALLOW_NUL, NULL);
    bool ok = json_is_object(j) ? add_object(f, j) : json_array_size(j) > 0;
    for (size_t i = 0; ok && i < json_array_size(j); i++) ok = add_object(f, json_array_get(j, i));
    json_decref(j);
    return ok;
}

/* NAME and the JSON object that follows it. */
static bool add_named(found *f, text_span name, text_span args)
{
    args = text_trim(args);
    json_t *j = args.n ? json_loadb(args.p, args.n, JSON_ALLOW_NUL, NULL) : json_object();
    if (json_is_object(j)) return found_add(f, name, j);
    json_decref(j);
    return false;
}

/* Objects apart by ";" or blanks; what follows them is dropped. */
static bool read_llama(found *f, text_span s)
{
    s = text_trim(s);
    if (text_take(&s, "<|python_tag|>")) s = text_trim(s);
    while (s.n) {
        json_error_t e;
        json_t *j = json_loadb(s.p, s.n, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &e);
        bool ok = json_is_object(j) && add_object(f, j);
        json_decref(j);
        if (!ok) break;
        size_t used = (size_t)e.position;
        s = text_trim((text_span){s.p + used, s.n - used});
        if (text_take(&s, ";")) s = text_trim(s);
    }
    return f->n > 0;
}

/* ---- values as bare text between tags ---- */

/* The schema of a parameter among the tools offered; NULL where it is not known. */
static const json_t *schema_of(const found *f, const char *tool, const char *key)
{
    for (size_t i = 0; i < json_array_size(f->tools); i++) {
        const json_t *t = json_array_get(f->tools, i), *fn = json_object_get(t, "function");
        if (!fn) fn = t;
        const char *name = json_string_value(json_object_get(fn, "name"));
        if (name && strcmp(name, tool) == 0)
            return json_object_get(json_object_get(json_object_get(fn, "parameters"), "properties"), key);
    }
    return NULL;
}

/* A string where the schema says so or where it is no JSON. */
static json_t *typed_value(const found *f, const char *tool, const char *key, text_span s)
{
    const char *type = json_string_value(json_object_get(schema_of(f, tool, key), "type"));
    json_t *j = type && strcmp(type, "string") == 0 ? NULL : json_loadb(s.p, s.n, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (!type && json_is_string(j)) { /* quotes that nobody asked for are part of the text */
        json_decref(j);
        j = NULL;
    }
    return j ? j : json_stringn(s.p, s.n);
}

/* One newline at each end belongs to the markup, not to the value. */
static text_span inner_lines(text_span s)
{
    if (s.n && *s.p == '\n') s.p++, s.n--;
    if (s.n && s.p[s.n - 1] == '\n') s.n--;
    return s;
}

/* <function=NAME><parameter=KEY>VALUE</parameter>...</function> */
static bool read_function_tag(found *f, text_span s)
{
    char name[128], key[128];
    text_span part;
    if (!text_take_to(&s, "<function=", &part) || !text_take_to(&s, ">", &part) || !text_name(part, name, sizeof name))
        return false;
    json_t *args = json_object();
    while (text_take_to(&s, "<parameter=", &part)) {
        if (!text_take_to(&s, ">", &part) || !text_name(part, key, sizeof key)) break;
        text_span v = s;
        if (!text_take_to(&s, "</parameter>", &v)) s.n = 0;
        json_object_set_new(args, key, typed_value(f, name, key, inner_lines(v)));
    }
    return found_add(f, (text_span){name, strlen(name)}, args);
}

/* NAME <arg_key>KEY</arg_key><arg_value>VALUE</arg_value>... */
static bool read_arg_tags(found *f, text_span s)
{
    char name[128], key[128];
    text_span part = s, v;
    bool more = text_take_to(&s, "<arg_key>", &part);
    if (!text_name(part, name, sizeof name) || strpbrk(name, " \n<>{}")) return false;
    json_t *args = json_object();
    while (more && text_take_to(&s, "</arg_key>", &part) && text_name(part, key, sizeof key) && text_take_to(&s, "<arg_value>", &part)) {
        v = s;
        if (!text_take_to(&s, "</arg_value>", &v)) s.n = 0;
        json_object_set_new(args, key, typed_value(f, name, key, v));
        more = text_take_to(&s, "<arg_key>", &part);
    }
    return found_add(f, (text_span){name, strlen(name)}, args);
}

static bool read_tagged(found *f, text_span s)
{
    s = text_trim(s);
    if (!s.n) return false;
    if (*s.p == '{' || *s.p == '[') return call_read_json(f, s);
    return *s.p == '<' ? read_function_tag(f, s) : read_arg_tags(f, s);
}

/* <invoke name="NAME"><parameter name="KEY">VALUE</parameter>...</invoke>..., tags perhaps with a prefix in them;
 * string="true" or "false" tells text from JSON. */
static bool read_invokes(found *f, text_span s, const char *const tag[4])
{
    text_span one, part, head;
    while (text_take_to(&s, tag[0], &part)) {
        char name[128], key[128];
        if (!text_take_to(&s, "\"", &part) || !text_name(part, name, sizeof name) || !text_take_to(&s, ">", &part)) return false;
        if (!text_take_to(&s, tag[1], &one)) return false;
        json_t *args = json_object();
        while (text_take_to(&one, tag[2], &part)) {
            if (!text_take_to(&one, "\"", &part) || !text_name(part, key, sizeof key) || !text_take_to(&one, ">", &head)) break;
            text_span v = one;
            if (!text_take_to(&one, tag[3], &v)) one.n = 0;
            bool text = head.n && memmem(head.p, head.n, "string=\"true\"", 13);
            json_t *j = text ? json_stringn(v.p, v.n) : typed_value(f, name, key, inner_lines(v));
            json_object_set_new(args, key, j);
        }
        if (!found_add(f, (text_span){name, strlen(name)}, args)) return false;
    }
    return f->n > 0;
}

static bool read_minimax(found *f, text_span s)
{
    static const char *const tag[] = {"<invoke name=\"", "</invoke>", "<parameter name=\"", "</parameter>"};
    return read_invokes(f, s, tag);
}

static bool read_dsml(found *f, text_span s)
{
    static const char *const tag[] = {"<" BAR "DSML" BAR "invoke name=\"", "</" BAR "DSML" BAR "invoke>",
                                      "<" BAR "DSML" BAR "parameter name=\"", "</" BAR "DSML" BAR "parameter>"};
    return read_invokes(f, s, tag);
}

/* ---- a marker before the name and one before the arguments ---- */

/* call begin, NAME, sep, {...}, call end; V3 and R1: "function" sep NAME, and the object in a fence of ```json. */
static bool read_deepseek(found *f, text_span s)
{
    text_span one, name, part;
    while (text_take_to(&s, DEEPSEEK_BEGIN, &part)) {
        if (!text_take_to(&s, DEEPSEEK_END, &one) || !text_take_to(&one, DEEPSEEK_SEP, &name)) return false;
        if (text_take_to(&one, "```json", &part)) {
            name = part;
            if (!text_take_to(&one, "```", &part)) return false;
            one = part;
        }
        if (!add_named(f, name, one)) return false;
    }
    return f->n > 0;
}

void text_kimi_name(text_span *name)
{
    *name = text_trim(*name);
    text_take(name, "functions.");
    const char *colon = name->n ? memrchr(name->p, ':', name->n) : NULL;
    if (colon) name->n = (size_t)(colon - name->p);
}

static bool read_kimi(found *f, text_span s)
{
    text_span one, name, part;
    while (text_take_to(&s, KIMI_BEGIN, &part)) {
        if (!text_take_to(&s, KIMI_END, &one) || !text_take_to(&one, KIMI_ARGUMENTS, &name)) return false;
        text_kimi_name(&name);
        if (!add_named(f, name, one)) return false;
    }
    return f->n > 0;
}

/* NAME[ARGS]{...}, perhaps with [CALL_ID]ID before [ARGS]; or JSON. Several, apart by [TOOL_CALLS]. */
static bool read_mistral(found *f, text_span s)
{
    for (bool more = true; more;) {
        text_span one = s, name, id;
        more = text_take_to(&s, "[TOOL_CALLS]", &one);
        one = text_trim(one);
        if (!one.n) continue;
        if (*one.p == '[' || *one.p == '{') {
            if (!call_read_json(f, one)) return false;
            continue;
        }
        if (!text_take_to(&one, "[ARGS]", &name)) return false;
        text_span head = name;
        if (text_take_to(&head, "[CALL_ID]", &id)) name = id;
        if (!add_named(f, name, one)) return false;
    }
    return f->n > 0;
}

/* ---- literals ---- */

/* [NAME(KEY=VALUE, ...), ...], as in Python; or JSON. */
static bool read_python(found *f, text_span s)
{
    found before = *f;
    s = text_trim(s);
    if (call_read_json(f, s)) return true;
    while (f->n > before.n) json_decref(f->call[--f->n].arguments);
    bool list = text_take(&s, "[");
    for (bool more = true; more;) {
        text_span name;
        if (!text_take_to(&s, "(", &name)) return false;
        json_t *args = literal_arguments(&s, NULL, ')');
        if (!args || !found_add(f, name, args)) return false;
        s = text_trim(s);
        more = text_take(&s, ",");
    }
    if (list && !text_take(&s, "]")) return false;
    return !text_trim(s).n;
}

static bool read_gemma(found *f, text_span s, const char *quote)
{
    text_span name;
    s = text_trim(s);
    if (!text_take(&s, "call:") || !text_take_to(&s, "{", &name)) return false;
    json_t *args = literal_arguments(&s, quote, '}');
    if (!args) return false;
    if (!text_trim(s).n) return found_add(f, name, args);
    json_decref(args);
    return false;
}

static bool read_gemma4(found *f, text_span s) { return read_gemma(f, s, "<|\"|>"); }
static bool read_gemma_function(found *f, text_span s) { return read_gemma(f, s, "<escape>"); }

/* ---- which format has which ---- */

#define NONE {NULL, NULL, NULL, NULL, NULL}

const call_marks call_marks_llama = {"", NULL, read_llama, call_head_llama, NULL};

const call_marks *call_marks_of(answer_format f)
{
    static const call_marks marks[][3] = {
        [ANSWER_TAGS] = {{"<tool_call>", "</tool_call>", read_tagged, call_head_json, NULL}, NONE},
        [ANSWER_MISTRAL] = {{"[TOOL_CALLS]", NULL, read_mistral, call_head_mistral, NULL}, NONE},
        [ANSWER_DEEPSEEK] = {{DEEPSEEK_MARK("calls" LOW "begin"), DEEPSEEK_MARK("calls" LOW "end"), read_deepseek, call_head_deepseek, DEEPSEEK_END},
                             NONE},
        [ANSWER_DSML] = {{"<" BAR "DSML" BAR "function_calls>", "</" BAR "DSML" BAR "function_calls>", read_dsml, NULL, NULL},
                         {"<" BAR "DSML" BAR "tool_calls>", "</" BAR "DSML" BAR "tool_calls>", read_dsml, NULL, NULL}, NONE},
        [ANSWER_GEMMA] = {{"<|tool_call>", "<tool_call|>", read_gemma4, NULL, NULL},
                          {"<start_function_call>", "<end_function_call>", read_gemma_function, NULL, NULL}, NONE},
        [ANSWER_LFM2] = {{"<|tool_call_start|>", "<|tool_call_end|>", read_python, call_head_json, NULL}, NONE},
        [ANSWER_GRANITE] = {{"<|tool_call|>", NULL, call_read_json, call_head_json, NULL},
                            {"<tool_call>", NULL, call_read_json, call_head_json, NULL}, NONE},
        [ANSWER_KIMI] = {{"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", read_kimi, call_head_kimi, KIMI_END}, NONE},
        [ANSWER_MINIMAX] = {{"<minimax:tool_call>", "</minimax:tool_call>", read_minimax, NULL, NULL}, NONE},
        [ANSWER_NEMOTRON] = {{"<TOOLCALL>", "</TOOLCALL>", call_read_json, call_head_json, NULL}, NONE},
        [ANSWER_COMMAND] = {{"<|START_ACTION|>", "<|END_ACTION|>", call_read_json, call_head_json, NULL}, NONE},
    };
    static const call_marks none = NONE;
    bool known = (size_t)f < sizeof marks / sizeof *marks && marks[f][0].open;
    return known ? marks[f] : &none;
}
