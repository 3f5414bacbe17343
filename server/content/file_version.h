/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The version of a file, a folder or a link, as the kernel describes it. Whoever changes one changes its version, and
 * nobody can set it back: the kernel sets `changed`.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/*
 * Changes within one tick of a file system's clock may give the same version twice. The coarsest clocks tick each two
 * seconds.
 */
#define FILE_VERSION_TICK 2

/* Has no padding, so it can be compared as bytes. */
struct file_version {
    uint64_t device, inode, size;
    int64_t modified, modified_nanoseconds, changed, changed_nanoseconds;
};

struct file_version file_version_of(const struct stat *status);

bool file_version_same(const struct file_version *a, const struct file_version *b);

/*
 * Says which folder the files are below; before that, nothing is settled. Only the file system of that folder stays as
 * long as the folder is open. One that is mounted below it can go, and the next one can have the same device number,
 * and, if it is an image whose times are fixed, the same versions.
 */
void file_version_below(int folder);

/*
 * Would every change from now on give another version? No on a file system that can go, and no for a version that is
 * not old enough, or from the future: the clock was set back.
 */
bool file_version_is_settled(const struct file_version *version, time_t now);
