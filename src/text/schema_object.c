/* Schemas: objects. Properties that have names come in the order of the schema, then the others. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

enum { MAX_PATTERNS = 8 };

typedef struct object {
    compiler *c;
    const scase *k;
    json_t *names; /* name: null, in order */
    buf pair;      /* alternatives of the others */
    bool open;
    size_t n, first, n_required;
    long lo, hi, cap;
    const aut *pattern[MAX_PATTERNS];
    json_t *value[MAX_PATTERNS], *owner[MAX_PATTERNS];
    size_t n_pattern;
} object;

static void collect_names(object *o)
{
    const char *key;
    json_t *v;
    for (size_t i = 0; i < o->k->n; i++)
        if (o->k->f[i].kind == F_OBJECT)
            json_object_foreach(schema_word(o->c, o->k->f[i].ref.s, "properties"), key, v)
                json_object_set_new(o->names, key, json_null());
    for (size_t i = 0; i < o->k->n; i++)
        if ((o->k->f[i].kind == F_REQUIRED || o->k->f[i].kind == F_PROPERTY) &&
            !json_object_get(o->names, o->k->f[i].name))
            json_object_set_new(o->names, o->k->f[i].name, json_null());
    for (size_t i = 0; i < o->k->n; i++)
        if (o->k->f[i].kind == F_REQUIRED) json_object_set_new(o->names, o->k->f[i].name, json_true());
    json_object_foreach(o->names, key, v) o->n_required += json_is_true(v);
    o->n = json_object_size(o->names);
}

/* ---- properties that have no names in the schema ---- */

static void collect_patterns(object *o)
{
    const char *key;
    json_t *v;
    for (size_t i = 0; i < o->k->n; i++) {
        if (o->k->f[i].kind != F_OBJECT) continue;
        json_t *s = o->k->f[i].ref.s;
        json_object_foreach(schema_word(o->c, s, "patternProperties"), key, v) {
            if (o->n_pattern == MAX_PATTERNS)
                return schema_refuse(o->c, TAWNY_E_LIMIT, s, "patternProperties", "more than 8 patterns at once");
            o->owner[o->n_pattern] = s;
            o->value[o->n_pattern] = v;
            o->pattern[o->n_pattern++] = schema_key_regex(o->c, key, s);
        }
    }
}

/* Keys that match exactly the patterns of the mask. */
static void put_others(object *o, const aut *keys, unsigned mask)
{
    compiler *c = o->c;
    sref *r = calloc(o->k->n + MAX_PATTERNS + 1, sizeof *r);
    size_t n = 0;
    if (!r) return (void)(c->st = err_nomem(c->err));
    for (size_t i = 0; i < o->n_pattern; i++)
        if (mask >> i & 1) r[n++] = (sref){.s = o->value[i]};
    for (size_t i = 0; i < o->k->n; i++) {
        if (o->k->f[i].kind != F_OBJECT) continue;
        json_t *others = schema_others(c, o->k->f[i].ref.s);
        bool matched = false;
        for (size_t p = 0; p < o->n_pattern; p++) matched |= (mask >> p & 1) && o->owner[p] == o->k->f[i].ref.s;
        if (others && !matched) r[n++] = (sref){.s = others};
    }
    uint32_t set = schema_set(c, r, n);
    free(r);
    const conj *k = schema_cases(c, set);
    if (!k || !k->n_case) return;
    if (o->open) buf_str(&o->pair, " | ");
    o->open = true;
    if (keys) emit_aut(c, &o->pair, keys, true);
    else buf_printf(&o->pair, "%s-string", c->prefix);
    buf_printf(&o->pair, " \":\" %s-ws ", c->prefix);
    emit_name(c, &o->pair, set);
}

static void split(object *o, const aut *keys, size_t at, unsigned mask)
{
    if (o->c->st || (keys && aut_empty(keys))) return;
    if (at == o->n_pattern) return put_others(o, keys, mask);
    for (int without = 0; without < 2 && !o->c->st; without++) {
        aut *some = NULL;
        if (keys) schema_ok(o->c, aut_combine(keys, keys, AUT_AND, &some), NULL, NULL);
        schema_meet(o->c, &some, o->pattern[at], without ? AUT_WITHOUT : AUT_AND, NULL);
        if (!o->c->st) split(o, some, at + 1, without ? mask : mask | 1u << at);
        aut_free(some);
    }
}

static aut *other_keys(object *o)
{
    compiler *c = o->c;
    aut *keys = schema_keys(c, o->k), *named = NULL;
    const char **word = calloc(o->n + 1, sizeof *word), *key;
    size_t *length = calloc(o->n + 1, sizeof *length), n = 0;
    json_t *v;
    if (!word || !length) c->st = err_nomem(c->err);
    if (!c->st && o->n) {
        json_object_foreach(o->names, key, v) {
            word[n] = key;
            length[n++] = strlen(key);
        }
        const fact *f = o->k->n ? &o->k->f[0] : NULL;
        for (size_t i = 0; i < o->k->n; i++)
            if (o->k->f[i].kind == F_OBJECT) f = &o->k->f[i];
        if (schema_ok(c, aut_words(word, length, n, &named), f ? f->by : NULL, f ? f->word : NULL))
            schema_meet(c, &keys, named, AUT_WITHOUT, f);
        aut_free(named);
    }
    free(word);
    free(length);
    return keys;
}

/* No other property at all, whatever its name? Then their names need no automaton. */
static bool shut(object *o)
{
    for (size_t i = 0; i < o->k->n; i++)
        if (o->k->f[i].kind == F_OBJECT && !schema_word(o->c, o->k->f[i].ref.s, "patternProperties") &&
            json_is_false(schema_others(o->c, o->k->f[i].ref.s)))
            return true;
    return false;
}

static void find_others(object *o)
{
    if (shut(o)) return;
    collect_patterns(o);
    aut *keys = o->c->st ? NULL : other_keys(o);
    if (!o->c->st) split(o, keys, 0, 0);
    aut_free(keys);
}

/* ---- the chain of rules: by the next name, and how many properties there are so far ---- */

static void mention(object *o, buf *b, size_t i, long count)
{
    buf_printf(b, " %s-x%zu", o->c->prefix,
               o->first + i * (size_t)(o->cap + 1) + (size_t)(count > o->cap ? o->cap : count));
}

static void put_property(object *o, size_t i, const char *key, bool required)
{
    uint32_t set = schema_property(o->c, o->k, key);
    const conj *k = schema_cases(o->c, set);
    json_t *name = json_string(key);
    for (long n = 0; n <= o->cap && !o->c->st; n++) {
        rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
        char rule[64];
        if (k->n_case && (o->hi < 0 || n < o->hi)) {
            emit_or(&t);
            if (n) buf_printf(&t.b, "\",\" %s-ws ", o->c->prefix);
            emit_constant(o->c, &t.b, name);
            buf_printf(&t.b, " \":\" %s-ws ", o->c->prefix);
            emit_name(o->c, &t.b, set);
            mention(o, &t.b, i + 1, n + 1);
        }
        if (!required) emit_or(&t), mention(o, &t.b, i + 1, n);
        snprintf(rule, sizeof rule, "%s-x%zu", o->c->prefix, o->first + i * (size_t)(o->cap + 1) + (size_t)n);
        emit_rule(o->c, rule, &t);
    }
    json_decref(name);
}

static void put_end(object *o, size_t pair)
{
    for (long n = 0; n <= o->cap && !o->c->st; n++) {
        rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
        char rule[64];
        if (n >= o->lo) emit_or(&t), buf_str(&t.b, "\"\"");
        if (o->open && (o->hi < 0 || n < o->hi)) {
            emit_or(&t);
            if (n) buf_printf(&t.b, "\",\" %s-ws ", o->c->prefix);
            buf_printf(&t.b, "%s-x%zu", o->c->prefix, pair);
            mention(o, &t.b, o->n, n + 1);
        }
        snprintf(rule, sizeof rule, "%s-x%zu", o->c->prefix, o->first + o->n * (size_t)(o->cap + 1) + (size_t)n);
        emit_rule(o->c, rule, &t);
    }
}

/* Two others may have the same name, and are one then: more than one of them cannot be made sure of. */
static bool bounds_ok(object *o)
{
    schema_range_of(o->k, F_PROPERTIES, &o->lo, &o->hi);
    if (o->lo <= (long)o->n_required) o->lo = 0;
    if (!o->open && o->hi >= (long)o->n) o->hi = -1;
    o->cap = o->hi >= 0 ? o->hi : o->lo > 1 ? o->lo : 1;
    if (!o->open && (o->lo > (long)o->n || (o->hi >= 0 && o->hi < (long)o->n_required))) return false;
    for (size_t i = 0; i < o->k->n && o->open && o->lo > 1; i++)
        if (o->k->f[i].kind == F_PROPERTIES && o->k->f[i].lo == o->lo)
            schema_refuse(o->c, TAWNY_E_UNSUPPORTED, o->k->f[i].by, o->k->f[i].word,
                          "cannot be enforced where other properties are allowed");
    return !o->c->st;
}

void emit_object(compiler *c, rule_text *t, const scase *k)
{
    object o = {.c = c, .k = k, .names = json_object(), .pair.max = SCHEMA_MAX_GRAMMAR};
    const char *key;
    json_t *v;
    size_t i = 0;
    if (!o.names) c->st = err_nomem(c->err);
    if (!c->st) collect_names(&o);
    if (!c->st) find_others(&o);
    if (!c->st && bounds_ok(&o)) {
        size_t pair = emit_rules(c, 1);
        o.first = emit_rules(c, (o.n + 1) * (size_t)(o.cap + 1));
        emit_or(t);
        buf_printf(&t->b, "\"{\" %s-ws", c->prefix);
        mention(&o, &t->b, 0, 0);
        buf_printf(&t->b, " %s-ws \"}\"", c->prefix);
        if (o.open) {
            char rule[64];
            rule_text p = {.b = o.pair, .any = true};
            o.pair = (buf){0};
            snprintf(rule, sizeof rule, "%s-x%zu", c->prefix, pair);
            emit_rule(c, rule, &p);
        }
        json_object_foreach(o.names, key, v)
            if (!c->st) put_property(&o, i++, key, json_is_true(v));
        if (!c->st) put_end(&o, pair);
    }
    buf_free(&o.pair);
    json_decref(o.names);
}
