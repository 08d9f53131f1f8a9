/* What is to be embedded: JSON values that name texts, which are collected as token ids. */
#ifndef TEXT_EMBED_REQUEST_H
#define TEXT_EMBED_REQUEST_H

#include <jansson.h>

#include "tokenizer.h"

typedef struct embed_rules {
    const tokenizer *tok;
    bool rank;      /* the model's pooling is that of rerankers: a query and documents may be asked for */
    bool special;   /* control tokens written out in texts are parsed */
    int32_t most;   /* tokens a text may have */
    int32_t n_vocab;
} embed_rules;

typedef struct embed_text {
    size_t end;         /* in ids, where the text before it ends it begins */
    size_t line, index; /* where it came from */
    bool rerank;        /* a query with one of its documents */
} embed_text;

typedef struct embed_request {
    tok_vec ids; /* of all texts, one after the other */
    embed_text *text;
    size_t n, cap;
} embed_request;

/* Adds the texts of a line, or none where it fails. The line is a text, or an array as "input" takes it, or an
 * object: {"input": ...}, a string, an array of strings, an array of token ids, or an array of those; or {"query": string,
 * "documents": [string or {"text": string}]}. Errors name the field. */
tawny_status embed_request_read(embed_request *r, const embed_rules *rules, size_t number, const json_t *line,
                                tawny_error *err);
void embed_request_clear(embed_request *r);
void embed_request_free(embed_request *r);

#endif
