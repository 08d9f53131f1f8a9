/* Small files of /sys, /proc and /etc, below a root: this machine's (""), or a recorded one. */
#ifndef CLI_TREE_H
#define CLI_TREE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tree {
    const char *root;
} tree;

/* The first line of a file without its newline, cut to size; false where it cannot be read. */
bool tree_line(const tree *t, const char *path, char *line, size_t size);
/* The whole of a file of at most size - 1 bytes (cut there), with a NUL; the number of bytes, or -1. */
long tree_read(const tree *t, const char *path, char *data, size_t size);
/* A number in a file that holds nothing else; `missing` where there is none. */
long long tree_number(const tree *t, const char *path, long long missing);
/* The value after "key" and a colon or blanks at the start of a line of the file. */
bool tree_value(const tree *t, const char *path, const char *key, char *value, size_t size);

/* The version of an installed Debian package. */
bool tree_package(const tree *t, const char *name, char *version, size_t size);

bool tree_exists(const tree *t, const char *path);
/* May this user read and write it? In a recorded tree, whose owners are nobody's: may everybody? */
bool tree_open_to_us(const tree *t, const char *path);

/* Calls see with each entry of a folder, in order of their names; "." and ".." are left out. */
void tree_each(const tree *t, const char *dir, void (*see)(void *user, const char *name), void *user);

#endif
