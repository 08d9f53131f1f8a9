/* WordPiece (the model "bert"): words, and the longest tokens of which they are made. */
#include <stdlib.h>

#include "tok_int.h"
#include "unicode.h"

tawny_status wpm_load(tokenizer *t, tawny_error *err)
{
    t->classes = arena_alloc(t->mem, UNI_POINTS);
    t->words = trie_new();
    if (!t->classes || !t->words) return err_nomem(err);
    uni_fill(t->classes);
    for (uint32_t i = 0; i < t->n; i++)
        if (!trie_add(t->words, t->text[i].p, t->text[i].n, (int32_t)i)) return err_nomem(err);
    return TAWNY_OK;
}

/* BERT's idea of Chinese; the gap before U+2B920 is its own. */
static bool is_chinese(uint32_t c)
{
    if (c < 0x3400) return false;
    return c <= 0x4dbf || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* A word with U+2581 before it: its tokens, or one unknown token. The word is then emptied. */
static bool add_word(const tokenizer *t, buf *word, tok_vec *out)
{
    size_t before = out->n;
    if (word->size <= 3) return true;
    for (size_t i = 0; i < word->size;) {
        tawny_token best = TOK_NONE;
        size_t end = i, k = i;
        for (uint32_t node = TRIE_ROOT;
             k < word->size && (node = trie_step(t->words, node, (unsigned char)word->data[k]));) {
            k++;
            if (trie_value(t->words, node) < 0) continue;
            best = trie_value(t->words, node);
            end = k;
        }
        if (best == TOK_NONE) {
            out->n = before;
            break;
        }
        if (!tok_vec_add(out, best)) return false;
        i = end;
    }
    word->size = 3;
    if (out->n > before || t->special[TOK_UNK] == TOK_NONE) return true;
    return tok_vec_add(out, t->special[TOK_UNK]);
}

static bool add_char(const tokenizer *t, uint32_t cp, buf *word, tok_vec *out)
{
    unsigned class = t->classes[cp];
    if (class & UNI_SPACE) return add_word(t, word, out);
    if (cp == 0 || cp == UNI_BAD || class & UNI_C || (t->strip_accents && class & UNI_M)) return true;
    bool alone = class & UNI_P || (cp < 0x7f && class & UNI_S) || is_chinese(cp);
    char u[4];
    unsigned n = uni_encode(t->lowercase ? uni_lower(cp) : cp, u);
    if (alone && !add_word(t, word, out)) return false;
    if (!buf_add(word, u, n)) return false;
    return !alone || add_word(t, word, out);
}

bool wpm_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    buf word = {0};
    uint32_t cp;
    bool ok = buf_str(&word, "\u2581");
    for (size_t i = 0; i < n && ok;) {
        i += uni_decode(p + i, n - i, &cp);
        ok = add_char(t, t->strip_accents ? uni_base(cp) : cp, &word, out);
    }
    ok = ok && add_word(t, &word, out);
    buf_free(&word);
    return ok;
}
