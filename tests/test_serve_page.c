/* "/" of tawny serve: who gets the page and who the line, with which headers; and what of other sites gets through.
 * Whether a page was bundled is asked of the server: without one these tests hold what it says instead. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

#define HTML "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"

static char dir[64], model[128];
static server_proc server;
static bool bundled;

static void setup(void)
{
    size_t n;
    server_model_make(dir, model);
    server_proc_start(&server, model, (const char *const[]){"-t", "1", "--api-key", "secret", NULL});
    char *all = server_raw(&server, "GET", "/", HTML, NULL, &n);
    bundled = strstr(all, "\r\nContent-Type: text/html") != NULL;
    free(all);
}

static void teardown(void)
{
    server_proc_stop(&server);
    server_model_remove(dir, model);
}

typedef struct reply {
    char *all, *body;
    size_t n; /* of the body */
    int status;
} reply;

static reply ask(const char *method, const char *path, const char *extra)
{
    reply r = {0};
    size_t n;
    r.all = server_raw(&server, method, path, extra, NULL, &n);
    ck_assert_int_eq(sscanf(r.all, "HTTP/1.1 %d", &r.status), 1);
    r.body = strstr(r.all, "\r\n\r\n");
    ck_assert_ptr_nonnull(r.body);
    *r.body = 0;
    r.body += 4;
    r.n = n - (size_t)(r.body - r.all);
    return r;
}

/* The value of a header, or NULL; in a buffer of its own. */
static const char *header(const reply *r, const char *name)
{
    static char value[1024];
    char key[64];
    snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = strcasestr(r->all, key);
    if (!at) return NULL;
    at += strlen(key);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static int status_of(const char *method, const char *path, const char *extra)
{
    reply r = ask(method, path, extra);
    free(r.all);
    return r.status;
}

static void is_line(const char *extra)
{
    reply r = ask("GET", "/", extra);
    ck_assert_int_eq(r.status, 200);
    ck_assert_str_eq(r.body, "Ollama is running");
    ck_assert_str_eq(header(&r, "Content-Type"), "text/plain; charset=utf-8");
    ck_assert_str_eq(header(&r, "Vary"), "Accept");
    free(r.all);
}

START_TEST(line_for_programs)
{
    is_line(NULL);
    is_line("Accept: */*\r\n");
    is_line("Accept: application/json, text/plain\r\n");
    is_line("Accept: text/html;q=0, */*\r\n");
    is_line("Accept: text/htmlx\r\n");
    reply r = ask("HEAD", "/", NULL);
    ck_assert_int_eq(r.status, 200);
    ck_assert_str_eq(header(&r, "Content-Length"), "17");
    ck_assert_uint_eq(r.n, 0);
    free(r.all);
    ck_assert_int_eq(status_of("POST", "/", NULL), 405);
}
END_TEST

static bool is_there(void)
{
    if (!bundled) printf("skipped: serve_page, built without a page\n");
    return bundled;
}

/* A server that was built without one says so. */
START_TEST(line_for_people)
{
    if (bundled) return;
    reply r = ask("GET", "/", HTML);
    ck_assert_int_eq(r.status, 404);
    ck_assert_ptr_nonnull(strstr(r.body, "without its page"));
    free(r.all);
}
END_TEST

START_TEST(page_for_people)
{
    if (!is_there()) return;
    static const char *const accepts[] = {HTML, "Accept: text/html\r\n", "Accept: application/json, Text/HTML ; q=0.1\r\n"};
    for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++) {
        reply r = ask("GET", "/", accepts[i]); /* no key: what it is made of is no secret */
        ck_assert_int_eq(r.status, 200);
        ck_assert_str_eq(header(&r, "Content-Type"), "text/html; charset=utf-8");
        ck_assert_str_eq(header(&r, "X-Content-Type-Options"), "nosniff");
        ck_assert_str_eq(header(&r, "Referrer-Policy"), "no-referrer");
        ck_assert_str_eq(header(&r, "Cache-Control"), "no-cache");
        ck_assert_str_eq(header(&r, "Vary"), "Accept, Accept-Encoding");
        const char *policy = header(&r, "Content-Security-Policy");
        ck_assert_ptr_nonnull(policy);
        ck_assert_int_eq(strncmp(policy, "default-src 'none'; script-src 'self';", 38), 0);
        ck_assert_ptr_nonnull(strstr(policy, "frame-ancestors 'none'"));
        ck_assert_ptr_nonnull(strstr(policy, "connect-src 'self'"));
        ck_assert_ptr_null(strstr(policy, "unsafe"));
        /* and it needs none of what the policy forbids */
        ck_assert_ptr_null(strstr(r.body, "style="));
        for (const char *at = r.body; (at = strstr(at, " on")); at++) ck_assert_int_ne(at[1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyz")], '=');
        ck_assert_ptr_null(strstr(r.body, "://"));
        ck_assert_ptr_null(strstr(r.body, "<script>"));
        free(r.all);
    }
}
END_TEST

/* Each part: its type, its length with HEAD, its tag, and 304 for those who know it; the same in gzip. */
START_TEST(parts)
{
    static const struct {
        const char *path, *type;
        size_t most; /* bytes, as it is sent to browsers */
    } part[] = {
        {"/", "text/html; charset=utf-8", 16 << 10},         {"/page/app.js", "text/javascript; charset=utf-8", 150 << 10},
        {"/page/style.css", "text/css; charset=utf-8", 16 << 10}, {"/page/icon.svg", "image/svg+xml", 4 << 10},
        {"/page/licences.txt", "text/plain; charset=utf-8", 32 << 10},
    };
    if (!is_there()) return;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        char plain[64], tag[64], extra[256];
        reply r = ask("GET", part[i].path, HTML);
        ck_assert_int_eq(r.status, 200);
        ck_assert_str_eq(header(&r, "Content-Type"), part[i].type);
        ck_assert_str_eq(header(&r, "X-Content-Type-Options"), "nosniff");
        ck_assert_ptr_null(header(&r, "Content-Encoding"));
        snprintf(plain, sizeof plain, "%.63s", header(&r, "ETag"));
        ck_assert_uint_eq(r.n, strtoul(header(&r, "Content-Length"), NULL, 10));
        size_t whole = r.n;
        free(r.all);

        r = ask("HEAD", part[i].path, HTML);
        ck_assert_int_eq(r.status, 200);
        ck_assert_uint_eq(strtoul(header(&r, "Content-Length"), NULL, 10), whole);
        ck_assert_str_eq(header(&r, "ETag"), plain);
        ck_assert_uint_eq(r.n, 0);
        free(r.all);

        r = ask("GET", part[i].path, HTML "Accept-Encoding: br, gzip\r\n");
        ck_assert_str_eq(header(&r, "Content-Encoding"), "gzip");
        snprintf(tag, sizeof tag, "%.63s", header(&r, "ETag"));
        ck_assert_str_ne(tag, plain);
        ck_assert_int_eq(memcmp(r.body, "\x1f\x8b", 2), 0);
        ck_assert_uint_eq(r.n, strtoul(header(&r, "Content-Length"), NULL, 10));
        ck_assert_uint_le(r.n, part[i].most);
        free(r.all);
        r = ask("GET", part[i].path, HTML "Accept-Encoding: gzip;q=0\r\n");
        ck_assert_ptr_null(header(&r, "Content-Encoding"));
        free(r.all);

        snprintf(extra, sizeof extra, HTML "Accept-Encoding: gzip\r\nIf-None-Match: \"other\", W/%s\r\n", tag);
        r = ask("GET", part[i].path, extra);
        ck_assert_int_eq(r.status, 304);
        ck_assert_str_eq(header(&r, "ETag"), tag);
        ck_assert_uint_eq(r.n, 0);
        free(r.all);
        snprintf(extra, sizeof extra, HTML "If-None-Match: %s\r\n", tag); /* of the other coding */
        ck_assert_int_eq(status_of("GET", part[i].path, extra), 200);
    }
    ck_assert_int_eq(status_of("GET", "/page/", NULL), 404);
    ck_assert_int_eq(status_of("GET", "/page/nothing", NULL), 404);
    ck_assert_int_eq(status_of("GET", "/page/../page/app.js", NULL), 404);
    ck_assert_int_eq(status_of("POST", "/page/app.js", NULL), 405);
}
END_TEST

static double metric(const char *name)
{
    reply r = ask("GET", "/metrics", "Authorization: Bearer secret\r\n");
    char key[80];
    snprintf(key, sizeof key, "\n%s ", name);
    const char *at = strstr(r.body, key);
    ck_assert_msg(at, "%s", name);
    double v = strtod(at + strlen(key), NULL);
    free(r.all);
    return v;
}

/* Other origins: their links to the page work, nothing else of theirs reaches a handler. */
START_TEST(other_origins)
{
    static const struct {
        const char *method, *path, *extra;
    } refused[] = {
        {"GET", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"},
        {"GET", "/", HTML "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"},
        {"POST", "/", HTML "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nOrigin: http://evil.example\r\n"},
        {"GET", "/metrics", HTML "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"},
        {"GET", "/metrics", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n"},
        {"GET", "/page/app.js", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n"},
        {"POST", "/v1/chat/completions", "Origin: http://localhost.evil.example\r\n"},
        {"POST", "/v1/chat/completions", "Origin: null\r\n"},
        {"POST", "/v1/chat/completions", "Sec-Fetch-Site: same-site\r\n"},
        {"OPTIONS", "/v1/chat/completions", "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"},
    };
    const int n = sizeof refused / sizeof *refused;
    double handled = metric("tawny:http_requests_total"), before = metric("tawny:http_refused_total");
    for (int i = 0; i < n; i++) {
        char extra[400];
        snprintf(extra, sizeof extra, "%sAuthorization: Bearer secret\r\n", refused[i].extra);
        ck_assert_msg(status_of(refused[i].method, refused[i].path, extra) == 403, "%d", i);
    }
    ck_assert_double_eq(metric("tawny:http_refused_total"), before + n);
    ck_assert_double_eq(metric("tawny:http_requests_total"), handled + 3); /* the metrics themselves */
    ck_assert_int_eq(status_of("GET", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"), 200);
}
END_TEST

/* The ceiling that the page's gauge shows: measured when somebody asks, and then known. */
START_TEST(ceiling)
{
    reply r = ask("GET", "/metrics", "Authorization: Bearer secret\r\n");
    ck_assert_ptr_null(strstr(r.body, "gigabytes_per_second_possible"));
    free(r.all);
    ck_assert_int_eq(status_of("POST", "/measure", NULL), 401);
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        double v = 0;
        r = ask("POST", "/measure", "Authorization: Bearer secret\r\n");
        ck_assert_int_eq(r.status, 200);
        ck_assert_int_eq(sscanf(r.body, "{\"read_gigabytes_per_second_possible\":%lf}", &v), 1);
        ck_assert_double_gt(v, 0);
        free(r.all);
        ck_assert_double_eq(metric("tawny:read_gigabytes_per_second_possible"), v);
    }
}
END_TEST

#endif

Suite *suite_serve_page(void);
Suite *suite_serve_page(void)
{
    Suite *s = suite_create("serve_page");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, line_for_programs);
    tcase_add_test(t, line_for_people);
    tcase_add_test(t, page_for_people);
    tcase_add_test(t, parts);
    tcase_add_test(t, other_origins);
    tcase_add_test(t, ceiling);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_page, built without libmicrohttpd\n");
#endif
    return s;
}
