/* Timing of the kernels, one thread: GB/s of weights at one column, GOPS (two a weight and column) at many. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels.h"

enum { LONG_ROW = 4096, L2_BYTES = 256 << 10, BATCH_ROWS = 256, MOST_COLUMNS = 16 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct bench {
    uint8_t *w, *scratch, *acts;
    float *y;
    size_t w_bytes;
} bench;

static double best_of(void (*call)(void *), void *arg, double seconds)
{
    double best = 1e9, start = now();
    for (int i = 0; i < 3 || now() - start < seconds; i++) {
        double at = now();
        call(arg);
        double s = now() - at;
        if (s < best) best = s;
    }
    return best;
}

double best_time(void (*call)(void *), void *arg) { return best_of(call, arg, 0.1); }

typedef struct tile_call {
    simd_tile_fn fn;
    const simd_tile *t;
} tile_call;

static void call_tile(void *p)
{
    const tile_call *c = p;
    c->fn(c->t);
}

/* rows x 4096 weights by cols columns: seconds. */
static double time_tile(const bench *b, simd_tile_fn fn, quant_id id, int64_t rows, int cols, double seconds)
{
    simd_act x;
    simd_act_layout(&x, quant_table[id].act, LONG_ROW);
    x.data = b->acts;
    make_columns(&x, cols, 0, 1);
    simd_tile t = {.w = b->w, .row_bytes = quant_row_bytes(id, LONG_ROW), .k = LONG_ROW, .rows = rows, .x = &x,
                   .cols = cols, .y = b->y, .ldy = (size_t)rows, .scratch = b->scratch};
    return best_of(call_tile, &(tile_call){fn, &t}, seconds);
}

static void bench_tile(const bench *b, const tier *t, quant_id id)
{
    simd_tile_fn fn = t->t.tile[id];
    size_t row = quant_row_bytes(id, LONG_ROW);
    int64_t all = (int64_t)(b->w_bytes / row), near = (int64_t)(L2_BYTES / row) / 16 * 16; /* as units of a model */
    simd = t->t;
    double memory = (double)all * (double)row / time_tile(b, fn, id, all, 1, 0.1) * 1e-9;
    double cache = (double)near * (double)row / time_tile(b, fn, id, near, 1, 0.1) * 1e-9;
    double ops = (double)(2 * BATCH_ROWS * LONG_ROW) * 1e-9;
    double g64 = ops * 64 / time_tile(b, fn, id, BATCH_ROWS, 64, 0.1), g512 = 0;
    if (strcmp(t->name, "scalar") != 0) g512 = ops * 512 / time_tile(b, fn, id, BATCH_ROWS, 512, 0.1);
    double some[2] = {0};
    for (int i = 0; i < 2 && strcmp(t->name, "scalar") != 0; i++)
        some[i] = (double)all * (double)row / time_tile(b, fn, id, all, i ? 32 : 8, 0.1) * 1e-9;
    printf("%-10s %-8s %8.2f %8.2f %8.2f %8.2f %10.1f %10.1f\n", quant_table[id].name, t->name, cache, memory,
           some[0], some[1], g64, g512);
    fflush(stdout);
}

static bool tile_wanted(int id)
{
    char name[32];
    snprintf(name, sizeof name, "tile %s", quant_table[id].name);
    return name_wanted(name);
}

/* Weights from L2 by 1 to MOST_COLUMNS columns. What reads less than a pass for each column would, or loses a tenth of
 * what all columns together had before this one, is marked. */
static void bench_columns(const bench *b, const tier *t, quant_id id)
{
    size_t row = quant_row_bytes(id, LONG_ROW);
    int64_t near = (int64_t)(L2_BYTES / row) / 16 * 16;
    double one = 0, before = 0;
    simd = t->t;
    printf("| %s | %s |", quant_table[id].name, t->name);
    for (int c = 1; c <= MOST_COLUMNS; c++) {
        double g = (double)near * (double)row / time_tile(b, t->t.tile[id], id, near, c, 0.02) * 1e-9;
        if (c == 1) one = g;
        bool passes = g * c < one, falls = g * c < 0.9 * before;
        printf(g < 10 ? " %.1f%s%s |" : " %.0f%s%s |", g, passes ? " P" : "", falls ? " F" : "");
        before = g * c;
    }
    printf("\n");
    fflush(stdout);
}

static void columns_head(void)
{
    printf("## Tiles of 1 to %d columns, one thread\n\n"
           "`build/tests/kernels --columns`: GB/s of weights from L2, rows of %d. P: slower than a pass for each column; F: all\n"
           "columns together get less than nine tenths of what one fewer get.\n\n| format | tier |", MOST_COLUMNS, LONG_ROW);
    for (int c = 1; c <= MOST_COLUMNS; c++) printf(" %d |", c);
    printf("\n|---|---|");
    for (int c = 1; c <= MOST_COLUMNS; c++) printf("--:|");
    printf("\n");
}

static void tiles_head(void)
{
    printf("%-10s %-8s %8s %8s %8s %8s %10s %10s\n", "", "", "GB/s", "GB/s", "GB/s", "GB/s", "GOPS", "GOPS");
    printf("%-10s %-8s %8s %8s %8s %8s %10s %10s\n", "format", "tier", "L2", "memory", "8 cols", "32 cols", "64 cols",
           "512 cols");
}

void bench_tiles(bool columns)
{
    bool any = false;
    for (int id = 0; id < QUANT_FORMATS; id++) any = any || tile_wanted(id);
    if (!any) return;
    bench b = {.w_bytes = (size_t)48 << 20};
    simd_act x;
    simd_act_layout(&x, QUANT_ACT_F32, LONG_ROW);
    b.w = aligned_alloc(64, b.w_bytes);
    b.scratch = aligned_alloc(64, SIMD_SCRATCH);
    b.acts = aligned_alloc(64, x.stride * 512);
    b.y = malloc(b.w_bytes > sizeof(float) * 512 * BATCH_ROWS ? b.w_bytes : sizeof(float) * 512 * BATCH_ROWS);
    if (columns) columns_head();
    else tiles_head();
    for (int id = 0; id < QUANT_FORMATS; id++) {
        if (!tile_wanted(id)) continue;
        make_weights((quant_id)id, b.w, b.w_bytes / (size_t)quant_table[id].block_bytes, 0, 1);
        for (int i = 0; i < n_tiers; i++)
            if (i == 0 || tiers[i].t.tile[id] != tiers[i - 1].t.tile[id])
                (columns ? bench_columns : bench_tile)(&b, &tiers[i], (quant_id)id);
    }
    free(b.w);
    free(b.scratch);
    free(b.acts);
    free(b.y);
}
