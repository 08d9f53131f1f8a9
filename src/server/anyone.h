/* Routes that belong to no door: whether the server lives, and what it counts. */
#ifndef SERVER_ANYONE_H
#define SERVER_ANYONE_H

#include "exchange.h"

void health(exchange *x);
void metrics(exchange *x);

#endif
