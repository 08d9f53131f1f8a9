/* OpenAI's doors. */
#ifndef SERVER_OPENAI_H
#define SERVER_OPENAI_H

#include "exchange.h"

extern const door openai_door;       /* errors, and answers that are no completions */
extern const param *const openai_chat_tables[], *const openai_text_tables[], *const openai_responses_tables[];
extern const param *const openai_embeddings_tables[];

void openai_chat(exchange *x);        /* POST /v1/chat/completions */
void openai_completions(exchange *x); /* POST /v1/completions */
void openai_responses(exchange *x);   /* POST /v1/responses */
void openai_embeddings(exchange *x);  /* POST /v1/embeddings */
void openai_models(exchange *x);      /* GET /v1/models */
void openai_model(exchange *x);       /* GET /v1/models/NAME */

/* {"error": {"message", "type", "param", "code"}} */
json_t *openai_error(int status, const char *type, const char *message, const char *field);
/* {"prompt_tokens", "completion_tokens", ...} */
json_t *openai_usage(const exchange *x);
/* Log probabilities of a choice since the last call: [{"token", "logprob", "bytes", "top_logprobs"}], or NULL. */
json_t *openai_tokens(choice *c);
/* {"id", "object", "created", "model", "system_fingerprint"} */
json_t *openai_base(const exchange *x, const char *object);
/* Timings and, where it was asked for, the fingerprint of the first choice, into an answer. */
void openai_extras(const exchange *x, json_t *whole);
/* The object that every JSON object matches. */
const json_t *openai_any_object(void);
/* A schema from {"type": "text" | "json_object" | "json_schema", ...}, whose schema stands in it or in its "json_schema";
 * field: what it is. NULL schema: any text. false after a reply. */
bool openai_format(exchange *x, const json_t *format, const char *field, const json_t **schema);
void openai_end(exchange *x);  /* data: [DONE] */
void openai_fail(exchange *x, const char *message);
void openai_ping(exchange *x);

#endif
