#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "compare.h"
#include "compare_plot.h"

bool compare_format_by_name(const char *name, compare_format *out)
{
    static const char *const names[] = {"term", "md", "json", "csv", "html", "svg"};
    for (int i = 0; i < 6; i++)
        if (strcasecmp(names[i], name) == 0) {
            *out = (compare_format)i;
            return true;
        }
    return false;
}

static double ratio_of(const compare_pair *p) { return p->cpu && p->gpu ? p->cpu->ts / p->gpu->ts : -1; }
static const compare_row *any(const compare_pair *p) { return p->cpu ? p->cpu : p->gpu; }

/* A number, or nothing where it is not known. */
static const char *cell(char out[32], double x, const char *fmt)
{
    out[0] = 0;
    if (x < 0) return out;
    char form[16];
    snprintf(form, sizeof form, "%s", fmt);
    snprintf(out, 32, strcmp(form, "0") == 0 ? "%.0f" : strcmp(form, "1") == 0 ? "%.1f" : "%.2f", x);
    return out;
}

static json_t *row_json(const compare_table *t, const compare_row *r)
{
    if (!r) return json_null();
    char test[48];
    compare_test_name(r, test);
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:f}", "file", r->file, "model", r->model, "test", test, "engine",
                          r->engine, "build", r->build, "backend", r->backend, "side", compare_side_name(r->side),
                          "tok_s", r->ts);
    static const char *const names[] = {"deviation",  "threads",         "n_gpu_layers", "n_ubatch",
                                        "flash_attn", "bytes_per_token", "gb_per_s",     "percent_of_ceiling"};
    double v[] = {r->deviation, r->threads, r->layers,      r->ubatch,
                  r->flash,     r->bytes,   compare_gbs(r), compare_percent(t, r)};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        json_object_set_new(o, names[i], v[i] >= 0 ? json_real(v[i]) : json_null());
    json_object_set_new(o, "bytes_exact", json_boolean(r->exact));
    json_object_set_new(o, "type_k", json_string(r->type_k));
    json_object_set_new(o, "type_v", json_string(r->type_v));
    return o;
}

json_t *compare_json(const compare_table *t, const compare_pair *p, int n)
{
    json_t *list = json_array(), *rows = json_array();
    for (int i = 0; i < n; i++) {
        char why[320];
        compare_verdict(t, &p[i], why, sizeof why);
        json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:s}", "model", any(&p[i])->model, "test", p[i].test, "cpu",
                              row_json(t, p[i].cpu), "gpu", row_json(t, p[i].gpu), "verdict", why);
        json_object_set_new(o, "cpu_to_gpu", ratio_of(&p[i]) >= 0 ? json_real(ratio_of(&p[i])) : json_null());
        json_object_set_new(o, "n_depth", json_real(any(&p[i])->depth));
        json_array_append_new(list, o);
    }
    for (int i = 0; i < t->n; i++) json_array_append_new(rows, row_json(t, &t->row[i]));
    return json_pack("{s:o,s:o,s:O}", "pairs", list, "rows", rows, "warnings", t->warnings);
}

static void print_csv(const compare_table *t, const compare_pair *p, int n)
{
    puts(
        "model,test,cpu_tok_s,gpu_tok_s,cpu_to_gpu,cpu_gb_per_s,gpu_gb_per_s,cpu_percent_of_ceiling,gpu_percent_of_ceiling");
    for (int i = 0; i < n; i++) {
        const compare_row *c = p[i].cpu, *g = p[i].gpu;
        char x[7][32], model[COMPARE_TEXT];
        snprintf(model, sizeof model, "%s", any(&p[i])->model);
        for (char *q = model; *q; q++)
            if (*q == '"') *q = '\'';
        printf("\"%s\",%s,%s,%s,%s,%s,%s,%s,%s\n", model, p[i].test, cell(x[0], c ? c->ts : -1, "2"),
               cell(x[1], g ? g->ts : -1, "2"), cell(x[2], ratio_of(&p[i]), "2"),
               cell(x[3], c ? compare_gbs(c) : -1, "1"), cell(x[4], g ? compare_gbs(g) : -1, "1"),
               cell(x[5], c ? compare_percent(t, c) : -1, "0"), cell(x[6], g ? compare_percent(t, g) : -1, "0"));
    }
}

static void print_md(const compare_table *t, const compare_pair *p, int n)
{
    size_t k;
    const json_t *w;
    puts(
        "| model | test | CPU tok/s | GPU tok/s | CPU:GPU | CPU GB/s | GPU GB/s | CPU % | GPU % | |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---|");
    for (int i = 0; i < n; i++) {
        const compare_row *c = p[i].cpu, *g = p[i].gpu;
        char x[7][32], why[320];
        compare_verdict(t, &p[i], why, sizeof why);
        printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", any(&p[i])->model, p[i].test,
               cell(x[0], c ? c->ts : -1, "2"), cell(x[1], g ? g->ts : -1, "2"), cell(x[2], ratio_of(&p[i]), "2"),
               cell(x[3], c ? compare_gbs(c) : -1, "1"), cell(x[4], g ? compare_gbs(g) : -1, "1"),
               cell(x[5], c ? compare_percent(t, c) : -1, "0"), cell(x[6], g ? compare_percent(t, g) : -1, "0"), why);
    }
    json_array_foreach(t->warnings, k, w) printf("%s- %s\n", k ? "" : "\n", json_string_value(w));
}

static void bar(const char *label, const compare_row *r, double most, double gbs, double percent)
{
    enum { WIDTH = 40 };
    int n = most > 0 ? (int)(WIDTH * r->ts / most + 0.5) : 0;
    printf("  %-4s", label);
    for (int i = 0; i < WIDTH; i++) fputs(i < n ? "#" : " ", stdout);
    printf(" %9.2f tok/s", r->ts);
    if (gbs >= 0) printf("  %6.1f GB/s", gbs);
    if (percent >= 0) printf("  %3.0f%%", percent);
    printf("  %s\n", r->engine);
}

static void print_term(const compare_table *t, const compare_pair *p, int n)
{
    size_t k;
    const json_t *w;
    for (int i = 0; i < n; i++) {
        const compare_row *c = p[i].cpu, *g = p[i].gpu;
        double most = c && g ? (c->ts > g->ts ? c->ts : g->ts) : any(&p[i])->ts;
        char why[320];
        compare_verdict(t, &p[i], why, sizeof why);
        printf("%s, %s\n", any(&p[i])->model, p[i].test);
        if (c) bar("CPU", c, most, compare_gbs(c), compare_percent(t, c));
        if (g) bar("GPU", g, most, compare_gbs(g), compare_percent(t, g));
        printf("  %s\n\n", why);
    }
    json_array_foreach(t->warnings, k, w) printf("! %s\n", json_string_value(w));
}

void compare_print(const compare_table *t, const compare_pair *pairs, int n, compare_format f)
{
    switch (f) {
    case COMPARE_MD: print_md(t, pairs, n); break;
    case COMPARE_CSV: print_csv(t, pairs, n); break;
    case COMPARE_SVG: compare_svg(t, pairs, n); break;
    case COMPARE_HTML: compare_html(t, pairs, n); break;
    case COMPARE_JSON: {
        json_t *j = compare_json(t, pairs, n);
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
        break;
    }
    default: print_term(t, pairs, n);
    }
}
