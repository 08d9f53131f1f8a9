/* Files of slots: in one directory, by names alone, and whole or not at all. */
#ifndef SERVER_SLOT_FILE_H
#define SERVER_SLOT_FILE_H

#include <stdint.h>

#include "../base/error.h"

/* Opens the directory: before rights are given up. *fd */
tawny_status slot_dir_open(const char *path, int *fd, tawny_error *err);

/* A name that stays in the directory: no separators, no control characters, no dot first, no "..", and not too long. It is
 * UTF-8 already. */
tawny_status slot_file_check(const char *name, tawny_error *err);

/* A file that is made beside the one it replaces, or read. */
typedef struct slot_file {
    int dir, fd;       /* dir is borrowed */
    const char *name;  /* borrowed */
    uint64_t bytes;    /* so far */
    uint64_t left;     /* of a file that is read */
} slot_file;

/* Nobody sees a byte of it before it is whole: a temporary file beside it (one a name, locked), fsync, rename, fsync of the
 * directory. Links are not followed. */
tawny_status slot_file_create(slot_file *f, int dir, const char *name, tawny_error *err);
tawny_status slot_file_put(void *f, const void *data, size_t n, tawny_error *err);
tawny_status slot_file_commit(slot_file *f, tawny_error *err); /* or it is gone */
void slot_file_abort(slot_file *f);

/* A regular file and no link. */
tawny_status slot_file_open(slot_file *f, int dir, const char *name, tawny_error *err);
tawny_status slot_file_get(void *f, void *data, size_t n, tawny_error *err);
void slot_file_close(slot_file *f);

#endif
