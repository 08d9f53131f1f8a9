/* Guesses from the text itself: what followed its last tokens where these stood before. */
#include <stdlib.h>
#include <string.h>

#include "spec_int.h"

enum { HEADS = 1 << 15, CANDIDATES = 64 };

static uint32_t hash(tawny_token a, tawny_token b)
{
    uint64_t both = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(both >> 49); /* 15 bits */
}

bool ngram_new(ngram *g, int32_t n_ctx)
{
    g->head = calloc(HEADS, sizeof *g->head);
    g->prev = malloc((size_t)n_ctx * sizeof *g->prev);
    g->n = 0;
    return g->head && g->prev;
}

void ngram_free(ngram *g)
{
    free(g->head);
    free(g->prev);
    *g = (ngram){0};
}

void ngram_clear(ngram *g)
{
    memset(g->head, 0, HEADS * sizeof *g->head);
    g->n = 0;
}

/* Tokens before `a` and before `b`, these included, that are equal. */
static int equal(const tawny_token *text, int32_t a, int32_t b)
{
    int n = 0;
    while (n < NGRAM_LONGEST && n <= a && text[a - n] == text[b - n]) n++;
    return n;
}

int32_t ngram_find(ngram *g, const tawny_token *text, int32_t n, int *length)
{
    int32_t best = -1, last = n - 1;
    *length = 0;
    if (n < 3) return -1;
    for (int32_t i = g->n > 1 ? g->n : 1; i < last; i++) { /* places that something follows */
        int32_t *head = &g->head[hash(text[i - 1], text[i])];
        g->prev[i] = *head;
        *head = i + 1;
    }
    g->n = last;
    int32_t at = g->head[hash(text[last - 1], text[last])] - 1;
    for (int i = 0; i < CANDIDATES && at >= 0 && *length < NGRAM_LONGEST; i++, at = g->prev[at] - 1) {
        int same = equal(text, at, last);
        if (same < 2 || same <= *length) continue;
        *length = same;
        best = at + 1;
    }
    return best;
}
