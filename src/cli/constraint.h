/* An output held to a grammar: the options, and the grammar at work. */
#ifndef CLI_CONSTRAINT_H
#define CLI_CONSTRAINT_H

#include "../engine/sampler.h"
#include "../text/gbnf.h"
#include "../text/tokenizer.h"
#include "cli.h"

typedef struct constraint_opts {
    const char *grammar, *file, *schema, *schema_file;
} constraint_opts;

#define CONSTRAINT_OPTS(o)                                                                                     \
    {"--grammar", CLI_STR, &(o).grammar, "GBNF", "a grammar that the answer must match", 0, 0},                \
    {"--grammar-file", CLI_STR, &(o).file, "FILE", "the same from a file", 0, 0},                              \
    {"-j --json-schema", CLI_STR, &(o).schema, "SCHEMA", "a JSON Schema that the answer must match; properties that it does not describe only with additionalProperties", 0, 0}, \
    {"-jf --json-schema-file", CLI_STR, &(o).schema_file, "FILE", "the same from a file", 0, 0}

typedef struct constraint {
    gbnf *grammar; /* NULL: none, and everything is allowed */
    gbnf_vocab *vocab;
    gbnf_matcher *matcher;
    gbnf_state state;
} constraint;

/* -1, or an exit code after a message. */
int constraint_open(constraint *c, const constraint_opts *o, const char *command, const tokenizer *tok);
void constraint_close(constraint *c);
void constraint_start(constraint *c); /* a new answer */

/* Sets in->allowed; fails where no token of the vocabulary goes on. */
tawny_status constraint_allow(constraint *c, sampler_input *in, tawny_error *err);
tawny_status constraint_accept(constraint *c, tawny_token t, tawny_error *err);

#endif
