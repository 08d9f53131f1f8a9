/* tawny pull: fetches a model and prints its path. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "hub.h"

int cmd_pull(int argc, char **argv)
{
    hub_options o = {.refresh = true};
    cli_list rest = {0};
    const cli_opt opts[] = {
        {"--offline", CLI_FLAG, &o.offline, NULL, "use what is cached, ask nothing of the network", 0, 0},
        {"-q --quiet", CLI_FLAG, &o.quiet, NULL, "no progress bar", 0, 0},
        {0},
    };
    char path[HUB_PATH];
    tawny_error err = {0};
    int code = cli_parse("pull", argc, argv, opts, &rest);
    if (code >= 0) return code;
    if (rest.n == 0) return cli_fail(2, "pull: which model? hf:USER/REPO, hf:USER/REPO:QUANT, or a URL");
    for (size_t i = 0; i < rest.n && code < 0; i++) {
        if (!hub_is_spec(rest.items[i]))
            code = cli_fail(2, "pull: %s: a model is named hf:USER/REPO, hf:USER/REPO:QUANT, or by its URL", rest.items[i]);
        else if (hub_get(rest.items[i], &o, path, &err) != TAWNY_OK)
            code = cli_fail_err(&err);
        else
            puts(path);
    }
    free(rest.items);
    return code < 0 ? cli_finish(0) : code;
}
