/* tawny doctor: what this machine offers, which kernels serve each weight format, and what is amiss. */
#include <stdio.h>
#include <stdlib.h>

#include "../base/cpu.h"
#include "../base/file.h"
#include "../engine/limits.h"
#include "../gguf/gguf.h"
#include "cli.h"
#include "doctor.h"
#include "doctor_kernels.h"
#include "sandbox.h"

/* Which tier serves which formats: {"avx512": ["Q4_0", ...]}. */
static void formats(findings *f)
{
    for (int t = SIMD_TIERS - 1; t >= 0; t--) {
        json_t *list = json_array();
        for (int q = 0; q < QUANT_FORMATS; q++)
            if ((int)simd_tile_tier((quant_id)q) == t) json_array_append_new(list, json_string(quant_table[q].name));
        if (json_array_size(list))
            findings_fact(f, "kernels", simd_tier_name((simd_tier)t), list);
        else
            json_decref(list);
    }
    if (simd_current() == SIMD_SCALAR)
        findings_add(f, FINDING_SLOW, "scalar", "no vector kernels are in use", "right, but many times slower", "");
    const char *forced = getenv("TAWNY_CPU");
    if (forced && *forced)
        findings_addf(f, FINDING_NOTE, "forced-tier", "other kernels may be faster", "unset TAWNY_CPU",
                      "TAWNY_CPU=%s forces the tier", forced);
    for (int q = 0; q < QUANT_FORMATS && !findings_has(f, "lower-tier"); q++)
        if (simd_tile_tier((quant_id)q) < simd_current())
            findings_addf(f, FINDING_SLOW, "lower-tier", "models in these formats run slower than they might", "",
                          "some formats are served by a lower tier than %s", simd_tier_name(simd_current()));
}

/* Whether the kernels compute what they should, here. */
static tawny_status examine(findings *f, tawny_error *err)
{
    bool wrong[QUANT_FORMATS] = {0};
    int n = 0;
    if (doctor_kernels(wrong, err)) return err->code;
    for (int q = 0; q < QUANT_FORMATS; q++) {
        if (!wrong[q]) continue;
        n++;
        findings_addf(f, FINDING_WRONG, "kernels-wrong",
                      "do not trust its results on this CPU: they differ from the specification", "TAWNY_CPU=scalar",
                      "the %s kernels for %s are WRONG", simd_tier_name(simd_tile_tier((quant_id)q)),
                      quant_table[q].name);
    }
    findings_fact(f, "kernels", "agree with scalar", json_integer(QUANT_FORMATS - n));
    return TAWNY_OK;
}

/* What the cores really read, against what the modules allow. */
static void measure(findings *f)
{
    enum { SAMPLES = 5 };
    limits *l = NULL;
    tawny_error err;
    double v[SAMPLES], peak = doctor_memory_peak(f);
    int cpus[CPU_MAX], cores = 0;
    cpu_order(cpus, CPU_MAX, &cores);
    if (limits_new(0, false, &l, &err) != TAWNY_OK || limits_threads(l, cores, cpus, cores, &err) != TAWNY_OK) {
        findings_fact_text(f, "memory", "GB/s measured", err.message);
        limits_free(l);
        return;
    }
    limits_sample(l, LIMITS_READ, simd_current(), 0.02);
    for (int i = 0; i < SAMPLES; i++) v[i] = limits_sample(l, LIMITS_READ, simd_current(), 0.05);
    double got = limits_range_of(v, SAMPLES).median;
    limits_free(l);
    findings_fact(f, "memory", "GB/s measured", json_real(got));
    if (peak > 0 && got < 0.35 * peak)
        findings_addf(f, FINDING_SLOW, "slow-memory",
                      "decode is bound by it: other programs read memory too, or clocks and fabric stay low",
                      "tawny bandwidth", "all cores together read %.0f GB/s of the %.0f that the modules allow", got,
                      peak);
}

/* What a server gives up its rights by. */
static void rights(findings *f)
{
    const char *why = sandbox_missing(), *calls = sandbox_calls_missing();
    findings_fact_text(f, "system", "Landlock", why ? why : "yes");
    if (why)
        findings_addf(f, FINDING_NOTE, "no-landlock", "`tawny serve` keeps the right to write files and to begin programs",
                      "lsm=landlock,... on the kernel's command line", "no Landlock: %s", why);
    findings_fact_text(f, "system", "seccomp", calls ? calls : "yes");
    if (calls)
        findings_addf(f, FINDING_NOTE, "no-seccomp", "`tawny serve` keeps the right to any system call",
                      "CONFIG_SECCOMP_FILTER=y in the kernel, and tawny built with libseccomp", "no seccomp: %s", calls);
}

/* In what pages a model lies in the page cache. */
static tawny_status look_at_model(const char *path, findings *f, tawny_error *err)
{
    gguf *g;
    file_cached c;
    char fix[240];
    tawny_status st = gguf_open(path, GGUF_HEADER_ONLY, &g, err);
    if (st != TAWNY_OK) return st;
    if ((st = gguf_in_cache(g, false, &c, err)) == TAWNY_OK) {
        findings_fact_text(f, "model", "file", gguf_path(g));
        findings_fact(f, "model", "MiB", json_integer((json_int_t)(gguf_file_bytes(g) >> 20)));
        findings_fact(f, "model", "MiB in the page cache", json_integer((json_int_t)(c.bytes >> 20)));
        findings_fact(f, "model", "of them in large pages", json_integer((json_int_t)(c.large >> 20)));
        snprintf(fix, sizeof fix, "tawny run -m %.150s --load recache -p Hello -n 1", path);
        if (c.folds && c.large < c.bytes / 10 * 9)
            findings_add(f, FINDING_SLOW, "small-pages", "the page cache holds much of the model in small pages",
                         "each 4 KiB of them cost a page walk, and prefetchers stop at their edges",
                         fix);
    }
    gguf_close(g);
    return st;
}

int cmd_doctor(int argc, char **argv)
{
    bool as_json = false;
    const char *root = "", *model = NULL;
    const cli_opt opts[] = {
        {"--json", CLI_FLAG, &as_json, NULL, "as JSON", 0, 0},
        {"-m --model", CLI_STR, &model, "FILE", "also in what pages the page cache holds this model", 0, 0},
        {"--root", CLI_STR, &root, "DIR",
         "look at a recorded tree of /sys, /proc, /etc, ... below DIR, and at nothing else", 0, 0},
        {0},
    };
    int code = cli_parse("doctor", argc, argv, opts, NULL);
    if (code >= 0) return code;
    tawny_error err;
    findings f = {0};
    tree t = {root};
    if (simd_init(NULL, &err)) return cli_fail_err(&err);
    findings_fact_text(&f, "system", "tawny", TAWNY_VERSION);
    findings_fact(&f, "system", "contract", json_integer(TAWNY_CONTRACT));
    doctor_cpu(&t, &f);
    doctor_memory(&t, &f);
    doctor_gpu(&t, &f);
    doctor_stack(&t, &f);
    if (!*root) {
        findings_fact_text(&f, "kernels", "tier", simd_tier_name(simd_current()));
        rights(&f);
        formats(&f);
        measure(&f);
        if ((model && look_at_model(model, &f, &err) != TAWNY_OK) || examine(&f, &err) != TAWNY_OK) {
            findings_free(&f);
            return cli_fail_err(&err);
        }
    }
    if (as_json) {
        json_t *j = findings_json(&f);
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
    } else {
        findings_print(&f);
        if (!f.n) printf("all is well\n");
    }
    code = findings_has(&f, "kernels-wrong");
    findings_free(&f);
    return cli_finish(code);
}
