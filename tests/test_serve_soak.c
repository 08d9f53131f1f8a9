/* The soak and the storm in small: `make soak` and `make storm` run them in full. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "server_proc.h"

#ifdef HAVE_LIBMICROHTTPD

static void run(const char *tool)
{
    char dir[64], model[128], command[512], out[8000];
    if (program_sh("command -v python3", out, sizeof out) != 0) {
        printf("skipped: serve_soak, there is no python3\n");
        return;
    }
    server_model_make(dir, model);
    snprintf(command, sizeof command, "python3 %s --tawny \"$t\" %s 2>&1", tool, model);
    int code = program_sh(command, out, sizeof out);
    server_model_remove(dir, model);
    ck_assert_msg(code == 0, "%s: %d\n%s", tool, code, out);
}

START_TEST(together_as_alone) { run("tests/soak --requests 150 --minutes 0.05"); }
END_TEST

START_TEST(many_bad_clients) { run("tests/storm --small"); }
END_TEST

#endif

Suite *suite_serve_soak(void);
Suite *suite_serve_soak(void)
{
    Suite *s = suite_create("serve_soak");
#ifdef HAVE_LIBMICROHTTPD
    TCase *t = tcase_create("soak");
    tcase_set_timeout(t, 200);
    tcase_add_test(t, together_as_alone);
    tcase_add_test(t, many_bad_clients);
    suite_add_tcase(s, t);
#else
    printf("skipped: serve_soak, built without libmicrohttpd\n");
#endif
    return s;
}
