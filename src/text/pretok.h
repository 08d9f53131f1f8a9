/* What tokenizer.ggml.pre names: the expressions that cut text before byte-pair merges, and the habits that
 * come with the name and not with the metadata. */
#ifndef TEXT_PRETOK_H
#define TEXT_PRETOK_H

#include "pattern.h"

enum {
    PRE_IGNORE_MERGES = 1, /* a piece that is a token as a whole is that token */
    PRE_ADD_BOS = 2,       /* the default of add_bos_token */
    PRE_ADD_SEP = 4,       /* the default of add_sep_token */
    PRE_KEEP_SPACES = 8,   /* detokenizing does not tidy spaces before punctuation */
    PRE_NO_BOS = 16,       /* no default id for BOS */
    PRE_RAW = 32,          /* tokens are UTF-8, not GPT-2's printable stand-ins for bytes */
    PRE_ESCAPE = 64,       /* spaces are written as U+2581 */
    PRE_GEMMA = 128,       /* runs of newlines may be tokens as a whole; BOS is always added */
    PRE_NO_MERGES = 256    /* a file without merges is fine */
};

typedef struct pretok {
    const char *names; /* separated by spaces */
    unsigned flags;
    const char *const *stages;
    size_t n_stages;
} pretok;

/* n bytes at name; an empty name is "default". NULL where it is not known. */
const pretok *pretok_find(const char *name, size_t n);
const pretok *pretok_at(size_t i); /* all of them, for tests; NULL past the end */

#endif
