/* tawny embed: embeddings of texts, or the scores of documents, JSON lines in and out. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buf.h"
#include "embed_request.h"
#include "engine_opts.h"

/* Of a line; texts of it that are computed before their results are written. */
enum { MAX_LINE = 64 << 20, SLICE = 64, SLICE_TOKENS = 4096 };

#define FORMAT                                                                                                        \
    "A line is a JSON string, the text; or {\"input\": a text, token ids, or an array of either}, or that array\n"    \
    "alone; or, for rerankers, {\"query\": text, \"documents\": [text, ...]}. Each text gives a line, in order:\n"    \
    "\"line\" that it was in, from 1, \"index\" there, from 0, \"embedding\" (with --pooling none, an array of each\n" \
    "token's) or \"relevance_score\", and the number of its \"tokens\". A line that is wrong is told of on standard\n" \
    "error, gives nothing, and makes the exit code 1; the next one follows.\n"

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
    float *out;
    size_t cap; /* floats */
} worker;

static bool parse_pooling(const char *name, tawny_pooling *p)
{
    static const char *const names[] = {"none", "mean", "cls", "last", "rank"};
    *p = TAWNY_POOLING_MODEL;
    if (!name) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) *p = (tawny_pooling)(TAWNY_POOLING_NONE + i);
    return *p != TAWNY_POOLING_MODEL;
}

static tawny_status open_tokenizer(const char *path, tokenizer **t, tawny_error *err)
{
    gguf *g = NULL;
    tawny_status st = gguf_open(path, GGUF_HEADER_ONLY, &g, err);
    if (st == TAWNY_OK) st = tok_open(g, t, err);
    gguf_close(g);
    return st;
}

static tawny_status open_worker(worker *w, const options *o, tawny_error *err)
{
    tawny_status st = tawny_model_open(o->engine.model, &w->m, err);
    if (st == TAWNY_OK) st = tawny_engine_new(w->m, &o->engine.params, &w->e, err);
    if (st == TAWNY_OK) st = open_tokenizer(o->engine.model, &w->tok, err);
    if (st != TAWNY_OK) return st;
    if (w->pooling == TAWNY_POOLING_MODEL) w->pooling = tawny_model_pooling(w->m);
    if (tawny_model_n_embd_out(w->m, w->pooling) == 0)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: the model has no classifier (cls.output.weight) for --pooling rank",
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

static void print_result(const worker *w, size_t line, size_t index, float *x, int32_t rows, int32_t width,
                         int32_t tokens)
{
    printf("{\"line\": %zu, \"index\": %zu, ", line, index);
    if (w->request.rerank) {
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

/* Texts [from, to) of the request. */
static tawny_status slice(worker *w, size_t line, size_t from, size_t to, tawny_error *err)
{
    const embed_request *r = &w->request;
    tawny_text texts[SLICE];
    size_t start = from ? r->end[from - 1] : 0, width = (size_t)tawny_model_n_embd_out(w->m, w->pooling);
    bool each = w->pooling == TAWNY_POOLING_NONE;
    tawny_status st = room(w, (each ? r->end[to - 1] - start : to - from) * width, err);
    for (size_t i = from, at = start; i < to; at = r->end[i++])
        texts[i - from] = (tawny_text){r->ids.v + at, (int32_t)(r->end[i] - at)};
    if (st == TAWNY_OK) st = tawny_engine_embed(w->e, texts, (int32_t)(to - from), w->pooling, w->out, err);
    float *x = w->out;
    for (size_t i = from; st == TAWNY_OK && i < to; i++) {
        int32_t tokens = texts[i - from].n, rows = each ? tokens : 1;
        if (!finite_all(x, (size_t)rows * width))
            return err_set(err, TAWNY_E_DAMAGED, "text %zu: the model's numbers are not finite", i);
        print_result(w, line, i, x, rows, (int32_t)width, tokens);
        x += (size_t)rows * width;
    }
    return st;
}

static tawny_status answer(worker *w, size_t line, const json_t *j, tawny_error *err)
{
    const embed_request *r = &w->request;
    tawny_status st = embed_request_read(&w->request, &w->rules, j, err);
    for (size_t from = 0, to; st == TAWNY_OK && from < r->n; from = to) {
        size_t start = from ? r->end[from - 1] : 0;
        to = from + 1;
        while (to < r->n && to - from < SLICE && r->end[to] - start <= SLICE_TOKENS) to++;
        st = slice(w, line, from, to, err);
    }
    return st;
}

/* The next line without its end; false at the end of the input. Of a line that is too long the rest is skipped. */
static bool read_line(FILE *f, buf *line)
{
    int c;
    buf_clear(line);
    while ((c = getc_unlocked(f)) != EOF && c != '\n')
        if (buf_ok(line)) buf_char(line, (char)c);
    return c != EOF || line->size || !buf_ok(line);
}

static tawny_status one_line(worker *w, size_t at, const buf *line, tawny_error *err)
{
    json_error_t why;
    if (!buf_ok(line)) return err_set(err, TAWNY_E_LIMIT, "longer than %d MiB", MAX_LINE >> 20);
    json_t *j = json_loadb(line->data, line->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    tawny_status st = j ? answer(w, at, j, err) : err_set(err, TAWNY_E_ARG, "no JSON: %s", why.text);
    json_decref(j);
    return st;
}

/* A line that fails is told of, and the next one follows. */
static int each_line(worker *w, FILE *f, const char *name)
{
    buf line = {.max = MAX_LINE};
    int code = 0;
    for (size_t at = 1; !ferror(stdout) && read_line(f, &line); at++) {
        tawny_error err;
        if (buf_ok(&line) && strspn(line.data ? line.data : "", " \t\r") == line.size) continue;
        if (one_line(w, at, &line, &err) != TAWNY_OK) {
            code = cli_fail(1, "embed: %s: line %zu: %s", name, at, err.message);
            if (err.code == TAWNY_E_DAMAGED) break;
        }
        fflush(stdout);
    }
    if (ferror(f)) code = cli_fail(1, "embed: %s: %s", name, strerror(errno));
    buf_free(&line);
    return code;
}

static int run(const options *o, worker *w)
{
    tawny_error err;
    bool std = !o->file || strcmp(o->file, "-") == 0;
    FILE *f = std ? stdin : fopen(o->file, "rb");
    if (!f) return cli_fail(1, "embed: %s: %s", o->file, strerror(errno));
    int code = open_worker(w, o, &err) == TAWNY_OK ? each_line(w, f, std ? "stdin" : o->file) : cli_fail_err(&err);
    if (!std) fclose(f);
    return cli_finish(code);
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
    if (!parse_pooling(o.pooling, &w.pooling))
        return cli_fail(2, "embed: --pooling %s: none, mean, cls, last and rank are known", o.pooling);
    w.norm = o.normalize && o.norm < 0 ? 2 : o.norm;
    char path[4096];
    code = engine_opts_resolve(&o.engine, "embed", path, sizeof path);
    if (code >= 0) return code;
    code = run(&o, &w);
    close_worker(&w);
    return code;
}
