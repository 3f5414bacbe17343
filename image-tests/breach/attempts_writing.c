/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Changing what is not the worker's. Successful changes are undone, except for a line at the end of decoys. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "inside.h"

#define NEEDS(key)                                                                                                     \
    if (!surroundings->key)                                                                                            \
    return absent(#key " is not told")

static int append(const struct surroundings *surroundings, const char *path) {
    int file = openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, write(file, "breach\n", 7), "write", "changed it");
    close(file);
    return outcome;
}

/* Opens the file for writing, but writes nothing, because it is part of the machine. */
static int open_for_writing(const struct surroundings *surroundings, const char *path) {
    int file = openat(AT_FDCWD, path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    int outcome = judged(surroundings, file, "openat", joined("could write to ", path, NULL, NULL));
    if (file >= 0)
        close(file);
    return outcome;
}

static int create(const struct surroundings *surroundings, const char *folder) {
    const char *path = joined(folder, "/breach-attempt", NULL, NULL);
    int file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, write(file, "breach\n", 7), "write", "made a file");
    close(file);
    unlink(path);
    return outcome;
}

int write_host_file(const struct surroundings *surroundings) {
    NEEDS(host_file);
    return append(surroundings, surroundings->host_file);
}

int write_host_secret(const struct surroundings *surroundings) {
    NEEDS(host_secret);
    return append(surroundings, surroundings->host_secret);
}

int write_other_state(const struct surroundings *surroundings) {
    NEEDS(other_service_state);
    return append(surroundings, surroundings->other_service_state);
}

int write_first_root(const struct surroundings *surroundings) {
    NEEDS(host_file);
    return append(surroundings, joined("/proc/1/root", surroundings->host_file, NULL, NULL));
}

int write_host_folder(const struct surroundings *surroundings) {
    NEEDS(host_folder);
    return create(surroundings, surroundings->host_folder);
}

int write_host_make_folder(const struct surroundings *surroundings) {
    NEEDS(host_folder);
    const char *path = joined(surroundings->host_folder, "/breach-folder", NULL, NULL);
    int outcome = judged(surroundings, mkdir(path, 0700), "mkdirat", "made a folder");
    if (outcome == ATTEMPT_SUCCEEDED)
        rmdir(path);
    return outcome;
}

int write_host_rename(const struct surroundings *surroundings) {
    NEEDS(host_file);
    const char *other = joined(surroundings->host_file, "-moved", NULL, NULL);
    int outcome = judged(surroundings, syscall(SYS_renameat2, AT_FDCWD, surroundings->host_file, AT_FDCWD, other, 0),
                         "renameat2", "gave the file another name");
    if (outcome == ATTEMPT_SUCCEEDED)
        syscall(SYS_renameat2, AT_FDCWD, other, AT_FDCWD, surroundings->host_file, 0);
    return outcome;
}

int write_host_link(const struct surroundings *surroundings) {
    NEEDS(host_file);
    NEEDS(host_folder);
    const char *path = joined(surroundings->host_folder, "/breach-link", NULL, NULL);
    int outcome = judged(surroundings, link(surroundings->host_file, path), "linkat", "gave the file a second name");
    if (outcome == ATTEMPT_SUCCEEDED)
        unlink(path);
    return outcome;
}

int write_host_symbolic_link(const struct surroundings *surroundings) {
    NEEDS(host_folder);
    const char *path = joined(surroundings->host_folder, "/breach-symbolic-link", NULL, NULL);
    int outcome = judged(surroundings, symlink("/", path), "symlinkat", "made a symbolic link");
    if (outcome == ATTEMPT_SUCCEEDED)
        unlink(path);
    return outcome;
}

/* Uses a length beyond the end of the decoy, so that its content stays. */
int write_host_truncate(const struct surroundings *surroundings) {
    NEEDS(host_file);
    return judged(surroundings, truncate(surroundings->host_file, 4096), "truncate", "changed the file's length");
}

int write_host_mode(const struct surroundings *surroundings) {
    NEEDS(host_file);
    int outcome = judged(surroundings, chmod(surroundings->host_file, 0666), "fchmodat", "changed who may use it");
    if (outcome == ATTEMPT_SUCCEEDED)
        chmod(surroundings->host_file, 0644);
    return outcome;
}

int write_host_owner(const struct surroundings *surroundings) {
    NEEDS(host_file);
    int outcome = judged(surroundings, chown(surroundings->host_file, 12345, 12345), "fchownat", "gave it away");
    if (outcome == ATTEMPT_SUCCEEDED)
        outcome = judged(surroundings, chown(surroundings->host_file, 0, 0), "fchownat", "gave it away");
    return outcome;
}

int write_host_times(const struct surroundings *surroundings) {
    NEEDS(host_file);
    return judged(surroundings, syscall(SYS_utimensat, AT_FDCWD, surroundings->host_file, NULL, 0), "utimensat",
                  "changed the file's times");
}

int write_host_attribute(const struct surroundings *surroundings) {
    NEEDS(host_file);
    int result = setxattr(surroundings->host_file, "user.breach", "x", 1, 0);
    if (result < 0 && errno == EOPNOTSUPP)
        result = setxattr(surroundings->host_file, "trusted.breach", "x", 1, 0);
    return judged(surroundings, result, "setxattr", "gave the file an attribute");
}

/* Reopens a file for writing, through the name of a descriptor that was opened for reading. */
int write_reopened(const struct surroundings *surroundings) {
    NEEDS(content_folder);
    const char *path = joined(surroundings->content_folder, "/index.gmi", NULL, NULL);
    int file = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = append(surroundings, joined("/proc/self/fd/", digits(file), NULL, NULL));
    close(file);
    return outcome;
}

int write_image(const struct surroundings *surroundings) {
    NEEDS(image_folder);
    return create(surroundings, surroundings->image_folder);
}

int write_image_program(const struct surroundings *surroundings) {
    NEEDS(program);
    const char *other = joined(surroundings->program, "-moved", NULL, NULL);
    int outcome = judged(surroundings, syscall(SYS_renameat2, AT_FDCWD, surroundings->program, AT_FDCWD, other, 0),
                         "renameat2", "could put another program in its place");
    if (outcome == ATTEMPT_SUCCEEDED)
        syscall(SYS_renameat2, AT_FDCWD, other, AT_FDCWD, surroundings->program, 0);
    return outcome;
}

int write_content(const struct surroundings *surroundings) {
    NEEDS(content_folder);
    return create(surroundings, surroundings->content_folder);
}

int write_content_file(const struct surroundings *surroundings) {
    NEEDS(content_folder);
    return append(surroundings, joined(surroundings->content_folder, "/index.gmi", NULL, NULL));
}

int write_tmp(const struct surroundings *surroundings) {
    return create(surroundings, "/tmp");
}

int write_var_tmp(const struct surroundings *surroundings) {
    return create(surroundings, "/var/tmp");
}

int write_shm(const struct surroundings *surroundings) {
    return create(surroundings, "/dev/shm");
}

int write_run(const struct surroundings *surroundings) {
    return create(surroundings, "/run");
}

int write_nameless(const struct surroundings *surroundings) {
    int file = openat(AT_FDCWD, "/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int outcome = judged(surroundings, file, "openat", "has a file without a name");
    if (file >= 0)
        close(file);
    return outcome;
}

/* ---- the kernel's files ---- */

int write_kernel_settings(const struct surroundings *surroundings) {
    return open_for_writing(surroundings, "/proc/sys/kernel/core_pattern");
}

int write_kernel_trigger(const struct surroundings *surroundings) {
    if (is_lacking(surroundings, "sysrq-trigger"))
        return absent("this kernel takes no such setup");
    return open_for_writing(surroundings, "/proc/sysrq-trigger");
}

int write_kernel_parameters(const struct surroundings *surroundings) {
    return open_for_writing(surroundings, "/sys/module/kernel/parameters/panic");
}

int write_kernel_log(const struct surroundings *surroundings) {
    return open_for_writing(surroundings, "/dev/kmsg");
}

/* Tries both versions of control groups. */
int write_control_group(const struct surroundings *surroundings) {
    static const char *const paths[] = {"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs",
                                        "/sys/fs/cgroup/pids/cgroup.procs"};
    int outcome = ATTEMPT_CONTAINED;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && outcome != ATTEMPT_SUCCEEDED; i++)
        outcome = open_for_writing(surroundings, paths[i]);
    return outcome;
}

/* Changes which process is killed first when memory runs out. */
int write_memory_score(const struct surroundings *surroundings) {
    int file = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, write(file, "1000", 4), "write", "changed who is ended first");
    close(file);
    return outcome;
}
