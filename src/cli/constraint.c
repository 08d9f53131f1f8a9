#include "constraint.h"

#include <stdio.h>
#include <string.h>

#include "../base/file.h"
#include "../text/schema.h"

enum { MAX_FILE = 4 << 20 };

static tawny_status parse(constraint *c, const constraint_opts *o, const gbnf_tokens *tokens, tawny_error *err)
{
    const char *given = o->grammar ? o->grammar : o->schema, *file = o->file ? o->file : o->schema_file;
    buf text = {0}, grammar = {0};
    tawny_status st = given ? TAWNY_OK : file_read(file, MAX_FILE, &text, err);
    if (given && !buf_str(&text, given)) st = err_nomem(err);
    buf *in = &text;
    if (st == TAWNY_OK && (o->schema || o->schema_file)) {
        st = schema_rules(text.data ? text.data : "", text.size, "root", SCHEMA_CLOSED, &grammar, err);
        in = &grammar;
    }
    if (st == TAWNY_OK) st = gbnf_parse(in->data ? in->data : "", in->size, tokens, &c->grammar, err);
    buf_free(&text);
    buf_free(&grammar);
    return st;
}

int constraint_open(constraint *c, const constraint_opts *o, const char *command, const tokenizer *tok)
{
    tawny_error err;
    *c = (constraint){0};
    int n = !!o->grammar + !!o->file + !!o->schema + !!o->schema_file;
    if (n == 0) return -1;
    if (n > 1) return cli_fail(2, "%s: one of --grammar, --grammar-file, --json-schema, --json-schema-file", command);
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
