#include "rehearse.h"

#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "cost.h"

enum { CYCLE = 256 << 20, ALIGN = 4096, SLICES = 7, WARM = 2, CONTEXT = 1024 };

struct rehearsal {
    tawny_model *m;
    const tawny_model *header; /* while m is opened */
    uint8_t *pool;
    size_t size;
};

/* What a token reads of a tensor. */
static size_t part_used(const tawny_model *m, const gguf_tensor *t)
{
    return cost_use_of(m, t) == COST_ALL ? cost_bytes_used(m, t) : ALIGN;
}

/* Where tensor t lies in the pool, and *at moved on. They follow one another, experts that a token does not use and all but
 * a row of the embedding left out, and begin anew after each CYCLE: what a token reads was then not read for so long that no
 * cache holds it. Where all of them are less than that they lie apart, and caches hold as much as they would. */
static size_t next_place(const tawny_model *m, const gguf_tensor *t, size_t *at)
{
    bool small = m->m.weight_bytes <= CYCLE;
    size_t here = *at;
    *at += ((small ? t->bytes : part_used(m, t)) + ALIGN - 1) / ALIGN * ALIGN;
    if (!small && *at > CYCLE) *at = 0;
    return here;
}

static size_t pool_size(const tawny_model *m)
{
    size_t at = 0, size = ALIGN;
    for (size_t i = 0; i < gguf_tensor_count(m->m.file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->m.file, i);
        bool first_rows = cost_use_of(m, t) == COST_ROW && t->ne[1] > CONTEXT; /* the token is always the first */
        size_t end = next_place(m, t, &at) + (first_rows ? t->bytes / t->ne[1] * CONTEXT : t->bytes);
        if (end > size) size = end;
    }
    return size;
}

static void place_all(void *user, gguf *g)
{
    rehearsal *r = user;
    size_t at = 0;
    for (size_t i = 0; i < gguf_tensor_count(g); i++)
        gguf_place(g, i, r->pool + next_place(r->header, gguf_tensor_at(g, i), &at));
}

tawny_status rehearsal_open(const char *path, const tawny_model *header, bool huge, rehearsal **out, tawny_error *err)
{
    *out = NULL;
    rehearsal *r = calloc(1, sizeof *r);
    if (!r) return err_nomem(err);
    r->header = header;
    r->size = pool_size(header);
    uint64_t left = mem_available("");
    tawny_status st = TAWNY_OK;
    if (r->size > left / 2)
        st = err_set(err, TAWNY_E_NOMEM, "%zu MiB for a rehearsal are more than half of the memory that is left",
                     r->size >> 20);
    r->pool = st == TAWNY_OK ? mem_map(r->size, huge) : NULL;
    if (st == TAWNY_OK && !r->pool) st = err_nomem(err);
    /* Ordinary numbers in every format: 1.06 as F16, 0.0115 as F32. */
    if (st == TAWNY_OK) memset(r->pool, 0x3c, r->size);
    if (st == TAWNY_OK) st = engine_open_placed(path, &(engine_placer){place_all, r}, &r->m, err);
    r->header = NULL;
    if (st != TAWNY_OK) {
        rehearsal_close(r);
        return st;
    }
    *out = r;
    return TAWNY_OK;
}

void rehearsal_close(rehearsal *r)
{
    if (!r) return;
    tawny_model_close(r->m);
    mem_unmap(r->pool, r->size);
    free(r);
}

static tawny_status step(tawny_session *s, tawny_error *err)
{
    tawny_token t = 0;
    return tawny_session_append(s, &t, 1, NULL, err);
}

/* Rates of SLICES equal parts of the time, of a token each at least; of many, the slowest and the fastest do not count. */
static tawny_status take_times(tawny_session *s, int left, double seconds, limits_range *out, tawny_error *err)
{
    double v[SLICES];
    int n = 0;
    double start = clock_now(), end = start + seconds;
    while (n < SLICES && (n < 1 || clock_now() < end)) {
        double from = clock_now();
        int tokens = 0;
        do {
            tawny_status st = step(s, err);
            if (st != TAWNY_OK) return st;
            tokens++;
        } while (clock_now() - from < seconds / SLICES && tokens < left / SLICES);
        v[n++] = tokens / (clock_now() - from);
    }
    *out = limits_range_of(v, n);
    if (n == SLICES) {
        out->min = v[1];
        out->max = v[SLICES - 2];
    }
    return TAWNY_OK;
}

tawny_status rehearsal_decode(rehearsal *r, const tawny_engine_params *p, double seconds, limits_range *out,
                              tawny_error *err)
{
    tawny_engine_params own = *p;
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    own.n_ctx = tawny_model_n_ctx_train(r->m) < CONTEXT ? 0 : CONTEXT;
    own.n_sessions = 1;
    own.n_ubatch = 1;
    tawny_status st = tawny_engine_new(r->m, &own, &e, err);
    if (st == TAWNY_OK) st = tawny_session_new(e, &s, err);
    for (int i = 0; st == TAWNY_OK && i < WARM; i++) st = step(s, err);
    if (st == TAWNY_OK) st = take_times(s, tawny_engine_n_ctx(e) - WARM, seconds, out, err);
    tawny_session_free(s);
    tawny_engine_free(e);
    return st;
}
