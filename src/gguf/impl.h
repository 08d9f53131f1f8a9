/* Inside the room: what a gguf is made of. */
#ifndef GGUF_IMPL_H
#define GGUF_IMPL_H

#include "../base/error.h"
#include "../base/file.h"
#include "gguf.h"

struct gguf {
    char *path;      /* of the first file */
    char label[160]; /* of the same, shortened at its front for messages */
    uint32_t version, alignment;
    file_map *maps; /* one a file of the set */
    size_t n_maps;
    file_copy *copies; /* [n_maps] the data of each file, where it was loaded into memory of its own; or NULL */
    gguf_kv *kv;
    size_t n_kv, cap_kv;
    const gguf_kv **by_key; /* sorted, for gguf_find */
    gguf_tensor *tensors;
    size_t n_tensors, cap_tensors;
    const gguf_tensor **by_name; /* sorted, for gguf_tensor_find; complete once the set is */
};

enum { GGUF_MAX_SPLITS = 1024, GGUF_MAX_KEY = 65535, GGUF_MAX_ALIGNMENT = 1 << 20, GGUF_SHOWN = 96 };

/* Reads one file of the set, without looking at the others. */
tawny_status gguf_read_file(const char *path, unsigned flags, gguf **out, tawny_error *err);
/* Sorts the tensors by name; two of one name are an error. */
tawny_status gguf_index_tensors(gguf *g, tawny_error *err);
/* Opens the other members of the set that g is the first or any other member of; *g becomes the whole. */
tawny_status gguf_join_splits(gguf **g, unsigned flags, tawny_error *err);

/* Room for one more element in a growing array: memory follows what was read, never what a header claims. */
bool gguf_grow(void *array, size_t n, size_t *cap, size_t size);

#define LLU(x) ((unsigned long long)(x)) /* for "%llu" */

/* For messages, with "%.*s": a key or name of any length is shown up to GGUF_SHOWN bytes. */
static inline int gguf_shown(size_t n) { return (int)(n < GGUF_SHOWN ? n : GGUF_SHOWN); }

#endif
