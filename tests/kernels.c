/* The kernel checker: see kernels.h.
 *
 *     build/tests/kernels [FILTER]            every available tier, or the one named by TAWNY_CPU
 *     build/tests/kernels --bench [FILTER]    times the same calls
 *     build/tests/kernels --columns [FILTER]  times tiles of 1 to 16 columns; weights come from L2
 *
 * FILTER: a part of the names of the kernels to check ("q4_k", "attn"). */
#include "kernels.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

tier tiers[SIMD_TIERS];
int n_tiers;
simd_table scalar;

static const char *filter;
static long total_checks, total_failures;

enum { PAGE = 4096, SHOWN = 5 };

/* ---- memory ---- */
region region_new(size_t size)
{
    size = (size + PAGE - 1) / PAGE * PAGE;
    uint8_t *p = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGE, size, PROT_READ | PROT_WRITE) != 0) {
        perror("kernels: memory");
        exit(2);
    }
    return (region){p + PAGE, size};
}

void region_free(region *r)
{
    munmap(r->base - PAGE, r->size + 2 * PAGE);
    *r = (region){0};
}

void *region_place(const region *r, size_t size, int at)
{
    size_t start = at == AT_END ? 0 : (size_t)at;
    if (size + start > r->size) {
        fprintf(stderr, "kernels: %zu bytes in a region of %zu\n", size, r->size);
        exit(2);
    }
    return at == AT_END ? r->base + r->size - size : r->base + start;
}

/* ---- calls that may fault ---- */
static sigjmp_buf landing;
static volatile sig_atomic_t armed;

static void on_fault(int sig)
{
    if (armed) siglongjmp(landing, 1);
    signal(sig, SIG_DFL);
    raise(sig);
}

bool call_guarded(int t, void (*thunk)(void *), void *arg)
{
    simd = t < 0 ? scalar : tiers[t].t;
    if (sigsetjmp(landing, 1)) {
        armed = 0;
        return false;
    }
    armed = 1;
    thunk(arg);
    armed = 0;
    return true;
}

/* ---- families and results ---- */
bool name_wanted(const char *name)
{
    size_t n = filter ? strlen(filter) : 0;
    for (; n && *name; name++)
        if (strncasecmp(name, filter, n) == 0) return true;
    return n == 0;
}

static any_fn slot(const simd_table *t, size_t offset)
{
    any_fn f;
    memcpy(&f, (const uint8_t *)t + offset, sizeof f);
    return f;
}

bool family_open(family *f, const char *name, size_t offset)
{
    *f = (family){.scalar = slot(&scalar, offset)};
    snprintf(f->name, sizeof f->name, "%s", name);
    if (!name_wanted(name)) return false;
    bool any = false;
    for (int i = 0; i < n_tiers; i++) {
        any_fn fn = slot(&tiers[i].t, offset);
        bool own = fn != f->scalar || strcmp(tiers[i].name, "scalar") == 0;
        for (int j = 0; j < i; j++) own = own && fn != slot(&tiers[j].t, offset);
        if (own && fn) f->fn[i] = fn;
        any = any || f->fn[i];
    }
    if (!f->scalar) printf("%-24s no scalar kernel\n", name);
    else if (!any) family_close(f);
    return f->scalar && any;
}

void family_close(const family *f)
{
    printf("%-24s", f->name);
    for (int i = 0; i < n_tiers; i++) {
        char text[64];
        if (!f->fn[i]) snprintf(text, sizeof text, "none of its own");
        else if (f->failures[i]) snprintf(text, sizeof text, "%ld OF %ld FAILED", f->failures[i], f->checks[i]);
        else snprintf(text, sizeof text, "ok %ld", f->checks[i]);
        printf(" %s: %-18s", tiers[i].name, text);
        total_checks += f->checks[i];
        total_failures += f->failures[i];
    }
    printf("\n");
    fflush(stdout);
}

void check_result(family *f, int i, bool ok, const char *fmt, ...)
{
    f->checks[i]++;
    if (ok || ++f->failures[i] > SHOWN) return;
    va_list ap;
    va_start(ap, fmt);
    printf("FAIL %s %s: ", f->name, tiers[i].name);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

long first_difference(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!same_f32(a[i], b[i])) return (long)i;
    return -1;
}

/* ---- the tiers ---- */
static bool load_tiers(void)
{
    tawny_error err;
    const char *force = getenv("TAWNY_CPU");
    if (simd_init("scalar", &err) != TAWNY_OK) return false;
    scalar = simd;
    if (force && *force) {
        if (simd_init(force, &err) != TAWNY_OK) {
            fprintf(stderr, "kernels: %s\n", err.message);
            return false;
        }
        tiers[n_tiers++] = (tier){simd_tier_name(simd_current()), simd};
        return true;
    }
    for (int t = SIMD_SCALAR + 1; t < SIMD_TIERS; t++) {
        const char *name = simd_tier_name((simd_tier)t);
        if (!simd_available((simd_tier)t)) {
            printf("%s: not available on this CPU, not checked\n", name);
            continue;
        }
        simd_init(name, &err);
        tiers[n_tiers++] = (tier){name, simd};
    }
    return true;
}

int main(int argc, char **argv)
{
    bool columns = argc > 1 && strcmp(argv[1], "--columns") == 0;
    bool bench = columns || (argc > 1 && strcmp(argv[1], "--bench") == 0);
    filter = argc > 1 + bench ? argv[1 + bench] : NULL;
    struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    if (!load_tiers()) return 2;
    if (bench) {
        bench_tiles(columns);
        if (columns) return 0;
        bench_vectors();
        bench_attention();
        return 0;
    }
    check_tiles();
    check_quantize();
    check_residual();
    check_vectors();
    check_attention();
    check_conversions();
    printf("%ld%%: Checks: %ld, Failures: %ld\n",
           total_checks ? 100 * (total_checks - total_failures) / total_checks : 100, total_checks, total_failures);
    return total_failures ? 1 : 0;
}
