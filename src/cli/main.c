/* tawny COMMAND ...: finds the command and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

int main(int argc, char **argv)
{
    if (argc < 2) {
        cmd_help(1, argv);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("tawny %s (contract %d)\n", TAWNY_VERSION, TAWNY_CONTRACT);
        return cli_finish(0);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return cmd_help(1, argv);
    const cli_command *c = cli_find(name);
    if (!c) return cli_fail(2, "%s: no such command; see `tawny help`", name);
    return c->run(argc - 1, argv + 1);
}
