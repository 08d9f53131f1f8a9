/* tawny compare: benchmarks of CPU and GPU beside each other; or both run in turn, then compared. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compare.h"
#include "engine_opts.h"
#include "machines.h"

enum { MAX_ARGS = 64 };

typedef struct compare_opts {
    engine_opts engine;
    const char *format, *ceiling, *machine, *gpu, *with, *args, *p, *n, *d;
    int repeat;
    bool interfere;
} compare_opts;

/* "cpu=118,gpu=215" */
static int read_ceiling(const char *text, double out[2])
{
    for (const char *s = text; *s;) {
        static const char *const names[] = {"cpu=", "gpu="};
        int which = strncmp(s, names[0], 4) == 0 ? 0 : strncmp(s, names[1], 4) == 0 ? 1 : -1;
        char *end;
        double v = which >= 0 ? strtod(s + 4, &end) : 0;
        if (which < 0 || end == s + 4 || !(v > 0 && v < 1e5) || (*end && *end != ','))
            return cli_fail(2, "compare: --ceiling %s: must be cpu=GB/s,gpu=GB/s", text);
        out[which] = v;
        s = *end ? end + 1 : end;
    }
    return -1;
}

static int read_gpu(const char *path, compare_table *t)
{
    machine m;
    tawny_error err;
    if (machine_gpu(path, &m, &err) != TAWNY_OK) return cli_fail_err(&err);
    t->ceiling[1] = m.read_high;
    if (m.kind == MACHINE_CPU) {
        char text[160];
        snprintf(text, sizeof text, "--gpu %.60s: %.80s", path, m.label);
        json_array_append_new(t->warnings, json_string(text));
    }
    return -1;
}

/* "max395-128" stands for its CPU and its iGPU; a GPU's name for the GPU alone. */
static int read_machine(const char *name, double out[2])
{
    static const char *const ends[] = {"-cpu", "-igpu"};
    bool found = false;
    for (int k = 0; k < 2; k++) {
        char full[64];
        snprintf(full, sizeof full, "%.40s%s", name, ends[k]);
        const machine *m = machine_find(full);
        if (m) out[k] = m->read_high;
        found = found || m;
    }
    const machine *m = machine_find(name);
    if (m) out[m->kind == MACHINE_CPU ? 0 : 1] = m->read_high;
    return found || m
               ? -1
               : cli_fail(2,
                          "compare: --machine %s: %s, and max385-32, max395-64, max395-128 for both sides, are known",
                          name, machine_names());
}

/* ---- running both sides ---- */

/* A program at work: its output goes into a temporary file, what it complains of into an anonymous one. */
typedef struct child {
    pid_t pid; /* -1: it could not be started */
    int complaints;
    char path[64];
} child;

static child start(const char *const *argv)
{
    child c = {.pid = -1, .complaints = memfd_create("complaints", MFD_CLOEXEC), .path = "/tmp/tawny-compare-XXXXXX"};
    int fd = mkstemp(c.path);
    if (fd < 0) return c;
    c.pid = fork();
    if (c.pid == 0) {
        union { /* execvp takes them without const, and changes nothing */
            const char *const *in;
            char *const *out;
        } u = {argv};
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(fd, 1);
        dup2(c.complaints >= 0 ? c.complaints : null, 2);
        execvp(argv[0], u.out);
        _exit(127);
    }
    close(fd);
    if (c.pid < 0) unlink(c.path);
    return c;
}

/* Why it failed: the first line that speaks of an error, else the first one. */
static void reason(int complaints, char out[160])
{
    char text[8192];
    ssize_t n = complaints < 0 ? 0 : pread(complaints, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    const char *line = strcasestr(text, "error");
    while (line && line > text && line[-1] != '\n') line--;
    if (!line) line = text + strspn(text, "\n");
    size_t k = strcspn(line, "\n");
    snprintf(out, 160, "%.*s", (int)(k < 150 ? k : 150), line);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = '?';
}

static int finish(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int common(const compare_opts *o, const char *program, const char *command, const char *const *more,
                  const char **argv, char repeat[16])
{
    int n = 0;
    snprintf(repeat, 16, "%d", o->repeat);
    argv[n++] = program;
    if (command) argv[n++] = command;
    const char *const rest[] = {"-m", o->engine.model, "-p", o->p, "-n", o->n, "-r", repeat, "-o", "json", "-d", o->d};
    size_t used = sizeof rest / sizeof *rest;
    if (strcmp(o->d, "0") == 0) used -= 2; /* which ik_llama.cpp and llama.cpp of before 2025 do not know */
    for (size_t i = 0; i < used; i++) argv[n++] = rest[i];
    for (; *more && n < MAX_ARGS - 1; more++) argv[n++] = *more;
    argv[n] = NULL;
    return n;
}

/* Words of a text, apart by blanks. */
static char **words_of(char *text, char *out[MAX_ARGS / 2])
{
    int n = 0;
    for (char *w = strtok(text, " "); w && n < MAX_ARGS / 2 - 1; w = strtok(NULL, " ")) out[n++] = w;
    out[n] = NULL;
    return out;
}

static int run_one(const char *const *argv, compare_table *t)
{
    char why[160];
    tawny_error err;
    child c = start(argv);
    if (c.pid < 0) return cli_fail(1, "compare: %s could not be started", argv[0]);
    int code = finish(c.pid);
    tawny_status st = code == 0 ? compare_read(c.path, t, &err) : TAWNY_OK;
    unlink(c.path);
    reason(c.complaints, why);
    if (c.complaints >= 0) close(c.complaints);
    if (code == 127) return cli_fail(1, "compare: %s: no such program", argv[0]);
    if (code != 0) return cli_fail(1, "compare: %s failed%s%s", argv[0], *why ? ": " : "", why);
    return st == TAWNY_OK ? -1 : cli_fail_err(&err);
}

/* tawny's decode alone, then while the other side is busy: what the bus that both share costs each. */
static int interfere(const compare_opts *o, const char *const *tawny, const char *const *other, compare_table *t)
{
    compare_table alone = {0}, busy = {0};
    int code = run_one(tawny, &alone);
    child c = {.pid = -1, .complaints = -1};
    if (code < 0) c = start(other);
    if (code < 0 && c.pid < 0) code = cli_fail(1, "compare: %s could not be started", other[0]);
    if (code < 0) code = run_one(tawny, &busy);
    if (c.pid > 0) {
        kill(c.pid, SIGTERM);
        finish(c.pid);
        unlink(c.path);
    }
    if (c.complaints >= 0) close(c.complaints);
    for (int i = 0; code < 0 && i < alone.n && i < busy.n; i++) {
        char text[240];
        snprintf(text, sizeof text,
                 "while %.60s was busy, tawny's %s went from %.2f to %.2f tok/s (%.0f%%): both read the same memory",
                 o->with, alone.row[i].gen > 0 ? "generation" : "prefill", alone.row[i].ts, busy.row[i].ts,
                 100 * busy.row[i].ts / alone.row[i].ts);
        json_array_append_new(t->warnings, json_string(text));
    }
    compare_free(&alone);
    compare_free(&busy);
    return code;
}

static int run_both(const compare_opts *o, compare_table *t)
{
    char self[4096] = "", repeat[16], *args = strdup(o->args), *words[MAX_ARGS / 2];
    const char *tawny[MAX_ARGS], *other[MAX_ARGS], *none[] = {NULL};
    if (!args || readlink("/proc/self/exe", self, sizeof self - 1) <= 0) {
        free(args);
        return cli_fail(1, "compare: where is this program?");
    }
    common(o, self, "bench", none, tawny, repeat);
    common(o, o->with, NULL, (const char *const *)words_of(args, words), other, repeat);
    int code = run_one(tawny, t);
    if (code < 0) code = run_one(other, t);
    if (code < 0 && o->interfere) code = interfere(o, tawny, other, t);
    free(args);
    return code;
}

int cmd_compare(int argc, char **argv)
{
    compare_opts o = {.format = "term", .args = "", .p = "512", .n = "128", .d = "0", .repeat = 3};
    cli_list files = {0};
    const cli_opt opts[] = {
        {"-o --output", CLI_STR, &o.format, "FORMAT", "term (default), md, json, csv, html or svg", 0, 0},
        {"--ceiling", CLI_STR, &o.ceiling, "cpu=N,gpu=N", "what the memory can deliver to each, in GB/s", 0, 0},
        {"--machine", CLI_STR, &o.machine, "NAME",
         "the same by a machine's name: max395-128, rtx4090, ... (see tawny plan)", 0, 0},
        {"--gpu", CLI_STR, &o.gpu, "FILE", "that of the GPU as `gpu-bandwidth --json` measured it into FILE", 0, 0},
        {"-m --model", CLI_STR, &o.engine.model, "FILE", "the model: its header tells what a token reads", 0, 0},
        {NULL, CLI_HEADING, NULL, NULL, "to run both sides now, one after the other", 0, 0},
        {"--with", CLI_STR, &o.with, "PROGRAM", "a llama-bench of the GPU", 0, 0},
        {"--args", CLI_STR, &o.args, "ARGS", "its further arguments, in one word (\"-ngl 99 -fa 1\")", 0, 0},
        {"--interfere", CLI_FLAG, &o.interfere, NULL, "then tawny's speed while the other side is busy", 0, 0},
        {"-p --n-prompt", CLI_STR, &o.p, "LIST", "tokens of the prompts (default: 512)", 0, 0},
        {"-n --n-gen", CLI_STR, &o.n, "LIST", "tokens to generate (default: 128)", 0, 0},
        {"-d --n-depth", CLI_STR, &o.d, "LIST", "tokens in the cache before the test (default: 0)", 0, 0},
        {"-r --repetitions", CLI_INT, &o.repeat, "N", "runs of each test (default: 3)", 1, 100},
        {0},
    };
    int code = cli_parse("compare", argc, argv, opts, &files);
    if (code >= 0) return code;
    compare_table t = {.warnings = json_array()};
    compare_pair *pairs = NULL;
    compare_format format;
    tawny_error err;
    char path[4096];
    if (!compare_format_by_name(o.format, &format))
        code = cli_fail(2, "compare: -o %s: term, md, json, csv, html and svg are known", o.format);
    if (code < 0 && !files.n && !o.with)
        code = cli_fail(2, "compare: which results? files of llama-bench or tawny bench, or --with");
    if (code < 0 && o.machine) code = read_machine(o.machine, t.ceiling);
    if (code < 0 && o.gpu) code = read_gpu(o.gpu, &t);
    if (code < 0 && o.ceiling) code = read_ceiling(o.ceiling, t.ceiling);
    if (code < 0 && o.with) code = engine_opts_resolve(&o.engine, "compare", path, sizeof path);
    for (size_t i = 0; code < 0 && i < files.n; i++)
        if (compare_read(files.items[i], &t, &err) != TAWNY_OK) code = cli_fail_err(&err);
    if (code < 0 && o.with) code = run_both(&o, &t);
    if (code < 0) {
        compare_derive(&t, o.engine.model);
        int n = compare_match(&t, &pairs);
        compare_print(&t, pairs, n, format);
    }
    free(pairs);
    compare_free(&t);
    free(files.items);
    return code < 0 ? cli_finish(0) : code;
}
