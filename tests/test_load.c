/* How weights come into memory: the same bytes and results each way, errors that name the limit, sets of files. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "tiny_model.h"

static char dir[64], path[128];
static tawny_error e;

static void setup(void)
{
    strcpy(dir, "/tmp/tawny-load-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0755), 0);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    ck_assert_int_eq(tiny_model_write(path, &e), TAWNY_OK);
}

static void teardown(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

/* The fingerprint of some tokens; false where the limit of locked memory forbids it. */
static bool fingerprint(tawny_load load, char hex[33])
{
    static const tawny_token tokens[] = {5, 9, 1, 33, 7, 70};
    tawny_model *m;
    tawny_engine *en;
    tawny_session *s;
    tawny_fingerprint *f;
    tawny_status st = tawny_model_open_as(path, load, &m, &e);
    if (st == TAWNY_E_LIMIT && (load == TAWNY_LOAD_LOCK || load == TAWNY_LOAD_HUGE_LOCK)) return false;
    ck_assert_msg(st == TAWNY_OK, "%s", e.message);
    if (load != TAWNY_LOAD_AUTO) ck_assert_int_eq(tawny_model_loaded(m, NULL), load);
    ck_assert_int_eq(tawny_engine_new(m, &(tawny_engine_params){.n_threads = 1}, &en, &e), TAWNY_OK);
    ck_assert_int_eq(tawny_session_new(en, &s, &e), TAWNY_OK);
    ck_assert_int_eq(tawny_fingerprint_new(m, &f, &e), TAWNY_OK);
    ck_assert_int_eq(tawny_session_sync(s, tokens, 6, NULL, NULL, &e), TAWNY_OK);
    tawny_fingerprint_add(f, tawny_session_logits(s), (size_t)tawny_model_n_vocab(m));
    tawny_fingerprint_hex(f, hex);
    tawny_fingerprint_free(f);
    tawny_session_free(s);
    tawny_engine_free(en);
    tawny_model_close(m);
    return true;
}

START_TEST(each_way_computes_the_same)
{
    char first[33], hex[33];
    ck_assert(fingerprint(TAWNY_LOAD_MMAP, first));
    for (int load = TAWNY_LOAD_HUGE; load <= TAWNY_LOAD_AUTO; load++) {
        if (fingerprint((tawny_load)load, hex)) ck_assert_str_eq(hex, first);
        tawny_load back;
        ck_assert(tawny_load_parse(tawny_load_name((tawny_load)load), &back) && (int)back == load);
    }
    tawny_model *m;
    const char *why;
    ck_assert_int_eq(tawny_model_open_as(path, TAWNY_LOAD_AUTO, &m, &e), TAWNY_OK);
    ck_assert_int_eq(tawny_model_loaded(m, &why), TAWNY_LOAD_MMAP);
    ck_assert_ptr_nonnull(strstr(why, "too few weights"));
    tawny_model_close(m);
    ck_assert(!tawny_load_parse("hugh", &(tawny_load){0}));
}
END_TEST

/* Once copied, the file may go. */
START_TEST(copies_outlive_the_file)
{
    tawny_model *m;
    char before[33], after[33];
    ck_assert_int_eq(tawny_model_open(path, &m, &e), TAWNY_OK);
    ck_assert_int_eq(tawny_model_hash(m, before, &e), TAWNY_OK);
    tawny_model_close(m);
    ck_assert_int_eq(tawny_model_open_as(path, TAWNY_LOAD_HUGE, &m, &e), TAWNY_OK);
    const gguf_tensor *t = gguf_tensor_at(m->m.file, 0);
    char *kept = malloc(t->bytes);
    memcpy(kept, t->data, t->bytes);
    ck_assert_int_eq(tawny_model_hash(m, after, &e), TAWNY_OK);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(truncate(path, 4096), 0);
    ck_assert_int_eq(memcmp(kept, t->data, t->bytes), 0);
    mem_pages pages;
    ck_assert(gguf_pages(m->m.file, &pages));
    ck_assert_uint_gt(pages.resident, 0);
    free(kept);
    tawny_model_close(m);
}
END_TEST

START_TEST(pieces_and_ends)
{
    static const size_t sizes[] = {1, 4095, 4096, 4097, (16 << 20) - 1, 16 << 20, (16 << 20) + 1, (33 << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        uint8_t *data = malloc(n);
        for (size_t k = 0; k < n; k++) data[k] = (uint8_t)(k * 2654435761u >> 13);
        char name[128];
        file_map m;
        file_copy c;
        snprintf(name, sizeof name, "%s/f", dir);
        ck_assert_int_eq(file_write(name, data, n, &e), TAWNY_OK);
        ck_assert_int_eq(file_map_open(name, &m, &e), TAWNY_OK);
        for (size_t from = 0; from < n; from += 2 * FILE_BLOCK * (1 + from)) {
            ck_assert_msg(file_copy_open(&m, from, &c, &e) == TAWNY_OK, "%s", e.message);
            ck_assert_uint_eq(c.size, n - from);
            ck_assert_int_eq(memcmp(c.data, data + from, c.size), 0);
            file_copy_close(&c);
        }
        ck_assert_int_eq(truncate(name, (off_t)n / 2), 0);
        ck_assert_int_eq(file_copy_open(&m, 0, &c, &e), TAWNY_E_DAMAGED);
        ck_assert_ptr_nonnull(strstr(e.message, "changed while it was opened"));
        ck_assert_int_eq(file_write(name, data, n, &e), TAWNY_OK); /* as long, but another file */
        ck_assert_int_eq(file_copy_open(&m, 0, &c, &e), TAWNY_E_DAMAGED);
        ck_assert_int_eq(unlink(name), 0);
        ck_assert_int_eq(file_copy_open(&m, 0, &c, &e), TAWNY_E_IO);
        file_map_close(&m);
        free(data);
    }
}
END_TEST

/* In a folder whose pages the kernel can put together (tmpfs) and in one where they are read again: the bytes stay, and what
 * is counted adds up. How much comes into large pages is the kernel's affair. */
START_TEST(page_cache_made_anew)
{
    static const char *const folders[] = {"/dev/shm", dir};
    size_t n = (66 << 20) + 5;
    uint8_t *data = malloc(n);
    for (size_t k = 0; k < n; k++) data[k] = (uint8_t)(k * 2654435761u >> 13);
    for (int i = 0; i < 2; i++) {
        char name[128];
        file_map m;
        file_recached r;
        if (access(folders[i], W_OK) != 0) continue;
        snprintf(name, sizeof name, "%s/tawny-recache-%d", folders[i], (int)getpid());
        ck_assert_int_eq(file_write(name, data, n, &e), TAWNY_OK);
        ck_assert_int_eq(file_map_open(name, &m, &e), TAWNY_OK);
        ck_assert_uint_eq((uintptr_t)m.data % MEM_HUGE, 0);
        for (int round = 0; round < 2; round++) {
            ck_assert_msg(file_recache(&m, 0, n, &r, &e) == TAWNY_OK, "%s", e.message);
            ck_assert_uint_le(r.bytes, 66 << 20);
            ck_assert_uint_le(r.after, r.bytes);
            ck_assert(r.useless || r.bytes == 66 << 20);
            ck_assert(r.useless || r.before <= r.after);
            ck_assert(!file_damaged(&m) && memcmp(m.data, data, n) == 0);
        }
        file_cached c;
        ck_assert_int_eq(file_in_cache(&m, 0, n, &c, &e), TAWNY_OK);
        ck_assert_uint_le(c.bytes, 66 << 20);
        ck_assert_uint_le(c.large, c.bytes);
        ck_assert_int_eq(file_recache(&m, 65 << 20, n, &r, &e), TAWNY_OK); /* from the huge page that holds it */
        ck_assert_uint_eq(r.bytes, 2 << 20);
        ck_assert_int_eq(truncate(name, 1 << 20), 0);
        ck_assert_int_eq(file_recache(&m, 0, n, &r, &e), TAWNY_E_DAMAGED);
        ck_assert_int_eq(unlink(name), 0);
        ck_assert_int_eq(file_in_cache(&m, 0, n, &c, &e), TAWNY_E_IO);
        ck_assert_int_eq(file_recache(&m, 0, n, &r, &e), TAWNY_E_IO);
        file_map_close(&m);
    }
    free(data);
}
END_TEST

START_TEST(locking_has_limits)
{
    struct rlimit limit = {4096, 4096};
    tawny_model *m;
    mem_pages pages;
    if (tawny_model_open_as(path, TAWNY_LOAD_LOCK, &m, &e) == TAWNY_OK) { /* where this user may lock that much */
        ck_assert(gguf_pages(m->m.file, &pages));
        ck_assert_uint_gt(pages.locked, 0);
        tawny_model_close(m);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    bool root = getuid() == 0; /* who has no limit */
    if (root) ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
    ck_assert_int_eq(tawny_model_open_as(path, TAWNY_LOAD_LOCK, &m, &e), TAWNY_E_LIMIT);
    ck_assert_ptr_null(m);
    ck_assert_ptr_nonnull(strstr(e.message, "cannot lock"));
    ck_assert_ptr_nonnull(strstr(e.message, "ulimit -l"));
    ck_assert_int_eq(tawny_model_open_as(path, TAWNY_LOAD_HUGE_LOCK, &m, &e), TAWNY_E_LIMIT);
    if (root) ck_assert_int_eq(setresuid(0, 0, 0), 0); /* for removing the folder */
}
END_TEST

/* Address space that is not there: an error, and nothing left behind. */
START_TEST(no_memory_is_an_error)
{
    struct rlimit limit;
    tawny_model *m;
    char line[64] = "";
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    fclose(f);
    ck_assert_int_eq(sscanf(line, "%lu", &pages), 1);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)pages * 4096 + (3 << 20); /* the mapped file fits, its copy does not */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    tawny_status st = tawny_model_open_as(path, TAWNY_LOAD_HUGE, &m, &e);
    ck_assert_msg(st == TAWNY_E_NOMEM || st == TAWNY_E_IO, "%d %s", (int)st, e.message);
    ck_assert_ptr_null(m);
}
END_TEST

static void write_member(int no, const float *weights)
{
    gguf_writer *w = gguf_writer_new();
    char name[128], tensor[2] = {(char)('a' + no), 0};
    uint16_t n = (uint16_t)no, c = 3;
    int32_t t = 3;
    if (no == 0) gguf_writer_str(w, "general.architecture", "llama", 5);
    gguf_writer_scalar(w, "split.no", GGUF_U16, &n);
    gguf_writer_scalar(w, "split.count", GGUF_U16, &c);
    gguf_writer_scalar(w, "split.tensors.count", GGUF_I32, &t);
    gguf_writer_tensor(w, tensor, 0, 1, (uint64_t[]){4096}, weights + 4096 * no);
    snprintf(name, sizeof name, "%s/s-%05d-of-00003.gguf", dir, no + 1);
    ck_assert_int_eq(gguf_writer_write(w, name, &e), TAWNY_OK);
    gguf_writer_free(w);
}

START_TEST(sets_of_files)
{
    static float weights[3 * 4096];
    char name[128];
    gguf *g;
    for (int i = 0; i < 3 * 4096; i++) weights[i] = (float)i;
    for (int i = 0; i < 3; i++) write_member(i, weights);
    for (int i = 1; i <= 3; i++) { /* by any member */
        snprintf(name, sizeof name, "%s/s-%05d-of-00003.gguf", dir, i);
        ck_assert_int_eq(gguf_open(name, 0, &g, &e), TAWNY_OK);
        ck_assert_int_eq(gguf_load(g, true, false, &e), TAWNY_OK);
        for (int k = 0; k < 3; k++) {
            const gguf_tensor *t = gguf_tensor_find(g, (char[]){(char)('a' + k), 0});
            ck_assert_int_eq(memcmp(t->data, weights + 4096 * k, t->bytes), 0);
        }
        gguf_close(g);
    }
    ck_assert_int_eq(gguf_open(name, 0, &g, &e), TAWNY_OK);
    ck_assert_int_eq(truncate(name, 5000), 0);
    ck_assert_int_eq(gguf_load(g, true, false, &e), TAWNY_E_DAMAGED);
    ck_assert_ptr_nonnull(strstr(e.message, "00003-of-00003"));
    gguf_close(g);
}
END_TEST

/* The options, and llama.cpp's names for them. */
START_TEST(options)
{
    char self[512] = "", line[1024];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *at = strstr(self, "/tests/");
    ck_assert_ptr_nonnull(at);
    *at = 0;
    int n = snprintf(line, sizeof line,
                     "l='%s/tawny logits -m %s --tokens 1,2,3'; a=$($l) && for o in '--load huge' '--no-mmap' "
                     "'--load auto' '--load recache' '--load mmap'; do [ \"$($l $o 2>/dev/null)\" = \"$a\" ] || exit 1; done; "
                     "$l --load auto 2>&1 >/dev/null | grep -q 'auto: mmap' || exit 2; "
                     "$l --load recache 2>&1 >/dev/null | grep -q 'load recache: ' || exit 5; "
                     "$l --load hugh 2>/dev/null; [ $? = 2 ] || exit 3; "
                     "$l --load mmap --no-mmap 2>/dev/null; [ $? = 2 ] || exit 4",
                     self, path);
    ck_assert_int_lt(n, (int)sizeof line);
    ck_assert_int_eq(system(line), 0);
}
END_TEST

Suite *suite_load(void);
Suite *suite_load(void)
{
    Suite *s = suite_create("load");
    TCase *t = tcase_create("load");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_way_computes_the_same);
    tcase_add_test(t, copies_outlive_the_file);
    tcase_add_test(t, pieces_and_ends);
    tcase_add_test(t, page_cache_made_anew);
    tcase_add_test(t, locking_has_limits);
    tcase_add_test(t, no_memory_is_an_error);
    tcase_add_test(t, sets_of_files);
    tcase_add_test(t, options);
    suite_add_tcase(s, t);
    return s;
}
