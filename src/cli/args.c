/* The option parser and the help made from its tables. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

int cli_fail(int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fflush(stdout);
    fputs("tawny: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return code;
}

int cli_fail_err(const tawny_error *err) { return cli_fail(err->code == TAWNY_E_ARG ? 2 : 1, "%s", err->message); }

int cli_finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) return cli_fail(1, "standard output: %s", strerror(errno));
    return code;
}

static int has_name(const char *names, const char *word, size_t n)
{
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0) return 1;
        p += len;
        while (*p == ' ') p++;
    }
    return 0;
}

static void print_help(const char *command, const cli_opt *opts)
{
    const cli_command *c = cli_find(command);
    printf("usage: tawny %s %s\n%s\n\n", command, c ? c->synopsis : "", c ? c->summary : "");
    for (const cli_opt *first = opts; opts->names || opts->kind == CLI_HEADING; opts++) {
        if (opts->kind == CLI_HEADING) {
            printf("%s%s\n", opts == first ? "" : "\n", opts->help);
            continue;
        }
        char left[96];
        size_t at = 0;
        for (const char *p = opts->names; *p && at < sizeof left - 3; p++) {
            if (*p == ' ') left[at++] = ',';
            left[at++] = *p;
        }
        left[at] = 0;
        if (opts->arg) snprintf(left + at, sizeof left - at, " %s", opts->arg);
        if (strlen(left) > 30)
            printf("  %s\n  %-30s %s\n", left, "", opts->help);
        else
            printf("  %-30s %s\n", left, opts->help);
    }
    printf("  %-30s %s\n", "-h, --help", "this text");
}

static const cli_opt *find_opt(const cli_opt *opts, const char *word, size_t n)
{
    for (; opts->names || opts->kind == CLI_HEADING; opts++)
        if (opts->kind != CLI_HEADING && has_name(opts->names, word, n)) return opts;
    return NULL;
}

static int out_of_range(const char *command, const cli_opt *o, const char *word, const char *value)
{
    if (o->min < o->max)
        return cli_fail(2, "%s: %s %s: must be a number from %.12g to %.12g", command, word, value, o->min, o->max);
    return cli_fail(2, "%s: %s %s: not a number", command, word, value);
}

static int append(cli_list *l, const char *item)
{
    const char **p = realloc(l->items, (l->n + 1) * sizeof *p);
    if (!p) return cli_fail(1, "out of memory");
    l->items = p;
    l->items[l->n++] = item;
    return -1;
}

static int set_value(const char *command, const cli_opt *o, const char *word, const char *value)
{
    char *end = NULL;
    bool limited = o->min < o->max;
    errno = 0;
    switch (o->kind) {
    case CLI_INT: {
        long v = strtol(value, &end, 10);
        if (end == value || *end || errno || v < INT32_MIN || v > INT32_MAX ||
            (limited && ((double)v < o->min || (double)v > o->max)))
            return out_of_range(command, o, word, value);
        *(int *)o->out = (int)v;
        return -1;
    }
    case CLI_U64:
        *(uint64_t *)o->out = value[0] == '-' ? (uint64_t)strtoll(value, &end, 10) : strtoull(value, &end, 10);
        if (end == value || *end || errno) return out_of_range(command, o, word, value);
        return -1;
    case CLI_FLOAT: {
        double v = strtod(value, &end);
        if (end == value || *end || !isfinite(v) || (limited && (v < o->min || v > o->max)))
            return out_of_range(command, o, word, value);
        *(float *)o->out = (float)v;
        return -1;
    }
    case CLI_LIST: return append(o->out, value);
    default: *(const char **)o->out = value; return -1;
    }
}

int cli_env(const char *command, const cli_opt *opts, const cli_variable *v)
{
    int code = -1;
    for (; v->variable && code < 0; v++) {
        const char *value = getenv(v->variable);
        if (!value) continue;
        const cli_opt *o = find_opt(opts, v->option, strlen(v->option));
        if (!*value || !o) return cli_fail(2, "%s: %s is empty", command, v->variable);
        if (v->known && !v->known(value))
            return cli_fail(2, "%s: %s %s: not a value of %s", command, v->variable, value, v->option);
        code = set_value(command, o, v->variable, value);
    }
    return code;
}

int cli_parse(const char *command, int argc, char **argv, const cli_opt *opts, cli_list *rest)
{
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (options_end || word[0] != '-' || word[1] == 0) {
            if (!rest) return cli_fail(2, "%s: unexpected argument '%s'", command, word);
            int code = append(rest, word);
            if (code >= 0) return code;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_end = true;
            continue;
        }
        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            print_help(command, opts);
            return cli_finish(0);
        }
        const char *eq = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        const cli_opt *o = find_opt(opts, word, eq ? (size_t)(eq - word) : strlen(word));
        if (!o) return cli_fail(2, "%s: unknown option '%s'; see `tawny help %s`", command, word, command);
        if (o->kind == CLI_FLAG || o->kind == CLI_UNSET) {
            if (eq) return cli_fail(2, "%s: %s takes no value", command, word);
            *(bool *)o->out = o->kind == CLI_FLAG;
            continue;
        }
        if (!eq && i + 1 >= argc) return cli_fail(2, "%s: %s needs a value", command, word);
        int code = set_value(command, o, word, eq ? eq + 1 : argv[++i]);
        if (code >= 0) return code;
    }
    return -1;
}
