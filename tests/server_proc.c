#include "server_proc.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiny_model.h"

void server_model_make(char dir[64], char model[128])
{
    tawny_error err;
    strcpy(dir, "/tmp/tawny-serve-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(model, 128, "%s/m.gguf", dir);
    ck_assert_msg(tiny_model_write(model, &err) == TAWNY_OK, "%s", err.message);
}

void server_model_remove(const char *dir, const char *model)
{
    unlink(model);
    rmdir(dir);
}

void server_proc_start(server_proc *s, const char *model, const char *const *args)
{
    char program[512] = "", line[512] = "";
    const char *argv[32] = {program, "serve", "-m", model, "--port", "0"};
    int fds[2], n = 6;
    ck_assert_int_gt(readlink("/proc/self/exe", program, sizeof program - 16), 0);
    strcpy(strstr(program, "/tests/"), "/tawny");
    while (args && *args && n < 31) argv[n++] = *args++;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    s->pid = fork();
    ck_assert_int_ge(s->pid, 0);
    if (s->pid == 0) {
        union { /* execv takes them without const, and changes nothing */
            const char **in;
            char **out;
        } u = {argv};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 2);
        execv(program, u.out);
        _exit(127);
    }
    close(fds[1]);
    s->err = fds[0];
    for (size_t at = 0; at < sizeof line - 1 && !strchr(line, '\n'); at++)
        if (read(s->err, line + at, 1) != 1) break;
    const char *port = strstr(line, "http://");
    ck_assert_msg(port && sscanf(port, "http://%*[^:]:%d", &s->port) == 1, "%s", line);
}

int server_proc_stop(server_proc *s)
{
    int status;
    kill(s->pid, SIGTERM);
    waitpid(s->pid, &status, 0);
    close(s->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int server_connect(const server_proc *s, int room)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (room) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* A body in pieces, as HTTP/1.1 sends what it does not know the length of. */
static void unchunk(char *body)
{
    char *to = body, *from = body;
    for (;;) {
        char *end;
        size_t n = strtoul(from, &end, 16);
        if (end == from || !n) break;
        from = strchr(end, '\n') + 1;
        memmove(to, from, n);
        to += n;
        from += n + 2;
    }
    *to = 0;
}

char *server_raw(const server_proc *s, const char *method, const char *path, const char *extra, const char *body, size_t *size)
{
    enum { MOST = 4 << 20 };
    int fd = server_connect(s, 0);
    char *all = malloc(MOST);
    size_t n = 0;
    FILE *f = fdopen(dup(fd), "w");
    fprintf(f, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", method, path, body ? strlen(body) : 0,
            extra ? extra : "");
    if (body) fputs(body, f);
    fclose(f);
    for (ssize_t k; n < MOST - 1 && (k = read(fd, all + n, MOST - 1 - n)) > 0;) n += (size_t)k;
    all[n] = 0;
    *size = n;
    close(fd);
    return all;
}

char *server_ask(const server_proc *s, const char *method, const char *path, const char *extra, const char *body, int *status)
{
    size_t n;
    char *all = server_raw(s, method, path, extra, body, &n), *answer = NULL;
    *status = 0;
    if (sscanf(all, "HTTP/1.1 %d", status) == 1 && (answer = strstr(all, "\r\n\r\n"))) {
        const char *coding = strcasestr(all, "\r\nTransfer-Encoding: chunked\r\n");
        bool chunked = coding && coding < answer;
        answer = strdup(answer + 4);
        if (chunked) unchunk(answer);
    }
    free(all);
    return answer ? answer : strdup("");
}

json_t *server_json(const server_proc *s, const char *path, const char *body, int expected)
{
    int status;
    char *text = server_ask(s, body ? "POST" : "GET", path, NULL, body, &status);
    ck_assert_msg(status == expected, "%s %s: %d %s", path, body ? body : "", status, text);
    json_t *j = json_loads(text, JSON_ALLOW_NUL, NULL); /* a random model may say one */
    ck_assert_msg(j, "%s: %s", path, text);
    free(text);
    return j;
}
