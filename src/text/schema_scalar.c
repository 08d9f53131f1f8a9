/* Schemas: the automata of a case's strings, numbers and names. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

const aut *schema_regex(compiler *c, json_t *text, json_t *at, const char *word)
{
    const char *why = NULL;
    for (size_t i = 0; i < c->n_regex; i++)
        if (c->regex[i].v == text) return c->regex[i].a;
    c->regex = schema_grow(c, c->regex, c->n_regex, &c->cap_regex, sizeof *c->regex);
    if (c->st) return NULL;
    c->regex[c->n_regex].v = text;
    tawny_status st = aut_regex(json_string_value(text), json_string_length(text), &c->regex[c->n_regex].a, &why);
    if (st == TAWNY_E_NOMEM) c->st = err_nomem(c->err);
    else if (st) schema_refuse(c, st, at, word, why);
    return st ? NULL : c->regex[c->n_regex++].a;
}

/* The keys of patternProperties are kept as strings of their own. */
const aut *schema_key_regex(compiler *c, const char *key, json_t *s)
{
    json_t *v;
    size_t i;
    json_array_foreach(c->keys, i, v)
        if (strcmp(json_string_value(v), key) == 0) return schema_regex(c, v, s, "patternProperties");
    v = json_string(key);
    if (!v || json_array_append_new(c->keys, v)) return c->st = err_nomem(c->err), NULL;
    return schema_regex(c, v, s, "patternProperties");
}

void schema_meet(compiler *c, aut **a, const aut *b, aut_op op, const fact *f)
{
    aut *both = NULL, *any = NULL;
    uint32_t zero = 0;
    tawny_status st = TAWNY_OK;
    if (c->st || !b) return;
    if (!*a) {
        st = aut_new(&zero, 1, &any);
        if (!st) any->final[AUT_START] = true, any->next[AUT_START] = AUT_START;
    }
    if (!st) st = aut_combine(*a ? *a : any, b, op, &both);
    aut_free(any);
    if (!schema_ok(c, st, f ? f->by : NULL, f ? f->word : NULL)) return;
    aut_free(*a);
    *a = both;
}

static aut *word_list(compiler *c, json_t *list, const fact *f)
{
    size_t n = json_array_size(list), m = 0, i;
    const char **word = calloc(n + 1, sizeof *word);
    size_t *length = calloc(n + 1, sizeof *length);
    aut *a = NULL;
    json_t *v;
    if (word && length) {
        json_array_foreach(list, i, v) {
            if (!json_is_string(v)) continue;
            word[m] = json_string_value(v);
            length[m++] = json_string_length(v);
        }
        schema_ok(c, aut_words(word, length, m, &a), f->by, f->word);
    } else {
        c->st = err_nomem(c->err);
    }
    free(word);
    free(length);
    return a;
}

static void length_of(compiler *c, const scase *k, aut **a, bool alone)
{
    long lo, hi;
    aut *b = NULL;
    const fact *f = NULL;
    schema_range_of(k, F_LENGTH, &lo, &hi);
    for (size_t i = 0; i < k->n; i++)
        if (k->f[i].kind == F_LENGTH) f = &k->f[i];
    if (!f || alone || (!lo && hi < 0)) return;
    if (hi >= 0 && hi < lo) lo = 1, hi = 0;
    if (schema_ok(c, aut_length(lo, hi, &b), f->by, f->word)) schema_meet(c, a, b, AUT_AND, f);
    aut_free(b);
}

/* A length alone is no matter for an automaton: see emit_repeat. */
aut *schema_strings(compiler *c, const scase *k)
{
    aut *a = NULL;
    for (size_t i = 0; i < k->n && !c->st; i++) {
        const fact *f = &k->f[i];
        if (f->kind == F_PATTERN)
            schema_meet(c, &a, schema_regex(c, f->v, f->by, f->word), f->neg ? AUT_WITHOUT : AUT_AND, f);
        if (f->kind != F_NOT_WORDS) continue;
        aut *words = word_list(c, f->v, f);
        if (words && !aut_empty(words)) schema_meet(c, &a, words, AUT_WITHOUT, f);
        aut_free(words);
    }
    long lo, hi;
    schema_range_of(k, F_LENGTH, &lo, &hi);
    length_of(c, k, &a, !a && (hi < 0 || lo <= hi));
    return a;
}

/* The strings of a set; *a NULL: any. */
static void strings_of(compiler *c, uint32_t set, aut **a, const fact *f)
{
    const conj *k = schema_cases(c, set);
    aut *all = NULL;
    schema_ok(c, aut_words(NULL, NULL, 0, &all), f->by, f->word);
    for (size_t i = 0; k && i < k->n_case && !c->st; i++) {
        const scase *s = &k->cases[i];
        aut *one = NULL;
        if (!(s->types & T_STRING)) continue;
        for (size_t j = 0; j < s->n; j++) {
            if (s->f[j].kind != F_VALUES) continue;
            json_t *sifted = json_array(), *v;
            size_t x;
            json_array_foreach(s->f[j].v, x, v)
                if (schema_case_has(c, s, v, &s->f[j])) json_array_append(sifted, v);
            one = word_list(c, sifted, f);
            json_decref(sifted);
            break;
        }
        if (!one) {
            one = schema_strings(c, s);
            length_of(c, s, &one, one != NULL);
        }
        if (!one && !c->st) { /* any string at all */
            aut_free(all);
            return;
        }
        schema_meet(c, &all, one, AUT_OR, f);
        aut_free(one);
    }
    if (!c->st) schema_meet(c, a, all, AUT_AND, f);
    aut_free(all);
}

aut *schema_keys(compiler *c, const scase *k)
{
    aut *a = NULL;
    for (size_t i = 0; i < k->n && !c->st; i++) {
        if (k->f[i].kind != F_NAMES) continue;
        sref r = k->f[i].ref;
        uint32_t set = schema_set(c, &r, 1);
        strings_of(c, set, &a, &k->f[i]);
    }
    return a;
}

static bool tighter(json_t *v, bool open, json_t *than, bool than_open, bool lower)
{
    if (!than) return true;
    double a = json_number_value(v), b = json_number_value(than);
    if (json_is_integer(v) && json_is_integer(than)) {
        json_int_t x = json_integer_value(v), y = json_integer_value(than);
        return x == y ? open && !than_open : lower ? x > y : x < y;
    }
    return a == b ? open && !than_open : lower ? a > b : a < b;
}

aut *schema_numbers(compiler *c, const scase *k, unsigned types)
{
    number_bounds b = {.types = types & T_NUMBER};
    aut *a = NULL;
    const fact *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < k->n; i++) {
        const fact *f = &k->f[i];
        if (f->kind == F_LOWER && tighter(f->v, f->neg, b.lower, b.above, true))
            b.lower = f->v, b.above = f->neg, first = f;
        if (f->kind == F_UPPER && tighter(f->v, f->neg, b.upper, b.below, false))
            b.upper = f->v, b.below = f->neg, first = f;
        if (f->kind == F_MULTIPLE) b.multiple = f->v, first = f, n++;
    }
    if (!first && b.types != T_FRAC) return NULL;
    if (!schema_ok(c, schema_decimals(&b, &a), first ? first->by : NULL, first ? first->word : NULL)) return NULL;
    for (size_t i = 0; i < k->n && n > 1 && !c->st; i++) { /* of several numbers */
        if (k->f[i].kind != F_MULTIPLE || k->f[i].v == b.multiple) continue;
        number_bounds other = {.types = b.types, .multiple = k->f[i].v};
        aut *more = NULL;
        if (schema_ok(c, schema_decimals(&other, &more), k->f[i].by, k->f[i].word))
            schema_meet(c, &a, more, AUT_AND, &k->f[i]);
        aut_free(more);
    }
    return a;
}
