/* Deterministic automata over code points: the strings and numbers that a schema allows. */
#ifndef TEXT_SCHEMA_AUT_H
#define TEXT_SCHEMA_AUT_H

#include "../base/buf.h"
#include "../base/error.h"

/* Class k holds the code points from from[k] to from[k + 1] - 1; next[state * n_class + k] is where they lead. */
typedef struct aut {
    uint32_t n, cap, n_class;
    uint32_t *from, *next;
    bool *final;
} aut;

enum { AUT_DEAD = 0, AUT_START = 1, AUT_MAX_CODE = 0x10ffff, AUT_MAX_STATES = 16384, AUT_MAX_CELLS = 4 << 20 };
typedef enum aut_op { AUT_AND, AUT_OR, AUT_WITHOUT } aut_op;

/* All return a status: TAWNY_E_LIMIT where it would be too large. *out is NULL after a failure. */
tawny_status aut_new(const uint32_t *from, uint32_t n_class, aut **out);
tawny_status aut_add_state(aut *a, bool final, uint32_t *state); /* all its transitions lead to AUT_DEAD */
tawny_status aut_trim(aut *a); /* transitions from which no end can be reached lead to AUT_DEAD */
tawny_status aut_combine(const aut *a, const aut *b, aut_op op, aut **out);
tawny_status aut_length(long lo, long hi, aut **out); /* strings of so many code points; hi -1: no bound */
void aut_free(aut *a);
bool aut_empty(const aut *a);
bool aut_matches(const aut *a, const char *text, size_t n);
bool aut_same(const aut *a, const aut *b);

/* Strings in which the regular expression (ECMA 262 with flag u) is found. TAWNY_E_UNSUPPORTED: it is more than regular
 * (back references, looking around) or has properties of characters; *why says what. */
tawny_status aut_regex(const char *text, size_t n, aut **out, const char **why);

/* The n words, each with its length. */
tawny_status aut_words(const char *const *word, const size_t *length, size_t n, aut **out);

/* States by a hash of what they stand for: those that may be equal are from slot[hash & (size - 1)] on, until a 0. */
typedef struct aut_table {
    uint32_t *slot, *hash, size, n;
} aut_table;
tawny_status aut_table_new(aut_table *t);
tawny_status aut_table_add(aut_table *t, uint32_t hash, uint32_t state);
void aut_table_free(aut_table *t);

/* ---- what they are made of ---- */
typedef struct aut_range {
    uint32_t lo, hi;
} aut_range;

typedef enum nfa_kind { NFA_EMPTY, NFA_BEGIN, NFA_END, NFA_CHAR } nfa_kind;
typedef struct nfa_edge {
    uint32_t next, to, set;
    nfa_kind kind;
} nfa_edge;

typedef struct nfa {
    uint32_t *first; /* [n] edge, 0: none */
    nfa_edge *edge;  /* [0] is unused */
    aut_range *range;
    struct {
        uint32_t first, n;
    } *set;
    uint32_t n, cap, n_edge, cap_edge, n_range, cap_range, n_set, cap_set;
    tawny_status failed;
} nfa;

uint32_t nfa_node(nfa *a);
void nfa_add(nfa *a, uint32_t from, nfa_kind kind, uint32_t to);
void nfa_add_set(nfa *a, uint32_t from, const aut_range *r, size_t n, uint32_t to); /* in order, apart */
void nfa_free(nfa *a);
/* search: the match may stand anywhere. */
tawny_status nfa_determine(nfa *a, uint32_t start, uint32_t match, bool search, aut **out);

uint32_t aut_utf8(const char **p, const char *end); /* of text that is valid */

#endif
