/* Small vocabularies for tests: written to a file, opened, and the file removed. */
#ifndef TESTS_TOK_VOCAB_H
#define TESTS_TOK_VOCAB_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/tokenizer.h"

typedef struct vocab {
    gguf_writer *w;
    buf tokens, merges;
    uint64_t n, n_merges;
    float score[4096];
    int32_t type[4096];
} vocab;

static inline vocab *vocab_new(const char *model, const char *pre)
{
    vocab *v = calloc(1, sizeof *v);
    v->w = gguf_writer_new();
    gguf_writer_str(v->w, "general.architecture", "test", 4);
    gguf_writer_str(v->w, "tokenizer.ggml.model", model, strlen(model));
    if (pre) gguf_writer_str(v->w, "tokenizer.ggml.pre", pre, strlen(pre));
    return v;
}

static inline void vocab_put(buf *b, const char *p, uint64_t n)
{
    buf_add(b, &n, 8);
    buf_add(b, p, n);
}

/* type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
static inline tawny_token vocab_add_n(vocab *v, const char *p, size_t n, float score, int type)
{
    vocab_put(&v->tokens, p, n);
    v->score[v->n] = score;
    v->type[v->n] = type;
    return (tawny_token)v->n++;
}

static inline tawny_token vocab_add(vocab *v, const char *text, float score, int type)
{
    return vocab_add_n(v, text, strlen(text), score, type);
}

static inline void vocab_merge(vocab *v, const char *pair)
{
    vocab_put(&v->merges, pair, strlen(pair));
    v->n_merges++;
}

/* A token for each byte, as GPT-2 writes them. */
static inline void vocab_add_stand_ins(vocab *v)
{
    buf b = {0};
    uint32_t other = 256;
    for (uint32_t c = 0; c < 256; c++) {
        bool shown = (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c != 0xad);
        buf_clear(&b);
        buf_utf8(&b, shown ? c : other++);
        vocab_add_n(v, b.data, b.size, 0, 1);
    }
    buf_free(&b);
}

/* <0x00> to <0xFF> */
static inline void vocab_add_bytes(vocab *v)
{
    char s[8];
    for (unsigned c = 0; c < 256; c++) {
        snprintf(s, sizeof s, "<0x%02X>", c);
        vocab_add(v, s, 0, 6);
    }
}

static inline tawny_status vocab_try(vocab *v, tokenizer **t, tawny_error *err)
{
    char path[] = "/tmp/tawny-vocab-XXXXXX";
    gguf *g = NULL;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    gguf_writer_array(v->w, "tokenizer.ggml.tokens", GGUF_STR, v->tokens.data, v->tokens.size, v->n);
    gguf_writer_array(v->w, "tokenizer.ggml.scores", GGUF_F32, v->score, v->n * 4, v->n);
    gguf_writer_array(v->w, "tokenizer.ggml.token_type", GGUF_I32, v->type, v->n * 4, v->n);
    gguf_writer_array(v->w, "tokenizer.ggml.merges", GGUF_STR, v->merges.data, v->merges.size, v->n_merges);
    tawny_status st = gguf_writer_write(v->w, path, err);
    if (st == TAWNY_OK) st = gguf_open(path, GGUF_HEADER_ONLY, &g, err);
    ck_assert_msg(st == TAWNY_OK, "%s", err->message);
    st = tok_open(g, t, err);
    gguf_close(g);
    unlink(path);
    gguf_writer_free(v->w);
    buf_free(&v->tokens);
    buf_free(&v->merges);
    free(v);
    return st;
}

static inline tokenizer *vocab_open(vocab *v)
{
    tokenizer *t = NULL;
    tawny_error err = {0};
    ck_assert_msg(vocab_try(v, &t, &err) == TAWNY_OK, "%s", err.message);
    return t;
}

/* The tokens of text as "1 2 3"; one static buffer. */
static inline const char *vocab_ids(const tok_vec *v)
{
    static char s[4000];
    size_t n = 0;
    s[0] = '\0';
    for (size_t i = 0; i < v->n && n < sizeof s - 20; i++) n += (size_t)sprintf(s + n, i ? " %d" : "%d", v->v[i]);
    return s;
}

static inline const char *vocab_encode(const tokenizer *t, const char *text, unsigned flags)
{
    tok_vec v = {0};
    ck_assert_int_eq(tok_encode(t, text, strlen(text), flags, &v, NULL), TAWNY_OK);
    const char *s = vocab_ids(&v);
    tok_vec_free(&v);
    return s;
}

#endif
