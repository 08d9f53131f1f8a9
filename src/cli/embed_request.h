/* A line of `tawny embed`: a JSON value that names texts, as token ids. */
#ifndef CLI_EMBED_REQUEST_H
#define CLI_EMBED_REQUEST_H

#include <jansson.h>

#include "../text/tokenizer.h"

typedef struct embed_rules {
    const tokenizer *tok;
    bool rank;      /* the model's pooling is that of rerankers: a query and documents may be asked for */
    bool special;   /* control tokens written out in texts are parsed */
    int32_t most;   /* tokens a text may have */
    int32_t n_vocab;
} embed_rules;

typedef struct embed_request {
    tok_vec ids;  /* of all texts, one after the other */
    size_t *end;  /* [n]: where each ends */
    size_t n, cap;
    bool rerank;  /* the texts are a query with each of its documents */
} embed_request;

/* Replaces what r held. The line is a text, or an array as "input" takes it, or an object: {"input": ...}, a string,
 * an array of strings, an array of token ids, or an array of those; or {"query": string, "documents": [string or
 * {"text": string}]}. Errors name the field. */
tawny_status embed_request_read(embed_request *r, const embed_rules *rules, const json_t *line, tawny_error *err);
void embed_request_free(embed_request *r);

#endif
