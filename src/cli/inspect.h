/* What the parts of `tawny inspect` share. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <stdio.h>

#include "../base/hash.h"
#include "../gguf/gguf.h"

typedef struct inspect_opts {
    bool json, tensors, metadata, checksums, full, header;
    const char *dump, *out;
} inspect_opts;

/* Text of a file as one line that no terminal obeys: control characters, bytes that are no UTF-8 and characters
 * that turn the writing direction are shown as escapes. At most max bytes of it, then "..."; 0: all. */
void inspect_text(FILE *f, gguf_str s, size_t max);

/* Tensors, elements and bytes of one type. */
typedef struct inspect_sum {
    uint64_t n, params, bytes;
} inspect_sum;
inspect_sum inspect_sum_type(const gguf *g, uint32_t type);

uint64_t inspect_elements(const gguf_tensor *t);
const char *inspect_file_type(const gguf *g); /* "Q4_K_M"; NULL where the file does not say */

/* All as one JSON object on stdout. sums: a checksum a tensor, or NULL. Returns an exit code. */
int inspect_json(const gguf *g, const inspect_opts *o, const hash128 *sums);

#endif
