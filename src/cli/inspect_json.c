/* tawny inspect --json */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../base/buf.h"
#include "cli.h"
#include "inspect.h"
#include "terminal.h"

enum { SHORT_ARRAY = 16 }; /* longer ones are summarized */

/* JSON holds text alone: bytes that are no UTF-8 become U+FFFD. */
static json_t *text(gguf_str s)
{
    json_t *whole = json_stringn(s.p, s.n);
    if (whole) return whole;
    buf b = {0};
    for (size_t i = 0; i < s.n;) {
        size_t len = 1;
        while (len <= 4 && i + len <= s.n) {
            json_t *one = json_stringn(s.p + i, len);
            json_decref(one);
            if (one) break;
            len++;
        }
        bool good = len <= 4 && i + len <= s.n;
        if (good) buf_add(&b, s.p + i, len);
        else buf_utf8(&b, 0xfffd);
        i += good ? len : 1;
    }
    json_t *j = buf_ok(&b) ? json_stringn(b.data ? b.data : "", b.size) : NULL;
    buf_free(&b);
    return j;
}

static json_t *real(double d)
{
    return isfinite(d) ? json_real(d) : json_string(isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
}

/* What a JSON integer of 64 bits cannot hold is a string. */
static json_t *whole_number(uint64_t u)
{
    return u <= INT64_MAX ? json_integer((json_int_t)u) : json_sprintf("%llu", (unsigned long long)u);
}

static json_t *element(const gguf_array *a, uint64_t i)
{
    switch (a->type) {
    case GGUF_F32:
    case GGUF_F64: return real(gguf_array_f64(a, i));
    case GGUF_BOOL: return json_boolean(gguf_array_u64(a, i) != 0);
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: return json_integer(gguf_array_i64(a, i));
    default: return whole_number(gguf_array_u64(a, i));
    }
}

static json_t *elements(const gguf_array *a, uint64_t n)
{
    json_t *list = json_array();
    size_t at = 0;
    gguf_str s;
    for (uint64_t i = 0; i < n; i++) {
        if (a->type == GGUF_STR && !gguf_array_next_str(a, &at, &s)) break;
        json_array_append_new(list, a->type == GGUF_STR ? text(s) : element(a, i));
    }
    return list;
}

static json_t *value(const gguf_kv *kv, bool full)
{
    const gguf_array *a = &kv->v.a;
    switch (kv->type) {
    case GGUF_STR: return text(kv->v.s);
    case GGUF_F32:
    case GGUF_F64: return real(kv->v.f);
    case GGUF_BOOL: return json_boolean(kv->v.u != 0);
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: return json_integer(kv->v.i);
    case GGUF_ARR:
        if (full || a->n <= SHORT_ARRAY) return elements(a, a->n);
        return json_pack("{s:s, s:o, s:o}", "array_of", gguf_type_name(a->type), "length", whole_number(a->n),
                         "first", elements(a, SHORT_ARRAY / 2));
    default: return whole_number(kv->v.u);
    }
}

static json_t *tensor(const gguf_tensor *t, const hash128 *sum)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < t->n_dims; i++) json_array_append_new(shape, whole_number(t->ne[i]));
    json_t *j =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:i}", "name", t->name, "type", gguf_tensor_type(t->type)->name, "shape",
                  shape, "bytes", whole_number(t->bytes), "offset", whole_number(t->offset), "file", (int)t->split);
    if (!sum) return j;
    char hex[HASH_HEX];
    hash_hex(*sum, hex);
    json_object_set_new(j, "xxh3_128", json_string(hex));
    return j;
}

/* By type: how many tensors, elements and bytes. */
static json_t *histogram(const gguf *g)
{
    json_t *all = json_object();
    for (uint32_t type = 0; gguf_tensor_type(type); type++) {
        inspect_sum s = inspect_sum_type(g, type);
        if (s.n)
            json_object_set_new(all, gguf_tensor_type(type)->name,
                                json_pack("{s:o, s:o, s:o}", "tensors", whole_number(s.n), "parameters",
                                          whole_number(s.params), "bytes", whole_number(s.bytes)));
    }
    return all;
}

int inspect_json(const gguf *g, const inspect_opts *o, const hash128 *sums)
{
    json_t *root = json_object(), *meta = json_object();
    uint64_t params = 0;
    const char *file_type = inspect_file_type(g);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) params += inspect_elements(gguf_tensor_at(g, i));
    json_object_set_new(root, "path", text((gguf_str){gguf_path(g), strlen(gguf_path(g))}));
    json_object_set_new(root, "gguf_version", whole_number(gguf_version(g)));
    json_object_set_new(root, "files", whole_number(gguf_split_count(g)));
    json_object_set_new(root, "bytes", whole_number(gguf_file_bytes(g)));
    json_object_set_new(root, "alignment", whole_number(gguf_alignment(g)));
    json_object_set_new(root, "parameters", whole_number(params));
    if (file_type) json_object_set_new(root, "file_type", json_string(file_type));
    json_object_set_new(root, "types", histogram(g));
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        json_object_setn_new(meta, kv->key.p, kv->key.n, value(kv, o->full));
    }
    json_object_set_new(root, "metadata", meta);
    if (o->tensors || sums) {
        json_t *list = json_array();
        for (size_t i = 0; i < gguf_tensor_count(g); i++)
            json_array_append_new(list, tensor(gguf_tensor_at(g, i), sums ? &sums[i] : NULL));
        json_object_set_new(root, "tensors", list);
    }
    /* On a terminal plain ASCII, so that no character of a file can drive it. */
    size_t flags = JSON_INDENT(2) | (term_is_tty(stdout) ? JSON_ENSURE_ASCII : 0);
    int failed = json_dumpf(root, stdout, flags);
    json_decref(root);
    if (failed) return cli_fail(1, "inspect: --json: out of memory or a full disk");
    putchar('\n');
    return cli_finish(0);
}
