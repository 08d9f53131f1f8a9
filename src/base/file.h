/* Files: read-only mappings that survive a shrinking file, whole small files, atomic writes. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "buf.h"
#include "error.h"

/* A file mapped read-only, at an address that lets the kernel map it in huge pages where its page cache holds such. Where a page of it can no longer be read (the file shrank or the device
 * failed: SIGBUS), the fault handler puts a page of zeros in its place and sets `damaged`; whoever
 * computes on the mapping asks file_damaged() before using the result. The process never dies of it. */
typedef struct file_map {
    const uint8_t *data;
    size_t size;
    int slot; /* in the handler's table */
    char *path;
    uint64_t device, inode; /* as it was when it was opened */
} file_map;

/* Refuses directories, pipes and empty files by name. */
tawny_status file_map_open(const char *path, file_map *m, tawny_error *err);
void file_map_close(file_map *m);
bool file_damaged(const file_map *m);

enum { FILE_BLOCK = 4096 }; /* what direct I/O reads in */

/* The bytes of a mapped file from `from` (whole blocks) to its end, read into anonymous memory in huge pages where the
 * kernel gives them: by direct I/O, so that the page cache holds no second copy, or, where that is refused, by way of
 * the page cache, from which they are dropped. A file that is no longer the one that was mapped is refused. */
typedef struct file_copy {
    uint8_t *data; /* read-only */
    size_t size;
} file_copy;
tawny_status file_copy_open(const file_map *m, size_t from, file_copy *c, tawny_error *err);
void file_copy_close(file_copy *c); /* a zeroed one is fine */

/* The page cache of bytes [from, to) of a mapped file, where it lies in small pages, made anew in large ones: put together by
 * the kernel, or dropped and read again from the disk. What other processes have mapped stays as it is. Bytes in whole
 * huge pages; `again`: of pieces that were not in large pages; `useless`: it brought nothing, so it was given up. Nobody
 * may use the range meanwhile (it would be correct, but keep the old pages). */
typedef struct file_recached {
    uint64_t bytes, before, after, again;
    double seconds;
    bool useless;
} file_recached;
tawny_status file_recache(const file_map *m, size_t from, size_t to, file_recached *r, tawny_error *err);

/* How much of that range is in the page cache, in whole huge pages, and of that in large pages; `folds`: whether file system
 * and kernel are known to have such for it. Reads nothing from the disk. */
typedef struct file_cached {
    uint64_t bytes, large;
    bool folds;
} file_cached;
tawny_status file_in_cache(const file_map *m, size_t from, size_t to, file_cached *c, tawny_error *err);

/* Brings n bytes at p into memory and keeps them there until they are unmapped; the error tells the limit. */
tawny_status file_lock(const char *label, const void *p, size_t n, tawny_error *err);

/* Appends all of path ("-" is stdin) to b; more than max bytes is TAWNY_E_LIMIT. */
tawny_status file_read(const char *path, size_t max, buf *b, tawny_error *err);

/* Writes path by a temporary file beside it, fsync and rename. */
tawny_status file_write(const char *path, const void *data, size_t n, tawny_error *err);

/* The same in pieces: open, put any number of times, then commit or abort (either frees o). Where path
 * is a device or a pipe, it is written in place. */
typedef struct file_out {
    int fd;
    char *path;
    char *temp; /* NULL where written in place */
    uint64_t written;
} file_out;

tawny_status file_out_open(const char *path, file_out *o, tawny_error *err);
tawny_status file_out_put(file_out *o, const void *data, size_t n, tawny_error *err);
tawny_status file_out_commit(file_out *o, tawny_error *err);
void file_out_abort(file_out *o);

#endif
