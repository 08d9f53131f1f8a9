/* How the weights of an opened gguf come into memory: mapped, as it was opened, copied into huge pages, or locked. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/mem.h"
#include "impl.h"

/* Where the data of file i begins, in whole blocks. */
static size_t data_start(const gguf *g, size_t i)
{
    uint64_t start = g->maps[i].size;
    for (size_t k = 0; k < g->n_tensors; k++)
        if (g->tensors[k].split == i && g->tensors[k].offset < start) start = g->tensors[k].offset;
    return (size_t)start / FILE_BLOCK * FILE_BLOCK;
}

/* The sum for all files of the set is held to what is left, so that nothing is read in vain. */
static tawny_status check_room(const gguf *g, uint64_t bytes, tawny_error *err)
{
    uint64_t left = mem_available("");
    if (bytes <= left) return TAWNY_OK;
    return err_set(err, TAWNY_E_NOMEM, "%s: %llu MiB of weights, %llu MiB of memory are left; mapped, they need none",
                   g->label, LLU(bytes >> 20), LLU(left >> 20));
}

static tawny_status copy_weights(gguf *g, tawny_error *err)
{
    tawny_status status;
    uint64_t bytes = 0;
    for (size_t i = 0; i < g->n_maps; i++) bytes += g->maps[i].size - data_start(g, i);
    if ((status = check_room(g, bytes, err))) return status;
    g->copies = calloc(g->n_maps, sizeof *g->copies);
    if (!g->copies) return err_nomem(err);
    for (size_t i = 0; i < g->n_maps; i++) {
        size_t start = data_start(g, i);
        if (start == g->maps[i].size) continue;
        if ((status = file_copy_open(&g->maps[i], start, &g->copies[i], err))) return status;
        for (size_t k = 0; k < g->n_tensors; k++)
            if (g->tensors[k].split == i) g->tensors[k].data = g->copies[i].data + (g->tensors[k].offset - start);
    }
    return TAWNY_OK;
}

static tawny_status lock_weights(const gguf *g, tawny_error *err)
{
    tawny_status status = check_room(g, g->copies ? 0 : gguf_file_bytes(g), err);
    for (size_t i = 0; !status && i < g->n_maps; i++) {
        const void *p = g->copies ? g->copies[i].data : g->maps[i].data;
        size_t n = g->copies ? g->copies[i].size : g->maps[i].size;
        if (n) status = file_lock(g->label, p, n, err);
    }
    return status;
}

tawny_status gguf_load(gguf *g, bool copy, bool lock, tawny_error *err)
{
    tawny_status status = copy ? copy_weights(g, err) : TAWNY_OK;
    return status || !lock ? status : lock_weights(g, err);
}

tawny_status gguf_recache_part(const gguf *g, const gguf_tensor *t, size_t bytes, file_recached *r, tawny_error *err)
{
    return file_recache(&g->maps[t->split], (size_t)t->offset, (size_t)t->offset + bytes, r, err);
}

tawny_status gguf_recache(const gguf *g, file_recached *sum, tawny_error *err)
{
    *sum = (file_recached){0};
    for (size_t i = 0; !sum->useless && i < g->n_maps; i++) {
        file_recached r;
        tawny_status status = file_recache(&g->maps[i], 0, g->maps[i].size, &r, err);
        if (status) return status;
        sum->bytes += r.bytes;
        sum->before += r.before;
        sum->after += r.after;
        sum->again += r.again;
        sum->seconds += r.seconds;
        sum->useless = r.useless;
    }
    return TAWNY_OK;
}

void gguf_place(gguf *g, size_t i, const uint8_t *data) { g->tensors[i].data = data; }

tawny_status gguf_in_cache(const gguf *g, bool sample, file_cached *sum, tawny_error *err)
{
    enum { SAMPLE = 64 << 20 };
    *sum = (file_cached){0};
    for (size_t i = 0; i < (sample ? 1 : g->n_maps); i++) {
        file_cached c;
        size_t size = g->maps[i].size, from = sample && size > SAMPLE ? (size - SAMPLE) / 2 : 0;
        tawny_status status = file_in_cache(&g->maps[i], from, sample ? from + SAMPLE : size, &c, err);
        if (status) return status;
        sum->bytes += c.bytes;
        sum->large += c.large;
        sum->folds = c.folds;
    }
    return TAWNY_OK;
}

uint64_t gguf_bytes_from(const gguf *g, const gguf_tensor *t) { return g->maps[t->split].size - t->offset; }

/* How much of a huge page's bytes is in the page cache; where its first page is, that is touched. */
static size_t cached_bytes(const uint8_t *p)
{
    enum { PAGES = MEM_HUGE / FILE_BLOCK };
    unsigned char in[PAGES];
    size_t n = 0;
    if (sysconf(_SC_PAGESIZE) != FILE_BLOCK || mincore((void *)(uintptr_t)p, MEM_HUGE, in) != 0) return 0;
    for (size_t i = 0; i < PAGES; i++) n += in[i] & 1;
    if (in[0] & 1) (void)*(const volatile uint8_t *)p;
    return n * FILE_BLOCK;
}

double gguf_cached_huge(const gguf *g)
{
    enum { SAMPLES = 64 };
    uint64_t looked = 0, cached = 0;
    mem_pages mapped;
    for (size_t i = 0; i < g->n_maps; i++) {
        size_t pages = g->maps[i].size / MEM_HUGE, each = pages / SAMPLES + 1;
        for (size_t k = 0; k < pages; k += each) {
            looked += MEM_HUGE;
            cached += cached_bytes(g->maps[i].data + k * MEM_HUGE);
        }
    }
    if (!looked || 2 * cached < looked || !gguf_pages(g, &mapped)) return -1;
    double share = (double)mapped.huge / (double)cached; /* the header's own pages may be among them */
    return share < 1 ? share : 1;
}

bool gguf_pages(const gguf *g, mem_pages *out)
{
    *out = (mem_pages){0};
    for (size_t i = 0; i < g->n_maps; i++) {
        mem_pages one;
        const void *p = g->copies ? g->copies[i].data : g->maps[i].data;
        size_t n = g->copies ? g->copies[i].size : g->maps[i].size;
        if (!mem_pages_of(p, n, &one)) return false;
        out->resident += one.resident;
        out->huge += one.huge;
        out->locked += one.locked;
    }
    return true;
}
