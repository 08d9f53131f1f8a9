/* The kernel checker: every slot of simd_table, every tier, bit for bit against the scalar specification.
 *
 * In the manner of checkasm (dav1d): one call site a family of kernels, inputs that are adversarial on purpose,
 * operands that end at the edge of a page that must not be touched, outputs between canaries. */
#ifndef TESTS_KERNELS_H
#define TESTS_KERNELS_H

#include "base/num.h"
#include "random.h"
#include "simd/simd.h"

/* ---- memory between guard pages ---- */
typedef struct region {
    uint8_t *base; /* size bytes, a page without access before and after */
    size_t size;
} region;

region region_new(size_t size);
void region_free(region *r);

enum { AT_END = -1 };
/* size bytes that end at the guard page (AT_END), or start `at` bytes after the other one. The rest of the
 * region keeps what was there. */
void *region_place(const region *r, size_t size, int at);

/* ---- tiers under test ---- */
typedef void (*any_fn)(void);
typedef struct tier {
    const char *name;
    simd_table t;
} tier;
extern tier tiers[SIMD_TIERS]; /* n_tiers of them */
extern int n_tiers;
extern simd_table scalar;

/* ---- one family: a slot of the table ---- */
typedef struct family {
    char name[40];
    any_fn scalar, fn[SIMD_TIERS]; /* of tiers[i]; NULL where the tier has none of its own */
    long checks[SIMD_TIERS], failures[SIMD_TIERS];
} family;

/* Opens the slot at `offset` of simd_table. False where no tier has a kernel of its own for it (and says so),
 * or where the filter leaves it out. */
bool family_open(family *f, const char *name, size_t offset);
/* Prints the family's line. */
void family_close(const family *f);

/* Calls thunk(arg) with a tier's table in `simd` (-1: the scalar one); false where it touched a guard page. */
bool call_guarded(int t, void (*thunk)(void *), void *arg);

/* Counts a check of tier i, and prints the first few failures. */
void check_result(family *f, int i, bool ok, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Equal bits, or both NaN. */
static inline bool same_f32(float a, float b)
{
    uint32_t x = f32_bits(a), y = f32_bits(b);
    return x == y || ((x & 0x7fffffff) > 0x7f800000 && (y & 0x7fffffff) > 0x7f800000);
}

/* The first of n floats that differ; -1 where none does. */
long first_difference(const float *a, const float *b, size_t n);

bool name_wanted(const char *name);

void check_tiles(void);
void check_quantize(void);
void check_residual(void);
void check_vectors(void);
void check_attention(void);
void check_conversions(void);
void bench_tiles(bool columns);
void bench_vectors(void);
void bench_attention(void);

/* Seconds of the best of some calls that together take about a tenth of a second. */
double best_time(void (*call)(void *), void *arg);

/* ---- operands that more than one file makes ---- */
/* n blocks of a format; kind: 0 random codes and sane scales, 1 random bytes, 2.. extremes. */
enum { WEIGHT_KINDS = 10 };
void make_weights(quant_id f, uint8_t *w, size_t blocks, int kind, uint64_t seed);
/* n columns, laid out as a->kind asks; gaps between the arrays are filled with garbage. */
enum { ACT_KINDS = 6 };
void make_columns(simd_act *a, int n, int kind, uint64_t seed);
/* n floats of a kind: 0 within [-1, 1), 1 of any exponent around 1, 2 any bits, 3 special values, 4 [-100, 100) */
enum { FLOAT_KINDS = 5 };
void make_floats(float *x, size_t n, int kind, uint64_t seed);

#endif
