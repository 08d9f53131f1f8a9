/* Inside the grammars. */
#ifndef TEXT_GBNF_INT_H
#define TEXT_GBNF_INT_H

#include "gbnf.h"

enum {
    GBNF_MAX_TEXT = 4 << 20,
    GBNF_MAX_STATES = 1 << 21,
    GBNF_MAX_DEPTH = 200,   /* of parentheses */
    GBNF_MAX_REPEAT = 2000, /* {m,n}: a higher m is an error, a higher n is no limit, as in llama.cpp */
    GBNF_NO_RULE = -1
};

typedef enum gbnf_kind {
    GBNF_EMPTY,    /* to `to` without consuming anything */
    GBNF_BYTE,     /* a byte from lo to hi */
    GBNF_CALL,     /* rule `value`, then `to` */
    GBNF_TAIL,     /* the same where nothing follows: the rule ends with it (set by gbnf_finish) */
    GBNF_TOKEN,    /* the token `value` */
    GBNF_NOT_TOKEN /* any other */
} gbnf_kind;

typedef struct gbnf_edge {
    uint32_t next; /* edge of the same state, 0: none */
    uint32_t to, value;
    uint8_t kind, lo, hi;
} gbnf_edge;

typedef struct gbnf_node {
    uint32_t first; /* edge, 0: none */
    bool final;     /* the end of a rule */
    bool keep;      /* has edges other than empty ones */
} gbnf_node;

typedef struct gbnf_rule {
    const char *name; /* in the text while parsing; NULL: made by the parser */
    size_t n_name;
    uint32_t start;
    uint32_t at; /* place of its first mention, for the message */
    bool defined, nullable;
} gbnf_rule;

struct gbnf {
    gbnf_node *node;
    gbnf_edge *edge; /* [0] is unused */
    gbnf_rule *rule;
    uint32_t n_node, cap_node, n_edge, cap_edge, n_rule, cap_rule;
    uint32_t root;
    uint8_t byte_class[256]; /* bytes that no edge tells apart */
    int n_class;
    bool barren; /* no text matches */
    bool failed; /* building: out of memory or beyond the limits */
};

/* gbnf_net.c: building. All return 0 after a failure. */
uint32_t gbnf_new_node(gbnf *g);
void gbnf_add_edge(gbnf *g, uint32_t from, gbnf_edge e);
uint32_t gbnf_new_rule(gbnf *g, const char *name, size_t n);
void gbnf_link(gbnf *g, uint32_t from, uint32_t to); /* an empty edge */

/* Code points from lo to hi, as UTF-8 (surrogates left out). */
void gbnf_add_range(gbnf *g, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to);

/* What the matcher wants to know ahead: nullable rules, tail calls, classes of bytes. */
void gbnf_finish(gbnf *g);

/* gbnf_mask.c: tokens in the order of their bytes */
typedef struct gbnf_trie {
    tawny_token *order; /* [n] */
    uint32_t *common;   /* [n] length of the common beginning with the one before */
    uint32_t *rest;     /* [n + 1] where in bytes what follows it begins */
    char *bytes;
    uint32_t *past; /* for each of bytes: the first later token that does not share it */
    size_t n;
} gbnf_trie;

/* Kinds of tokens that are allowed together: whole characters that stand for themselves in a JSON string, GBNF_RUN at
 * most; and ASCII letters. */
enum { GBNF_RUN = 32, GBNF_PLAIN = 0, GBNF_LETTERS, GBNF_KINDS };
struct gbnf_vocab {
    gbnf_tokens tokens;
    gbnf_trie all, odd[GBNF_KINDS]; /* odd: those that are not of the kind */
    uint64_t *kind[GBNF_KINDS];     /* masks */
    tawny_token *ends;  /* [n_ends] */
    size_t n_ends, longest;
};
bool gbnf_vocab_has(const gbnf_vocab *v, tawny_token t); /* a token with bytes that does not end a generation */

/* gbnf_match.c */
typedef struct gbnf_item {
    uint32_t node, rule; /* where; the rule that ends with this one */
    uint32_t origin;     /* the set where that rule was called: GBNF_SELF is the item's own, GBNF_ROOT none */
} gbnf_item;
enum { GBNF_UNKNOWN = 0xffffffffu, GBNF_SELF = 0xffffffffu, GBNF_ROOT = 0xfffffffeu };

typedef struct gbnf_set {
    uint32_t first, n;
    uint32_t row; /* of transitions, GBNF_UNKNOWN: none yet */
    uint32_t run[GBNF_KINDS]; /* the set that any character of the kind leads to, GBNF_DEAD: there is none, or
                                 GBNF_UNKNOWN */
    uint32_t hash;
    bool complete, tokens; /* some item waits for a token */
} gbnf_set;

enum { GBNF_MASKS = 256 };

struct gbnf_matcher {
    const gbnf *g;
    const gbnf_vocab *vocab;
    gbnf_set *set;
    gbnf_item *item;
    uint32_t *row; /* n_class transitions each */
    uint32_t n_set, cap_set, n_item, cap_item, n_row, cap_row;
    uint32_t *table; /* of sets by hash; 0: free */
    uint32_t table_size;

    gbnf_item *work; /* the set being made */
    uint32_t n_work, cap_work;
    uint32_t *seen, *seen_at; /* [seen_size] index into work, valid where seen_at is the turn */
    uint32_t seen_size, turn;
    bool work_complete;
    uint64_t spent; /* of the budget of one call */
    tawny_status failed;

    gbnf_state *path; /* [longest + 1] */
    struct {
        gbnf_state s;
        size_t n;
        uint64_t *bits;
    } mask[GBNF_MASKS];
    gbnf_state start;
};

/* One byte; GBNF_DEAD also where m->failed. */
gbnf_state gbnf_step(gbnf_matcher *m, gbnf_state s, uint8_t byte);
gbnf_state gbnf_step_token(gbnf_matcher *m, gbnf_state s, tawny_token t);
void gbnf_begin(gbnf_matcher *m); /* a new budget */
tawny_status gbnf_end(gbnf_matcher *m, tawny_error *err);

#endif
