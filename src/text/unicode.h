/* Unicode as the tokenizers need it: UTF-8, general categories, lower case, decomposition. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { /* class bits; of unassigned code points none is set */
    UNI_N = 1,      /* numbers: Nd, Nl, No */
    UNI_L = 2,      /* letters: Lu, Ll, Lt, Lm, Lo */
    UNI_M = 4,      /* marks: Mn, Mc, Me */
    UNI_P = 8,      /* punctuation: Pc, Pd, Ps, Pe, Pi, Pf, Po */
    UNI_S = 16,     /* symbols: Sm, Sc, Sk, So */
    UNI_SPACE = 32, /* the property White_Space */
    UNI_C = 64      /* Cc, Cf, Cs, Co */
};

enum { UNI_POINTS = 0x110000, UNI_BAD = 0xfffd };

extern const uint32_t uni_runs[]; /* first code point << 8 | class bits, ascending; covers all code points */
extern const size_t uni_n_runs;

unsigned uni_class(uint32_t cp);       /* class bits */
uint32_t uni_lower(uint32_t cp);       /* simple lower case */
uint32_t uni_base(uint32_t cp);        /* the first code point of the canonical decomposition */
void uni_fill(uint8_t table[UNI_POINTS]); /* class bits of every code point */

/* Decodes one character of the n >= 1 bytes at p and returns its length. Lenient, as the reference
 * tokenizers are: overlong forms and surrogates are taken at face value; whatever else is malformed,
 * or lies beyond U+10FFFF, is one byte long and reads as U+FFFD. */
unsigned uni_decode(const char *p, size_t n, uint32_t *cp);

/* The same, but four bytes may reach beyond U+10FFFF, and what is malformed has length 0. */
unsigned uni_take(const char *p, size_t n, uint32_t *cp);

unsigned uni_encode(uint32_t cp, char out[4]); /* cp < UNI_POINTS; surrogates as three bytes */

/* True where decoding and encoding again gives the same bytes. */
bool uni_canonical(const char *p, size_t n);

/* Length of a character by its first byte alone. */
static inline unsigned uni_lead(char c)
{
    unsigned u = (unsigned char)c;
    return u < 0xc0 ? 1 : u < 0xe0 ? 2 : u < 0xf0 ? 3 : 4;
}

/* One well-formed character (Unicode 15, table 3-7) at p: its length. 0 where the bytes end before it
 * does; minus the length of the longest malformed part otherwise. */
int uni_strict(const char *p, size_t n);

/* Decodes canonical text: no checks. */
static inline unsigned uni_next(const char *s, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) return *cp = p[0], 1u;
    if (p[0] < 0xe0) return *cp = (p[0] & 31u) << 6 | (p[1] & 63u), 2u;
    if (p[0] < 0xf0) return *cp = (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u), 3u;
    return *cp = (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u), 4u;
}

#endif
