/* tawny run: a prompt answered, or a chat. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "chat.h"
#include "prompt_cache.h"
#include "terminal.h"

typedef struct run_opts {
    engine_opts engine;
    sampler_opts sampling;
    spec_opts spec;
    constraint_opts constraint;
    const char *prompt, *file, *system;
    const char *cache;
    int n;
    bool cache_ro;
    bool raw, fingerprint, verbose;
} run_opts;

/* The prompt from -p, -f or what is piped in; none (*is_chat) where someone sits at a terminal. */
static int get_prompt(const run_opts *o, buf *text, bool *is_chat)
{
    tawny_error err;
    *is_chat = !o->prompt && !o->file && term_is_tty(stdin);
    if (*is_chat) return -1;
    const char *file = o->file ? o->file : o->prompt ? NULL : "-";
    text->max = TOK_MAX_TEXT;
    buf_str(text, o->prompt ? o->prompt : "");
    if (o->prompt && file) buf_str(text, "\n\n");
    if (!buf_ok(text)) return cli_fail(1, "out of memory");
    return file && file_read(file, TOK_MAX_TEXT, text, &err) ? cli_fail_err(&err) : -1;
}

static tawny_status encode(const generator *g, conversation *c, const buf *text, tok_vec *prompt, tawny_error *err)
{
    if (!c) return tok_encode(g->tok, text->data, text->size, TOK_ADD_SPECIAL | TOK_PARSE_SPECIAL, prompt, err);
    tawny_status st = conversation_add(c, "user", text->data, text->size, err);
    return st == TAWNY_OK ? conversation_prompt(c, prompt, err) : st;
}

typedef struct printed {
    term_out out;
    char last;
} printed;

static void put(void *user, const char *text, size_t n)
{
    printed *p = user;
    term_put(&p->out, text, n);
    p->last = text[n - 1];
}

/* One prompt, one answer. */
static int answer(generator *g, conversation *c, const buf *text, const run_opts *o)
{
    tawny_error err;
    tok_vec prompt = {0};
    generate_stats stats;
    generate_end end;
    printed p = {.out = term_out_to(stdout), .last = '\n'};
    tawny_status st = encode(g, c, text, &prompt, &err);
    if (st == TAWNY_OK) st = generate(g, &prompt, o->n, put, &p, &stats, &end, &err);
    tok_vec_free(&prompt);
    term_put_end(&p.out);
    if (p.last != '\n') putchar('\n');
    fflush(stdout);
    if (st != TAWNY_OK) return cli_fail_err(&err);
    if (o->verbose) fprintf(stderr, "[seed %llu]\n", (unsigned long long)sampler_seed(g->sampler));
    if (o->verbose || term_is_tty(stderr)) generate_report(g, &stats, end);
    return end == GENERATE_INTERRUPTED ? 130 : 0;
}

static void print_fingerprint(const generator *g)
{
    char hex[33];
    tawny_fingerprint_hex(g->fingerprint, hex);
    fprintf(stderr, "fingerprint %s\n", hex);
}

static int run(generator *g, const run_opts *o, const buf *text, bool is_chat)
{
    tawny_error err;
    conversation *c = NULL;
    if (!o->raw && (conversation_new(g->tok, &c, &err) || conversation_system(c, o->system, &err))) {
        conversation_free(c);
        return cli_fail_err(&err);
    }
    if (c && conversation_is_default(c))
        fputs("tawny: the model has no chat template; ChatML is used (--raw goes on from the text as it is)\n",
              stderr);
    int code = is_chat ? chat(g, c, o->n, o->verbose) : answer(g, c, text, o);
    if (g->fingerprint && (code == 0 || code == 130)) print_fingerprint(g);
    conversation_free(c);
    return code;
}

int cmd_run(int argc, char **argv)
{
    run_opts o = {.sampling = sampler_opts_default(), .spec = spec_opts_default(), .n = -1};
    const cli_opt opts[] = {
        ENGINE_OPTS(o.engine),
        {NULL, CLI_HEADING, NULL, NULL, "prompt (without -p, -f: what is piped in; on a terminal, a chat)", 0, 0},
        {"-p --prompt", CLI_STR, &o.prompt, "TEXT", "the prompt", 0, 0},
        {"-f --file", CLI_STR, &o.file, "FILE", "a file with the prompt, or with its rest; - is stdin", 0, 0},
        {"-sys --system-prompt", CLI_STR, &o.system, "TEXT", "the system prompt", 0, 0},
        {"--raw", CLI_FLAG, &o.raw, NULL, "go on from the text as it is, without the model's chat template", 0, 0},
        {"-n --predict --n-predict", CLI_INT, &o.n, "N", "tokens at most (default: -1: until the model ends)", -1,
         INT32_MAX},
        {"--prompt-cache", CLI_STR, &o.cache, "FILE", "what was computed is read from there, where it begins the prompt, and kept there", 0, 0},
        {"--prompt-cache-ro", CLI_FLAG, &o.cache_ro, NULL, "it is read alone", 0, 0},
        {"--fingerprint", CLI_FLAG, &o.fingerprint, NULL, "a hash of model and logits, on stderr", 0, 0},
        {"-v --verbose", CLI_FLAG, &o.verbose, NULL, "tokens a second and GB/s on stderr, terminal or not", 0, 0},
        SPEC_OPTS(o.spec),
        SAMPLER_OPTS(o.sampling),
        CONSTRAINT_OPTS(o.constraint),
        {0},
    };
    int code = cli_parse("run", argc, argv, opts, NULL);
    if (code >= 0) return code;

    char path[4096], draft[4096];
    buf text = {0};
    generator g = {0};
    bool is_chat = false;
    code = engine_opts_resolve(&o.engine, "run", path, sizeof path);
    if (code < 0) code = spec_opts_resolve(&o.spec, "run", draft, sizeof draft);
    if (code < 0) code = get_prompt(&o, &text, &is_chat);
    if (code < 0 && is_chat && o.raw) code = cli_fail(2, "run: --raw wants a prompt: -p, -f, or piped in");
    if (code < 0 && o.raw && o.system) code = cli_fail(2, "run: -sys needs the chat template that --raw leaves out");
    if (code < 0) {
        term_catch_interrupt();
        code = generator_open(&g, &o.engine, &o.spec, &o.sampling, "run", o.fingerprint);
    }
    if (code < 0) code = constraint_open(&g.constraint, &o.constraint, "run", g.tok);
    if (code < 0 && o.cache) code = prompt_cache_read(o.cache, g.session);
    if (code < 0) code = run(&g, &o, &text, is_chat);
    if ((code == 0 || code == 130) && o.cache && !o.cache_ro && prompt_cache_write(o.cache, g.session) >= 0) code = 1;
    generator_close(&g);
    sampler_opts_free(&o.sampling);
    buf_free(&text);
    return code ? code : cli_finish(0);
}
