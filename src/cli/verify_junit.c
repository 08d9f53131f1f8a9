/* The result of `tawny verify` as JUnit XML, as both Ant's schema and Jenkins' take it: one test for each depth and comparison. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "verify.h"

typedef enum outcome { PASSED, FAILED, SKIPPED, ERROR } outcome;

static void put_xml(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '<') fputs("&lt;", f);
        else if (*s == '>') fputs("&gt;", f);
        else if (*s == '&') fputs("&amp;", f);
        else if (*s == '"') fputs("&quot;", f);
        else putc((unsigned char)*s < ' ' ? ' ' : *s, f);
    }
}

static void test_case(FILE *f, const char *name, double seconds, outcome o, const char *why)
{
    static const char *const elements[] = {"", "failure type=\"verify\"", "skipped", "error type=\"verify\""};
    fprintf(f, "    <testcase classname=\"tawny.verify\" name=\"%s\" time=\"%.3f\"", name, seconds);
    if (o == PASSED) {
        fputs("/>\n", f);
        return;
    }
    fprintf(f, "><%s message=\"", elements[o]);
    put_xml(f, why);
    fputs("\"/></testcase>\n", f);
}

static void property(FILE *f, const char *name, const char *value)
{
    fprintf(f, "      <property name=\"%s\" value=\"", name);
    put_xml(f, value);
    fputs("\"/>\n", f);
}

static void heading(FILE *f, const verify_result *v, const remote *r, const verify_options *o)
{
    char host[128], when[32];
    int failures = v->tokenizer_differs + v->template_differs + v->constant;
    double seconds = 0;
    time_t now = time(NULL);
    struct tm utc;
    for (int i = 0; i < v->n_depths; i++) failures += v->depths[i].verdict != VERDICT_SOUND, seconds += v->depths[i].seconds;
    if (gethostname(host, sizeof host) != 0 || !*host) snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = 0;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &utc));
    fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
               "  <testsuite name=\"verify\" package=\"tawny\" id=\"0\" tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\" time=\"%.3f\" timestamp=\"%s\" hostname=\"",
            v->n_depths + v->n_left_out + 3, failures, v->overall == VERDICT_UNKNOWN, v->n_left_out, seconds, when);
    put_xml(f, host);
    fputs("\">\n    <properties>\n", f);
    property(f, "url", r->url);
    property(f, "server", remote_kind_name(r->kind));
    property(f, "model", o->model);
    fputs("    </properties>\n", f);
}

static void depth_case(FILE *f, const verify_depth *d)
{
    char name[64], why[320];
    snprintf(name, sizeof name, "depth %d%s", d->depth, d->fresh || d->either ? "" : ", cached");
    snprintf(why, sizeof why, "%s at position %d: KL %.3g on average, %.3g at most; %d of %d most probable tokens are others",
             verdict_name(d->verdict), d->bad_pos, d->kl_mean, d->kl_max, d->flips, d->n);
    test_case(f, name, d->seconds, d->verdict == VERDICT_SOUND ? PASSED : FAILED, why);
}

tawny_status verify_junit(const verify_result *v, const remote *r, const verify_options *o, const char *path, tawny_error *err)
{
    FILE *f = fopen(path, "w");
    char name[32], words[256];
    if (!f) return err_errno(err, errno, "%s", path);
    verify_words(v, words, sizeof words);
    heading(f, v, r, o);
    test_case(f, "tokenizer", 0, v->tokenizer_differs ? FAILED : PASSED, v->tokenizer);
    test_case(f, "chat template", 0, v->template_differs ? FAILED : PASSED, v->template);
    for (int i = 0; i < v->n_depths; i++) depth_case(f, &v->depths[i]);
    for (int i = 0; i < v->n_left_out; i++) {
        snprintf(name, sizeof name, "depth %d", v->left_out[i]);
        test_case(f, name, 0, SKIPPED, v->why_left_out);
    }
    if (v->overall == VERDICT_UNKNOWN) test_case(f, "whole", 0, ERROR, v->stopped);
    else test_case(f, "answers differ", 0, v->constant ? FAILED : PASSED, words);
    fputs("    <system-out>", f);
    put_xml(f, words);
    fputs("</system-out>\n    <system-err/>\n  </testsuite>\n</testsuites>\n", f);
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed) return err_errno(err, errno, "%s", path);
    return TAWNY_OK;
}
