#include "embed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 16, PIECE_TOKENS = 512, MOST_TEXTS = 4096, MOST_FLOATS = 1 << 28 };

static void free_job(void *p)
{
    embed_job *j = p;
    embed_request_free(&j->texts);
    free(j->out);
    free(j);
}

embed_job *embed_new(exchange *x, json_t *(*shape)(exchange *x, const embed_job *j))
{
    embed_job *j = calloc(1, sizeof *j);
    if (!j) {
        reply_error(x, 500, NULL, "out of memory", NULL);
        return NULL;
    }
    j->pooling = x->sv->config.pooling;
    if (j->pooling == TAWNY_POOLING_MODEL) j->pooling = tawny_model_pooling(x->sv->model);
    j->norm = 2;
    j->shape = shape;
    x->own = j;
    x->free_own = free_job;
    return j;
}

static size_t start_of(const embed_job *j, size_t i) { return i ? j->texts.text[i - 1].end : 0; }
int embed_tokens(const embed_job *j, size_t i) { return (int)(j->texts.text[i].end - start_of(j, i)); }
int embed_all_tokens(const embed_job *j) { return (int)j->texts.ids.n; }

static size_t row_of(const embed_job *j, size_t i) { return j->pooling == TAWNY_POOLING_NONE ? start_of(j, i) : i; }

const float *embed_rows(const embed_job *j, size_t i, int *n)
{
    *n = j->pooling == TAWNY_POOLING_NONE ? embed_tokens(j, i) : 1;
    return j->out + row_of(j, i) * (size_t)j->width;
}

json_t *embed_row_json(const embed_job *j, const float *row)
{
    json_t *list = json_array();
    for (int i = 0; i < j->width; i++) json_array_append_new(list, json_real((double)row[i]));
    return list;
}

json_t *embed_row_base64(const embed_job *j, const float *row)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (size_t)j->width * sizeof *row;
    buf b = {0};
    for (size_t i = 0; i < n; i += 3) {
        unsigned char in[3] = {0};
        size_t k = n - i < 3 ? n - i : 3;
        memcpy(in, (const char *)row + i, k); /* x86-64 is little-endian */
        unsigned bits = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];
        for (size_t d = 0; d < 4; d++) buf_char(&b, d <= k ? letters[bits >> (18 - 6 * d) & 63] : '=');
    }
    json_t *s = json_stringn(b.data ? b.data : "", b.size);
    buf_free(&b);
    return s;
}

/* ---- the request ---- */

static bool wrong(exchange *x, const tawny_error *err, const char *field)
{
    reply_status(x, err, field);
    return false;
}

static bool read_texts(exchange *x, embed_job *j, const json_t *line, const char *field)
{
    tawny_error err;
    const embed_rules rules = {.tok = x->sv->tok, .rank = j->pooling == TAWNY_POOLING_RANK, .special = true,
                               .most = tawny_engine_n_ctx(sched_engine(x->sv->sched)), .n_vocab = tawny_model_n_vocab(x->sv->model)};
    if (embed_request_read(&j->texts, &rules, 1, line, &err) != TAWNY_OK) return wrong(x, &err, field);
    if (j->texts.n <= MOST_TEXTS) return true;
    reply_error(x, 400, NULL, "at most 4096 texts are embedded at once", field);
    return false;
}

bool embed_read(exchange *x, embed_job *j, const json_t *input, const char *field) { return read_texts(x, j, input, field); }

bool embed_read_documents(exchange *x, embed_job *j, const json_t *query, const json_t *documents, const char *field)
{
    json_t *line = json_pack("{s:O,s:O}", "query", query, "documents", documents);
    bool ok = read_texts(x, j, line, field);
    json_decref(line);
    return ok;
}

bool embed_pooled(exchange *x, const embed_job *j)
{
    if (j->pooling != TAWNY_POOLING_NONE) return true;
    reply_error(x, 400, NULL, "the model has an embedding for each token, and no way to pool them: start the server with --pooling", NULL);
    return false;
}

/* ---- the work ---- */

static bool finite_all(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return false;
    return true;
}

static bool fail(exchange *x, const tawny_error *err)
{
    x->failure = *err;
    return false;
}

/* In the engine's thread. */
static bool piece(exchange *x, tawny_engine *e)
{
    embed_job *j = x->own;
    tawny_text texts[PIECE];
    tawny_error err = {0};
    int n = 0, tokens = 0;
    for (size_t i = j->at; i < j->texts.n && n < PIECE && (n == 0 || tokens + embed_tokens(j, i) <= PIECE_TOKENS); i++) {
        texts[n] = (tawny_text){j->texts.ids.v + start_of(j, i), embed_tokens(j, i)};
        tokens += texts[n++].n;
    }
    size_t width = (size_t)j->width, rows = j->pooling == TAWNY_POOLING_NONE ? (size_t)tokens : (size_t)n;
    float *out = j->out + row_of(j, j->at) * width;
    double start = task_now();
    if (tawny_engine_embed(e, texts, n, j->pooling, out, &err) != TAWNY_OK) return fail(x, &err);
    j->ms += task_now() - start;
    if (!finite_all(out, rows * width)) {
        err_set(&err, TAWNY_E_DAMAGED, "the model's numbers for this text are not finite");
        return fail(x, &err);
    }
    for (size_t r = 0; r < rows && j->pooling != TAWNY_POOLING_RANK; r++) tawny_embedding_normalize(out + r * width, j->width, j->norm);
    j->at += (size_t)n;
    return j->at < j->texts.n;
}

static void done(exchange *x)
{
    const embed_job *j = x->own;
    if (x->failure.code != TAWNY_OK)
        reply_status(x, &x->failure, NULL);
    else
        reply_json(x, 200, j->shape(x, j));
}

void embed_submit(exchange *x, embed_job *j)
{
    j->width = tawny_model_n_embd_out(x->sv->model, j->pooling);
    if (j->width <= 0) {
        reply_error(x, 400, "not_supported_error", "the model has no classifier (cls.output.weight) for ranking", NULL);
        return;
    }
    size_t rows = j->pooling == TAWNY_POOLING_NONE ? j->texts.ids.n : j->texts.n;
    if (rows > (size_t)MOST_FLOATS / (size_t)j->width) {
        reply_error(x, 400, NULL, "so many tokens give more numbers than one answer carries", NULL);
        return;
    }
    j->out = malloc(rows * (size_t)j->width * sizeof *j->out);
    if (!j->out)
        reply_error(x, 500, NULL, "out of memory", NULL);
    else
        exchange_post(x, piece, done);
}
