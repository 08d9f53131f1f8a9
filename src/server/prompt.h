/* From a conversation to the prompt of tasks, and to what their answers must be: what all doors of chats share. */
#ifndef SERVER_PROMPT_H
#define SERVER_PROMPT_H

#include "completion.h"

/* Messages and tools as OpenAI has them. */
typedef struct prompt_request {
    const json_t *messages;
    const json_t *tools;       /* NULL: none */
    const json_t *tool_choice; /* "none", "auto", "required", {"type": "function", "function": {"name"}}, or NULL */
    bool one_call;             /* not several in an answer */
    const char *effort;        /* of reasoning: none, minimal, low, medium, high; NULL: as the template has it */
    const json_t *variables;   /* further ones of the template; NULL: none */
} prompt_request;

/* Appends the prompt's tokens to out, and fills *chat for exchange_submit and what c wants to know for grammars: call
 * completion_tasks afterwards. What it points to lives as long as the exchange. false after a reply that names the field.
 * Where the template knows no tools they are described in the system message, with calls in <tool_call> tags. */
bool prompt_make(exchange *x, const prompt_request *r, completion *c, tok_vec *out, exchange_chat *chat);

#endif
