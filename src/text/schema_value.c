/* Schemas: whether a value is allowed. Values of enum and const are sifted so; it is the definition of each fact. */
#include <math.h>
#include <string.h>

#include "schema_int.h"

bool schema_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        if (json_is_integer(a) && json_is_integer(b)) return json_integer_value(a) == json_integer_value(b);
        return json_number_value(a) == json_number_value(b);
    }
    if (json_typeof(a) != json_typeof(b)) return false;
    const char *key;
    json_t *v;
    size_t i;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        json_array_foreach(a, i, v)
            if (!schema_equal(v, json_array_get(b, i))) return false;
        return true;
    }
    if (!json_is_object(a)) return json_equal(a, b);
    if (json_object_size(a) != json_object_size(b)) return false;
    json_object_foreach((json_t *)(uintptr_t)a, key, v) {
        const json_t *w = json_object_get(b, key);
        if (!w || !schema_equal(v, w)) return false;
    }
    return true;
}

static unsigned type_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL: return T_NULL;
    case JSON_TRUE: return T_TRUE;
    case JSON_FALSE: return T_FALSE;
    case JSON_STRING: return T_STRING;
    case JSON_ARRAY: return T_ARRAY;
    case JSON_OBJECT: return T_OBJECT;
    case JSON_INTEGER: return T_INT;
    default: return json_real_value(v) == floor(json_real_value(v)) ? T_INT : T_FRAC;
    }
}

static bool listed(const json_t *list, const json_t *v)
{
    const json_t *w;
    size_t i;
    json_array_foreach(list, i, w)
        if (schema_equal(w, v)) return true;
    return false;
}

static bool in_range(const fact *f, size_t n) { return n >= (size_t)f->lo && (f->hi < 0 || n <= (size_t)f->hi); }

static bool string_ok(compiler *c, const fact *f, json_t *v)
{
    const char *s = json_string_value(v);
    size_t n = json_string_length(v), points = 0;
    if (f->kind == F_NOT_WORDS) return !listed(f->v, v);
    if (f->kind == F_PATTERN) {
        const aut *a = schema_regex(c, f->v, f->by, f->word);
        return a && aut_matches(a, s, n) != f->neg;
    }
    for (size_t i = 0; i < n; i++) points += ((uint8_t)s[i] & 0xc0) != 0x80;
    return f->kind != F_LENGTH || in_range(f, points);
}

static bool number_ok(const fact *f, json_t *v)
{
    double d = json_number_value(v), b = json_is_number(f->v) ? json_number_value(f->v) : 0;
    if (f->kind == F_LOWER) return f->neg ? d > b : d >= b;
    if (f->kind == F_UPPER) return f->neg ? d < b : d <= b;
    return f->kind != F_MULTIPLE || schema_is_multiple(v, f->v);
}

static bool array_ok(compiler *c, const fact *f, json_t *v)
{
    size_t i, j, n = 0;
    json_t *w;
    if (f->kind == F_ITEMS) return in_range(f, json_array_size(v));
    if (f->kind == F_UNIQUE) {
        json_array_foreach(v, i, w)
            for (j = 0; j < i; j++)
                if (schema_equal(w, json_array_get(v, j))) return false;
    }
    if (f->kind != F_CONTAINS) return true;
    sref r = f->ref;
    uint32_t set = schema_set(c, &r, 1);
    json_array_foreach(v, i, w) n += schema_has(c, set, w);
    return in_range(f, n);
}

static bool object_ok(const fact *f, json_t *v)
{
    if (f->kind == F_REQUIRED) return json_object_get(v, f->name);
    return f->kind != F_PROPERTIES || in_range(f, json_object_size(v));
}

static bool within_ok(compiler *c, const scase *k, json_t *v)
{
    const char *key;
    json_t *w;
    size_t i;
    json_object_foreach(v, key, w)
        if (!schema_has(c, schema_property(c, k, key), w)) return false;
    json_array_foreach(v, i, w)
        if (!schema_has(c, schema_item(c, k, i), w)) return false;
    return true;
}

/* skip: a fact that is known to hold, or NULL */
bool schema_case_has(compiler *c, const scase *k, json_t *v, const fact *skip)
{
    unsigned type = type_of(v);
    if (!(k->types & type)) return false;
    for (size_t i = 0; i < k->n && !c->st; i++) {
        const fact *f = &k->f[i];
        if (f->kind == F_VALUES && f != skip && !listed(f->v, v)) return false;
        if (type & T_STRING && !string_ok(c, f, v)) return false;
        if (type & T_NUMBER && !number_ok(f, v)) return false;
        if (type & T_ARRAY && !array_ok(c, f, v)) return false;
        if (type & T_OBJECT && !object_ok(f, v)) return false;
    }
    return !c->st && within_ok(c, k, v);
}

bool schema_has(compiler *c, uint32_t set, json_t *v)
{
    const conj *k = schema_cases(c, set);
    for (size_t i = 0; k && i < k->n_case; i++)
        if (schema_case_has(c, &k->cases[i], v, NULL)) return true;
    return false;
}
