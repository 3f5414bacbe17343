/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keys/atomic_file.h"

static char path[] = "/tmp/vitrine-store-XXXXXX";
static int folder = -1;

static void begin(void) {
    cr_assert_not_null(mkdtemp(path));
    folder = open(path, O_RDONLY | O_DIRECTORY);
    cr_assert_geq(folder, 0);
}

static void end(void) {
    char command[128];
    close(folder);
    snprintf(command, sizeof command, "rm -rf %s", path);
    cr_assert_eq(system(command), 0);
}

TestSuite(atomic_file, .init = begin, .fini = end);

static void expect_content(const char *name, const char *expected) {
    char *text;
    cr_assert_eq(atomic_file_read(folder, name, &text), (ssize_t)strlen(expected));
    cr_expect_str_eq(text, expected);
    free(text);
}

static void expect_no_temporary_file(void) {
    cr_expect_neq(faccessat(folder, ".new", F_OK, AT_SYMLINK_NOFOLLOW), 0, "a temporary file is left");
}

Test(atomic_file, created_once_replaced_when_told) {
    struct stat about;
    umask(0777); /* the umask of the unit */
    cr_assert_eq(atomic_file_create(folder, "a", "first", 5), 0);
    expect_no_temporary_file();
    cr_expect_eq(atomic_file_create(folder, "a", "second", 6), -EEXIST);
    expect_no_temporary_file();
    expect_content("a", "first");
    cr_assert_eq(atomic_file_replace(folder, "a", "third", 5), 0);
    expect_content("a", "third");
    cr_assert_eq(fstatat(folder, "a", &about, 0), 0);
    cr_expect_eq(about.st_mode & 07777, 0600);
    expect_no_temporary_file();
}

/*
 * If another file has the temporary name, nothing is written through it, and it does not become a second name of a key.
 */
Test(atomic_file, what_lies_in_the_way_is_not_written_to) {
    struct stat about;
    cr_assert_eq(symlinkat("target", folder, ".new"), 0);
    close(openat(folder, "target", O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(atomic_file_create(folder, "a", "secret", 6), 0);
    cr_assert_eq(fstatat(folder, "target", &about, 0), 0);
    cr_expect_eq(about.st_size, 0, "written to where a link led");
    cr_assert_eq(fstatat(folder, "a", &about, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISREG(about.st_mode));
    cr_expect_eq(about.st_nlink, 1, "the key has another name");

    cr_assert_eq(linkat(folder, "target", folder, ".new", 0), 0);
    cr_assert_eq(atomic_file_replace(folder, "a", "other", 5), 0);
    cr_assert_eq(fstatat(folder, "target", &about, 0), 0);
    cr_expect_eq(about.st_size, 0, "written to a file with another name");

    cr_assert_eq(mkdirat(folder, ".new", 0700), 0);
    cr_expect_lt(atomic_file_create(folder, "b", "secret", 6), 0);
    cr_expect_lt(atomic_file_replace(folder, "a", "secret", 6), 0);
    expect_content("a", "other");
    cr_expect_neq(faccessat(folder, "b", F_OK, 0), 0);
}

Test(atomic_file, what_is_no_small_file) {
    static char large[ATOMIC_FILE_MAX + 1];
    char *text;
    cr_assert_eq(symlinkat("/etc/passwd", folder, "link"), 0);
    cr_assert_eq(mkfifoat(folder, "fifo", 0600), 0);
    cr_assert_eq(mkdirat(folder, "folder", 0700), 0);
    cr_assert_eq(atomic_file_create(folder, "large", large, sizeof large), 0);
    cr_assert_eq(atomic_file_create(folder, "full", large, sizeof large - 1), 0);
    close(openat(folder, "empty", O_WRONLY | O_CREAT, 0600));
    static const struct {
        const char *name;
        ssize_t expected;
    } cases[] = {{"link", -ELOOP},  {"fifo", -EINVAL},  {"folder", -EINVAL},
                 {"large", -EFBIG}, {"empty", -EINVAL}, {"none", -ENOENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text = (char *)1; /* an invalid value from before */
        cr_expect_eq(atomic_file_read(folder, cases[i].name, &text), cases[i].expected, "%s", cases[i].name);
        cr_expect_null(text);
        int file = openat(folder, cases[i].name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        if (file < 0)
            continue;
        text = (char *)1;
        cr_expect_eq(atomic_file_read_open(file, &text), cases[i].expected, "%s", cases[i].name);
        cr_expect_null(text);
        close(file);
    }
    int file = openat(folder, "full", O_WRONLY);
    text = (char *)1;
    cr_expect_eq(atomic_file_read_open(file, &text), -EBADF, "it cannot be read");
    cr_expect_null(text);
    close(file);
    cr_expect_eq(atomic_file_read(folder, "full", &text), ATOMIC_FILE_MAX);
    free(text);
}

/* A file may become shorter while it is read. sysfs files are always shorter than their reported size. */
Test(atomic_file, a_file_that_ends_early) {
    int file = open("/sys/kernel/uevent_seqnum", O_RDONLY | O_CLOEXEC);
    struct stat about;
    char *text = (char *)1;
    if (file < 0 || fstat(file, &about) < 0 || about.st_size < 100)
        cr_skip_test("no sysfs");
    errno = 0;
    cr_expect_eq(atomic_file_read_open(file, &text), -EIO);
    cr_expect_null(text);
    close(file);
}

/* The service must be able to read what an administrator (root) writes into its folder. */
Test(atomic_file, a_file_belongs_to_whom_its_folder_belongs) {
    struct stat about;
    if (geteuid() != 0)
        cr_skip_test("only root gives files away");
    cr_assert_eq(fchown(folder, 1234, 4321), 0);
    cr_assert_eq(atomic_file_create(folder, "a", "first", 5), 0);
    cr_assert_eq(fstatat(folder, "a", &about, 0), 0);
    cr_expect(about.st_uid == 1234 && about.st_gid == 4321, "%u:%u", about.st_uid, about.st_gid);
    cr_assert_eq(atomic_file_replace(folder, "a", "second", 6), 0);
    cr_assert_eq(fstatat(folder, "a", &about, 0), 0);
    cr_expect(about.st_uid == 1234 && about.st_gid == 4321, "%u:%u", about.st_uid, about.st_gid);
    /* In root's own folder, the owner does not change. */
    cr_assert_eq(fchown(folder, 0, 4321), 0);
    cr_assert_eq(atomic_file_replace(folder, "a", "third", 5), 0);
    cr_assert_eq(fstatat(folder, "a", &about, 0), 0);
    cr_expect(about.st_uid == 0 && about.st_gid == getegid(), "%u:%u", about.st_uid, about.st_gid);
}

/* A key that the service could not read must not get its final name; the caller gets the error. */
Test(atomic_file, what_cannot_be_given_to_the_owner_is_not_kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct capabilities[2];
    if (geteuid() != 0)
        cr_skip_test("only root gives files away");
    cr_assert_eq(atomic_file_create(folder, "a", "first", 5), 0);
    cr_assert_eq(fchown(folder, 1234, 4321), 0);
    cr_assert_eq(syscall(SYS_capget, &header, capabilities), 0);
    capabilities[0].effective &= ~(1u << CAP_CHOWN);
    cr_assert_eq(syscall(SYS_capset, &header, capabilities), 0);
    cr_expect_eq(atomic_file_create(folder, "b", "second", 6), -EPERM);
    cr_expect_eq(atomic_file_replace(folder, "a", "second", 6), -EPERM);
    expect_no_temporary_file();
    cr_expect_neq(faccessat(folder, "b", F_OK, 0), 0);
    expect_content("a", "first");
}

/* If the disk is full in the middle of writing a key, the previous file stays. */
Test(atomic_file, half_a_file_is_none) {
    struct rlimit before, limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){3, before.rlim_max};
    cr_assert_eq(atomic_file_create(folder, "a", "1st", 3), 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(atomic_file_create(folder, "b", "second", 6), -EFBIG);
    cr_expect_eq(atomic_file_replace(folder, "a", "second", 6), -EFBIG);
    cr_expect_eq(atomic_file_replace(folder, "a", "2nd", 3), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_no_temporary_file();
    cr_expect_neq(faccessat(folder, "b", F_OK, 0), 0);
    expect_content("a", "2nd");
}

/* Descriptor 0 works like all others, and nothing stays open. */
Test(atomic_file, without_a_standard_input) {
    close(STDIN_FILENO);
    cr_assert_eq(atomic_file_create(folder, "a", "first", 5), 0);
    cr_assert_eq(atomic_file_replace(folder, "a", "other", 5), 0);
    expect_content("a", "other");
    cr_expect_lt(fcntl(0, F_GETFD), 0, "it is open still");
}

Test(atomic_file, a_folder_that_cannot_be_written) {
    int nowhere = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY);
    cr_assert_geq(nowhere, 0);
    cr_expect_lt(atomic_file_create(nowhere, "a", "b", 1), 0);
    cr_expect_lt(atomic_file_replace(nowhere, "a", "b", 1), 0);
    close(nowhere);
}
