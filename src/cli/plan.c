#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/file.h"
#include "../engine/cost.h"
#include "../engine/rehearse.h"

#define GIB ((double)(1 << 30))

/* The program with its libraries, the file's header, and what reading a vocabulary takes: fitted to VmHWM of `tawny run`
 * less everything else, over models of 49,000 and 128,000 tokens. A shape, which has no vocabulary, gets a usual one. */
static uint64_t process_bytes(const tawny_model *t)
{
    const uint64_t program = 9 << 20, a_token = 113, a_merge = 57, usual = 290;
    const gguf *g = t->m.file;
    gguf_array tokens = {0}, merges = {0};
    gguf_opt_array(g, "tokenizer.ggml.tokens", GGUF_STR, &tokens, NULL);
    gguf_opt_array(g, "tokenizer.ggml.merges", GGUF_STR, &merges, NULL);
    if (!tokens.n) return program + usual * t->m.hp.n_vocab;
    return program + 2 * (tokens.bytes + merges.bytes) + a_token * tokens.n + a_merge * merges.n;
}

/* 2 operations for each weight of a matrix that a token meets: not the embedding, and of experts those that are used.
 * The output matrix is met by the last token of a prompt alone. */
static double ops_per_token(const tawny_model *t)
{
    const gguf *g = t->m.file;
    double sum = 0;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *x = gguf_tensor_at(g, i);
        unsigned il = 0;
        if (sscanf(x->name, "blk.%9u.", &il) != 1 || il >= t->m.hp.n_layer || x->ne[1] < 2) continue;
        double n = (double)x->ne[0] * (double)x->ne[1] * (double)x->ne[2];
        bool expert = t->m.hp.n_expert && strstr(x->name, "_exps.");
        sum += expert ? n * t->m.hp.n_expert_used / t->m.hp.n_expert : n;
    }
    return 2 * sum;
}

/* The share of the file's pages that are mapped in huge ones, as they lie in the page cache or as they would be read into it. */
static double huge_share(const gguf *g)
{
    file_cached c;
    double share = gguf_cached_huge(g);
    if (share >= 0) return share;
    return gguf_in_cache(g, true, &c, NULL) != TAWNY_OK || c.folds;
}

/* Bytes of a table of rows that come into memory where so many tokens are looked up in it, `window` bytes at a time. Tokens of
 * texts are those of low ids first: id i has a share in proportion to (i + 200)^-1.5, and words that come again count for a
 * fifth of the tokens. Fitted to English prose, C and Python of 128 to 4000 tokens in six vocabularies: within 27 per cent (RMS). */
static double touched(const gguf_tensor *t, double tokens, double window)
{
    const double shift = 200, fresh = 0.8, rows = (double)t->ne[1], row = (double)t->bytes / rows;
    const double all = 1 / sqrt(shift) - 1 / sqrt(rows + shift);
    double sum = 0;
    for (double at = 0; at < (double)t->bytes; at += window) {
        double from = fmax(0, at / row - 1), to = fmin(rows, (at + window) / row);
        double share = (1 / sqrt(from + shift) - 1 / sqrt(to + shift)) / all;
        sum += window * (1 - exp(-fresh * tokens * share));
    }
    return fmin(sum, (double)t->bytes);
}

/* Of weights in a mapped file pages come into memory that are read, and those around them: Linux maps 64 KiB at a time. */
static uint64_t weights_touched(const tawny_model *m, double tokens)
{
    const double around = 1 << 16, huge = 1 << 21;
    const gguf *g = m->m.file;
    double share = huge_share(g);
    uint64_t sum = tawny_model_bytes(m);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        cost_use use = cost_use_of(m, t);
        if (use == COST_NOTHING) sum -= t->bytes;
        if (use != COST_ROW || t->ne[1] < 2) continue;
        sum -= t->bytes - (uint64_t)(share * touched(t, tokens, huge) + (1 - share) * touched(t, tokens, around));
    }
    return sum;
}

/* Of the buffers' bytes what is written: prefill makes the products that meet in an activation near each thread, and leaves the
 * second one's buffer alone (run_glu); of the kernels' scratch half. */
static uint64_t buffers_written(const tawny_model *t, const tawny_engine_params *p, const engine_estimate *e)
{
    const hparams *hp = &t->m.hp;
    uint64_t ff = hp->n_ff_shexp, n = p->n_ubatch > 0 ? (uint64_t)p->n_ubatch : 512;
    for (uint32_t i = 0; i < hp->n_layer; i++)
        if (hp->layer[i].n_ff > ff) ff = hp->layer[i].n_ff;
    uint64_t idle = (n < (uint64_t)e->n_ctx ? n : (uint64_t)e->n_ctx) * ff * sizeof(float);
    return (idle < e->buffers ? e->buffers - idle : e->buffers) + e->scratch / 2;
}

tawny_status plan_need_of(tawny_model *m, const tawny_engine_params *p, plan_need *out, tawny_error *err)
{
    engine_estimate e;
    tawny_status st = engine_estimate_of(m, p, &e, err);
    if (st != TAWNY_OK) return st;
    uint64_t n = p->n_sessions ? (uint64_t)p->n_sessions : 1;
    *out = (plan_need){
        .weights = tawny_model_bytes(m),
        .weights_per_token = tawny_model_bytes_per_token(m),
        .weights_touched = weights_touched(m, (double)n * e.n_ctx),
        .kv = n * (e.seq_pages * e.kv.page_bytes + e.kv.state_floats * sizeof(float)),
        .kv_read = (uint64_t)cost_cache_bytes_of(m, &e.kv, e.n_ctx),
        .buffers = buffers_written(m, p, &e),
        .process = process_bytes(m),
        .ops_per_token = ops_per_token(m),
        .moe = m->m.hp.n_expert > 0,
        .n_ctx = e.n_ctx,
        .n_seq = (int32_t)n,
        .act_bits = e.act_bits,
    };
    return TAWNY_OK;
}

uint64_t plan_peak(const plan_need *n) { return n->weights_touched + n->kv + n->buffers + n->process; }

/* With weights that are not touched so soon: in time they are, and other engines read the file as a whole. */
static bool fits(const plan_need *n, double gib)
{
    return (double)(n->weights + n->kv + n->buffers + n->process) <= gib * GIB;
}

/* The longest context that fits, in steps of 256 positions. */
static tawny_status longest(tawny_model *m, tawny_engine_params p, double gib, int32_t *out, tawny_error *err)
{
    enum { STEP = 256 };
    int32_t low = 0, high = tawny_model_n_ctx_train(m) / STEP + (tawny_model_n_ctx_train(m) % STEP != 0);
    plan_need n;
    while (low < high) {
        int32_t mid = low + (high - low + 1) / 2;
        p.n_ctx = mid * STEP;
        tawny_status st = plan_need_of(m, &p, &n, err);
        if (st != TAWNY_OK) return st;
        if (fits(&n, gib))
            low = mid;
        else
            high = mid - 1;
    }
    *out = low * STEP < tawny_model_n_ctx_train(m) ? low * STEP : tawny_model_n_ctx_train(m);
    return TAWNY_OK;
}

static range over(double bytes, const machine *where)
{
    return (range){where->read_low * 1e9 / bytes, where->read_high * 1e9 / bytes};
}

tawny_status plan_on(tawny_model *m, const tawny_engine_params *p, const plan_need *need, const machine *where,
                     plan_result *out, tawny_error *err)
{
    double empty = (double)need->weights_per_token, full = empty + (double)need->kv_read;
    *out = (plan_result){
        .fit = fits(need, where->memory)        ? PLAN_FITS
               : fits(need, where->memory_most) ? PLAN_FITS_MOST
                                                : PLAN_TOO_BIG,
        .decode_empty = over(empty, where),
        .decode_full = over(full, where),
        .prefill = {where->tops_low * 1e12 / need->ops_per_token, where->tops_high * 1e12 / need->ops_per_token},
        .bound = where->peak * 1e9 / empty,
    };
    if (need->moe) out->prefill.low /= 2; /* experts see a part of the tokens each */
    if (where->kind == MACHINE_CPU && need->act_bits == 16) {
        out->prefill.low /= 2;
        out->prefill.high /= 2;
    }
    return longest(m, *p, where->memory_most, &out->most_ctx, err);
}

/* What the next minutes bring is known no better than to a twentieth. */
static range around(const limits_range *r)
{
    const double most = 1.05;
    return (range){r->min < r->median / most ? r->min : r->median / most,
                   r->max > r->median * most ? r->max : r->median * most};
}

/* In pages as those of the file's are in the page cache. What is not there may come in small ones or in huge ones. */
tawny_status plan_rehearse(const char *path, const tawny_model *m, const tawny_engine_params *p, const plan_need *need,
                           const machine *where, plan_result *out, tawny_error *err)
{
    const double seconds = 0.8, kv = (double)need->kv_read / 1e9, most_huge = 0.8;
    double share = gguf_cached_huge(m->m.file);
    range all = {0};
    const int first = share >= most_huge, last = share < 0 || share >= most_huge;
    for (int huge = first; huge <= last; huge++) {
        rehearsal *r;
        limits_range speed;
        tawny_status st = rehearsal_open(path, m, huge, &r, err);
        if (st == TAWNY_OK) st = rehearsal_decode(r, p, seconds, &speed, err);
        rehearsal_close(r);
        if (st != TAWNY_OK) return st;
        range one = around(&speed);
        if (all.low == 0 || one.low < all.low) all.low = one.low;
        if (one.high > all.high) all.high = one.high;
    }
    out->decode_empty = all;
    out->decode_full = (range){1 / (1 / all.low + kv / where->read_low), 1 / (1 / all.high + kv / where->read_high)};
    return TAWNY_OK;
}
