/* Schemas: literals, and integers between bounds. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema_int.h"

void schema_literal(buf *b, const char *s, size_t n)
{
    buf_char(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f) buf_printf(b, "\\x%02x", c);
        else buf_char(b, (char)c);
    }
    buf_char(b, '"');
}

static void digits(buf *b, char lo, char hi)
{
    if (lo == hi) buf_printf(b, "\"%c\"", lo);
    else buf_printf(b, "[%c-%c]", lo, hi);
}

static void any_digits(buf *b, size_t n)
{
    if (n) buf_printf(b, " [0-9]{%zu}", n);
}

/* Numbers of n digits, not below (up) or not above s. */
static void one_sided(buf *b, const char *s, size_t n, bool up)
{
    if (!n) return;
    buf_printf(b, " (\"%c\"", s[0]);
    one_sided(b, s + 1, n - 1, up);
    if (up ? s[0] < '9' : s[0] > '0') {
        buf_str(b, " | ");
        digits(b, up ? (char)(s[0] + 1) : '0', up ? '9' : (char)(s[0] - 1));
        any_digits(b, n - 1);
    }
    buf_char(b, ')');
}

static void same_length(buf *b, const char *lo, const char *hi, size_t n)
{
    size_t k = 0;
    while (k < n && lo[k] == hi[k]) k++;
    if (k) buf_printf(b, "\"%.*s\" ", (int)k, lo);
    if (k == n) return;
    lo += k, hi += k, n -= k;
    buf_printf(b, "(\"%c\"", lo[0]);
    one_sided(b, lo + 1, n - 1, true);
    if (hi[0] - lo[0] > 1) {
        buf_str(b, " | ");
        digits(b, (char)(lo[0] + 1), (char)(hi[0] - 1));
        any_digits(b, n - 1);
    }
    buf_printf(b, " | \"%c\"", hi[0]);
    one_sided(b, hi + 1, n - 1, false);
    buf_char(b, ')');
}

/* lo <= hi; unbounded: any number from lo on. */
static void unsigned_range(buf *b, uint64_t lo, uint64_t hi, bool unbounded)
{
    char l[32], h[32], from[32], to[32];
    snprintf(l, sizeof l, "%" PRIu64, lo);
    snprintf(h, sizeof h, "%" PRIu64, unbounded ? lo : hi);
    size_t nl = strlen(l), nh = strlen(h);
    for (size_t n = nl; n <= nh; n++) { /* by the number of digits */
        snprintf(from, sizeof from, "%s", l);
        snprintf(to, sizeof to, "%s", h);
        if (n > nl) memset(from, '0', n), from[0] = '1', from[n] = 0;
        if (n < nh || unbounded) memset(to, '9', n), to[n] = 0;
        if (n > nl) buf_str(b, " | ");
        same_length(b, from, to, n);
    }
    if (unbounded) buf_printf(b, " | [1-9] [0-9]{%zu,}", nl);
}

void schema_int_range(buf *b, int64_t lo, int64_t hi)
{
    bool no_lo = lo == INT64_MIN, no_hi = hi == INT64_MAX;
    buf_char(b, '(');
    if (lo < 0) {
        uint64_t far = no_lo ? 0 : 0 - (uint64_t)lo, near = hi < 0 ? 0 - (uint64_t)hi : 1;
        buf_str(b, "\"-\" (");
        unsigned_range(b, near, far, no_lo);
        buf_str(b, hi >= 0 ? ") | " : ")");
    }
    if (hi >= 0) unsigned_range(b, lo > 0 ? (uint64_t)lo : 0, (uint64_t)hi, no_hi);
    buf_char(b, ')');
}
