/* `tawny embed`: lines in and out, wrong lines, pairs of query and document. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "embed_model.h"
#include "text/tokenizer.h"

static char out[1 << 20]; /* what the last command wrote */

/* Runs `tawny embed ARGS` over the lines; returns the exit code. `errors`: out has what went to standard error. */
static int run_embed(const char *args, const char *lines, bool errors)
{
    char self[512] = "", command[2048], path[64];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *at = strstr(self, "/tests/");
    ck_assert_ptr_nonnull(at);
    *at = 0;
    FILE *f = fopen(temporary(path), "w");
    ck_assert_int_eq((int)fwrite(lines, 1, strlen(lines), f), (int)strlen(lines));
    fclose(f);
    snprintf(command, sizeof command, "'%s/tawny' embed -t 1 %s <%s %s", self, args, path,
             errors ? "2>&1 >/dev/null" : "2>/dev/null");
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    out[fread(out, 1, sizeof out - 1, p)] = 0;
    int status = pclose(p);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The n-th line of the output, which the caller frees. */
static json_t *out_line(int n)
{
    const char *p = out;
    while (n-- && (p = strchr(p, '\n'))) p++;
    json_t *j = p ? json_loadb(p, strcspn(p, "\n"), 0, NULL) : NULL;
    ck_assert_msg(json_is_object(j), "%.200s", p ? p : "no such line");
    return j;
}

static void check_line(int n, int line, int index, int tokens, const float *embedding)
{
    json_t *j = out_line(n);
    const json_t *e = json_object_get(j, "embedding");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "line")), line);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "index")), index);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "tokens")), tokens);
    ck_assert_int_eq((int)json_array_size(e), WIDTH);
    for (size_t i = 0; i < WIDTH; i++) ck_assert((float)json_number_value(json_array_get(e, i)) == embedding[i]);
    json_decref(j);
}

#define MODEL "-m " EMBED_GOLDEN " "

/* Texts by WordPiece, ids, and arrays of both: the bits of the library, in order. */
START_TEST(program)
{
    static const tawny_token cab[] = {2, 5, 6, 3}, ids[] = {9, 10};
    float a[WIDTH], b[WIDTH];
    setup s;
    open_engine(&s, EMBED_GOLDEN, NULL, (tawny_engine_params){.n_threads = 1});
    embed(&s, &(tawny_text){cab, 4}, 1, TAWNY_POOLING_MODEL, a);
    embed(&s, &(tawny_text){ids, 2}, 1, TAWNY_POOLING_MODEL, b);
    close_engine(&s);
    const char lines[] = "\"a b\"\n\n{\"input\": [\"A  B\", \"a b\"]}\n[9, 10]\n{\"input\": [[9, 10], [2, 5, 6, 3]]}";
    ck_assert_int_eq(run_embed(MODEL, lines, false), 0);
    check_line(0, 1, 0, 4, a);
    check_line(1, 3, 0, 4, a);
    check_line(2, 3, 1, 4, a);
    check_line(3, 4, 0, 2, b);
    check_line(4, 5, 0, 2, b);
    check_line(5, 5, 1, 4, a);
    ck_assert_int_eq(run_embed(MODEL "--normalize", "\"a b\"", false), 0);
    tawny_embedding_normalize(a, WIDTH, 2);
    check_line(0, 1, 0, 4, a);
    ck_assert_int_eq(run_embed(MODEL "--pooling none", "[9, 10]", false), 0);
    json_t *j = out_line(0);
    ck_assert_int_eq((int)json_array_size(json_object_get(j, "embedding")), 2);
    ck_assert_int_eq((int)json_array_size(json_array_get(json_object_get(j, "embedding"), 1)), WIDTH);
    json_decref(j);
}
END_TEST

/* Wrong lines are told of by number and field, and give nothing; those around them are answered. */
START_TEST(wrong_lines)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"{", "no JSON"},
        {"7", "input is neither a string nor an array"},
        {"null", "input is neither a string nor an array"},
        {"{}", "input is missing"},
        {"[]", "input is empty"},
        {"{\"input\": {}}", "input is neither a string nor an array"},
        {"[\"a\", 3]", "input[1] is no string"},
        {"[[1], \"a\"]", "input[1] is no array of token ids"},
        {"[1, 160]", "input[1] is no token id from 0 to 159"},
        {"[1, 1.5]", "input[1] is no token id"},
        {"[[5], [6, -1]]", "input[1][1] is no token id"},
        {"[[5], []]", "input[1] has no tokens"},
        {"{\"query\": \"a\"}", "documents is missing"},
        {"{\"documents\": [\"a\"]}", "query is missing"},
        {"{\"query\": \"a\", \"documents\": [\"b\"]}", "--pooling rank"},
        {"{\"input\": \"a\", \"query\": \"b\"}", "input stands alone"},
        {"[\"a\", \"a b c d e f\"]", "input[1] has 8 tokens; at most 6 fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "\"a\"\n%s\n\"b\"\n", cases[i].line);
        ck_assert_int_eq(run_embed(MODEL "-c 6", lines, true), 1);
        ck_assert_msg(strstr(out, "stdin: line 2: ") && strstr(out, cases[i].says), "%s: %s", cases[i].line, out);
    }
    ck_assert_int_eq(run_embed(MODEL, "\"a\"\n{\n\"b\"\n", false), 1);
    json_t *j = out_line(1);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "line")), 3);
    json_decref(j);
    ck_assert_int_eq(run_embed(MODEL "--pooling most", "", true), 2);
    ck_assert_int_eq(run_embed(MODEL "--pooling rank", "", true), 1);
    ck_assert_msg(strstr(out, "classifier") != NULL, "%s", out);
    ck_assert_int_eq(run_embed(MODEL "-c 257", "\"a\"", false), 0);
}
END_TEST

/* Lines that are there together are computed together; a reader who waits for an answer gets it before the next. */
START_TEST(together)
{
    char one[4096], all[1 << 16] = "", args[] = MODEL "--pooling none";
    for (int i = 0; i < 150; i++)
        snprintf(all + strlen(all), 64, "[%d, %d%s]\n", 5 + i % 150, 9, i % 3 ? ", 40, 41" : "");
    ck_assert_int_eq(run_embed(args, all, false), 0);
    char *whole = strdup(out), *at = whole;
    for (int i = 0; i < 150; i++) {
        snprintf(one, sizeof one, "[%d, %d%s]", 5 + i % 150, 9, i % 3 ? ", 40, 41" : "");
        if (i % 17 == 0) {
            ck_assert_int_eq(run_embed(args, one, false), 0);
            ck_assert_str_eq(strtok(strstr(out, "\"embedding"), "\n"), strtok(strstr(at, "\"embedding"), "\n"));
            at = strchr(at, 0);
        } else {
            at = strchr(at, '\n');
        }
        at++;
    }
    free(whole);
    char self[512] = "", command[1024];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    *strstr(self, "/tests/") = 0;
    snprintf(command, sizeof command,
             "d=$(mktemp -d); mkfifo $d/in $d/out; '%s/tawny' embed -t 1 " MODEL "<$d/in >$d/out & "
             "exec 3>$d/in 4<$d/out; rm -r $d; echo '\"a\"' >&3; read -r x <&4; echo '\"b\"' >&3; read -r y <&4; "
             "echo \"$x\" | grep -q '\"line\": 1' && echo \"$y\" | grep -q '\"line\": 2'", self);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(reranks)
{
    heads *h = make_heads();
    const embed_tensor head[] = {{"cls.weight", {WIDTH, 1}, h->cls}, {"cls.bias", {1, 0}, h->cls_b}, {0}};
    static const tawny_token pairs[] = {2, 5, 3, 6, 3, 2, 5, 3, 7, 8, 3};
    const tawny_text texts[] = {{pairs, 5}, {pairs + 5, 6}};
    char path[64], args[128];
    float score[2];
    tawny_error err = {0};
    setup s;
    ck_assert_msg(embed_model_write(temporary(path), 4, head, &err) == TAWNY_OK, "%s", err.message);
    open_engine(&s, path, NULL, (tawny_engine_params){.n_threads = 1});
    embed(&s, texts, 2, TAWNY_POOLING_RANK, score);
    close_engine(&s);
    snprintf(args, sizeof args, "-m %s", path);
    ck_assert_int_eq(run_embed(args, "{\"query\": \"a\", \"documents\": [\"b\", {\"text\": \"c d\"}]}\n", false), 0);
    for (int i = 0; i < 2; i++) {
        json_t *j = out_line(i);
        ck_assert_int_eq(json_integer_value(json_object_get(j, "index")), i);
        ck_assert_int_eq(json_integer_value(json_object_get(j, "tokens")), texts[i].n);
        ck_assert((float)json_number_value(json_object_get(j, "relevance_score")) == score[i]);
        json_decref(j);
    }
    unlink(path);
    free(h);
}
END_TEST

/* A vocabulary with a template for rerankers, as qwen3-reranker's files have it. */
static tokenizer *template_tokenizer(const char *form)
{
    char path[64];
    gguf *g = NULL;
    tokenizer *t = NULL;
    tawny_error err = {0};
    gguf_writer *w = gguf_writer_new();
    ck_assert_int_eq(gguf_open(EMBED_GOLDEN, GGUF_HEADER_ONLY, &g, &err), TAWNY_OK);
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
    if (form) gguf_writer_str(w, "tokenizer.chat_template.rerank", form, strlen(form));
    ck_assert_int_eq(gguf_writer_write(w, temporary(path), &err), TAWNY_OK);
    gguf_writer_free(w);
    gguf_close(g);
    ck_assert_int_eq(gguf_open(path, GGUF_HEADER_ONLY, &g, &err), TAWNY_OK);
    ck_assert_msg(tok_open(g, &t, &err) == TAWNY_OK, "%s", err.message);
    gguf_close(g);
    unlink(path);
    return t;
}

/* Control tokens of the template count; those that stand in a query or document are text, unless they are wanted. */
START_TEST(pairs)
{
    static const struct {
        const char *form, *query, *document;
        unsigned flags;
        int n;
        tawny_token ids[10];
    } cases[] = {
        {NULL, "a", "b c", 0, 6, {2, 5, 3, 6, 7, 3}},
        {NULL, "", "", 0, 3, {2, 3, 3}},
        {NULL, "[SEP]", "b", TOK_PARSE_SPECIAL, 5, {2, 3, 3, 6, 3}},
        {"[MASK]{document}[SEP]{query}[SEP]", "a", "b", 0, 5, {4, 6, 3, 5, 3}},
        {"{query}{query}", "a", "b", 0, 2, {5, 31}},
        {"d {query} e [SEP]", "[SEP]", "", TOK_PARSE_SPECIAL, 4, {8, 3, 9, 3}},
        {"[SEP]", "a", "b", 0, 1, {3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tok_vec v = {0};
        tawny_error err = {0};
        tokenizer *t = template_tokenizer(cases[i].form);
        const char *q = cases[i].query, *d = cases[i].document;
        tawny_status st = tok_encode_pair(t, q, strlen(q), d, strlen(d), cases[i].flags, &v, &err);
        ck_assert_msg(st == TAWNY_OK, "%s", err.message);
        ck_assert_msg((int)v.n == cases[i].n, "case %zu: %zu tokens", i, v.n);
        for (int k = 0; k < cases[i].n; k++) ck_assert_int_eq(v.v[k], cases[i].ids[k]);
        tok_vec_free(&v);
        tok_close(t);
    }
    tok_vec v = {0};
    tawny_error err = {0};
    tokenizer *t = template_tokenizer("[MASK] {query} [SEP]");
    ck_assert_int_eq(tok_encode_pair(t, "[SEP]", 5, "b", 1, 0, &v, &err), TAWNY_OK);
    for (size_t i = 1; i + 1 < v.n; i++) ck_assert_int_ne(v.v[i], 3);
    ck_assert_int_eq(v.v[v.n - 1], 3);
    tok_vec_free(&v);
    tok_close(t);
}
END_TEST

Suite *suite_embed_lines(void);
Suite *suite_embed_lines(void)
{
    Suite *s = suite_create("embed_lines");
    TCase *t = tcase_create("embed_lines");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, program);
    tcase_add_test(t, wrong_lines);
    tcase_add_test(t, together);
    tcase_add_test(t, reranks);
    tcase_add_test(t, pairs);
    suite_add_tcase(s, t);
    return s;
}
