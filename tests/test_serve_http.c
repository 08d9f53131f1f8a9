/* Bytes that no client should send, and clients that are slow or many: each is answered or hung up on, and others are
 * served meanwhile. */
#include <arpa/inet.h>
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

#define HOST "Host: localhost\r\n"
#define BODY "{\"prompt\":\"owl\",\"max_tokens\":3}"
#define LENGTH "Content-Length: 31\r\n"
#define POST "POST /v1/completions HTTP/1.1\r\n" HOST
#define GET "GET /health HTTP/1.1\r\n" HOST "\r\n"

static char dir[64], model[128];
static server_proc server;

static void setup(void)
{
    server_model_make(dir, model);
}

static void teardown(void)
{
    server_model_remove(dir, model);
}

static void serve(const char *const *args) { server_proc_start(&server, model, args); }
static void stop(void) { ck_assert_int_eq(server_proc_stop(&server), 0); }

static void is_well(void) { json_decref(server_json(&server, "/v1/completions", BODY, 200)); }

static int connected(void)
{
    const struct timeval patience = {.tv_sec = 40};
    int fd = server_connect(&server, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static bool put(int fd, const char *p, size_t n)
{
    for (ssize_t k; n; p += k, n -= (size_t)k)
        if ((k = send(fd, p, n, MSG_NOSIGNAL)) <= 0) return false;
    return true;
}

/* All that is answered until the server closes. */
static size_t hear(int fd, char *out, size_t size)
{
    size_t n = 0;
    for (ssize_t k; n < size - 1 && (k = recv(fd, out + n, size - 1 - n, 0)) > 0;) n += (size_t)k;
    out[n] = 0;
    return n;
}

/* Sends n bytes and no more, and has what is answered. */
static void say(const char *p, size_t n, char *out, size_t size)
{
    int fd = connected();
    put(fd, p, n);
    shutdown(fd, SHUT_WR);
    hear(fd, out, size);
    close(fd);
}

/* How many of the answers in text have this status. */
static int count(const char *text, const char *status)
{
    int n = 0;
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    for (const char *at = text; (at = strstr(at, line)); at++) n++;
    return n;
}

static void one_answer(const char *request, const char *status)
{
    char out[4096];
    say(request, strlen(request), out, sizeof out);
    ck_assert_msg(count(out, status) >= 1 && count(out, "200") == 0, "%s\n-> no %s: %s",
                  request, status, out);
}

START_TEST(what_is_no_request)
{
    static const char hello[] = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", nuls[300];
    static char huge[200000], many[400000];
    char out[4096];
    serve(NULL);
    say(hello, sizeof hello, out, sizeof out); /* TLS */
    ck_assert_int_eq(count(out, "200"), 0);
    say(nuls, sizeof nuls, out, sizeof out);
    ck_assert_int_eq(count(out, "200"), 0);
    uint32_t x = 1;
    for (int round = 0; round < 50; round++) {
        char noise[400];
        for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
        say(noise, sizeof noise, out, sizeof out);
        ck_assert_int_eq(count(out, "200"), 0);
    }
    one_answer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
    memset(huge, 'a', sizeof huge - 1);
    memcpy(huge, "GET /health HTTP/1.1\r\n" HOST "X: ", 42);
    one_answer(huge, "431");
    memcpy(huge, "GET /", 5);
    memset(huge + 5, 'a', 60);
    one_answer(huge, "414");
    size_t n = (size_t)sprintf(many, "GET /health HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 20000; i++) n += (size_t)sprintf(many + n, "X%d: a\r\n", i);
    one_answer(many, "431");
    is_well();
    stop();
}
END_TEST

/* A proxy before the server must not see other requests than the server does. */
START_TEST(where_a_request_ends)
{
    serve(NULL);
    one_answer("GET /health HTTP/1.1\r\n\r\n", "400");
    one_answer("GET /health HTTP/1.1\r\n" HOST "Host: elsewhere\r\n\r\n", "400");
    one_answer("GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", "400");
    one_answer(POST LENGTH "Content-Length: 5\r\n\r\n" BODY, "400");
    one_answer(POST "Content-Length: -31\r\n\r\n" BODY, "400");
    one_answer(POST "Content-Length: 99999999999999999999999\r\n\r\n" BODY, "413");
    one_answer(POST "Transfer-Encoding: chunked\r\n" LENGTH "\r\n1f\r\n" BODY "\r\n0\r\n\r\n", "400");
    one_answer(POST "Transfer-Encoding: gzip, chunked\r\n\r\n1f\r\n" BODY "\r\n0\r\n\r\n", "400");
    one_answer(POST "Transfer-Encoding: gzip\r\n" LENGTH "\r\n" BODY, "400");
    one_answer(POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n" BODY "\r\n0\r\n\r\n", "400");
    one_answer(POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n" BODY "\r\n0\r\n\r\n", "413");
    is_well();
    stop();
}
END_TEST

START_TEST(bodies_in_pieces)
{
    char out[8192];
    serve((const char *const[]){"--max-body", "1", NULL});
    /* Connection: close, since a client that shuts its end down before the answer counts as gone */
    const char chunks[] =
        POST "Connection: close\r\nTransfer-Encoding: "
             "chunked\r\n\r\n5\r\n{\"pro\r\n1a;x=y\r\nmpt\":\"owl\",\"max_tokens\":3}\r\n0\r\nT: x\r\n\r\n";
    int fd = connected();
    put(fd, chunks, sizeof chunks - 1);
    hear(fd, out, sizeof out);
    ck_assert_msg(count(out, "200") == 1, "%s", out);
    close(fd);
    fd = connected();
    const char big[] = POST "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char piece[16384 + 9] = "4000\r\n";
    memset(piece + 6, ' ', 16384);
    memcpy(piece + 6 + 16384, "\r\n", 2);
    put(fd, big, sizeof big - 1);
    for (int i = 0; i < 80; i++) put(fd, piece, 6 + 16384 + 2);
    put(fd, "0\r\n\r\n", 5);
    hear(fd, out, sizeof out);
    ck_assert_msg(count(out, "413") == 1, "%s", out);
    close(fd);
    one_answer(POST "Content-Length: 1048577\r\n\r\n", "413");
    is_well();
    stop();
}
END_TEST

START_TEST(continues)
{
    char out[8192] = "";
    serve((const char *const[]){"--api-key", "k", NULL});
    int fd = connected();
    const char head[] = POST "Authorization: Bearer k\r\nConnection: close\r\nExpect: 100-continue\r\n" LENGTH "\r\n";
    put(fd, head, sizeof head - 1);
    ck_assert_int_gt(recv(fd, out, sizeof out - 1, 0), 0);
    ck_assert_str_eq(out, "HTTP/1.1 100 Continue\r\n\r\n");
    put(fd, BODY, strlen(BODY));
    hear(fd, out, sizeof out);
    ck_assert_msg(count(out, "200") == 1, "%s", out);
    close(fd);
    one_answer(POST "Expect: 100-continue\r\n" LENGTH "\r\n", "401"); /* before the body is sent for nothing */
    one_answer(POST "Authorization: Bearer k\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", "413");
    stop();
}
END_TEST

START_TEST(one_after_the_other)
{
    static const char all[] =
        GET GET POST LENGTH "\r\n" BODY POST LENGTH "\r\n" BODY
                            GET "GET /nowhere HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    char out[16384];
    serve(NULL);
    int fd = connected();
    put(fd, all, sizeof all - 1);
    hear(fd, out, sizeof out);
    ck_assert_msg(count(out, "200") == 5 && count(out, "404") == 1, "%s", out);
    ck_assert_ptr_nonnull(strstr(out, "text_completion"));
    ck_assert_ptr_nonnull(strstr(strstr(out, "404"), "there is no such path"));
    close(fd);
    stop();
}
END_TEST

/* A byte now and then would keep a connection for ever, if only silence counted. */
START_TEST(bit_by_bit)
{
    const struct timespec little = {.tv_nsec = 300000000};
    static const char slow[] = "GET /health HTTP/1.1\r\n" HOST "X: ";
    serve((const char *const[]){"--timeout", "1", NULL});
    int head = connected(), body = connected();
    put(head, slow, sizeof slow - 1);
    const char begun[] = POST "Content-Length: 100000\r\n\r\n{";
    put(body, begun, sizeof begun - 1);
    bool open_head = true, open_body = true;
    for (int i = 0; i < 300 && (open_head || open_body); i++) {
        open_head = open_head && put(head, "a", 1);
        open_body = open_body && put(body, " ", 1);
        nanosleep(&little, NULL);
    }
    ck_assert(!open_head && !open_body);
    close(head);
    close(body);
    is_well();
    stop();
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
    enum { MANY = 64 };
    int fds[MANY];
    serve((const char *const[]){"--max-connections", "20", NULL});
    for (int i = 0; i < MANY; i++) {
        fds[i] = connected();
        if (i % 2) put(fds[i], "GET /hea", 8);
    }
    is_well();
    for (int i = 0; i < MANY; i++) close(fds[i]);
    is_well();
    stop();
    serve((const char *const[]){"--max-connections", "1", NULL});
    is_well();
    stop();
}
END_TEST

START_TEST(few_files)
{
    enum { MANY = 150 };
    int fds[MANY];
    struct rlimit before, few = {170, 170};
    getrlimit(RLIMIT_NOFILE, &before);
    few.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &few);
    serve(NULL); /* raises it */
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < MANY; i++) fds[i] = connected();
    is_well();
    for (int i = 0; i < MANY; i++) close(fds[i]);
    stop();
}
END_TEST

START_TEST(silent_streams)
{
    static const char *const paths[] = {"/v1/completions", "/completion", "/v1/messages"};
    static const char *const bodies[] = {
        "{\"prompt\":\"owl\",\"max_tokens\":1,\"stream\":true}",
        "{\"prompt\":\"owl\",\"n_predict\":1,\"stream\":true}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":1,\"stream\":true}"};
    char out[4096], text[400];
    serve((const char *const[]){"-np", "1", "-t", "1", "-c", "1000000", "--sse-ping-interval", "0", "--grace", "0",
                                NULL});
    int busy = connected();
    const char endless[] = "{\"prompt\":\"owl\",\"max_tokens\":-1,\"stream\":true,\"ignore_eos\":true}";
    snprintf(text, sizeof text, POST "Content-Length: %zu\r\n\r\n%s", strlen(endless), endless);
    put(busy, text, strlen(text));
    ck_assert_int_gt(recv(busy, out, 100, 0), 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = connected();
        snprintf(text, sizeof text, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", paths[i],
                 strlen(bodies[i]), bodies[i]);
        put(fd, text, strlen(text));
        size_t n = 0;
        while (n < sizeof out - 1 && !strstr(out, i == 2 ? "event: ping" : ": still reading")) {
            ssize_t k = recv(fd, out + n, sizeof out - 1 - n, 0);
            ck_assert_int_gt(k, 0);
            out[n += (size_t)k] = 0;
        }
        close(fd);
        out[0] = 0;
    }
    shutdown(busy, SHUT_RDWR);
    close(busy);
    is_well();
    stop();
}
END_TEST

#endif

Suite *suite_serve_http(void);
Suite *suite_serve_http(void)
{
    Suite *s = suite_create("serve_http");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("http");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, what_is_no_request);
    tcase_add_test(t, where_a_request_ends);
    tcase_add_test(t, bodies_in_pieces);
    tcase_add_test(t, continues);
    tcase_add_test(t, one_after_the_other);
    tcase_add_test(t, bit_by_bit);
    tcase_add_test(t, more_than_there_is_room_for);
    tcase_add_test(t, few_files);
    tcase_add_test(t, silent_streams);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_http, built without libmicrohttpd\n");
#endif
    return s;
}
