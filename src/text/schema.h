/* JSON Schema (2020-12, 2019-09, draft 7 and 6) to GBNF: the grammar of the JSON texts that a schema allows.
 *
 * Every text that the grammar allows is valid. What cannot be enforced is refused: TAWNY_E_UNSUPPORTED, or
 * TAWNY_E_LIMIT where it would be too large, with the JSON pointer of the keyword; TAWNY_E_FORMAT where the schema is
 * malformed or nothing satisfies it. `$schema` names the dialect; without it 2020-12 holds, and lists in `items`,
 * `additionalItems` and `dependencies` are understood as before it.
 *
 * For every valid value there is a text, but for what is left out on purpose:
 *   order       properties come in the order of the schema, then required ones that it does not describe, then
 *               others; of equal names, the last counts
 *   white space at most a blank, or a newline with up to 20 blanks or tabs, and none around the whole; up to 24 of
 *               any in a value that the schema leaves free
 *   numbers     a whole number has neither fraction nor exponent (1.0 is written 1); a fraction has at most 17
 *               digits, or 15 with the whole part beside an exclusive bound or where whole numbers are excluded;
 *               beside bounds and multipleOf there is no exponent: no value there lies between 0 and 1e-17.
 *               multipleOf is exact in decimals: a validator that divides in binary may find 19.99 no multiple of 0.01
 *   strings     a character has its shortest writing where there is a pattern, a format or an enum
 *   formats     are enforced: date, time, date-time, duration (RFC 3339; a leap second only at offsets of half hours),
 *               email, uuid, ipv4, ipv6, uri, uri-reference, json-pointer, relative-json-pointer. Others that the
 *               specification names are refused; what it does not name says nothing, as there */
#ifndef TEXT_SCHEMA_H
#define TEXT_SCHEMA_H

#include "../base/buf.h"
#include "../base/error.h"

enum { SCHEMA_MAX_PREFIX = 32 };
enum { SCHEMA_CLOSED = 1 }; /* where properties are described, no others (without additionalProperties) */

/* Appends to out the rules of n bytes of schema: `prefix`, which matches a value, and others whose names begin with
 * "prefix-". A larger grammar may hold several, under different prefixes. */
tawny_status schema_rules(const char *schema, size_t n, const char *prefix, unsigned flags, buf *out, tawny_error *err);

/* The same as a whole grammar: the prefix is root. */
tawny_status schema_to_gbnf(const char *schema, size_t n, buf *out, tawny_error *err);

#endif
