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

/* Is it so old that a change from now on gives another version? Not if it is from the future: the clock was set back.
 */
bool file_version_is_settled(const struct file_version *version, time_t now);
