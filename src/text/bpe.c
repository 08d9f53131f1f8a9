/* Byte-pair encoding: byte-level (GPT-2 and most since) and over UTF-8 (Gemma 4 and kin). */
#include <stdlib.h>
#include <string.h>

#include "tok_int.h"
#include "unicode.h"

/* The token of a merge's half: in the files the halves are written as the tokens are. */
static tawny_status half(const tokenizer *t, uint64_t i, const char *p, size_t n, const char *which, tawny_token *id,
                         tawny_error *err)
{
    *id = tok_index_find(&t->index, p, n);
    if (*id != TOK_NONE) return TAWNY_OK;
    return tok_bad(t, err, "tokenizer.ggml.merges[%llu]: %s, \"%.*s\", is no token", (unsigned long long)i, which,
                   (int)(n < 80 ? n : 80), p);
}

/* "left right"; the left half may itself start with a space. Of equal pairs the first one counts. */
static tawny_status add_merge(tokenizer *t, uint64_t i, gguf_str s, buf *b, tawny_error *err)
{
    const char *space = s.n > 1 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
    if (!space)
        return tok_bad(t, err, "tokenizer.ggml.merges[%llu] is \"%.*s\", which is no pair", (unsigned long long)i,
                       (int)(s.n < 80 ? s.n : 80), s.p);
    tawny_token left, right, id;
    size_t n = (size_t)(space - s.p);
    buf_clear(b);
    buf_add(b, s.p, n);
    buf_add(b, space + 1, s.n - n - 1);
    if (!buf_ok(b)) return err_nomem(err);
    tawny_status st = half(t, i, s.p, n, "its left half", &left, err);
    if (st == TAWNY_OK) st = half(t, i, space + 1, s.n - n - 1, "its right half", &right, err);
    if (st == TAWNY_OK) st = half(t, i, b->data, b->size, "what it makes", &id, err);
    if (st != TAWNY_OK) return st;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t k = tok_pair_slot(t, pair);
    if (t->merges[k].pair == UINT64_MAX) t->merges[k] = (tok_merge){pair, (uint32_t)i, id};
    size_t bit = (size_t)(tok_pair_hash(pair) >> 7) & t->filter_mask;
    t->merge_filter[bit / 64] |= UINT64_C(1) << bit % 64;
    return TAWNY_OK;
}

static tawny_status load_merges(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_array a;
    gguf_str s;
    tawny_status st = t->pre_flags & PRE_NO_MERGES ? gguf_opt_array(g, "tokenizer.ggml.merges", GGUF_STR, &a, err)
                                                   : gguf_get_array(g, "tokenizer.ggml.merges", GGUF_STR, &a, err);
    if (st != TAWNY_OK) return st;
    uint64_t n = a.data ? a.n : 0;
    if (n >= INT32_MAX) return tok_bad(t, err, "tokenizer.ggml.merges has %llu elements", (unsigned long long)n);
    size_t cap = 16, at = 0;
    while (cap < n * 2) cap *= 2;
    t->merges = arena_array(t->mem, cap, sizeof *t->merges);
    t->filter_mask = cap * 4 - 1;
    t->merge_filter = arena_array(t->mem, cap * 4 / 64, sizeof *t->merge_filter);
    if (!t->merges || !t->merge_filter) return err_nomem(err);
    memset(t->merges, 0xff, cap * sizeof *t->merges);
    t->merge_mask = cap - 1;
    buf b = {0};
    for (uint64_t i = 0; i < n && st == TAWNY_OK; i++) {
        if (gguf_array_next_str(&a, &at, &s)) st = add_merge(t, i, s, &b, err);
        else st = tok_bad(t, err, "tokenizer.ggml.merges ends at element %llu", (unsigned long long)i);
    }
    buf_free(&b);
    return st;
}

/* What byte-level tokens stand for; those with other characters in them no text can become. */
static tawny_status load_raw(tokenizer *t, tawny_error *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < t->n; i++) total += t->text[i].n;
    char *raw = arena_alloc(t->mem, total + 1);
    t->raw = arena_array(t->mem, t->n, sizeof *t->raw);
    if (!raw || !t->raw || !tok_index_new(t->mem, &t->by_raw, t->raw, t->n)) return err_nomem(err);
    for (uint32_t i = 0; i < t->n; i++) {
        const tok_str *s = &t->text[i];
        uint32_t cp, n = 0;
        int byte = 0;
        for (size_t k = 0; k < s->n && byte >= 0; raw[n++] = (char)byte) {
            k += uni_decode(s->p + k, s->n - k, &cp);
            byte = tok_stand_in(cp);
        }
        if (byte < 0) continue;
        t->raw[i] = (tok_str){raw, n};
        tok_index_add(&t->by_raw, i);
        raw += n;
    }
    return TAWNY_OK;
}

static void load_bytes(tokenizer *t)
{
    for (unsigned i = 0; i < 256; i++) {
        char s[8];
        unsigned n;
        if (t->pre_flags & PRE_RAW) {
            static const char digit[] = "0123456789ABCDEF";
            memcpy(s, (char[]){'<', '0', 'x', digit[i >> 4], digit[i & 15], '>'}, 6);
            n = 6;
        } else {
            n = tok_stand_in_of((unsigned char)i, s);
        }
        t->byte_token[i] = tok_index_find(&t->index, s, n);
    }
}

tawny_status bpe_load(const gguf *g, tokenizer *t, tawny_error *err)
{
    tawny_status st = load_merges(g, t, err);
    if (st == TAWNY_OK && !(t->pre_flags & PRE_RAW)) st = load_raw(t, err);
    load_bytes(t);
    tok_find_spans(t);
    return st;
}

typedef struct job {
    const tokenizer *t;
    tok_work *w;
    tok_vec *out;
} job;

static bool whole_lines(const char *p, size_t n)
{
    while (n && p[n - 1] == '\n') n--;
    return n == 0;
}

static bool piece(void *ctx, const char *p, size_t n)
{
    job *j = ctx;
    const tokenizer *t = j->t;
    tawny_token id = TOK_NONE;
    if (t->pre_flags & PRE_IGNORE_MERGES) id = tok_index_find(&t->by_raw, p, n);
    else if (t->pre_flags & PRE_GEMMA && whole_lines(p, n)) id = tok_index_find(&t->index, p, n);
    if (id != TOK_NONE && tok_work_allows(j->w, id)) return tok_vec_add(j->out, id);
    return t->escape_whitespaces ? tok_merge_words(j->w, p, n, j->out) : tok_merge_piece(j->w, p, n, j->out);
}

/* Makes the text canonical: malformed bytes become U+FFFD, overlong forms short ones. */
static bool canonical(tok_work *w, const char **p, size_t *n)
{
    if (uni_canonical(*p, *n)) return true;
    buf *b = tok_work_text(w, 0);
    uint32_t cp;
    char u[4];
    for (size_t i = 0; i < *n;) {
        i += uni_decode(*p + i, *n - i, &cp);
        buf_add(b, u, uni_encode(cp, u));
    }
    *p = b->data;
    *n = b->size;
    return buf_ok(b);
}

bool tok_escape_spaces(tok_work *w, const char **p, size_t *n, bool space_first)
{
    buf *b = tok_work_text(w, 1);
    if (space_first) buf_str(b, "\u2581");
    for (size_t i = 0; i < *n;) {
        const char *space = memchr(*p + i, ' ', *n - i);
        size_t len = space ? (size_t)(space - *p) - i : *n - i;
        buf_add(b, *p + i, len);
        if (space) buf_str(b, "\u2581");
        i += len + (space != NULL);
    }
    *p = b->data;
    *n = b->size;
    return buf_ok(b);
}

/* The model "whitespace": words alone, in lower case where the metadata says so. */
static bool encode_words(job *j, const char *p, size_t n)
{
    buf *b = tok_work_text(j->w, 1);
    uint32_t cp = 0;
    char u[4];
    for (size_t i = 0; i <= n;) {
        bool end = i == n;
        if (end) i++;
        else i += uni_next(p + i, &cp);
        if (!end && !(uni_class(cp) & UNI_SPACE)) {
            buf_add(b, u, uni_encode(j->t->lowercase ? uni_lower(cp) : cp, u));
            continue;
        }
        if (b->size && !pattern_split(j->t->cut, b->data, b->size, piece, j)) return false;
        b->size = 0;
    }
    return buf_ok(b);
}

/* The model "hybriddna": between <dna> and </dna>, six bases a token. Those tokens' texts end in U+E000 to keep them
 * apart from words. */
static bool add_bases(job *j, const char *p, size_t n, tawny_token none)
{
    for (size_t i = 0; i < n; i += 6) {
        char s[9];
        for (size_t k = 0; k < 6; k++) {
            char c = i + k < n ? p[i + k] : 'A';
            s[k] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        memcpy(s + 6, "\ue000", 3);
        tawny_token id = tok_index_find(&j->t->index, s, 9);
        if (!tok_vec_add(j->out, id == TOK_NONE ? none : id)) return false;
    }
    return true;
}

static bool encode_dna(job *j, const char *p, size_t n)
{
    const tokenizer *t = j->t;
    const char *end = p + n;
    tawny_token open = tok_index_find(&t->index, "<dna>", 5), close = tok_index_find(&t->index, "</dna>", 6);
    tawny_token none = tok_index_find(&t->index, "<oov>", 5);
    while (p < end) {
        const char *from = NULL;
        if (open >= 0 && close >= 0 && none >= 0) from = memmem(p, (size_t)(end - p), "<dna>", 5);
        if (!pattern_split(t->cut, p, (size_t)((from ? from : end) - p), piece, j)) return false;
        if (!from) break;
        p = from + 5;
        const char *to = memmem(p, (size_t)(end - p), "</dna>", 6);
        if (!tok_vec_add(j->out, open) || !add_bases(j, p, (size_t)((to ? to : end) - p), none)) return false;
        if (!to) break;
        if (!tok_vec_add(j->out, close)) return false;
        p = to + 6;
    }
    return true;
}

bool bpe_encode(const tokenizer *t, tok_work *w, const char *p, size_t n, tok_vec *out)
{
    job j = {t, w, out};
    if (!canonical(w, &p, &n)) return false;
    if (strcmp(t->model, "whitespace") == 0) return encode_words(&j, p, n);
    if (strcmp(t->model, "hybriddna") == 0) return encode_dna(&j, p, n);
    if (t->escape_whitespaces && !tok_escape_spaces(w, &p, &n, false)) return false;
    return pattern_split(t->cut, p, n, piece, &j);
}
