/* The server: what all doors share. */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include <jansson.h>

#include "../engine/engine.h"
#include "../text/chat.h"
#include "../text/answer_grammar.h"
#include "grammar.h"
#include "sched.h"

enum { SERVER_CACHE_CHOOSE = -2 };

typedef struct server_config {
    const char *host;             /* an address; loopback needs no key */
    int port;                     /* 0: any that is free */
    int listen_fd;                /* a socket that somebody else opened (systemd); -1: none */
    const char *const *keys;      /* [n_keys] */
    size_t n_keys;
    const char *const *hosts;     /* [n_hosts]: names beside the usual ones that a Host header may have */
    size_t n_hosts;
    const char *alias;            /* the model's name in answers; NULL: its file's */
    const char *template_source;  /* in place of the model's chat template; NULL: the model's */
    size_t max_body;              /* bytes; 0: 8 MiB */
    int timeout;                  /* seconds that a connection may be idle; 0: 60 */
    int max_connections;          /* 0: 2048; fewer where the limit of open files has no room for them */
    int ping;                     /* seconds that a stream may be silent; -1: for ever */
    tawny_load load;              /* how the weights come into memory */
    bool measure;                 /* how fast memory can be read, before the model is opened (a second) */
    tawny_pooling pooling;        /* of embeddings; MODEL: as the file says */
    int slot_dir;                 /* an open directory for files of slots; -1: none */
    int cache_mib;                /* memory for pasts that no slot has any more; -1: no limit; SERVER_CACHE_CHOOSE: by what is left */
    sched_params sched;           /* without the draft model of its speculation */
    const char *draft_path;       /* that model's file; NULL: none */
    sampler_params sampling;      /* what requests begin with */
    int n_predict;                /* tokens of an answer where the request does not say; -1: until the context is full */
} server_config;

typedef struct server {
    server_config config;
    const char *path;             /* of the model's file */
    tawny_model *model, *draft;
    tokenizer *tok;
    chat_template *chat;
    answer_style style;           /* of tool calls and reasoning in answers */
    grammar_cache *grammars;
    char *openapi;                /* the document of /openapi.json */
    sched *sched;
    char hash[33];                /* of the model, where `hashed` */
    _Atomic bool hashed;
    pthread_t hasher;
    bool hashes;
    int64_t created;              /* seconds since 1970 */
    struct http *http;
    int port;                     /* that it listens on */
    _Atomic double read_gbs;      /* at which memory can be read; 0: not measured */
    _Atomic double measured;      /* ms, when a request had it measured; 0: none did */
    _Atomic bool ready;           /* the model is there; before, all requests get 503 */
    _Atomic bool draining;
    _Atomic uint64_t ids;
    _Atomic uint64_t handled, refused; /* requests that reached their handler, and those that did not */
    _Atomic int asides;           /* threads of exchange_aside */
    _Atomic int exchanges;        /* requests that are not answered to the last byte yet */
} server;

/* Listens, then opens the model; requests get 503 until it is there, when this returns. */
tawny_status server_open(const char *path, const server_config *c, server **out, tawny_error *err);

/* New requests get 503; what runs goes on, for `grace` seconds at most, then ends with a final event. */
void server_drain(server *s, double grace);
void server_close(server *s); /* NULL is fine */

/* "tawny-VERSION-cCONTRACT", and the model's hash once it is known: it is computed after the start, in the background. */
void server_fingerprint(const server *s, char out[64]);
const char *server_model_name(const server *s);
const char *server_id(server *s, const char *prefix, char out[64]); /* "chatcmpl-..." */

#endif
