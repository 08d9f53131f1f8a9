/* The command line: one file a subcommand (cmd_NAME.c), a line each in commands.def, and one table-driven
 * option parser, so that every command's --help is made from the options it really reads.
 *
 * Exit codes: 0 done, 1 failed, 2 usage. Errors go to stderr as "tawny: what: why". */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "../base/error.h"

typedef enum cli_kind {
    CLI_FLAG,   /* bool *: set to true */
    CLI_UNSET,  /* bool *: set to false */
    CLI_INT,    /* int *, within [min, max] */
    CLI_U64,    /* uint64_t *; a negative number wraps, as llama.cpp's seed -1 does */
    CLI_FLOAT,  /* float *, finite, within [min, max] */
    CLI_STR,    /* const char ** */
    CLI_LIST,   /* cli_list *: may be given several times */
    CLI_HEADING /* help text only: `help` is printed as a heading */
} cli_kind;

typedef struct cli_list {
    const char **items;
    size_t n;
} cli_list;

typedef struct cli_opt {
    const char *names; /* "-m --model": the first short, the last long; single-dash words are fine ("-sys") */
    cli_kind kind;
    void *out;
    const char *arg;  /* the argument's name in the help: "FILE", "N" */
    const char *help; /* one line */
    double min, max;  /* for numbers; both 0: no limits */
} cli_opt;

/* Parses argv[1..argc-1]; what is no option goes to rest (NULL: such a word is an error). "--" ends options;
 * "--name=value" is "--name value". The table ends with a zeroed row. Returns -1 to go on, or an exit
 * code: 0 after printing --help, 2 after a message. */
int cli_parse(const char *command, int argc, char **argv, const cli_opt *opts, cli_list *rest);

/* Variables of the environment that stand for options; the table ends with a zeroed row. To be read before the options,
 * which win. A value that the option would refuse, or an empty one, is an error that names the variable; -1 or the code. */
typedef struct cli_variable {
    const char *variable, *option; /* "LLAMA_ARG_PORT", "--port" */
    bool (*known)(const char *value); /* of words that are looked up later; NULL: all */
} cli_variable;
int cli_env(const char *command, const cli_opt *opts, const cli_variable *table);

/* "tawny: " message newline on stderr; returns code so that it can end a function. */
int cli_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_fail_err(const tawny_error *err); /* 1, or 2 for TAWNY_E_ARG */

/* Flushes stdout and checks it: a full disk or closed pipe is an error (exit code 1), not silence. */
int cli_finish(int code);

/* One row a command, from commands.def. */
typedef struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;  /* for `tawny help` */
    const char *synopsis; /* after "usage: tawny NAME " */
} cli_command;
const cli_command *cli_find(const char *name);

#define COMMAND(name, synopsis, summary) int cmd_##name(int argc, char **argv);
#include "commands.def"
#undef COMMAND

#endif
