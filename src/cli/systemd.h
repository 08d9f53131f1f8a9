/* What systemd (or whoever speaks as it does) gives a server: a socket that listens, and a place to say what it is at. */
#ifndef CLI_SYSTEMD_H
#define CLI_SYSTEMD_H

#include <stddef.h>

/* The socket of LISTEN_FDS, and the address it listens on; *fd is -1 where there is none. -1 to go on, or an exit code.
 * See sd_listen_fds(3). The variables are taken out of the environment: they are not for processes begun here. */
int systemd_socket(int *fd, char *host, size_t size);

/* The socket of NOTIFY_SOCKET, connected; *fd is -1 where there is none. -1 to go on, or an exit code. See sd_notify(3). */
int systemd_open(int *fd);

/* "READY=1", "STOPPING=1": a datagram to it; nothing where fd is -1. -1, or an exit code. */
int systemd_notify(int fd, const char *state);

#endif
