/* Patterns: from a program to an automaton (the subset construction, keeping the order of the threads so
 * that the first alternative wins; a lookahead of one character is decided when that character is known). */
#include <stdlib.h>
#include <string.h>

#include "pattern_int.h"

enum { MAX_STATES = 8192, MAX_LISTS = 1 << 22 };

typedef struct builder {
    const pat_prog *prog;
    const uint8_t *has;
    unsigned symbols;
    uint16_t *lists; /* all states' thread lists, one after the other */
    size_t n_lists, cap_lists;
    uint32_t at[MAX_STATES + 1];
    uint16_t hash[MAX_STATES * 2];
    unsigned states;
    uint32_t seen[PAT_PROG], queued[PAT_PROG], stamp;
    uint16_t stack[PAT_PROG * 2], list[PAT_PROG];
    unsigned n_list;
    bool hit;
} builder;

static bool has(const builder *b, unsigned set, unsigned symbol)
{
    return symbol < b->symbols && b->has[set * PAT_SYMBOLS + symbol];
}

/* Follows the thread at pc without taking a character, the next one being symbol; collects where the threads
 * stand after it. Sets hit where the match ends here: threads of lower priority are then dropped. */
static void follow(builder *b, unsigned pc, unsigned symbol)
{
    unsigned sp = 0;
    b->stack[sp++] = (uint16_t)pc;
    while (sp && !b->hit) {
        unsigned i = b->stack[--sp];
        if (b->seen[i] == b->stamp) continue;
        b->seen[i] = b->stamp;
        const pat_inst *in = &b->prog->inst[i];
        switch (in->op) {
        case PAT_MATCH: b->hit = true; break;
        case PAT_JUMP: b->stack[sp++] = in->x; break;
        case PAT_SPLIT:
            b->stack[sp++] = in->y;
            b->stack[sp++] = in->x;
            break;
        case PAT_AHEAD:
        case PAT_NOT_AHEAD:
            if (has(b, in->set, symbol) == (in->op == PAT_AHEAD)) b->stack[sp++] = (uint16_t)(i + 1);
            break;
        case PAT_CHAR:
            if (has(b, in->set, symbol) && b->queued[i + 1] != b->stamp) {
                b->queued[i + 1] = b->stamp;
                b->list[b->n_list++] = (uint16_t)(i + 1);
            }
        }
    }
}

/* The state of the list in b->list; 0 for an empty one. Returns MAX_STATES where there are too many. */
static unsigned state_of(builder *b)
{
    if (b->n_list == 0) return PAT_DEAD;
    uint32_t h = 2166136261u;
    for (unsigned i = 0; i < b->n_list; i++) h = (h ^ b->list[i]) * 16777619u;
    for (h &= MAX_STATES * 2 - 1; b->hash[h]; h = (h + 1) & (MAX_STATES * 2 - 1)) {
        unsigned s = b->hash[h];
        if (b->at[s + 1] - b->at[s] == b->n_list &&
            memcmp(b->lists + b->at[s], b->list, b->n_list * sizeof *b->list) == 0)
            return s;
    }
    if (b->states == MAX_STATES || b->n_lists + b->n_list > MAX_LISTS) return MAX_STATES;
    if (b->n_lists + b->n_list > b->cap_lists) {
        size_t cap = b->cap_lists * 2 + PAT_PROG;
        uint16_t *p = realloc(b->lists, cap * sizeof *p);
        if (!p) return MAX_STATES;
        b->lists = p;
        b->cap_lists = cap;
    }
    memcpy(b->lists + b->n_lists, b->list, b->n_list * sizeof *b->list);
    b->n_lists += b->n_list;
    b->at[b->states + 1] = (uint32_t)b->n_lists;
    b->hash[h] = (uint16_t)b->states;
    return b->states++;
}

static bool expand(builder *b, unsigned state, uint16_t *row)
{
    for (unsigned symbol = 0; symbol <= b->symbols; symbol++) {
        b->stamp++;
        b->n_list = 0;
        b->hit = false;
        for (uint32_t i = b->at[state]; i < b->at[state + 1] && !b->hit; i++) follow(b, b->lists[i], symbol);
        unsigned next = state_of(b);
        if (next == MAX_STATES) return false;
        row[symbol] = (uint16_t)(next | (b->hit ? PAT_HIT : 0));
    }
    return true;
}

tawny_status pat_build(const pat_prog *prog, const uint8_t *set_has, unsigned symbols, pat_dfa *out, tawny_error *err)
{
    tawny_status st = TAWNY_E_NOMEM;
    size_t width = symbols + 1, cap = 0;
    builder *b = calloc(1, sizeof *b);
    *out = (pat_dfa){0};
    if (!b) return err_nomem(err);
    b->prog = prog;
    b->has = set_has;
    b->symbols = symbols;
    b->states = 1;
    b->list[b->n_list++] = 0;
    if (state_of(b) != PAT_START) goto done;
    for (unsigned s = PAT_START; s < b->states; s++) {
        if ((s + 1) * width > cap) {
            cap = (s + 1) * width * 2;
            uint16_t *p = realloc(out->next, cap * sizeof *p);
            if (!p) goto done;
            out->next = p;
        }
        if (!expand(b, s, out->next + s * width)) goto done;
    }
    memset(out->next, 0, width * sizeof *out->next);
    out->states = b->states;
    st = TAWNY_OK;
done:
    free(b->lists);
    free(b);
    if (st == TAWNY_OK) return TAWNY_OK;
    free(out->next);
    *out = (pat_dfa){0};
    return err_set(err, TAWNY_E_NOMEM, "a pattern of the pre-tokenizer is too large");
}
