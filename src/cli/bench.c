#include "bench.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../simd/simd.h"
#include "../base/cpu.h"

bool bench_open(bench_output *o, const char *format)
{
    static const char *const names[BENCH_FORMATS] = {"md", "json", "jsonl", "csv", "sql"};
    *o = (bench_output){0};
    while (o->format < BENCH_FORMATS && strcmp(names[o->format], format) != 0) o->format++;
    if (o->format == BENCH_JSON) printf("[\n");
    return o->format < BENCH_FORMATS;
}

void bench_close(bench_output *o)
{
    if (o->format == BENCH_JSON) printf("\n]\n");
}

typedef struct stats {
    double mean, dev;
} stats;

static stats stats_of(const double *v, int n)
{
    double sum = 0, sq = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    for (int i = 0; i < n; i++) sq += (v[i] - sum / n) * (v[i] - sum / n);
    return (stats){sum / n, n > 1 ? sqrt(sq / (n - 1)) : 0};
}

static json_t *samples(const double *v, int n, bool integral)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(a, integral ? json_integer((json_int_t)v[i]) : json_real(v[i]));
    return a;
}

static void model_type(const tawny_model *m, char *out, size_t size)
{
    double p = (double)tawny_model_n_params(m);
    snprintf(out, size, p >= 1e9 ? "%s %.2fB" : "%s %.0fM", tawny_model_arch(m), p >= 1e9 ? p / 1e9 : p / 1e6);
}

/* llama-bench's keys first, then tawny's. */
static json_t *row(const char *path, const tawny_model *m, const bench_test *t)
{
    double ns[BENCH_MAX_REPEAT], ts[BENCH_MAX_REPEAT];
    int tokens = t->n_prompt + t->n_gen;
    for (int i = 0; i < t->n; i++) {
        ns[i] = t->seconds[i] * 1e9;
        ts[i] = tokens / t->seconds[i];
    }
    stats s_ns = stats_of(ns, t->n), s_ts = stats_of(ts, t->n);
    char type[128], when[32];
    time_t clock = time(NULL);
    struct tm tm;
    gmtime_r(&clock, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    model_type(m, type, sizeof type);
    uint64_t bytes = tawny_model_bytes_per_token(m);
    json_t *j = json_object();
    json_object_set_new(j, "build_commit", json_string("tawny-" TAWNY_VERSION));
    json_object_set_new(j, "build_number", json_integer(0));
    json_object_set_new(j, "cpu_info", json_string(cpu_get()->name));
    json_object_set_new(j, "gpu_info", json_string(""));
    json_object_set_new(j, "backends", json_string("CPU"));
    json_object_set_new(j, "model_filename", json_string(path));
    json_object_set_new(j, "model_type", json_string(type));
    json_object_set_new(j, "model_size", json_integer((json_int_t)tawny_model_bytes(m)));
    json_object_set_new(j, "model_n_params", json_integer((json_int_t)tawny_model_n_params(m)));
    json_object_set_new(j, "n_batch", json_integer(t->n_ubatch));
    json_object_set_new(j, "n_ubatch", json_integer(t->n_ubatch));
    json_object_set_new(j, "n_threads", json_integer(t->threads));
    json_object_set_new(j, "type_k", json_string(t->type_k));
    json_object_set_new(j, "type_v", json_string(t->type_v));
    json_object_set_new(j, "n_gpu_layers", json_integer(0));
    json_object_set_new(j, "devices", json_string("none"));
    json_object_set_new(j, "use_mmap", json_true());
    json_object_set_new(j, "n_prompt", json_integer(t->n_prompt));
    json_object_set_new(j, "n_gen", json_integer(t->n_gen));
    json_object_set_new(j, "n_depth", json_integer(t->depth));
    json_object_set_new(j, "test_time", json_string(when));
    json_object_set_new(j, "avg_ns", json_integer((json_int_t)s_ns.mean));
    json_object_set_new(j, "stddev_ns", json_integer((json_int_t)s_ns.dev));
    json_object_set_new(j, "avg_ts", json_real(s_ts.mean));
    json_object_set_new(j, "stddev_ts", json_real(s_ts.dev));
    json_object_set_new(j, "samples_ns", samples(ns, t->n, true));
    json_object_set_new(j, "samples_ts", samples(ts, t->n, false));
    json_object_set_new(j, "tier", json_string(simd_tier_name(simd_current())));
    json_object_set_new(j, "act_bits", json_integer(t->act_bits));
    json_object_set_new(j, "contract", json_integer(TAWNY_CONTRACT));
    json_object_set_new(j, "bytes_per_token", json_integer((json_int_t)bytes));
    json_object_set_new(j, "gb_per_s", json_real(t->n_prompt ? 0 : s_ts.mean * (double)bytes / 1e9));
    return j;
}

static void print_md(bool first, const json_t *j)
{
    char test[64];
    int p = (int)json_integer_value(json_object_get(j, "n_prompt")), g = (int)json_integer_value(json_object_get(j, "n_gen"));
    int d = (int)json_integer_value(json_object_get(j, "n_depth")), at = 0;
    if (p && g)
        at = snprintf(test, sizeof test, "pp%d+tg%d", p, g);
    else
        at = snprintf(test, sizeof test, p ? "pp%d" : "tg%d", p ? p : g);
    if (d) snprintf(test + at, sizeof test - (size_t)at, " @ d%d", d);
    if (first)
        printf("| %-24s | %10s | %10s | %-7s | %7s | %15s | %20s | %6s |\n| %s | ---------: | ---------: | ------- | ------: | "
               "--------------: | -------------------: | -----: |\n",
               "model", "size", "params", "backend", "threads", "test", "t/s", "GB/s", "------------------------");
    printf("| %-24s | %6.2f MiB | %8.2f M | CPU     | %7d | %15s | %11.2f ± %6.2f | ", json_string_value(json_object_get(j, "model_type")),
           (double)json_integer_value(json_object_get(j, "model_size")) / 1048576,
           (double)json_integer_value(json_object_get(j, "model_n_params")) / 1e6, (int)json_integer_value(json_object_get(j, "n_threads")), test,
           json_real_value(json_object_get(j, "avg_ts")), json_real_value(json_object_get(j, "stddev_ts")));
    if (p)
        printf("%6s |\n", "");
    else
        printf("%6.1f |\n", json_real_value(json_object_get(j, "gb_per_s")));
}

/* A value as CSV ("" doubles a quote) or SQL ('' does). Arrays are left out of both, as in llama-bench. */
static void print_quoted(const json_t *v, char quote)
{
    putchar(quote);
    if (json_is_string(v)) {
        for (const char *s = json_string_value(v); *s; s++) {
            if (*s == quote) putchar(quote);
            putchar(*s);
        }
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        fputs(text ? text : "", stdout);
        free(text);
    }
    putchar(quote);
}

static void print_table(bool first, json_t *j, bool sql)
{
    const char *key;
    json_t *v;
    bool comma = false;
    if (first) {
        if (sql) printf("CREATE TABLE IF NOT EXISTS test (\n");
        json_object_foreach(j, key, v)
        {
            if (json_is_array(v)) continue;
            if (sql)
                printf("%s  %s %s", comma ? ",\n" : "", key, json_is_string(v) || json_is_boolean(v) ? "TEXT" : json_is_real(v) ? "REAL" : "INTEGER");
            else
                printf("%s%s", comma ? "," : "", key);
            comma = true;
        }
        printf(sql ? "\n);\n\n" : "\n");
    }
    if (sql) printf("INSERT INTO test VALUES (");
    comma = false;
    json_object_foreach(j, key, v)
    {
        if (json_is_array(v)) continue;
        if (comma) printf(sql ? ", " : ",");
        print_quoted(v, sql ? '\'' : '"');
        comma = true;
    }
    printf(sql ? ");\n" : "\n");
}

void bench_row(bench_output *o, const char *path, const tawny_model *m, const bench_test *t)
{
    json_t *j = row(path, m, t);
    bool first = o->rows++ == 0;
    if (o->format == BENCH_JSON && !first) printf(",\n");
    if (o->format == BENCH_JSON || o->format == BENCH_JSONL) {
        json_dumpf(j, stdout, JSON_REAL_PRECISION(9) | (o->format == BENCH_JSON ? JSON_INDENT(2) : JSON_COMPACT));
        if (o->format == BENCH_JSONL) putchar('\n');
    } else if (o->format == BENCH_MD) {
        print_md(first, j);
    } else {
        print_table(first, j, o->format == BENCH_SQL);
    }
    fflush(stdout);
    json_decref(j);
}
