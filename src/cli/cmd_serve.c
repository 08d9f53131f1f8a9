/* tawny serve: the doors that clients know, over one model. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../server/serve.h"
#include "engine_opts.h"
#include "sampler_opts.h"

enum { MAX_KEYS_FILE = 1 << 20 };

typedef struct serve_opts {
    engine_opts engine;
    sampler_opts sampling;
    const char *host, *key_file, *alias, *template_file, *pooling;
    cli_list keys, hosts;
    bool measure;
    int port, slots, queue, n_predict, grace, timeout, connections, max_body;
} serve_opts;

/* Keys of a file, a line each. The texts live as long as the process. */
static int read_keys(serve_opts *o, buf *text)
{
    tawny_error err;
    if (!o->key_file) return -1;
    if (file_read(o->key_file, MAX_KEYS_FILE, text, &err) != TAWNY_OK) return cli_fail_err(&err);
    for (char *line = text->data, *rest; line && *line; line = rest) {
        size_t n = strcspn(line, "\r\n");
        rest = line + n + strspn(line + n, "\r\n");
        line[n] = 0;
        const char **more = n ? realloc(o->keys.items, (o->keys.n + 1) * sizeof *more) : NULL;
        if (n && !more) return cli_fail(1, "out of memory");
        if (!n) continue;
        o->keys.items = more;
        more[o->keys.n++] = line;
    }
    return o->keys.n ? -1 : cli_fail(1, "serve: --api-key-file %s: no key in it", o->key_file);
}

/* Waits for SIGTERM or SIGINT; a second one ends the process at once. */
static void wait_for_end(const sigset_t *ends)
{
    int signal_number;
    while (sigwait(ends, &signal_number) != 0) continue;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
}

static int serve(const serve_opts *o, const server_config *c)
{
    tawny_error err;
    server *s;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* inherited by all threads: sigwait alone takes them */
    signal(SIGPIPE, SIG_IGN);
    if (server_open(o->engine.model, c, &s, &err) != TAWNY_OK) return cli_fail_err(&err);
    engine_opts_tell(&o->engine, s->model);
    fprintf(stderr, "tawny: listening on http://%s:%d, %d slots, %d threads\n", c->host, s->port, sched_n_slots(s->sched),
            tawny_engine_n_threads(sched_engine(s->sched)));
    wait_for_end(&ends);
    fprintf(stderr, "tawny: ending\n");
    server_drain(s, o->grace);
    server_close(s);
    return 0;
}

int cmd_serve(int argc, char **argv)
{
    serve_opts o = {.sampling = sampler_opts_default(), .host = "127.0.0.1", .port = 8080, .slots = 4, .queue = 256, .n_predict = -1,
                    .grace = 30, .timeout = 60, .connections = 2048, .max_body = 8};
    const cli_opt opts[] = {
        ENGINE_OPTS(o.engine),
        {NULL, CLI_HEADING, NULL, NULL, "server", 0, 0},
        {"--host", CLI_STR, &o.host, "ADDRESS", "where to listen (default: 127.0.0.1; others need a key)", 0, 0},
        {"--port", CLI_INT, &o.port, "N", "on which port (default: 8080; 0: any)", 0, 65535},
        {"-np --parallel", CLI_INT, &o.slots, "N", "requests computed together (default: 4)", 1, 256},
        {"--queue", CLI_INT, &o.queue, "N", "requests that wait at most (default: 256)", 0, 65536},
        {"--api-key", CLI_LIST, &o.keys, "KEY", "that clients must give; may be given several times", 0, 0},
        {"--api-key-file", CLI_STR, &o.key_file, "FILE", "keys, a line each", 0, 0},
        {"--allowed-host", CLI_LIST, &o.hosts, "NAME", "a further name that this server is reached by", 0, 0},
        {"-a --alias", CLI_STR, &o.alias, "NAME", "the model's name in answers (default: its file's)", 0, 0},
        {"--chat-template-file", CLI_STR, &o.template_file, "FILE", "in place of the model's chat template", 0, 0},
        {"--measure", CLI_FLAG, &o.measure, NULL, "first measure how fast memory can be read, for /metrics (a second)", 0, 0},
        {"--pooling", CLI_STR, &o.pooling, "KIND", "of embeddings: none, mean, cls, last or rank (default: the model's)", 0, 0},
        {"-n --predict --n-predict", CLI_INT, &o.n_predict, "N", "tokens of an answer at most, where a request does not say (default: -1)", -1,
         INT32_MAX},
        {"--grace", CLI_INT, &o.grace, "S", "seconds that running requests get at the end (default: 30)", 0, 86400},
        {"-to --timeout", CLI_INT, &o.timeout, "S", "seconds that a connection may be idle (default: 60)", 1, 86400},
        {"--max-connections", CLI_INT, &o.connections, "N", "at once (default: 2048)", 1, 65536},
        {"--max-body", CLI_INT, &o.max_body, "MB", "of a request (default: 8)", 1, 1024},
        SAMPLER_OPTS(o.sampling),
        {0},
    };
    int code = cli_parse("serve", argc, argv, opts, NULL);
    if (code >= 0) return code;
    char path[4096];
    buf keys = {0}, source = {0};
    tawny_error err;
    tawny_pooling kind;
    if (!engine_opts_pooling(o.pooling, &kind))
        return cli_fail(2, "serve: --pooling %s: none, mean, cls, last and rank are known", o.pooling);
    code = engine_opts_resolve(&o.engine, "serve", path, sizeof path);
    if (code < 0) code = read_keys(&o, &keys);
    if (code < 0 && o.template_file && file_read(o.template_file, 1 << 20, &source, &err) != TAWNY_OK) code = cli_fail_err(&err);
    server_config c = {
        .host = o.host, .port = o.port, .listen_fd = -1, .keys = o.keys.items, .n_keys = o.keys.n, .hosts = o.hosts.items, .n_hosts = o.hosts.n,
        .alias = o.alias, .template_source = source.data, .max_body = (size_t)o.max_body << 20, .timeout = o.timeout,
        .max_connections = o.connections, .sched = {.engine = o.engine.params, .n_slots = o.slots, .max_queue = o.queue},
        .measure = o.measure, .pooling = kind, .sampling = o.sampling.p, .n_predict = o.n_predict, .load = o.engine.load,
    };
    if (code < 0) code = serve(&o, &c);
    buf_free(&keys);
    buf_free(&source);
    free(o.keys.items);
    free(o.hosts.items);
    sampler_opts_free(&o.sampling);
    return code ? code : cli_finish(0);
}
