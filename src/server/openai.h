/* OpenAI's doors. */
#ifndef SERVER_OPENAI_H
#define SERVER_OPENAI_H

#include "exchange.h"

extern const door openai_door;       /* errors, and answers that are no completions */
extern const param *const openai_chat_tables[], *const openai_text_tables[];

void openai_chat(exchange *x);        /* POST /v1/chat/completions */
void openai_completions(exchange *x); /* POST /v1/completions */
void openai_models(exchange *x);      /* GET /v1/models */

/* {"error": {"message", "type", "param", "code"}} */
json_t *openai_error(int status, const char *type, const char *message, const char *field);
/* {"prompt_tokens", "completion_tokens", ...} */
json_t *openai_usage(const exchange *x);
/* Log probabilities of a choice since the last call: {"content": [...]}, or null. */
json_t *openai_logprobs(choice *c);

#endif
