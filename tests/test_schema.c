/* text/schema: the texts that a schema's grammar accepts, what is refused, malformed schemas. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/gbnf.h"
#include "text/schema.h"

static gbnf_matcher *matcher_of(const char *schema, gbnf **g)
{
    buf text = {0};
    gbnf_matcher *m;
    tawny_error err;
    if (schema_to_gbnf(schema, strlen(schema), &text, &err)) ck_abort_msg("%s\nof: %s", err.message, schema);
    if (gbnf_parse(text.data, text.size, NULL, g, &err)) ck_abort_msg("%s\nin:\n%s", err.message, text.data);
    ck_assert_int_eq(gbnf_matcher_new(*g, NULL, &m, &err), TAWNY_OK);
    buf_free(&text);
    return m;
}

static bool matches(gbnf_matcher *m, const char *s)
{
    gbnf_state to;
    if (gbnf_bytes(m, gbnf_start(m), s, strlen(s), &to, NULL)) ck_abort_msg("a limit");
    return to != GBNF_DEAD && gbnf_complete(m, to);
}

/* texts: '+' or '-', then a text that matches or does not */
static void check(const char *schema, const char *const *texts)
{
    gbnf *g;
    gbnf_matcher *m = matcher_of(schema, &g);
    for (; *texts; texts++)
        if (matches(m, *texts + 1) != (**texts == '+')) ck_abort_msg("%s\n%s", *texts, schema);
    gbnf_matcher_free(m);
    gbnf_free(g);
}
#define CHECK(schema, ...) check(schema, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(types)
{
    CHECK("true", "+{\"a\": [1, \"x\", null]}", "+-1.5e+3", "-{a:1}", "-01", "+\"\\u00e9\\n\"", "-\"\n\"");
    CHECK("{}", "+[]", "+{}");
    CHECK("{\"type\": \"string\"}", "+\"a b\"", "-1");
    CHECK("{\"type\": [\"integer\", \"null\"]}", "+12", "+null", "+-3", "-1.5", "-\"\"");
    CHECK("{\"type\": \"boolean\"}", "+true", "-TRUE");
    CHECK("{\"enum\": [\"a\\\"b\", 5, null, {\"x\": [1]}]}", "+\"a\\\"b\"", "+5", "+{\"x\":[1]}", "-6");
    CHECK("{\"const\": \"caf\xc3\xa9\\\\\"}", "+\"caf\xc3\xa9\\\\\"", "-\"cafe\"");
    CHECK("{\"anyOf\": [{\"type\": \"null\"}, {\"const\": 1}]}", "+null", "+1", "-2");
    CHECK("{\"type\": \"number\", \"minimum\": 0}", "+0.5", "--0.5");
    CHECK("{\"type\": \"number\", \"maximum\": 7, \"multipleOf\": 0.5}", "+6.5", "+-2", "-6.25", "-7.5", "-9");
}
END_TEST

START_TEST(strings)
{
    CHECK("{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}", "-\"a\"", "+\"\\n\xc3\xa9\"",
          "-\"abcd\"");
    CHECK("{\"type\": \"string\", \"format\": \"date\"}", "+\"2026-02-28\"", "-\"2026-13-01\"");
    CHECK("{\"format\": \"date-time\"}", "+\"2026-02-28T23:59:59.5Z\"", "-\"2026-02-28\"");
    CHECK("{\"format\": \"email\"}", "+\"joe.b@mail.example.com\"", "+\"\\\"a b\\\"@[127.0.0.1]\"", "-\"a@\"", "-\"a..b@c\"", "-\"a@-b\"");
    CHECK("{\"format\": \"uuid\"}", "+\"01234567-89ab-cdef-0123-456789abcdef\"", "-\"x\"");
    CHECK("{\"pattern\": \"^[A-Z]{2}-\\\\d+(a|b)?$\"}", "+\"AB-12b\"", "+\"AB-1\"", "-\"AB-\"", "-\"AB-1c\"");
    CHECK("{\"pattern\": \"x.y\"}", "+\"aaxbyb\"", "-\"xy\"");
    CHECK("{\"pattern\": \"^[^a\\\\d\\\"]*\\\\.$\"}", "+\"b\\\\.\"", "-\"a.\"", "-\"\\\".\"", "+\".\"");
    CHECK("{\"pattern\": \"^\\\"[\\\\]\\\\w]+?\xc3\xa9$\"}", "+\"\\\"]z_\xc3\xa9\"", "-\"]\xc3\xa9\"");
    CHECK("{\"pattern\": \"^a|b$\"}", "+\"ax\"", "+\"xb\"", "-\"xa\"");
    CHECK("{\"pattern\": \"^(?:a|b)$\"}", "+\"a\"", "-\"ab\"");
}
END_TEST

START_TEST(integers_between_bounds)
{
    static const int64_t bounds[][2] = {{0, 9},    {5, 5},      {3, 27},     {-7, 12},       {-250, -13}, {99, 1001},
                                        {0, 0},    {-1, 0},     {123, 4567}, {INT64_MIN, 5}, {-3, INT64_MAX},
                                        {17, INT64_MAX}, {INT64_MIN, -20}};
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++) {
        int64_t lo = bounds[k][0], hi = bounds[k][1];
        buf b = {0};
        gbnf *g;
        buf_str(&b, "{\"type\": \"integer\"");
        if (lo != INT64_MIN) buf_printf(&b, ", \"minimum\": %" PRId64, lo);
        if (hi != INT64_MAX) buf_printf(&b, ", \"maximum\": %" PRId64, hi);
        buf_str(&b, "}");
        gbnf_matcher *m = matcher_of(b.data, &g);
        for (int i = -5000; i <= 5000; i++) {
            char s[16];
            snprintf(s, sizeof s, "%d", i);
            if (matches(m, s) != (i >= lo && i <= hi))
                ck_abort_msg("%d in %" PRId64 "..%" PRId64 ": %s", i, lo, hi, b.data);
        }
        ck_assert(!matches(m, "007") && !matches(m, "-0") && !matches(m, ""));
        gbnf_matcher_free(m);
        gbnf_free(g);
        buf_free(&b);
    }
    CHECK("{\"type\": \"integer\", \"exclusiveMinimum\": 2, \"maximum\": 4.5}", "-2", "+3", "+4", "-5");
}
END_TEST

START_TEST(objects)
{
    CHECK("{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {\"type\": \"null\"}, "
          "\"c\": {\"type\": \"boolean\"}}, \"required\": [\"b\"], \"additionalProperties\": false}",
          "+{\"b\":null}", "+{\"a\": 1, \"b\": null,\n  \"c\": true}", "+{\"b\":null,\"c\":true}", "-{}", "-{\"a\":1}",
          "-{\"b\":null,}", "-{,\"b\":null}", "-{\"a\":1\"b\":null}", "-{\"b\":null,\"d\":1}", "-{\"c\":true,\"b\":null}");
    CHECK("{\"properties\": {\"a\": {\"const\": 1}}}", "+{}", "+3", "+{\"a\": 1}", "+{\"b\":1,\"ab\":[]}", "-{\"a\":2}",
          "-{\"\\u0061\":2}");
    CHECK("{\"type\": \"object\"}", "+{}", "+{\"x\": {\"y\": 1}, \"z\": []}", "-[]");
    CHECK("{\"type\": \"object\", \"additionalProperties\": {\"type\": \"integer\"}}", "+{\"q\": 1,\"r\": 2}",
          "-{\"q\": true}");
    CHECK("{\"type\": \"object\", \"additionalProperties\": false}", "+{}", "-{\"a\":1}");
    CHECK("{\"allOf\": [{\"properties\": {\"a\": {\"const\": 1}}, \"required\": [\"a\"]}, {\"$ref\": \"#/$defs/b\"}], "
          "\"$defs\": {\"b\": {\"type\": \"object\", \"properties\": {\"b\": {\"const\": 2}}, \"required\": [\"b\"]}}}",
          "+{\"a\":1,\"b\":2}", "-{\"a\":1}", "-{\"b\":2}", "-{\"a\":1,\"b\":3}");
    CHECK("{\"type\": \"object\", \"patternProperties\": {\"^x\": {\"type\": \"null\"}}, \"propertyNames\": "
          "{\"maxLength\": 2}, \"maxProperties\": 2, \"additionalProperties\": {\"const\": 0}}",
          "+{\"x\":null}", "+{\"yx\":0}", "-{\"x\":0}", "-{\"yxx\":0}", "-{\"a\":0,\"b\":0,\"c\":0}");
    CHECK("{\"type\": \"object\", \"required\": [\"k\"], \"properties\": {\"k\": {}}, \"if\": {\"properties\": {\"k\": "
          "{\"const\": 1}}}, \"then\": {\"required\": [\"t\"]}, \"else\": {\"not\": {\"required\": [\"t\"]}}}",
          "+{\"k\":1,\"t\":0}", "-{\"k\":1}", "+{\"k\":2}", "-{\"k\":2,\"t\":0}");
    CHECK("{\"oneOf\": [{\"type\": \"integer\"}, {\"minimum\": 2}]}", "+1", "+2.5", "-3", "+\"x\"", "-1.5");
}
END_TEST

START_TEST(arrays_and_references)
{
    CHECK("{\"type\": \"array\", \"items\": {\"type\": \"integer\"}}", "+[]", "+[1, 2,3]", "-[1,]", "-[\"a\"]");
    CHECK("{\"type\": \"array\", \"items\": {\"const\": 1}, \"minItems\": 2, \"maxItems\": 3}", "-[1]", "+[1,1]",
          "-[1,1,1,1]");
    CHECK("{\"type\": \"array\", \"items\": {\"const\": 1}, \"maxItems\": 0}", "+[]", "-[1]");
    CHECK("{\"prefixItems\": [{\"const\": 1}, {\"const\": \"x\"}], \"items\": false}", "+[1, \"x\"]", "+[1]", "-[2]",
          "-[1,\"x\",2]");
    CHECK("{\"prefixItems\": [{\"const\": 1}], \"items\": {\"const\": 2}, \"minItems\": 2}", "+[1,2,2]", "-[1]");
    CHECK("{\"type\": \"array\", \"items\": {\"enum\": [1, 2]}, \"uniqueItems\": true}", "+[2,1]", "-[1,1]", "+[]");
    CHECK("{\"contains\": {\"const\": 5}, \"maxContains\": 1, \"items\": {\"type\": \"integer\"}}", "+[1,5,2]", "-[1]", "-[5,5]",
          "-[5,\"\"]");
    CHECK("{\"$ref\": \"#/$defs/a~1b\", \"$defs\": {\"a/b\": {\"properties\": {\"next\": {\"anyOf\": "
          "[{\"$ref\": \"#/$defs/a~1b\"}, {\"type\": \"null\"}]}}, \"type\": \"object\", \"required\": [\"next\"]}}}",
          "+{\"next\": {\"next\":null}}", "-{\"next\": {}}");
    CHECK("{\"anyOf\": [{\"const\": 0}, {\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}]}", "+[[0],0,[]]", "-[1]");
}
END_TEST

/* Beyond what a grammar's {m,n} counts. */
START_TEST(long_strings)
{
    static char text[8000];
    for (int n = 2498; n < 2502; n++) {
        gbnf *g;
        gbnf_matcher *m = matcher_of("{\"type\": \"string\", \"minLength\": 1200, \"maxLength\": 2500}", &g);
        memset(text, 'x', sizeof text);
        text[0] = text[n + 1] = '"';
        text[n + 2] = 0;
        ck_assert_int_eq(matches(m, text), n <= 2500);
        text[1200] = '"', text[1201] = 0; /* 1199 */
        ck_assert(!matches(m, text));
        gbnf_matcher_free(m);
        gbnf_free(g);
    }
}
END_TEST

START_TEST(prefixes)
{
    buf b = {0};
    gbnf *g;
    gbnf_matcher *m;
    buf_str(&b, "root ::= \"<\" a \"|\" b \">\"\n");
    ck_assert_int_eq(schema_rules("{\"type\": \"integer\"}", 19, "a", 0, &b, NULL), TAWNY_OK);
    const char *open = "{\"type\": \"object\", \"properties\": {\"x\": {\"type\": \"null\"}}}";
    ck_assert_int_eq(schema_rules(open, strlen(open), "b", SCHEMA_CLOSED, &b, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_parse(b.data, b.size, NULL, &g, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, NULL), TAWNY_OK);
    ck_assert(matches(m, "<12|{\"x\":null}>") && !matches(m, "<12|{\"y\":null}>"));
    gbnf_matcher_free(m);
    gbnf_free(g);
    buf_free(&b);
}
END_TEST

START_TEST(refusals)
{
    static const char *const bad[][2] = {
        {"{\"properties\": {\"a/b\": {\"format\": \"hostname\"}}}", "schema: /properties/a~1b/format: "},
        {"{\"pattern\": \"^(?=a)b$\"}", "schema: /pattern: looking ahead"},
        {"{\"type\": \"string\", \"pattern\": \"(a{1000}){1000}\"}", "schema: /pattern: its automaton is too large"},
        {"{\"type\": \"string\", \"pattern\": \"a.{900000}\"}", "schema: /pattern: its automaton is too large"},
        {"{\"type\": \"string\", \"pattern\": \"x[ab]*a[ab]{20}y\"}", "schema: /pattern: its automaton is too large"},
        {"{\"items\": {\"type\": \"array\", \"uniqueItems\": true}}", "schema: /items/uniqueItems: "},
        {"{\"$ref\": \"http://example.com/x\"}", "schema: /$ref: leads out of this schema"},
        {"{\"minProperties\": 2}", "schema: /minProperties: "},
        {"{\"not\": {\"propertyNames\": {\"maxLength\": 2}}}", "schema: /not/propertyNames: "},
        {"{\"type\": \"string\", \"maxLength\": 1000000}", "schema: /maxLength: "},
        {"{\"$dynamicRef\": \"#x\"}", "schema: /$dynamicRef: "},
        {"{\"$schema\": \"http://example.com\"}", "schema: /$schema: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf out = {0};
        tawny_error err = {0};
        tawny_status st = schema_rules(bad[i][0], strlen(bad[i][0]), "root", 0, &out, &err);
        ck_assert_msg(st == TAWNY_E_UNSUPPORTED || st == TAWNY_E_LIMIT, "%s: %d", bad[i][0], st);
        ck_assert_msg(strncmp(err.message, bad[i][1], strlen(bad[i][1])) == 0, "%s: %s", bad[i][0], err.message);
        buf_free(&out);
    }
}
END_TEST

START_TEST(malformed_schemas)
{
    static const char *const bad[][2] = {
        {"{", "schema: line 1, column 1: "},
        {"false", "schema: /: nothing is allowed here"},
        {"3", "schema: /: a schema is an object or a boolean"},
        {"{\"type\": \"strin\"}", "schema: /type: no name of a type"},
        {"{\"type\": 3}", "schema: /type: no name of a type"},
        {"{\"properties\": {\"a\": {\"$ref\": \"#/b\"}}}", "schema: /properties/a/$ref: leads nowhere"},
        {"{\"anyOf\": 3}", "schema: /anyOf: no list of schemas"},
        {"{\"enum\": []}", "schema: /enum: no list"},
        {"{\"type\": \"string\", \"minLength\": -1}", "schema: /minLength: no natural number"},
        {"{\"type\": \"string\", \"pattern\": \"a)\"}", "schema: /pattern: a ) without its ("},
        {"{\"items\": 7}", "schema: /items: a schema is an object or a boolean"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf out = {0};
        tawny_error err = {0};
        ck_assert_int_eq(schema_to_gbnf(bad[i][0], strlen(bad[i][0]), &out, &err), TAWNY_E_FORMAT);
        ck_assert_msg(strncmp(err.message, bad[i][1], strlen(bad[i][1])) == 0, "%s: %s", bad[i][0], err.message);
        buf_free(&out);
    }
    /* nested a thousand deep */
    buf deep = {0}, out = {0};
    for (int i = 0; i < 1000; i++) buf_str(&deep, "{\"items\":");
    buf_str(&deep, "{}");
    for (int i = 0; i < 1000; i++) buf_str(&deep, "}");
    tawny_error err;
    ck_assert_int_eq(schema_to_gbnf(deep.data, deep.size, &out, &err), TAWNY_E_LIMIT);
    buf_free(&deep);
    buf_free(&out);
}
END_TEST

Suite *suite_schema(void)
{
    Suite *s = suite_create("schema");
    TCase *t = tcase_create("schema");
    tcase_add_test(t, types);
    tcase_add_test(t, strings);
    tcase_add_test(t, integers_between_bounds);
    tcase_add_test(t, objects);
    tcase_add_test(t, arrays_and_references);
    tcase_add_test(t, long_strings);
    tcase_add_test(t, prefixes);
    tcase_add_test(t, refusals);
    tcase_add_test(t, malformed_schemas);
    suite_add_tcase(s, t);
    return s;
}
