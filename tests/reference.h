/* Reference files (.f32) and running a model over their tokens. */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include "tawny.h"

typedef struct reference {
    int32_t n, dim;
    tawny_token *token; /* [n] */
    float *data;        /* [n][dim] */
} reference;

/* False where the file is not there or not whole. */
bool reference_load(const char *path, reference *r);
void reference_free(reference *r);

/* sum((a - b)^2) / sum(a^2) over n values; NaN counts as infinity. */
double reference_nmse(const float *a, const float *b, size_t n);

typedef struct how {
    const char *tier; /* NULL: the best */
    int threads, chunk;
    tawny_kv_type kv;
    int act_bits; /* 0: the model's default */
    bool reuse; /* first another timeline that shares a prefix, then this one by sync */
    bool mixed; /* in steps with other sessions before and after it, forks among them; a twin must get the same bits */
} how;

enum { REFERENCE_NAME = 128, REFERENCE_PATH = 512, REFERENCE_FILES = 256 };

/* DIR/NAMEENDING */
const char *reference_path(char out[REFERENCE_PATH], const char *dir, const char *name, const char *ending);
/* Names of the models in a folder, without ".gguf", sorted: but for those of architectures that are not supported
 * (counted in *skipped) and embeddings, whose references come with a pooled one. 0 where there is no such folder. */
int reference_list(const char *dir, char names[REFERENCE_FILES][REFERENCE_NAME], int *skipped);
/* The logits of a model: NAME.exact.f32 where there is one (GELU without tables), else NAME.f32. */
bool reference_of(const char *dir, const char *name, reference *r);

/* The logits of all n tokens into out [n][n_vocab], through sessions as `h` says. Returns false with err. */
bool reference_run(const char *model, const tawny_token *token, int32_t n, how h, float *out, tawny_error *err);

/* The fingerprint of the same. */
bool reference_fingerprint(const char *model, const tawny_token *token, int32_t n, how h, char hex[33], tawny_error *err);

#endif
