/* Rows of `tawny bench` in llama-bench's output formats. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

bool bench_open(bench_output *o, FILE *to, const char *format)
{
    static const char *const names[BENCH_FORMATS] = {"md", "json", "jsonl", "csv", "sql"};
    *o = (bench_output){.to = to};
    while (o->format < BENCH_FORMATS && strcmp(names[o->format], format) != 0) o->format++;
    return o->format < BENCH_FORMATS;
}

static double real(const json_t *row, const char *key) { return json_real_value(json_object_get(row, key)); }
static long integer(const json_t *row, const char *key)
{
    return (long)json_integer_value(json_object_get(row, key));
}
static const char *text(const json_t *row, const char *key) { return json_string_value(json_object_get(row, key)); }

/* ---- Markdown ---- */

enum { CELL = 160 };

typedef struct column {
    const char *title;
    int width; /* negative: to the left */
    void (*cell)(const json_t *row, char out[CELL]);
    bool (*shown)(const bench_columns *c); /* NULL: always */
} column;

static void cell_model(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%s", text(r, "model_type")); }
static void cell_backend(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%s", text(r, "backends")); }
static void cell_threads(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%d", (int)integer(r, "n_threads")); }
static void cell_batch(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%d", (int)integer(r, "n_batch")); }
static void cell_ubatch(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%d", (int)integer(r, "n_ubatch")); }
static void cell_k(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%s", text(r, "type_k")); }
static void cell_v(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%s", text(r, "type_v")); }
static void cell_load(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%s", text(r, "load_mode")); }
static void cell_bits(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%d", (int)integer(r, "act_bits")); }

static void cell_size(const json_t *r, char out[CELL])
{
    double mib = (double)integer(r, "model_size") / 1048576;
    snprintf(out, CELL, mib < 1024 ? "%.2f MiB" : "%.2f GiB", mib < 1024 ? mib : mib / 1024);
}

static void cell_params(const json_t *r, char out[CELL])
{
    double millions = (double)integer(r, "model_n_params") / 1e6;
    snprintf(out, CELL, millions < 1000 ? "%.2f M" : "%.2f B", millions < 1000 ? millions : millions / 1000);
}

static void cell_test(const json_t *r, char out[CELL])
{
    int p = (int)integer(r, "n_prompt"), g = (int)integer(r, "n_gen"), d = (int)integer(r, "n_depth"), n;
    if (p && g)
        n = snprintf(out, CELL, "pp%d+tg%d", p, g);
    else
        n = snprintf(out, CELL, p ? "pp%d" : "tg%d", p ? p : g);
    if (d) snprintf(out + n, CELL - (size_t)n, " @ d%d", d);
}

static void cell_speed(const json_t *r, char out[CELL])
{
    snprintf(out, CELL, "%.2f ± %.2f", real(r, "avg_ts"), real(r, "stddev_ts"));
}

/* A rate with its share of the limit: "27.1 (93%)". */
static void rate(const json_t *r, const char *key, const char *share, int digits, char out[CELL])
{
    out[0] = 0;
    if (!json_is_real(json_object_get(r, key))) return;
    int n = snprintf(out, CELL, "%.*f", digits, real(r, key));
    if (json_is_real(json_object_get(r, share))) snprintf(out + n, CELL - (size_t)n, " (%.0f%%)", real(r, share));
}

static void cell_gb(const json_t *r, char out[CELL]) { rate(r, "gb_per_s", "percent_of_ceiling", 1, out); }

static void cell_gops(const json_t *r, char out[CELL])
{
    rate(r, "int8_gops", "percent_of_int8_peak", 0, out);
    if (!out[0]) rate(r, "f32_gflops", "percent_of_f32_peak", 0, out);
}

static bool show_batch(const bench_columns *c) { return c->n_batch; }
static bool show_ubatch(const bench_columns *c) { return c->n_ubatch; }
static bool show_k(const bench_columns *c) { return c->type_k; }
static bool show_v(const bench_columns *c) { return c->type_v; }
static bool show_load(const bench_columns *c) { return c->load; }
static bool show_bits(const bench_columns *c) { return c->act_bits; }

static const column columns[] = {
    {"model", -30, cell_model, NULL},
    {"size", 10, cell_size, NULL},
    {"params", 10, cell_params, NULL},
    {"backend", -10, cell_backend, NULL},
    {"threads", 7, cell_threads, NULL},
    {"n_batch", 7, cell_batch, show_batch},
    {"n_ubatch", 8, cell_ubatch, show_ubatch},
    {"type_k", 6, cell_k, show_k},
    {"type_v", 6, cell_v, show_v},
    {"lm", 10, cell_load, show_load},
    {"bits", 4, cell_bits, show_bits},
    {"test", 15, cell_test, NULL},
    {"t/s", 20, cell_speed, NULL},
    {"GB/s (of read)", 14, cell_gb, NULL},
    {"GOPS (of peak)", 14, cell_gops, NULL},
};

/* As llama-batched-bench has them: prompts and generated tokens a sequence, sequences, tokens in all. */
static void cell_pp(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%ld", integer(r, "pp")); }
static void cell_tg(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%ld", integer(r, "tg")); }
static void cell_pl(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%ld", integer(r, "pl")); }
static void cell_kv(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%ld", integer(r, "n_kv")); }
static void cell_t_pp(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.3f", real(r, "t_pp")); }
static void cell_s_pp(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.2f", real(r, "speed_pp")); }
static void cell_t_tg(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.3f", real(r, "t_tg")); }
static void cell_s_tg(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.2f", real(r, "speed_tg")); }
static void cell_t(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.3f", real(r, "t")); }
static void cell_s(const json_t *r, char out[CELL]) { snprintf(out, CELL, "%.2f", real(r, "speed")); }

static const column batched[] = {
    {"PP", 6, cell_pp, NULL},
    {"TG", 6, cell_tg, NULL},
    {"B", 4, cell_pl, NULL},
    {"N_KV", 6, cell_kv, NULL},
    {"T_PP s", 8, cell_t_pp, NULL},
    {"S_PP t/s", 8, cell_s_pp, NULL},
    {"T_TG s", 8, cell_t_tg, NULL},
    {"S_TG t/s", 8, cell_s_tg, NULL},
    {"T s", 8, cell_t, NULL},
    {"S t/s", 8, cell_s, NULL},
    {"GB/s (of read)", 14, cell_gb, NULL},
    {"GOPS (of peak)", 14, cell_gops, NULL},
};

static void print_md(bench_output *o, const json_t *row)
{
    static const char rule[] = "----------------------------------------";
    char cell[CELL];
    const column *all = o->batched ? batched : columns;
    size_t n = o->batched ? sizeof batched / sizeof *batched : sizeof columns / sizeof *columns;
    for (int line = o->rows ? 2 : 0; line < 3; line++) {
        fputc('|', o->to);
        for (const column *c = all; c < all + n; c++) {
            int width = c->width;
            if (c->shown && !c->shown(&o->columns)) continue;
            if (line == 0)
                fprintf(o->to, " %*s |", width, c->title);
            else if (line == 1)
                fprintf(o->to, " %.*s%s |", abs(width) - 1, rule, width > 0 ? ":" : "-");
            else {
                c->cell(row, cell);
                if (strstr(cell, "±")) width++; /* two bytes, one column */
                fprintf(o->to, " %*s |", width, cell);
            }
        }
        fputc('\n', o->to);
    }
}

/* ---- CSV and SQL ---- */

/* A value as CSV ("" doubles a quote) or SQL ('' does). Arrays are left out of both, as in llama-bench. */
static void print_quoted(FILE *to, const json_t *v, bool sql)
{
    char quote = sql ? '\'' : '"', number[40];
    const char *s = json_string_value(v);
    if (json_is_null(v)) {
        fputs(sql ? "NULL" : "", to);
        return;
    }
    if (!s) {
        long long whole = json_is_integer(v) ? (long long)json_integer_value(v) : json_is_true(v);
        if (json_is_real(v)) snprintf(number, sizeof number, "%.9g", json_real_value(v));
        else snprintf(number, sizeof number, "%lld", whole);
        s = number;
    }
    fputc(quote, to);
    for (; *s; s++) {
        if (*s == quote) fputc(quote, to);
        fputc(*s, to);
    }
    fputc(quote, to);
}

static const char *sql_type(const json_t *v)
{
    return json_is_string(v) ? "TEXT" : json_is_integer(v) || json_is_boolean(v) ? "INTEGER" : "REAL";
}

static void print_names(FILE *to, json_t *row, bool types)
{
    const char *key, *comma = "";
    json_t *v;
    json_object_foreach(row, key, v)
    {
        if (json_is_array(v)) continue;
        if (types) fprintf(to, "%s  %s %s", *comma ? ",\n" : "", key, sql_type(v));
        else fprintf(to, "%s%s", comma, key);
        comma = ",";
    }
}

static void print_values(FILE *to, json_t *row, bool sql)
{
    const char *key, *comma = "";
    json_t *v;
    json_object_foreach(row, key, v)
    {
        if (json_is_array(v)) continue;
        fputs(comma, to);
        print_quoted(to, v, sql);
        comma = sql ? ", " : ",";
    }
}

static void print_table(bench_output *o, json_t *row, bool sql)
{
    const char *table = o->batched ? "batched_bench" : "llama_bench";
    if (!o->rows && sql) fprintf(o->to, "CREATE TABLE IF NOT EXISTS %s (\n", table);
    if (!o->rows) print_names(o->to, row, sql);
    if (!o->rows) fprintf(o->to, sql ? "\n);\n\n" : "\n");
    if (sql) {
        fprintf(o->to, "INSERT INTO %s (", table);
        print_names(o->to, row, false);
        fprintf(o->to, ") VALUES (");
    }
    print_values(o->to, row, sql);
    fprintf(o->to, sql ? ");\n" : "\n");
}

/* ---- all of them ---- */

void bench_print(bench_output *o, json_t *row)
{
    size_t style = JSON_REAL_PRECISION(9) | (o->format == BENCH_JSON ? JSON_INDENT(2) : 0);
    switch (o->format) {
    case BENCH_JSON: fputs(o->rows ? ",\n" : "[\n", o->to); /* fall through */
    case BENCH_JSONL:
        json_dumpf(row, o->to, style);
        if (o->format == BENCH_JSONL) fputc('\n', o->to);
        break;
    case BENCH_MD: print_md(o, row); break;
    default: print_table(o, row, o->format == BENCH_SQL);
    }
    o->rows++;
    fflush(o->to);
}

void bench_close(bench_output *o)
{
    if (o->format == BENCH_JSON) fputs(o->rows ? "\n]\n" : "[\n]\n", o->to);
    if (o->format == BENCH_MD && o->rows)
        fprintf(o->to, "\nbuild: tawny %s, contract %d\n", TAWNY_VERSION, TAWNY_CONTRACT);
}
