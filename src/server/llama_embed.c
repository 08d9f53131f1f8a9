/* llama-server's /embedding, and /rerank in the shapes of Jina and of text-embeddings-inference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"
#include "llama.h"

typedef struct embed_body {
    const json_t *content, *input;
    const char *model, *format;
    int normalize;
} embed_body;

#define E(field) offsetof(embed_body, field)
static const param embed_table[] = {
    {"content", PARAM_JSON, E(content), 0, 0, JSON_T_STRING | JSON_T_ARRAY, false, "a text, token ids, or an array of either"},
    {"input", PARAM_JSON, E(input), 0, 0, JSON_T_STRING | JSON_T_ARRAY, false, "the same"},
    {"embd_normalize", PARAM_INT, E(normalize), -1, 1000, 0, false, "-1 not, 0 largest to 32760, 1 taxicab, 2 Euclidean (default), more: p-norm"},
    {"model", PARAM_TEXT, E(model), 0, 4096, 0, false, "there is one model: any name will do"},
    PARAM_END,
};
const param *const llama_embed_tables[] = {embed_table, NULL};

/* [{"index", "embedding": [row, ...]}] */
static json_t *embed_answer(exchange *x, const embed_job *j)
{
    json_t *all = json_array();
    (void)x;
    for (size_t i = 0; i < j->texts.n; i++) {
        int n;
        const float *row = embed_rows(j, i, &n);
        json_t *rows = json_array();
        for (int r = 0; r < n; r++) json_array_append_new(rows, embed_row_json(j, row + (size_t)r * (size_t)j->width));
        json_array_append_new(all, json_pack("{s:i,s:o}", "index", (int)i, "embedding", rows));
    }
    return all;
}

void llama_embed(exchange *x)
{
    embed_body b = {.normalize = 2};
    if (!exchange_params(x, embed_table, &b)) return;
    const char *field = b.content ? "content" : "input";
    if (!b.content && !b.input) {
        reply_error(x, 400, NULL, "'content' or 'input' is required", "content");
        return;
    }
    embed_job *j = embed_new(x, embed_answer);
    if (!j || !embed_read(x, j, b.content ? b.content : b.input, field)) return;
    j->norm = j->pooling == TAWNY_POOLING_NONE ? -1 : b.normalize;
    embed_submit(x, j);
}

/* ---- ranks ---- */

typedef struct rerank_body {
    const json_t *query, *documents, *texts;
    const char *model;
    bool return_text, return_documents;
    int top_n;
} rerank_body;

#define R(field) offsetof(rerank_body, field)
static const param rerank_table[] = {
    {"query", PARAM_JSON, R(query), 0, 0, JSON_T_STRING, true, "what is looked for"},
    {"documents", PARAM_JSON, R(documents), 0, 0, JSON_T_ARRAY, false, "texts, or objects with a text"},
    {"texts", PARAM_JSON, R(texts), 0, 0, JSON_T_ARRAY, false, "the same, for an answer in the shape of text-embeddings-inference"},
    {"top_n", PARAM_INT, R(top_n), 1, INT32_MAX, 0, false, "of the documents, the best so many (default: all)"},
    {"return_text", PARAM_BOOL, R(return_text), 0, 0, 0, false, "with 'texts': each text in the answer"},
    {"return_documents", PARAM_BOOL, R(return_documents), 0, 0, 0, false, "each document in the answer"},
    {"model", PARAM_TEXT, R(model), 0, 4096, 0, false, "there is one model: any name will do"},
    PARAM_END,
};
const param *const llama_rerank_tables[] = {rerank_table, NULL};

typedef struct rank {
    size_t index;
    float score;
} rank;

/* The best first; of equals, the one that was named first. */
static int by_score(const void *a, const void *b)
{
    const rank *p = a, *q = b;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static json_t *one_rank(const rerank_body *b, const rank *r)
{
    const json_t *d = json_array_get(b->texts ? b->texts : b->documents, r->index);
    json_t *o = json_pack("{s:I,s:f}", "index", (json_int_t)r->index, b->texts ? "score" : "relevance_score", (double)r->score);
    if (b->texts && b->return_text)
        json_object_set_new(o, "text", json_deep_copy(json_is_object(d) ? json_object_get(d, "text") : d));
    else if (b->return_documents)
        json_object_set_new(o, "document", json_is_string(d) ? json_pack("{s:O}", "text", d) : json_deep_copy(d));
    return o;
}

static json_t *rerank_answer(exchange *x, const embed_job *j)
{
    rerank_body b = {.top_n = INT32_MAX};
    size_t n = j->texts.n;
    rank *ranks = calloc(n, sizeof *ranks);
    if (!ranks || !exchange_params(x, rerank_table, &b)) { /* it was read before */
        free(ranks);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        int rows;
        ranks[i] = (rank){i, embed_rows(j, i, &rows)[0]};
    }
    qsort(ranks, n, sizeof *ranks, by_score);
    json_t *list = json_array();
    for (size_t i = 0; i < n && i < (size_t)b.top_n; i++) json_array_append_new(list, one_rank(&b, &ranks[i]));
    free(ranks);
    if (b.texts) return list;
    return json_pack("{s:s,s:s,s:{s:i,s:i},s:o}", "model", server_model_name(x->sv), "object", "list", "usage", "prompt_tokens",
                     embed_all_tokens(j), "total_tokens", embed_all_tokens(j), "results", list);
}

void llama_rerank(exchange *x)
{
    rerank_body b = {.top_n = INT32_MAX};
    if (!exchange_params(x, rerank_table, &b)) return;
    embed_job *j = embed_new(x, rerank_answer);
    if (!j) return;
    if (j->pooling != TAWNY_POOLING_RANK) {
        reply_error(x, 400, "not_supported_error", "the model is no reranker", NULL);
        return;
    }
    const char *field = b.texts ? "texts" : "documents";
    if (!b.texts && !b.documents)
        reply_error(x, 400, NULL, "'documents' is required", "documents");
    else if (embed_read_documents(x, j, b.query, b.texts ? b.texts : b.documents, field))
        embed_submit(x, j);
}
