/* tawny embed: embeddings of texts, or the scores of documents, JSON lines in and out. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../engine/engine.h"
#include "../text/embed_request.h"
#include "engine_opts.h"
#include "lines.h"

/* Of a line; texts that are computed before their results are written. */
enum { MAX_LINE = 64 << 20, SLICE = 64, SLICE_TOKENS = 4096 };

#define FORMAT                                                                                                       \
    "A line is a JSON string, the text; or {\"input\": a text, token ids, or an array of either}, or that\n"         \
    "array alone; or, for rerankers, {\"query\": text, \"documents\": [text, ...]}. Each text gives a line,\n"       \
    "in order: \"line\" that it was in, from 1, \"index\" there, from 0, \"embedding\" (with --pooling none, an\n"   \
    "array of each token's) or \"relevance_score\", and the number of its \"tokens\". A line that is wrong is\n"     \
    "told of on standard error, gives nothing, and makes the exit code 1; the next one follows.\n"

typedef struct options {
    engine_opts engine;
    const char *file, *pooling;
    bool normalize, special;
    int norm;
} options;

/* What a run works with. */
typedef struct worker {
    tawny_model *m;
    tawny_engine *e;
    tokenizer *tok;
    tawny_pooling pooling;
    int norm;
    embed_rules rules;
    embed_request request;
    const char *name; /* of the input */
    int code;
    float *out;
    size_t cap; /* floats */
} worker;

static tawny_status open_worker(worker *w, const options *o, tawny_error *err)
{
    tawny_status st = engine_opts_open(&o->engine, &w->m, err);
    if (st == TAWNY_OK) st = tawny_engine_new(w->m, &o->engine.params, &w->e, err);
    if (st == TAWNY_OK) st = tok_open(w->m->m.file, &w->tok, err);
    if (st != TAWNY_OK) return st;
    if (w->pooling == TAWNY_POOLING_MODEL) w->pooling = tawny_model_pooling(w->m);
    if (tawny_model_n_embd_out(w->m, w->pooling) == 0)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: the model has no classifier (cls.output.weight) for ranking",
                       o->engine.model);
    w->rules = (embed_rules){.tok = w->tok, .rank = w->pooling == TAWNY_POOLING_RANK, .special = o->special,
                             .most = tawny_engine_n_ctx(w->e), .n_vocab = tawny_model_n_vocab(w->m)};
    return TAWNY_OK;
}

static void close_worker(worker *w)
{
    embed_request_free(&w->request);
    free(w->out);
    tok_close(w->tok);
    tawny_engine_free(w->e);
    tawny_model_close(w->m);
}

static bool finite_all(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void print_row(const float *x, int32_t n)
{
    putchar('[');
    for (int32_t i = 0; i < n; i++) printf(i ? ",%.9g" : "%.9g", (double)x[i]);
    putchar(']');
}

static void print_result(const worker *w, const embed_text *t, float *x, int32_t rows, int32_t width, int32_t tokens)
{
    printf("{\"line\": %zu, \"index\": %zu, ", t->line, t->index);
    if (t->rerank) {
        printf("\"relevance_score\": %.9g", (double)x[0]);
    } else {
        bool each = w->pooling == TAWNY_POOLING_NONE;
        fputs(each ? "\"embedding\": [" : "\"embedding\": ", stdout);
        for (int32_t i = 0; i < rows; i++) {
            float *row = x + (size_t)i * (size_t)width;
            if (w->pooling != TAWNY_POOLING_RANK) tawny_embedding_normalize(row, width, w->norm);
            if (i) putchar(',');
            print_row(row, width);
        }
        if (each) putchar(']');
    }
    printf(", \"tokens\": %d}\n", tokens);
}

static tawny_status room(worker *w, size_t floats, tawny_error *err)
{
    if (floats <= w->cap) return TAWNY_OK;
    float *out = realloc(w->out, floats * sizeof *out);
    if (!out) return err_nomem(err);
    w->out = out;
    w->cap = floats;
    return TAWNY_OK;
}

static size_t start_of(const embed_request *r, size_t i) { return i ? r->text[i - 1].end : 0; }

/* Texts [from, to) of those that were collected. */
static int slice(worker *w, size_t from, size_t to)
{
    const embed_request *r = &w->request;
    tawny_text texts[SLICE];
    size_t width = (size_t)tawny_model_n_embd_out(w->m, w->pooling);
    bool each = w->pooling == TAWNY_POOLING_NONE;
    tawny_error err;
    tawny_status st = room(w, (each ? start_of(r, to) - start_of(r, from) : to - from) * width, &err);
    for (size_t i = from; i < to; i++)
        texts[i - from] = (tawny_text){r->ids.v + start_of(r, i), (int32_t)(r->text[i].end - start_of(r, i))};
    if (st == TAWNY_OK) st = tawny_engine_embed(w->e, texts, (int32_t)(to - from), w->pooling, w->out, &err);
    if (st != TAWNY_OK) return cli_fail(1, "embed: %s: line %zu: %s", w->name, r->text[from].line, err.message);
    float *x = w->out;
    int code = 0;
    for (size_t i = from; i < to; i++) {
        int32_t tokens = texts[i - from].n, rows = each ? tokens : 1;
        if (finite_all(x, (size_t)rows * width))
            print_result(w, &r->text[i], x, rows, (int32_t)width, tokens);
        else
            code = cli_fail(1, "embed: %s: line %zu: the model's numbers for text %zu are not finite", w->name,
                            r->text[i].line, r->text[i].index);
        x += (size_t)rows * width;
    }
    return code;
}

/* All that was collected, in slices; w->code tells of failures. */
static void answer(worker *w)
{
    const embed_request *r = &w->request;
    for (size_t from = 0, to; from < r->n; from = to) {
        to = from + 1;
        while (to < r->n && to - from < SLICE && r->text[to].end - start_of(r, from) <= SLICE_TOKENS) to++;
        if (slice(w, from, to) != 0) w->code = 1;
    }
    embed_request_clear(&w->request);
    fflush(stdout);
}

static bool blank(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t' || *p == '\r')) p++, n--;
    return n == 0;
}

static void take_line(worker *w, size_t number, const char *line, size_t n)
{
    json_error_t why;
    tawny_error err;
    if (blank(line, n)) return;
    json_t *j = json_loadb(line, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    tawny_status st = j ? embed_request_read(&w->request, &w->rules, number, j, &err)
                        : err_set(&err, TAWNY_E_ARG, "no JSON: %s", why.text);
    json_decref(j);
    if (st != TAWNY_OK) w->code = cli_fail(1, "embed: %s: line %zu: %s", w->name, number, err.message);
}

/* Lines that are there already are computed together; a line that fails is told of, and the next one follows. */
static void each_line(worker *w, int fd)
{
    lines in = {.fd = fd, .max = MAX_LINE};
    while (!ferror(stdout)) {
        const char *line;
        size_t n;
        lines_state state = lines_next(&in, w->request.n == 0, &line, &n);
        if (state == LINES_ONE) take_line(w, in.number, line, n);
        if (state == LINES_LONG)
            w->code = cli_fail(1, "embed: %s: line %zu: longer than %d MiB", w->name, in.number, MAX_LINE >> 20);
        bool enough = w->request.n >= SLICE || w->request.ids.n >= SLICE_TOKENS;
        if (enough || state == LINES_NOT_READY || state == LINES_END) answer(w);
        if (state == LINES_END) break;
    }
    if (in.error) w->code = cli_fail(1, "embed: %s: %s", w->name, strerror(in.error));
    lines_free(&in);
}

static int answer_all(const options *o, worker *w)
{
    tawny_error err;
    bool std = !o->file || strcmp(o->file, "-") == 0;
    int fd = std ? STDIN_FILENO : open(o->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cli_fail(1, "embed: %s: %s", o->file, strerror(errno));
    w->name = std ? "stdin" : o->file;
    if (open_worker(w, o, &err) == TAWNY_OK) each_line(w, fd);
    else w->code = cli_fail_err(&err);
    if (!std) close(fd);
    return cli_finish(w->code);
}

int cmd_embed(int argc, char **argv)
{
    options o = {.engine = {.type_k = "f32", .type_v = "f32"}, .norm = -1};
    worker w = {0};
    const cli_opt opts[] = {
        {NULL, CLI_HEADING, NULL, NULL, FORMAT, 0, 0},
        ENGINE_OPTS_TYPES(o.engine, "f32 (default) or f16"),
        {"-f --file", CLI_STR, &o.file, "FILE", "lines to read (default: standard input)", 0, 0},
        {"--pooling", CLI_STR, &o.pooling, "KIND", "none, mean, cls, last or rank (default: the model's)", 0, 0},
        {"--normalize", CLI_FLAG, &o.normalize, NULL, "embeddings of length 1, as --embd-normalize 2", 0, 0},
        {"--embd-normalize", CLI_INT, &o.norm, "N",
         "-1 not (default), 0 largest to 32760, 1 taxicab, 2 Euclidean, more: p-norm", -1, 1000},
        {"--special", CLI_FLAG, &o.special, NULL, "control tokens written out in texts are parsed", 0, 0},
        {0},
    };
    int code = cli_parse("embed", argc, argv, opts, NULL);
    if (code >= 0) return code;
    if (!engine_opts_pooling(o.pooling, &w.pooling))
        return cli_fail(2, "embed: --pooling %s: none, mean, cls, last and rank are known", o.pooling);
    w.norm = o.normalize && o.norm < 0 ? 2 : o.norm;
    char path[4096];
    code = engine_opts_resolve(&o.engine, "embed", path, sizeof path);
    if (code >= 0) return code;
    code = answer_all(&o, &w);
    close_worker(&w);
    return code;
}
