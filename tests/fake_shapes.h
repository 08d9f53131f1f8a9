/* Answers about models in the shapes that kinds of servers document. */
#ifndef TESTS_FAKE_SHAPES_H
#define TESTS_FAKE_SHAPES_H

#include <jansson.h>

#include "fake_server.h"

/* list: positions, each {"id", "token", "bytes", "logprob", "top_logprobs"}, which is used up; before: those of the prompt from
 * its second token on, or NULL. */
json_t *fake_shaped(fake_shape shape, const char *path, const json_t *question, json_t *list, const json_t *before, int n_prompt);

/* What a route that is not a completion answers; NULL: there is none such. n_ctx and n_params: what it tells. */
json_t *fake_about(fake_shape shape, const char *path, int n_ctx, long long n_params);

/* A completion that such a server would refuse: the reason, as its error has it; NULL: none. */
json_t *fake_refuses(fake_shape shape, const char *path, const json_t *question);

#endif
