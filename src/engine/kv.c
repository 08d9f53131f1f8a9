#include "kv.h"

#include <string.h>

#include "../base/mem.h"

tawny_status kv_pool_init(kv_pool *p, size_t page_bytes, int32_t n_pages, arena *mem, tawny_error *err)
{
    size_t bytes;
    *p = (kv_pool){.page_bytes = page_bytes, .n_pages = n_pages, .n_free = n_pages};
    p->free_list = arena_array(mem, (size_t)n_pages, sizeof *p->free_list);
    p->refs = arena_array(mem, (size_t)n_pages, sizeof *p->refs);
    if (!p->free_list || !p->refs) return err_nomem(err);
    /* Huge pages, since a head's keys and values are a few KiB here and there. What is touched early is less than one. */
    p->base = __builtin_mul_overflow(page_bytes, (size_t)n_pages, &bytes) ? NULL : mem_map(bytes, bytes >= MEM_HUGE);
    if (!p->base)
        return err_set(err, TAWNY_E_NOMEM, "KV cache: no address space for %d pages of %zu bytes; try a smaller context (-c)", n_pages,
                       page_bytes);
    for (int32_t i = 0; i < n_pages; i++) p->free_list[i] = n_pages - 1 - i;
    return TAWNY_OK;
}

void kv_pool_free(kv_pool *p)
{
    mem_unmap(p->base, p->page_bytes * (size_t)p->n_pages);
    p->base = NULL;
}

static int32_t index_of(const kv_pool *p, const uint8_t *page) { return (int32_t)((size_t)(page - p->base) / p->page_bytes); }

static uint8_t *take(kv_pool *p)
{
    if (!p->n_free) return NULL;
    int32_t i = p->free_list[--p->n_free];
    p->refs[i] = 1;
    return p->base + (size_t)i * p->page_bytes;
}

void kv_page_hold(kv_pool *p, const uint8_t *page) { p->refs[index_of(p, page)]++; }

void kv_page_drop(kv_pool *p, const uint8_t *page)
{
    int32_t i = index_of(p, page);
    if (--p->refs[i] == 0) p->free_list[p->n_free++] = i;
}

tawny_status kv_seq_prepare(kv_pool *p, kv_seq *s, int32_t max_pages, int32_t from, int32_t n, tawny_error *err)
{
    int32_t last = (from + n - 1) / SIMD_PAGE;
    if (last >= max_pages)
        return err_set(err, TAWNY_E_LIMIT, "the context is full: %d positions wanted, %d available", from + n, max_pages * SIMD_PAGE);
    for (int32_t i = from / SIMD_PAGE; i <= last; i++) {
        bool fresh = i >= s->n_pages, shared = !fresh && p->refs[index_of(p, s->page[i])] > 1;
        if (!fresh && !shared) continue;
        uint8_t *page = take(p);
        if (!page) return err_set(err, TAWNY_E_LIMIT, "the KV cache is full: all %d pages are in use", p->n_pages);
        if (shared) {
            memcpy(page, s->page[i], p->page_bytes);
            kv_page_drop(p, s->page[i]);
        } else {
            s->n_pages = i + 1;
        }
        s->page[i] = page;
    }
    return TAWNY_OK;
}

void kv_seq_truncate(kv_pool *p, kv_seq *s, int32_t n)
{
    int32_t keep = (n + SIMD_PAGE - 1) / SIMD_PAGE;
    while (s->n_pages > keep) kv_page_drop(p, s->page[--s->n_pages]);
    if (s->n_tokens > n) s->n_tokens = n;
}

void kv_seq_share(kv_pool *p, kv_seq *to, const kv_seq *from)
{
    for (int32_t i = 0; i < from->n_pages; i++) {
        to->page[i] = from->page[i];
        kv_page_hold(p, from->page[i]);
    }
    to->n_pages = from->n_pages;
    to->n_tokens = from->n_tokens;
}
