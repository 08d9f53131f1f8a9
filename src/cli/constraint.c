#include "constraint.h"

#include <string.h>

#include "../base/file.h"

enum { MAX_FILE = 4 << 20 };

static tawny_status parse(constraint *c, const constraint_opts *o, const gbnf_tokens *tokens, tawny_error *err)
{
    if (o->grammar) return gbnf_parse(o->grammar, strlen(o->grammar), tokens, &c->grammar, err);
    buf text = {0};
    tawny_status st = file_read(o->file, MAX_FILE, &text, err);
    if (st == TAWNY_OK) st = gbnf_parse(text.data ? text.data : "", text.size, tokens, &c->grammar, err);
    buf_free(&text);
    return st;
}

int constraint_open(constraint *c, const constraint_opts *o, const char *command, const tokenizer *tok)
{
    tawny_error err;
    *c = (constraint){0};
    if (!o->grammar && !o->file) return -1;
    if (o->grammar && o->file) return cli_fail(2, "%s: --grammar or --grammar-file, not both", command);
    gbnf_tokens tokens = gbnf_tokens_of(tok);
    tawny_status st = parse(c, o, &tokens, &err);
    if (st == TAWNY_OK) st = gbnf_vocab_new(&tokens, &c->vocab, &err);
    if (st == TAWNY_OK) st = gbnf_matcher_new(c->grammar, c->vocab, &c->matcher, &err);
    return st == TAWNY_OK ? -1 : cli_fail_err(&err);
}

void constraint_close(constraint *c)
{
    gbnf_matcher_free(c->matcher);
    gbnf_vocab_free(c->vocab);
    gbnf_free(c->grammar);
    *c = (constraint){0};
}

void constraint_start(constraint *c)
{
    if (c->matcher) c->state = gbnf_start(c->matcher);
}

tawny_status constraint_allow(constraint *c, sampler_input *in, tawny_error *err)
{
    size_t n;
    if (!c->matcher) return TAWNY_OK;
    tawny_status st = gbnf_allowed(c->matcher, c->state, &in->allowed, &n, err);
    if (st == TAWNY_OK && n == 0)
        st = err_set(err, TAWNY_E_FORMAT, "grammar: no token of this vocabulary goes on from here");
    return st;
}

tawny_status constraint_accept(constraint *c, tawny_token t, tawny_error *err)
{
    return c->matcher ? gbnf_token(c->matcher, c->state, t, &c->state, err) : TAWNY_OK;
}
