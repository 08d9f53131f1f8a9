/* The commands, from commands.def, and what `tawny help` says of them. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const cli_command commands[] = {
#define COMMAND(name, synopsis, summary) {#name, cmd_##name, summary, synopsis},
#include "commands.def"
#undef COMMAND
};

const cli_command *cli_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

int cmd_help(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-') {
        const cli_command *c = cli_find(argv[1]);
        if (!c) return cli_fail(2, "%s: no such command; see `tawny help`", argv[1]);
        if (strcmp(argv[1], "help") != 0) return c->run(2, (char *[]){argv[1], "--help", NULL});
    }
    printf("tawny %s: large language models from GGUF files on the CPU alone\n\n"
           "usage: tawny COMMAND [OPTION ...]\n\n", TAWNY_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    printf("\n`tawny help COMMAND` shows the options of one.\n");
    return cli_finish(0);
}
