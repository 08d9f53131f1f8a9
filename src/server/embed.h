/* Embeddings and ranks: texts of a request, computed in the engine's thread a few at a time. */
#ifndef SERVER_EMBED_H
#define SERVER_EMBED_H

#include "../text/embed_request.h"
#include "exchange.h"

typedef struct embed_job {
    embed_request texts;
    tawny_pooling pooling; /* not MODEL */
    int norm;              /* as tawny_embedding_normalize takes it */
    int width;             /* numbers of a row */
    float *out;            /* rows, one after the other: of a text one, or with NONE one for each token */
    size_t at;             /* texts done */
    double ms;             /* in the engine */
    json_t *(*shape)(exchange *x, const struct embed_job *j);
} embed_job;

/* A job that becomes the exchange's own, empty; norm 2. NULL after a reply. */
embed_job *embed_new(exchange *x, json_t *(*shape)(exchange *x, const embed_job *j));

/* Texts under the field's name: a string, token ids, or an array of either. false after a reply. */
bool embed_read(exchange *x, embed_job *j, const json_t *input, const char *field);
/* A query with each of the documents, for models with a classifier. */
bool embed_read_documents(exchange *x, embed_job *j, const json_t *query, const json_t *documents, const char *field);

/* Computes, then answers. */
void embed_submit(exchange *x, embed_job *j);

/* Of text i: its tokens, its rows (*n of them), and a row as JSON. */
int embed_tokens(const embed_job *j, size_t i);
int embed_all_tokens(const embed_job *j);
const float *embed_rows(const embed_job *j, size_t i, int *n);
json_t *embed_row_json(const embed_job *j, const float *row);
/* The same as OpenAI's base64 of little-endian floats. */
json_t *embed_row_base64(const embed_job *j, const float *row);

/* Whether rows of one a text can be had; false after a reply. */
bool embed_pooled(exchange *x, const embed_job *j);

#endif
