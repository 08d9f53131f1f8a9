/* Anthropic's doors: messages, and how many tokens they are. */
#ifndef SERVER_ANTHROPIC_H
#define SERVER_ANTHROPIC_H

#include "completion.h"

extern const door anthropic_door; /* errors, and answers that are no messages */
extern const param *const anthropic_messages_tables[], *const anthropic_count_tables[];

void anthropic_messages(exchange *x);     /* POST /v1/messages */
void anthropic_count_tokens(exchange *x); /* POST /v1/messages/count_tokens */

/* ---- between the files of this door ---- */

typedef struct anthropic_body {
    completion c; /* first: tables of completions read into it */
    const json_t *messages, *system, *tools, *tool_choice, *thinking, *metadata, *format, *output;
    const char *model;
} anthropic_body;

/* A request in the words that templates know. */
typedef struct anthropic_chat {
    json_t *messages, *tools, *tool_choice, *variables;
    bool one_call;
    const json_t *prefill; /* the text that the answer goes on from; NULL: none */
} anthropic_chat;

/* What a conversation comes to; false after a reply. Free it in any case. */
bool anthropic_chat_of(exchange *x, const anthropic_body *b, anthropic_chat *out);
void anthropic_chat_free(anthropic_chat *c);

json_t *anthropic_error(int status, const char *type, const char *message, const char *field);

#endif
