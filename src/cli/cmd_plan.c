/* tawny plan: what a model needs and how fast it would run, from its header alone. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_opts.h"
#include "hub.h"
#include "plan.h"
#include "shapes.h"

#define GB 1e9
#define GIB ((double)(1 << 30))

/* The model that is asked about. */
typedef struct source {
    const char *given;
    char path[HUB_PATH]; /* of a file with its header, or of fd */
    int fd;
    tawny_model *model;
} source;

/* A shape's header becomes a file without a name, read as any other. */
static tawny_status open_shape(const char *shape, const char *type_name, source *s, tawny_error *err)
{
    shape_type type;
    buf head = {0};
    if (!shape_type_by_name(type_name, &type))
        return err_set(err, TAWNY_E_ARG, "plan: --type %.40s: Q4_K_M and Q8_0 are known", type_name);
    tawny_status st = shape_header(shape, type, &head, err);
    if (st == TAWNY_OK) {
        s->fd = memfd_create("shape", MFD_CLOEXEC);
        if (s->fd < 0 || write(s->fd, head.data, head.size) != (ssize_t)head.size)
            st = err_set(err, TAWNY_E_IO, "plan: no memory for the header of %.60s", shape);
    }
    buf_free(&head);
    return st;
}

/* A shape's header, that of a model of the hub or at a URL, which alone is fetched, or that of a file here. */
static tawny_status open_source(source *s, const char *shape, const char *type, bool remote, tawny_error *err)
{
    tawny_status st = shape    ? open_shape(shape, type, s, err)
                      : remote ? hub_header(s->given, &(hub_options){0}, s->path, &s->fd, err)
                               : TAWNY_OK;
    if (shape)
        snprintf(s->path, sizeof s->path, "/proc/self/fd/%d", s->fd);
    else if (!remote)
        snprintf(s->path, sizeof s->path, "%s", s->given);
    return st == TAWNY_OK ? engine_open_header(s->path, &s->model, err) : st;
}

static const char *title(const tawny_model *m, const char *given)
{
    static char text[128];
    gguf_str name = {given, strlen(given)};
    if (gguf_opt_str(m->m.file, "general.name", &name, NULL) != TAWNY_OK || name.n == 0) return given;
    snprintf(text, sizeof text, "%.*s", (int)(name.n < 100 ? name.n : 100), name.p);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 32) *p = '?';
    return text;
}

static const char *type_title(const tawny_model *m)
{
    uint32_t type = UINT32_MAX;
    gguf_opt_u32(m->m.file, "general.file_type", 0, UINT32_MAX - 1, &type, NULL);
    const char *name = type == UINT32_MAX ? NULL : gguf_file_type_name(type);
    return name ? name : "mixed types";
}

/* Three digits: 0.512, 3.41, 27.3, 512. */
static const char *digits(char out[24], double x)
{
    snprintf(out, 24, "%.*f", x < 1 ? 3 : x < 10 ? 2 : x < 100 ? 1 : 0, x);
    return out;
}

static void show_need(const tawny_model *m, const char *given, const plan_need *n)
{
    printf("%s, %s, %.2f B parameters, %s\n\n", title(m, given), tawny_model_arch(m),
           (double)tawny_model_n_params(m) / GB, type_title(m));
    printf("%-26s %14llu  %8.2f GB\n", "weights", (unsigned long long)n->weights, (double)n->weights / GB);
    printf("%-26s %14llu  %8.2f GB\n", "  read for a token", (unsigned long long)n->weights_per_token,
           (double)n->weights_per_token / GB);
    if (n->weights_touched < n->weights)
        printf("%-26s %14llu  %8.2f GB  for texts of that length\n", "  in memory", (unsigned long long)n->weights_touched,
               (double)n->weights_touched / GB);
    printf("%-26s %14llu  %8.2f GB  %d position%s", "KV cache and states", (unsigned long long)n->kv,
           (double)n->kv / GB, n->n_ctx, n->n_ctx == 1 ? "" : "s");
    if (n->n_seq > 1) printf(" x %d sequences", n->n_seq);
    printf("\n%-26s %14llu  %8.2f GB  when full\n", "  read for a token", (unsigned long long)n->kv_read,
           (double)n->kv_read / GB);
    printf("%-26s %14llu  %8.2f GB  at most\n", "buffers", (unsigned long long)n->buffers, (double)n->buffers / GB);
    printf("%-26s %14llu  %8.2f GB  when the context is full\n", "all with the program", (unsigned long long)plan_peak(n),
           (double)plan_peak(n) / GB);
    printf("%-26s %14.2f  GOP\n\n", "arithmetic for a token", n->ops_per_token / GB);
}

static const char *from_to(char out[64], range r)
{
    char a[24], b[24];
    snprintf(out, 64, "%s - %s", digits(a, r.low), digits(b, r.high));
    return out;
}

static void show_heading(int32_t n_ctx)
{
    char at[32];
    snprintf(at, sizeof at, "at %d", n_ctx);
    printf("%-40s %-9s %9s  %-15s %-15s %-15s\n", "machine", "fits", "context", "decode, tok/s", at,
           "prefill, tok/s");
}

static void show_row(const machine *w, const plan_result *r)
{
    char a[64], b[64], c[64], ctx[16];
    snprintf(ctx, sizeof ctx, "%d", r->most_ctx);
    const char *prefill = w->tops_high > 0 ? from_to(c, r->prefill) : "not measured";
    const char *fit = r->fit == PLAN_FITS ? "yes" : r->fit == PLAN_FITS_MOST ? "with GTT" : "no";
    if (r->fit == PLAN_FITS_MOST && w->kind != MACHINE_IGPU) fit = "raised";
    if (r->fit == PLAN_TOO_BIG)
        printf("%-40s %-9s %9s\n", w->label, fit, r->most_ctx ? ctx : "-");
    else
        printf("%-40s %-9s %9s  %-15s %-15s %-15s\n", w->label, fit, r->most_ctx ? ctx : "-",
               w->read_high > 0 ? from_to(a, r->decode_empty) : "not measured",
               w->read_high > 0 ? from_to(b, r->decode_full) : "not measured", prefill);
}

static json_t *pair(range r) { return json_pack("[f,f]", r.low, r.high); }

static json_t *row_json(const machine *w, const plan_result *r)
{
    static const char *const kinds[] = {"cpu", "igpu", "gpu"};
    static const char *const fit[] = {"yes", "with settings", "no"};
    return json_pack("{s:s,s:s,s:s,s:s,s:i,s:o,s:o,s:o,s:f,s:s}", "machine", w->name, "label", w->label, "kind",
                     kinds[w->kind], "fits", fit[r->fit], "longest_context", (int)r->most_ctx, "decode_tok_s",
                     pair(r->decode_empty), "decode_tok_s_full", pair(r->decode_full), "prefill_tok_s",
                     pair(r->prefill), "decode_bound_tok_s", r->bound, "note", w->note);
}

static json_t *need_json(const tawny_model *m, const char *given, const plan_need *n)
{
    return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:i,s:i}", "model", title(m, given), "arch",
                     tawny_model_arch(m), "type", type_title(m), "n_params", (json_int_t)tawny_model_n_params(m),
                     "weight_bytes", (json_int_t)n->weights, "weight_bytes_per_token",
                     (json_int_t)n->weights_per_token, "weight_bytes_in_memory", (json_int_t)n->weights_touched,
                     "kv_bytes", (json_int_t)n->kv, "kv_bytes_per_token", (json_int_t)n->kv_read,
                     "buffer_bytes", (json_int_t)n->buffers, "total_bytes", (json_int_t)plan_peak(n),
                     "ops_per_token", n->ops_per_token, "n_ctx", (int)n->n_ctx, "n_parallel", (int)n->n_seq);
}

typedef struct options {
    engine_opts engine;
    const char *shape, *type, *machine, *gpu;
    bool all, json;
} options;

/* The machines that are asked about: all, one by name, or this one; and a GPU that was measured. */
static int choose(const options *o, const machine **list, int *n, machine here[2])
{
    tawny_error gpu_error;
    *n = 0;
    if (o->gpu) {
        if (machine_gpu(o->gpu, &here[1], &gpu_error) != TAWNY_OK) return cli_fail_err(&gpu_error);
        list[(*n)++] = &here[1];
    }
    if (o->all)
        for (int i = 0; i < MACHINE_PRESETS; i++) list[(*n)++] = &machine_presets[i];
    if (o->all || !o->machine || strcmp(o->machine, "this") == 0) {
        tawny_error err;
        if (machine_here(o->engine.params.n_threads, &here[0], &err) != TAWNY_OK) return cli_fail_err(&err);
        list[(*n)++] = &here[0];
        return -1;
    }
    list[*n] = machine_find(o->machine);
    if (list[(*n)++]) return -1;
    return cli_fail(2, "plan: --machine %s: %s are known", o->machine, machine_names());
}

/* What no setting can change, said plainly: a token cannot be faster than its bytes. */
static void show_bound(const machine *const *list, int n, const plan_need *need)
{
    for (int i = 0; i < n; i++) {
        char a[24];
        if (list[i]->kind == MACHINE_GPU || list[i]->peak == 0) continue;
        printf(
            "\nA token reads %.1f GB: with memory of %.0f GB/s no engine, on CPU or iGPU, can exceed about %s tok/s, whatever is claimed\n"
            "elsewhere (answers guessed ahead by a smaller model aside).\n",
            (double)need->weights_per_token / GB, list[i]->peak,
            digits(a, list[i]->peak * GB / (double)need->weights_per_token));
        return;
    }
}

/* Speeds on a machine; this one's are rehearsed where there is room for that. */
static tawny_status speeds(const source *s, const options *o, const plan_need *need, const machine *where,
                           plan_result *out, tawny_error *err)
{
    tawny_status st = plan_on(s->model, &o->engine.params, need, where, out, err);
    if (st != TAWNY_OK || strcmp(where->name, "this") != 0 || out->fit == PLAN_TOO_BIG || where->read_high == 0) return st;
    if (tawny_model_embeds_only(s->model)) return st;
    st = plan_rehearse(s->path, s->model, &o->engine.params, need, where, out, err);
    return st == TAWNY_E_NOMEM ? TAWNY_OK : st;
}

static int report(const source *s, const options *o)
{
    tawny_model *m = s->model;
    const char *given = s->given;
    const machine *list[MACHINE_PRESETS + 2];
    machine here[2];
    int n;
    plan_need need;
    tawny_error err;
    if (plan_need_of(m, &o->engine.params, &need, &err) != TAWNY_OK) return cli_fail_err(&err);
    int code = choose(o, list, &n, here);
    if (code >= 0) return code;
    json_t *rows = json_array();
    if (!o->json) {
        show_need(m, given, &need);
        show_heading(need.n_ctx);
    }
    for (int i = 0; i < n; i++) {
        plan_result r;
        if (speeds(s, o, &need, list[i], &r, &err) != TAWNY_OK) {
            json_decref(rows);
            return cli_fail_err(&err);
        }
        if (o->json)
            json_array_append_new(rows, row_json(list[i], &r));
        else
            show_row(list[i], &r);
    }
    if (o->json) {
        json_t *all = need_json(m, given, &need);
        json_object_set(all, "machines", rows);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else {
        show_bound(list, n, &need);
    }
    json_decref(rows);
    return cli_finish(0);
}

int cmd_plan(int argc, char **argv)
{
    options o = {.type = "Q4_K_M"};
    int ctx = -1;
    cli_list rest = {0};
    const cli_opt opts[] = {
        {"-m --model", CLI_STR, &o.engine.model, "FILE", "a GGUF file; its header alone is read", 0, 0},
        {"--shape", CLI_STR, &o.shape, "NAME",
         "a model by name, without a file: 7b, 8b, 13b, 32b, 70b, gpt-oss-20b, ...", 0, 0},
        {"--type", CLI_STR, &o.type, "TYPE", "of a shape's weights: Q4_K_M (default) or Q8_0", 0, 0},
        {"--machine", CLI_STR, &o.machine, "NAME", "on which machine (default: this, which is measured)", 0, 0},
        {"--gpu", CLI_STR, &o.gpu, "FILE", "and on the GPU that `gpu-bandwidth --json` measured into FILE", 0, 0},
        {"--all", CLI_FLAG, &o.all, NULL, "on all machines that are known", 0, 0},
        {"-c --ctx-size", CLI_INT, &ctx, "N",
         "context, in tokens (default: 4096, or the model's if less; 0: the model's)", 0, 1 << 27},
        {"-np --parallel", CLI_INT, &o.engine.params.n_sessions, "N", "sequences at once (default: 1)", 1, 4096},
        {"-ub --ubatch-size", CLI_INT, &o.engine.params.n_ubatch, "N",
         "tokens computed together in prefill (default: 512)", 0, 65536},
        {"-t --threads", CLI_INT, &o.engine.params.n_threads, "N", "threads (default: the physical cores)", 0, 1024},
        {"-ctk --cache-type-k", CLI_STR, &o.engine.type_k, "TYPE", "type of the cache's keys (default: f16)", 0, 0},
        {"-ctv --cache-type-v", CLI_STR, &o.engine.type_v, "TYPE", "type of the cache's values (default: f16)", 0, 0},
        {"--json", CLI_FLAG, &o.json, NULL, "as JSON", 0, 0},
        {0},
    };
    int code = cli_parse("plan", argc, argv, opts, &rest);
    if (code >= 0) return code;
    if (rest.n > 1) return cli_fail(2, "plan: one model at a time; '%s' is the second", rest.items[1]);
    if (rest.n && !o.engine.model) o.engine.model = rest.items[0];
    char path[4096];
    source s = {.fd = -1};
    tawny_error err = {0};
    const char *given = o.shape ? o.shape : o.engine.model;
    if (o.shape && o.engine.model) return cli_fail(2, "plan: either a model or --shape");
    bool remote = given && !o.shape && hub_is_spec(given);
    o.engine.model = given && (o.shape || remote) ? "" : given; /* what is no file is not looked for among files */
    code = engine_opts_resolve(&o.engine, "plan", path, sizeof path);
    if (code >= 0) return code;
    s.given = given ? given : o.engine.model;
    tawny_status st = open_source(&s, o.shape, o.type, remote, &err);
    enum { USUAL = 4096 };
    o.engine.params.n_ctx = ctx >= 0 ? ctx : st == TAWNY_OK && tawny_model_n_ctx_train(s.model) < USUAL ? 0 : USUAL;
    code = st == TAWNY_OK ? report(&s, &o) : cli_fail_err(&err);
    tawny_model_close(s.model);
    if (s.fd >= 0) close(s.fd);
    free(rest.items);
    return code;
}
