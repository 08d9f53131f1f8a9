/* The header of a model that is elsewhere, by requests for the beginnings of its files alone: for questions of size. */
#ifndef CLI_HEADER_H
#define CLI_HEADER_H

#include "../base/error.h"

/* Of the model whose file is at urls[0], or whose set of files is at urls[0] to urls[n - 1], into an anonymous file: *fd is the
 * caller's to close. Those of a set become one. token: as net_get's. */
tawny_status header_fetch(const char *const *urls, int n, const char *token, int *fd, tawny_error *err);

#endif
