/* SHA-256 of a file, by OpenSSL's libcrypto. */
#ifndef CLI_SHA256_H
#define CLI_SHA256_H

#include "../base/error.h"

/* All of fd from its start, as 64 lower-case hex digits and a NUL. */
tawny_status sha256_fd(int fd, char hex[65], tawny_error *err);

#endif
