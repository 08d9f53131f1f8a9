/* Rows of `tawny bench` in llama-bench's output formats. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "../tawny.h"

enum { BENCH_MAX_REPEAT = 1000 };

typedef struct bench_test {
    int n_prompt, n_gen, depth, threads, n_ubatch, act_bits;
    const char *type_k, *type_v;
    int n;                 /* samples */
    double seconds[BENCH_MAX_REPEAT];
} bench_test;

typedef enum bench_format { BENCH_MD, BENCH_JSON, BENCH_JSONL, BENCH_CSV, BENCH_SQL, BENCH_FORMATS } bench_format;

typedef struct bench_output {
    bench_format format;
    int rows;
} bench_output;

bool bench_open(bench_output *o, const char *format); /* false: unknown */
void bench_row(bench_output *o, const char *path, const tawny_model *m, const bench_test *t);
void bench_close(bench_output *o);

#endif
