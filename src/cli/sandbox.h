/* Rights that a process gives up, for itself and all threads it begins later. */
#ifndef CLI_SANDBOX_H
#define CLI_SANDBOX_H

/* No file is opened for writing, made, renamed or removed, no program begun and, by a kernel that knows how, no TCP
 * connection opened. Descriptors that are open stay as they are. NULL, or why it could not be. See landlock(7). */
const char *sandbox_enter(void);
const char *sandbox_missing(void); /* why it could not be, without entering it; NULL: nothing speaks against it */

#endif
