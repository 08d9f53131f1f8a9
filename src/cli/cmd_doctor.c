/* tawny doctor: what this machine offers, and which kernels will serve each weight format. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <omp.h>

#include "../../simd/simd.h"
#include "../base/cpu.h"
#include "cli.h"
#include "doctor_kernels.h"

static void show(const char *name, const char *value) { printf("%-16s %s\n", name, value); }

static void show_cpu(void)
{
    const cpu_info *c = cpu_get();
    int cpus[CPU_MAX], cores = 0;
    int logical = cpu_order(cpus, CPU_MAX, &cores);
    printf("%-16s %s (%s, family %u, model %u)\n", "cpu", c->name, c->vendor, c->family, c->model);
    printf("%-16s %d to run on, %d logical CPUs\n", "cores", cores, logical);
    printf("%-16s L1d %zu KiB, L2 %zu KiB, L3 %zu KiB\n", "caches", c->l1d >> 10, c->l2 >> 10, c->l3 >> 10);
    printf("%-16s %s%s%s%s\n", "instructions", c->avx2 ? "AVX2+FMA+F16C" : "no AVX2",
           c->avx512 ? ", AVX-512 (F BW DQ VL VNNI VBMI)" : "", c->avx512_bf16 ? ", AVX512-BF16" : "",
           c->avx_vnni ? ", AVX-VNNI" : "");
}

/* The first line of a small file, without its newline. */
static bool first_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(line, size, f);
    if (f) fclose(f);
    if (ok) line[strcspn(line, "\n")] = 0;
    return ok;
}

static void show_memory(void)
{
    char line[256];
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        printf("%-16s %.1f GiB in pages of %ld bytes\n", "memory",
               (double)pages * (double)page / (double)(1 << 30), page);
    bool known = first_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line);
    show("huge pages", known ? line : "transparent huge pages are not in this kernel");
}

static void show_formats(void)
{
    int served[SIMD_TIERS] = {0};
    for (int f = 0; f < QUANT_FORMATS; f++) served[simd_tile_tier((quant_id)f)]++;
    for (int t = SIMD_TIERS - 1; t >= 0; t--) {
        if (!served[t]) continue;
        printf("formats, %-7s", simd_tier_name((simd_tier)t));
        for (int f = 0, column = 16; f < QUANT_FORMATS; f++) {
            if ((int)simd_tile_tier((quant_id)f) != t) continue;
            if (column > 90) column = printf("\n%-16s", "") - 1;
            column += printf(" %s", quant_table[f].name);
        }
        putchar('\n');
    }
}

/* Whether the kernels compute what they should, here; the number of those that do not. */
static int show_examination(tawny_error *err)
{
    bool wrong[QUANT_FORMATS] = {0};
    int n = 0;
    if (doctor_kernels(wrong, err)) return cli_fail_err(err);
    for (int f = 0; f < QUANT_FORMATS; f++) {
        if (!wrong[f]) continue;
        n++;
        printf("! %s kernels for %s are WRONG on this CPU: do not trust their results\n",
               simd_tier_name(simd_tile_tier((quant_id)f)), quant_table[f].name);
    }
    if (!n) printf("%-16s %d formats agree with the scalar tier to the last bit\n", "examination", QUANT_FORMATS);
    return n;
}

/* A warning for what is slower than it need be. */
static int advise(void)
{
    int n = 0;
    if (simd_current() == SIMD_SCALAR)
        n += printf("! no vector kernels are in use: right, but many times slower\n") > 0;
    const char *forced = getenv("TAWNY_CPU");
    if (forced && *forced) n += printf("! TAWNY_CPU=%s forces the tier\n", forced) > 0;
    for (int f = 0; f < QUANT_FORMATS; f++)
        if (simd_tile_tier((quant_id)f) < simd_current())
            return n + (printf("! some formats are served by a lower tier than %s (see above)\n",
                               simd_tier_name(simd_current())) > 0);
    return n;
}

int cmd_doctor(int argc, char **argv)
{
    const cli_opt opts[] = {{0}};
    int code = cli_parse("doctor", argc, argv, opts, NULL);
    if (code >= 0) return code;
    tawny_error err;
    if (simd_init(NULL, &err)) return cli_fail_err(&err);
    printf("%-16s %s, contract %d\n", "tawny", TAWNY_VERSION, TAWNY_CONTRACT);
    show_cpu();
    show_memory();
    show("kernels", simd_tier_name(simd_current()));
    show_formats();
    printf("%-16s OpenMP %d, up to %d threads\n", "threads", _OPENMP, omp_get_max_threads());
#ifdef HAVE_LIBEDIT
    show("line editing", "libedit");
#else
    show("line editing", "none (built without libedit)");
#endif
    int wrong = show_examination(&err);
    if (advise() + wrong == 0) printf("all is well\n");
    return cli_finish(wrong > 0);
}
