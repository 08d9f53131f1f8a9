#include "file.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The table of live mappings. The handler reads it without locks, so a slot is claimed by `used`,
 * filled, and only then published by `start`; closing withdraws `start` before it unmaps. */
enum { MAPPINGS = 4096 };

static struct {
    atomic_bool used;
    atomic_bool damaged;
    _Atomic uintptr_t start; /* 0: not published */
    _Atomic size_t size;     /* whole pages */
} table[MAPPINGS];

static atomic_int table_end; /* one past the highest slot ever used */
static struct sigaction former;
static uintptr_t page_size;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;
static int guard_errno;

/* Puts zeros over the mapping from the faulting page to its end. The whole rest, since what lies behind
 * a lost page is usually lost as well, and since a fault a page would split the mapping into more
 * pieces than the kernel allows. */
static bool repair(uintptr_t at)
{
    int n = atomic_load_explicit(&table_end, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        uintptr_t start = atomic_load_explicit(&table[i].start, memory_order_acquire);
        size_t size = atomic_load_explicit(&table[i].size, memory_order_relaxed);
        if (start == 0 || at < start || at - start >= size) continue;
        uintptr_t page = at - at % page_size;
        atomic_store(&table[i].damaged, true);
        return mmap((void *)page, size - (page - start), PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    bool done = info->si_code > 0 && repair((uintptr_t)info->si_addr);
    errno = saved;
    if (done) return;
    if (former.sa_flags & SA_SIGINFO) {
        former.sa_sigaction(sig, info, context);
    } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
        former.sa_handler(sig);
    } else if (info->si_code > 0 || former.sa_handler == SIG_DFL) {
        signal(sig, SIG_DFL); /* not ours: the instruction faults again, or the sent signal arrives again */
        if (info->si_code <= 0) raise(sig);
    }
}

static void install_guard(void)
{
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGBUS, NULL, &former) != 0 || sigaction(SIGBUS, &sa, NULL) != 0) guard_errno = errno;
}

static int claim_slot(void)
{
    for (int i = 0; i < MAPPINGS; i++) {
        bool free_slot = false;
        if (!atomic_compare_exchange_strong(&table[i].used, &free_slot, true)) continue;
        int end = atomic_load(&table_end);
        while (end <= i && !atomic_compare_exchange_weak(&table_end, &end, i + 1)) {}
        atomic_store(&table[i].damaged, false);
        return i;
    }
    return -1;
}

static void release_slot(int i)
{
    atomic_store_explicit(&table[i].start, 0, memory_order_seq_cst);
    atomic_store(&table[i].used, false);
}

/* Maps a file where its huge pages would be the memory's, and asks for such when it is read. MAP_FAILED with errno. */
static void *map_aligned(int fd, size_t size)
{
    if (size < MEM_HUGE) return mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    size_t whole = (size + page_size - 1) / page_size * page_size, room = whole + MEM_HUGE;
    uint8_t *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return p;
    size_t before = (MEM_HUGE - (uintptr_t)p % MEM_HUGE) % MEM_HUGE;
    void *at = mmap(p + before, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED) {
        int why = errno;
        munmap(p, room);
        errno = why;
        return at;
    }
    if (before) munmap(p, before);
    munmap(p + before + whole, MEM_HUGE - before);
    madvise(at, size, MADV_HUGEPAGE); /* refused by kernels without; what is read from the disk then comes in large pages */
    return at;
}

tawny_status file_map_open(const char *path, file_map *m, tawny_error *err)
{
    *m = (file_map){.slot = -1};
    pthread_once(&guard_once, install_guard);
    if (guard_errno) return err_errno(err, guard_errno, "cannot guard mappings against SIGBUS");

    struct stat st;
    tawny_status status = TAWNY_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (fd < 0) return err_errno(err, errno, "%s", path);
    if (fstat(fd, &st) != 0) {
        status = err_errno(err, errno, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = err_set(err, TAWNY_E_IO, "%s: %s", path,
                         S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    } else if (st.st_size <= 0) {
        status = err_set(err, TAWNY_E_FORMAT, "%s: the file is empty", path);
    } else if ((uintmax_t)st.st_size > PTRDIFF_MAX - page_size - MEM_HUGE) {
        status = err_set(err, TAWNY_E_LIMIT, "%s: too large to map", path);
    }
    if (status) goto end;

    size_t size = (size_t)st.st_size;
    int slot = claim_slot();
    if (slot < 0) {
        status = err_set(err, TAWNY_E_LIMIT, "%s: more than %d files are mapped", path, MAPPINGS);
        goto end;
    }
    void *p = map_aligned(fd, size);
    if (p == MAP_FAILED) {
        status = err_errno(err, errno, "%s: cannot map %zu bytes", path, size);
        release_slot(slot);
        goto end;
    }
    char *copy = strdup(path);
    if (!copy) {
        status = err_nomem(err);
        munmap(p, size);
        release_slot(slot);
        goto end;
    }
    atomic_store(&table[slot].size, (size + page_size - 1) / page_size * page_size);
    atomic_store_explicit(&table[slot].start, (uintptr_t)p, memory_order_release);
    *m = (file_map){
        .data = p, .size = size, .slot = slot, .path = copy, .device = st.st_dev, .inode = st.st_ino};
end:
    close(fd);
    return status;
}

void file_map_close(file_map *m)
{
    if (m->data) {
        /* Withdrawn first: after munmap the addresses may belong to somebody else. */
        atomic_store_explicit(&table[m->slot].start, 0, memory_order_seq_cst);
        munmap((void *)(uintptr_t)m->data, m->size);
        release_slot(m->slot);
        free(m->path);
    }
    *m = (file_map){.slot = -1};
}

bool file_damaged(const file_map *m) { return m->data && atomic_load(&table[m->slot].damaged); }

tawny_status file_read(const char *path, size_t max, buf *b, tawny_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", name);

    tawny_status status = TAWNY_OK;
    size_t got = 0;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uintmax_t)st.st_size <= max)
        buf_reserve(b, (size_t)st.st_size);
    for (;;) {
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = err_errno(err, errno, "%s", name);
        if (n <= 0) break;
        if ((size_t)n > max - got) {
            status = err_set(err, TAWNY_E_LIMIT, "%s: more than %zu bytes", name, max);
            break;
        }
        got += (size_t)n;
        if (!buf_add(b, chunk, (size_t)n)) {
            status = err_nomem(err);
            break;
        }
    }
    if (!standard) close(fd);
    return status;
}

/* Makes the directory entry of the renamed file durable; a file system that cannot is not an error. */
static void sync_directory(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

tawny_status file_out_open(const char *path, file_out *o, tawny_error *err)
{
    static atomic_uint counter;
    *o = (file_out){.fd = -1};
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) return err_set(err, TAWNY_E_IO, "%s: is a directory", path);

    o->path = exists ? realpath(path, NULL) : strdup(path); /* a link stays a link */
    if (!o->path) return err_errno(err, errno, "%s", path);
    if (exists && !S_ISREG(st.st_mode)) { /* a device or a pipe is written in place */
        o->fd = open(o->path, O_WRONLY | O_CLOEXEC);
    } else {
        size_t room = strlen(o->path) + 64;
        o->temp = malloc(room);
        if (!o->temp) {
            file_out_abort(o);
            return err_nomem(err);
        }
        for (int tries = 0; tries < 100 && o->fd < 0; tries++) {
            snprintf(o->temp, room, "%s.tmp-%ld-%u", o->path, (long)getpid(), atomic_fetch_add(&counter, 1));
            o->fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (o->fd < 0 && errno != EEXIST) break;
        }
    }
    if (o->fd >= 0) return TAWNY_OK;
    int e = errno;
    free(o->temp);
    o->temp = NULL;
    file_out_abort(o);
    return err_errno(err, e, "%s: cannot be written", path);
}

tawny_status file_out_put(file_out *o, const void *data, size_t n, tawny_error *err)
{
    const char *p = data;
    while (n) {
        ssize_t k = write(o->fd, p, n < 1u << 30 ? n : 1u << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return err_errno(err, errno, "%s: cannot be written", o->path);
        p += k;
        n -= (size_t)k;
        o->written += (uint64_t)k;
    }
    return TAWNY_OK;
}

tawny_status file_out_commit(file_out *o, tawny_error *err)
{
    tawny_status status = TAWNY_OK;
    if (o->temp && fsync(o->fd) != 0) status = err_errno(err, errno, "%s: cannot be written", o->path);
    int fd = o->fd;
    o->fd = -1;
    if (close(fd) != 0 && !status) status = err_errno(err, errno, "%s: cannot be written", o->path);
    if (!status && o->temp) {
        if (rename(o->temp, o->path) != 0) {
            status = err_errno(err, errno, "%s: cannot be renamed to %s", o->temp, o->path);
        } else {
            free(o->temp);
            o->temp = NULL;
            sync_directory(o->path);
        }
    }
    file_out_abort(o);
    return status;
}

void file_out_abort(file_out *o)
{
    if (o->fd >= 0) close(o->fd);
    if (o->temp) unlink(o->temp);
    free(o->temp);
    free(o->path);
    *o = (file_out){.fd = -1};
}

tawny_status file_write(const char *path, const void *data, size_t n, tawny_error *err)
{
    file_out o;
    tawny_status status = file_out_open(path, &o, err);
    if (status) return status;
    status = file_out_put(&o, data, n, err);
    if (!status) return file_out_commit(&o, err);
    file_out_abort(&o);
    return status;
}
