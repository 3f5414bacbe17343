/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading data that is not the worker's. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "inside.h"

int read_host_file(const struct surroundings *surroundings) {
    return read_token(surroundings, surroundings->host_file);
}

int read_host_secret(const struct surroundings *surroundings) {
    return read_token(surroundings, surroundings->host_secret);
}

int read_other_state(const struct surroundings *surroundings) {
    return read_token(surroundings, surroundings->other_service_state);
}

/* Uses a relative path from the working folder: a root that is only a prefix of paths would not stop it. */
int read_dotdot(const struct surroundings *surroundings) {
    if (!surroundings->host_file)
        return absent("host_file is not told");
    return read_token(surroundings, joined("../../../../../../../../../../..", surroundings->host_file, NULL, NULL));
}

/* Process 1 has the system's own root folder. */
int read_first_root(const struct surroundings *surroundings) {
    if (!surroundings->host_file)
        return absent("host_file is not told");
    return read_token(surroundings, joined("/proc/1/root", surroundings->host_file, NULL, NULL));
}

/* A file in the victim's /proc folder. */
static const char *of_victim(const struct surroundings *surroundings, const char *what, const char *rest) {
    return joined("/proc/", digits(surroundings->victim_pid), what, rest);
}

#define NEEDS_VICTIM                                                                                                   \
    if (surroundings->victim_pid < 0)                                                                                  \
    return absent("victim_pid is not told")

int read_victim_root(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    if (!surroundings->host_secret)
        return absent("host_secret is not told");
    return read_token(surroundings, of_victim(surroundings, "/root", surroundings->host_secret));
}

int read_victim_folder(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    if (!surroundings->host_secret)
        return absent("host_secret is not told");
    const char *name = strrchr(surroundings->host_secret, '/'); /* the victim works in this file's folder */
    return read_token(surroundings, of_victim(surroundings, "/cwd", name));
}

int read_victim_descriptor(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    if (surroundings->victim_descriptor < 0)
        return absent("victim_descriptor is not told");
    const char *folder = of_victim(surroundings, "/fd/", NULL);
    return read_token(surroundings, joined(folder, digits(surroundings->victim_descriptor), NULL, NULL));
}

int read_victim_environment(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return read_token(surroundings, of_victim(surroundings, "/environ", NULL));
}

int read_victim_arguments(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return read_token(surroundings, of_victim(surroundings, "/cmdline", NULL));
}

int read_victim_map(const struct surroundings *surroundings) {
    NEEDS_VICTIM;
    return read_anything(surroundings, of_victim(surroundings, "/maps", NULL));
}

#define NEEDS_MEMORY                                                                                                   \
    NEEDS_VICTIM;                                                                                                      \
    if (surroundings->victim_address < 0 || !surroundings->decoy_token)                                                \
    return absent("victim_address is not told")

int read_victim_memory(const struct surroundings *surroundings) {
    char text[128] = {0};
    NEEDS_MEMORY;
    int memory = openat(AT_FDCWD, of_victim(surroundings, "/mem", NULL), O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        return refused(surroundings, "openat");
    ssize_t got = pread(memory, text, sizeof text - 1, surroundings->victim_address);
    int error = errno;
    close(memory);
    errno = error;
    if (got < 0)
        return refused(surroundings, "pread64");
    return holds(text, sizeof text, surroundings->decoy_token) ? succeeded("read the decoy in the victim's memory")
                                                               : contained("read other memory");
}

/* `address` belongs to another process: it must not be used as a pointer here. */
static struct iovec elsewhere(long address, size_t size) {
    struct iovec part = {NULL, size};
    memcpy(&part.iov_base, &address, sizeof address);
    return part;
}

int read_victim_by_call(const struct surroundings *surroundings) {
    char text[128] = {0};
    NEEDS_MEMORY;
    struct iovec here = {text, sizeof text - 1}, there = elsewhere(surroundings->victim_address, sizeof text - 1);
    if (syscall(SYS_process_vm_readv, surroundings->victim_pid, &here, 1, &there, 1, 0) < 0)
        return refused(surroundings, "process_vm_readv");
    return holds(text, sizeof text, surroundings->decoy_token) ? succeeded("read the decoy in the victim's memory")
                                                               : contained("read other memory");
}

/* In Vitrine, the parent is the supervisor. */
int read_parent_memory(const struct surroundings *surroundings) {
    char line[64] = {0}, bytes[16];
    unsigned long address = 0;
    const char *folder = joined("/proc/", digits(syscall(SYS_getppid)), NULL, NULL);
    int map = openat(AT_FDCWD, joined(folder, "/maps", NULL, NULL), O_RDONLY | O_CLOEXEC);
    if (map < 0)
        return refused(surroundings, "openat");
    ssize_t got = read(map, line, sizeof line - 1);
    close(map);
    if (got <= 0)
        return refused(surroundings, "read");
    for (const char *digit = line; *digit != '-' && *digit; digit++)
        address = address * 16 + (unsigned long)(*digit <= '9' ? *digit - '0' : *digit - 'a' + 10);
    int memory = openat(AT_FDCWD, joined(folder, "/mem", NULL, NULL), O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        return refused(surroundings, "openat");
    got = pread(memory, bytes, sizeof bytes, (off_t)address);
    int outcome = judged(surroundings, got, "pread64", "read memory of the parent process");
    close(memory);
    return outcome;
}

/* Does /proc list another process? */
int read_process_list(const struct surroundings *surroundings) {
    static char entries[65536];
    long got;
    NEEDS_VICTIM;
    int folder = openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return refused(surroundings, "openat");
    int outcome = contained("the victim is not in the list");
    while ((got = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got;) {
            uint16_t size;
            memcpy(&size, entries + at + 16, sizeof size); /* struct linux_dirent64: two 64-bit numbers, then this */
            if (!strcmp(entries + at + 19, digits(surroundings->victim_pid)))
                outcome = succeeded("saw the victim among the processes");
            at += size;
        }
    }
    close(folder);
    return outcome;
}

int read_first_environment(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/proc/1/environ");
}

int read_host_mounts(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/proc/1/mountinfo");
}

/* ---- the kernel's files ---- */

int read_kernel_symbols(const struct surroundings *surroundings) {
    if (is_lacking(surroundings, "kallsyms"))
        return absent("this kernel has no such file");
    char line[32] = {0};
    int file = openat(AT_FDCWD, "/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    ssize_t got = read(file, line, 16);
    close(file);
    if (got < 16)
        return contained("there is nothing in it");
    return strcmp(line, "0000000000000000") ? succeeded("read an address of the kernel")
                                            : contained("the addresses are blanked");
}

int read_kernel_memory(const struct surroundings *surroundings) {
    if (is_lacking(surroundings, "kcore"))
        return absent("this kernel does not show its memory");
    return read_anything(surroundings, "/proc/kcore");
}

int read_kernel_log(const struct surroundings *surroundings) {
    char text[256];
    return judged(surroundings, syscall(SYS_syslog, 3 /* read all */, text, sizeof text), "syslog",
                  "read the kernel's log");
}

int read_kernel_log_device(const struct surroundings *surroundings) {
    char text[8192];
    int file = openat(AT_FDCWD, "/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    ssize_t got = read(file, text, sizeof text);
    bool opened = got >= 0 || errno == EAGAIN || errno == EPIPE; /* no new message, or overwritten meanwhile */
    int outcome = judged(surroundings, opened ? 0 : -1, "read", "read the kernel's log");
    close(file);
    return outcome;
}

int read_kernel_settings(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/proc/sys/kernel/osrelease");
}

int read_kernel_interrupts(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/proc/interrupts");
}

int read_kernel_caches(const struct surroundings *surroundings) {
    if (is_lacking(surroundings, "slabinfo"))
        return absent("this kernel has no such file");
    return read_anything(surroundings, "/proc/slabinfo");
}

int read_kernel_configuration(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/proc/cmdline");
}

int read_devices(const struct surroundings *surroundings) {
    return read_anything(surroundings, "/sys/kernel/notes");
}

/* ---- other ways to files ---- */

int read_watch(const struct surroundings *surroundings) {
    if (!surroundings->host_file)
        return absent("host_file is not told");
    int watch = (int)syscall(SYS_inotify_init1, O_CLOEXEC);
    if (watch < 0)
        return refused(surroundings, "inotify_init1");
    long result = syscall(SYS_inotify_add_watch, watch, surroundings->host_file, 0xfff /* all events */);
    int outcome = judged(surroundings, result, "inotify_add_watch", "would hear of each use of the file");
    close(watch);
    return outcome;
}

/* Does not open the file, but requests its metadata. */
int read_metadata(const struct surroundings *surroundings) {
    char about[256]; /* struct stat, of whatever size */
    if (!surroundings->host_secret)
        return absent("host_secret is not told");
    long result = syscall(SYS_newfstatat, AT_FDCWD, surroundings->host_secret, about, 0);
    return judged(surroundings, result, "newfstatat", "learned size, owner and times");
}

/* Its flags are in memory, which filters cannot read. */
int read_openat2(const struct surroundings *surroundings) {
    const uint64_t how[3] = {O_RDONLY | O_CLOEXEC, 0, 0};
    if (!surroundings->host_file)
        return absent("host_file is not told");
    return read_token_from(surroundings, (int)syscall(437, AT_FDCWD, surroundings->host_file, how, sizeof how),
                           "openat2");
}

/* ---- private keys, by every path that the drill knows ---- */

static int read_keys(const struct surroundings *surroundings, const char *prefix) {
    int outcome = absent("no key_file is told");
    for (size_t i = 0; i < SURROUNDINGS_KEY_FILES && surroundings->key_files[i]; i++) {
        outcome = read_anything(surroundings, joined(prefix, surroundings->key_files[i], NULL, NULL));
        if (outcome == ATTEMPT_SUCCEEDED)
            return outcome;
    }
    return outcome;
}

int read_key(const struct surroundings *surroundings) {
    return read_keys(surroundings, "");
}

int read_key_first_root(const struct surroundings *surroundings) {
    return read_keys(surroundings, "/proc/1/root");
}

int read_key_victim_root(const struct surroundings *surroundings) {
    char prefix[64];
    NEEDS_VICTIM;
    strcpy(prefix, of_victim(surroundings, "/root", NULL));
    return read_keys(surroundings, prefix);
}

int read_key_dotdot(const struct surroundings *surroundings) {
    return read_keys(surroundings, "../../../../../../../../../../..");
}
