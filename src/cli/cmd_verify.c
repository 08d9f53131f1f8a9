/* tawny verify: whether a server, or a file of intermediate results, agrees with what is computed here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/engine.h"
#include "engine_opts.h"
#include "net.h"
#include "terminal.h"
#include "verify.h"
#include "verify_activations.h"

enum { NOT_JUDGED = 3 };

static const char *const usual[] = {"http://127.0.0.1:8080", "http://127.0.0.1:9931"};

typedef struct options {
    engine_opts engine;
    verify_options v;
    const char *url, *key, *server_model, *junit, *activations, *tokens;
    bool json;
} options;

typedef struct worker {
    tawny_model *m;
    tawny_engine *e;
    tokenizer *tok;
    remote r;
    verify_result result;
} worker;

/* The server that is named, or the first of the usual places that answers. */
static tawny_status find_server(worker *w, const options *o, tawny_error *err)
{
    tawny_error first;
    int seconds = o->v.timeout ? o->v.timeout : VERIFY_SECONDS;
    if (o->url) return remote_open(&w->r, o->url, o->key, o->server_model, w->tok, seconds, err);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (remote_open(&w->r, usual[i], o->key, o->server_model, w->tok, seconds, err) == TAWNY_OK) return TAWNY_OK;
        remote_close(&w->r);
        if (i == 0) first = *err;
    }
    return err_set(err, TAWNY_E_IO, "no --url, and none at the usual places: %.220s; %.220s", first.message, err->message);
}

/* An engine whose context holds the deepest prompt and what follows. */
static tawny_status open_engine(worker *w, options *o, tawny_error *err)
{
    tawny_engine_params *p = &o->engine.params;
    int32_t want = o->v.depth + o->v.n + 8, most = tawny_model_n_ctx_train(w->m);
    if (!p->n_ctx) p->n_ctx = most > 0 && most < want ? most : want;
    if (!p->act_bits) p->act_bits = 16;
    p->n_sessions = 2;
    return tawny_engine_new(w->m, p, &w->e, err);
}

static int report(worker *w, const options *o)
{
    const verify_result *v = &w->result;
    tawny_error err;
    if (o->json) {
        json_t *j = verify_json(v, &w->r, &o->v);
        if (!j || json_dumpf(j, stdout, JSON_INDENT(2)) != 0) cli_fail(1, "verify: out of memory");
        putchar('\n');
        json_decref(j);
    } else {
        verify_print_verdict(v);
    }
    if (o->junit && verify_junit(v, &w->r, &o->v, o->junit, &err) != TAWNY_OK) return cli_fail_err(&err);
    return cli_finish(v->overall == VERDICT_SOUND ? 0 : v->overall == VERDICT_UNKNOWN ? NOT_JUDGED : 1);
}

/* Rows as they come, and on a terminal what is being asked. */
typedef struct screen {
    bool rows, heading;
    double since;
    term_bar bar;
} screen;

static void asks(void *user, int32_t depth, double done)
{
    screen *s = user;
    char note[32];
    snprintf(note, sizeof note, "a prompt of %d", depth);
    term_bar_start(&s->bar, "verify");
    s->bar.since = s->since;
    term_bar_set(&s->bar, done, note);
}

static void tells(void *user, const verify_depth *d)
{
    screen *s = user;
    term_bar_end(&s->bar);
    if (s->rows) verify_print_depth(&s->heading, d);
}

static int against_server(worker *w, options *o)
{
    tawny_error err;
    screen s = {.rows = !o->json, .since = term_seconds()};
    tawny_status st = tawny_model_open(o->engine.model, &w->m, &err);
    if (st == TAWNY_OK) st = tok_open(w->m->m.file, &w->tok, &err);
    if (st != TAWNY_OK) return cli_fail_err(&err);
    st = find_server(w, o, &err);
    if (st == TAWNY_OK) st = verify_same_model(&w->r, w->m, &err);
    if (st != TAWNY_OK) return cli_fail(NOT_JUDGED, "verify: %s", err.message);
    st = open_engine(w, o, &err);
    if (st != TAWNY_OK) return cli_fail_err(&err);
    if (!o->json) printf("server         %s (%s), %s\n", w->r.url, remote_kind_name(w->r.kind), *w->r.model ? w->r.model : "no model's name");
    st = verify_server(w->e, w->tok, &w->r, &o->v, &w->result, &(verify_watch){.asks = asks, .tells = tells, .user = &s}, &err);
    term_bar_end(&s.bar);
    if (st != TAWNY_OK) return cli_fail(NOT_JUDGED, "verify: %s", err.message);
    return report(w, o);
}

int cmd_verify(int argc, char **argv)
{
    options o = {.v = {.ubatch = 512, .n = 8, .seed = 1}};
    worker w = {0};
    const cli_opt opts[] = {
        ENGINE_OPTS(o.engine),
        {NULL, CLI_HEADING, NULL, NULL, "Against a server (llama-server, vLLM, LM Studio, ollama, tawny):", 0, 0},
        {"--url", CLI_STR, &o.url, "URL", "http://HOST:PORT (default: ports 8080 and 9931 of this machine)", 0, 0},
        {"--api-key", CLI_STR, &o.key, "KEY", "for \"Authorization: Bearer\"", 0, 0},
        {"--server-model", CLI_STR, &o.server_model, "NAME", "the model's name there, where the server has several", 0, 0},
        {"--depth", CLI_INT, &o.v.depth, "N", "tokens of the deepest prompt (default: 16385, with --quick 4097, or what both contexts hold)", 2, 1 << 24},
        {"--quick", CLI_FLAG, &o.v.quick, NULL, "few prompts: about a tenth of the time", 0, 0},
        {"--server-ubatch", CLI_INT, &o.v.ubatch, "N", "the server's micro-batch, whose multiples are looked at (default: 512)", 2, 65536},
        {"-n --predict", CLI_INT, &o.v.n, "N", "tokens that the server adds to each prompt, all compared (default: 8)", 1, 256},
        {"-f --file", CLI_STR, &o.v.file, "FILE", "a text to take prompts from (default: sentences made by --seed)", 0, 0},
        {"--seed", CLI_INT, &o.v.seed, "N", "of the text (default: 1)", 0, 0},
        {"--timeout", CLI_INT, &o.v.timeout, "SECONDS", "for one answer of the server (default: 300, in proportion more beyond 4096 tokens)", 1, 86400},
        {NULL, CLI_HEADING, NULL, NULL, "Against intermediate results of another program:", 0, 0},
        {"--activations", CLI_STR, &o.activations, "FILE", "of `tawny logits --probe`, or what llama-eval-callback printed", 0, 0},
        {"--tokens", CLI_STR, &o.tokens, "IDS", "1,2,3 or @FILE, where the file does not tell them", 0, 0},
        {NULL, CLI_HEADING, NULL, NULL, "Results (exit code 0: sound, 1: suspicious or broken, 2: usage, 3: it could not be judged):", 0, 0},
        {"--json", CLI_FLAG, &o.json, NULL, "the result as JSON", 0, 0},
        {"--junit", CLI_STR, &o.junit, "FILE", "the result as JUnit XML as well, for a server", 0, 0},
        {0},
    };
    int code = cli_parse("verify", argc, argv, opts, NULL);
    if (code >= 0) return code;
    char path[4096];
    code = engine_opts_resolve(&o.engine, "verify", path, sizeof path);
    if (code >= 0) return code;
    if (o.activations && (o.url || o.junit)) return cli_fail(2, "verify: --activations stands without --url and --junit");
    if (o.activations) return verify_activations(&o.engine, o.activations, o.tokens, o.json);
    o.v.model = o.engine.model;
    if (!o.v.depth) o.v.depth = o.v.quick ? 4097 : 16385;
    code = against_server(&w, &o);
    remote_close(&w.r);
    tok_close(w.tok);
    tawny_engine_free(w.e);
    tawny_model_close(w.m);
    return code;
}
