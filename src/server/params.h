/* Parameters of requests: one table a route says name, type and range, and from it come the reading, the error that
 * names the field, and the route's part of the OpenAPI document. */
#ifndef SERVER_PARAMS_H
#define SERVER_PARAMS_H

#include <jansson.h>
#include <stddef.h>

#include "../base/error.h"

typedef enum param_kind {
    PARAM_BOOL,   /* bool */
    PARAM_INT,    /* int, from min to max */
    PARAM_SEED,   /* uint64_t; negative numbers wrap, as -1 does for "random" */
    PARAM_NUMBER, /* float, from min to max */
    PARAM_TEXT,   /* const char *, at most max bytes, no NUL inside */
    PARAM_JSON    /* const json_t *, of the types in `types` */
} param_kind;

enum { /* types of PARAM_JSON */
    JSON_T_OBJECT = 1, JSON_T_ARRAY = 2, JSON_T_STRING = 4, JSON_T_INTEGER = 8, JSON_T_BOOL = 16, JSON_T_NUMBER = 32
};

typedef struct param {
    const char *name;
    param_kind kind;
    size_t offset; /* in what is read into */
    double min, max;
    unsigned types;
    bool required;
    const char *doc;
} param;

#define PARAM_END {NULL, PARAM_BOOL, 0, 0, 0, 0, false, NULL}

/* Reads the table's parameters from object `from` into `to`; what is missing or null leaves `to` as it was, names that
 * are in no table are left alone. TAWNY_E_ARG names the field (also in field[64]) and what it must be. */
tawny_status params_read(const json_t *from, const param *table, void *to, char field[64], tawny_error *err);

/* {"type": "object", "properties": ...} of tables (ended by NULL); NULL when out of memory. */
json_t *params_schema(const param *const *tables);

#endif
