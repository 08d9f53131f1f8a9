#include "slot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_MOST = 240, NAME_SIZE = NAME_MOST + 16, TRIES = 8 };

tawny_status slot_dir_open(const char *path, int *fd, tawny_error *err)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? err_errno(err, errno, "--slot-save-path %.300s", path) : TAWNY_OK;
}

tawny_status slot_file_check(const char *name, tawny_error *err)
{
    const char *why = NULL;
    size_t n = strlen(name);
    if (n == 0) why = "it is empty";
    else if (n > NAME_MOST) why = "it has more than 240 bytes";
    else if (name[0] == '.') why = "it begins with a dot";
    else if (strstr(name, "..")) why = "there is \"..\" in it";
    else if (strpbrk(name, "/\\")) why = "there is a separator in it";
    for (size_t i = 0; !why && i < n; i++)
        if ((unsigned char)name[i] < 32 || name[i] == 127 || (name[i] == '\xc2' && (unsigned char)name[i + 1] < 0xa0)) why = "there is a control character in it";
    return why ? err_set(err, TAWNY_E_ARG, "filename: %s", why) : TAWNY_OK;
}

/* Beneath the directory and without following links; a kernel older than Linux 5.6 has only the latter, which is enough for
 * names. */
static int open_beneath(int dir, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)flags, .mode = flags & O_CREAT ? 0600u : 0u,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)fd;
    return openat(dir, name, flags | O_NOFOLLOW, 0600);
}

static tawny_status failed(const slot_file *f, int reason, tawny_error *err)
{
    return err_errno(err, reason, "filename: %s: it cannot be written", f->name);
}

/* ---- writing ---- */

/* Names of users do not begin with a dot. */
static void temp_name(const slot_file *f, char out[NAME_SIZE]) { snprintf(out, NAME_SIZE, ".%s.tmp", f->name); }

/* Whether the name still is the file that was opened: before it was locked somebody else may have renamed it. */
static bool still_there(const slot_file *f, const char *temp)
{
    struct stat ours, there;
    return fstat(f->fd, &ours) == 0 && fstatat(f->dir, temp, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev && S_ISREG(ours.st_mode);
}

tawny_status slot_file_create(slot_file *f, int dir, const char *name, tawny_error *err)
{
    char temp[NAME_SIZE];
    struct stat st;
    *f = (slot_file){.dir = dir, .fd = -1, .name = name};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, TAWNY_E_ARG, "filename: %s: there is something else by this name", name);
    temp_name(f, temp);
    for (int i = 0; i < TRIES; i++) {
        f->fd = open_beneath(dir, temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK);
        if (f->fd < 0) return failed(f, errno, err);
        if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) break;
        if (still_there(f, temp)) {
            if (ftruncate(f->fd, 0) == 0) return TAWNY_OK; /* what a process left that was killed */
            tawny_status failure = failed(f, errno, err);
            slot_file_close(f);
            return failure;
        }
        slot_file_close(f);
    }
    slot_file_close(f);
    return err_set(err, TAWNY_E_LIMIT, "filename: %s: it is being saved already", name);
}

tawny_status slot_file_put(void *file, const void *data, size_t n, tawny_error *err)
{
    slot_file *f = file;
    for (const char *p = data; n;) {
        ssize_t k = write(f->fd, p, n < 1u << 30 ? n : 1u << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return failed(f, errno, err);
        p += k;
        n -= (size_t)k;
        f->bytes += (uint64_t)k;
    }
    return TAWNY_OK;
}

tawny_status slot_file_commit(slot_file *f, tawny_error *err)
{
    char temp[NAME_SIZE];
    temp_name(f, temp);
    if (fsync(f->fd) != 0 || renameat(f->dir, temp, f->dir, f->name) != 0) {
        tawny_status st = failed(f, errno, err);
        slot_file_abort(f);
        return st;
    }
    slot_file_close(f);
    /* a file system that cannot is no error: the file is whole either way */
    fsync(f->dir);
    return TAWNY_OK;
}

void slot_file_abort(slot_file *f)
{
    char temp[NAME_SIZE];
    if (f->fd < 0) return;
    temp_name(f, temp);
    unlinkat(f->dir, temp, 0);
    slot_file_close(f);
}

/* ---- reading ---- */

tawny_status slot_file_open(slot_file *f, int dir, const char *name, tawny_error *err)
{
    struct stat st;
    *f = (slot_file){.dir = dir, .name = name};
    f->fd = open_beneath(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return err_set(err, TAWNY_E_ARG, "filename: %s: there is no such file", name);
    if (f->fd < 0) return err_errno(err, errno, "filename: %s", name);
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        slot_file_close(f);
        return err_set(err, TAWNY_E_ARG, "filename: %s: it is no regular file", name);
    }
    f->left = (uint64_t)st.st_size;
    return TAWNY_OK;
}

tawny_status slot_file_get(void *file, void *data, size_t n, tawny_error *err)
{
    slot_file *f = file;
    if (n > f->left) return err_set(err, TAWNY_E_FORMAT, "filename: %s: it is damaged: it ends early", f->name);
    f->left -= n;
    for (char *p = data; n;) {
        ssize_t k = read(f->fd, p, n < 1u << 30 ? n : 1u << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return err_errno(err, errno, "filename: %s", f->name);
        if (k == 0) return err_set(err, TAWNY_E_FORMAT, "filename: %s: it is damaged: it ends early", f->name);
        p += k;
        n -= (size_t)k;
        f->bytes += (uint64_t)k;
    }
    return TAWNY_OK;
}

void slot_file_close(slot_file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}
