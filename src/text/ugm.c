/* Unigram (the model "t5"): the most probable tokens, by Viterbi's algorithm over the scores.
 * Source: Kudo 2018 (arXiv 1804.10959); SentencePiece's precompiled character map is a double array with XOR
 * (Kanda 2018) from strings to replacements. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "tok_int.h"
#include "unicode.h"

enum { MAX_KEY = 256 }; /* bytes of a key of the map that are followed; real ones are far shorter */

static tawny_status load_charsmap(const gguf *g, tokenizer *t, tawny_error *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_ARR || (kv->v.a.type != GGUF_U8 && kv->v.a.type != GGUF_I8))
        return tok_bad(t, err, "%s is no array of bytes", key);
    const gguf_array *a = &kv->v.a;
    if (a->n < 4) return tok_bad(t, err, "%s has %llu bytes", key, (unsigned long long)a->n);
    uint32_t n = load_u32(a->data);
    if ((uint64_t)n + 4 >= a->n)
        return tok_bad(t, err, "%s: a table of %u bytes in %llu", key, n, (unsigned long long)a->n);
    uint8_t *copy = arena_alloc(t->mem, a->n);
    if (!copy) return err_nomem(err);
    memcpy(copy, a->data, a->n);
    t->charsmap = copy + 4;
    t->n_charsmap = n / 4;
    t->replacements = (const char *)copy + 4 + n;
    t->n_replacements = a->n - 4 - n;
    if (t->replacements[t->n_replacements - 1] != '\0') return tok_bad(t, err, "%s: its last string has no end", key);
    return TAWNY_OK;
}

tawny_status ugm_load(const gguf *g, tokenizer *t, tawny_error *err)
{
    float least = FLT_MAX;
    t->words = trie_new();
    t->user_words = trie_new();
    if (!t->words || !t->user_words) return err_nomem(err);
    for (uint32_t i = 0; i < t->n; i++) {
        const tok_str *s = &t->text[i];
        unsigned attr = t->attr[i];
        bool ok = true;
        if (attr & TOK_NORMAL && t->score[i] < least) least = t->score[i];
        if (attr & (TOK_NORMAL | TOK_USER_DEFINED | TOK_UNUSED)) ok = trie_add(t->words, s->p, s->n, (int32_t)i);
        if (ok && attr & TOK_USER_DEFINED) ok = trie_add(t->user_words, s->p, s->n, (int32_t)i);
        if (!ok) return err_nomem(err);
    }
    t->unk_score = least - 10.0f;
    if (t->special[TOK_UNK] == TOK_NONE)
        return tok_bad(t, err, "tokenizer.ggml.unknown_token_id is missing, which tokenizer.ggml.model \"t5\" needs");
    return tok_find_neighbours(t) ? load_charsmap(g, t, err) : err_nomem(err);
}

typedef struct span {
    const char *p;
    size_t n, took; /* bytes of the replacement; bytes of the text that it replaces */
} span;

static uint32_t unit(const tokenizer *t, uint32_t i)
{
    return i < t->n_charsmap ? load_u32(t->charsmap + (size_t)i * 4) : 0;
}

static uint32_t base(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

/* The longest key of the map at p. */
static span mapped(const tokenizer *t, const char *p, size_t n)
{
    span best = {0};
    uint32_t i = base(unit(t, 0));
    if (n > MAX_KEY) n = MAX_KEY;
    for (size_t k = 0; k < n && p[k]; k++) {
        i ^= (unsigned char)p[k];
        uint32_t u = unit(t, i);
        if ((u & (1u << 31 | 0xff)) != (unsigned char)p[k]) break;
        i ^= base(u);
        if (!(u >> 8 & 1)) continue;
        uint32_t at = unit(t, i) & 0x7fffffff;
        if (at >= t->n_replacements) break;
        best = (span){t->replacements + at, strlen(t->replacements + at), k + 1};
    }
    return best;
}

static span normal_form(const tokenizer *t, const char *p, size_t n)
{
    size_t k = 0;
    uint32_t node = TRIE_ROOT, cp;
    while (k < n && (node = trie_step(t->user_words, node, (unsigned char)p[k]))) k++;
    if (k) return (span){p, k, k}; /* the start of a user-defined token counts too */
    span s = t->n_charsmap ? mapped(t, p, n) : (span){0};
    if (s.took) return s;
    unsigned len = uni_take(p, n, &cp);
    return len ? (span){p, len, len} : (span){"\ufffd", 3, 1};
}

static bool normalize(const tokenizer *t, const char *p, size_t n, buf *out)
{
    const char *space = t->escape_whitespaces ? "\u2581" : " ";
    bool merge = t->remove_extra_whitespaces, prepended = false, in_word = false;
    for (size_t i = 0; i < n;) {
        span s = normal_form(t, p + i, n - i);
        for (size_t k = 0; k < s.n; k++) {
            if (s.p[k] == ' ') {
                in_word = false;
                if (!merge) buf_str(out, space);
                continue;
            }
            if (!in_word && ((t->add_space_prefix && !prepended) || merge)) {
                buf_str(out, space);
                prepended = true;
            }
            in_word = true;
            buf_char(out, s.p[k]);
        }
        i += s.took;
    }
    return buf_ok(out);
}

typedef struct best {
    double score; /* of the best tokens up to here */
    uint32_t from;
    tawny_token id; /* the last of them */
} best;

static void offer(best *b, double score, uint32_t from, tawny_token id)
{
    if (score > b->score) *b = (best){score, from, id};
}

static void forward(const tokenizer *t, const char *p, size_t n, best *b)
{
    const tawny_token unk = t->special[TOK_UNK];
    for (size_t i = 0; i <= n; i++) b[i] = (best){i ? -DBL_MAX : 0, 0, unk};
    for (size_t i = 0; i < n;) {
        size_t len = uni_lead(p[i]) < n - i ? uni_lead(p[i]) : n - i;
        bool whole = false;
        uint32_t node = TRIE_ROOT;
        for (size_t k = i; k < n && (node = trie_step(t->words, node, (unsigned char)p[k]));) {
            k++;
            tawny_token id = trie_value(t->words, node);
            if (id == TOK_NONE) continue;
            whole |= k - i == len;
            offer(&b[k], b[i].score + (t->attr[id] & TOK_USER_DEFINED ? 0.0 : (double)t->score[id]), (uint32_t)i, id);
        }
        if (!whole) offer(&b[i + len], b[i].score + (double)t->unk_score, (uint32_t)i, unk);
        i += len;
    }
}

/* The tokens of n bytes; b has room for n + 1. Consecutive unknown tokens are one, from `first` in out on. */
static bool add_best(const tokenizer *t, const char *p, size_t n, best *b, size_t first, tok_vec *out)
{
    const tawny_token unk = t->special[TOK_UNK];
    size_t from = out->n;
    bool before = false;
    forward(t, p, n, b);
    for (size_t i = n;; i = b[i].from) {
        bool now = b[i].id == unk;
        if (!(before && now) && !tok_vec_add(out, b[i].id)) return false;
        before = now;
        if (b[i].from == 0) break;
    }
    for (size_t i = from, k = out->n - 1; i < k; i++, k--) {
        tawny_token x = out->v[i];
        out->v[i] = out->v[k];
        out->v[k] = x;
    }
    if (from > first && out->v[from] == unk && out->v[from - 1] == unk) {
        memmove(out->v + from, out->v + from + 1, (out->n - from - 1) * sizeof *out->v);
        out->n--;
    }
    return true;
}

/* Piece by piece where no token spans two: sums of scores are exact in double precision, so this changes nothing. */
static bool add_pieces(const tokenizer *t, const char *p, size_t n, best **room, tok_vec *out)
{
    size_t first = out->n, cap = 0;
    for (size_t cut; n; p += cut, n -= cut) {
        cut = tok_next_cut(t, p, n);
        if (cut >= cap) {
            cap = (cut + 1) * 2;
            best *b = cap > SIZE_MAX / sizeof *b ? NULL : realloc(*room, cap * sizeof *b);
            if (!b) return false;
            *room = b;
        }
        if (!add_best(t, p, cut, *room, first, out)) return false;
    }
    return true;
}

bool ugm_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    buf text = {0};
    best *room = NULL;
    bool ok = normalize(t, p, n, &text) && text.size < UINT32_MAX && add_pieces(t, text.data, text.size, &room, out);
    free(room);
    buf_free(&text);
    return ok;
}
