/* Files that mean harm: each gives its own error, soon, in bounded memory; and no byte of a good file,
 * changed or cut, does worse. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../models/archs.h"
#include "gguf/gguf.h"
#include "hostile.h"
#if __has_include("text/tokenizer.h")
#include "text/tokenizer.h"
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static tawny_error e;
static char path[64];
static int fd;

/* Files in memory: no disk is waited for. */
static void setup(void)
{
    fd = memfd_create("hostile", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
}

static void teardown(void) { close(fd); }

static void fill_file(const void *data, size_t n)
{
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(pwrite(fd, data, n, 0), (ssize_t)n);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* From here on the process may take 64 MiB more than it has. */
static void bound_memory(void)
{
    if (SANITIZED) return; /* their shadow is larger than any bound */
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ck_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (64u << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}), 0);
}

static tawny_status look(const gguf *g, hostile_look what)
{
    uint32_t u[4];
    float f;
    bool b;
    gguf_str s;
    gguf_array a;
    switch (what) {
    case LOOK_OPEN: return TAWNY_OK;
    case LOOK_U32: return gguf_get_u32(g, "k", 1, 1000, u, &e);
    case LOOK_F32: return gguf_get_f32(g, "k", 0, 1, &f, &e);
    case LOOK_BOOL: return gguf_opt_bool(g, "k", &b, &e);
    case LOOK_STR: return gguf_get_str(g, "k", &s, &e);
    case LOOK_STRS: return gguf_get_array(g, "k", GGUF_STR, &a, &e);
    case LOOK_F32S: return gguf_get_array(g, "k", GGUF_F32, &a, &e);
    case LOOK_LAYERS: return gguf_get_u32_per_layer(g, "k", 4, 1, 64, u, &e);
    }
    return TAWNY_OK;
}

START_TEST(each_file_gives_its_error)
{
    bound_memory();
    int bad = 0, n = 0;
    double slowest = 0;
    const char *slow = "";
    for (const hostile_file *h = hostile_files; h->name; h++, n++) {
        buf b = {0};
        ck_assert_msg(hostile_bytes(h->words, &b), "%s: cannot be understood", h->name);
        fill_file(b.size ? b.data : "", b.size);
        gguf *g = NULL;
        e = (tawny_error){0};
        double start = seconds();
        tawny_status status = gguf_open(path, 0, &g, &e);
        bool opened = status == TAWNY_OK;
        if (opened) status = look(g, h->look);
        double took = seconds() - start;
        if (took > slowest) slowest = took, slow = h->name;
        bool wrong = status != h->status || e.code != status || opened != (h->look != LOOK_OPEN) ||
                     !strstr(e.message, h->text) || strncmp(e.message, path, strlen(path)) != 0;
        if (wrong)
            fprintf(stderr, "%s: status %d, '%s'\n    instead of %d, '%s'\n", h->name, status, e.message, h->status,
                    h->text);
        bad += wrong;
        gguf_close(g);
        buf_free(&b);
    }
    printf("hostile: %d files, the slowest %s, %.2f ms\n", n, slow, slowest * 1e3);
    ck_assert_int_eq(bad, 0);
    ck_assert(slowest < (SANITIZED ? 5 : 1));
}
END_TEST

START_TEST(a_large_file_of_small_lies)
{
    /* Very many keys, all distinct but one. */
    buf b = {0};
    enum { KEYS = 400000 };
    static char words[128];
    snprintf(words, sizeof words, "H:0,%d (<%%#> 4:0 1:1)*%d <%%7> 4:0 1:1", KEYS + 1, KEYS);
    ck_assert(hostile_bytes(words, &b));
    fill_file(b.data, b.size);
    gguf *g;
    double start = seconds();
    ck_assert_int_eq(gguf_open(path, 0, &g, &e), TAWNY_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, "key %7 occurs twice"));
    printf("hostile: %d keys in %.1f MiB, %.0f ms\n", KEYS, (double)b.size / 1048576, (seconds() - start) * 1e3);
    buf_free(&b);
}
END_TEST

/* Every byte that an opened file leads to. */
static uint64_t walk(const gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char key[300];
        snprintf(key, sizeof key, "%.*s", (int)(kv->key.n < 299 ? kv->key.n : 299), kv->key.p);
        uint32_t u[8];
        float f;
        sum += gguf_find(g, key) != NULL;
        sum += gguf_opt_u32(g, key, 0, 100, u, NULL) + gguf_opt_f32(g, key, 0, 1, &f, NULL);
        sum += gguf_get_u32_per_layer(g, key, 8, 0, 9, u, NULL);
        if (kv->type == GGUF_STR)
            for (size_t k = 0; k < kv->v.s.n; k++) sum += (uint8_t)kv->v.s.p[k];
        if (kv->type != GGUF_ARR) continue;
        size_t at = 0;
        gguf_str s;
        if (kv->v.a.type == GGUF_STR)
            while (gguf_array_next_str(&kv->v.a, &at, &s)) sum += s.n + (s.n ? (uint8_t)s.p[s.n - 1] : 0);
        else
            for (uint64_t k = 0; k < kv->v.a.n; k++)
                sum += gguf_array_u64(&kv->v.a, k) + (gguf_array_f64(&kv->v.a, k) > 0);
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        sum += gguf_tensor_find(g, t->name) != NULL;
        for (uint64_t k = 0; t->data && k < t->bytes; k++) sum += t->data[k];
    }
    return sum;
}

static tawny_status open_and_walk(void)
{
    gguf *g = NULL;
    tawny_status status = gguf_open(path, 0, &g, &e);
    ck_assert((status == TAWNY_OK) == (g != NULL));
    if (g) walk(g);
    gguf_close(g);
    return status;
}

/* One of everything, in a file of a few hundred bytes. */
static const char sample[] =
    "H:3,16 <general.architecture> 4:8 <llama> <general.alignment> 4:4 4:32 <a> 4:0 1:7 <b> 4:1 1:-7 <c> 4:2 2:7 "
    "<d> 4:3 2:-7 <e> 4:5 4:-7 <f> 4:6 f:0.5 <g> 4:7 1:1 <h> 4:10 8:7 <i> 4:11 8:-7 <j> 4:12 d:0.5 "
    "<k> 4:9 4:8 8:3 <x> <> <yz> <l> 4:9 4:4 8:4 (4:#)*4 <m> 4:9 4:7 8:2 1:0 1:1 <n> 4:9 4:6 8:0 "
    "<t.weight> 4:2 8:32 8:2 4:8 8:0 <u> 4:1 8:8 4:0 8:96 <v> 4:4 8:2 8:2 8:2 8:1 4:26 8:128 p32 z68 p32 z32 z32";

START_TEST(cut_at_every_byte)
{
    buf b = {0};
    ck_assert(hostile_bytes(sample, &b));
    fill_file(b.data, b.size);
    ck_assert_msg(open_and_walk() == TAWNY_OK, "%s", e.message);
    for (size_t n = b.size; n-- > 0;) {
        ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
        ck_assert_int_eq(open_and_walk(), TAWNY_E_FORMAT);
        ck_assert_msg(strncmp(e.message, path, strlen(path)) == 0, "%s", e.message);
    }
    buf_free(&b);
}
END_TEST

START_TEST(every_byte_changed)
{
    buf b = {0};
    ck_assert(hostile_bytes(sample, &b));
    bound_memory();
    fill_file(b.data, b.size);
    int opened = 0, tried = 0;
    for (size_t i = 0; i < b.size; i++) {
        uint8_t was = (uint8_t)b.data[i];
        const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, was ^ 1, was ^ 0x80, (uint8_t)(was + 1), (uint8_t)~was};
        for (size_t k = 0; k < sizeof values; k++, tried++) {
            ck_assert_int_eq(pwrite(fd, &values[k], 1, (off_t)i), 1);
            opened += open_and_walk() == TAWNY_OK;
        }
        ck_assert_int_eq(pwrite(fd, &was, 1, (off_t)i), 1);
    }
    printf("hostile: %d changes of a byte, %d still open\n", tried, opened);
    buf_free(&b);
}
END_TEST

/* A file that changes while it is open: what was checked is not read again unchecked. */
START_TEST(bytes_change_while_open)
{
    buf b = {0};
    gguf *g;
    ck_assert(hostile_bytes(sample, &b));
    for (int value = 0; value < 256; value += 51) {
        fill_file(b.data, b.size);
        ck_assert_int_eq(gguf_open(path, 0, &g, &e), TAWNY_OK);
        for (size_t i = 0; i < b.size; i++) {
            ck_assert_int_eq(pwrite(fd, &(uint8_t){(uint8_t)value}, 1, (off_t)i), 1);
            if (i % 16 == 0) walk(g);
        }
        walk(g);
        gguf_close(g);
    }
    buf_free(&b);
}
END_TEST

typedef tawny_status opener(const char *file);

static tawny_status open_model(const char *file)
{
    tawny_model *m = NULL;
    tawny_status status = tawny_model_open(file, &m, &e);
    tawny_model_close(m);
    return status;
}

#if __has_include("text/tokenizer.h")
static tawny_status open_tokenizer(const char *file)
{
    gguf *g = NULL;
    tokenizer *t = NULL;
    tawny_status status = gguf_open(file, 0, &g, &e);
    if (!status) status = tok_open(g, &t, &e);
    tok_close(t);
    gguf_close(g);
    return status;
}
#endif

/* Well-formed files all of them: what is wrong is for the model loader, or the tokenizer, to name. */
static void check_models(const hostile_model *table, const char *what, opener *open)
{
    char dir[] = "/tmp/tawny-hostile-XXXXXX", file[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/m.gguf", dir);
    ck_assert_msg(hostile_model_write(NULL, file, &e) == TAWNY_OK, "%s", e.message);
    ck_assert_msg(open(file) == TAWNY_OK, "%s", e.message);

    bound_memory();
    int bad = 0, n = 0;
    double slowest = 0;
    for (const hostile_model *h = table; h->name; h++, n++) {
        gguf *g = NULL;
        ck_assert_msg(hostile_model_write(h->changes, file, &e) == TAWNY_OK, "%s: %s", h->name, e.message);
        ck_assert_msg(gguf_open(file, 0, &g, &e) == TAWNY_OK, "%s: %s", h->name, e.message);
        gguf_close(g);
        e = (tawny_error){0};
        double start = seconds();
        tawny_status status = open(file);
        double took = seconds() - start;
        if (took > slowest) slowest = took;
        bool named = strstr(e.message, h->text) && strstr(e.message, file);
        if (status == h->status && e.code == status && named) continue;
        fprintf(stderr, "%s: status %d, '%s'\n    instead of %d, '%s'\n", h->name, status, e.message, h->status,
                h->text);
        bad++;
    }
    printf("hostile: %d %s, the slowest %.2f ms\n", n, what, slowest * 1e3);
    unlink(file);
    rmdir(dir);
    ck_assert_int_eq(bad, 0);
    ck_assert(slowest < (SANITIZED ? 5 : 1));
}

START_TEST(each_model_gives_its_error) { check_models(hostile_models, "models", open_model); }
END_TEST

/* What a refusal names as the nearest is there, and what it refuses is not. */
START_TEST(relatives_are_supported)
{
    const char *name, *nearest;
    for (size_t i = 0; arch_relative(i, &name, &nearest); i++) {
        ck_assert_msg(arch_find(nearest) != NULL, "%s is no relative of %s: it is not supported", nearest, name);
        ck_assert_msg(arch_find(name) == NULL, "%s is supported", name);
    }
}
END_TEST

#if __has_include("text/tokenizer.h")
START_TEST(each_tokenizer_gives_its_error) { check_models(hostile_tokenizers, "tokenizers", open_tokenizer); }
END_TEST
#endif

Suite *suite_hostile(void)
{
    Suite *s = suite_create("hostile");
    TCase *t = tcase_create("hostile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, each_file_gives_its_error);
    tcase_add_test(t, a_large_file_of_small_lies);
    tcase_add_test(t, cut_at_every_byte);
    tcase_add_test(t, every_byte_changed);
    tcase_add_test(t, bytes_change_while_open);
    tcase_add_test(t, each_model_gives_its_error);
    tcase_add_test(t, relatives_are_supported);
#if __has_include("text/tokenizer.h")
    tcase_add_test(t, each_tokenizer_gives_its_error);
#endif
    suite_add_tcase(s, t);
    return s;
}
