/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each role may still do, tried in a process of its own for each call. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sandbox.h"

#define NO_FILE ((long)(uintptr_t)"/nonexistent")

/* A call, with arguments by which it does no harm where it is let through. */
static const struct attempt {
    const char *name;
    long call, arguments[6];
    bool supervisor, keys, worker; /* is it let through? */
} attempts[] = {
    {"read", SYS_read, {-1}, true, true, true},
    {"getrandom", SYS_getrandom, {0, 0, 0}, true, true, true},
    {"mmap", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1}, true, true, true},
    {"mmap, executable",
     SYS_mmap,
     {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1},
     false,
     false,
     false},
    {"mprotect, executable", SYS_mprotect, {0, 0, PROT_EXEC}, false, false, false},
    {"fcntl for flags", SYS_fcntl, {-1, F_GETFL}, true, true, true},
    {"fcntl for a copy", SYS_fcntl, {-1, F_DUPFD_CLOEXEC}, false, false, false},
    {"openat to read", SYS_openat, {AT_FDCWD, NO_FILE, O_RDONLY}, true, true, true},
    {"openat to write", SYS_openat, {AT_FDCWD, NO_FILE, O_WRONLY}, true, true, false},
    {"openat to make", SYS_openat, {-1, NO_FILE, O_RDONLY | O_CREAT}, true, true, false},
    {"accept4", SYS_accept4, {-1}, true, true, true},
    {"unlinkat", SYS_unlinkat, {AT_FDCWD, NO_FILE}, true, true, false},
    {"kill", SYS_kill, {0x7ffffff0, 0}, true, false, false},
    {"tgkill", SYS_tgkill, {0x7ffffff0, 0x7ffffff0, 0}, false, false, false},
    {"prctl", SYS_prctl, {PR_GET_DUMPABLE}, true, false, false},
    {"prlimit64", SYS_prlimit64, {0, RLIMIT_CORE}, true, false, false},
    {"rt_sigaction", SYS_rt_sigaction, {SIGUSR1, 0, 0, 8}, true, true, false},
    {"socket", SYS_socket, {AF_INET, SOCK_STREAM}, false, false, false},
    {"socket, unix", SYS_socket, {AF_UNIX, SOCK_STREAM}, false, false, false},
    {"socketpair, internet", SYS_socketpair, {AF_INET, SOCK_STREAM}, false, false, false},
    {"connect", SYS_connect, {-1}, false, false, false},
    {"bind", SYS_bind, {-1}, false, false, false},
    {"listen", SYS_listen, {-1}, false, false, false},
    {"setsockopt to acknowledge", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_QUICKACK}, true, false, true},
    {"setsockopt of TCP, another", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_ULP}, false, false, false},
    {"setsockopt, not of TCP", SYS_setsockopt, {-1, SOL_SOCKET, TCP_QUICKACK}, false, false, false},
    {"execve", SYS_execve, {NO_FILE}, false, false, false},
    {"execveat", SYS_execveat, {-1, NO_FILE}, false, false, false},
    {"clone, a namespace", SYS_clone, {0x10000000 | SIGCHLD, 0}, false, false, false},
    {"ptrace", SYS_ptrace, {-1}, false, false, false},
    {"process_vm_readv", SYS_process_vm_readv, {-1}, false, false, false},
    {"memfd_create", SYS_memfd_create, {NO_FILE}, false, false, false},
    {"ioctl", SYS_ioctl, {-1}, false, false, false},
    {"mount", SYS_mount, {NO_FILE}, false, false, false},
    {"unshare", SYS_unshare, {0}, false, false, false},
    {"setns", SYS_setns, {-1}, false, false, false},
    {"setuid", SYS_setuid, {0}, true, false, false},
    {"chroot", SYS_chroot, {NO_FILE}, false, false, false},
    {"bpf", SYS_bpf, {-1}, false, false, false},
    {"keyctl", SYS_keyctl, {-1}, false, false, false},
    {"perf_event_open", SYS_perf_event_open, {0}, false, false, false},
    {"io_uring_setup", 425, {0}, false, false, false},
    {"userfaultfd", SYS_userfaultfd, {-1}, false, false, false},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1}, false, false, false},
    {"personality", SYS_personality, {-1}, false, false, false},
    {"mkdirat", SYS_mkdirat, {-1, NO_FILE}, false, false, false},
    {"symlinkat", SYS_symlinkat, {NO_FILE, -1, NO_FILE}, false, false, false},
#ifdef __x86_64__
    {"open by x32", 0x40000000 + SYS_open, {NO_FILE}, false, false, false},
#endif
};

/* Tries a call in a child. Returns the child's exit status: 0 when it came back, whatever it said. */
static int try_call(const struct attempt *attempt, int role) {
    pid_t child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDERR_FILENO);
        if (role >= 0 && sandbox_enter((enum sandbox_role)role, -1) < 0)
            syscall(SYS_exit_group, 99);
        syscall(attempt->call, attempt->arguments[0], attempt->arguments[1], attempt->arguments[2],
                attempt->arguments[3], attempt->arguments[4], attempt->arguments[5]);
        syscall(SYS_exit_group, 0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect_all(int role, size_t offset) {
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        bool through = *(const bool *)((const char *)&attempts[i] + offset);
        int status = try_call(&attempts[i], role);
        cr_expect_eq(status, through ? 0 : SANDBOX_EXIT, "%s: %d", attempts[i].name, status);
    }
}

Test(sandbox, supervisor, .timeout = 60) {
    expect_all(SANDBOX_SUPERVISOR, offsetof(struct attempt, supervisor));
}

Test(sandbox, keys, .timeout = 60) {
    expect_all(SANDBOX_KEYS, offsetof(struct attempt, keys));
}

Test(sandbox, worker, .timeout = 60) {
    expect_all(SANDBOX_WORKER, offsetof(struct attempt, worker));
}

/* Outside of a sandbox none of them is the end. */
Test(sandbox, without_one_everything_comes_back, .timeout = 60) {
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        cr_expect_eq(try_call(&attempts[i], -1), 0, "%s", attempts[i].name);
}

Test(sandbox, what_was_forbidden_is_named) {
    char said[256] = "";
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        sandbox_enter(SANDBOX_WORKER, -1);
        syscall(SYS_execve, NO_FILE, 0, 0);
        syscall(SYS_exit_group, 0);
    }
    close(ends[1]);
    cr_assert_gt(read(ends[0], said, sizeof said - 1), 0);
    waitpid(child, NULL, 0);
    close(ends[0]);
    cr_expect(strstr(said, "worker") && strstr(said, "execve"), "%s", said);
}

Test(sandbox, nobody_looks_inside) {
    struct rlimit core = {1, 1};
    pid_t child = fork();
    if (child == 0) {
        bool good = sandbox_enter(SANDBOX_SUPERVISOR, -1) == 0 && prctl(PR_GET_DUMPABLE) == 0 &&
                    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && getrlimit(RLIMIT_CORE, &core) == 0 &&
                    core.rlim_cur == 0 && core.rlim_max == 0;
        syscall(SYS_exit_group, good ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Where the kernel has Landlock: nothing but what lies beneath the folder. */
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
