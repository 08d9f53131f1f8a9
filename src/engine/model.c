/* Models as the public interface has them: opening, describing, hashing. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/hash.h"
#include "cost.h"
#include "engine.h"

/* Weights that decoding a token reads. */
static uint64_t bytes_per_token(const tawny_model *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf_tensor_count(t->m.file); i++) sum += cost_bytes_used(t, gguf_tensor_at(t->m.file, i));
    return sum;
}

static tawny_status open_file(const char *path, unsigned flags, tawny_load load, const engine_placer *place,
                              tawny_model **out, tawny_error *err)
{
    *out = NULL;
    tawny_status st = simd_init(NULL, err);
    if (st != TAWNY_OK) return st;
    tawny_model *t = calloc(1, sizeof *t);
    if (!t) return err_nomem(err);
    t->m.mem = arena_new();
    st = t->m.mem ? gguf_open(path, flags, &t->m.file, err) : err_nomem(err);
    if (st == TAWNY_OK) st = engine_load(t, load, err);
    if (st == TAWNY_OK && place) place->call(place->user, t->m.file);
    if (st == TAWNY_OK) st = model_load(&t->m, err);
    if (st != TAWNY_OK) {
        tawny_model_close(t);
        return st;
    }
    t->bytes_per_token = bytes_per_token(t);
    *out = t;
    return TAWNY_OK;
}

tawny_status tawny_model_open(const char *path, tawny_model **out, tawny_error *err)
{
    return open_file(path, 0, TAWNY_LOAD_MMAP, NULL, out, err);
}

tawny_status tawny_model_open_as(const char *path, tawny_load load, tawny_model **out, tawny_error *err)
{
    return open_file(path, 0, load, NULL, out, err);
}

tawny_status engine_open_header(const char *path, tawny_model **out, tawny_error *err)
{
    return open_file(path, GGUF_HEADER_ONLY, TAWNY_LOAD_MMAP, NULL, out, err);
}

tawny_status engine_open_placed(const char *path, const engine_placer *place, tawny_model **out, tawny_error *err)
{
    return open_file(path, GGUF_HEADER_ONLY, TAWNY_LOAD_MMAP, place, out, err);
}

void tawny_model_close(tawny_model *t)
{
    if (!t) return;
    gguf_close(t->m.file);
    arena_free(t->m.mem);
    free(t);
}

const char *tawny_model_arch(const tawny_model *t) { return t->m.arch_name; }
int32_t tawny_model_n_vocab(const tawny_model *t) { return (int32_t)t->m.hp.n_vocab; }
int32_t tawny_model_n_embd(const tawny_model *t) { return (int32_t)t->m.hp.n_embd; }
int32_t tawny_model_n_layer(const tawny_model *t) { return (int32_t)t->m.hp.n_layer; }
int32_t tawny_model_n_ctx_train(const tawny_model *t) { return (int32_t)t->m.hp.n_ctx_train; }
uint64_t tawny_model_n_params(const tawny_model *t) { return t->m.n_params; }
uint64_t tawny_model_bytes(const tawny_model *t) { return t->m.weight_bytes; }
uint64_t tawny_model_bytes_per_token(const tawny_model *t) { return t->bytes_per_token; }

/* Scalars of the architecture, and arrays of numbers, in the order of the file's keys by name. */
static int by_key(const void *a, const void *b)
{
    const gguf_kv *x = *(const gguf_kv *const *)a, *y = *(const gguf_kv *const *)b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.p, y->key.p, n);
    return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

static bool is_own(const model *m, const gguf_kv *kv)
{
    size_t n = strlen(m->arch_name);
    bool prefixed = kv->key.n > n && memcmp(kv->key.p, m->arch_name, n) == 0 && kv->key.p[n] == '.';
    return prefixed || gguf_str_eq(kv->key, "general.architecture");
}

static void hash_kv(hash_state *h, const gguf_kv *kv)
{
    uint32_t type = kv->type;
    hash_add(h, kv->key.p, kv->key.n);
    hash_add(h, &type, sizeof type);
    if (kv->type == GGUF_STR)
        hash_add(h, kv->v.s.p, kv->v.s.n);
    else if (kv->type == GGUF_ARR)
        hash_add(h, kv->v.a.data, kv->v.a.bytes);
    else
        hash_add(h, &kv->v.u, sizeof kv->v.u);
}

/* A tensor at a time: an end in between is soon seen. */
static bool hash_tensors(const tawny_model *t, hash_state *h, const gguf_tensor **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (atomic_load(&t->hash_stopped)) return false;
        hash_add(h, list[i]->name, strlen(list[i]->name));
        hash_add(h, &list[i]->type, sizeof list[i]->type);
        hash_add(h, list[i]->ne, sizeof list[i]->ne);
        hash_add(h, list[i]->data, list[i]->bytes);
    }
    return true;
}

static tawny_status compute_hash(tawny_model *t, tawny_error *err)
{
    const gguf *g = t->m.file;
    size_t n_kv = gguf_kv_count(g), n_t = gguf_tensor_count(g), n = 0;
    const gguf_kv **kv = malloc((n_kv + 1) * sizeof *kv);
    const gguf_tensor **tensors = malloc((n_t + 1) * sizeof *tensors);
    hash_state *h = hash_new();
    tawny_status st = kv && tensors && h ? TAWNY_OK : err_nomem(err);
    if (st == TAWNY_OK) {
        for (size_t i = 0; i < n_kv; i++)
            if (is_own(&t->m, gguf_kv_at(g, i))) kv[n++] = gguf_kv_at(g, i);
        qsort(kv, n, sizeof *kv, by_key);
        for (size_t i = 0; i < n; i++) hash_kv(h, kv[i]);
        for (size_t i = 0; i < n_t; i++) tensors[i] = gguf_tensor_at(g, i);
        qsort(tensors, n_t, sizeof *tensors, by_name);
        if (!hash_tensors(t, h, tensors, n_t)) st = err_set(err, TAWNY_E_LIMIT, "%s: the hash was stopped", gguf_path(g));
    }
    if (st == TAWNY_OK && gguf_damaged(g)) st = err_set(err, TAWNY_E_DAMAGED, "%s: the file changed while it was read", gguf_path(g));
    if (st == TAWNY_OK) hash_hex(hash_value(h), t->hash);
    free(kv);
    free(tensors);
    hash_free(h);
    return st;
}

void tawny_model_hash_stop(tawny_model *t) { atomic_store(&t->hash_stopped, true); }

tawny_status tawny_model_hash(tawny_model *t, char hex[33], tawny_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* whoever comes second waits for the first's result */
    pthread_mutex_lock(&lock);
    tawny_status st = t->hash[0] ? TAWNY_OK : compute_hash(t, err);
    if (st == TAWNY_OK) memcpy(hex, t->hash, sizeof t->hash);
    pthread_mutex_unlock(&lock);
    return st;
}
