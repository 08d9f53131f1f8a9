/* The regular expressions of pre-tokenizers, compiled to deterministic automata.
 *
 * A pre-tokenizer is a list of expressions: each cuts the pieces that the one before it left into its
 * matches and what lies between them. Matching is leftmost-first, as in a backtracking matcher, but takes
 * one table look-up a character and never goes back, so its time has a bound whatever the text.
 *
 * The syntax is what the published patterns need: literals, \r \n \t \s \S \d \\ and escaped punctuation,
 * \p{L} and the other categories (Lu, Ll, ... read as L, which is what the reference does), classes with
 * ranges and negation, groups, alternation, ? * + {n} {m,n}, and a lookahead of one class: (?=x) (?!x).
 * White space beyond ASCII reads as a vertical tab, so that \s finds it and no literal range does.
 *
 * Four cuts are no regular expressions, or not in linear time, and have names:
 *   @groups   runs of numbers into threes from the right; what stands before a run stays with its first group
 *   @threes   before each position that has a positive multiple of three ASCII digits to its right
 *   @tail     white space at the end of a piece */
#ifndef TEXT_PATTERN_H
#define TEXT_PATTERN_H

#include "../base/error.h"

typedef struct pattern pattern;

enum { PATTERN_STAGES = 6 };

/* n expressions (UTF-8). They are ours, not the user's: an error means that the table is wrong. */
tawny_status pattern_new(const char *const *stages, size_t n, pattern **out, tawny_error *err);
void pattern_free(pattern *p);

/* Calls piece for each piece of the n bytes at text, in order, together all of it; stops where it returns
 * false, and returns that. The text is canonical (see uni_canonical). */
typedef bool (*pattern_piece)(void *ctx, const char *p, size_t n);
bool pattern_split(const pattern *p, const char *text, size_t n, pattern_piece piece, void *ctx);

#endif
