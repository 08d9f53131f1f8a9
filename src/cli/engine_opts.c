#include "engine_opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../base/file.h"
#include "../engine/engine.h"
#include "blas.h"
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
    for (int t = 0; t < TAWNY_KV_TYPES; t++)
        if (!name || strcasecmp(name, tawny_kv_type_name((tawny_kv_type)t)) == 0) {
            *type = (tawny_kv_type)t;
            return true;
        }
    return false;
}

static int unknown_type(const char *command, const char *flag, const char *name)
{
    return cli_fail(2, "%s: %s %s: f16, f32, bf16, q8_0 and q4_0 are known", command, flag, name);
}

bool engine_opts_load(const char *name, tawny_load *load)
{
    static const struct {
        const char *name;
        tawny_load load;
    } others[] = {
        {"none", TAWNY_LOAD_HUGE},
        {"dio", TAWNY_LOAD_HUGE},
        {"mlock", TAWNY_LOAD_HUGE_LOCK},
        {"mmap+mlock", TAWNY_LOAD_LOCK},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i].name) == 0) return *load = others[i].load, true;
    return tawny_load_parse(name, load);
}

int engine_opts_gemm(const char *name, const char *command, tawny_gemm *gemm)
{
    *gemm = NULL;
    if (!name || strcmp(name, "own") == 0) return -1;
    if (strcmp(name, "blas") != 0) return cli_fail(2, "%s: --gemm %s: own and blas are known", command, name);
    int code = blas_open(command, gemm);
    if (code < 0) fprintf(stderr, "tawny: --gemm blas: results are this machine's alone, outside of the contract\n");
    return code;
}

static int resolve_load(engine_opts *o, const char *command)
{
    static const tawny_load ways[2][2] = {{TAWNY_LOAD_MMAP, TAWNY_LOAD_LOCK}, {TAWNY_LOAD_HUGE, TAWNY_LOAD_HUGE_LOCK}};
    o->load = ways[o->no_mmap][o->lock];
    if (!o->load_name) return -1;
    if (o->lock || o->no_mmap) return cli_fail(2, "%s: --load and --mlock or --no-mmap: one of them", command);
    if (engine_opts_load(o->load_name, &o->load)) return -1;
    return cli_fail(2, "%s: --load %s: mmap, recache, huge, lock, huge+lock and auto are known", command, o->load_name);
}

/* A large model whose pages in memory are small, where they need not be. */
static void hint_recache(const tawny_model *m)
{
    file_cached c;
    tawny_error err;
    const gguf *g = m->m.file;
    if (gguf_file_bytes(g) < 256 << 20 || gguf_in_cache(g, true, &c, &err) != TAWNY_OK) return;
    if (c.folds && c.bytes > 0 && c.large < c.bytes / 2)
        fprintf(stderr, "tawny: the page cache holds the model in small pages: `--load recache`, once, makes it faster\n");
}

void engine_opts_tell(const engine_opts *o, const tawny_model *m)
{
    const char *why;
    tawny_model_loaded(m, &why);
    if (o->load == TAWNY_LOAD_MMAP) hint_recache(m);
    if (why[0]) fprintf(stderr, "tawny: --load %s%s\n", o->load == TAWNY_LOAD_AUTO ? "auto: " : "", why);
}

tawny_status engine_opts_open(const engine_opts *o, tawny_model **out, tawny_error *err)
{
    tawny_status st = tawny_model_open_as(o->model, o->load, out, err);
    if (st == TAWNY_OK) engine_opts_tell(o, *out);
    return st;
}

int engine_opts_find(const char **file, char *path, size_t size)
{
    tawny_error err;
    char found[HUB_PATH];
    if (!hub_is_spec(*file)) return -1;
    if (hub_get(*file, &(hub_options){0}, found, &err) != TAWNY_OK) return cli_fail_err(&err);
    if (snprintf(path, size, "%s", found) >= (int)size) return cli_fail(1, "%s: too long a path", found);
    *file = path;
    return -1;
}

int engine_opts_resolve(engine_opts *o, const char *command, char *path, size_t size)
{
    if (!engine_opts_kv_type(o->type_k, &o->params.type_k)) return unknown_type(command, "-ctk", o->type_k);
    if (!engine_opts_kv_type(o->type_v, &o->params.type_v)) return unknown_type(command, "-ctv", o->type_v);
    int code = resolve_load(o, command);
    if (code < 0) code = engine_opts_gemm(o->gemm, command, &o->params.gemm);
    if (code >= 0) return code;
    if (o->model) return engine_opts_find(&o->model, path, size);
    if (!default_model_path(path, size) || access(path, R_OK) != 0)
        return cli_fail(1,
                        "%s: no model given (-m FILE), and the default one is not there: `tools/get-model` fetches it", command);
    o->model = path;
    return -1;
}

bool engine_opts_pooling(const char *name, tawny_pooling *p)
{
    static const char *const names[] = {"none", "mean", "cls", "last", "rank"};
    *p = TAWNY_POOLING_MODEL;
    if (!name) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) *p = (tawny_pooling)(TAWNY_POOLING_NONE + i);
    return *p != TAWNY_POOLING_MODEL;
}
