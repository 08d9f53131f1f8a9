/* Writing GGUF, version 3. */
#include <stdlib.h>
#include <string.h>

#include "../base/arena.h"
#include "impl.h"

typedef struct entry {
    char *key;
    size_t no;    /* the how manieth it was set as */
    bool dropped; /* by gguf_writer_drop, or set again later */
    gguf_type type;
    gguf_type element; /* of arrays */
    uint64_t n;
    char *data; /* the value as it stands in the file, after its type (arrays: after type and count) */
    size_t bytes;
} entry;

typedef struct job {
    char *name;
    uint32_t type, n_dims;
    uint64_t ne[GGUF_MAX_DIMS];
    uint64_t offset, bytes;
    const void *data;
    gguf_produce *produce;
    void *ctx;
} job;

struct gguf_writer {
    arena *mem;
    entry *kv;
    size_t n_kv, cap_kv;
    job *tensors;
    size_t n_tensors, cap_tensors;
    bool failed; /* out of memory, told by gguf_writer_write */
};

gguf_writer *gguf_writer_new(void)
{
    gguf_writer *w = calloc(1, sizeof *w);
    if (w && !(w->mem = arena_new())) {
        free(w);
        return NULL;
    }
    return w;
}

void gguf_writer_free(gguf_writer *w)
{
    if (!w) return;
    arena_free(w->mem);
    free(w->kv);
    free(w->tensors);
    free(w);
}

static void put(gguf_writer *w, const char *key, size_t key_len, entry e, const void *data)
{
    e.no = w->n_kv;
    e.key = arena_strndup(w->mem, key, key_len);
    e.data = arena_strndup(w->mem, e.bytes ? data : "", e.bytes);
    if (!e.key || !e.data) {
        w->failed = true;
        return;
    }
    if (gguf_grow(&w->kv, w->n_kv, &w->cap_kv, sizeof *w->kv)) w->kv[w->n_kv++] = e;
    else w->failed = true;
}

void gguf_writer_scalar(gguf_writer *w, const char *key, gguf_type type, const void *data)
{
    put(w, key, strlen(key), (entry){.type = type, .bytes = gguf_type_size(type)}, data);
}

void gguf_writer_u32(gguf_writer *w, const char *key, uint32_t v) { gguf_writer_scalar(w, key, GGUF_U32, &v); }
void gguf_writer_f32(gguf_writer *w, const char *key, float v) { gguf_writer_scalar(w, key, GGUF_F32, &v); }

void gguf_writer_bool(gguf_writer *w, const char *key, bool v)
{
    uint8_t b = v;
    gguf_writer_scalar(w, key, GGUF_BOOL, &b);
}

static void put_str(gguf_writer *w, const char *key, size_t key_len, const char *p, size_t n)
{
    uint64_t len = n;
    buf b = {0};
    buf_add(&b, &len, sizeof len);
    if (buf_add(&b, p, n)) put(w, key, key_len, (entry){.type = GGUF_STR, .bytes = b.size}, b.data);
    else w->failed = true;
    buf_free(&b);
}

void gguf_writer_str(gguf_writer *w, const char *key, const char *p, size_t n) { put_str(w, key, strlen(key), p, n); }

void gguf_writer_array(gguf_writer *w, const char *key, gguf_type type, const void *data, size_t bytes, uint64_t n)
{
    put(w, key, strlen(key), (entry){.type = GGUF_ARR, .element = type, .n = n, .bytes = bytes}, data);
}

void gguf_writer_drop(gguf_writer *w, const char *key)
{
    put(w, key, strlen(key), (entry){.dropped = true}, NULL);
}

/* The low bytes of an integer, little-endian as all of a file. */
static void put_int(gguf_writer *w, const gguf_kv *kv)
{
    put(w, kv->key.p, kv->key.n, (entry){.type = kv->type, .bytes = gguf_type_size(kv->type)}, &kv->v.u);
}

void gguf_writer_copy_kv(gguf_writer *w, const gguf_kv *kv)
{
    float f = (float)kv->v.f;
    switch (kv->type) {
    case GGUF_STR: put_str(w, kv->key.p, kv->key.n, kv->v.s.p, kv->v.s.n); break;
    case GGUF_ARR:
        put(w, kv->key.p, kv->key.n,
            (entry){.type = GGUF_ARR, .element = kv->v.a.type, .n = kv->v.a.n, .bytes = kv->v.a.bytes}, kv->v.a.data);
        break;
    case GGUF_F32: put(w, kv->key.p, kv->key.n, (entry){.type = GGUF_F32, .bytes = 4}, &f); break;
    default: put_int(w, kv);
    }
}

static void add_tensor(gguf_writer *w, const char *name, job t, const uint64_t *ne)
{
    t.name = arena_strndup(w->mem, name, strlen(name));
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) t.ne[i] = i < t.n_dims ? ne[i] : 1;
    if (t.name && gguf_grow(&w->tensors, w->n_tensors, &w->cap_tensors, sizeof *w->tensors))
        w->tensors[w->n_tensors++] = t;
    else w->failed = true;
}

void gguf_writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                        const void *data)
{
    add_tensor(w, name, (job){.type = type, .n_dims = n_dims, .data = data}, ne);
}

void gguf_writer_tensor_fn(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                           gguf_produce *produce, void *ctx)
{
    add_tensor(w, name, (job){.type = type, .n_dims = n_dims, .produce = produce, .ctx = ctx}, ne);
}

/* Sizes and offsets; what a reader would refuse is refused here. */
static tawny_status lay_out(gguf_writer *w, uint32_t alignment, tawny_error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        job *t = &w->tensors[i];
        const gguf_type_info *info = gguf_tensor_type(t->type);
        size_t len = strlen(t->name);
        if (len == 0 || len >= GGUF_MAX_NAME)
            return err_set(err, TAWNY_E_ARG, "a tensor's name of %zu bytes: '%s'", len, t->name);
        if (!info || info->removed)
            return err_set(err, TAWNY_E_ARG, "tensor %s: type %u cannot be written", t->name, t->type);
        if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
            return err_set(err, TAWNY_E_ARG, "tensor %s: %u dimensions", t->name, t->n_dims);
        uint64_t n = t->ne[0] / info->block;
        bool ok = n && t->ne[0] % info->block == 0;
        for (uint32_t d = 1; d < GGUF_MAX_DIMS; d++) ok = ok && t->ne[d] && !__builtin_mul_overflow(n, t->ne[d], &n);
        ok = ok && !__builtin_mul_overflow(n, info->block_bytes, &t->bytes) && t->bytes < INT64_MAX / 2 &&
             at < INT64_MAX / 2;
        if (!ok)
            return err_set(err, TAWNY_E_ARG, "tensor %s: %llu x %llu x %llu x %llu of type %s cannot be written",
                           t->name, LLU(t->ne[0]), LLU(t->ne[1]), LLU(t->ne[2]), LLU(t->ne[3]), info->name);
        t->offset = at;
        at += (t->bytes + alignment - 1) / alignment * alignment;
    }
    return TAWNY_OK;
}

static void add_u32(buf *b, uint32_t v) { buf_add(b, &v, sizeof v); }
static void add_u64(buf *b, uint64_t v) { buf_add(b, &v, sizeof v); }

static void add_str(buf *b, const char *s)
{
    add_u64(b, strlen(s));
    buf_str(b, s);
}

static int compare_entries(const void *a, const void *b)
{
    const entry *x = *(const entry *const *)a, *y = *(const entry *const *)b;
    int c = strcmp(x->key, y->key);
    return c ? c : (x->no > y->no) - (x->no < y->no);
}

/* Of each key only what was set last stays, where it was set first. By sorting, since the keys may
 * be copied from a file with a great many of them. */
static void settle(gguf_writer *w)
{
    size_t n = 0;
    entry **sorted = malloc((w->n_kv + 1) * sizeof *sorted);
    if (!sorted) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < w->n_kv; i++) sorted[i] = &w->kv[i];
    qsort(sorted, w->n_kv, sizeof *sorted, compare_entries);
    for (size_t i = 0, end; i < w->n_kv; i = end) {
        for (end = i + 1; end < w->n_kv && strcmp(sorted[i]->key, sorted[end]->key) == 0; end++)
            sorted[end - 1]->dropped = true;
        if (end - i > 1) {
            *sorted[i] = *sorted[end - 1];
            sorted[end - 1]->dropped = true;
        }
    }
    free(sorted);
    for (size_t i = 0; i < w->n_kv; i++) {
        if (w->kv[i].dropped) continue;
        w->kv[n] = w->kv[i];
        w->kv[n].no = n;
        n++;
    }
    w->n_kv = n;
}

static void make_header(const gguf_writer *w, buf *b)
{
    buf_str(b, "GGUF");
    add_u32(b, 3);
    add_u64(b, w->n_tensors);
    add_u64(b, w->n_kv);
    for (size_t i = 0; i < w->n_kv; i++) {
        const entry *e = &w->kv[i];
        add_str(b, e->key);
        add_u32(b, e->type);
        if (e->type == GGUF_ARR) {
            add_u32(b, e->element);
            add_u64(b, e->n);
        }
        buf_add(b, e->data, e->bytes);
    }
    for (size_t i = 0; i < w->n_tensors; i++) {
        const job *t = &w->tensors[i];
        add_str(b, t->name);
        add_u32(b, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++) add_u64(b, t->ne[d]);
        add_u32(b, t->type);
        add_u64(b, t->offset);
    }
}

static tawny_status put_padding(file_out *o, uint32_t alignment, tawny_error *err)
{
    static const char zeros[4096];
    uint64_t n = (alignment - o->written % alignment) % alignment;
    tawny_status status = TAWNY_OK;
    for (; n && !status; n -= n < sizeof zeros ? n : sizeof zeros)
        status = file_out_put(o, zeros, n < sizeof zeros ? (size_t)n : sizeof zeros, err);
    return status;
}

static tawny_status put_tensor(const job *t, file_out *o, tawny_error *err)
{
    if (!t->produce) return file_out_put(o, t->data, (size_t)t->bytes, err);
    uint64_t before = o->written;
    tawny_status status = t->produce(t->ctx, t->name, o, err);
    if (!status && o->written - before != t->bytes)
        status = err_set(err, TAWNY_E_ARG, "tensor %s: %llu bytes were made, %llu are due", t->name,
                         LLU(o->written - before), LLU(t->bytes));
    return status;
}

/* The header, checked as a reader would check it. */
static tawny_status prepare(gguf_writer *w, const char *label, buf *head, uint32_t *alignment, tawny_error *err)
{
    *alignment = 32;
    settle(w);
    for (size_t i = 0; i < w->n_kv; i++)
        if (strcmp(w->kv[i].key, "general.alignment") == 0 && w->kv[i].type == GGUF_U32)
            memcpy(alignment, w->kv[i].data, 4);
    if (*alignment < 8 || *alignment > GGUF_MAX_ALIGNMENT || (*alignment & (*alignment - 1)))
        return err_set(err, TAWNY_E_ARG, "%s: an alignment of %u cannot be written", label, *alignment);
    tawny_status status = lay_out(w, *alignment, err);
    if (status) return status;
    make_header(w, head);
    return w->failed || !buf_ok(head) ? err_nomem(err) : TAWNY_OK;
}

tawny_status gguf_writer_header(gguf_writer *w, const char *label, buf *head, tawny_error *err)
{
    uint32_t alignment;
    tawny_status status = prepare(w, label, head, &alignment, err);
    while (!status && head->size % alignment)
        if (!buf_char(head, 0)) status = err_nomem(err);
    return status;
}

tawny_status gguf_writer_write(gguf_writer *w, const char *path, tawny_error *err)
{
    uint32_t alignment;
    buf head = {0};
    file_out o = {.fd = -1};
    tawny_status status = prepare(w, path, &head, &alignment, err);
    if (status) goto end;
    if ((status = file_out_open(path, &o, err))) goto end;
    if ((status = file_out_put(&o, head.data, head.size, err))) goto end;
    if ((status = put_padding(&o, alignment, err))) goto end;
    for (size_t i = 0; i < w->n_tensors; i++) {
        if ((status = put_tensor(&w->tensors[i], &o, err))) goto end;
        if ((status = put_padding(&o, alignment, err))) goto end;
    }
    status = file_out_commit(&o, err);
end:
    file_out_abort(&o); /* nothing is left to do after a commit */
    buf_free(&head);
    return status;
}
