/* text/jinja: templates against recorded results (tests/golden/jinja.jsonl, the reference kit), provenance, hostile
 * templates. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "text/jinja.h"

static const struct tm noon = {.tm_year = 126, .tm_mday = 15, .tm_hour = 12, .tm_wday = 4, .tm_yday = 14};
static const char *const tokens[] = {"bos_token", "eos_token", NULL};
static const jinja_options options = {.now = &noon, .trusted = tokens};

static tawny_error e;
static jinja_output out;

static tawny_status render(const char *source, size_t n, const json_t *context)
{
    jinja *t = NULL;
    jinja_output_free(&out);
    e = (tawny_error){0};
    tawny_status s = jinja_parse(source, n, &t, &e);
    if (s == TAWNY_OK) s = jinja_render(t, context, &options, &out, &e);
    jinja_free(t);
    return s;
}

static tawny_status render_c(const char *source, const char *context)
{
    json_t *c = json_loads(context, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(c);
    tawny_status s = render(source, strlen(source), c);
    json_decref(c);
    return s;
}

/* ---- recorded results ---- */

static FILE *lines;
static char *line;
static size_t line_cap;

static json_t *next_line(void)
{
    ssize_t n = getline(&line, &line_cap, lines);
    return n > 0 ? json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL) : NULL;
}

START_TEST(golden)
{
    int cases = 0;
    lines = fopen("tests/golden/jinja.jsonl", "r");
    ck_assert_ptr_nonnull(lines);
    json_t *head = next_line(), *context = json_object_get(head, "context");
    for (json_t *j; (j = next_line()); cases++, json_decref(j)) {
        json_t *t = json_object_get(j, "t"), *x = json_object_get(j, "x");
        const char *source = json_string_value(t);
        tawny_status s = render(source, json_string_length(t), context);
        if (!x) {
            ck_assert_msg(s != TAWNY_OK, "no error: %s", source);
            ck_assert_msg(strncmp(e.message, "template line ", 14) == 0 && !out.text, "%s: %s", source, e.message);
            continue;
        }
        ck_assert_msg(s == TAWNY_OK, "%s: %s", source, e.message);
        ck_assert_msg(out.n == json_string_length(x) && memcmp(out.text, json_string_value(x), out.n) == 0,
                      "%s\nwanted %s\ngot    %s", source, json_string_value(x), out.text);
    }
    ck_assert_int_gt(cases, 1000);
    json_decref(head);
    fclose(lines);
}
END_TEST

START_TEST(kit)
{
    static const char folder[] = "../shared/kit/templates";
    char path[512];
    int cases = 0;
    snprintf(path, sizeof path, "%s/cases.jsonl", folder);
    if (!(lines = fopen(path, "r"))) {
        printf("jinja: no reference kit, its templates are skipped\n");
        return;
    }
    for (json_t *j; (j = next_line()); cases++, json_decref(j)) {
        const char *name = json_string_value(json_object_get(j, "template"));
        const char *which = json_string_value(json_object_get(j, "case"));
        json_t *x = json_object_get(j, "expected");
        buf source = {0};
        snprintf(path, sizeof path, "%s/jinja/%s", folder, name);
        ck_assert(file_read(path, 1 << 20, &source, &e) == TAWNY_OK);
        tawny_status s = render(source.data, source.size, json_object_get(j, "context"));
        buf_free(&source);
        ck_assert_msg((s == TAWNY_OK) == (x != NULL), "%s, %s: %s", name, which, e.message);
        if (x)
            ck_assert_msg(out.n == json_string_length(x) && memcmp(out.text, json_string_value(x), out.n) == 0,
                "%s, %s", name,
                          which);
    }
    ck_assert_int_eq(cases, 1224);
    fclose(lines);
}
END_TEST

/* ---- provenance: trusted bytes appear as they are, others as '.', newlines aside ---- */

static const char *marks(const char *source, const char *context)
{
    static char text[4096];
    ck_assert_msg(render_c(source, context) == TAWNY_OK, "%s: %s", source, e.message);
    ck_assert_uint_lt(out.n, sizeof text);
    memcpy(text, out.text, out.n + 1);
    size_t at = 0;
    for (size_t i = 0; i < out.n_segments; i++) {
        const jinja_segment *s = &out.segments[i];
        ck_assert_uint_eq(s->start, at);
        ck_assert_uint_gt(s->n, 0);
        ck_assert(i == 0 || s->trusted != out.segments[i - 1].trusted);
        at += s->n;
        if (!s->trusted) memset(text + s->start, '.', s->n);
    }
    ck_assert_uint_eq(at, out.n);
    return text;
}

static const struct { const char *source, *wanted; } provenance_cases[] = {
    {"<{{ u }}>", "<....>"},
    {"{{ '<' + u + '>' }}", "<....>"},
    {"{{ '<' ~ u ~ '>' }}", "<....>"},
    {"{{ bos_token }}{{ u }}{{ eos_token }}", "<s>....</s>"},
    {"{{ u|upper }}{{ u.title() }}{{ 'a'|upper }}", "........A"},
    {"{{ ('  ' ~ u ~ ' ')|trim }}", "...."},
    {"{{ ('ab' ~ u ~ 'cd')[1:7] }}", "b....c"},
    {"{{ ('ab' ~ u ~ 'cd')[::-1] }}", "dc....ba"},
    {"{{ (u ~ ',' ~ 'b,' ~ u).split(',')|join('|') }}", "....|b|...."},
    {"{{ 'x-x'.replace('-', u) }}", "x....x"},
    {"{{ u.replace('s', '<e>') }}", ".<e>.."},
    {"{{ u|replace('s', '<e>') }}", ".<e>.."},
    {"{{ [u, 'b']|join(', ') }}", "...., b"},
    {"{{ {'k': u}|tojson }}", "{\"k\": \"....\"}"},
    {"{{ {'k': q}|tojson }}", "{\"k\": \".....\"}"},
    {"{{ {'k': q}|tojson(ensure_ascii=true) }}", "{\"k\": \".........\"}"},
    {"{{ [u] }}", "['....']"},
    {"{{ '%s-%5s' % (u, 'b') }}", "....-    b"},
    {"{{ '{}-{:>6}'.format(u, u) }}", "....-  ...."},
    {"{{ ('a\n' ~ u ~ '\nb')|indent(2) }}", "a\n  ....\n  b"},
    {"{{ ('<' ~ u)|e }}", "&lt;...."},
    {"{{ u.center(8, '*') }}", "**....**"},
    {"{{ u * 2 ~ '-' * 2 }}", "........--"},
    {"{% set x %}<{{ u }}>{% endset %}{{ x }}", "<....>"},
    {"{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(u) ~ m('t') }}", "[....][t]"},
    {"{% filter upper %}a{{ u }}b{% endfilter %}", "A....B"},
    {"{% for c in u ~ 'ab' %}{{ c }}{% endfor %}", "....ab"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "..=....;"},
    {"{{ u.partition('s')|join('-') }}", ".-.-.."}, /* the separator found is the user's own text */
    {"{{ 'a' if u == 'user' else 'b' }}", "a"},
    {"{% set r = 'user' if u == 'user' else 'x' %}<|{{ r }}|>", "<|user|>"},
    {"{{ n }}{{ 1.5 }}{{ none }}", "5" "1.5" "None"},
    {"{{ (u ~ 'b')|list|last }}{{ (u ~ 'b')|first }}", "b."},
    {"{{ ('  ' ~ u).lstrip() ~ u.zfill(6) }}", "....00...."},
    {"{{ (u|safe) + '<' }}", "....&lt;"},
    {"{{ d|tojson(indent=1) }}", "{\n \"..\": \"....\"\n}"},
    {"{{ strftime_now('%Y') }}", "2026"},
};

START_TEST(provenance)
{
    const char *context = "{\"u\":\"user\",\"q\":\"\\\"\u00e9x\",\"d\":{\"kk\":\"vvvv\"},\"n\":5,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}";
    const char *source = provenance_cases[_i].source;
    ck_assert_msg(strcmp(marks(source, context), provenance_cases[_i].wanted) == 0, "%s\nwanted %s\ngot    %s",
        source,
                  provenance_cases[_i].wanted, marks(source, context));
}
END_TEST

static bool trust_roles(const char *key, const char *text, size_t n)
{
    return strcmp(key, "role") == 0 && n == 4 && memcmp(text, "user", 4) == 0;
}

START_TEST(trusted_by_the_caller)
{
    jinja *t;
    jinja_options o = {.trust = trust_roles};
    json_t *c = json_loads("{\"m\":[{\"role\":\"user\",\"x\":\"user\"},{\"role\":\"else\",\"x\":\"\"}]}", 0, NULL);
    const char *source = "{% for m in m %}<|{{ m.role }}|>{{ m.x }}{% endfor %}";
    ck_assert_int_eq(jinja_parse(source, strlen(source), &t, &e), TAWNY_OK);
    ck_assert_int_eq(jinja_render(t, c, &o, &out, &e), TAWNY_OK);
    ck_assert_str_eq(out.text, "<|user|>user<|else|>");
    ck_assert_uint_eq(out.n_segments, 5);
    ck_assert(out.segments[0].trusted && out.segments[0].n == 8 && !out.segments[1].trusted &&
        out.segments[2].n == 2);
    ck_assert(jinja_mentions(t, "role") && jinja_mentions(t, "x") && !jinja_mentions(t, "user"));
    json_decref(c);
    jinja_free(t);
}
END_TEST

/* ---- errors ---- */

START_TEST(errors_name_the_line)
{
    ck_assert_int_eq(render_c("a\nb\n{{ x.y.z }}", "{}"), TAWNY_E_FORMAT);
    ck_assert_str_eq(e.message, "template line 3: 'x' is undefined");
    ck_assert_int_eq(render_c("{% if true %}\n{{ raise_exception('no ' ~ x) }}{% endif %}", "{\"x\":\"tools\"}"),
        TAWNY_E_ARG);
    ck_assert_str_eq(e.message, "template line 2: no tools");
    ck_assert_int_eq(render_c("\n{% include 'x' %}", "{}"), TAWNY_E_UNSUPPORTED);
    ck_assert_int_eq(render_c("\n\n{{ 1 + }}", "{}"), TAWNY_E_FORMAT);
    ck_assert_str_eq(e.message, "template line 3: unexpected 'end of print statement'");
    ck_assert_int_eq(render_c("{% if x %}\n\n", "{}"), TAWNY_E_FORMAT);
    ck_assert_int_eq(render_c("{{ x.append(1) }}", "{\"x\":[]}"), TAWNY_E_FORMAT);
    ck_assert_str_eq(e.message, "template line 1: access to attribute 'append' of 'list' object is unsafe");
    json_t *list = json_array();
    ck_assert_int_eq(render("x", 1, list), TAWNY_E_ARG);
    json_decref(list);
}
END_TEST

START_TEST(odd_bytes)
{
    json_t *c = json_pack("{s:o}", "x", json_stringn_nocheck("a\0b\xff\xc3", 5));
    static const char source[] = "{{ x }}\0\xff{{ x|length }}{{ x[1:4]|tojson }}";
    ck_assert_int_eq(render(source, sizeof source - 1, c), TAWNY_OK);
    static const char wanted[] = "a\0b\xff\xc3\0\xff" "5\"\\u0000b\xff\"";
    ck_assert_uint_eq(out.n, sizeof wanted - 1);
    ck_assert_mem_eq(out.text, wanted, out.n);
    json_decref(c);
}
END_TEST

/* ---- hostile templates: an error, soon, on a small stack ---- */

static const char *const hostile[] = {
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro a(n) %}{% for x in [1] %}{% if true %}{{ b(n) }}{% endif %}{% endfor %}{% endmacro %}{% macro b(n) %}{{ a(n)|upper }}{% endmacro %}{{ a(1) }}",
    "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(24) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s|upper }}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson }}",
    "{% set ns = namespace(s=[1],t=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    "{{ 'x' * 10**12 }}", "{{ [1] * 10**12 }}", "{{ 'x'|center(10**12) }}", "{{ 'x'.ljust(10**15) }}",
    "{{ 'x'.zfill(10**15) }}",
    "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1.5 }}", "{{ '{:>1000000000}'.format(1) }}",
    "{{ '{:.1000000000f}'.format(1.5) }}",
    "{{ '\\t'.expandtabs(10**15) }}", "{{ 'a\\nb'|indent(10**12) }}", "{{ [1]|tojson(indent=10**12) }}",
    "{{ [1]|batch(10**12, 1)|list }}",
    "{{ [1]|slice(10**12)|list }}", "{{ 9**9**9 }}", "{{ 2**63 }}", "{{ -(2**62)*4 }}", "{{ 99999999999999999999 }}",
    "{{ 7 // 0 }}",
    "{{ (-9223372036854775807-1) // -1 }}", "{{ -(-9223372036854775807-1) }}", "{{ (-9223372036854775807-1)|abs }}",
    "{{ 1.5|round(10**9)|int // 0 }}",
    "{% for x in [[]] recursive %}{{ loop([x]) }}{% endfor %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r() %}{% call m() %}{{ r() }}{% endcall %}{% endmacro %}{{ r() }}",
    "{% set ns = namespace(g=[1]) %}{% for i in range(50000) %}{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}",
    "{% for i in range(5000) %}{{ ('ab' * 5000).replace('a', 'bb')|upper|lower }}{% endfor %}",
    "{% for i in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab' * 10000 }}{% endfor %}",
    "{% set s = 'a' * 100000 %}{% for i in range(99999) %}{{ s.count('aaaaaaaaab') }}{% endfor %}",
    "{% set s = 'a' * 100000 %}{% for i in range(99999) %}{{ s.rfind('b' ~ s[:5000]) }}{% endfor %}",
    "{% set s = 'é' * 100000 %}{% for i in range(99999) %}{{ s[99999] }}{% endfor %}",
    "{% set l = range(99999)|list %}{% for i in range(99999) %}{{ l|sort|length }}{% endfor %}",
    "{{ range(99999)|map('string')|join('x' * 10000) }}",
    "{{ dict(*[range(99999)]) }}", "{{ cycler(*range(99999)) }}",
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* their shadow is larger than any bound */
#else
enum { SANITIZED = 0 };
#endif

/* From here on the process may take 64 MiB more than it has. */
static void bound_memory(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ck_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (64u << 20);
    if (!SANITIZED) ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}), 0);
}

static void *on_small_stack(void *arg)
{
    const char *source = arg;
    double start = seconds();
    tawny_status s = render_c(source, "{}");
    double took = seconds() - start;
    if (s == TAWNY_OK) return (void *)(uintptr_t) "no error";
    if (s == TAWNY_E_NOMEM) return (void *)(uintptr_t) "more than 64 MiB";
    return took < 2 ? NULL : (void *)(uintptr_t) "too slow"; /* 50 ms on an idle machine without sanitizers */
}

static const char *run_small(const char *source)
{
    pthread_t th;
    pthread_attr_t attr;
    void *problem = NULL;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
    ck_assert_int_eq(pthread_create(&th, &attr, on_small_stack, (void *)(uintptr_t)source), 0);
    pthread_join(th, &problem);
    pthread_attr_destroy(&attr);
    return problem;
}

START_TEST(hostile_templates)
{
    bound_memory();
    const char *problem = run_small(hostile[_i]);
    ck_assert_msg(!problem, "%s: %s (%s)", hostile[_i], problem, e.message);
}
END_TEST

/* head, n times part, tail. */
static char *repeated(const char *head, const char *part, int n, const char *tail)
{
    buf b = {0};
    buf_str(&b, head);
    for (int i = 0; i < n; i++) buf_str(&b, part);
    buf_str(&b, tail);
    ck_assert(buf_ok(&b));
    return b.data;
}

START_TEST(deep_nesting)
{
    static const struct { const char *head, *part, *tail; } shapes[] = {
        {"{{ ", "(", ""}, {"{{ ", "[", ""}, {"{{ ", "-", "1 }}"}, {"{{ ", "not ", "1 }}"},
        {"{{ 1", " + 1", " + x.y }}"},
        {"{{ x", "|upper", "|nosuch }}"}, {"{{ x", ".a", " }}"}, {"{{ x", "[0]", " }}"}, {"{{ x", "()", " }}"},
        {"", "{% if 1 %}", ""},
        {"", "{% for x in [1] %}", ""}, {"", "{% macro m() %}", ""}, {"{{ ", "1 if 1 else ", "x.y.z }}"},
        {"{{ ", "{1:", ""},
        {"{{ 1", " and 1", " and x.y.z }}"}, {"{{ x is ", "y(", ""}, {"{% set ", "(", ""},
        {"{% for x in y %}", "{% if 0 %}{% elif 1 %}", ""},
        {"{{ 1 ", "if 1 ", "}}{{ x.y.z }}"}, {"{{ x", "[", ""}, {"{{ 1 ", "== 1 ", "!= x.y.z }}"},
        {"", "{% filter upper %}", ""},
        {"", "{% set x %}", ""}, {"", "{% with %}", ""}, {"{{ '", "{", "'.format(1) }}"},
        {"{{ 'a' ", "~ 'a'", "~ x.y.z }}"}};
    bound_memory();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int n = 50; n <= 50000; n *= 10) {
            char *source = repeated(shapes[i].head, shapes[i].part, n, shapes[i].tail);
            const char *problem = run_small(source); /* the shallow ones may render */
            ck_assert_msg(!problem || strcmp(problem, "no error") == 0, "%s %d times: %s", shapes[i].part, n,
                problem);
            free(source);
        }
    }
}
END_TEST

START_TEST(deep_context)
{
    json_t *c = json_object(), *x = json_array();
    for (int i = 0; i < 1500; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, x);
        x = outer;
    }
    json_object_set_new(c, "x", x);
    static const char source[] = "{{ x }}{{ x|tojson }}{{ x == x[:] }}";
    tawny_status s = render(source, sizeof source - 1, c); /* as deep as JSON may be read: rendered, or refused */
    ck_assert(s == TAWNY_OK || s == TAWNY_E_LIMIT);
    json_decref(c);
}
END_TEST

START_TEST(long_conversations)
{
    static const char source[] =
        "{% for m in messages %}{% if loop.index0 > 0 and messages[loop.index0 - 1].role == m.role %}{{ raise_exception('x') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m['content']|trim }}{% if m.tool_calls is defined and m.tool_calls %}x{% endif %}<|im_end|>\n"
        "{% endfor %}{% set ns = namespace(t='', last=0) %}{% for m in messages[::-1] %}{% set ns.t = ns.t + m.content %}"
        "{% if messages[loop.index0:]|length == 1 %}{% set ns.last = loop.index %}{% endif %}{% endfor %}{{ ns.t|length }} {{ ns.last }}";
    json_t *messages = json_array();
    for (int i = 0; i < 5000; i++) {
        char text[300];
        snprintf(text, sizeof text, "Turn %d: %0200d", i, i);
        json_array_append_new(messages,
            json_pack("{s:s,s:s}", "role", i % 2 ? "assistant" : "user", "content", text));
    }
    json_t *c = json_pack("{s:o}", "messages", messages);
    double start = seconds();
    ck_assert_msg(render(source, sizeof source - 1, c) == TAWNY_OK, "%s", e.message);
    ck_assert(seconds() - start < 5);
    ck_assert_ptr_nonnull(strstr(out.text, "1053890 5000"));
    json_decref(c);
}
END_TEST

static void done(void)
{
    jinja_output_free(&out);
    free(line);
    line = NULL;
    line_cap = 0;
}

Suite *suite_jinja(void);
Suite *suite_jinja(void)
{
    Suite *s = suite_create("jinja");
    TCase *t = tcase_create("jinja");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, NULL, done);
    tcase_add_test(t, golden);
    tcase_add_test(t, kit);
    tcase_add_loop_test(t, provenance, 0, (int)(sizeof provenance_cases / sizeof *provenance_cases));
    tcase_add_test(t, trusted_by_the_caller);
    tcase_add_test(t, errors_name_the_line);
    tcase_add_test(t, odd_bytes);
    tcase_add_loop_test(t, hostile_templates, 0, (int)(sizeof hostile / sizeof *hostile));
    tcase_add_test(t, deep_nesting);
    tcase_add_test(t, deep_context);
    tcase_add_test(t, long_conversations);
    suite_add_tcase(s, t);
    return s;
}
