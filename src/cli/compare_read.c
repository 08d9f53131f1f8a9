/* llama-bench's outputs. Keys came and went: every one is optional, and CPU and GPU are told apart by what a row ran
 * with, not by what its build could do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/file.h"
#include "compare.h"
#include "compare_tables.h"

enum { MAX_FILE = 64 << 20 };

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
    return *end || !isfinite(x) ? -1 : x;
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
    static const char *const names[] = {"cuda", "vulkan", "kompute", "metal", "mtl",    "sycl",    "opencl", "hip",
                                        "rocm", "musa",   "cann",    "htp",   "webgpu", "virtgpu", "hexagon"};
    text_of(o, "backends", backend, size);
    if (!*backend) text_of(o, "backend", backend, size);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mentions(backend, names[i])) return true;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (number_of(o, flags[i]) > 0) {
            if (!*backend) snprintf(backend, size, "%s", flags[i]);
            return true;
        }
    if (!*backend) snprintf(backend, size, "%s", number_of(o, "rpc") > 0 ? "RPC" : "CPU");
    return false;
}

/* Vulkan and OpenCL drivers that compute on the CPU, and no other in the list: "AMD Radeon (RADV), llvmpipe (LLVM 19, 256 bits)". */
static bool is_software(const char *gpus)
{
    static const char *const names[] = {"llvmpipe", "lavapipe", "swiftshader", "pocl", "cpu-"};
    for (const char *p = gpus; *p;) {
        char one[COMPARE_TEXT];
        size_t n = 0;
        bool software = false;
        for (int depth = 0; p[n] && (depth > 0 || p[n] != ','); n++) depth += (p[n] == '(') - (p[n] == ')');
        snprintf(one, sizeof one, "%.*s", (int)n, p);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) software |= mentions(one, names[i]);
        if (!software) return false;
        p += n + strspn(p + n, ", ");
    }
    return *gpus != 0;
}

/* Since there are "backends", "gpu_info" names all GPUs that were found. */
static bool found_none(const json_t *o)
{
    const char *gpu = json_string_value(json_object_get(o, "gpu_info"));
    return json_object_get(o, "backends") && gpu && !*gpu;
}

/* Tensors that were sent to the CPU's memory ("exps=CPU"), or the cache. */
static bool keeps_some(const json_t *o)
{
    static const char *const keys[] = {"tensor_buft_overrides", "override_tensor"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *s = json_string_value(json_object_get(o, keys[i]));
        if (s && (mentions(s, "=CPU") || mentions(s, "_Host"))) return true;
    }
    return number_of(o, "n_cpu_moe") > 0 || number_of(o, "no_kv_offload") > 0;
}

/* No layers on the GPU, or no device: the CPU did it, whatever the build is called. With layers on both, both did. */
static compare_side side_of(const json_t *o, compare_row *r, bool gpu)
{
    r->software = gpu && is_software(r->gpu);
    r->no_gpu = gpu && found_none(o);
    if (strcmp(r->engine, "tawny") == 0) return SIDE_CPU;
    if (mentions(r->backend, "RPC") && r->layers != 0 && strcasecmp(r->devices, "none") != 0) return SIDE_UNKNOWN;
    if (!gpu || r->software || r->no_gpu) return SIDE_CPU;
    if (strcasecmp(r->devices, "none") == 0 || r->layers == 0) return SIDE_CPU;
    if (keeps_some(o)) return SIDE_MIXED;
    return SIDE_GPU; /* -1 of newer versions means as many as fit; how many layers there are is looked up later */
}

/* What was tested, where a file says it in words: "pp64", "tg 8", "pp512+tg128", "pp64 @ d256"; and ik_llama.cpp's "tg16@pp128",
 * whose speed is that of the generation alone, after so long a prompt. */
static void read_test(const json_t *o, compare_row *r)
{
    const char *s = json_string_value(json_object_get(o, "test")), *d;
    double pp = 0, tg = 0, depth = 0;
    if (!s) return;
    if (sscanf(s, "tg%lf@pp%lf", &tg, &depth) == 2) {
        r->prompt = 0;
        r->gen = tg;
        r->depth = depth;
        return;
    }
    if (json_object_get(o, "n_gen")) return;
    if (sscanf(s, "pp%lf+tg%lf", &pp, &tg) < 1) sscanf(s, "tg%lf", &tg);
    if ((d = strchr(s, '@')) && d[1 + strspn(d + 1, " ")] == 'd') depth = strtod(d + 2 + strspn(d + 1, " "), NULL);
    r->prompt = pp >= 0 && pp < 1e9 ? pp : 0;
    r->gen = tg >= 0 && tg < 1e9 ? tg : 0;
    r->depth = depth >= 0 && depth < 1e9 ? depth : 0;
}

static const char *engine_of(const json_t *o)
{
    if (json_object_get(o, "contract")) return "tawny";
    static const char *const ik[] = {"mla_attn", "attn_max_batch", "ser", "fused_moe", "fmoe", "no_fused_up_gate", "muge"};
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
    r->twice = strcmp(r->engine, "ik_llama.cpp") == 0 || (strcmp(r->engine, "llama.cpp") == 0 && !json_object_get(o, "backends"));
    text_of(o, "build_commit", r->build, sizeof r->build);
    if (strcmp(r->build, "unknown") == 0) r->build[0] = 0;
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
    double f16 = number_of(o, "f16_kv"); /* in 2023 */
    if (f16 >= 0 && !r->type_k[0] && !r->type_v[0]) {
        snprintf(r->type_k, sizeof r->type_k, "%s", f16 > 0 ? "f16" : "f32");
        snprintf(r->type_v, sizeof r->type_v, "%s", f16 > 0 ? "f16" : "f32");
    }
    r->size = number_of(o, "model_size");
    r->params = number_of(o, "model_n_params");
    r->threads = number_of(o, "n_threads");
    r->layers = json_object_get(o, "n_gpu_layers") ? number_of(o, "n_gpu_layers") : gpu ? 99 : 0;
    r->embeddings = number_of(o, "embeddings");
    r->batch = number_of(o, "n_batch");
    r->ubatch = number_of(o, "n_ubatch");
    r->flash = or_else(number_of(o, "flash_attn"), number_of(o, "fa"));
    r->mmap = number_of(o, "use_mmap");
    r->no_offload = number_of(o, "no_op_offload");
    r->prompt = or_else(or_else(number_of(o, "n_prompt"), number_of(o, "pp")), 0);
    r->gen = or_else(or_else(number_of(o, "n_gen"), number_of(o, "tg")), 0);
    r->depth = or_else(number_of(o, "n_depth"), 0);
    read_test(o, r);
    r->ts = number_of(o, "avg_ts");
    r->deviation = number_of(o, "stddev_ts");
    double ns = number_of(o, "avg_ns");
    if (r->ts <= 0 && ns > 0) r->ts = (r->prompt + r->gen) * 1e9 / ns;
    r->ceiling = number_of(o, "ceiling_gb_per_s");
    r->power = number_of(o, "power_w");
    r->bytes = number_of(o, "bytes_per_token");
    r->exact = r->bytes > 0;
    r->side = side_of(o, r, gpu);
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

static tawny_status read_array(const char *text, const char *file, compare_table *t, tawny_error *err)
{
    json_error_t why;
    json_t *a = json_loads(text, JSON_DISABLE_EOF_CHECK, &why); /* what the program says at its end may follow */
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

typedef struct table_user {
    compare_table *t;
    const char *file;
} table_user;

static tawny_status add_row(void *user, const json_t *row, int no, tawny_error *err)
{
    table_user *u = user;
    return add(u->t, row, u->file, no, err);
}

/* The first line that begins one of the formats: programs may have said something before it. */
static tawny_status read_text(char *p, const char *path, const char *name, compare_table *t, tawny_error *err)
{
    table_user u = {t, name};
    for (; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        p += strspn(p, " \t\r\n");
        size_t after = *p == '[' ? 1 + strspn(p + 1, " \t\r\n") : 0;
        if (after && (p[after] == '{' || p[after] == ']')) return read_array(p, name, t, err);
        if (*p == '{') return read_lines(p, name, t, err);
        if (table_is_heading(p)) return table_markdown(p, add_row, &u, err);
        if (strncmp(p, "CREATE TABLE ", 13) == 0 || strncmp(p, "INSERT INTO ", 12) == 0)
            return table_sql(p, add_row, &u, err);
        char *end = p + strcspn(p, "\n"), *speed = strstr(p, "avg_ts");
        if (speed && speed < end && memchr(p, ',', (size_t)(end - p)))
            return table_csv(p, add_row, &u, err);
    }
    return err_set(err, TAWNY_E_FORMAT, "%.200s: no output of llama-bench (-o json, jsonl, csv, md or sql) or of tawny bench", path);
}

/* PowerShell's > writes UTF-16 with a mark of its byte order, and some editors such a mark before UTF-8. */
static bool without_mark(buf *b)
{
    const unsigned char *p = (const unsigned char *)b->data;
    buf to = {0};
    if (b->size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        memmove(b->data, p + 3, b->size - 2); /* with the zero at its end */
        b->size -= 3;
    }
    if (b->size < 2 || memcmp(p, "\xff\xfe", 2) != 0) return true;
    for (size_t i = 2; i + 1 < b->size; i += 2) {
        unsigned c = p[i] | (unsigned)p[i + 1] << 8;
        if (c >= 0xd800 && c < 0xe000) c = '?'; /* nothing of it is looked at */
        buf_utf8(&to, c);
    }
    buf_free(b);
    *b = to;
    return buf_ok(b);
}

tawny_status compare_read(const char *path, compare_table *t, tawny_error *err)
{
    buf b = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!t->warnings) t->warnings = json_array();
    int before = t->n;
    tawny_status st = file_read(path, MAX_FILE, &b, err);
    if (st == TAWNY_OK && b.data && !without_mark(&b)) st = err_nomem(err);
    if (st == TAWNY_OK && (!b.data || memchr(b.data, 0, b.size)))
        st = err_set(err, TAWNY_E_FORMAT, "%.200s: no output of llama-bench: %s", path,
                     b.size ? "it is binary" : "it is empty");
    if (st == TAWNY_OK) st = read_text(b.data, path, name, t, err);
    if (st == TAWNY_OK && t->n == before) st = err_set(err, TAWNY_E_FORMAT, "%.200s: no results in it", path);
    buf_free(&b);
    return st;
}

void compare_free(compare_table *t)
{
    free(t->row);
    json_decref(t->warnings);
}
