/* tawny bench: speed of prompt and generation, with llama-bench's flags and keys, and beside them what the machine
 * could do at most in the same minute. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "engine_opts.h"

/* A parameter's option as given, and what it comes to. */
enum { P, N, PG, D, T, B, UB, PL, NUMBERS };

typedef struct bench {
    cli_list models, given[NUMBERS], given_k, given_v, given_load;
    bench_numbers list[NUMBERS];
    bench_words type_k, type_v, load;
    char *store_k, *store_v, *store_load;
    tawny_engine_params params;
    bench_how how;
    bench_output out[2];
    int n_out, delay;
    const char *format, *format_err, *ignored, *gemm;
    bool no_ceiling, verbose, batched, shared;
} bench;

/* With --batched prompts, generations and sequences combine; without it, there are no sequences. */
static int parse_batched(bench *b)
{
    if (!b->batched) {
        if (b->given[PL].n || b->shared) return cli_fail(2, "bench: -npl and -pps: with --batched alone");
        return -1;
    }
    if (b->given[PG].n || b->given[D].n) return cli_fail(2, "bench: --batched: it takes no -pg and no -d");
    if (!b->given[P].n) b->list[P].v[0] = 128;
    if (!b->given[N].n) b->list[N].v[0] = 32;
    if (!b->given[PL].n) b->list[PL] = (bench_numbers){6, {1, 2, 4, 8, 16, 32}};
    for (int i = 0; i < b->list[N].n; i++)
        if (b->list[N].v[i] == 0) return cli_fail(2, "bench: --batched: -n 0 is nothing to measure");
    return -1;
}

static int parse(bench *b)
{
    static const struct {
        const char *flag;
        int otherwise, min, max;
    } rows[NUMBERS] = {
        [P] = {"-p", 512, 0, 1 << 22}, [N] = {"-n", 128, 0, 1 << 22}, [PG] = {"-pg", 0, 0, 1 << 22},
        [D] = {"-d", 0, 0, 1 << 22},   [T] = {"-t", 0, 0, 1024},      [B] = {"-b", 2048, 1, 1 << 22},
        [UB] = {"-ub", 512, 1, 65536}, [PL] = {"-npl", 1, 1, BENCH_MAX_SEQUENCES},
    };
    for (int i = 0; i < NUMBERS; i++) {
        int code = bench_numbers_parse(rows[i].flag, &b->given[i], rows[i].otherwise, rows[i].min, rows[i].max,
                                       &b->list[i]);
        if (code >= 0) return code;
    }
    if (!b->given[PG].n) b->list[PG].n = 0;
    int code = parse_batched(b);
    if (code >= 0) return code;
    if (b->list[PG].n % 2) return cli_fail(2, "bench: -pg: pairs PP,TG");
    code = bench_words_parse("-ctk", &b->given_k, "f16", &b->type_k, &b->store_k);
    if (code < 0) code = bench_words_parse("-ctv", &b->given_v, "f16", &b->type_v, &b->store_v);
    tawny_kv_type type;
    for (int i = 0; code < 0 && i < b->type_k.n + b->type_v.n; i++) {
        const char *name = i < b->type_k.n ? b->type_k.v[i] : b->type_v.v[i - b->type_k.n];
        if (!engine_opts_kv_type(name, &type))
            return cli_fail(2, "bench: %s %s: no such cache type", i < b->type_k.n ? "-ctk" : "-ctv", name);
    }
    if (code < 0) code = bench_words_parse("--load", &b->given_load, "mmap", &b->load, &b->store_load);
    tawny_load load;
    for (int i = 0; code < 0 && i < b->load.n; i++)
        if (!engine_opts_load(b->load.v[i], &load))
            return cli_fail(2, "bench: --load %s: mmap, recache, huge, lock, huge+lock and auto are known", b->load.v[i]);
    return code;
}

static int open_outputs(bench *b)
{
    const char *formats[2] = {b->format, b->format_err};
    for (int i = 0; i < 2; i++) {
        if (!formats[i] || (i == 1 && strcmp(formats[i], "none") == 0)) continue;
        bench_output *o = &b->out[b->n_out++];
        if (!bench_open(o, i ? stderr : stdout, formats[i]))
            return cli_fail(2, "bench: %s %s: md, json, jsonl, csv and sql are known", i ? "-oe" : "-o", formats[i]);
        o->batched = b->batched;
        o->columns = (bench_columns){
            .n_batch = b->given[B].n, .n_ubatch = b->given[UB].n, .type_k = b->given_k.n, .type_v = b->given_v.n,
            .load = b->given_load.n, .act_bits = b->params.act_bits != 0,
        };
    }
    return -1;
}

static int tests_of(const bench *b)
{
    if (b->batched) return b->list[P].n * b->list[N].n * b->list[PL].n;
    return b->list[P].n + b->list[N].n + b->list[PG].n / 2;
}

/* Test i of one combination of parameters: the prompts, the generations, the pairs. */
static void choose(const bench *b, int i, bench_test *t)
{
    const bench_numbers *p = &b->list[P], *n = &b->list[N], *pg = &b->list[PG], *pl = &b->list[PL];
    if (b->batched) {
        t->sequences = pl->v[i % pl->n];
        t->n_gen = n->v[i / pl->n % n->n];
        t->n_prompt = p->v[i / pl->n / n->n];
        t->shared = b->shared;
    } else if (i < p->n) {
        t->n_prompt = p->v[i];
    } else if (i < p->n + n->n) {
        t->n_gen = n->v[i - p->n];
    } else {
        t->n_prompt = pg->v[2 * (i - p->n - n->n)];
        t->n_gen = pg->v[2 * (i - p->n - n->n) + 1];
    }
}

/* Combination i of the lists, the later ones changing faster, as in llama-bench: -b -ub -ctk -ctv -t -d. */
static void combine(const bench *b, int i, bench_test *t)
{
    const bench_numbers *d = &b->list[D], *th = &b->list[T], *ub = &b->list[UB], *nb = &b->list[B];
    t->depth = d->v[i % d->n];
    i /= d->n;
    t->threads = th->v[i % th->n];
    i /= th->n;
    t->type_v = b->type_v.v[i % b->type_v.n];
    i /= b->type_v.n;
    t->type_k = b->type_k.v[i % b->type_k.n];
    i /= b->type_k.n;
    t->n_ubatch = ub->v[i % ub->n];
    i /= ub->n;
    t->n_batch = nb->v[i % nb->n];
}

static int combinations(const bench *b)
{
    return b->list[D].n * b->list[T].n * b->type_v.n * b->type_k.n * b->list[UB].n * b->list[B].n;
}

static void wait_before(const bench *b)
{
    struct timespec left = {.tv_sec = b->delay};
    while (b->delay && nanosleep(&left, &left) != 0) {}
}

static tawny_status run_one(bench *b, const char *path, tawny_model *m, bench_test *t, tawny_error *err)
{
    tawny_engine_params p = b->params;
    t->gemm = p.gemm ? "blas" : "own";
    p.n_threads = t->threads;
    p.n_ubatch = t->n_ubatch;
    engine_opts_kv_type(t->type_k, &p.type_k);
    engine_opts_kv_type(t->type_v, &p.type_v);
    b->how.index++;
    wait_before(b);
    tawny_status st = (b->batched ? bench_run_batched : bench_run)(m, &p, &b->how, t, err);
    if (st != TAWNY_OK) return st;
    gguf_pages(m->m.file, &t->pages);
    json_t *row = (b->batched ? bench_batched_json : bench_row_json)(path, m, t);
    for (int i = 0; i < b->n_out; i++) bench_print(&b->out[i], row);
    json_decref(row);
    return TAWNY_OK;
}

/* All tests of a model that is loaded one way. */
static tawny_status bench_model(bench *b, const char *path, const char *load, tawny_error *err)
{
    tawny_model *m;
    engine_opts o = {.model = path};
    bench_test *t = malloc(sizeof *t);
    if (!t) return err_nomem(err);
    engine_opts_load(load, &o.load);
    tawny_status st = engine_opts_open(&o, &m, err);
    for (int i = 0; st == TAWNY_OK && i < combinations(b); i++)
        for (int j = 0; st == TAWNY_OK && j < tests_of(b); j++) {
            *t = (bench_test){.load = tawny_load_name(tawny_model_loaded(m, NULL))};
            combine(b, i, t);
            choose(b, j, t);
            if (t->n_prompt + t->n_gen > 0) st = run_one(b, path, m, t, err);
        }
    tawny_model_close(m);
    free(t);
    return st;
}

/* The ceilings need memory of their own; where there is none, there are no ceilings. */
static int open_machine(bench *b)
{
    tawny_error err;
    if (b->no_ceiling) return -1;
    if (simd_init(NULL, &err) != TAWNY_OK) return cli_fail_err(&err);
    if (limits_new(0, true, &b->how.machine, &err) != TAWNY_OK)
        fprintf(stderr, "tawny: no ceilings: %s\n", err.message);
    return -1;
}

static int run_models(bench *b)
{
    engine_opts o = {0};
    tawny_error err;
    char path[4096];
    int code = parse(b), models = b->models.n ? (int)b->models.n : 1;
    if (code < 0) code = engine_opts_gemm(b->gemm, "bench", &b->params.gemm);
    if (code < 0) code = open_outputs(b);
    if (code < 0) code = open_machine(b);
    for (int i = 0; i < tests_of(b); i++) {
        bench_test t = {0};
        choose(b, i, &t);
        b->how.count += t.n_prompt + t.n_gen > 0;
    }
    b->how.count *= models * b->load.n * combinations(b);
    for (int i = 0; code < 0 && i < models; i++) {
        o.model = b->models.n ? b->models.items[i] : NULL;
        code = engine_opts_resolve(&o, "bench", path, sizeof path);
        for (int l = 0; code < 0 && l < b->load.n; l++)
            if (bench_model(b, o.model, b->load.v[l], &err) != TAWNY_OK) code = cli_fail_err(&err);
    }
    for (int i = 0; i < b->n_out; i++)
        if (code < 0 || b->out[i].rows) bench_close(&b->out[i]);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    static bench b = {.how.repeat = 5, .format = "md"};
    const cli_opt opts[] = {
        {"-m --model", CLI_LIST, &b.models, "FILE",
         "a model; may be given several times (default: the one `make demo` fetches)", 0, 0},
        {"-p --n-prompt -npp", CLI_LIST, &b.given[P], "LIST", "tokens of the prompts (default: 512)", 0, 0},
        {"-n --n-gen -ntg", CLI_LIST, &b.given[N], "LIST", "tokens to generate (default: 128)", 0, 0},
        {"-pg", CLI_LIST, &b.given[PG], "PP,TG", "prompt and generation in one test", 0, 0},
        {"-d --n-depth", CLI_LIST, &b.given[D], "LIST", "tokens in the cache before the test (default: 0)", 0, 0},
        {"--batched", CLI_FLAG, &b.batched, NULL, "several sequences at once (-p 128 -n 32), as llama-batched-bench",
         0, 0},
        {"-npl", CLI_LIST, &b.given[PL], "LIST", "with --batched: how many (default: 1,2,4,8,16,32)", 0, 0},
        {"-pps", CLI_FLAG, &b.shared, NULL, "with --batched: one prompt for all", 0, 0},
        {"-t --threads", CLI_LIST, &b.given[T], "LIST", "threads (default: the physical cores)", 0, 0},
        {"-b --batch-size", CLI_LIST, &b.given[B], "LIST", "reported as it is given; -ub decides", 0, 0},
        {"-ub --ubatch-size", CLI_LIST, &b.given[UB], "LIST", "tokens computed together (default: 512)", 0, 0},
        {"-ctk --cache-type-k", CLI_LIST, &b.given_k, "LIST", "types of the cache's keys: f16 (default), f32, bf16, q8_0, q4_0", 0, 0},
        {"-ctv --cache-type-v", CLI_LIST, &b.given_v, "LIST", "types of its values: the same", 0, 0},
        {"--load -lm --load-mode", CLI_LIST, &b.given_load, "LIST", "mmap (default), recache, huge, lock, huge+lock, auto", 0,
         0},
        {"--gemm", CLI_STR, &b.gemm, "WHOSE", "prefill with float weights: own (default) or blas (OpenBLAS)", 0, 0},
        {"--act-bits", CLI_INT, &b.params.act_bits, "N", "bits of activations: 8 or 16 (default: as the model asks)",
         0, 16},
        {"--no-pin", CLI_FLAG, &b.params.no_pin, NULL, "leave the placing of threads to the scheduler", 0, 0},
        {"-r --repetitions", CLI_INT, &b.how.repeat, "N", "runs of each test (default: 5)", 1, BENCH_MAX_REPEAT},
        {"--delay", CLI_INT, &b.delay, "N", "seconds to wait before each test (default: 0)", 0, 86400},
        {"--no-warmup", CLI_FLAG, &b.how.no_warmup, NULL, "no run that does not count before each test", 0, 0},
        {"--no-ceiling", CLI_FLAG, &b.no_ceiling, NULL, "do not measure the machine's limits between the runs", 0, 0},
        {"-o --output", CLI_STR, &b.format, "FORMAT", "md, json, jsonl, csv or sql (default: md)", 0, 0},
        {"-oe --output-err", CLI_STR, &b.format_err, "FORMAT", "the same to standard error (default: none)", 0, 0},
        {"--progress", CLI_FLAG, &b.how.progress, NULL, "say on standard error what is being done", 0, 0},
        {NULL, CLI_HEADING, NULL, NULL, "LIST: 128,512, or ranges 1-4, 16-64+16, 8-64*2; may be repeated.", 0, 0},
        {NULL, CLI_HEADING, NULL, NULL, "Options of llama-bench that change nothing here:", 0, 0},
        {"-fa --flash-attn", CLI_STR, &b.ignored, "V", "attention has one form", 0, 0},
        {"-ngl --n-gpu-layers", CLI_STR, &b.ignored, "N", "there is no GPU, nor anything to move to one:", 0, 0},
        {"-ncmoe --n-cpu-moe", CLI_STR, &b.ignored, "N", "", 0, 0},
        {"-sm --split-mode", CLI_STR, &b.ignored, "V", "", 0, 0},
        {"-mg --main-gpu", CLI_STR, &b.ignored, "N", "", 0, 0},
        {"-dev --device", CLI_STR, &b.ignored, "V", "", 0, 0},
        {"-nkvo --no-kv-offload", CLI_STR, &b.ignored, "V", "", 0, 0},
        {"-nopo --no-op-offload", CLI_STR, &b.ignored, "V", "", 0, 0},
        {"--no-host", CLI_STR, &b.ignored, "V", "", 0, 0},
        {"--repack -rtr", CLI_STR, &b.ignored, "V", "weights are used as they lie in the file", 0, 0},
        {"--poll", CLI_STR, &b.ignored, "N", "threads spin briefly, then sleep", 0, 0},
        {"-v --verbose", CLI_FLAG, &b.verbose, NULL, "there is nothing more to say", 0, 0},
        {0},
    };
    int code = cli_parse("bench", argc, argv, opts, NULL);
    if (code < 0) code = run_models(&b);
    limits_free(b.how.machine);
    for (int i = 0; i < NUMBERS; i++) free(b.given[i].items);
    free(b.models.items);
    free(b.given_k.items);
    free(b.given_v.items);
    free(b.given_load.items);
    free(b.store_load);
    free(b.store_k);
    free(b.store_v);
    return code < 0 ? cli_finish(0) : code;
}
