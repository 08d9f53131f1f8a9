#include "header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/buf.h"
#include "../base/clock.h"
#include "../gguf/gguf.h"
#include "net.h"

/* Seconds for a file, and for each further one of a set: all together are to end. */
enum { PATIENCE = 120, PATIENCE_MORE = 4 };

typedef struct head {
    int fd;
    int64_t at, most;
} head;

static bool is_gguf(int fd)
{
    char magic[4];
    return pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
}

/* Writes n bytes at *at, which moves behind them. */
static bool put(int fd, const void *data, size_t n, int64_t *at)
{
    for (const char *p = data; n;) {
        ssize_t w = pwrite(fd, p, n, *at);
        if (w <= 0) return false;
        p += w;
        n -= (size_t)w;
        *at += w;
    }
    return true;
}

static bool take(void *user, const net_answer *a, const void *data, size_t n)
{
    head *h = user;
    (void)a;
    size_t room = (size_t)(h->most - h->at);
    return put(h->fd, data, n < room ? n : room, &h->at) && h->at < h->most;
}

static int seconds_until(double end)
{
    double left = end - clock_now();
    return left > 1 ? (int)left : 1;
}

/* The file up to byte h->most. */
static tawny_status fetch(head *h, const char *url, const char *token, double end, tawny_error *err)
{
    net_answer a;
    int64_t before = h->at;
    net_request r = {.url = url, .token = token, .from = h->at, .count = h->most - h->at, .take = take, .user = h,
                     .total_seconds = seconds_until(end)};
    tawny_status st = net_get(&r, &a, err);
    if (st == TAWNY_OK && before > 0 && a.code == 200) { /* no ranges here: all of it, from the start */
        h->at = 0;
        r.from = r.count = 0;
        r.total_seconds = seconds_until(end);
        st = net_get(&r, &a, err);
    }
    if (st == TAWNY_OK && a.code / 100 != 2)
        st = err_set(err, TAWNY_E_IO, "%.200s: the server answers %ld%s", url, a.code,
                     a.code == 401 || a.code == 403 ? " (HF_TOKEN may give access)" : "");
    return st;
}

/* The header of one file, larger and larger beginnings of which are tried. */
static tawny_status fetch_one(const char *url, const char *token, int64_t first, double end, int *fd, gguf **out, tawny_error *err)
{
    const int64_t most = 1 << 28; /* vocabularies of today take up to 20 MB */
    char path[64];
    head h = {.fd = memfd_create("header", MFD_CLOEXEC)};
    tawny_status st = TAWNY_OK;
    if (h.fd < 0) return err_errno(err, errno, "%.200s", url);
    snprintf(path, sizeof path, "/proc/self/fd/%d", h.fd);
    for (h.most = first; h.most <= most; h.most *= 4) {
        if ((st = fetch(&h, url, token, end, err)) != TAWNY_OK) break;
        st = gguf_open(path, GGUF_HEADER_ONLY | GGUF_NO_SPLITS, out, err);
        if (st == TAWNY_OK) {
            *fd = h.fd;
            return st;
        }
        if (h.at < h.most || !is_gguf(h.fd)) { /* that was all there is, or more would not help */
            const char *why = strncmp(err->message, path, strlen(path)) == 0 ? err->message + strlen(path) : err->message;
            char said[200];
            snprintf(said, sizeof said, "%.190s", why + strspn(why, ": "));
            err_set(err, st, "%.200s: no GGUF header: %s", url, said);
            break;
        }
    }
    if (h.most > most) st = err_set(err, TAWNY_E_LIMIT, "%.200s: the header is longer than %lld MiB", url, (long long)most >> 20);
    close(h.fd);
    return st;
}

/* What a file says of the set that it belongs to: file `no` of `count`, with so many tensors in all. */
static tawny_status check_place(const gguf *g, const char *url, uint32_t no, uint32_t count, uint32_t *tensors, tawny_error *err)
{
    uint32_t its_no = 0, its_count = 1;
    tawny_error unused;
    gguf_opt_u32(g, "split.count", 0, UINT32_MAX, &its_count, &unused);
    gguf_opt_u32(g, "split.no", 0, UINT32_MAX, &its_no, &unused);
    gguf_opt_u32(g, "split.tensors.count", 0, UINT32_MAX, tensors, &unused);
    if (its_count <= 1 && count == 1) return TAWNY_OK;
    if (its_count == count && its_no == no) return TAWNY_OK;
    return err_set(err, TAWNY_E_FORMAT, "%.200s: by its name file %u of %u, by its header %llu of %u", url, no + 1, count,
                   (unsigned long long)its_no + 1, its_count);
}

static void add(gguf_writer *w, const gguf *g, bool metadata)
{
    for (size_t i = 0; metadata && i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, NULL);
    }
}

/* Writes what was collected of a set as one header. */
static tawny_status join(gguf_writer *w, const char *url, int *fd, tawny_error *err)
{
    static const char *const of_sets[] = {"split.no", "split.count", "split.tensors.count"};
    buf b = {0};
    for (size_t i = 0; i < sizeof of_sets / sizeof *of_sets; i++) gguf_writer_drop(w, of_sets[i]);
    tawny_status st = gguf_writer_header(w, url, &b, err);
    *fd = st == TAWNY_OK ? memfd_create("header", MFD_CLOEXEC) : -1;
    int64_t at = 0;
    if (st == TAWNY_OK && (*fd < 0 || !put(*fd, b.data, b.size, &at))) st = err_errno(err, errno, "%.200s", url);
    if (st != TAWNY_OK && *fd >= 0) close(*fd);
    buf_free(&b);
    return st;
}

tawny_status header_fetch(const char *const *urls, int n, const char *token, int *fd, tawny_error *err)
{
    const int64_t first = 1 << 20, further = 1 << 17; /* a further file has tensors alone */
    double end = clock_now() + PATIENCE + PATIENCE_MORE * (n - 1);
    gguf_writer *w = gguf_writer_new();
    uint64_t found = 0;
    uint32_t all = 0;
    tawny_error own;
    tawny_status st = w ? TAWNY_OK : err_nomem(err);
    if (!err) err = &own;
    for (int i = 0; st == TAWNY_OK && i < n; i++) {
        gguf *g = NULL;
        int one = -1;
        uint32_t tensors = 0;
        st = fetch_one(urls[i], token, i ? further : first, end, &one, &g, err);
        if (st == TAWNY_OK) st = check_place(g, urls[i], (uint32_t)i, (uint32_t)n, &tensors, err);
        if (st == TAWNY_OK && n > 1) {
            found += gguf_tensor_count(g);
            if (i == 0) all = tensors;
            add(w, g, i == 0);
        }
        gguf_close(g);
        if (n == 1 && st == TAWNY_OK) *fd = one;
        else if (one >= 0) close(one);
    }
    if (st == TAWNY_OK && n > 1 && found != all)
        st = err_set(err, TAWNY_E_FORMAT, "%.200s: the set has %u tensors, its %d files hold %llu", urls[0], all, n,
                     (unsigned long long)found);
    if (st == TAWNY_OK && n > 1) st = join(w, urls[0], fd, err);
    gguf_writer_free(w);
    return st;
}
