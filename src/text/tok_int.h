/* Inside the tokenizers: the vocabulary and what each kind keeps beside it. */
#ifndef TEXT_TOK_INT_H
#define TEXT_TOK_INT_H

#include "../base/arena.h"
#include "pattern.h"
#include "pretok.h"
#include "tokenizer.h"
#include "trie.h"

typedef struct tok_str {
    const char *p;
    uint32_t n;
} tok_str;

/* Strings to ids. */
typedef struct tok_index {
    uint64_t *slot; /* hash << 32 | id + 1; 0 in an empty slot */
    size_t mask;
    const tok_str *str;
} tok_index;

/* A pair of tokens to the token that they become, and when. */
typedef struct tok_merge {
    uint64_t pair; /* left << 32 | right; ~0 in an empty slot */
    uint32_t rank;
    int32_t id;
} tok_merge;

typedef struct tok_template {
    const char *name, *text;
    size_t n;
} tok_template;

struct tokenizer {
    arena *mem;
    tok_kind kind;
    const char *model, *pre, *path;
    uint32_t n;
    uint32_t max_len; /* of the texts, in bytes */
    tok_str *text;    /* as in the file */
    tok_str *piece;   /* what it stands for in decoded text */
    tok_str *raw;     /* byte-level BPE: the bytes that it stands for in text to be encoded; none: p is NULL */
    float *score;
    uint16_t *attr;
    uint8_t *eog;
    tok_index index;  /* of text */
    tok_index by_raw; /* of raw */

    tawny_token special[TOK_SPECIALS];
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces, escape_whitespaces, clean_spaces;
    bool lowercase, strip_accents;
    unsigned pre_flags;
    tawny_token *suppressed;
    size_t n_suppressed;
    tok_template *templates;
    size_t n_templates;

    trie *specials;             /* texts of control, user-defined and unknown tokens */
    uint32_t *special_rank;     /* of a token: longest first; ~0 for others */
    tawny_token *by_rank;
    uint32_t n_ranked;

    pattern *cut;               /* BPE */
    tok_merge *merges;
    size_t merge_mask;
    uint64_t *merge_filter; /* bits by hash: a pair whose bit is not set is none */
    size_t filter_mask;
    tawny_token byte_token[256]; /* of a byte: its stand-in, or <0xXX> */
    uint64_t *neighbours;       /* SPM, UGM, raw BPE: a bit by hash for characters side by side in some token */
    uint8_t *classes;           /* WPM: of every code point */
    trie *words;                /* WPM, UGM, RWKV: all tokens */
    trie *user_words;           /* UGM: user-defined tokens */
    float unk_score;            /* UGM */
    const uint8_t *charsmap;    /* UGM: the double array, and the replacements after it */
    uint32_t n_charsmap;
    const char *replacements;
    size_t n_replacements;
};

/* tok_load.c */
tawny_status tok_load(const gguf *g, tokenizer *t, tawny_error *err);
bool tok_index_new(arena *mem, tok_index *x, const tok_str *str, uint32_t n);
tawny_token tok_index_add(tok_index *x, uint32_t id); /* the id that already has this text, or TOK_NONE */
tawny_token tok_index_find(const tok_index *x, const char *p, size_t n);
/* In bulk: hash many, then fetch them all in steps 0, 1 and 2 so that the caches' misses overlap, then find. */
uint32_t tok_hash(const char *p, size_t n);
void tok_index_fetch(const tok_index *x, uint32_t h, int step);
tawny_token tok_index_find_hashed(const tok_index *x, const char *p, size_t n, uint32_t h);
tawny_status tok_bad(const tokenizer *t, tawny_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* tok_special.c: special ids, flags, EOG, attributes by name */
void tok_default_specials(tokenizer *t);
tawny_status tok_load_specials(const gguf *g, tokenizer *t, tawny_error *err);

/* tok_piece.c: what tokens stand for */
tawny_status tok_load_pieces(tokenizer *t, tawny_error *err);
int tok_stand_in(uint32_t cp); /* the byte that a character stands for in byte-level BPE; -1: none */
unsigned tok_stand_in_of(unsigned char byte, char out[4]); /* the character, in UTF-8 */
int tok_hex_byte(const tok_str *s); /* of <0xXX>; -1 for another text */

/* A piece of the text to be encoded, or a token. */
typedef struct tok_part {
    size_t at, n;
    tawny_token id; /* TOK_NONE: text */
} tok_part;

typedef struct tok_parts {
    tok_part *v;
    size_t n, cap;
} tok_parts;

/* The end of a trusted stretch and its start, ascending. */
typedef struct tok_trust {
    size_t from, to;
} tok_trust;

/* tok_parts.c: cuts text at special tokens. trust NULL: flags decide on control tokens. */
tawny_status tok_partition(const tokenizer *t, const char *text, size_t n, unsigned flags, const tok_trust *trust,
                           size_t n_trust, tok_parts *out, tawny_error *err);
tawny_status tok_partition_new(tokenizer *t, tawny_error *err);

/* What is kept from one stretch of text to the next: a cache of pieces, and scratch memory. */
typedef struct tok_work tok_work;
tok_work *tok_work_new(const tokenizer *t, size_t text_bytes,
                       bool guarded); /* guarded: no merge makes a control token */
void tok_work_free(tok_work *w);
bool tok_work_allows(const tok_work *w, tawny_token id);
bool tok_escape_spaces(tok_work *w, const char **p, size_t *n, bool space_first); /* to U+2581, in buffer 1 */
buf *tok_work_text(tok_work *w, int which); /* buffers 0 and 1, emptied; for text that had to be rewritten */

/* Each kind: what it needs beyond the vocabulary, and encoding one stretch of text. False when out of memory. */
tawny_status bpe_load(const gguf *g, tokenizer *t, tawny_error *err);
bool bpe_encode(const tokenizer *t, tok_work *w, const char *p, size_t n, tok_vec *out);
tawny_status spm_load(tokenizer *t, tawny_error *err);
bool spm_encode(const tokenizer *t, tok_work *w, const char *p, size_t n, bool space_first, tok_vec *out);
tawny_status wpm_load(tokenizer *t, tawny_error *err);
bool wpm_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out);
tawny_status ugm_load(const gguf *g, tokenizer *t, tawny_error *err);
bool ugm_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out);
tawny_status plamo_load(tokenizer *t, tawny_error *err);
bool plamo_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out);
tawny_status rwkv_load(tokenizer *t, tawny_error *err);
bool rwkv_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out);

/* merge.c: the tokens of one piece, by merging its symbols: lowest rank first, leftmost first among equals. */
bool tok_merge_piece(tok_work *w, const char *p, size_t n, tok_vec *out);
uint64_t tok_pair_hash(uint64_t pair);
size_t tok_pair_slot(const tokenizer *t, uint64_t pair); /* in t->merges: where it is, or belongs */
/* The same for text of any length, of characters: first cut between those that no token has side by side. */
bool tok_merge_text(tok_work *w, const char *p, size_t n, tok_vec *out);
size_t tok_next_cut(const tokenizer *t, const char *p,
                    size_t n); /* the first such place after p; n where there is none */
enum { TOK_NEIGHBOUR_BITS = 21 };
bool tok_find_neighbours(tokenizer *t);

/* merge_long.c: the symbols of a long piece. */
enum { TOK_NO_RANK = UINT32_MAX };
typedef struct tok_symbol {
    int32_t id;          /* TOK_NONE: no token */
    uint32_t at;         /* where it starts */
    uint32_t next, prev; /* its neighbours' numbers; the last one's next is the number of symbols */
    uint32_t rank;       /* of the pair that starts here */
} tok_symbol;

typedef struct tok_symbols {
    const tokenizer *t;
    const char *p;
    bool guarded;
    uint32_t n;
    tok_symbol *s; /* n, and one more that starts at the end */
} tok_symbols;
bool tok_merge_long(tok_symbols *s);

/* The rank of merging two symbols that are [from, to) of p together, and what they become; TOK_NO_RANK: nothing. */
uint32_t tok_pair(const tokenizer *t, bool guarded, const char *p, uint32_t from, uint32_t to, int32_t left,
                  int32_t right, int32_t *id);

#endif
