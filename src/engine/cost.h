/* What computing a token costs: multiplications by matrices, and bytes that are read for it. */
#ifndef ENGINE_COST_H
#define ENGINE_COST_H

#include "engine.h"

/* Products of a weight and an activation a token. The output matrix apart: of a prompt only the last token needs it,
 * and its activations always have two planes. Attention is not counted. */
typedef struct cost_products {
    uint64_t int8, f32;         /* matrices in integer formats (one plane of activations), in float formats */
    uint64_t int8_out, f32_out; /* the output matrix */
} cost_products;
cost_products cost_products_of(const tawny_model *m);

/* What a token takes of a tensor: all of it (of a stack of experts, those that it uses), a row that is looked up, or, of layers
 * that guess further tokens, nothing. */
typedef enum cost_use { COST_ALL, COST_ROW, COST_NOTHING } cost_use;
cost_use cost_use_of(const tawny_model *m, const gguf_tensor *t);
uint64_t cost_bytes_used(const tawny_model *m, const gguf_tensor *t);

/* Bytes of keys, values and states that decoding a token after `depth` others reads and writes, an element of a key and of
 * a value taking so many; and with a cache as this engine would make it. */
double cost_cache_bytes(const tawny_model *m, double depth, double key, double value);
double cost_cache_bytes_of(const tawny_model *m, const kv_layout *kv, double depth);

/* Operations (two a product) of n tokens of which n_out have logits. */
typedef struct cost_operations {
    double int8, f32;
} cost_operations;
cost_operations cost_of(const cost_products *p, int planes, int n, int n_out);

#endif
