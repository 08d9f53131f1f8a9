/* SentencePiece BPE (the model "llama"): the pair whose union has the highest score merges first. */
#include <stdlib.h>

#include "tok_int.h"

tawny_status spm_load(tokenizer *t, tawny_error *err)
{
    for (uint32_t i = 0; i < 256; i++) t->byte_token[i] = TOK_NONE;
    for (uint32_t i = 0; i < t->n; i++) { /* a byte as itself, but <0xXX> goes before it */
        const tok_str *s = &t->text[i];
        if (s->n == 1 && t->byte_token[(unsigned char)*s->p] == TOK_NONE)
            t->byte_token[(unsigned char)*s->p] = (int32_t)i;
        int byte = tok_hex_byte(s);
        if (byte >= 0 && (s->p[3] < 'a' && s->p[4] < 'a')) t->byte_token[byte] = (int32_t)i;
    }
    return tok_find_neighbours(t) ? TAWNY_OK : err_nomem(err);
}

bool spm_encode(const tokenizer *t, tok_work *w, const char *p, size_t n, bool space_first, tok_vec *out)
{
    (void)t;
    return tok_escape_spaces(w, &p, &n, space_first) && tok_merge_text(w, p, n, out);
}
