/* Engines: buffers measured by a planning pass, and the forward driver. */
#include "../../models/head.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, MAX_CTX = 1 << 27, MAX_BATCH = 65536, FINE_BYTES = 256 << 20 };

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

int32_t engine_seq_pages(const tawny_engine *e) { return (e->n_ctx + SIMD_PAGE - 1) / SIMD_PAGE; }

static void plan_head(run *r, bool rank, bool there)
{
    head_job h = {.rank = rank};
    batch b = {.n = r->n, .head = &h};
    if (!there) return;
    r->b = &b;
    r->own_at = r->shared_at = 0;
    head_forward(r);
}

/* What a batch of n tokens asks for: bytes of the team's and of a thread's region. */
static void plan(tawny_engine *e, int n, bool local, size_t *shared, size_t *own)
{
    batch b = {.n = n, .n_out = n};
    run r = {.m = &e->model->m, .sh = &e->shared, .b = &b, .n = n, .threads = 1, .local = local, .plan = true};
    e->shared.batch = &b;
    e->model->m.arch->forward(&r);
    plan_head(&r, false, e->model->m.head.dense_2.data != NULL);
    plan_head(&r, true, head_ranks(&e->model->m));
    if (r.shared_peak > *shared) *shared = r.shared_peak;
    if (r.own_peak > *own) *own = r.own_peak;
}

static tawny_status make_rope(tawny_engine *e, tawny_error *err)
{
    const model *m = &e->model->m;
    for (int i = 0; i < 2; i++) {
        const rope_hp *h = &m->hp.rope[i];
        if (i == 1 && memcmp(h, &m->hp.rope[0], sizeof *h) == 0) {
            e->shared.rope_freq[1] = e->shared.rope_freq[0];
            e->shared.rope_mag[1] = e->shared.rope_mag[0];
            break;
        }
        double *freq = arena_array(e->mem, h->n_rot / 2 + 1, sizeof *freq);
        if (!freq) return err_nomem(err);
        const float *factors = m->rope_freqs[0];
        if (h->no_factors)
            factors = NULL;
        else if (m->rope_freqs[1] && m->rope_freqs[2])
            factors = m->rope_freqs[(uint32_t)e->n_ctx > h->orig_ctx ? 1 : 2];
        tawny_status st = rope_frequencies(m, h, factors, freq, &e->shared.rope_mag[i]);
        if (st != TAWNY_OK) return st;
        e->shared.rope_freq[i] = freq;
    }
    return TAWNY_OK;
}

/* Bytes of the team's buffers and of each thread's. */
static void measure(tawny_engine *e, size_t *shared, size_t *own)
{
    *shared = *own = 0;
    plan(e, RUN_LOCAL, true, shared, own);
    plan(e, e->n_ubatch > RUN_LOCAL ? e->n_ubatch : RUN_LOCAL + 1, false, shared, own);
    *shared = round_up(*shared, 4096);
    *own = round_up(*own, 4096);
}

/* One mapping for all buffers: pages are used only where a batch touches them. */
static tawny_status make_buffers(tawny_engine *e, tawny_error *err)
{
    const model *m = &e->model->m;
    size_t shared, own, threads = (size_t)team_size(e->team), rows = (size_t)e->n_ubatch * sizeof(float);
    measure(e, &shared, &own);
    size_t logits = model_has_logits(m) ? round_up(rows * m->hp.n_vocab, 4096) : 0, embd = round_up(rows * m->hp.n_embd, 4096);
    e->region_size = shared + threads * (own + SIMD_SCRATCH) + embd + logits;
    void *p = mmap(NULL, e->region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return err_set(err, TAWNY_E_NOMEM, "no memory for %zu bytes of buffers; try a smaller batch (-ub)", e->region_size);
    e->region = p;
    e->shared.buffers = e->region;
    e->shared.buffers_size = shared;
    e->shared.logits = (float *)(void *)(e->region + e->region_size - logits);
    e->shared.embd = (float *)(void *)(e->region + e->region_size - logits - embd);
    e->runs = arena_array(e->mem, threads, sizeof *e->runs);
    e->out_index = arena_array(e->mem, (size_t)e->n_ubatch, sizeof *e->out_index);
    e->tokens = arena_array(e->mem, (size_t)e->n_ubatch, sizeof *e->tokens);
    e->spans = arena_array(e->mem, (size_t)e->n_sessions, sizeof *e->spans);
    if (!e->runs || !e->out_index || !e->tokens || !e->spans) return err_nomem(err);
    for (size_t i = 0; i < threads; i++) {
        uint8_t *mine = e->region + shared + i * (own + SIMD_SCRATCH);
        e->runs[i] = (run){.m = &e->model->m, .sh = &e->shared, .own = mine, .own_size = own, .scratch = mine + own};
    }
    return TAWNY_OK;
}

static const simd_kv kv_types[TAWNY_KV_TYPES] = {
    [TAWNY_KV_F16] = SIMD_KV_F16,   [TAWNY_KV_F32] = SIMD_KV_F32,   [TAWNY_KV_BF16] = SIMD_KV_BF16,
    [TAWNY_KV_Q8_0] = SIMD_KV_Q8_0, [TAWNY_KV_Q4_0] = SIMD_KV_Q4_0,
};

static bool is_kv_type(tawny_kv_type t) { return (unsigned)t < TAWNY_KV_TYPES; }
const char *tawny_kv_type_name(tawny_kv_type t) { return is_kv_type(t) ? simd_kv_name(kv_types[t]) : NULL; }

static tawny_status check_params(const tawny_engine_params *p, tawny_error *err)
{
    if (p->n_threads < 0 || p->n_threads > 1024) return err_set(err, TAWNY_E_ARG, "threads: %d is not from 0 to 1024", p->n_threads);
    if (p->n_ctx < 0 || p->n_ctx > MAX_CTX) return err_set(err, TAWNY_E_ARG, "context: %d is not from 0 to %d", p->n_ctx, MAX_CTX);
    if (p->n_ubatch < 0 || p->n_ubatch > MAX_BATCH)
        return err_set(err, TAWNY_E_ARG, "batch: %d is not from 0 to %d", p->n_ubatch, MAX_BATCH);
    if (p->n_sessions < 0 || p->n_sessions > 4096) return err_set(err, TAWNY_E_ARG, "sessions: %d is not from 0 to 4096", p->n_sessions);
    if (p->act_bits != 0 && p->act_bits != 8 && p->act_bits != 16)
        return err_set(err, TAWNY_E_ARG, "activation bits: %d is neither 8 nor 16", p->act_bits);
    if (!is_kv_type(p->type_k) || !is_kv_type(p->type_v))
        return err_set(err, TAWNY_E_ARG, "cache types: %d and %d are not from 0 to %d", (int)p->type_k, (int)p->type_v, TAWNY_KV_TYPES - 1);
    return TAWNY_OK;
}

/* Learned positions end with their table; a text that is seen whole is one batch. */
static tawny_status check_positions(const model *m, int32_t n_ctx, tawny_error *err)
{
    if (!m->hp.causal && n_ctx > MAX_BATCH)
        return err_set(err, TAWNY_E_ARG, "context: %d; %d is the most that this model can see whole", n_ctx, MAX_BATCH);
    if (!m->pos_embd.data || n_ctx <= m->pos_embd.rows) return TAWNY_OK;
    return err_set(err, TAWNY_E_ARG, "context: %d is beyond the %lld positions that the model learned", n_ctx,
                   (long long)m->pos_embd.rows);
}

/* Everything that has a size, before anything of that size is made. */
static tawny_status configure(tawny_engine *e, const tawny_engine_params *p, tawny_error *err)
{
    const model *m = &e->model->m;
    e->mem = arena_new();
    e->team = team_new(p->n_threads, !p->no_pin);
    if (!e->mem || !e->team) return err_nomem(err);
    uint32_t most = m->hp.causal ? MAX_CTX : ENGINE_WHOLE_TEXT;
    e->n_ctx = p->n_ctx ? p->n_ctx : (int32_t)(m->hp.n_ctx_train < most ? m->hp.n_ctx_train : most);
    e->n_sessions = p->n_sessions ? p->n_sessions : 1;
    e->n_ubatch = p->n_ubatch ? p->n_ubatch : 512;
    int64_t all = (int64_t)e->n_ctx * e->n_sessions;
    if (!m->hp.causal) all = e->n_ubatch = e->n_ctx;
    if (e->n_ubatch > all) e->n_ubatch = (int32_t)all;
    e->shared = (run_shared){.model = m, .kv = &e->layout, .team = e->team, .n_ctx = e->n_ctx, .gemm = p->gemm};
    int bits = p->act_bits ? p->act_bits : m->weight_bytes <= FINE_BYTES ? 16 : 8;
    e->shared.planes = bits / 8;
    tawny_status st = check_positions(m, e->n_ctx, err);
    simd_kv k = m->hp.causal ? kv_types[p->type_k] : SIMD_KV_F32, v = m->hp.causal ? kv_types[p->type_v] : SIMD_KV_F32;
    return st == TAWNY_OK ? kv_layout_make(&e->layout, m, k, v, e->mem, err) : st;
}

static tawny_status build(tawny_engine *e, const tawny_engine_params *p, tawny_error *err)
{
    tawny_status st = configure(e, p, err);
    if (st == TAWNY_OK) st = make_rope(e, err);
    bool causal = e->model->m.hp.causal;
    int32_t pages = causal ? engine_seq_pages(e) * e->n_sessions : engine_seq_pages(e) + ENGINE_TEXTS;
    if (st == TAWNY_OK && causal) pages += prefix_pages(p->prefix_bytes, e->layout.page_bytes);
    if (st == TAWNY_OK) st = kv_pool_init(&e->pool, e->layout.page_bytes, pages, e->mem, err);
    if (st == TAWNY_OK && causal && p->prefix_bytes)
        st = prefix_new(&e->pool, &(prefix_params){.bytes = p->prefix_bytes, .state_bytes = state_saved_bytes(e)}, &e->prefixes, err);
    if (st == TAWNY_OK) st = make_buffers(e, err);
    return st;
}

tawny_status tawny_engine_new(tawny_model *m, const tawny_engine_params *params, tawny_engine **out, tawny_error *err)
{
    static const tawny_engine_params defaults;
    *out = NULL;
    if (!params) params = &defaults;
    tawny_status st = check_params(params, err);
    if (st != TAWNY_OK) return st;
    tawny_engine *e = calloc(1, sizeof *e);
    if (!e) return err_nomem(err);
    e->model = m;
    st = build(e, params, err);
    if (st != TAWNY_OK) {
        tawny_engine_free(e);
        return st;
    }
    *out = e;
    return TAWNY_OK;
}

tawny_status engine_estimate_of(tawny_model *m, const tawny_engine_params *p, engine_estimate *out, tawny_error *err)
{
    tawny_status st = check_params(p, err);
    if (st != TAWNY_OK) return st;
    tawny_engine *e = calloc(1, sizeof *e);
    if (!e) return err_nomem(err);
    e->model = m;
    st = configure(e, p, err);
    if (st == TAWNY_OK) {
        size_t shared, own, threads = (size_t)team_size(e->team);
        measure(e, &shared, &own);
        *out = (engine_estimate){
            .kv = e->layout, .seq_pages = (size_t)engine_seq_pages(e), .scratch = threads * SIMD_SCRATCH,
            .buffers = shared + threads * own + m->m.hp.n_vocab * sizeof(float),
            .n_threads = (int32_t)threads, .n_ctx = e->n_ctx, .act_bits = 8 * e->shared.planes,
        };
        out->kv.layer = NULL;
    }
    tawny_engine_free(e);
    return st;
}

void tawny_engine_free(tawny_engine *e)
{
    if (!e) return;
    if (e->region) munmap(e->region, e->region_size);
    prefix_free(e->prefixes);
    kv_pool_free(&e->pool);
    team_free(e->team);
    arena_free(e->mem);
    free(e);
}

int32_t tawny_engine_n_threads(const tawny_engine *e) { return team_size(e->team); }
int32_t tawny_engine_n_ctx(const tawny_engine *e) { return e->n_ctx; }
int32_t tawny_engine_n_ubatch(const tawny_engine *e) { return e->n_ubatch; }
int32_t tawny_engine_act_bits(const tawny_engine *e) { return 8 * e->shared.planes; }
tawny_prefix_stats tawny_engine_prefix_stats(const tawny_engine *e)
{
    return e->prefixes ? prefix_stats(e->prefixes) : (tawny_prefix_stats){0};
}
const char *tawny_engine_tier(const tawny_engine *e) { return (void)e, simd_tier_name(simd_current()); }

uint64_t tawny_engine_kv_bytes(const tawny_engine *e, int32_t n_tokens)
{
    return (uint64_t)(n_tokens + SIMD_PAGE - 1) / SIMD_PAGE * e->layout.page_bytes + e->layout.state_floats * sizeof(float);
}

static void forward_thread(void *arg, int tid)
{
    tawny_engine *e = arg;
    run *r = &e->runs[tid];
    r->b = e->shared.batch;
    r->n = r->b->n;
    r->tid = tid;
    r->threads = team_running(e->team);
    r->local = r->n <= RUN_LOCAL;
    r->own_at = r->shared_at = 0;
    if (r->b->head)
        head_forward(r);
    else
        e->model->m.arch->forward(r);
}

tawny_status engine_forward(tawny_engine *e, const batch *b, tawny_error *err)
{
    e->shared.batch = b;
    e->passes++;
    team_run(e->team, forward_thread, e);
    if (gguf_damaged(e->model->m.file))
        return err_set(err, TAWNY_E_DAMAGED, "%s: the file changed or became unreadable while in use", gguf_path(e->model->m.file));
    return TAWNY_OK;
}
