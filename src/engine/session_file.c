#include "session_file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(session_head) == 128, "the head has no holes");

static const char magic[8] = "tawnyses";

/* ---- the head ---- */

/* What makes the bits of keys, values and states beside the model, the types and the activations. */
static tawny_status setup_hash(const tawny_engine *e, uint8_t out[16], tawny_error *err)
{
    const kv_layout *l = &e->layout;
    hash_state *h = hash_new();
    if (!h) return err_nomem(err);
    uint32_t own_gemm = e->shared.gemm == NULL;
    hash_add(h, &own_gemm, sizeof own_gemm);
    hash_add(h, &l->n_layer, sizeof l->n_layer);
    for (uint32_t i = 0; i < l->n_layer; i++) {
        const kv_layer *k = &l->layer[i];
        const uint64_t fields[] = {k->k, k->v, k->k_head, k->v_head, k->n_head, k->dk, k->dv, k->conv, k->state};
        hash_add(h, fields, sizeof fields);
    }
    for (int i = 0; i < 2; i++) { /* which factors apply may depend on the size of the context */
        hash_add(h, e->shared.rope_freq[i], e->model->m.hp.rope[i].n_rot / 2 * sizeof *e->shared.rope_freq[i]);
        hash_add(h, &e->shared.rope_mag[i], sizeof e->shared.rope_mag[i]);
    }
    hash128 v = hash_value(h);
    memcpy(out, v.bytes, sizeof v.bytes);
    hash_free(h);
    return TAWNY_OK;
}

static hash128 head_check(const session_head *h) { return hash_bytes(h, offsetof(session_head, check)); }

/* The head of an empty session of this engine. */
static tawny_status head_of(const tawny_engine *e, session_head *h, tawny_error *err)
{
    char hex[HASH_HEX];
    *h = (session_head){
        .version = SESSION_FILE_VERSION, .contract = TAWNY_CONTRACT, .type_k = e->layout.type_k, .type_v = e->layout.type_v,
        .act_bits = (uint32_t)tawny_engine_act_bits(e), .page = SIMD_PAGE, .page_bytes = e->layout.page_bytes,
        .state_floats = e->layout.state_floats, .n_vocab = e->model->m.hp.n_vocab,
    };
    memcpy(h->magic, magic, sizeof magic);
    tawny_status st = tawny_model_hash(e->model, hex, err);
    if (st != TAWNY_OK) return st;
    memcpy(h->model, hex, sizeof h->model);
    return setup_hash(e, h->setup, err);
}

static const char *type_name(uint32_t type) { return type < SIMD_KV_TYPES ? simd_kv_name((simd_kv)type) : "?"; }

static tawny_status check_head(const session_image *g, const session_head *here, tawny_error *err)
{
    const session_head *h = &g->head;
    hash128 check = head_check(h);
    if (memcmp(h->magic, magic, sizeof magic) != 0) return err_set(err, TAWNY_E_FORMAT, "%s: it is no saved session", g->name);
    if (h->version != here->version)
        return err_set(err, TAWNY_E_FORMAT, "%s: version %u of the format; this tawny knows %u", g->name, h->version, here->version);
    if (memcmp(h->check, check.bytes, sizeof h->check) != 0) return err_set(err, TAWNY_E_FORMAT, "%s: it is damaged: the head's checksum differs", g->name);
    if (h->contract != here->contract)
        return err_set(err, TAWNY_E_FORMAT, "%s: saved under version %u of the numerical contract; this is %u", g->name, h->contract, here->contract);
    if (memcmp(h->model, here->model, sizeof h->model) != 0)
        return err_set(err, TAWNY_E_FORMAT, "%s: saved from another model (hash %.32s, not %.32s)", g->name, h->model, here->model);
    if (h->type_k != here->type_k || h->type_v != here->type_v)
        return err_set(err, TAWNY_E_FORMAT, "%s: saved from a cache of %s and %s; here keys are %s and values %s", g->name, type_name(h->type_k),
                       type_name(h->type_v), type_name(here->type_k), type_name(here->type_v));
    if (h->act_bits != here->act_bits)
        return err_set(err, TAWNY_E_FORMAT, "%s: saved with activations of %u bits; here they have %u", g->name, h->act_bits, here->act_bits);
    if (h->page != here->page || h->page_bytes != here->page_bytes || h->state_floats != here->state_floats || h->n_vocab != here->n_vocab ||
        memcmp(h->setup, here->setup, sizeof h->setup) != 0)
        return err_set(err, TAWNY_E_FORMAT, "%s: saved by an engine that was set up differently (context, --gemm)", g->name);
    return TAWNY_OK;
}

static tawny_status check_counts(const session_image *g, const tawny_engine *e, tawny_error *err)
{
    const session_head *h = &g->head;
    if (h->n_tokens > (uint32_t)e->n_ctx)
        return err_set(err, TAWNY_E_LIMIT, "%s: %u tokens; the context has room for %d", g->name, h->n_tokens, e->n_ctx);
    if (h->n_state != -1 && h->n_state != (int32_t)h->n_tokens) return err_set(err, TAWNY_E_FORMAT, "%s: a state of %d tokens", g->name, h->n_state);
    if (h->n_saved > (h->state_floats ? SESSION_SAVED : 0)) return err_set(err, TAWNY_E_FORMAT, "%s: %u checkpoints", g->name, h->n_saved);
    return TAWNY_OK;
}

tawny_status session_image_open(session_image *g, const tawny_engine *e, const char *name, tawny_read read, void *user, tawny_error *err)
{
    session_head here;
    *g = (session_image){.name = name, .read = read, .user = user};
    tawny_status st = head_of(e, &here, err);
    if (st == TAWNY_OK) st = read(user, &g->head, sizeof g->head, err);
    if (st == TAWNY_OK) st = check_head(g, &here, err);
    return st == TAWNY_OK ? check_counts(g, e, err) : st;
}

/* ---- the rest: one walk over a session's parts, for both ways ---- */

/* Calls part(user, data, n) for each; *st ends it. */
typedef struct walk {
    tawny_status (*part)(struct walk *w, void *data, size_t n);
    hash_state *hash;
    tawny_write write;
    tawny_read read;
    void *user;
    tawny_error *err;
} walk;

static tawny_status put(walk *w, void *data, size_t n)
{
    hash_add(w->hash, data, n);
    return w->write(w->user, data, n, w->err);
}

static tawny_status get(walk *w, void *data, size_t n)
{
    tawny_status st = w->read(w->user, data, n, w->err);
    if (st == TAWNY_OK) hash_add(w->hash, data, n);
    return st;
}

/* States: the session's own, and those saved; *n_saved of them. */
static tawny_status walk_states(walk *w, tawny_session *s, uint32_t n_saved)
{
    tawny_status st = TAWNY_OK;
    size_t floats = s->engine->layout.state_floats, n_vocab = s->engine->model->m.hp.n_vocab;
    if (s->kv.n_state == s->n) st = w->part(w, s->kv.state, floats * sizeof(float));
    for (uint32_t i = 0, at = 0; st == TAWNY_OK && at < n_saved; i++) {
        saved_state *x = &s->saved[i];
        if (w->write && !x->n) continue;
        at++;
        st = w->part(w, &x->n, sizeof x->n);
        if (st == TAWNY_OK) st = w->part(w, x->state, floats * sizeof(float));
        if (st == TAWNY_OK) st = w->part(w, x->logits, n_vocab * sizeof(float));
    }
    return st;
}

/* last: in place of the last page. */
static tawny_status walk_parts(walk *w, tawny_session *s, uint8_t *last, uint32_t n_saved)
{
    tawny_status st = w->part(w, s->tokens, (size_t)s->n * sizeof *s->tokens);
    int32_t pages = (s->n + SIMD_PAGE - 1) / SIMD_PAGE;
    for (int32_t i = 0; st == TAWNY_OK && i < pages; i++)
        st = w->part(w, i == pages - 1 ? last : s->kv.page[i], s->engine->layout.page_bytes);
    return st == TAWNY_OK && s->kv.state ? walk_states(w, s, n_saved) : st;
}

/* A copy of the last page without what lies beyond the tokens: another session may have left it there. */
static uint8_t *last_page(const tawny_session *s)
{
    size_t bytes = s->engine->layout.page_bytes;
    uint8_t *p = malloc(bytes);
    if (!p || !s->n) return p;
    memcpy(p, s->kv.page[(s->n - 1) / SIMD_PAGE], bytes);
    if (s->n % SIMD_PAGE) kv_clear(&s->engine->layout, p, s->n % SIMD_PAGE);
    return p;
}

static tawny_session *mutable(const tawny_session *s) /* for a walk that only reads it */
{
    union {
        const tawny_session *in;
        tawny_session *out;
    } u = {.in = s};
    return u.out;
}

tawny_status tawny_session_save(const tawny_session *s, tawny_write write, void *user, tawny_error *err)
{
    walk w = {.part = put, .hash = hash_new(), .write = write, .user = user, .err = err};
    uint8_t *last = last_page(s);
    session_head head;
    tawny_status st = w.hash && last ? head_of(s->engine, &head, err) : err_nomem(err);
    if (st == TAWNY_OK) {
        head.n_tokens = (uint32_t)s->n;
        head.n_state = s->kv.state && s->kv.n_state != s->n ? -1 : s->n;
        for (int i = 0; s->kv.state && i < SESSION_SAVED; i++) head.n_saved += s->saved[i].n != 0;
        hash128 check = head_check(&head);
        memcpy(head.check, check.bytes, sizeof head.check);
        st = put(&w, &head, sizeof head);
    }
    if (st == TAWNY_OK) st = walk_parts(&w, mutable(s), last, head.n_saved);
    if (st == TAWNY_OK) {
        hash128 sum = hash_value(w.hash);
        st = write(user, sum.bytes, sizeof sum.bytes, err);
    }
    hash_free(w.hash);
    free(last);
    return st;
}

/* ---- reading ---- */

tawny_status session_image_room(const session_image *g, tawny_session *s, tawny_error *err)
{
    int32_t n = (int32_t)g->head.n_tokens;
    return n ? kv_seq_prepare(&s->engine->pool, &s->kv, engine_seq_pages(s->engine), 0, n, err) : TAWNY_OK;
}

/* What the checksum says nothing about: anybody can compute it. */
static tawny_status check_content(const session_image *g, const tawny_session *s, tawny_error *err)
{
    for (int32_t i = 0; i < s->n; i++)
        if (s->tokens[i] < 0 || (uint32_t)s->tokens[i] >= g->head.n_vocab)
            return err_set(err, TAWNY_E_FORMAT, "%s: token %d at index %d is not from 0 to %u", g->name, s->tokens[i], i, g->head.n_vocab - 1);
    for (uint32_t i = 0; i < g->head.n_saved; i++)
        if (s->saved[i].n < 1 || s->saved[i].n > s->n) return err_set(err, TAWNY_E_FORMAT, "%s: a checkpoint of %d tokens", g->name, s->saved[i].n);
    return TAWNY_OK;
}

tawny_status session_image_read(session_image *g, tawny_session *s, tawny_error *err)
{
    walk w = {.part = get, .hash = hash_new(), .read = g->read, .user = g->user, .err = err};
    hash128 sum, wanted;
    if (!w.hash) return err_nomem(err);
    hash_add(w.hash, &g->head, sizeof g->head);
    s->n = (int32_t)g->head.n_tokens;
    s->kv.n_state = g->head.n_state;
    uint8_t *last = s->n ? s->kv.page[(s->n - 1) / SIMD_PAGE] : NULL;
    tawny_status st = walk_parts(&w, s, last, g->head.n_saved);
    sum = hash_value(w.hash);
    hash_free(w.hash);
    if (st == TAWNY_OK) st = g->read(g->user, wanted.bytes, sizeof wanted.bytes, err);
    if (st == TAWNY_OK && memcmp(sum.bytes, wanted.bytes, sizeof sum.bytes) != 0)
        st = err_set(err, TAWNY_E_FORMAT, "%s: it is damaged: its checksum differs", g->name);
    if (st == TAWNY_OK) st = check_content(g, s, err);
    if (st != TAWNY_OK) return st;
    if (s->n % SIMD_PAGE) kv_clear(&s->engine->layout, last, s->n % SIMD_PAGE);
    s->kv.n_tokens = s->n;
    return TAWNY_OK;
}

tawny_status tawny_session_load(tawny_session *s, const char *name, tawny_read read, void *user, tawny_error *err)
{
    session_image g;
    tawny_session *t = NULL, former;
    tawny_status st = session_image_open(&g, s->engine, name, read, user, err);
    if (st == TAWNY_OK) st = session_make(s->engine, &t, err);
    if (st == TAWNY_OK) st = session_image_room(&g, t, err);
    if (st == TAWNY_OK) st = session_image_read(&g, t, err);
    if (st == TAWNY_OK) {
        former = *s;
        *s = *t;
        *t = former;
    }
    session_unmake(t);
    return st;
}
