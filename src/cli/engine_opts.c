#include "engine_opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "hub.h"

#define DEFAULT_MODEL "SmolLM2-135M-Instruct.Q4_1.gguf"

bool default_model_path(char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return snprintf(path, size, "%s/tawny/models/" DEFAULT_MODEL, cache) < (int)size;
    return home && *home && snprintf(path, size, "%s/.cache/tawny/models/" DEFAULT_MODEL, home) < (int)size;
}

bool engine_opts_kv_type(const char *name, tawny_kv_type *type)
{
    if (!name || strcasecmp(name, "f16") == 0)
        *type = TAWNY_KV_F16;
    else if (strcasecmp(name, "f32") == 0)
        *type = TAWNY_KV_F32;
    else
        return false;
    return true;
}

int engine_opts_resolve(engine_opts *o, const char *command, char *path, size_t size)
{
    if (!engine_opts_kv_type(o->type_k, &o->params.type_k)) return cli_fail(2, "%s: -ctk %s: f16 and f32 are known",
                                                                            command, o->type_k);
    if (!engine_opts_kv_type(o->type_v, &o->params.type_v)) return cli_fail(2, "%s: -ctv %s: f16 and f32 are known",
                                                                            command, o->type_v);
    if (o->model && hub_is_spec(o->model)) {
        tawny_error err;
        char found[HUB_PATH];
        if (hub_get(o->model, &(hub_options){0}, found, &err) != TAWNY_OK) return cli_fail_err(&err);
        if (snprintf(path, size, "%s", found) >= (int)size) return cli_fail(1, "%s: too long a path", found);
        o->model = path;
    }
    if (o->model) return -1;
    if (!default_model_path(path, size) || access(path, R_OK) != 0)
        return cli_fail(1,
                        "%s: no model given (-m FILE), and the default one is not there: `tools/get-model` fetches it", command);
    o->model = path;
    return -1;
}
