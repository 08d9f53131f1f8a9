/* The request of /v1/responses in the terms of chats: items become messages. */
#ifndef SERVER_OPENAI_ITEMS_H
#define SERVER_OPENAI_ITEMS_H

#include "exchange.h"

/* Messages of instructions (may be NULL) and input, a text or items; they live as long as the exchange. NULL after a reply. */
const json_t *openai_messages_of_items(exchange *x, const char *instructions, const json_t *input);
/* Tools with their functions inside of "function"; others than functions are refused. *tools NULL: none. */
bool openai_tools_of_items(exchange *x, const json_t *from, const json_t **tools);

#endif
