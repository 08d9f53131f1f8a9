/* Lines of a file or pipe, for who wants to take together those that are there already. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "../base/buf.h"

typedef struct lines {
    int fd;
    size_t max;      /* bytes of a line; 0: no limit */
    size_t number;   /* of the last line given, from 1 */
    buf data;        /* read, not given yet from `at` on */
    size_t at, seen; /* seen: of the bytes from `at` on, those without an end of line */
    bool over, skipping;
    int error;       /* errno of a read that failed, which ends the lines */
} lines;

typedef enum lines_state {
    LINES_ONE,
    LINES_LONG,      /* one of more than max bytes, left out */
    LINES_NOT_READY, /* none is there without waiting */
    LINES_END
} lines_state;

/* The next line, without its end; valid until the next call. */
lines_state lines_next(lines *l, bool wait, const char **line, size_t *n);
void lines_free(lines *l);

#endif
