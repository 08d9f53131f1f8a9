/* Servers of the tests' own, each in a process that listens on loopback and dies with the test. */
#ifndef TESTS_LOOPBACK_H
#define TESTS_LOOPBACK_H

#include <sys/types.h>

/* A process that answers one connection after the other, and closes each; returns its pid. *port is where it listens: any, where
 * it was 0; where that one is taken already, -1 is returned. */
pid_t loopback_start(int *port, void (*answer)(void *arg, int fd), void *arg);
void loopback_end(pid_t pid);

#endif
