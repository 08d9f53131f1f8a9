/* GGUF: reading files, single or split, of versions 2 and 3.
 *
 * The file is mapped; keys, strings and arrays are views into the mapping and live as long as the gguf.
 * Opening validates everything that can be known from the header: a gguf that was opened has unique
 * keys, well-formed values, and tensors of known types that lie inside their file, aligned, whole
 * blocks a row, without overlap. Memory used is bounded by the size of the file.
 *
 * Source: the GGUF specification (ggml, docs/gguf.md). */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H

#include "../tawny.h"

typedef enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STR, GGUF_ARR, GGUF_U64, GGUF_I64, GGUF_F64,
    GGUF_TYPES
} gguf_type;

typedef struct gguf gguf;

/* Bytes with a length: not NUL-terminated, any bytes. */
typedef struct gguf_str {
    const char *p;
    size_t n;
} gguf_str;

typedef struct gguf_array {
    gguf_type type;      /* of the elements; never GGUF_ARR, gguf_open refuses nesting */
    uint64_t n;          /* elements */
    const uint8_t *data; /* packed elements, unaligned; strings: u64 length and bytes, one after the other */
    size_t bytes;
} gguf_array;

typedef struct gguf_kv {
    gguf_str key;
    gguf_type type;
    union {
        uint64_t u; /* U8..U64, BOOL */
        int64_t i;  /* I8..I64 */
        double f;   /* F32, F64 */
        gguf_str s;
        gguf_array a;
    } v;
} gguf_kv;

enum { GGUF_MAX_DIMS = 4, GGUF_MAX_NAME = 64 };

typedef struct gguf_tensor {
    char name[GGUF_MAX_NAME]; /* NUL-terminated */
    uint32_t type;            /* ggml type number; quant_format() knows it */
    uint32_t n_dims;
    uint64_t ne[GGUF_MAX_DIMS]; /* elements a dimension, fastest first; 1 beyond n_dims; the product fits */
    uint64_t offset;            /* bytes from the start of its file */
    uint64_t bytes;             /* size of the data */
    uint32_t split;             /* which file of the set holds it */
    const uint8_t *data;        /* in the mapping; NULL where opened with GGUF_HEADER_ONLY */
} gguf_tensor;

/* What the format knows of a tensor type, by ggml's number; NULL where the number was never given out. */
typedef struct gguf_type_info {
    const char *name;     /* "Q4_K" */
    uint32_t block;       /* weights a block */
    uint32_t block_bytes; /* bytes a block */
    bool removed;         /* once in files, no longer supported by anyone */
} gguf_type_info;
const gguf_type_info *gguf_tensor_type(uint32_t type);

const char *gguf_type_name(gguf_type type); /* of metadata: "u8", "str", ... */
size_t gguf_type_size(gguf_type type);      /* bytes; 0 for strings and arrays */
const char *gguf_file_type_name(uint32_t file_type); /* general.file_type: "Q4_K_M"; NULL where unknown */

enum {
    GGUF_HEADER_ONLY = 1, /* metadata and tensor table alone: data need not be there (vocabulary files too) */
    GGUF_NO_SPLITS = 2    /* do not look for the other files of a set */
};

/* Opens path; for a file of a split set (-00001-of-0000N.gguf) any member opens the whole set. */
tawny_status gguf_open(const char *path, unsigned flags, gguf **out, tawny_error *err);
void gguf_close(gguf *g); /* NULL is fine */

/* Weights are used where they are mapped, unless this is called, before anybody took their addresses. copy: into
 * anonymous memory in huge pages, by direct I/O; lock: kept in memory (mlock). Where it fails, g is to be closed. */
tawny_status gguf_load(gguf *g, bool copy, bool lock, tawny_error *err);

/* The page cache of the files made anew in large pages (file_recache), before their weights are used: of all of them, or of
 * so many bytes from a tensor's first on. *sum: of all files together. */
struct file_recached;
tawny_status gguf_recache(const gguf *g, struct file_recached *sum, tawny_error *err);
tawny_status gguf_recache_part(const gguf *g, const gguf_tensor *t, size_t bytes, struct file_recached *r, tawny_error *err);

/* Of a file opened with GGUF_HEADER_ONLY: the data of tensor i (gguf_tensor_at) is at data, the caller's memory. */
void gguf_place(gguf *g, size_t i, const uint8_t *data);

/* How the files lie in the page cache (file_in_cache): all of them, or a sample of 64 MiB in the midst of the first. */
struct file_cached;
tawny_status gguf_in_cache(const gguf *g, bool sample, struct file_cached *sum, tawny_error *err);

const char *gguf_path(const gguf *g);      /* of the first file */
uint32_t gguf_version(const gguf *g);      /* 2 or 3 */
uint32_t gguf_split_count(const gguf *g);  /* files in the set, at least 1 */
uint64_t gguf_file_bytes(const gguf *g);   /* all files together */
uint32_t gguf_alignment(const gguf *g);
bool gguf_damaged(const gguf *g);          /* a page of it could not be read since it was opened (see base/file.h) */

/* In which pages the weights lie at present; false where the kernel does not tell. */
struct mem_pages;
bool gguf_pages(const gguf *g, struct mem_pages *out);
/* Of what the page cache has of the files, as samples show, the share that is mapped in huge pages: 0 to 1; -1 where less
 * than half is in the cache. Reads nothing from the disk. */
double gguf_cached_huge(const gguf *g);

size_t gguf_kv_count(const gguf *g);
const gguf_kv *gguf_kv_at(const gguf *g, size_t i);
const gguf_kv *gguf_find(const gguf *g, const char *key); /* NULL where there is none; binary search */

size_t gguf_tensor_count(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i);
uint64_t gguf_bytes_from(const gguf *g, const gguf_tensor *t); /* from its first to the end of its file */
const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name); /* binary search */

/* Typed access. `get` requires the key, `opt` leaves *out as it was where the key is missing; both fail
 * (naming file, key and value) where the type is not an integer / number / ... or the value is outside
 * [min, max]. Integers of any width and sign are accepted for integers; f32, f64 and integers for floats;
 * floats must be finite. */
tawny_status gguf_get_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                          tawny_error *err);
tawny_status gguf_opt_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                          tawny_error *err);
tawny_status gguf_get_f32(const gguf *g, const char *key, float min, float max, float *out, tawny_error *err);
tawny_status gguf_opt_f32(const gguf *g, const char *key, float min, float max, float *out, tawny_error *err);
tawny_status gguf_opt_bool(const gguf *g, const char *key, bool *out, tawny_error *err);
tawny_status gguf_get_str(const gguf *g, const char *key, gguf_str *out, tawny_error *err);
tawny_status gguf_opt_str(const gguf *g, const char *key, gguf_str *out, tawny_error *err);
/* The array of key, its elements of the given type; out->data NULL where an optional one is missing. */
tawny_status gguf_get_array(const gguf *g, const char *key, gguf_type type, gguf_array *out, tawny_error *err);
tawny_status gguf_opt_array(const gguf *g, const char *key, gguf_type type, gguf_array *out, tawny_error *err);

/* A value a layer: a scalar fills all n; an array must have at least n integers in range. Required. */
tawny_status gguf_get_u32_per_layer(const gguf *g, const char *key, uint32_t n, uint32_t min, uint32_t max,
                                    uint32_t *out, tawny_error *err);

/* Walks an array of strings: start with *at = 0; false at its end. */
bool gguf_array_next_str(const gguf_array *a, size_t *at, gguf_str *out);
/* Element i of an array of numbers, converted; i < n is the caller's duty. */
uint64_t gguf_array_u64(const gguf_array *a, uint64_t i);
int64_t gguf_array_i64(const gguf_array *a, uint64_t i);
double gguf_array_f64(const gguf_array *a, uint64_t i);

static inline bool gguf_str_eq(gguf_str s, const char *c)
{
    return s.n == __builtin_strlen(c) && __builtin_memcmp(s.p, c, s.n) == 0;
}

/* Writing: collect metadata and tensors, then write one file (version 3). */
typedef struct gguf_writer gguf_writer;
struct file_out;
struct buf;

gguf_writer *gguf_writer_new(void);
void gguf_writer_free(gguf_writer *w);
/* Values are copied; out-of-memory is reported by gguf_writer_write. A key set twice keeps the last value. */
void gguf_writer_u32(gguf_writer *w, const char *key, uint32_t v);
void gguf_writer_f32(gguf_writer *w, const char *key, float v);
void gguf_writer_bool(gguf_writer *w, const char *key, bool v);
void gguf_writer_str(gguf_writer *w, const char *key, const char *p, size_t n);
/* Raw scalars or arrays of any type: data holds n packed elements (strings as in gguf_array). */
void gguf_writer_scalar(gguf_writer *w, const char *key, gguf_type type, const void *data);
void gguf_writer_array(gguf_writer *w, const char *key, gguf_type type, const void *data, size_t bytes, uint64_t n);
void gguf_writer_drop(gguf_writer *w, const char *key); /* forgets a key, if it was set */
void gguf_writer_copy_kv(gguf_writer *w, const gguf_kv *kv);
/* data is borrowed until the file is written. */
void gguf_writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                        const void *data);
/* A tensor whose data is made while the file is written: produce puts exactly its bytes into out. */
typedef tawny_status gguf_produce(void *ctx, const char *name, struct file_out *out, tawny_error *err);
void gguf_writer_tensor_fn(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                           gguf_produce *produce, void *ctx);
/* Appends the header alone, padded to where the data would begin (to be opened with GGUF_HEADER_ONLY). label: for errors. */
tawny_status gguf_writer_header(gguf_writer *w, const char *label, struct buf *head, tawny_error *err);
/* Writes to path by a temporary file beside it and a rename. */
tawny_status gguf_writer_write(gguf_writer *w, const char *path, tawny_error *err);

#endif
