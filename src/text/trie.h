/* A trie over bytes: longest matches, and all matches in one pass (Aho and Corasick, 1975). */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct trie trie;

enum { TRIE_ROOT = 1 };

trie *trie_new(void); /* NULL when out of memory */
void trie_free(trie *t);
bool trie_add(trie *t, const char *p, size_t n, int32_t value); /* value >= 0; of equal strings the last one counts */

uint32_t trie_step(const trie *t, uint32_t node, unsigned char c); /* the child; 0 where there is none */
int32_t trie_value(const trie *t, uint32_t node);                  /* -1 where no string ends */

/* After the last trie_add: readies trie_scan. */
bool trie_link(trie *t);
/* The node of the longest suffix of what was read that starts a string; start with TRIE_ROOT. */
uint32_t trie_scan(const trie *t, uint32_t node, unsigned char c);
/* The nodes at which a string ends that is a suffix of this one's, itself first, longest first; 0 at the end:
 *     for (uint32_t m = trie_first(t, node); m; m = trie_more(t, m)) ... trie_value(t, m) */
uint32_t trie_first(const trie *t, uint32_t node);
uint32_t trie_more(const trie *t, uint32_t node);

#endif
