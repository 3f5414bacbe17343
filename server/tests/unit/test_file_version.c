/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every member of a version matters: a difference in any of them means another file, or the same file after a change.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "content/file_version.h"

static const struct stat usual = {
    .st_dev = 1,
    .st_ino = 2,
    .st_size = 3,
    .st_mtim = {.tv_sec = 4, .tv_nsec = 5},
    .st_ctim = {.tv_sec = 6, .tv_nsec = 7},
};

static bool is_same(const struct stat *other) {
    const struct file_version a = file_version_of(&usual), b = file_version_of(other);
    return file_version_same(&a, &b) && file_version_same(&b, &a);
}

Test(file_version, each_difference_is_another_version) {
    struct stat others[7];
    for (size_t i = 0; i < 7; i++)
        others[i] = usual;
    cr_expect(is_same(&others[0]));
    others[0].st_dev++;
    others[1].st_ino++;
    others[2].st_size++;
    others[3].st_mtim.tv_sec++;
    others[4].st_mtim.tv_nsec++;
    others[5].st_ctim.tv_sec++;
    others[6].st_ctim.tv_nsec++;
    for (size_t i = 0; i < 7; i++)
        cr_expect_not(is_same(&others[i]), "difference %zu", i);
}

/* Two members with swapped values do not match either. */
Test(file_version, large_numbers_count_whole) {
    struct stat other = usual;
    other.st_dev = 2;
    other.st_ino = 1;
    cr_expect_not(is_same(&other));
    other = usual;
    other.st_ino += (ino_t)1 << 32;
    cr_expect_not(is_same(&other));
    other = usual;
    other.st_size += (off_t)1 << 32;
    cr_expect_not(is_same(&other));
    other = usual;
    other.st_dev += (dev_t)1 << 32;
    cr_expect_not(is_same(&other));
}

/* For kept pages, a version must be old, and on the file system of the content folder. */
Test(file_version, settled) {
    struct stat status;
    int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(folder, 0);
    cr_assert_eq(fstat(folder, &status), 0);
    status.st_ctim.tv_sec = 1000;
    struct file_version version = file_version_of(&status);
    file_version_below(folder);
    cr_expect_not(file_version_is_settled(&version, 900));
    cr_expect_not(file_version_is_settled(&version, 1000 + FILE_VERSION_TICK));
    cr_expect(file_version_is_settled(&version, 1001 + FILE_VERSION_TICK));
    version.device++;
    cr_expect_not(file_version_is_settled(&version, 1001 + FILE_VERSION_TICK), "mounted below it");
    close(folder);
}
