#include "sandbox.h"

#ifndef HAVE_LIBSECCOMP

const char *sandbox_calls(bool writes)
{
    (void)writes;
    return "this tawny was built without libseccomp";
}
const char *sandbox_calls_missing(void) { return sandbox_calls(false); }

#else

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* Linux 5.17 */
#endif

/* What a server that has begun needs: its connections, its threads, memory, time, and files to read. */
static const int allowed[] = {
    /* memory (mmap and mprotect: below) */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(mremap),
    SCMP_SYS(msync),
    SCMP_SYS(munlock),
    SCMP_SYS(munmap),
    /* descriptors (open and openat: below) */
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(dup3),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(newfstatat),
    SCMP_SYS(pipe2),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(read),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(readv),
    SCMP_SYS(stat),
    SCMP_SYS(statx),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* connections that are open or come (sendto: below) */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmsg),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    /* waiting */
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pselect6),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(select),
    SCMP_SYS(time),
    /* threads (clone and clone3: below) */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(getcpu),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(membarrier),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    /* signals (tgkill: below) */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    /* about the machine and the process */
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(getuid),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
};

/* The same for files that are made, filled, renamed and removed: where they may be is Landlock's to say. */
static const int writing[] = {
    SCMP_SYS(openat2), SCMP_SYS(fallocate), SCMP_SYS(fchmod),    SCMP_SYS(fdatasync), SCMP_SYS(flock),
    SCMP_SYS(fsync),   SCMP_SYS(ftruncate), SCMP_SYS(linkat),    SCMP_SYS(pwrite64),  SCMP_SYS(pwritev),
    SCMP_SYS(rename),  SCMP_SYS(renameat),  SCMP_SYS(renameat2), SCMP_SYS(unlink),    SCMP_SYS(unlinkat),
};

static int allow(scmp_filter_ctx f, const int *calls, size_t n)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < n; i++) code = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    return code;
}

/* Calls that are allowed where the bits `mask` of argument `arg` are `value`. */
static const struct {
    int call;
    unsigned arg;
    uint64_t mask, value;
} conditions[] = {
    /* no memory is both written and run: a library that is loaded late (libgcc_s, when a thread ends) is run alone */
    {SCMP_SYS(mmap), 2, PROT_WRITE | PROT_EXEC, 0},
    {SCMP_SYS(mmap), 2, PROT_WRITE | PROT_EXEC, PROT_WRITE},
    {SCMP_SYS(mmap), 2, PROT_WRITE | PROT_EXEC, PROT_EXEC},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    /* threads, but no processes */
    {SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET, CLONE_THREAD},
    /* to whom a connected socket is connected, and to nobody else */
    {SCMP_SYS(sendto), 4, UINT64_MAX, 0},
    /* limits are read, and names given */
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0},
    {SCMP_SYS(prctl), 0, UINT64_MAX, PR_SET_NAME},
    {SCMP_SYS(prctl), 0, UINT64_MAX, PR_SET_VMA},
};

static int allow_some(scmp_filter_ctx f, bool writes)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof conditions / sizeof *conditions; i++)
        code = seccomp_rule_add(
            f, SCMP_ACT_ALLOW, conditions[i].call, 1,
            SCMP_CMP64(conditions[i].arg, SCMP_CMP_MASKED_EQ, conditions[i].mask, conditions[i].value));
    const uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC;
    const uint64_t open_bits = writes ? 0 : changes;
    if (!code)
        code = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1_64(SCMP_CMP_MASKED_EQ, open_bits, 0));
    if (!code)
        code = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2_64(SCMP_CMP_MASKED_EQ, open_bits, 0));
    /* signals to itself */
    if (!code)
        code = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0_64(SCMP_CMP_EQ, (uint64_t)getpid()));
    /* its arguments lie in memory, where a filter cannot look: the C library then uses clone */
    if (!code) code = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return code;
}

const char *sandbox_calls_missing(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) return NULL;
    return errno == ENOSYS ? "this kernel does not have it" : strerror(errno);
}

const char *sandbox_calls(bool writes)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f) return "out of memory";
    int code = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1); /* for the threads that there are, too */
    if (!code) code = allow(f, allowed, sizeof allowed / sizeof *allowed);
    if (!code && writes) code = allow(f, writing, sizeof writing / sizeof *writing);
    if (!code) code = allow_some(f, writes);
    if (!code) code = seccomp_load(f);
    seccomp_release(f);
    return code ? strerror(-code) : NULL;
}

#endif
