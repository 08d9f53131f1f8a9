/* Schemas: arrays. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

enum { MAX_STATES = 20000, MAX_UNIQUE = 8 };

typedef struct array {
    compiler *c;
    const scase *k;
    long lo, hi, prefix; /* items from prefix on are alike */
    size_t first;
    const fact *contains, *unique;
} array;

static bool possible(compiler *c, uint32_t set)
{
    const conj *k = schema_cases(c, set);
    return k && k->n_case;
}

static void rule_name(array *a, char *name, size_t size, size_t i)
{
    snprintf(name, size, "%s-x%zu", a->c->prefix, a->first + i);
}
static void comma(array *a, rule_text *t) { buf_printf(&t->b, "\",\" %s-ws ", a->c->prefix); }

/* ---- items one after the other ---- */

static void put_rest(array *a, rule_text *t)
{
    long lo = a->lo > a->prefix ? a->lo - a->prefix : 0, hi = a->hi < 0 ? -1 : a->hi - a->prefix;
    uint32_t set = schema_item(a->c, a->k, (size_t)a->prefix);
    char more[64];
    if (hi == 0) return emit_or(t), (void)buf_str(&t->b, "\"\"");
    size_t saved = a->first;
    a->first = emit_rules(a->c, 1);
    rule_name(a, more, sizeof more, 0);
    a->first = saved;
    rule_text next = {.b.max = SCHEMA_MAX_GRAMMAR, .any = true};
    comma(a, &next);
    emit_name(a->c, &next.b, set);
    emit_rule(a->c, more, &next);
    if (!lo && !a->prefix) emit_or(t), buf_str(&t->b, "\"\"");
    emit_or(t);
    if (!a->prefix) {
        emit_name(a->c, &t->b, set);
        buf_char(&t->b, ' ');
        lo = lo ? lo - 1 : 0;
        hi = hi < 0 ? -1 : hi - 1;
    }
    emit_repeat(&t->b, more, lo, hi);
}

static void put_sequence(array *a)
{
    for (long i = 0; i <= a->prefix && !a->c->st; i++) {
        rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
        char name[64], next[64];
        rule_name(a, name, sizeof name, (size_t)i);
        rule_name(a, next, sizeof next, (size_t)i + 1);
        if (i == a->prefix) {
            put_rest(a, &t);
        } else {
            if (i >= a->lo) emit_or(&t), buf_str(&t.b, "\"\"");
            if (a->hi < 0 || i < a->hi) {
                emit_or(&t);
                if (i) comma(a, &t);
                emit_name(a->c, &t.b, schema_item(a->c, a->k, (size_t)i));
                buf_printf(&t.b, " %s", next);
            }
        }
        emit_rule(a->c, name, &t);
    }
}

/* ---- contains: by place, and how many of them there are so far ---- */

static uint32_t item_and(array *a, long at, bool neg)
{
    uint32_t set = schema_item(a->c, a->k, (size_t)at);
    if (a->c->st) return 0;
    size_t n = a->c->set[set]->n;
    sref *r = malloc((n + 1) * sizeof *r);
    if (!r) return a->c->st = err_nomem(a->c->err), 0;
    if (n) memcpy(r, a->c->set[set]->r, n * sizeof *r);
    r[n] = a->contains->ref;
    if (neg) r[n].neg = !r[n].neg;
    set = schema_set(a->c, r, n + 1);
    free(r);
    return set;
}

static void put_counted(array *a, long places, long counts)
{
    const fact *f = a->contains;
    for (long i = 0; i <= places; i++) {
        for (long n = 0; n <= counts && !a->c->st; n++) {
            rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
            char name[64], next[64];
            long to = i < places ? i + 1 : i;
            if (i >= a->lo && n >= f->lo) emit_or(&t), buf_str(&t.b, "\"\"");
            for (int hit = 0; hit < 2 && (a->hi < 0 || i < a->hi); hit++) {
                if (hit && f->hi >= 0 && n >= f->hi) continue;
                uint32_t set = hit          ? item_and(a, i, false)
                               : f->hi >= 0 ? item_and(a, i, true)
                                            : schema_item(a->c, a->k, (size_t)i);
                if (!possible(a->c, set)) continue;
                rule_name(a, next, sizeof next, (size_t)(to * (counts + 1) + (hit && n < counts ? n + 1 : n)));
                emit_or(&t);
                if (i) comma(a, &t);
                emit_name(a->c, &t.b, set);
                buf_printf(&t.b, " %s", next);
            }
            rule_name(a, name, sizeof name, (size_t)(i * (counts + 1) + n));
            emit_rule(a->c, name, &t);
        }
    }
}

/* ---- uniqueItems: of a few values, by which are there ---- */

static json_t *few_values(array *a)
{
    const conj *k = schema_cases(a->c, schema_item(a->c, a->k, 0));
    json_t *all = json_array(), *v;
    size_t j, x;
    for (size_t i = 0; k && i < k->n_case; i++) {
        const fact *f = NULL;
        for (j = 0; j < k->cases[i].n; j++)
            if (k->cases[i].f[j].kind == F_VALUES) f = &k->cases[i].f[j];
        if (!f) return json_decref(all), NULL;
        json_array_foreach(f->v, j, v) {
            bool there = !schema_case_has(a->c, &k->cases[i], v, f);
            for (x = 0; x < json_array_size(all) && !there; x++) there = schema_equal(v, json_array_get(all, x));
            if (!there) json_array_append(all, v);
        }
    }
    return all;
}

static void put_unique(array *a, json_t *values)
{
    size_t n = json_array_size(values);
    for (unsigned mask = 0; mask < 1u << n && !a->c->st; mask++) {
        rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
        long there = __builtin_popcount(mask);
        char name[64], next[64];
        if (there >= a->lo) emit_or(&t), buf_str(&t.b, "\"\"");
        for (size_t i = 0; i < n && (a->hi < 0 || there < a->hi); i++) {
            if (mask >> i & 1) continue;
            emit_or(&t);
            if (mask) comma(a, &t);
            emit_constant(a->c, &t.b, json_array_get(values, i));
            rule_name(a, next, sizeof next, mask | 1u << i);
            buf_printf(&t.b, " %s", next);
        }
        rule_name(a, name, sizeof name, mask);
        emit_rule(a->c, name, &t);
    }
}

/* ---- any of them ---- */

static void put_items(array *a)
{
    if (a->unique) {
        json_t *values = a->prefix || a->contains ? NULL : few_values(a);
        if (!values || json_array_size(values) > MAX_UNIQUE) {
            schema_refuse(a->c, TAWNY_E_UNSUPPORTED, a->unique->by, a->unique->word,
                          "cannot be enforced but for items of at most 8 values");
        } else {
            a->first = emit_rules(a->c, (size_t)1 << json_array_size(values));
            put_unique(a, values);
        }
        json_decref(values);
    } else if (a->contains) {
        long places = a->prefix > a->lo ? a->prefix : a->lo,
             counts = a->contains->hi >= 0 ? a->contains->hi : a->contains->lo;
        if (a->hi > places) places = a->hi;
        if (places < 1) places = 1;
        if ((places + 1) * (counts + 1) > MAX_STATES)
            return schema_refuse(a->c, TAWNY_E_LIMIT, a->contains->by, a->contains->word,
                                 "too large beside the bounds of the array");
        a->first = emit_rules(a->c, (size_t)((places + 1) * (counts + 1)));
        put_counted(a, places, counts);
    } else {
        a->first = emit_rules(a->c, (size_t)a->prefix + 1);
        put_sequence(a);
    }
}

void emit_array(compiler *c, rule_text *t, const scase *k)
{
    array a = {.c = c, .k = k, .prefix = (long)schema_prefix(c, k)};
    schema_range_of(k, F_ITEMS, &a.lo, &a.hi);
    for (size_t i = 0; i < k->n; i++) {
        if (k->f[i].kind == F_UNIQUE) a.unique = &k->f[i];
        if (k->f[i].kind != F_CONTAINS) continue;
        if (a.contains)
            return schema_refuse(c, TAWNY_E_UNSUPPORTED, k->f[i].by, k->f[i].word, "cannot be enforced beside another");
        a.contains = &k->f[i];
    }
    for (long i = 0; i <= a.prefix && (a.hi < 0 || i < a.hi) && !c->st; i++)
        if (!possible(c, schema_item(c, k, (size_t)i))) a.hi = i;
    if (a.hi >= 0 && a.prefix > a.hi) a.prefix = a.hi;
    if (c->st || (a.hi >= 0 && a.lo > a.hi)) return;
    if (a.hi >= 0 && a.hi <= 1) a.unique = NULL;
    put_items(&a);
    emit_or(t);
    buf_printf(&t->b, "\"[\" %s-ws %s-x%zu %s-ws \"]\"", c->prefix, c->prefix, a.first, c->prefix);
}
