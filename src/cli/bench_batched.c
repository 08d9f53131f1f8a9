/* `tawny bench --batched`: several sequences generate together, as in llama-batched-bench. */
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "bench.h"

typedef struct batched {
    tawny_engine *e;
    tawny_session *s[BENCH_MAX_SEQUENCES];
    tawny_step step[BENCH_MAX_SEQUENCES];
    const tawny_token *tokens; /* the same for all: what they are does not matter */
} batched;

/* The prompts of n sequences, as many tokens a pass as fit. */
static tawny_status prompts(batched *b, int n, int pp, tawny_error *err)
{
    int room = tawny_engine_n_ubatch(b->e), done = 0, items = 0, left = room;
    for (int i = 0; i < n;) {
        int take = pp - done < left ? pp - done : left;
        b->step[items++] = (tawny_step){.session = b->s[i], .tokens = b->tokens + done, .n = take,
                                        .n_logits = done + take == pp};
        done += take;
        left -= take;
        if (done == pp) {
            i++;
            done = 0;
        }
        if (left > 0 && i < n) continue;
        tawny_status st = tawny_engine_step(b->e, b->step, items, err);
        if (st != TAWNY_OK) return st;
        items = 0;
        left = room;
    }
    return TAWNY_OK;
}

static tawny_status generate(batched *b, int n, int pp, int tg, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    for (int i = 0; st == TAWNY_OK && i < tg; i++) {
        for (int k = 0; k < n; k++)
            b->step[k] = (tawny_step){.session = b->s[k], .tokens = b->tokens + pp + i, .n = 1, .n_logits = 1};
        st = tawny_engine_step(b->e, b->step, n, err);
    }
    return st;
}

/* One run from empty sequences; the times of prompts and generation. */
static tawny_status one_run(batched *b, const bench_test *t, int tg, double *t_pp, double *t_tg, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    int n = t->sequences;
    for (int i = 0; i < n; i++) tawny_session_truncate(b->s[i], 0);
    double start = clock_now();
    if (t->n_prompt) st = prompts(b, t->shared ? 1 : n, t->n_prompt, err);
    *t_pp = clock_now() - start;
    for (int i = 1; st == TAWNY_OK && t->shared && i < n; i++) {
        tawny_session_free(b->s[i]);
        b->s[i] = NULL;
        st = tawny_session_fork(b->s[0], &b->s[i], err);
    }
    start = clock_now();
    if (st == TAWNY_OK) st = generate(b, n, t->n_prompt, tg, err);
    *t_tg = clock_now() - start;
    return st;
}

static tawny_status repeat(batched *b, const bench_how *how, bench_test *t, tawny_error *err)
{
    double ignored;
    tawny_status st = TAWNY_OK;
    if (!how->no_warmup) {
        bench_tell(how, "warm-up run", 0);
        st = one_run(b, t, 1, &ignored, &ignored, err);
    }
    if (st == TAWNY_OK) bench_look(how->machine, t, 0);
    for (t->n = 0; st == TAWNY_OK && t->n < how->repeat; t->n++) {
        bench_tell(how, "run", t->n + 1);
        st = one_run(b, t, t->n_gen, &t->prompt_seconds[t->n], &t->seconds[t->n], err);
        bench_look(how->machine, t, t->n + 1);
    }
    return st;
}

tawny_status bench_run_batched(tawny_model *m, const tawny_engine_params *params, const bench_how *how, bench_test *t,
                               tawny_error *err)
{
    batched b = {0};
    int total = t->n_prompt + t->n_gen;
    tawny_engine_params p = *params;
    tawny_token *tokens = malloc(((size_t)total + 1) * sizeof *tokens);
    p.n_ctx = total + 1;
    p.n_sessions = t->sequences;
    /* A step holds a token of each sequence. */
    if (p.n_ubatch < t->sequences) p.n_ubatch = t->sequences;
    tawny_status st = tokens ? tawny_engine_new(m, &p, &b.e, err) : err_nomem(err);
    for (int i = 0; st == TAWNY_OK && i < t->sequences; i++) st = tawny_session_new(b.e, &b.s[i], err);
    if (st == TAWNY_OK) {
        bench_fill(tokens, total, tawny_model_n_vocab(m));
        b.tokens = tokens;
        st = bench_describe(m, b.e, how, t, err);
    }
    if (st == TAWNY_OK) st = repeat(&b, how, t, err);
    for (int i = 0; i < t->sequences; i++) tawny_session_free(b.s[i]);
    tawny_engine_free(b.e);
    free(tokens);
    return st;
}
