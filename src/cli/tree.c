#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, MOST = 4096 };

static bool full(const tree *t, const char *path, char out[PATH_SIZE])
{
    return snprintf(out, PATH_SIZE, "%s%s", t->root, path) < PATH_SIZE;
}

long tree_read(const tree *t, const char *path, char *data, size_t size)
{
    char p[PATH_SIZE];
    data[0] = 0;
    int fd = full(t, path, p) ? open(p, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) return -1;
    size_t n = 0;
    for (ssize_t k; n < size - 1 && (k = read(fd, data + n, size - 1 - n)) > 0;) n += (size_t)k;
    close(fd);
    data[n] = 0;
    return (long)n;
}

bool tree_line(const tree *t, const char *path, char *line, size_t size)
{
    if (tree_read(t, path, line, size) <= 0) return false;
    line[strcspn(line, "\n")] = 0;
    return true;
}

long long tree_number(const tree *t, const char *path, long long missing)
{
    char line[64], *end;
    if (!tree_line(t, path, line, sizeof line)) return missing;
    long long v = strtoll(line, &end, 10);
    return end == line ? missing : v;
}

bool tree_value(const tree *t, const char *path, const char *key, char *value, size_t size)
{
    char p[PATH_SIZE], *line = NULL;
    size_t cap = 0, n = strlen(key);
    bool found = false;
    FILE *f = full(t, path, p) ? fopen(p, "re") : NULL;
    while (f && !found && getline(&line, &cap, f) > 0) {
        if (strncmp(line, key, n) != 0 || !strchr(" \t:", line[n])) continue;
        const char *v = line + n + strspn(line + n, " \t:");
        snprintf(value, size, "%.*s", (int)strcspn(v, "\n"), v);
        found = true;
    }
    free(line);
    if (f) fclose(f);
    return found;
}

bool tree_package(const tree *t, const char *name, char *version, size_t size)
{
    char p[PATH_SIZE], *line = NULL;
    size_t cap = 0;
    bool in = false, found = false;
    FILE *f = full(t, "/var/lib/dpkg/status", p) ? fopen(p, "re") : NULL;
    while (f && !found && getline(&line, &cap, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "Package: ", 9) == 0) in = strcmp(line + 9, name) == 0;
        if (!in || strncmp(line, "Version: ", 9) != 0) continue;
        snprintf(version, size, "%s", line + 9);
        found = true;
    }
    free(line);
    if (f) fclose(f);
    return found;
}

bool tree_exists(const tree *t, const char *path)
{
    char p[PATH_SIZE];
    struct stat s;
    return full(t, path, p) && stat(p, &s) == 0;
}

bool tree_open_to_us(const tree *t, const char *path)
{
    char p[PATH_SIZE];
    struct stat s;
    if (!full(t, path, p)) return false;
    return t->root[0] ? stat(p, &s) == 0 && (s.st_mode & 0006) == 0006 : access(p, R_OK | W_OK) == 0;
}

static int visible(const struct dirent *e) { return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0; }

void tree_each(const tree *t, const char *dir, void (*see)(void *user, const char *name), void *user)
{
    char p[PATH_SIZE];
    struct dirent **list;
    int n = full(t, dir, p) ? scandir(p, &list, visible, versionsort) : -1;
    for (int i = 0; i < n; i++) {
        if (i < MOST) see(user, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0) free(list);
}
