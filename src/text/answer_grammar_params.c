/* Grammars of arguments that are no JSON object: each by itself, texts without quotes. */
#include <string.h>

#include "answer_grammar_int.h"

/* Words of an object's schema, and of a text's, that are no further restriction, or are seen to. */
static const char *const object_words[] = {"type", "properties", "required", "additionalProperties", "title", "description", "$defs", "definitions",
                                           "$schema", "$id", "$comment", "examples", "default", "strict", NULL};
static const char *const text_words[] = {"type", "title", "description", "$comment", "examples", "default", "format", NULL};

static const char *other_word(const json_t *schema, const char *const *known)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key, v)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0) i++;
        if (!known[i]) return key;
    }
    return NULL;
}

static bool type_is(const json_t *schema, const char *type)
{
    const char *t = json_string_value(json_object_get(schema, "type"));
    return t && strcmp(t, type) == 0;
}

/* How a value without quotes is read: as JSON where it is some, unless the schema says string. */
static bool reads_as_text(const char *s)
{
    json_t *j = json_loads(s, JSON_DECODE_ANY, NULL);
    json_decref(j);
    return !j;
}

/* Texts of an enum or const, one after another in out; false where they are not all texts that are read as such. */
static bool put_choices(buf *out, const json_t *schema, bool quoted)
{
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    size_t n = one ? 1 : json_array_size(list);
    buf_str(out, "( ");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = one ? one : json_array_get(list, i);
        const char *s = json_string_value(v);
        if (!s || strlen(s) != json_string_length(v) || strchr(s, '<')) return false;
        if (!quoted && !type_is(schema, "string") && !reads_as_text(s)) return false;
        if (!quoted && (*s == '\n' || (*s && s[strlen(s) - 1] == '\n'))) return false;
        if (i) buf_str(out, "| ");
        ag_literal(out, s, strlen(s));
    }
    buf_str(out, ") ");
    return n > 0;
}

static void put_before(buf *out, const gbnf_tokens *t, const char *before, const char *key)
{
    buf text = {0};
    const char *mark = strstr(before, "%s");
    buf_add(&text, before, (size_t)(mark - before));
    buf_str(&text, key);
    buf_str(&text, mark + 2);
    if (buf_ok(&text)) ag_marker(out, t, text.data);
    buf_free(&text);
}

static tawny_status put_text(buf *out, const gbnf_tokens *t, const param_form *form, const json_t *schema, const char *key, const char *at,
                             tawny_error *err)
{
    put_before(out, t, form->before, key);
    if (*form->text_open) ag_marker(out, t, form->text_open);
    if (json_object_get(schema, "enum") || json_object_get(schema, "const")) {
        if (!put_choices(out, schema, *form->text_open))
            return err_set(err, TAWNY_E_UNSUPPORTED, "%s/properties/%s/enum cannot be enforced: this model writes texts without quotes", at, key);
        if (*form->text_open) ag_marker(out, t, form->text_open); /* the same mark closes it */
        else ag_marker(out, t, form->after);
        return TAWNY_OK;
    }
    const char *other = other_word(schema, text_words);
    if (json_object_get(schema, "format")) other = "format";
    if (other)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s/properties/%s/%s cannot be enforced: this model writes texts without quotes", at, key, other);
    ag_without(out, t, form->text_mark);
    ag_marker(out, t, form->text_mark);
    return TAWNY_OK;
}

/* What is read as JSON whatever it is. */
static bool plain_type(const json_t *schema)
{
    static const char *const types[] = {"integer", "number", "boolean", "null", "object", "array"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (type_is(schema, types[i])) return true;
    return false;
}

/* A schema of its own: with the definitions that it may refer to. */
static json_t *with_definitions(const json_t *schema, const json_t *top)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)schema), *d = json_object_get(top, "$defs"), *older = json_object_get(top, "definitions");
    if (copy && d) json_object_set(copy, "$defs", d);
    if (copy && older) json_object_set(copy, "definitions", older);
    return copy;
}

static tawny_status put_value(buf *rules, buf *out, const gbnf_tokens *t, const char *name, int no, const param_form *form, const json_t *top,
                              const char *key, const char *at, tawny_error *err)
{
    char prefix[96], place[300];
    const json_t *schema = json_object_get(json_object_get(top, "properties"), key);
    bool choices = !json_object_get(schema, "type") && (json_object_get(schema, "enum") || json_object_get(schema, "const"));
    if (type_is(schema, "string") || choices) return put_text(out, t, form, schema, key, at, err);
    if (!plain_type(schema))
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s/properties/%s cannot be enforced: its type must be one name, as this model's calls are no JSON", at,
                       key);
    snprintf(prefix, sizeof prefix, "%s-%d-", name, no);
    snprintf(place, sizeof place, "%s/properties/%.100s", at, key);
    json_t *whole = with_definitions(schema, top);
    if (!whole) return err_nomem(err);
    tawny_status st = ag_schema(rules, prefix, whole, place, err);
    json_decref(whole);
    put_before(out, t, form->before_json ? form->before_json : form->before, key);
    buf_printf(out, "%sroot ", prefix);
    if (*form->after) ag_marker(out, t, form->after);
    return st;
}

static bool is_required(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (s && strcmp(s, key) == 0) return true;
    }
    return false;
}

static bool plain_key(const char *key)
{
    return *key && strlen(key) < 100 && !strpbrk(key, "<>\"'=:,{}[]() \t\r\n\\");
}

static tawny_status check_object(const json_t *schema, const char *at, tawny_error *err)
{
    const char *other = other_word(schema, object_words);
    const json_t *list = json_object_get(schema, "required"), *more = json_object_get(schema, "additionalProperties");
    if (other) return err_set(err, TAWNY_E_UNSUPPORTED, "%s/%s cannot be enforced: this model's calls are no JSON", at, other);
    if (!type_is(schema, "object")) return err_set(err, TAWNY_E_ARG, "%s/type must be object", at);
    if (more && !json_is_false(more) && json_object_size(json_object_get(schema, "properties")) == 0)
        return err_set(err, TAWNY_E_UNSUPPORTED, "%s/additionalProperties cannot be enforced: this model's calls are no JSON", at);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !json_object_get(json_object_get(schema, "properties"), s))
            return err_set(err, TAWNY_E_UNSUPPORTED, "%s/required/%zu has no schema among the properties", at, i);
    }
    return TAWNY_OK;
}

/* NAME ::= what follows before the first parameter; NAME-Kf and NAME-Kr: from parameter K on, first or after others. */
tawny_status ag_params(buf *out, const gbnf_tokens *t, const char *name, const param_form *form, const json_t *schema, const char *at,
                       tawny_error *err)
{
    tawny_status st = check_object(schema, at, err);
    const char *key;
    json_t *v;
    int k = 0;
    if (st != TAWNY_OK) return st;
    buf_printf(out, "%s ::= %s-0f\n", name, name);
    json_object_foreach(json_object_get(schema, "properties"), key, v)
    {
        buf value = {0};
        if (!plain_key(key) || !json_is_object(v))
            st = err_set(err, TAWNY_E_UNSUPPORTED, "%s/properties/%.80s cannot be enforced: this model's calls are no JSON", at, key);
        if (st == TAWNY_OK) st = put_value(out, &value, t, name, k, form, schema, key, at, err);
        if (st != TAWNY_OK) {
            buf_free(&value);
            return st;
        }
        buf_printf(out, "%s-%dv ::= %s", name, k, value.data);
        if (*form->end) ag_marker(out, t, form->end);
        for (int first = 1; first >= 0; first--) {
            buf_printf(out, "\n%s-%d%c ::= ", name, k, first ? 'f' : 'r');
            if (!first && *form->comma) ag_marker(out, t, form->comma);
            buf_printf(out, "%s-%dv %s-%dr", name, k, name, k + 1);
            if (!is_required(schema, key)) buf_printf(out, " | %s-%d%c", name, k + 1, first ? 'f' : 'r');
        }
        buf_char(out, '\n');
        buf_free(&value);
        k++;
    }
    buf_printf(out, "%s-%df ::= \"\"\n%s-%dr ::= \"\"\n", name, k, name, k);
    return TAWNY_OK;
}
