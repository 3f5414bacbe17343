/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Attacks on other processes. The signal is SIGURG, which a wrong process would ignore, if the victim's PID belongs to
 * another process here.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "inside.h"

#define NEEDS_VICTIM                                                                                                   \
    if (surroundings->victim_pid < 0)                                                                                  \
        return absent("victim_pid is not told");                                                                       \
    long victim = surroundings->victim_pid

int others_kill(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return judged(surroundings, syscall(SYS_kill, victim, SIGURG), "kill", "signalled the victim");
}

int others_kill_thread(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return judged(surroundings, syscall(SYS_tgkill, victim, victim, SIGURG), "tgkill", "signalled the victim");
}

int others_kill_queue(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    siginfo_t about = {.si_signo = SIGURG, .si_code = SI_QUEUE};
    return judged(surroundings, syscall(SYS_rt_sigqueueinfo, victim, SIGURG, &about), "rt_sigqueueinfo",
                  "signalled the victim");
}

int others_kill_descriptor(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    int process = (int)syscall(434 /* pidfd_open */, victim, 0);
    if (process < 0)
        return refused(surroundings, "pidfd_open");
    int outcome = judged(surroundings, syscall(424 /* pidfd_send_signal */, process, SIGURG, NULL, 0),
                         "pidfd_send_signal", "signalled the victim");
    close(process);
    return outcome;
}

int others_kill_parent(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_kill, syscall(SYS_getppid), SIGURG), "kill", "signalled its parent");
}

int others_priority(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return judged(surroundings, syscall(SYS_setpriority, PRIO_PROCESS, victim, 5), "setpriority",
                  "made the victim wait");
}

int others_scheduler(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return judged(surroundings, syscall(SYS_sched_setscheduler, victim, 3 /* batch */, &(int){0}), "sched_setscheduler",
                  "made the victim wait");
}

int others_processor(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    uint64_t mask[16];
    long size = syscall(SYS_sched_getaffinity, victim, sizeof mask, mask);
    if (size < 0)
        return refused(surroundings, "sched_getaffinity");
    return judged(surroundings, syscall(SYS_sched_setaffinity, victim, size, mask), "sched_setaffinity",
                  "chose the victim's processors");
}

int others_disk_priority(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return judged(surroundings, syscall(SYS_ioprio_set, 1, victim, 2 << 13 | 7), "ioprio_set",
                  "made the victim wait for the disk");
}

int others_limits(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    const uint64_t limit[2] = {0, 0};
    return judged(surroundings, syscall(SYS_prlimit64, victim, RLIMIT_CORE, limit, NULL), "prlimit64",
                  "set a limit of the victim");
}

int others_memory_score(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    int file = openat(AT_FDCWD, joined("/proc/", digits(victim), "/oom_score_adj", NULL), O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, write(file, "900", 3), "write", "has the victim ended first");
    close(file);
    return outcome;
}

/* The victim watches the memory next to the decoy. */
int others_memory(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    long place = surroundings->victim_address + 64;
    static char text[] = "breach";
    struct iovec here = {text, sizeof text}, there = {NULL, sizeof text};
    if (surroundings->victim_address < 0)
        return absent("victim_address is not told");
    memcpy(&there.iov_base, &place, sizeof place);
    return judged(surroundings, syscall(SYS_process_vm_writev, victim, &here, 1, &there, 1, 0), "process_vm_writev",
                  "changed the victim's memory");
}

int others_memory_file(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    if (surroundings->victim_address < 0)
        return absent("victim_address is not told");
    int file = openat(AT_FDCWD, joined("/proc/", digits(victim), "/mem", NULL), O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, pwrite(file, "breach", 7, surroundings->victim_address + 64), "pwrite64",
                         "changed the victim's memory");
    close(file);
    return outcome;
}

int others_descriptor(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    char text[128] = {0};
    if (surroundings->victim_descriptor < 0 || !surroundings->decoy_token)
        return absent("victim_descriptor is not told");
    int process = (int)syscall(434 /* pidfd_open */, victim, 0);
    if (process < 0)
        return refused(surroundings, "pidfd_open");
    int file = (int)syscall(438 /* pidfd_getfd */, process, surroundings->victim_descriptor, 0);
    if (file < 0)
        return refused(surroundings, "pidfd_getfd");
    if (pread(file, text, sizeof text - 1, 0) < 0)
        return refused(surroundings, "pread64");
    return holds(text, sizeof text, surroundings->decoy_token) ? succeeded("read the decoy by the victim's descriptor")
                                                               : contained("has another file");
}

/* ---- IPC objects ---- */

int others_shared_memory(const struct surroundings *surroundings) {
    if (surroundings->shared_memory < 0 || !surroundings->decoy_token)
        return absent("shared_memory is not told");
    int segment = (int)syscall(SYS_shmget, surroundings->shared_memory, 0, 0);
    if (segment < 0)
        return refused(surroundings, "shmget");
    const char *memory = shmat(segment, NULL, SHM_RDONLY);
    if (memory == (char *)-1)
        return refused(surroundings, "shmat");
    return holds(memory, 128, surroundings->decoy_token) ? succeeded("read the decoy in shared memory")
                                                         : contained("read other memory");
}

int others_message_queue(const struct surroundings *surroundings) {
    struct {
        long type;
        char text[128];
    } message = {0, {0}};
    if (surroundings->message_queue < 0)
        return absent("message_queue is not told");
    int queue = (int)syscall(SYS_msgget, surroundings->message_queue, 0);
    if (queue < 0)
        return refused(surroundings, "msgget");
    long got = syscall(SYS_msgrcv, queue, &message, sizeof message.text, 0, IPC_NOWAIT);
    if (got < 0)
        return refused(surroundings, "msgrcv");
    syscall(SYS_msgsnd, queue, &message, got, IPC_NOWAIT);
    return succeeded("took a message that was for somebody else");
}

int others_semaphore(const struct surroundings *surroundings) {
    if (surroundings->semaphore < 0)
        return absent("semaphore is not told");
    int set = (int)syscall(SYS_semget, surroundings->semaphore, 1, 0);
    if (set < 0)
        return refused(surroundings, "semget");
    struct sembuf raise = {0, 1, IPC_NOWAIT};
    return judged(surroundings, syscall(SYS_semtimedop, set, &raise, 1, NULL), "semop", "changed a semaphore");
}

int others_posix_queue(const struct surroundings *surroundings) {
    char text[8192];
    if (!surroundings->posix_queue)
        return absent("posix_queue is not told");
    int queue = (int)syscall(SYS_mq_open, surroundings->posix_queue, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0, NULL);
    if (queue < 0)
        return refused(surroundings, "mq_open");
    long got = syscall(SYS_mq_timedreceive, queue, text, sizeof text, NULL, NULL);
    if (got < 0)
        return refused(surroundings, "mq_timedreceive");
    syscall(SYS_mq_timedsend, queue, text, got, 0, NULL);
    close(queue);
    return succeeded("took a message that was for somebody else");
}

int others_new_queue(const struct surroundings *surroundings) {
    int queue = (int)syscall(SYS_mq_open, "breach-attempt", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, NULL);
    int outcome = judged(surroundings, queue, "mq_open", "has a message queue");
    if (queue >= 0) {
        syscall(SYS_mq_unlink, "breach-attempt");
        close(queue);
    }
    return outcome;
}

int others_lock(const struct surroundings *surroundings) {
    if (!surroundings->host_file)
        return absent("host_file is not told");
    int file = openat(AT_FDCWD, surroundings->host_file, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, flock(file, LOCK_EX | LOCK_NB), "flock", "keeps others from the file");
    close(file);
    return outcome;
}

/* ---- terminals and the host name ---- */

static int open_terminal(const struct surroundings *surroundings, int *terminal) {
    if (!surroundings->terminal)
        return absent("terminal is not told");
    *terminal = openat(AT_FDCWD, surroundings->terminal, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return *terminal < 0 ? refused(surroundings, "openat") : ATTEMPT_SUCCEEDED;
}

int others_terminal_write(const struct surroundings *surroundings) {
    int terminal = -1, outcome = open_terminal(surroundings, &terminal);
    if (outcome != ATTEMPT_SUCCEEDED)
        return outcome;
    outcome = judged(surroundings, write(terminal, "breach\n", 7), "write", "wrote on another's terminal");
    close(terminal);
    return outcome;
}

int others_terminal_type(const struct surroundings *surroundings) {
    int terminal = -1, outcome = open_terminal(surroundings, &terminal);
    if (outcome != ATTEMPT_SUCCEEDED)
        return outcome;
    outcome = judged(surroundings, ioctl(terminal, TIOCSTI, "x"), "ioctl", "typed on another's terminal");
    close(terminal);
    return outcome;
}

/* Sets the names to their current values. */
int others_host_name(const struct surroundings *surroundings) {
    struct utsname names;
    if (uname(&names) < 0)
        return refused(surroundings, "uname");
    return judged(surroundings, syscall(SYS_sethostname, names.nodename, strlen(names.nodename)), "sethostname",
                  "could give the host another name");
}

int others_domain_name(const struct surroundings *surroundings) {
    struct utsname names;
    if (uname(&names) < 0)
        return refused(surroundings, "uname");
    return judged(surroundings, syscall(SYS_setdomainname, names.domainname, strlen(names.domainname)), "setdomainname",
                  "could give the host another domain");
}

int others_host_name_file(const struct surroundings *surroundings) {
    int file = openat(AT_FDCWD, "/proc/sys/kernel/hostname", O_WRONLY | O_CLOEXEC);
    int outcome = judged(surroundings, file, "openat", "could give the host another name");
    if (file >= 0)
        close(file);
    return outcome;
}
