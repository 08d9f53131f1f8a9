/* Schemas: the text, the dialect, where schemas are, and what references mean. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

void *schema_grow(compiler *c, void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return v;
    size_t want = *cap ? *cap * 2 : 16;
    void *w = realloc(v, want * size);
    if (!w) {
        if (!c->st) c->st = err_nomem(c->err);
        return v;
    }
    *cap = want;
    return w;
}

static bool too_deep(const char *text, size_t n)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char ch = text[i];
        if (ch == '"') in_string = !in_string;
        else if (in_string) i += ch == '\\';
        else if ((ch == '[' || ch == '{') && ++depth > SCHEMA_MAX_DEPTH) return true;
        else depth -= ch == ']' || ch == '}';
    }
    return false;
}

tawny_status schema_load(const char *text, size_t n, json_t **out, tawny_error *err)
{
    json_error_t e;
    *out = NULL;
    if (n > SCHEMA_MAX_TEXT) return err_set(err, TAWNY_E_LIMIT, "schema: longer than %d bytes", SCHEMA_MAX_TEXT);
    if (too_deep(text, n)) return err_set(err, TAWNY_E_LIMIT, "schema: nested deeper than %d", SCHEMA_MAX_DEPTH);
    *out = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    if (*out) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "schema: line %d, column %d: %s", e.line, e.column, e.text);
}

/* ---- refusals ---- */

static void put_pointer(buf *b, const char *key)
{
    buf_char(b, '/');
    for (; *key; key++) {
        if (*key == '~' || *key == '/') buf_str(b, *key == '~' ? "~0" : "~1");
        else buf_char(b, *key);
    }
}

static bool find_path(json_t *in, const json_t *at, buf *path)
{
    size_t size = path->size, i;
    const char *key;
    json_t *v;
    if (in == at) return true;
    json_object_foreach(in, key, v) {
        put_pointer(path, key);
        if (find_path(v, at, path)) return true;
        path->size = size;
    }
    json_array_foreach(in, i, v) {
        buf_printf(path, "/%zu", i);
        if (find_path(v, at, path)) return true;
        path->size = size;
    }
    return false;
}

void schema_refuse(compiler *c, tawny_status st, json_t *at, const char *word, const char *why)
{
    buf path = {.max = 1 << 16};
    if (c->st) return;
    if (!at || !find_path(c->top, at, &path)) path.size = 0;
    if (word) put_pointer(&path, word);
    if (path.data) path.data[path.size] = 0;
    c->st = err_set(c->err, st, "schema: %.300s: %s", path.size ? path.data : "/", why);
    buf_free(&path);
}

bool schema_ok(compiler *c, tawny_status st, json_t *at, const char *word)
{
    if (st == TAWNY_E_NOMEM && !c->st) c->st = err_nomem(c->err);
    else if (st) schema_refuse(c, TAWNY_E_LIMIT, at, word, "its automaton is too large");
    return !c->st;
}

/* ---- words ---- */

json_t *schema_word(compiler *c, json_t *s, const char *word)
{
    static const char *const newer[] = {"prefixItems",           "dependentRequired", "dependentSchemas",
                                        "minContains",           "maxContains",       "unevaluatedItems",
                                        "unevaluatedProperties", "$dynamicRef",       "$recursiveRef"};
    static const char *const older[] = {"additionalItems", "contentEncoding", "contentMediaType"};
    json_t *v = json_object_get(s, word);
    if (!v) return NULL;
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (c->draft7 && strcmp(word, newer[i]) == 0) return NULL;
    for (size_t i = 0; i < sizeof older / sizeof *older; i++)
        if (!(i ? c->draft7 : c->old_items) && strcmp(word, older[i]) == 0) return NULL;
    if (c->draft7 && strcmp(word, "$ref") != 0 && json_object_get(s, "$ref")) return NULL; /* it stands alone there */
    return v;
}

static void read_dialect(compiler *c)
{
    json_t *v = json_object_get(c->top, "$schema");
    const char *s = json_string_value(v);
    c->old_items = !v;
    if (!v || (s && (strstr(s, "json-schema.org/draft/2020-12/schema") ||
                     strstr(s, "json-schema.org/draft/2019-09/schema")))) {
        c->old_items |= s && strstr(s, "2019-09");
    } else if (s && (strstr(s, "json-schema.org/draft-07/schema") || strstr(s, "json-schema.org/draft-06/schema"))) {
        c->draft7 = c->old_items = true;
    } else {
        schema_refuse(c, TAWNY_E_UNSUPPORTED, c->top, "$schema", "an unknown dialect");
    }
}

/* ---- where schemas are ---- */

/* A reference against a base (RFC 3986, without dot segments). */
static char *join(const char *base, const char *ref)
{
    size_t scheme = strspn(ref, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-"), keep = 0;
    const char *authority = strstr(base, "://"), *slash;
    if (!ref[scheme] || ref[scheme] != ':' || !scheme) {
        slash = authority ? strchr(authority + 3, '/') : NULL;
        if (ref[0] == '/') keep = slash ? (size_t)(slash - base) : authority ? strlen(base) : 0;
        else slash = strrchr(base, '/'), keep = slash ? (size_t)(slash - base) + 1 : 0;
    }
    size_t n = strlen(ref);
    char *out = malloc(keep + n + 1);
    if (!out) return NULL;
    memcpy(out, base, keep);
    memcpy(out + keep, ref, n + 1);
    out[keep + strcspn(out + keep, "#")] = 0;
    return out;
}

static size_t new_resource(compiler *c, json_t *root, size_t in, const char *id)
{
    c->resource = schema_grow(c, c->resource, c->n_resource, &c->cap_resource, sizeof *c->resource);
    if (c->st) return 0;
    char *base = join(c->n_resource ? c->resource[in].base : "", id);
    if (!base) return c->st = err_nomem(c->err), 0;
    c->resource[c->n_resource] = (resource){root, base};
    return c->n_resource++;
}

static void index_schema(compiler *c, json_t *s, size_t in)
{
    static const char *const one[] = {"additionalProperties",
                                      "additionalItems",
                                      "propertyNames",
                                      "contains",
                                      "not",
                                      "if",
                                      "then",
                                      "else",
                                      "items",
                                      "unevaluatedItems",
                                      "unevaluatedProperties",
                                      "contentSchema"};
    static const char *const list[] = {"allOf", "anyOf", "oneOf", "prefixItems", "items"};
    static const char *const map[] = {"properties",  "patternProperties", "$defs",
                                      "definitions", "dependentSchemas",  "dependencies"};
    const char *id = json_string_value(json_object_get(s, "$id")), *key;
    json_t *v;
    size_t i;
    if (!json_is_object(s) || c->st) return;
    if (c->draft7 && json_object_get(s, "$ref")) id = NULL;
    if (id && id[0] != '#' && id[0] && s != c->top) in = new_resource(c, s, in, id);
    c->place = schema_grow(c, c->place, c->n_place, &c->cap_place, sizeof *c->place);
    if (c->st) return;
    c->place[c->n_place] = (place){s, in, c->n_place + 1};
    c->n_place++;
    for (i = 0; i < sizeof one / sizeof *one; i++) index_schema(c, json_object_get(s, one[i]), in);
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        json_array_foreach(json_object_get(s, list[k]), i, v) index_schema(c, v, in);
    for (i = 0; i < sizeof map / sizeof *map; i++)
        json_object_foreach(json_object_get(s, map[i]), key, v) index_schema(c, v, in);
}

static int by_address(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (uintptr_t)x->s < (uintptr_t)y->s ? -1 : (uintptr_t)x->s > (uintptr_t)y->s;
}

void schema_index(compiler *c)
{
    const char *id = json_string_value(json_object_get(c->top, "$id"));
    read_dialect(c);
    new_resource(c, c->top, 0, id ? id : "");
    index_schema(c, c->top, 0);
    if (c->n_place) qsort(c->place, c->n_place, sizeof *c->place, by_address);
}

void schema_free_index(compiler *c)
{
    for (size_t i = 0; i < c->n_resource; i++) free(c->resource[i].base);
    free(c->resource);
    free(c->place);
}

static const place *place_of(const compiler *c, json_t *s)
{
    place key = {.s = s};
    return c->n_place ? bsearch(&key, c->place, c->n_place, sizeof key, by_address) : NULL;
}

static size_t resource_of(const compiler *c, json_t *s)
{
    const place *found = place_of(c, s);
    return found ? found->resource : 0;
}

size_t schema_order(const compiler *c, json_t *s)
{
    const place *found = place_of(c, s);
    return found ? found->order : 0;
}

/* ---- references ---- */

static int hex(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

/* "/a/b~1c" (RFC 6901), with %XX */
static json_t *follow(json_t *v, const char *path)
{
    while (v && *path == '/') {
        char name[512];
        size_t n = 0;
        for (path++; *path && *path != '/' && n < sizeof name - 1; path++) {
            char ch = *path;
            if (ch == '%' && hex(path[1]) >= 0 && hex(path[2]) >= 0) {
                ch = (char)(hex(path[1]) * 16 + hex(path[2]));
                path += 2;
            }
            if (ch == '~' && (path[1] == '0' || path[1] == '1')) ch = *++path == '0' ? '~' : '/';
            name[n++] = ch;
        }
        name[n] = 0;
        v = json_is_array(v) ? json_array_get(v, (size_t)strtoul(name, NULL, 10)) : json_object_get(v, name);
    }
    return *path ? NULL : v;
}

static json_t *anchor(const compiler *c, size_t in, const char *name)
{
    for (size_t i = 0; i < c->n_place; i++) {
        json_t *s = c->place[i].s;
        const char *a = json_string_value(json_object_get(s, "$anchor")),
                   *id = json_string_value(json_object_get(s, "$id"));
        const char *d = json_string_value(json_object_get(s, "$dynamicAnchor"));
        if (c->place[i].resource != in) continue;
        if (!c->draft7 && ((a && strcmp(a, name) == 0) || (d && strcmp(d, name) == 0))) return s;
        if (c->draft7 && !json_object_get(s, "$ref") && id && id[0] == '#' && strcmp(id + 1, name) == 0) return s;
    }
    return NULL;
}

json_t *schema_resolve(compiler *c, json_t *from, const char *ref)
{
    size_t in = resource_of(c, from), i = in;
    const char *fragment = strchr(ref, '#');
    if (ref[0] && ref[0] != '#') {
        char *uri = join(c->resource[in].base, ref);
        if (!uri) return c->st = err_nomem(c->err), NULL;
        for (i = 0; i < c->n_resource && strcmp(c->resource[i].base, uri) != 0; i++) {}
        free(uri);
        if (i == c->n_resource)
            return schema_refuse(c, TAWNY_E_UNSUPPORTED, from, "$ref", "leads out of this schema"), NULL;
    }
    json_t *v = c->resource[i].root;
    if (fragment && fragment[1]) v = fragment[1] == '/' ? follow(v, fragment + 1) : anchor(c, i, fragment + 1);
    if (!v) schema_refuse(c, TAWNY_E_FORMAT, from, "$ref", "leads nowhere in this schema");
    return v;
}
