/* Reading one GGUF file. Everything the header says is checked here, so that whoever uses an opened
 * gguf need not. The mapped bytes may still change under us (somebody writes to the file): what is used
 * as a size or an index later was copied out of them. */
#include <stdlib.h>
#include <string.h>

#include "../base/arena.h"
#include "../base/num.h"
#include "cursor.h"
#include "impl.h"

/* A file as it is being read. What: the header, metadata key `index` or tensor `index`; name once known. */
typedef struct reader {
    gguf *g;
    cursor c;
    tawny_error *err;
    const char *what; /* "key", "tensor" */
    uint64_t index, count;
    gguf_str name;
} reader;

bool gguf_grow(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return true;
    size_t more = *cap ? *cap + *cap / 2 : 32, bytes;
    void *p;
    memcpy(&p, array, sizeof p);
    base_alloc_counted();
    if (!mul_ok(more, size, &bytes) || !(p = realloc(p, bytes))) return false;
    memcpy(array, &p, sizeof p);
    *cap = more;
    return true;
}

/* The bytes end before what is being read does. */
static tawny_status cut(const reader *r, const char *part)
{
    const char *label = r->g->label;
    if (!r->what)
        return err_set(r->err, TAWNY_E_FORMAT, "%s: the header is cut off: the file ends at byte %zu", label,
                       r->c.size);
    if (r->name.n)
        return err_set(r->err, TAWNY_E_FORMAT, "%s: %s %.*s: %s needs %llu bytes at byte %zu, the file ends at %zu",
                       label, r->what, gguf_shown(r->name.n), r->name.p, part, LLU(r->c.wanted), r->c.at, r->c.size);
    return err_set(r->err, TAWNY_E_FORMAT,
                   "%s: %s %llu of %llu: %s needs %llu bytes at byte %zu, the file ends at %zu", label, r->what,
                   LLU(r->index + 1), LLU(r->count), part, LLU(r->c.wanted), r->c.at, r->c.size);
}

#define BAD(r, code, fmt, ...)                                                                                       \
    err_set((r)->err, code, "%s: %s %.*s: " fmt, (r)->g->label, (r)->what, gguf_shown((r)->name.n), (r)->name.p,     \
            __VA_ARGS__)

/* What a file is that is no GGUF, where its first bytes tell. */
static const char *other_format(const uint8_t *p, size_t n)
{
    static const struct {
        const char *bytes, *what;
    } known[] = {
        {"FUGG", "a GGUF file with swapped bytes"},
        {"lmgg", "a GGML file of 2023, older than GGUF"},
        {"fmgg", "a GGMF file of 2023, older than GGUF"},
        {"tjgg", "a GGJT file of 2023, older than GGUF"},
        {"algg", "a GGLA adapter of 2023, older than GGUF"},
        {"PK\3\4", "a zip archive (a PyTorch model?)"},
        {"version https://git-lfs", "a Git LFS pointer, not the file it stands for"},
        {"<!DOCTYPE", "a web page"},
        {"<html", "a web page"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t len = strlen(known[i].bytes);
        if (n >= len && memcmp(p, known[i].bytes, len) == 0) return known[i].what;
    }
    if (n > 10 && p[8] == '{' && p[9] == '"') return "a safetensors file";
    return NULL;
}

static tawny_status read_magic(reader *r, uint64_t *n_tensors, uint64_t *n_kv)
{
    const char *label = r->g->label;
    size_t head = r->c.size < 4 ? r->c.size : 4;
    if (memcmp(r->c.data, "GGUF", head) != 0) {
        const char *other = other_format(r->c.data, r->c.size);
        if (other) return err_set(r->err, TAWNY_E_UNSUPPORTED, "%s: not a GGUF file: this is %s", label, other);
        const uint8_t *p = r->c.data;
        return err_set(r->err, TAWNY_E_FORMAT,
                       "%s: not a GGUF file: the magic is %02x %02x %02x %02x, not 47 47 55 46", label, p[0],
                       head > 1 ? p[1] : 0, head > 2 ? p[2] : 0, head > 3 ? p[3] : 0);
    }
    const uint8_t *magic;
    uint32_t version;
    if (!cursor_take(&r->c, 4, &magic) || !cursor_u32(&r->c, &version)) return cut(r, "");
    if (version && (version & 0xffff) == 0)
        return err_set(r->err, TAWNY_E_UNSUPPORTED,
                       "%s: a big-endian GGUF file (version %u); only little-endian is supported", label,
                       __builtin_bswap32(version));
    if (version != 2 && version != 3)
        return err_set(r->err, TAWNY_E_UNSUPPORTED, "%s: GGUF version %u; supported are 2 and 3", label, version);
    r->g->version = version;
    if (!cursor_u64(&r->c, n_tensors) || !cursor_u64(&r->c, n_kv)) return cut(r, "");

    /* The shortest key is 14 bytes, the shortest tensor 33. */
    size_t left = cursor_left(&r->c);
    if (*n_kv > left / 14)
        return err_set(r->err, TAWNY_E_FORMAT, "%s: the header claims %llu metadata keys, the file has room for %zu",
                       label, LLU(*n_kv), left / 14);
    if (*n_tensors > left / 33)
        return err_set(r->err, TAWNY_E_FORMAT, "%s: the header claims %llu tensors, the file has room for %zu", label,
                       LLU(*n_tensors), left / 33);
    return TAWNY_OK;
}

/* A key or a tensor's name: printable ASCII, not empty, at most max bytes. */
static tawny_status read_name(reader *r, size_t max)
{
    const uint8_t *p;
    size_t n;
    r->name = (gguf_str){"", 0};
    if (!cursor_str(&r->c, &p, &n)) return cut(r, "the name");
    const char *trouble = n == 0 ? "is empty" : n > max ? "is too long" : NULL;
    for (size_t i = 0; i < n && !trouble; i++)
        if (p[i] < 0x20 || p[i] >= 0x7f) trouble = "has bytes that are not printable ASCII";
    r->name = (gguf_str){(const char *)p, n};
    if (!trouble) return TAWNY_OK;
    return err_set(r->err, TAWNY_E_FORMAT, "%s: the name of %s %llu of %llu %s: '%.*s' (%zu bytes)", r->g->label,
                   r->what, LLU(r->index + 1), LLU(r->count), trouble, gguf_shown(n), (const char *)p, n);
}

static tawny_status read_array(reader *r, gguf_array *a)
{
    uint32_t type;
    if (!cursor_u32(&r->c, &type) || !cursor_u64(&r->c, &a->n)) return cut(r, "the array");
    if (type == GGUF_ARR) return BAD(r, TAWNY_E_UNSUPPORTED, "an array of arrays (%llu of them)", LLU(a->n));
    if (type >= GGUF_TYPES) return BAD(r, TAWNY_E_FORMAT, "an array of value type %u, which does not exist", type);
    a->type = (gguf_type)type;
    a->data = r->c.data + r->c.at;
    if (type == GGUF_STR) {
        if (a->n > cursor_left(&r->c) / 8)
            return BAD(r, TAWNY_E_FORMAT, "an array of %llu strings in %zu bytes", LLU(a->n), cursor_left(&r->c));
        const uint8_t *p;
        size_t n;
        for (uint64_t i = 0; i < a->n; i++)
            if (!cursor_str(&r->c, &p, &n)) return cut(r, "a string of the array");
    } else if (!cursor_array(&r->c, a->n, gguf_type_size(a->type), &a->data)) {
        return cut(r, "the array");
    }
    a->bytes = (size_t)(r->c.data + r->c.at - a->data);
    if (type == GGUF_BOOL)
        for (size_t i = 0; i < a->bytes; i++)
            if (a->data[i] > 1) return BAD(r, TAWNY_E_FORMAT, "element %zu is %u, a bool is 0 or 1", i, a->data[i]);
    return TAWNY_OK;
}

static tawny_status read_value(reader *r, gguf_kv *kv)
{
    uint32_t type;
    const uint8_t *p = NULL;
    if (!cursor_u32(&r->c, &type)) return cut(r, "the value's type");
    if (type >= GGUF_TYPES) return BAD(r, TAWNY_E_FORMAT, "value type %u does not exist", type);
    kv->type = (gguf_type)type;
    if (kv->type == GGUF_ARR) return read_array(r, &kv->v.a);
    if (kv->type == GGUF_STR) {
        if (!cursor_str(&r->c, &p, &kv->v.s.n)) return cut(r, "the string");
        kv->v.s.p = (const char *)p;
        return TAWNY_OK;
    }
    if (!cursor_take(&r->c, gguf_type_size(kv->type), &p)) return cut(r, "the value");
    gguf_array one = {.type = kv->type, .n = 1, .data = p};
    switch (kv->type) {
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: kv->v.i = gguf_array_i64(&one, 0); break;
    case GGUF_F32:
    case GGUF_F64: kv->v.f = gguf_array_f64(&one, 0); break;
    case GGUF_BOOL:
        if (*p > 1) return BAD(r, TAWNY_E_FORMAT, "the value is %u, a bool is 0 or 1", *p);
        kv->v.u = *p;
        break;
    default: kv->v.u = gguf_array_u64(&one, 0);
    }
    return TAWNY_OK;
}

static int compare_str(gguf_str a, gguf_str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_keys(const void *a, const void *b)
{
    return compare_str((*(const gguf_kv *const *)a)->key, (*(const gguf_kv *const *)b)->key);
}

/* Sorted views rather than hash tables: nothing in a file can make them slow. */
static tawny_status index_keys(reader *r)
{
    gguf *g = r->g;
    g->by_key = malloc((g->n_kv + 1) * sizeof *g->by_key);
    if (!g->by_key) return err_nomem(r->err);
    for (size_t i = 0; i < g->n_kv; i++) g->by_key[i] = &g->kv[i];
    qsort(g->by_key, g->n_kv, sizeof *g->by_key, compare_keys);
    for (size_t i = 1; i < g->n_kv; i++)
        if (compare_keys(&g->by_key[i - 1], &g->by_key[i]) == 0)
            return err_set(r->err, TAWNY_E_FORMAT, "%s: key %.*s occurs twice", g->label,
                           gguf_shown(g->by_key[i]->key.n), g->by_key[i]->key.p);
    return TAWNY_OK;
}

const gguf_kv *gguf_find(const gguf *g, const char *key)
{
    gguf_str want = {key, strlen(key)};
    size_t lo = 0, hi = g->n_kv;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_str(want, g->by_key[mid]->key);
        if (c == 0) return g->by_key[mid];
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

static tawny_status read_metadata(reader *r, uint64_t count)
{
    gguf *g = r->g;
    tawny_status status;
    r->what = "key";
    r->count = count;
    for (r->index = 0; r->index < count; r->index++) {
        if (!gguf_grow(&g->kv, g->n_kv, &g->cap_kv, sizeof *g->kv)) return err_nomem(r->err);
        gguf_kv *kv = &g->kv[g->n_kv];
        if ((status = read_name(r, GGUF_MAX_KEY))) return status;
        kv->key = r->name;
        if ((status = read_value(r, kv))) return status;
        g->n_kv++;
    }
    if ((status = index_keys(r))) return status;

    g->alignment = 32;
    const gguf_kv *kv = gguf_find(g, "general.alignment");
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_U32)
        return err_set(r->err, TAWNY_E_FORMAT, "%s: key general.alignment is of type %s, not u32", g->label,
                       gguf_type_name(kv->type));
    if (kv->v.u < 8 || kv->v.u > GGUF_MAX_ALIGNMENT || (kv->v.u & (kv->v.u - 1)))
        return err_set(r->err, TAWNY_E_FORMAT, "%s: key general.alignment is %llu, not a power of two from 8 to %d",
                       g->label, LLU(kv->v.u), GGUF_MAX_ALIGNMENT);
    g->alignment = (uint32_t)kv->v.u;
    return TAWNY_OK;
}

/* Type and dimensions, and from them the size. */
static tawny_status read_shape(reader *r, gguf_tensor *t)
{
    if (!cursor_u32(&r->c, &t->n_dims)) return cut(r, "the number of dimensions");
    if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
        return BAD(r, TAWNY_E_FORMAT, "%u dimensions; there are 1 to %d", t->n_dims, GGUF_MAX_DIMS);
    uint64_t elements = 1;
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        t->ne[i] = 1;
        if (i >= t->n_dims) continue;
        if (!cursor_u64(&r->c, &t->ne[i])) return cut(r, "the dimensions");
        if (t->ne[i] == 0) return BAD(r, TAWNY_E_FORMAT, "dimension %u is 0", i);
        if (__builtin_mul_overflow(elements, t->ne[i], &elements) || elements > INT64_MAX)
            return BAD(r, TAWNY_E_FORMAT, "dimension %u is %llu: more elements than fit 63 bits", i,
                       LLU(t->ne[i]));
    }
    if (!cursor_u32(&r->c, &t->type)) return cut(r, "the type");
    const gguf_type_info *info = gguf_tensor_type(t->type);
    if (!info) return BAD(r, TAWNY_E_UNSUPPORTED, "type %u is unknown", t->type);
    if (info->removed)
        return BAD(r, TAWNY_E_UNSUPPORTED, "type %s (%u) was removed from the format; convert the model anew",
                   info->name, t->type);
    if (t->ne[0] % info->block)
        return BAD(r, TAWNY_E_FORMAT, "rows of %llu elements are not whole blocks of %u (type %s)", LLU(t->ne[0]),
                   info->block, info->name);
    if (__builtin_mul_overflow(elements / info->block, info->block_bytes, &t->bytes) || t->bytes > INT64_MAX)
        return BAD(r, TAWNY_E_FORMAT, "%llu elements of type %s: more bytes than fit 63 bits", LLU(elements),
                   info->name);
    return TAWNY_OK;
}

static tawny_status read_tensors(reader *r, uint64_t count)
{
    gguf *g = r->g;
    tawny_status status;
    r->what = "tensor";
    r->count = count;
    for (r->index = 0; r->index < count; r->index++) {
        if (!gguf_grow(&g->tensors, g->n_tensors, &g->cap_tensors, sizeof *g->tensors)) return err_nomem(r->err);
        gguf_tensor *t = &g->tensors[g->n_tensors];
        memset(t, 0, sizeof *t);
        if ((status = read_name(r, GGUF_MAX_NAME - 1))) return status;
        memcpy(t->name, r->name.p, r->name.n);
        r->name.p = t->name;
        if ((status = read_shape(r, t))) return status;
        if (!cursor_u64(&r->c, &t->offset)) return cut(r, "the offset");
        if (t->offset % g->alignment)
            return BAD(r, TAWNY_E_FORMAT, "offset %llu is not a multiple of the alignment %u", LLU(t->offset),
                       g->alignment);
        g->n_tensors++;
    }
    return TAWNY_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    if (x->offset != y->offset) return x->offset > y->offset ? 1 : -1;
    return (x > y) - (x < y); /* in the order of the file, whatever the sort does with equals */
}

/* Offsets become those in the file; all data lies in it, and no two tensors share a byte. */
static tawny_status place_tensors(reader *r, unsigned flags)
{
    gguf *g = r->g;
    uint64_t mask = g->alignment - 1, base = ((uint64_t)r->c.at + mask) & ~mask, size = r->c.size;
    for (size_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *t = &g->tensors[i];
        r->name = (gguf_str){t->name, strlen(t->name)};
        if (t->offset > INT64_MAX - base || t->bytes > INT64_MAX - base - t->offset)
            return BAD(r, TAWNY_E_FORMAT, "offset %llu does not fit 63 bits", LLU(t->offset));
        t->offset += base;
        if (flags & GGUF_HEADER_ONLY) continue;
        if (t->offset > size || t->bytes > size - t->offset)
            return BAD(r, TAWNY_E_FORMAT, "%llu bytes at offset %llu lie outside the file of %llu bytes",
                       LLU(t->bytes), LLU(t->offset), LLU(size));
        t->data = r->c.data + t->offset;
    }
    const gguf_tensor **sorted = malloc((g->n_tensors + 1) * sizeof *sorted);
    if (!sorted) return err_nomem(r->err);
    for (size_t i = 0; i < g->n_tensors; i++) sorted[i] = &g->tensors[i];
    qsort(sorted, g->n_tensors, sizeof *sorted, compare_offsets);
    tawny_status status = TAWNY_OK;
    for (size_t i = 1; i < g->n_tensors && !status; i++) {
        const gguf_tensor *a = sorted[i - 1], *b = sorted[i];
        if (b->offset - a->offset >= a->bytes) continue;
        r->name = (gguf_str){b->name, strlen(b->name)};
        status = BAD(r, TAWNY_E_FORMAT, "its data at offset %llu overlaps that of %s, %llu bytes at %llu",
                     LLU(b->offset), a->name, LLU(a->bytes), LLU(a->offset));
    }
    free(sorted);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

tawny_status gguf_index_tensors(gguf *g, tawny_error *err)
{
    free(g->by_name);
    g->by_name = malloc((g->n_tensors + 1) * sizeof *g->by_name);
    if (!g->by_name) return err_nomem(err);
    for (size_t i = 0; i < g->n_tensors; i++) g->by_name[i] = &g->tensors[i];
    qsort(g->by_name, g->n_tensors, sizeof *g->by_name, compare_names);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (compare_names(&g->by_name[i - 1], &g->by_name[i]) == 0)
            return err_set(err, TAWNY_E_FORMAT, "%s: tensor %s occurs twice", g->label, g->by_name[i]->name);
    return TAWNY_OK;
}

const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name)
{
    size_t lo = 0, hi = g->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, g->by_name[mid]->name);
        if (c == 0) return g->by_name[mid];
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

/* The end of a long path tells more than its beginning. */
static void set_label(gguf *g, const char *path)
{
    size_t n = strlen(path), room = sizeof g->label - 1;
    if (n <= room) {
        memcpy(g->label, path, n);
    } else {
        memcpy(g->label, "...", 3);
        memcpy(g->label + 3, path + n - (room - 3), room - 3);
    }
}

tawny_status gguf_read_file(const char *path, unsigned flags, gguf **out, tawny_error *err)
{
    *out = NULL;
    uint64_t n_tensors, n_kv;
    tawny_status status;
    gguf *g = calloc(1, sizeof *g);
    if (!g || !(g->path = strdup(path)) || !(g->maps = calloc(1, sizeof *g->maps))) {
        status = err_nomem(err);
        goto fail;
    }
    set_label(g, path);
    if ((status = file_map_open(path, g->maps, err))) goto fail;
    g->n_maps = 1;
    reader r = {.g = g, .c = {.data = g->maps->data, .size = g->maps->size}, .err = err};
    if ((status = read_magic(&r, &n_tensors, &n_kv))) goto fail;
    if ((status = read_metadata(&r, n_kv))) goto fail;
    if ((status = read_tensors(&r, n_tensors))) goto fail;
    if ((status = place_tensors(&r, flags))) goto fail;
    if ((status = gguf_index_tensors(g, err))) goto fail;
    if (gguf_damaged(g)) {
        status = err_set(err, TAWNY_E_DAMAGED, "%s: the file shrank while it was read", g->label);
        goto fail;
    }
    *out = g;
    return TAWNY_OK;
fail:
    gguf_close(g);
    return status;
}

tawny_status gguf_open(const char *path, unsigned flags, gguf **out, tawny_error *err)
{
    tawny_status status = gguf_read_file(path, flags, out, err);
    if (status || flags & GGUF_NO_SPLITS) return status;
    status = gguf_join_splits(out, flags, err);
    if (status) {
        gguf_close(*out);
        *out = NULL;
    }
    return status;
}

void gguf_close(gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n_maps; i++) file_map_close(&g->maps[i]);
    for (size_t i = 0; g->copies && i < g->n_maps; i++) file_copy_close(&g->copies[i]);
    free(g->copies);
    free(g->maps);
    free(g->kv);
    free(g->by_key);
    free(g->tensors);
    free(g->by_name);
    free(g->path);
    free(g);
}
