/* Rows beside each other, what can be told of them, and what makes them unequal. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../engine/cost.h"
#include "compare.h"

const char *compare_side_name(compare_side s)
{
    static const char *const names[] = {"CPU", "GPU", "CPU+GPU", "?"};
    return names[s];
}

static void warn(compare_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(compare_table *t, const char *fmt, ...)
{
    char text[400];
    size_t i;
    const json_t *w;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_foreach(t->warnings, i, w) if (strcmp(json_string_value(w), text) == 0) return;
    json_array_append_new(t->warnings, json_string(text));
}

/* ---- single rows ---- */

enum { ALL_LAYERS = 99 }; /* n_gpu_layers that stands for all there are; so many or more */

static double bytes_an_element(const char *type)
{
    static const struct {
        const char *name;
        double bytes;
    } types[] = {{"f32", 4},         {"f16", 2},           {"bf16", 2},        {"q8_0", 34. / 32}, {"q4_0", 18. / 32},
                 {"q4_1", 20. / 32}, {"iq4_nl", 18. / 32}, {"q5_0", 22. / 32}, {"q5_1", 24. / 32}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(types[i].name, type) == 0) return types[i].bytes;
    return 2;
}

/* ik_llama.cpp, and llama.cpp of 2024, count an output matrix that is the embedding's, too, twice. */
static void count_once(compare_row *r, const tawny_model *m)
{
    const gguf_tensor *e = gguf_tensor_find(m->m.file, "token_embd.weight");
    if (!e || gguf_tensor_find(m->m.file, "output.weight")) return;
    double n = (double)tawny_model_n_params(m), twice = n + (double)e->ne[0] * (double)e->ne[1];
    if (fabs(r->params / twice - 1) > 0.001) return;
    r->params = n;
    r->size -= (double)e->bytes;
}

static void by_header(compare_row *r, const char *path)
{
    tawny_model *m;
    if (!path || !*path || access(path, R_OK) != 0 || engine_open_header(path, &m, NULL) != TAWNY_OK) return;
    count_once(r, m);
    if (r->size <= 0 || fabs((double)tawny_model_bytes(m) / r->size - 1) < 0.02) {
        if (r->gen > 0)
            r->bytes = (double)tawny_model_bytes_per_token(m) + cost_cache_bytes(m, r->depth + r->gen / 2, bytes_an_element(r->type_k),
                                                                                 bytes_an_element(r->type_v));
        r->exact = r->gen > 0;
        r->n_layer = m->m.hp.n_layer;
        if (r->side == SIDE_GPU && r->layers > 0 && r->layers <= r->n_layer) r->side = SIDE_MIXED;
    }
    tawny_model_close(m);
}

/* The file's name alone: folders differ between machines. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool same_file(const compare_row *a, const compare_row *b)
{
    return a->path[0] && strcmp(base_name(a->path), base_name(b->path)) == 0;
}

/* Where no header tells that it was counted twice, the row of an engine that does not do so tells, if it is of the same file. */
static void count_as_others(compare_table *t, compare_row *r)
{
    for (int i = 0; i < t->n && r->twice; i++) {
        const compare_row *o = &t->row[i];
        if (o->twice || !same_file(o, r) || o->params >= r->params || o->size >= r->size) continue;
        r->params = o->params;
        r->size = o->size;
        r->counted = true;
        return;
    }
}

/* A mixture of experts, by llama.cpp's names of models: "qwen3moe 30B.A3B Q4_K", "llama 8x7B Q8_0", "llama4 17Bx16E (Scout)". Those
 * whose architecture has both are taken for one: without the header they get no GB/s, and nor do others that read but a part. */
static bool sparse(const compare_row *r)
{
    static const char *const names[] = {"moe",  "-a3b", "mixtral", "deepseek", "grok", "dbrx", "arctic", "dots1",
                                        "jamba", "gpt-oss", "kimi", "minimax", "bailing", "mimo2", "step35"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasestr(r->model, names[i])) return true;
    for (const char *p = r->model; (p = strpbrk(p, " .x")); p++) {
        bool size = p > r->model && (isdigit((unsigned char)p[-1]) || p[-1] == 'B' || p[-1] == 'T');
        bool active = p[1] == 'A' && isdigit((unsigned char)p[2]); /* "30B.A3B", and "A13B" alone */
        bool stack = *p == 'x' && size && isdigit((unsigned char)p[1]);
        bool rows = strncmp(p, " E2B", 4) == 0 || strncmp(p, " E4B", 4) == 0; /* Gemma's, with an embedding in each layer */
        if (stack || active || rows) return true;
    }
    return false;
}

static void check_row(compare_table *t, const compare_row *r)
{
    if (r->software)
        warn(t, "%s: %s is no GPU: this driver computes on the CPU", r->file, r->gpu);
    else if (r->no_gpu)
        warn(t, "%s: the build is called %s, but it found no GPU: this is the CPU", r->file, r->backend);
    else if (r->side == SIDE_CPU && strcasecmp(r->backend, "CPU") != 0 && strcasecmp(r->backend, "BLAS") != 0 &&
             strcmp(r->engine, "tawny") != 0) {
        warn(t, "%s: the build is called %s, but no layer is on a GPU: this is the CPU", r->file, r->backend);
        if (r->prompt >= 32 && r->no_offload <= 0)
            warn(
                t,
                "%s: such a build still sends large prompts' products to the GPU: no CPU figure of prefill (run with -nopo 1, or a CPU build)",
                r->file);
    }
    if (r->side == SIDE_MIXED)
        warn(t, "%s: a part of the layers, experts or cache is on the CPU: this is neither of both", r->file);
    if (r->side == SIDE_UNKNOWN) warn(t, "%s: it ran on other machines too (RPC): left out", r->file);
    if (r->side == SIDE_GPU && !r->n_layer && r->layers > 0 && r->layers < ALL_LAYERS)
        warn(t, "%s: whether %.0f layers are all of them is in the model's header: give it with -m", r->file, r->layers);
    if (r->deviation > 0.05 * r->ts)
        warn(t, "%s: the runs differ by %.0f%%: repeat it on a quiet machine", r->file, 100 * r->deviation / r->ts);
    if (r->twice && !r->n_layer && !r->counted && r->gen > 0 && r->prompt == 0)
        warn(t,
             "%s: %s counts an output matrix that is the embedding's, too, twice: where the model has such, GB/s are fewer (give it "
             "with -m)",
             r->file, strcmp(r->engine, "llama.cpp") == 0 ? "llama.cpp of that age" : r->engine);
    if (r->bytes > 0 && !r->exact && r->gen > 0 && r->prompt == 0 && r->depth >= 512)
        warn(t, "GB/s of a generation at a depth leave out what it reads of the cache, whose shape is in the model's header: give it with -m");
    if (r->bytes < 0 && r->gen > 0 && sparse(r))
        warn(t, "%s: how much a token reads of a mixture of experts is in the model's header: give it with -m",
             r->file);
}

void compare_derive(compare_table *t, const char *path)
{
    for (int i = 0; i < t->n; i++) {
        compare_row *r = &t->row[i];
        by_header(r, r->path);
        if (!r->n_layer) by_header(r, path);
    }
    for (int i = 0; i < t->n; i++) {
        compare_row *r = &t->row[i];
        if (!r->n_layer) count_as_others(t, r);
        if (r->bytes < 0 && r->size > 0 && !sparse(r)) r->bytes = r->size;
        check_row(t, r);
    }
}

double compare_gbs(const compare_row *r)
{
    return r->gen > 0 && r->prompt == 0 && r->bytes > 0 ? r->bytes * r->ts / 1e9 : -1;
}

double compare_percent(const compare_table *t, const compare_row *r)
{
    double ceiling = r->side == SIDE_GPU   ? t->ceiling[1]
                     : r->side == SIDE_CPU ? (t->ceiling[0] > 0 ? t->ceiling[0] : r->ceiling)
                                           : 0;
    return ceiling > 0 && compare_gbs(r) >= 0 ? 100 * compare_gbs(r) / ceiling : -1;
}

/* ---- pairs ---- */

/* Models are the same by their number of weights; names differ between engines and versions. */
static bool same_model(const compare_row *a, const compare_row *b)
{
    if (a->params > 0 && b->params > 0) return fabs(a->params / b->params - 1) < 0.01;
    return strcmp(a->model, b->model) == 0;
}

static bool same_test(const compare_row *a, const compare_row *b)
{
    return a->prompt == b->prompt && a->gen == b->gen && a->depth == b->depth;
}

void compare_test_name(const compare_row *r, char out[48])
{
    int n = 0;
    *out = 0;
    if (r->prompt > 0) n += snprintf(out, 48, "pp%.0f", r->prompt);
    if (r->gen > 0) n += snprintf(out + n, 48 - (size_t)n, "%stg%.0f", n ? "+" : "", r->gen);
    if (r->depth > 0) snprintf(out + n, 48 - (size_t)n, " @ d%.0f", r->depth);
}

static void differ(compare_table *t, const compare_pair *p, const char *what, const char *a, const char *b)
{
    if (*a && *b && strcasecmp(a, b) != 0)
        warn(t, "%s: %s is %s on the CPU and %s on the GPU: not the same work", p->test, what, a, b);
}

static void differ_number(compare_table *t, const compare_pair *p, const char *what, double a, double b)
{
    if (a >= 0 && b >= 0 && a != b) warn(t, "%s: %s is %.0f on the CPU and %.0f on the GPU", p->test, what, a, b);
}

static void check_pair(compare_table *t, const compare_pair *p)
{
    const compare_row *c = p->cpu, *g = p->gpu;
    if (c->size > 0 && g->size > 0 && fabs(c->size / g->size - 1) > 0.02)
        warn(t, "%s: the models are of %.2f and %.2f GB: another quantization is other work", p->test, c->size / 1e9,
             g->size / 1e9);
    if ((c->embeddings > 0) != (g->embeddings > 0)) warn(t, "%s: one of both gave embeddings: not the same work", p->test);
    differ(t, p, "the cache's type_k", c->type_k, g->type_k);
    differ(t, p, "the cache's type_v", c->type_v, g->type_v);
    if (c->flash >= 0 && g->flash >= 0 && strcmp(c->engine, "tawny") != 0)
        differ_number(t, p, "flash_attn", c->flash, g->flash);
    if (c->prompt > 0 && g->ubatch > 0 && c->ubatch > 0) differ_number(t, p, "n_ubatch", c->ubatch, g->ubatch);
    if (strcmp(c->engine, g->engine) == 0) differ(t, p, "the build", c->build, g->build);
    if (c->power >= 0 && g->power >= 0) differ_number(t, p, "the power limit in W", c->power, g->power);
}

static int by_work(const void *a, const void *b)
{
    const compare_row *x = ((const compare_pair *)a)->cpu, *y = ((const compare_pair *)b)->cpu;
    if (!x) x = ((const compare_pair *)a)->gpu;
    if (!y) y = ((const compare_pair *)b)->gpu;
    double d[] = {same_model(x, y) ? 0 : x->params - y->params, (x->gen > 0) - (y->gen > 0), x->depth - y->depth, x->prompt - y->prompt,
                  x->gen - y->gen};
    for (size_t i = 0; i < sizeof d / sizeof *d; i++)
        if (d[i] != 0) return d[i] < 0 ? -1 : 1;
    return 0;
}

/* The best row of a side for the same work: the fastest of its own settings. */
static const compare_row *best(const compare_table *t, const compare_row *like, compare_side side)
{
    const compare_row *r = NULL;
    for (int i = 0; i < t->n; i++) {
        const compare_row *x = &t->row[i];
        if (x->side == side && same_model(x, like) && same_test(x, like) && (!r || x->ts > r->ts)) r = x;
    }
    return r;
}

static bool seen(const compare_pair *p, int n, const compare_row *r)
{
    for (int i = 0; i < n; i++) {
        const compare_row *o = p[i].cpu ? p[i].cpu : p[i].gpu;
        if (same_model(o, r) && same_test(o, r)) return true;
    }
    return false;
}

int compare_match(compare_table *t, compare_pair **out)
{
    int n = 0, paired = 0;
    compare_pair *p = *out = calloc((size_t)t->n + 1, sizeof *p);
    for (int i = 0; p && i < t->n; i++) {
        const compare_row *r = &t->row[i];
        if (r->side == SIDE_MIXED || r->side == SIDE_UNKNOWN || seen(p, n, r)) continue;
        p[n].cpu = best(t, r, SIDE_CPU);
        p[n].gpu = best(t, r, SIDE_GPU);
        compare_test_name(r, p[n].test);
        n++;
    }
    if (p) qsort(p, (size_t)n, sizeof *p, by_work);
    for (int i = 0; i < n; i++) {
        if (p[i].cpu && p[i].gpu) {
            paired++;
            check_pair(t, &p[i]);
        }
    }
    if (n && !paired) warn(t, "no test ran on both sides: %s has no row of its own", p[0].cpu ? "a GPU" : "a CPU");
    return n;
}

void compare_verdict(const compare_table *t, const compare_pair *p, char *out, size_t size)
{
    const compare_row *c = p->cpu, *g = p->gpu;
    if (!c || !g) {
        snprintf(out, size, "only the %s ran it", c ? "CPU" : "GPU");
        return;
    }
    double ratio = g->ts / c->ts;
    const char *who = ratio > 1.03 ? "the GPU wins" : ratio < 0.97 ? "the CPU wins" : "a draw";
    char why[160] = "";
    if (c->gen > 0 && c->prompt == 0) {
        double a = compare_gbs(c), b = compare_gbs(g), pa = compare_percent(t, c), pb = compare_percent(t, g);
        if (a > 0 && b > 0)
            snprintf(why, sizeof why, ": memory is read at %.0f GB/s by the CPU, at %.0f by the GPU", a, b);
        if (a > 0 && b > 0 && pa > 0 && pb > 0)
            snprintf(why + strlen(why), sizeof why - strlen(why), " (%.0f%% and %.0f%% of their ceilings)", pa, pb);
    } else if (c->prompt > 0 && c->gen == 0) {
        snprintf(why, sizeof why, ": prompts are arithmetic, not bandwidth");
    }
    snprintf(out, size, "%s by %.2fx%s", who, ratio > 1 ? ratio : 1 / ratio, why);
}
