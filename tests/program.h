/* The program under test, run as a user would run it. */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <stddef.h>

/* Runs `t=.../tawny; command` in a shell, its stdout into out (cut at size, NUL after it); returns the exit code, or
 * 128 + the signal. */
int program_sh(const char *command, char *out, size_t size);

#endif
