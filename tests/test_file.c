/* base/file: mappings that survive, whole files, atomic writes. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char dir[64];

static void setup(void)
{
    strcpy(dir, "/tmp/tawny-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

START_TEST(write_then_read_and_map)
{
    tawny_error e;
    buf b = {0};
    file_map m;
    ck_assert_int_eq(file_write("f", "hello", 5, &e), TAWNY_OK);
    ck_assert_int_eq(file_read("f", 5, &b, &e), TAWNY_OK);
    ck_assert_str_eq(b.data, "hello");
    buf_clear(&b);
    ck_assert_int_eq(file_read("f", 4, &b, &e), TAWNY_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(e.message, "more than 4 bytes"));
    buf_free(&b);
    ck_assert_int_eq(file_map_open("f", &m, &e), TAWNY_OK);
    ck_assert_uint_eq(m.size, 5);
    ck_assert(memcmp(m.data, "hello", 5) == 0);
    ck_assert(!file_damaged(&m));
    file_map_close(&m);
    file_map_close(&m);
}
END_TEST

START_TEST(refusals_name_the_file)
{
    tawny_error e;
    file_map m;
    ck_assert_int_eq(file_map_open("none", &m, &e), TAWNY_E_IO);
    ck_assert_str_eq(e.message, "none: No such file or directory");
    ck_assert_int_eq(file_map_open(".", &m, &e), TAWNY_E_IO);
    ck_assert_str_eq(e.message, ".: is a directory");
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    ck_assert_int_eq(file_map_open("pipe", &m, &e), TAWNY_E_IO);
    ck_assert_str_eq(e.message, "pipe: is not a regular file");
    ck_assert_int_eq(file_write("empty", "", 0, &e), TAWNY_OK);
    ck_assert_int_eq(file_map_open("empty", &m, &e), TAWNY_E_FORMAT);
    ck_assert_int_eq(file_write("no/such/dir", "x", 1, &e), TAWNY_E_IO);
    ck_assert_int_eq(file_write(".", "x", 1, &e), TAWNY_E_IO);
}
END_TEST

START_TEST(a_write_replaces_whole_files_only)
{
    tawny_error e;
    struct stat st;
    ck_assert_int_eq(file_write("f", "old", 3, &e), TAWNY_OK);
    ck_assert_int_eq(symlink("f", "link"), 0);
    file_out o;
    ck_assert_int_eq(file_out_open("link", &o, &e), TAWNY_OK);
    ck_assert_int_eq(file_out_put(&o, "new", 3, &e), TAWNY_OK);
    buf b = {0};
    ck_assert_int_eq(file_read("f", 9, &b, &e), TAWNY_OK);
    ck_assert_str_eq(b.data, "old");
    ck_assert_int_eq(file_out_commit(&o, &e), TAWNY_OK);
    buf_clear(&b);
    ck_assert_int_eq(file_read("f", 9, &b, &e), TAWNY_OK);
    ck_assert_str_eq(b.data, "new");
    buf_free(&b);
    ck_assert(lstat("link", &st) == 0 && S_ISLNK(st.st_mode));
    ck_assert_int_eq(file_out_open("g", &o, &e), TAWNY_OK);
    file_out_abort(&o);
    ck_assert_int_eq(system("test \"$(ls)\" = \"$(printf 'f\\nlink')\""), 0);
    ck_assert_int_eq(file_write("/dev/null", "x", 1, &e), TAWNY_OK);
    ck_assert(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
}
END_TEST

static file_map shared;
static void *sum_all(void *out)
{
    unsigned sum = 0;
    for (size_t i = 0; i < shared.size; i += 512) sum += shared.data[i];
    *(unsigned *)out = sum;
    return NULL;
}

START_TEST(a_shrinking_file_reads_as_zeros)
{
    tawny_error e;
    size_t n = 1 << 20;
    char *ones = malloc(n);
    memset(ones, 1, n);
    file_map other;
    ck_assert_int_eq(file_write("f", ones, n, &e), TAWNY_OK);
    ck_assert_int_eq(file_write("other", ones, n, &e), TAWNY_OK);
    ck_assert_int_eq(file_map_open("other", &other, &e), TAWNY_OK);
    ck_assert_int_eq(file_map_open("f", &shared, &e), TAWNY_OK);
    ck_assert_int_eq(truncate("f", 8192), 0);
    pthread_t t[4];
    unsigned sum[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, sum_all, &sum[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        ck_assert_uint_eq(sum[i], 16);
    }
    ck_assert(file_damaged(&shared));
    ck_assert(!file_damaged(&other));
    file_map_close(&shared);
    file_map_close(&other);
    ck_assert_int_eq(file_map_open("f", &shared, &e), TAWNY_OK);
    ck_assert(!file_damaged(&shared));
    file_map_close(&shared);
    free(ones);
}
END_TEST

START_TEST(a_foreign_sigbus_still_kills)
{
    tawny_error e;
    file_map m;
    ck_assert_int_eq(file_write("f", "hello", 5, &e), TAWNY_OK);
    ck_assert_int_eq(file_map_open("f", &m, &e), TAWNY_OK);
    pid_t child = fork();
    if (child == 0) {
        raise(SIGBUS);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0); /* sanitizers catch it and exit */
    file_map_close(&m);
}
END_TEST

Suite *suite_file(void)
{
    Suite *s = suite_create("file");
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, write_then_read_and_map);
    tcase_add_test(t, refusals_name_the_file);
    tcase_add_test(t, a_write_replaces_whole_files_only);
    tcase_add_test(t, a_shrinking_file_reads_as_zeros);
    tcase_add_test(t, a_foreign_sigbus_still_kills);
    suite_add_tcase(s, t);
    return s;
}
