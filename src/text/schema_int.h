/* Inside the conversion of schemas. */
#ifndef TEXT_SCHEMA_INT_H
#define TEXT_SCHEMA_INT_H

#include "schema.h"

/* n bytes as a GBNF literal, quotes included. */
void schema_literal(buf *b, const char *s, size_t n);

/* An expression for the decimal integers from lo to hi; INT64_MIN and INT64_MAX: no bound. */
void schema_int_range(buf *b, int64_t lo, int64_t hi);

/* An expression for the content of a JSON string that a regular expression (ECMA 262, the regular part of it)
 * matches; false where it has more than that. `char` is the rule of a character in a string. */
bool schema_pattern(buf *b, const char *regex, size_t n);

#endif
