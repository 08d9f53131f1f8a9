/* How tawny serve begins, ends and gets rid of clients: variables, --ci, budgets, sockets that are handed over, SIGTERM. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/cli/sandbox.h"
#include "program.h"
#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

#define CONTEXT "1000000"
#define ENDLESS "{\"prompt\":\"owl\",\"max_tokens\":-1,\"stream\":true,\"ignore_eos\":true}"

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

/* ---- clients ---- */

/* Sends a request and leaves the answer to be read. room: of the socket, for what is not read; 0: the usual. */
static int begin(const char *body, int room)
{
    int fd = server_connect(&server, room);
    dprintf(fd, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    return fd;
}

static void first_bytes(int fd)
{
    char c[16];
    ck_assert_int_gt(read(fd, c, sizeof c), 0);
}

/* The end of what is still to come. */
static char *last_bytes(int fd)
{
    static char kept[2 * 1024 + 1];
    size_t n = 0;
    for (ssize_t k; (k = read(fd, kept + n, 1024)) > 0;) {
        n += (size_t)k;
        if (n <= 1024) continue;
        memmove(kept, kept + n - 1024, 1024);
        n = 1024;
    }
    kept[n] = 0;
    close(fd);
    return kept;
}

static double metric(const char *name)
{
    int status;
    char *text = server_ask(&server, "GET", "/metrics", NULL, NULL, &status), line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    ck_assert_msg(status == 200 && at, "%s: %s", name, text);
    double v = strtod(at + strlen(line), NULL);
    free(text);
    return v;
}

static void wait_for(const char *name, double value)
{
    while (metric(name) != value) usleep(2000);
}

static int ended(void)
{
    int status;
    waitpid(server.pid, &status, 0);
    close(server.err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* New requests get 503 from some moment after the signal on. */
static void wait_for_drain(void)
{
    int status = 0;
    for (char *text; status != 503; free(text)) {
        text = server_ask(&server, "POST", "/v1/completions", NULL, "{\"prompt\":\"x\",\"max_tokens\":1}", &status);
        ck_assert_msg(status == 200 || status == 503, "%d %s", status, text);
    }
}

/* ---- the end ---- */

START_TEST(drains)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", NULL});
    int fd = begin("{\"prompt\":\"owl\",\"max_tokens\":6000,\"stream\":true,\"ignore_eos\":true}", 0);
    first_bytes(fd);
    kill(server.pid, SIGTERM);
    wait_for_drain();
    const char *end = last_bytes(fd);
    ck_assert_msg(strstr(end, "\"finish_reason\":\"length\"") && strstr(end, "data: [DONE]"), "%s", end);
    ck_assert_int_eq(ended(), 0);
}
END_TEST

START_TEST(cuts_after_grace)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", "--grace", "1", NULL});
    int fd = begin(ENDLESS, 0);
    first_bytes(fd);
    kill(server.pid, SIGTERM);
    const char *end = last_bytes(fd);
    ck_assert_msg(strstr(end, "the server ended the request"), "%s", end + strlen(end) / 2);
    ck_assert_int_eq(ended(), 0);
}
END_TEST

START_TEST(second_signal_ends_at_once)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", "--grace", "86400", NULL});
    int fd = begin(ENDLESS, 0);
    first_bytes(fd);
    kill(server.pid, SIGTERM);
    wait_for_drain();
    kill(server.pid, SIGTERM);
    ck_assert_int_eq(ended(), 128 + SIGTERM);
    close(fd);
}
END_TEST

/* While the model is not there yet. The process is stopped when that is looked at, so that nothing changes meanwhile. */
START_TEST(ends_while_opening)
{
    char command[600], out[2000];
    snprintf(command, sizeof command,
             "\"$t\" serve --measure --port 0 -m %s 2>%s/err & p=$!; sleep 0.1; kill -STOP $p; cat %s/err; rm %s/err; "
             "kill -TERM $p; kill -CONT $p; wait $p", model, dir, dir, dir);
    int code = program_sh(command, out, sizeof out);
    if (strstr(out, "listening"))
        printf("skipped: ends_while_opening, it was too quick\n");
    else
        ck_assert_msg(code == 128 + SIGTERM, "%d %s", code, out);
}
END_TEST

/* ---- clients that are no more ---- */

START_TEST(gone_client_frees_its_slot)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", "-np", "1", NULL});
    for (int i = 1; i <= 5; i++) {
        int fd = begin(ENDLESS, 0);
        first_bytes(fd);
        ck_assert_int_eq((int)metric("llamacpp:requests_processing"), 1);
        close(fd);
        wait_for("tawny:requests_cancelled_total", i);
        ck_assert_int_eq((int)metric("llamacpp:requests_processing"), 0);
        json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}", 200));
    }
    ck_assert_int_eq(server_proc_stop(&server), 0);
}
END_TEST

START_TEST(client_that_does_not_read)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", "-np", "1", "--timeout", "3600", NULL});
    int fd = begin("{\"prompt\":\"owl\",\"max_tokens\":-1,\"stream\":true,\"ignore_eos\":true,\"logprobs\":5}", 1024);
    wait_for("tawny:requests_cancelled_total", 1);
    json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}", 200));
    int room = 1 << 20; /* what the kernel still has would come in pieces of a few hundred bytes */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    const char *end = last_bytes(fd);
    ck_assert_ptr_null(strstr(end, "[DONE]"));
    ck_assert_int_eq(server_proc_stop(&server), 0);
}
END_TEST

START_TEST(full_queue)
{
    server_proc_start(&server, model, (const char *const[]){"-c", CONTEXT, "-t", "1", "-np", "1", "--queue", "1", "--grace", "0", NULL});
    int running = begin(ENDLESS, 0), waiting, third;
    first_bytes(running);
    waiting = begin(ENDLESS, 0);
    wait_for("llamacpp:requests_deferred", 1);
    third = begin(ENDLESS, 0);
    const char *answer = last_bytes(third);
    ck_assert_msg(strncmp(answer, "HTTP/1.1 429 ", 13) == 0 && strstr(answer, "\r\nRetry-After: 1\r\n"), "%s", answer);
    close(running);
    first_bytes(waiting); /* its turn */
    close(waiting);
    ck_assert_int_eq(server_proc_stop(&server), 0);
}
END_TEST

/* ---- the beginning ---- */

START_TEST(for_tests)
{
    char command[600], out[2000];
    snprintf(command, sizeof command, "LLAMA_ARG_MODEL=%s LLAMA_ARG_ALIAS=owl \"$t\" serve --ci --budget-seconds 1 2>/dev/null", model);
    ck_assert_int_eq(program_sh(command, out, sizeof out), 3);
    json_t *line = json_loads(out, 0, NULL);
    ck_assert_msg(line, "%s", out);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", (int)json_integer_value(json_object_get(line, "port")));
    ck_assert(json_is_true(json_object_get(line, "ready")) && json_integer_value(json_object_get(line, "pid")) > 0);
    ck_assert_str_eq(json_string_value(json_object_get(line, "url")), url);
    ck_assert_str_eq(json_string_value(json_object_get(line, "model")), "owl");
    json_decref(line);
}
END_TEST

START_TEST(answers_in_tests_are_the_same)
{
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        server_proc_start(&server, model, (const char *const[]){"--ci", NULL});
        json_t *j = server_json(&server, "/v1/completions", "{\"prompt\":\"owl\",\"max_tokens\":50}", 200);
        json_t *greedy = server_json(&server, "/v1/completions", "{\"prompt\":\"owl\",\"max_tokens\":50,\"temperature\":0}", 200);
        ck_assert(json_equal(json_object_get(j, "choices"), json_object_get(greedy, "choices")));
        texts[i] = json_dumps(json_object_get(j, "choices"), 0);
        json_decref(j);
        json_decref(greedy);
        ck_assert_int_eq(server_proc_stop(&server), 0);
    }
    ck_assert_str_eq(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}
END_TEST

START_TEST(budget_of_tokens)
{
    server_proc_start(&server, model, (const char *const[]){"--ci", "-c", CONTEXT, "--budget-tokens", "100", NULL});
    json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":10}", 200));
    const char *end = last_bytes(begin(ENDLESS, 0));
    ck_assert_msg(strstr(end, "the server ended the request"), "%s", end);
    ck_assert_int_eq(ended(), 3);
}
END_TEST

/* As systemd does: descriptor 3 listens, and a datagram says when the server is ready. */
START_TEST(handed_over)
{
    char program[512] = "", path[128], word[64] = "", pid[16];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    ck_assert_int_gt(readlink("/proc/self/exe", program, sizeof program - 16), 0);
    strcpy(strstr(program, "/tests/"), "/tawny");
    snprintf(path, sizeof path, "%s/notify", dir);
    strcpy(to.sun_path, path);
    int told = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), listens = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(told, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(bind(listens, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(listens, 16), 0);
    ck_assert_int_eq(getsockname(listens, (struct sockaddr *)&a, &n), 0);
    server.port = ntohs(a.sin_port);
    server.err = -1;
    int early = begin("{\"prompt\":\"x\",\"max_tokens\":1}", 0); /* before anybody is there */
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("NOTIFY_SOCKET", path, 1);
        if (listens != 3) dup2(listens, 3);
        execl(program, program, "serve", "-m", model, "--host", "nowhere.invalid", (char *)NULL);
        _exit(127);
    }
    close(listens);
    ck_assert_int_gt(recv(told, word, sizeof word - 1, 0), 0);
    ck_assert_str_eq(word, "READY=1");
    ck_assert_int_eq(strncmp(last_bytes(early), "HTTP/1.1 ", 9), 0);
    json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}", 200));
    kill(server.pid, SIGTERM);
    memset(word, 0, sizeof word);
    ck_assert_int_gt(recv(told, word, sizeof word - 1, 0), 0);
    ck_assert_str_eq(word, "STOPPING=1");
    ck_assert_int_eq(ended(), 0);
    close(told);
    unlink(path);
}
END_TEST

/* The units of tools/packaging, but for where the program is. */
START_TEST(units_are_sound)
{
    char out[4000];
    if (program_sh("command -v systemd-analyze", out, sizeof out) != 0) {
        printf("skipped: units_are_sound, there is no systemd-analyze\n");
        return;
    }
    int code = program_sh("d=$(mktemp -d) && sed \"s#/usr/local/bin/tawny#$t#\" tools/packaging/tawny.service >$d/tawny.service && cp tools/packaging/tawny.socket $d && "
                          "systemd-analyze verify --man=no $d/tawny.service $d/tawny.socket 2>&1; code=$?; rm -rf $d; exit $code", out, sizeof out);
    ck_assert_msg(code == 0 && !strstr(out, "/tawny.s"), "%d %s", code, out);
}
END_TEST

/* The number of the first right that is there and should not be, or the other way round; 0: none. */
static int wrong_right(const char *new_file)
{
    if (open(model, O_RDONLY | O_CLOEXEC) < 0) return 1;
    if (open(model, O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES) return 2;
    if (open(new_file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0 || errno != EACCES) return 3;
    if (unlink(model) == 0 || errno != EACCES) return 4;
    execl("/bin/true", "true", (char *)NULL);
    return errno == EACCES ? 0 : 5;
}

START_TEST(sandboxed)
{
    enum { WITHOUT = 77 };
    char new_file[128];
    int status;
    snprintf(new_file, sizeof new_file, "%s/new", dir);
    pid_t pid = fork();
    if (pid == 0) _exit(sandbox_enter(-1) ? WITHOUT : wrong_right(new_file));
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == WITHOUT)
        printf("skipped: sandboxed, the kernel has no Landlock\n");
    else
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static void *nothing(void *arg) { return arg; }

/* The number of the first call that is refused and should not be, or the other way round; 0: none. */
static int wrong_call(const char *new_file, bool writes)
{
    pthread_t th;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int made = open(new_file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), refused = errno;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (writes ? made < 0 || fsync(made) || unlink(new_file) : made >= 0 || refused != EPERM) return 1;
    if (open(model, O_RDONLY | O_CLOEXEC) < 0) return 2;
    if (pthread_create(&th, NULL, nothing, NULL) || pthread_join(th, NULL)) return 3;
    if (page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 || errno != EPERM) return 4;
    if (mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED || errno != EPERM) return 5;
    if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || errno != EPERM) return 6;
    if (connect(0, (struct sockaddr *)&a, sizeof a) == 0 || errno != EPERM) return 7;
    if (fork() >= 0 || errno != EPERM) return 8;
    if (kill(getppid(), 0) == 0 || errno != EPERM) return 9;
    if (execl("/bin/true", "true", (char *)NULL) == 0 || errno != EPERM) return 10;
    return 0;
}

START_TEST(only_calls_that_are_needed)
{
    enum { WITHOUT = 77 };
    char new_file[128];
    int status;
    snprintf(new_file, sizeof new_file, "%s/new", dir);
    pid_t pid = fork();
    if (pid == 0) _exit(sandbox_calls(_i) ? WITHOUT : wrong_call(new_file, _i));
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == WITHOUT)
        printf("skipped: only_calls_that_are_needed, %s\n", sandbox_calls_missing() ? sandbox_calls_missing() : "seccomp is not allowed here");
    else
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Whether all threads of a process have entered (status's "Seccomp:\t2" and "NoNewPrivs:\t1"). */
static bool all_bound(pid_t pid)
{
    char command[200], out[16];
    snprintf(command, sizeof command, "cat /proc/%d/task/*/status | grep -Ec '^(Seccomp:.[01]|NoNewPrivs:.0)$'", (int)pid);
    program_sh(command, out, sizeof out);
    return strtol(out, NULL, 10) == 0;
}

START_TEST(serves_in_the_sandbox)
{
    server_proc_start(&server, model, (const char *const[]){"-t", "2", "--pooling", "mean", NULL});
    json_decref(server_json(&server, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":5,\"grammar\":\"root ::= [a-z]*\"}", 200));
    json_decref(server_json(&server, "/v1/embeddings", "{\"input\":\"owl\"}", 200));
    if (!sandbox_missing() && !sandbox_calls_missing()) ck_assert(all_bound(server.pid));
    ck_assert_int_eq(server_proc_stop(&server), 0);
}
END_TEST

START_TEST(variables)
{
    static const struct {
        const char *set, *said;
    } bad[] = {
        {"LLAMA_ARG_PORT=abc", "LLAMA_ARG_PORT abc"},
        {"LLAMA_ARG_PORT=70000", "LLAMA_ARG_PORT 70000"},
        {"LLAMA_ARG_N_PARALLEL=0", "LLAMA_ARG_N_PARALLEL 0"},
        {"LLAMA_ARG_CTX_SIZE=1e3", "LLAMA_ARG_CTX_SIZE 1e3"},
        {"LLAMA_ARG_THREADS=", "LLAMA_ARG_THREADS is empty"},
        {"LLAMA_ARG_CACHE_TYPE_K=f17", "LLAMA_ARG_CACHE_TYPE_K f17"},
        {"LLAMA_ARG_POOLING=most", "LLAMA_ARG_POOLING most"},
        {"LLAMA_ARG_TEMPERATURE=nan", "LLAMA_ARG_TEMPERATURE nan"},
        {"LLAMA_API_KEY=", "LLAMA_API_KEY: no key"},
        {"LLAMA_ARG_API_KEY_FILE=/nowhere", "LLAMA_ARG_API_KEY_FILE: /nowhere"},
        {"LISTEN_PID=$$ LISTEN_FDS=2 exec", "LISTEN_FDS 2"},
    };
    char command[600], out[2000];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(command, sizeof command, "%s \"$t\" serve -m %s --budget-seconds 1 2>&1", bad[i].set, model);
        int code = program_sh(command, out, sizeof out);
        ck_assert_msg((code == 1 || code == 2) && strstr(out, bad[i].said), "%s: %d %s", bad[i].set, code, out);
    }
    snprintf(command, sizeof command, "LLAMA_ARG_MODEL=/nowhere LLAMA_ARG_ALIAS=a \"$t\" serve --ci -m %s -a b --budget-seconds 1 2>&1", model);
    ck_assert_int_eq(program_sh(command, out, sizeof out), 3);
    ck_assert_msg(strstr(out, "\"model\":\"b\""), "%s", out);
    setenv("LLAMA_API_KEY", "one,two", 1);
    server_proc_start(&server, model, NULL);
    unsetenv("LLAMA_API_KEY");
    int status;
    free(server_ask(&server, "GET", "/v1/models", NULL, NULL, &status));
    ck_assert_int_eq(status, 401);
    free(server_ask(&server, "GET", "/v1/models", "Authorization: Bearer two\r\n", NULL, &status));
    ck_assert_int_eq(status, 200);
    ck_assert_int_eq(server_proc_stop(&server), 0);
}
END_TEST

#endif

Suite *suite_serve_life(void);
Suite *suite_serve_life(void)
{
    Suite *s = suite_create("serve_life");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("life");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, drains);
    tcase_add_test(t, cuts_after_grace);
    tcase_add_test(t, second_signal_ends_at_once);
    tcase_add_test(t, ends_while_opening);
    tcase_add_test(t, gone_client_frees_its_slot);
    tcase_add_test(t, client_that_does_not_read);
    tcase_add_test(t, full_queue);
    tcase_add_test(t, for_tests);
    tcase_add_test(t, answers_in_tests_are_the_same);
    tcase_add_test(t, budget_of_tokens);
    tcase_add_test(t, handed_over);
    tcase_add_test(t, units_are_sound);
    tcase_add_test(t, sandboxed);
    tcase_add_loop_test(t, only_calls_that_are_needed, false, true + 1);
    tcase_add_test(t, serves_in_the_sandbox);
    tcase_add_test(t, variables);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_life, built without libmicrohttpd\n");
#endif
    return s;
}
