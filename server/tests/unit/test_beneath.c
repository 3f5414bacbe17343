/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"
#include "pretended.h"

static char outside[] = "/tmp/vitrine-beneath-XXXXXX";
static int folder = -1;

static void make_file(const char *name) {
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_eq(write(file, name, strlen(name)), (ssize_t)strlen(name));
    close(file);
}

static void begin(void) {
    static const char *const links[][2] = {
        {"b/file", "to-file"},
        {"b", "to-folder"},
        {"to-folder", "to-link"},
        {"./b//c/../file", "winding"},
        {"to-folder/../a", "through-link"},
        {"c/../../a", "b/up"},
        {"./..//./a", "b/dotted"},
        {"..", "b/above"},
        {"..", "out"},
        {"b/../..", "out-late"},
        {"../../etc/passwd", "out-file"},
        {"/etc/passwd", "absolute"},
        {"/", "root"},
        {"loop", "loop"},
        {"pong", "ping"},
        {"ping", "pong"},
        {"gone", "dangling"},
        {"b/", "slash"},
        {"b/file/", "file-slash"},
    };
    char inside[64];
    cr_assert_not_null(mkdtemp(outside));
    snprintf(inside, sizeof inside, "%s/folder", outside);
    cr_assert_eq(mkdir(inside, 0755), 0);
    folder = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(mkdirat(folder, "b", 0755), 0);
    cr_assert_eq(mkdirat(folder, "b/c", 0755), 0);
    make_file("a");
    make_file("b/file");
    make_file("b/c/deep");
    cr_assert_eq(mkfifoat(folder, "pipe", 0644), 0);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        cr_assert_eq(symlinkat(links[i][0], folder, links[i][1]), 0);
}

static void end(void) {
    char command[128];
    close(folder);
    snprintf(command, sizeof command, "rm -rf %s", outside);
    cr_assert_eq(system(command), 0);
}

TestSuite(beneath, .init = begin, .fini = end, .timeout = 30);

/* Returns the identity of what was opened, in the file system; otherwise the error. */
static long identify(int result, struct stat *status) {
    if (result < 0)
        return result;
    cr_assert_eq(fstat(result, status), 0);
    cr_expect(fcntl(result, F_GETFD) & FD_CLOEXEC);
    close(result);
    return 0;
}

static const int folder_flags = O_PATH | O_DIRECTORY, file_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

static const struct {
    const char *path;
    int flags;
    int error;        /* 0: opened */
    const char *same; /* the same file, through a path without links */
} lookups[] = {
    {"a", file_flags, 0, "a"},
    {"b/file", file_flags, 0, "b/file"},
    {"b//c///deep", file_flags, 0, "b/c/deep"},
    {"./b/./file", file_flags, 0, "b/file"},
    {"b", folder_flags, 0, "b"},
    {"b/", folder_flags, 0, "b"},
    {"b/..", folder_flags, 0, "."},
    {"b/c", folder_flags, 0, "b/c"},
    {"to-folder/c", folder_flags, 0, "b/c"},
    {"b/.", folder_flags, 0, "b"},
    {"b/c/..", folder_flags, 0, "b"},
    {"b/c/../file", file_flags, 0, "b/file"},
    {"b/c/./../file", file_flags, 0, "b/file"},
    {"b/./..", folder_flags, 0, "."},
    {"b/dotted", file_flags, 0, "a"},
    {".", folder_flags, 0, "."},
    {"to-file", file_flags, 0, "b/file"},
    {"to-folder", folder_flags, 0, "b"},
    {"to-folder/", folder_flags, 0, "b"},
    {"to-folder/file", file_flags, 0, "b/file"},
    {"to-link/c/deep", file_flags, 0, "b/c/deep"},
    {"winding", file_flags, 0, "b/file"},
    {"through-link", file_flags, 0, "a"},
    {"b/up", file_flags, 0, "a"},
    {"b/above/b/above/a", file_flags, 0, "a"},
    {"slash", folder_flags, 0, "b"},
    {"slash/file", file_flags, 0, "b/file"},
    {"pipe", file_flags, 0, "pipe"},
    {"a", O_PATH, 0, "a"},
    {"a", O_RDONLY, 0, "a"},
    {"to-file", O_PATH, 0, "b/file"},
    {"", file_flags, ENOENT, NULL},
    {"missing", file_flags, ENOENT, NULL},
    {"b/missing/deep", file_flags, ENOENT, NULL},
    {"dangling", file_flags, ENOENT, NULL},
    {"a/", file_flags, ENOTDIR, NULL},
    {"a/b", file_flags, ENOTDIR, NULL},
    {"a", folder_flags, ENOTDIR, NULL},
    {"to-file/", file_flags, ENOTDIR, NULL},
    {"to-file", folder_flags, ENOTDIR, NULL},
    {"file-slash", file_flags, ENOTDIR, NULL},
    {"loop", file_flags, ELOOP, NULL},
    {"ping", file_flags, ELOOP, NULL},
    {"loop/a", file_flags, ELOOP, NULL},
    {"..", folder_flags, EXDEV, NULL},
    {"./..", folder_flags, EXDEV, NULL},
    {"b/./.././..", folder_flags, EXDEV, NULL},
    {"../folder/a", file_flags, EXDEV, NULL},
    {"b/../../folder/a", file_flags, EXDEV, NULL},
    {"out", folder_flags, EXDEV, NULL},
    {"out/folder/a", file_flags, EXDEV, NULL},
    {"out-late", folder_flags, EXDEV, NULL},
    {"out-file", file_flags, EXDEV, NULL},
    {"absolute", file_flags, EXDEV, NULL},
    {"root", folder_flags, EXDEV, NULL},
    {"root/etc/passwd", file_flags, EXDEV, NULL},
    {"/etc/passwd", file_flags, EXDEV, NULL},
};

static void expect_all(int (*open_it)(int, const char *, int)) {
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        struct stat found, expected;
        long result = identify(open_it(folder, lookups[i].path, lookups[i].flags), &found);
        cr_expect_eq(result, -lookups[i].error, "'%s' gave %ld, not %d", lookups[i].path, result, -lookups[i].error);
        if (result == 0 && lookups[i].same) {
            cr_assert_eq(fstatat(folder, lookups[i].same, &expected, AT_SYMLINK_NOFOLLOW), 0);
            cr_expect(found.st_ino == expected.st_ino && found.st_dev == expected.st_dev, "'%s' is not %s",
                      lookups[i].path, lookups[i].same);
        }
    }
}

Test(beneath, in_one_call) {
    expect_all(beneath_open);
}

/* In a worker's sandbox and on old kernels, openat2(2) does not exist: it is tried once, then paths are walked. */
Test(beneath, without_openat2) {
    pretended_openat2 = (struct pretended_openat2){ENOSYS, 1000};
    expect_all(beneath_open);
    cr_expect_eq(pretended_openat2.times, 999);
    pretended_openat2.times = 0;
}

/* Temporary errors are retried eight times. */
Test(beneath, what_is_tried_again) {
    static const int passing[] = {EAGAIN, EINTR}, lasting[] = {EPERM, ENFILE};
    struct stat found;
    for (size_t i = 0; i < 2; i++) {
        pretended_openat2 = (struct pretended_openat2){passing[i], 7};
        cr_expect_eq(identify(beneath_open(folder, "a", file_flags), &found), 0);
        pretended_openat2 = (struct pretended_openat2){passing[i], 8};
        int result = beneath_open(folder, "a", file_flags);
        cr_expect_eq(result, -passing[i]);
        cr_expect(beneath_is_busy(result));
        cr_expect_eq(pretended_openat2.times, 0);
        pretended_openat2 = (struct pretended_openat2){lasting[i], 2};
        cr_expect_eq(beneath_open(folder, "a", file_flags), -lasting[i]);
        cr_expect_eq(pretended_openat2.times, 1);
        pretended_openat2.times = 0;
    }
}

Test(beneath, name_by_name) {
    expect_all(beneath_walk);
}

/* Where a confined path leads, and the target of its first name. */
Test(beneath, confined) {
    static const struct {
        const char *path;
        int error;
        const char *text; /* the path without links */
        size_t root;      /* its length in bytes */
        bool strayed;
    } cases[] = {
        {"b/file", 0, "b/file", 2, false},
        {"b//./c///deep", 0, "b/c/deep", 2, false},
        {"a", 0, "a", 0, false},
        {"to-folder/file", 0, "b/file", 2, false},
        {"to-link/c/deep", 0, "b/c/deep", 2, false},
        {"through-link", 0, "a", 0, false},
        {"slash/file", 0, "b/file", 2, false},
        {"part/deep", 0, "b/c/deep", 4, false},
        {"part//./deep", 0, "b/c/deep", 4, false},
        {"dotted-part/deep", 0, "b/c/deep", 4, false},
        {"by-wind/deep", 0, "b/c/deep", 4, false},
        {"b/c", 0, "b/c", 2, false},
        {"b/", 0, "b/", 0, false},
        {"b/.", 0, "b/", 0, false},
        {"b/inward", 0, "b/c/deep", 2, true},
        {"part/outward", EXDEV, NULL, 0, false},
        {"part/round", EXDEV, NULL, 0, false},
        {"b/c/outward", 0, "b/file", 2, true},
        {"b/c/round", EXDEV, NULL, 0, false},
        {"b/up", EXDEV, NULL, 0, false},
        {"b/away", EXDEV, NULL, 0, false},
        {"b/above/a", EXDEV, NULL, 0, false},
        {"by-way/a", EXDEV, NULL, 0, false},
        {"b/missing/deep", ENOENT, "b/missing/deep", 2, false},
        {"to-folder/missing", ENOENT, "b/missing", 2, false},
        {"", ENOENT, NULL, 0, false},
        {"/a", EXDEV, NULL, 0, false},
        {"../folder/a", EXDEV, NULL, 0, false},
        {"loop/a", ELOOP, NULL, 0, false},
    };
    static const char *const links[][2] = {
        {"b/c", "part"},         {"c/deep", "b/inward"}, {"../file", "b/c/outward"}, {"../../b/file", "b/c/round"},
        {"../b/file", "b/away"}, {"b/above", "by-way"},  {"./b/c", "dotted-part"},   {"c/../c", "b/wind"},
        {"b/wind", "by-wind"},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        cr_assert_eq(symlinkat(links[i][0], folder, links[i][1]), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct beneath_path path = {.is_confined = true, .reached = 9, .root = 9, .strayed = true, .floor = 9};
        struct stat found, expected;
        strcpy(path.text, cases[i].path);
        long result = identify(beneath_follow(&path, folder, file_flags), &found);
        cr_expect(result < 0 || path.root > 0 || path.reached == 0, "'%s': %zu", cases[i].path, path.reached);
        cr_expect_eq(result, -cases[i].error, "'%s' gave %ld", cases[i].path, result);
        if (cases[i].text) {
            cr_expect_str_eq(path.text, cases[i].text, "'%s' is %s", cases[i].path, path.text);
            cr_expect_eq(path.root, cases[i].root, "'%s': %zu", cases[i].path, path.root);
            cr_expect_eq(path.strayed, cases[i].strayed, "'%s'", cases[i].path);
        }
        if (result == 0) {
            cr_assert_eq(fstatat(folder, cases[i].text, &expected, AT_SYMLINK_NOFOLLOW), 0);
            cr_expect_eq(found.st_ino, expected.st_ino, "'%s'", cases[i].path);
        }
        beneath_leave(&path);
    }
}

static char entered[256];

static int note(struct beneath_path *path) {
    struct stat status;
    cr_expect_eq(fstat(path->folder, &status), 0);
    sprintf(entered + strlen(entered), "%.*s ", (int)path->reached, path->text);
    return strcmp(path->context, "") != 0 && strncmp(path->text, path->context, path->reached) == 0 ? -EPERM : 0;
}

/* Every folder on the way is reported, including those that a link passes through. */
Test(beneath, folders_that_are_entered) {
    static const struct {
        const char *path, *refused, *entered;
        int result;
    } cases[] = {
        {"b/c/", "", "b/ b/c/ ", 0},
        {"b/c", "", "b/ b/c ", 0},
        {"to-folder/c/", "", "b/ b/c/ ", 0},
        {"b/c/back/", "", "b/ b/c/ b/ b/c/ b/ ", 0},
        {"b/c/", "b/", "b/ ", -EPERM},
        {"b/c/back/", "b/c/", "b/ ", -EPERM},
        {"a/", "", "", -ENOTDIR},
    };
    cr_assert_eq(symlinkat("..", folder, "b/c/back"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char refused[16];
        strcpy(refused, cases[i].refused);
        struct beneath_path path = {.is_confined = true, .enter = note, .context = refused};
        strcpy(path.text, cases[i].path);
        entered[0] = '\0';
        int result = beneath_enter(&path, folder);
        cr_expect_eq(result, cases[i].result, "'%s' gave %d", cases[i].path, result);
        if (!(cases[i].refused[0] && strcmp(cases[i].path, "b/c/back/") == 0))
            cr_expect_str_eq(entered, cases[i].entered, "'%s': %s", cases[i].path, entered);
        beneath_leave(&path);
    }
}

Test(beneath, folders_that_nobody_looks_at) {
    struct beneath_path path = {.text = "b/c"};
    cr_expect_eq(beneath_enter(&path, folder), 0);
    cr_expect_eq(path.reached, strlen("b/c/"));
    beneath_leave(&path);
}

/* 127 links in a row are followed, and not one more. */
Test(beneath, how_many_links_are_followed) {
    char name[32] = "a", next[32];
    for (int i = 1; i <= 128; i++) {
        snprintf(next, sizeof next, "link-%d", i);
        cr_assert_eq(symlinkat(name, folder, next), 0);
        strcpy(name, next);
    }
    struct stat found;
    cr_expect_eq(identify(beneath_walk(folder, "link-127", file_flags), &found), 0);
    cr_expect_eq(identify(beneath_walk(folder, "link-128", file_flags), &found), -ELOOP);
}

/* A link's target has up to 4095 bytes. */
Test(beneath, the_longest_link) {
    char target[BENEATH_PATH_SIZE];
    struct stat found, expected;
    for (size_t at = 0; at < sizeof target - 2; at += 2)
        memcpy(target + at, "./", 2);
    strcpy(target + sizeof target - 2, "a");
    cr_assert_eq(symlinkat(target, folder, "long"), 0);
    cr_expect_eq(identify(beneath_walk(folder, "long", file_flags), &found), 0);
    cr_assert_eq(fstatat(folder, "a", &expected, 0), 0);
    cr_expect_eq(found.st_ino, expected.st_ino);
}

Test(beneath, what_is_too_long_is_no_path) {
    char path[5000];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    cr_expect_eq(beneath_walk(folder, path, file_flags), -ENAMETOOLONG);
    /* 4095 bytes are a valid path, 4096 are not. */
    for (size_t at = 0; at < 4094; at += 2)
        memcpy(path + at, "./", 2);
    strcpy(path + 4094, "a");
    cr_assert_eq(strlen(path), BENEATH_PATH_SIZE - 1);
    int file = beneath_walk(folder, path, file_flags);
    cr_expect_geq(file, 0, "%d", file);
    close(file);
    strcpy(path + 4094, "/a");
    cr_expect_eq(beneath_walk(folder, path, file_flags), -ENAMETOOLONG);
    cr_expect_eq(beneath_open_confined(folder, path, file_flags), -ENAMETOOLONG);
    struct beneath_path whole = {.is_confined = true};
    for (size_t at = 0; at < sizeof whole.text; at += 2)
        memcpy(whole.text + at, "a/", 2);
    cr_expect_eq(beneath_enter(&whole, folder), -ENAMETOOLONG, "there is no end");
    memset(path, 'a', 300);
    path[300] = '\0';
    cr_expect_eq(beneath_walk(folder, path, file_flags), -ENAMETOOLONG);
    /* A path that grows with every link ends, too. */
    cr_assert_eq(symlinkat("grow/grow/grow/grow/grow/grow/grow/grow", folder, "grow"), 0);
    int result = beneath_walk(folder, "grow", file_flags);
    cr_expect(result == -ELOOP || result == -ENAMETOOLONG, "%d", result);
}

/* After a link is resolved, the path may have the maximum length, and not one byte more. */
Test(beneath, a_link_may_make_a_path_too_long) {
    char target[101], path[BENEATH_PATH_SIZE];
    memset(target, 'm', 100);
    target[100] = '\0';
    cr_assert_eq(symlinkat(target, folder, "l"), 0);
    for (size_t length = BENEATH_PATH_SIZE - 2; length <= BENEATH_PATH_SIZE + 1; length++) {
        size_t rest = length - 100;
        strcpy(path, "l");
        for (size_t at = 0; at < rest; at++)
            path[1 + at] = at % 100 == 0 ? '/' : 'x';
        path[1 + rest] = '\0';
        cr_expect_eq(beneath_walk(folder, path, file_flags), length < BENEATH_PATH_SIZE ? -ENOENT : -ENAMETOOLONG,
                     "%zu", length);
    }
}

/* Temporary errors, which say nothing about a file. */
Test(beneath, what_passes) {
    static const int passing[] = {EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR};
    for (int error = 0; error < 134; error++) {
        bool passes = false;
        for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
            passes = passes || error == passing[i];
        cr_expect_eq(beneath_is_busy(-error), passes, "%d", error);
    }
}

/* Nothing leaks a descriptor; descriptor 0 works like all others. */
Test(beneath, nothing_is_left_open) {
    close(STDIN_FILENO);
    expect_all(beneath_open);
    expect_all(beneath_walk);
    cr_expect_lt(fcntl(STDIN_FILENO, F_GETFD), 0, "number 0 is open still");
    int before = dup(folder);
    close(before);
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        struct stat found;
        identify(beneath_walk(folder, lookups[i].path, lookups[i].flags), &found);
        identify(beneath_open_confined(folder, lookups[i].path, lookups[i].flags), &found);
    }
    int after = dup(folder);
    close(after);
    cr_expect_eq(after, before);
}
