/* Ollama's doors. */
#ifndef SERVER_OLLAMA_H
#define SERVER_OLLAMA_H

#include "completion.h"

/* The version of Ollama whose interface this is: clients look at it before they use what is newer. */
#define OLLAMA_VERSION "0.12.6"

extern const door ollama_door; /* errors, and answers that are no completions */
extern const param *const ollama_chat_tables[], *const ollama_generate_tables[], *const ollama_embed_tables[];
extern const param *const ollama_embeddings_tables[], *const ollama_show_tables[];

void ollama_chat(exchange *x);       /* POST /api/chat */
void ollama_generate(exchange *x);   /* POST /api/generate */
void ollama_embed(exchange *x);      /* POST /api/embed */
void ollama_embeddings(exchange *x); /* POST /api/embeddings */
void ollama_tags(exchange *x);       /* GET /api/tags */
void ollama_show(exchange *x);       /* POST /api/show */
void ollama_ps(exchange *x);         /* GET /api/ps */
void ollama_version(exchange *x);    /* GET /api/version */

/* ---- between the files of this door ---- */

json_t *ollama_error(int status, const char *type, const char *message, const char *field);
json_t *ollama_time(double seconds_ago); /* RFC 3339 */

#endif
