/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What is used of seccomp(2) and landlock(7). The kernel's own headers are not on musl's search path; these numbers are
 * part of its stable interface.
 */
struct instruction { /* struct sock_filter */
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};
struct program { /* struct sock_fprog */
    unsigned short length;
    struct instruction *instructions;
};
#define LOAD 0x20       /* BPF_LD | BPF_W | BPF_ABS */
#define IF_EQUAL 0x15   /* BPF_JMP | BPF_JEQ | BPF_K */
#define IF_ABOVE 0x25   /* BPF_JMP | BPF_JGT | BPF_K */
#define IF_ANY_BIT 0x45 /* BPF_JMP | BPF_JSET | BPF_K */
#define RETURN 0x06     /* BPF_RET | BPF_K */
#define CALL_AT 0       /* in struct seccomp_data */
#define ARCHITECTURE_AT 4
#define ARGUMENT_AT(number) (16 + 8 * (number)) /* its lower half: both architectures are little-endian */
#define ALLOW 0x7fff0000u
#define ABSENT (0x00050000u | ENOSYS)
#define TRAP 0x00030000u
#define KILL 0x80000000u
#define SET_MODE_FILTER 1

#if defined __x86_64__
#define ARCHITECTURE 0xc000003eu
#elif defined __aarch64__
#define ARCHITECTURE 0xc00000b7u
#else
#error "the sandbox knows x86_64 and aarch64"
#endif

/* ---- the lists ---- */

enum condition {
    ALWAYS,
    NEVER_THERE,     /* answered as by an old kernel: the caller knows another way */
    NOT_EXECUTABLE,  /* the third argument asks for no executable memory */
    READ_ONLY,       /* the third argument, flags of an open, neither writes nor makes anything */
    FLAGS_ONLY,      /* fcntl(2) for flags of a descriptor */
    LOCAL,           /* the first argument is AF_UNIX */
    PLAIN_FORK,      /* the first argument is SIGCHLD: no namespace, no thread */
    ACKNOWLEDGEMENT, /* setsockopt(2) of TCP_QUICKACK */
};

struct allowed {
    long call;
    enum condition condition;
};

#define WRITING (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

/* What every role needs: memory, time, chance, descriptors, the end. */
#define COMMON                                                                                                         \
    {SYS_read, ALWAYS}, {SYS_write, ALWAYS}, {SYS_close, ALWAYS}, {SYS_mmap, NOT_EXECUTABLE},                          \
        {SYS_mprotect, NOT_EXECUTABLE}, {SYS_munmap, ALWAYS}, {SYS_mremap, ALWAYS}, {SYS_madvise, ALWAYS},             \
        {SYS_brk, ALWAYS}, {SYS_getrandom, ALWAYS}, {SYS_clock_gettime, ALWAYS}, {SYS_gettimeofday, ALWAYS},           \
        {SYS_exit_group, ALWAYS}, {SYS_restart_syscall, ALWAYS}, {SYS_fcntl, FLAGS_ONLY}, {SYS_fstat, ALWAYS},         \
        {SYS_newfstatat, ALWAYS}, {SYS_getdents64, ALWAYS}, {SYS_lseek, ALWAYS}, {SYS_futex, ALWAYS},                  \
        {SYS_sendmsg, ALWAYS}, {SYS_recvmsg, ALWAYS}, {SYS_sendto, ALWAYS}, {SYS_recvfrom, ALWAYS},                    \
        {SYS_sendmmsg, ALWAYS}, {SYS_recvmmsg, ALWAYS}, {                                                              \
        SYS_readlinkat, ALWAYS                                                                                         \
    }

/* Talks to the Internet: takes connections that come, reads files that are there. */
static const struct allowed worker_calls[] = {
    COMMON,
    {SYS_accept4, ALWAYS},
    {SYS_epoll_ctl, ALWAYS},
    {SYS_epoll_pwait, ALWAYS},
    {SYS_shutdown, ALWAYS},
    {SYS_setsockopt, ACKNOWLEDGEMENT},
    {SYS_pread64, ALWAYS},
    {SYS_openat, READ_ONLY},
    {SYS_openat2, NEVER_THERE}, /* its flags lie in memory, where no filter can look */
};

#define KEYS_CALLS                                                                                                     \
    {SYS_accept4, ALWAYS}, {SYS_ppoll, ALWAYS}, {SYS_openat, ALWAYS}, {SYS_fsync, ALWAYS}, {SYS_fchmod, ALWAYS},       \
        {SYS_fchown, ALWAYS}, {SYS_linkat, ALWAYS}, {SYS_renameat, ALWAYS}, {SYS_renameat2, ALWAYS},                   \
        {SYS_unlinkat, ALWAYS}, {SYS_faccessat, ALWAYS}, {SYS_faccessat2, ALWAYS}, {SYS_mlock, ALWAYS},                \
        {SYS_munlock, ALWAYS}, {SYS_mlockall, ALWAYS}, {SYS_rt_sigreturn, ALWAYS}, {SYS_rt_sigprocmask, ALWAYS},       \
        {SYS_rt_sigaction, ALWAYS}, {SYS_geteuid, ALWAYS}, {SYS_dup, ALWAYS}, {SYS_pread64, ALWAYS}, {                 \
        SYS_getpid, ALWAYS                                                                                             \
    }

/* Makes, loads and uses identities. */
static const struct allowed keys_calls[] = {
    COMMON,
    KEYS_CALLS,
#ifdef __x86_64__
    {SYS_open, ALWAYS},
    {SYS_poll, ALWAYS},
#endif
};

/* Starts the others, so it may do what they do until they have given up more. Never execve, and no socket but pairs. */
static const struct allowed supervisor_calls[] = {
    COMMON,
    KEYS_CALLS,
    {SYS_clone, PLAIN_FORK},
    {SYS_wait4, ALWAYS},
    {SYS_kill, ALWAYS},
    {SYS_rt_sigtimedwait, ALWAYS},
    {SYS_nanosleep, ALWAYS},
    {SYS_clock_nanosleep, ALWAYS},
    {SYS_socketpair, LOCAL},
    {SYS_getppid, ALWAYS},
    {SYS_gettid, ALWAYS},
    {SYS_set_tid_address, ALWAYS},
    {SYS_sched_getaffinity, ALWAYS},
    {SYS_prctl, ALWAYS},
    {SYS_prlimit64, ALWAYS},
    {SYS_setgroups, ALWAYS},
    {SYS_setgid, ALWAYS},
    {SYS_setuid, ALWAYS},
    {SYS_seccomp, ALWAYS},
    {SYS_openat2, NEVER_THERE},
    {SYS_epoll_create1, ALWAYS},
    {SYS_epoll_ctl, ALWAYS},
    {SYS_epoll_pwait, ALWAYS},
    {SYS_signalfd4, ALWAYS},
    {SYS_shutdown, ALWAYS},
    {SYS_setsockopt, ACKNOWLEDGEMENT},
    {444 /* landlock_create_ruleset */, ALWAYS},
    {445 /* landlock_add_rule */, ALWAYS},
    {446 /* landlock_restrict_self */, ALWAYS},
#ifdef __x86_64__
    {SYS_fork, ALWAYS},
    {SYS_open, ALWAYS},
    {SYS_poll, ALWAYS},
    {SYS_epoll_wait, ALWAYS},
#endif
};

static const struct {
    const char *name;
    const struct allowed *calls;
    size_t count;
} roles[] = {
    [SANDBOX_SUPERVISOR] = {"supervisor", supervisor_calls, sizeof supervisor_calls / sizeof supervisor_calls[0]},
    [SANDBOX_KEYS] = {"key process", keys_calls, sizeof keys_calls / sizeof keys_calls[0]},
    [SANDBOX_WORKER] = {"worker", worker_calls, sizeof worker_calls / sizeof worker_calls[0]},
};

/* ---- the filter ---- */

#define INSTRUCTIONS_MAX 1024

struct filter {
    struct instruction instructions[INSTRUCTIONS_MAX];
    size_t length;
};

static void put(struct filter *filter, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
    filter->instructions[filter->length++] = (struct instruction){code, if_true, if_false, value};
}

/* What follows when the call is that one: a test of an argument, where there is one, and two ends. */
static void put_test(struct filter *filter, uint16_t code, unsigned argument, uint32_t value, bool allows) {
    put(filter, LOAD, ARGUMENT_AT(argument), 0, 0);
    put(filter, code, value, 0, 1);
    put(filter, RETURN, allows ? ALLOW : TRAP, 0, 0);
    put(filter, RETURN, allows ? TRAP : ALLOW, 0, 0);
}

static void put_condition(struct filter *filter, enum condition condition) {
    switch (condition) {
    case ALWAYS:
        put(filter, RETURN, ALLOW, 0, 0);
        break;
    case NEVER_THERE:
        put(filter, RETURN, ABSENT, 0, 0);
        break;
    case NOT_EXECUTABLE:
        put_test(filter, IF_ANY_BIT, 2, PROT_EXEC, false);
        break;
    case READ_ONLY:
        put_test(filter, IF_ANY_BIT, 2, WRITING, false);
        break;
    case FLAGS_ONLY:
        put_test(filter, IF_ABOVE, 1, F_SETFL, false); /* F_GETFD, F_SETFD, F_GETFL and F_SETFL are 1 to 4, F_DUPFD 0 */
        break;
    case LOCAL:
        put_test(filter, IF_EQUAL, 0, AF_UNIX, true);
        break;
    case PLAIN_FORK:
        put_test(filter, IF_EQUAL, 0, SIGCHLD, true);
        break;
    case ACKNOWLEDGEMENT:
        put(filter, LOAD, ARGUMENT_AT(1), 0, 0);
        put(filter, IF_EQUAL, IPPROTO_TCP, 1, 0);
        put(filter, RETURN, TRAP, 0, 0);
        put_test(filter, IF_EQUAL, 2, TCP_QUICKACK, true);
        break;
    }
}

static void make_filter(struct filter *filter, const struct allowed *calls, size_t count) {
    filter->length = 0;
    /* A call of another architecture (32-bit entry points) has other numbers; nothing of ours makes one. */
    put(filter, LOAD, ARCHITECTURE_AT, 0, 0);
    put(filter, IF_EQUAL, ARCHITECTURE, 1, 0);
    put(filter, RETURN, KILL, 0, 0);
    put(filter, LOAD, CALL_AT, 0, 0);
    for (size_t i = 0; i < count; i++) {
        size_t at = filter->length;
        put(filter, IF_EQUAL, (uint32_t)calls[i].call, 0, 0);
        put_condition(filter, calls[i].condition);
        filter->instructions[at].if_false = (uint8_t)(filter->length - at - 1);
    }
    put(filter, RETURN, TRAP, 0, 0); /* x32 calls too: their numbers have a bit more */
}

/* ---- the end of a process that made another call ---- */

static const char *role_name;

/* The calls that intruders are fond of; of others the log shows the number alone. */
static const char *call_name(int call) {
    static const struct {
        int call;
        const char *name;
    } names[] = {
        {SYS_execve, "execve"},
        {SYS_execveat, "execveat"},
        {SYS_socket, "socket"},
        {SYS_connect, "connect"},
        {SYS_bind, "bind"},
        {SYS_listen, "listen"},
        {SYS_openat, "openat"},
        {SYS_ptrace, "ptrace"},
        {SYS_mprotect, "mprotect"},
        {SYS_mmap, "mmap"},
        {SYS_clone, "clone"},
        {SYS_kill, "kill"},
        {SYS_setuid, "setuid"},
        {SYS_mount, "mount"},
        {SYS_unshare, "unshare"},
        {SYS_setns, "setns"},
        {SYS_bpf, "bpf"},
        {SYS_prctl, "prctl"},
        {SYS_ioctl, "ioctl"},
        {SYS_fcntl, "fcntl"},
        {SYS_unlinkat, "unlinkat"},
        {SYS_mkdirat, "mkdirat"},
        {SYS_seccomp, "seccomp"},
        {SYS_prlimit64, "prlimit64"},
        {SYS_tkill, "tkill"},
        {SYS_tgkill, "tgkill"},
        {SYS_chroot, "chroot"},
        {SYS_dup3, "dup3"},
        {SYS_memfd_create, "memfd_create"},
        {SYS_rt_sigaction, "rt_sigaction"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].call == call)
            return names[i].name;
    }
    return "another";
}

static char *append(char *end, const char *text) {
    while (*text)
        *end++ = *text++;
    return end;
}

/*
 * An intruder cannot get round this: the handler cannot be changed (rt_sigaction is on no list that talks to visitors),
 * and where the signal cannot be delivered the kernel ends the process itself.
 */
static void die(int signal, siginfo_t *about, void *context) {
    char line[128], digits[12];
    char *end = line;
    size_t at = sizeof digits;
    int call = about->si_syscall;
    (void)signal, (void)context;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + call % 10);
        call /= 10;
    } while (call > 0 && at > 0);
    end = append(end, role_name);
    end = append(end, ": ended at a forbidden system call: ");
    end = append(end, call_name(about->si_syscall));
    end = append(end, " (number ");
    end = append(end, digits + at);
    end = append(end, ")\n");
    ssize_t written = write(STDERR_FILENO, line, (size_t)(end - line));
    (void)written;
    syscall(SYS_exit_group, SANDBOX_EXIT);
}

/* ---- Landlock ---- */

#define ACCESS_READ ((UINT64_C(1) << 2) | (UINT64_C(1) << 3)) /* files and folders */

/* Which file accesses a version of Landlock knows. */
static uint64_t known_accesses(long version) {
    unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (UINT64_C(1) << bits) - 1;
}

/* No file but those beneath the folder. Without Landlock in the kernel there is nothing to do. */
static int fence_in(int folder) {
    struct {
        uint64_t files, network, scopes;
    } rules = {0};
    struct {
        uint64_t access;
        int32_t folder;
    } __attribute__((packed)) beneath = {ACCESS_READ, folder};
    long version = syscall(444, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 1)
        return 0;
    rules.files = known_accesses(version);
    rules.network = version >= 4 ? 3 : 0; /* bind and connect by TCP */
    rules.scopes = version >= 6 ? 3 : 0;  /* abstract sockets, signals */
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(444, &rules, size, 0);
    if (ruleset < 0)
        return -errno;
    int result = 0;
    if (syscall(445, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &beneath, 0) < 0 || syscall(446, ruleset, 0) < 0)
        result = -errno;
    close(ruleset);
    return result;
}

/* ---- the whole ---- */

int sandbox_enter(enum sandbox_role role, int folder) {
    static struct filter filter;
    struct sigaction action = {.sa_sigaction = die, .sa_flags = SA_SIGINFO};
    role_name = roles[role].name;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0 || sigaction(SIGSYS, &action, NULL) < 0)
        return -errno;
    int result = role == SANDBOX_WORKER && folder >= 0 ? fence_in(folder) : 0;
    if (result < 0)
        return result;
    make_filter(&filter, roles[role].calls, roles[role].count);
    const struct program program = {(unsigned short)filter.length, filter.instructions};
    return syscall(SYS_seccomp, SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
