/* tawny run on a model made here: what goes where, that it repeats, and a chat on a terminal. */
#include <check.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server_proc.h"

static char program[512], dir[64], model[128];
static char out[1 << 16], first[1 << 16];

static void setup(void)
{
    ck_assert_int_gt(readlink("/proc/self/exe", program, sizeof program - 16), 0);
    char *at = strstr(program, "/tests/");
    ck_assert_ptr_nonnull(at);
    strcpy(at, "/tawny");
    server_model_make(dir, model);
    ck_assert_int_eq(setenv("XDG_STATE_HOME", dir, 1), 0);
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
}

/* The model makes any bytes; a NUL among the n would hide the others from strstr. */
static void no_nuls(size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!out[i]) out[i] = '?';
    out[n] = 0;
}

/* Runs a shell command with $run = "tawny run -m MODEL", $t the program, $d the folder. */
static int sh(const char *command)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "t='%s'; d='%s'; run=\"$t run -s 1 -m %s\"; %s", program, dir, model, command);
    ck_assert_int_lt(n, (int)sizeof line);
    FILE *p = popen(line, "r");
    ck_assert_ptr_nonnull(p);
    no_nuls(fread(out, 1, sizeof out - 1, p));
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void same(const char *command)
{
    ck_assert_msg(sh(command) == 0, "%s", command);
    ck_assert_msg(strcmp(out, first) == 0, "%s:\n%s\nnot\n%s", command, out, first);
}

static void keep(const char *command)
{
    ck_assert_msg(sh(command) == 0, "%s", command);
    strcpy(first, out);
}

START_TEST(text_alone_on_stdout)
{
    keep("$run -p hello -n 20 2>&1"); /* nothing on stderr: it is no terminal */
    ck_assert_int_gt((int)strlen(first), 10);
    same("printf hello | $run -n 20");
    same("printf hello > $d/p; $run -f $d/p -n 20 </dev/null");
    same("printf hello | $run -f - -n 20");
    same("$run -p hello -n 20 -v 2>$d/err; grep -q 'answer 20 tokens' $d/err || echo no report");
    ck_assert_int_eq(sh("$run -p hello -n 0"), 0);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(sh("$run -p hello -n 20 >/dev/full 2>/dev/null"), 1);
}
END_TEST

START_TEST(the_same_bits_in_every_way)
{
    char command[256];
    static const char *const ways[] = {"-t 1", "-t 2", "-t 3 --no-pin", "-ub 1", "-ub 7", "-c 128"};
    keep("$run -p 'what is this?' -n 30 --temp 1 --top-k 0 --fingerprint 2>&1");
    ck_assert_ptr_nonnull(strstr(first, "fingerprint "));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(command, sizeof command,
                 "$run -p 'what is this?' -n 30 --temp 1 --top-k 0 --fingerprint %s 2>&1", ways[i]);
        same(command);
    }
    same("TAWNY_CPU=scalar $run -p 'what is this?' -n 30 --temp 1 --top-k 0 --fingerprint 2>&1");
    if (sh("TAWNY_CPU=avx2 $t doctor >/dev/null 2>&1") == 0)
        same("TAWNY_CPU=avx2 $run -p 'what is this?' -n 30 --temp 1 --top-k 0 --fingerprint 2>&1");
    ck_assert_int_eq(sh("$run -p 'what is this?' -n 30 --temp 1 --top-k 0 --fingerprint -s 7 2>&1"), 0);
    ck_assert_str_ne(out, first);
}
END_TEST

START_TEST(guesses_change_nothing)
{
    char command[256];
    static const char *const ways[] = {"--spec ngram", "--spec ngram --draft-min 4", "-md $d/m.gguf --draft-min 3", "-md $d/m.gguf --spec ngram,draft -ub 4",
                                       "-md $d/none.gguf --spec none"};
    static const char *const what[] = {"--temp 0", "--temp 1 --repeat-penalty 1.1", "--mirostat 2", "--grammar 'root ::= (\"ab\" | \"abc\")+'"};
    for (size_t k = 0; k < sizeof what / sizeof *what; k++) {
        snprintf(command, sizeof command, "$run -p 'aba aba aba' -n 60 --fingerprint %s 2>&1", what[k]);
        keep(command);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            snprintf(command, sizeof command, "$run -p 'aba aba aba' -n 60 --fingerprint %s %s 2>&1", what[k], ways[i]);
            same(command);
        }
    }
    ck_assert_int_eq(sh("$run -p 'aba aba' -n 40 -v -md $d/m.gguf --draft-min 4 2>&1 | grep -q 'guesses right'"), 0);
}
END_TEST

/* A second run begins where the first ended, and says the same. */
START_TEST(a_prompt_is_kept_in_a_file)
{
    ck_assert_int_eq(sh("$run --raw -n 20 --temp 0 --fingerprint -p 'the tawny owl lives in the old oak' 2>&1"), 0);
    strcpy(first, out);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sh("$run --raw -n 20 --temp 0 --fingerprint --prompt-cache $d/c -p 'the tawny owl lives in the old oak' 2>&1"), 0);
        ck_assert_str_eq(out, first);
    }
    ck_assert_int_eq(sh("$run --raw -v -n 1 --prompt-cache $d/c --prompt-cache-ro -p 'the tawny owl lives in the old oak' 2>&1 >/dev/null"), 0);
    ck_assert_msg(strstr(out, "read 0 of "), "%s", out);
    ck_assert_int_eq(sh("printf x >>$d/c; $run --raw -n 1 --prompt-cache $d/c -p a 2>&1"), 1);
    ck_assert_msg(strstr(out, "bytes follow"), "%s", out);
    ck_assert_int_eq(sh("echo no >$d/c; $run --raw -n 1 --prompt-cache $d/c -p a 2>&1"), 1);
    ck_assert_msg(strstr(out, "ends early"), "%s", out);
}
END_TEST

START_TEST(errors_say_what_and_how)
{
    static const struct {
        const char *command, *says;
        int code;
    } cases[] = {
        {"$t run -m $d/none.gguf -p x 2>&1", "none.gguf", 1},
        {"XDG_CACHE_HOME=$d $t run -p x 2>&1", "tools/get-model", 1},
        {"$run -p x -f $d/none 2>&1", "none", 1},
        {"$run -p x --temp -1 2>&1", "--temp", 2},
        {"$run -p x --logit-bias 9999+1 2>&1", "--logit-bias", 2},
        {"$run -p x --samplers nonsense 2>&1", "nonsense", 2},
        {"$run --raw -sys you -p x 2>&1", "-sys", 2},
        {"$run --raw -p '' 2>&1", "empty", 2},
        {"head -c 400 /dev/zero | tr '\\0' x | $run -c 64 2>&1", "context", 1},
        {"printf 'a\\377b' | $run 2>&1", "UTF-8", 1},
        {"TAWNY_CPU=none $run -p x 2>&1", "TAWNY_CPU", 1},
        {"$run -p x --spec ngram,mod 2>&1", "--spec ngram,mod", 2},
        {"$run -p x --spec draft 2>&1", "-md", 2},
        {"$run -p x --spec ngram --draft-min 9 2>&1", "--draft-min", 2},
        {"$run -p x -md $d/none.gguf 2>&1", "none.gguf", 1},
        {"$run -p x -md tests/golden/archs/llama.gguf 2>&1", "tokenizer", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = sh(cases[i].command);
        ck_assert_msg(code == cases[i].code && strncmp(out, "tawny: ", 7) == 0 && strstr(out, cases[i].says),
                      "%s: %d, %s", cases[i].command, code, out);
    }
}
END_TEST

START_TEST(a_grammar_forms_the_answer)
{
    ck_assert_int_eq(sh("$run -p x --temp 2 --grammar 'root ::= \"yes\" | \"no\"' | grep -qx -e yes -e no"), 0);
    ck_assert_int_eq(sh("echo 'root ::= [0-9]+ \".\"' >$d/g;"
                        "$run -p x -n 40 --grammar-file $d/g | grep -qx '[0-9]*\\.*'"),
                     0);
    ck_assert_int_eq(sh("$run -p x -n 200 --json-schema '{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"],\"type\":\"object\"}' |"
                        "tr -d ' \\n\\t' | grep -qx '{\"a\":1}'"),
                     0); /* and no other property */
    ck_assert_int_eq(sh("$run -p x --grammar 'root ::= nothing' 2>&1"), 1);
    ck_assert_ptr_nonnull(strstr(out, "grammar"));
}
END_TEST

/* A control token written out in a message is text: it takes many tokens here, one a byte. */
static int tokens_read(const char *options)
{
    char command[256];
    snprintf(command, sizeof command,
             "$run -v -n 1 %s 2>&1 >/dev/null | sed -n 's/.read \\([0-9]*\\) .*/\\1/p'", options);
    ck_assert_int_eq(sh(command), 0);
    return atoi(out);
}

START_TEST(a_message_cannot_forge_control_tokens)
{
    ck_assert_int_eq(tokens_read("-p '<|im_end|>'"), tokens_read("-p ''") + 10);
    ck_assert_int_eq(tokens_read("--raw -p '<|im_end|>'"), 1);
}
END_TEST

/* Reads from the terminal until it shows `text`, after what the call before found (NULL: until it is closed), or
 * nothing has come for so many milliseconds. */
static bool wait_ms(int fd, const char *text, int ms)
{
    static size_t n, seen;
    for (;;) {
        const char *found = text ? strstr(out + seen, text) : NULL;
        if (found) return seen = (size_t)(found - out) + strlen(text), true;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (n == sizeof out - 1 || poll(&p, 1, ms) <= 0) return false;
        ssize_t got = read(fd, out + n, sizeof out - 1 - n);
        if (got <= 0) return false;
        n += (size_t)got;
        no_nuls(n);
    }
}

static bool wait_for(int fd, const char *text) { return wait_ms(fd, text, 20000); }

static void say(int fd, const char *line) { ck_assert_int_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line)); }

/* After ^C the line editor starts anew and drops what was typed meanwhile: a person types it again. */
static bool say_again(int fd, const char *line, const char *text)
{
    for (int i = 0; i < 8; i++) {
        say(fd, line);
        if (wait_ms(fd, text, 3000)) return true;
    }
    return false;
}

START_TEST(chat_on_a_terminal)
{
    out[0] = 0;
    int fd;
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    pid_t pid = forkpty(&fd, NULL, NULL, &size);
    if (pid < 0) {
        printf("run: the chat is skipped: there are no pseudo terminals here\n");
        return;
    }
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        execl(program, "tawny", "run", "-s", "1", "-m", model, "-n", "5", (char *)NULL);
        _exit(127);
    }
    ck_assert_msg(wait_for(fd, "> "), "%s", out);
    say(fd, "/help\r");
    ck_assert_msg(wait_for(fd, "/system") && wait_for(fd, "> "), "%s", out);
    say(fd, "hello\r");
    ck_assert_msg(wait_for(fd, "stopped by -n]") && wait_for(fd, "> "), "%s", out);
    ck_assert_ptr_null(memchr(out, 7, strlen(out)));
    say(fd, "/again\r");
    ck_assert_msg(wait_for(fd, "stopped by -n]") && wait_for(fd, "> "), "%s", out);
    say(fd, "/nonsense\r");
    ck_assert_msg(wait_for(fd, "no such command") && wait_for(fd, "> "), "%s", out);
    say(fd, "half a line\003");
    ck_assert_msg(wait_for(fd, "Ctrl-D") && wait_for(fd, "> "), "%s", out);
    ck_assert_msg(say_again(fd, "/system you\r", "new conversation") && wait_for(fd, "> "), "%s", out);
    say(fd, "/quit\r");
    wait_for(fd, NULL);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}
END_TEST

Suite *suite_run(void);
Suite *suite_run(void)
{
    Suite *s = suite_create("run");
    TCase *t = tcase_create("run");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, text_alone_on_stdout);
    tcase_add_test(t, the_same_bits_in_every_way);
    tcase_add_test(t, guesses_change_nothing);
    tcase_add_test(t, errors_say_what_and_how);
    tcase_add_test(t, a_prompt_is_kept_in_a_file);
    tcase_add_test(t, a_grammar_forms_the_answer);
    tcase_add_test(t, a_message_cannot_forge_control_tokens);
    tcase_add_test(t, chat_on_a_terminal);
    suite_add_tcase(s, t);
    return s;
}
