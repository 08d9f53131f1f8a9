/* JSON Schema to GBNF: the grammar of the JSON texts that a schema allows.
 *
 * Objects have their properties in the order of the schema, and others only where additionalProperties asks
 * for them (as in llama.cpp: a model would not stop inventing them). White space is at most a blank, or a
 * newline and an indentation. */
#ifndef TEXT_SCHEMA_H
#define TEXT_SCHEMA_H

#include "../base/buf.h"
#include "../base/error.h"

/* Appends the grammar of n bytes of schema to out; rules are named root, r1, r2, ... Known are: type, enum, const,
 * $ref within the schema, anyOf, oneOf (as anyOf), allOf of objects, properties, required,
 * additionalProperties, items, prefixItems, minItems, maxItems, minLength, maxLength, pattern, format (date,
 * time, date-time, uuid), and minimum, maximum and their exclusive forms for integers. Other words that
 * restrict are not enforced: their places, like "/properties/x/multipleOf", are appended to loose (which may be
 * NULL), a line each. TAWNY_E_FORMAT where the schema is malformed. */
tawny_status schema_to_gbnf(const char *schema, size_t n, buf *out, buf *loose, tawny_error *err);

#endif
