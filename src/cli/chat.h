/* The chat of `tawny run` on a terminal. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "conversation.h"
#include "generate.h"

/* Talks until Ctrl-D or /quit; returns an exit code. max: tokens an answer at most, negative: no limit. */
int chat(generator *g, conversation *c, int max, bool verbose);

#endif
