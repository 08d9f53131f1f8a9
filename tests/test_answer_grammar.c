/* text/answer_grammar: what a model must write in each format: accepted answers are read as calls, others are not accepted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/answer_grammar.h"

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"
#define DS(x) "<" BAR "tool" LOW x BAR ">"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"strict\":true,\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"unit\":{\"type\":\"string\",\"enum\":[\"C\",\"F\"]}},"
    "\"required\":[\"city\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]";

typedef struct seen {
    char text[2048];
} seen;

static void on_text(void *user, answer_kind kind, const char *text, size_t n)
{
    seen *s = user;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "%c:%.*s|", kind == ANSWER_TEXT ? 'T' : 'R', (int)n, text);
}

static void add(seen *s, const char *text, size_t n)
{
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "%.*s", (int)n, text);
}

static void on_call(void *user, const char *name) { add(user, name, strlen(name)); }
static void on_arguments(void *user, const char *text, size_t n) { add(user, text, n); }
static void on_call_end(void *user, bool whole) { add(user, whole ? "|" : "...", whole ? 1 : 3); }

static json_t *tools_of(const char *text)
{
    json_t *tools = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(tools);
    return tools;
}

/* Whether the grammar allows the whole text. */
static bool allows(const buf *grammar, const char *text)
{
    tawny_error err;
    gbnf *g;
    gbnf_matcher *m;
    gbnf_state s;
    ck_assert_msg(gbnf_parse(grammar->data, grammar->size, NULL, &g, &err) == TAWNY_OK, "%s\n%s", err.message, grammar->data);
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, &err), TAWNY_OK);
    ck_assert_int_eq(gbnf_bytes(m, gbnf_start(m), text, strlen(text), &s, &err), TAWNY_OK);
    bool ok = s != GBNF_DEAD && gbnf_complete(m, s);
    gbnf_matcher_free(m);
    gbnf_free(g);
    return ok;
}

#define CITY "{\"city\":\"Bern\"}"
#define TWO "{\"city\":\"Bern\",\"days\":3}"

/* source: what answer_style_of looks for in a template. wanted: what the answer is read as. */
static const struct {
    const char *source, *answer, *wanted;
} calls[] = {
    {"<tool_call>", "<tool_call>\n{\"name\": \"weather\", \"arguments\": " CITY "}\n</tool_call>", "weather" CITY "|"},
    {"<tool_call>", "<tool_call>\n{\"name\": \"weather\", \"arguments\": " TWO "}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>",
     "weather" TWO "|now{}|"},
    {"<tool_call><think></think>", "<think>So.</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", "R:So.|now{}|"},
    {"<tool_call><function=", "<tool_call>\n<function=weather>\n<parameter=city>\nBern < Basel\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
     "weather{\"city\":\"Bern < Basel\",\"days\":3}|"},
    {"<tool_call><function=", "<tool_call>\n<function=weather>\n<parameter=city>\n</par\n</parameter>\n<parameter=unit>\nF\n</parameter>\n</function>\n</tool_call>",
     "weather{\"city\":\"</par\",\"unit\":\"F\"}|"},
    {"<tool_call><function=", "<tool_call>\n<function=now>\n</function>\n</tool_call>", "now{}|"},
    {"<tool_call><arg_key>", "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Bern</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
     "weather" TWO "|"},
    {"ipython", "{\"name\": \"weather\", \"parameters\": " CITY "}", "weather" CITY "|"},
    {"[TOOL_CALLS]", "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": " CITY "}, {\"name\": \"now\", \"arguments\": {}}]", "weather" CITY "|now{}|"},
    {"[TOOL_CALLS][ARGS]", "[TOOL_CALLS]weather[ARGS]" CITY "[TOOL_CALLS]now[ARGS]{}", "weather" CITY "|now{}|"},
    {"<|channel|>", "<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>" CITY "<|call|>",
     "R:So.|weather" CITY "|"},
    {DS("calls" LOW "begin"), DS("calls" LOW "begin") DS("call" LOW "begin") "weather" DS("sep") CITY DS("call" LOW "end") DS("calls" LOW "end"),
     "weather" CITY "|"},
    {DS("calls" LOW "begin") "```json",
     DS("calls" LOW "begin") DS("call" LOW "begin") "function" DS("sep") "weather\n```json\n" CITY "\n```" DS("call" LOW "end") DS("calls" LOW "end"),
     "weather" CITY "|"},
    {BAR "DSML" BAR "function_calls",
     "<" BAR "DSML" BAR "function_calls>\n<" BAR "DSML" BAR "invoke name=\"weather\">\n<" BAR "DSML" BAR "parameter name=\"city\" string=\"true\">7</" BAR
     "DSML" BAR "parameter>\n<" BAR "DSML" BAR "parameter name=\"days\" string=\"false\">3</" BAR "DSML" BAR "parameter>\n</" BAR "DSML" BAR
     "invoke>\n</" BAR "DSML" BAR "function_calls>",
     "weather{\"city\":\"7\",\"days\":3}|"},
    {"<|tool_call>", "<|tool_call>call:weather{city:<|\"|>Bern<|\"|>,days:3}<tool_call|>", "weather" TWO "|"},
    {"<|tool_call>", "<|tool_call>call:weather{city:<|\"|>a<b<|\"|>,unit:<|\"|>C<|\"|>}<tool_call|>", "weather{\"city\":\"a<b\",\"unit\":\"C\"}|"},
    {"<start_function_call>", "<start_function_call>call:weather{city:<escape>Bern<escape>}<end_function_call>", "weather" CITY "|"},
    {"<|tool_call_start|>", "<|tool_call_start|>[{\"name\": \"weather\", \"arguments\": " CITY "}]<|tool_call_end|>", "weather" CITY "|"},
    {"<|tool_call|>", "<|tool_call|>[{\"name\": \"weather\", \"arguments\": " CITY "}]", "weather" CITY "|"},
    {"<|tool_calls_section_begin|>",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>" CITY "<|tool_call_end|><|tool_calls_section_end|>",
     "weather" CITY "|"},
    {"minimax:tool_call",
     "<minimax:tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">Bern</parameter>\n</invoke>\n</minimax:tool_call>", "weather" CITY "|"},
    {"<TOOLCALL>", "<TOOLCALL>[{\"name\": \"weather\", \"arguments\": " CITY "}]</TOOLCALL>", "weather" CITY "|"},
    {"<|START_ACTION|>", "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": " CITY "}\n]<|END_ACTION|>",
     "weather" CITY "|"},
};

static answer_frame frame_of(const char *source)
{
    return (answer_frame){.style = answer_style_of(source, strlen(source)), .may_think = true};
}

START_TEST(every_format)
{
    tawny_error err;
    json_t *tools = tools_of(tools_text);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        answer_frame f = frame_of(calls[i].source);
        buf g = {0};
        seen s = {""};
        const answer_events on = {&s, on_text, on_call, on_arguments, on_call_end};
        ck_assert_msg(answer_grammar_calls(&f, ANSWER_MUST_CALL, tools, NULL, true, NULL, &g, &err) == TAWNY_OK, "%s: %s", calls[i].source, err.message);
        ck_assert_msg(allows(&g, calls[i].answer), "%s\n%s", calls[i].answer, g.data);
        ck_assert(!allows(&g, "Hello"));
        ck_assert(!allows(&g, ""));
        answer *a = answer_new(f.style.format, tools, false, &on);
        ck_assert_int_eq(answer_push(a, calls[i].answer, strlen(calls[i].answer), &err), TAWNY_OK);
        ck_assert_int_eq(answer_end(a, &err), TAWNY_OK);
        ck_assert_msg(strcmp(s.text, calls[i].wanted) == 0, "%s\n%s", calls[i].answer, s.text);
        answer_free(a);
        buf_free(&g);
    }
    json_decref(tools);
}
END_TEST

static const char two_cities[] = "<tool_call>\n{\"name\": \"weather\", \"arguments\": " CITY "}\n</tool_call>\n"
                                 "<tool_call>\n{\"name\": \"weather\", \"arguments\": " CITY "}\n</tool_call>";

START_TEST(arguments_are_valid)
{
    static const char *const bad[] = {"{}", "{\"city\":7}", "{\"city\":\"Bern\",\"days\":\"3\"}", "{\"city\":\"Bern\",\"unit\":\"K\"}",
                                      "{\"city\":\"Bern\",\"more\":1}"};
    tawny_error err;
    json_t *tools = tools_of(tools_text);
    answer_frame f = frame_of("<tool_call>");
    buf g = {0}, one = {0}, may = {0};
    char text[300];
    ck_assert_int_eq(answer_grammar_calls(&f, ANSWER_MUST_CALL, tools, NULL, true, NULL, &g, &err), TAWNY_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "<tool_call>\n{\"name\": \"weather\", \"arguments\": %s}\n</tool_call>", bad[i]);
        ck_assert_msg(!allows(&g, text), "%s", text);
    }
    ck_assert(!allows(&g, "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>"));
    ck_assert(allows(&g, two_cities));
    ck_assert_int_eq(answer_grammar_calls(&f, ANSWER_MUST_CALL, tools, "weather", false, NULL, &one, &err), TAWNY_OK);
    ck_assert(!allows(&one, two_cities));
    ck_assert(!allows(&one, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"));
    ck_assert_int_eq(answer_grammar_calls(&f, ANSWER_MAY_CALL, tools, NULL, true, NULL, &may, &err), TAWNY_OK);
    ck_assert(allows(&may, "Hello < there <tool_cal"));
    ck_assert(allows(&may, ""));
    snprintf(text, sizeof text, "Wait. %s", two_cities);
    ck_assert(allows(&may, text));
    ck_assert(!allows(&may, "Wait. <tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>"));
    ck_assert(allows(&may, "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\":[1]}}\n</tool_call>")); /* is not strict */
    buf_free(&g);
    buf_free(&one);
    buf_free(&may);
    json_decref(tools);
}
END_TEST

/* Harmony has a channel for each: an answer, or what is said before a call, and calls. */
START_TEST(calls_or_an_answer_in_channels)
{
#define CALL(name, arguments) "<|channel|>commentary to=functions." name " <|constrain|>json<|message|>" arguments "<|call|>"
#define NEXT "<|end|><|start|>assistant"
    static const struct {
        const char *answer;
        bool ok;
    } cases[] = {
        {"<|channel|>final<|message|>It rains <here>.", true},
        {"<|channel|>analysis<|message|>Hm." NEXT "<|channel|>final<|message|>", true},
        {"<|channel|>analysis<|message|>Hm." NEXT CALL("weather", CITY), true},
        {"<|channel|>commentary<|message|>I will look." NEXT CALL("weather", TWO), true},
        {CALL("now", "{\"a\":[1]}"), true}, /* is not strict */
        {CALL("weather", "{}"), false},
        {CALL("weather", CITY) CALL("weather", CITY), false},
        {CALL("other", "{}"), false},
        {"It rains.", false},
    };
    tawny_error err;
    json_t *tools = tools_of(tools_text);
    answer_frame f = frame_of("<|channel|>");
    buf g = {0};
    ck_assert_msg(answer_grammar_calls(&f, ANSWER_MAY_CALL, tools, NULL, true, NULL, &g, &err) == TAWNY_OK, "%s", err.message);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(allows(&g, cases[i].answer) == cases[i].ok, "%s\n%s", cases[i].answer, g.data);
    buf_free(&g);
    json_decref(tools);
}
END_TEST

START_TEST(content_after_a_thought)
{
    static const struct {
        const char *source, *answer;
        bool thinks, ok;
    } cases[] = {
        {"<think></think>", "7", false, true},
        {"<think></think>", "<think>hm </thin</think>\n\n7", false, true},
        {"<think></think>", "<think>hm 7", false, false},
        {"<think></think>", "hm</think>7", true, true},
        {"<think></think>", "7", true, false},
        {"", "7", false, true},
        {"", "<think>hm</think>7", false, false},
        {"<|channel|>", "<|channel|>final<|message|>7", false, true},
        {"<|channel|>", "<|channel|>analysis<|message|>a<b<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>7", false, true},
        {"<|channel|>", "7", false, false},
    };
    tawny_error err;
    const char digit[] = "root ::= digit # one\ndigit ::= [0-9\\]] | \"\\\"\" {2,3}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        answer_frame f = frame_of(cases[i].source);
        buf g = {0};
        f.thinks = cases[i].thinks;
        ck_assert_int_eq(answer_grammar_content(&f, digit, sizeof digit - 1, &g, &err), TAWNY_OK);
        ck_assert_msg(allows(&g, cases[i].answer) == cases[i].ok, "%s: %s\n%s", cases[i].source, cases[i].answer, g.data);
        buf_free(&g);
    }
}
END_TEST

START_TEST(refusals_name_the_place)
{
    static const struct {
        const char *source, *tools, *place;
    } bad[] = {
        {"<tool_call>", "[1]", "/0"},
        {"<tool_call>", "[{\"type\":\"function\"}]", "/0"},
        {"<tool_call>", "[{\"type\":\"web\",\"function\":{\"name\":\"f\"}}]", "/0/type"},
        {"<tool_call>", "[{\"function\":{\"name\":\"a b\"}}]", "/0/function/name"},
        {"<tool_call>", "[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"f\"}}]", "/1/function/name"},
        {"<tool_call>", "[{\"function\":{\"name\":\"f\",\"parameters\":[]}}]", "/0/function/parameters"},
        {"<tool_call>", "[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":{\"type\":\"strange\"}}}}}]",
         "/0/function/parameters"},
        {"<tool_call><function=", "[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":{\"type\":\"string\",\"pattern\":\"a\"}}}}}]",
         "/0/function/parameters/properties/x/pattern"},
        {"<tool_call><function=", "[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":{\"anyOf\":[{}]}}}}}]",
         "/0/function/parameters/properties/x"},
        {"<tool_call><function=", "[{\"function\":{\"name\":\"f\",\"parameters\":{\"anyOf\":[{}]}}}]", "/0/function/parameters/anyOf"},
        {"", "[{\"function\":{\"name\":\"f\"}}]", "template"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tawny_error err = {0};
        json_t *tools = tools_of(bad[i].tools);
        answer_frame f = frame_of(bad[i].source);
        buf g = {0};
        ck_assert_msg(answer_grammar_calls(&f, ANSWER_MUST_CALL, tools, NULL, true, NULL, &g, &err) != TAWNY_OK, "%s", bad[i].tools);
        ck_assert_msg(strstr(err.message, bad[i].place), "%s: %s", bad[i].tools, err.message);
        buf_free(&g);
        json_decref(tools);
    }
}
END_TEST

Suite *suite_answer_grammar(void);
Suite *suite_answer_grammar(void)
{
    Suite *s = suite_create("answer_grammar");
    TCase *t = tcase_create("grammars");
    tcase_add_test(t, every_format);
    tcase_add_test(t, arguments_are_valid);
    tcase_add_test(t, calls_or_an_answer_in_channels);
    tcase_add_test(t, content_after_a_thought);
    tcase_add_test(t, refusals_name_the_place);
    suite_add_tcase(s, t);
    return s;
}
