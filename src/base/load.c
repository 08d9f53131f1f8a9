/* A file's bytes in memory of their own: huge pages, filled past the page cache, by several threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "mem.h"
#include "team.h"

/* What a thread reads at a time: whole huge pages, so that each is made by one thread. */
enum { PIECE = 16 << 20, MAX_THREADS = 8, MIB = 1 << 20 };

typedef struct job {
    int direct, cached; /* the file, opened with O_DIRECT (-1: refused) and without */
    uint8_t *data;
    size_t from, size;  /* data[i] is byte from + i of the file */
    _Atomic size_t next;
    _Atomic int failed; /* errno of the first failure, or -1 where the file ended too early */
    atomic_bool refused; /* O_DIRECT is taken when opening, but not by these reads */
} job;

static void fail(job *j, int why)
{
    int none = 0;
    atomic_compare_exchange_strong(&j->failed, &none, why);
}

/* Whole blocks of [at, end), the last of which ends with the file; false where it does not go this way. */
static bool read_direct(job *j, size_t at, size_t end)
{
    while (at < end) {
        size_t want = (end - at + FILE_BLOCK - 1) / FILE_BLOCK * FILE_BLOCK;
        ssize_t n = pread(j->direct, j->data + at, want, (off_t)(j->from + at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false; /* the other way finds out why */
        at += (size_t)n;
        if (at < end && at % FILE_BLOCK) return false;
    }
    return true;
}

static void read_cached(job *j, size_t at, size_t end)
{
    size_t start = at;
    while (at < end && !atomic_load(&j->failed)) {
        ssize_t n = pread(j->cached, j->data + at, end - at, (off_t)(j->from + at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail(j, n < 0 ? errno : -1);
        else at += (size_t)n;
    }
    /* It leaves the page cache at once, which would hold a second copy. */
    posix_fadvise(j->cached, (off_t)(j->from + start), (off_t)(end - start), POSIX_FADV_DONTNEED);
}

static void *read_pieces(void *arg)
{
    job *j = arg;
    size_t at;
    while (!atomic_load(&j->failed) && (at = atomic_fetch_add(&j->next, PIECE)) < j->size) {
        size_t end = j->size - at > PIECE ? at + PIECE : j->size;
        if (j->direct >= 0 && !atomic_load(&j->refused)) {
            if (read_direct(j, at, end)) continue;
            atomic_store(&j->refused, true);
        }
        read_cached(j, at, end);
    }
    return NULL;
}

static void read_all(job *j)
{
    pthread_t thread[MAX_THREADS];
    int n = 0, wanted = team_default_size() < MAX_THREADS ? team_default_size() : MAX_THREADS;
    while (n < wanted && pthread_create(&thread[n], NULL, read_pieces, j) == 0) n++;
    if (n == 0) read_pieces(j);
    while (n > 0) pthread_join(thread[--n], NULL);
}

tawny_status file_copy_open(const file_map *m, size_t from, file_copy *c, tawny_error *err)
{
    struct stat st;
    tawny_status status = TAWNY_OK;
    size_t size = m->size - from;
    *c = (file_copy){0};
    int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(err, errno, "%s", m->path);
    job j = {.direct = -1, .cached = fd, .from = from, .size = size};
    if (fstat(fd, &st) != 0) {
        status = err_errno(err, errno, "%s", m->path);
        goto end;
    }
    if (st.st_dev != m->device || st.st_ino != m->inode || (uintmax_t)st.st_size != m->size) {
        status = err_set(err, TAWNY_E_DAMAGED, "%s: the file changed while it was opened", m->path);
        goto end;
    }
    j.direct = open(m->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    j.data = mem_map(size, true);
    if (!j.data) {
        status = err_errno(err, errno, "%s: %zu MiB of memory", m->path, size / MIB);
        goto end;
    }
    read_all(&j);
    int failed = atomic_load(&j.failed);
    if (failed) {
        mem_unmap(j.data, size);
        status = failed > 0 ? err_errno(err, failed, "%s", m->path)
                            : err_set(err, TAWNY_E_DAMAGED, "%s: the file shrank while it was read", m->path);
        goto end;
    }
    mprotect(j.data, (size + FILE_BLOCK - 1) / FILE_BLOCK * FILE_BLOCK, PROT_READ);
    *c = (file_copy){.data = j.data, .size = size};
end:
    if (j.direct >= 0) close(j.direct);
    close(fd);
    return status;
}

void file_copy_close(file_copy *c)
{
    mem_unmap(c->data, c->size);
    *c = (file_copy){0};
}

tawny_status file_lock(const char *label, const void *p, size_t n, tawny_error *err)
{
    struct rlimit limit;
    if (mlock(p, n) == 0) return TAWNY_OK;
    int why = errno;
    bool limited = (why == ENOMEM || why == EPERM || why == EAGAIN) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
                   limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < n;
    if (limited)
        return err_set(err, TAWNY_E_LIMIT, "%s: cannot lock %zu MiB in memory: the limit is %llu MiB (ulimit -l)",
                       label, n / MIB, (unsigned long long)limit.rlim_cur / MIB);
    return err_errno(err, why, "%s: cannot lock %zu MiB in memory", label, n / MIB);
}
