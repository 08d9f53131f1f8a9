/* Inside the grammars of answers. */
#ifndef TEXT_ANSWER_GRAMMAR_INT_H
#define TEXT_ANSWER_GRAMMAR_INT_H

#include "answer_grammar.h"

/* "text" as a literal. */
void ag_literal(buf *out, const char *text, size_t n);
/* The same with control tokens of the vocabulary by their ids. */
void ag_marker(buf *out, const gbnf_tokens *t, const char *text);
/* Any text that does not contain the mark, whose first character is nowhere else in it. */
void ag_without(buf *out, const gbnf_tokens *t, const char *mark);

/* Appends the rules of a schema's grammar; the first is PREFIXroot. Properties that are not described are left out
 * unless the schema asks for them: a model would invent some. at: the schema's JSON pointer, for messages. */
tawny_status ag_schema(buf *out, const char *prefix, const json_t *schema, const char *at, tawny_error *err);
/* The rules of a grammar, renamed. */
void ag_rules(buf *out, const char *prefix, const char *grammar, size_t n);

/* How a parameter is written; a NULL piece is empty. %s in `before` is the key. */
typedef struct param_form {
    const char *before, *before_json; /* of a bare text; of all else (NULL: the same) */
    const char *text_open, *text_mark; /* of a text; text_mark ends it, and is taken */
    const char *after;                 /* of all else */
    const char *end;                   /* after each */
    const char *comma;                 /* between two */
} param_form;

/* The rule NAME: the parameters of an object schema, one after the other. */
tawny_status ag_params(buf *out, const gbnf_tokens *t, const char *name, const param_form *form, const json_t *schema, const char *at,
                       tawny_error *err);

#endif
