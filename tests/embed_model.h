/* Models of embeddings for tests: references, and copies of a golden one with something added. */
#ifndef TESTS_EMBED_MODEL_H
#define TESTS_EMBED_MODEL_H

#include "gguf/gguf.h"

#define EMBED_GOLDEN "tests/golden/embed/jina-bert-v2.gguf" /* width 64, 160 tokens, [CLS] is 2, [SEP] is 3 */

/* The tokens and the rows of a reference file: all tokens', or the pooled one. */
typedef struct embed_reference {
    int32_t n, dim, rows;
    tawny_token *token;
    float *data;
} embed_reference;

/* DIR/NAME.exact.f32 where there is one (GELU without tables), else DIR/NAME.f32; pooled: .pool.f32. */
bool embed_reference_load(const char *dir, const char *name, bool pooled, embed_reference *r);
void embed_reference_free(embed_reference *r);

/* An F32 tensor to add; of a name of the golden model: in its place. */
typedef struct embed_tensor {
    const char *name;
    uint64_t ne[2]; /* ne[1] 0: a vector */
    const float *data;
} embed_tensor;

/* Copies the golden model to path with pooling_type and tensors as given; the tensors end with a NULL name. */
tawny_status embed_model_write(const char *path, uint32_t pooling, const embed_tensor *more, tawny_error *err);

/* A model with an engine over it: F32 cache; tier NULL: the best. */
typedef struct setup {
    tawny_model *m;
    tawny_engine *e;
} setup;
void open_engine(setup *s, const char *path, const char *tier, tawny_engine_params p);
void close_engine(setup *s);
void embed(const setup *s, const tawny_text *t, int32_t n, tawny_pooling p, float *out);

enum { WIDTH = 64 }; /* of the golden model */

/* Numbers for classifiers. */
typedef struct heads {
    float cls[WIDTH * WIDTH], cls_b[WIDTH], out[3 * WIDTH], out_b[3];
} heads;
heads *make_heads(void);

char *temporary(char path[64]); /* a new empty file */

#endif
