/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What a lookup depended on: each folder that it entered, and each file that it read, with its version at that time. As
 * long as all of them have the same versions under the same paths, the lookup would have the same result. The version
 * of a file changes with its bytes, its owner and its permissions, except that a program may change bytes through
 * mmap(2) without a sign (see KEPT_SECONDS). The version of a folder changes with the names in it, so a new `.meta` or
 * another target of a link is noticed. If a path still leads to the same file, no folder on it was renamed, replaced or
 * mounted over.
 *
 * Paths are looked up again each time, and no descriptor is kept: a kept one would notice neither a rename nor a mount,
 * and would keep file systems busy.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

#include "file_version.h"

#define TRAIL_STEPS 64   /* files and folders, at most */
#define TRAIL_PATHS 2048 /* bytes of all their paths, at most */

struct trail {
    bool is_incomplete; /* there is no space for all, or something could not be examined */
    size_t count, size; /* number of steps; bytes of their paths */
    struct file_version steps[TRAIL_STEPS];
    char paths[TRAIL_PATHS]; /* one after the other, each with a NUL */
};

void trail_begin(struct trail *trail);

/*
 * Adds a file or a folder. Call it before looking into it, so that a change in the meantime gives a later version.
 * path: `length` bytes, relative to the content folder, without a link in it and without a slash at the end. status:
 * NULL if it could not be found out. The first version of a path counts.
 */
void trail_add(struct trail *trail, const char *path, size_t length, const struct stat *status);

/* Is it complete, and would every change from now on be noticed? */
bool trail_is_settled(const struct trail *trail, time_t now);

/* Do the steps still have these versions? paths: as in struct trail. Makes one system call for each. */
bool trail_holds(int content, const struct file_version *steps, size_t count, const char *paths);
