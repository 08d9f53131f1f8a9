/* Inside the conversion of schemas.
 *
 * A place in the grammar stands for a set of schemas that must all hold, some of them negated: a `conj`. It is
 * brought into disjunctive normal form: `scase`s, each a set of types and a list of facts. A case becomes an
 * alternative of the place's rule; what its properties and items must satisfy are sets of schemas again. There are
 * finitely many, so recursion ends; sets are numbered, and a number is a rule. */
#ifndef TEXT_SCHEMA_INT_H
#define TEXT_SCHEMA_INT_H

#include <jansson.h>

#include "schema.h"
#include "schema_aut.h"

enum {
    SCHEMA_MAX_DEPTH = 128,       /* of the JSON text */
    SCHEMA_MAX_TEXT = 4 << 20,
    SCHEMA_MAX_GRAMMAR = 4 << 20,
    SCHEMA_MAX_SETS = 50000,
    SCHEMA_MAX_CASES = 512,       /* of a set */
    SCHEMA_MAX_WORK = 2000000,    /* facts and references copied, in all */
    SCHEMA_MAX_COUNT = 30000,     /* minLength, maxItems, ... */
    SCHEMA_MAX_RULES = 100000
};

enum {
    T_NULL = 1, T_TRUE = 2, T_FALSE = 4, T_INT = 8, T_FRAC = 16, T_STRING = 32, T_ARRAY = 64, T_OBJECT = 128,
    T_NUMBER = T_INT | T_FRAC,
    T_ALL = 255
};

/* A schema or its negation; word: this keyword of it alone, the at-th entry of it. */
typedef struct sref {
    json_t *s;
    const char *word;
    size_t at, order;
    bool neg;
} sref;

typedef enum fact_kind {
    F_VALUES,   /* v: one of these */
    F_NOT_WORDS, /* v: a list; no string of it */
    F_LENGTH,   /* lo, hi (-1: none) */
    F_PATTERN,  /* v: the text; neg */
    F_LOWER, F_UPPER, /* v; neg: exclusive */
    F_MULTIPLE, /* v */
    F_OBJECT,   /* ref: properties, patternProperties, additionalProperties of it */
    F_PROPERTY, /* name: ref */
    F_REQUIRED, /* name */
    F_NAMES,    /* ref */
    F_PROPERTIES, /* lo, hi */
    F_ARRAY,    /* ref: prefixItems, items of it */
    F_ITEM,     /* item lo: ref */
    F_EACH,     /* every item: ref */
    F_CONTAINS, /* ref, lo, hi */
    F_ITEMS,    /* lo, hi */
    F_UNIQUE
} fact_kind;

typedef struct fact {
    fact_kind kind;
    bool neg;
    long lo, hi;
    const char *name;
    json_t *v;
    sref ref;
    json_t *by; /* where it is said, for refusals */
    const char *word;
} fact;

typedef struct scase {
    unsigned types;
    fact *f;
    size_t n, cap;
} scase;

typedef struct conj {
    sref *r;
    scase *cases;
    size_t n, n_case, cap_case;
    uint32_t hash;
    bool known, wanted;
} conj;

typedef struct place {
    json_t *s;
    size_t resource, order;
} place;

typedef struct resource {
    json_t *root;
    char *base; /* its URI */
} resource;

typedef struct compiler {
    json_t *top;
    const char *prefix;
    bool closed, draft7, old_items; /* items as a list, dependencies: before 2019-09, or no $schema */
    buf *out;
    place *place; /* all schemas, in order of their addresses */
    size_t n_place, cap_place;
    resource *resource;
    size_t n_resource, cap_resource;
    conj **set;
    size_t n_set, cap_set;
    uint32_t *table, table_size;
    size_t work, n_rule;
    uint32_t root, *todo; /* sets whose rules are to be written */
    size_t n_todo, cap_todo;
    struct {
        aut *a;
        bool quoted;
    } *automaton;
    size_t n_automaton, cap_automaton;
    struct {
        json_t *v;
        aut *a;
    } *regex;
    size_t n_regex, cap_regex;
    json_t *made, *keys; /* lists of what was made beside the schema */
    tawny_status st;
    tawny_error *err;
} compiler;

/* schema_load.c */
tawny_status schema_load(const char *text, size_t n, json_t **out, tawny_error *err);
void schema_index(compiler *c); /* dialect, resources, places */
void schema_free_index(compiler *c);
size_t schema_order(const compiler *c, json_t *s); /* its place in the text */
void *schema_grow(compiler *c, void *v, size_t n, size_t *cap, size_t size); /* room for one more */
json_t *schema_resolve(compiler *c, json_t *from, const char *ref);
json_t *schema_word(compiler *c, json_t *s, const char *word); /* NULL too where the dialect has no such word */
void schema_refuse(compiler *c, tawny_status st, json_t *at, const char *word, const char *why);
bool schema_ok(compiler *c, tawny_status st, json_t *at, const char *word); /* after an automaton */

/* schema_norm.c: sets, and their cases (NULL after a failure) */
uint32_t schema_set(compiler *c, sref *r, size_t n);
const conj *schema_cases(compiler *c, uint32_t set);
bool schema_is_empty(compiler *c, uint32_t set, int depth);
void schema_free_sets(compiler *c);

/* schema_branch.c: one keyword, or its negation */
typedef struct branch {
    scase c;
    sref *seen, *todo;
    size_t n_seen, cap_seen, n_todo, cap_todo;
    bool dead;
} branch;
typedef struct branches {
    branch *b;
    size_t n, cap;
} branches;
void schema_apply(compiler *c, branches *all, branch *b, sref r);
bool schema_fork(compiler *c, branches *all, const branch *b, branch **out);
void schema_push(compiler *c, branch *b, sref r);
void schema_fact(compiler *c, branch *b, fact f);

/* schema_value.c: whether a value is allowed, exactly */
bool schema_equal(const json_t *a, const json_t *b);
bool schema_has(compiler *c, uint32_t set, json_t *v);
bool schema_case_has(compiler *c, const scase *k, json_t *v, const fact *skip);

/* schema_format.c: its regular expression; NULL: it cannot be enforced, or, where unknown, says nothing */
const char *schema_format(const char *name, bool *unknown);

/* schema_scalar.c: NULL: any, or a failure; to be freed */
aut *schema_strings(compiler *c, const scase *k);
aut *schema_numbers(compiler *c, const scase *k, unsigned types);
aut *schema_keys(compiler *c, const scase *k); /* names that propertyNames allows */
const aut *schema_regex(compiler *c, json_t *text, json_t *at, const char *word); /* kept */
void schema_meet(compiler *c, aut **a, const aut *b, aut_op op, const fact *f);   /* *a NULL: any */

/* schema_number.c: the decimal numbers of the types, without exponent, between bounds, of which a multiple */
typedef struct number_bounds {
    json_t *lower, *upper, *multiple; /* NULL: none */
    bool above, below;                /* exclusive */
    unsigned types;
} number_bounds;
tawny_status schema_decimals(const number_bounds *b, aut **out);
bool schema_is_multiple(json_t *v, json_t *of);

/* schema_parts.c: what a property or an item must satisfy */
uint32_t schema_property(compiler *c, const scase *k, const char *name);
uint32_t schema_item(compiler *c, const scase *k, size_t at);
size_t schema_prefix(compiler *c, const scase *k); /* items from here on are alike */
const aut *schema_key_regex(compiler *c, const char *key, json_t *s); /* of patternProperties */
void schema_range_of(const scase *k, fact_kind kind, long *lo, long *hi);
json_t *schema_others(compiler *c, json_t *s); /* additionalProperties, or what stands for it; NULL: any */

/* schema_emit.c: the grammar */
typedef struct rule_text {
    buf b;
    bool any; /* an alternative is there */
} rule_text;
void emit_or(rule_text *t);            /* before an alternative */
void emit_rule(compiler *c, const char *name, rule_text *t); /* writes and frees it */
void emit_name(compiler *c, buf *b, uint32_t set);
void emit_aut(compiler *c, buf *b, const aut *a, bool quoted); /* a mention of its rule */
void emit_repeat(buf *b, const char *what, long lo, long hi);
size_t emit_rules(compiler *c, size_t n); /* the numbers of n new rules */
void emit_constant(compiler *c, buf *b, const json_t *v);
void emit_literal(buf *b, const char *s, size_t n);
void emit_object(compiler *c, rule_text *t, const scase *k);
void emit_array(compiler *c, rule_text *t, const scase *k);
void emit_all(compiler *c);

#endif
