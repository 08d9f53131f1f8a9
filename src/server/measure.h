/* How fast memory can be read: the ceiling of generation, beside which /metrics tells what is reached. */
#ifndef SERVER_MEASURE_H
#define SERVER_MEASURE_H

#include "exchange.h"

/* GB/s with as many threads as the engine has, in half a second, before anything else runs; 0 where it fails. */
double measure_read(int threads);

void measure_now(exchange *x); /* POST /measure: the same in pieces between steps */

#endif
