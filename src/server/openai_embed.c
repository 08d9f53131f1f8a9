/* POST /v1/embeddings. */
#include <string.h>

#include "completion.h"
#include "embed.h"
#include "openai.h"

typedef struct embeddings_body {
    const json_t *input;
    const char *model, *encoding_format;
    int dimensions;
} embeddings_body;

#define B(field) offsetof(embeddings_body, field)
static const param embeddings_table[] = {
    {"input", PARAM_JSON, B(input), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "a text, token ids, or a list of either"},
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"encoding_format", PARAM_TEXT, B(encoding_format), 0, 64, 0, false, "float, or base64 of little-endian floats"},
    {"dimensions", PARAM_INT, B(dimensions), 1, INT32_MAX, 0, false, "nothing but what the model has"},
    PARAM_END,
};
const param *const openai_embeddings_tables[] = {embeddings_table, NULL};

static json_t *embeddings_answer(exchange *x, const embed_job *j)
{
    const char *format = json_string_value(json_object_get(x->json, "encoding_format"));
    bool base64 = format && strcmp(format, "base64") == 0;
    json_t *list = json_array();
    for (size_t i = 0; i < j->texts.n; i++) {
        int n;
        const float *row = embed_rows(j, i, &n);
        json_array_append_new(list, json_pack("{s:s,s:i,s:o}", "object", "embedding", "index", (int)i, "embedding",
                                              base64 ? embed_row_base64(j, row) : embed_row_json(j, row)));
    }
    return json_pack("{s:s,s:o,s:s,s:{s:i,s:i}}", "object", "list", "data", list, "model", server_model_name(x->sv), "usage", "prompt_tokens",
                     embed_all_tokens(j), "total_tokens", embed_all_tokens(j));
}

void openai_embeddings(exchange *x)
{
    embeddings_body b = {.encoding_format = "float"};
    if (!exchange_params(x, embeddings_table, &b)) return;
    if (strcmp(b.encoding_format, "float") != 0 && strcmp(b.encoding_format, "base64") != 0) {
        reply_error(x, 400, NULL, "'encoding_format' must be float or base64", "encoding_format");
        return;
    }
    embed_job *j = embed_new(x, embeddings_answer);
    if (!j || !embed_pooled(x, j) || !embed_read(x, j, b.input, "input")) return;
    if (b.dimensions && b.dimensions != tawny_model_n_embd_out(x->sv->model, j->pooling))
        reply_error(x, 400, NULL, "'dimensions' must be what the model has: its embeddings cannot be shortened", "dimensions");
    else
        embed_submit(x, j);
}
