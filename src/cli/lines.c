#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 16 };

static bool ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0; /* an error is read's to tell */
}

/* More bytes, behind those that are there; false at the end. */
static bool fill(lines *l)
{
    if (l->at) {
        l->data.size -= l->at;
        memmove(l->data.data, l->data.data + l->at, l->data.size);
        l->at = 0;
    }
    ssize_t n = -1;
    if (!buf_reserve(&l->data, PIECE))
        l->error = ENOMEM;
    else
        do
            n = read(l->fd, l->data.data + l->data.size, PIECE);
        while (n < 0 && errno == EINTR);
    if (n < 0 && !l->error) l->error = errno;
    if (n > 0) l->data.size += (size_t)n;
    return n > 0;
}

/* Gives n bytes, of which `end` more are the end of the line. */
static lines_state give(lines *l, size_t n, size_t end, const char **line, size_t *size)
{
    bool whole = !l->skipping && (!l->max || n <= l->max);
    *line = l->data.data ? l->data.data + l->at : "";
    *size = n;
    l->at += n + end;
    l->seen = 0;
    l->skipping = false;
    l->number++;
    return whole ? LINES_ONE : LINES_LONG;
}

lines_state lines_next(lines *l, bool wait, const char **line, size_t *n)
{
    for (;;) {
        size_t there = l->data.size - l->at;
        const char *end = there > l->seen ? memchr(l->data.data + l->at + l->seen, '\n', there - l->seen) : NULL;
        if (end) return give(l, (size_t)(end - l->data.data) - l->at, 1, line, n);
        l->seen = there;
        if (l->over) return there || l->skipping ? give(l, there, 0, line, n) : LINES_END;
        if (l->max && there > l->max) { /* forgets what will not be given */
            l->skipping = true;
            l->data.size = l->at = l->seen = 0;
        }
        if (!wait && !ready(l->fd)) return LINES_NOT_READY;
        l->over = !fill(l);
    }
}

void lines_free(lines *l) { buf_free(&l->data); }
