/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The version of a file, a folder or a link, as the kernel describes it. Whoever changes one changes its version, and
 * nobody can set it back: the kernel sets `changed`. Only a write through mmap(2) may leave the version as it is.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/*
 * Two changes within one tick of a file system's clock may give the same version. The coarsest clocks tick every two
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
 * Sets the folder that contains the files; until then, no version is settled. Only the file system of that folder stays
 * as long as the folder is open. A file system mounted within it can be unmounted; the next one may have the same
 * device number and, if it is an image with fixed times, the same versions.
 */
void file_version_below(int folder);

/*
 * Would every later change give another version? Not on a file system that can be unmounted, and not for a version that
 * is too recent, or in the future because the clock was set back.
 */
bool file_version_is_settled(const struct file_version *version, time_t now);
