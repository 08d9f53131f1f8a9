/* tawny pull against a server that drops, truncates, redirects, lies and serves wrong bytes. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/base/buf.h"
#include "../src/base/file.h"
#include "../src/cli/hub_choose.h"
#include "../src/cli/net.h"
#include "../src/cli/sha256.h"
#include "../src/gguf/gguf.h"
#include "http_script.h"
#include "program.h"
#include "tiny_model.h"

#if defined HAVE_LIBCURL && defined HAVE_LIBCRYPTO

static char dir[64], out[1 << 14], sha[65];
static buf model;
static http_script server;

/* The model as a set of three files in dir. */
static void split_model(const char *from)
{
    gguf *g;
    tawny_error err;
    ck_assert_int_eq(gguf_open(from, 0, &g, &err), TAWNY_OK);
    size_t n = gguf_tensor_count(g);
    for (uint32_t k = 0; k < 3; k++) {
        char path[160];
        gguf_writer *w = gguf_writer_new();
        for (size_t i = 0; k == 0 && i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
        const uint16_t no = (uint16_t)k, count = 3;
        gguf_writer_scalar(w, "split.no", GGUF_U16, &no);
        gguf_writer_scalar(w, "split.count", GGUF_U16, &count);
        gguf_writer_u32(w, "split.tensors.count", (uint32_t)n);
        for (size_t i = n * k / 3; i < n * (k + 1) / 3; i++) {
            const gguf_tensor *t = gguf_tensor_at(g, i);
            gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
        }
        snprintf(path, sizeof path, "%s/x-Q4_K_M-%05u-of-00003.gguf", dir, k + 1);
        ck_assert_int_eq(gguf_writer_write(w, path, &err), TAWNY_OK);
        gguf_writer_free(w);
    }
    gguf_close(g);
}

static void setup(void)
{
    char path[128];
    tawny_error err;
    strcpy(dir, "/tmp/tawny-pull-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model", dir);
    ck_assert_msg(tiny_model_write(path, &err) == TAWNY_OK, "%s", err.message);
    model = (buf){0};
    ck_assert_int_eq(file_read(path, 1 << 26, &model, &err), TAWNY_OK);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(sha256_fd(fd, sha, &err), TAWNY_OK);
    close(fd);
    server = (http_script){.data = model.data, .size = model.size, .sha = sha, .dir = dir};
    http_script_start(&server);
    snprintf(path, sizeof path, "http://127.0.0.1:%d", server.port);
    setenv("HF_ENDPOINT", path, 1);
    setenv("HOME", dir, 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_TOKEN");
    unsetenv("OLLAMA_MODELS");
    unsetenv("http_proxy");
}

static void teardown(void)
{
    char line[128];
    http_script_stop(&server);
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
    buf_free(&model);
}

/* Runs `tawny pull ARG`, output and errors in out. */
static int pull(const char *arg)
{
    char line[512];
    snprintf(line, sizeof line, "$t pull %s 2>&1", arg);
    return program_sh(line, out, sizeof out);
}

static int pull_url(const char *kind)
{
    char line[256];
    snprintf(line, sizeof line, "http://127.0.0.1:%d/%s/x.gguf", server.port, kind);
    return pull(line);
}

/* What pull printed is the path of the model's bytes. */
static void is_model(void)
{
    buf b = {0};
    tawny_error err;
    out[strcspn(out, "\n")] = 0;
    ck_assert_msg(file_read(out, 1 << 26, &b, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_uint_eq(b.size, model.size);
    ck_assert_int_eq(memcmp(b.data, model.data, b.size), 0);
    buf_free(&b);
}

static void fails(const char *kind, const char *why)
{
    char path[128];
    ck_assert_msg(pull_url(kind) == 1, "%s: %s", kind, out);
    ck_assert_msg(strncmp(out, "tawny: ", 7) == 0 && strstr(out, why) && strchr(out, '\n') == out + strlen(out) - 1,
                  "%s: %s", kind, out);
    snprintf(path, sizeof path, "%s/.cache/tawny/models/x.gguf", dir);
    ck_assert_int_ne(access(path, F_OK), 0);
}

START_TEST(urls_that_come_whole)
{
    static const char *const kinds[] = {"good", "drop", "norange", "redirect", "busy"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        http_script_stop(&server);
        http_script_start(&server); /* a server that has seen nothing */
        ck_assert_msg(pull_url(kinds[i]) == 0, "%s: %s", kinds[i], out);
        is_model();
        ck_assert_int_eq(unlink(out), 0);
    }
}
END_TEST

START_TEST(urls_that_do_not)
{
    fails("short", "bytes remaining");
    fails("shifted", "bytes from");
    fails("unsaid", "does not say which");
    fails("missing", "404");
    fails("loop", "redirect");
    fails("page", "not a GGUF");
    fails("endless", "does not say how long");
    fails("vast", "free on the disk");
    ck_assert_int_eq(pull("http://127.0.0.1:1/x.gguf"), 1);
    ck_assert_int_eq(pull("ftp://127.0.0.1/x.gguf"), 2);
    ck_assert_int_eq(pull("http://127.0.0.1/x.bin"), 2);
    ck_assert_int_eq(pull("hf:nobody"), 2);
    ck_assert_int_eq(pull("hf:../etc"), 2);
    ck_assert_int_eq(pull(""), 2);
}
END_TEST

START_TEST(hub_cache_is_laid_out_as_the_hub_does)
{
    char path[256], target[256] = "", want[256];
    ck_assert_msg(pull("hf:u/good") == 0, "%s", out);
    is_model();
    snprintf(
        want, sizeof want,
        "%s/.cache/huggingface/hub/models--u--good/snapshots/0123456789abcdef0123456789abcdef01234567/x-Q4_K_M.gguf",
        dir);
    ck_assert_str_eq(out, want);
    ck_assert_int_gt(readlink(want, target, sizeof target - 1), 0);
    snprintf(path, sizeof path, "../../blobs/%s", sha);
    ck_assert_str_eq(target, path);
    /* what is there is used: with the network gone, and by other commands */
    http_script_stop(&server);
    ck_assert_msg(pull("--offline hf:u/good:q4_k_m") == 0, "%s", out);
    is_model();
    ck_assert_int_eq(program_sh("$t run -m hf:u/good -p x -n 1 2>&1", out, sizeof out), 0);
    ck_assert_int_eq(pull("--offline hf:u/good:Q8_0"), 1);
    ck_assert_int_eq(pull("--offline hf:u/other"), 1);
    ck_assert_ptr_nonnull(strstr(out, "not in the cache"));
    http_script_start(&server);
}
END_TEST

START_TEST(hub_files_are_checked)
{
    char path[256];
    ck_assert_int_eq(pull("hf:u/wrong"), 1);
    ck_assert_msg(strstr(out, "SHA-256"), "%s", out);
    snprintf(path, sizeof path,
             "find %s/.cache -name '*.incomplete' -size +0 | grep -c . ; find %s/.cache -name '*.gguf' | grep -c .",
             dir, dir);
    program_sh(path, out, sizeof out);
    ck_assert_str_eq(out, "0\n0\n");
    ck_assert_int_eq(pull("hf:u/more"), 1);
    ck_assert_msg(strstr(out, "offers"), "%s", out);
    ck_assert_int_eq(pull("hf:u/html"), 1);
    ck_assert_int_eq(pull("hf:u/huge"), 1);
    ck_assert_int_eq(pull("hf:u/missing"), 1);
    ck_assert_int_eq(pull("hf:u/private"), 1);
    ck_assert_msg(strstr(out, "HF_TOKEN"), "%s", out);
    setenv("HF_TOKEN", "secret", 1);
    ck_assert_msg(pull("hf:u/private") == 0, "%s", out);
    is_model();
}
END_TEST

/* A transfer that was killed goes on where it was. */
START_TEST(resumes)
{
    char path[256];
    tawny_error err;
    snprintf(path, sizeof path, "mkdir -p %s/.cache/huggingface/hub/models--u--good/blobs", dir);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/.cache/huggingface/hub/models--u--good/blobs/%s.incomplete", dir, sha);
    ck_assert_int_eq(file_write(path, model.data, model.size / 2, &err), TAWNY_OK);
    ck_assert_msg(pull("hf:u/good") == 0, "%s", out);
    is_model();
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(ollama_has_it)
{
    char path[256];
    tawny_error err;
    snprintf(path, sizeof path, "mkdir -p %s/.ollama/models/blobs", dir);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/.ollama/models/blobs/sha256-%s", dir, sha);
    ck_assert_int_eq(file_write(path, model.data, model.size, &err), TAWNY_OK);
    ck_assert_msg(pull("hf:u/wrong") == 0, "%s", out); /* whose bytes from the network would not do */
    is_model();
}
END_TEST

START_TEST(servers_that_hang)
{
    static const char *const kinds[] = {"hang", "drip", "trickle", "names", "stream"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char url[128];
        net_answer a;
        tawny_error err;
        snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/x", server.port, kinds[i]);
        if (i < 4) ck_assert_int_eq(net_get(&(net_request){.url = url, .stall_seconds = 1}, &a, &err), TAWNY_E_IO);
        ck_assert_int_eq(net_get(&(net_request){.url = url, .total_seconds = 1}, &a, &err), TAWNY_E_IO);
    }
}
END_TEST

START_TEST(plans_by_the_header)
{
    char line[256];
    snprintf(line, sizeof line, "$t plan --machine rtx4090 -c 64 http://127.0.0.1:%d/good/x.gguf 2>&1", server.port);
    ck_assert_msg(program_sh(line, out, sizeof out) == 0, "%s", out);
    ck_assert_ptr_nonnull(strstr(out, "weights"));
    snprintf(line, sizeof line,
             "$t plan --machine rtx4090 -c 64 hf:u/good 2>&1 && find %s -name '*.gguf' | grep -c .", dir);
    program_sh(line, out, sizeof out);
    ck_assert_msg(strstr(out, "weights") && strcmp(out + strlen(out) - 2, "0\n") == 0, "%s", out);
    snprintf(line, sizeof line, "$t plan --machine rtx4090 http://127.0.0.1:%d/page/x.gguf 2>&1", server.port);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 1);
    ck_assert_ptr_nonnull(strstr(out, "no GGUF header"));
    snprintf(line, sizeof line, "$t plan --machine rtx4090 http://127.0.0.1:%d/endless/x.gguf 2>&1", server.port);
    ck_assert_int_eq(program_sh(line, out, sizeof out), 1);
    ck_assert_msg(strstr(out, "the magic is 61 61"), "%s", out);
}
END_TEST

static void plan_line(const char *given, int code)
{
    char line[512];
    snprintf(line, sizeof line, "$t plan --machine rtx4090 -c 64 --json %s 2>&1", given);
    ck_assert_msg(program_sh(line, out, sizeof out) == code, "%s", out);
    const char *rest = strstr(out, "\"arch\""); /* what comes before is the name that was given */
    if (code == 0) memmove(out, rest, strlen(rest) + 1);
}

/* What is said of a set is what is said of the same model in one file: by any member's URL, by its name on the hub (which has
 * no more than headers fetched), and from the hub's cache. */
START_TEST(plans_sets_by_their_headers)
{
    static char whole[sizeof out];
    char model_path[128], url[256];
    snprintf(model_path, sizeof model_path, "%s/model", dir);
    split_model(model_path);
    plan_line(model_path, 0);
    strcpy(whole, out);
    for (int no = 1; no <= 3; no++) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d/set/x-Q4_K_M-%05d-of-00003.gguf?download=true", server.port, no);
        plan_line(url, 0);
        ck_assert_str_eq(out, whole);
    }
    plan_line("hf:u/set", 0);
    ck_assert_str_eq(out, whole);
    /* a member is another's, or missing */
    snprintf(url, sizeof url, "cd %s && cp x-Q4_K_M-00002-of-00003.gguf saved && cp x-Q4_K_M-00001-of-00003.gguf x-Q4_K_M-00002-of-00003.gguf", dir);
    ck_assert_int_eq(system(url), 0);
    plan_line("hf:u/set", 1);
    ck_assert_msg(strstr(out, "by its name file 2 of 3, by its header 1 of 3"), "%s", out);
    snprintf(url, sizeof url, "rm %s/x-Q4_K_M-00002-of-00003.gguf", dir);
    ck_assert_int_eq(system(url), 0);
    plan_line("hf:u/set", 1);
    ck_assert_msg(strstr(out, "00002-of-00003.gguf: the server answers 404") && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
    snprintf(url, sizeof url, "mv %s/saved %s/x-Q4_K_M-00002-of-00003.gguf", dir, dir);
    ck_assert_int_eq(system(url), 0);
    /* without its set, and under a name that is no set's */
    snprintf(url, sizeof url, "cd %s && cp x-Q4_K_M-00002-of-00003.gguf alone.gguf", dir);
    ck_assert_int_eq(system(url), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/set/alone.gguf", server.port);
    plan_line(url, 1);
    ck_assert_msg(strstr(out, "by its name file 1 of 1, by its header 2 of 3"), "%s", out);
    /* in the cache */
    snprintf(url, sizeof url,
             "cd %s && c=.cache/huggingface/hub/models--u--set && mkdir -p $c/refs $c/snapshots/abc && printf abc >$c/refs/main && "
             "mv x-Q4_K_M-* $c/snapshots/abc", dir);
    ck_assert_int_eq(system(url), 0);
    http_script_stop(&server);
    plan_line("hf:u/set", 0);
    ck_assert_str_eq(out, whole);
    http_script_start(&server);
}
END_TEST

#endif

START_TEST(names_of_types)
{
    static const char *const files[] = {"a-Q4_K_S.gguf",
                                        "a-UD-Q4_K_M.gguf",
                                        "a-Q4_K_M.gguf",
                                        "a-Q8_0-00002-of-00002.gguf",
                                        "a-Q8_0-00001-of-00002.gguf",
                                        "mmproj-a-F16.gguf",
                                        "BF16/a.gguf",
                                        "README.md",
                                        "a.imatrix.gguf"};
    int n = sizeof files / sizeof *files;
    char member[64];
    ck_assert_int_eq(hub_choose(files, n, NULL), 2);
    ck_assert_int_eq(hub_choose(files, n, ""), 2);
    ck_assert_int_eq(hub_choose(files, n, "ud-q4_k_m"), 1);
    ck_assert_int_eq(hub_choose(files, n, "Q4_K"), -1);
    ck_assert_int_eq(hub_choose(files, n, "q8_0"), 4);
    ck_assert_int_eq(hub_choose(files, n, "F16"), -1);
    ck_assert_int_eq(hub_choose(files, n, "BF16"), 6);
    ck_assert_int_eq(hub_choose(files + 7, 2, NULL), -1);
    ck_assert_int_eq(hub_split_count(files[4]), 2);
    ck_assert(hub_split_member(files[4], 1, member, sizeof member));
    ck_assert_str_eq(member, files[3]);
    ck_assert(hub_safe_name("a/b.gguf") && !hub_safe_name("/a") && !hub_safe_name("a/../b") &&
              !hub_safe_name("a//b") && !hub_safe_name("") && !hub_safe_name("..") && !hub_safe_name("a/") &&
              !hub_safe_name("a\nb"));
}
END_TEST

Suite *suite_pull(void);
Suite *suite_pull(void)
{
    Suite *s = suite_create("pull");
    TCase *t = tcase_create("pull");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, names_of_types);
#if defined HAVE_LIBCURL && defined HAVE_LIBCRYPTO
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, urls_that_come_whole);
    tcase_add_test(t, urls_that_do_not);
    tcase_add_test(t, hub_cache_is_laid_out_as_the_hub_does);
    tcase_add_test(t, hub_files_are_checked);
    tcase_add_test(t, resumes);
    tcase_add_test(t, ollama_has_it);
    tcase_add_test(t, servers_that_hang);
    tcase_add_test(t, plans_by_the_header);
    tcase_add_test(t, plans_sets_by_their_headers);
#else
    printf("skipped: pull, built without libcurl or libcrypto\n");
#endif
    suite_add_tcase(s, t);
    return s;
}
