#include "mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The number after `key` at the start of a line of a small file. */
static bool find_number(const char *path, const char *key, uint64_t *out)
{
    char line[256];
    size_t n = strlen(key);
    bool found = false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, key, n) == 0 && sscanf(line + n, "%" SCNu64, out) == 1;
    fclose(f);
    return found;
}

typedef struct group_files {
    const char *limit, *usage, *file[2]; /* file[]: lines of memory.stat whose pages can be dropped */
} group_files;

static const group_files version1 = {
    "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file ", "total_active_file "}};
static const group_files version2 = {"memory.max", "memory.current", {"inactive_file ", "active_file "}};

/* What the group at dir allows. */
static uint64_t group_limit(const char *dir, const group_files *names)
{
    char path[1200];
    uint64_t limit;
    snprintf(path, sizeof path, "%s/%s", dir, names->limit);
    return find_number(path, "", &limit) ? limit : UINT64_MAX; /* "max", or no such file */
}

/* What it leaves: its limit less what it uses and cannot drop. */
static uint64_t group_left(const char *dir, const group_files *names)
{
    char path[1200];
    uint64_t limit = group_limit(dir, names), usage, file;
    if (limit == UINT64_MAX) return limit;
    snprintf(path, sizeof path, "%s/%s", dir, names->usage);
    if (!find_number(path, "", &usage)) return limit;
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    for (int i = 0; i < 2; i++)
        if (find_number(path, names->file[i], &file)) usage -= file < usage ? file : usage;
    return usage < limit ? limit - usage : 0;
}

typedef uint64_t ask_group(const char *dir, const group_files *names);

/* The least that any group from `path` up to the root of the hierarchy says. A container may see its own group as the root,
 * whatever path it is told. */
static uint64_t ask_groups(const char *top, const char *path, const group_files *names, ask_group *ask)
{
    char dir[1024];
    uint64_t least = ask(top, names);
    if (snprintf(dir, sizeof dir, "%s%s", top, path) >= (int)sizeof dir) return least;
    for (size_t n = strlen(top); strlen(dir) > n; *strrchr(dir, '/') = 0) {
        uint64_t one = ask(dir, names);
        if (one < least) least = one;
    }
    return least;
}

/* A line of /proc/self/cgroup: "0::/path" (version 2), "4:memory:/path" or "4:cpu,memory:/path" (version 1). */
static uint64_t ask_line(const char *root, char *line, ask_group *ask)
{
    char top[512], *kinds = strchr(line, ':'), *path = kinds ? strchr(kinds + 1, ':') : NULL;
    if (!path || path[1] != '/') return UINT64_MAX;
    line[strcspn(line, "\n")] = 0;
    *path++ = 0;
    bool second = strcmp(kinds, ":") == 0;
    if (!second && !strstr(kinds, "memory")) return UINT64_MAX;
    int n = snprintf(top, sizeof top, "%s/sys/fs/cgroup%s", root, second ? "" : "/memory");
    if (n >= (int)sizeof top) return UINT64_MAX;
    return ask_groups(top, path, second ? &version2 : &version1, ask);
}

/* The least that all groups of this process say. */
static uint64_t ask_all(const char *root, ask_group *ask)
{
    char path[512], line[1024];
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f) return least;
    while (fgets(line, sizeof line, f)) {
        uint64_t one = ask_line(root, line, ask);
        if (one < least) least = one;
    }
    fclose(f);
    return least;
}

uint64_t mem_group_limit(const char *root) { return ask_all(root, group_limit); }

uint64_t mem_available(const char *root)
{
    char path[512];
    uint64_t least = ask_all(root, group_left), kib;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (find_number(path, "MemAvailable:", &kib) && kib < least / 1024) least = kib * 1024;
    return least;
}

bool mem_pages_of(const void *p, size_t n, mem_pages *out)
{
    static const struct {
        const char *key;
        size_t offset;
    } fields[] = {
        {"Rss:", offsetof(mem_pages, resident)},         {"Locked:", offsetof(mem_pages, locked)},
        {"AnonHugePages:", offsetof(mem_pages, huge)},   {"FilePmdMapped:", offsetof(mem_pages, huge)},
        {"ShmemPmdMapped:", offsetof(mem_pages, huge)},
    };
    char line[4352];
    uint64_t from, to, kib, start = (uintptr_t)p, end = start + n;
    bool inside = false;
    *out = (mem_pages){0};
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f) return false;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2) {
            inside = from < end && to > start;
            continue;
        }
        for (size_t i = 0; inside && i < sizeof fields / sizeof *fields; i++) {
            size_t len = strlen(fields[i].key);
            if (strncmp(line, fields[i].key, len) != 0 || sscanf(line + len, "%" SCNu64, &kib) != 1) continue;
            uint64_t sum;
            memcpy(&sum, (char *)out + fields[i].offset, sizeof sum);
            sum += kib * 1024;
            memcpy((char *)out + fields[i].offset, &sum, sizeof sum);
        }
    }
    fclose(f);
    return true;
}

void *mem_map(size_t n, bool huge)
{
    size_t size = (n + MEM_HUGE - 1) / MEM_HUGE * MEM_HUGE, room = size + MEM_HUGE;
    if (n == 0 || n > PTRDIFF_MAX - 2 * (size_t)MEM_HUGE) {
        errno = ENOMEM;
        return NULL;
    }
    char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = (MEM_HUGE - (uintptr_t)p % MEM_HUGE) % MEM_HUGE;
    if (before) munmap(p, before);
    munmap(p + before + size, MEM_HUGE - before);
    madvise(p + before, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); /* refused where all pages are small anyway */
    return p + before;
}

void mem_unmap(void *p, size_t n)
{
    if (p) munmap(p, (n + MEM_HUGE - 1) / MEM_HUGE * MEM_HUGE);
}
