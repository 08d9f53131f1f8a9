/* Byte-pair encoding: byte-level (GPT-2 and most since) and over UTF-8 (Gemma 4 and kin). */
#include <stdlib.h>
#include <string.h>

#include "tok_int.h"
#include "unicode.h"

enum { LEFT, RIGHT, MADE, BATCH = 64 };

/* A merge as the file has it. `made` lies in a buffer that is still growing, so by offset. */
typedef struct written {
    gguf_str half[2];
    size_t made, n_made;
    uint32_t hash[3];
    tawny_token id[3];
} written;

/* "left right"; the left half may itself start with a space. */
static tawny_status read_merge(const tokenizer *t, uint64_t i, gguf_str s, buf *b, written *m, tawny_error *err)
{
    const char *space = s.n > 1 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
    if (!space)
        return tok_bad(t, err, "tokenizer.ggml.merges[%llu] is \"%.*s\", which is no pair", (unsigned long long)i,
                       (int)(s.n < 80 ? s.n : 80), s.p);
    m->half[LEFT] = (gguf_str){s.p, (size_t)(space - s.p)};
    m->half[RIGHT] = (gguf_str){space + 1, s.n - m->half[LEFT].n - 1};
    m->made = b->size;
    m->n_made = s.n - 1;
    for (int k = LEFT; k <= RIGHT; k++) {
        m->hash[k] = tok_hash(m->half[k].p, m->half[k].n);
        buf_add(b, m->half[k].p, m->half[k].n);
    }
    if (!buf_ok(b)) return err_nomem(err);
    m->hash[MADE] = tok_hash(b->data + m->made, m->n_made);
    return TAWNY_OK;
}

/* The tokens of a merge: in the files its halves are written as the tokens are. */
static tawny_status find_tokens(const tokenizer *t, uint64_t i, const buf *b, written *m, tawny_error *err)
{
    static const char *const which[] = {"its left half", "its right half", "what it makes"};
    for (int k = LEFT; k <= MADE; k++) {
        gguf_str s = k == MADE ? (gguf_str){b->data + m->made, m->n_made} : m->half[k];
        m->id[k] = tok_index_find_hashed(&t->index, s.p, s.n, m->hash[k]);
        if (m->id[k] == TOK_NONE)
            return tok_bad(t, err, "tokenizer.ggml.merges[%llu]: %s, \"%.*s\", is no token", (unsigned long long)i,
                           which[k], (int)(s.n < 80 ? s.n : 80), s.p);
    }
    return TAWNY_OK;
}

static uint64_t pair_of(const written *m) { return (uint64_t)(uint32_t)m->id[LEFT] << 32 | (uint32_t)m->id[RIGHT]; }

/* Of equal pairs the first one counts. */
static void add_merge(tokenizer *t, uint64_t i, const written *m)
{
    uint64_t pair = pair_of(m);
    size_t k = tok_pair_slot(t, pair), bit = (size_t)(tok_pair_hash(pair) >> 7) & t->filter_mask;
    if (t->merges[k].pair == UINT64_MAX) t->merges[k] = (tok_merge){pair, (uint32_t)i, m->id[MADE]};
    t->merge_filter[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* n merges from number i on. */
static tawny_status add_batch(tokenizer *t, uint64_t i, const gguf_array *a, size_t *at, unsigned n, buf *b,
                              tawny_error *err)
{
    written m[BATCH];
    gguf_str s;
    tawny_status st = TAWNY_OK;
    buf_clear(b);
    for (unsigned k = 0; k < n && st == TAWNY_OK; k++) {
        if (gguf_array_next_str(a, at, &s)) st = read_merge(t, i + k, s, b, &m[k], err);
        else st = tok_bad(t, err, "tokenizer.ggml.merges ends at element %llu", (unsigned long long)(i + k));
    }
    for (int step = 0; step < 3 && st == TAWNY_OK; step++)
        for (unsigned k = 0; k < n; k++)
            for (int w = LEFT; w <= MADE; w++) tok_index_fetch(&t->index, m[k].hash[w], step);
    for (unsigned k = 0; k < n && st == TAWNY_OK; k++) {
        st = find_tokens(t, i + k, b, &m[k], err);
        if (st == TAWNY_OK) __builtin_prefetch(&t->merges[tok_pair_hash(pair_of(&m[k])) & t->merge_mask]);
    }
    for (unsigned k = 0; k < n && st == TAWNY_OK; k++) add_merge(t, i + k, &m[k]);
    return st;
}

static tawny_status load_merges(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_array a;
    tawny_status st = t->pre_flags & PRE_NO_MERGES ? gguf_opt_array(g, "tokenizer.ggml.merges", GGUF_STR, &a, err)
                                                   : gguf_get_array(g, "tokenizer.ggml.merges", GGUF_STR, &a, err);
    if (st != TAWNY_OK) return st;
    uint64_t n = a.data ? a.n : 0;
    if (n >= INT32_MAX) return tok_bad(t, err, "tokenizer.ggml.merges has %llu elements", (unsigned long long)n);
    size_t cap = 16, at = 0;
    while (cap < n * 2) cap *= 2;
    t->merges = arena_array(t->mem, cap, sizeof *t->merges);
    t->merge_mask = cap - 1;
    t->filter_mask = cap * 4 - 1;
    t->merge_filter = arena_array(t->mem, cap * 4 / 64, sizeof *t->merge_filter);
    if (!t->merges || !t->merge_filter) return err_nomem(err);
    memset(t->merges, 0xff, cap * sizeof *t->merges);
    buf b = {0};
    for (uint64_t i = 0; i < n && st == TAWNY_OK; i += BATCH)
        st = add_batch(t, i, &a, &at, n - i < BATCH ? (unsigned)(n - i) : BATCH, &b, err);
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
    if (st == TAWNY_OK && t->pre_flags & PRE_RAW && !tok_find_neighbours(t)) st = err_nomem(err);
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
    return t->neighbours ? tok_merge_text(j->w, p, n, j->out) : tok_merge_piece(j->w, p, n, j->out);
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
