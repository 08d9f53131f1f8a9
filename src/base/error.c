#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence at s (1..4), or 0 where there is none. */
static int utf8_len(const unsigned char *s)
{
    int n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return n;
}

static void make_printable(char *s)
{
    unsigned char *p = (unsigned char *)s;
    while (*p) {
        int n = utf8_len(p);
        if (n == 0 || *p < 0x20 || *p == 0x7f) {
            *p++ = '?';
        } else {
            p += n;
        }
    }
}

static void format(tawny_error *err, tawny_status code, const char *fmt, va_list ap)
{
    err->code = code;
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    make_printable(err->message);
}

tawny_status err_set(tawny_error *err, tawny_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        format(err, code, fmt, ap);
        va_end(ap);
    }
    return code;
}

tawny_status err_errno(tawny_error *err, int errno_value, const char *fmt, ...)
{
    tawny_status code = errno_value == ENOMEM ? TAWNY_E_NOMEM : TAWNY_E_IO;
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        format(err, code, fmt, ap);
        va_end(ap);
        size_t n = strlen(err->message);
        char text[128];
        snprintf(err->message + n, sizeof err->message - n, ": %s", strerror_r(errno_value, text, sizeof text));
    }
    return code;
}

tawny_status err_nomem(tawny_error *err) { return err_set(err, TAWNY_E_NOMEM, "out of memory"); }
