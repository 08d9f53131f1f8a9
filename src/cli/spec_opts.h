/* The options of speculation: where guesses come from, and how long they are. */
#ifndef CLI_SPEC_OPTS_H
#define CLI_SPEC_OPTS_H

#include "../engine/spec.h"
#include "cli.h"

typedef struct spec_opts {
    const char *kinds, *draft; /* as given; then draft is the file's path, or NULL where no draft model is wanted */
    spec_params p;             /* without the draft model */
} spec_opts;

spec_opts spec_opts_default(void);

#define SPEC_OPTS(o)                                                                                                            \
    {NULL, CLI_HEADING, NULL, NULL, "speculation (the answer's tokens are the same, only sooner)", 0, 0},                       \
    {"--spec --spec-type", CLI_STR, &(o).kinds, "KIND", "tokens are guessed from: none, ngram (the text), draft (-md), or ngram,draft", 0, 0}, \
    {"-md --spec-draft-model --model-draft", CLI_STR, &(o).draft, "FILE", "a draft model, smaller, with the same tokens", 0, 0}, \
    {"--draft --draft-n --draft-max --spec-draft-n-max", CLI_INT, &(o).p.n_max, "N", "tokens of a guess at most (default: 8)", 0, SPEC_MOST}, \
    {"--draft-min --draft-n-min --spec-draft-n-min", CLI_INT, &(o).p.n_min, "N", "and at least, worth it or not (default: 0)", 0, SPEC_MOST}, \
    {"--draft-p-min --spec-draft-p-min", CLI_FLOAT, &(o).p.p_min, "P", "the draft model stops below this probability (default: 0)", 0, 1}

bool spec_opts_kinds(const char *names, spec_params *p, bool *draft); /* false where one is unknown */

/* Resolves kinds and the draft model's path (into path[], at least 4096 bytes); -1 or an exit code. */
int spec_opts_resolve(spec_opts *o, const char *command, char *path, size_t size);

#endif
