/* Before a JSON text from outside is parsed: does it nest too deep, or hold a NUL byte? */
#ifndef SERVER_JSON_LIMITS_H
#define SERVER_JSON_LIMITS_H

#include <stddef.h>

enum { JSON_MAX_DEPTH = 128 };

/* NULL, or what is wrong. */
const char *json_too_deep(const char *text, size_t n);

#endif
