#include "sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer kernels' parts, which the header that this is built with may not have: linux/landlock.h of Linux 6.7. */
enum { ABI_TRUNCATE = 3, ABI_NET = 4 };
#define TRUNCATE (UINT64_C(1) << 14)
#define CONNECT_TCP (UINT64_C(1) << 1)
typedef struct ruleset {
    uint64_t files, net;
} ruleset;

static const uint64_t changes = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

static long version(void) { return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION); }

static const char *why_not(void)
{
    if (errno == EOPNOTSUPP) return "it is switched off in this kernel";
    return errno == ENOSYS ? "this kernel does not have it" : strerror(errno);
}

const char *sandbox_missing(void) { return version() < 1 ? why_not() : NULL; }

/* Files are made, filled, renamed and removed in the directory, and nothing else. */
static bool allow_files(int ruleset_fd, int dir, uint64_t handled)
{
    const uint64_t files = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE;
    struct landlock_path_beneath_attr rule = {.allowed_access = files & handled, .parent_fd = dir};
    return dir < 0 || syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

const char *sandbox_enter(int dir)
{
    long abi = version();
    if (abi < 1) return why_not();
    ruleset r = {.files = changes | (abi >= ABI_TRUNCATE ? TRUNCATE : 0), .net = CONNECT_TCP};
    long fd = syscall(SYS_landlock_create_ruleset, &r, abi >= ABI_NET ? sizeof r : offsetof(ruleset, net), 0);
    if (fd < 0) return strerror(errno);
    bool done = allow_files((int)fd, dir, r.files) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, (int)fd, 0) == 0;
    int reason = errno;
    close((int)fd);
    return done ? NULL : strerror(reason);
}
