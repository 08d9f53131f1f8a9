/* Suites that are kept outside: text/schema against JSON-Schema-Test-Suite, which TAWNY_JSON_SCHEMA_SUITE names: a
 * valid instance has a text that the grammar accepts, whatever the order of its properties; no text of an invalid one
 * is accepted; or the schema is refused. And the grammar of any JSON, and the server's reading of JSON, against
 * JSONTestSuite, which TAWNY_JSON_TEST_SUITE names. */
#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "server/json_limits.h"
#include "text/gbnf.h"
#include "text/schema.h"

enum { MOST = 800 };

/* All writings of a value, as strings: properties in any order. A whole number is written without a fraction. */
static json_t *writings(json_t *v, const char *comma, const char *colon);

static void joined(json_t *out, json_t *parts, size_t at, const char *so_far, const char *comma, const char *end)
{
    size_t i;
    json_t *s;
    if (json_array_size(out) >= MOST) return;
    if (at == json_array_size(parts)) {
        json_array_append_new(out, json_sprintf("%s%s", so_far, end));
        return;
    }
    json_array_foreach(json_array_get(parts, at), i, s) {
        json_t *next = json_sprintf("%s%s%s", so_far, at ? comma : "", json_string_value(s));
        joined(out, parts, at + 1, json_string_value(next), comma, end);
        json_decref(next);
    }
}

static void permuted(json_t *out, json_t *parts, size_t at, const char *comma)
{
    if (at + 1 >= json_array_size(parts)) return joined(out, parts, 0, "{", comma, "}");
    for (size_t i = at; i < json_array_size(parts) && json_array_size(out) < MOST; i++) {
        json_t *a = json_incref(json_array_get(parts, at)), *b = json_incref(json_array_get(parts, i));
        json_array_set(parts, at, b);
        json_array_set(parts, i, a);
        permuted(out, parts, at + 1, comma);
        json_array_set(parts, at, a);
        json_array_set(parts, i, b);
        json_decref(a);
        json_decref(b);
    }
}

static json_t *scalar(json_t *v)
{
    char number[400];
    double d = json_is_real(v) ? json_real_value(v) : 0.5;
    if (d - d == 0 && d == __builtin_floor(d)) {
        snprintf(number, sizeof number, "%.0f", d);
        return json_pack("[s]", number);
    }
    char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_t *out = json_pack("[s]", s);
    free(s);
    return out;
}

static json_t *writings(json_t *v, const char *comma, const char *colon)
{
    json_t *parts = json_array(), *out = json_array(), *w;
    const char *key;
    size_t i;
    if (!json_is_array(v) && !json_is_object(v)) {
        json_decref(parts);
        json_decref(out);
        return scalar(v);
    }
    json_array_foreach(v, i, w) json_array_append_new(parts, writings(w, comma, colon));
    json_object_foreach(v, key, w) {
        json_t *name = json_string(key), *some = writings(w, comma, colon), *pairs = json_array(), *s;
        char *text = json_dumps(name, JSON_ENCODE_ANY);
        json_array_foreach(some, i, s)
            json_array_append_new(pairs, json_sprintf("%s%s%s", text, colon, json_string_value(s)));
        json_array_append_new(parts, pairs);
        free(text);
        json_decref(name);
        json_decref(some);
    }
    if (json_is_array(v)) joined(out, parts, 0, "[", comma, "]");
    else permuted(out, parts, 0, comma);
    json_decref(parts);
    return out;
}

static bool accepts(gbnf_matcher *m, json_t *v, const char *comma, const char *colon)
{
    json_t *all = writings(v, comma, colon), *s;
    bool any = false;
    size_t i;
    json_array_foreach(all, i, s) {
        gbnf_state to;
        tawny_status st = gbnf_bytes(m, gbnf_start(m), json_string_value(s), json_string_length(s), &to, NULL);
        any |= st == TAWNY_OK && to != GBNF_DEAD && gbnf_complete(m, to);
    }
    json_decref(all);
    return any;
}

static int enforced, refused, wrong;

static void run_group(const char *file, json_t *group, bool draft7)
{
    json_t *schema = json_object_get(group, "schema"), *test;
    const char *name = json_string_value(json_object_get(group, "description"));
    buf text = {0};
    gbnf *g = NULL;
    gbnf_matcher *m = NULL;
    tawny_error err;
    size_t i;
    if (draft7 && json_is_object(schema) && !json_object_get(schema, "$schema"))
        json_object_set_new(schema, "$schema", json_string("http://json-schema.org/draft-07/schema#"));
    char *s = json_dumps(schema, JSON_ENCODE_ANY);
    tawny_status st = schema_rules(s, strlen(s), "root", 0, &text, &err);
    if (st == TAWNY_OK) st = gbnf_parse(text.data, text.size, NULL, &g, &err);
    if (st && text.size && !strstr(err.message, "no text") && strstr(err.message, "grammar"))
        ck_abort_msg("%s: %s: %s\n%s", file, name, err.message, text.data);
    if (st == TAWNY_OK) ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, &err), TAWNY_OK);
    if (st) refused++;
    else enforced++;
    if (st && getenv("TAWNY_JSON_SCHEMA_REFUSED")) printf("%s: %s: %s\n", file, name, err.message);
    json_array_foreach(json_object_get(group, "tests"), i, test) {
        json_t *data = json_object_get(test, "data");
        bool valid = json_is_true(json_object_get(test, "valid"));
        if (st) continue;
        bool tight = accepts(m, data, ",", ":"), wide = accepts(m, data, ", ", ": ");
        if (tight == valid && wide == valid) continue;
        char *d = json_dumps(data, JSON_ENCODE_ANY);
        printf("%s: %s: %s: %s %s\n", file, name, valid ? "forbidden" : "accepted", d,
               json_string_value(json_object_get(test, "description")));
        free(d);
        wrong++;
    }
    gbnf_matcher_free(m);
    gbnf_free(g);
    buf_free(&text);
    free(s);
}

static void run_folder(const char *folder, const char *under, bool draft7)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/%s", folder, under);
    DIR *d = opendir(path);
    if (!d) ck_abort_msg("%s is no folder", path);
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name), i;
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0) continue;
        if (!strstr(under, "format") && strcmp(e->d_name, "format.json") == 0)
            continue; /* there they say nothing; here they do */
        snprintf(path, sizeof path, "%s/tests/%s/%s", folder, under, e->d_name);
        json_error_t err;
        json_t *groups = json_load_file(path, JSON_ALLOW_NUL, &err), *group;
        if (!groups) { /* numbers beyond 64 bits */
            printf("%s/%s: not read: %s\n", under, e->d_name, err.text);
            continue;
        }
        json_array_foreach(groups, i, group) run_group(e->d_name, group, draft7);
        json_decref(groups);
    }
    closedir(d);
}

START_TEST(suite_of_the_specification)
{
    const char *folder = getenv("TAWNY_JSON_SCHEMA_SUITE");
    if (!folder) {
        printf("schema_suite: TAWNY_JSON_SCHEMA_SUITE names no checkout of JSON-Schema-Test-Suite: skipped\n");
        return;
    }
    run_folder(folder, "draft2020-12", false);
    run_folder(folder, "draft2020-12/optional", false);
    run_folder(folder, "draft2020-12/optional/format", false);
    run_folder(folder, "draft7", true);
    run_folder(folder, "draft7/optional", true);
    run_folder(folder, "draft7/optional/format", true);
    printf("schema_suite: %d schemas enforced, %d refused, %d instances wrong\n", enforced, refused, wrong);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* y_ must be accepted, n_ refused, i_ may be either. The parser has one limit of jansson's: no name holds a NUL. */
START_TEST(suite_of_json_texts)
{
    const char *folder = getenv("TAWNY_JSON_TEST_SUITE");
    buf text = {0};
    gbnf *g;
    gbnf_matcher *m;
    char path[4096];
    int n = 0, bad = 0;
    if (!folder) {
        printf("schema_suite: TAWNY_JSON_TEST_SUITE names no checkout of JSONTestSuite: skipped\n");
        return;
    }
    ck_assert_int_eq(schema_rules("true", 4, "root", 0, &text, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_parse(text.data, text.size, NULL, &g, NULL), TAWNY_OK);
    snprintf(path, sizeof path, "%s/test_parsing", folder);
    DIR *d = opendir(path);
    if (!d) ck_abort_msg("%s is no folder", path);
    for (struct dirent *e; (e = readdir(d));) {
        buf in = {0};
        gbnf_state to;
        if (!strstr(e->d_name, ".json")) continue;
        snprintf(path, sizeof path, "%s/test_parsing/%s", folder, e->d_name);
        ck_assert_int_eq(file_read(path, 1 << 20, &in, NULL), TAWNY_OK);
        ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, NULL), TAWNY_OK);
        const char *p = in.data ? in.data : "";
        tawny_status st = gbnf_bytes(m, gbnf_start(m), p, in.size, &to, NULL);
        bool matched = st == TAWNY_OK && to != GBNF_DEAD && gbnf_complete(m, to), want = e->d_name[0] == 'y';
        json_t *v = json_too_deep(p, in.size) ? NULL : json_loadb(p, in.size, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
        bool parsed = v || strcmp(e->d_name, "y_object_escaped_null_in_key.json") == 0;
        if (e->d_name[0] != 'i' && (matched != want || parsed != want)) {
            printf("%s: the grammar %s it, the parser %s\n", e->d_name, matched ? "accepts" : "refuses",
                   v ? "accepts" : "refuses");
            bad++;
        }
        n += e->d_name[0] != 'i';
        json_decref(v);
        buf_free(&in);
        gbnf_matcher_free(m);
    }
    closedir(d);
    gbnf_free(g);
    buf_free(&text);
    printf("schema_suite: %d of %d JSON texts as they should be\n", n - bad, n);
    ck_assert(n > 0 && !bad);
}
END_TEST

Suite *suite_schema_suite(void)
{
    Suite *s = suite_create("schema_suite");
    TCase *t = tcase_create("schema_suite");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, suite_of_the_specification);
    tcase_add_test(t, suite_of_json_texts);
    suite_add_tcase(s, t);
    return s;
}
