#include "download.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/file.h"
#include "../base/mem.h"
#include "net.h"
#include "sha256.h"

enum { PATH_SIZE = 4096, TRIES = 5, PATIENCE = 45, STALL = 30 }; /* seconds without progress: over all tries, in one */

tawny_status make_folders(const char *path, tawny_error *err)
{
    char p[PATH_SIZE];
    if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p)
        return err_set(err, TAWNY_E_ARG, "%.200s...: too long a path", path);
    for (char *s = p + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST) return err_errno(err, errno, "%s", p);
    }
    return TAWNY_OK;
}

/* A transfer under way. */
typedef struct state {
    const download *d;
    int fd;
    int64_t at, size; /* bytes written; expected, -1 while it is not known */
    char sha[65];
    tawny_error *err;
    tawny_status failed; /* for good */
    double shown, started;
    int64_t started_at;
    bool bar;
} state;

static void show(state *s, bool last)
{
    enum { WIDTH = 30 };
    double t = clock_now();
    if (!s->bar || (!last && t - s->shown < 0.2)) return;
    s->shown = t;
    double part = s->size > 0 ? (double)s->at / (double)s->size : 0,
           rate = t > s->started ? (double)(s->at - s->started_at) / (t - s->started) : 0;
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = i < (int)(part * WIDTH) ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%.40s [%s] %3.0f%%  %.1f of %.1f MB, %.1f MB/s ", s->d->label, bar, 100 * part,
            (double)s->at / 1e6, (double)s->size / 1e6, rate / 1e6);
    if (last) fputc('\n', stderr);
}

static bool fail(state *s, tawny_status st)
{
    s->failed = st;
    return false;
}

/* The server's idea of the file must be ours. */
static bool agree(state *s, const net_answer *a)
{
    int64_t length = a->length;
    if (s->at > 0 && !a->resumed) { /* it begins again, and so do we */
        if (ftruncate(s->fd, 0) != 0) return fail(s, err_errno(s->err, errno, "%s.incomplete", s->d->path));
        s->at = s->started_at = 0;
    }
    if (s->size < 0) s->size = a->linked_size >= 0 ? a->linked_size : length;
    if (length >= 0 && s->size >= 0 && length != s->size)
        return fail(s, err_set(s->err, TAWNY_E_IO, "%.200s: the server offers %lld bytes, the file has %lld",
                               s->d->url, (long long)length, (long long)s->size));
    struct statvfs disk;
    if (s->size < 0) /* it could go on until the disk is full */
        return fail(s, err_set(s->err, TAWNY_E_IO, "%.200s: the server does not say how long the file is", s->d->url));
    uint64_t want = (uint64_t)(s->size - s->at);
    if (fstatvfs(s->fd, &disk) == 0 && want / disk.f_frsize > disk.f_bavail)
        return fail(s, err_set(s->err, TAWNY_E_IO, "%.150s: %llu MB are to come, %llu MB are free on the disk", s->d->path,
                               (unsigned long long)want / 1000000,
                               (unsigned long long)disk.f_bavail * disk.f_frsize / 1000000));
    if (!s->sha[0] && a->linked_sha[0]) memcpy(s->sha, a->linked_sha, sizeof s->sha);
    return true;
}

static bool take(void *user, const net_answer *a, const void *data, size_t n)
{
    state *s = user;
    if (s->started == 0) {
        s->started = clock_now();
        s->started_at = s->at;
        if (!agree(s, a)) return false;
    }
    if (s->size >= 0 && s->at + (int64_t)n > s->size)
        return fail(s, err_set(s->err, TAWNY_E_IO, "%.200s: more came than the file's %lld bytes", s->d->url,
                               (long long)s->size));
    for (const char *p = data; n;) {
        ssize_t k = pwrite(s->fd, p, n, s->at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return fail(s, err_errno(s->err, k < 0 ? errno : ENOSPC, "%s.incomplete", s->d->path));
        p += k;
        n -= (size_t)k;
        s->at += k;
    }
    show(s, false);
    return true;
}

static bool worth_another_try(long code) { return code == 0 || code == 408 || code == 429 || code / 100 == 5; }

static bool progress(const state *s, int64_t before, double began)
{
    return (double)(s->at - before) > NET_SLOWEST * (clock_now() - began);
}

/* Until the file is whole, or there was no progress TRIES times or for longer than PATIENCE. */
static tawny_status transfer(state *s)
{
    const download *d = s->d;
    double came = clock_now();
    for (int tries = 0; tries < TRIES; tries++) {
        int64_t before = s->at;
        double began = clock_now(), left = came + PATIENCE - began;
        net_answer a;
        net_request r = {.url = d->url, .token = d->token, .from = s->at, .take = take, .user = s,
                         .stall_seconds = left < STALL ? (int)left + 1 : STALL};
        s->started = 0;
        if (s->size >= 0 && s->at == s->size) return TAWNY_OK;
        tawny_status st = net_get(&r, &a, s->err);
        if (s->failed) return s->failed;
        if (st == TAWNY_OK && a.code / 100 == 2 && (s->size < 0 || s->at == s->size)) return TAWNY_OK;
        if (st == TAWNY_OK && a.code == 416 && s->at > 0) { /* what is there is not a part of it */
            if (ftruncate(s->fd, 0) != 0) return err_errno(s->err, errno, "%s.incomplete", d->path);
            s->at = 0;
        } else if (a.code && a.code / 100 != 2 && !worth_another_try(a.code)) {
            if (st != TAWNY_OK) return st; /* redirected without end */
            return err_set(s->err, TAWNY_E_IO, "%.200s: the server answers %ld%s", d->url, a.code,
                           a.code == 401 || a.code == 403 ? " (HF_TOKEN may give access)" : "");
        } else if (st == TAWNY_OK && a.code / 100 == 2) {
            err_set(s->err, TAWNY_E_IO, "%.200s: ended after %lld of %lld bytes", d->url, (long long)s->at,
                    (long long)s->size);
        } else if (st == TAWNY_OK) {
            err_set(s->err, TAWNY_E_IO, "%.200s: the server answers %ld", d->url, a.code);
        }
        if (progress(s, before, began)) {
            tries = -1;
            came = clock_now();
        } else if (clock_now() - came > PATIENCE) {
            break;
        }
        if (tries + 1 < TRIES && tries >= 0)
            nanosleep(&(struct timespec){.tv_nsec = 250000000L << (tries < 2 ? tries : 1)}, NULL);
    }
    return s->err->code ? s->err->code : TAWNY_E_IO;
}

static tawny_status check(state *s)
{
    char sha[65];
    if (!s->sha[0]) return TAWNY_OK;
    tawny_status st = sha256_fd(s->fd, sha, s->err);
    if (st != TAWNY_OK) return st;
    if (strcmp(sha, s->sha) == 0) return TAWNY_OK;
    return err_set(s->err, TAWNY_E_FORMAT, "%.150s: SHA-256 %s came, %s is right; what came was removed", s->d->url,
                   sha, s->sha);
}

/* What was written in the pieces in which it came lies in small pages of the page cache: it is read again in large ones,
 * so that the first program to use it finds those. Only if it fits beside what is in use. */
static void recache(const char *path)
{
    file_map m;
    file_recached r;
    tawny_error err;
    if (file_map_open(path, &m, &err) != TAWNY_OK) return;
    if (m.size < mem_available("")) file_recache(&m, 0, m.size, &r, &err);
    file_map_close(&m);
}

static tawny_status open_incomplete(const char *path, int *fd, tawny_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*fd < 0) return err_errno(err, errno, "%s", path);
    while (flock(*fd, LOCK_EX) != 0)
        if (errno != EINTR) return err_errno(err, errno, "%s: cannot be locked", path);
    return TAWNY_OK;
}

tawny_status download_file(const download *d, tawny_error *err)
{
    char temp[PATH_SIZE];
    struct stat info;
    tawny_error own;
    state s = {.d = d, .fd = -1, .size = d->size, .err = err ? err : &own};
    *s.err = (tawny_error){0};
    if (access(d->path, R_OK) == 0) return TAWNY_OK;
    if (d->sha256) snprintf(s.sha, sizeof s.sha, "%s", d->sha256);
    s.bar = !d->quiet && isatty(2);
    if (snprintf(temp, sizeof temp, "%s.incomplete", d->path) >= (int)sizeof temp)
        return err_set(err, TAWNY_E_ARG, "%.200s...: too long a path", d->path);
    tawny_status st = make_folders(d->path, s.err);
    if (st == TAWNY_OK) st = open_incomplete(temp, &s.fd, s.err);
    if (st != TAWNY_OK || access(d->path, R_OK) == 0) goto end; /* the one we waited for has done it */
    if (fstat(s.fd, &info) == 0) s.at = info.st_size;
    if (s.size >= 0 && s.at > s.size) s.at = 0;
    if ((st = transfer(&s)) != TAWNY_OK) goto end;
    show(&s, true);
    if (ftruncate(s.fd, s.at) != 0 || fsync(s.fd) != 0) st = err_errno(s.err, errno, "%s", temp);
    if (st == TAWNY_OK) {
        recache(temp);
        st = check(&s);
    }
    if (st == TAWNY_E_FORMAT) unlink(temp);
    if (st == TAWNY_OK && rename(temp, d->path) != 0) st = err_errno(s.err, errno, "%s", d->path);
end:
    if (s.fd >= 0) close(s.fd);
    return st;
}
