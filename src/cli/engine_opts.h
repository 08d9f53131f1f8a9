/* The options of every command that opens a model and computes with it. */
#ifndef CLI_ENGINE_OPTS_H
#define CLI_ENGINE_OPTS_H

#include "cli.h"

typedef struct engine_opts {
    const char *model; /* -m */
    const char *type_k, *type_v;
    const char *load_name; /* --load */
    bool lock, no_mmap;    /* llama.cpp's names for the same */
    const char *gemm;      /* --gemm */
    tawny_load load;       /* what these come to */
    tawny_engine_params params;
} engine_opts;

/* Rows for a command's table; `o` is an engine_opts, types says which of the cache there are. */
#define ENGINE_OPTS_TYPES(o, types)                                                                                                \
    {"-m --model", CLI_STR, &(o).model, "FILE", "the model, a GGUF file (default: the one that `make demo` fetches)", 0, 0}, \
    {"-t --threads", CLI_INT, &(o).params.n_threads, "N", "threads (default: the physical cores)", 0, 1024},                 \
    {"-c --ctx-size", CLI_INT, &(o).params.n_ctx, "N", "context, in tokens (default: the model's)", 0, 1 << 27},             \
    {"-ub --ubatch-size", CLI_INT, &(o).params.n_ubatch, "N", "tokens computed together in prefill (default: 512)", 0, 65536}, \
    {"-ctk --cache-type-k", CLI_STR, &(o).type_k, "TYPE", "type of the cache's keys: " types, 0, 0},                        \
    {"-ctv --cache-type-v", CLI_STR, &(o).type_v, "TYPE", "type of the cache's values: " types, 0, 0},                      \
    {"--act-bits", CLI_INT, &(o).params.act_bits, "N", "bits of activations: 8 or 16 (default: 16 up to 256 MiB of weights, else 8)", 0, 16}, \
    {"--load", CLI_STR, &(o).load_name, "HOW", "weights: mmap (default), recache, huge, lock, huge+lock, auto", 0, 0},         \
    {"--no-mmap", CLI_FLAG, &(o).no_mmap, NULL, "--load huge", 0, 0},                                                        \
    {"--mlock", CLI_FLAG, &(o).lock, NULL, "--load lock", 0, 0},                                                             \
    {"--gemm", CLI_STR, &(o).gemm, "WHOSE", "prefill with float weights: own (default) or blas (OpenBLAS)", 0, 0},           \
    {"--no-pin", CLI_FLAG, &(o).params.no_pin, NULL, "leave the placing of threads to the scheduler", 0, 0}
#define ENGINE_OPTS(o) ENGINE_OPTS_TYPES(o, "f16 (default), f32, bf16, q8_0, q4_0")

/* Resolves names and the default model's path (into path[], at least 4096 bytes); -1 or an exit code. */
int engine_opts_resolve(engine_opts *o, const char *command, char *path, size_t size);

/* What is no file's name but a repository's, as `tawny pull` takes, becomes the path of the file there, which is fetched where
 * need be; -1 or an exit code. */
int engine_opts_find(const char **file, char *path, size_t size);

/* Opens the model as the options say, and says on stderr what --load auto chose, or recache came to. */
tawny_status engine_opts_open(const engine_opts *o, tawny_model **out, tawny_error *err);
void engine_opts_tell(const engine_opts *o, const tawny_model *m); /* the latter part alone */

/* A way of loading by tawny's name or by llama.cpp's (none, dio, mlock, mmap+mlock); false where it is unknown. */
bool engine_opts_load(const char *name, tawny_load *load);

/* "own" or "blas" (NULL: own), with a note that the contract does not hold; -1 or an exit code. */
int engine_opts_gemm(const char *name, const char *command, tawny_gemm *gemm);

/* A cache type by its name (NULL: f16); false where it is unknown. */
bool engine_opts_kv_type(const char *name, tawny_kv_type *type);

/* A way of pooling by its name (NULL: as the model has it); false where it is unknown. */
bool engine_opts_pooling(const char *name, tawny_pooling *p);

/* The default model's place: ${XDG_CACHE_HOME:-~/.cache}/tawny/models/NAME. False where there is no home. */
bool default_model_path(char *path, size_t size);

#endif
