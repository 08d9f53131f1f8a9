/* The kernels of every weight format against the machine's limits, which are measured between them: one column of
 * activations (decode: bytes of weights from memory) and many (prefill: operations), all cores at once.
 *     roofline [THREADS]      one JSON object on stdout; tools/results makes the table and the drawing of it */
#include <jansson.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "engine/limits.h"

enum { K = 4096, POOL = 64 * K, COLUMNS = 512, PANEL = 256, LEAST = 256 << 20, ROUNDS = 5 };
static const double decode_seconds = 0.04, prefill_seconds = 0.08;

typedef struct place { /* a thread's */
    uint8_t *w, *scratch;
    size_t bytes; /* of w */
    float *y;
} place;

typedef struct bench {
    int threads, cpus[CPU_MAX], cores;
    place *at;
    uint8_t *acts; /* COLUMNS columns of any kind, read by all */
    limits *machine;
} bench;

static uint32_t next(uint32_t *x) { return *x = *x * 1664525 + 1013904223; }

/* Blocks made by the encoder, or, where there is none, of bytes that make no scale infinite or tiny. */
static void make_pool(quant_id id, uint8_t *pool)
{
    const quant_traits *q = &quant_table[id];
    uint32_t x = 12345;
    float *row = malloc(K * sizeof *row);
    if (!row) exit(1);
    for (size_t at = 0; at < POOL; at += K) {
        uint8_t *out = pool + quant_row_bytes(id, at);
        for (size_t i = 0; i < K; i++) row[i] = (float)(int32_t)next(&x) * 0x1p-31f;
        if (q->encode) q->encode(row, out, K);
        else
            for (size_t i = 0; i < quant_row_bytes(id, K); i++) out[i] = (uint8_t)(next(&x) >> 24 & 0x3f);
    }
    free(row);
}

static void make_weights(const bench *b, quant_id id, int thread, const uint8_t *pool)
{
    size_t n = quant_row_bytes(id, POOL);
    for (size_t at = 0; at + n <= b->at[thread].bytes; at += n) memcpy(b->at[thread].w + at, pool, n);
}

static void make_columns(simd_act *a)
{
    uint32_t x = 99;
    float *row = malloc((size_t)a->k * sizeof *row);
    if (!row) exit(1);
    for (int c = 0; c < COLUMNS; c++) {
        uint8_t *column = a->data + (size_t)c * a->stride;
        for (int64_t i = 0; i < a->k; i++) row[i] = (float)(int32_t)next(&x) * 0x1p-31f;
        if (a->kind == QUANT_ACT_F32) memcpy(column, row, (size_t)a->k * sizeof *row);
        else simd.quantize(a, row, column);
    }
    free(row);
}

/* All threads, for so long: tiles of `rows` rows by `cols` columns, through each thread's weights. Weights a second. */
static double rate(const bench *b, quant_id id, const simd_act *x, int64_t rows, int cols, double seconds)
{
    double start = clock_now(), end = start, weights = 0;
#pragma omp parallel num_threads(b->threads) reduction(max : end) reduction(+ : weights)
    {
        const place *p = &b->at[omp_get_thread_num()];
        size_t row = quant_row_bytes(id, K), piece = (size_t)rows * row, pass = cols > 1 ? piece : p->bytes / piece * piece;
        do {
            for (size_t at = 0; at < pass; at += piece) {
                simd_tile t = {.w = p->w + at, .row_bytes = row, .k = K, .rows = rows, .x = x, .cols = cols,
                               .y = p->y, .ldy = (size_t)rows, .scratch = p->scratch};
                simd.tile[id](&t);
                weights += (double)rows * K;
                end = clock_now();
                if (end - start > seconds) break;
            }
        } while (end - start < seconds);
    }
    return weights / (end - start);
}

/* Medians of a format's rates, of the limits beside them, and of the shares that each round reached. */
static json_t *measure(const bench *b, quant_id id)
{
    const quant_traits *q = &quant_table[id];
    limits_kind arithmetic = q->act == QUANT_ACT_F32 ? LIMITS_F32 : LIMITS_INT8;
    double v[6][ROUNDS], bytes = (double)q->block_bytes / q->block_len;
    simd_act x;
    simd_act_layout(&x, q->act, K);
    x.data = b->acts;
    make_columns(&x);
    uint8_t *pool = malloc(quant_row_bytes(id, POOL));
    if (!pool) exit(1);
    make_pool(id, pool);
#pragma omp parallel num_threads(b->threads)
    make_weights(b, id, omp_get_thread_num(), pool);
    free(pool);
    rate(b, id, &x, 64, 1, decode_seconds / 4);
    for (int i = 0; i < ROUNDS; i++) {
        limits_settle();
        v[1][i] = limits_sample(b->machine, LIMITS_READ, simd_current(), decode_seconds);
        v[0][i] = rate(b, id, &x, 64, 1, decode_seconds) * bytes * 1e-9;
        limits_settle();
        v[3][i] = limits_sample(b->machine, arithmetic, simd_current(), decode_seconds / 4);
        v[2][i] = rate(b, id, &x, PANEL, COLUMNS, prefill_seconds) * COLUMNS * 2e-9;
        v[4][i] = 100 * v[0][i] / v[1][i];
        v[5][i] = 100 * v[2][i] / v[3][i];
    }
    double m[6];
    for (int k = 0; k < 6; k++) m[k] = limits_range_of(v[k], ROUNDS).median;
    return json_pack("{s:s, s:s, s:f, s:b, s:f, s:f, s:f, s:f, s:f, s:f}", "format", q->name, "tier",
                     simd_tier_name(simd_tile_tier(id)), "bits", 8 * bytes, "float", q->act == QUANT_ACT_F32,
                     "decode_gb_s", m[0], "read_gb_s", m[1], "prefill_gops", m[2], "peak_gops", m[3],
                     "percent_of_read", m[4], "percent_of_peak", m[5]);
}

static void prepare(bench *b, int threads)
{
    tawny_error err;
    simd_act x;
    int n = cpu_order(b->cpus, CPU_MAX, &b->cores);
    if (b->cores > n || b->cores < 1) b->cores = n > 0 ? n : 1;
    b->threads = threads > 0 && threads <= CPU_MAX ? threads : b->cores;
    if (simd_init(NULL, &err) || limits_new(0, true, &b->machine, &err) ||
        limits_threads(b->machine, b->threads, b->cpus, b->cores, &err)) {
        fprintf(stderr, "roofline: %s\n", err.message);
        exit(1);
    }
    simd_act_layout(&x, QUANT_ACT_F32, K);
    b->acts = mem_map(x.stride * COLUMNS, true);
    b->at = calloc((size_t)b->threads, sizeof *b->at);
    size_t all = limits_bytes(b->machine) > LEAST ? limits_bytes(b->machine) : LEAST;
    for (int i = 0; b->at && i < b->threads; i++) {
        place *p = &b->at[i];
        p->bytes = all / (size_t)b->threads;
        p->w = mem_map(p->bytes, true);
        p->scratch = mem_map(SIMD_SCRATCH, true);
        p->y = mem_map((size_t)PANEL * COLUMNS * sizeof *p->y, true);
        if (!p->w || !p->scratch || !p->y) b->acts = NULL;
    }
    if (b->acts && b->at) return;
    fprintf(stderr, "roofline: out of memory\n");
    exit(1);
}

int main(int argc, char **argv)
{
    static bench b;
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    prepare(&b, argc > 1 ? atoi(argv[1]) : 0);
    strftime(when, sizeof when, "%Y-%m-%d", gmtime_r(&now, &tm));
    const cpu_info *c = cpu_get();
    json_t *formats = json_array();
    for (int id = 0; id < QUANT_FORMATS; id++) {
        fprintf(stderr, "roofline: %s\n", quant_table[id].name);
        json_array_append_new(formats, measure(&b, (quant_id)id));
    }
    json_t *all = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:f, s:o}", "date", when, "cpu", c->name, "family",
                            (int)c->family, "model", (int)c->model, "cores", b.cores, "threads", b.threads, "tier",
                            simd_tier_name(simd_current()), "compiler", __VERSION__, "huge_pages",
                            limits_huge_share(b.machine), "formats", formats);
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(5));
    printf("\n");
    json_decref(all);
    return 0;
}
