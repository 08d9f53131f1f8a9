/* Embeddings: against references, pooled in every way, alone and in company. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../models/model.h"
#include "../simd/simd.h"
#include "embed_model.h"
#include "reference.h"

static bool model_path(char path[512], const char *dir, const char *name)
{
    gguf *g;
    gguf_str name_of;
    char text[64] = "";
    snprintf(path, 512, "%.200s/%.128s.gguf", dir, name);
    if (gguf_open(path, GGUF_HEADER_ONLY, &g, NULL) != TAWNY_OK) return false;
    if (gguf_get_str(g, "general.architecture", &name_of, NULL) == TAWNY_OK && name_of.n < sizeof text)
        memcpy(text, name_of.p, name_of.n);
    gguf_close(g);
    return arch_find(text) != NULL;
}

/* Tier, threads and chunk of causal models: the bits are the same, and they are the reference's. */
static void check_reference(const char *path, const char *name, const embed_reference *r, tawny_pooling pool)
{
    static const struct {
        int threads, chunk;
    } ways[] = {{1, 512}, {2, 512}, {4, 32}};
    size_t n = (size_t)r->rows * (size_t)r->dim;
    float *first = NULL;
    for (simd_tier t = 0; t < SIMD_TIERS; t++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways && simd_available(t); i++) {
            setup s;
            float *out = malloc(n * sizeof *out);
            open_engine(&s, path, simd_tier_name(t),
                        (tawny_engine_params){.n_threads = ways[i].threads, .n_ubatch = ways[i].chunk});
            embed(&s, &(tawny_text){r->token, r->n}, 1, pool, out);
            close_engine(&s);
            double nmse = reference_nmse(r->data, out, n);
            const char *tier = simd_tier_name(t);
            bool same = !first || memcmp(first, out, n * sizeof *out) == 0;
            ck_assert_msg(nmse <= 1e-8, "%s, pooling %d, tier %s: NMSE %.3g", name, (int)pool, tier, nmse);
            ck_assert_msg(same, "%s, pooling %d: other bits on tier %s", name, (int)pool, tier);
            if (first) free(out);
            else first = out;
        }
    free(first);
}

static int check_folder(const char *dir)
{
    DIR *d = opendir(dir);
    int done = 0;
    if (!d) return 0;
    for (struct dirent *f; (f = readdir(d));) {
        char name[128] = "", path[512];
        embed_reference tokens, pooled;
        size_t len = strlen(f->d_name);
        if (len < 6 || len >= sizeof name || strcmp(f->d_name + len - 5, ".gguf") != 0) continue;
        memcpy(name, f->d_name, len - 5);
        if (!embed_reference_load(dir, name, true, &pooled)) continue;
        if (model_path(path, dir, name) && embed_reference_load(dir, name, false, &tokens)) {
            check_reference(path, name, &tokens, TAWNY_POOLING_NONE);
            check_reference(path, name, &pooled, TAWNY_POOLING_MODEL);
            embed_reference_free(&tokens);
            done++;
        }
        embed_reference_free(&pooled);
    }
    closedir(d);
    return done;
}

START_TEST(golden) { ck_assert_int_ge(check_folder("tests/golden/embed"), 1); }
END_TEST

START_TEST(kit)
{
    int done = check_folder("../shared/kit/archs");
    if (done) printf("embeddings: %d reference models met\n", done);
    else printf("skipped: no reference models in ../shared/kit/archs\n");
}
END_TEST

enum { TEXTS = 90, MOST = 180 };

/* Texts of 1 to MOST tokens, [CLS] ... [SEP]. */
static int32_t make_texts(tawny_text *t, tawny_token *token)
{
    uint32_t x = 7;
    int32_t at = 0;
    for (int i = 0; i < TEXTS; i++) {
        x = x * 1664525 + 1013904223;
        int32_t n = i % 3 ? 1 + (int32_t)((x >> 8) % 12) : 1 + (int32_t)((x >> 8) % MOST);
        t[i] = (tawny_text){token + at, n};
        for (int32_t j = 0; j < n; j++, at++) {
            x = x * 1664525 + 1013904223;
            token[at] = j == 0 ? 2 : j == n - 1 ? 3 : 5 + (tawny_token)((x >> 8) % 150);
        }
    }
    return at;
}

/* Many texts in one call: the bits that each gets alone, whatever the pooling. */
static void check_company(const char *path)
{
    static const tawny_pooling kinds[] = {TAWNY_POOLING_NONE, TAWNY_POOLING_MEAN, TAWNY_POOLING_CLS,
                                          TAWNY_POOLING_LAST};
    tawny_text t[TEXTS];
    tawny_token *token = malloc(TEXTS * MOST * sizeof *token);
    int32_t total = make_texts(t, token);
    float *all = malloc((size_t)total * WIDTH * sizeof *all), *one = malloc(MOST * WIDTH * sizeof *one);
    setup s, alone;
    open_engine(&s, path, NULL, (tawny_engine_params){.n_threads = 2});
    open_engine(&alone, path, NULL, (tawny_engine_params){.n_threads = 1});
    ck_assert_int_eq(tawny_model_n_embd_out(s.m, TAWNY_POOLING_MODEL), WIDTH);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        embed(&s, t, TEXTS, kinds[k], all);
        const float *row = all;
        for (int i = 0; i < TEXTS; i++) {
            size_t n = kinds[k] == TAWNY_POOLING_NONE ? (size_t)t[i].n * WIDTH : WIDTH;
            embed(&alone, &t[i], 1, kinds[k], one);
            ck_assert_msg(memcmp(one, row, n * sizeof *one) == 0, "%s: text %d, pooling %d", path, i, (int)kinds[k]);
            row += n;
        }
    }
    close_engine(&s);
    close_engine(&alone);
    free(all);
    free(one);
    free(token);
}

START_TEST(company)
{
    check_company(EMBED_GOLDEN);
    static const char *const more[] = {"../shared/kit/archs/modern-bert.gguf", "../shared/kit/archs/bert.gguf"};
    for (int i = 0; i < 2; i++)
        if (access(more[i], R_OK) == 0) check_company(more[i]);
}
END_TEST

static void check_poolings(const char *path)
{
    enum { N = 70 };
    tawny_token token[N];
    float rows[N * WIDTH], y[WIDTH];
    setup s;
    for (int i = 0; i < N; i++) token[i] = (tawny_token)(2 + i * 7 % 60);
    tawny_text t = {token, N};
    open_engine(&s, path, NULL, (tawny_engine_params){.n_threads = 2, .n_ubatch = 16});
    embed(&s, &t, 1, TAWNY_POOLING_NONE, rows);
    embed(&s, &t, 1, TAWNY_POOLING_CLS, y);
    ck_assert_mem_eq(y, rows, sizeof y);
    embed(&s, &t, 1, TAWNY_POOLING_LAST, y);
    ck_assert_mem_eq(y, rows + (N - 1) * WIDTH, sizeof y);
    embed(&s, &t, 1, TAWNY_POOLING_MEAN, y);
    for (int d = 0; d < WIDTH; d++) {
        double sum = 0;
        for (int i = 0; i < N; i++) sum += (double)rows[i * WIDTH + d];
        ck_assert(y[d] == (float)(sum / N));
    }
    close_engine(&s);
}

/* Of an encoder, and of a decoder that goes chunk by chunk. */
START_TEST(poolings)
{
    check_poolings(EMBED_GOLDEN);
    check_poolings("tests/golden/archs/qwen3.gguf");
}
END_TEST

/* y = W x + b in double precision. */
static void affine(double *y, const float *w, const float *b, const double *x, int n, int rows)
{
    for (int i = 0; i < rows; i++) {
        y[i] = b ? (double)b[i] : 0;
        for (int k = 0; k < n; k++) y[i] += (double)w[i * n + k] * x[k];
    }
}

/* The classifier of BERT's rerankers: labels = W2 tanh(W1 h + b1) + b2, h of the first token; without a hidden layer;
 * and the one of jina-reranker-v1, whose hidden layer has one row. */
START_TEST(rank)
{
    heads *h = make_heads();
    const embed_tensor whole[] = {{"cls.weight", {WIDTH, WIDTH}, h->cls}, {"cls.bias", {WIDTH, 0}, h->cls_b},
                                  {"cls.output.weight", {WIDTH, 3}, h->out},
                                  {"cls.output.bias", {3, 0}, h->out_b},
                                  {0}};
    const embed_tensor direct[] = {{"cls.output.weight", {WIDTH, 3}, h->out}, {0}};
    const embed_tensor narrow[] = {{"cls.weight", {WIDTH, 1}, h->cls}, {"cls.bias", {1, 0}, h->cls_b}, {0}};
    const embed_tensor *const kinds[] = {whole, direct, narrow};
    static const tawny_token token[] = {2, 9, 33, 50, 3};
    char path[64];
    for (int k = 0; k < 3; k++) {
        tawny_error err = {0};
        setup s;
        float row[WIDTH], got[3];
        double x[WIDTH], y[WIDTH], want[3];
        ck_assert_msg(embed_model_write(temporary(path), 4, kinds[k], &err) == TAWNY_OK, "%s", err.message);
        open_engine(&s, path, NULL, (tawny_engine_params){.n_threads = 2});
        int labels = k == 2 ? 1 : 3;
        ck_assert_int_eq(tawny_model_pooling(s.m), TAWNY_POOLING_RANK);
        ck_assert_int_eq(tawny_model_n_embd_out(s.m, TAWNY_POOLING_MODEL), labels);
        ck_assert_int_eq(tawny_model_n_embd_out(s.m, TAWNY_POOLING_MEAN), WIDTH);
        embed(&s, &(tawny_text){token, 5}, 1, TAWNY_POOLING_CLS, row);
        embed(&s, &(tawny_text){token, 5}, 1, TAWNY_POOLING_MODEL, got);
        for (int i = 0; i < WIDTH; i++) x[i] = (double)row[i];
        affine(y, h->cls, h->cls_b, x, WIDTH, k == 2 ? 1 : WIDTH);
        for (int i = 0; i < WIDTH; i++) y[i] = tanh(y[i]);
        if (k == 2) want[0] = y[0];
        else affine(want, h->out, k == 0 ? h->out_b : NULL, k == 0 ? y : x, WIDTH, 3);
        for (int i = 0; i < labels; i++) ck_assert_double_eq_tol((double)got[i], want[i], 1e-5);
        close_engine(&s);
        unlink(path);
    }
    free(h);
}
END_TEST

/* Dense layers after pooling, as gemma-embedding has them: 64 to 3, and 3 to 64. */
START_TEST(dense)
{
    heads *h = make_heads();
    const embed_tensor both[] = {{"dense_2.weight", {WIDTH, 3}, h->out}, {"dense_3.weight", {3, WIDTH}, h->cls}, {0}};
    static const tawny_token token[] = {2, 9, 33, 50, 3};
    char path[64];
    tawny_error err = {0};
    setup s;
    float row[WIDTH], got[5 * WIDTH];
    double x[WIDTH], y[3], want[WIDTH];
    ck_assert_msg(embed_model_write(temporary(path), 1, both, &err) == TAWNY_OK, "%s", err.message);
    open_engine(&s, EMBED_GOLDEN, NULL, (tawny_engine_params){.n_threads = 2});
    embed(&s, &(tawny_text){token, 5}, 1, TAWNY_POOLING_MODEL, row);
    close_engine(&s);
    open_engine(&s, path, NULL, (tawny_engine_params){.n_threads = 2});
    embed(&s, &(tawny_text){token, 5}, 1, TAWNY_POOLING_MODEL, got);
    for (int i = 0; i < WIDTH; i++) x[i] = (double)row[i];
    affine(y, h->out, NULL, x, WIDTH, 3);
    affine(want, h->cls, NULL, y, 3, WIDTH);
    for (int i = 0; i < WIDTH; i++) ck_assert_double_eq_tol((double)got[i], want[i], 1e-5);
    embed(&s, &(tawny_text){token, 5}, 1, TAWNY_POOLING_NONE, got);
    close_engine(&s);
    unlink(path);
    free(h);
}
END_TEST

/* A head that does not fit its model is refused by the tensor's name. */
START_TEST(misfits)
{
    heads *h = make_heads();
    const embed_tensor kinds[][3] = {
        {{"cls.output.weight", {WIDTH / 2, 3}, h->out}, {0}},
        {{"cls.weight", {WIDTH, 8}, h->cls}, {"cls.output.weight", {WIDTH, 3}, h->out}, {0}},
        {{"dense_3.weight", {3, WIDTH}, h->cls}, {0}},
        {{"token_types.weight", {WIDTH, 3}, h->out}, {0}},
    };
    static const char *const names[] = {"cls.output.weight", "cls.output.weight", "dense_3.weight",
                                        "token_types.weight"};
    char path[64];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tawny_error err = {0};
        tawny_model *m = NULL;
        ck_assert_int_eq(embed_model_write(temporary(path), 1, kinds[i], &err), TAWNY_OK);
        ck_assert_int_ne(tawny_model_open(path, &m, &err), TAWNY_OK);
        ck_assert_msg(strstr(err.message, names[i]) != NULL, "%s", err.message);
        unlink(path);
    }
    free(h);
}
END_TEST

static void refused(const setup *s, const tawny_text *t, tawny_pooling p, tawny_status code, const char *names)
{
    float out[WIDTH];
    tawny_error err = {0};
    ck_assert_int_eq(tawny_engine_embed(s->e, t, 1, p, out, &err), code);
    ck_assert_msg(strstr(err.message, names) != NULL, "%s", err.message);
}

START_TEST(refusals)
{
    tawny_token *token = calloc(300, sizeof *token), bad[] = {2, 160}, less[] = {-1};
    tawny_session *session = NULL;
    tawny_error err = {0};
    setup s;
    open_engine(&s, EMBED_GOLDEN, NULL, (tawny_engine_params){.n_threads = 1, .n_ubatch = 8});
    ck_assert(tawny_model_embeds_only(s.m));
    ck_assert_int_eq(tawny_session_new(s.e, &session, &err), TAWNY_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.message, "gives embeddings, not logits") != NULL, "%s", err.message);
    refused(&s, &(tawny_text){token, 0}, TAWNY_POOLING_MEAN, TAWNY_E_ARG, "text 0 has no tokens");
    refused(&s, &(tawny_text){token, 257}, TAWNY_POOLING_MEAN, TAWNY_E_LIMIT, "257 tokens; at most 256");
    refused(&s, &(tawny_text){bad, 2}, TAWNY_POOLING_MEAN, TAWNY_E_ARG, "token 160 at index 1");
    refused(&s, &(tawny_text){less, 1}, TAWNY_POOLING_MEAN, TAWNY_E_ARG, "token -1 at index 0");
    refused(&s, &(tawny_text){token, 2}, TAWNY_POOLING_RANK, TAWNY_E_UNSUPPORTED, "classifier");
    refused(&s, &(tawny_text){token, 2}, (tawny_pooling)9, TAWNY_E_ARG, "pooling");
    ck_assert_int_eq(tawny_model_n_embd_out(s.m, TAWNY_POOLING_RANK), 0);
    float out[WIDTH];
    embed(&s, &(tawny_text){token, 256}, 1, TAWNY_POOLING_MEAN, out);
    close_engine(&s);
    free(token);
}
END_TEST

START_TEST(normalized)
{
    static const float x[] = {3, -4, 0};
    static const struct {
        int norm;
        double by;
    } kinds[] = {{-1, 1}, {0, 4.0 / 32760}, {1, 7}, {2, 5}, {3, 4.497941445275415}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        float y[3];
        memcpy(y, x, sizeof y);
        tawny_embedding_normalize(y, 3, kinds[k].norm);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol((double)y[i], (double)x[i] / kinds[k].by, 1e-6 / kinds[k].by);
    }
    float zero[2] = {0, 0};
    tawny_embedding_normalize(zero, 2, 2);
    ck_assert(zero[0] == 0 && zero[1] == 0);
}
END_TEST

Suite *suite_embed(void);
Suite *suite_embed(void)
{
    Suite *s = suite_create("embed");
    TCase *t = tcase_create("embed");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, golden);
    tcase_add_test(t, kit);
    tcase_add_test(t, company);
    tcase_add_test(t, poolings);
    tcase_add_test(t, rank);
    tcase_add_test(t, dense);
    tcase_add_test(t, misfits);
    tcase_add_test(t, refusals);
    tcase_add_test(t, normalized);
    suite_add_tcase(s, t);
    return s;
}
