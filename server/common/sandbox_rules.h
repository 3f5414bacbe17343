/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What each role may ask of the kernel inside its sandbox: system calls and their arguments. Any other call, or other
 * arguments, end the process. Included by sandbox.c, which makes the filter from it, and by the code that prints and
 * tests it. SHARED.md says what a process could do to others with these calls.
 *
 * A call appears once for each way in which it is used. `make surface` prints all rules; `make surface-check` runs the
 * tests that need them, and reports rules that no test needs.
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

/* The kind of a check of an argument. */
enum check_kind {
    CHECK_NONE,  /* no check; ends the checks of a rule */
    CHECK_IS,    /* all 64 bits equal the value */
    CHECK_INT,   /* the lower 32 bits equal the value; the kernel reads only these of an int (for negative ones) */
    CHECK_ONLY,  /* no bit of the 64 is set that is not set in the value */
    CHECK_RANGE, /* the lower 32 bits are a number from `first` to the value: a descriptor, a process */
};

struct check {
    uint8_t kind;     /* enum check_kind */
    uint8_t argument; /* from 0 */
    uint16_t first;   /* of CHECK_RANGE */
    uint32_t value;   /* for CHECK_RANGE, the last one */
#ifdef SANDBOX_TEXT
    const char *text;
#endif
};

#define CHECKS_MAX 3

/* The verdict for a call that matches a rule. */
enum verdict {
    VERDICT_ALLOWED,
    VERDICT_ABSENT,    /* fails with ENOSYS, as on an old kernel: the caller has a fallback */
    VERDICT_NO_MEMORY, /* fails with ENOMEM */
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

/* A call with any arguments; a call with checks; and a call that fails without reaching the kernel. */
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

/* Numbers that musl does not define. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define DESCRIPTOR_MAX 0x7fffffff
#define PROCESS_MAX 0x7fffffff

/* The process's own memory. No mapping can replace another, and none can become executable. */
#define MEMORY_TAKEN                                                                                                   \
    RULE(mmap, ONLY(2, PROT_READ | PROT_WRITE), IS(3, MAP_PRIVATE | MAP_ANONYMOUS), IS_INT(4, -1)),                    \
        RULE(mremap, IS(3, MREMAP_MAYMOVE)), RULE(madvise, IS_INT(2, MADV_FREE)), ANY(brk)
#define MEMORY MEMORY_TAKEN, ANY(munmap)

/* Reads files and links, but creates and writes nothing. */
#define OPEN_TO_READ (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY | O_PATH | O_NONBLOCK | O_NOCTTY | O_LARGEFILE)
#define LOOK_AT_FILES ANY(fstat), ANY(getdents64), ANY(read)

/*
 * fdopendir(3) checks its descriptor and sets a flag. The flag belongs to the descriptor, not to the open file, which
 * others share.
 */
#define OPEN_FOLDER RULE(fcntl, IS(1, F_GETFL)), RULE(fcntl, IS(1, F_SETFD), IS(2, FD_CLOEXEC))

/* The vDSO reads most clocks without a system call, but not all. */
#define CLOCKS RULE(clock_gettime, FROM_TO(0, CLOCK_REALTIME, CLOCK_MONOTONIC))

/*
 * The image's program uses musl, and these lists contain what it needs. A packager's program may use glibc
 * (mk/program.mk), which makes other system calls for the same purposes, and reads the time zone. Its random numbers
 * come from memory that the kernel may drop, or from getrandom(2) if there is no such memory. Tests use glibc, and
 * check the lists for the image.
 */
#if defined SANDBOX_FOR_GLIBC && defined __GLIBC__
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#define NO_DROPPABLE_MEMORY {SYS_mmap, VERDICT_NO_MEMORY, {IS(3, MAP_DROPPABLE | MAP_ANONYMOUS), NO_CHECK} TEXT("mmap")}
#define BY_GLIBC                                                                                                       \
    RULE(newfstatat, ONLY(3, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)), ANY(rt_sigprocmask), ANY(lseek), NO_DROPPABLE_MEMORY
#endif

/*
 * Talks to the Internet: accepts connections and reads files. It shares its listeners and the content folder with
 * others, and the other end of its channel is the key process. The most frequent calls come first.
 */
static const struct rule worker_rules[] = {
    RULE(recvfrom, ONLY(3, MSG_DONTWAIT | MSG_TRUNC), NULL_AT(4)),
    /* Without an address, and without MSG_FASTOPEN: data goes only to the connected peer. */
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
    ABSENT(openat2), /* its flags are in memory, which no filter can read */
    /* Ends the sending half. A listening socket ignores SHUT_WR; SHUT_RD would close it for everybody. */
    RULE(shutdown, FROM_TO(0, STDERR_FILENO + 1, DESCRIPTOR_MAX), IS(1, SHUT_WR)),
    RULE(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_QUICKACK), IS(4, sizeof(int))),
    /*
     * Discards what a client has not taken when its connection ends; otherwise the kernel would keep it for minutes.
     * Not for listeners, because connections would inherit it: a worker's own connections have higher numbers
     * (worker.c).
     */
    RULE(setsockopt, FROM_TO(0, SANDBOX_SHARED, DESCRIPTOR_MAX), IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
    /* Gives a quick client a larger buffer, at most as large as net.core.wmem_max allows. Not for listeners, either. */
    RULE(setsockopt, FROM_TO(0, SANDBOX_SHARED, DESCRIPTOR_MAX), IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
    RULE(ioctl, IS(1, TIOCOUTQ)),      /* how many bytes a client has not taken */
    RULE(write, IS(0, STDERR_FILENO)), /* the log: a pipe of its own (relay.h) */
    MEMORY,
    /* The C library calls it when brk(2) cannot grow the heap. It could make shared read-only memory writable. */
    NO_MEMORY(mprotect),
    RULE(getrandom, IS(2, 0)),
    CLOCKS,
    OPEN_FOLDER,
    /* The C library tries it if accept4(2) fails as for a socket that does not listen. */
    ABSENT(accept),
    ANY(exit_group),
#ifdef BY_GLIBC
    BY_GLIBC,
#ifdef SYS_epoll_wait
    ANY(epoll_wait),
#endif
#endif
};

/*
 * `vitrine probe` talks to a server over one connection, and opens nothing: whatever answers, it might be a worker that
 * was taken over, and in a container both belong to one user.
 */
static const struct rule probe_rules[] = {
    RULE(recvfrom, IS(3, MSG_DONTWAIT), NULL_AT(4)),
    RULE(sendto, IS(3, MSG_NOSIGNAL | MSG_DONTWAIT), NULL_AT(4), IS(5, 0)),
    ANY(ppoll),
    RULE(write, IS(0, STDERR_FILENO)),
    MEMORY_TAKEN, /* what one handshake needs is kept when it is freed (block_cache.h) */
    NO_MEMORY(mprotect),
    RULE(getrandom, IS(2, 0)),
    CLOCKS,
    ANY(exit_group),
#ifdef BY_GLIBC
    BY_GLIBC,
#endif
};

#define OPEN_TO_MAKE (O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_LARGEFILE)

/* Signal handlers, and stopping processes. */
#define SIGNALS ANY(rt_sigaction), ANY(rt_sigreturn)

/* Makes, loads and uses identities; shares only the connections to workers and the supervisor. */
static const struct rule keys_rules[] = {
    RULE(recvfrom, ONLY(3, MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK), NULL_AT(4)),
    RULE(sendto, ONLY(3, MSG_NOSIGNAL | MSG_DONTWAIT), NULL_AT(4), IS(5, 0)),
    RULE(recvmsg, IS(2, MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_DONTWAIT)),
    RULE(sendmsg, IS(2, MSG_NOSIGNAL)),
    ANY(ppoll),
    RULE(accept4, IS(3, SOCK_CLOEXEC)),
    ABSENT(accept),
    ANY(write),
    ANY(close),
    LOOK_AT_FILES,
    RULE(newfstatat, ONLY(3, AT_SYMLINK_NOFOLLOW)),
    RULE(openat, ONLY(2, OPEN_TO_READ)),
    ANY(readlinkat), /* given identities may be links, as Kubernetes makes them */
    RULE(openat, IS(2, OPEN_TO_MAKE), IS(3, 0600)),
#ifdef SYS_open
    RULE(open, ONLY(1, OPEN_TO_READ)),
#endif
    ANY(fsync),
    ANY(syncfs),
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
    SIGNALS,
    ANY(geteuid),
    ANY(getpid),
    ANY(exit_group),
    NO_MEMORY(mprotect), /* see worker_rules */
#ifdef BY_GLIBC
    BY_GLIBC,
#endif
};

/*
 * Starts the others, which inherit its filter until they give up more. So its own rules come first, then those of the
 * key process. Never execve, and no sockets except pairs.
 */
static const struct rule supervisor_rules[] = {
    /* What workers do for each visit: each of these calls passes through their filter and this one. */
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
    RULE(setsockopt, FROM_TO(0, SANDBOX_SHARED, DESCRIPTOR_MAX), IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
    RULE(ioctl, IS(1, TIOCOUTQ)),
#ifdef SYS_fork
    ANY(fork),
#else
    RULE(clone, IS(0, SIGCHLD)), /* no namespace, no thread */
#endif
    ANY(wait4),
    RULE(mprotect, ONLY(2, PROT_READ | PROT_WRITE)),
    RULE(mmap, ONLY(2, PROT_READ | PROT_WRITE), IS(3, MAP_SHARED | MAP_ANONYMOUS), IS_INT(4, -1)), /* shared memory */
    RULE(kill, FROM_TO(0, 1, PROCESS_MAX), FROM_TO(1, SIGHUP, SIGCONT)), /* never a group or all processes */
    ANY(restart_syscall),
    RULE(pipe2,
         IS(1, O_CLOEXEC | O_NONBLOCK)), /* for the log lines of a worker, whose standard descriptors it becomes */
#ifdef SYS_dup2
    RULE(dup2, FROM_TO(1, STDIN_FILENO, STDERR_FILENO)),
#else
    RULE(dup3, FROM_TO(1, STDIN_FILENO, STDERR_FILENO), IS(2, 0)),
#endif
    RULE(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_ACCEPTCONN)), /* is a listener still listening? */
    RULE(fcntl, IS(1, F_SETFL), ONLY(2, O_RDWR | O_NONBLOCK | O_LARGEFILE)),
    RULE(socketpair, IS(0, AF_UNIX)),
    ANY(getppid),
    ANY(set_tid_address),
    RULE(prctl, IS_INT(0, PR_SET_NAME)),
    RULE(prctl, IS_INT(0, PR_SET_PDEATHSIG), IS(1, SIGTERM)),
    RULE(prctl, IS_INT(0, PR_SET_NO_NEW_PRIVS), IS(1, 1)),
    RULE(prctl, IS_INT(0, PR_SET_DUMPABLE), IS(1, 0)),
    RULE(prlimit64, IS_INT(0, 0), IS_INT(1, RLIMIT_CORE)),
    RULE(prlimit64, IS_INT(0, 0), IS_INT(1, RLIMIT_NOFILE)),
    RULE(setgroups, IS_INT(0, 0)),
    RULE(setgid, IS_INT(0, SANDBOX_NOBODY)),
    RULE(setuid, IS_INT(0, SANDBOX_NOBODY)),
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
#ifdef BY_GLIBC
    BY_GLIBC,
    ANY(set_robust_list),
    RULE(clone, IS(0, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)),
#ifdef SYS_epoll_wait
    ANY(epoll_wait),
#endif
#endif
};
