/* Benchmarks of different engines, lined up: what ran on the CPU and what on a GPU, at which speed, against which ceiling,
 * and whether it was the same work at all. */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include <jansson.h>

#include "../base/error.h"

typedef enum compare_side { SIDE_CPU, SIDE_GPU, SIDE_MIXED, SIDE_UNKNOWN } compare_side;

enum { COMPARE_TEXT = 96, COMPARE_MAX_ROWS = 4096 };

/* One test of a file. Numbers that a file does not give are -1, texts "". */
typedef struct compare_row {
    char file[COMPARE_TEXT];    /* where it stands, and as which one: "a.json:3" */
    char engine[COMPARE_TEXT];  /* "tawny", "llama.cpp", "ik_llama.cpp" */
    char build[COMPARE_TEXT], backend[COMPARE_TEXT], gpu[COMPARE_TEXT], cpu[COMPARE_TEXT], devices[COMPARE_TEXT];
    char model[COMPARE_TEXT], path[512]; /* model_type; model_filename */
    char type_k[16], type_v[16];
    double size, params;        /* of the model: bytes, weights */
    double threads, layers, batch, ubatch, flash, mmap, no_offload, embeddings; /* layers: n_gpu_layers */
    double prompt, gen, depth;
    double ts, deviation;       /* tokens a second */
    double ceiling;             /* GB/s measured in the same run (tawny) */
    double power;               /* W, where a file says it */
    uint32_t n_layer;           /* by the model's header; 0: not at hand */
    compare_side side;
    bool software, no_gpu;      /* a build for GPUs that computed on the CPU: by a driver that does, or having found none */
    double bytes;               /* that a generated token reads; -1: not known */
    bool exact;                 /* bytes come from the model's header */
    bool twice;                 /* this engine counts a tensor twice that serves as embedding and as output matrix */
    bool counted;               /* size and params are another engine's, which counts each tensor once */
} compare_row;

typedef struct compare_table {
    compare_row *row;
    int n, cap;
    json_t *warnings;           /* texts */
    double ceiling[2];          /* GB/s of CPU and GPU, given; 0: not given */
} compare_table;

/* Adds the rows of a file: llama-bench's json, jsonl, csv, md or sql, of any age, or tawny's. TAWNY_E_FORMAT where it is neither. */
tawny_status compare_read(const char *path, compare_table *t, tawny_error *err);
void compare_free(compare_table *t);

/* Where the model's file is at hand (its own path, or `path`, which may be NULL), bytes a token come from its header;
 * then warnings about single rows. */
void compare_derive(compare_table *t, const char *path);

/* A CPU's row beside a GPU's for the same test of the same model. */
typedef struct compare_pair {
    const compare_row *cpu, *gpu; /* either may be NULL */
    char test[48];                /* "tg128 @ d4096" */
} compare_pair;

/* Lines up rows by model and test, in the order of models and depths; warns where a pair is not the same work. Pairs point
 * into the table; *out is the caller's to free. */
int compare_match(compare_table *t, compare_pair **out);

void compare_test_name(const compare_row *r, char out[48]); /* "tg128 @ d4096" */
double compare_gbs(const compare_row *r);                             /* GB/s of a generation; -1 where it cannot be told */
double compare_percent(const compare_table *t, const compare_row *r); /* of its ceiling; -1 likewise */
/* Who wins and why, in a sentence. */
void compare_verdict(const compare_table *t, const compare_pair *p, char *out, size_t size);

typedef enum compare_format { COMPARE_TERM, COMPARE_MD, COMPARE_JSON, COMPARE_CSV, COMPARE_HTML, COMPARE_SVG } compare_format;
bool compare_format_by_name(const char *name, compare_format *out);
void compare_print(const compare_table *t, const compare_pair *pairs, int n, compare_format f);
const char *compare_side_name(compare_side s);

#endif
