#include "ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buf.h"
#include "../base/file.h"
#include "cli.h"

enum { MAX_TOKENS = 1 << 20 };

int ids_parse(const char *command, const char *spec, tawny_token **out, int32_t *n)
{
    buf text = {0};
    tawny_error err;
    if (spec[0] == '@') {
        if (file_read(spec + 1, 16 << 20, &text, &err) != TAWNY_OK) return cli_fail_err(&err);
    } else if (!buf_str(&text, spec)) {
        return cli_fail(1, "out of memory");
    }
    tawny_token *ids = malloc(MAX_TOKENS * sizeof *ids);
    int code = ids ? -1 : cli_fail(1, "out of memory");
    *n = 0;
    for (const char *p = text.data ? text.data : ""; code < 0 && *(p += strspn(p, ", \t\r\n")); (*n)++) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX || (*end && !strchr(", \t\r\n", *end)))
            code = cli_fail(2, "%s: --tokens: not a token id: '%.20s'", command, p);
        else if (*n == MAX_TOKENS)
            code = cli_fail(2, "%s: --tokens: more than %d", command, MAX_TOKENS);
        else
            ids[*n] = (tawny_token)v;
        p = end;
    }
    if (code < 0 && *n == 0) code = cli_fail(2, "%s: --tokens: no tokens in it", command);
    buf_free(&text);
    *out = ids;
    return code;
}
