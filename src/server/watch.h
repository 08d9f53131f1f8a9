/* The clients that are connected: how long each may take to ask and to read, who gives way when there is no room for
 * another, and who is told that its answer still comes. */
#ifndef SERVER_WATCH_H
#define SERVER_WATCH_H

#include "../tawny.h"

typedef struct watch watch;
typedef struct client client;
struct exchange;

typedef struct watch_params {
    int most;      /* clients that may be connected: when another comes, who is idle longest gives way */
    int timeout;   /* seconds that a client may be idle: what it sends or reads bit by bit takes this and a little more */
    int ping;      /* seconds without anything sent in a stream until something is; -1: never */
} watch_params;

/* Starts its thread, which sleeps while nobody is connected. */
tawny_status watch_new(const watch_params *p, watch **out, tawny_error *err);
void watch_free(watch *w); /* after all clients have left; NULL is fine */

/* A client is what is known of a connection; all functions take NULL, for which nothing is watched. */
client *watch_add(watch *w, int fd); /* NULL when out of memory */
void watch_remove(client *c);

/* What it is at: nothing yet (the next request may come), sending a request, waiting for its answer (x: a stream to be
 * kept alive, or NULL), reading the last `size` bytes of it. */
void watch_idle(client *c);
void watch_asking(client *c);
void watch_asked_more(client *c, size_t bytes); /* of the body */
void watch_waiting(client *c, struct exchange *x);
void watch_reading(client *c, size_t size);

#endif
