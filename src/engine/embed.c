/* Embeddings: texts through forward passes that give hidden states, and their pooling. */
#include <math.h>
#include <string.h>

#include "../../models/head.h"
#include "../base/mathf.h"
#include "engine.h"

/* Of a group of texts that share passes: tokens, and bytes of the cache, unless a text alone takes more. */
enum { GROUP_TOKENS = 512, GROUP_BYTES = 256 << 20 };

/* Tokens of a text whose hidden states are needed. */
typedef enum rows { ROWS_ALL, ROWS_FIRST, ROWS_LAST } rows;

typedef struct embedder {
    tawny_engine *e;
    arena *mem;
    pooling how;
    rows rows;
    bool mean;
    bool head;          /* results go through the model's head */
    size_t dim, width;  /* of a hidden state, of a result */
    kv_seq *seq;        /* [ENGINE_TEXTS] */
    span *spans;        /* [ENGINE_TEXTS] */
    tawny_token *token; /* [n_ubatch] */
    double *sum;        /* [ENGINE_TEXTS][dim] */
    float *pooled;      /* [ENGINE_TEXTS][dim] */
    float *out;         /* where the next result goes */
} embedder;

static pooling resolve(const model *m, tawny_pooling p)
{
    return p == TAWNY_POOLING_MODEL ? m->hp.head.pooling : (pooling)(p - TAWNY_POOLING_NONE);
}

tawny_pooling tawny_model_pooling(const tawny_model *t)
{
    return (tawny_pooling)((int)t->m.hp.head.pooling + TAWNY_POOLING_NONE);
}

bool tawny_model_embeds_only(const tawny_model *t) { return !model_has_logits(&t->m); }

int32_t tawny_model_n_embd_out(const tawny_model *t, tawny_pooling p)
{
    bool rank = resolve(&t->m, p) == POOL_RANK;
    return rank && !head_ranks(&t->m) ? 0 : (int32_t)head_width(&t->m, rank);
}

static rows rows_of_pooling(const hparams *hp, pooling p)
{
    if (p == POOL_NONE || p == POOL_MEAN || (p == POOL_RANK && hp->head.mean)) return ROWS_ALL;
    return p == POOL_LAST || (p == POOL_RANK && hp->causal) ? ROWS_LAST : ROWS_FIRST;
}

static tawny_status check_text(const tawny_engine *e, const tawny_text *t, int32_t index, tawny_error *err)
{
    int32_t n_vocab = (int32_t)e->model->m.hp.n_vocab;
    if (t->n < 1) return err_set(err, TAWNY_E_ARG, "text %d has no tokens", index);
    if (t->n > e->n_ctx)
        return err_set(err, TAWNY_E_LIMIT, "text %d has %d tokens; at most %d fit", index, t->n, e->n_ctx);
    for (int32_t i = 0; i < t->n; i++)
        if (t->tokens[i] < 0 || t->tokens[i] >= n_vocab)
            return err_set(err, TAWNY_E_ARG, "text %d: token %d at index %d is not from 0 to %d", index,
                           t->tokens[i], i, n_vocab - 1);
    return TAWNY_OK;
}

static tawny_status check(const tawny_engine *e, const tawny_text *texts, int32_t n, tawny_pooling p,
                          tawny_error *err)
{
    const model *m = &e->model->m;
    if (n < 0) return err_set(err, TAWNY_E_ARG, "texts: a count of %d", n);
    if (p < TAWNY_POOLING_MODEL || p > TAWNY_POOLING_RANK)
        return err_set(err, TAWNY_E_ARG, "pooling: there is no kind %d", (int)p);
    if (resolve(m, p) == POOL_RANK && !head_ranks(m))
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "%s: pooling for ranking needs a classifier (cls.output.weight)",
                       gguf_path(m->file));
    for (int32_t i = 0; i < n; i++) {
        tawny_status st = check_text(e, &texts[i], i, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static int32_t pages_of(int32_t n) { return (n + SIMD_PAGE - 1) / SIMD_PAGE; }

static tawny_status start(embedder *s, tawny_error *err)
{
    tawny_engine *e = s->e;
    s->mem = arena_new();
    if (!s->mem) return err_nomem(err);
    s->seq = arena_array(s->mem, ENGINE_TEXTS, sizeof *s->seq);
    s->spans = arena_array(s->mem, ENGINE_TEXTS, sizeof *s->spans);
    s->token = arena_array(s->mem, (size_t)e->n_ubatch, sizeof *s->token);
    s->pooled = arena_array(s->mem, ENGINE_TEXTS * s->dim, sizeof *s->pooled);
    s->sum = arena_array(s->mem, s->mean ? ENGINE_TEXTS * s->dim : 1, sizeof *s->sum);
    if (!s->seq || !s->spans || !s->token || !s->pooled || !s->sum) return err_nomem(err);
    for (int i = 0; i < ENGINE_TEXTS; i++) {
        int32_t most = i ? pages_of(GROUP_TOKENS) : engine_seq_pages(e); /* a longer one stands alone */
        s->seq[i].page = arena_array(s->mem, (size_t)most, sizeof *s->seq[i].page);
        if (!s->seq[i].page) return err_nomem(err);
    }
    if (!e->layout.state_floats) return TAWNY_OK;
    s->seq[0].state = arena_array(s->mem, e->layout.state_floats, sizeof *s->seq[0].state);
    return s->seq[0].state ? TAWNY_OK : err_nomem(err);
}

/* How many of the texts the next passes take: a recurrent model one, whose state is there once. */
static int32_t group_of(const embedder *s, const tawny_text *t, int32_t n)
{
    const tawny_engine *e = s->e;
    int32_t most = e->n_ubatch < GROUP_TOKENS ? e->n_ubatch : GROUP_TOKENS;
    int32_t tokens = t[0].n, pages = pages_of(t[0].n), k = 1;
    if (e->layout.state_floats) return 1;
    for (; k < n && k < ENGINE_TEXTS; k++) {
        tokens += t[k].n < most ? t[k].n : most;
        pages += pages_of(t[k].n);
        if (tokens > most || t[k].n > most || pages > e->pool.n_free) break;
        if ((size_t)pages * e->layout.page_bytes > GROUP_BYTES) break;
    }
    return k;
}

/* Adds text i's tokens [from, from + n) to the batch. */
static tawny_status add_tokens(embedder *s, batch *b, const tawny_text *t, int32_t i, int32_t from, int32_t n,
                               tawny_error *err)
{
    tawny_engine *e = s->e;
    kv_seq *q = &s->seq[i];
    tawny_status st = kv_seq_prepare(&e->pool, q, engine_seq_pages(e), from, n, err);
    if (st != TAWNY_OK) return st;
    memcpy(s->token + b->n, t->tokens + from, (size_t)n * sizeof *s->token);
    s->spans[i] = (span){.seq = q, .from = b->n, .n = n, .pos = from};
    int32_t first = s->rows == ROWS_LAST ? n - 1 : 0, past = s->rows == ROWS_FIRST ? 1 : n;
    bool wanted = s->rows == ROWS_ALL || (s->rows == ROWS_FIRST ? from == 0 : from + n == t->n);
    for (int32_t j = first; j < past && wanted; j++) e->out_index[b->n_out++] = b->n + j;
    b->n += n;
    b->n_spans++;
    return TAWNY_OK;
}

/* n rows of hidden states, as they are or through the head, become results. */
static tawny_status deliver(embedder *s, const float *x, int32_t n, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    if (!s->head) {
        memcpy(s->out, x, (size_t)n * s->dim * sizeof *x);
    } else if (n) {
        head_job h = {.rank = s->how == POOL_RANK, .x = x, .y = s->out};
        st = engine_forward(s->e, &(batch){.n = n, .head = &h}, err);
    }
    s->out += (size_t)n * s->width;
    return st;
}

/* What the pass gave, in order; a text has rows of its own, one, or none yet. */
static void collect(embedder *s, const batch *b)
{
    const float *row = s->e->shared.embd;
    for (int32_t j = 0, i = 0; j < b->n_out; j++, row += s->dim) {
        while (b->out[j] >= s->spans[i].from + s->spans[i].n) i++;
        double *sum = s->sum + (size_t)i * s->dim;
        if (s->mean)
            for (size_t d = 0; d < s->dim; d++) sum[d] += (double)row[d];
        else
            memcpy(s->pooled + (size_t)i * s->dim, row, s->dim * sizeof *row);
    }
}

static tawny_status pass(embedder *s, const tawny_text *t, int32_t n, int32_t from, tawny_error *err)
{
    tawny_engine *e = s->e;
    batch b = {.token = s->token, .spans = s->spans, .out = e->out_index, .embed = true};
    for (int32_t i = 0; i < n; i++) {
        int32_t rest = t[i].n - from;
        tawny_status st = add_tokens(s, &b, &t[i], i, from, rest < e->n_ubatch ? rest : e->n_ubatch, err);
        if (st != TAWNY_OK) return st;
    }
    tawny_status st = engine_forward(e, &b, err);
    if (st != TAWNY_OK) return st;
    if (s->how == POOL_NONE) return deliver(s, e->shared.embd, b.n_out, err);
    collect(s, &b);
    return TAWNY_OK;
}

static void finish_means(embedder *s, const tawny_text *t, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (size_t d = 0; d < s->dim; d++) {
            size_t at = (size_t)i * s->dim + d;
            s->pooled[at] = (float)(s->sum[at] / t[i].n);
        }
}

static void start_texts(embedder *s, int32_t n)
{
    if (s->mean) memset(s->sum, 0, (size_t)n * s->dim * sizeof *s->sum);
    if (s->seq[0].state) memset(s->seq[0].state, 0, s->e->layout.state_floats * sizeof(float));
}

/* Several texts fit one pass; a longer one that goes chunk by chunk stands alone. */
static tawny_status group(embedder *s, const tawny_text *t, int32_t n, tawny_error *err)
{
    tawny_status st = TAWNY_OK;
    start_texts(s, n);
    for (int32_t from = 0; st == TAWNY_OK && from < t[0].n; from += s->e->n_ubatch) st = pass(s, t, n, from, err);
    for (int32_t i = 0; i < n; i++) kv_seq_truncate(&s->e->pool, &s->seq[i], 0);
    if (st != TAWNY_OK || s->how == POOL_NONE) return st;
    if (s->mean) finish_means(s, t, n);
    return deliver(s, s->pooled, n, err);
}

tawny_status tawny_engine_embed(tawny_engine *e, const tawny_text *texts, int32_t n, tawny_pooling p, float *out,
                                tawny_error *err)
{
    const model *m = &e->model->m;
    tawny_status st = check(e, texts, n, p, err);
    if (st != TAWNY_OK || n == 0) return st;
    embedder s = {.e = e, .how = resolve(m, p), .dim = m->hp.n_embd, .out = out};
    s.rows = rows_of_pooling(&m->hp, s.how);
    s.mean = s.rows == ROWS_ALL && s.how != POOL_NONE;
    s.head = s.how == POOL_RANK || m->head.dense_2.data;
    s.width = head_width(m, s.how == POOL_RANK);
    st = start(&s, err);
    for (int32_t i = 0, k; st == TAWNY_OK && i < n; i += k) {
        k = group_of(&s, texts + i, n - i);
        st = group(&s, texts + i, k, err);
    }
    arena_free(s.mem);
    return st;
}

void tawny_embedding_normalize(float *x, int32_t n, int32_t norm)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double v = fabs((double)x[i]);
        if (norm == 0)
            sum = v > sum ? v : sum;
        else
            sum += norm == 1 ? v : norm == 2 ? v * v : v > 0 ? d_pow(v, norm) : 0;
    }
    if (norm < 0 || !(sum > 0)) return;
    double by = norm == 0 ? sum / 32760 : norm == 1 ? sum : norm == 2 ? sqrt(sum) : d_pow(sum, 1.0 / norm);
    for (int32_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / by);
}
