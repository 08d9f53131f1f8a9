/* Between the parser of patterns, the construction of automata, and matching. */
#ifndef TEXT_PATTERN_INT_H
#define TEXT_PATTERN_INT_H

#include "pattern.h"
#include "unicode.h"

enum { PAT_RANGES = 96, PAT_SETS = 120, PAT_PROG = 4096, PAT_SYMBOLS = 250 };

/* A set of characters. */
typedef struct pat_set {
    bool negated;
    uint8_t classes, not_classes; /* UNI_ bits that belong to it, and whose absence does (\S) */
    uint16_t n;
    uint32_t lo[PAT_RANGES], hi[PAT_RANGES];
} pat_set;

typedef enum pat_op { PAT_CHAR, PAT_SPLIT, PAT_JUMP, PAT_AHEAD, PAT_NOT_AHEAD, PAT_MATCH } pat_op;

/* CHAR takes a character of set; SPLIT tries x, then y; AHEAD looks for a character of set. */
typedef struct pat_inst {
    pat_op op;
    uint16_t set, x, y;
} pat_inst;

typedef struct pat_prog {
    pat_inst inst[PAT_PROG];
    unsigned n;
} pat_prog;

/* The sets of all stages of a pattern. */
typedef struct pat_sets {
    pat_set set[PAT_SETS];
    unsigned n;
} pat_sets;

/* An automaton: next[state * (symbols + 1) + symbol] with the flag PAT_HIT where a match ends before that
 * character; the last symbol is the end of the piece. State 0 is dead, 1 the start. */
enum { PAT_HIT = 0x8000, PAT_DEAD = 0, PAT_START = 1 };
typedef struct pat_dfa {
    uint16_t *next;
    unsigned states;
} pat_dfa;

tawny_status pat_parse(const char *re, pat_sets *sets, pat_prog *prog, tawny_error *err);
bool pat_set_has(const pat_set *s, uint32_t cp, unsigned classes);
/* has[set * PAT_SYMBOLS + symbol]: whether the symbol's characters belong to the set. */
tawny_status pat_build(const pat_prog *prog, const uint8_t *has, unsigned symbols, pat_dfa *out, tawny_error *err);

#endif
