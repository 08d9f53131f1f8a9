/* llama-bench's outputs. Keys came and went: every one is optional, and CPU and GPU are told apart by what a row ran
 * with, not by what its build could do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/file.h"
#include "compare.h"

enum { MAX_FILE = 64 << 20, MAX_COLUMNS = 256 };

/* ---- one row, from an object of values that may be texts (CSV) ---- */

static double number_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_number(v)) return json_number_value(v);
    if (json_is_boolean(v)) return json_is_true(v);
    const char *s = json_string_value(v);
    char *end;
    if (!s || !*s) return -1;
    if (strcasecmp(s, "true") == 0 || strcasecmp(s, "on") == 0) return 1;
    if (strcasecmp(s, "false") == 0 || strcasecmp(s, "off") == 0) return 0;
    double x = strtod(s, &end);
    return *end ? -1 : x;
}

static void text_of(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    size_t n = 0;
    for (; s && *s && n < size - 1; s++) out[n++] = (unsigned char)*s >= 32 && (unsigned char)*s != 127 ? *s : '?';
    out[n] = 0;
}

static bool mentions(const char *text, const char *word) { return strcasestr(text, word) != NULL; }

/* A backend that computes on a GPU, by its name or by the flags of older versions. */
static bool gpu_backend(const json_t *o, char *backend, size_t size)
{
    static const char *const flags[] = {"cuda", "vulkan", "kompute", "metal", "sycl", "opencl", "hip", "gpu_blas"};
    static const char *const names[] = {"cuda",   "vulkan", "kompute", "metal", "mtl",  "sycl",
                                        "opencl", "hip",    "rocm",    "musa",  "cann", "webgpu"};
    text_of(o, "backends", backend, size);
    if (!*backend) text_of(o, "backend", backend, size);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mentions(backend, names[i])) return true;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (number_of(o, flags[i]) > 0) {
            if (!*backend) snprintf(backend, size, "%s", flags[i]);
            return true;
        }
    if (!*backend) snprintf(backend, size, "CPU");
    return false;
}

/* No layers on the GPU, or no device: the CPU did it, whatever the build is called. With layers on both, both did. */
static compare_side side_of(const compare_row *r, bool gpu)
{
    if (strcmp(r->engine, "tawny") == 0 || !gpu) return SIDE_CPU;
    if (strcasecmp(r->devices, "none") == 0 || r->layers == 0) return SIDE_CPU;
    if (r->cpu_moe > 0) return SIDE_MIXED;
    return SIDE_GPU; /* -1 of newer versions means as many as fit; how many layers there are is looked up later */
}

static const char *engine_of(const json_t *o)
{
    if (json_object_get(o, "contract")) return "tawny";
    static const char *const ik[] = {"mla_attn", "attn_max_batch", "ser", "fused_moe", "no_fused_up_gate", "muge"};
    for (size_t i = 0; i < sizeof ik / sizeof *ik; i++)
        if (json_object_get(o, ik[i])) return "ik_llama.cpp";
    return "llama.cpp";
}

static double or_else(double a, double b) { return a >= 0 ? a : b; }

static bool read_row(const json_t *o, const char *file, int no, compare_row *r)
{
    char build[32];
    *r = (compare_row){0};
    snprintf(r->file, sizeof r->file, "%.80s:%d", file, no);
    snprintf(r->engine, sizeof r->engine, "%s", engine_of(o));
    text_of(o, "build_commit", r->build, sizeof r->build);
    snprintf(build, sizeof build, "%.0f", number_of(o, "build_number"));
    if (number_of(o, "build_number") > 0 && strlen(r->build) < 60) {
        strcat(r->build, " b");
        strcat(r->build, build);
    }
    bool gpu = gpu_backend(o, r->backend, sizeof r->backend);
    text_of(o, "gpu_info", r->gpu, sizeof r->gpu);
    text_of(o, "cpu_info", r->cpu, sizeof r->cpu);
    text_of(o, "devices", r->devices, sizeof r->devices);
    text_of(o, "model_type", r->model, sizeof r->model);
    text_of(o, "model_filename", r->path, sizeof r->path);
    if (!r->model[0])
        snprintf(r->model, sizeof r->model, "%.90s", strrchr(r->path, '/') ? strrchr(r->path, '/') + 1 : r->path);
    text_of(o, "type_k", r->type_k, sizeof r->type_k);
    text_of(o, "type_v", r->type_v, sizeof r->type_v);
    r->size = number_of(o, "model_size");
    r->params = number_of(o, "model_n_params");
    r->threads = number_of(o, "n_threads");
    r->layers = json_object_get(o, "n_gpu_layers") ? number_of(o, "n_gpu_layers") : gpu ? 99 : 0;
    r->cpu_moe = number_of(o, "n_cpu_moe");
    r->batch = number_of(o, "n_batch");
    r->ubatch = number_of(o, "n_ubatch");
    r->flash = or_else(number_of(o, "flash_attn"), number_of(o, "fa"));
    r->mmap = number_of(o, "use_mmap");
    r->no_offload = number_of(o, "no_op_offload");
    r->prompt = or_else(or_else(number_of(o, "n_prompt"), number_of(o, "pp")), 0);
    r->gen = or_else(or_else(number_of(o, "n_gen"), number_of(o, "tg")), 0);
    r->depth = or_else(number_of(o, "n_depth"), 0);
    r->ts = number_of(o, "avg_ts");
    r->deviation = number_of(o, "stddev_ts");
    double ns = number_of(o, "avg_ns");
    if (r->ts <= 0 && ns > 0) r->ts = (r->prompt + r->gen) * 1e9 / ns;
    r->ceiling = number_of(o, "ceiling_gb_per_s");
    r->power = number_of(o, "power_w");
    r->bytes = number_of(o, "bytes_per_token");
    r->exact = r->bytes > 0;
    r->side = side_of(r, gpu);
    return r->ts > 0 && r->prompt + r->gen > 0;
}

static tawny_status add(compare_table *t, const json_t *o, const char *file, int no, tawny_error *err)
{
    compare_row r;
    if (!json_is_object(o)) return err_set(err, TAWNY_E_FORMAT, "%.200s: entry %d is no object", file, no);
    if (!read_row(o, file, no, &r)) {
        char text[160];
        snprintf(text, sizeof text, "%.80s:%d: no speed or no tokens in it: left out", file, no);
        json_array_append_new(t->warnings, json_string(text));
        return TAWNY_OK;
    }
    if (t->n == COMPARE_MAX_ROWS)
        return err_set(err, TAWNY_E_LIMIT, "%.200s: more than %d results", file, COMPARE_MAX_ROWS);
    if (t->n == t->cap) {
        int cap = t->cap ? 2 * t->cap : 32;
        compare_row *more = realloc(t->row, (size_t)cap * sizeof *more);
        if (!more) return err_nomem(err);
        t->row = more;
        t->cap = cap;
    }
    t->row[t->n++] = r;
    return TAWNY_OK;
}

/* ---- files ---- */

/* A field of CSV, quoted or not; *p moves behind it. NULL at the end of a line. */
static bool csv_field(char **p, buf *out)
{
    char *s = *p;
    buf_clear(out);
    buf_str(out, "");
    if (!*s || *s == '\n' || *s == '\r') return false;
    if (*s == '"') {
        for (s++; *s && !(*s == '"' && s[1] != '"'); s++) {
            if (*s == '"') s++;
            buf_char(out, *s);
        }
        if (*s) s++;
    } else {
        size_t n = strcspn(s, ",\r\n");
        buf_add(out, s, n);
        s += n;
    }
    if (*s == ',') s++;
    *p = s;
    return true;
}

static void next_line(char **p)
{
    *p += strcspn(*p, "\n");
    if (**p) (*p)++;
}

static tawny_status read_csv(char *p, const char *file, compare_table *t, tawny_error *err)
{
    char *names[MAX_COLUMNS];
    int n = 0, no = 0;
    buf field = {0};
    tawny_status st = TAWNY_OK;
    while (n < MAX_COLUMNS && csv_field(&p, &field)) names[n++] = strdup(field.data ? field.data : "");
    for (next_line(&p); st == TAWNY_OK && *p; next_line(&p)) {
        json_t *o = json_object();
        for (int i = 0; i < n && csv_field(&p, &field); i++)
            if (names[i]) json_object_set_new(o, names[i], json_string(field.data ? field.data : ""));
        if (json_object_size(o)) st = add(t, o, file, ++no, err);
        json_decref(o);
    }
    for (int i = 0; i < n; i++) free(names[i]);
    buf_free(&field);
    return st;
}

static tawny_status read_lines(char *p, const char *file, compare_table *t, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    for (int no = 0; st == TAWNY_OK && *p;) {
        size_t n = strcspn(p, "\n");
        json_t *o = n && p[0] == '{' ? json_loadb(p, n, 0, NULL) : NULL;
        if (o) st = add(t, o, file, ++no, err);
        json_decref(o);
        if (!o && n > 1 && p[0] == '{')
            return err_set(err, TAWNY_E_FORMAT, "%.200s: result %d is no JSON", file, no + 1);
        p += n;
        if (*p) p++;
    }
    return st;
}

static tawny_status read_array(const char *text, size_t size, const char *file, compare_table *t, tawny_error *err)
{
    json_error_t why;
    json_t *a = json_loadb(text, size, 0, &why);
    if (!json_is_array(a)) {
        json_decref(a);
        return err_set(err, TAWNY_E_FORMAT, "%.200s: no JSON list of results: %.150s", file,
                       a ? "something else" : why.text);
    }
    tawny_status st = TAWNY_OK;
    for (size_t i = 0; st == TAWNY_OK && i < json_array_size(a); i++)
        st = add(t, json_array_get(a, i), file, (int)i + 1, err);
    json_decref(a);
    return st;
}

tawny_status compare_read(const char *path, compare_table *t, tawny_error *err)
{
    buf b = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!t->warnings) t->warnings = json_array();
    int before = t->n;
    tawny_status st = file_read(path, MAX_FILE, &b, err);
    if (st == TAWNY_OK && (!b.data || memchr(b.data, 0, b.size)))
        st = err_set(err, TAWNY_E_FORMAT, "%.200s: no output of llama-bench: %s", path,
                     b.size ? "it is binary" : "it is empty");
    if (st == TAWNY_OK) {
        char *p = b.data + strspn(b.data, " \t\r\n");
        if (*p == '[')
            st = read_array(b.data, b.size, name, t, err);
        else if (*p == '{')
            st = read_lines(p, name, t, err);
        else if (strstr(p, "avg_ts") && strchr(p, ','))
            st = read_csv(p, name, t, err);
        else
            st = err_set(err, TAWNY_E_FORMAT,
                         "%.200s: no output of llama-bench (-o json, jsonl or csv) or of tawny bench", path);
    }
    if (st == TAWNY_OK && t->n == before) st = err_set(err, TAWNY_E_FORMAT, "%.200s: no results in it", path);
    buf_free(&b);
    return st;
}

void compare_free(compare_table *t)
{
    free(t->row);
    json_decref(t->warnings);
}
