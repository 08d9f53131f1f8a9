/* run --prompt-cache: a session in a file between two runs. */
#ifndef CLI_PROMPT_CACHE_H
#define CLI_PROMPT_CACHE_H

#include "../tawny.h"

/* The session becomes what the file holds; where there is none yet it stays as it is. -1 or an exit code. */
int prompt_cache_read(const char *path, tawny_session *s);
int prompt_cache_write(const char *path, const tawny_session *s);

#endif
