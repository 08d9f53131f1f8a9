/* GET /openapi.json: the interface as OpenAPI 3.1, made of the routes and their tables. */
#ifndef SERVER_OPENAPI_H
#define SERVER_OPENAPI_H

#include "exchange.h"

/* openapi_shapes.c: adds to the properties of a route's body what its tables do not say. */
void openapi_shape(const route *r, json_t *properties);

char *openapi_text(const server *sv); /* the document, made once; the caller's to free; NULL when out of memory */
void openapi(exchange *x);

#endif
