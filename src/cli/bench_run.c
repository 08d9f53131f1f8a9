/* One test of `tawny bench`, and the machine's limits between its runs. */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/cpu.h"
#include "bench.h"

static const double read_seconds = 0.05, arithmetic_seconds = 0.01;

/* Tokens that differ from each other; what they are does not matter. */
void bench_fill(tawny_token *t, int n, int32_t n_vocab)
{
    uint32_t x = 1;
    for (int i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        t[i] = (tawny_token)((x >> 8) % (uint32_t)n_vocab);
    }
}

/* One run: n_prompt tokens in batches, then n_gen one by one, after `depth` tokens. Seconds, or < 0. */
static double measure(tawny_session *s, const tawny_token *tokens, const bench_test *t, tawny_error *err)
{
    tawny_session_truncate(s, t->depth);
    if (t->depth && tawny_session_sync(s, tokens, t->depth, NULL, NULL, err) != TAWNY_OK) return -1;
    double start = clock_now();
    if (t->n_prompt && tawny_session_sync(s, tokens, t->depth + t->n_prompt, NULL, NULL, err) != TAWNY_OK) return -1;
    for (int i = 0; i < t->n_gen; i++)
        if (tawny_session_append(s, tokens + t->depth + t->n_prompt + i, 1, NULL, err) != TAWNY_OK) return -1;
    return clock_now() - start;
}

/* The limits at this moment, before run i. */
void bench_look(limits *machine, bench_test *t, int i)
{
    if (!machine) return;
    limits_settle();
    t->read[i] = limits_sample(machine, LIMITS_READ, simd_current(), read_seconds);
    t->int8[i] = limits_sample(machine, LIMITS_INT8, simd_current(), arithmetic_seconds);
    t->f32[i] = limits_sample(machine, LIMITS_F32, simd_current(), arithmetic_seconds);
    t->limited = t->read[i] > 0 && t->int8[i] > 0 && t->f32[i] > 0;
}

void bench_tell(const bench_how *how, const char *what, int i)
{
    if (!how->progress) return;
    fprintf(stderr, "bench: benchmark %d/%d: %s", how->index, how->count, what);
    if (i) fprintf(stderr, " %d/%d", i, how->repeat);
    fprintf(stderr, "\n");
}

static tawny_status repeat(tawny_session *s, const tawny_token *tokens, const bench_how *how, bench_test *t,
                           tawny_error *err)
{
    bench_test *warm = how->no_warmup ? NULL : malloc(sizeof *warm);
    if (warm) { /* as llama-bench: the prompt, or one token, which does not count */
        *warm = *t;
        warm->n_gen = t->n_gen ? 1 : 0;
        bench_tell(how, "warm-up run", 0);
        double took = measure(s, tokens, warm, err);
        free(warm);
        if (took < 0) return err->code;
    }
    bench_look(how->machine, t, 0);
    for (t->n = 0; t->n < how->repeat; t->n++) {
        bench_tell(how, "run", t->n + 1);
        t->seconds[t->n] = measure(s, tokens, t, err);
        if (t->seconds[t->n] < 0) return err->code;
        bench_look(how->machine, t, t->n + 1);
    }
    return TAWNY_OK;
}

tawny_status bench_describe(const tawny_model *m, const tawny_engine *e, const bench_how *how, bench_test *t,
                            tawny_error *err)
{
    static int cpus[CPU_MAX];
    int cores, n = cpu_order(cpus, CPU_MAX, &cores), sequences = t->sequences ? t->sequences : 1;
    t->threads = tawny_engine_n_threads(e);
    t->act_bits = tawny_engine_act_bits(e);
    t->products = cost_products_of(m);
    t->experts = m->m.hp.n_expert > 0;
    t->bytes_per_token = (double)tawny_model_bytes_per_token(m) +
                         sequences * cost_cache_bytes_of(m, &e->layout,
                                                         t->depth + t->n_prompt + t->n_gen / 2);
    t->mapped = tawny_model_bytes(m);
    return how->machine ? limits_threads(how->machine, t->threads, cpus, cores < n ? cores : n, err) : TAWNY_OK;
}

tawny_status bench_run(tawny_model *m, const tawny_engine_params *params, const bench_how *how, bench_test *t,
                       tawny_error *err)
{
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    int total = t->depth + t->n_prompt + t->n_gen;
    tawny_engine_params p = *params;
    tawny_token *tokens = malloc(((size_t)total + 1) * sizeof *tokens);
    p.n_ctx = total + 1;
    tawny_status st = tokens ? tawny_engine_new(m, &p, &e, err) : err_nomem(err);
    if (st == TAWNY_OK) st = tawny_session_new(e, &s, err);
    if (st == TAWNY_OK) {
        bench_fill(tokens, total, tawny_model_n_vocab(m));
        st = bench_describe(m, e, how, t, err);
    }
    if (st == TAWNY_OK) {
        st = repeat(s, tokens, how, t, err);
    }
    tawny_session_free(s);
    tawny_engine_free(e);
    free(tokens);
    return st;
}
