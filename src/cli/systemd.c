#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

enum { FIRST_FD = 3 };

static bool number(const char *text, long *v)
{
    char *end;
    errno = 0;
    *v = strtol(text, &end, 10);
    return end != text && !*end && !errno && *v >= 0;
}

static int check_socket(int fd, char *host, size_t size)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a, one = sizeof(int);
    int listens = 0, type = 0;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return cli_fail(1, "serve: LISTEN_FDS: descriptor %d: %s", fd, strerror(errno));
    bool tcp = a.ss_family == AF_INET || a.ss_family == AF_INET6;
    if (!tcp || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &one) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &one) != 0 || !listens)
        return cli_fail(1, "serve: LISTEN_FDS: descriptor %d is no TCP socket that listens", fd);
    int code = getnameinfo((struct sockaddr *)&a, n, host, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    if (code) return cli_fail(1, "serve: LISTEN_FDS: %s", gai_strerror(code));
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return cli_fail(1, "serve: LISTEN_FDS: %s", strerror(errno));
    return -1;
}

int systemd_socket(int *fd, char *host, size_t size)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    long id, n;
    int code = -1;
    *fd = -1;
    if (!pid || !fds) return -1;
    if (!number(pid, &id)) return cli_fail(2, "serve: LISTEN_PID %s: not a number", pid);
    if (id != (long)getpid()) return -1; /* meant for another process */
    if (!number(fds, &n) || n > 1) return cli_fail(2, "serve: LISTEN_FDS %s: one socket is what a server takes", fds);
    if (n == 1 && (code = check_socket(FIRST_FD, host, size)) < 0) *fd = FIRST_FD;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return code;
}

int systemd_open(int *fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    *fd = -1;
    if (!n) return -1;
    if ((path[0] != '/' && path[0] != '@') || n >= sizeof a.sun_path)
        return cli_fail(2, "serve: NOTIFY_SOCKET %s: not the name of a local socket", path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') a.sun_path[0] = 0; /* an abstract name */
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (s >= 0 && connect(s, (struct sockaddr *)&a, size) == 0) {
        *fd = s;
        return -1;
    }
    int reason = errno;
    if (s >= 0) close(s);
    return cli_fail(1, "serve: NOTIFY_SOCKET %s: %s", path, strerror(reason));
}

int systemd_notify(int fd, const char *state)
{
    if (fd < 0 || send(fd, state, strlen(state), MSG_NOSIGNAL) >= 0) return -1;
    return cli_fail(1, "serve: NOTIFY_SOCKET: %s", strerror(errno));
}
