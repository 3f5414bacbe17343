/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Getting more privileges than the worker has: IDs, capabilities, namespaces, mounts, roots. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "inside.h"

/* ---- IDs ---- */

int privilege_root(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_setresuid, 0, 0, 0), "setresuid", "is root");
}

int privilege_other_user(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_setresuid, 12345, 12345, 12345), "setresuid", "is another user");
}

int privilege_root_group(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_setresgid, 0, 0, 0), "setresgid", "is in root's group");
}

int privilege_groups(const struct surroundings *surroundings) {
    static const gid_t groups[] = {0, 4, 6};
    return judged(surroundings, syscall(SYS_setgroups, 3, groups), "setgroups", "is in groups of its choice");
}

/* Runs a set-user-id program as a user other than root. */
int privilege_run_set_id(const struct surroundings *surroundings) {
    static char name[] = "breach", flag[] = "--ran-as-root";
    static char *const arguments[] = {name, flag, NULL}, *const environment[] = {NULL};
    if (!surroundings->setid_program)
        return absent("setid_program is not told");
    if (syscall(SYS_geteuid) == 0)
        syscall(SYS_setresuid, 12345, 12345, 12345);
    syscall(SYS_execve, surroundings->setid_program, arguments, environment);
    return refused(surroundings, "execve");
}

/* Creates a file in the first folder that allows it. */
static int new_file(const struct surroundings *surroundings, const char **path) {
    const char *const folders[] = {"/tmp", "/dev/shm", "/var/tmp", surroundings->disk_folder};
    int file = -1;
    for (size_t i = 0; i < 4 && file < 0 && folders[i]; i++) {
        *path = joined(folders[i], "/breach-file", NULL, NULL);
        file = openat(AT_FDCWD, *path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    return file;
}

int privilege_make_set_id(const struct surroundings *surroundings) {
    const char *path = "";
    int file = new_file(surroundings, &path);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, fchmod(file, 04755), "fchmod", "has a set-user-id file");
    close(file);
    unlink(path);
    return outcome;
}

int privilege_file_capability(const struct surroundings *surroundings) {
    static const uint32_t everything[5] = {0x02000001, UINT32_MAX, 0, 0x1ff, 0}; /* version 2, effective */
    const char *path = "";
    int file = new_file(surroundings, &path);
    if (file < 0)
        return refused(surroundings, "openat");
    long result = syscall(SYS_fsetxattr, file, "security.capability", everything, sizeof everything, 0);
    int outcome = judged(surroundings, result, "fsetxattr", "has a file that gives privileges");
    close(file);
    unlink(path);
    return outcome;
}

/* ---- capabilities ---- */

struct capabilities {
    struct {
        uint32_t version;
        int32_t process;
    } header;
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2];
};

static int take_capabilities(const struct surroundings *surroundings, struct capabilities *all) {
    *all = (struct capabilities){.header = {0x20080522, 0}};
    if (syscall(SYS_capget, &all->header, all->sets) < 0)
        return refused(surroundings, "capget");
    for (int i = 0; i < 2; i++) {
        if (all->sets[0].permitted == 0 && all->sets[1].permitted == 0)
            all->sets[0].permitted = UINT32_MAX; /* the worker has none, so this adds some */
        all->sets[i].effective = all->sets[i].inheritable = all->sets[i].permitted;
    }
    return judged(surroundings, syscall(SYS_capset, &all->header, all->sets), "capset", "has privileges of root");
}

int privilege_capabilities(const struct surroundings *surroundings) {
    struct capabilities all;
    return take_capabilities(surroundings, &all);
}

/* Programs that it starts would inherit these. */
int privilege_ambient(const struct surroundings *surroundings) {
    struct capabilities all;
    take_capabilities(surroundings, &all);
    return judged(surroundings, syscall(SYS_prctl, 47 /* ambient */, 2 /* raise */, 10 /* bind low ports */, 0, 0),
                  "prctl", "can hand on privileges");
}

int privilege_secure_bits(const struct surroundings *surroundings) {
    long bits = syscall(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits < 0)
        return refused(surroundings, "prctl");
    return judged(surroundings, syscall(SYS_prctl, PR_SET_SECUREBITS, bits ^ (1 << 4) /* keep on a change of user */),
                  "prctl", "changed what root means");
}

int privilege_dumpable(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl", "opened itself to debuggers");
}

/* ---- namespaces ---- */

static int leave(const struct surroundings *surroundings, int flag) {
    return judged(surroundings, syscall(SYS_unshare, flag), "unshare", "has a namespace of its own");
}

int namespace_user(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWUSER);
}

int namespace_mount(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWNS);
}

int namespace_network(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWNET);
}

int namespace_process(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWPID);
}

int namespace_name(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWUTS);
}

int namespace_ipc(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWIPC);
}

int namespace_control_group(const struct surroundings *surroundings) {
    return leave(surroundings, CLONE_NEWCGROUP);
}

int namespace_time(const struct surroundings *surroundings) {
    return leave(surroundings, 0x80 /* CLONE_NEWTIME */);
}

int namespace_clone(const struct surroundings *surroundings) {
    long process = syscall(SYS_clone, CLONE_NEWUSER | 17 /* SIGCHLD */, NULL, NULL, NULL, NULL);
    if (process == 0)
        syscall(SYS_exit_group, 0);
    int outcome = judged(surroundings, process, "clone", "has a process in a namespace of its own");
    if (process > 0)
        end_process(process);
    return outcome;
}

static int join(const struct surroundings *surroundings, const char *which) {
    if (surroundings->victim_pid < 0)
        return absent("victim_pid is not told");
    int namespace =
        openat(AT_FDCWD, joined("/proc/", digits(surroundings->victim_pid), "/ns/", which), O_RDONLY | O_CLOEXEC);
    if (namespace < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, syscall(SYS_setns, namespace, 0), "setns", "entered the victim's namespace");
    close(namespace);
    return outcome;
}

int namespace_join_mount(const struct surroundings *surroundings) {
    return join(surroundings, "mnt");
}

int namespace_join_network(const struct surroundings *surroundings) {
    return join(surroundings, "net");
}

int namespace_join_process(const struct surroundings *surroundings) {
    return join(surroundings, "pid");
}

int namespace_join_descriptor(const struct surroundings *surroundings) {
    if (surroundings->victim_pid < 0)
        return absent("victim_pid is not told");
    int victim = (int)syscall(434 /* pidfd_open */, surroundings->victim_pid, 0);
    if (victim < 0)
        return refused(surroundings, "pidfd_open");
    return judged(surroundings, syscall(SYS_setns, victim, CLONE_NEWNS | CLONE_NEWNET), "setns",
                  "entered the victim's namespaces");
}

/* ---- mounts and roots ---- */

#define NEEDS(key)                                                                                                     \
    if (!surroundings->key)                                                                                            \
    return absent(#key " is not told")

static int try_mount(const struct surroundings *surroundings, const char *what, const char *type, unsigned long flags) {
    NEEDS(mount_point);
    int outcome =
        judged(surroundings, mount(what, surroundings->mount_point, type, flags, NULL), "mount", "mounted something");
    if (outcome == ATTEMPT_SUCCEEDED)
        umount2(surroundings->mount_point, MNT_DETACH);
    return outcome;
}

int mount_new(const struct surroundings *surroundings) {
    return try_mount(surroundings, "breach", "tmpfs", MS_NOSUID | MS_NODEV);
}

int mount_processes(const struct surroundings *surroundings) {
    return try_mount(surroundings, "breach", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

int mount_again(const struct surroundings *surroundings) {
    return try_mount(surroundings, "/", NULL, MS_BIND);
}

/* Makes a read-only mount writable. */
int mount_writable(const struct surroundings *surroundings) {
    NEEDS(readonly_mount);
    if (mount(NULL, surroundings->readonly_mount, NULL, MS_REMOUNT | MS_BIND, NULL) < 0)
        return refused(surroundings, "mount");
    const char *path = joined(surroundings->readonly_mount, "/breach-attempt", NULL, NULL);
    int file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int outcome = judged(surroundings, file, "openat", "wrote where only reading was allowed");
    if (file >= 0) {
        close(file);
        unlink(path);
    }
    mount(NULL, surroundings->readonly_mount, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    return outcome;
}

/* Nothing is mounted there: a process with the privilege to unmount gets EINVAL. */
int mount_undo(const struct surroundings *surroundings) {
    NEEDS(mount_point);
    if (umount2(surroundings->mount_point, 0) == 0 || errno == EINVAL)
        return succeeded("could unmount");
    return refused(surroundings, "umount2");
}

int privilege_chroot(const struct surroundings *surroundings) {
    return judged(surroundings, chroot("/"), "chroot", "could leave its root folder");
}

int privilege_pivot_root(const struct surroundings *surroundings) {
    NEEDS(mount_point);
    const char *place = surroundings->mount_point;
    /* Uses a new mount namespace if possible, so that no other process loses its root folder. */
    bool apart = syscall(SYS_unshare, CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount(place, place, NULL, MS_BIND, NULL) == 0;
    if (syscall(SYS_pivot_root, place, place) == 0 || (!apart && errno == EINVAL))
        return succeeded("has another root folder");
    return refused(surroundings, "pivot_root");
}

/* Creates the device that gives zero bytes. */
int privilege_device(const struct surroundings *surroundings) {
    static const char path[] = "/tmp/breach-device";
    char byte = 1;
    if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) < 0)
        return refused(surroundings, "mknodat");
    int device = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = device < 0 ? -1 : read(device, &byte, 1);
    int outcome = judged(surroundings, got, "openat", "uses a device that it made itself");
    unlink(path);
    return outcome;
}

int privilege_ports(const struct surroundings *surroundings) {
#ifdef SYS_ioperm
    return judged(surroundings, syscall(SYS_ioperm, 0x80, 1, 1), "ioperm", "may use the machine's ports");
#else
    (void)surroundings;
    return absent("this processor has no ports");
#endif
}

int privilege_priority(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_setpriority, 0, 0, -5), "setpriority", "goes before others");
}

int privilege_realtime(const struct surroundings *surroundings) {
    return judged(surroundings, syscall(SYS_sched_setscheduler, 0, 1 /* SCHED_FIFO */, &(int){1}), "sched_setscheduler",
                  "goes before everybody");
}
