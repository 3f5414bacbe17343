/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What each role may still ask of the kernel once it has given up its power: system calls, and the arguments with which
 * they are made. A call that is not here, or that has other arguments, ends the process. Included by sandbox.c, which
 * makes the filter of it, and by those who print and test it. SHARED.md says what could be done to others by what is
 * allowed here.
 *
 * A call stands here once for each way in which it is used. `make surface` prints all of it; its check runs the tests
 * that need them, and misses a rule that no test needs.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

/* Of which kind is a check of an argument? */
enum check_kind {
    CHECK_NONE,  /* no check, and the end of the checks of a rule */
    CHECK_IS,    /* it is the value, with all of its 64 bits */
    CHECK_INT,   /* its lower 32 bits are, which are all that the kernel takes of an int; for those below zero */
    CHECK_ONLY,  /* of its 64 bits none is set that is not in the value */
    CHECK_RANGE, /* its lower 32 bits are a number from `first` to the value: a descriptor, a process */
};

struct check {
    uint8_t kind;     /* enum check_kind */
    uint8_t argument; /* from 0 */
    uint16_t first;   /* of CHECK_RANGE */
    uint32_t value;   /* of CHECK_RANGE the last one */
#ifdef SANDBOX_TEXT
    const char *text;
#endif
};

#define CHECKS_MAX 3

/* What becomes of a call that fits a rule. */
enum verdict {
    VERDICT_ALLOWED,
    VERDICT_ABSENT,    /* answered as by an old kernel, ENOSYS: the caller knows another way */
    VERDICT_NO_MEMORY, /* answered with ENOMEM */
};

struct rule {
    uint16_t call;
    uint8_t verdict; /* enum verdict */
    struct check checks[CHECKS_MAX];
#ifdef SANDBOX_TEXT
    const char *name;
#endif
};

#ifdef SANDBOX_TEXT
#define TEXT(text) , text
#else
#define TEXT(text)
#endif

/* A call with any arguments; one with checks; and what is answered without asking the kernel. */
#define CHECK(kind, argument, first, value, text) {kind, argument, first, (uint32_t)(value)TEXT(text)}
#define NO_CHECK CHECK(CHECK_NONE, 0, 0, 0, NULL)
#define ANY(call) {SYS_##call, VERDICT_ALLOWED, {NO_CHECK} TEXT(#call)}
#define RULE(call, ...) {SYS_##call, VERDICT_ALLOWED, {__VA_ARGS__} TEXT(#call)}
#define ABSENT(call) {SYS_##call, VERDICT_ABSENT, {NO_CHECK} TEXT(#call)}
#define NO_MEMORY(call) {SYS_##call, VERDICT_NO_MEMORY, {NO_CHECK} TEXT(#call)}

#define IS(argument, value) CHECK(CHECK_IS, argument, 0, value, "is " #value)
#define IS_INT(argument, value) CHECK(CHECK_INT, argument, 0, value, "is " #value)
#define NULL_AT(argument) CHECK(CHECK_IS, argument, 0, 0, "is NULL")
#define ONLY(argument, value) CHECK(CHECK_ONLY, argument, 0, value, "has only " #value)
#define FROM_TO(argument, first, last) CHECK(CHECK_RANGE, argument, first, last, "from " #first " to " #last)

/* Numbers that musl does not know. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define NOBODY 65534 /* who owns nothing, on every system (children.c) */
#define DESCRIPTOR_MAX 0x7fffffff
#define PROCESS_MAX 0x7fffffff

/* Memory of the process's own. No mapping can be laid over another, and none becomes executable. */
#define MEMORY                                                                                                         \
    RULE(mmap, ONLY(2, PROT_READ | PROT_WRITE), IS(3, MAP_PRIVATE | MAP_ANONYMOUS), IS_INT(4, -1)), ANY(munmap),       \
        RULE(mremap, IS(3, MREMAP_MAYMOVE)), RULE(madvise, IS_INT(2, MADV_FREE)), ANY(brk)

/* Files to be read, links to be looked at, nothing to be made or written. */
#define OPEN_TO_READ (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY | O_PATH | O_NONBLOCK | O_NOCTTY | O_LARGEFILE)
#define LOOK_AT_FILES ANY(fstat), ANY(getdents64), ANY(read)

/* fdopendir(3) looks at its descriptor and marks it. The mark is the descriptor's, not the file's, which others share.
 */
#define OPEN_FOLDER RULE(fcntl, IS(1, F_GETFL)), RULE(fcntl, IS(1, F_SETFD), IS(2, FD_CLOEXEC))

/* The vDSO answers for most clocks without asking the kernel, but not for all. */
#define CLOCKS RULE(clock_gettime, FROM_TO(0, CLOCK_REALTIME, CLOCK_MONOTONIC))

/*
 * Talks to the Internet: takes connections that come, reads files that are there. The descriptors that it shares with
 * others are its listeners, the content folder and, at the other end, the channel to the key process.
 * The most frequent calls come first.
 */
static const struct rule worker_rules[] = {
    RULE(recvfrom, ONLY(3, MSG_DONTWAIT | MSG_TRUNC), NULL_AT(4)),
    /* Without an address, and without MSG_FASTOPEN: what is sent goes to whoever is connected. */
    RULE(sendto, ONLY(3, MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT), NULL_AT(4), IS(5, 0)),
    RULE(epoll_pwait, NULL_AT(4)),
    RULE(epoll_ctl, FROM_TO(1, EPOLL_CTL_ADD, EPOLL_CTL_MOD)),
    RULE(accept4, IS(3, SOCK_CLOEXEC | SOCK_NONBLOCK)),
    RULE(newfstatat, ONLY(3, AT_SYMLINK_NOFOLLOW)),
    RULE(openat, ONLY(2, OPEN_TO_READ)),
    ANY(close),
    ANY(pread64),
    LOOK_AT_FILES,
    ANY(readlinkat),
    ABSENT(openat2), /* its flags lie in memory, where no filter can look */
    /* Says that all is said. A listening socket passes over that half, and would be closed for everybody by the other.
     */
    RULE(shutdown, FROM_TO(0, STDERR_FILENO + 1, DESCRIPTOR_MAX), IS(1, SHUT_WR)),
    RULE(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_QUICKACK), IS(4, sizeof(int))),
    /*
     * What a client does not take is thrown away when its connection ends, or the kernel would keep it for minutes. Not
     * for a listener, whose connections would inherit it: a worker's own connections have higher numbers (worker.c).
     */
    RULE(setsockopt, FROM_TO(0, SANDBOX_SHARED, DESCRIPTOR_MAX), IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
    RULE(ioctl, IS(1, TIOCOUTQ)),      /* how much a client has not taken */
    RULE(write, IS(0, STDERR_FILENO)), /* the log: a pipe of its own (relay.h) */
    MEMORY,
    /*
     * The C library asks for it when the heap cannot grow by brk(2). Memory that is shared and was made read-only would
     * become writable by it.
     */
    NO_MEMORY(mprotect),
    RULE(getrandom, IS(2, 0)),
    CLOCKS,
    OPEN_FOLDER,
    /* The C library tries it where accept4(2) fails as it does for a socket that does not listen. */
    ABSENT(accept),
    ANY(exit_group),
};

#define OPEN_TO_MAKE (O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_LARGEFILE)

/* Handlers of signals, and who is asked to stop. */
#define SIGNALS ANY(rt_sigaction), ANY(rt_sigreturn)

/* Makes, loads and uses identities; what it shares are the connections to workers and the supervisor. */
static const struct rule keys_rules[] = {
    RULE(recvfrom, ONLY(3, MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK), NULL_AT(4)),
    RULE(sendto, ONLY(3, MSG_NOSIGNAL | MSG_DONTWAIT), NULL_AT(4), IS(5, 0)),
    RULE(recvmsg, IS(2, MSG_CMSG_CLOEXEC | MSG_TRUNC)),
    RULE(sendmsg, IS(2, MSG_NOSIGNAL)),
    ANY(ppoll),
    RULE(accept4, IS(3, SOCK_CLOEXEC)),
    ABSENT(accept),
    ANY(write),
    ANY(close),
    LOOK_AT_FILES,
    RULE(newfstatat, ONLY(3, AT_SYMLINK_NOFOLLOW)),
    RULE(openat, ONLY(2, OPEN_TO_READ)),
    RULE(openat, IS(2, OPEN_TO_MAKE), IS(3, 0600)),
#ifdef SYS_open
    RULE(open, ONLY(1, OPEN_TO_READ)),
#endif
    ANY(fsync),
    RULE(fchmod, IS(1, 0600)),
    ANY(fchown),
    RULE(linkat, IS(4, 0)),
    RULE(unlinkat, IS(2, 0)),
    ANY(faccessat2),
    ANY(dup),
    MEMORY,
    RULE(madvise, IS_INT(2, MADV_DONTDUMP)),
    RULE(madvise, IS_INT(2, MADV_WIPEONFORK)),
    ANY(mlock),
    RULE(mlockall, IS(0, MCL_CURRENT | MCL_FUTURE)),
    RULE(getrandom, IS(2, 0)),
    CLOCKS,
    OPEN_FOLDER,
    RULE(fcntl, IS(1, F_SETFL), ONLY(2, O_RDWR | O_NONBLOCK | O_LARGEFILE)),
    SIGNALS,
    ANY(geteuid),
    ANY(getpid),
    ANY(exit_group),
    NO_MEMORY(mprotect), /* see worker_rules */
};

/*
 * Starts the others, so it may do what they do until they have given up more: these come before those of the key
 * process, which are the supervisor's as well. Never execve, and no socket but pairs.
 */
static const struct rule supervisor_rules[] = {
    /* What workers do for each visit: their filter and this one are run through for each of these calls. */
    RULE(recvfrom, ONLY(3, MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK), NULL_AT(4)),
    RULE(sendto, ONLY(3, MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT), NULL_AT(4), IS(5, 0)),
    RULE(epoll_pwait, NULL_AT(4)),
    RULE(epoll_ctl, FROM_TO(1, EPOLL_CTL_ADD, EPOLL_CTL_MOD)),
    RULE(accept4, IS(3, SOCK_CLOEXEC | SOCK_NONBLOCK)),
    RULE(newfstatat, ONLY(3, AT_SYMLINK_NOFOLLOW)),
    RULE(openat, ONLY(2, OPEN_TO_READ)),
    RULE(shutdown, FROM_TO(0, STDERR_FILENO + 1, DESCRIPTOR_MAX), IS(1, SHUT_WR)),
    RULE(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_QUICKACK), IS(4, sizeof(int))),
    RULE(setsockopt, FROM_TO(0, SANDBOX_SHARED, DESCRIPTOR_MAX), IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
    RULE(ioctl, IS(1, TIOCOUTQ)),
#ifdef SYS_fork
    ANY(fork),
#else
    RULE(clone, IS(0, SIGCHLD)), /* no namespace, no thread */
#endif
    ANY(wait4),
    RULE(mprotect, ONLY(2, PROT_READ | PROT_WRITE)),
    RULE(mmap, ONLY(2, PROT_READ | PROT_WRITE), IS(3, MAP_SHARED | MAP_ANONYMOUS), IS_INT(4, -1)), /* the boards */
    RULE(kill, FROM_TO(0, 1, PROCESS_MAX), FROM_TO(1, SIGHUP, SIGCONT)), /* never a group or all */
    ANY(restart_syscall),
    RULE(pipe2, IS(1, O_CLOEXEC | O_NONBLOCK)), /* for the lines of a worker, whose standard descriptors it becomes */
#ifdef SYS_dup2
    RULE(dup2, FROM_TO(1, STDIN_FILENO, STDERR_FILENO)),
#else
    RULE(dup3, FROM_TO(1, STDIN_FILENO, STDERR_FILENO), IS(2, 0)),
#endif
    RULE(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_ACCEPTCONN)), /* does a listener listen? */
    RULE(socketpair, IS(0, AF_UNIX)),
    ANY(getppid),
    ANY(set_tid_address),
    ANY(sched_getaffinity),
    RULE(prctl, IS_INT(0, PR_SET_NAME)),
    RULE(prctl, IS_INT(0, PR_SET_PDEATHSIG), IS(1, SIGTERM)),
    RULE(prctl, IS_INT(0, PR_SET_NO_NEW_PRIVS), IS(1, 1)),
    RULE(prctl, IS_INT(0, PR_SET_DUMPABLE), IS(1, 0)),
    RULE(prlimit64, IS_INT(0, 0), IS_INT(1, RLIMIT_CORE)),
    RULE(prlimit64, IS_INT(0, 0), IS_INT(1, RLIMIT_NOFILE)),
    RULE(setgroups, IS_INT(0, 0)),
    RULE(setgid, IS_INT(0, NOBODY)),
    RULE(setuid, IS_INT(0, NOBODY)),
    RULE(seccomp, IS(0, 1), IS(1, 0)),
    ABSENT(openat2),
    ANY(epoll_create1),
    ANY(readlinkat),
    ANY(faccessat),
    ANY(rt_sigprocmask),
#ifdef SYS_poll
    ANY(poll),
#endif
    RULE(signalfd4, IS_INT(0, -1), IS(3, SFD_NONBLOCK | SFD_CLOEXEC)),
    ANY(pread64),
    ANY(landlock_create_ruleset),
    ANY(landlock_add_rule),
    ANY(landlock_restrict_self),
};
