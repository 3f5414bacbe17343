/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each role may still do. Each call is made in its own process. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "common/sandbox_rules.h"
#include "pretended.h"

#define NO_FILE ((long)(uintptr_t)"/nonexistent")
#define MISSING 0x7ffffff0 /* a descriptor and a process that do not exist */
#define ELSEWHERE ((long)(uintptr_t)&elsewhere)
#define PLAIN_MEMORY (MAP_PRIVATE | MAP_ANONYMOUS)

static struct sockaddr_in elsewhere = {.sin_family = AF_INET};

/*
 * A call, with arguments that do no harm if it is allowed. The result for the supervisor, the key process, a worker and
 * a probe: + it is allowed, - it ends the process, ? it fails with ENOSYS, 0 with ENOMEM.
 */
static const struct attempt {
    const char *name, *expected;
    long call, arguments[6];
} attempts[] = {
    {"read", "+++-", SYS_read, {-1}},
    {"write", "++--", SYS_write, {-1}},
    {"write to the log", "++++", SYS_write, {2}},
    {"pread64", "+-+-", SYS_pread64, {-1}},
    {"getrandom", "++++", SYS_getrandom, {0, 0, 0}},
    {"getrandom, of the pool that blocks", "----", SYS_getrandom, {0, 0, 2}},
    {"clock_gettime", "++++", SYS_clock_gettime, {CLOCK_MONOTONIC}},
    {"clock_gettime of the processor's time", "----", SYS_clock_gettime, {CLOCK_PROCESS_CPUTIME_ID}},

    {"mmap", "++++", SYS_mmap, {0, 4096, PROT_READ, PLAIN_MEMORY, -1}},
    {"mmap, executable", "----", SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, PLAIN_MEMORY, -1}},
    {"mmap, a bit more", "----", SYS_mmap, {0, 4096, 1L << 40 | PROT_READ, PLAIN_MEMORY, -1}},
    {"mmap over another", "----", SYS_mmap, {0, 4096, PROT_READ, PLAIN_MEMORY | MAP_FIXED, -1}},
    {"mmap of a file", "----", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, MISSING}},
    {"mmap, shared", "+---", SYS_mmap, {0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1}},
    {"mremap", "++++", SYS_mremap, {0, 0, 0, MREMAP_MAYMOVE}},
    {"mremap over another", "----", SYS_mremap, {0, 0, 0, MREMAP_MAYMOVE | MREMAP_FIXED}},
    {"mprotect, executable", "0000", SYS_mprotect, {0, 0, PROT_EXEC}},
    {"mprotect, writable", "+000", SYS_mprotect, {0, 0, PROT_READ | PROT_WRITE}},
    {"madvise of what is free", "++++", SYS_madvise, {0, 0, MADV_FREE}},
    {"madvise of what may go", "----", SYS_madvise, {0, 0, MADV_REMOVE}},
    {"mlock", "++--", SYS_mlock, {0, 0}},

    {"fcntl for flags", "+++-", SYS_fcntl, {-1, F_GETFL}},
    {"fcntl to close at execve", "+++-", SYS_fcntl, {-1, F_SETFD, FD_CLOEXEC}},
    {"fcntl not to close at execve", "----", SYS_fcntl, {-1, F_SETFD, 0}},
    {"fcntl of a file's flags", "+---", SYS_fcntl, {-1, F_SETFL, O_NONBLOCK | O_RDWR}},
    {"fcntl for a copy", "----", SYS_fcntl, {-1, F_DUPFD}},
    {"fcntl for a copy, closed at execve", "----", SYS_fcntl, {-1, F_DUPFD_CLOEXEC}},
    {"fcntl for signals", "----", SYS_fcntl, {-1, F_SETOWN, 1}},
    {"fcntl for a lease", "----", SYS_fcntl, {-1, F_SETLEASE, F_WRLCK}},
    {"fcntl for a lock", "----", SYS_fcntl, {-1, F_SETLK}},
    {"fcntl for a pipe's size", "----", SYS_fcntl, {-1, F_SETPIPE_SZ, 1}},
    {"dup", "++--", SYS_dup, {-1}},
#ifdef SYS_dup2
    {"dup2 to a descriptor", "----", SYS_dup2, {-1, 5}},
    {"dup2 to a standard one", "+---", SYS_dup2, {-1, 0}},
    {"dup3", "----", SYS_dup3, {-1, 0}},
#else
    {"dup3 to a descriptor", "----", SYS_dup3, {-1, 5}},
    {"dup3 to a standard one", "+---", SYS_dup3, {-1, 0, 0}},
#endif
    {"pipe2", "+---", SYS_pipe2, {0, O_CLOEXEC | O_NONBLOCK}},
    {"rt_sigtimedwait", "----", SYS_rt_sigtimedwait, {0}},
    {"lseek", "----", SYS_lseek, {-1}},
    {"ioctl", "----", SYS_ioctl, {-1}},

    {"openat to read", "+++-", SYS_openat, {AT_FDCWD, NO_FILE, O_RDONLY}},
    {"openat to write", "----", SYS_openat, {AT_FDCWD, NO_FILE, O_WRONLY}},
    {"openat to make", "++--", SYS_openat, {-1, NO_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600}},
    {"openat to make, for all",
     "----",
     SYS_openat,
     {-1, NO_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666}},
    {"openat to make and read", "----", SYS_openat, {-1, NO_FILE, O_RDONLY | O_CREAT}},
    {"openat of a nameless file", "----", SYS_openat, {-1, NO_FILE, O_TMPFILE | O_RDWR}},
    {"openat past the cache", "----", SYS_openat, {-1, NO_FILE, O_DIRECT}},
    {"openat2", "?-?-", SYS_openat2, {-1, NO_FILE}},
    {"newfstatat", "+++-", SYS_newfstatat, {-1, NO_FILE, 0, AT_SYMLINK_NOFOLLOW}},
    {"unlinkat", "++--", SYS_unlinkat, {AT_FDCWD, NO_FILE}},
    {"unlinkat of a folder", "----", SYS_unlinkat, {AT_FDCWD, NO_FILE, AT_REMOVEDIR}},
    {"renameat", "----", SYS_renameat, {-1, NO_FILE, -1, NO_FILE}},
    {"syncfs", "++--", SYS_syncfs, {-1}},
    {"linkat", "++--", SYS_linkat, {-1, NO_FILE, -1, NO_FILE, 0}},
    {"linkat of a descriptor", "----", SYS_linkat, {-1, NO_FILE, -1, NO_FILE, AT_EMPTY_PATH}},
    {"fchmod", "++--", SYS_fchmod, {-1, 0600}},
    {"fchmod for all", "----", SYS_fchmod, {-1, 0666}},
    {"fchown", "++--", SYS_fchown, {-1}},
    {"ftruncate", "----", SYS_ftruncate, {-1}},
    {"fallocate", "----", SYS_fallocate, {-1}},
    {"mkdirat", "----", SYS_mkdirat, {-1, NO_FILE}},
    {"symlinkat", "----", SYS_symlinkat, {NO_FILE, -1, NO_FILE}},

    {"accept4, of a worker", "+-+-", SYS_accept4, {-1, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC}},
    {"accept4, of the key process", "++--", SYS_accept4, {-1, 0, 0, SOCK_CLOEXEC}},
    {"accept4, a connection that blocks", "----", SYS_accept4, {-1}},
    {"accept", "??\?-", SYS_accept, {-1}},
    {"sendto", "+++-", SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL}},
    {"sendto of a probe", "++++", SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL | MSG_DONTWAIT}},
    {"sendto, more follows", "+-+-", SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL | MSG_MORE}},
    {"sendto an address", "----", SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL, ELSEWHERE, sizeof elsewhere}},
    {"sendto an address above", "----", SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL, 1L << 32, sizeof elsewhere}},
    {"sendto, connecting", "----", SYS_sendto, {-1, 0, 0, MSG_FASTOPEN | MSG_NOSIGNAL}},
    {"sendto, urgent", "----", SYS_sendto, {-1, 0, 0, MSG_OOB | MSG_NOSIGNAL}},
    {"sendmsg", "++--", SYS_sendmsg, {-1, 0, MSG_NOSIGNAL}},
    {"sendmsg, connecting", "----", SYS_sendmsg, {-1, 0, MSG_FASTOPEN | MSG_NOSIGNAL}},
    {"sendmmsg", "----", SYS_sendmmsg, {-1}},
    {"recvfrom", "+++-", SYS_recvfrom, {-1, 0, 0, 0}},
    {"recvfrom of a probe", "++++", SYS_recvfrom, {-1, 0, 0, MSG_DONTWAIT}},
    {"recvfrom, urgent", "----", SYS_recvfrom, {-1, 0, 0, MSG_OOB}},
    {"recvfrom whom", "----", SYS_recvfrom, {-1, 0, 0, 0, ELSEWHERE, 0}},
    {"recvmsg", "++--", SYS_recvmsg, {-1, 0, MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_DONTWAIT}},
    {"recvmmsg", "----", SYS_recvmmsg, {-1}},
    {"shutdown of what is sent", "+-+-", SYS_shutdown, {MISSING, SHUT_WR}},
    {"shutdown of both", "----", SYS_shutdown, {MISSING, SHUT_RDWR}},
    {"shutdown of what comes", "----", SYS_shutdown, {MISSING, SHUT_RD}},
    {"shutdown of the log", "----", SYS_shutdown, {STDERR_FILENO, SHUT_WR}},
    {"setsockopt to acknowledge", "+-+-", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_QUICKACK, 0, sizeof(int)}},
    {"setsockopt of TCP, another", "----", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_ULP, 0, sizeof(int)}},
    {"setsockopt of TCP, connecting", "----", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0, sizeof(int)}},
    {"setsockopt to throw away what was not taken", "+-+-", SYS_setsockopt, {MISSING, SOL_SOCKET, SO_LINGER}},
    {"setsockopt to throw away, of a listener", "----", SYS_setsockopt, {SANDBOX_SHARED - 1, SOL_SOCKET, SO_LINGER}},
    {"setsockopt for a larger buffer", "+-+-", SYS_setsockopt, {MISSING, SOL_SOCKET, SO_SNDBUF}},
    {"setsockopt for a larger buffer, of a listener",
     "----",
     SYS_setsockopt,
     {SANDBOX_SHARED - 1, SOL_SOCKET, SO_SNDBUF}},
    {"setsockopt for a larger buffer for what comes", "----", SYS_setsockopt, {MISSING, SOL_SOCKET, SO_RCVBUF}},
    {"ioctl for what was not taken", "+-+-", SYS_ioctl, {-1, TIOCOUTQ}},
    {"ioctl for something else", "----", SYS_ioctl, {-1, TIOCSTI}},
    {"setsockopt, not of TCP", "----", SYS_setsockopt, {-1, SOL_SOCKET, TCP_QUICKACK, 0, sizeof(int)}},
    {"getsockopt", "----", SYS_getsockopt, {-1}},
    {"getsockopt, does it listen", "+---", SYS_getsockopt, {-1, SOL_SOCKET, SO_ACCEPTCONN}},
    {"getpeername", "----", SYS_getpeername, {-1}},
    {"socket", "----", SYS_socket, {AF_INET, SOCK_STREAM}},
    {"socket, unix", "----", SYS_socket, {AF_UNIX, SOCK_STREAM}},
    {"socketpair, unix", "+---", SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET, 0, 0}},
    {"socketpair, internet", "----", SYS_socketpair, {AF_INET, SOCK_STREAM}},
    {"connect", "----", SYS_connect, {-1}},
    {"bind", "----", SYS_bind, {-1}},
    {"listen", "----", SYS_listen, {-1}},
    {"epoll_ctl", "+-+-", SYS_epoll_ctl, {-1, EPOLL_CTL_DEL, -1}},
    {"epoll_ctl, what there is not", "----", SYS_epoll_ctl, {-1, 4, -1}},
    {"epoll_pwait", "+-+-", SYS_epoll_pwait, {-1}},
    {"epoll_pwait with a mask", "----", SYS_epoll_pwait, {-1, 0, 0, 0, ELSEWHERE, 8}},
    {"splice", "----", SYS_splice, {-1}},

    {"ppoll", "++-+", SYS_ppoll, {-1, 1}},
    {"kill", "+---", SYS_kill, {MISSING, SIGTERM}},
    {"kill all", "----", SYS_kill, {-1, SIGWINCH}},
    {"kill a group", "----", SYS_kill, {0, SIGWINCH}},
    {"tgkill", "----", SYS_tgkill, {MISSING, MISSING, 0}},
    {"rt_sigaction", "++--", SYS_rt_sigaction, {SIGUSR1, 0, 0, 8}},
    {"rt_sigprocmask", "+---", SYS_rt_sigprocmask, {SIG_BLOCK, 0, 0, 8}},
    {"signalfd4", "+---", SYS_signalfd4, {-1, 0, 8, SOCK_NONBLOCK | SOCK_CLOEXEC}},
    {"prctl, a name", "+---", SYS_prctl, {PR_SET_NAME, NO_FILE}},
    {"prctl, another", "----", SYS_prctl, {PR_GET_DUMPABLE}},
    {"prlimit64", "+---", SYS_prlimit64, {0, RLIMIT_CORE}},
    {"prlimit64 of another", "----", SYS_prlimit64, {MISSING, RLIMIT_CORE}},
    {"prlimit64, another", "----", SYS_prlimit64, {0, RLIMIT_NPROC}},
    {"setuid to root", "----", SYS_setuid, {0}},
    {"setuid to nobody", "+---", SYS_setuid, {65534}},
    {"setgroups", "----", SYS_setgroups, {1, 0}},
    {"seccomp", "+---", SYS_seccomp, {1, 0, 0}},
    {"seccomp, asking", "----", SYS_seccomp, {2, 0, 0}},
    {"sched_setaffinity", "----", SYS_sched_setaffinity, {0}},
#ifdef SYS_fork
    {"fork", "+---", SYS_fork, {0}},
#endif
    {"execve", "----", SYS_execve, {NO_FILE}},
    {"execveat", "----", SYS_execveat, {-1, NO_FILE}},
    {"clone, a namespace", "----", SYS_clone, {0x10000000 | SIGCHLD, 0}},
    {"ptrace", "----", SYS_ptrace, {-1}},
    {"process_vm_readv", "----", SYS_process_vm_readv, {-1}},
    {"memfd_create", "----", SYS_memfd_create, {NO_FILE}},
    {"mount", "----", SYS_mount, {NO_FILE}},
    {"unshare", "----", SYS_unshare, {0}},
    {"setns", "----", SYS_setns, {-1}},
    {"chroot", "----", SYS_chroot, {NO_FILE}},
    {"bpf", "----", SYS_bpf, {-1}},
    {"keyctl", "----", SYS_keyctl, {-1}},
    {"perf_event_open", "----", SYS_perf_event_open, {0}},
    {"io_uring_setup", "----", 425, {0}},
    {"userfaultfd", "----", SYS_userfaultfd, {-1}},
    {"open_by_handle_at", "----", SYS_open_by_handle_at, {-1}},
    {"personality", "----", SYS_personality, {-1}},
#ifdef __x86_64__
    {"open by x32", "----", 0x40000000 + SYS_open, {NO_FILE}},
#endif
};

#define ROLES 4

/* Makes a call in a child process, in the sandbox of a role (-1: none). Returns the result as in the table. */
static char try_call(const struct attempt *attempt, int role) {
    pid_t child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDERR_FILENO);
        if (role >= 0 && sandbox_enter((enum sandbox_role)role, -1) < 0)
            syscall(SYS_exit_group, 99);
        long result = syscall(attempt->call, attempt->arguments[0], attempt->arguments[1], attempt->arguments[2],
                              attempt->arguments[3], attempt->arguments[4], attempt->arguments[5]);
        syscall(SYS_exit_group, result >= 0 ? 0 : errno == ENOSYS ? 1 : errno == ENOMEM ? 2 : 0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        return 'x';
    if (WEXITSTATUS(status) == SANDBOX_EXIT)
        return '-';
    return WEXITSTATUS(status) < 3 ? "+?0"[WEXITSTATUS(status)] : 'x';
}

static void expect_all(enum sandbox_role role) {
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        char outcome = try_call(&attempts[i], role);
        cr_expect_eq(outcome, attempts[i].expected[role], "%s: %c", attempts[i].name, outcome);
    }
}

Test(sandbox, supervisor, .timeout = 60) {
    expect_all(SANDBOX_SUPERVISOR);
}

Test(sandbox, keys, .timeout = 60) {
    expect_all(SANDBOX_KEYS);
}

Test(sandbox, worker, .timeout = 60) {
    expect_all(SANDBOX_WORKER);
}

Test(sandbox, probe, .timeout = 60) {
    expect_all(SANDBOX_PROBE);
}

/* Without a sandbox, no call ends the process, and the kernel has all of them. */
Test(sandbox, without_one_everything_comes_back, .timeout = 60) {
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        char outcome = try_call(&attempts[i], -1);
        bool may_be_absent = attempts[i].call == SYS_bpf || attempts[i].call == SYS_keyctl || attempts[i].call >= 425 ||
                             attempts[i].call == SYS_userfaultfd || attempts[i].call == SYS_perf_event_open;
        cr_expect(outcome == '+' || outcome == '0' || (outcome == '?' && may_be_absent), "%s: %c", attempts[i].name,
                  outcome);
    }
}

/* ---- the rules, and the filter made from them ---- */

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* The rules of a role; the supervisor's are followed by those of the key process. Returns NULL after the last one. */
static const struct rule *rule_at(enum sandbox_role role, size_t at) {
    if (role == SANDBOX_WORKER)
        return at < COUNT(worker_rules) ? &worker_rules[at] : NULL;
    if (role == SANDBOX_PROBE)
        return at < COUNT(probe_rules) ? &probe_rules[at] : NULL;
    if (role == SANDBOX_SUPERVISOR && at < COUNT(supervisor_rules))
        return &supervisor_rules[at];
    if (role == SANDBOX_SUPERVISOR)
        at -= COUNT(supervisor_rules);
    return at < COUNT(keys_rules) ? &keys_rules[at] : NULL;
}

/* What the kernel would see (struct seccomp_data), and what it would do. */
struct call {
    uint32_t number, architecture;
    uint64_t address, arguments[6];
};

#if defined __x86_64__
#define ARCHITECTURE 0xc000003e
#else
#define ARCHITECTURE 0xc00000b7
#endif
#define ALLOWED 0x7fff0000u

static uint32_t run(const struct sandbox_filter *filter, const struct call *call) {
    uint32_t value = 0;
    for (size_t at = 0; at < filter->length; at++) {
        const struct sandbox_instruction *now = &filter->instructions[at];
        bool holds = now->code == 0x15   ? value == now->value
                     : now->code == 0x25 ? value > now->value
                     : now->code == 0x35 ? value >= now->value
                                         : (value & now->value) != 0;
        if (now->code == 0x06)
            return now->value;
        if (now->code == 0x20)
            memcpy(&value, (const char *)call + now->value, sizeof value);
        else
            at += holds ? now->if_true : now->if_false;
    }
    cr_assert_fail("a filter without an end");
    return 0;
}

/* Do these arguments match the rule? Written independently of the filter. */
static bool fits(const struct rule *rule, const uint64_t arguments[6]) {
    for (size_t i = 0; i < CHECKS_MAX; i++) {
        const struct check *check = &rule->checks[i];
        uint64_t argument = arguments[check->argument];
        if ((check->kind == CHECK_IS && argument != check->value) ||
            (check->kind == CHECK_INT && (uint32_t)argument != check->value) ||
            (check->kind == CHECK_ONLY && (argument | check->value) != check->value) ||
            (check->kind == CHECK_RANGE && ((uint32_t)argument < check->first || (uint32_t)argument > check->value)))
            return false;
    }
    return true;
}

static bool should_pass(enum sandbox_role role, const struct call *call) {
    const struct rule *rule;
    for (size_t i = 0; (rule = rule_at(role, i)); i++) {
        if (rule->call == call->number && fits(rule, call->arguments))
            return rule->verdict == VERDICT_ALLOWED;
    }
    return false;
}

/* Returns arguments that match a rule. */
static struct call example(const struct rule *rule) {
    struct call call = {.number = rule->call, .architecture = ARCHITECTURE};
    for (size_t i = 0; i < CHECKS_MAX; i++) {
        if (rule->checks[i].kind != CHECK_NONE)
            call.arguments[rule->checks[i].argument] = rule->checks[i].value;
    }
    return call;
}

/* For each rule, tests matching arguments, and all that differ in one bit of one argument. */
Test(sandbox, the_filter_does_what_the_rules_say) {
    static struct sandbox_filter filter;
    size_t passed = 0, refused = 0;
    for (enum sandbox_role role = 0; role < ROLES; role++) {
        sandbox_make_filter(role, &filter);
        cr_assert_leq(filter.length, SANDBOX_INSTRUCTIONS_MAX);
        for (size_t i = 0; rule_at(role, i); i++) {
            struct call call = example(rule_at(role, i));
            cr_expect_eq(run(&filter, &call) == ALLOWED, should_pass(role, &call), "role %d, call %u", role,
                         call.number);
            for (size_t bit = 0; bit < 6 * 64; bit++) {
                struct call other = call;
                other.arguments[bit / 64] ^= UINT64_C(1) << bit % 64;
                bool passes = run(&filter, &other) == ALLOWED;
                cr_expect_eq(passes, should_pass(role, &other), "role %d, call %u, argument %zu, bit %zu", role,
                             call.number, bit / 64, bit % 64);
                passed += passes;
                refused += !passes;
            }
        }
    }
    cr_expect(passed > 1000 && refused > 1000, "%zu %zu", passed, refused);
}

Test(sandbox, no_other_number_and_no_other_architecture_passes) {
    static struct sandbox_filter filter;
    for (enum sandbox_role role = 0; role < ROLES; role++) {
        sandbox_make_filter(role, &filter);
        for (uint32_t number = 0; number < 2048; number++) {
            struct call call = {.number = number, .architecture = ARCHITECTURE};
            bool listed = false;
            for (size_t i = 0; rule_at(role, i); i++)
                listed |= rule_at(role, i)->call == number;
            cr_expect(listed || run(&filter, &call) == 0x00030000, "role %d, call %u", role, number);
            call.number |= 0x40000000; /* x32 */
            cr_expect_eq(run(&filter, &call), 0x00030000);
            call = (struct call){.number = number, .architecture = 0x40000003 /* 32-bit */};
            cr_expect_eq(run(&filter, &call), 0x80000000);
        }
    }
}

/* A filter contains nothing unexpected: it begins with the architecture, and jumps only after comparisons. */
Test(sandbox, a_filter_has_no_stray_jump) {
    static struct sandbox_filter filter;
    for (enum sandbox_role role = 0; role < ROLES; role++) {
        sandbox_make_filter(role, &filter);
        cr_expect_eq(filter.instructions[0].code, 0x20);
        cr_expect_eq(filter.instructions[0].value, 4u);
        for (size_t i = 0; i < filter.length; i++) {
            const struct sandbox_instruction *one = &filter.instructions[i];
            cr_expect((one->code & 7) == 5 || (one->if_true == 0 && one->if_false == 0), "role %d, %zu", role, i);
            cr_expect(i + 1 + one->if_true < filter.length + ((one->code & 7) != 5), "role %d, %zu", role, i);
            cr_expect(i + 1 + one->if_false < filter.length + ((one->code & 7) != 5), "role %d, %zu", role, i);
        }
    }
}

/* Filters add up: what the supervisor may not do, its children cannot do either. */
Test(sandbox, the_supervisor_may_do_what_its_children_may) {
    static struct sandbox_filter filter;
    sandbox_make_filter(SANDBOX_SUPERVISOR, &filter);
    for (enum sandbox_role role = SANDBOX_KEYS; role < ROLES; role++) {
        for (size_t i = 0; rule_at(role, i); i++) {
            struct call call = example(rule_at(role, i));
            bool wanted = rule_at(role, i)->verdict == VERDICT_ALLOWED;
            cr_expect(!wanted || run(&filter, &call) == ALLOWED, "role %d, call %u", role, call.number);
        }
    }
}

/* ---- shared objects ---- */

static int open_listener(struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)address, size), 0);
    cr_assert_eq(listen(listener, 16), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)address, &size), 0);
    return listener;
}

static struct sockaddr_in service; /* a service of the host, which the worker was not given */
static int shared[2];              /* a listener or standard error, shared by two processes */

static void by_fast_open(void) {
    syscall(SYS_shutdown, shared[0], SHUT_RDWR);
    syscall(SYS_sendto, shared[0], "from inside", 11, MSG_FASTOPEN | MSG_NOSIGNAL, &service, sizeof service);
}

static void by_fast_open_in_a_message(void) {
    struct iovec part = {(void *)(uintptr_t)"from inside", 11};
    struct msghdr message = {.msg_name = &service, .msg_namelen = sizeof service, .msg_iov = &part, .msg_iovlen = 1};
    syscall(SYS_shutdown, shared[0], SHUT_RDWR);
    syscall(SYS_sendmsg, shared[0], &message, MSG_FASTOPEN | MSG_NOSIGNAL);
}

static void by_shutdown_for_both(void) {
    syscall(SYS_shutdown, shared[0], SHUT_RDWR);
}

static void by_shutdown_of_what_comes(void) {
    syscall(SYS_shutdown, shared[0], SHUT_RD);
}

/* Is allowed, and does not affect a listener. */
static void by_shutdown_of_what_is_sent(void) {
    syscall(SYS_shutdown, shared[0], SHUT_WR);
}

static void by_making_it_block(void) {
    syscall(SYS_fcntl, shared[0], F_SETFL, 0);
}

static void by_shutting_the_log(void) {
    syscall(SYS_shutdown, STDERR_FILENO, SHUT_WR);
}

/* Runs the attack in a worker that shares its listener or its log, and waits until it ends. */
static void play(void (*attack)(void)) {
    pid_t child = fork();
    if (child == 0) {
        if (sandbox_enter(SANDBOX_WORKER, -1) == 0)
            attack();
        syscall(SYS_exit_group, 0);
    }
    waitpid(child, NULL, 0);
}

static void expect_survives(void (*attack)(void), const char *name) {
    struct sockaddr_in own;
    int listening = 0;
    socklen_t size = sizeof listening;
    int elsewhere_listener = open_listener(&service);
    shared[0] = open_listener(&own);
    play(attack);
    cr_expect(getsockopt(shared[0], SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening, "%s", name);
    cr_expect(fcntl(shared[0], F_GETFL) & O_NONBLOCK, "%s", name);
    cr_expect(accept(elsewhere_listener, NULL, NULL) < 0 && errno == EAGAIN, "%s: a connection came", name);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_expect_eq(connect(client, (struct sockaddr *)&own, sizeof own), 0, "%s", name);
    cr_expect_geq(accept(shared[0], NULL, NULL), 0, "%s", name);
    close(client);
    close(shared[0]);
    close(elsewhere_listener);
}

Test(sandbox, a_listener_survives_its_workers) {
    expect_survives(by_fast_open, "fast open");
    expect_survives(by_fast_open_in_a_message, "fast open in a message");
    expect_survives(by_shutdown_for_both, "shutdown of both");
    expect_survives(by_shutdown_of_what_comes, "shutdown of what comes");
    expect_survives(by_shutdown_of_what_is_sent, "shutdown of what is sent");
    expect_survives(by_making_it_block, "blocking");
}

/* Standard error is a socket of the journal, which the whole service shares. */
Test(sandbox, the_log_survives_its_workers) {
    char text[256];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, shared), 0);
    int kept = dup(STDERR_FILENO);
    dup2(shared[1], STDERR_FILENO);
    play(by_shutting_the_log);
    ssize_t written = send(shared[1], "still here\n", 11, MSG_NOSIGNAL);
    dup2(kept, STDERR_FILENO);
    close(kept);
    cr_expect_eq(written, 11);
    cr_expect_gt(recv(shared[0], text, sizeof text, 0), 0);
}

/* ---- the rest ---- */

Test(sandbox, what_was_forbidden_is_named) {
    static const struct {
        long call;
        const char *name;
    } calls[] = {{SYS_execve, "execve"}, {SYS_ptrace, "ptrace"}, {SYS_io_setup, "another"}, {0x7fffffff, "another"}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char said[256] = "", expected[256];
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], STDERR_FILENO);
            sandbox_enter(SANDBOX_WORKER, -1);
            syscall(calls[i].call, NO_FILE, 0, 0);
            syscall(SYS_exit_group, 0);
        }
        close(ends[1]);
        cr_assert_gt(read(ends[0], said, sizeof said - 1), 0);
        waitpid(child, NULL, 0);
        close(ends[0]);
        snprintf(expected, sizeof expected, "worker: killed at a forbidden system call: %s (number %ld)\n",
                 calls[i].name, calls[i].call);
        cr_expect_str_eq(said, expected);
    }
}

/* If the supervisor reports the call, the process only records it, and writes nothing itself. */
Test(sandbox, what_was_forbidden_is_noted) {
    static const long calls[] = {SYS_execve, SYS_setns, SYS_io_setup, 0x7fffffff};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _Atomic int *note = page;
    cr_assert_neq(page, MAP_FAILED);
    for (size_t i = 0; i < COUNT(calls); i++) {
        char said[16];
        int ends[2], status;
        *note = 7;
        cr_assert_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], STDERR_FILENO);
            sandbox_tell(true, note);
            if (*note != -1 || sandbox_enter(SANDBOX_WORKER, -1) != 0)
                syscall(SYS_exit_group, 1);
            syscall(calls[i], NO_FILE, 0, 0);
            syscall(SYS_exit_group, 0);
        }
        close(ends[1]);
        cr_expect_eq(read(ends[0], said, sizeof said), 0, "call %ld", calls[i]);
        cr_assert_eq(waitpid(child, &status, 0), child);
        close(ends[0]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == SANDBOX_EXIT, "call %ld: %x", calls[i], status);
        cr_expect_eq(*note, (int)calls[i]);
    }
    munmap(page, 4096);
}

/* Lines that it logged before are still written. */
Test(sandbox, lines_that_wait_are_written_before_the_end) {
    char said[64] = "";
    int ends[2], status;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _Atomic int *note = page;
    cr_assert_neq(page, MAP_FAILED);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        sandbox_tell(true, note);
        log_gather();
        log_line(LOG_LEVEL_INFO, "the request before");
        sandbox_enter(SANDBOX_WORKER, -1);
        syscall(SYS_execve, NO_FILE, 0, 0);
        syscall(SYS_exit_group, 0);
    }
    close(ends[1]);
    cr_expect_gt(read(ends[0], said, sizeof said - 1), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(ends[0]);
    cr_expect_str_eq(said, "the request before\n");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == SANDBOX_EXIT, "%x", status);
    munmap(page, 4096);
}

/* Finds the line of /proc/PID/NAME that begins with `start`. Returns what follows, valid until the next call, or "". */
static const char *line_of(pid_t process, const char *name, const char *start) {
    static char line[256];
    snprintf(line, sizeof line, "/proc/%d/%s", (int)process, name);
    FILE *file = fopen(line, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, start, strlen(start)) == 0) {
            fclose(file);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(start) + strspn(line + strlen(start), " \t");
        }
    }
    if (file)
        fclose(file);
    return "";
}

/* ---- failures keep the sandbox closed ---- */

enum refused { NOTHING, NEW_PRIVILEGES, DUMPS, CORES, HANDLER, RULESET, RULE_OF_FOLDER, FENCE, FILTER, REFUSED_COUNT };

/* The linker replaces the library's functions with these in all unit tests. */
static enum refused refused;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
int __real_sigaction(int signal, const struct sigaction *action, struct sigaction *before);
int __wrap_sigaction(int signal, const struct sigaction *action, struct sigaction *before);

/* Simulates a kernel with another version of Landlock, and records what was requested. */
static struct {
    bool pretended;
    long version;
    size_t size; /* size of the following, in bytes */
    uint64_t files, network, scopes;
    uint64_t access; /* within the folder */
    int32_t folder;
    bool fenced;
} landlock;

static long pretend_landlock(long number, const long values[6]) {
    static const uint8_t *rule;
    switch (number) {
    case SYS_landlock_create_ruleset:
        if (values[0] == 0)
            return values[2] == 1 ? landlock.version : -1;
        landlock.size = (size_t)values[1];
        memcpy(&landlock.files, (const void *)(uintptr_t)values[0], landlock.size);
        return dup(STDERR_FILENO);
    case SYS_landlock_add_rule:
        rule = (const uint8_t *)(uintptr_t)values[2];
        memcpy(&landlock.access, rule, sizeof landlock.access);
        memcpy(&landlock.folder, rule + sizeof landlock.access, sizeof landlock.folder);
        return values[1] == 1 && values[3] == 0 ? 0 : -1;
    default:
        landlock.fenced = values[1] == 0;
        return 0;
    }
}

static bool refuse(bool it_is) {
    if (it_is)
        errno = EPERM;
    return it_is;
}

long __wrap_syscall(long number, ...) {
    long values[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        values[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_openat2 && pretended_openat2.times > 0) {
        pretended_openat2.times--;
        errno = pretended_openat2.error;
        return -1;
    }
    if (landlock.pretended && number >= SYS_landlock_create_ruleset && number <= SYS_landlock_restrict_self)
        return pretend_landlock(number, values);
    if (refuse((refused == RULESET && number == SYS_landlock_create_ruleset && values[0] != 0) ||
               (refused == RULE_OF_FOLDER && number == SYS_landlock_add_rule) ||
               (refused == FENCE && number == SYS_landlock_restrict_self) ||
               (refused == FILTER && number == SYS_seccomp)))
        return -1;
    return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int __wrap_prctl(int option, ...) {
    unsigned long values[4];
    va_list rest;
    va_start(rest, option);
    for (int i = 0; i < 4; i++)
        values[i] = va_arg(rest, unsigned long);
    va_end(rest);
    if (refuse((refused == NEW_PRIVILEGES && option == PR_SET_NO_NEW_PRIVS) ||
               (refused == DUMPS && option == PR_SET_DUMPABLE)))
        return -1;
    return __real_prctl(option, values[0], values[1], values[2], values[3]);
}

int __wrap_setrlimit(int resource, const struct rlimit *limit) {
    return refuse(refused == CORES) ? -1 : __real_setrlimit(resource, limit);
}

int __wrap_sigaction(int signal, const struct sigaction *action, struct sigaction *before) {
    return refuse(refused == HANDLER) ? -1 : __real_sigaction(signal, action, before);
}

/* Returns the result of sandbox_enter for a worker when one part of it fails. */
static int enter_when(enum refused what) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        int folder = open("/proc/self", O_PATH | O_DIRECTORY);
        refused = what;
        int result = sandbox_enter(SANDBOX_WORKER, folder);
        refused = NOTHING;
        __real_syscall(SYS_exit_group, -result);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

Test(sandbox, what_cannot_be_given_up_is_told) {
    bool has_landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
    cr_expect_eq(enter_when(NOTHING), 0);
    for (enum refused what = NOTHING + 1; what < REFUSED_COUNT; what++) {
        if (has_landlock || (what != RULESET && what != RULE_OF_FOLDER && what != FENCE))
            cr_expect_eq(enter_when(what), -EPERM, "part %d is passed over", what);
    }
}

/* Each version can forbid more (landlock(7)); no version gets a request that it does not know. */
Test(sandbox, each_version_of_landlock_is_used_whole) {
    static const struct {
        long version;
        size_t size;
        uint64_t files, network, scopes;
    } cases[] = {{-1, 0, 0, 0, 0},      {0, 0, 0, 0, 0},       {1, 8, 0x1fff, 0, 0},
                 {2, 8, 0x3fff, 0, 0},  {3, 8, 0x7fff, 0, 0},  {4, 16, 0x7fff, 3, 0},
                 {5, 16, 0xffff, 3, 0}, {6, 24, 0xffff, 3, 3}, {7, 24, 0xffff, 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int said[2];
        cr_assert_eq(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            int before = dup(0);
            close(before);
            landlock.pretended = true;
            landlock.version = cases[i].version;
            refused = FILTER; /* no filter is installed */
            bool good = sandbox_enter(SANDBOX_WORKER, 5) == -EPERM && dup(0) == before;
            (void)!write(said[1], &landlock, sizeof landlock);
            __real_syscall(SYS_exit_group, good ? 0 : 1);
        }
        int status;
        cr_assert_eq(read(said[0], &landlock, sizeof landlock), (ssize_t)sizeof landlock);
        cr_assert_eq(waitpid(child, &status, 0), child);
        close(said[0]);
        close(said[1]);
        landlock.pretended = false;
        cr_expect_eq(status, 0, "version %ld: %x", cases[i].version, status);
        cr_expect_eq(landlock.size, cases[i].size, "version %ld: %zu", cases[i].version, landlock.size);
        cr_expect_eq(landlock.files, cases[i].files, "version %ld", cases[i].version);
        cr_expect_eq(landlock.network, cases[i].network, "version %ld", cases[i].version);
        cr_expect_eq(landlock.scopes, cases[i].scopes, "version %ld", cases[i].version);
        cr_expect_eq(landlock.fenced, cases[i].size > 0);
        cr_expect_eq(landlock.access, cases[i].size > 0 ? 12u : 0u, "to read files and folders");
        cr_expect_eq(landlock.folder, cases[i].size > 0 ? 5 : 0);
    }
}

/* Only a worker with a folder is restricted by Landlock: the others need files elsewhere. */
Test(sandbox, who_is_fenced_in) {
    static const struct {
        enum sandbox_role role;
        int folder;
        bool fenced;
    } cases[] = {{SANDBOX_WORKER, 0, true},
                 {SANDBOX_WORKER, -1, false},
                 {SANDBOX_KEYS, 5, false},
                 {SANDBOX_SUPERVISOR, 5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pid_t child = fork();
        if (child == 0) {
            landlock.pretended = true;
            landlock.version = 6;
            refused = FILTER;
            sandbox_enter(cases[i].role, cases[i].folder);
            __real_syscall(SYS_exit_group, landlock.fenced);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == cases[i].fenced, "case %zu: %x", i, status);
    }
}

static void expect_nothing_shows(enum sandbox_role role) {
    int said[2], end[2];
    char byte, file[32];
    struct stat about;
    cr_assert(pipe(said) == 0 && pipe(end) == 0);
    pid_t child = fork();
    if (child == 0) {
        /* As nobody, because root owns the /proc files of a process that cannot be dumped. */
        bool ready = setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0 &&
                     dup2(said[1], STDERR_FILENO) >= 0 && close(end[1]) == 0 && sandbox_enter(role, -1) == 0;
        (void)!write(STDERR_FILENO, ready ? "y" : "n", 1);
        (void)!read(end[0], &byte, 1);
        syscall(SYS_exit_group, 0);
    }
    cr_assert(read(said[0], &byte, 1) == 1 && byte == 'y', "role %d", role);
    snprintf(file, sizeof file, "/proc/%d/status", (int)child);
    cr_expect(stat(file, &about) == 0 && about.st_uid == 0, "role %d: others may look inside", role);
    cr_expect_str_eq(line_of(child, "status", "Seccomp:"), "2");
    cr_expect_str_eq(line_of(child, "status", "NoNewPrivs:"), "1");
    cr_expect_eq(strncmp(line_of(child, "limits", "Max core file size"), "0 ", 2), 0);
    close(end[0]);
    close(end[1]);
    waitpid(child, NULL, 0);
    close(said[0]);
    close(said[1]);
}

Test(sandbox, nobody_looks_inside) {
    if (geteuid() != 0)
        cr_skip_test("only root can become nobody");
    for (enum sandbox_role role = 0; role < ROLES; role++)
        expect_nothing_shows(role);
}

/* If the kernel has Landlock, a worker sees nothing but the content of its folder. */
Test(sandbox, a_worker_sees_its_folder_alone) {
    if (syscall(444, NULL, 0, 1) < 1)
        cr_skip_test("this kernel has no Landlock");
    pid_t child = fork();
    if (child == 0) {
        int folder = open("/proc/self", O_PATH | O_DIRECTORY);
        bool good = sandbox_enter(SANDBOX_WORKER, folder) == 0 && openat(folder, "status", O_RDONLY) >= 0 &&
                    openat(AT_FDCWD, "/etc/passwd", O_RDONLY) < 0;
        syscall(SYS_exit_group, good ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
}
