/* Mixture of experts: routing, tokens grouped by expert, and the weighted sum in the order of the ids. */
#include <math.h>
#include <string.h>

#include "blocks.h"
#include "glu.h"

/* The chosen experts of each token and their weights, ids ascending: [n][used]. A slot is token * used + j. */
typedef struct routes {
    int used;
    int32_t *id;
    float *weight;
} routes;

static void softmax(float *p, size_t n)
{
    float sum = simd.exp_sum(p, p, simd.max(p, n), n);
    for (size_t i = 0; i < n; i++) p[i] /= sum;
}

/* The `used` largest of score, ties to the lower id; ids ascending. */
static void choose(const float *score, int n_expert, int used, int32_t *id)
{
    bool taken[MODEL_MAX_EXPERTS] = {0};
    for (int j = 0; j < used; j++) {
        int best = -1;
        for (int e = 0; e < n_expert; e++)
            if (!taken[e] && (best < 0 || score[e] > score[best])) best = e;
        taken[best] = true;
    }
    for (int e = 0, j = 0; e < n_expert && j < used; e++)
        if (taken[e]) id[j++] = e;
}

/* Leaves -infinity in the scores of all but the best groups; a group counts the sum of its two best. */
static void mask_groups(const hparams *hp, float *score)
{
    uint32_t size = hp->n_expert / hp->n_expert_group;
    float top[MODEL_MAX_EXPERTS];
    int32_t id[MODEL_MAX_EXPERTS];
    bool keep[MODEL_MAX_EXPERTS] = {0};
    for (uint32_t g = 0; g < hp->n_expert_group; g++) {
        float a = -INFINITY, b = -INFINITY;
        for (uint32_t i = g * size; i < (g + 1) * size; i++) {
            if (score[i] > a) {
                b = a;
                a = score[i];
            } else if (score[i] > b) {
                b = score[i];
            }
        }
        top[g] = a + b;
    }
    choose(top, (int)hp->n_expert_group, (int)hp->n_expert_group_used, id);
    for (uint32_t j = 0; j < hp->n_expert_group_used; j++) keep[id[j]] = true;
    for (uint32_t i = 0; i < hp->n_expert; i++)
        if (!keep[i / size]) score[i] = -INFINITY;
}

static void route_token(const model *m, const layer_weights *L, float *logits, int32_t *id, float *share)
{
    const hparams *hp = &m->hp;
    size_t n = hp->n_expert, used = hp->n_expert_used;
    float score[MODEL_MAX_EXPERTS];
    memcpy(score, logits, n * sizeof *score);
    if (hp->expert_gating == MOE_GATING_SOFTMAX) softmax(logits, n);
    if (hp->expert_gating == MOE_GATING_SIGMOID) simd.sigmoid(logits, logits, n);
    /* Weights of the input are a function of the logits that may saturate: those choose. */
    if (!hp->expert_weigh_input) memcpy(score, logits, n * sizeof *score);
    if (L->expert_bias) simd.add(score, score, L->expert_bias, n);
    if (hp->n_expert_group) mask_groups(hp, score);
    choose(score, (int)n, (int)used, id);
    for (size_t j = 0; j < used; j++) share[j] = logits[id[j]];
    if (hp->expert_gating == MOE_GATING_SOFTMAX_CHOSEN) softmax(share, used);
    if (hp->expert_norm) {
        float sum = 0;
        for (size_t j = 0; j < used; j++) sum += share[j];
        if (sum < 0x1p-14f) sum = 0x1p-14f; /* as the reference does: the smallest normal half */
        for (size_t j = 0; j < used; j++) share[j] /= sum;
    }
    if (hp->expert_scale != 1) simd.scale(share, share, hp->expert_scale, used);
}

static routes route(run *r, uint32_t il, const float *h)
{
    const hparams *hp = &r->m->hp;
    const layer_weights *L = &r->m->layers[il];
    size_t n = (size_t)r->n;
    routes rt = {.used = (int)hp->n_expert_used};
    float *logits = run_rows(r, hp->n_expert), *p = run_tokens(r, hp->n_expert);
    rt.id = run_token_bytes(r, n * (size_t)rt.used * sizeof *rt.id);
    rt.weight = run_token_bytes(r, n * (size_t)rt.used * sizeof *rt.weight);
    op_matmul(r, logits, &L->router, L->router_b, h);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *row = p + (size_t)t * hp->n_expert;
        memcpy(row, logits + (size_t)t * hp->n_expert, hp->n_expert * sizeof *row);
        route_token(r->m, L, row, rt.id + t * rt.used, rt.weight + t * rt.used);
    }
    run_tokens_done(r);
    return rt;
}

/* x of each slot: its token's, times its weight; the weights themselves become 1. */
static const float *weigh_input(run *r, routes *rt, const float *h)
{
    size_t dim = r->m->hp.n_embd;
    float *x = run_tokens(r, (int64_t)dim * rt->used);
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++)
        for (int j = 0; j < rt->used; j++) {
            size_t s = (size_t)(t * rt->used + j);
            simd.scale(x + s * dim, h + (size_t)t * dim, rt->weight[s], dim);
            rt->weight[s] = 1;
        }
    run_tokens_done(r);
    return x;
}

/* Slots by expert: those of expert e are slot[first[e]] .. slot[first[e + 1] - 1], tokens ascending. Every
 * thread makes its own copy, which is cheaper than agreeing on one. */
typedef struct groups {
    int32_t *first, *slot, *token; /* token: the column of the input, a slot's own where it has one */
} groups;

static groups group(run *r, const routes *rt, bool own_input)
{
    int32_t n_expert = (int32_t)r->m->hp.n_expert;
    int n = r->n * rt->used;
    groups g = {
        .first = run_own_bytes(r, ((size_t)n_expert + 1) * sizeof(int32_t)),
        .slot = run_own_bytes(r, (size_t)n * sizeof(int32_t)),
        .token = run_own_bytes(r, (size_t)n * sizeof(int32_t)),
    };
    if (r->plan) return g;
    memset(g.first, 0, ((size_t)n_expert + 1) * sizeof(int32_t));
    for (int i = 0; i < n; i++) g.first[rt->id[i] + 1]++;
    for (int32_t e = 0; e < n_expert; e++) g.first[e + 1] += g.first[e];
    for (int i = 0; i < n; i++) { /* fills from the left; first[] is put right below */
        int32_t at = g.first[rt->id[i]]++;
        g.slot[at] = i;
        g.token[at] = own_input ? i : i / rt->used;
    }
    for (int32_t e = n_expert; e > 0; e--) g.first[e] = g.first[e - 1];
    g.first[0] = 0;
    return g;
}

/* Matrix e of a stack, rows [row, row + rows) of it. */
static weight expert(const weight *stack, int64_t e, int64_t row, int64_t rows)
{
    weight w = *stack;
    w.data = stack->data + (size_t)(e * stack->rows + row) * stack->row_bytes;
    w.rows = rows;
    if (w.scale) w.scale += e;
    return w;
}

typedef struct product {
    const weight *gate, *up, *down; /* stacks; up NULL: gate holds both halves, or is all there is */
    bool ungated;                   /* the latter: down(act(gate x)) */
    const float *gate_b, *up_b, *down_b;
    glu act;
    float limit; /* of SwiGLU; 0: none */
    run_space space;
} product;

/* Rows of expert e of a stack by its tokens' columns, to its slots' outputs. */
static run_part part_of(const weight *w, int64_t row, int64_t rows, const run_acts *x, const int32_t *x_index, const groups *g,
                        int64_t e, float *y, const float *bias)
{
    return (run_part){.w = w, .row = row, .rows = rows, .x = x, .x_index = x_index + g->first[e], .cols = g->first[e + 1] - g->first[e],
                      .y = y + row, .y_index = g->slot + g->first[e], .ldy = (size_t)w->rows, .bias = bias ? bias + e * w->rows : NULL};
}

/* The next expert after e that has tokens, or -1. */
static int64_t expert_after(const groups *g, int64_t e, int64_t n)
{
    for (e++; e < n; e++)
        if (g->first[e + 1] > g->first[e]) return e;
    return -1;
}

/* gate and up for all slots, activated, into g [slots][n_ff_exp]. */
static void expand(run *r, const product *p, const groups *g, const run_acts *xg, const run_acts *xu, float *gate, float *up)
{
    const hparams *hp = &r->m->hp;
    int64_t ff = hp->n_ff_exp, first = 0;
    _Atomic int64_t *work = team_work(r->sh->team, r->tid);
    int64_t u = team_take(work);
    for (int64_t e = expert_after(g, -1, hp->n_expert), e2; e >= 0; e = e2) {
        e2 = expert_after(g, e, hp->n_expert);
        int cols = g->first[e + 1] - g->first[e];
        weight wg = expert(p->gate, e, 0, ff), wu = {0}, then = {0};
        if (!p->ungated) wu = p->up ? expert(p->up, e, 0, ff) : expert(p->gate, e, ff, ff);
        if (e2 >= 0) then = expert(p->gate, e2, 0, ff);
        int64_t step = run_unit_rows(r, &wg, cols), units = (ff + step - 1) / step;
        for (; u < first + units; u = team_take(work)) {
            int64_t row = (u - first) * step, rows = row + step > ff ? ff - row : step;
            run_part a = part_of(&wg, row, rows, xg, g->token, g, e, gate, p->gate_b);
            run_part b = part_of(&wu, row, rows, xu, g->token, g, e, up, p->up_b);
            run_read_next(r, &a, e2 >= 0 ? &then : NULL);
            if (!p->ungated) run_read_first(&a, &b);
            run_glu(r, &a, p->ungated ? NULL : &b, p->act, p->limit, &p->space);
        }
        first += units;
    }
}

static void contract(run *r, const product *p, const groups *g, const run_acts *x, float *y)
{
    const hparams *hp = &r->m->hp;
    int64_t dim = p->down->rows, first = 0;
    _Atomic int64_t *work = team_work(r->sh->team, r->tid);
    int64_t u = team_take(work);
    for (int64_t e = expert_after(g, -1, hp->n_expert), e2; e >= 0; e = e2) {
        e2 = expert_after(g, e, hp->n_expert);
        weight w = expert(p->down, e, 0, dim), then = {0};
        if (e2 >= 0) then = expert(p->down, e2, 0, dim);
        int64_t step = run_unit_rows(r, &w, g->first[e + 1] - g->first[e]), units = (dim + step - 1) / step;
        for (; u < first + units; u = team_take(work)) {
            int64_t row = (u - first) * step, rows = row + step > dim ? dim - row : step;
            run_part a = part_of(&w, row, rows, x, g->slot, g, e, y, p->down_b);
            run_read_next(r, &a, e2 >= 0 ? &then : NULL);
            run_product(r, &a, &p->space);
        }
        first += units;
    }
}

static void combine(run *r, const routes *rt, const float *slots, float *y, size_t dim)
{
    int from, to;
    run_share(r, r->n, &from, &to);
    for (int t = from; t < to; t++) {
        float *row = y + (size_t)t * dim;
        memset(row, 0, dim * sizeof *row);
        for (int j = 0; j < rt->used; j++) {
            size_t s = (size_t)(t * rt->used + j);
            simd.madd(row, slots + s * dim, rt->weight[s], dim);
        }
    }
    run_barrier(r); /* even where y is each thread's own: slots are shared, and given back after this */
}

static quant_act act_of(const weight *w) { return quant_table[w->format].act; }

void block_moe(run *r, uint32_t il, float *y, const float *h, glu act) { block_moe_routed(r, il, y, h, h, act); }

static product product_of(const layer_weights *L, glu act)
{
    product p = {.gate = &L->gate_exps, .up = &L->up_exps, .down = &L->down_exps, .gate_b = L->gate_exps_b, .up_b = L->up_exps_b,
                 .down_b = L->down_exps_b, .act = act};
    if (L->gate_exps.data) return p;
    p.up = NULL;
    p.ungated = !L->gate_up_exps.data;
    p.gate = p.ungated ? &L->up_exps : &L->gate_up_exps;
    if (p.ungated) p.gate_b = L->up_exps_b;
    return p;
}

void block_moe_routed(run *r, uint32_t il, float *y, const float *h, const float *router_in, glu act)
{
    const hparams *hp = &r->m->hp;
    const layer_weights *L = &r->m->layers[il];
    run_mark mark = run_mark_at(r);
    product p = product_of(L, act);
    p.limit = hp->layer[il].limit_exp;
    int64_t dim_out = p.down->rows;
    int slots = r->n * (int)hp->n_expert_used;
    routes rt = route(r, il, router_in);
    groups g = group(r, &rt, hp->expert_weigh_input);
    const float *x = hp->expert_weigh_input ? weigh_input(r, &rt, h) : h;
    int columns = hp->expert_weigh_input ? slots : r->n;
    float *gate = run_shared_bytes(r, (size_t)slots * hp->n_ff_exp * sizeof(float));
    float *up = run_shared_bytes(r, (size_t)slots * hp->n_ff_exp * sizeof(float));
    float *down = run_shared_bytes(r, (size_t)slots * (size_t)dim_out * sizeof(float));

    p.space = run_glu_space(r, columns);

    run_acts xg, xu, xd;
    run_quantize(r, &xg, p.gate, x, columns);
    xu = xg;
    if (p.up && act_of(p.up) != act_of(p.gate)) run_quantize(r, &xu, p.up, x, columns);
    run_tokens_done(r);
    if (!r->plan) expand(r, &p, &g, &xg, &xu, gate, up);
    run_barrier(r);

    run_quantize(r, &xd, p.down, gate, slots);
    run_tokens_done(r);
    if (!r->plan) contract(r, &p, &g, &xd, down);
    run_barrier(r);
    combine(r, &rt, down, y, (size_t)dim_out);
    run_probe_at(r, "ffn_moe_out", (int)il, y, r->n, dim_out);
    run_release(r, mark);
}
