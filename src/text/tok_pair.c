/* A query and a document as one text for a reranker. */
#include <string.h>

#include "tok_int.h"

enum { MAX_PIECES = 64 };

typedef struct text {
    const char *p;
    size_t n;
} text;

typedef struct pieces {
    tok_segment v[MAX_PIECES];
    size_t n;
} pieces;

static bool add_piece(pieces *p, text s, bool trusted)
{
    if (p->n == MAX_PIECES) return false;
    p->v[p->n++] = (tok_segment){s.p, s.n, trusted};
    return true;
}

static bool starts(const char *p, size_t n, const char *word)
{
    return n >= strlen(word) && memcmp(p, word, strlen(word)) == 0;
}

/* The file's template with {query} and {document} in it; what stands for them is text. */
static tawny_status by_template(const tokenizer *t, text form, text query, text document, bool special, tok_vec *out,
                                tawny_error *err)
{
    static const char *const names[] = {"{query}", "{document}"};
    pieces parts = {.n = 0};
    size_t from = 0;
    bool ok = true;
    for (size_t i = 0; i < form.n && ok;) {
        int which = starts(form.p + i, form.n - i, names[0]) ? 0 : starts(form.p + i, form.n - i, names[1]) ? 1 : -1;
        if (which < 0) {
            i++;
            continue;
        }
        ok = add_piece(&parts, (text){form.p + from, i - from}, true) &&
             add_piece(&parts, which ? document : query, special);
        from = i += strlen(names[which]);
    }
    if (!ok || !add_piece(&parts, (text){form.p + from, form.n - from}, true))
        return err_set(err, TAWNY_E_LIMIT, "tokenizer.chat_template.rerank names query and document too often");
    return tok_encode_segments(t, parts.v, parts.n, 0, out, err);
}

static bool add_token(const tokenizer *t, bool wanted, tok_special which, tok_vec *out)
{
    return !wanted || t->special[which] == TOK_NONE || tok_vec_add(out, t->special[which]);
}

/* WordPiece models were trained with [CLS] query [SEP] document [SEP]; others end as their texts do. */
static tawny_status by_tokens(const tokenizer *t, text query, text document, unsigned flags, tok_vec *out,
                              tawny_error *err)
{
    bool wpm = t->kind == TOK_WPM;
    tok_special end = t->special[TOK_EOS] == TOK_NONE || wpm ? TOK_SEP : TOK_EOS;
    bool ok = add_token(t, t->add_bos || wpm, TOK_BOS, out);
    if (!ok) return err_nomem(err);
    tawny_status st = tok_encode(t, query.p, query.n, flags, out, err);
    if (st != TAWNY_OK) return st;
    ok = add_token(t, t->add_eos && !wpm, end, out) && add_token(t, t->add_sep || wpm, TOK_SEP, out);
    if (!ok) return err_nomem(err);
    st = tok_encode(t, document.p, document.n, flags, out, err);
    if (st != TAWNY_OK) return st;
    return add_token(t, t->add_eos || wpm, end, out) ? TAWNY_OK : err_nomem(err);
}

tawny_status tok_encode_pair(const tokenizer *t, const char *query, size_t n_query, const char *document,
                             size_t n_document, unsigned flags, tok_vec *out, tawny_error *err)
{
    text q = {query, n_query}, d = {document, n_document}, form = {0};
    size_t before = out->n;
    form.p = tok_chat_template(t, "rerank", &form.n);
    flags &= TOK_PARSE_SPECIAL;
    tawny_status st = form.p ? by_template(t, form, q, d, flags != 0, out, err) : by_tokens(t, q, d, flags, out, err);
    if (st != TAWNY_OK) out->n = before;
    return st;
}
