/* Tiles: every format, all shapes around the widths of the kernels. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

enum { MAX_COLS = 64, MAX_ROWS = 200, PAD = 3 };

/* Memory for one tile, reused by all cases. */
static struct {
    region w, x, y, want, scratch;
} mem;

static void memory_new(void)
{
    mem.w = region_new((size_t)12 << 20);
    mem.x = region_new((size_t)8 << 20);
    mem.y = region_new((MAX_COLS + 2) * (MAX_ROWS + PAD) * sizeof(float) + 64);
    mem.want = region_new(mem.y.size);
    mem.scratch = region_new(SIMD_SCRATCH);
}

static void memory_free(void)
{
    region_free(&mem.w);
    region_free(&mem.x);
    region_free(&mem.y);
    region_free(&mem.want);
    region_free(&mem.scratch);
}

typedef struct tile_case {
    quant_id format;
    int64_t rows, k;
    int cols;
    uint64_t seed; /* decides everything else */
} tile_case;

typedef struct tile_call {
    simd_tile_fn fn;
    simd_tile t;
} tile_call;

static void call_tile(void *p)
{
    tile_call *c = p;
    c->fn(&c->t);
}

/* A permutation of n of the m columns. */
static void permute(int32_t *index, int n, int m, uint64_t seed)
{
    int32_t all[MAX_COLS + 2];
    for (int i = 0; i < m; i++) all[i] = i;
    for (int i = 0; i < n; i++) {
        int j = i + (int)(random_u64(seed, (uint64_t)i) % (uint64_t)(m - i));
        int32_t t = all[i];
        all[i] = all[j];
        all[j] = t;
        index[i] = all[i];
    }
}

static const float canary = -6.25e18f;

static void fill(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = canary;
}

/* Runs the specification and every tier of the family on one case. */
static void check_tile(family *f, const tile_case *c)
{
    const quant_traits *q = &quant_table[c->format];
    uint64_t s = c->seed;
    int w_kind = s / 16 % 2 ? (int)(s % WEIGHT_KINDS) : 0, x_kind = s / 256 % 2 ? (int)(s / 32 % ACT_KINDS) : 0;
    int places[4] = {AT_END, 0, (int)(1 + s % 63), AT_END}, w_at = places[s / 512 % 4];
    int columns = c->cols + 2, outputs = c->cols + 2;
    int32_t x_index[MAX_COLS], y_index[MAX_COLS];
    size_t row = quant_row_bytes(c->format, (size_t)c->k), stride = row + (s / 2048 % 4 == 0 ? 34 : 0);
    size_t ldy = (size_t)c->rows + s / 8192 % PAD + (c->rows == 0), ny = ldy * (size_t)outputs;
    simd_act x;
    simd_act_layout(&x, q->act, c->k);
    uint8_t *w = region_place(&mem.w, stride * (size_t)c->rows, w_at);
    x.data = region_place(&mem.x, x.stride * (size_t)columns, s / 65536 % 2 ? AT_END : 0);
    for (int64_t r = 0; r < c->rows; r++)
        make_weights(c->format, w + (size_t)r * stride, (size_t)(c->k / q->block_len), w_kind,
                     s * 4096 + (uint64_t)r);
    make_columns(&x, columns, x_kind, s * 256);
    for (int i = 0; i < c->cols; i++) x_index[i] = (int32_t)(random_u64(s, (uint64_t)i) % (uint64_t)columns);
    permute(y_index, c->cols, outputs, ~s);
    float *y = region_place(&mem.y, ny * sizeof *y, s / 131072 % 2 ? AT_END : 4);
    float *want = region_place(&mem.want, ny * sizeof *want, 0);
    tile_call call = {(simd_tile_fn)f->scalar, {
        .w = w, .row_bytes = stride, .k = c->k, .rows = c->rows, .x = &x, .x_index = s / 262144 % 2 ? x_index : NULL,
        .cols = c->cols, .y = want, .y_index = s / 524288 % 2 ? y_index : NULL, .ldy = ldy,
        .scratch = mem.scratch.base}};
    fill(want, ny);
    call_guarded(-1, call_tile, &call);
    for (int i = 0; i < n_tiers; i++) {
        if (!f->fn[i]) continue;
        call.fn = (simd_tile_fn)f->fn[i];
        call.t.y = y;
        fill(y, ny);
        bool lived = call_guarded(i, call_tile, &call);
        long diff = lived ? first_difference(y, want, ny) : 0, at = diff < 0 ? 0 : diff;
        check_result(f, i, diff < 0,
                     "rows %ld cols %d k %ld seed %lu (weights %d at %d, columns %d): %s row %ld output %ld: %a, "
                     "should be %a", (long)c->rows, c->cols, (long)c->k, (unsigned long)s, w_kind, w_at, x_kind,
                     lived ? "" : "FAULT, outside of its operands;", at % (long)ldy, at / (long)ldy, (double)y[at],
                     (double)want[at]);
    }
}

/* A number of whole blocks (of the weights and of the activations) of about k weights. */
static int64_t blocks(const quant_traits *q, int64_t n) { return n * q->block_len; }

/* Small tiles of every number of rows, and of columns from 1 to 9. */
static void small_tiles(family *f, quant_id id, uint64_t *seed)
{
    const quant_traits *q = &quant_table[id];
    for (int rows = 1; rows <= 70; rows++)
        for (int i = 0; i < 36; i++) {
            int cols = 1 + i % 9;
            uint64_t r = random_u64(id, ++*seed);
            int64_t n = q->block_len == 256 ? 1 + (int64_t)(r % 3) : q->block_len > 1 ? 1 + (int64_t)(r % 12)
                                                                                      : 1 + (int64_t)(r % 150);
            check_tile(f, &(tile_case){id, rows, blocks(q, n), cols, r});
        }
}

static void larger_tiles(family *f, quant_id id, uint64_t *seed)
{
    static const int cols[] = {12, 16, 33, 64}, rows[] = {1, 16, 33, 48, 70};
    const quant_traits *q = &quant_table[id];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 5; j++) {
            uint64_t r = random_u64(id, ++*seed);
            check_tile(f, &(tile_case){id, rows[j], blocks(q, 768 / q->block_len + (int64_t)(r % 2)), cols[i], r});
        }
}

/* Long rows, among them odd numbers of blocks; kinds of operands that do not overflow early (seed bits). */
static void long_rows(family *f, quant_id id, uint64_t *seed)
{
    static const int shapes[][3] = {{1, 1, 4096}, {16, 1, 5376}, {33, 4, 2304}, {17, 7, 4352}, {200, 1, 1024},
                                    {5, 2, 7936}, {8, 33, 2304}, {2, 1, 16384}, {67, 3, 3840}, {128, 2, 768},
                                    {35, 5, 65536}, {16, 2, 28672}, {0, 3, 768}, {5, 0, 768},
                                    {39, 27, 2304}, {39, 26, 4352}};
    const quant_traits *q = &quant_table[id];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint64_t r = random_u64(id, ++*seed) & ~(uint64_t)0x110; /* sane weights and columns */
        int64_t k = shapes[i][2] - (i % 2 && q->block_len < 256 ? q->block_len : 0);
        check_tile(f, &(tile_case){id, shapes[i][0], k, shapes[i][1], r});
    }
}

void check_tiles(void)
{
    memory_new();
    for (int id = 0; id < QUANT_FORMATS; id++) {
        family f;
        char name[32];
        uint64_t seed = 0;
        snprintf(name, sizeof name, "tile %s", quant_table[id].name);
        if (!family_open(&f, name, offsetof(simd_table, tile) + (size_t)id * sizeof(simd_tile_fn))) continue;
        small_tiles(&f, (quant_id)id, &seed);
        larger_tiles(&f, (quant_id)id, &seed);
        long_rows(&f, (quant_id)id, &seed);
        family_close(&f);
    }
    memory_free();
}
