/* tawny bench: prompt and generation speed, with llama-bench's flags and keys, and tawny's own beside them. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/cpu.h"
#include "bench.h"
#include "engine_opts.h"

enum { MAX_LIST = 32 };

typedef struct numbers {
    int n, v[MAX_LIST];
} numbers;

/* "512" or "128,256,512"; "-p 0" means no such test. */
static int parse_numbers(const char *flag, const char *text, int max, numbers *out)
{
    out->n = 0;
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < 0 || v > max || (*end && *end != ',') || out->n == MAX_LIST)
            return cli_fail(2, "bench: %s %s: a list of at most %d numbers from 0 to %d", flag, text, MAX_LIST, max);
        out->v[out->n++] = (int)v;
        p = *end ? end + 1 : end;
    }
    return out->n ? -1 : cli_fail(2, "bench: %s: an empty list", flag);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Tokens that differ from each other; what they are does not matter. */
static void fill(tawny_token *t, int n, int32_t n_vocab)
{
    uint32_t x = 1;
    for (int i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        t[i] = (tawny_token)((x >> 8) % (uint32_t)n_vocab);
    }
}

/* One measurement: n_prompt tokens in batches, then n_gen one by one, after `depth` tokens. Seconds, or < 0. */
static double measure(tawny_session *s, const tawny_token *tokens, const bench_test *t, tawny_error *err)
{
    tawny_session_truncate(s, t->depth);
    double start = now();
    if (t->n_prompt && tawny_session_sync(s, tokens, t->depth + t->n_prompt, NULL, NULL, err) != TAWNY_OK) return -1;
    for (int i = 0; i < t->n_gen; i++)
        if (tawny_session_append(s, tokens + t->depth + t->n_prompt + i, 1, NULL, err) != TAWNY_OK) return -1;
    return now() - start;
}

static tawny_status run_test(tawny_model *m, engine_opts *o, bench_test *t, int repeat, tawny_error *err)
{
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    int total = t->depth + t->n_prompt + t->n_gen;
    tawny_token *tokens = malloc(((size_t)total + 1) * sizeof *tokens);
    o->params.n_ctx = total + 1;
    tawny_status st = tokens ? tawny_engine_new(m, &o->params, &e, err) : TAWNY_E_NOMEM;
    if (st == TAWNY_OK) st = tawny_session_new(e, &s, err);
    if (st == TAWNY_OK) {
        fill(tokens, total, tawny_model_n_vocab(m));
        t->threads = tawny_engine_n_threads(e);
        t->act_bits = tawny_engine_act_bits(e);
        if (t->depth) st = tawny_session_sync(s, tokens, t->depth, NULL, NULL, err);
        bench_test warm = *t; /* as llama-bench: one run that does not count */
        warm.n_gen = t->n_gen ? 1 : 0;
        if (st == TAWNY_OK && measure(s, tokens, &warm, err) < 0) st = err->code;
        for (t->n = 0; st == TAWNY_OK && t->n < repeat; t->n++) {
            t->seconds[t->n] = measure(s, tokens, t, err);
            if (t->seconds[t->n] < 0) st = err->code;
        }
    }
    tawny_session_free(s);
    tawny_engine_free(e);
    free(tokens);
    return st;
}

static const char *type_name(const char *given) { return given ? given : "f16"; }

/* Runs the tests of one model for every combination of the lists. */
static int bench_model(engine_opts *o, const numbers *p, const numbers *n, const numbers *pg, const numbers *d, const numbers *t,
                       const numbers *ub, int repeat, bench_output *out)
{
    tawny_model *m;
    tawny_error err = {0};
    if (tawny_model_open(o->model, &m, &err) != TAWNY_OK) return cli_fail_err(&err);
    int code = -1;
    for (int i = 0; code < 0 && i < d->n * t->n * ub->n; i++) {
        int depth = d->v[i % d->n];
        o->params.n_threads = t->v[i / d->n % t->n];
        o->params.n_ubatch = ub->v[i / d->n / t->n];
        int tests = p->n + n->n + pg->n / 2;
        for (int j = 0; code < 0 && j < tests; j++) {
            bench_test x = {.depth = depth, .n_ubatch = o->params.n_ubatch, .type_k = type_name(o->type_k), .type_v = type_name(o->type_v)};
            if (j < p->n) {
                x.n_prompt = p->v[j];
            } else if (j < p->n + n->n) {
                x.n_gen = n->v[j - p->n];
            } else {
                x.n_prompt = pg->v[2 * (j - p->n - n->n)];
                x.n_gen = pg->v[2 * (j - p->n - n->n) + 1];
            }
            if (x.n_prompt + x.n_gen == 0) continue;
            if (run_test(m, o, &x, repeat, &err) != TAWNY_OK)
                code = cli_fail_err(&err);
            else
                bench_row(out, o->model, m, &x);
        }
    }
    tawny_model_close(m);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    engine_opts o = {0};
    cli_list models = {0};
    const char *p = "512", *n = "128", *pg = "", *d = "0", *t = "0", *ub = "512", *b = NULL, *format = "md";
    int repeat = 5;
    const cli_opt opts[] = {
        {"-m --model", CLI_LIST, &models, "FILE", "a model; may be given several times (default: the one `make demo` fetches)", 0, 0},
        {"-p --n-prompt", CLI_STR, &p, "LIST", "tokens of the prompts (default: 512)", 0, 0},
        {"-n --n-gen", CLI_STR, &n, "LIST", "tokens to generate (default: 128)", 0, 0},
        {"-pg", CLI_STR, &pg, "PP,TG", "prompt and generation in one test", 0, 0},
        {"-d --n-depth", CLI_STR, &d, "LIST", "tokens in the cache before the test (default: 0)", 0, 0},
        {"-t --threads", CLI_STR, &t, "LIST", "threads (default: the physical cores)", 0, 0},
        {"-b --batch-size", CLI_STR, &b, "N", "accepted for llama-bench's sake; -ub decides", 0, 0},
        {"-ub --ubatch-size", CLI_STR, &ub, "LIST", "tokens computed together (default: 512)", 0, 0},
        {"-ctk --cache-type-k", CLI_STR, &o.type_k, "TYPE", "f16 or f32", 0, 0},
        {"-ctv --cache-type-v", CLI_STR, &o.type_v, "TYPE", "f16 or f32", 0, 0},
        {"-r --repetitions", CLI_INT, &repeat, "N", "runs of each test (default: 5)", 1, BENCH_MAX_REPEAT},
        {"-o --output", CLI_STR, &format, "FORMAT", "md, json, jsonl, csv or sql (default: md)", 0, 0},
        {"--act-bits", CLI_INT, &o.params.act_bits, "N", "bits of activations: 8 or 16 (default: as the model asks)", 0, 16},
        {"--no-pin", CLI_FLAG, &o.params.no_pin, NULL, "leave the placing of threads to the scheduler", 0, 0},
        {0},
    };
    int code = cli_parse("bench", argc, argv, opts, NULL);
    if (code >= 0) return code;
    numbers np, nn, npg = {0}, nd, nt, nub;
    char path[4096];
    bench_output out;
    if ((code = parse_numbers("-p", p, 1 << 20, &np)) >= 0 || (code = parse_numbers("-n", n, 1 << 20, &nn)) >= 0 ||
        (*pg && (code = parse_numbers("-pg", pg, 1 << 20, &npg)) >= 0) || (code = parse_numbers("-d", d, 1 << 20, &nd)) >= 0 ||
        (code = parse_numbers("-t", t, 1024, &nt)) >= 0 || (code = parse_numbers("-ub", ub, 65536, &nub)) >= 0)
        return code;
    if (npg.n % 2) return cli_fail(2, "bench: -pg %s: pairs PP,TG", pg);
    if (!bench_open(&out, format)) return cli_fail(2, "bench: -o %s: md, json, jsonl, csv and sql are known", format);
    for (size_t i = 0; code < 0 && i < (models.n ? models.n : 1); i++) {
        o.model = models.n ? models.items[i] : NULL;
        code = engine_opts_resolve(&o, "bench", path, sizeof path);
        if (code < 0) code = bench_model(&o, &np, &nn, &npg, &nd, &nt, &nub, repeat, &out);
    }
    bench_close(&out);
    free(models.items);
    return code < 0 ? cli_finish(0) : code;
}
