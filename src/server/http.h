/* HTTP by libmicrohttpd: connections, limits, who may ask, and the way from requests to exchanges and back. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "exchange.h"

typedef struct http http;

/* Listens; sv->port is set. */
tawny_status http_start(server *sv, http **out, tawny_error *err);
void http_stop(http *h);    /* after all tasks have ended; NULL is fine */

/* The value of a header or query parameter of the exchange's request; NULL where there is none. */
const char *http_header(const exchange *x, const char *name);
const char *http_query(const exchange *x, const char *name);
/* What follows the route's path where it ends in a slash and a star ("/slots/" + "*"). */
const char *http_rest(const exchange *x);

/* All routes, ended by one without a path. */
extern const route server_routes[];

#endif
