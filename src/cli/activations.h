/* Intermediate results that were written elsewhere, and where they part from those computed here.
 *
 * Two formats are read: JSON lines, as `tawny logits --probe` writes them (src/cli/README.md), and the text that llama.cpp's
 * llama-eval-callback prints, which has the first and last three values along each axis. */
#ifndef CLI_ACTIVATIONS_H
#define CLI_ACTIVATIONS_H

#include "../base/error.h"

typedef struct activation {
    char name[40]; /* llama.cpp's, without the layer */
    int layer;     /* -1: of none */
    int32_t pos;   /* of the first token; -1: the last tokens, however many there are */
    int64_t ne[4]; /* elements along each axis, the fastest first */
    size_t n;      /* values that are there */
    float *value;
    int64_t *index; /* where each of them is; NULL: they are all there, in order */
} activation;

typedef struct activations {
    activation *v;
    size_t n, cap;
    tawny_token *tokens; /* where the file tells them */
    int32_t n_tokens;
} activations;

tawny_status activations_read(const char *path, activations *out, tawny_error *err);
void activations_free(activations *a);

/* How far one is from ours. */
typedef struct activation_error {
    char name[40];
    int layer;
    double error;     /* root mean square of the differences over that of our values */
    double largest;   /* difference, over the same */
    bool not_numbers; /* theirs are not finite where ours are */
    bool diverges;    /* by itself or against those before */
} activation_error;

typedef struct activation_report {
    activation_error *v; /* in the order of the computation */
    size_t n, cap;
    int first;     /* that diverges; -1: none */
    double before; /* the largest error of those before it, or of all */
    size_t left_out; /* of the file: with names or shapes that are not known here */
} activation_report;

/* Computes the tokens and compares; e's micro-batch must hold them. */
tawny_status activations_compare(tawny_engine *e, const activations *a, const tawny_token *tokens, int32_t n, activation_report *out,
                                 tawny_error *err);
void activation_report_free(activation_report *r);

#endif
