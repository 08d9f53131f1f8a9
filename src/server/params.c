#include "params.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static tawny_status wrong(const param *p, char field[64], tawny_error *err, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static tawny_status wrong(const param *p, char field[64], tawny_error *err, const char *fmt, ...)
{
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    snprintf(field, 64, "%s", p->name);
    return err_set(err, TAWNY_E_ARG, "'%s' must be %s", p->name, what);
}

/* Whole numbers also where they are written 1.0. */
static bool whole(const json_t *v, double *out)
{
    *out = json_is_number(v) ? json_number_value(v) : NAN;
    return json_is_number(v) && *out == floor(*out);
}

static unsigned type_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return JSON_T_OBJECT;
    case JSON_ARRAY: return JSON_T_ARRAY;
    case JSON_STRING: return JSON_T_STRING;
    case JSON_INTEGER: return JSON_T_INTEGER | JSON_T_NUMBER;
    case JSON_REAL: return JSON_T_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE: return JSON_T_BOOL;
    default: return 0;
    }
}

static const struct {
    unsigned type;
    const char *say, *schema;
} types[] = {
    {JSON_T_OBJECT, "an object", "object"}, {JSON_T_ARRAY, "an array", "array"}, {JSON_T_STRING, "a string", "string"},
    {JSON_T_INTEGER, "an integer", "integer"}, {JSON_T_BOOL, "true or false", "boolean"}, {JSON_T_NUMBER, "a number", "number"},
};
enum { TYPES = sizeof types / sizeof *types };

static tawny_status wrong_type(const param *p, char field[64], tawny_error *err)
{
    char list[160];
    size_t at = 0;
    for (int i = 0; i < TYPES; i++)
        if (p->types & types[i].type) at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? " or " : "", types[i].say);
    return wrong(p, field, err, "%s", list);
}

static tawny_status read_one(const param *p, const json_t *v, void *to, char field[64], tawny_error *err)
{
    char *slot = (char *)to + p->offset;
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    switch (p->kind) {
    case PARAM_BOOL: {
        bool b = json_is_true(v);
        if (!json_is_boolean(v)) return wrong(p, field, err, "true or false");
        memcpy(slot, &b, sizeof b);
        return TAWNY_OK;
    }
    case PARAM_INT: {
        if (!whole(v, &x) || x < p->min || x > p->max) return wrong(p, field, err, "an integer from %.0f to %.0f", p->min, p->max);
        int i = (int)x;
        memcpy(slot, &i, sizeof i);
        return TAWNY_OK;
    }
    case PARAM_SEED: {
        if (!json_is_integer(v)) return wrong(p, field, err, "an integer");
        uint64_t u = (uint64_t)json_integer_value(v);
        memcpy(slot, &u, sizeof u);
        return TAWNY_OK;
    }
    case PARAM_NUMBER: {
        float f = (float)x;
        if (!(x >= p->min && x <= p->max)) return wrong(p, field, err, "a number from %.6g to %.6g", p->min, p->max);
        memcpy(slot, &f, sizeof f);
        return TAWNY_OK;
    }
    case PARAM_TEXT: {
        const char *s = json_string_value(v);
        if (!s) return wrong(p, field, err, "a string");
        if ((double)json_string_length(v) > p->max) return wrong(p, field, err, "at most %.0f bytes long", p->max);
        if (strlen(s) != json_string_length(v)) return wrong(p, field, err, "a string without NUL bytes");
        memcpy(slot, &s, sizeof s);
        return TAWNY_OK;
    }
    default:
        if (!(type_of(v) & p->types)) return wrong_type(p, field, err);
        memcpy(slot, &v, sizeof v);
        return TAWNY_OK;
    }
}

tawny_status params_read(const json_t *from, const param *table, void *to, char field[64], tawny_error *err)
{
    for (const param *p = table; p->name; p++) {
        const json_t *v = json_object_get(from, p->name);
        if (p->required && (!v || json_is_null(v))) {
            snprintf(field, 64, "%s", p->name);
            return err_set(err, TAWNY_E_ARG, "'%s' is required", p->name);
        }
        if (!v || json_is_null(v)) continue;
        tawny_status st = read_one(p, v, to, field, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static json_t *schema_of(const param *p)
{
    switch (p->kind) {
    case PARAM_BOOL: return json_pack("{s:[s,s]}", "type", "boolean", "null");
    case PARAM_INT: return json_pack("{s:[s,s],s:f,s:f}", "type", "integer", "null", "minimum", p->min, "maximum", p->max);
    case PARAM_SEED: return json_pack("{s:[s,s]}", "type", "integer", "null");
    case PARAM_NUMBER: return json_pack("{s:[s,s],s:f,s:f}", "type", "number", "null", "minimum", p->min, "maximum", p->max);
    case PARAM_TEXT: return json_pack("{s:[s,s],s:I}", "type", "string", "null", "maxLength", (json_int_t)p->max);
    default: {
        json_t *list = json_array();
        for (int i = 0; i < TYPES; i++)
            if (p->types & types[i].type) json_array_append_new(list, json_string(types[i].schema));
        if (!p->required) json_array_append_new(list, json_string("null"));
        return json_pack("{s:o}", "type", list);
    }
    }
}

json_t *params_schema(const param *const *tables)
{
    json_t *properties = json_object(), *required = json_array();
    for (; *tables; tables++)
        for (const param *p = *tables; p->name; p++) {
            json_t *s = schema_of(p);
            if (p->doc) json_object_set_new(s, "description", json_string(p->doc));
            json_object_set_new(properties, p->name, s);
            if (p->required) json_array_append_new(required, json_string(p->name));
        }
    json_t *all = json_pack("{s:s,s:o}", "type", "object", "properties", properties);
    if (json_array_size(required))
        json_object_set_new(all, "required", required);
    else
        json_decref(required);
    return all;
}
