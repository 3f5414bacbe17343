/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Opens files below a folder, and nothing else: follows links as long as they stay inside.
 *
 * The kernel does this in one call, openat2(2). But systemd makes that call fail with ENOSYS for every service with
 * DynamicUser= (its filter against set-user-ID files cannot read the call's memory). Then we walk the path name by
 * name, with the same result.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Flags to read files that somebody else put there. Opening must never block, not even on a FIFO without a writer or a
 * terminal.
 */
#define BENEATH_READ (O_RDONLY | O_NONBLOCK | O_NOCTTY)

#define BENEATH_PATH_SIZE 4096 /* bytes of a path with its NUL; Linux has no longer paths */

/*
 * Opens a path, relative to `folder`. flags: as for open(2), but none that creates a file; O_CLOEXEC is added. Returns
 * a descriptor, which the caller closes, or -errno: -EXDEV for a path or link that leads out of the folder (an absolute
 * one always does), -ELOOP for too many links, -ENAMETOOLONG for a path above 4095 bytes, otherwise as open(2).
 */
int beneath_open(int folder, const char *path, int flags);

/* The same as beneath_open, but always walks name by name. */
int beneath_walk(int folder, const char *path, int flags);

/*
 * A walk through folders that belong to several people. The first name of the path is in the start folder, whose owner
 * may link to anything below it. Any other link must stay in the folder that this first name stands for.
 *
 * The caller sets the first four members; the functions set the others.
 */
struct beneath_path {
    char text[BENEATH_PATH_SIZE]; /* the path; afterwards, where it really leads: the first `reached` bytes contain no
                                     link, no `.` and no `..`; if the call succeeded, neither does the rest */
    bool is_confined;             /* false: links may lead to anything below the start folder */
    /*
     * NULL, or a function called for each folder that is entered, with `folder` and `reached` set. It returns 0, or
     * -errno to end the walk. After a link the walk begins again, so it may be called more than once for a folder.
     */
    int (*enter)(struct beneath_path *path);
    void *context;

    int folder;     /* the innermost folder that was entered (O_PATH), or -1 for none; beneath_leave closes it */
    size_t reached; /* bytes of text that lead to it, with its slash */
    size_t root;    /* bytes of text that the first name stands for, with a slash; 0 if it was not reached */
    bool strayed;   /* a link after the first name was followed */

    size_t floor,
        behind_name; /* for the walk itself: the limit for `..`; the length of the path without its first name */
};

/*
 * Opens a path, relative to `folder`. Returns a descriptor, which the caller closes, or -errno as beneath_open; -EXDEV
 * also for a link that leads too far out. The caller must call beneath_leave in every case.
 */
int beneath_follow(struct beneath_path *path, int folder, int flags);

/* The same for a path that ends with a slash: enters its last folder, too. Returns 0 or -errno. */
int beneath_enter(struct beneath_path *path, int folder);

/* Closes what a walk holds open. Can be called more than once. */
void beneath_leave(struct beneath_path *path);

/* Opens a confined path. Returns a descriptor or -errno. */
int beneath_open_confined(int folder, const char *path, int flags);

/* Does this -errno mean that the system lacks descriptors or memory now? Then we do not know what is there. */
bool beneath_is_busy(long error);
