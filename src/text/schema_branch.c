/* Schemas: what each keyword, and its negation, adds to a case. Words that are annotations alone are not named here. */
#include <math.h>
#include <string.h>

#include "schema_int.h"

typedef struct at {
    compiler *c;
    branches *all;
    branch *b;
    json_t *s, *v; /* the schema, the word's value */
    const char *word;
} at;

static void malformed(at *x, const char *why) { schema_refuse(x->c, TAWNY_E_FORMAT, x->s, x->word, why); }
static void refuse(at *x, const char *why) { schema_refuse(x->c, TAWNY_E_UNSUPPORTED, x->s, x->word, why); }
static sref positive(json_t *s) { return (sref){.s = s}; }
static sref negative(json_t *s) { return (sref){.s = s, .neg = true}; }

/* An alternative of the types; the branch itself is given up. */
static branch *also(at *x, unsigned types)
{
    branch *k;
    x->b->dead = true;
    if (!(x->b->c.types & types) || x->c->st) return NULL;
    bool dead = x->b->dead;
    x->b->dead = false;
    schema_fork(x->c, x->all, x->b, &k);
    x->b->dead = dead;
    if (k) k->c.types &= types;
    return x->c->st ? NULL : k;
}

static void say(at *x, branch *b, fact f)
{
    f.by = x->s;
    f.word = x->word;
    if (b) schema_fact(x->c, b, f);
}

/* The schema has a say in what properties, or items, must be: said once. */
static void part(at *x, fact_kind kind)
{
    for (size_t i = 0; i < x->b->c.n; i++)
        if (x->b->c.f[i].kind == kind && x->b->c.f[i].ref.s == x->s) return;
    say(x, x->b, (fact){.kind = kind, .ref = positive(x->s)});
}

/* ---- any type ---- */

static unsigned type_bit(at *x, json_t *v)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {{"null", T_NULL},     {"boolean", T_TRUE | T_FALSE}, {"integer", T_INT},  {"number", T_NUMBER},
                 {"string", T_STRING}, {"array", T_ARRAY},            {"object", T_OBJECT}};
    const char *s = json_string_value(v);
    for (size_t i = 0; s && i < 7; i++)
        if (strcmp(names[i].name, s) == 0) return names[i].bits;
    return malformed(x, "no name of a type"), 0;
}

static void type(at *x, bool neg)
{
    unsigned bits = 0;
    json_t *v;
    size_t i;
    json_array_foreach(x->v, i, v) bits |= type_bit(x, v);
    if (json_is_array(x->v) && !i) malformed(x, "an empty list");
    if (!json_is_array(x->v)) bits = type_bit(x, x->v);
    if (neg) also(x, T_ALL & ~bits);
    else x->b->c.types &= bits;
}

static json_t *keep(at *x, json_t *made)
{
    if (!made || json_array_append_new(x->c->made, made)) x->c->st = err_nomem(x->c->err);
    return made;
}

/* Numbers other than those in the list (in order): what lies between them. */
static void other_numbers(at *x, json_t *const *number, size_t n)
{
    for (size_t i = 0; i <= n; i++) {
        if (i && i < n && json_number_value(number[i]) == json_number_value(number[i - 1])) continue;
        branch *k = also(x, T_NUMBER);
        if (i) say(x, k, (fact){.kind = F_LOWER, .v = number[i - 1], .neg = true});
        if (i < n) say(x, k, (fact){.kind = F_UPPER, .v = number[i], .neg = true});
    }
}

static void other_values(at *x, json_t *list)
{
    enum { MOST = 64 };
    json_t *number[MOST], *v;
    unsigned types = T_ALL & ~(unsigned)T_NUMBER;
    size_t i, n = 0;
    bool no_array = false, no_object = false, more = false;
    json_array_foreach(list, i, v) {
        if (json_is_null(v)) types &= ~(unsigned)T_NULL;
        if (json_is_true(v)) types &= ~(unsigned)T_TRUE;
        if (json_is_false(v)) types &= ~(unsigned)T_FALSE;
        if (json_is_array(v)) no_array = true, more |= json_array_size(v) && x->b->c.types & T_ARRAY;
        if (json_is_object(v)) no_object = true, more |= json_object_size(v) && x->b->c.types & T_OBJECT;
        if (!json_is_number(v)) continue;
        if (n == MOST) return refuse(x, "cannot be negated: too many numbers");
        size_t k = n++;
        for (; k && json_number_value(number[k - 1]) > json_number_value(v); k--) number[k] = number[k - 1];
        number[k] = v;
    }
    if (more) return refuse(x, "cannot be negated where it names arrays or objects");
    branch *k = also(x, types);
    say(x, k, (fact){.kind = F_NOT_WORDS, .v = list});
    if (no_array) say(x, k, (fact){.kind = F_ITEMS, .lo = 1, .hi = -1});
    if (no_object) say(x, k, (fact){.kind = F_PROPERTIES, .lo = 1, .hi = -1});
    other_numbers(x, number, n);
}

static void values(at *x, bool neg)
{
    if (strcmp(x->word, "enum") == 0 && !json_array_size(x->v)) return malformed(x, "no list of values");
    json_t *list = strcmp(x->word, "enum") == 0 ? x->v : keep(x, json_pack("[O]", x->v));
    if (neg) other_values(x, list);
    else say(x, x->b, (fact){.kind = F_VALUES, .v = list});
}

/* ---- counts ---- */

static long count(at *x, json_t *v)
{
    double d = json_is_number(v) ? json_number_value(v) : -1;
    if (!(d >= 0) || d != floor(d)) return malformed(x, "no natural number"), 0;
    if (d > SCHEMA_MAX_COUNT) return schema_refuse(x->c, TAWNY_E_LIMIT, x->s, x->word, "more than 30000"), 0;
    return (long)d;
}

static void a_count(at *x, bool neg, fact_kind kind, unsigned types, bool min)
{
    long n = count(x, x->v);
    if (!neg) return say(x, x->b, (fact){.kind = kind, .lo = min ? n : 0, .hi = min ? -1 : n});
    branch *k = min && !n ? NULL : also(x, types);
    x->b->dead = true;
    if (k) say(x, k, (fact){.kind = kind, .lo = min ? 0 : n + 1, .hi = min ? n - 1 : -1});
}

static void length(at *x, bool neg) { a_count(x, neg, F_LENGTH, T_STRING, x->word[1] == 'i'); }
static void items_count(at *x, bool neg) { a_count(x, neg, F_ITEMS, T_ARRAY, x->word[1] == 'i'); }
static void properties_count(at *x, bool neg) { a_count(x, neg, F_PROPERTIES, T_OBJECT, x->word[1] == 'i'); }

/* ---- strings and numbers ---- */

static void pattern(at *x, bool neg)
{
    if (!json_is_string(x->v)) return malformed(x, "no string");
    say(x, neg ? also(x, T_STRING) : x->b, (fact){.kind = F_PATTERN, .v = x->v, .neg = neg});
}

static void format(at *x, bool neg)
{
    bool unknown;
    if (!json_is_string(x->v)) return malformed(x, "no string");
    const char *regex = schema_format(json_string_value(x->v), &unknown);
    x->b->dead |= neg && unknown; /* it holds always */
    if (unknown || !(x->b->c.types & T_STRING)) return;
    if (!regex) return refuse(x, "this format cannot be enforced");
    json_t *text = keep(x, json_string(regex));
    say(x, neg ? also(x, T_STRING) : x->b, (fact){.kind = F_PATTERN, .v = text, .neg = neg});
}

static void bound(at *x, bool neg)
{
    bool lower = strstr(x->word, "in") != NULL, open = x->word[0] == 'e';
    if (!json_is_number(x->v)) return malformed(x, "no number");
    if (neg) say(x, also(x, T_NUMBER), (fact){.kind = lower ? F_UPPER : F_LOWER, .v = x->v, .neg = !open});
    else say(x, x->b, (fact){.kind = lower ? F_LOWER : F_UPPER, .v = x->v, .neg = open});
}

static void multiple(at *x, bool neg)
{
    if (!json_is_number(x->v) || !(json_number_value(x->v) > 0)) return malformed(x, "no number above 0");
    if (neg && x->b->c.types & T_NUMBER) return refuse(x, "cannot be negated");
    if (neg) x->b->dead = true;
    else say(x, x->b, (fact){.kind = F_MULTIPLE, .v = x->v});
}

/* ---- objects ---- */

static bool has_neighbours(at *x)
{
    static const char *const words[] = {
        "$ref",        "allOf",         "anyOf",       "oneOf", "not", "if", "dependentSchemas",
        "$dynamicRef", "$recursiveRef", "dependencies"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (schema_word(x->c, x->s, words[i])) return true;
    return strcmp(x->word, "unevaluatedItems") == 0 && schema_word(x->c, x->s, "contains");
}

static void unevaluated(at *x, bool neg)
{
    bool items = strcmp(x->word, "unevaluatedItems") == 0;
    if (json_is_true(x->v)) x->b->dead |= neg;
    else if (!(x->b->c.types & (items ? T_ARRAY : T_OBJECT))) x->b->dead |= neg;
    else if (neg || has_neighbours(x)) refuse(x, "cannot be enforced beside other schemas");
    else part(x, items ? F_ARRAY : F_OBJECT);
}

static void members(at *x, bool neg)
{
    const char *key;
    json_t *v;
    if (!json_is_object(x->v) && x->word[0] == 'p') return malformed(x, "no object");
    if (!neg) return part(x, F_OBJECT);
    x->b->dead = true;
    if (!(x->b->c.types & T_OBJECT) || json_is_true(x->v)) return;
    if (strcmp(x->word, "properties") != 0) return refuse(x, "cannot be negated");
    json_object_foreach(x->v, key, v) {
        branch *k = json_is_true(v) ? NULL : also(x, T_OBJECT);
        say(x, k, (fact){.kind = F_REQUIRED, .name = key});
        say(x, k, (fact){.kind = F_PROPERTY, .name = key, .ref = negative(v)});
    }
}

static void required(at *x, bool neg)
{
    json_t *v;
    size_t i;
    if (!json_is_array(x->v)) return malformed(x, "no list");
    x->b->dead |= neg;
    json_array_foreach(x->v, i, v) {
        const char *name = json_string_value(v);
        if (!name) return malformed(x, "no name");
        if (neg) say(x, also(x, T_OBJECT), (fact){.kind = F_PROPERTY, .name = name, .ref = positive(json_false())});
        else say(x, x->b, (fact){.kind = F_REQUIRED, .name = name});
    }
}

static void names(at *x, bool neg)
{
    if (neg && x->b->c.types & T_OBJECT && !json_is_true(x->v)) return refuse(x, "cannot be negated");
    if (neg) x->b->dead = true;
    else say(x, x->b, (fact){.kind = F_NAMES, .ref = positive(x->v)});
}

/* One entry: where the property is there, so are the others, or a schema holds. */
static void dependency(at *x, const char *name, json_t *v, bool neg)
{
    json_t *w;
    size_t i;
    if (!neg) {
        also(x, T_ALL & ~(unsigned)T_OBJECT);
        say(x, also(x, T_OBJECT), (fact){.kind = F_PROPERTY, .name = name, .ref = positive(json_false())});
    }
    branch *k = neg && json_is_array(v) ? NULL : also(x, T_OBJECT);
    if (k) say(x, k, (fact){.kind = F_REQUIRED, .name = name});
    if (k && !json_is_array(v)) schema_push(x->c, k, (sref){.s = v, .neg = neg});
    json_array_foreach(v, i, w) {
        const char *other = json_string_value(w);
        if (!other) return malformed(x, "no name");
        if (!neg) {
            if (k) say(x, k, (fact){.kind = F_REQUIRED, .name = other});
            continue;
        }
        k = also(x, T_OBJECT);
        say(x, k, (fact){.kind = F_REQUIRED, .name = name});
        say(x, k, (fact){.kind = F_PROPERTY, .name = other, .ref = positive(json_false())});
    }
}

/* Positive: one entry after the other, as each has alternatives. */
static void dependencies(at *x, bool neg, size_t first)
{
    const char *key;
    json_t *v;
    size_t i = 0;
    if (!json_is_object(x->v)) return malformed(x, "no object");
    if (neg) x->b->dead = true;
    json_object_foreach(x->v, key, v) {
        if (neg) dependency(x, key, v, true);
        else if (i == first && i + 1 < json_object_size(x->v))
            schema_push(x->c, x->b, (sref){.s = x->s, .word = x->word, .at = first + 1});
        if (!neg && i == first) dependency(x, key, v, false);
        i++;
    }
}

/* ---- arrays ---- */

static void elements(at *x, bool neg)
{
    json_t *prefix = schema_word(x->c, x->s, "prefixItems"), *items = schema_word(x->c, x->s, "items"), *v;
    size_t i;
    if (json_is_array(items)) {
        if (!x->c->old_items) return malformed(x, "a list: since 2020-12 that is prefixItems");
        prefix = items;
    }
    if (strcmp(x->word, "prefixItems") == 0 && !json_is_array(x->v)) return malformed(x, "no list");
    if (!neg) return part(x, F_ARRAY);
    x->b->dead = true;
    if (!(x->b->c.types & T_ARRAY)) return;
    if (x->v == prefix) {
        json_array_foreach(prefix, i, v) {
            branch *k = also(x, T_ARRAY);
            say(x, k, (fact){.kind = F_ITEMS, .lo = (long)i + 1, .hi = -1});
            say(x, k, (fact){.kind = F_ITEM, .lo = (long)i, .ref = negative(v)});
        }
        return;
    }
    if (json_is_true(x->v) || (strcmp(x->word, "additionalItems") == 0 && !json_is_array(items))) return;
    if (json_array_size(prefix)) {
        if (!json_is_false(x->v)) return refuse(x, "cannot be negated beside items that have their places");
        return say(x, also(x, T_ARRAY), (fact){.kind = F_ITEMS, .lo = (long)json_array_size(prefix) + 1, .hi = -1});
    }
    say(x, also(x, T_ARRAY), (fact){.kind = F_CONTAINS, .ref = negative(x->v), .lo = 1, .hi = -1});
}

static void contains(at *x, bool neg)
{
    json_t *min = schema_word(x->c, x->s, "minContains"), *max = schema_word(x->c, x->s, "maxContains");
    long lo = min ? count(x, min) : 1, hi = max ? count(x, max) : -1;
    if (!neg) return say(x, x->b, (fact){.kind = F_CONTAINS, .ref = positive(x->v), .lo = lo, .hi = hi});
    x->b->dead = true;
    if (!(x->b->c.types & T_ARRAY) || (!lo && hi < 0)) return;
    if (lo == 1) say(x, also(x, T_ARRAY), (fact){.kind = F_EACH, .ref = negative(x->v)});
    else if (lo) say(x, also(x, T_ARRAY), (fact){.kind = F_CONTAINS, .ref = positive(x->v), .lo = 0, .hi = lo - 1});
    if (hi >= 0) say(x, also(x, T_ARRAY), (fact){.kind = F_CONTAINS, .ref = positive(x->v), .lo = hi + 1, .hi = -1});
}

static void unique(at *x, bool neg)
{
    if (json_is_false(x->v)) x->b->dead |= neg;
    else if (neg && x->b->c.types & T_ARRAY) refuse(x, "cannot be negated");
    else if (neg) x->b->dead = true;
    else say(x, x->b, (fact){.kind = F_UNIQUE});
}

/* ---- combinations ---- */

static void reference(at *x, bool neg)
{
    if (!json_is_string(x->v)) return malformed(x, "no string");
    json_t *to = schema_resolve(x->c, x->s, json_string_value(x->v));
    if (!to) return;
    branch *k = neg ? also(x, T_ALL) : x->b;
    if (k) schema_push(x->c, k, (sref){.s = to, .neg = neg});
}

static void every(at *x, bool neg)
{
    json_t *v;
    size_t i;
    if (!json_array_size(x->v)) return malformed(x, "no list of schemas");
    bool split = (strcmp(x->word, "anyOf") == 0) != neg;
    branch *one = neg && !split ? also(x, T_ALL) : x->b;
    json_array_foreach(x->v, i, v) {
        branch *k = split ? also(x, T_ALL) : one;
        if (k) schema_push(x->c, k, (sref){.s = v, .neg = neg});
    }
}

/* Whether two of the list exclude each other, given what stands beside it. */
static bool disjoint(at *x, json_t *a, json_t *b)
{
    sref r[] = {positive(a),
                positive(b),
                {.s = x->s, .word = "type"},
                {.s = x->s, .word = "properties"},
                {.s = x->s, .word = "required"}};
    return schema_is_empty(x->c, schema_set(x->c, r, 5), 4);
}

static void one_of(at *x, bool neg)
{
    size_t n = json_array_size(x->v), i, j;
    if (!n) return malformed(x, "no list of schemas");
    if (n > 200) return schema_refuse(x->c, TAWNY_E_LIMIT, x->s, x->word, "more than 200 schemas");
    branch *none = neg ? also(x, T_ALL) : NULL;
    for (i = 0; none && i < n; i++) schema_push(x->c, none, negative(json_array_get(x->v, i)));
    for (i = 0; i < n && !x->c->st; i++) {
        json_t *v = json_array_get(x->v, i);
        size_t first = x->all->n;
        branch *k = neg ? NULL : also(x, T_ALL);
        if (k) schema_push(x->c, k, positive(v));
        for (j = neg ? i + 1 : 0; j < n && !x->c->st; j++) {
            json_t *w = json_array_get(x->v, j);
            if (j == i || disjoint(x, v, w)) continue;
            if (neg) k = also(x, T_ALL);
            else if (x->all->n > first) k = &x->all->b[first];
            if (k && neg) schema_push(x->c, k, positive(v));
            if (k) schema_push(x->c, k, (sref){.s = w, .neg = !neg});
        }
    }
}

static void not(at *x, bool neg)
{
    branch *k = neg ? also(x, T_ALL) : x->b;
    if (k) schema_push(x->c, k, (sref){.s = x->v, .neg = !neg});
}

static void conditional(at *x, bool neg)
{
    json_t *yes = schema_word(x->c, x->s, "then"), *no = schema_word(x->c, x->s, "else");
    x->b->dead |= neg;
    if (!yes && !no) return;
    branch *k = yes || !neg ? also(x, T_ALL) : NULL;
    if (k) schema_push(x->c, k, positive(x->v));
    if (k && yes) schema_push(x->c, k, (sref){.s = yes, .neg = neg});
    k = no || !neg ? also(x, T_ALL) : NULL;
    if (k) schema_push(x->c, k, negative(x->v));
    if (k && no) schema_push(x->c, k, (sref){.s = no, .neg = neg});
}

static void impossible(at *x, bool neg) { (void)neg, refuse(x, "cannot be enforced"); }

/* ---- the table ---- */

static const struct word {
    const char *name;
    void (*apply)(at *x, bool neg);
    bool splits; /* a positive one has alternatives: done after the others */
} words[] = {
    {"type", type, false},
    {"enum", values, false},
    {"const", values, false},
    {"minLength", length, false},
    {"maxLength", length, false},
    {"pattern", pattern, false},
    {"format", format, false},
    {"minimum", bound, false},
    {"maximum", bound, false},
    {"exclusiveMinimum", bound, false},
    {"exclusiveMaximum", bound, false},
    {"multipleOf", multiple, false},
    {"properties", members, false},
    {"patternProperties", members, false},
    {"additionalProperties", members, false},
    {"unevaluatedProperties", unevaluated, false},
    {"required", required, false},
    {"propertyNames", names, false},
    {"minProperties", properties_count, false},
    {"maxProperties", properties_count, false},
    {"prefixItems", elements, false},
    {"items", elements, false},
    {"additionalItems", elements, false},
    {"unevaluatedItems", unevaluated, false},
    {"contains", contains, false},
    {"minItems", items_count, false},
    {"maxItems", items_count, false},
    {"uniqueItems", unique, false},
    {"$ref", reference, false},
    {"allOf", every, false},
    {"not", not, false},
    {"$dynamicRef", impossible, false},
    {"$recursiveRef", impossible, false},
    {"contentEncoding", impossible, false}, /* annotations since 2019-09 */
    {"contentMediaType", impossible, false},
    {"anyOf", every, true},
    {"oneOf", one_of, true},
    {"if", conditional, true},
    {"dependentRequired", NULL, true},
    {"dependentSchemas", NULL, true},
    {"dependencies", NULL, true},
};

static void apply_word(compiler *c, branches *all, branch *b, const struct word *w, sref r)
{
    at x = {c, all, b, r.s, schema_word(c, r.s, w->name), w->name};
    if (!x.v) {
        b->dead |= r.neg;
        return;
    }
    if (w->apply) w->apply(&x, r.neg);
    else dependencies(&x, r.neg, r.at);
}

void schema_apply(compiler *c, branches *all, branch *b, sref r)
{
    if (json_is_boolean(r.s)) {
        b->dead |= json_is_true(r.s) == r.neg;
        return;
    }
    if (!json_is_object(r.s)) return schema_refuse(c, TAWNY_E_FORMAT, r.s, NULL, "a schema is an object or a boolean");
    bool any = false;
    for (size_t i = 0; i < sizeof words / sizeof *words && !c->st; i++) {
        if (r.word ? strcmp(r.word, words[i].name) != 0 : !schema_word(c, r.s, words[i].name)) continue;
        any = true;
        sref one = {.s = r.s, .word = words[i].name, .at = r.at, .neg = r.neg};
        if (r.word || r.neg || !words[i].splits) {
            bool dead = b->dead;
            if (r.neg) b->dead = false; /* each word gives alternatives of the same branch */
            apply_word(c, all, b, &words[i], one);
            if (!r.neg) b->dead |= dead;
        } else if (json_object_size(json_object_get(r.s, words[i].name)) ||
                   !json_is_object(json_object_get(r.s, words[i].name)) || words[i].apply) {
            schema_push(c, b, one);
        }
    }
    if (r.neg || (any && r.word && b->dead)) b->dead = true;
}
