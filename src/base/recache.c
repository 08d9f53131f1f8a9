/* A file's page cache in large pages: what lies in small ones is dropped and read again, piece by piece.
 *
 * The kernel maps cached pages of a file by entries for 2 MiB where they lie in folios of that size. It makes such folios
 * when a mapping that asks for huge pages faults a file in, on file systems that can (ext4 from Linux 6.16, XFS from
 * 5.18); what was written or read in another way lies in smaller ones, until it is dropped. Where the kernel can put small
 * ones together in memory (MADV_COLLAPSE: tmpfs, and any file with CONFIG_READ_ONLY_THP_FOR_FS), nothing is read again. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "mem.h"

/* Linux 5.14 and 6.1; the C library may be older. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { PIECE = 64 << 20, MAX_THREADS = 4, GOOD_PERCENT = 90, PAGE = 4096 };

typedef struct job {
    bool look; /* count alone: of what is in memory */
    const file_map *map;
    int fd;
    size_t end;
    _Atomic size_t next;
    _Atomic uint64_t bytes, before, after, again;
    atomic_bool useless;
} job;

/* Of n bytes (whole huge pages, but for the end of the file) mapped at p: those in huge pages, after a touch of each. */
static uint64_t huge_bytes(uint8_t *p, size_t n)
{
    mem_pages pages;
    for (size_t i = 0; i < n; i += MEM_HUGE)
        if (madvise(p + i, PAGE, MADV_POPULATE_READ) != 0) return 0;
    return mem_pages_of(p, n, &pages) ? pages.huge : 0;
}

/* The same of whole huge pages whose first page is in memory; *in: how much that is. Nothing is read from the disk. */
static uint64_t huge_in_memory(uint8_t *p, size_t n, uint64_t *in)
{
    mem_pages pages;
    for (size_t i = 0; i + MEM_HUGE <= n; i += MEM_HUGE) {
        unsigned char there = 0;
        if (mincore(p + i, PAGE, &there) != 0 || !(there & 1) || madvise(p + i, PAGE, MADV_POPULATE_READ) != 0) continue;
        *in += MEM_HUGE;
    }
    return mem_pages_of(p, n, &pages) ? pages.huge : 0;
}

static void drop(const job *j, uint8_t *p, size_t at, size_t n)
{
    madvise(p, n, MADV_DONTNEED);
    madvise((void *)(uintptr_t)(j->map->data + at), n, MADV_DONTNEED); /* what is mapped anywhere stays in the cache */
    sync_file_range(j->fd, (off_t)at, (off_t)n,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(j->fd, (off_t)at, (off_t)n, POSIX_FADV_DONTNEED);
}

/* The piece at `at`, seen through a mapping of its own at `window`. False: not one of its pages became a large one. */
static bool fold_piece(job *j, uint8_t *window, size_t at)
{
    size_t n = j->end - at < PIECE ? j->end - at : PIECE, whole = n / MEM_HUGE * MEM_HUGE;
    uint8_t *p = mmap(window, n, PROT_READ, MAP_PRIVATE | MAP_FIXED, j->fd, (off_t)at);
    if (p == MAP_FAILED) return false;
    madvise(p, n, MADV_HUGEPAGE);
    if (j->look) {
        uint64_t in = 0;
        atomic_fetch_add(&j->before, huge_in_memory(p, n, &in));
        atomic_fetch_add(&j->bytes, in);
        return true;
    }
    uint64_t before = huge_bytes(p, n), after = before;
    bool good = before * 100 >= (uint64_t)whole * GOOD_PERCENT;
    if (!good) {
        if (madvise(p, whole, MADV_COLLAPSE) != 0 || (after = huge_bytes(p, n)) < whole) {
            drop(j, p, at, n);
            madvise(p, n, MADV_POPULATE_READ);
            after = huge_bytes(p, n);
        }
        atomic_fetch_add(&j->again, n);
    }
    atomic_fetch_add(&j->bytes, whole);
    atomic_fetch_add(&j->before, before);
    atomic_fetch_add(&j->after, after);
    return good || after > before;
}

static void *fold_pieces(void *arg)
{
    job *j = arg;
    size_t room = PIECE + MEM_HUGE, at;
    uint8_t *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return NULL;
    uint8_t *window = reserved + (MEM_HUGE - (uintptr_t)reserved % MEM_HUGE) % MEM_HUGE;
    while (!atomic_load(&j->useless) && (at = atomic_fetch_add(&j->next, PIECE)) < j->end)
        if (!fold_piece(j, window, at) && atomic_load(&j->after) == atomic_load(&j->before)) atomic_store(&j->useless, true);
    munmap(reserved, room);
    return NULL;
}

/* The first piece alone tells whether it helps here; others share the rest. */
static void fold_all(job *j)
{
    pthread_t thread[MAX_THREADS];
    int n = 0;
    size_t end = j->end;
    if (end - j->next > PIECE) j->end = j->next + PIECE;
    fold_pieces(j);
    atomic_store(&j->next, j->end);
    j->end = end;
    if (atomic_load(&j->useless)) return;
    while (n < MAX_THREADS - 1 && pthread_create(&thread[n], NULL, fold_pieces, j) == 0) n++;
    fold_pieces(j);
    while (n > 0) pthread_join(thread[--n], NULL);
}

/* The file again, if it still is the one that was mapped. */
static tawny_status open_same(const file_map *m, int *fd, tawny_error *err)
{
    struct stat st;
    *fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return err_errno(err, errno, "%s", m->path);
    if (fstat(*fd, &st) == 0 && st.st_dev == m->device && st.st_ino == m->inode && (uintmax_t)st.st_size == m->size) return TAWNY_OK;
    close(*fd);
    return err_set(err, TAWNY_E_DAMAGED, "%s: the file changed while it was opened", m->path);
}

tawny_status file_recache(const file_map *m, size_t from, size_t to, file_recached *r, tawny_error *err)
{
    double start = clock_now();
    job j = {.map = m, .end = to < m->size ? to : m->size, .next = from / MEM_HUGE * MEM_HUGE};
    *r = (file_recached){0};
    tawny_status status = open_same(m, &j.fd, err);
    if (status) return status;
    if (m->size >= MEM_HUGE && j.next < j.end) fold_all(&j);
    *r = (file_recached){j.bytes, j.before, j.after, j.again, clock_now() - start, j.useless};
    close(j.fd);
    return TAWNY_OK;
}

/* By the documentation of the kernel (Documentation/filesystems, and the releases that called mapping_set_large_folios):
 * whether what is read again would come in large pages. Distributions may have it earlier. */
static bool folds(int fd)
{
    static const struct {
        long magic;
        int major, minor;
    } known[] = {{0xEF53 /* ext4 */, 6, 16}, {0x58465342 /* XFS */, 5, 18}, {0x01021994 /* tmpfs, by collapsing */, 6, 1}};
    struct statfs fs;
    struct utsname u;
    int major = 0, minor = 0;
    if (fstatfs(fd, &fs) != 0 || uname(&u) != 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2) return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (fs.f_type == known[i].magic)
            return major > known[i].major || (major == known[i].major && minor >= known[i].minor);
    return false;
}

tawny_status file_in_cache(const file_map *m, size_t from, size_t to, file_cached *c, tawny_error *err)
{
    job j = {.look = true, .map = m, .end = to < m->size ? to : m->size, .next = from / MEM_HUGE * MEM_HUGE};
    *c = (file_cached){0};
    tawny_status status = open_same(m, &j.fd, err);
    if (status) return status;
    fold_pieces(&j);
    *c = (file_cached){j.bytes, j.before, folds(j.fd)};
    close(j.fd);
    return TAWNY_OK;
}
