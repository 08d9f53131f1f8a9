/* Looking at an opened gguf: counts, elements, and values by type and range. */
#include <math.h>
#include <stdio.h>

#include "../base/num.h"
#include "impl.h"

const char *gguf_path(const gguf *g) { return g->path; }
uint32_t gguf_version(const gguf *g) { return g->version; }
uint32_t gguf_split_count(const gguf *g) { return (uint32_t)g->n_maps; }
uint32_t gguf_alignment(const gguf *g) { return g->alignment; }
size_t gguf_kv_count(const gguf *g) { return g->n_kv; }
const gguf_kv *gguf_kv_at(const gguf *g, size_t i) { return &g->kv[i]; }
size_t gguf_tensor_count(const gguf *g) { return g->n_tensors; }
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i) { return &g->tensors[i]; }

uint64_t gguf_file_bytes(const gguf *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < g->n_maps; i++) n += g->maps[i].size;
    return n;
}

bool gguf_damaged(const gguf *g)
{
    for (size_t i = 0; i < g->n_maps; i++)
        if (file_damaged(&g->maps[i])) return true;
    return false;
}

bool gguf_array_next_str(const gguf_array *a, size_t *at, gguf_str *out)
{
    /* Checked again: the file may have changed since it was opened. */
    if (*at > a->bytes || a->bytes - *at < 8) return false;
    uint64_t n = load_u64(a->data + *at);
    if (n > a->bytes - *at - 8) return false;
    *out = (gguf_str){(const char *)a->data + *at + 8, (size_t)n};
    *at += 8 + (size_t)n;
    return true;
}

uint64_t gguf_array_u64(const gguf_array *a, uint64_t i)
{
    switch (a->type) {
    case GGUF_U8: return a->data[i];
    case GGUF_BOOL: return a->data[i] != 0;
    case GGUF_U16: return load_u16(a->data + 2 * i);
    case GGUF_U32: return load_u32(a->data + 4 * i);
    case GGUF_U64: return load_u64(a->data + 8 * i);
    default: return (uint64_t)gguf_array_i64(a, i);
    }
}

int64_t gguf_array_i64(const gguf_array *a, uint64_t i)
{
    switch (a->type) {
    case GGUF_I8: return (int8_t)a->data[i];
    case GGUF_I16: return (int16_t)load_u16(a->data + 2 * i);
    case GGUF_I32: return (int32_t)load_u32(a->data + 4 * i);
    case GGUF_I64: return (int64_t)load_u64(a->data + 8 * i);
    case GGUF_F32:
    case GGUF_F64: {
        double d = gguf_array_f64(a, i);
        return d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : 0;
    }
    case GGUF_STR:
    case GGUF_ARR: return 0;
    default: return (int64_t)gguf_array_u64(a, i);
    }
}

double gguf_array_f64(const gguf_array *a, uint64_t i)
{
    switch (a->type) {
    case GGUF_F32: return (double)f32_from_bits(load_u32(a->data + 4 * i));
    case GGUF_F64: {
        uint64_t u = load_u64(a->data + 8 * i);
        double d;
        memcpy(&d, &u, 8);
        return d;
    }
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: return (double)gguf_array_i64(a, i);
    case GGUF_STR:
    case GGUF_ARR: return 0;
    default: return (double)gguf_array_u64(a, i);
    }
}

/* A value, as short as a message wants it. */
static const char *describe(const gguf_kv *kv, char *out, size_t room)
{
    const char *type = gguf_type_name(kv->type);
    switch (kv->type) {
    case GGUF_STR: snprintf(out, room, "'%.*s' (str)", kv->v.s.n < 40 ? (int)kv->v.s.n : 40, kv->v.s.p); break;
    case GGUF_ARR:
        snprintf(out, room, "an array of %llu %s", LLU(kv->v.a.n), gguf_type_name(kv->v.a.type));
        break;
    case GGUF_F32:
    case GGUF_F64: snprintf(out, room, "%g (%s)", kv->v.f, type); break;
    case GGUF_BOOL: snprintf(out, room, "%s (bool)", kv->v.u ? "true" : "false"); break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: snprintf(out, room, "%lld (%s)", (long long)kv->v.i, type); break;
    default: snprintf(out, room, "%llu (%s)", LLU(kv->v.u), type);
    }
    return out;
}

static tawny_status missing(const gguf *g, const char *key, tawny_error *err)
{
    return err_set(err, TAWNY_E_FORMAT, "%s: key %s is missing", g->label, key);
}

static tawny_status wrong(const gguf *g, const gguf_kv *kv, const char *expected, tawny_error *err)
{
    char value[96];
    return err_set(err, TAWNY_E_FORMAT, "%s: key %.*s is %s; expected %s", g->label, gguf_shown(kv->key.n), kv->key.p,
                   describe(kv, value, sizeof value), expected);
}

static bool is_signed(gguf_type t) { return t == GGUF_I8 || t == GGUF_I16 || t == GGUF_I32 || t == GGUF_I64; }
static bool is_unsigned(gguf_type t) { return t == GGUF_U8 || t == GGUF_U16 || t == GGUF_U32 || t == GGUF_U64; }

tawny_status gguf_opt_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    bool whole = is_unsigned(kv->type) || (is_signed(kv->type) && kv->v.i >= 0);
    uint64_t v = is_signed(kv->type) ? (uint64_t)kv->v.i : kv->v.u;
    if (!whole || v < min || v > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "an integer from %u to %u", min, max);
        return wrong(g, kv, expected, err);
    }
    *out = (uint32_t)v;
    return TAWNY_OK;
}

tawny_status gguf_get_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, tawny_error *err)
{
    return gguf_find(g, key) ? gguf_opt_u32(g, key, min, max, out, err) : missing(g, key, err);
}

tawny_status gguf_opt_f32(const gguf *g, const char *key, float min, float max, float *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    double v = NAN;
    if (kv->type == GGUF_F32 || kv->type == GGUF_F64) v = kv->v.f;
    if (is_signed(kv->type)) v = (double)kv->v.i;
    if (is_unsigned(kv->type)) v = (double)kv->v.u;
    /* Compared as f32: a limit such as 1e-5f must admit the f64 1e-5. */
    float f = isfinite(v) && fabs(v) <= (double)3.402823466e38f ? (float)v : NAN;
    if (!(f >= min && f <= max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "a number from %g to %g", (double)min, (double)max);
        return wrong(g, kv, expected, err);
    }
    *out = f;
    return TAWNY_OK;
}

tawny_status gguf_get_f32(const gguf *g, const char *key, float min, float max, float *out, tawny_error *err)
{
    return gguf_find(g, key) ? gguf_opt_f32(g, key, min, max, out, err) : missing(g, key, err);
}

tawny_status gguf_opt_bool(const gguf *g, const char *key, bool *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_BOOL) return wrong(g, kv, "a bool", err);
    *out = kv->v.u != 0;
    return TAWNY_OK;
}

tawny_status gguf_opt_str(const gguf *g, const char *key, gguf_str *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_STR) return wrong(g, kv, "a string", err);
    *out = kv->v.s;
    return TAWNY_OK;
}

tawny_status gguf_get_str(const gguf *g, const char *key, gguf_str *out, tawny_error *err)
{
    return gguf_find(g, key) ? gguf_opt_str(g, key, out, err) : missing(g, key, err);
}

tawny_status gguf_opt_array(const gguf *g, const char *key, gguf_type type, gguf_array *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    *out = (gguf_array){.type = type};
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_ARR || kv->v.a.type != type) {
        char expected[32];
        snprintf(expected, sizeof expected, "an array of %s", gguf_type_name(type));
        return wrong(g, kv, expected, err);
    }
    *out = kv->v.a;
    return TAWNY_OK;
}

tawny_status gguf_get_array(const gguf *g, const char *key, gguf_type type, gguf_array *out, tawny_error *err)
{
    if (gguf_find(g, key)) return gguf_opt_array(g, key, type, out, err);
    *out = (gguf_array){.type = type};
    return missing(g, key, err);
}

tawny_status gguf_get_u32_per_layer(const gguf *g, const char *key, uint32_t n, uint32_t min, uint32_t max,
                                    uint32_t *out, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return missing(g, key, err);
    if (kv->type != GGUF_ARR) {
        uint32_t v = 0;
        tawny_status status = gguf_opt_u32(g, key, min, max, &v, err);
        if (status) return status;
        for (uint32_t i = 0; i < n; i++) out[i] = v;
        return TAWNY_OK;
    }
    const gguf_array *a = &kv->v.a;
    char expected[96];
    if ((!is_signed(a->type) && !is_unsigned(a->type) && a->type != GGUF_BOOL) || a->n < n) {
        snprintf(expected, sizeof expected, "an integer or an array of at least %u", n);
        return wrong(g, kv, expected, err);
    }
    for (uint32_t i = 0; i < n; i++) {
        int64_t v = gguf_array_i64(a, i); /* a u64 beyond the signed range turns negative: out of range as well */
        if (v < (int64_t)min || v > (int64_t)max)
            return err_set(err, TAWNY_E_FORMAT, "%s: key %s: element %u is %lld; expected %u to %u", g->label, key, i,
                           (long long)v, min, max);
        out[i] = (uint32_t)v;
    }
    return TAWNY_OK;
}
