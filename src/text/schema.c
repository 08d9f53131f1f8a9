#include "schema.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

enum {
    MAX_DEPTH = 200,
    MAX_RULES = 100000,
    MAX_REFERENCES = 5000,
    MAX_MERGES = 20000,
    MAX_SCHEMA = 4 << 20,
    MAX_GRAMMAR = 4 << 20,
    MAX_REPEAT = 2000
};

typedef struct reference {
    const char *path; /* jansson's */
    int rule;
} reference;

typedef struct converter {
    json_t *top;
    buf *out, *loose;
    buf path; /* of the schema that is being converted */
    reference *ref;
    size_t n_ref, cap_ref;
    int n_rule, depth, n_merge;
    bool uses_value, uses_char;
    tawny_status st;
    tawny_error *err;
} converter;

static void fail(converter *c, const char *what)
{
    const char *at = c->path.size ? c->path.data : "/";
    if (!c->st) c->st = err_set(c->err, TAWNY_E_FORMAT, "schema: %.200s: %s", at, what);
}

static void not_enforced(converter *c, const char *word)
{
    if (c->loose) buf_printf(c->loose, "%s/%s\n", c->path.data ? c->path.data : "", word);
}

static void convert(converter *c, int rule, json_t *schema);

/* A rule for a schema below this one; 0 after a failure. */
static int sub_rule(converter *c, json_t *schema, const char *word, const char *name)
{
    size_t size = c->path.size;
    int rule = ++c->n_rule;
    if (rule > MAX_RULES) fail(c, "too large");
    buf_printf(&c->path, "/%s", word);
    if (name) buf_printf(&c->path, "/%s", name);
    convert(c, rule, schema);
    c->path.size = size;
    if (c->path.data) c->path.data[size] = 0;
    return rule;
}

static void rule_name(buf *b, int rule) { rule ? buf_printf(b, "r%d", rule) : buf_str(b, "root"); }

/* Takes the finished expression. */
static void put_rule(converter *c, int rule, buf *expression)
{
    rule_name(c->out, rule);
    /* written as nothing, an empty rule would go on in the next line */
    buf_printf(c->out, " ::= %s\n", expression->size ? expression->data : "\"\"");
    if (!buf_ok(expression) || !buf_ok(c->out))
        if (!c->st) c->st = err_set(c->err, TAWNY_E_LIMIT, "schema: too large, or out of memory");
    buf_free(expression);
}

static void put_constant(buf *b, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text) schema_literal(b, text, strlen(text));
    else b->failed = true;
    free(text);
}

static long bound(converter *c, json_t *schema, const char *word, long otherwise)
{
    json_t *v = json_object_get(schema, word);
    if (!v) return otherwise;
    double d = json_is_number(v) ? json_number_value(v) : -1;
    if (!(d >= 0) || d != floor(d)) return fail(c, "a length that is no natural number"), otherwise;
    return d < 1e9 ? (long)d : 1000000000;
}

static void repetition(converter *c, buf *b, long lo, long hi, const char *max_word)
{
    if (hi >= 0 && hi < lo) fail(c, "a maximum below the minimum");
    if (lo > MAX_REPEAT) not_enforced(c, "minimum length");
    if (hi > MAX_REPEAT) not_enforced(c, max_word);
    lo = lo > MAX_REPEAT ? MAX_REPEAT : lo;
    if (hi < 0 || hi > MAX_REPEAT) buf_printf(b, "{%ld,}", lo);
    else buf_printf(b, "{%ld,%ld}", lo, hi);
}

/* ---- strings and numbers ---- */

static bool put_format(buf *b, const char *format)
{
    static const char date[] = "[0-9]{4} \"-\" (\"0\" [1-9] | \"1\" [0-2]) \"-\" "
                               "(\"0\" [1-9] | [12] [0-9] | \"3\" [01])";
    static const char time[] = "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? "
                               "(\"Z\" | [+-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])";
    static const char x[] = "[0-9a-fA-F]";
    if (strcmp(format, "date") == 0) return buf_str(b, date), true;
    if (strcmp(format, "time") == 0) return buf_str(b, time), true;
    if (strcmp(format, "date-time") == 0) return buf_printf(b, "%s \"T\" %s", date, time), true;
    if (strcmp(format, "uuid") != 0) return false;
    buf_printf(b, "%s{8} \"-\" %s{4} \"-\" %s{4} \"-\" %s{4} \"-\" %s{12}", x, x, x, x, x);
    return true;
}

static void put_string(converter *c, buf *b, json_t *s)
{
    const char *format = json_string_value(json_object_get(s, "format"));
    json_t *pattern = json_object_get(s, "pattern");
    long lo = bound(c, s, "minLength", 0), hi = bound(c, s, "maxLength", -1);
    c->uses_char = true;
    buf_str(b, "\"\\\"\" ");
    if (json_is_string(pattern) && schema_pattern(b, json_string_value(pattern), json_string_length(pattern))) {
        if (lo > 0 || hi >= 0) not_enforced(c, "minLength, maxLength");
    } else if (!pattern && format && put_format(b, format)) {
    } else {
        if (pattern) not_enforced(c, "pattern");
        else if (format) not_enforced(c, "format");
        buf_str(b, "char");
        repetition(c, b, lo, hi, "maxLength");
    }
    buf_str(b, " \"\\\"\"");
}

/* The least integer that a lower bound allows, or the greatest that an upper one does. */
static int64_t integer_bound(json_t *s, const char *word, const char *exclusive, bool lower)
{
    int64_t best = lower ? INT64_MIN : INT64_MAX;
    for (int i = 0; i < 2; i++) {
        json_t *v = json_object_get(s, i ? exclusive : word);
        if (!json_is_number(v)) continue;
        double d = json_number_value(v), r = lower ? ceil(d) : floor(d);
        if (!(r > -9e18 && r < 9e18)) continue;
        int64_t k = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)r;
        if (i && (json_is_integer(v) || d == r)) k += lower ? 1 : -1;
        best = lower ? (k > best ? k : best) : (k < best ? k : best);
    }
    return best;
}

static void put_integer(converter *c, buf *b, json_t *s)
{
    int64_t lo = integer_bound(s, "minimum", "exclusiveMinimum", true);
    int64_t hi = integer_bound(s, "maximum", "exclusiveMaximum", false);
    if (lo > hi) return fail(c, "a maximum below the minimum");
    if (lo == INT64_MIN && hi == INT64_MAX) buf_str(b, "(\"-\"? (\"0\" | [1-9] [0-9]{0,15}))");
    else schema_int_range(b, lo, hi);
}

static void put_number(converter *c, buf *b, json_t *s)
{
    static const char *const words[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    double lo = json_number_value(json_object_get(s, "minimum")); /* 0 where there is none */
    bool positive = json_object_get(s, "minimum") && lo >= 0;
    for (size_t i = 0; i < 4; i++)
        if (json_object_get(s, words[i]) && !(i == 0 && lo == 0)) not_enforced(c, words[i]);
    buf_printf(b, "(%s(\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?)",
               positive ? "" : "\"-\"? ");
}

/* ---- arrays ---- */

static void put_array(converter *c, buf *b, json_t *s)
{
    json_t *items = json_object_get(s, "items"), *prefix = json_object_get(s, "prefixItems"), *v;
    long lo = bound(c, s, "minItems", 0), hi = bound(c, s, "maxItems", -1);
    size_t i, n = 0;
    if (json_is_array(items)) prefix = items, items = json_object_get(s, "additionalItems"); /* before 2020-12 */
    buf_str(b, "\"[\" ws ");
    json_array_foreach(prefix, i, v) {
        char at[24];
        snprintf(at, sizeof at, "%zu", i);
        if (i) buf_str(b, "\",\" ws ");
        rule_name(b, sub_rule(c, v, "prefixItems", at));
        buf_char(b, ' ');
        n++;
    }
    if (n && !items) items = json_false(); /* no more than those, unless they are asked for */
    if (!json_is_false(items) && (hi < 0 || hi > (long)n)) {
        buf item = {.max = MAX_GRAMMAR};
        if (items && !json_is_true(items)) {
            rule_name(&item, sub_rule(c, items, "items", NULL));
        } else {
            c->uses_value = true;
            buf_str(&item, "value");
        }
        long more = lo - (long)n > 0 ? lo - (long)n : 0, most = hi < 0 ? -1 : hi - (long)n;
        if (n) {
            buf_printf(b, "(\",\" ws %s)", item.data);
            repetition(c, b, more, most, "maxItems");
        } else {
            buf_printf(b, "(%s (\",\" ws %s)", item.data, item.data);
            repetition(c, b, more > 0 ? more - 1 : 0, most < 0 ? -1 : most - 1, "maxItems");
            buf_str(b, more ? ")" : ")?");
        }
        buf_free(&item);
    } else if (lo > (long)n) {
        fail(c, "minItems is more than there are items");
    }
    buf_str(b, " ws \"]\"");
}

/* ---- objects ---- */

static bool required(json_t *list, const char *key)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
        if (json_is_string(v) && strcmp(json_string_value(v), key) == 0) return true;
    return false;
}

static void put_key(converter *c, buf *b, const char *key, json_t *schema)
{
    json_t *name = json_string(key);
    int rule = sub_rule(c, schema, "properties", key);
    put_constant(b, name);
    buf_str(b, " \":\" ws ");
    rule_name(b, rule);
    json_decref(name);
}

/* A chain of rules: `head` while nothing was written, so that a comma comes between two properties only. */
static void put_object(converter *c, buf *b, json_t *s)
{
    json_t *properties = json_object_get(s, "properties"), *must = json_object_get(s, "required");
    json_t *others = json_object_get(s, "additionalProperties"), *v;
    bool open = others ? !json_is_false(others) : !properties;
    const char *key;
    buf tail = {.max = MAX_GRAMMAR}, head = {.max = MAX_GRAMMAR};
    size_t n = json_object_size(properties), i = 0;
    int first = c->n_rule + 1; /* the heads, then the tails: n + 1 of each */
    c->n_rule += 2 * (int)(n + 1);
    if (c->n_rule > MAX_RULES || n * json_array_size(must) > 50000000) return fail(c, "too many properties");
    if (properties && !json_is_object(properties)) fail(c, "properties is no object");
    json_object_foreach(properties, key, v) {
        bool needed = required(must, key);
        int h = first + (int)i, t = h + (int)n + 1;
        put_key(c, &head, key, v);
        buf_printf(&tail, needed ? "\",\" ws %s r%d" : "(\",\" ws %s)? r%d", head.data ? head.data : "", t + 1);
        buf_printf(&head, needed ? " r%d" : " r%d | r%d", t + 1, h + 1);
        put_rule(c, h, &head);
        put_rule(c, t, &tail);
        i++;
    }
    if (open) {
        c->uses_char = true;
        buf_str(&head, "\"\\\"\" char* \"\\\":\" ws ");
        if (others && !json_is_true(others)) rule_name(&head, sub_rule(c, others, "additionalProperties", NULL));
        else c->uses_value = true, buf_str(&head, "value");
        buf_printf(&tail, "(\",\" ws %s)*", head.data ? head.data : "");
        buf_printf(&head, " r%d | \"\"", first + 2 * (int)n + 1);
    }
    put_rule(c, first + (int)n, &head);
    put_rule(c, first + 2 * (int)n + 1, &tail);
    buf_printf(b, "\"{\" ws r%d ws \"}\"", first);
}

/* ---- references and combinations ---- */

/* "#/a/b~1c" (RFC 6901) */
static json_t *resolve(converter *c, const char *path)
{
    json_t *v = c->top;
    if (*path++ != '#') return NULL;
    while (v && *path == '/') {
        char name[512];
        size_t n = 0;
        for (path++; *path && *path != '/' && n < sizeof name - 1; path++) {
            bool tilde = *path == '~' && (path[1] == '0' || path[1] == '1');
            name[n++] = tilde ? (path[1] == '0' ? '~' : '/') : *path;
            path += tilde;
        }
        name[n] = 0;
        v = json_is_array(v) ? json_array_get(v, (size_t)strtoul(name, NULL, 10)) : json_object_get(v, name);
    }
    return *path ? NULL : v;
}

static int reference_rule(converter *c, const char *path)
{
    if (strcmp(path, "#") == 0) return 0;
    for (size_t i = 0; i < c->n_ref; i++)
        if (strcmp(c->ref[i].path, path) == 0) return c->ref[i].rule;
    json_t *target = resolve(c, path);
    if (!target) return fail(c, "$ref leads nowhere in this schema"), 0;
    if (c->n_ref == MAX_REFERENCES) return fail(c, "too many references"), 0;
    if (c->n_ref == c->cap_ref) {
        reference *r = realloc(c->ref, (c->cap_ref = c->cap_ref * 2 + 16) * sizeof *r);
        if (!r) return fail(c, "out of memory"), 0;
        c->ref = r;
    }
    int rule = ++c->n_rule;
    c->ref[c->n_ref++] = (reference){path, rule};
    convert(c, rule, target);
    return rule;
}

static void put_any_of(converter *c, buf *b, json_t *list, const char *word)
{
    size_t i;
    json_t *v;
    if (!json_array_size(list)) return fail(c, "anyOf and oneOf want a list");
    json_array_foreach(list, i, v) {
        char at[24];
        snprintf(at, sizeof at, "%zu", i);
        if (i) buf_str(b, " | ");
        rule_name(b, sub_rule(c, v, word, at));
    }
}

/* One schema that says what all of them say: properties and required are joined, other words overwritten. */
static void merge(converter *c, json_t *into, json_t *from, int depth)
{
    const char *key, *path = json_string_value(json_object_get(from, "$ref"));
    json_t *v;
    size_t i;
    if (depth > 20 || ++c->n_merge > MAX_MERGES) return fail(c, "allOf nested too deep, or too often");
    if (path) merge(c, into, resolve(c, path), depth + 1);
    json_array_foreach(json_object_get(from, "allOf"), i, v) merge(c, into, v, depth + 1);
    json_object_foreach(from, key, v) {
        json_t *old = json_object_get(into, key);
        if (strcmp(key, "allOf") == 0 || strcmp(key, "$ref") == 0) continue;
        if (strcmp(key, "properties") == 0 && old) json_object_update(old, v);
        else if (strcmp(key, "required") == 0 && old) json_array_extend(old, v);
        else json_object_set_new(into, key, json_copy(v));
    }
}

static void put_all_of(converter *c, int rule, json_t *schema)
{
    json_t *all = json_object();
    if (!all) return fail(c, "out of memory");
    merge(c, all, schema, 0);
    if (!c->st) convert(c, rule, all);
    json_decref(all);
}

/* ---- any schema ---- */

static void put_type(converter *c, buf *b, const char *type, json_t *s)
{
    if (strcmp(type, "object") == 0) put_object(c, b, s);
    else if (strcmp(type, "array") == 0) put_array(c, b, s);
    else if (strcmp(type, "string") == 0) put_string(c, b, s);
    else if (strcmp(type, "integer") == 0) put_integer(c, b, s);
    else if (strcmp(type, "number") == 0) put_number(c, b, s);
    else if (strcmp(type, "boolean") == 0) buf_str(b, "(\"true\" | \"false\")");
    else if (strcmp(type, "null") == 0) buf_str(b, "\"null\"");
    else fail(c, "an unknown type");
}

static const char *implied_type(json_t *s)
{
    static const char *const words[][2] = {
        {"properties", "object"}, {"required", "object"}, {"additionalProperties", "object"}, {"items", "array"},
        {"prefixItems", "array"}, {"minItems", "array"}, {"maxItems", "array"}, {"pattern", "string"},
        {"minLength", "string"}, {"maxLength", "string"}, {"format", "string"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (json_object_get(s, words[i][0])) return words[i][1];
    return NULL;
}

static void put_types(converter *c, buf *b, json_t *s)
{
    json_t *type = json_object_get(s, "type"), *v;
    const char *implied = implied_type(s);
    size_t i;
    if (json_is_array(type)) {
        json_array_foreach(type, i, v) {
            if (i) buf_str(b, " | ");
            if (json_is_string(v)) put_type(c, b, json_string_value(v), s);
            else fail(c, "type holds something else than names");
        }
        if (!i) fail(c, "type is an empty list");
    } else if (type) {
        if (json_is_string(type)) put_type(c, b, json_string_value(type), s);
        else fail(c, "type is neither a name nor a list");
    } else if (implied) {
        put_type(c, b, implied, s);
    } else {
        c->uses_value = true;
        buf_str(b, "value");
    }
}

static void note_loose(converter *c, json_t *s)
{
    static const char *const words[] = {
        "not", "if", "patternProperties", "propertyNames", "dependentSchemas", "dependentRequired", "dependencies",
        "minProperties", "maxProperties", "contains", "uniqueItems", "multipleOf",
        "unevaluatedProperties", "$dynamicRef",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        json_t *v = json_object_get(s, words[i]);
        if (v && !json_is_false(v)) not_enforced(c, words[i]);
    }
}

static void put_schema(converter *c, buf *b, json_t *s)
{
    json_t *any = json_object_get(s, "anyOf"), *one = json_object_get(s, "oneOf"), *v;
    const char *path = json_string_value(json_object_get(s, "$ref"));
    size_t i;
    note_loose(c, s);
    if (path) {
        rule_name(b, reference_rule(c, path));
    } else if ((v = json_object_get(s, "const"))) {
        put_constant(b, v);
    } else if (json_object_get(s, "enum")) {
        json_array_foreach(json_object_get(s, "enum"), i, v) {
            if (i) buf_str(b, " | ");
            put_constant(b, v);
        }
        if (!json_array_size(json_object_get(s, "enum"))) fail(c, "enum is no list of values");
    } else if (any || one) {
        if (json_object_get(s, "properties")) not_enforced(c, "properties");
        put_any_of(c, b, any ? any : one, any ? "anyOf" : "oneOf");
    } else {
        put_types(c, b, s);
    }
}

static void convert(converter *c, int rule, json_t *schema)
{
    buf b = {.max = MAX_GRAMMAR};
    if (c->st) return;
    if (++c->depth > MAX_DEPTH) {
        fail(c, "nested too deep");
    } else if (json_is_true(schema)) {
        c->uses_value = true;
        buf_str(&b, "value");
        put_rule(c, rule, &b);
    } else if (!json_is_object(schema)) {
        fail(c, json_is_false(schema) ? "nothing is allowed here" : "a schema is an object or true");
    } else if (json_array_size(json_object_get(schema, "allOf"))) {
        put_all_of(c, rule, schema);
    } else {
        put_schema(c, &b, schema);
        put_rule(c, rule, &b);
    }
    c->depth--;
    buf_free(&b);
}

static void put_common(converter *c)
{
    if (c->uses_value)
        buf_str(c->out, "value ::= \"{\" ws (pair (\",\" ws pair)*)? ws \"}\" | "
                        "\"[\" ws (value (\",\" ws value)*)? ws \"]\" | string | "
                        "\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})? | "
                        "\"true\" | \"false\" | \"null\"\n"
                        "pair ::= string \":\" ws value\n"
                        "string ::= \"\\\"\" char* \"\\\"\"\n");
    if (c->uses_value || c->uses_char)
        buf_str(c->out, "char ::= [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4})\n");
    buf_str(c->out, "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n");
}

tawny_status schema_to_gbnf(const char *schema, size_t n, buf *out, buf *loose, tawny_error *err)
{
    json_error_t e;
    if (n > MAX_SCHEMA) return err_set(err, TAWNY_E_LIMIT, "schema: longer than %d bytes", MAX_SCHEMA);
    json_t *top = json_loadb(schema, n, JSON_DECODE_ANY, &e);
    if (!top) return err_set(err, TAWNY_E_FORMAT, "schema: line %d, column %d: %s", e.line, e.column, e.text);
    converter c = {.top = top, .out = out, .loose = loose, .err = err};
    convert(&c, 0, top);
    put_common(&c);
    if (!c.st && !buf_ok(out)) c.st = err_set(err, TAWNY_E_LIMIT, "schema: too large, or out of memory");
    free(c.ref);
    buf_free(&c.path);
    json_decref(top);
    return c.st;
}
