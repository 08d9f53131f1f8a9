/* Servers of the tests' own, each in a process that listens on loopback and dies with the test. */
#ifndef TESTS_LOOPBACK_H
#define TESTS_LOOPBACK_H

#include <sys/types.h>

/* As fork: 0 in the child, where *listener is its socket; in the parent the child's pid. *port is where it listens: any, where it
 * was 0; where that one is taken already, -1 is returned. */
pid_t loopback_fork(int *port, int *listener);
void loopback_end(pid_t pid);

#endif
