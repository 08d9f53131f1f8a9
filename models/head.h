/* What a model makes of hidden states beside logits: the scores of a classifier (rerankers), or embeddings that went
 * through dense layers. Any architecture may have either. */
#ifndef MODELS_HEAD_H
#define MODELS_HEAD_H

#include "run.h"

/* Reads the metadata; widths are those of the tensors. */
tawny_status head_load(model *m, tawny_error *err);
extern const binding head_bindings[];

/* The classifier is there and ends in scores. */
bool head_ranks(const model *m);
/* Numbers that come out for a row: labels, or the width of embeddings. */
uint32_t head_width(const model *m, bool rank);

/* n rows (batch.n) of embeddings through the head. */
typedef struct head_job {
    bool rank;      /* the classifier, not the dense layers */
    const float *x; /* [n][n_embd] */
    float *y;       /* [n][head_width] */
} head_job;
void head_forward(run *r);

#endif
