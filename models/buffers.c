/* Buffers, marks and shares of the forward pass. */
#include "run.h"

enum { LINE = 64 };

static size_t round_up(size_t n) { return (n + LINE - 1) / LINE * LINE; }

void *run_shared_bytes(run *r, size_t bytes)
{
    uint8_t *p = r->plan ? NULL : r->sh->buffers + r->shared_at;
    r->shared_at += round_up(bytes);
    if (r->shared_at > r->shared_peak) r->shared_peak = r->shared_at;
    return p;
}

void *run_own_bytes(run *r, size_t bytes)
{
    uint8_t *p = r->plan ? NULL : r->own + r->own_at;
    r->own_at += round_up(bytes);
    if (r->own_at > r->own_peak) r->own_peak = r->own_at;
    return p;
}

void *run_token_bytes(run *r, size_t bytes) { return r->local ? run_own_bytes(r, bytes) : run_shared_bytes(r, bytes); }
float *run_rows(run *r, int64_t dim) { return run_shared_bytes(r, (size_t)r->n * (size_t)dim * sizeof(float)); }
float *run_tokens(run *r, int64_t dim) { return run_token_bytes(r, (size_t)r->n * (size_t)dim * sizeof(float)); }
run_mark run_mark_at(const run *r) { return (run_mark){r->own_at, r->shared_at}; }

void run_release(run *r, run_mark mark)
{
    r->own_at = mark.own;
    r->shared_at = mark.shared;
}

void run_barrier(run *r)
{
    if (!r->plan) team_barrier(r->sh->team, r->tid);
}

void run_share(const run *r, int n, int *from, int *to)
{
    *from = r->local ? 0 : (int)((int64_t)n * r->tid / r->threads);
    *to = r->plan ? *from : r->local ? n : (int)((int64_t)n * (r->tid + 1) / r->threads);
}

void run_tokens_done(run *r)
{
    if (!r->local) run_barrier(r);
}

void run_probe_at(run *r, const char *name, int layer, const float *values, int n, int64_t dim)
{
    if (r->plan || !r->sh->probe) return;
    if (r->tid == 0) r->sh->probe(r->sh->probe_user, name, layer, values, n, dim);
    run_barrier(r);
}
