/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Attacks on parts of the kernel that a capsule never needs. Success means that the kernel starts to process the
 * request at all, so some requests are made so that nothing remains to be done.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/timex.h>
#include <time.h>

#include "inside.h"

/* Judges the attempt, and closes the descriptor that the call returned. */
static int gave(const struct surroundings *surroundings, long descriptor, const char *call) {
    int outcome = judged(surroundings, descriptor, call, "the kernel obeyed");
    if (descriptor >= 0)
        close((int)descriptor);
    return outcome;
}

/* `nothing` is the error that means that the kernel would have obeyed, but had nothing to do. */
static int reached(const struct surroundings *surroundings, long result, int nothing, const char *call) {
    if (result >= 0 || errno == nothing)
        return succeeded(joined(call, " went past its check of privileges", NULL, NULL));
    return refused(surroundings, call);
}

int kernel_bpf_map(const struct surroundings *surroundings) {
    uint32_t attributes[32] = {2 /* array */, 4, 4, 1};
    return gave(surroundings, syscall(SYS_bpf, 0, attributes, sizeof attributes), "bpf");
}

int kernel_bpf_program(const struct surroundings *surroundings) {
    static const uint64_t instructions[] = {0xb7 /* r0 = 0 */, 0x95 /* exit */};
    struct {
        uint32_t type, count;
        const void *instructions, *licence;
        uint32_t rest[24];
    } attributes = {1 /* socket filter */, 2, instructions, "GPL", {0}};
    return gave(surroundings, syscall(SYS_bpf, 5, &attributes, sizeof attributes), "bpf");
}

int kernel_io_uring(const struct surroundings *surroundings) {
    uint32_t parameters[30] = {0};
    return gave(surroundings, syscall(SYS_io_uring_setup, 1, parameters), "io_uring_setup");
}

int kernel_userfaultfd(const struct surroundings *surroundings) {
    return gave(surroundings, syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* only faults in user space */), "userfaultfd");
}

int kernel_perf(const struct surroundings *surroundings) {
    uint32_t attributes[32] = {1 /* software counter */, sizeof attributes};
    return gave(surroundings, syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0), "perf_event_open");
}

int kernel_add_key(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_add_key, "user", "breach", "x", 1, -2 /* own key ring */), "add_key",
                  "has a key in the kernel");
}

int kernel_request_key(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_request_key, "user", "breach-none", NULL, -2), ENOKEY, "request_key");
}

int kernel_keyctl(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_keyctl, 0 /* get the ID */, -4 /* of the user's key ring */, 1), "keyctl",
                  "reached the user's key ring");
}

int kernel_ptrace(const struct surroundings *surroundings) {
    if (surroundings->victim_pid < 0)
        return absent("victim_pid is not told");
    return judged(surroundings, syscall(SYS_ptrace, 0x4206 /* seize */, surroundings->victim_pid, 0, 0), "ptrace",
                  "holds the victim");
}

int kernel_ptrace_own(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_ptrace, 0 /* PTRACE_TRACEME */, 0, 0, 0), "ptrace", "tracing is there");
}

int kernel_init_module(const struct surroundings *surroundings) {
    static const char module[] = "no module at all";
    return reached(surroundings, syscall(SYS_init_module, module, sizeof module, ""), ENOEXEC, "init_module");
}

int kernel_finit_module(const struct surroundings *surroundings) {
    int file = openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    return reached(surroundings, syscall(SYS_finit_module, file, "", 0), ENOEXEC, "finit_module");
}

int kernel_delete_module(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_delete_module, "breach_none", O_NONBLOCK), ENOENT, "delete_module");
}

/* Uses invalid flags, which the kernel checks after the privileges. */
int kernel_kexec(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_kexec_load, 0, 0, NULL, ~0ul), EINVAL, "kexec_load");
}

int kernel_kexec_file(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_kexec_file_load, -1, -1, 0, NULL, ~0ul), EINVAL, "kexec_file_load");
}

/* Uses an invalid magic number. */
int kernel_reboot(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_reboot, 1, 2, 3, NULL), EINVAL, "reboot");
}

/* ---- clocks: sets them to their current values ---- */

int kernel_settimeofday(const struct surroundings *surroundings) {
    struct timezone {
        int minutes_west, daylight;
    } zone = {0, 0};
    if (syscall(SYS_gettimeofday, NULL, &zone) < 0)
        return refused(surroundings, "gettimeofday");
    return judged(surroundings, syscall(SYS_settimeofday, NULL, &zone), "settimeofday", "could set the time zone");
}

int kernel_adjtimex(const struct surroundings *surroundings) {
    struct timex clock = {.modes = 0};
    if (syscall(SYS_adjtimex, &clock) < 0)
        return refused(surroundings, "adjtimex");
    clock.modes = ADJ_TICK;
    return judged(surroundings, syscall(SYS_adjtimex, &clock), "adjtimex", "could set the clock's pace");
}

int kernel_clock_adjtime(const struct surroundings *surroundings) {
    struct timex clock = {.modes = 0};
    if (syscall(SYS_clock_adjtime, CLOCK_REALTIME, &clock) < 0)
        return refused(surroundings, "clock_adjtime");
    clock.modes = ADJ_TICK;
    return judged(surroundings, syscall(SYS_clock_adjtime, CLOCK_REALTIME, &clock), "clock_adjtime",
                  "could set the clock's pace");
}

/* ---- other ways to files ---- */

int kernel_quota(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_quotactl, 0x800001 << 8 /* sync quotas */, NULL, 0, NULL), "quotactl",
                  "the kernel obeyed");
}

/* Opens a file by its inode number: the way out of old containers. */
int kernel_file_handle(const struct surroundings *surroundings) {
    struct {
        uint32_t size;
        int32_t type;
        uint8_t handle[128];
    } handle = {.size = 128};
    int mount;
    if (!surroundings->host_secret)
        return absent("host_secret is not told");
    if (syscall(SYS_name_to_handle_at, AT_FDCWD, surroundings->host_secret, &handle, &mount, 0) < 0)
        return refused(surroundings, "name_to_handle_at");
    int folder = openat(AT_FDCWD, surroundings->host_folder ? surroundings->host_folder : "/",
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return refused(surroundings, "openat");
    return read_token_from(surroundings, (int)syscall(SYS_open_by_handle_at, folder, &handle, O_RDONLY | O_CLOEXEC),
                           "open_by_handle_at");
}

int kernel_fanotify(const struct surroundings *surroundings) {
    return gave(surroundings, syscall(SYS_fanotify_init, 1 /* O_CLOEXEC */, O_RDONLY), "fanotify_init");
}

/* Moves pages directly between pipes, or from a file: the calls that Dirty Pipe used. */
int kernel_splice(const struct surroundings *surroundings) {
    int first[2], second[2];
    if (syscall(SYS_pipe2, first, O_CLOEXEC) < 0 || syscall(SYS_pipe2, second, O_CLOEXEC) < 0)
        return refused(surroundings, "pipe2");
    if (write(first[1], "breach", 6) < 0)
        return refused(surroundings, "write");
    return judged(surroundings, syscall(SYS_splice, first[0], NULL, second[1], NULL, 6, 0), "splice",
                  "the kernel obeyed");
}

int kernel_memory_secret(const struct surroundings *surroundings) {
    return gave(surroundings, syscall(SYS_memfd_secret, 0), "memfd_secret");
}

int kernel_personality(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_personality, 0x0040000 /* no address randomization */), "personality",
                  "addresses will not be random any more");
}

int kernel_compare(const struct surroundings *surroundings) {
    if (surroundings->victim_pid < 0)
        return absent("victim_pid is not told");
    return judged(surroundings, syscall(SYS_kcmp, getpid(), surroundings->victim_pid, 1 /* memory */, 0, 0), "kcmp",
                  "learned the order of kernel addresses");
}

int kernel_alarm_timer(const struct surroundings *surroundings) {
    int timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    long result = syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
    if (result == 0)
        syscall(SYS_timer_delete, timer);
    return judged(surroundings, result, "timer_create", "has a timer in the kernel");
}

int kernel_swap(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_swapon, "/breach/none", 0), ENOENT, "swapon");
}

int kernel_accounting(const struct surroundings *surroundings) {
    return reached(surroundings, syscall(SYS_acct, "/breach/none"), ENOENT, "acct");
}

/* ---- the newer mount calls ---- */

/* Returns the descriptor of a new, empty file system that is mounted nowhere yet, or -1 with errno and the call. */
static int new_mount(const char **call) {
    *call = "fsopen";
    int context = (int)syscall(SYS_fsopen, "tmpfs", 1 /* O_CLOEXEC */);
    if (context < 0)
        return -1;
    *call = "fsconfig";
    if (syscall(SYS_fsconfig, context, 6 /* create */, NULL, NULL, 0) < 0)
        return -1;
    *call = "fsmount";
    return (int)syscall(SYS_fsmount, context, 1 /* O_CLOEXEC */, 0);
}

int kernel_fsopen(const struct surroundings *surroundings) {
    const char *call;
    int mount = new_mount(&call);
    return gave(surroundings, mount, call);
}

int kernel_fspick(const struct surroundings *surroundings) {
    return gave(surroundings, syscall(SYS_fspick, AT_FDCWD, "/", 1 /* O_CLOEXEC */), "fspick");
}

int kernel_open_tree(const struct surroundings *surroundings) {
    return gave(surroundings, syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* clone */ | O_CLOEXEC), "open_tree");
}

/* Requests attributes that /proc already has. */
int kernel_mount_setattr(const struct surroundings *surroundings) {
    const uint64_t attributes[4] = {2 | 4 | 8 /* nosuid, nodev, noexec */, 0, 0, 0};
    return judged(surroundings, syscall(SYS_mount_setattr, AT_FDCWD, "/proc", 0, attributes, sizeof attributes),
                  "mount_setattr", "could change a mount");
}

int kernel_move_mount(const struct surroundings *surroundings) {
    const char *call, *place = surroundings->mount_point;
    if (!place)
        return absent("mount_point is not told");
    int mount = new_mount(&call);
    if (mount < 0)
        return refused(surroundings, call);
    long result = syscall(SYS_move_mount, mount, "", AT_FDCWD, place, 4 /* MOVE_MOUNT_F_EMPTY_PATH */);
    int outcome = judged(surroundings, result, "move_mount", "mounted a file system");
    if (result == 0)
        syscall(SYS_umount2, place, MNT_DETACH);
    close(mount);
    return outcome;
}

/* ---- other ways into the kernel ---- */

/* In the 32-bit table, call 20 is getpid; filters that check only the number take it for another call. */
int kernel_entry_32(const struct surroundings *surroundings) {
    (void)surroundings;
#ifdef __x86_64__
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
    if (result > 0)
        return succeeded("the entry for 32-bit programs is open");
    errno = (int)-result;
    return refused(surroundings, "int 0x80");
#else
    return absent("this processor has no such entry");
#endif
}

int kernel_entry_x32(const struct surroundings *surroundings) {
#ifdef __x86_64__
    return judged(surroundings, syscall(0x40000000 | SYS_getpid), "x32 getpid", "the entry of x32 is open");
#else
    (void)surroundings;
    return absent("this processor has no such entry");
#endif
}

int kernel_segments(const struct surroundings *surroundings) {
#ifdef SYS_modify_ldt
    const struct {
        uint32_t entry, base, limit, flags;
    } segment = {0, 0, 0xfff, 0x51 /* 32 bits, data, in pages */};
    return judged(surroundings, syscall(SYS_modify_ldt, 0x11, &segment, sizeof segment), "modify_ldt",
                  "has a segment of its own");
#else
    (void)surroundings;
    return absent("this processor has no segments");
#endif
}
