/* A test's results as one JSON object: llama-bench's keys in its order, then tawny's. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "../base/cpu.h"
#include "bench.h"

typedef struct stats {
    double mean, dev;
} stats;

static stats stats_of(const double *v, int n)
{
    double sum = 0, sq = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    for (int i = 0; i < n; i++) sq += (v[i] - sum / n) * (v[i] - sum / n);
    return (stats){n ? sum / n : 0, n > 1 ? sqrt(sq / (n - 1)) : 0};
}

static json_t *samples(const double *v, int n, bool integral)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, integral ? json_integer((json_int_t)v[i]) : json_real(v[i]));
    return a;
}

/* "llama 1.24B Q4_K_M" */
static void model_type(const tawny_model *m, char *out, size_t size)
{
    double p = (double)tawny_model_n_params(m);
    uint32_t type = UINT32_MAX;
    const char *name = NULL;
    if (gguf_opt_u32(m->m.file, "general.file_type", 0, UINT32_MAX, &type, NULL) == TAWNY_OK)
        name = gguf_file_type_name(type);
    bool large = p >= 1e9;
    int n = snprintf(out, size, large ? "%s %.2fB" : "%s %.0fM", tawny_model_arch(m), large ? p / 1e9 : p / 1e6);
    if (name && n > 0 && (size_t)n < size) snprintf(out + n, size - (size_t)n, " %s", name);
}

static void set_str(json_t *j, const char *key, const char *s) { json_object_set_new(j, key, json_string(s)); }
static void set_int(json_t *j, const char *key, uint64_t v)
{
    json_object_set_new(j, key, json_integer((json_int_t)v));
}
static void set_bool(json_t *j, const char *key, bool v) { json_object_set_new(j, key, json_boolean(v)); }
static void set_real(json_t *j, const char *key, double v) { json_object_set_new(j, key, json_real(v)); }
/* null where there is no such figure */
static void set_maybe(json_t *j, const char *key, bool have, double v)
{
    json_object_set_new(j, key, have ? json_real(v) : json_null());
}

/* What was asked for. Options of llama-bench that mean nothing here have the values that they have without them. */
static void set_question(json_t *j, const char *path, const tawny_model *m, const bench_test *t)
{
    char type[160];
    model_type(m, type, sizeof type);
    set_str(j, "build_commit", "tawny-" TAWNY_VERSION);
    set_int(j, "build_number", 0);
    set_str(j, "cpu_info", cpu_get()->name);
    set_str(j, "gpu_info", "");
    set_str(j, "backends", "CPU");
    set_str(j, "model_filename", path);
    set_str(j, "model_type", type);
    set_int(j, "model_size", tawny_model_bytes(m));
    set_int(j, "model_n_params", tawny_model_n_params(m));
    set_int(j, "n_batch", (uint64_t)t->n_batch);
    set_int(j, "n_ubatch", (uint64_t)t->n_ubatch);
    set_int(j, "n_threads", (uint64_t)t->threads);
    set_str(j, "cpu_mask", "0x0");
    set_bool(j, "cpu_strict", false);
    set_int(j, "poll", 50);
    set_str(j, "type_k", t->type_k);
    set_str(j, "type_v", t->type_v);
    set_int(j, "n_gpu_layers", 0);
    set_int(j, "n_cpu_moe", 0);
    set_str(j, "split_mode", "none");
    set_int(j, "main_gpu", 0);
    set_bool(j, "no_kv_offload", false);
    set_int(j, "flash_attn", 1);
    set_str(j, "devices", "none");
    set_str(j, "tensor_split", "0.00");
    set_str(j, "tensor_buft_overrides", "none");
    set_str(j, "load_mode", t->load);
    set_str(j, "lazy_mode", "auto");
    set_bool(j, "embeddings", false);
    set_int(j, "no_op_offload", 0);
    set_bool(j, "no_host", false);
    set_bool(j, "repack", false);
    set_int(j, "fit_target", 0);
    set_int(j, "fit_min_ctx", 0);
    set_int(j, "n_prompt", (uint64_t)t->n_prompt);
    set_int(j, "n_gen", (uint64_t)t->n_gen);
    set_int(j, "n_depth", (uint64_t)t->depth);
}

static void set_speed(json_t *j, const bench_test *t)
{
    double ns[BENCH_MAX_REPEAT], ts[BENCH_MAX_REPEAT];
    for (int i = 0; i < t->n; i++) {
        ns[i] = t->seconds[i] * 1e9;
        ts[i] = (t->n_prompt + t->n_gen) / t->seconds[i];
    }
    stats s_ns = stats_of(ns, t->n), s_ts = stats_of(ts, t->n);
    char when[32];
    time_t clock = time(NULL);
    struct tm tm;
    gmtime_r(&clock, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    set_str(j, "test_time", when);
    set_int(j, "avg_ns", (uint64_t)s_ns.mean);
    set_int(j, "stddev_ns", (uint64_t)s_ns.dev);
    set_real(j, "avg_ts", s_ts.mean);
    set_real(j, "stddev_ts", s_ts.dev);
    json_object_set_new(j, "samples_ns", samples(ns, t->n, true));
    json_object_set_new(j, "samples_ts", samples(ts, t->n, false));
}

/* A rate, its limit, and how much of that was reached: each run is held to the limits before and after it. */
static void set_share(json_t *j, const char *const keys[3], const bench_test *t, bool have, double work,
                      const double *limit)
{
    double rate = 0, share = 0;
    for (int i = 0; i < t->n; i++) {
        double one = work / t->seconds[i] * 1e-9;
        rate += one / t->n;
        if (t->limited) share += one / ((limit[i] + limit[i + 1]) / 2) / t->n;
    }
    set_maybe(j, keys[0], have, rate);
    set_maybe(j, keys[1], t->limited, stats_of(limit, t->n + 1).mean);
    set_maybe(j, keys[2], have && t->limited, 100 * share);
}

/* What ran, where the weights were, and the shares of the limits. */
static void set_limits(json_t *j, const bench_test *t, bool decode, int steps, cost_operations ops)
{
    static const char *const read[] = {"gb_per_s", "ceiling_gb_per_s", "percent_of_ceiling"};
    static const char *const int8[] = {"int8_gops", "int8_peak_gops", "percent_of_int8_peak"};
    static const char *const f32[] = {"f32_gflops", "f32_peak_gflops", "percent_of_f32_peak"};
    double huge = t->mapped ? (double)t->pages.huge / (double)t->mapped : 0;
    set_str(j, "tier", simd_tier_name(simd_current()));
    set_int(j, "act_bits", (uint64_t)t->act_bits);
    set_str(j, "gemm", t->gemm);
    set_int(j, "contract", TAWNY_CONTRACT);
    set_str(j, "pages", huge > 0.9 ? "huge" : huge > 0.1 ? "mixed" : "4k");
    set_real(j, "huge_pages", huge > 1 ? 1 : huge);
    set_maybe(j, "bytes_per_token", decode, t->bytes_per_token);
    set_share(j, read, t, decode, t->bytes_per_token * steps, t->read);
    set_share(j, int8, t, ops.int8 > 0, ops.int8, t->int8);
    set_share(j, f32, t, ops.f32 > 0, ops.f32, t->f32);
    if (t->limited) json_object_set_new(j, "samples_ceiling_gb_per_s", samples(t->read, t->n + 1, false));
}

json_t *bench_batched_json(const char *path, const tawny_model *m, const bench_test *t)
{
    char type[160];
    int pl = t->sequences, pp = t->n_prompt, tg = t->n_gen, prompts = t->shared ? 1 : pl;
    double t_pp = stats_of(t->prompt_seconds, t->n).mean, t_tg = stats_of(t->seconds, t->n).mean;
    json_t *j = json_object();
    model_type(m, type, sizeof type);
    set_str(j, "model_filename", path);
    set_str(j, "model_type", type);
    set_int(j, "n_kv_max", (uint64_t)pl * (uint64_t)(pp + tg));
    set_int(j, "n_batch", (uint64_t)t->n_batch);
    set_int(j, "n_ubatch", (uint64_t)t->n_ubatch);
    set_int(j, "flash_attn", 1);
    set_int(j, "is_pp_shared", t->shared);
    set_int(j, "n_gpu_layers", 0);
    set_int(j, "n_threads", (uint64_t)t->threads);
    set_int(j, "n_threads_batch", (uint64_t)t->threads);
    set_str(j, "type_k", t->type_k);
    set_str(j, "type_v", t->type_v);
    set_str(j, "load_mode", t->load);
    set_int(j, "pp", (uint64_t)pp);
    set_int(j, "tg", (uint64_t)tg);
    set_int(j, "pl", (uint64_t)pl);
    set_int(j, "n_kv", (uint64_t)(prompts * pp + pl * tg));
    set_real(j, "t_pp", t_pp);
    set_real(j, "speed_pp", pp ? prompts * pp / t_pp : 0);
    set_real(j, "t_tg", t_tg);
    set_real(j, "speed_tg", pl * tg / t_tg);
    set_real(j, "t", t_pp + t_tg);
    set_real(j, "speed", (prompts * pp + pl * tg) / (t_pp + t_tg));
    json_object_set_new(j, "samples_t_pp", samples(t->prompt_seconds, t->n, false));
    json_object_set_new(j, "samples_t_tg", samples(t->seconds, t->n, false));
    set_limits(j, t, !t->experts || pl == 1, tg, cost_of(&t->products, t->act_bits / 8, pl * tg, pl * tg));
    return j;
}

json_t *bench_row_json(const char *path, const tawny_model *m, const bench_test *t)
{
    json_t *j = json_object();
    set_question(j, path, m, t);
    set_speed(j, t);
    set_limits(j, t, t->n_gen && !t->n_prompt, t->n_gen,
               cost_of(&t->products, t->act_bits / 8, t->n_prompt + t->n_gen, t->n_gen + (t->n_prompt > 0)));
    return j;
}
