/* Kernels: the scalar specification, and the tiers that agree with it to the last bit.
 *
 * A table of function pointers is filled with the scalar functions, then overridden tier by tier with what
 * the CPU (CPUID) and the OS (XGETBV) support; an empty slot falls through to the tier below. TAWNY_CPU
 * forces a tier. A tier is one or more files simd/NAME_TIER.c that export nothing but a const simd_part.
 *
 * The rules (design notes, "one lane, one output, one order"):
 *   integer formats    quant/quant.h
 *   float dots         element i goes to partial sum i mod 16 by fma, partials start at +0, the sixteen are
 *                      folded 8, 4, 2, 1: p[i] += p[i + 8], then + 4, + 2, + 1
 *   QK                 sequential fma over the head dimension, from +0; lanes are keys
 *   PV                 sequential fma over the keys, from +0; lanes are dimensions
 *   sums of a vector   sixteen partials, as float dots, with add in place of fma where there is no product
 * Every multiplication and addition written here rounds once; fma is written fma. */
#ifndef SIMD_SIMD_H
#define SIMD_SIMD_H

#include "../quant/quant.h"
#include "kv.h"

typedef enum simd_tier { SIMD_SCALAR, SIMD_AVX2, SIMD_AVX512, SIMD_TIERS } simd_tier;

/* Columns of activations. For QUANT_ACT_F32 data holds floats, `stride` bytes a column, with the alignment of
 * floats only and nothing after the last. Otherwise a column is
 *   int8_t  q[k]        at 0          round(x * (127 / amax)), ties to even, a block of len = 32 or 256
 *   float   d[k / len]  at off_d      amax / 127
 *   int16_t s32[k / 32] at off_s32    sums of q over 32
 *   int16_t s16[k / 16] at off_s16    sums of q over 16
 * all aligned to 64 bytes. A block whose amax is below 2^-100 is all zeros with d = 0; one that holds an
 * infinity or a NaN is all zeros with d = NaN, so that the result is NaN too. */
typedef struct simd_act {
    quant_act kind;
    int64_t k;
    size_t stride, off_d, off_s32, off_s16;
    uint8_t *data;
} simd_act;

/* Fills in everything but data; the size of n columns is n * stride. */
void simd_act_layout(simd_act *a, quant_act kind, int64_t k);

/* A tile of y = W x: rows x cols outputs. */
typedef struct simd_tile {
    const uint8_t *w;       /* first row, first block; any alignment */
    size_t row_bytes;       /* from row to row */
    int64_t k;              /* length of a row, whole blocks */
    int64_t rows;           /* any number */
    const simd_act *x;      /* of the format's activation kind */
    const int32_t *x_index; /* column c reads activation column x_index[c]; NULL: c itself */
    int cols;               /* any number */
    float *y;               /* output of row r, column c: y[y_index[c] * ldy + r] (NULL: c itself) */
    const int32_t *y_index;
    size_t ldy;
    void *scratch; /* SIMD_SCRATCH bytes, aligned to 64, this thread's own */
    const uint8_t *ahead; /* weights that will be read after these, `ahead_bytes` of them: fetched meanwhile; or NULL */
    size_t ahead_bytes;
} simd_tile;

enum { SIMD_SCRATCH = 2 * 1024 * 1024 };

/* Reads of weights stay inside rows * row_bytes: no kernel touches a byte outside of it. */
typedef void (*simd_tile_fn)(const simd_tile *t);

/* Attention of some query rows to one page (SIMD_PAGE keys) of one KV head, in three steps over lo <= j < hi; the
 * page's own maximum, sum and weighted values are then merged with the other pages' in order (attn_merge).
 *   attn_qk       s[j] = q . k[j]. F32, F16, BF16: a sequential fma over the dimensions. Quantized types: block by block
 *                 s = fma(float(sum of q k), d_k * d_q, s), the sum an exact integer, rounded to float
 *   attn_softmax  s = s * scale; softcap > 0: s = softcap * tanh(s / softcap); slope: s = fma(slope, -|j + dist|, s);
 *                 m = max s[j], p[j] = exp(s[j] - m) takes the place of s[j], l = sum of p (sixteen partials by j mod 16)
 *   attn_pv       o[d] = sum of p[j] v[j][d], a sequential fma over the keys. Quantized types: fma(p[j] * d_v, q, o)
 * What kernels leave in s outside of lo .. hi is garbage. */
typedef struct simd_attn {
    const void *k;             /* pages: kv.h */
    const void *v;
    int dk, dv;                /* any number up to SIMD_MAX_HEAD; quantized: a multiple of 32 */
    int rows;                  /* any number */
    const float *const *q;     /* [rows], dk floats each */
    const void *const *query;  /* [rows], made by simd_query_make; for quantized keys */
    const int32_t *lo, *hi;    /* [rows]; 0 <= lo < hi <= SIMD_PAGE */
    float scale, softcap;
    const float *slope;        /* [rows] ALiBi slopes, or NULL */
    const int32_t *dist;       /* [rows] position of the page's key 0 minus the query's; with slope only */
    float *s;                  /* [rows][SIMD_PAGE], aligned to 64 bytes */
    float *m, *l;              /* [rows] out */
    float *o;                  /* [rows][ldo] out */
    size_t ldo;
    void *scratch;             /* SIMD_SCRATCH bytes */
    const uint8_t *ahead;      /* what will be read next, `ahead_bytes` of it: fetched meanwhile; or NULL */
    size_t ahead_bytes;
} simd_attn;
typedef void (*simd_attn_fn)(const simd_attn *a);
enum { SIMD_MAX_HEAD = 1024 };

/* Results of pages, or of what was merged from pages, merged into running ones, a row each:
 * M = max(m, m2), a = exp(m - M), b = exp(m2 - M), m = M, l = fma(l, a, l2 * b), o = fma(o, a, o2 * b).
 * The first of a row is copied by the caller. */
typedef struct simd_merge {
    int rows;
    size_t n;               /* floats of an o */
    float *m, *l, *o;       /* [..], [..], [..][n] */
    const int32_t *to;      /* [rows] row i of m2, l2, o2 goes into row to[i] of m, l, o; all differ */
    const float *m2, *l2;   /* [rows] */
    const float *o2;        /* [rows][ldo2] */
    size_t ldo2;
} simd_merge;

typedef struct simd_table {
    simd_tile_fn tile[QUANT_FORMATS];

    /* x[k] to column data (laid out by simd_act_layout) of kind Q32 or Q256. */
    void (*quantize)(const simd_act *a, const float *x, uint8_t *column);
    /* rest[k] = x - q * d: what the quantized column leaves over; product and difference rounded. */
    void (*residual)(const simd_act *a, const float *x, const uint8_t *column, float *rest);

    /* y = x * (1 / sqrt(mean(x^2) + eps)) * w; the sum by sixteen partials, the mean by one division,
     * then (x * r) * w. w may be NULL. y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* y = (x - mean(x)) * (1 / sqrt(mean((x - mean)^2) + eps)) * w + b; sums by sixteen partials, means by one
     * division, d = x - mean rounded, then d * r, * w, + b one by one. w and b may be NULL. y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, size_t n, float eps);
    void (*add)(float *y, const float *a, const float *b, size_t n);               /* y = a + b */
    void (*mul)(float *y, const float *a, const float *b, size_t n);               /* y = a * b */
    void (*scale)(float *y, const float *a, float s, size_t n);                    /* y = a * s */
    void (*madd)(float *y, const float *a, float s, size_t n);                     /* y = fma(a, s, y) */
    float (*dot)(const float *a, const float *b, size_t n);                        /* sixteen partials */
    float (*max)(const float *a, size_t n);                                        /* n >= 1; NaNs skipped */
    /* y[i] = exp(x[i] - m), returns their sum (sixteen partials) */
    float (*exp_sum)(float *y, const float *x, float m, size_t n);

    /* Activations, y may be x (vmath.h has the formulas and bounds). */
    void (*silu)(float *y, const float *x, size_t n);
    void (*gelu)(float *y, const float *x, size_t n);       /* by erf */
    void (*gelu_tanh)(float *y, const float *x, size_t n);
    void (*gelu_quick)(float *y, const float *x, size_t n);
    void (*sigmoid)(float *y, const float *x, size_t n);
    void (*tanh)(float *y, const float *x, size_t n);
    void (*exp)(float *y, const float *x, size_t n);
    void (*softplus)(float *y, const float *x, size_t n);
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);      /* silu(gate) * up */
    void (*gelu_mul)(float *y, const float *gate, const float *up, size_t n);
    void (*gelu_tanh_mul)(float *y, const float *gate, const float *up, size_t n);

    /* Rotates pairs by angles given as cos, sin: cs[2 i], cs[2 i + 1] for pair i of n / 2.
     * (x0, x1) -> (x0 c - x1 s, x0 s + x1 c), each product and sum rounded.
     * rope_norm: pairs (2i, 2i + 1); rope_neox: pairs (i, i + n/2). In place.
     * With -mfma the vectorizer of GCC 12 makes one rounding (vfmaddsub) of such pairs in plain C, whatever
     * -ffp-contract says: a tier writes them, tails too, with intrinsics. */
    void (*rope_norm)(float *x, const float *cs, size_t n);
    void (*rope_neox)(float *x, const float *cs, size_t n);

    simd_attn_fn attn_qk[SIMD_KV_TYPES], attn_softmax, attn_pv[SIMD_KV_TYPES];
    void (*attn_merge)(const simd_merge *g);

    /* Conversions of n elements, exact or rounded to nearest even. */
    void (*f16_to_f32)(float *y, const uint16_t *x, size_t n);
    void (*f32_to_f16)(uint16_t *y, const float *x, size_t n);
} simd_table;

/* What a file of a tier exports: a table with its slots filled, the others NULL. */
typedef struct simd_part {
    simd_table t;
} simd_part;

/* The kernels in use. Valid after simd_init. */
extern simd_table simd;

/* Chooses the tier: `force` (a name, NULL: the environment's TAWNY_CPU, else the best available). Fails
 * with TAWNY_E_CPU where it is not available or unknown. May be called again (tests); not while computing. */
tawny_status simd_init(const char *force, tawny_error *err);
simd_tier simd_current(void);
bool simd_available(simd_tier t);
const char *simd_tier_name(simd_tier t);
/* The tier that serves a format's tiles at present. */
simd_tier simd_tile_tier(quant_id f);

#endif
