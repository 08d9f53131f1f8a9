/* The KV cache's pages: one reservation of address space, pages handed out and shared by reference count.
 * Memory is used only where pages are touched. */
#ifndef ENGINE_KV_H
#define ENGINE_KV_H

#include "../../models/kv.h"

typedef struct kv_pool {
    uint8_t *base;
    size_t page_bytes;
    int32_t n_pages, n_free;
    int32_t *free_list; /* [n_free] */
    int32_t *refs;      /* [n_pages] */
} kv_pool;

tawny_status kv_pool_init(kv_pool *p, size_t page_bytes, int32_t n_pages, arena *mem, tawny_error *err);
void kv_pool_free(kv_pool *p);

/* Makes positions [from, from + n) writable: pages exist, and none of them is shared (copies on write).
 * TAWNY_E_LIMIT when the pool or the sequence's table is full; nothing is changed then but for fresh pages. */
tawny_status kv_seq_prepare(kv_pool *p, kv_seq *s, int32_t max_pages, int32_t from, int32_t n, tawny_error *err);

/* Drops what lies at or beyond position n. */
void kv_seq_truncate(kv_pool *p, kv_seq *s, int32_t n);

/* Shares all pages of from with the empty sequence to. */
void kv_seq_share(kv_pool *p, kv_seq *to, const kv_seq *from);

/* A further owner of a page, and one less: the last one gives it back. */
void kv_page_hold(kv_pool *p, const uint8_t *page);
void kv_page_drop(kv_pool *p, const uint8_t *page);

#endif
