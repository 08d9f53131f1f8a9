/* Memory as the kernel accounts for it: what may still be used, and in pages of which size a range lies. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that this process may still take without swapping: MemAvailable, or less where a control group (version 1
 * or 2) or one above it sets a limit. root: "" (tests: a folder that holds proc/ and sys/). UINT64_MAX where nothing
 * tells. */
uint64_t mem_available(const char *root);

/* The least limit of this process's control groups, whatever is used of it; UINT64_MAX where there is none (version 1 says a
 * number beyond all memory instead). */
uint64_t mem_group_limit(const char *root);

typedef struct mem_pages {
    uint64_t resident, huge, locked; /* bytes; huge: of those resident, mapped by entries for 2 MiB and more */
} mem_pages;

/* What of n bytes at p is in memory, and how. False where /proc/self/smaps cannot be read. */
bool mem_pages_of(const void *p, size_t n, mem_pages *out);

enum { MEM_HUGE = 2 << 20 }; /* the size and alignment of transparent huge pages */

/* n bytes (rounded up to MEM_HUGE) of anonymous memory, aligned to MEM_HUGE and advised to be in huge pages or in
 * small ones; NULL with errno. */
void *mem_map(size_t n, bool huge);
void mem_unmap(void *p, size_t n); /* the same n */

#endif
