/* What tawny serve remembers: pasts in slots and in the cache of prefixes, and the bits of answers that begin there. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/server/slot_file.h"
#include "random.h"
#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

static char dir[64], model[128];
static server_proc server;

static void start(const char *const *args)
{
    server_model_make(dir, model);
    server_proc_start(&server, model, args);
}

static void stop(void)
{
    ck_assert_int_eq(server_proc_stop(&server), 0);
    server_model_remove(dir, model);
}

/* A text of n tokens: no two of them share a beginning. */
static const char *text_of(int which, int n)
{
    static char text[8][300];
    char *t = text[which];
    for (int i = 0; i < n; i++) t[i] = (char)('a' + (which + i * (which + 3)) % 26);
    t[n] = 0;
    return t;
}

typedef struct answer {
    int prompt, cached; /* tokens */
    char text[1024], fingerprint[33];
} answer;

static answer ask(const char *prompt, const char *more)
{
    char body[1024];
    answer a;
    snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"n_predict\":20,\"ignore_eos\":true,\"temperature\":0,\"fingerprint\":true%s}", prompt, more);
    json_t *j = server_json(&server, "/completion", body, 200), *t = json_object_get(j, "timings");
    a.cached = (int)json_integer_value(json_object_get(t, "cache_n"));
    a.prompt = a.cached + (int)json_integer_value(json_object_get(t, "prompt_n"));
    ck_assert_int_eq(a.prompt, json_integer_value(json_object_get(j, "tokens_evaluated")));
    ck_assert_int_eq(json_integer_value(json_object_get(j, "tokens_cached")), a.prompt + 19); /* the last was not computed */
    snprintf(a.text, sizeof a.text, "%s", json_string_value(json_object_get(j, "content")));
    snprintf(a.fingerprint, sizeof a.fingerprint, "%s", json_string_value(json_object_get(j, "fingerprint")));
    json_decref(j);
    return a;
}

static void same(const answer *a, const answer *b)
{
    ck_assert_str_eq(a->text, b->text);
    ck_assert_str_eq(a->fingerprint, b->fingerprint);
}

static double metric(const char *name)
{
    int status;
    char *text = server_ask(&server, "GET", "/metrics", NULL, NULL, &status), line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    ck_assert_msg(at, "%s", name);
    double v = strtod(at + strlen(line), NULL);
    free(text);
    return v;
}

static const char fresh[] = ",\"cache_prompt\":false";

/* One slot, so that each prompt takes it from the one before. */
START_TEST(pasts_come_back)
{
    start((const char *const[]){"-np", "1", "-t", "2", "--cache-ram", "8", NULL});
    answer first[3];
    for (int i = 0; i < 3; i++) {
        first[i] = ask(text_of(i, 150), "");
        ck_assert_int_eq(first[i].cached, 0);
    }
    for (int i = 0; i < 3; i++) {
        answer again = ask(text_of(i, 150), ""), alone = ask(text_of(i, 150), fresh);
        ck_assert_int_eq(again.cached, 149);
        ck_assert_int_eq(alone.cached, 0);
        same(&again, &first[i]);
        same(&alone, &first[i]);
    }
    /* at once, from the logits that are there: nothing was computed since */
    json_decref(server_json(&server, "/completion", "{\"prompt\":\"the tawny owl\",\"n_predict\":1,\"temperature\":0}", 200));
    answer at_once = ask("the tawny owl", ""), owl = ask("the tawny owl", fresh);
    ck_assert_int_eq(at_once.cached, at_once.prompt);
    same(&at_once, &owl);
    answer part = ask(text_of(1, 100), ""), alone = ask(text_of(1, 100), fresh);
    ck_assert_int_eq(part.cached, 99);
    same(&part, &alone);
    ck_assert_double_ge(metric("tawny:prefix_cache_hits_total"), 4);
    ck_assert_double_ge(metric("tawny:prefix_cache_tokens_total"), 3 * 149 + 99);
    ck_assert_double_gt(metric("tawny:prefix_cache_bytes"), 0);
    ck_assert_double_eq(metric("tawny:prefix_cache_bytes_limit"), 8 << 20);
    ck_assert_double_eq(metric("llamacpp:prompt_tokens_cached_total"), 3 * 149 + 99 + at_once.cached);
    stop();
}
END_TEST

static const char *turn(json_t *messages, int *prompt, int *cached, bool reuse)
{
    static char text[1024];
    json_t *body = json_pack("{s:O,s:i,s:f,s:b}", "messages", messages, "max_tokens", 12, "temperature", 0.0, "cache_prompt", reuse);
    char *s = json_dumps(body, 0);
    json_t *j = server_json(&server, "/v1/chat/completions", s, 200), *u = json_object_get(j, "usage");
    *prompt = (int)json_integer_value(json_object_get(u, "prompt_tokens"));
    *cached = (int)json_integer_value(json_object_get(json_object_get(u, "prompt_tokens_details"), "cached_tokens"));
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    snprintf(text, sizeof text, "%s", json_string_value(json_object_get(json_object_get(choice, "message"), "content")));
    free(s);
    json_decref(body);
    json_decref(j);
    return text;
}

START_TEST(second_turns)
{
    start((const char *const[]){"-np", "2", "-t", "2", NULL});
    json_t *m = json_pack("[{s:s,s:s}]", "role", "user", "content", text_of(3, 90));
    int n, first, cached;
    char said[1024];
    snprintf(said, sizeof said, "%s", turn(m, &first, &cached, true));
    ck_assert_int_eq(cached, 0);
    for (int i = 0; i < 4; i++) ask(text_of(i + 4, 120), ""); /* the slots are others' now */
    json_array_append_new(m, json_pack("{s:s,s:s}", "role", "assistant", "content", said));
    json_array_append_new(m, json_pack("{s:s,s:s}", "role", "user", "content", "and then?"));
    snprintf(said, sizeof said, "%s", turn(m, &n, &cached, true));
    ck_assert_int_gt(n, first);
    ck_assert_int_ge(cached, first - 1);
    ck_assert_str_eq(said, turn(m, &n, &cached, false));
    ck_assert_int_eq(cached, 0);
    json_decref(m);
    stop();
}
END_TEST

START_TEST(without_a_cache)
{
    setenv("LLAMA_ARG_CACHE_RAM", "0", 1);
    start((const char *const[]){"-np", "1", "-t", "2", NULL});
    unsetenv("LLAMA_ARG_CACHE_RAM");
    answer a = ask(text_of(0, 150), ""), b = ask(text_of(0, 150), "");
    ck_assert_int_eq(b.cached, 149); /* the slot's own past */
    same(&a, &b);
    ask(text_of(1, 150), "");
    b = ask(text_of(0, 150), "");
    ck_assert_int_eq(b.cached, 0);
    same(&a, &b);
    ck_assert_double_eq(metric("tawny:prefix_cache_bytes_limit"), 0);
    stop();
}
END_TEST

/* ---- files of slots ---- */

static char saves[80];

static void start_saving(const char *slots)
{
    snprintf(saves, sizeof saves, "/tmp/tawny-slots-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(saves));
    start((const char *const[]){"-np", slots, "-t", "2", "--slot-save-path", saves, NULL});
}

static void stop_saving(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", saves);
    stop();
    ck_assert_int_eq(system(command), 0);
}

static char *path_of(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", saves, name);
    return path;
}

static json_t *act(int slot, const char *action, const char *name, int expected)
{
    char path[64];
    snprintf(path, sizeof path, "/slots/%d?action=%s", slot, action);
    json_t *body = name ? json_pack("{s:s}", "filename", name) : json_object();
    char *text = json_dumps(body, 0);
    json_t *j = server_json(&server, path, text, expected);
    free(text);
    json_decref(body);
    return j;
}

static int number(json_t *j, const char *key) /* and the answer's end */
{
    const json_t *v = json_object_get(j, key);
    ck_assert_msg(json_is_integer(v), "%s", key);
    int n = (int)json_integer_value(v);
    json_decref(j);
    return n;
}

static answer ask_slot(int slot, const char *prompt, const char *more)
{
    char with[128];
    snprintf(with, sizeof with, ",\"id_slot\":%d%s", slot, more);
    return ask(prompt, with);
}

START_TEST(slots_are_saved_and_restored)
{
    start_saving("2");
    answer alone = ask_slot(1, text_of(0, 150), ""), again;
    json_t *j = act(1, "save", "first", 200);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "id_slot")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(j, "filename")), "first");
    ck_assert_int_gt(json_integer_value(json_object_get(j, "n_written")), 150);
    ck_assert(json_is_real(json_object_get(json_object_get(j, "timings"), "save_ms")));
    ck_assert_int_eq(number(j, "n_saved"), 169);
    /* erased, nothing is left of it: neither in the slot nor in the cache */
    ck_assert_int_eq(number(act(1, "erase", NULL, 200), "n_erased"), 169);
    again = ask_slot(0, text_of(0, 150), "");
    ck_assert_int_eq(again.cached, 0);
    same(&again, &alone);
    ck_assert_int_eq(number(act(0, "erase", NULL, 200), "n_erased"), 169);
    ck_assert_int_eq(number(act(0, "erase", NULL, 200), "n_erased"), 0);
    /* in another slot, in another server */
    ck_assert_int_eq(server_proc_stop(&server), 0);
    server_proc_start(&server, model, (const char *const[]){"-np", "2", "-t", "1", "-ub", "33", "--slot-save-path", saves, NULL});
    j = act(0, "restore", "first", 200);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "id_slot")), 0);
    ck_assert_int_gt(json_integer_value(json_object_get(j, "n_read")), 150);
    ck_assert(json_is_real(json_object_get(json_object_get(j, "timings"), "restore_ms")));
    ck_assert_int_eq(number(j, "n_restored"), 169);
    again = ask_slot(0, text_of(0, 150), "");
    ck_assert_int_eq(again.cached, 149);
    same(&again, &alone);
    /* an empty one, over what is there */
    ck_assert_int_eq(number(act(1, "save", "first", 200), "n_saved"), 0);
    ck_assert_int_eq(number(act(0, "restore", "first", 200), "n_restored"), 0);
    stop_saving();
}
END_TEST

static const char *message(json_t *j)
{
    static char text[600];
    snprintf(text, sizeof text, "%s", json_string_value(json_object_get(json_object_get(j, "error"), "message")));
    json_decref(j);
    return text;
}

static void refused(const char *action, const char *name, const char *why)
{
    const char *says = message(act(0, action, name, 400));
    ck_assert_msg(strstr(says, why), "%s %s: %s", action, name, says);
}

START_TEST(names_stay_in_the_directory)
{
    static const char *const names[] = {"", ".", "..", ".hidden", "a/b", "../x", "/etc/passwd", "a\\b", "a..b", "a\nb", "a\x7f", "a\xc2\x85z"};
    char name[300];
    int status;
    start_saving("1");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        refused("save", names[i], "filename");
        refused("restore", names[i], "filename");
    }
    memset(name, 'n', sizeof name);
    name[241] = 0;
    refused("save", name, "240 bytes");
    name[240] = 0;
    json_decref(act(0, "save", name, 200));
    json_decref(act(0, "save", "\xc3\xbc ber", 200));
    refused("save", NULL, "empty");
    refused("restore", "nothing", "no such file");
    /* links are neither followed nor replaced; what is no file is not read */
    ck_assert_int_eq(symlink(model, path_of("link")), 0);
    ck_assert_int_eq(mkdir(path_of("folder"), 0700), 0);
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    refused("restore", "link", "no such file");
    refused("restore", "folder", "no regular file");
    refused("restore", "pipe", "no regular file");
    refused("save", "link", "something else");
    refused("save", "folder", "something else");
    refused("save", "pipe", "something else");
    ck_assert_int_eq(symlink("/etc/passwd", path_of(".mine.tmp")), 0);
    json_decref(act(0, "save", "mine", 500));
    /* numbers and actions */
    static const char *const paths[] = {"/slots/1?action=save", "/slots/-1?action=save", "/slots/0x0?action=save", "/slots/99999999999?action=erase",
                                        "/slots/0?action=sing", "/slots/0", "/slots/%2e?action=save"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) json_decref(server_json(&server, paths[i], "{\"filename\":\"x\"}", 400));
    free(server_ask(&server, "POST", "/slots/0?action=erase", NULL, "", &status)); /* without a body, as llama-server takes it */
    ck_assert_int_eq(status, 200);
    free(server_ask(&server, "POST", "/slots/0?action=erase", NULL, "[", &status));
    ck_assert_int_eq(status, 400);
    stop_saving();
    start((const char *const[]){"-np", "1", NULL});
    const char *says = message(server_json(&server, "/slots/0?action=erase", "{}", 400));
    ck_assert_msg(strstr(says, "--slot-save-path"), "%s", says);
    stop();
}
END_TEST

static void change(const char *name, long at, int xor)
{
    FILE *f = fopen(path_of(name), "r+");
    ck_assert_int_eq(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    ck_assert_int_eq(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ xor, f);
    fclose(f);
}

START_TEST(damaged_files_leave_the_slot)
{
    start_saving("1");
    ask(text_of(0, 100), "");
    json_decref(act(0, "save", "f", 200));
    answer alone = ask(text_of(1, 100), fresh), again;
    static const long places[] = {0, 9, 13, 20, 60, 110, 127, 130, 1000, -1, -20, -5000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        change("f", places[i], 4);
        json_decref(act(0, "restore", "f", 400));
        change("f", places[i], 4);
        again = ask(text_of(1, 100), "");
        ck_assert_int_eq(again.cached, 99);
        same(&again, &alone);
    }
    struct stat st;
    ck_assert_int_eq(stat(path_of("f"), &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(truncate(path_of("f"), st.st_size + 1), 0);
    refused("restore", "f", "bytes follow");
    ck_assert_int_eq(truncate(path_of("f"), st.st_size), 0);
    ck_assert_int_eq(number(act(0, "restore", "f", 200), "n_restored"), 119);
    static const int cuts[] = {0, 1, 127, 128, 600};
    for (size_t i = sizeof cuts / sizeof *cuts; i-- > 0;) {
        ck_assert_int_eq(truncate(path_of("f"), cuts[i]), 0);
        refused("restore", "f", "ends early");
    }
    json_decref(act(0, "save", "f", 200)); /* over the damaged one */
    ck_assert_int_eq(number(act(0, "restore", "f", 200), "n_restored"), 119);
    stop_saving();
}
END_TEST

static answer alone_of[4];

/* Saves, restores and requests of four clients at once, for the same two slots. */
static void *busy_client(void *arg)
{
    int me = *(int *)arg;
    char name[16];
    snprintf(name, sizeof name, "c%d", me);
    for (int i = 0; i < 6; i++) {
        answer a = ask_slot(me % 2, text_of(me, 120), i % 2 ? "" : fresh);
        char path[64];
        int status;
        snprintf(path, sizeof path, "/slots/%d?action=%s", (me + i) % 2, i % 3 == 2 ? "erase" : i % 3 ? "restore" : "save");
        char body[64];
        snprintf(body, sizeof body, "{\"filename\":\"%s\"}", name);
        free(server_ask(&server, "POST", path, NULL, body, &status));
        if (status != 200 || strcmp(a.text, alone_of[me].text) != 0) *(int *)arg = -1;
    }
    return NULL;
}

START_TEST(many_at_once)
{
    pthread_t t[4];
    int no[4];
    start_saving("2");
    for (int i = 0; i < 4; i++) alone_of[i] = ask(text_of(i, 120), fresh);
    for (int i = 0; i < 4; i++) {
        no[i] = i;
        ck_assert_int_eq(pthread_create(&t[i], NULL, busy_client, &no[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(no[i], i);
    }
    stop_saving();
}
END_TEST

/* The server is killed while it saves: what is there is what was there, or what came. (TAWNY_KILLS: how often) */
START_TEST(killed_servers)
{
    const char *many = getenv("TAWNY_KILLS");
    int rounds = many ? atoi(many) : 6, n, old = 119;
    start_saving("1");
    ask(text_of(0, 100), "");
    json_decref(act(0, "save", "f", 200));
    for (int i = 0; i < rounds; i++) {
        int status;
        ask(text_of(i % 8, 60 + i % 100), "");
        pid_t child = fork();
        if (child == 0) {
            free(server_ask(&server, "POST", "/slots/0?action=save", NULL, "{\"filename\":\"f\"}", &status));
            _exit(0);
        }
        usleep((unsigned)(random_u64(7, (uint64_t)i) % 12000));
        kill(server.pid, SIGKILL);
        server_proc_stop(&server);
        waitpid(child, &status, 0);
        server_proc_start(&server, model, (const char *const[]){"-np", "1", "-t", "2", "--slot-save-path", saves, NULL});
        n = number(act(0, "restore", "f", 200), "n_restored");
        ck_assert_msg(n == old || n == 60 + i % 100 + 19, "round %d: %d", i, n);
        old = n;
    }
    stop_saving();
}
END_TEST

/* The same for the writing alone, at 200 points. */
enum { PIECES = 40, PIECE = 3000 };

static void write_forever(int dir_fd, int ready)
{
    tawny_error e;
    char piece[PIECE];
    for (unsigned round = 0;; round++) {
        slot_file f;
        if (slot_file_create(&f, dir_fd, "f", &e) != TAWNY_OK) _exit(1);
        memset(piece, 'a' + (int)(round % 26), sizeof piece);
        for (unsigned i = 0; i < PIECES + round % 26; i++)
            if (slot_file_put(&f, piece, sizeof piece, &e) != TAWNY_OK) _exit(2);
        if (slot_file_commit(&f, &e) != TAWNY_OK) _exit(3);
        if (!round && write(ready, "", 1) != 1) _exit(4);
    }
}

static void whole(int dir_fd)
{
    static char data[(PIECES + 26) * PIECE];
    tawny_error e;
    slot_file f;
    ck_assert_msg(slot_file_open(&f, dir_fd, "f", &e) == TAWNY_OK, "%s", e.message);
    size_t n = (size_t)f.left;
    ck_assert_uint_le(n, sizeof data);
    ck_assert_int_eq(slot_file_get(&f, data, n, &e), TAWNY_OK);
    slot_file_close(&f);
    ck_assert_uint_eq(n, (size_t)(PIECES + data[0] - 'a') * PIECE);
    ck_assert_int_eq(memcmp(data, data + 1, n - 1), 0); /* one letter */
}

START_TEST(killed_writers)
{
    tawny_error e;
    int dir_fd, fds[2], status;
    snprintf(saves, sizeof saves, "/tmp/tawny-slots-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(saves));
    ck_assert_int_eq(slot_dir_open(saves, &dir_fd, &e), TAWNY_OK);
    for (uint64_t i = 0; i < 200; i++) {
        char c;
        ck_assert_int_eq(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) write_forever(dir_fd, fds[1]);
        close(fds[1]);
        ck_assert_int_eq(read(fds[0], &c, 1), 1);
        usleep((unsigned)(random_u64(11, i) % 3000));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_assert(WIFSIGNALED(status));
        close(fds[0]);
        whole(dir_fd);
    }
    close(dir_fd);
    unlink(path_of("f"));
    unlink(path_of(".f.tmp"));
    ck_assert_int_eq(rmdir(saves), 0);
}
END_TEST

#endif

Suite *suite_serve_cache(void);
Suite *suite_serve_cache(void)
{
    Suite *s = suite_create("serve_cache");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("pasts");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, pasts_come_back);
    tcase_add_test(t, second_turns);
    tcase_add_test(t, without_a_cache);
    tcase_add_test(t, slots_are_saved_and_restored);
    tcase_add_test(t, names_stay_in_the_directory);
    tcase_add_test(t, damaged_files_leave_the_slot);
    tcase_add_test(t, many_at_once);
    tcase_add_test(t, killed_servers);
    tcase_add_test(t, killed_writers);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_cache, built without libmicrohttpd\n");
#endif
    return s;
}
