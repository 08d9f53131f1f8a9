/* gguf/: what is written is read back, typed access, split sets, files that change under us, and every file of
 * the reference kit. Hostile files are tests/hostile.c's. */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "gguf/gguf.h"

static char dir[64], path[128];
static tawny_error e;

static void setup(void)
{
    strcpy(dir, "/tmp/tawny-gguf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.gguf", dir);
}

static void teardown(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

#define OK(call) ck_assert_msg((call) == TAWNY_OK, "%s", e.message)
#define FAILS(call, text) \
    do { \
        ck_assert_int_ne((call), TAWNY_OK); \
        ck_assert_msg(strstr(e.message, text) != NULL, "'%s' lacks '%s'", e.message, text); \
    } while (0)

static const char strings[] = "\3\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0de";
static float weights[64];

static gguf_writer *sample(void)
{
    gguf_writer *w = gguf_writer_new();
    uint8_t u8 = 200;
    int8_t i8 = -5;
    uint16_t u16 = 60000;
    int16_t i16 = -30000;
    int32_t i32 = -7, heads[3] = {4, 2, 1};
    uint64_t u64 = UINT64_MAX;
    int64_t i64 = INT64_MIN;
    double f64 = 1e-5;
    gguf_writer_str(w, "general.architecture", "llama", 5);
    gguf_writer_scalar(w, "u8", GGUF_U8, &u8);
    gguf_writer_scalar(w, "i8", GGUF_I8, &i8);
    gguf_writer_scalar(w, "u16", GGUF_U16, &u16);
    gguf_writer_scalar(w, "i16", GGUF_I16, &i16);
    gguf_writer_u32(w, "u32", 1);
    gguf_writer_u32(w, "u32", 42);
    gguf_writer_scalar(w, "i32", GGUF_I32, &i32);
    gguf_writer_scalar(w, "u64", GGUF_U64, &u64);
    gguf_writer_scalar(w, "i64", GGUF_I64, &i64);
    gguf_writer_f32(w, "f32", 0.25f);
    gguf_writer_scalar(w, "f64", GGUF_F64, &f64);
    gguf_writer_f32(w, "nan", f32_from_bits(0x7fc00000));
    gguf_writer_bool(w, "yes", true);
    gguf_writer_array(w, "heads", GGUF_I32, heads, sizeof heads, 3);
    gguf_writer_array(w, "words", GGUF_STR, strings, sizeof strings - 1, 3);
    gguf_writer_array(w, "none", GGUF_F32, NULL, 0, 0);
    for (int i = 0; i < 64; i++) weights[i] = (float)i;
    gguf_writer_tensor(w, "one", 0, 1, (uint64_t[]){3}, weights);
    gguf_writer_tensor(w, "two", 0, 2, (uint64_t[]){8, 4}, weights + 8);
    return w;
}

static void check_values(const gguf *g)
{
    ck_assert_int_eq(gguf_find(g, "i8")->v.i, -5);
    ck_assert_int_eq(gguf_find(g, "i16")->v.i, -30000);
    ck_assert_int_eq(gguf_find(g, "i64")->v.i, INT64_MIN);
    ck_assert_uint_eq(gguf_find(g, "u64")->v.u, UINT64_MAX);
    ck_assert_uint_eq(gguf_find(g, "u32")->v.u, 42);
    ck_assert(gguf_find(g, "f64")->v.f == 1e-5);
    ck_assert_ptr_null(gguf_find(g, "u3"));
    ck_assert_ptr_null(gguf_find(g, ""));
    ck_assert_ptr_null(gguf_find(g, "zzz"));
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)gguf_kv_at(g, i)->key.n, gguf_kv_at(g, i)->key.p);
        ck_assert_ptr_eq(gguf_find(g, key), gguf_kv_at(g, i));
    }
    gguf_array a;
    gguf_str s;
    size_t at = 0;
    OK(gguf_get_array(g, "words", GGUF_STR, &a, &e));
    ck_assert_uint_eq(a.n, 3);
    ck_assert(gguf_array_next_str(&a, &at, &s) && gguf_str_eq(s, "abc"));
    ck_assert(gguf_array_next_str(&a, &at, &s) && gguf_str_eq(s, ""));
    ck_assert(gguf_array_next_str(&a, &at, &s) && gguf_str_eq(s, "de"));
    ck_assert(!gguf_array_next_str(&a, &at, &s));
    OK(gguf_get_array(g, "none", GGUF_F32, &a, &e));
    ck_assert_uint_eq(a.n, 0);
    OK(gguf_opt_array(g, "missing", GGUF_F32, &a, &e));
    ck_assert_ptr_null(a.data);
    const gguf_tensor *t = gguf_tensor_find(g, "two");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->ne[0], 8);
    ck_assert_uint_eq(t->ne[3], 1);
    ck_assert_uint_eq(t->bytes, 128);
    ck_assert_uint_eq((uintptr_t)t->data % 32, 0);
    ck_assert(memcmp(t->data, weights + 8, 128) == 0);
    ck_assert_ptr_null(gguf_tensor_find(g, "three"));
}

START_TEST(round_trip)
{
    gguf *g;
    gguf_writer *w = sample();
    OK(gguf_writer_write(w, path, &e));
    OK(gguf_open(path, 0, &g, &e));
    ck_assert_uint_eq(gguf_version(g), 3);
    ck_assert_uint_eq(gguf_split_count(g), 1);
    ck_assert_uint_eq(gguf_tensor_count(g), 2);
    check_values(g);

    gguf_writer *again = gguf_writer_new(); /* copied key by key and tensor by tensor, it is the same file */
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(again, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_writer_tensor(again, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    char copy[160];
    snprintf(copy, sizeof copy, "%s/b.gguf", dir);
    OK(gguf_writer_write(again, copy, &e));
    buf x = {0}, y = {0};
    OK(file_read(path, 1 << 20, &x, &e));
    OK(file_read(copy, 1 << 20, &y, &e));
    ck_assert_uint_eq(x.size, y.size);
    ck_assert(memcmp(x.data, y.data, x.size) == 0);
    buf_free(&x);
    buf_free(&y);
    gguf_close(g);
    gguf_writer_free(w);
    gguf_writer_free(again);
}
END_TEST

START_TEST(typed_access)
{
    gguf *g;
    gguf_writer *w = sample();
    OK(gguf_writer_write(w, path, &e));
    OK(gguf_open(path, GGUF_HEADER_ONLY, &g, &e));
    ck_assert_ptr_null(gguf_tensor_at(g, 0)->data);
    uint32_t u = 7, per[4];
    float f = 7;
    bool b = false;
    gguf_str s = {"x", 1};
    gguf_array a;
    OK(gguf_get_u32(g, "u8", 0, 255, &u, &e));
    ck_assert_uint_eq(u, 200);
    OK(gguf_get_u32(g, "u16", 60000, 60000, &u, &e));
    ck_assert_uint_eq(u, 60000);
    OK(gguf_opt_u32(g, "missing", 0, 1, &u, &e));
    ck_assert_uint_eq(u, 60000);
    FAILS(gguf_get_u32(g, "missing", 0, 1, &u, &e), "a.gguf: key missing is missing");
    FAILS(gguf_get_u32(g, "u16", 0, 59999, &u, &e), "key u16 is 60000 (u16); expected an integer from 0 to 59999");
    FAILS(gguf_get_u32(g, "u64", 0, UINT32_MAX, &u, &e), "18446744073709551615");
    FAILS(gguf_get_u32(g, "i32", 0, UINT32_MAX, &u, &e), "-7 (i32)");
    FAILS(gguf_opt_u32(g, "yes", 0, 1, &u, &e), "true (bool)");
    FAILS(gguf_opt_u32(g, "f32", 0, 1, &u, &e), "0.25 (f32)");
    FAILS(gguf_opt_u32(g, "heads", 0, 1, &u, &e), "an array of 3 i32");
    FAILS(gguf_opt_u32(g, "general.architecture", 0, 1, &u, &e), "'llama' (str)");
    ck_assert_uint_eq(u, 60000);
    OK(gguf_get_f32(g, "f64", 1e-5f, 1, &f, &e));
    ck_assert(f == 1e-5f);
    OK(gguf_get_f32(g, "i8", -5, 0, &f, &e));
    ck_assert(f == -5);
    FAILS(gguf_opt_f32(g, "nan", -1, 1, &f, &e), "nan (f32)");
    FAILS(gguf_opt_f32(g, "f32", 0.5f, 1, &f, &e), "0.25 (f32); expected a number from 0.5 to 1");
    FAILS(gguf_get_f32(g, "none", 0, 1, &f, &e), "array");
    OK(gguf_opt_bool(g, "yes", &b, &e));
    ck_assert(b);
    FAILS(gguf_opt_bool(g, "u8", &b, &e), "expected a bool");
    OK(gguf_get_str(g, "general.architecture", &s, &e));
    ck_assert(gguf_str_eq(s, "llama"));
    FAILS(gguf_get_str(g, "u8", &s, &e), "expected a string");
    FAILS(gguf_get_str(g, "missing", &s, &e), "missing");
    FAILS(gguf_get_array(g, "heads", GGUF_STR, &a, &e), "expected an array of str");
    FAILS(gguf_get_array(g, "missing", GGUF_STR, &a, &e), "missing");
    OK(gguf_get_u32_per_layer(g, "heads", 3, 1, 4, per, &e));
    ck_assert(per[0] == 4 && per[1] == 2 && per[2] == 1);
    OK(gguf_get_u32_per_layer(g, "u8", 4, 1, 400, per, &e));
    ck_assert(per[0] == 200 && per[3] == 200);
    FAILS(gguf_get_u32_per_layer(g, "heads", 4, 1, 4, per, &e), "array of at least 4");
    FAILS(gguf_get_u32_per_layer(g, "heads", 3, 2, 4, per, &e), "element 2 is 1; expected 2 to 4");
    gguf_close(g);
    gguf_writer_free(w);
}
END_TEST

/* Member `no` of a set, with one tensor. */
static void write_member(const char *name, int no, int count, int tensors, const char *tensor)
{
    gguf_writer *w = gguf_writer_new();
    uint16_t n = (uint16_t)no, c = (uint16_t)count;
    int32_t t = tensors;
    if (no == 0) gguf_writer_str(w, "general.architecture", "llama", 5);
    gguf_writer_scalar(w, "split.no", GGUF_U16, &n);
    gguf_writer_scalar(w, "split.count", GGUF_U16, &c);
    gguf_writer_scalar(w, "split.tensors.count", GGUF_I32, &t);
    gguf_writer_tensor(w, tensor, 0, 1, (uint64_t[]){16}, weights + 16 * no);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    OK(gguf_writer_write(w, path, &e));
    gguf_writer_free(w);
}

START_TEST(split_sets)
{
    gguf *g;
    for (int i = 0; i < 64; i++) weights[i] = (float)i;
    write_member("m-00001-of-00003.gguf", 0, 3, 3, "a");
    write_member("m-00003-of-00003.gguf", 2, 3, 3, "c");
    FAILS(gguf_open(path, 0, &g, &e), "m-00002-of-00003.gguf: No such file");
    ck_assert_ptr_null(g);
    OK(gguf_open(path, GGUF_NO_SPLITS, &g, &e));
    ck_assert_uint_eq(gguf_split_count(g), 1);
    gguf_close(g);
    write_member("m-00002-of-00003.gguf", 1, 3, 3, "b");
    for (int i = 1; i <= 3; i++) {
        snprintf(path, sizeof path, "%s/m-%05d-of-00003.gguf", dir, i);
        OK(gguf_open(path, 0, &g, &e));
        ck_assert_uint_eq(gguf_split_count(g), 3);
        ck_assert_ptr_nonnull(gguf_find(g, "general.architecture"));
        ck_assert_ptr_nonnull(strstr(gguf_path(g), "00001-of-00003"));
        const gguf_tensor *t = gguf_tensor_find(g, "c");
        ck_assert_uint_eq(t->split, 2);
        ck_assert(memcmp(t->data, weights + 32, 64) == 0);
        gguf_close(g);
    }
    write_member("m-00002-of-00003.gguf", 1, 3, 3, "a");
    FAILS(gguf_open(path, 0, &g, &e), "tensor a occurs twice");
    write_member("m-00002-of-00003.gguf", 2, 3, 3, "b");
    FAILS(gguf_open(path, 0, &g, &e), "of 3 must be named ...-00003-of-00003.gguf");
    snprintf(path, sizeof path, "%s/m-00001-of-00003.gguf", dir);
    FAILS(gguf_open(path, 0, &g, &e),
          "m-00002-of-00003.gguf: key split.no is 2; as member 2 of its set it must be 1");
    write_member("m-00002-of-00003.gguf", 1, 4, 3, "b");
    snprintf(path, sizeof path, "%s/m-00001-of-00003.gguf", dir);
    FAILS(gguf_open(path, 0, &g, &e), "split.count is 4");
    write_member("m-00002-of-00003.gguf", 1, 3, 9, "b");
    snprintf(path, sizeof path, "%s/m-00001-of-00003.gguf", dir);
    FAILS(gguf_open(path, 0, &g, &e), "split.tensors.count is 9");
}
END_TEST

START_TEST(a_shrinking_file_is_damaged)
{
    gguf *g;
    gguf_writer *w = sample();
    size_t n = 1 << 20;
    uint8_t *big = malloc(n);
    memset(big, 0x11, n);
    gguf_writer_tensor(w, "big", 24, 1, (uint64_t[]){n}, big);
    OK(gguf_writer_write(w, path, &e));
    OK(gguf_open(path, 0, &g, &e));
    ck_assert_int_eq(truncate(path, 65536), 0);
    const uint8_t *p = gguf_tensor_find(g, "big")->data;
    ck_assert(!gguf_damaged(g));
    ck_assert_int_eq(p[0], 0x11);
    ck_assert_int_eq(p[n - 1], 0);
    ck_assert(gguf_damaged(g));
    ck_assert_int_eq(truncate(path, 0), 0); /* now the header is gone, too */
    gguf_find(g, "u8");
    for (size_t i = 0; i < gguf_kv_count(g); i++) { /* strings read as zeros; nothing faults, nothing loops */
        size_t at = 0;
        gguf_str s;
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (kv->type == GGUF_ARR && kv->v.a.type == GGUF_STR)
            while (gguf_array_next_str(&kv->v.a, &at, &s)) ck_assert_uint_eq(s.n, 0);
    }
    gguf_close(g);
    gguf_writer_free(w);
    free(big);
}
END_TEST

START_TEST(the_kit_opens)
{
    glob_t all = {0};
    int flags = 0;
    static const char *const patterns[] = {"archs", "archs-quant", "quants", "tokenizers"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++, flags = GLOB_APPEND) {
        char pattern[64];
        snprintf(pattern, sizeof pattern, "../shared/kit/%s/*.gguf", patterns[i]);
        glob(pattern, flags, NULL, &all);
    }
    if (all.gl_pathc == 0) printf("gguf: no reference kit, its files were not opened\n");
    for (size_t i = 0; i < all.gl_pathc; i++) {
        gguf *g;
        OK(gguf_open(all.gl_pathv[i], 0, &g, &e));
        ck_assert_uint_gt(gguf_kv_count(g) + gguf_tensor_count(g), 0);
        gguf_close(g);
    }
    globfree(&all);
}
END_TEST

START_TEST(the_last_value_stays)
{
    gguf *g;
    gguf_writer *w = gguf_writer_new();
    for (uint32_t i = 0; i < 10; i++) {
        gguf_writer_u32(w, "a", i);
        gguf_writer_u32(w, "b", i);
        gguf_writer_drop(w, "c");
        gguf_writer_u32(w, "c", i);
        gguf_writer_drop(w, "b");
    }
    for (int again = 0; again < 2; again++) { /* and it can be written twice */
        OK(gguf_writer_write(w, path, &e));
        OK(gguf_open(path, 0, &g, &e));
        ck_assert_uint_eq(gguf_kv_count(g), 2 + (size_t)again);
        ck_assert(gguf_str_eq(gguf_kv_at(g, 0)->key, "a"));
        ck_assert_uint_eq(gguf_find(g, "a")->v.u, 9);
        ck_assert_uint_eq(gguf_find(g, "c")->v.u, 9);
        ck_assert_ptr_null(gguf_find(g, "d"));
        gguf_close(g);
        gguf_writer_u32(w, "b", 1);
    }
    gguf_writer_free(w);
}
END_TEST

START_TEST(writer_refuses)
{
    gguf_writer *w = gguf_writer_new();
    gguf_writer_tensor(w, "t", 2, 1, (uint64_t[]){33}, weights);
    FAILS(gguf_writer_write(w, path, &e), "tensor t: 33 x 1 x 1 x 1 of type Q4_0");
    gguf_writer_free(w);
    w = gguf_writer_new();
    gguf_writer_tensor(w, "t", 4, 1, (uint64_t[]){32}, weights);
    FAILS(gguf_writer_write(w, path, &e), "type 4");
    gguf_writer_free(w);
    w = gguf_writer_new();
    gguf_writer_u32(w, "general.alignment", 24);
    FAILS(gguf_writer_write(w, path, &e), "alignment of 24");
    gguf_writer_free(w);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

Suite *suite_gguf(void)
{
    Suite *s = suite_create("gguf");
    TCase *t = tcase_create("gguf");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, typed_access);
    tcase_add_test(t, split_sets);
    tcase_add_test(t, a_shrinking_file_is_damaged);
    tcase_add_test(t, the_kit_opens);
    tcase_add_test(t, the_last_value_stays);
    tcase_add_test(t, writer_refuses);
    suite_add_tcase(s, t);
    return s;
}
