#include "unicode.h"

#include <string.h>
#include <utf8proc.h>

unsigned uni_class(uint32_t cp)
{
    if (cp >= UNI_POINTS) return 0;
    size_t lo = 0, hi = uni_n_runs;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (uni_runs[mid] >> 8 <= cp) lo = mid;
        else hi = mid;
    }
    return uni_runs[lo] & 0xff;
}

void uni_fill(uint8_t table[UNI_POINTS])
{
    for (size_t i = 0; i < uni_n_runs; i++) {
        uint32_t from = uni_runs[i] >> 8, to = i + 1 < uni_n_runs ? uni_runs[i + 1] >> 8 : UNI_POINTS;
        memset(table + from, (int)(uni_runs[i] & 0xff), to - from);
    }
}

uint32_t uni_lower(uint32_t cp)
{
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return cp < UNI_POINTS ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp) : cp;
}

uint32_t uni_base(uint32_t cp)
{
    utf8proc_int32_t d[32];
    if (cp < 0xc0 || cp >= UNI_POINTS) return cp;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, d, 32, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE,
                                                 NULL);
    return n > 0 && n <= 32 ? (uint32_t)d[0] : cp;
}

static bool cont(const char *p, size_t n, unsigned want)
{
    if (n < want) return false;
    for (unsigned i = 1; i < want; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80) return false;
    return true;
}

unsigned uni_take(const char *p, size_t n, uint32_t *cp)
{
    unsigned u = (unsigned char)p[0], len = uni_lead(p[0]);
    if (u < 0x80) return *cp = u, 1u;
    if (u < 0xc0 || u >= 0xf8 || !cont(p, n, len)) return *cp = UNI_BAD, 0u;
    return uni_next(p, cp);
}

unsigned uni_decode(const char *p, size_t n, uint32_t *cp)
{
    unsigned len = uni_take(p, n, cp);
    if (len && *cp < UNI_POINTS) return len;
    *cp = UNI_BAD;
    return 1;
}

unsigned uni_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) return out[0] = (char)cp, 1u;
    if (cp < 0x800) return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 63)), 2u;
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 63));
        out[2] = (char)(0x80 | (cp & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 63));
    out[2] = (char)(0x80 | (cp >> 6 & 63));
    out[3] = (char)(0x80 | (cp & 63));
    return 4;
}

bool uni_canonical(const char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        if ((unsigned char)p[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t cp;
        unsigned len = uni_decode(p + i, n - i, &cp);
        if (len == 1 || cp < least[len]) return false;
        i += len;
    }
    return true;
}

int uni_strict(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0) return 0;
    unsigned u = p[0], lo = 0x80, hi = 0xbf;
    if (u < 0x80) return 1;
    if (u < 0xc2 || u > 0xf4) return -1;
    int len = (int)uni_lead(s[0]);
    if (u == 0xe0) lo = 0xa0;
    if (u == 0xed) hi = 0x9f;
    if (u == 0xf0) lo = 0x90;
    if (u == 0xf4) hi = 0x8f;
    for (int i = 1; i < len; i++, lo = 0x80, hi = 0xbf) {
        if ((size_t)i == n) return 0;
        if (p[i] < lo || p[i] > hi) return -i;
    }
    return len;
}
