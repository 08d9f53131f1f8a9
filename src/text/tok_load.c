/* The vocabulary of a GGUF file. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tok_int.h"

tawny_status tok_bad(const tokenizer *t, tawny_error *err, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(err, TAWNY_E_FORMAT, "%s: %s", t->path, what);
}

uint32_t tok_hash(const char *p, size_t n) { return (uint32_t)XXH3_64bits(p, n); }

bool tok_index_new(arena *mem, tok_index *x, const tok_str *str, uint32_t n)
{
    size_t cap = 16;
    while (cap < (size_t)n * 2) cap *= 2;
    x->slot = arena_array(mem, cap, sizeof *x->slot);
    x->mask = cap - 1;
    x->str = str;
    return x->slot != NULL;
}

/* The slot of the text, or the empty one where it belongs. */
static uint64_t *index_slot(const tok_index *x, const char *p, size_t n, uint32_t h)
{
    for (size_t k = h & x->mask;; k = (k + 1) & x->mask) {
        uint64_t s = x->slot[k];
        if (s == 0) return &x->slot[k];
        if (s >> 32 != h) continue;
        const tok_str *str = &x->str[(uint32_t)s - 1];
        if (str->n == n && memcmp(str->p, p, n) == 0) return &x->slot[k];
    }
}

tawny_token tok_index_find_hashed(const tok_index *x, const char *p, size_t n, uint32_t h)
{
    uint64_t s = *index_slot(x, p, n, h);
    return s ? (tawny_token)((uint32_t)s - 1) : TOK_NONE;
}

tawny_token tok_index_find(const tok_index *x, const char *p, size_t n)
{
    return tok_index_find_hashed(x, p, n, tok_hash(p, n));
}

void tok_index_fetch(const tok_index *x, uint32_t h, int step)
{
    const uint64_t *slot = &x->slot[h & x->mask];
    if (step == 0) __builtin_prefetch(slot);
    else if (*slot && step == 1) __builtin_prefetch(&x->str[(uint32_t)*slot - 1]);
    else if (*slot) __builtin_prefetch(x->str[(uint32_t)*slot - 1].p);
}

tawny_token tok_index_add(tok_index *x, uint32_t id)
{
    uint32_t h = tok_hash(x->str[id].p, x->str[id].n);
    uint64_t *s = index_slot(x, x->str[id].p, x->str[id].n, h);
    if (*s) return (tawny_token)((uint32_t)*s - 1);
    *s = (uint64_t)h << 32 | (id + 1);
    return TOK_NONE;
}

static const struct {
    const char *model;
    tok_kind kind;
} kinds[] = {
    {"gpt2", TOK_BPE},       {"hybriddna", TOK_BPE}, {"whitespace", TOK_BPE}, {"gemma4", TOK_BPE}, {"llama", TOK_SPM},
    {"bert", TOK_WPM},       {"t5", TOK_UGM},        {"rwkv", TOK_RWKV},      {"plamo2", TOK_PLAMO2},
    {"test", TOK_TEST},      {"no_vocab", TOK_EMPTY}, {"none", TOK_EMPTY},
};

static tawny_status load_kind(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_str model = {0}, pre = {"", 0};
    tawny_status st = gguf_get_str(g, "tokenizer.ggml.model", &model, err);
    if (st == TAWNY_OK) st = gguf_opt_str(g, "tokenizer.ggml.pre", &pre, err);
    if (st != TAWNY_OK) return st;
    t->model = arena_strndup(t->mem, model.p, model.n);
    t->pre = gguf_str_eq(model, "gemma4") ? "gemma4" : arena_strndup(t->mem, pre.p, pre.n);
    if (!t->model || !t->pre) return err_nomem(err);
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds && strcmp(kinds[i].model, t->model) != 0) i++;
    if (i == sizeof kinds / sizeof *kinds)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: tokenizer.ggml.model is \"%s\", which is not known", t->path,
                       t->model);
    t->kind = kinds[i].kind;
    if (t->kind != TOK_BPE) return TAWNY_OK;
    const pretok *p = pretok_find(t->pre, strlen(t->pre));
    if (!p)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s: tokenizer.ggml.pre is \"%s\", which is not known", t->path,
                       t->pre);
    t->pre_flags = p->flags;
    return pattern_new(p->stages, p->n_stages, &t->cut, err);
}

/* An array of at least t->n numbers, f32 or i32; *a stays empty where the file has none. */
static tawny_status per_token(const gguf *g, const tokenizer *t, const char *key, bool floats, gguf_array *a,
                              tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return TAWNY_OK;
    if (kv->type != GGUF_ARR) return tok_bad(t, err, "%s is no array", key);
    *a = kv->v.a;
    if (a->type != GGUF_I32 && a->type != GGUF_U32 && !(floats && a->type == GGUF_F32))
        return tok_bad(t, err, "%s: elements of GGUF type %d are not what it can hold", key, (int)a->type);
    if (a->n < t->n)
        return tok_bad(t, err, "%s has %llu elements for %u tokens", key, (unsigned long long)a->n, t->n);
    return TAWNY_OK;
}

static tawny_status load_scores(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_array a = {0};
    tawny_status st = per_token(g, t, "tokenizer.ggml.scores", true, &a, err);
    if (st != TAWNY_OK) return st;
    if (!a.n && (t->kind == TOK_SPM || t->kind == TOK_UGM || t->kind == TOK_PLAMO2) && t->n)
        return tok_bad(t, err, "tokenizer.ggml.scores is missing, which tokenizer.ggml.model \"%s\" needs", t->model);
    for (uint32_t i = 0; i < t->n && a.n; i++) {
        double v = a.type == GGUF_F32 ? gguf_array_f64(&a, i) : (double)gguf_array_i64(&a, i);
        if (isnan(v)) return tok_bad(t, err, "tokenizer.ggml.scores[%u] is NaN", i);
        t->score[i] = (float)v + 0.0f; /* -0 and 0 are one score */
    }
    return TAWNY_OK;
}

static tawny_status load_types(const gguf *g, tokenizer *t, tawny_error *err)
{
    static const uint16_t attr[] = {0,          TOK_NORMAL, TOK_UNKNOWN, TOK_CONTROL | TOK_MARKUP, TOK_USER_DEFINED,
                                    TOK_UNUSED, TOK_BYTE};
    gguf_array a = {0};
    tawny_status st = per_token(g, t, "tokenizer.ggml.token_type", false, &a, err);
    for (uint32_t i = 0; i < t->n && st == TAWNY_OK; i++) {
        int64_t type = a.n ? gguf_array_i64(&a, i) : 1;
        if (type < 0 || type >= 7)
            return tok_bad(t, err, "tokenizer.ggml.token_type[%u] is %lld (at most 6)", i, (long long)type);
        t->attr[i] = attr[type];
    }
    return st;
}

static tawny_status load_texts(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_array a;
    gguf_str s;
    size_t at = 0;
    tawny_status st = gguf_get_array(g, "tokenizer.ggml.tokens", GGUF_STR, &a, err);
    if (st != TAWNY_OK) return st;
    if (a.n == 0 || a.n > INT32_MAX / 2)
        return tok_bad(t, err, "tokenizer.ggml.tokens has %llu elements", (unsigned long long)a.n);
    t->n = (uint32_t)a.n;
    t->text = arena_array(t->mem, t->n, sizeof *t->text);
    t->score = arena_array(t->mem, t->n, sizeof *t->score);
    t->attr = arena_array(t->mem, t->n, sizeof *t->attr);
    t->eog = arena_array(t->mem, t->n, 1);
    char *copy = arena_alloc(t->mem, a.bytes + 1);
    if (!t->text || !t->score || !t->attr || !t->eog || !copy || !tok_index_new(t->mem, &t->index, t->text, t->n))
        return err_nomem(err);
    for (uint32_t i = 0; i < t->n; i++) {
        if (!gguf_array_next_str(&a, &at, &s)) return tok_bad(t, err, "tokenizer.ggml.tokens ends at element %u", i);
        if (s.n > INT32_MAX) return tok_bad(t, err, "tokenizer.ggml.tokens[%u] has %zu bytes", i, s.n);
        if (s.n == 0) {
            char name[32];
            int n = snprintf(name, sizeof name, "[EMPTY_%u]", i);
            t->text[i] = (tok_str){arena_strndup(t->mem, name, (size_t)n), (uint32_t)n};
            if (!t->text[i].p) return err_nomem(err);
        } else {
            memcpy(copy, s.p, s.n);
            t->text[i] = (tok_str){copy, (uint32_t)s.n};
            copy += s.n;
        }
        if (t->text[i].n > t->max_len) t->max_len = t->text[i].n;
        tawny_token twin = tok_index_add(&t->index, i);
        if (twin != TOK_NONE)
            return tok_bad(t, err, "tokenizer.ggml.tokens[%u] is \"%.*s\", as element %d is", i,
                           (int)(t->text[i].n < 80 ? t->text[i].n : 80), t->text[i].p, twin);
    }
    return TAWNY_OK;
}

/* What a template's key names beyond "tokenizer.chat_template": "" for the key itself, NULL for another key. */
static const char *template_name(const gguf_kv *kv, size_t *n)
{
    static const char stem[] = "tokenizer.chat_template";
    const size_t len = sizeof stem - 1;
    if (kv->type != GGUF_STR || kv->key.n < len || memcmp(kv->key.p, stem, len) != 0) return NULL;
    *n = kv->key.n - len;
    if (*n == 0) return "";
    if (kv->key.p[len] != '.') return NULL;
    --*n;
    return kv->key.p + len + 1;
}

static tawny_status load_templates(const gguf *g, tokenizer *t, tawny_error *err)
{
    size_t len, count = 0;
    for (size_t i = 0; i < gguf_kv_count(g); i++) count += template_name(gguf_kv_at(g, i), &len) != NULL;
    t->templates = arena_array(t->mem, count, sizeof *t->templates);
    if (!t->templates) return err_nomem(err);
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        const char *name = template_name(kv, &len);
        if (!name) continue;
        tok_template *x = &t->templates[t->n_templates++];
        x->name = arena_strndup(t->mem, name, len);
        x->text = arena_strndup(t->mem, kv->v.s.p, kv->v.s.n);
        x->n = kv->v.s.n;
        if (!x->name || !x->text) return err_nomem(err);
    }
    return TAWNY_OK;
}

/* Models of kind `test` and `no_vocab` may have no list of tokens: ids without texts. */
static tawny_status load_empty(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_str arch = {"", 0};
    char key[200];
    uint32_t n = 0;
    tawny_status st = gguf_opt_str(g, "general.architecture", &arch, err);
    if (st != TAWNY_OK) return st;
    snprintf(key, sizeof key, "%.*s.vocab_size", (int)(arch.n < 100 ? arch.n : 100), arch.p);
    if ((st = gguf_opt_u32(g, key, 0, INT32_MAX / 2, &n, err)) != TAWNY_OK) return st;
    if (n == 0) { /* the embedding tells */
        const gguf_tensor *e = gguf_tensor_find(g, "token_embd.weight");
        if (e && e->n_dims >= 2 && e->ne[1] <= INT32_MAX / 2) n = (uint32_t)e->ne[1];
    }
    t->n = n;
    t->text = arena_array(t->mem, n, sizeof *t->text);
    t->piece = arena_array(t->mem, n, sizeof *t->piece);
    t->score = arena_array(t->mem, n, sizeof *t->score);
    t->attr = arena_array(t->mem, n, sizeof *t->attr);
    t->eog = arena_array(t->mem, n, 1);
    if (!t->text || !t->piece || !t->score || !t->attr || !t->eog || !tok_index_new(t->mem, &t->index, t->text, 0))
        return err_nomem(err);
    for (uint32_t i = 0; i < n; i++) t->text[i].p = t->piece[i].p = "";
    return TAWNY_OK;
}

static tawny_status load_rest(const gguf *g, tokenizer *t, tawny_error *err)
{
    switch (t->kind) {
    case TOK_BPE: return bpe_load(g, t, err);
    case TOK_SPM: return spm_load(t, err);
    case TOK_WPM: return wpm_load(t, err);
    case TOK_UGM: return ugm_load(g, t, err);
    case TOK_RWKV: return rwkv_load(t, err);
    case TOK_PLAMO2: return plamo_load(t, err);
    default: return TAWNY_OK;
    }
}

tawny_status tok_load(const gguf *g, tokenizer *t, tawny_error *err)
{
    tawny_status st = load_kind(g, t, err);
    if (st == TAWNY_OK) st = load_templates(g, t, err);
    if (st != TAWNY_OK) return st;
    tok_default_specials(t);
    if (t->kind == TOK_EMPTY || (t->kind == TOK_TEST && !gguf_find(g, "tokenizer.ggml.tokens")))
        return load_empty(g, t, err);
    if ((st = load_texts(g, t, err)) != TAWNY_OK || (st = load_scores(g, t, err)) != TAWNY_OK ||
        (st = load_types(g, t, err)) != TAWNY_OK || (st = tok_load_specials(g, t, err)) != TAWNY_OK ||
        (st = tok_load_pieces(t, err)) != TAWNY_OK || (st = load_rest(g, t, err)) != TAWNY_OK)
        return st;
    return tok_partition_new(t, err);
}
