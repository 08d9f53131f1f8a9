/* Rights that a process gives up, for itself and all threads it begins later. */
#ifndef CLI_SANDBOX_H
#define CLI_SANDBOX_H

#include <stdbool.h>

/* No file is opened for writing, made, renamed or removed but beneath the open directory `dir` (-1: nowhere), no program begun and, by a kernel that knows how, no TCP
 * connection opened. Descriptors that are open stay as they are. NULL, or why it could not be. See landlock(7). */
const char *sandbox_enter(int dir);
const char *sandbox_missing(void); /* why it could not be, without entering it; NULL: nothing speaks against it */

/* For all threads that there are and will be: no system calls but those that a server needs which has begun. None makes a
 * process, a socket, a connection or memory that is written and run; files are opened for reading, with `writes` also made,
 * filled and renamed. Others fail with EPERM. NULL, or why it could not be. See seccomp(2). */
const char *sandbox_calls(bool writes);
const char *sandbox_calls_missing(void);

#endif
