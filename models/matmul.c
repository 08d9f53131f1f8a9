/* y = W x over the team: activations are quantized once a kind, rows are shared out in units drawn from a
 * common counter in address order, so that a slow core takes fewer and memory is read as it lies. */
#include "glu.h"

enum { UNIT_BYTES = 64 * 1024, FEW_COLUMNS = 8, PANEL = 32, ROWS = 16 };

typedef struct acts {
    simd_act kind[QUANT_ACTS];
} acts;

void run_quantize(run *r, simd_act *a, quant_act kind, const float *x, int64_t k, int n)
{
    if (kind == QUANT_ACT_F32) {
        *a = (simd_act){.kind = kind, .k = k, .stride = (size_t)k * sizeof(float), .data = (uint8_t *)(uintptr_t)x};
        return;
    }
    simd_act_layout(a, kind, k);
    a->data = run_token_bytes(r, (size_t)n * a->stride);
    int from, to;
    run_share(r, n, &from, &to);
    for (int t = from; t < to; t++) simd.quantize(a, x + (size_t)t * (size_t)k, a->data + (size_t)t * a->stride);
}

/* The activations of x in every kind that the jobs' formats ask for. */
static void prepare(run *r, acts *a, const job *jobs, int n_jobs, const float *x)
{
    bool need[QUANT_ACTS] = {0};
    for (int i = 0; i < n_jobs; i++) need[quant_table[jobs[i].w->format].act] = true;
    for (quant_act kind = QUANT_ACT_F32; kind < QUANT_ACTS; kind++)
        if (need[kind]) run_quantize(r, &a->kind[kind], kind, x, jobs[0].w->k, r->n);
    if (need[QUANT_ACT_Q32] || need[QUANT_ACT_Q256]) run_tokens_done(r);
}

/* Rows a unit: in prefill a panel, in decode as many as make up UNIT_BYTES, but at least four units a thread. */
int64_t run_unit_rows(const run *r, const weight *w, int cols)
{
    if (cols > FEW_COLUMNS) return PANEL;
    int64_t by_bytes = (int64_t)(UNIT_BYTES / (w->row_bytes ? w->row_bytes : 1)), by_share = w->rows / (4 * r->threads);
    int64_t rows = by_bytes < by_share ? by_bytes : by_share;
    return rows < ROWS ? ROWS : rows / ROWS * ROWS;
}

static void run_tile(run *r, const job *j, const acts *a, int64_t row, int64_t rows)
{
    const weight *w = j->w;
    simd_tile t = {
        .w = w->data + (size_t)row * w->row_bytes, .row_bytes = w->row_bytes, .k = w->k, .rows = rows,
        .x = &a->kind[quant_table[w->format].act], .cols = r->n, .y = j->y + row, .ldy = (size_t)w->rows, .scratch = r->scratch,
    };
    simd.tile[w->format](&t);
    for (int c = 0; c < r->n && (w->scale || j->bias); c++) {
        float *y = t.y + (size_t)c * t.ldy;
        if (w->scale) simd.scale(y, y, *w->scale, (size_t)rows);
        if (j->bias) simd.add(y, y, j->bias + row, (size_t)rows);
    }
}

void op_matmul_jobs(run *r, const job *jobs, int n_jobs, const float *x)
{
    run_mark mark = run_mark_at(r);
    acts a;
    prepare(r, &a, jobs, n_jobs, x);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        int64_t first = 0, u = team_take(work);
        for (int i = 0; i < n_jobs; i++) {
            int64_t step = run_unit_rows(r, jobs[i].w, r->n), rows = jobs[i].w->rows, units = (rows + step - 1) / step;
            for (; u < first + units; u = team_take(work)) {
                int64_t row = (u - first) * step;
                run_tile(r, &jobs[i], &a, row, row + step > rows ? rows - row : step);
            }
            first += units;
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
    simd_act a;
    run_quantize(r, &a, quant_table[w->format].act, x, w->k, r->n * heads);
    run_tokens_done(r);
    int32_t *column = run_own_bytes(r, (size_t)r->n * sizeof *column);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        int64_t step = run_unit_rows(r, w, r->n), rows = w->rows, units = (rows + step - 1) / step;
        for (int64_t u; (u = team_take(work)) < units * heads;) {
            int64_t h = u / units, row = u % units * step;
            for (int t = 0; t < r->n; t++) column[t] = t * heads + (int32_t)h;
            int64_t n = row + step > rows ? rows - row : step;
            simd.tile[w->format](&(simd_tile){
                .w = w->data + (size_t)(h * rows + row) * w->row_bytes, .row_bytes = w->row_bytes, .k = w->k,
                .rows = n, .x = &a, .x_index = column, .cols = r->n, .y = y + row, .y_index = column,
                .ldy = (size_t)rows, .scratch = r->scratch,
            });
            for (int t = 0; t < r->n && w->scale; t++) {
                float *part = y + (size_t)column[t] * (size_t)rows + row;
                simd.scale(part, part, w->scale[h], (size_t)n);
            }
        }
    }
    run_barrier(r);
    run_release(r, mark);
}

void op_matmul_glu(run *r, const job *gate, const job *up, glu act, const float *x)
{
    run_mark mark = run_mark_at(r);
    job jobs[2] = {*gate};
    acts a;
    if (up) jobs[1] = *up;
    prepare(r, &a, jobs, up ? 2 : 1, x);
    if (!r->plan) {
        _Atomic int64_t *work = team_work(r->sh->team, r->tid);
        int64_t step = run_unit_rows(r, gate->w, r->n), rows = gate->w->rows;
        for (int64_t row; (row = team_take(work) * step) < rows;) {
            int64_t n = row + step > rows ? rows - row : step;
            run_tile(r, gate, &a, row, n);
            if (up) run_tile(r, up, &a, row, n);
            for (int c = 0; c < r->n; c++) {
                size_t at = (size_t)c * (size_t)rows + (size_t)row;
                if (up)
                    glu_apply(act, gate->y + at, gate->y + at, up->y + at, (size_t)n);
                else
                    act_apply(act, gate->y + at, gate->y + at, (size_t)n);
            }
        }
    }
    run_barrier(r);
    run_release(r, mark);
}
