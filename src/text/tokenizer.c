/* Opening a tokenizer, encoding, and what callers ask of the vocabulary. */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tok_int.h"

/* Asks for large pages: in a long list, the first use of small ones costs as much as the tokens. */
static void advise(void *p, size_t n)
{
    uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095, to = ((uintptr_t)p + n) & ~(uintptr_t)4095;
    if (n >= (size_t)4 << 20) madvise((void *)from, to - from, MADV_HUGEPAGE);
}

bool tok_vec_add(tok_vec *v, tawny_token t)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        tawny_token *p = cap > SIZE_MAX / 2 / sizeof *p ? NULL : realloc(v->v, cap * sizeof *p);
        if (!p) return false;
        advise(p, cap * sizeof *p);
        v->v = p;
        v->cap = cap;
    }
    v->v[v->n++] = t;
    return true;
}

void tok_vec_free(tok_vec *v)
{
    free(v->v);
    *v = (tok_vec){0};
}

static void find_newline(tokenizer *t)
{
    tok_vec v = {0};
    tawny_token id = TOK_NONE;
    if (t->kind == TOK_SPM) id = t->byte_token['\n'];
    else if (t->kind != TOK_WPM && t->kind != TOK_EMPTY && tok_encode(t, "\n", 1, 0, &v, NULL) == TAWNY_OK && v.n)
        id = v.v[0];
    t->special[TOK_NEWLINE] = id == TOK_NONE ? t->special[TOK_PAD] : id;
    tok_vec_free(&v);
}

tawny_status tok_open(const gguf *g, tokenizer **out, tawny_error *err)
{
    *out = NULL;
    arena *mem = arena_new();
    tokenizer *t = mem ? arena_alloc(mem, sizeof *t) : NULL;
    if (!t) {
        arena_free(mem);
        return err_nomem(err);
    }
    t->mem = mem;
    t->path = gguf_path(g);
    tawny_status st = tok_load(g, t, err);
    t->path = NULL;
    if (st != TAWNY_OK) {
        tok_close(t);
        return st;
    }
    find_newline(t);
    *out = t;
    return TAWNY_OK;
}

void tok_close(tokenizer *t)
{
    if (!t) return;
    trie_free(t->specials);
    trie_free(t->words);
    trie_free(t->user_words);
    pattern_free(t->cut);
    arena_free(t->mem);
}

static bool encode_test(const tokenizer *t, const char *p, size_t n, tok_vec *out)
{
    for (size_t i = 0; i < n && t->n; i += 5) {
        uint64_t h = 0;
        for (size_t k = i; k < n && k < i + 5; k++) h = h * 31 + (unsigned char)p[k];
        if (!tok_vec_add(out, (tawny_token)(h % t->n))) return false;
    }
    return true;
}

static bool encode_text(const tokenizer *t, tok_work *w, const char *p, size_t n, bool after_token, tok_vec *out)
{
    switch (t->kind) {
    case TOK_BPE: return bpe_encode(t, w, p, n, out);
    case TOK_SPM: return spm_encode(t, w, p, n, t->add_space_prefix && after_token, out);
    case TOK_WPM: return wpm_encode(t, p, n, out);
    case TOK_UGM: return ugm_encode(t, p, n, out);
    case TOK_RWKV: return rwkv_encode(t, p, n, out);
    case TOK_PLAMO2: return plamo_encode(t, p, n, out);
    case TOK_TEST: return encode_test(t, p, n, out);
    default: return true;
    }
}

static bool add_special(const tokenizer *t, bool wanted, tok_special which, tok_vec *out)
{
    return !wanted || t->special[which] == TOK_NONE || tok_vec_add(out, t->special[which]);
}

static tawny_status encode(const tokenizer *t, const char *text, size_t n, unsigned flags, const tok_trust *trust,
                           size_t n_trust, tok_vec *out, tawny_error *err)
{
    tok_parts parts = {0};
    size_t before = out->n;
    if (t->kind == TOK_EMPTY)
        return err_set(err, TAWNY_E_UNSUPPORTED, "the model has no tokenizer (tokenizer.ggml.model is \"%s\")",
                       t->model);
    if (n > TOK_MAX_TEXT) return err_set(err, TAWNY_E_LIMIT, "a text of %zu bytes (at most %zu)", n, TOK_MAX_TEXT);
    tawny_status st = tok_partition(t, text, n, flags, trust, n_trust, &parts, err);
    if (st != TAWNY_OK) return st;
    tok_work *w = tok_work_new(t, n, trust != NULL);
    bool special = flags & TOK_ADD_SPECIAL, ok = w != NULL, after_token = true;
    bool wraps = t->kind == TOK_SPM || t->kind == TOK_BPE || t->kind == TOK_UGM || t->kind == TOK_WPM;
    bool bos = special && wraps && !(flags & TOK_NO_BOS) && (t->add_bos || t->kind == TOK_WPM);
    ok = ok && add_special(t, bos, TOK_BOS, out);
    for (size_t i = 0; i < parts.n && ok; i++) {
        const tok_part *p = &parts.v[i];
        ok = p->id != TOK_NONE ? tok_vec_add(out, p->id) : encode_text(t, w, text + p->at, p->n, after_token, out);
        after_token = p->id != TOK_NONE;
    }
    if (t->kind == TOK_WPM) ok = ok && add_special(t, special, TOK_SEP, out);
    else ok = ok && add_special(t, special && wraps && t->add_eos, TOK_EOS, out);
    tok_work_free(w);
    free(parts.v);
    if (ok) return TAWNY_OK;
    out->n = before;
    return err_nomem(err);
}

tawny_status tok_encode(const tokenizer *t, const char *text, size_t n, unsigned flags, tok_vec *out,
                        tawny_error *err)
{
    return encode(t, text, n, flags, NULL, 0, out, err);
}

tawny_status tok_encode_segments(const tokenizer *t, const tok_segment *segments, size_t n, unsigned flags,
                                 tok_vec *out, tawny_error *err)
{
    buf text = {.max = TOK_MAX_TEXT + 1};
    tok_trust *trust = calloc(n + 1, sizeof *trust);
    size_t n_trust = 0;
    tawny_status st = TAWNY_E_NOMEM;
    for (size_t i = 0; i < n && trust; i++) {
        size_t from = text.size;
        if (segments[i].n == 0) continue;
        if (!buf_add(&text, segments[i].text, segments[i].n)) break;
        if (!segments[i].trusted) continue;
        if (n_trust && trust[n_trust - 1].to == from) trust[n_trust - 1].to = text.size;
        else trust[n_trust++] = (tok_trust){from, text.size};
    }
    if (!trust || !buf_ok(&text)) err_set(err, st, "no memory for a text in %zu segments", n);
    else st = encode(t, text.size ? text.data : "", text.size, flags, trust, n_trust, out, err);
    buf_free(&text);
    free(trust);
    return st;
}

static bool in_range(const tokenizer *t, tawny_token id) { return id >= 0 && (uint32_t)id < t->n; }

tok_kind tok_kind_of(const tokenizer *t) { return t->kind; }
const char *tok_model(const tokenizer *t) { return t->model; }
const char *tok_pre(const tokenizer *t) { return t->pre; }
uint32_t tok_n_vocab(const tokenizer *t) { return t->n; }
unsigned tok_attr(const tokenizer *t, tawny_token id) { return in_range(t, id) ? t->attr[id] : 0; }
float tok_score(const tokenizer *t, tawny_token id) { return in_range(t, id) ? t->score[id] : 0; }
bool tok_is_eog(const tokenizer *t, tawny_token id) { return in_range(t, id) && t->eog[id]; }
tawny_token tok_special_id(const tokenizer *t, tok_special which) { return t->special[which]; }
bool tok_add_bos(const tokenizer *t) { return t->add_bos; }
bool tok_add_eos(const tokenizer *t) { return t->add_eos; }
tawny_token tok_find(const tokenizer *t, const char *text, size_t n) { return tok_index_find(&t->index, text, n); }

const char *tok_text(const tokenizer *t, tawny_token id, size_t *n)
{
    *n = in_range(t, id) ? t->text[id].n : 0;
    return in_range(t, id) ? t->text[id].p : NULL;
}

const tawny_token *tok_suppressed(const tokenizer *t, size_t *n)
{
    *n = t->n_suppressed;
    return t->suppressed;
}

const char *tok_chat_template(const tokenizer *t, const char *name, size_t *n)
{
    for (size_t i = 0; i < t->n_templates; i++)
        if (strcmp(t->templates[i].name, name ? name : "") == 0) {
            *n = t->templates[i].n;
            return t->templates[i].text;
        }
    *n = 0;
    return NULL;
}
