/* The program as it is called: exit codes, where its output goes, its help. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static char out[1 << 16]; /* what the last command wrote to its standard output */

static int sh(const char *command) { return program_sh(command, out, sizeof out); }
static int has(const char *text) { return strstr(out, text) != NULL; }

START_TEST(exit_codes_and_streams)
{
    ck_assert_int_eq(sh("$t 2>&1"), 2);
    ck_assert(has("usage: tawny COMMAND"));
    ck_assert_int_eq(sh("$t help"), 0);
    ck_assert_int_eq(sh("$t --version"), 0);
    ck_assert(strncmp(out, "tawny ", 6) == 0 && has("(contract "));
    ck_assert_int_eq(sh("$t nonsense"), 2);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(sh("$t nonsense 2>&1"), 2);
    ck_assert(strncmp(out, "tawny: nonsense", 15) == 0);
    ck_assert_int_eq(sh("$t help nonsense 2>&1"), 2);
    ck_assert_int_eq(sh("$t help >/dev/full 2>/dev/null"), 1);
}
END_TEST

START_TEST(every_command_has_help)
{
    ck_assert_int_eq(sh("n=0; for c in $($t help | sed -n 's/^  \\([a-z][a-z-]*\\) .*/\\1/p'); do "
                        "$t help $c | grep -q usage: || { echo $c; exit 1; }; "
                        "[ $c = help ] || [ \"$($t $c --help)\" = \"$($t help $c)\" ] || { echo $c; exit 1; }; "
                        "[ $c = help ] || { $t $c --no-such-option >/dev/null 2>&1; [ $? = 2 ]; } || "
                        "{ echo $c; exit 1; }; "
                        "n=$((n + 1)); done; [ $n -gt 0 ]"),
                     0);
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(default_model_path)
{
    ck_assert_int_eq(sh("XDG_CACHE_HOME=/nowhere tools/get-model --path"), 0);
    ck_assert_str_eq(out, "/nowhere/tawny/models/SmolLM2-135M-Instruct.Q4_1.gguf\n");
    ck_assert_int_eq(sh("XDG_CACHE_HOME= HOME=/elsewhere tools/get-model --path"), 0);
    ck_assert_str_eq(out, "/elsewhere/.cache/tawny/models/SmolLM2-135M-Instruct.Q4_1.gguf\n");
}
END_TEST

Suite *suite_cli(void);
Suite *suite_cli(void)
{
    Suite *s = suite_create("cli");
    TCase *t = tcase_create("program");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, exit_codes_and_streams);
    tcase_add_test(t, every_command_has_help);
    tcase_add_test(t, default_model_path);
    suite_add_tcase(s, t);
    return s;
}
