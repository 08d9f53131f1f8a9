/* RWKV World: the longest token, from left to right. PLaMo-2: the best tokens by score, from right to left. */
#include <math.h>
#include <stdlib.h>

#include "tok_int.h"
#include "unicode.h"

tawny_status rwkv_load(tokenizer *t, tawny_error *err)
{
    t->words = trie_new();
    for (uint32_t i = 0; i < t->n; i++)
        if (!t->words || !trie_add(t->words, t->piece[i].p, t->piece[i].n, (int32_t)i)) return err_nomem(err);
    return TAWNY_OK;
}

bool rwkv_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    for (size_t i = 0, end; i < n; i = end) {
        tawny_token id = t->special[TOK_UNK];
        size_t k = i;
        end = i + 1;
        for (uint32_t node = TRIE_ROOT; k < n && (node = trie_step(t->words, node, (unsigned char)p[k]));) {
            k++;
            if (trie_value(t->words, node) < 0) continue;
            id = trie_value(t->words, node);
            end = k;
        }
        if (id != TOK_NONE && !tok_vec_add(out, id)) return false;
    }
    return true;
}

/* PLaMo-2: scores in units of 1e-4; a character that is no token costs as much as a score of -1000. */
enum { UNKNOWN_COST = 10000000, NO_COST = 20000000 };

tawny_status plamo_load(tokenizer *t, tawny_error *err)
{
    for (unsigned i = 0; i < 256; i++) t->byte_token[i] = TOK_NONE;
    t->words = trie_new();
    if (!t->words) return err_nomem(err);
    for (uint32_t i = 0; i < t->n; i++) {
        int byte = tok_hex_byte(&t->text[i]);
        if (t->attr[i] & TOK_BYTE) t->byte_token[byte] = (int32_t)i;
        else if (!trie_add(t->words, t->text[i].p, t->text[i].n, (int32_t)i)) return err_nomem(err);
    }
    for (unsigned i = 0; i < 256; i++)
        if (t->byte_token[i] == TOK_NONE)
            return tok_bad(t, err, "tokenizer.ggml.tokens has no byte token <0x%02X>", i);
    return TAWNY_OK;
}

typedef struct step {
    int64_t cost; /* from here to the end */
    uint32_t len;
    tawny_token id;
} step;

static int64_t cost_of(const tokenizer *t, tawny_token id)
{
    double s = (double)t->score[id];
    return isfinite(s) && s > -1e6 && s < 1e6 ? -(int64_t)round(s * 1e4) : NO_COST;
}

static void backward(const tokenizer *t, const char *p, size_t n, step *s)
{
    s[n] = (step){0};
    for (size_t i = n; i-- > 0;) {
        if (((unsigned char)p[i] & 0xc0) == 0x80) continue; /* no character starts here */
        uint32_t len = uni_lead(p[i]), node = TRIE_ROOT;
        s[i] = (step){INT64_MAX, len, TOK_NONE};
        for (size_t k = i; k < n && (node = trie_step(t->words, node, (unsigned char)p[k]));) {
            k++;
            tawny_token id = trie_value(t->words, node);
            if (id == TOK_NONE || (k < n && ((unsigned char)p[k] & 0xc0) == 0x80)) continue;
            int64_t c = cost_of(t, id);
            if (c < NO_COST && s[k].cost + c <= s[i].cost) s[i] = (step){s[k].cost + c, (uint32_t)(k - i), id};
        }
        if (s[i + len].cost + UNKNOWN_COST < s[i].cost) s[i] = (step){s[i + len].cost + UNKNOWN_COST, len, TOK_NONE};
    }
}

bool plamo_encode(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    buf b = {0};
    uint32_t cp;
    char u[4];
    for (size_t i = 0; i < n;) {
        unsigned len = uni_take(p + i, n - i, &cp);
        if (len && cp >= UNI_POINTS) buf_add(&b, p + i, len);
        else if (i || cp != 0xfeff) buf_add(&b, u, uni_encode(cp, u));
        i += len ? len : 1;
    }
    step *s = buf_ok(&b) ? malloc((b.size + 1) * sizeof *s) : NULL;
    bool ok = s != NULL;
    if (ok) backward(t, b.data, b.size, s);
    for (size_t i = 0; i < b.size && ok; i += s[i].len) {
        if (s[i].id != TOK_NONE) ok = tok_vec_add(out, s[i].id);
        else
            for (uint32_t k = 0; k < s[i].len && ok; k++)
                ok = tok_vec_add(out, t->byte_token[(unsigned char)b.data[i + k]]);
    }
    free(s);
    buf_free(&b);
    return ok;
}
