#include "http_script.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loopback.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

typedef struct request {
    char path[512], kind[64];
    long from, to; /* to: the last byte; -1: the end */
    int ranged, secret;
} request;

static int seen; /* requests for files that may fail at first */

static void put(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return;
        p += k;
        n -= (size_t)k;
    }
}

static void text(int fd, const char *status, const char *type, const char *body)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status, type, strlen(body));
    put(fd, head, strlen(head));
    put(fd, body, strlen(body));
}

static int read_request(int fd, request *r)
{
    char b[8192];
    size_t n = 0;
    *r = (request){.to = -1};
    while (n < sizeof b - 1) {
        ssize_t k = read(fd, b + n, sizeof b - 1 - n);
        if (k <= 0) return 0;
        n += (size_t)k;
        b[n] = 0;
        if (strstr(b, "\r\n\r\n")) break;
    }
    if (sscanf(b, "GET %511s", r->path) != 1) return 0;
    const char *range = strcasestr(b, "\r\nRange: bytes=");
    r->ranged = range && sscanf(range + 15, "%ld-%ld", &r->from, &r->to) >= 1;
    r->secret = strstr(b, "Authorization: Bearer secret") != NULL;
    if (sscanf(r->path, "/api/models/u/%63[a-z]", r->kind) != 1 && sscanf(r->path, "/u/%63[a-z]", r->kind) != 1)
        sscanf(r->path, "/%63[a-z]", r->kind);
    return 1;
}

/* The file from where it is asked for; says `said` bytes in all, sends `sent` of what is left. */
static void file(int fd, const http_script *s, const request *r, long from, size_t said, size_t sent, char flip)
{
    char head[512];
    size_t left = s->size - (size_t)from;
    (void)r;
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n",
                     from ? "206 Partial Content" : "200 OK", said - (size_t)from);
    if (from)
        n +=
            snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %ld-%zu/%zu\r\n", from, said - 1, said);
    snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    put(fd, head, strlen(head));
    char *copy = malloc(left);
    memcpy(copy, s->data + from, left);
    for (size_t i = 0; i < left; i++) copy[i] ^= flip;
    put(fd, copy, sent < left ? sent : left);
    free(copy);
}

/* A range that is not the one that was asked for. */
static void elsewhere(int fd, const http_script *s, int said)
{
    char head[256], range[64] = "";
    if (said) snprintf(range, sizeof range, "Content-Range: bytes 0-%zu/%zu\r\n", s->size - 1, s->size);
    snprintf(head, sizeof head, "HTTP/1.1 206 Partial Content\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n", s->size, range);
    put(fd, head, strlen(head));
    put(fd, s->data, s->size);
}

static void repeat(int fd, const char *what, size_t n, useconds_t pause)
{
    while (send(fd, what, n, MSG_NOSIGNAL) > 0) usleep(pause);
}

/* A file of the set, as servers of files do it. */
static void serve_member(int fd, const http_script *s, const request *r)
{
    char path[768], head[256];
    struct stat st;
    const char *name = strrchr(r->path, '/') + 1;
    snprintf(path, sizeof path, "%s/%.*s", s->dir, (int)strcspn(name, "?"), name);
    int in = open(path, O_RDONLY);
    if (in < 0 || fstat(in, &st) != 0) {
        text(fd, "404 Not Found", "text/plain", "no");
        if (in >= 0) close(in);
        return;
    }
    long size = st.st_size, last = r->ranged && r->to >= 0 && r->to < size ? r->to : size - 1;
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %ld\r\nContent-Range: bytes %ld-%ld/%ld\r\nConnection: close\r\n\r\n",
             r->ranged ? "206 Partial Content" : "200 OK", last + 1 - r->from, r->from, last, size);
    put(fd, head, strlen(head));
    char *part = malloc((size_t)(last + 1 - r->from));
    if (part && pread(in, part, (size_t)(last + 1 - r->from), r->from) == last + 1 - r->from) put(fd, part, (size_t)(last + 1 - r->from));
    free(part);
    close(in);
}

static void serve_file(int fd, const http_script *s, const request *r)
{
    long from = r->ranged && r->from >= 0 && (size_t)r->from < s->size ? r->from : 0;
    size_t left = s->size - (size_t)from, third = left / 3 > 1000 ? left / 3 : left;
    char line[1024];
    if (!strcmp(r->kind, "good") || !strcmp(r->kind, "private"))
        file(fd, s, r, from, s->size, left, 0);
    else if (!strcmp(r->kind, "drop"))
        file(fd, s, r, from, s->size, third, 0);
    else if (!strcmp(r->kind, "norange"))
        file(fd, s, r, 0, s->size, seen++ ? s->size : s->size / 2, 0);
    else if (!strcmp(r->kind, "short"))
        file(fd, s, r, 0, s->size, s->size / 2, 0);
    else if (!strcmp(r->kind, "more"))
        file(fd, s, r, from, s->size - 100, left - 100, 0);
    else if (!strcmp(r->kind, "wrong"))
        file(fd, s, r, from, s->size, left, 1);
    else if (!strcmp(r->kind, "busy") && seen++ < 2)
        text(fd, "503 Service Unavailable", "text/plain", "later");
    else if (!strcmp(r->kind, "busy"))
        file(fd, s, r, from, s->size, left, 0);
    else if (!strcmp(r->kind, "set"))
        serve_member(fd, s, r);
    else if ((!strcmp(r->kind, "shifted") || !strcmp(r->kind, "unsaid")) && from)
        elsewhere(fd, s, !strcmp(r->kind, "shifted"));
    else if (!strcmp(r->kind, "shifted") || !strcmp(r->kind, "unsaid"))
        file(fd, s, r, from, s->size, third, 0);
    else if (!strcmp(r->kind, "page"))
        text(fd, "200 OK", "text/html", "<html><body>please log in</body></html>");
    else if (!strcmp(r->kind, "endless")) {
        static char more[1 << 16];
        memset(more, 'a', sizeof more);
        put(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
        while (write(fd, more, sizeof more) > 0) {}
    } else if (!strcmp(r->kind, "vast")) {
        snprintf(line, sizeof line, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\nGGUF", 1LL << 60);
        put(fd, line, strlen(line));
    } else if (!strcmp(r->kind, "hang"))
        pause();
    else if (!strcmp(r->kind, "drip")) {
        put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx", 42);
        pause();
    } else if (!strcmp(r->kind, "trickle")) {
        put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 43);
        repeat(fd, "x", 1, 200000);
    } else if (!strcmp(r->kind, "names")) {
        put(fd, "HTTP/1.1 200 OK\r\n", 17);
        repeat(fd, "X-More: x\r\n", 11, 200000);
    } else if (!strcmp(r->kind, "stream")) {
        static const char more[1 << 12] = {8};
        put(fd, "HTTP/1.1 200 OK\r\n\r\nGGUF\3\0\0\0", 27);
        put(fd, "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16);             /* a tensor, a key */
        put(fd, "\1\0\0\0\0\0\0\0k\11\0\0\0\10\0\0\0\0\0\0\1\0\0\0\0", 25); /* of very many strings */
        repeat(fd, more, sizeof more, 20000);
    } else if (!strcmp(r->kind, "redirect")) {
        snprintf(line, sizeof line,
                 "HTTP/1.1 302 Found\r\nLocation: /good/x.gguf\r\nX-Linked-Etag: \"%s\"\r\nX-Linked-Size: %zu\r\n"
                 "Content-Length: 0\r\nConnection: close\r\n\r\n",
                 s->sha, s->size);
        put(fd, line, strlen(line));
    } else if (!strcmp(r->kind, "loop")) {
        snprintf(line, sizeof line,
                 "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", r->path);
        put(fd, line, strlen(line));
    } else
        text(fd, "404 Not Found", "text/plain", "no");
}

static void serve_repository(int fd, const http_script *s, const request *r)
{
    char line[2048];
    if (!strcmp(r->kind, "html")) {
        text(fd, "200 OK", "text/html", "<html>");
    } else if (!strcmp(r->kind, "huge")) {
        put(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[", 54);
        for (int i = 0; i < 40 * 1024; i++) put(fd, (char[1024]){0}, 1024);
    } else if (!strcmp(r->kind, "private") && !r->secret) {
        text(fd, "401 Unauthorized", "text/plain", "who are you");
    } else if (!strcmp(r->kind, "set")) {
        text(fd, "200 OK", "application/json",
             "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"x-Q4_K_M-00002-of-00003.gguf\"},"
             "{\"rfilename\":\"x-Q4_K_M-00003-of-00003.gguf\"},{\"rfilename\":\"x-Q4_K_M-00001-of-00003.gguf\"}]}");
    } else {
        snprintf(line, sizeof line,
                 "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"README.md\",\"size\":3},"
                 "{\"rfilename\":\"../../escape-Q4_K_M.gguf\",\"size\":1,\"lfs\":{\"sha256\":\"%s\",\"size\":1}},"
                 "{\"rfilename\":\"mmproj-Q4_K_M.gguf\",\"size\":1},"
                 "{\"rfilename\":\"x-Q4_K_M.gguf\",\"size\":%zu,\"lfs\":{\"sha256\":\"%s\",\"size\":%zu}}]}",
                 s->sha, s->size, s->sha, s->size);
        text(fd, "200 OK", "application/json", line);
    }
}

static void serve(void *arg, int fd)
{
    static const char *const slow_ones[] = {"hang", "drip", "trickle", "names", "stream"};
    const http_script *s = arg;
    request r;
    if (!read_request(fd, &r)) return;
    bool slow = false;
    for (size_t i = 0; i < sizeof slow_ones / sizeof *slow_ones; i++) slow |= !strcmp(r.kind, slow_ones[i]);
    if (slow && fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_file(fd, s, &r);
        _exit(0);
    } else if (slow) { /* the connection is the child's, and is not to be ended here */
        int null = open("/dev/null", O_RDWR);
        dup2(null, fd);
        close(null);
    } else if (strncmp(r.path, "/api/", 5) == 0) {
        serve_repository(fd, s, &r);
    } else {
        serve_file(fd, s, &r);
    }
}

void http_script_start(http_script *s) { s->pid = loopback_start(&s->port, serve, s); }
void http_script_stop(http_script *s) { loopback_end(s->pid); }
