/* text/: tokenizers against reference token ids, and on small vocabularies of our own. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/tokenizer.h"

#define KIT "../shared/kit/tokenizers/"

static size_t unbase64(const char *p, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t n = 0, count = 0;
    for (; *p && *p != '='; p++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *p) - digits);
        if ((count += 6) >= 8) out[n++] = (char)(bits >> (count -= 8));
    }
    return n;
}

/* A string of bytes from the case, or, where it has none, from the fallback. */
static buf bytes_of(const json_t *c, const char *key, const buf *fallback)
{
    buf b = {0};
    const json_t *s = json_object_get(c, key);
    if (!s) {
        buf_add(&b, fallback->data, fallback->size);
        return b;
    }
    buf_reserve(&b, json_string_length(s) + 1);
    b.size = unbase64(json_string_value(s), b.data);
    return b;
}

static bool same_ids(const json_t *want, const tok_vec *got)
{
    if (json_array_size(want) != got->n) return false;
    for (size_t i = 0; i < got->n; i++)
        if (json_integer_value(json_array_get(want, i)) != got->v[i]) return false;
    return true;
}

static void check_decode(const tokenizer *t, const json_t *ids, unsigned flags, const buf *want, const char *what)
{
    tok_vec v = {0};
    buf b = {0};
    for (size_t i = 0; i < json_array_size(ids); i++)
        tok_vec_add(&v, (tawny_token)json_integer_value(json_array_get(ids, i)));
    ck_assert_int_eq(tok_decode(t, v.v, v.n, flags, &b, NULL), TAWNY_OK);
    ck_assert_msg(b.size == want->size && (b.size == 0 || memcmp(b.data, want->data, b.size) == 0),
                  "%s: text differs", what);
    tok_vec_free(&v);
    buf_free(&b);
}

static void check_case(const tokenizer *t, const json_t *c, const char *what)
{
    static const struct {
        const char *key, *other;
        unsigned flags;
    } runs[] = {
        {"ids", NULL, 0},
        {"ids_special", "ids", TOK_PARSE_SPECIAL},
        {"ids_bos", NULL, TOK_ADD_SPECIAL},
        {"ids_bos_special", "ids_bos", TOK_ADD_SPECIAL | TOK_PARSE_SPECIAL},
    };
    buf text = bytes_of(c, "text_b64", NULL);
    bool error = json_object_get(c, "error");
    for (size_t i = 0; i < 4; i++) {
        tok_vec v = {0};
        ck_assert_int_eq(tok_encode(t, text.size ? text.data : "", text.size, runs[i].flags, &v, NULL), TAWNY_OK);
        const json_t *want = json_object_get(c, runs[i].key);
        if (!want && runs[i].other) want = json_object_get(c, runs[i].other);
        if (!error) ck_assert_msg(same_ids(want, &v), "%s: %s differ", what, runs[i].key);
        tok_vec_free(&v);
    }
    if (!error) {
        buf all = bytes_of(c, "detok_b64", &text), some = bytes_of(c, "detok_nospecial_b64", &all);
        const json_t *ids = json_object_get(c, "ids"), *special = json_object_get(c, "ids_special");
        check_decode(t, ids, TOK_SPECIAL, &all, what);
        check_decode(t, special ? special : ids, 0, &some, what);
        buf_free(&all);
        buf_free(&some);
    }
    buf_free(&text);
}

static const char *const kit[] = {"bert-bge", "deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm",
                                  "phi-3", "qwen2", "qwen35"};

START_TEST(agrees_with_the_reference)
{
    char path[200], what[240], *line = NULL;
    size_t cap = 0;
    snprintf(path, sizeof path, KIT "%s.gguf", kit[_i]);
    if (access(path, R_OK) != 0) {
        printf("tokenizer: skipped: %s is not there\n", path);
        return;
    }
    gguf *g;
    tokenizer *t;
    tawny_error err;
    ck_assert_msg(gguf_open(path, GGUF_HEADER_ONLY, &g, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_msg(tok_open(g, &t, &err) == TAWNY_OK, "%s", err.message);
    gguf_close(g);
    snprintf(path, sizeof path, KIT "%s.jsonl", kit[_i]);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    ssize_t n;
    for (int k = 1; (n = getline(&line, &cap, f)) > 0; k++) {
        json_t *c = json_loadb(line, (size_t)n, 0, NULL);
        snprintf(what, sizeof what, "%s line %d", kit[_i], k);
        check_case(t, c, what);
        json_decref(c);
    }
    free(line);
    fclose(f);
    tok_close(t);
}
END_TEST

Suite *suite_tokenizer(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *t = tcase_create("reference");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, agrees_with_the_reference, 0, (int)(sizeof kit / sizeof *kit));
    suite_add_tcase(s, t);
    return s;
}
