#include "answer_grammar_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "unicode.h"

#define BAR "\xef\xbd\x9c"  /* U+FF5C, of DeepSeek's markers */
#define LOW "\xe2\x96\x81" /* U+2581 */

enum { MAX_NAME = 64, MAX_TOOLS = 512 };

static const char *const open_thought[] = {"<think>", "[THINK]", "<|channel>thought\n", "<|START_THINKING|>"};
static const char *const close_thought[] = {"</think>", "[/THINK]", "<channel|>", "<|END_THINKING|>"};

static bool contains(const char *p, size_t n, const char *what) { return n && memmem(p, n, what, strlen(what)) != NULL; }

answer_style answer_style_of(const char *source, size_t n)
{
    static const struct {
        answer_format format;
        const char *mark;
        call_variant variant;
    } by[] = {
        {ANSWER_TAGS, "<function=", CALLS_FUNCTIONS}, {ANSWER_TAGS, "<arg_key>", CALLS_KEYS}, {ANSWER_MISTRAL, "[ARGS]", CALLS_NAMED},
        {ANSWER_DEEPSEEK, "```json", CALLS_FENCED}, {ANSWER_GEMMA, "<start_function_call>", CALLS_SECOND},
        {ANSWER_DSML, "DSML" BAR "tool_calls", CALLS_SECOND},
    };
    answer_style s = {answer_format_of(source, n), CALLS_JSON, -1};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        if (by[i].format == s.format && contains(source, n, by[i].mark)) {
            s.variant = by[i].variant;
            break;
        }
    if (s.format == ANSWER_GRANITE && !contains(source, n, "<|tool_call|>")) s.variant = CALLS_SECOND;
    for (int i = 3; i >= 0; i--)
        if (contains(source, n, close_thought[i])) s.thought = i;
    return s;
}

/* ---- pieces ---- */

void ag_literal(buf *out, const char *text, size_t n)
{
    buf_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 32 || c == 127)
            buf_printf(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_str(out, "\" ");
}

/* The id of a token with a name but without bytes, or -1. */
static tawny_token control(const gbnf_tokens *t, const char *text, size_t n)
{
    size_t bytes = 0;
    tawny_token id = t && t->find ? t->find(t->ctx, text, n) : -1;
    if (id < 0) return -1;
    const char *piece = t->piece(t->ctx, id, &bytes);
    return piece && bytes && !t->ends(t->ctx, id) ? -1 : id;
}

/* The length of <...>, [...] or what stands between two bars at p, 0 where there is none. */
static size_t bracketed(const char *p)
{
    bool bar = strncmp(p, BAR, strlen(BAR)) == 0;
    const char *end = *p == '<' ? strchr(p + 1, '>') : *p == '[' ? strchr(p + 1, ']') : bar ? strstr(p + strlen(BAR), BAR) : NULL;
    return end ? (size_t)(end - p) + (bar ? strlen(BAR) : 1) : 0;
}

void ag_marker(buf *out, const gbnf_tokens *t, const char *text)
{
    const char *from = text;
    for (const char *p = text; *p;) {
        size_t n = bracketed(p);
        tawny_token id = n ? control(t, p, n) : -1;
        if (id < 0) {
            p++;
            continue;
        }
        if (p > from) ag_literal(out, from, (size_t)(p - from));
        if (!t->ends(t->ctx, id)) buf_printf(out, "<[%d]> ", (int)id); /* else the end of the answer is it */
        from = p += n;
    }
    if (*from) ag_literal(out, from, strlen(from));
}

static void class_char(buf *out, uint32_t c) { buf_printf(out, "\\U%08x", (unsigned)c); }

/* After the first character c[0] again and again: what follows is not the rest of the mark. */
void ag_without(buf *out, const gbnf_tokens *t, const char *mark)
{
    uint32_t c[64];
    size_t n = 0, size = strlen(mark), k = bracketed(mark);
    if (k && control(t, mark, k) >= 0) { /* it is no text */
        buf_str(out, ".* ");
        return;
    }
    for (size_t i = 0; i < size && n < 64; n++) i += uni_decode(mark + i, size - i, &c[n]);
    buf_str(out, "[^");
    class_char(out, c[0]);
    buf_str(out, "]* ( ");
    for (size_t i = 0; i < n - 1; i++) { /* c[0] .. c[i] are there: another character, or the next and so on */
        buf_char(out, '[');
        class_char(out, c[i]);
        buf_str(out, "] ( [^");
        class_char(out, c[0]);
        class_char(out, c[i + 1]);
        buf_str(out, "] [^");
        class_char(out, c[0]);
        buf_str(out, i + 1 < n - 1 ? "]* | " : "]* ");
    }
    for (size_t i = 0; i < n - 1; i++) buf_str(out, ")? ");
    buf_str(out, ")* ");
}

static bool word(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_'; }

void ag_rules(buf *out, const char *prefix, const char *g, size_t n)
{
    char inside = 0; /* of a literal, a class, a token or a comment: what ends it */
    for (size_t i = 0; i < n; i++) {
        char c = g[i];
        if (inside) {
            if (c == '\\' && (inside == '"' || inside == ']') && i + 1 < n) buf_char(out, g[i++]), c = g[i];
            else if (c == inside) inside = 0;
        } else if (c == '"' || c == '[' || c == '<' || c == '#') {
            inside = c == '[' ? ']' : c == '<' ? '>' : c == '#' ? '\n' : c;
        } else if (c == '{') {
            while (i < n && g[i] != '}') buf_char(out, g[i++]);
            c = '}';
        } else if (word(c)) {
            buf_str(out, prefix);
            while (i + 1 < n && word(g[i + 1])) buf_char(out, g[i++]);
            c = g[i];
        }
        buf_char(out, c);
    }
    buf_char(out, '\n');
}

tawny_status ag_schema(buf *out, const char *prefix, const json_t *schema, const char *at, tawny_error *err)
{
    char name[SCHEMA_MAX_PREFIX];
    tawny_error why;
    char *source = json_dumps(schema, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!source) return err_nomem(err);
    snprintf(name, sizeof name, "%sroot", prefix);
    tawny_status st = schema_rules(source, strlen(source), name, SCHEMA_CLOSED, out, &why);
    free(source);
    if (st == TAWNY_OK) return st;
    const char *rest = strncmp(why.message, "schema: /", 9) == 0 ? why.message + 8 : NULL; /* its place within the schema */
    if (rest && rest[1] == ':') rest++;
    return err_set(err, st, "%s%s%.300s", at, rest ? "" : ": ", rest ? rest : why.message);
}

/* ---- reasoning before the rest ---- */

/* A rule for what harmony says on a channel before the rest. */
static void harmony_says(const answer_frame *f, const char *rule, const char *channel, buf *out)
{
    buf_str(out, rule);
    buf_str(out, " ::= ");
    ag_marker(out, f->tokens, channel);
    ag_without(out, f->tokens, "<|end|>");
    ag_marker(out, f->tokens, "<|end|><|start|>assistant");
    buf_char(out, '\n');
}

/* The rule `thought`: what may go before. */
static void put_thought(const answer_frame *f, buf *out)
{
    int i = f->style.thought < 0 ? 0 : f->style.thought;
    if (f->style.format == ANSWER_HARMONY) {
        harmony_says(f, "thought", "<|channel|>analysis<|message|>", out);
        return;
    }
    bool open = f->thinks;
    buf_str(out, "thought ::= ");
    if (!open) ag_marker(out, f->tokens, open_thought[i]);
    ag_without(out, f->tokens, close_thought[i]);
    ag_marker(out, f->tokens, close_thought[i]);
    buf_str(out, "[ \\n]{0,3}\n");
}

bool answer_grammar_frames(const answer_frame *f)
{
    return f->style.format == ANSWER_HARMONY || f->thinks || (f->may_think && f->style.thought >= 0);
}

/* Begins the root rule. */
static void put_root(const answer_frame *f, buf *out)
{
    bool harmony = f->style.format == ANSWER_HARMONY, may = answer_grammar_frames(f);
    if (may) put_thought(f, out);
    buf_str(out, "root ::= ");
    if (may) buf_str(out, f->thinks && !harmony ? "thought " : "thought? ");
}

/* The rule `content`. */
static void put_content(const answer_frame *f, const char *content, size_t n, buf *out)
{
    buf_str(out, "content ::= ");
    if (f->style.format == ANSWER_HARMONY) {
        ag_marker(out, f->tokens, "<|channel|>final");
        buf_str(out, "( \" \"? ");
        ag_marker(out, f->tokens, "<|constrain|>json");
        buf_str(out, ")? ");
        ag_marker(out, f->tokens, "<|message|>");
    }
    buf_str(out, "c-root\n");
    ag_rules(out, "c-", content, n);
}

tawny_status answer_grammar_content(const answer_frame *f, const char *content, size_t n, buf *out, tawny_error *err)
{
    put_root(f, out);
    buf_str(out, "content\n");
    put_content(f, content, n, out);
    return buf_ok(out) ? TAWNY_OK : err_nomem(err);
}

/* ---- calls ---- */

/* A format's calls: OPEN CALL (BETWEEN CALL)* CLOSE, a call being HEAD NAME NECK ARGUMENTS TAIL. */
typedef struct call_form {
    answer_format format;
    call_variant variant;
    const char *open, *head, *neck, *tail, *between, *close; /* between NULL: one call alone */
    const param_form *params;                                /* NULL: arguments are a JSON object */
} call_form;

#define DEEPSEEK(x) "<" BAR "tool" LOW x BAR ">"
#define DSML "<" BAR "DSML" BAR
#define DSML_END "</" BAR "DSML" BAR

static const param_form function_tags = {"<parameter=%s>\n", NULL, "", "</parameter>", "\n</parameter>", "\n", ""},
                        arg_keys = {"<arg_key>%s</arg_key>\n<arg_value>", NULL, "", "</arg_value>", "</arg_value>", "\n", ""},
                        minimax = {"<parameter name=\"%s\">", NULL, "", "</parameter>", "</parameter>", "\n", ""},
                        dsml = {DSML "parameter name=\"%s\" string=\"true\">", DSML "parameter name=\"%s\" string=\"false\">", "",
                                DSML_END "parameter>", DSML_END "parameter>", "\n", ""},
                        gemma4 = {"%s:", NULL, "<|\"|>", "<|\"|>", "", "", ","},
                        gemma_function = {"%s:", NULL, "<escape>", "<escape>", "", "", ","};

static const call_form forms[] = {
    {ANSWER_TAGS, CALLS_JSON, "", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", "", NULL},
    {ANSWER_TAGS, CALLS_FUNCTIONS, "", "<tool_call>\n<function=", ">\n", "</function>\n</tool_call>", "\n", "", &function_tags},
    {ANSWER_TAGS, CALLS_KEYS, "", "<tool_call>", "\n", "</tool_call>", "\n", "", &arg_keys},
    {ANSWER_LLAMA, CALLS_JSON, "", "{\"name\": \"", "\", \"parameters\": ", "}", "; ", "", NULL},
    {ANSWER_MISTRAL, CALLS_JSON, "[TOOL_CALLS][", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", NULL},
    {ANSWER_MISTRAL, CALLS_NAMED, "", "[TOOL_CALLS]", "[ARGS]", "", "", "", NULL},
    {ANSWER_HARMONY, CALLS_JSON, "", "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", "<|call|>", NULL, "", NULL},
    {ANSWER_DEEPSEEK, CALLS_JSON, DEEPSEEK("calls" LOW "begin"), DEEPSEEK("call" LOW "begin"), DEEPSEEK("sep"), DEEPSEEK("call" LOW "end"), "",
     DEEPSEEK("calls" LOW "end"), NULL},
    {ANSWER_DEEPSEEK, CALLS_FENCED, DEEPSEEK("calls" LOW "begin"), DEEPSEEK("call" LOW "begin") "function" DEEPSEEK("sep"), "\n```json\n",
     "\n```" DEEPSEEK("call" LOW "end"), "\n", DEEPSEEK("calls" LOW "end"), NULL},
    {ANSWER_DSML, CALLS_JSON, DSML "function_calls>\n", DSML "invoke name=\"", "\">\n", DSML_END "invoke>\n", "", DSML_END "function_calls>", &dsml},
    {ANSWER_DSML, CALLS_SECOND, DSML "tool_calls>\n", DSML "invoke name=\"", "\">\n", DSML_END "invoke>\n", "", DSML_END "tool_calls>", &dsml},
    {ANSWER_GEMMA, CALLS_JSON, "", "<|tool_call>call:", "{", "}<tool_call|>", "", "", &gemma4},
    {ANSWER_GEMMA, CALLS_SECOND, "", "<start_function_call>call:", "{", "}<end_function_call>", "", "", &gemma_function},
    {ANSWER_LFM2, CALLS_JSON, "<|tool_call_start|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]<|tool_call_end|>", NULL},
    {ANSWER_GRANITE, CALLS_JSON, "<|tool_call|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", NULL},
    {ANSWER_GRANITE, CALLS_SECOND, "<tool_call>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", NULL},
    {ANSWER_KIMI, CALLS_JSON, "<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.", ":\x01<|tool_call_argument_begin|>",
     "<|tool_call_end|>", "", "<|tool_calls_section_end|>", NULL},
    {ANSWER_MINIMAX, CALLS_JSON, "<minimax:tool_call>\n", "<invoke name=\"", "\">\n", "</invoke>\n", "", "</minimax:tool_call>", &minimax},
    {ANSWER_NEMOTRON, CALLS_JSON, "<TOOLCALL>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]</TOOLCALL>", NULL},
    {ANSWER_COMMAND, CALLS_JSON, "<|START_ACTION|>[\n", "    {\"tool_call_id\": \"\x01\", \"tool_name\": \"", "\", \"parameters\": ", "}", ",\n",
     "\n]<|END_ACTION|>", NULL},
};

static const call_form *form_of(const answer_style *s)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].format == s->format && forms[i].variant == s->variant) return &forms[i];
    return NULL;
}

/* A piece of a form: \x01 is a number. */
static void piece(const answer_frame *f, buf *out, const char *text)
{
    char before[128];
    const char *number = strchr(text, 1);
    if (number && (size_t)(number - text) < sizeof before) {
        memcpy(before, text, (size_t)(number - text));
        before[number - text] = 0;
        if (*before) ag_marker(out, f->tokens, before);
        buf_str(out, "[0-9]{1,3} ");
        text = number + 1;
    }
    if (*text) ag_marker(out, f->tokens, text);
}

static const json_t *function_of(const json_t *tool)
{
    const json_t *f = json_object_get(tool, "function");
    return f ? f : tool;
}

static tawny_status check_tool(const json_t *tool, size_t i, tawny_error *err)
{
    const json_t *f = function_of(tool), *p = json_object_get(f, "parameters"), *type = json_object_get(tool, "type");
    const char *name = json_string_value(json_object_get(f, "name"));
    if (!json_is_object(f) || !name) return err_set(err, TAWNY_E_ARG, "/%zu must have a function with a name", i);
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0))
        return err_set(err, TAWNY_E_ARG, "/%zu/type must be function", i);
    size_t n = json_string_length(json_object_get(f, "name")), k = 0;
    while (k < n && (word(name[k]) || name[k] == '.')) k++;
    if (n == 0 || n > MAX_NAME || k < n)
        return err_set(err, TAWNY_E_ARG, "/%zu/function/name must be 1 to 64 letters, digits, '_', '-' or '.'", i);
    if (p && !json_is_null(p) && !json_is_object(p)) return err_set(err, TAWNY_E_ARG, "/%zu/function/parameters must be an object", i);
    return TAWNY_OK;
}

tawny_status answer_tools_check(const json_t *tools, tawny_error *err)
{
    size_t n = json_array_size(tools);
    if (!json_is_array(tools)) return err_set(err, TAWNY_E_ARG, " must be a list");
    if (n > MAX_TOOLS) return err_set(err, TAWNY_E_ARG, " must hold at most %d functions", MAX_TOOLS);
    for (size_t i = 0; i < n; i++) {
        tawny_status st = check_tool(json_array_get(tools, i), i, err);
        if (st != TAWNY_OK) return st;
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_object_get(function_of(json_array_get(tools, i)), "name"),
                           json_object_get(function_of(json_array_get(tools, k)), "name")))
                return err_set(err, TAWNY_E_ARG, "/%zu/function/name is that of another", i);
    }
    return TAWNY_OK;
}

/* The schema of the arguments: always of an object. */
static json_t *arguments_of(const json_t *function, bool any)
{
    const json_t *p = json_object_get(function, "parameters");
    if (any) return json_pack("{s:s,s:b}", "type", "object", "additionalProperties", 1);
    if (!json_is_object(p)) return json_pack("{s:s,s:b}", "type", "object", "additionalProperties", 0);
    json_t *copy = json_copy((json_t *)(uintptr_t)p);
    const json_t *described = json_object_get(copy, "properties");
    if (copy && !json_object_get(copy, "type")) json_object_set_new(copy, "type", json_string("object"));
    if (json_is_object(described) && json_object_size(described) == 0 && !json_object_get(copy, "additionalProperties"))
        json_object_set_new(copy, "additionalProperties", json_false());
    return copy;
}

/* Rules of tool i: callI, and those of its arguments. */
static tawny_status put_tool(const answer_frame *f, const call_form *form, answer_must must, size_t i, const json_t *tool, buf *out, tawny_error *err)
{
    char at[96], prefix[32], rule[48];
    const json_t *fn = function_of(tool);
    const char *name = json_string_value(json_object_get(fn, "name"));
    bool any = must == ANSWER_MAY_CALL && !form->params && !json_is_true(json_object_get(fn, "strict"));
    snprintf(at, sizeof at, "/%zu%s/parameters", i, fn == tool ? "" : "/function");
    snprintf(prefix, sizeof prefix, "a%zu-", i);
    snprintf(rule, sizeof rule, "%sroot", prefix);
    json_t *schema = arguments_of(fn, any);
    if (!schema) return err_nomem(err);
    buf_printf(out, "call%zu ::= ", i);
    piece(f, out, form->head);
    ag_literal(out, name, strlen(name));
    piece(f, out, form->neck);
    buf_printf(out, "%s ", rule);
    piece(f, out, form->tail);
    buf_char(out, '\n');
    tawny_status st = form->params ? ag_params(out, f->tokens, rule, form->params, schema, at, err) : ag_schema(out, prefix, schema, at, err);
    json_decref(schema);
    return st;
}

/* Text that is no call: up to the first marker of one. */
static void put_text(const answer_frame *f, const call_form *form, buf *out)
{
    static const char any[] = "root ::= .*";
    char mark[64];
    const char *first = form->open[0] ? form->open : form->head;
    if (f->style.format == ANSWER_LLAMA) {
        buf_str(out, "text ::= ( [^{ \\n] .* )?\n");
        return;
    }
    if (f->style.format == ANSWER_HARMONY) {
        put_content(f, any, sizeof any - 1, out);
        return;
    }
    size_t n = bracketed(first);
    snprintf(mark, sizeof mark, "%.*s", (int)(n < sizeof mark ? n : sizeof mark - 1), first);
    buf_str(out, "text ::= ");
    ag_without(out, f->tokens, mark);
    buf_char(out, '\n');
}

static void put_calls(const answer_frame *f, const call_form *form, bool several, buf *out)
{
    buf_str(out, "calls ::= ");
    piece(f, out, form->open);
    buf_str(out, "call ");
    if (several && form->between) {
        buf_str(out, "( ");
        piece(f, out, form->between);
        buf_str(out, "call )* ");
    }
    piece(f, out, form->close);
    buf_str(out, "\n");
}

static bool is_named(const json_t *tool, const char *only)
{
    const char *name = json_string_value(json_object_get(function_of(tool), "name"));
    return !only || (name && strcmp(name, only) == 0);
}

tawny_status answer_grammar_calls(const answer_frame *f, answer_must must, const json_t *tools, const char *only, bool several,
                                  const buf *content, buf *out, tawny_error *err)
{
    const call_form *form = form_of(&f->style);
    tawny_status st = answer_tools_check(tools, err);
    if (st != TAWNY_OK) return st;
    if (!form) return err_set(err, TAWNY_E_UNSUPPORTED, ": the model's chat template has no form of calls that could be enforced");
    put_root(f, out);
    if (must == ANSWER_MUST_CALL)
        buf_str(out, "calls\n");
    else if (f->style.format == ANSWER_HARMONY)
        buf_str(out, "( content | preamble? calls )\n");
    else if (content)
        buf_str(out, "( content | calls )\n");
    else
        buf_str(out, f->style.format == ANSWER_LLAMA ? "( text | calls )\n" : "text calls?\n");
    if (must == ANSWER_MAY_CALL && content) put_content(f, content->data ? content->data : "", content->size, out);
    if (must == ANSWER_MAY_CALL && !content) put_text(f, form, out);
    if (must == ANSWER_MAY_CALL && f->style.format == ANSWER_HARMONY)
        harmony_says(f, "preamble", "<|channel|>commentary<|message|>", out);
    put_calls(f, form, several, out);
    size_t n = 0;
    buf all = {0};
    for (size_t i = 0; i < json_array_size(tools) && st == TAWNY_OK; i++) {
        if (!is_named(json_array_get(tools, i), only)) continue;
        buf_printf(&all, "%scall%zu", n++ ? " | " : "call ::= ", i);
        st = put_tool(f, form, must, i, json_array_get(tools, i), out, err);
    }
    if (st == TAWNY_OK && !n) st = err_set(err, TAWNY_E_ARG, ": no function of that name");
    buf_printf(out, "%s\n", all.data ? all.data : "");
    buf_free(&all);
    if (st == TAWNY_OK && !buf_ok(out)) st = err_nomem(err);
    return st;
}
