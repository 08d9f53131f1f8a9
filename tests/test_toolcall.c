/* text/toolcall: answers told apart, whole and in pieces of every size. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "text/toolcall.h"

static char got[4096];
static int last; /* the kind of the text being collected */

static void on_text(void *user, answer_kind kind, const char *text, size_t n)
{
    size_t at = strlen(got);
    (void)user;
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_lt(at + n + 8, sizeof got);
    if (last != (int)kind) at += (size_t)sprintf(got + at, kind == ANSWER_TEXT ? "|T:" : "|R:");
    memcpy(got + at, text, n);
    got[at + n] = 0;
    last = (int)kind;
}

static void add(const char *text, size_t n)
{
    size_t at = strlen(got);
    ck_assert_uint_lt(at + n, sizeof got);
    memcpy(got + at, text, n);
    got[at + n] = 0;
}

static bool called; /* a call has begun, and not ended */

static void on_call(void *user, const char *name)
{
    (void)user;
    ck_assert(!called);
    called = true;
    add("|C:", 3);
    add(name, strlen(name));
    last = -1;
}

static void on_arguments(void *user, const char *text, size_t n)
{
    (void)user;
    ck_assert(called);
    ck_assert_uint_gt(n, 0);
    add(text, n);
}

static void on_call_end(void *user, bool whole)
{
    (void)user;
    ck_assert(called);
    called = false;
    if (!whole) add("...", 3);
}

static const answer_events events = {NULL, on_text, on_call, on_arguments, on_call_end};

static const char *read_in(answer_format f, const json_t *tools, bool thinks, const char *text, size_t piece)
{
    tawny_error e;
    answer *a = answer_new(f, tools, thinks, &events);
    size_t n = strlen(text);
    got[0] = 0;
    last = -1;
    for (size_t i = 0; i < n; i += piece)
        ck_assert_int_eq(answer_push(a, text + i, n - i < piece ? n - i : piece, &e), TAWNY_OK);
    ck_assert_int_eq(answer_end(a, &e), TAWNY_OK);
    ck_assert(!called);
    answer_free(a);
    return got;
}

static void ignore_text(void *user, answer_kind kind, const char *text, size_t n) { (void)user, (void)kind, (void)text, (void)n; }
static void ignore_call(void *user, const char *name) { (void)user, (void)name; }
static void ignore_arguments(void *user, const char *text, size_t n) { (void)user, (void)text, (void)n; }
static void ignore_end(void *user, bool whole) { (void)user, (void)whole; }

#define F "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"s\":{\"type\":\"string\"}," \
          "\"n\":{\"type\":\"integer\"},\"o\":{\"type\":\"object\"}}}}}"
static const char *const tools_json[] = {"[" F "]", "[" F ",{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"};

#define B "\xef\xbd\x9c"
#define U "\xe2\x96\x81"
#define CALLS "<" B "tool" U "calls" U "begin" B ">"
#define ENDCALLS "<" B "tool" U "calls" U "end" B ">"
#define ENDCALL "<" B "tool" U "call" U "end" B ">"

static const struct { answer_format f; int thinks; const char *text, *wanted; } cases[] = {
    {ANSWER_PLAIN, 0, "Hello", "|T:Hello"},
    {ANSWER_PLAIN, 0, " \n<thin", "|T: \n<thin"},
    {ANSWER_PLAIN, 0, "<think>\nwhy not\n</think>\n\nHi", "|R:why not|T:Hi"},
    {ANSWER_PLAIN, 1, "why not\n</think>\n\nHi </think>", "|R:why not|T:Hi </think>"},
    {ANSWER_PLAIN, 1, "still at it\n", "|R:still at it"},
    {ANSWER_PLAIN, 0, "<think></think>", ""},
    {ANSWER_PLAIN, 0, "a <think>b</think>", "|T:a <think>b</think>"},
    {ANSWER_PLAIN, 0, "<tool_call>{\"name\":\"f\"}</tool_call>", "|T:<tool_call>{\"name\":\"f\"}</tool_call>"},
    {ANSWER_MISTRAL, 0, "[THINK]x[/THINK]y", "|R:x|T:y"},
    {ANSWER_TAGS, 0, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 1, \"s\": \"\303\251\"}}\n</tool_call>",
        "|C:f{\"n\":1,\"s\":\"\303\251\"}"},
    {ANSWER_TAGS, 0, "Sure.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{\"a\":[1]}}</tool_call>\n",
     "|T:Sure.|C:f{}|C:g{\"a\":[1]}"},
    {ANSWER_TAGS, 0, "<think>t</think><tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"</tool_call>\"}}</tool_call>",
        "|R:t|C:f{\"s\":\"</tool_call>\"}"},
    {ANSWER_TAGS, 0, "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\":2}}", "|C:f{\"n\":2}"},
    {ANSWER_TAGS, 0, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"n\\\":3}\"}</tool_call>", "|C:f{\"n\":3}"},
    {ANSWER_TAGS, 0, "<tool_call>{oops}</tool_call> more", "|T:<tool_call>{oops}</tool_call> more"},
    {ANSWER_TAGS, 0, "<tool_call>{oops", "|T:<tool_call>{oops"},
    {ANSWER_TAGS, 0, "a < b <tool", "|T:a < b <tool"},
    {ANSWER_TAGS, 0, "x </tool_call> y", "|T:x </tool_call> y"},
    {ANSWER_TAGS, 0, "<tool_call>\n<function=f>\n<parameter=s>\n12\n</parameter>\n<parameter=n>\n12\n</parameter>\n<parameter=o>\n{\"k\": [1]}\n</parameter>\n"
                     "<parameter=zz>\ntwo\nlines\n</parameter>\n</function>\n</tool_call>",
     "|C:f{\"s\":\"12\",\"n\":12,\"o\":{\"k\":[1]},\"zz\":\"two\\nlines\"}"},
    {ANSWER_TAGS, 0, "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>5</arg_value>\n<arg_key>n</arg_key>\n<arg_value>5</arg_value>\n</tool_call>", "|C:f{\"s\":\"5\",\"n\":5}"},
    {ANSWER_TAGS, 0, "<tool_call>now\n</tool_call>", "|C:now{}"},
    {ANSWER_TAGS, 0, "<tool_call>not a call at all</tool_call>", "|T:<tool_call>not a call at all</tool_call>"},
    {ANSWER_LLAMA, 0, "{\"name\": \"f\", \"parameters\": {\"n\": 1}}", "|C:f{\"n\":1}"},
    {ANSWER_LLAMA, 0, "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"n\": 1}}; {\"name\": \"g\", \"parameters\": {}}", "|C:f{\"n\":1}|C:g{}"},
    {ANSWER_LLAMA, 0, "{\"json\": \"asked for\"}", "|T:{\"json\": \"asked for\"}"},
    {ANSWER_LLAMA, 0, "<b>bold</b> {\"name\":1}", "|T:<b>bold</b> {\"name\":1}"},
    {ANSWER_MISTRAL, 0, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"name\": \"g\", \"arguments\": {}}]", "|C:f{\"n\":1}|C:g{}"},
    {ANSWER_MISTRAL, 0, "Ok[TOOL_CALLS]f[ARGS]{\"n\": 1}[TOOL_CALLS]g[CALL_ID]abc[ARGS]{}",
        "|T:Ok|C:f{\"n\":1}|C:g{}"},
    {ANSWER_MISTRAL, 0, "[TOOL_CALLS] nothing", "|T:[TOOL_CALLS] nothing"},
    {ANSWER_MISTRAL, 0, "an [array]", "|T:an [array]"},
    {ANSWER_HARMONY, 0, "<|channel|>analysis<|message|>Hmm.<|end|><|start|>assistant<|channel|>final<|message|>Hi!<|return|>", "|R:Hmm.|T:Hi!"},
    {ANSWER_HARMONY, 0, "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"n\":1}<|call|>",
     "|R:a|C:f{\"n\":1}"},
    {ANSWER_HARMONY, 0, "<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{}<|call|>", "|C:g{}"},
    {ANSWER_HARMONY, 0, "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant<|channel|>final<|message|>x < y", "|T:I will look.x < y"},
    {ANSWER_HARMONY, 0, "<|channel|>commentary to=functions.f<|message|>not json<|call|>", "|T:not json"},
    {ANSWER_HARMONY, 0, "plain words", "|T:plain words"},
    {ANSWER_HARMONY, 0, "<|channel|>final", ""},
    {ANSWER_DEEPSEEK, 1, "so\n</think>\n\n" CALLS "<" B "tool" U "call" U "begin" B ">f<" B "tool" U "sep" B ">{\"n\": 1}" ENDCALL
     "<" B "tool" U "call" U "begin" B ">g<" B "tool" U "sep" B ">{}" ENDCALL ENDCALLS, "|R:so|C:f{\"n\":1}|C:g{}"},
    {ANSWER_DEEPSEEK, 0, "Wait." CALLS "<" B "tool" U "call" U "begin" B ">function<" B "tool" U "sep" B ">f\n```json\n{\"n\": 1}\n```"
     ENDCALL ENDCALLS, "|T:Wait.|C:f{\"n\":1}"},
    {ANSWER_DEEPSEEK, 0, CALLS "<" B "tool" U "call" U "begin" B ">f<" B "tool" U "sep" B ">{\"n\": 1}" ENDCALL "<" B "tool" U "call",
     "|C:f{\"n\":1}"}, /* cut off in the second */
    {ANSWER_DEEPSEEK, 0, CALLS "no" ENDCALLS "!", "|T:" CALLS "no" ENDCALLS "!"},
    {ANSWER_DSML, 0, "Ok\n\n<" B "DSML" B "function_calls>\n<" B "DSML" B "invoke name=\"f\">\n"
     "<" B "DSML" B "parameter name=\"s\" string=\"true\">12</" B "DSML" B "parameter>\n"
     "<" B "DSML" B "parameter name=\"o\" string=\"false\">{\"k\": 1}</" B "DSML" B "parameter>\n"
     "</" B "DSML" B "invoke>\n</" B "DSML" B "function_calls>", "|T:Ok|C:f{\"s\":\"12\",\"o\":{\"k\":1}}"},
    {ANSWER_DSML, 0, "<" B "DSML" B "tool_calls>\n<" B "DSML" B "invoke name=\"g\">\n</" B "DSML" B "invoke>\n</" B "DSML" B
     "tool_calls>", "|C:g{}"},
    {ANSWER_GEMMA, 0, "<|channel>thought\nhm\n<channel|><|tool_call>call:f{n:1,o:{k:[1,2.5,true,null]},s:<|\"|>a, \"b\"}<|\"|>}<tool_call|>",
     "|R:hm|C:f{\"n\":1,\"o\":{\"k\":[1,2.5,true,null]},\"s\":\"a, \\\"b\\\"}\"}"},
    {ANSWER_GEMMA, 0, "<|tool_call>call:f{}<tool_call|><|tool_call>call:g{a:<|\"|><tool_call|><|\"|>}<tool_call|>",
     "|C:f{}|C:g{\"a\":\"<tool_call|>\"}"},
    {ANSWER_GEMMA, 0, "<start_function_call>call:f{s:<escape>x<escape>}<end_function_call>", "|C:f{\"s\":\"x\"}"},
    {ANSWER_GEMMA, 0, "<|tool_call>call:f{n:1<tool_call|>", "|T:<|tool_call>call:f{n:1<tool_call|>"},
    {ANSWER_LFM2, 0, "<|tool_call_start|>[f(s=\"a'b\\n\", n=-3), g(o={'k': [True, None, 'x']})]<|tool_call_end|>Calling.",
     "|C:f{\"s\":\"a'b\\n\",\"n\":-3}|C:g{\"o\":{\"k\":[true,null,\"x\"]}}|T:Calling."},
    {ANSWER_LFM2, 0, "<|tool_call_start|>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}]<|tool_call_end|>", "|C:f{\"n\":1}"},
    {ANSWER_LFM2, 0, "<|tool_call_start|>[f(n=)]<|tool_call_end|>", "|T:<|tool_call_start|>[f(n=)]<|tool_call_end|>"},
    {ANSWER_GRANITE, 0, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
     "|C:f{\"n\":1}|C:g{}"},
    {ANSWER_GRANITE, 0, "<tool_call>[{\"name\": \"f\", \"arguments\": {}}]", "|C:f{}"},
    {ANSWER_GRANITE, 0, "<|tool_call|> none", "|T:<|tool_call|> none"},
    {ANSWER_KIMI, 0, "Hm. <|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"n\": 1}<|tool_call_end|>"
     "<|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
     "|T:Hm.|C:f{\"n\":1}|C:g{}"},
    {ANSWER_MINIMAX, 1, "t</think>\n\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">1</parameter>\n"
     "<parameter name=\"n\">1</parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n</minimax:tool_call>",
     "|R:t|C:f{\"s\":\"1\",\"n\":1}|C:g{}"},
    {ANSWER_NEMOTRON, 0, "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}]</TOOLCALL>", "|C:f{\"n\":1}"},
    /* other ways to write the same */
    {ANSWER_TAGS, 0, "<tool_call>{\"function\": {\"id\": [1, {}], \"name\": \"f\", \"arguments\": {\"n\": 1}, \"x\": 2}, \"y\": \"}\"}</tool_call> ok",
     "|C:f{\"n\":1}|T:ok"},
    {ANSWER_TAGS, 0, "<tool_call>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"arguments\": {\"n\": 2}, \"name\": \"f\"},"
     " {\"name\": \"f\", \"arguments\": \"{\\\"n\\\": 3}\"}]</tool_call>", "|C:f{\"n\":1}|C:f{\"n\":2}|C:f{\"n\":3}"},
    {ANSWER_TAGS, 0, "<tool_call>{\"name\": \"f\", \"parameters\": null}</tool_call>", "|C:f{}"},
    {ANSWER_TAGS, 0, "<tool_call>{'name': 'f', 'arguments': {}}</tool_call>", "|T:<tool_call>{'name': 'f', 'arguments': {}}</tool_call>"},
    {ANSWER_MISTRAL, 0, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"s\": \"[TOOL_CALLS]\"}, \"id\": \"123456789\"}]",
     "|C:f{\"s\":\"[TOOL_CALLS]\"}"},
    {ANSWER_COMMAND, 0, "<|START_THINKING|>p<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", "
     "\"parameters\": {\"n\": 1}}\n]<|END_ACTION|>", "|R:p|C:f{\"n\":1}"},
};

/* The same however it is cut, and whether the calls' functions are known, so that their arguments come early, or not. */
START_TEST(answers)
{
    const char *text = cases[_i].text, *wanted = cases[_i].wanted;
    for (size_t k = 0; k < sizeof tools_json / sizeof *tools_json; k++) {
        json_t *tools = json_loads(tools_json[k], 0, NULL);
        for (size_t piece = 1; piece <= strlen(text); piece++) {
            const char *g = read_in(cases[_i].f, tools, cases[_i].thinks, text, piece);
            ck_assert_msg(strcmp(g, wanted) == 0, "%s (pieces of %zu)\nwanted %s\ngot    %s", text, piece, wanted, g);
        }
        json_decref(tools);
    }
}
END_TEST

/* Of functions that were offered arguments are passed on as they were written, even where they go wrong. */
static const struct { answer_format f; const char *text, *wanted; } early[] = {
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{ \"s\" : \"a  \\u00e9 \\\" \\\\\" , \"n\":\t123456789012345678901 }}</tool_call>",
     "|C:f{\"s\":\"a  \\u00e9 \\\" \\\\\",\"n\":123456789012345678901}"},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"two\nlines\"}}</tool_call>", "|C:f{\"s\":\"two\\u000alines\"}"},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"cut o", "|C:f{\"s\":\"cut o..."},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{", "|T:<tool_call>{\"name\":\"f\",\"arguments\":{"},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\": 1 </tool_call>Hm.", "|C:f{\"n\":1...|T:Hm."},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\":1}}}\n</tool_call>", "|C:f{\"n\":1}"},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\":1}} and more", "|C:f{\"n\":1}|T:and more"},
    {ANSWER_TAGS, "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\":1}", "|C:f{\"n\":1}"},
    {ANSWER_TAGS, "<tool_call>[{\"name\":\"f\",\"arguments\":{\"n\":1}}, {\"name\":\"f\"", "|C:f{\"n\":1}"},
    {ANSWER_TAGS, "<tool_call>[{\"name\":\"f\",\"arguments\":{\"n\":1}}, {oops}]</tool_call>", "|C:f{\"n\":1}|T:{oops}]</tool_call>"},
    {ANSWER_LLAMA, "{\"name\": \"f\", \"parameters\": {\"n\": 1}} It is done.", "|C:f{\"n\":1}|T:It is done."},
    {ANSWER_HARMONY, "<|channel|>commentary to=functions.f<|message|>{\"s\": \"x<|call|>", "|C:f{\"s\":\"x..."},
    {ANSWER_HARMONY, "<|channel|>commentary to=functions.f<|message|>{\"n\":1} so<|end|><|start|>assistant<|channel|>final<|message|>y", "|C:f{\"n\":1}|T:y"},
    {ANSWER_KIMI, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"n\": 1}<|tool_calls_section_end|>k",
     "|C:f{\"n\":1}|T:k"},
    {ANSWER_MISTRAL, "[TOOL_CALLS]f[ARGS]{\"n\": [1, {\"a\": \"]}\"}]}[TOOL_CALLS]f[ARGS]{\"n\"", "|C:f{\"n\":[1,{\"a\":\"]}\"}]}|C:f{\"n\"..."},
};

START_TEST(arguments_come_as_they_are_written)
{
    json_t *tools = json_loads(tools_json[0], 0, NULL);
    const char *text = early[_i].text, *wanted = early[_i].wanted;
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        const char *g = read_in(early[_i].f, tools, false, text, piece);
        ck_assert_msg(strcmp(g, wanted) == 0, "%s (pieces of %zu)\nwanted %s\ngot    %s", text, piece, wanted, g);
    }
    json_decref(tools);
}
END_TEST

START_TEST(arguments_are_not_held_back)
{
    tawny_error e;
    json_t *tools = json_loads(tools_json[0], 0, NULL);
    static const char part[] = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"abc";
    answer *a = answer_new(ANSWER_TAGS, tools, false, &events);
    got[0] = 0;
    answer_push(a, part, sizeof part - 1, &e);
    ck_assert_str_eq(got, "|C:f{\"s\":\"abc");
    answer_push(a, "d", 1, &e);
    ck_assert_str_eq(got, "|C:f{\"s\":\"abcd");
    answer_end(a, &e);
    answer_free(a);
    json_decref(tools);
}
END_TEST

START_TEST(arguments_as_objects)
{
    static const struct { const char *text, *object; } t[] = {
        {"{\"a\":1,\"b\":{\"c\":2}}", "{\"a\":1,\"b\":{\"c\":2}}"}, {"{\"a\":\"x,y\",\"b\":{\"c\":2,\"d\":[3,", "{\"a\":\"x,y\"}"},
        {"{\"a\":1,\"b\":\"cu", "{\"a\":1}"}, {"{\"a\":\"cu", "{}"}, {"{", "{}"}, {"", "{}"}, {"{\"a\":1,,", "{}"},
        {"{\"a\":100000000000000000000}", "{\"a\":1e20}"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        json_t *j = answer_arguments(t[i].text, strlen(t[i].text));
        char *text = json_dumps(j, JSON_COMPACT);
        ck_assert_str_eq(text, t[i].object);
        free(text);
        json_decref(j);
    }
}
END_TEST

START_TEST(without_tools_nothing_is_a_call)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_ptr_null(strstr(read_in(cases[i].f, NULL, cases[i].thinks, cases[i].text, 3), "|C:"));
}
END_TEST

START_TEST(formats_by_template)
{
    static const struct { const char *source; answer_format f; } t[] = {{"<|channel|>", ANSWER_HARMONY},
        {"x[TOOL_CALLS]", ANSWER_MISTRAL},
        {"<tool_call>", ANSWER_TAGS}, {"role == 'ipython'", ANSWER_LLAMA}, {"", ANSWER_PLAIN},
        {"<|im_start|>", ANSWER_PLAIN}, {"'<" B "tool" U "calls" U "begin" B ">'", ANSWER_DEEPSEEK},
        {"{% set dsml_token = '" B "DSML" B "' %}", ANSWER_DSML}, {"'<|tool_call>call:'", ANSWER_GEMMA},
        {"\"List of tools: [\" + ", ANSWER_LFM2}, {"<|tool_list_start|>", ANSWER_LFM2},
        {"respond only with <|tool_call|> followed by", ANSWER_GRANITE},
        {"<|tool_calls_section_begin|>", ANSWER_KIMI}, {"'<minimax:tool_call>'", ANSWER_MINIMAX},
        {"'<TOOLCALL>['", ANSWER_NEMOTRON}, {"<|START_ACTION|>", ANSWER_COMMAND}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        ck_assert_int_eq(answer_format_of(t[i].source, strlen(t[i].source)), t[i].f);
}
END_TEST

/* Whatever is written, and however it is cut, the same comes out. */
START_TEST(any_answer_in_pieces)
{
    static const answer_format formats[] = {ANSWER_TAGS, ANSWER_LLAMA, ANSWER_MISTRAL, ANSWER_HARMONY, ANSWER_DEEPSEEK, ANSWER_LFM2, ANSWER_GRANITE,
                                            ANSWER_KIMI, ANSWER_COMMAND};
    static const char *const parts[] = {
        "<tool_call>", "</tool_call>", "{\"name\":\"f\",\"arguments\":", "{\"name\": \"g\", \"parameters\": ", "{\"s\":\"", "\"", "\\", "{}", "{",
        "}", "[", "]", ",", ";", " ", "\n", "text", "\303\251", "\"function\":{", "{\"arguments\":{},\"name\":\"f\"}", "[TOOL_CALLS]", "f[ARGS]",
        "<|python_tag|>", "<think>", "</think>", "<|channel|>commentary to=functions.f", "<|message|>", "<|call|>", "<|end|>", CALLS, ENDCALLS, ENDCALL,
        "<" B "tool" U "call" U "begin" B ">f<" B "tool" U "sep" B ">", "```json\n", "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>", "<|tool_call_start|>",
        "<|tool_call_end|>", "<|START_ACTION|>", "<|END_ACTION|>", "<|tool_call|>", "f(s=1)", "1,\"n\":2"};
    uint64_t at = 0;
    json_t *tools = json_loads(tools_json[0], 0, NULL);
    for (int k = 0; k < 5000; k++) {
        answer_format f = formats[random_u64(7, at++) % (sizeof formats / sizeof *formats)];
        char text[2048] = "", whole[sizeof got];
        for (uint64_t i = 0, n = 1 + random_u64(7, at++) % 14; i < n; i++) strcat(text, parts[random_u64(7, at++) % (sizeof parts / sizeof *parts)]);
        strcpy(whole, read_in(f, tools, false, text, strlen(text)));
        for (size_t piece = 1; piece <= 5; piece++) {
            const char *g = read_in(f, tools, false, text, piece);
            ck_assert_msg(strcmp(g, whole) == 0, "%s (format %d, pieces of %zu)\nwhole     %s\nin pieces %s", text, (int)f, piece, whole, g);
        }
    }
    json_decref(tools);
}
END_TEST

/* What a model may write to break the reader: refused as calls, soon, on a small stack. */
static void *read_hostile(void *arg)
{
    static const struct { const char *head, *part, *tail; answer_format f; } shapes[] = {
        {"<|tool_call_start|>[f(a=", "[", "<|tool_call_end|>", ANSWER_LFM2},
        {"<|tool_call_start|>[f(a=", "{'a':", "<|tool_call_end|>", ANSWER_LFM2},
        {"<|tool_call_start|>[f(a=", "-", ")]<|tool_call_end|>", ANSWER_LFM2},
        {"<|tool_call>call:f{a:", "[", "}<tool_call|>", ANSWER_GEMMA},
        {"<|tool_call>call:f{a:", "<|\"|>", "}<tool_call|>", ANSWER_GEMMA},
        {"<tool_call>", "[", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>{\"name\":\"f\",\"arguments\":", "{\"a\":", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>[{\"name\":\"f\",\"arguments\":{}},", "{\"a\":", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>{\"name\":\"f\",\"arguments\":{}}", ",;]}", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>", "{\"name\":\"f\",", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>", "<function=", "</tool_call>", ANSWER_TAGS},
        {"<tool_call>f<arg_key>", "</arg_key>", "</tool_call>", ANSWER_TAGS},
        {"", "<tool_call>", "", ANSWER_TAGS},
        {"", "[TOOL_CALLS]", "", ANSWER_MISTRAL},
        {"", "{", "", ANSWER_LLAMA},
        {"<minimax:tool_call>", "<invoke name=\"", "</minimax:tool_call>", ANSWER_MINIMAX},
        {CALLS, "<" B "tool" U "call" U "begin" B ">", ENDCALLS, ANSWER_DEEPSEEK},
    };
    json_t *tools = json_loads(tools_json[0], 0, NULL);
    answer_events on = {NULL, ignore_text, ignore_call, ignore_arguments, ignore_end};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        tawny_error e;
        answer *a = answer_new(shapes[i].f, tools, false, &on);
        answer_push(a, shapes[i].head, strlen(shapes[i].head), &e);
        for (int k = 0; k < 20000; k++) answer_push(a, shapes[i].part, strlen(shapes[i].part), &e);
        answer_push(a, shapes[i].tail, strlen(shapes[i].tail), &e);
        answer_end(a, &e);
        answer_free(a);
    }
    json_decref(tools);
    return arg;
}

START_TEST(hostile_answers)
{
    pthread_t th;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
    ck_assert_int_eq(pthread_create(&th, &attr, read_hostile, NULL), 0);
    pthread_join(th, NULL);
    pthread_attr_destroy(&attr);
}
END_TEST

START_TEST(text_is_not_held_back)
{
    tawny_error e;
    json_t *tools = json_loads(tools_json[0], 0, NULL);
    answer *a = answer_new(ANSWER_TAGS, tools, false, &events);
    got[0] = 0;
    last = -1;
    answer_push(a, "Hello wor", 9, &e);
    ck_assert_str_eq(got, "|T:Hello wor");
    answer_push(a, "ld <tool", 8, &e);
    ck_assert_str_eq(got, "|T:Hello world");
    answer_push(a, "s", 1, &e);
    ck_assert_str_eq(got, "|T:Hello world <tools");
    ck_assert_uint_eq(answer_calls(a), 0);
    answer_free(a);
    json_decref(tools);
}
END_TEST

Suite *suite_toolcall(void);
Suite *suite_toolcall(void)
{
    Suite *s = suite_create("toolcall");
    TCase *t = tcase_create("toolcall");
    tcase_add_loop_test(t, answers, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(t, arguments_come_as_they_are_written, 0, (int)(sizeof early / sizeof *early));
    tcase_add_test(t, arguments_are_not_held_back);
    tcase_add_test(t, arguments_as_objects);
    tcase_add_test(t, without_tools_nothing_is_a_call);
    tcase_add_test(t, formats_by_template);
    tcase_add_test(t, any_answer_in_pieces);
    tcase_add_test(t, hostile_answers);
    tcase_add_test(t, text_is_not_held_back);
    suite_add_tcase(s, t);
    return s;
}
