/* y = W x over the team: activations are quantized once a kind, rows are shared out in units drawn from a
 * common counter in address order, so that a slow core takes fewer and memory is read as it lies. */
#include <string.h>

#include "glu.h"

enum {
    UNIT_BYTES = 256 * 1024,
    FEW_COLUMNS = 8,   /* units of any size, */
    SOME_COLUMNS = 32, /* or of a few panels */
    ROW_COLUMNS = 2,   /* served from rows for sure, also in two planes: more may take panels */
    PANEL = 32,
    ROWS = 16,
    MOST_PANELS = 4,
    MOST_ROWS = 1024
};

/* What the rows of a unit are a multiple of. */
static int64_t rows_step(int cols) { return cols > ROW_COLUMNS ? PANEL : ROWS; }

static int planes_for(const run *r, const weight *w) { return w == &r->m->output ? 2 : r->sh->planes; }

void run_quantize(run *r, run_acts *a, const weight *w, const float *x, int n)
{
    quant_act kind = quant_table[w->format].act;
    int64_t k = w->k;
    if (kind == QUANT_ACT_F32) {
        a->planes = 1;
        a->act = (simd_act){.kind = kind, .k = k, .stride = (size_t)k * sizeof(float), .data = (uint8_t *)(uintptr_t)x};
        return;
    }
    a->planes = planes_for(r, w);
    a->n = n;
    simd_act_layout(&a->act, kind, k);
    a->act.data = run_token_bytes(r, (size_t)(n * a->planes) * a->act.stride);
    run_mark mark = run_mark_at(r);
    float *rest = run_own_bytes(r, (size_t)k * sizeof *rest);
    int from, to;
    run_share(r, n, &from, &to);
    for (int t = from; t < to; t++) {
        const float *row = x + (size_t)t * (size_t)k;
        uint8_t *column = a->act.data + (size_t)t * a->act.stride;
        simd.quantize(&a->act, row, column);
        if (a->planes == 1) continue;
        simd.residual(&a->act, row, column, rest);
        simd.quantize(&a->act, rest, column + (size_t)n * a->act.stride);
    }
    run_release(r, mark);
}

/* Outputs of a unit, for n columns. */
static size_t unit_outputs(int n)
{
    size_t panel = (size_t)PANEL * (size_t)n, some = (size_t)MOST_PANELS * PANEL * SOME_COLUMNS, few = (size_t)MOST_ROWS * FEW_COLUMNS;
    size_t most = some > few ? some : few;
    return panel > most ? panel : most;
}

/* An index of 2 n columns, and their outputs. */
run_space run_product_space(run *r, int n)
{
    return (run_space){.planes = run_own_bytes(r, (2 * (size_t)n + 16 + 2 * unit_outputs(n)) * sizeof(float))};
}

run_space run_glu_space(run *r, int n)
{
    run_space s = run_product_space(r, n);
    s.most = unit_outputs(n);
    s.glu = run_own_bytes(r, 2 * s.most * sizeof(float));
    return s;
}

/* Both planes in one pass over the weights, as twice the columns; then their sums. */
static void product_of_planes(simd_tile t, const weight *w, const run_acts *x, float *space)
{
    int32_t *column = (int32_t *)(void *)space;
    const int32_t *y_index = t.y_index;
    int n = t.cols;
    float *y = t.y, *sums = space + (size_t)(2 * n + 15) / 16 * 16;
    size_t ldy = t.ldy, rows = (size_t)t.rows;
    for (int c = 0; c < n; c++) {
        column[c] = t.x_index ? t.x_index[c] : c;
        column[n + c] = x->n + column[c];
    }
    t.x_index = column;
    t.cols = 2 * n;
    t.y = sums;
    t.y_index = NULL;
    t.ldy = rows;
    simd.tile[w->format](&t);
    for (int c = 0; c < n; c++)
        simd.add(y + (size_t)(y_index ? y_index[c] : c) * ldy, sums + (size_t)c * rows, sums + (size_t)(n + c) * rows, rows);
}

void run_product(run *r, const run_part *p, const run_space *space)
{
    const weight *w = p->w;
    simd_tile t = {
        .w = w->data + (size_t)p->row * w->row_bytes, .row_bytes = w->row_bytes, .k = w->k, .rows = p->rows,
        .x = &p->x->act, .x_index = p->x_index, .cols = p->cols,
        .y = p->y, .y_index = p->y_index, .ldy = p->ldy, .scratch = r->scratch,
    };
    if (p->next && p->next_row < p->next->rows) {
        int64_t left = p->next->rows - p->next_row;
        t.ahead = p->next->data + (size_t)p->next_row * p->next->row_bytes;
        t.ahead_bytes = (size_t)(left < PANEL ? left : PANEL) * p->next->row_bytes;
    }
    if (p->x->planes == 2)
        product_of_planes(t, w, p->x, space->planes);
    else if (!run_gemm(r, w, &t)) /* floats alone go by gemm */
        simd.tile[w->format](&t);
    for (int c = 0; c < p->cols && (w->scale || p->bias); c++) {
        float *out = t.y + (size_t)(p->y_index ? p->y_index[c] : c) * t.ldy;
        if (w->scale) simd.scale(out, out, *w->scale, (size_t)p->rows);
        if (p->bias) simd.add(out, out, p->bias + p->row, (size_t)p->rows);
    }
}

/* With many columns both products are made in memory of the thread's own, one column after the other: in y neighbouring
 * columns lie a row apart, often a power of two, and evict each other before they are read again. */
void run_glu(run *r, const run_part *gate, const run_part *up, glu act, float limit, const run_space *space)
{
    run_part g = *gate, u = up ? *up : g;
    size_t rows = (size_t)g.rows, n = rows * (size_t)g.cols;
    bool near = g.cols > FEW_COLUMNS && n <= space->most;
    if (near) {
        g.y = space->glu;
        u.y = space->glu + space->most;
        g.y_index = u.y_index = NULL;
        g.ldy = u.ldy = rows;
    }
    run_product(r, &g, space);
    if (up) run_product(r, &u, space);
    if (near) glu_combine(act, limit, g.y, g.y, up ? u.y : NULL, n);
    for (int c = 0; c < g.cols; c++) {
        size_t at = (size_t)(gate->y_index ? gate->y_index[c] : c) * gate->ldy;
        if (near) memcpy(gate->y + at, g.y + (size_t)c * rows, rows * sizeof *g.y);
        else glu_combine(act, limit, g.y + at, g.y + at, up ? u.y + at : NULL, rows);
    }
}

/* In prefill a panel, with some columns a few; in decode as many as make up UNIT_BYTES. But at least four units a
 * thread; one thread need not share. */
int64_t run_unit_rows(const run *r, const weight *w, int cols)
{
    if (cols > SOME_COLUMNS) return PANEL;
    int64_t step = rows_step(cols), most = cols > FEW_COLUMNS ? MOST_PANELS * PANEL : MOST_ROWS;
    int64_t by_bytes = (int64_t)(UNIT_BYTES / (w->row_bytes ? w->row_bytes : 1)), by_share = w->rows / (4 * r->threads);
    int64_t rows = by_bytes < by_share ? by_bytes : by_share;
    if (rows > most || r->threads == 1) rows = most;
    return rows < step ? step : rows / step * step;
}

/* The same for n matrices of the same rows, in larger pieces where all go by gemm. */
static int64_t step_of(const run *r, const job *jobs, int n)
{
    int64_t least = run_gemm_rows(r, jobs[0].w, r->n);
    for (int i = 1; i < n; i++) {
        int64_t rows = run_gemm_rows(r, jobs[i].w, r->n);
        if (rows < least) least = rows;
    }
    return least ? least : run_unit_rows(r, jobs[0].w, r->n);
}

/* How the rows of a matrix are cut: in units, the last round of which goes in quarters, so that threads end together. */
typedef struct row_cut {
    int64_t rows, step, small, big, units; /* big: how many of `step` come first */
} row_cut;

static row_cut cut_rows(const run *r, const job *jobs, int n)
{
    row_cut c = {.rows = jobs[0].w->rows, .step = step_of(r, jobs, n)};
    int64_t least = rows_step(r->n);
    c.small = r->n > FEW_COLUMNS || c.step < 4 * least ? c.step : c.step / 4 / least * least;
    c.big = c.rows / c.step > r->threads ? c.rows / c.step - r->threads : 0;
    c.units = c.big + (c.rows - c.big * c.step + c.small - 1) / c.small;
    return c;
}

/* Unit u: its first row; how many. */
static int64_t rows_at(const row_cut *c, int64_t u, int64_t *n)
{
    int64_t row = u < c->big ? u * c->step : c->big * c->step + (u - c->big) * c->small;
    *n = u < c->big ? c->step : c->small;
    if (row + *n > c->rows) *n = c->rows - row;
    return row;
}

/* The activations of x in every kind that the jobs' formats ask for. */
typedef struct acts {
    run_acts kind[QUANT_ACTS];
} acts;

static void prepare(run *r, acts *a, const job *jobs, int n_jobs, const float *x)
{
    bool have[QUANT_ACTS] = {0};
    for (int i = 0; i < n_jobs; i++) {
        quant_act kind = quant_table[jobs[i].w->format].act;
        if (!have[kind]) run_quantize(r, &a->kind[kind], jobs[i].w, x, r->n);
        have[kind] = true;
    }
    if (have[QUANT_ACT_Q32] || have[QUANT_ACT_Q256]) run_tokens_done(r);
}

/* Threads take units in turn, so a thread's next one is as many further on. */
void run_read_next(const run *r, run_part *p, const weight *then)
{
    p->next = p->w;
    p->next_row = p->row + r->threads * p->rows;
    if (p->next_row < p->w->rows) return;
    p->next = then;
    p->next_row -= p->w->rows;
}

void run_read_first(run_part *a, run_part *b)
{
    b->next = a->next;
    b->next_row = a->next_row;
    a->next = b->w;
    a->next_row = b->row;
}

static run_part part_of(const run *r, const job *j, const acts *a, int64_t row, int64_t rows)
{
    return (run_part){.w = j->w, .row = row, .rows = rows, .x = &a->kind[quant_table[j->w->format].act], .cols = r->n,
                      .y = j->y + row, .ldy = (size_t)j->w->rows, .bias = j->bias};
}

void op_matmul_jobs(run *r, const job *jobs, int n_jobs, const float *x)
{
    run_mark mark = run_mark_at(r);
    acts a;
    prepare(r, &a, jobs, n_jobs, x);
    run_space space = run_product_space(r, r->n);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        int64_t first = 0, u = team_take(work);
        for (int i = 0; i < n_jobs; i++) {
            row_cut c = cut_rows(r, &jobs[i], 1);
            for (; u < first + c.units; u = team_take(work)) {
                int64_t n, row = rows_at(&c, u - first, &n);
                run_part p = part_of(r, &jobs[i], &a, row, n);
                run_read_next(r, &p, i + 1 < n_jobs ? jobs[i + 1].w : NULL);
                run_product(r, &p, &space);
            }
            first += c.units;
        }
    }
    run_barrier(r);
    run_release(r, mark);
}

void op_matmul(run *r, float *y, const weight *w, const float *bias, const float *x)
{
    op_matmul_jobs(r, &(job){w, bias, y}, 1, x);
}

void op_matmul_heads(run *r, float *y, const weight *w, const float *x)
{
    run_mark mark = run_mark_at(r);
    int heads = (int)w->n;
    run_acts a;
    run_quantize(r, &a, w, x, r->n * heads);
    run_tokens_done(r);
    run_space space = run_product_space(r, r->n);
    int32_t *column = run_own_bytes(r, (size_t)r->n * sizeof *column);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        int64_t step = run_unit_rows(r, w, r->n), rows = w->rows, units = (rows + step - 1) / step;
        for (int64_t u; (u = team_take(work)) < units * heads;) {
            int64_t h = u / units, row = u % units * step;
            for (int t = 0; t < r->n; t++) column[t] = t * heads + (int32_t)h;
            weight one = *w;
            one.data += (size_t)(h * rows) * w->row_bytes;
            one.scale = w->scale ? &w->scale[h] : NULL;
            run_part p = {.w = &one, .row = row, .rows = row + step > rows ? rows - row : step, .x = &a, .x_index = column,
                          .cols = r->n, .y = y + row, .y_index = column, .ldy = (size_t)rows};
            run_product(r, &p, &space);
        }
    }
    run_barrier(r);
    run_release(r, mark);
}

void op_matmul_glu(run *r, const job *gate, const job *up, glu act, const float *x)
{
    op_matmul_glu_limited(r, gate, up, act, 0, x);
}

void op_matmul_glu_limited(run *r, const job *gate, const job *up, glu act, float limit, const float *x)
{
    run_mark mark = run_mark_at(r);
    job jobs[2] = {*gate};
    acts a;
    if (up) jobs[1] = *up;
    prepare(r, &a, jobs, up ? 2 : 1, x);
    run_space space = run_glu_space(r, r->n);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        row_cut cut = cut_rows(r, jobs, up ? 2 : 1);
        for (int64_t u; (u = team_take(work)) < cut.units;) {
            int64_t n, row = rows_at(&cut, u, &n);
            run_part g = part_of(r, gate, &a, row, n), v = {0};
            run_read_next(r, &g, NULL);
            if (up) {
                v = part_of(r, up, &a, row, n);
                run_read_first(&g, &v);
            }
            run_glu(r, &g, up ? &v : NULL, act, limit, &space);
        }
    }
    run_barrier(r);
    run_release(r, mark);
}
