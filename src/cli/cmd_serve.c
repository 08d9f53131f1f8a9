/* tawny serve: the doors that clients know, over one model. */
#include "cli.h"

#ifndef HAVE_LIBMICROHTTPD

int cmd_serve(int argc, char **argv)
{
    const cli_opt opts[] = {{0}};
    int code = cli_parse("serve", argc, argv, opts, NULL);
    return code >= 0 ? code : cli_fail(1, "serve: this tawny was built without libmicrohttpd");
}

#else

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/file.h"
#include "../server/serve.h"
#include "../server/slot_file.h"
#include "engine_opts.h"
#include "sampler_opts.h"
#include "sandbox.h"
#include "spec_opts.h"
#include "systemd.h"

enum { MAX_KEYS_FILE = 1 << 20, BROKE_BUDGET = 3, CI_SEED = 1, CI_PORT = 0, PORT = 8080 };

typedef struct serve_opts {
    engine_opts engine;
    sampler_opts sampling;
    spec_opts spec;
    const char *host, *key_file, *alias, *template_file, *pooling;
    cli_list keys, hosts;
    bool measure, ci;
    int budget_tokens, budget_seconds;
    const char *slot_path;
    int cache_mib;
    int port, slots, queue, n_predict, grace, timeout, ping, connections, max_body;
} serve_opts;

/* llama-server's variables, where the option means the same. */
static bool known_type(const char *name) { return engine_opts_kv_type(name, &(tawny_kv_type){0}); }
static bool known_kinds(const char *names) { return spec_opts_kinds(names, &(spec_params){0}, &(bool){0}); }
static bool known_pooling(const char *name) { return engine_opts_pooling(name, &(tawny_pooling){0}); }
static const cli_variable variables[] = {
    {"LLAMA_ARG_MODEL", "--model", NULL},
    {"LLAMA_ARG_ALIAS", "--alias", NULL},
    {"LLAMA_ARG_HOST", "--host", NULL},
    {"LLAMA_ARG_PORT", "--port", NULL},
    {"LLAMA_ARG_N_PARALLEL", "--parallel", NULL},
    {"LLAMA_ARG_CTX_SIZE", "--ctx-size", NULL},
    {"LLAMA_ARG_THREADS", "--threads", NULL},
    {"LLAMA_ARG_UBATCH", "--ubatch-size", NULL},
    {"LLAMA_ARG_CACHE_TYPE_K", "--cache-type-k", known_type},
    {"LLAMA_ARG_CACHE_TYPE_V", "--cache-type-v", known_type},
    {"LLAMA_ARG_CACHE_RAM", "--cache-ram", NULL},
    {"LLAMA_ARG_N_PREDICT", "--n-predict", NULL},
    {"LLAMA_ARG_POOLING", "--pooling", known_pooling},
    {"LLAMA_ARG_SPEC_TYPE", "--spec", known_kinds},
    {"LLAMA_ARG_SPEC_DRAFT_MODEL", "-md", NULL},
    {"LLAMA_ARG_SPEC_DRAFT_N_MAX", "--draft", NULL},
    {"LLAMA_ARG_SPEC_DRAFT_N_MIN", "--draft-min", NULL},
    {"LLAMA_ARG_SPEC_DRAFT_P_MIN", "--draft-p-min", NULL},
    {"LLAMA_ARG_TIMEOUT", "--timeout", NULL},
    {"LLAMA_ARG_SSE_PING_INTERVAL", "--sse-ping-interval", NULL},
    {"LLAMA_ARG_TEMPERATURE", "--temp", NULL},
    {"LLAMA_ARG_TOP_K", "--top-k", NULL},
    {"LLAMA_ARG_TOP_P", "--top-p", NULL},
    {"LLAMA_ARG_MIN_P", "--min-p", NULL},
    {"LLAMA_ARG_REPEAT_PENALTY", "--repeat-penalty", NULL},
    {"LLAMA_ARG_PRESENCE_PENALTY", "--presence-penalty", NULL},
    {"LLAMA_ARG_FREQUENCY_PENALTY", "--frequency-penalty", NULL},
    {0},
};

static int add_key(serve_opts *o, const char *key)
{
    const char **more = realloc(o->keys.items, (o->keys.n + 1) * sizeof *more);
    if (!more) return cli_fail(1, "out of memory");
    o->keys.items = more;
    more[o->keys.n++] = key;
    return -1;
}

/* Splits text, which lives as long as the process, at `ends` into keys. */
static int add_keys(serve_opts *o, char *text, const char *ends, const char *from)
{
    size_t before = o->keys.n;
    int code = -1;
    char *rest = NULL, *key = text ? strtok_r(text, ends, &rest) : NULL;
    for (; key && code < 0; key = strtok_r(NULL, ends, &rest)) code = add_key(o, key);
    return code >= 0 || o->keys.n > before ? code : cli_fail(1, "serve: %s: no key in it", from);
}

/* Keys of the environment count where no option gives any. */
static int read_keys(serve_opts *o, buf *text, buf *variable)
{
    tawny_error err;
    char from[300];
    const char *name = "--api-key-file", *keys = getenv("LLAMA_API_KEY"), *file = getenv("LLAMA_ARG_API_KEY_FILE");
    if (!o->keys.n && !o->key_file) {
        if (keys && !buf_str(variable, keys)) return cli_fail(1, "out of memory");
        int code = keys ? add_keys(o, variable->data, ",", "LLAMA_API_KEY") : -1;
        if (code >= 0) return code;
        o->key_file = file;
        name = "LLAMA_ARG_API_KEY_FILE";
    }
    if (!o->key_file) return -1;
    snprintf(from, sizeof from, "%s %.200s", name, o->key_file);
    if (file_read(o->key_file, MAX_KEYS_FILE, text, &err) != TAWNY_OK)
        return cli_fail(1, "serve: %s: %s", name, err.message);
    return add_keys(o, text->data, "\r\n", from);
}

/* One line of JSON, for whoever started the server and waits for it. */
static int say_ready(const server *s)
{
    char url[300];
    bool v6 = strchr(s->config.host, ':') != NULL;
    snprintf(url, sizeof url, v6 ? "http://[%.200s]:%d" : "http://%.200s:%d", s->config.host, s->port);
    json_t *line = json_pack("{s:b,s:s,s:i,s:s,s:i}", "ready", 1, "url", url, "port", s->port, "model", server_model_name(s),
                             "pid", (int)getpid());
    bool said = line && json_dumpf(line, stdout, JSON_COMPACT) == 0;
    json_decref(line);
    putchar('\n');
    return said ? cli_finish(-1) : cli_fail(1, "serve: the line that says it is ready could not be written");
}

/* What was computed for requests, as `usage` counts it: tokens of prompts, also those there before, and of answers. */
static bool over_budget(const serve_opts *o, const server *s, double since)
{
    sched_stats now;
    sched_stats_of(s->sched, &now);
    uint64_t tokens = now.prompt_tokens + now.cached_tokens + now.answer_tokens;
    if (o->budget_tokens && tokens > (uint64_t)o->budget_tokens)
        return cli_fail(1, "serve: --budget-tokens %d: used up", o->budget_tokens);
    if (o->budget_seconds && task_now() - since > 1e3 * o->budget_seconds)
        return cli_fail(1, "serve: --budget-seconds %d: used up", o->budget_seconds);
    return false;
}

/* Waits for SIGTERM or SIGINT, or until a budget is broken (true); a further signal ends the process at once. */
static bool wait_for_end(const serve_opts *o, const server *s, const sigset_t *ends)
{
    const struct timespec often = {.tv_nsec = 20000000};
    const double since = task_now();
    bool budgets = o->budget_tokens || o->budget_seconds, broke = false;
    while (!broke && (budgets ? sigtimedwait(ends, NULL, &often) : sigwaitinfo(ends, NULL)) < 0)
        broke = budgets && over_budget(o, s, since);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
    return broke;
}

/* While the model is opened there is nothing to drain: a signal ends the process at once. */
typedef struct opening {
    const sigset_t *ends;
    _Atomic bool done;
} opening;

static void end_at_once(const sigset_t *ends, int signal_number)
{
    signal(signal_number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
    raise(signal_number);
}

static void *watch(void *arg)
{
    opening *o = arg;
    const struct timespec often = {.tv_nsec = 20000000};
    while (!atomic_load(&o->done)) {
        int signal_number = sigtimedwait(o->ends, NULL, &often);
        if (signal_number > 0) end_at_once(o->ends, signal_number);
    }
    return NULL;
}

static tawny_status open_watched(const serve_opts *o, const server_config *c, const sigset_t *ends, server **s, tawny_error *err)
{
    opening w = {.ends = ends};
    pthread_t watcher;
    bool watched = pthread_create(&watcher, NULL, watch, &w) == 0; /* without it the signal waits */
    tawny_status st = server_open(o->engine.model, c, s, err);
    atomic_store(&w.done, true);
    if (watched) pthread_join(watcher, NULL);
    return st;
}

/* A heap for each thread, of which requests leave each another part unused, and large blocks that come from the heap once one was freed
 * (glibc's habits), cost a tenth of the resident memory and let it wander: one heap for all, and large blocks given back. */
static void one_heap(void)
{
#ifdef __GLIBC__
    const int large = 256 << 10;
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, large);
    mallopt(M_TRIM_THRESHOLD, large);
#endif
}

static int serve(const serve_opts *o, const server_config *c)
{
    tawny_error err;
    server *s;
    sigset_t ends;
    int notify, code = systemd_open(&notify);
    if (code >= 0) return code;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* inherited by all threads: sigwait alone takes them */
    signal(SIGPIPE, SIG_IGN);
    const char *open_to_all = sandbox_enter(c->slot_dir); /* before the first thread: those that there are would not be bound by it */
    if (open_watched(o, c, &ends, &s, &err) != TAWNY_OK) return cli_fail_err(&err);
    const char *any_call = sandbox_calls(c->slot_dir >= 0);
    engine_opts_tell(&o->engine, s->model);
    fprintf(stderr, "tawny: listening on http://%s:%d, %d slots, %d threads\n", c->host, s->port, sched_n_slots(s->sched),
            tawny_engine_n_threads(sched_engine(s->sched)));
    if (s->config.max_connections < c->max_connections)
        fprintf(stderr, "tawny: %d connections at once: the limit of open files (ulimit -n) has no room for more\n",
                s->config.max_connections);
    if (open_to_all) fprintf(stderr, "tawny: without Landlock: %s\n", open_to_all);
    if (any_call) fprintf(stderr, "tawny: without seccomp: %s\n", any_call);
    if (o->ci) code = say_ready(s);
    if (code < 0) code = systemd_notify(notify, "READY=1");
    if (code < 0) {
        bool broke = wait_for_end(o, s, &ends);
        fprintf(stderr, "tawny: ending\n");
        systemd_notify(notify, "STOPPING=1");
        server_drain(s, broke ? 0 : o->grace);
        code = broke ? BROKE_BUDGET : 0;
    }
    server_close(s);
    return code;
}

/* What --ci chooses where nothing else was said: answers that are the same each time, and a port that is free. */
static void choose(serve_opts *o)
{
    sampler_params usual = sampler_params_default();
    if (o->port < 0) o->port = o->ci ? CI_PORT : PORT;
    if (o->sampling.p.temp < 0) o->sampling.p.temp = o->ci ? 0 : usual.temp;
    if (o->ci && o->sampling.p.seed == SAMPLER_SEED_RANDOM) o->sampling.p.seed = CI_SEED;
}

int cmd_serve(int argc, char **argv)
{
    serve_opts o = {.sampling = sampler_opts_default(), .spec = spec_opts_default(), .host = "127.0.0.1", .port = -1, .slots = 4, .queue = 256, .n_predict = -1,
                    .grace = 30, .timeout = 60, .ping = 10, .connections = 2048, .max_body = 8,
                    .cache_mib = SERVER_CACHE_CHOOSE};
    const cli_opt opts[] = {
        ENGINE_OPTS(o.engine),
        {NULL, CLI_HEADING, NULL, NULL, "server", 0, 0},
        {"--host", CLI_STR, &o.host, "ADDRESS", "where to listen (default: 127.0.0.1; others need a key)", 0, 0},
        {"--port", CLI_INT, &o.port, "N", "on which port (default: 8080, --ci: 0; 0: any that is free)", 0, 65535},
        {"-np --parallel", CLI_INT, &o.slots, "N", "requests computed together (default: 4)", 1, 256},
        {"-cram --cache-ram", CLI_INT, &o.cache_mib, "MIB",
         "for pasts of prompts and answers that no slot has any more (default: a quarter of what is left, up to 8192; 0: none; -1: no limit)", -1,
         1 << 30},
        {"--slot-save-path", CLI_STR, &o.slot_path, "DIR", "where POST /slots/N?action=save and restore keep files (default: nowhere)", 0, 0},
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
        {"--sse-ping-interval", CLI_INT, &o.ping, "S", "seconds until a silent stream is kept alive (default: 10; -1: never)", -1, 86400},
        {"--max-connections", CLI_INT, &o.connections, "N", "at once (default: 2048)", 1, 65536},
        {"--max-body", CLI_INT, &o.max_body, "MB", "of a request (default: 8)", 1, 1024},
        {"--ci", CLI_FLAG, &o.ci, NULL, "for tests: --temp 0, a fixed seed, a free port; a line of JSON when ready",
         0, 0},
        {"--budget-tokens", CLI_INT, &o.budget_tokens, "N",
         "of all prompts and answers; beyond, it ends with code 3 (default: 0: no limit)", 0,
         INT32_MAX},
        {"--budget-seconds", CLI_INT, &o.budget_seconds, "N",
         "from when it is ready; beyond, it ends with code 3 (default: 0: no limit)", 0, 1 << 30},
        SPEC_OPTS(o.spec),
        SAMPLER_OPTS(o.sampling),
        {0},
    };
    o.sampling.p.temp = -1; /* not said */
    int code = cli_env("serve", opts, variables), fd;
    if (code < 0) code = cli_parse("serve", argc, argv, opts, NULL);
    if (code >= 0) return code;
    one_heap();
    choose(&o);
    char path[4096], draft[4096], address[64];
    buf keys = {0}, variable = {0}, source = {0};
    tawny_error err;
    tawny_pooling kind;
    if (!engine_opts_pooling(o.pooling, &kind))
        return cli_fail(2, "serve: --pooling %s: none, mean, cls, last and rank are known", o.pooling);
    code = engine_opts_resolve(&o.engine, "serve", path, sizeof path);
    if (code < 0) code = spec_opts_resolve(&o.spec, "serve", draft, sizeof draft);
    o.spec.p.engine = o.engine.params;
    if (code < 0) code = read_keys(&o, &keys, &variable);
    if (code < 0) code = systemd_socket(&fd, address, sizeof address);
    if (code < 0 && o.template_file && file_read(o.template_file, 1 << 20, &source, &err) != TAWNY_OK) code = cli_fail_err(&err);
    int slot_dir = -1;
    if (code < 0 && o.slot_path && slot_dir_open(o.slot_path, &slot_dir, &err) != TAWNY_OK) code = cli_fail_err(&err);
    server_config c = {
        .host = code < 0 && fd >= 0 ? address : o.host, .port = o.port, .listen_fd = code < 0 ? fd : -1,
        .keys = o.keys.items, .n_keys = o.keys.n, .hosts = o.hosts.items, .n_hosts = o.hosts.n,
        .alias = o.alias, .template_source = source.data, .max_body = (size_t)o.max_body << 20, .timeout = o.timeout,
        .ping = o.ping,
        .max_connections = o.connections, .sched = {.engine = o.engine.params, .n_slots = o.slots, .max_queue = o.queue, .spec = o.spec.p},
        .slot_dir = slot_dir, .cache_mib = o.cache_mib, .measure = o.measure, .pooling = kind, .sampling = o.sampling.p, .n_predict = o.n_predict, .load = o.engine.load,
        .draft_path = o.spec.draft,
    };
    if (code < 0) code = serve(&o, &c);
    if (slot_dir >= 0) close(slot_dir);
    buf_free(&keys);
    buf_free(&variable);
    buf_free(&source);
    free(o.keys.items);
    free(o.hosts.items);
    sampler_opts_free(&o.sampling);
    return code ? code : cli_finish(0);
}

#endif
