/* A chat model small enough to make in a test: llama, 2 layers, a byte a token, weights drawn at random. */
#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H

#include "gguf/gguf.h"

enum { TINY_CTX = 256 };

tawny_status tiny_model_write(const char *path, tawny_error *err);
/* The same with more rows of embeddings than it has tokens, as padded vocabularies have. */
tawny_status tiny_model_write_padded(const char *path, tawny_error *err);
/* The same with one tensor's weights negated. */
tawny_status tiny_model_write_damaged(const char *path, const char *tensor, tawny_error *err);

#endif
