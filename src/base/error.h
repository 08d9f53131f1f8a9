/* Errors: a fallible function returns a tawny_status and fills a tawny_error.
 *
 *     if (n == 0) return err_set(err, TAWNY_E_FORMAT, "%s: %s is 0", path, key);
 *
 * The message names file, field and value; it ends without a full stop or newline. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "../tawny.h"

/* Formats a message into err (which may be NULL) and returns code. Bytes that are not printable
 * ASCII or valid UTF-8 in the result are replaced by '?', so a message can always be printed. */
tawny_status err_set(tawny_error *err, tawny_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with strerror(errno_value) after ": ". */
tawny_status err_errno(tawny_error *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

tawny_status err_nomem(tawny_error *err);

#endif
