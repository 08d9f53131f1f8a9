/* Shared by the two halves of the parser: expressions (jinja_parse.c) and statements (jinja_stmt.c). */
#ifndef TEXT_JINJA_PARSE_H
#define TEXT_JINJA_PARSE_H

#include "jinja_impl.h"

typedef struct parser {
    jinja_rt *rt;
    tokens t;
    size_t at;
    vdict *words; /* names and strings seen */
    nodes blocks;
    int loops; /* loops around this place, in the same function */
} parser;

static inline token *cur(parser *x) { return &x->t.v[x->at]; }

_Noreturn void parse_fail(parser *x, const char *what);
token *advance(parser *x); /* returns the token that was current */
bool skip_tok(parser *x, tok t);
token *expect(parser *x, tok t);
bool at_name(parser *x, const char *word);
bool skip_name(parser *x, const char *word);
void expect_name(parser *x, const char *word);
node *new_node(parser *x, nkind k, uint32_t line);
void nodes_add(jinja_rt *rt, nodes *l, node *n);

typedef struct tuple_mode {
    bool simple;         /* names and literals only: a target of an assignment */
    bool condexpr;       /* "a if b else c" may stand in it */
    bool parens;         /* in parentheses: may be empty */
    bool with_namespace; /* ns.attribute is a target */
} tuple_mode;

node *parse_expr(parser *x, bool condexpr);
node *parse_tuple(parser *x, tuple_mode m);
node *parse_primary(parser *x, bool with_namespace);
node *parse_filter(parser *x, node *of, bool inline_start); /* of is NULL in filter blocks */

#endif
