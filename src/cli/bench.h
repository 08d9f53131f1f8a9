/* The parts of `tawny bench`: lists of parameters, tests with the machine's limits measured between their runs, and
 * rows in llama-bench's output formats. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <stdio.h>

#include "../base/mem.h"
#include "../engine/cost.h"
#include "../engine/limits.h"
#include "cli.h"

enum { BENCH_MAX_LIST = 256, BENCH_MAX_REPEAT = 1000, BENCH_MAX_SEQUENCES = 256 };

/* ---- bench_list.c: values of a parameter, from any number of options. ---- */

typedef struct bench_numbers {
    int n, v[BENCH_MAX_LIST];
} bench_numbers;

/* "512", "128,256", "1-4", "16-64+16", "8-64*2", and any of these separated by commas, as llama-bench takes them.
 * given may be empty: then it is `otherwise`. -1 or an exit code. */
int bench_numbers_parse(const char *flag, const cli_list *given, int otherwise, int min, int max, bench_numbers *out);

typedef struct bench_words {
    int n;
    const char *v[BENCH_MAX_LIST];
} bench_words;

/* Words separated by commas. The strings live in `store`, which is to be freed. */
int bench_words_parse(const char *flag, const cli_list *given, const char *otherwise, bench_words *out, char **store);

/* ---- bench_run.c: one test. ---- */

typedef struct bench_test {
    int n_prompt, n_gen, depth, threads, n_batch, n_ubatch, act_bits;
    const char *type_k, *type_v, *load, *gemm;
    cost_products products;
    double bytes_per_token; /* weights, and the cache at half of what is generated; a step's where there are sequences */
    bool experts;           /* a step of several sequences reads more experts than a token does */
    mem_pages pages;        /* of the weights, after the runs */
    uint64_t mapped;        /* bytes of them */
    int n;                  /* samples */
    double seconds[BENCH_MAX_REPEAT];
    int sequences;          /* --batched: that generate n_gen tokens each, together, in `seconds`; else 0 */
    bool shared;            /* --batched: one prompt for all */
    double prompt_seconds[BENCH_MAX_REPEAT];
    bool limited;           /* limits: [i] before run i, [i + 1] after it */
    double read[BENCH_MAX_REPEAT + 1], int8[BENCH_MAX_REPEAT + 1], f32[BENCH_MAX_REPEAT + 1];
} bench_test;

typedef struct bench_how {
    int repeat;
    bool no_warmup, progress;
    int index, count;  /* of this test, for progress */
    limits *machine;   /* NULL: no ceilings */
} bench_how;

/* Fills in what is measured; the other fields and params say what to do. */
tawny_status bench_run(tawny_model *m, const tawny_engine_params *params, const bench_how *how, bench_test *t,
                       tawny_error *err);

/* The parts that bench_run_batched shares with it. */
void bench_fill(tawny_token *t, int n, int32_t n_vocab);
void bench_look(limits *machine, bench_test *t, int i);             /* the limits at this moment, before run i */
void bench_tell(const bench_how *how, const char *what, int i);     /* for --progress */
tawny_status bench_describe(const tawny_model *m, const tawny_engine *e, const bench_how *how, bench_test *t,
                            tawny_error *err);

/* ---- bench_batched.c ---- */

/* Prompts of n_prompt tokens for each of `sequences` (or one for all), then n_gen steps of a token each. */
tawny_status bench_run_batched(tawny_model *m, const tawny_engine_params *params, const bench_how *how, bench_test *t,
                               tawny_error *err);

/* ---- bench_row.c and bench_print.c: results. ---- */

struct json_t;
/* An object with llama-bench's keys in its order, then tawny's. */
struct json_t *bench_row_json(const char *path, const tawny_model *m, const bench_test *t);
/* The same for --batched, with llama-batched-bench's keys. */
struct json_t *bench_batched_json(const char *path, const tawny_model *m, const bench_test *t);

typedef enum bench_format { BENCH_MD, BENCH_JSON, BENCH_JSONL, BENCH_CSV, BENCH_SQL, BENCH_FORMATS } bench_format;

/* Columns of the table that are shown only where they say something. */
typedef struct bench_columns {
    bool n_batch, n_ubatch, type_k, type_v, load, act_bits;
} bench_columns;

typedef struct bench_output {
    FILE *to;
    bench_format format;
    bench_columns columns;
    bool batched;
    int rows;
} bench_output;

bool bench_open(bench_output *o, FILE *to, const char *format); /* false: unknown */
void bench_print(bench_output *o, struct json_t *row);
void bench_close(bench_output *o);

#endif
