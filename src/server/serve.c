#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/mem.h"
#include "http.h"
#include "measure.h"
#include "openapi.h"

enum { MAX_BODY = 8 << 20, TIMEOUT = 60, CONNECTIONS = 2048 };

const char *server_model_name(const server *s)
{
    if (s->config.alias) return s->config.alias;
    const char *slash = strrchr(s->path, '/');
    return slash ? slash + 1 : s->path;
}

const char *server_id(server *s, const char *prefix, char out[64])
{
    /* a number that no other run of the server gives: the time it began, and a count */
    snprintf(out, 64, "%s%08llx%04x%010llx", prefix, (unsigned long long)s->created, (unsigned)getpid() & 0xffff,
             (unsigned long long)atomic_fetch_add(&s->ids, 1));
    return out;
}

void server_fingerprint(const server *s, char out[64])
{
    bool hashed = atomic_load(&s->hashed);
    snprintf(out, 64, "tawny-%s-c%d%s%s", TAWNY_VERSION, TAWNY_CONTRACT, hashed ? "-" : "", hashed ? s->hash : "");
}

static void *hash(void *arg)
{
    server *s = arg;
    if (tawny_model_hash(s->model, s->hash, NULL) == TAWNY_OK) atomic_store(&s->hashed, true);
    return NULL;
}

static bool loopback(const char *host) { return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0; }

static tawny_status check(const server_config *c, tawny_error *err)
{
    if (!loopback(c->host) && c->n_keys == 0)
        return err_set(err, TAWNY_E_ARG, "--host %.100s can be reached from elsewhere: that needs --api-key or --api-key-file", c->host);
    for (size_t i = 0; i < c->n_keys; i++)
        if (!c->keys[i][0]) return err_set(err, TAWNY_E_ARG, "--api-key: an empty key");
    return TAWNY_OK;
}

/* For pasts that no slot has any more. Chosen: a quarter of the memory that is left beside the weights, which lie in the page
 * cache where they are mapped, and would be read from the disk again where they lost it. */
static uint64_t cache_bytes(const server *s)
{
    const uint64_t most = UINT64_C(8) << 30;
    if (s->config.cache_mib != SERVER_CACHE_CHOOSE) return s->config.cache_mib < 0 ? UINT64_MAX : (uint64_t)s->config.cache_mib << 20;
    uint64_t left = mem_available(""), weights = tawny_model_loaded(s->model, &(const char *){0}) == TAWNY_LOAD_MMAP ? tawny_model_bytes(s->model) : 0;
    uint64_t quarter = left > weights ? (left - weights) / 4 : 0;
    return quarter < most ? quarter : most;
}

/* The draft model, whose tokens must be the model's. */
static tawny_status load_draft(server *s, tawny_error *err)
{
    tokenizer *tok = NULL;
    if (!s->config.draft_path) return TAWNY_OK;
    tawny_status st = tawny_model_open_as(s->config.draft_path, s->config.load, &s->draft, err);
    if (st == TAWNY_OK) st = tok_open(s->draft->m.file, &tok, err);
    if (st == TAWNY_OK) st = spec_same_tokens(s->tok, tok, s->config.draft_path, err);
    tok_close(tok);
    s->config.sched.spec.draft = s->draft;
    return st;
}

static tawny_status load(server *s, tawny_error *err)
{
    if (s->config.measure) atomic_store(&s->read_gbs, measure_read(s->config.sched.engine.n_threads));
    tawny_status st = tawny_model_open_as(s->path, s->config.load, &s->model, err);
    if (st == TAWNY_OK) st = tok_open(s->model->m.file, &s->tok, err);
    if (st == TAWNY_OK) st = load_draft(s, err);
    if (st == TAWNY_OK) st = chat_open(s->tok, s->config.template_source, s->config.template_source ? strlen(s->config.template_source) : 0, &s->chat, err);
    if (st == TAWNY_OK) {
        size_t n = 0;
        const char *source = s->config.template_source ? s->config.template_source : tok_chat_template(s->tok, NULL, &n);
        gbnf_tokens tokens = gbnf_tokens_of(s->tok);
        s->style = answer_style_of(source ? source : "", s->config.template_source ? strlen(source) : n);
        s->grammars = grammar_cache_new(&tokens);
        s->openapi = openapi_text(s);
        if (!s->grammars || !s->openapi) st = err_nomem(err);
        s->config.sched.engine.prefix_bytes = cache_bytes(s);
        if (st == TAWNY_OK) st = sched_new(s->model, s->tok, &s->config.sched, &s->sched, err);
    }
    return st;
}

tawny_status server_open(const char *path, const server_config *c, server **out, tawny_error *err)
{
    *out = NULL;
    tawny_status st = check(c, err);
    if (st != TAWNY_OK) return st;
    server *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->config = *c;
    s->path = path;
    s->created = (int64_t)time(NULL);
    if (!s->config.max_body) s->config.max_body = MAX_BODY;
    if (!s->config.timeout) s->config.timeout = TIMEOUT;
    if (!s->config.max_connections) s->config.max_connections = CONNECTIONS;
    st = http_start(s, &s->http, err);
    if (st == TAWNY_OK) st = load(s, err);
    if (st == TAWNY_OK) atomic_store(&s->ready, true);
    if (st != TAWNY_OK) {
        server_close(s);
        return st;
    }
    s->hashes = pthread_create(&s->hasher, NULL, hash, s) == 0;
    *out = s;
    return TAWNY_OK;
}

static void wait_for_files(const server *s)
{
    const struct timespec little = {.tv_nsec = 2000000};
    while (atomic_load(&s->asides) > 0) nanosleep(&little, NULL);
}

/* The engine has done its part; what clients did not get yet is on its way to them. */
static void wait_for_clients(server *s, double milliseconds)
{
    const struct timespec little = {.tv_nsec = 2000000};
    for (double until = task_now() + milliseconds; atomic_load(&s->exchanges) > 0 && task_now() < until;) nanosleep(&little, NULL);
}

void server_drain(server *s, double grace)
{
    const double last_words = 2000; /* ms, for ends that are sent to clients */
    atomic_store(&s->draining, true);
    sched_drain(s->sched);
    if (!sched_wait(s->sched, grace * 1e3)) {
        sched_cancel_all(s->sched);
        sched_wait(s->sched, last_words);
    }
    wait_for_clients(s, last_words);
}

void server_close(server *s)
{
    if (!s) return;
    if (s->sched) {
        sched_drain(s->sched);
        sched_cancel_all(s->sched);
        sched_wait(s->sched, 1e4);
    }
    wait_for_files(s);
    http_stop(s->http);
    if (s->hashes) {
        tawny_model_hash_stop(s->model);
        pthread_join(s->hasher, NULL);
    }
    sched_free(s->sched);
    grammar_cache_free(s->grammars);
    free(s->openapi);
    chat_close(s->chat);
    tok_close(s->tok);
    tawny_model_close(s->model);
    tawny_model_close(s->draft);
    free(s);
}
