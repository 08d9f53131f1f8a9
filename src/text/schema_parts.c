/* Schemas: what the properties and items of a case must satisfy. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

typedef struct refs {
    sref *r;
    size_t n, cap;
} refs;

static void add(compiler *c, refs *all, sref r)
{
    all->r = schema_grow(c, all->r, all->n, &all->cap, sizeof *all->r);
    if (!c->st) all->r[all->n++] = r;
}

static uint32_t finish(compiler *c, refs *all)
{
    uint32_t set = schema_set(c, all->r, all->n);
    free(all->r);
    return set;
}

void schema_range_of(const scase *k, fact_kind kind, long *lo, long *hi)
{
    *lo = 0;
    *hi = -1;
    for (size_t i = 0; i < k->n; i++) {
        if (k->f[i].kind != kind) continue;
        if (k->f[i].lo > *lo) *lo = k->f[i].lo;
        if (k->f[i].hi >= 0 && (*hi < 0 || k->f[i].hi < *hi)) *hi = k->f[i].hi;
    }
}

json_t *schema_others(compiler *c, json_t *s)
{
    json_t *v = schema_word(c, s, "additionalProperties");
    if (!v) v = schema_word(c, s, "unevaluatedProperties");
    if (!v && c->closed && schema_word(c, s, "properties")) v = json_false();
    return v;
}

uint32_t schema_property(compiler *c, const scase *k, const char *name)
{
    refs all = {0};
    json_t *text = NULL;
    for (size_t i = 0; i < k->n && !c->st; i++) {
        const fact *f = &k->f[i];
        if (f->kind == F_PROPERTY && strcmp(f->name, name) == 0) add(c, &all, f->ref);
        if (f->kind == F_NAMES) {
            sref r = f->ref;
            if (!text) text = json_string(name);
            if (!schema_has(c, schema_set(c, &r, 1), text)) add(c, &all, (sref){.s = json_false()});
        }
        if (f->kind != F_OBJECT) continue;
        json_t *v = json_object_get(schema_word(c, f->ref.s, "properties"), name), *others = schema_others(c, f->ref.s);
        bool known = v;
        const char *key;
        if (v) add(c, &all, (sref){.s = v});
        json_object_foreach(schema_word(c, f->ref.s, "patternProperties"), key, v) {
            const aut *a = schema_key_regex(c, key, f->ref.s);
            if (!a || !aut_matches(a, name, strlen(name))) continue;
            add(c, &all, (sref){.s = v});
            known = true;
        }
        if (!known && others) add(c, &all, (sref){.s = others});
    }
    json_decref(text);
    return finish(c, &all);
}

/* A schema's list of items that have their places, and the schema of the rest (NULL: any). */
static json_t *places(compiler *c, json_t *s, json_t **rest)
{
    json_t *prefix = schema_word(c, s, "prefixItems"), *items = schema_word(c, s, "items");
    if (json_is_array(items)) {
        *rest = schema_word(c, s, "additionalItems");
        prefix = items;
    } else {
        *rest = items;
    }
    if (!*rest) *rest = schema_word(c, s, "unevaluatedItems");
    return prefix;
}

size_t schema_prefix(compiler *c, const scase *k)
{
    size_t most = 0, n;
    json_t *rest;
    for (size_t i = 0; i < k->n; i++) {
        n = k->f[i].kind == F_ITEM    ? (size_t)k->f[i].lo + 1
            : k->f[i].kind == F_ARRAY ? json_array_size(places(c, k->f[i].ref.s, &rest))
                                      : 0;
        if (n > most) most = n;
    }
    return most;
}

uint32_t schema_item(compiler *c, const scase *k, size_t at)
{
    refs all = {0};
    for (size_t i = 0; i < k->n && !c->st; i++) {
        const fact *f = &k->f[i];
        if (f->kind == F_EACH || (f->kind == F_ITEM && (size_t)f->lo == at)) add(c, &all, f->ref);
        if (f->kind != F_ARRAY) continue;
        json_t *rest, *prefix = places(c, f->ref.s, &rest);
        json_t *v = at < json_array_size(prefix) ? json_array_get(prefix, at) : rest;
        if (v) add(c, &all, (sref){.s = v});
    }
    return finish(c, &all);
}
