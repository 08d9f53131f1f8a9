/* tawny inspect, as it is called. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"
#include "gguf/gguf.h"
#include "hostile.h"

static char dir[64], out[1 << 17];
static tawny_error e;

/* Runs `tawny inspect ARGUMENTS` in the folder of the test's files; both streams to `out`. */
static int inspect(const char *arguments)
{
    char self[512] = "", line[2048];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *at = strstr(self, "/tests/");
    ck_assert_ptr_nonnull(at);
    *at = 0;
    ck_assert_int_lt(snprintf(line, sizeof line, "cd %s && '%s/tawny' inspect %s 2>&1", dir, self, arguments),
                     (int)sizeof line);
    FILE *p = popen(line, "r");
    ck_assert_ptr_nonnull(p);
    out[fread(out, 1, sizeof out - 1, p)] = 0;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool has(const char *text) { return strstr(out, text) != NULL; }

static void setup(void)
{
    char path[128];
    strcpy(dir, "/tmp/tawny-inspect-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    ck_assert_msg(
        hostile_model_write("str general.name \033[31mred\302\2331m\342\200\256\377; u32 general.file_type 15", path,
                            &e) == TAWNY_OK,
        "%s", e.message);
}

static void teardown(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

START_TEST(for_people)
{
    ck_assert_int_eq(inspect("m.gguf"), 0);
    ck_assert(has("architecture   llama\n") && has("file type      Q4_K_M\n") && has("heads (KV)     2\n"));
    ck_assert(has("tokenizer      gpt2 (gpt-2), 261 tokens\n") && has("F32              20 tensors"));
    ck_assert_msg(has("name           \\x1b[31mred\\x9b1m\\u202e\\xff\n"), "%s", out);
    ck_assert(!has("\033") && !has("blk.0"));
    ck_assert_int_eq(inspect("--metadata --tensors m.gguf"), 0);
    ck_assert(has("llama.context_length (u32) = 128\n") && has("blk.1.ffn_down.weight") && has("64 x 32"));
    ck_assert(has("tokenizer.ggml.merges (str[]) = [4] h e, l l, he ll, hell o\n"));
    ck_assert(!has("\033"));
    ck_assert_int_eq(inspect("--full m.gguf"), 0);
    ck_assert(has("hello, <|end|>\n"));
    ck_assert_int_eq(inspect("--checksums m.gguf"), 0);
    ck_assert(has("XXH3-128"));
}
END_TEST

START_TEST(for_programs)
{
    ck_assert_int_eq(inspect("--json --tensors --checksums m.gguf"), 0);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_ptr_nonnull(j);
    json_t *meta = json_object_get(j, "metadata"), *tokens = json_object_get(meta, "tokenizer.ggml.tokens");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "parameters")), 261 * 32 + 2 * (64 + 3072 + 6144) + 32);
    ck_assert_str_eq(json_string_value(json_object_get(meta, "general.name")),
                     "\033[31mred\302\2331m\342\200\256\357\277\275");
    ck_assert_int_eq(json_integer_value(json_object_get(tokens, "length")), 261);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "tensors")), 20);
    json_t *t = json_array_get(json_object_get(j, "tensors"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(t, "name")), "token_embd.weight");
    ck_assert_uint_eq(json_string_length(json_object_get(t, "xxh3_128")), 32);
    json_decref(j);
    ck_assert_int_eq(inspect("--json --full m.gguf"), 0);
    j = json_loads(out, 0, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(j, "metadata"), "tokenizer.ggml.tokens")), 261);
    ck_assert_ptr_null(json_object_get(j, "tensors"));
    json_decref(j);
}
END_TEST

START_TEST(values)
{
    char path[160];
    buf b = {0};
    gguf *g;
    ck_assert_int_eq(inspect("--dump token_embd.weight -o values.f32 m.gguf"), 0);
    ck_assert_str_eq(out, "");
    snprintf(path, sizeof path, "%s/values.f32", dir);
    ck_assert_int_eq(file_read(path, 1 << 20, &b, &e), TAWNY_OK);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    ck_assert_int_eq(gguf_open(path, 0, &g, &e), TAWNY_OK);
    const gguf_tensor *t = gguf_tensor_find(g, "token_embd.weight");
    ck_assert_uint_eq(b.size, t->bytes);
    ck_assert(memcmp(b.data, t->data, b.size) == 0);
    gguf_close(g);
    buf_free(&b);
    ck_assert_int_eq(inspect("--dump nothing -o values.f32 m.gguf"), 1);
    ck_assert(has("there is no tensor nothing"));
}
END_TEST

START_TEST(refusals)
{
    ck_assert_int_eq(inspect(""), 2);
    ck_assert_int_eq(inspect("m.gguf m.gguf"), 2);
    ck_assert_int_eq(inspect("--dump x m.gguf"), 2);
    ck_assert_int_eq(inspect("--header --checksums m.gguf"), 2);
    ck_assert_int_eq(inspect("none.gguf"), 1);
    ck_assert(has("tawny: none.gguf: No such file"));
    char path[128];
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    ck_assert_int_eq(truncate(path, 40000), 0); /* a download that was broken off */
    ck_assert_int_eq(inspect("m.gguf"), 1);
    ck_assert(has("lie outside the file of 40000 bytes"));
    ck_assert_int_eq(inspect("--header --tensors m.gguf"), 0);
    ck_assert(has("output_norm.weight"));
}
END_TEST

Suite *suite_inspect(void)
{
    Suite *s = suite_create("inspect");
    TCase *t = tcase_create("inspect");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, for_people);
    tcase_add_test(t, for_programs);
    tcase_add_test(t, values);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}
