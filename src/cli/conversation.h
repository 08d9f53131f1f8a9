/* A conversation: messages, and the prompt that the model's own chat template makes of them. */
#ifndef CLI_CONVERSATION_H
#define CLI_CONVERSATION_H

#include "../text/tokenizer.h"

typedef struct conversation conversation;

/* By the template in the model's file, or ChatML where it has none. tok is borrowed. */
tawny_status conversation_new(const tokenizer *tok, conversation **out, tawny_error *err);
bool conversation_is_default(const conversation *c); /* the file has none */
void conversation_free(conversation *c); /* NULL is fine */

/* role: "user" or "assistant". The text must be UTF-8. */
tawny_status conversation_add(conversation *c, const char *role, const char *text, size_t n, tawny_error *err);
/* The system prompt, from now on; NULL: none. */
tawny_status conversation_system(conversation *c, const char *text, tawny_error *err);
void conversation_drop(conversation *c); /* the last message, if there is one */
void conversation_clear(conversation *c); /* all but the system prompt */
size_t conversation_count(const conversation *c);

/* The tokens of the whole conversation, up to where the model is to answer. Control tokens are parsed in the
 * template's own text alone: a message cannot forge one. */
tawny_status conversation_prompt(const conversation *c, tok_vec *out, tawny_error *err);

#endif
